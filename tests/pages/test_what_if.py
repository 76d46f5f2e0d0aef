"""The What-if page: levers come from the library, the address is the scenario, and figures move together."""

from itertools import chain

import pytest

from costlib.compare import compare
from costlib.lever import Choice, Number, Switch
from costlib.levers import LEVERS
from tests.pages.conftest import Open
from tests.pages.reading import badges, card, chart, page_text, texts, usd
from ui import data

PARAMS = [(f"{lever.key}.{param.key}", param) for lever in LEVERS for param in lever.params]
SPEND = "Spend per month"

# What the browser's address holds: the keys of the controls, and the options as they are labelled.
FP8 = {"weight_precision.weights": "FP8"}
PREFIX_CACHING = {"prefix_caching.enabled": "true", "prefix_caching.hit_fraction": "60"}
CASCADE = {"cascade_routing.enabled": "true"}


def widgets(at) -> dict:
    kinds = (at.toggle, at.slider, at.select_slider, at.selectbox, at.segmented_control)
    return {widget.key: widget for widget in chain(*kinds)}


# Levers ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "param"), PARAMS, ids=[key for key, _ in PARAMS])
def test_every_lever_parameter_has_a_control_at_rest(open_page: Open, key: str, param) -> None:
    control = widgets(open_page("what_if", "sample"))[key]
    if isinstance(param, Switch):
        assert control.value is param.neutral
    elif isinstance(param, Number):
        assert (control.min, control.max) == (round(100 * param.low), round(100 * param.high))
        assert control.value == round(100 * param.neutral)
    else:
        assert isinstance(param, Choice)
        assert control.value == param.neutral
    assert param.help


def test_nothing_pulled_is_today(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    assert "Nothing changes yet" in page_text(at)
    bars = chart(at, "waterfall")["data"][0]
    assert bars["y"] == ["Today", "Scenario"]
    assert bars["x"][0] == bars["x"][1] == pytest.approx(usd(card(at, SPEND)), abs=1)


def test_a_lever_changes_spend(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    before = usd(card(at, SPEND))
    at.segmented_control(key="weight_precision.weights").set_value("fp8").run()
    assert usd(card(at, SPEND)) < before
    assert "Saves $" in page_text(at)


def test_a_switch_that_is_off_disables_its_settings_and_they_change_nothing(open_page: Open) -> None:
    at = open_page("what_if", "sample", {"prefix_caching.hit_fraction": "90"})
    assert widgets(at)["prefix_caching.hit_fraction"].disabled
    assert "Nothing changes yet" in page_text(at)
    at.toggle(key="prefix_caching.enabled").set_value(True).run()
    assert not widgets(at)["prefix_caching.hit_fraction"].disabled
    assert "Nothing changes yet" not in page_text(at)


def test_reset_puts_every_lever_to_rest(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    today = card(at, SPEND)
    at.segmented_control(key="weight_precision.weights").set_value("fp8").run()
    at.toggle(key="cascade_routing.enabled").set_value(True).run()
    assert card(at, SPEND) != today
    at.button(key="reset-levers").click().run()
    assert card(at, SPEND) == today
    assert not at.warning


# Links ----------------------------------------------------------------------------------------------------------------


def test_a_link_restores_the_scenario(open_page: Open) -> None:
    made = open_page("what_if", "sample")
    made.segmented_control(key="weight_precision.weights").set_value("fp8").run()
    made.toggle(key="prefix_caching.enabled").set_value(True).run()
    made.slider(key="prefix_caching.hit_fraction").set_value(70).run()

    opened = open_page("what_if", "sample", {**FP8, **PREFIX_CACHING, "prefix_caching.hit_fraction": "70"})
    assert card(opened, SPEND) == card(made, SPEND)
    assert opened.slider(key="prefix_caching.hit_fraction").value == 70
    assert not opened.warning


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"nonsense": "3"}, "nonsense=3"),
        ({"weight_precision.weights": "fp3"}, "weight_precision.weights=fp3"),
        ({"prefix_caching.hit_fraction": "900"}, "prefix_caching.hit_fraction=900"),
        ({"prefix_caching.hit_fraction": "NaN"}, "prefix_caching.hit_fraction=NaN"),
        ({"cascade_routing.enabled": "maybe"}, "cascade_routing.enabled=maybe"),
        ({"cascade_routing.small_model": "no-such-model"}, "cascade_routing.small_model=no-such-model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nonsense_in_a_link_is_named_once_and_the_rest_works(open_page: Open, query: dict, named: str) -> None:
    at = open_page("what_if", "sample", {**query, "batch_limits.max_num_seqs": "256"})
    assert not at.exception
    (warning,) = at.warning
    assert named in page_text(at)
    assert warning.value.count("=") == 1
    assert at.select_slider(key="batch_limits.max_num_seqs").value == "256"


@pytest.mark.parametrize(
    "query",
    [
        {"weight_precision.weights": "Keep"},
        {"prefix_caching.enabled": "false"},
        {"prefix_caching.hit_fraction": "45"},
        {"cascade_routing.small_model": "Llama 3.1 8B"},
    ],
    ids=lambda query: next(iter(query)),
)
def test_a_link_that_asks_for_what_is_anyway_warns_of_nothing(open_page: Open, query: dict) -> None:
    assert not open_page("what_if", "sample", query).warning


def test_a_link_of_hostile_text_shows_it_literally_and_only_some_of_it(open_page: Open) -> None:
    at = open_page(
        "what_if", "sample", {f"[x{n}](https://evil.example)": "<img src=x onerror=y>" * 50 for n in range(40)}
    )
    (warning,) = at.warning
    assert "\\]\\(" in warning.value
    assert "\\<img" in warning.value
    assert len(warning.value) < 2000


# What cannot be -------------------------------------------------------------------------------------------------------


def test_a_combination_that_cannot_run_is_refused_with_a_remedy_and_the_page_stays(open_page: Open) -> None:
    at = open_page(
        "what_if", "sample", {"batch_limits.max_num_seqs": "1,024", "batch_limits.max_num_batched_tokens": "512"}
    )
    (warning,) = at.warning
    assert "Batch limits is not applied" in warning.value
    assert "Remedy: raise tokens per step or lower sequences" in warning.value
    assert card(at, SPEND)
    assert chart(at, "waterfall")


def test_weights_that_do_not_fit_are_an_error_with_a_remedy_and_the_page_stays(open_page: Open) -> None:
    """In a home whose model fits as FP8 only, BF16 is a combination that cannot run."""
    at = open_page("what_if", "tight", {"weight_precision.weights": "BF16"})
    assert not at.exception
    said = page_text(at)
    assert "This combination cannot run" in said
    assert "use 2 of them or fewer bits per weight" in said
    assert card(at, SPEND), "today is still shown"


def test_a_format_that_the_gpu_cannot_compute_is_not_offered_and_says_why(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    assert "FP4" not in at.segmented_control(key="weight_precision.weights").options
    assert "NVIDIA H100 SXM has no FP4 units" in page_text(at)


# Figures --------------------------------------------------------------------------------------------------------------

STACKS = {
    "one": FP8,
    "more and less": {**FP8, "batch_limits.max_num_seqs": "8"},
    "all": {**FP8, "batch_limits.max_num_seqs": "256", **PREFIX_CACHING, **CASCADE},
}


@pytest.mark.parametrize("query", STACKS.values(), ids=STACKS)
def test_the_bars_of_the_waterfall_sum_to_the_change(open_page: Open, query: dict) -> None:
    at = open_page("what_if", "sample", query)
    bars = chart(at, "waterfall")["data"][0]
    today, *lengths, scenario = bars["x"]
    bases = bars["base"]
    level = today
    for length, base in zip(lengths, bases[1:-1], strict=True):
        level = base if base + length == pytest.approx(level) else base + length
    assert level == pytest.approx(scenario)
    assert scenario == pytest.approx(usd(card(at, SPEND)), abs=1)
    assert len(lengths) == sum(key.endswith((".enabled", ".weights", ".max_num_seqs")) for key in query)


def test_the_projection_is_the_librarys(open_page: Open) -> None:
    at = open_page("what_if", "sample", STACKS["all"])
    today = data.today(data.snapshot()[0])
    settings = {
        "weight_precision": {"weights": "fp8"},
        "batch_limits": {"max_num_seqs": "256"},
        "prefix_caching": {"enabled": True, "hit_fraction": 0.6},
        "cascade_routing": {"enabled": True},
    }
    expected = compare(today.scenario, settings, today.catalog)
    assert usd(card(at, SPEND)) == round(expected.scenario.usd_per_month.mid)
    assert card(at, "GPUs needed") == str(expected.scenario.gpus_count)


def test_unit_cost_bars_end_at_the_figure_on_the_card(open_page: Open) -> None:
    at = open_page("what_if", "sample", STACKS["one"])
    *parts, totals = chart(at, "unit-cost-bars")["data"]
    assert sum(part["x"][1] for part in parts) == pytest.approx(usd(card(at, "Cost per 1M tokens")), abs=0.0006)
    assert totals["text"][1].strip() == card(at, "Cost per 1M tokens")


def test_the_live_panel_shows_what_was_scraped(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    assert "sample replay, 3 servers, read 1 s ago" in page_text(at)
    assert card(at, "Tokens per second").endswith("k")
    assert card(at, "KV cache in use").endswith("%")
    assert card(at, "First token, p95").endswith(" ms")


def test_without_a_fleet_the_panel_says_how_to_connect_one(open_page: Open) -> None:
    at = open_page("what_if", "empty")
    assert "Not connected" in badges(at)
    assert any("permillion up --metrics-url" in info.value for info in at.info)
    assert "Tokens per second" not in [metric.label for metric in at.metric]


def test_a_fleet_that_is_no_longer_read_is_not_called_live(open_page: Open) -> None:
    assert "Live" in badges(open_page("what_if", "sample"))
    assert "Live" not in badges(open_page("what_if", "stale"))


def test_demand_is_measured_where_there_is_enough_of_it_and_assumed_elsewhere(open_page: Open) -> None:
    measured = "Demand of 3 of 3 deployments measured, 14 Nov 2026 to 21 Nov 2026."
    assert measured in page_text(open_page("what_if", "sample"))
    assert "Demand assumed, from the scenario file." in page_text(open_page("what_if", "own scenario"))


def test_the_working_is_shown_when_asked_for_and_explains_every_step(open_page: Open) -> None:
    at = open_page("what_if", "sample")
    assert not at.dataframe
    at.session_state["working"] = True
    at.run()
    deployments, steps = at.dataframe
    assert list(deployments.value["Deployment"]) == ["support-copilot", "doc-extraction", "search-answers"]
    assert len(steps.value) > 20
    assert not steps.value[["Step", "Value", "Unit", "How", "Basis"]].isna().any().any()


def test_two_dollar_signs_never_meet_as_a_formula(open_page: Open) -> None:
    at = open_page("what_if", "sample", STACKS["all"])
    figures = {part for metric in at.metric for part in (metric.value, metric.delta)}
    for text in texts(at):
        if text not in figures:
            assert text.replace("\\$", "").count("$") < 2, text
