"""The sample fleet: deterministic, and hours that could have been measured."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest

from collectors.base import CollectContext, Target
from collectors.demo import sample_file
from collectors.sample import WEEKS, hourly_rates, served, solved, usage_hours, week_curve
from collectors.sample_latency import BOUNDS, SPREAD, histogram
from collectors.sample_live import gpu_pages, live_pages
from collectors.sample_story import GROWTH_PER_WEEK, hour_of, newest_monday
from collectors.sources import dcgm, vllm
from store.samples import bounds_id
from store.schema import BUCKETS

END = datetime(2026, 11, 21, 8, tzinfo=UTC)
FILE = sample_file(END)
FLEET = FILE.today.deployments
by_deployment = pytest.mark.parametrize("deployment", FLEET, ids=lambda d: d.key)


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return usage_hours(FILE, END)


@pytest.fixture(scope="module")
def hours(table: pa.Table) -> list[dict]:
    return table.drop_columns([bucket for name in BOUNDS for bucket in BUCKETS[name][: len(BOUNDS[name])]]).to_pylist()


# Usage ----------------------------------------------------------------------------------------------------------------


def test_the_same_end_gives_the_same_rows(table: pa.Table) -> None:
    assert usage_hours(FILE, END).equals(table)


def test_an_hour_is_shaped_the_same_whatever_the_window() -> None:
    """What differs is growth, by the same factor for every hour: the noise belongs to the calendar hour."""
    (deployment, *_) = FLEET
    early, late = (hourly_rates(deployment, END - timedelta(hours=100), n) for n in (50, 100))
    ratios = late[:50] / early
    assert ratios == pytest.approx(ratios[0])


def test_seventeen_weeks_of_hours_end_where_they_should_without_a_hole(hours: list[dict]) -> None:
    by_key = defaultdict(list)
    for row in hours:
        by_key[row["target_key"]].append(row["bin_start"])
    assert set(by_key) == {d.key for d in FLEET}
    end = END.replace(tzinfo=None)
    expected = [end - timedelta(hours=n) for n in range(WEEKS * 168, 0, -1)]
    assert all(found == expected for found in by_key.values())


def test_every_hour_could_have_been_measured(hours: list[dict]) -> None:
    for row in hours:
        assert 0 <= row["busy_s"] <= row["coverage_s"]
        assert 0 <= row["cached_prompt_tokens"] <= row["prompt_tokens"] == row["prefix_queries_tokens"]
        assert row["prefix_hits_tokens"] == row["cached_prompt_tokens"]
        ends = [row[f"requests_{end}_count"] for end in ("stop", "length", "abort", "error")]
        assert min(ends) >= 0
        assert 0 <= row["kv_usage_fraction"] <= row["kv_usage_max_fraction"] <= 1
        assert row["running_count"] >= 0
        if sum(ends):
            assert row["generation_tokens"] >= sum(ends) - row["requests_abort_count"]
        assert row["inference_s"] == pytest.approx(row["prefill_s"] + row["decode_s"])


# Latencies ------------------------------------------------------------------------------------------------------------


def test_latencies_count_every_request_once_and_their_sums_lie_within_their_buckets(table: pa.Table) -> None:
    requests = sum(table[f"requests_{end}_count"].to_numpy() for end in ("stop", "length", "abort", "error"))
    for name, bounds in BOUNDS.items():
        counts = np.column_stack([table[bucket].to_numpy() for bucket in BUCKETS[name][: len(bounds)]])
        sums = table[f"{name}_sum"].to_numpy()
        assert counts.min() >= 0
        assert (counts.sum(axis=1) == requests).all()
        assert (table[f"{name}_count"].to_numpy() == requests).all()
        assert (counts @ [0.0, *bounds[:-1]] <= sums).all()
        assert ((sums <= counts[:, :-1] @ bounds[:-1]) | (counts[:, -1] > 0)).all()


def test_histograms_name_the_bounds_that_the_demo_hands_over(hours: list[dict]) -> None:
    for name, bounds in BOUNDS.items():
        assert {row[f"{name}_bounds_id"] for row in hours} == {bounds_id(bounds)}


def test_the_mean_times_are_those_of_the_other_counters(hours: list[dict]) -> None:
    for row in hours:
        if row["tpot_s_count"]:
            assert row["tpot_s_sum"] / row["tpot_s_count"] == pytest.approx(row["decode_s"] / row["generation_tokens"])
            assert row["ttft_s_sum"] >= row["queue_s"] + row["prefill_s"] - 0.02 * row["ttft_s_count"]
            assert row["waiting_count"] * 3600 <= row["queue_s"], "Little's law"


def test_a_smaller_batch_answers_faster_once_begun_and_lets_more_wait(hours: list[dict]) -> None:
    """For a week of the ninth before the newest, `max_num_seqs` of Support copilot is 24; the week before it is 96."""
    began = newest_monday(END).replace(tzinfo=None) + timedelta(hours=hour_of(-9, 1, 9))

    def mean(name: str, count: str, since: datetime) -> float:
        mine = [
            row
            for row in hours
            if row["target_key"] == "support-copilot" and since <= row["bin_start"] < since + timedelta(days=7)
        ]
        return sum(row[name] for row in mine) / sum(row[count] for row in mine)

    before = began - timedelta(days=7)
    assert mean("tpot_s_sum", "tpot_s_count", began) < 0.85 * mean("tpot_s_sum", "tpot_s_count", before)
    assert mean("queue_s", "ttft_s_count", began) > 2 * mean("queue_s", "ttft_s_count", before)


def test_a_latency_is_spread_about_its_mean() -> None:
    """A log-normal: half of the requests lie below mean x exp(-s²/2), and 95 % below about twice that."""
    requests = np.full(1, 1_000_000)
    row = histogram("ttft_s", requests, (1.0, np.array([0.1 * np.exp(SPREAD**2 / 2)])))
    counts = np.array([row[bucket][0] for bucket in BUCKETS["ttft_s"][: len(BOUNDS["ttft_s"])]])
    bounds = np.array(BOUNDS["ttft_s"])
    assert counts[bounds <= 0.1].sum() == pytest.approx(500_000, rel=0.001)
    within = NormalDist().cdf(np.log(2.5) / SPREAD)
    assert counts[bounds <= 0.25].sum() == pytest.approx(within * 1_000_000, rel=0.001)


# Demand ---------------------------------------------------------------------------------------------------------------


@by_deployment
def test_tokens_follow_requests_as_the_scenario_says(hours: list[dict], deployment) -> None:
    mine = [row for row in hours if row["target_key"] == deployment.key]
    requests = sum(row[f"requests_{end}_count"] for row in mine for end in ("stop", "length", "abort", "error"))
    assert sum(row["prompt_tokens"] for row in mine) / requests == pytest.approx(
        deployment.workload.mean_prompt_tokens, rel=1e-6
    )
    assert sum(row["generation_tokens"] for row in mine) / requests == pytest.approx(
        deployment.workload.mean_output_tokens, rel=1e-6
    )


@by_deployment
def test_the_weeks_curve_has_the_mean_and_the_peak_of_the_scenario(deployment) -> None:
    curve = week_curve(deployment)
    assert curve.shape == (168,)
    assert curve.min() >= 0
    assert curve.mean() == pytest.approx(1)
    assert curve.max() == pytest.approx(deployment.workload.peak_to_mean_ratio, rel=0.01)


@by_deployment
def test_the_last_weeks_mean_rate_is_the_scenarios(deployment) -> None:
    rates = hourly_rates(deployment, END - timedelta(weeks=WEEKS), WEEKS * 168)
    assert rates[-168:].mean() == pytest.approx(deployment.workload.requests_per_s, rel=0.02)
    is_growing = GROWTH_PER_WEEK[deployment.key] > 0
    assert (rates[-168:].mean() > rates[:168].mean()) == is_growing, "some products grow, and one shrinks"


@by_deployment
def test_replicas_follow_demand_and_at_the_peak_are_those_of_the_live_fleet(deployment) -> None:
    """The newest Monday to Friday: no jump from the history's busy hours to the live replay, which is one."""
    found = served(FILE, deployment, END - timedelta(days=5), 5 * 24)
    _, priced = solved(FILE, deployment)
    assert max(part.replicas_count.max() for part in found) == priced.replicas_count
    (newest,) = found
    assert newest.deployment == deployment, "served as the scenario says"
    most = newest.replica.capacity_requests_per_s * newest.replicas_count
    assert (newest.requests_per_s <= most).all()


# Live pages -----------------------------------------------------------------------------------------------------------


def engines_at(deployment, elapsed_s: list[float]) -> list[list]:
    page = live_pages(FILE, END.timestamp())[f"/{deployment.key}/metrics"]
    target = Target(key=deployment.key, url=f"http://gpu-1:8000/{deployment.key}/metrics", is_sample=True)
    return [
        vllm.parse(page(at).encode(), CollectContext(target=target, scraped_at=END + timedelta(seconds=at))).pages
        for at in elapsed_s
    ]


@by_deployment
def test_a_live_page_is_one_the_vllm_collector_reads_whole(deployment) -> None:
    (engines,) = engines_at(deployment, [60.0])
    _, priced = solved(FILE, deployment)
    assert len(engines) == priced.replicas_count
    for page in engines:
        assert page.model_key == deployment.model_key
        assert not page.remarks
        assert page.counters["prompt_tokens"] >= page.counters["cached_prompt_tokens"]
        assert 0 <= page.gauges["kv_usage_fraction"] < 1
        assert page.histograms["ttft_s"].count > 0


@by_deployment
def test_live_counters_never_fall_and_do_grow(deployment) -> None:
    before: dict[tuple, dict] = {}
    for engines in engines_at(deployment, [0.0, 1.0, 2.5, 5.0, 5.0, 30.0, 97.0, 3600.0]):
        for page in engines:
            now = {**page.counters, **{name: h.count for name, h in page.histograms.items()}}
            for name, value in before.get(page.identity, {}).items():
                assert now[name] >= value, name
            before[page.identity] = now
    assert all(counters["generation_tokens"] > 0 for counters in before.values())


def test_a_page_asked_out_of_order_does_not_go_back() -> None:
    late, early = engines_at(FLEET[0], [100.0, 50.0])
    assert [page.counters for page in early] == [page.counters for page in late]


@by_deployment
def test_the_live_sample_runs_within_its_capacity(deployment) -> None:
    replica, _ = solved(FILE, deployment)
    (at_start, later) = engines_at(deployment, [600.0, 660.0])
    for before, after in zip(at_start, later, strict=True):
        done = after.counters["requests_stop_count"] - before.counters["requests_stop_count"]
        assert 0 < done / 60 <= replica.capacity_requests_per_s


@by_deployment
def test_live_figures_agree_with_each_other(deployment) -> None:
    (before,), (after,) = ([engines[0]] for engines in engines_at(deployment, [600.0, 1200.0]))
    rose = {name: after.counters[name] - before.counters[name] for name in after.counters}
    littles = rose["inference_s"] / 600.0
    running = [
        engines[0].gauges["running_count"] for engines in engines_at(deployment, [610.0 + 20 * n for n in range(30)])
    ]
    assert littles == pytest.approx(sum(running) / len(running), rel=0.25, abs=1.5), "Little's law, beside the gauge"
    assert rose["inference_s"] == pytest.approx(rose["prefill_s"] + rose["decode_s"])
    assert rose["step_tokens"] == rose["prompt_tokens"] - rose["cached_prompt_tokens"] + rose["generation_tokens"]


@by_deployment
def test_live_gpus_work_within_their_peaks(deployment) -> None:
    page = gpu_pages(FILE)[f"/{deployment.key}/dcgm"]
    target = Target(key="gpus", url="http://gpu-1:9400/metrics", source_key="dcgm", is_sample=True)
    found = [dcgm.parse(page(at).encode(), CollectContext(target=target, scraped_at=END)) for at in (600.0, 660.0)]
    _, priced = solved(FILE, deployment)
    assert len(found[0].devices) == priced.gpus_count
    for before, after in zip(found[0].devices, found[1].devices, strict=True):
        assert 0 < after.gauges["tensor_active_fraction"] < after.gauges["gpu_util_fraction"] <= 1
        assert 0 < after.gauges["dram_active_fraction"] <= 1
        watts = (after.counters["energy_j"] - before.counters["energy_j"]) / 60
        assert watts == pytest.approx(after.gauges["power_w"], rel=0.2)
