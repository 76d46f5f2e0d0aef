"""Windows: figures of any stretch per engine, server, deployment or model, and what they are worth."""

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import UnknownKey
from costlib.measures import COUNTERS, GAUGES
from costlib.telemetry import SampleState, quantile
from costlib.windows import derived
from store.home import Home
from store.quantiles import quantiles
from store.read import Snapshot, open_snapshot, open_tail
from store.records import TargetRow
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, at, frozen, gpu_page, histogram, page, run, sample


def published(home: Home, writer: Writer) -> Snapshot:
    writer.publish(force=True)
    found = open_snapshot(home)
    assert found
    return found


def named(writer: Writer, *keys: str, deployment: str = "chat") -> None:
    writer.name_targets(
        [TargetRow(target_key=key, source_key=f"vllm/{key}", deployment_key=deployment) for key in keys]
    )


def every(home: Home, writer: Writer) -> dict[str, dict]:
    """The last minute as one row per grouping."""
    snapshot = published(home, writer)
    frames = {per: snapshot.windows(at(-60), at(1), per=per) for per in ("engine", "target", "deployment", "model")}
    return {per: frame.to_dict("records") for per, frame in frames.items()}


def test_engines_servers_deployments_and_models_sum_to_the_same(home: Home, writer: Writer) -> None:
    named(writer, "gpu-1", "gpu-2")
    for key, engine, model, tokens in [
        *(("gpu-1", "0", "qwen", 1), ("gpu-1", "1", "qwen", 2), ("gpu-2", "0", "qwen", 4)),
        *(("gpu-2", "0", "llama", 8), ("gpu-3", "0", "qwen", 16)),
    ]:
        row = sample(at(0), {"prompt_tokens": tokens}, target_key=key, engine_key=engine, model_key=model)
        add(writer, run(target_key=key, source_key=f"vllm/{key}"), [], [row])
    found = every(home, writer)
    tokens = {per: [row["prompt_tokens"] for row in rows] for per, rows in found.items()}
    assert tokens == {"engine": [1, 2, 8, 4, 16], "target": [3, 8, 4, 16], "deployment": [8, 7, 16], "model": [8, 23]}
    assert [row["deployment_key"] for row in found["deployment"]] == ["chat", "chat", "gpu-3"]


def test_what_runs_at_a_time_is_summed_and_fractions_are_averaged(home: Home, writer: Writer) -> None:
    named(writer, "gpu-1", "gpu-2")
    for key, running, kv in [("gpu-1", 2, 0.2), ("gpu-2", 6, 0.6)]:
        gauges = {"running_count": running, "kv_usage_fraction": kv, "awake_fraction": 1.0}
        for offset in (-15, 0):
            add(writer, run(target_key=key), [], [sample(at(offset), {}, gauges, target_key=key)])
    (chat,) = every(home, writer)["deployment"]
    assert (chat["running_count"], chat["kv_usage_fraction"], chat["awake_fraction"]) == (8.0, pytest.approx(0.4), 1.0)
    assert (chat["observed_s"], chat["coverage_s"], chat["kv_usage_max_fraction"]) == (30.0, 60.0, 0.6)


def test_a_replica_in_a_gap_does_not_slow_the_others_down(home: Home, writer: Writer) -> None:
    named(writer, "gpu-1", "gpu-2")
    add(writer, run(), [], [sample(at(0), {"prompt_tokens": 600}, interval_s=60.0)])
    lost = sample(at(0), {"prompt_tokens": 600}, state=SampleState.GAP, interval_s=60.0, target_key="gpu-2")
    add(writer, run(target_key="gpu-2"), [], [lost])
    (chat,) = every(home, writer)["deployment"]
    assert (chat["prompt_tokens"], chat["observed_s"], chat["gap_s"]) == (1200, 60.0, 0.0)
    assert chat["prompt_tokens_per_s"] == 20.0


def test_a_replica_that_never_answered_is_missing_from_its_deployment(home: Home, writer: Writer) -> None:
    named(writer, "gpu-1", "gpu-2")
    add(writer, run(), [], [sample(at(0), {"prompt_tokens": 600}, interval_s=60.0)])
    add(writer, run(target_key="gpu-2", state="refused", error="nothing listens there"))
    (chat,) = every(home, writer)["deployment"]
    assert (chat["prompt_tokens"], chat["state"], chat["why"]) == (600, "gap", "nothing listens there")


def test_kv_quantiles_are_those_of_the_samples(home: Home, writer: Writer) -> None:
    usage = [0.1, 0.9, 0.4, 0.2]
    rows = [sample(at(15 * n), {}, {"kv_usage_fraction": value}) for n, value in enumerate(usage)]
    add(writer, run(), [], rows)
    with published(home, writer) as snapshot:
        for bin in ("minute", "hour", "total"):
            found = snapshot.windows(NOON, at(3600), bin, "engine").iloc[0]
            assert found["kv_usage_p50_fraction"] == pytest.approx(np.quantile(usage, 0.5))
            assert found["kv_usage_p95_fraction"] == pytest.approx(np.quantile(usage, 0.95))


def test_a_window_has_every_figure_that_follows_from_its_sums(home: Home, writer: Writer) -> None:
    counters = {name: float(n + 1) for n, name in enumerate(COUNTERS)}
    add(writer, run(), [], [sample(at(0), counters, dict.fromkeys(GAUGES, 0.5), ttft_s=histogram(80, 100, 100))])
    snapshot = published(home, writer)
    for bin, per in [("total", "target"), ("minute", "engine"), ("day", "deployment"), ("hour", "model")]:
        found = snapshot.windows(*ALWAYS, bin, per)
        row = found.iloc[0]
        for name, value in derived(
            {
                key: found[key].to_numpy(dtype=float)
                for key in (*COUNTERS, "observed_s", "gap_s", "coverage_s", "busy_s")
            }
        ).items():
            assert row[name] == pytest.approx(value[0]), name
        assert row["ttft_s_p95"] == pytest.approx(0.775)
        assert not [name for name in found if "bucket" in name or "bounds" in name]


def test_counts_beyond_what_a_float_keeps_stay_exact(home: Home, writer: Writer) -> None:
    add(
        writer,
        run(),
        [],
        [sample(counters={"prompt_tokens": 2**53, "generation_tokens": 1, "cached_prompt_tokens": 2**53 + 1})],
    )
    found = published(home, writer).windows(*ALWAYS).iloc[0]
    assert int(found["total_tokens"]) == 2**53 + 1
    assert int(found["cached_prompt_tokens"]) == 2**53 + 1


# What a window is worth -----------------------------------------------------------------------------------------------


def minute_of(home: Home, writer: Writer, now=None) -> dict:
    (row,) = published(home, writer).windows(at(-60), at(1), now=now).to_dict("records")
    return row


def steady(writer: Writer, **last) -> None:
    for offset in (-45, -30, -15):
        add(writer, run(at(offset)), [page(at(offset))], [sample(at(offset), {"prompt_tokens": 1})])
    add(writer, run(at(0)), [page(at(0))], [sample(at(0), **{"counters": {"prompt_tokens": 1}, **last})])


def test_a_minute_seen_whole_is_ok(home: Home, writer: Writer) -> None:
    steady(writer)
    row = minute_of(home, writer)
    assert (row["state"], row["why"], row["newest_at"]) == ("ok", "", at(0))


@pytest.mark.parametrize(
    ("last", "state"),
    [
        ({"state": SampleState.GAP, "interval_s": 45.0}, "gap"),
        ({"state": SampleState.RESET, "restarted": True}, "reset"),
        ({"state": SampleState.GAP, "interval_s": 45.0, "restarted": True}, "gap"),
        ({"state": SampleState.STARTED}, "ok"),
    ],
)
def test_a_gap_and_a_restart_show_in_the_state(home: Home, writer: Writer, last: dict, state: str) -> None:
    steady(writer, **last)
    row = minute_of(home, writer)
    assert row["state"] == state
    assert row["restarts_count"] == int(last.get("restarted", False))


def test_a_server_whose_newest_scrape_failed_is_in_a_gap_and_says_why(home: Home, writer: Writer) -> None:
    steady(writer)
    add(writer, run(at(0.5), state="timeout", error="gpu-1 did not answer within 8 s"))
    row = minute_of(home, writer)
    assert (row["state"], row["why"], row["prompt_tokens"]) == ("gap", "gpu-1 did not answer within 8 s", 4)
    (known,) = open_snapshot(home).targets().to_dict("records")
    assert (known["state"], known["last_error"]) == ("gap", "gpu-1 did not answer within 8 s")
    assert (known["last_success_at"], known["newest_at"]) == (at(0), at(0))


def test_a_server_that_recovered_says_nothing_of_its_failure(home: Home, writer: Writer) -> None:
    add(writer, run(at(-50), state="timeout", error="no answer"))
    steady(writer)
    assert (minute_of(home, writer)["state"], minute_of(home, writer)["why"]) == ("ok", "")


def test_where_nobody_asks_any_more_a_window_that_is_not_over_is_stale(home: Home, writer: Writer) -> None:
    steady(writer)
    snapshot = published(home, writer)
    for late_s, state in [(37, "ok"), (38, "stale")]:
        now = at(late_s)
        row = snapshot.windows(now - timedelta(seconds=60), now, now=now).iloc[0]
        assert (row["state"] == "stale") == (state == "stale")
    over = snapshot.windows(at(-60), at(1), now=at(9999)).iloc[0]
    assert over["state"] == "ok", "what is over is not stale"


def test_a_server_that_backs_off_is_failing_not_stale(home: Home, writer: Writer) -> None:
    steady(writer)
    add(writer, run(at(1), state="refused", error="connection refused"))
    snapshot = published(home, writer)
    assert snapshot.targets(at(200))["state"].tolist() == ["gap"]
    assert snapshot.targets(at(400))["state"].tolist() == ["stale"]


@pytest.mark.parametrize("per", ["engine", "target", "deployment"])
def test_a_server_that_never_told_of_an_engine_has_a_row_without_figures(home: Home, writer: Writer, per: str) -> None:
    steady(writer)
    add(writer, run(at(0), target_key="mute", source_key="vllm/mute", rows_count=0))
    found = published(home, writer).windows(at(-60), at(1), per=per)
    mute = found[found["model_key"].isna()].iloc[0]
    assert mute["deployment_key" if per == "deployment" else "target_key"] == "mute"
    assert mute["state"] == "not_exported"
    unknown = [
        *COUNTERS,
        *GAUGES,
        "observed_s",
        "samples_count",
        "prompt_tokens_per_s",
        "ttft_s_p95",
        "coverage_fraction",
    ]
    assert mute[unknown].isna().all()
    assert found["prompt_tokens"].sum() == 4


def test_a_server_that_never_answered_says_why(home: Home, writer: Writer) -> None:
    add(writer, run(at(0), state="refused", error="connection refused", rows_count=0))
    row = minute_of(home, writer)
    assert (row["state"], row["why"]) == ("gap", "connection refused")


def test_a_prometheus_that_tells_of_servers_is_no_server(home: Home, writer: Writer) -> None:
    source = {"target_key": "prom", "source_key": "prometheus/prom"}
    writer.name_targets([TargetRow(target_key="gpu-1", source_key="prometheus/prom", deployment_key="chat")])
    add(writer, run(at(0), **source), [page(at(0))], [sample(at(0), {"prompt_tokens": 3}, interval_s=60.0)])
    assert (minute_of(home, writer)["target_key"], minute_of(home, writer)["state"]) == ("gpu-1", "ok")
    add(writer, run(at(0.5), state="timeout", error="prom did not answer", **source))
    assert minute_of(home, writer)["why"] == "prom did not answer"
    writer.name_targets([TargetRow(target_key="prom", source_key="prometheus/prom", deployment_key="prom")])
    assert minute_of(home, writer)["target_key"] == "gpu-1"
    assert open_snapshot(home).targets()["target_key"].tolist() == ["gpu-1"]


def test_coverage_counts_from_when_a_server_was_first_seen(home: Home, writer: Writer) -> None:
    first = sample(at(-30), {}, state=SampleState.FIRST, interval_s=None)
    add(writer, run(at(0)), [], [first, sample(at(-15), {}), sample(at(0), {})])
    snapshot = published(home, writer)
    found = snapshot.windows(at(-86400), at(0.001)).iloc[0]
    assert found["coverage_fraction"] == pytest.approx(1.0, abs=1e-3)
    assert found["window_s"] == pytest.approx(86400.001)
    assert found["state"] == "ok"


def test_a_wrong_grouping_names_the_right_ones(home: Home, writer: Writer) -> None:
    with pytest.raises(UnknownKey, match=r"grouping 'gpu'.*deployment, engine, model, target"):
        published(home, writer).windows(*ALWAYS, per="gpu")


def test_an_exporter_of_gpus_is_not_asked_for_tokens(home: Home, writer: Writer) -> None:
    add(writer, run(target_key="dcgm"), devices=[gpu_page(target_key="dcgm")])
    snapshot = published(home, writer)
    assert snapshot.windows(*ALWAYS).empty
    assert snapshot.targets()["state"].tolist() == ["ok"]


# The tail -------------------------------------------------------------------------------------------------------------


def test_the_tail_has_the_last_minutes_before_the_snapshot_does(home: Home, writer: Writer) -> None:
    assert open_tail(home) is None
    writer.publish(force=True)
    named(writer, "gpu-1")
    steady(writer)
    writer.publish_tail()
    with open_tail(home) as tail:
        (row,) = tail.windows(at(-60), at(1)).to_dict("records")
        minutes = tail.windows(at(-60), at(1), "minute", "engine")
        assert (row["prompt_tokens"], row["state"]) == (4, "ok")
        assert minutes["prompt_tokens"].tolist() == [3, 1]
        assert tail.live(at(0), 60)["prompt_tokens"].tolist() == [1, 1, 1, 1]
        assert tail.engines()["engine_key"].tolist() == ["0"]
        assert tail.targets()["deployment_key"].tolist() == ["chat"]
    assert open_snapshot(home).windows(*ALWAYS).empty


def test_tail_and_snapshot_tell_the_same_of_the_last_minutes(home: Home, writer: Writer) -> None:
    steady(writer, gauges={"running_count": 3, "kv_usage_fraction": 0.25}, ttft_s=histogram(1, 2, 3))
    writer.publish_tail()
    snapshot, tail = published(home, writer), open_tail(home)
    for bin, per in [("total", "engine"), ("total", "target"), ("minute", "deployment")]:
        window = (at(-600), at(60), bin, per)
        assert tail.windows(*window).equals(snapshot.windows(*window))


def test_the_tail_leaves_out_what_is_older_than_half_an_hour(home: Home) -> None:
    with Writer.open(home, frozen(at(7200))) as writer:
        add(writer, run(at(0)), [], [sample(at(0), {"prompt_tokens": 7}), sample(at(7190), {"prompt_tokens": 1})])
        writer.publish_tail()
        with open_tail(home) as tail:
            assert tail.windows(*ALWAYS, "minute")["prompt_tokens"].tolist() == [1]
            assert tail.windows(*ALWAYS, "hour").empty


# Quantiles ------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(0.001, 100), min_size=1, max_size=6, unique=True).map(sorted),
    st.data(),
    st.floats(0, 1),
)
def test_many_quantiles_at_once_are_those_of_one_after_another(finite, data, q) -> None:
    bounds = [*finite, math.inf]
    row = st.lists(st.integers(0, 5), min_size=len(bounds), max_size=len(bounds))
    increments = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), float)
    (found,) = quantiles(bounds, increments, [q])
    for value, cumulative in zip(found.tolist(), np.cumsum(increments, axis=1).tolist(), strict=True):
        expected = quantile(bounds, cumulative, q)
        assert math.isnan(value) if expected is None else value == pytest.approx(expected)
