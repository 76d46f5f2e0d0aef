"""The fleet as sections: models apart, prices where they are known, each missing figure with its kind of missing."""

import json
from datetime import timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.detectors import findings
from costlib.scenario_file import ScenarioFile
from costlib.windows import DataState
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from tests.ui.fleet_frames import NOON, frames, minute, silent, target, window
from ui import charts, fleet_charts
from ui.data import Today
from ui.fleet import Frames, Section, busiest, holes, keys_of, replicas_of, sections
from ui.fleet_figures import Missing, Supply, figure, with_rates
from ui.fleet_findings import link, reading
from ui.fleet_table import NO_LABEL, chosen, label_values, versions
from ui.theme import DARK, LIGHT

FILE: ScenarioFile = load_scenario(SAMPLE_SCENARIO, NOON.date())
COPILOT = "support-copilot"  # four H100 SXM each at the price of the shipped catalogue


def today(is_ours: bool = True) -> Today:
    return Today(
        scenario=FILE.today, catalog=FILE.catalog, is_sample=not is_ours, is_measured_fleet=is_ours, measured_keys=(),
        measured_from=None, measured_to=None,
    )  # fmt: skip


def one(found: Frames, is_ours: bool = True) -> Section:
    (section,) = sections(found, today(is_ours))
    return section


def priced(*engines: dict, **more) -> Section:
    """The engines as replicas of a deployment of the scenario."""
    keys = dict.fromkeys(engine["target_key"] for engine in engines)
    return one(frames(*engines, targets=[target(key, deployment_key=COPILOT) for key in keys], **more))


def a(**changes) -> dict:
    return {"target_key": "a", **window(**changes)}


# Figures and their ways of missing


def test_a_figure_that_is_known_is_a_number() -> None:
    row = with_rates(pd.DataFrame([window()])).to_dict("records")[0]
    assert figure(row, "total_tokens_per_s") == pytest.approx(120.0)
    assert figure(row, "computed_tokens_per_s") == pytest.approx(4000 / 60)
    assert figure(row, "cached_tokens_per_s") == pytest.approx(2000 / 60)
    assert figure(row, "preemptions_per_min") == 0
    assert figure(row, "running_littles_count") == pytest.approx(2.0)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_classes_of_tokens_sum_to_the_rate_of_all(computed: int, cached: int, generated: int) -> None:
    changes = {
        "prompt_tokens": computed + cached, "computed_prompt_tokens": computed, "cached_prompt_tokens": cached,
        "generation_tokens": generated,
    }  # fmt: skip
    row = with_rates(pd.DataFrame([window(**changes)])).to_dict("records")[0]
    parts = [figure(row, f"{name}_tokens_per_s") for name in ("computed", "cached", "generation")]
    assert sum(parts) == pytest.approx(figure(row, "total_tokens_per_s"))


@pytest.mark.parametrize(
    ("changes", "name", "state"),
    [
        ({"preemptions_count": None}, "preemptions_per_min", DataState.NOT_EXPORTED),
        ({"prefix_hits_tokens": None}, "prefix_hit_fraction", DataState.NOT_EXPORTED),
        ({"prefix_queries_tokens": 0, "prefix_hits_tokens": 0}, "prefix_hit_fraction", DataState.UNDEFINED),
        ({"ttft_s_count": None, "ttft_s_p95": None}, "ttft_s_p95", DataState.NOT_EXPORTED),
        ({"ttft_s_count": 0, "ttft_s_p95": None}, "ttft_s_p95", DataState.UNDEFINED),
        ({"draft_tokens": 0, "accepted_tokens": 0}, "acceptance_fraction", DataState.UNDEFINED),
        ({}, "acceptance_fraction", DataState.NOT_EXPORTED),
        ({"kv_usage_p95_fraction": None}, "kv_usage_p95_fraction", DataState.NOT_EXPORTED),
    ],
)
def test_a_figure_is_missing_because_nothing_tells_it_or_because_nothing_happened(changes, name, state) -> None:
    row = with_rates(pd.DataFrame([window(**changes)])).to_dict("records")[0]
    found = figure(row, name)
    assert isinstance(found, Missing)
    assert found.state is state
    assert found.why


def test_a_window_that_nobody_saw_is_a_gap_and_tells_the_error_not_that_it_is_not_exported() -> None:
    found = figure(silent(why="connection refused"), "ttft_s_p95")
    assert found == Missing(state=DataState.GAP, why="connection refused")


# Sections


def test_models_are_never_put_together_even_on_one_server() -> None:
    both = frames(a(), a() | {"model_key": "other"})
    assert sorted(section.model_key for section in sections(both, today())) == ["m", "other"]


def test_models_that_share_gpus_have_no_unit_cost_of_their_own() -> None:
    both = frames(a(), a() | {"model_key": "other"}, targets=[target("a", deployment_key=COPILOT)])
    assert len(sections(both, today())) == 2
    for section in sections(both, today()):
        assert isinstance(section.supply, Supply)
        found = section.usd_per_mtok("total_tokens_per_s")
        assert isinstance(found, Missing) and "share these GPUs" in found.why


def test_models_on_engines_of_their_own_each_have_the_cost_of_their_engines() -> None:
    names = [target(key, deployment_key=COPILOT) for key in "ab"]
    apart = frames(a(), {**a(), "target_key": "b", "model_key": "other"}, targets=names)
    for section in sections(apart, today()):
        assert isinstance(section.supply, Supply) and section.supply.gpus_count == 4
        assert isinstance(section.usd_per_mtok("total_tokens_per_s"), float)


def test_sections_keep_their_places_by_name_and_the_busiest_are_shown_at_first() -> None:
    quiet = {**a(prompt_tokens=10, generation_tokens=1), "target_key": "b", "model_key": "a-quiet-one"}
    found = frames(a(), quiet)
    assert keys_of(found) == [("chat", "a-quiet-one"), ("chat", "m")]
    assert busiest(found, 1) == [("chat", "m")]
    assert [section.model_key for section in sections(found, today(), [("chat", "m")])] == ["m"]


def test_the_cost_of_a_million_tokens_is_gpus_times_price_over_what_is_served() -> None:
    section = priced(a())
    assert isinstance(section.supply, Supply)
    price = section.supply.usd_per_gpu_hour
    assert section.supply.gpus_count == 4
    assert section.usd_per_hour == pytest.approx(4 * price)
    assert section.usd_per_mtok("total_tokens_per_s") == pytest.approx(4 * price / (120 * 3600) * 1e6)
    assert section.usd_per_mtok("generation_tokens_per_s") == pytest.approx(4 * price / (20 * 3600) * 1e6)


def test_two_engines_are_twice_the_gpus() -> None:
    section = priced(a(), {**a(), "target_key": "b"})
    assert isinstance(section.supply, Supply)
    assert (section.supply.engines_count, section.supply.gpus_count) == (2, 8)


def test_an_unknown_deployment_has_no_price_and_an_idle_one_no_unit_cost() -> None:
    unknown = one(frames(a()))
    assert isinstance(unknown.usd_per_hour, Missing) and "'chat'" in unknown.usd_per_hour.why
    tokens = ("prompt_tokens", "computed_prompt_tokens", "cached_prompt_tokens", "generation_tokens")
    idle = priced(a(**dict.fromkeys(tokens, 0)))
    found = idle.usd_per_mtok("total_tokens_per_s")
    assert isinstance(found, Missing) and found.state is DataState.UNDEFINED


def test_a_scenario_of_another_fleet_prices_nothing() -> None:
    foreign = one(frames(a(), targets=[target("a", deployment_key=COPILOT)]), is_ours=False)
    assert isinstance(foreign.usd_per_hour, Missing)


def test_mfu_is_the_counters_over_the_dense_peak_of_the_deployments_gpu() -> None:
    h100 = FILE.catalog.gpu("h100-sxm")
    section = priced(a(estimated_flop=0.25 * 989.4e12 * 60, estimated_read_bytes=0.5 * h100.hbm_bytes_per_s * 60,
                       estimated_write_bytes=0.0))  # fmt: skip
    assert section.utilisation(section.now, "mfu") == pytest.approx(0.25, rel=0.01)
    assert section.utilisation(section.now, "mbu") == pytest.approx(0.5)


def test_mfu_counters_that_stay_zero_are_not_an_mfu_of_zero() -> None:
    section = priced(a(estimated_flop=0.0, estimated_read_bytes=0.0, estimated_write_bytes=0.0))
    found = section.utilisation(section.now, "mfu")
    assert isinstance(found, Missing) and "--enable-mfu-metrics" in found.why


def test_a_failing_server_is_a_replica_of_its_deployment_without_figures() -> None:
    known = [target("a"), target("b", state="gap", last_error="refused")]
    section = one(frames(a(), targets=known))
    assert list(section.replicas["replica"]) == ["a", "b"]
    assert reading(section, None, None).failing_replicas == ("b",)


def test_engines_of_one_server_are_told_apart() -> None:
    two = frames(a() | {"engine_key": "0"}, a() | {"engine_key": "1"})
    assert list(replicas_of(two.engines_now, two)["replica"]) == ["a · 0", "a · 1"]


# Minutes


def minutes(*rows: dict) -> list[dict]:
    return list(rows)


def test_the_half_hour_has_thirty_minutes_and_those_nobody_measured_are_unknown() -> None:
    section = one(frames(a(), minutes=minutes(minute(1), minute(3))))
    values = fleet_charts.series(section.minutes, "running_count")
    assert len(values) == 30
    assert values[-3:] == [2.0, None, 2.0]
    assert values[:-3] == [None] * 27


ENGINE = {"model_key": "m", "engine_key": "0"}


def engine_minutes(**coverage: list[float | None]) -> pd.DataFrame:
    """Engines by name, minute by minute; None is a minute without the engine."""
    start = pd.Timestamp(NOON)
    rows = [
        {
            "target_key": key,
            "model_key": "m",
            "engine_key": "0",
            "bin_start": start + timedelta(minutes=n),
            "coverage_s": s,
        }
        for key, seconds in coverage.items()
        for n, s in enumerate(seconds)
        if s is not None
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("one_engine", "other", "expected"),
    [
        ([60, 60, 60, 60], [60, 60, 60, 60], []),
        ([60, 60, 60, 60], [60, None, 60, 60], [1]),
        ([60, 60, 60, 60], [60, 15, 60, 60], [1]),
        ([60, 60, 60, 60], [60, 45, 75, 60], []),  # jitter
        ([60, 60, 60, 60], [None, None, 60, 60], []),  # it started
        ([60, 60, 60, 60], [60, 60, None, None], []),  # it left
        ([60, None, 60, 60], [60, None, 60, 60], [1]),
    ],
)
def test_a_minute_without_one_of_the_engines_is_a_hole_unless_it_came_or_went(one_engine, other, expected) -> None:
    engines = pd.DataFrame([{**ENGINE, "target_key": "one"}, {**ENGINE, "target_key": "other"}])
    found = holes(engine_minutes(one=one_engine, other=other), engines)
    assert [int((moment - pd.Timestamp(NOON)).total_seconds() // 60) for moment in found] == expected


def test_a_queue_is_measured_by_the_minutes_it_stood_in() -> None:
    stood = minutes(minute(1, waiting_count=3.0), minute(2, waiting_count=1.0), minute(3, waiting_count=0.5))
    assert reading(one(frames(a(), minutes=stood)), None, None).queue_minutes_fraction == pytest.approx(2 / 3)


def test_kv_use_of_the_half_hour_is_the_p95_of_its_minutes_and_not_their_mean() -> None:
    busy = [minute(n, kv_usage_p95_fraction=0.2 if n > 3 else 0.9) for n in range(1, 30)]
    section = one(frames(a(kv_usage_p95_fraction=0.27), minutes=busy))
    assert reading(section, None, None).figures["kv_usage_p95_fraction"] == pytest.approx(0.9)
    assert "90%" in fleet_charts.load_title(section)


def test_without_minutes_nothing_is_said_of_a_queue() -> None:
    assert reading(one(frames(a(waiting_count=9.0))), None, None).queue_minutes_fraction is None


# Findings


def test_a_reading_takes_only_what_is_known() -> None:
    figures = reading(one(frames(a(preemptions_count=None))), None, None).figures
    assert "preemptions_count" not in figures
    assert figures["kv_usage_p95_fraction"] == 0.5
    assert all(value == value for value in figures.values())


@pytest.mark.parametrize(("flag", "known"), [("True", True), ("False", False), (None, None)])
def test_prefix_caching_is_what_the_engines_say_of_themselves(flag: str | None, known: bool | None) -> None:
    facts = {} if flag is None else {"enable_prefix_caching": flag}
    assert reading(one(frames(a(), facts=facts)), None, None).has_prefix_caching is known


def test_every_finding_with_a_lever_links_to_keys_and_words_of_its_controls() -> None:
    full = one(
        frames(a(kv_usage_p95_fraction=0.97, prefix_hits_tokens=0), minutes=minutes(minute(1, waiting_count=3.0)))
    )
    found = [finding for finding in findings(reading(full, 0.1, 0.01)) if finding.lever_key]
    queries = [link(finding, today()) for finding in found]
    assert {"v": "2", "weight_precision.weights": "FP8"} in queries
    assert {"v": "2", "prefix_caching.enabled": "true"} in queries


# Table


def test_labels_offer_the_values_that_exist_and_none_where_some_lack_them() -> None:
    rows = [{"labels": {"team": "x"}}, {"labels": {"team": "y"}}, {"labels": {}}]
    assert label_values(rows, "team") == ["x", "y", NO_LABEL]
    assert label_values(rows, "pool") == []
    assert chosen(rows, {"team": ["y"]}) == [rows[1]]
    assert chosen(rows, {"team": [NO_LABEL]}) == [rows[2]]
    assert chosen(rows, {"team": []}) == rows


def test_versions_are_a_range_as_far_as_the_page_tells() -> None:
    assert versions({"vllm_at_least": "0.17"}) == "0.17 or newer"
    assert versions({"vllm_below": "0.9"}) == "below 0.9"


# Charts


AT = [f"2026-11-21T11:{n:02}:00" for n in range(30)]
GAPPED = [1.0, None] * 15


def test_a_gap_stays_a_gap_in_every_chart_of_minutes() -> None:
    stacked = charts.stacked_minutes(AT, {"Output": GAPPED}, LIGHT, 200)
    lines = charts.percentile_minutes(AT, [("First token", GAPPED, GAPPED, None)], LIGHT, 200)
    load = charts.load_minutes(AT, {"Running": GAPPED, "Waiting": GAPPED}, GAPPED, LIGHT, 200)
    for drawn in (stacked, lines, load):
        for trace in drawn["data"]:
            assert trace["y"] == GAPPED
            assert trace["type"] == "bar" or (trace["connectgaps"] is False and "fill" not in trace)


def test_the_window_is_fixed_so_that_a_missing_minute_moves_nothing() -> None:
    for values in ([1.0] * 30, GAPPED):
        across = charts.stacked_minutes(AT, {"Output": values}, LIGHT, 200)["layout"]["xaxis"]["range"]
        assert across == ["2026-11-21T10:59:30", "2026-11-21T11:29:30"]


def test_a_target_is_a_dashed_line_inside_its_panel() -> None:
    figure = charts.percentile_minutes(AT, [("A", GAPPED, GAPPED, 5.0), ("B", GAPPED, GAPPED, None)], LIGHT, 200)
    (shape,) = figure["layout"]["shapes"]
    assert (shape["yref"], shape["y0"], shape["line"]["dash"]) == ("y", 5.0, "dash")
    assert figure["layout"]["yaxis"]["range"][1] > 5.0
    first, second = figure["layout"]["yaxis"]["domain"], figure["layout"]["yaxis2"]["domain"]
    assert second[0] == 0 < second[1] < first[0] < first[1] <= 1


def test_a_share_that_is_not_known_has_words_and_no_bar() -> None:
    bars, words = charts.shares([("MFU", None), ("MBU", 0.5)], LIGHT, ["red", "red"])["data"]
    assert bars["x"] == [None, 50.0]
    assert [text.strip() for text in words["text"]] == ["not exported", "50%"]


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_charts_of_minutes_are_small_plain_json(palette) -> None:
    section = priced(a(), minutes=minutes(*[minute(n) for n in range(1, 30)]))
    for figure_of in (fleet_charts.tokens, fleet_charts.load, fleet_charts.utilisation):
        assert len(json.dumps(figure_of(section, palette), allow_nan=False)) < 12_000
    drawn = fleet_charts.latency(section, (0.5, None), palette)
    assert len(json.dumps(drawn, allow_nan=False)) < 12_000


@pytest.mark.parametrize(
    ("target_s", "said"),
    [(None, "First token p95 is 400 ms"), (0.5, "400 ms, within target"), (0.3, "400 ms, over target")],
)
def test_the_title_of_a_chart_states_its_finding(target_s: float | None, said: str) -> None:
    assert said in fleet_charts.latency_title(one(frames(a())), target_s)


def test_titles_of_what_is_not_known_say_so() -> None:
    nothing = one(
        frames(a(**dict.fromkeys(("prompt_tokens", "generation_tokens", "ttft_s_p95", "kv_usage_p95_fraction"))))
    )
    assert "not known" in fleet_charts.tokens_title(nothing)
    assert "not known" in fleet_charts.latency_title(nothing, 0.5)
    assert "not both" in fleet_charts.load_title(nothing)


def test_minutes_are_those_before_the_end() -> None:
    section = one(frames(a(), minutes=minutes(minute(1))))
    assert section.minutes.index[-1] == pd.Timestamp(NOON - timedelta(minutes=1))
