"""Figures: bars that hang from one another and sum, gaps that stay gaps, little to draw."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.compare import compare
from tests.costlib.scenario_builders import CATALOG, bought, scenario
from ui import charts
from ui.kpis import unit_cost_parts
from ui.money_charts import daily_stack
from ui.theme import DARK, LIGHT

AMOUNT = st.floats(min_value=-1e6, max_value=1e6)


def bars(today: float, changes: list[tuple[str, float]]) -> dict:
    scenario = today + sum(change for _, change in changes)
    return charts.waterfall(today, changes, scenario, LIGHT)["data"][0]


@given(st.lists(AMOUNT, max_size=8))
def test_each_bar_of_the_waterfall_begins_where_the_one_before_ends(changes: list[float]) -> None:
    today = 1e7
    drawn = bars(today, [(f"lever {n}", change) for n, change in enumerate(changes)])
    levels = [today]
    for change in changes:
        levels.append(levels[-1] + change)
    assert drawn["x"][0] == today
    for (before, after), base, length in zip(pairwise(levels), drawn["base"][1:-1], drawn["x"][1:-1], strict=True):
        assert {round(base, 3), round(base + length, 3)} == {round(before, 3), round(after, 3)}
        assert length >= 0
    assert drawn["base"][-1] == 0
    assert drawn["x"][-1] == pytest.approx(levels[-1])


def test_less_is_green_more_is_red_and_signs_are_shown() -> None:
    drawn = bars(1000.0, [("saves", -300.0), ("costs", 200.0)])
    assert drawn["marker"]["color"][1:3] == [LIGHT.less, LIGHT.more]
    assert drawn["text"] == ["$1,000", "-$300", "+$200", "$900"]


def test_nothing_pulled_and_nothing_spent_can_be_drawn() -> None:
    for today in (0.0, 5.0):
        figure = charts.waterfall(today, [], today, LIGHT)
        low, high = figure["layout"]["xaxis"]["range"]
        assert low == 0 < high


def test_a_scenario_that_costs_more_than_today_stays_in_the_picture() -> None:
    figure = charts.waterfall(100.0, [("a", 500.0), ("b", -50.0)], 550.0, LIGHT)
    assert figure["layout"]["xaxis"]["range"][1] > 600


DAYS = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]


def test_parts_of_the_unit_cost_are_stacked_and_the_total_stands_at_their_end() -> None:
    rows = [
        ("Today", {"Prefill": 0.1, "Decode": 0.2, "Idle headroom": 0.3}),
        ("Scenario", {"Prefill": 0.1, "Decode": 0.1, "Idle headroom": 0.0}),
    ]
    *parts, totals = charts.stacked_unit_cost(rows, DARK)["data"]
    assert [part["x"] for part in parts] == [[0.1, 0.1], [0.2, 0.1], [0.3, 0.0]]
    assert totals["x"] == pytest.approx([0.6, 0.2])
    assert [text.strip() for text in totals["text"]] == ["$0.600", "$0.200"]


def test_what_is_paid_beside_the_models_is_a_part_of_the_unit_cost_only_where_there_is_any() -> None:
    today = scenario(bought("llama-3.3-70b", 4.0))
    cache = {"enabled": True, "hit_fraction": 0.3, "lookup_usd_per_thousand": 1.0}
    cached = compare(today, {"exact_cache": cache}, CATALOG)
    assert "Beside the models" not in unit_cost_parts(compare(today, {}, CATALOG))[0][1]
    rows = unit_cost_parts(cached)
    drawn = charts.stacked_unit_cost(rows, DARK)["data"]
    assert drawn[3]["name"] == "Beside the models"
    assert drawn[-1]["x"] == pytest.approx([cached.today.usd_per_mtok_blended, cached.scenario.usd_per_mtok_blended])


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_figures_are_small_plain_json_without_a_foreign_address(palette) -> None:
    figure = daily_stack(DAYS[:56], {"a": [1.0] * 56, "b": [2.0] * 56}, None, None, [], palette)
    sent = json.dumps(figure, allow_nan=False)
    assert len(sent) < 12_000
    assert "http" not in sent
    assert figure["layout"]["template"] == {}


def test_names_on_a_chart_have_no_tags() -> None:
    assert "<img" not in json.dumps(charts.waterfall(1.0, [("<img src=x>", 1.0)], 2.0, LIGHT))
