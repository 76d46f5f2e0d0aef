"""What a snapshot answers."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from collectors.importer import import_files
from costlib.errors import ConfigError, UnknownKey
from costlib.telemetry import SampleState
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, at, bill, frozen, histogram, run, sample


def published(home: Home, writer: Writer) -> Snapshot:
    writer.publish(force=True)
    found = open_snapshot(home)
    assert found
    return found


def spend(home: Home, tmp_path: Path, *rows: dict[str, str | None]) -> Snapshot:
    receipts = import_files([bill(tmp_path / "bill.csv", *rows)], home)
    assert receipts[0].status == "imported", receipts[0].detail
    found = open_snapshot(home)
    assert found
    return found


# Usage ----------------------------------------------------------------------------------------------------------------


def test_usage_bins_are_half_open_and_aware(home: Home, writer: Writer) -> None:
    for hours, tokens in [(-2, 1), (-1, 10), (0, 100)]:
        moment = NOON + timedelta(hours=hours)
        add(writer, run(moment), [], [sample(moment, {"prompt_tokens": tokens})])
    snapshot = published(home, writer)
    usage = snapshot.usage(NOON - timedelta(hours=2), NOON)
    assert usage["prompt_tokens"].tolist() == [1, 10]
    assert usage["bin_start"].tolist() == [NOON - timedelta(hours=2), NOON - timedelta(hours=1)]
    assert snapshot.usage(*ALWAYS, bin="day")["prompt_tokens"].tolist() == [111]
    assert snapshot.usage(NOON, at(1), bin="minute")["prompt_tokens"].tolist() == [100]


def test_whole_numbers_stay_whole_and_unknown_stays_unknown(home: Home, writer: Writer) -> None:
    add(writer, run(), [], [sample(counters={"prompt_tokens": 2**53 + 1})])
    usage = published(home, writer).usage(*ALWAYS)
    assert usage["prompt_tokens"].tolist() == [2**53 + 1]
    assert usage["generation_tokens"].isna().all()
    assert usage["queue_s"].isna().all()


def test_an_unknown_bin_width_names_the_known(home: Home, writer: Writer) -> None:
    with pytest.raises(UnknownKey, match=r"bin width 'week'.*day, hour, minute"):
        published(home, writer).usage(*ALWAYS, bin="week")


def test_demand(home: Home, writer: Writer) -> None:
    """Two full hours, the second twice as busy: 3 requests a minute on average, 4 in the busiest hour."""
    for hours, requests in [(-2, 120), (-1, 240)]:
        moment = NOON + timedelta(hours=hours)
        counters = {
            "requests_stop_count": requests - 20,
            "requests_abort_count": 20,
            "prompt_tokens": 1000 * requests,
            "generation_tokens": 200 * requests,
            "prefix_queries_tokens": 1000 * requests,
            "prefix_hits_tokens": 250 * requests,
        }
        gauges = {"running_count": hours + 2}
        add(writer, run(moment), [], [sample(moment, counters, gauges, interval_s=3600.0)])
    demand = published(home, writer).demand(NOON - timedelta(hours=4), NOON).iloc[0].to_dict()
    assert demand == pytest.approx(
        {
            "target_key": "gpu-1",
            "model_key": "qwen",
            "requests_per_s": 360 / 7200,
            "mean_prompt_tokens": 1000.0,
            "mean_output_tokens": 200.0,
            "peak_to_mean_ratio": 240 / 180,
            "prefix_hit_fraction": 0.25,
            "busy_fraction": 1.0,
            "coverage_fraction": 0.5,
            "hours_count": 2,
        }
    )


def test_requests_that_came_after_a_gap_are_spread_over_it(home: Home, writer: Writer) -> None:
    gap = sample(at(0), {"requests_stop_count": 3600}, state=SampleState.GAP, interval_s=3585.0)
    add(writer, run(), [], [gap, sample(at(15), {"requests_stop_count": 0})])
    demand = published(home, writer).demand(NOON, at(3600)).iloc[0]
    assert demand["requests_per_s"] == pytest.approx(1.0)
    assert demand["coverage_fraction"] == pytest.approx(15 / 3600)


def test_demand_that_is_not_exported_is_not_zero(home: Home, writer: Writer) -> None:
    add(writer, run(), [], [sample(counters={"prompt_tokens": 10})])
    demand = published(home, writer).demand(*ALWAYS).iloc[0]
    for unknown in ("requests_per_s", "mean_prompt_tokens", "prefix_hit_fraction", "peak_to_mean_ratio"):
        assert math.isnan(demand[unknown]), unknown


def test_live_sums_the_engines_of_a_target(home: Home, writer: Writer) -> None:
    for offset in (-600, -15, 0):
        rows = [
            sample(
                at(offset), {"generation_tokens": 10}, {"running_count": 2, "kv_usage_fraction": 0.2}, engine_key="0"
            ),
            sample(
                at(offset),
                {"generation_tokens": 5},
                {"running_count": 3, "kv_usage_fraction": 0.4},
                engine_key="1",
                state=SampleState.RESET,
                ttft_s=histogram(0, 10, 10),
            ),
        ]
        add(writer, run(at(offset)), [], rows)
    live = published(home, writer).live(at(0), window_s=60)
    assert live["scraped_at"].tolist() == [at(-15), at(0)]
    assert live["generation_tokens"].tolist() == [15, 15]
    assert live["running_count"].tolist() == [5.0, 5.0]
    assert live["kv_usage_fraction"].tolist() == pytest.approx([0.3, 0.3])
    assert live["state"].tolist() == ["reset", "reset"], "the state that says least of the time"
    assert live["ttft_p95_s"].tolist() == pytest.approx([0.955, 0.955])


# Bills ----------------------------------------------------------------------------------------------------------------


def test_daily_spend_by_service_is_exact(home: Home, tmp_path: Path) -> None:
    snapshot = spend(
        home,
        tmp_path,
        {"BilledCost": "0.1"},
        {"BilledCost": "0.2"},
        {"BilledCost": "-0.000000000000000001", "ServiceName": "S3"},
        {"BilledCost": "7", "ChargePeriodStart": "2026-10-06T23:59:59Z", "ChargePeriodEnd": "2026-10-07T00:59:59Z"},
    )
    frame = snapshot.daily_spend(*ALWAYS)
    assert list(frame.itertuples(index=False, name=None)) == [
        (date(2026, 10, 5), "EC2", "USD", Decimal("0.3"), 0),
        (date(2026, 10, 5), "S3", "USD", Decimal("-0.000000000000000001"), 0),
        (date(2026, 10, 6), "EC2", "USD", Decimal(7), 0),
    ]
    october_6 = datetime(2026, 10, 6, tzinfo=UTC)
    assert snapshot.spend_total(ALWAYS[0], october_6) == {"USD": Decimal("0.299999999999999999")}
    assert snapshot.spend_total(october_6, ALWAYS[1]) == {"USD": Decimal(7)}


def test_daily_spend_by_tag_knows_missing_malformed_and_odd_tags(home: Home, tmp_path: Path) -> None:
    tags = ['{"team": "search"}', "{'team': 'search'}", "", "NULL", '["team"]', '{"team": ""}', '{"Team": "chat"}']
    snapshot = spend(home, tmp_path, *({"Tags": tag, "BilledCost": "1"} for tag in tags))
    by_team = snapshot.daily_spend(*ALWAYS, by="team")
    found = {None if pd.isna(key) else key: cost for key, cost in by_team[["key", "cost"]].itertuples(index=False)}
    assert found == {"search": 1, None: 6}


@pytest.mark.parametrize("key", ["user:team", "a.b", 'say "hi"', "a/b", "a~b", "$", "Größe"])
def test_a_tag_key_may_have_any_character(home: Home, tmp_path: Path, key: str) -> None:
    escaped = key.replace('"', '\\"')
    snapshot = spend(home, tmp_path, {"Tags": f'{{"{escaped}": "yes"}}'})
    assert snapshot.daily_spend(*ALWAYS, by=key)["key"].tolist() == ["yes"]


def test_effective_and_billed_are_two_sums_and_unknown_costs_are_counted(home: Home, tmp_path: Path) -> None:
    snapshot = spend(
        home, tmp_path, {"EffectiveCost": "1"}, {"EffectiveCost": ""}, {"ServiceName": "S3", "EffectiveCost": ""}
    )
    effective = snapshot.daily_spend(*ALWAYS, basis="effective")
    assert effective[["key", "cost", "unknown_count"]].values.tolist() == [["EC2", Decimal(1), 1], ["S3", None, 1]]
    assert snapshot.spend_total(*ALWAYS, basis="effective") == {"USD": 1}
    assert snapshot.spend_total(*ALWAYS, basis="billed") == {"USD": Decimal("4.5")}


def test_currencies_are_never_added(home: Home, tmp_path: Path) -> None:
    snapshot = spend(home, tmp_path, {"BillingCurrency": "USD"}, {"BillingCurrency": "EUR"})
    assert snapshot.spend_total(*ALWAYS) == {"EUR": Decimal("1.5"), "USD": Decimal("1.5")}
    assert len(snapshot.daily_spend(*ALWAYS)) == 2
    assert snapshot.status().currencies == ("EUR", "USD")


def test_a_wrong_question_is_answered_with_the_right_ones(home: Home, tmp_path: Path) -> None:
    snapshot = spend(home, tmp_path)
    with pytest.raises(UnknownKey, match=r"cost basis 'effectiv'.*'effective'"):
        snapshot.spend_total(*ALWAYS, basis="effectiv")
    with pytest.raises(ConfigError, match=r"cannot be grouped by BilledCost.*ServiceName"):
        snapshot.daily_spend(*ALWAYS, by="BilledCost")


def test_status_tells_what_is_covered(home: Home, writer: Writer, tmp_path: Path) -> None:
    empty = published(home, writer).status()
    assert (empty.usage_from, empty.usage_to, empty.charges_from, empty.currencies) == (None, None, None, ())
    add(writer, run(at(0)), [], [sample(at(-30)), sample(at(0))])
    writer.close()
    status = spend(home, tmp_path).status()
    assert (status.usage_from, status.is_sample) == (NOON - timedelta(hours=1), False)
    assert (status.charges_from, status.charges_to) == (
        datetime(2026, 10, 5, tzinfo=UTC),
        datetime(2026, 10, 5, 1, tzinfo=UTC),
    )


# Sources --------------------------------------------------------------------------------------------------------------


def source(home: Home, writer: Writer, now: datetime) -> dict:
    frame = published(home, writer).sources(now)
    assert len(frame) == 1
    return frame.iloc[0].to_dict()


def test_a_source_that_delivers_is_ok_and_its_gaps_are_counted(home: Home, writer: Writer) -> None:
    for offset in (-7200, -600, -585, -120, -15, 0):
        add(writer, run(at(offset), rows_count=4), [], [])
    found = source(home, writer, at(10))
    assert (found["state"], found["kind"], found["rows_count"]) == ("ok", "scrape", 24)
    assert found["gaps_count"] == 3
    assert found["last_success_at"] == at(0)
    assert found["expected_every_s"] == 15.0


def test_a_source_that_fails_says_why_and_when_it_last_worked(home: Home) -> None:
    with Writer.open(home, frozen(NOON - timedelta(days=5))) as writer:
        add(writer, run(NOON - timedelta(days=5)), [], [])
    with Writer.open(home, frozen()) as writer:
        add(writer, run(at(-15), state="timeout", error="no answer within 8 s", rows_count=0))
        add(writer, run(at(0), state="refused", error="connection refused", rows_count=0))
        found = source(home, writer, at(1))
    assert (found["state"], found["last_error"], found["last_error_at"]) == ("refused", "connection refused", at(0))
    assert found["last_success_at"] == NOON - timedelta(days=5), "kept although it is older than the published runs"


def test_a_source_that_fell_silent_is_late(home: Home, writer: Writer) -> None:
    add(writer, run(at(0)), [], [])
    assert source(home, writer, at(37))["state"] == "ok"
    assert source(home, writer, at(38))["state"] == "late"


def test_an_import_is_a_source_that_is_never_late(home: Home, tmp_path: Path) -> None:
    snapshot = spend(home, tmp_path)
    found = snapshot.sources(datetime(2099, 1, 1, tzinfo=UTC)).iloc[0]
    assert (found["source_key"], found["kind"], found["state"]) == ("billing/focus", "billing", "ok")
