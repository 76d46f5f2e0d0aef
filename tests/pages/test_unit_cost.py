"""The Unit cost page: prices that multiply back to the bill, and where an own fleet is cheaper than an API."""

import re
from decimal import Decimal

import pytest

from tests.pages.conftest import Open
from tests.pages.reading import card, chart, page_text, table
from ui.unit_cost import POLICIES

MONTH = {"month": "2026-10"}


def exact(figure: str) -> Decimal:
    return Decimal(re.sub(r"[$,]", "", figure))


def test_tokens_per_dollar_and_blended_cost_are_one_figure_read_two_ways(open_page: Open) -> None:
    at = open_page("unit_cost", "sample", MONTH)
    shown = table(at, "1M blended")
    blended = exact(shown["1M blended"].iloc[-1])
    per_dollar = float(card(at, "Tokens per dollar").removesuffix("M"))
    assert 1 / per_dollar == pytest.approx(float(blended), rel=0.01)


def test_the_whole_is_the_models_and_what_no_model_has(open_page: Open) -> None:
    costs = [exact(cost) for cost in table(open_page("unit_cost", "sample", MONTH), "1M blended")["Cost, USD"]]
    assert len(costs) == 3
    assert sum(costs[:-1]) < costs[-1]


@pytest.mark.parametrize("policy", [label for policy, label in POLICIES.items() if policy != "own_line"])
def test_who_is_shown_the_cost_of_idling_changes_a_models_cost_and_not_the_whole(open_page: Open, policy: str) -> None:
    apart = table(open_page("unit_cost", "sample", MONTH), "1M blended")["Cost, USD"]
    spread = table(open_page("unit_cost", "sample", {**MONTH, "idle": policy}), "1M blended")["Cost, USD"]
    assert spread.iloc[-1] == apart.iloc[-1]
    if policy != "Idle by reservation":  # the sample reserves nothing
        assert list(spread[:-1]) != list(apart[:-1])


@pytest.mark.parametrize("basis", ["Effective (amortised)", "Billed (invoice)"])
def test_the_bridge_leads_from_list_price_to_zero(open_page: Open, basis: str) -> None:
    bars = chart(open_page("unit_cost", "sample", {**MONTH, "basis": basis}), "price-bridge")["data"][0]
    assert bars["y"][0] == "List price"
    assert "Paid" in bars["y"]
    assert bars["base"][-1] == pytest.approx(0, abs=0.01)


def test_a_price_per_token_comes_with_the_way_it_was_split(open_page: Open) -> None:
    at = open_page("unit_cost", "sample", MONTH)
    assert "How busy GPU time became tokens: llama-3.1-8b by regression" in page_text(at), (
        "caching was switched on in October"
    )


def test_a_price_says_how_it_is_known_and_what_other_ways_of_splitting_would_make_it(open_page: Open) -> None:
    at = open_page("unit_cost", "sample", MONTH)
    (output,) = (figure for figure in at.metric if figure.label == "Per 1M output")
    assert output.delta.endswith("own, assumed")
    assert "Between the ways of splitting GPU time, its own cost is" in output.help
    assert re.search(r"Servers were measured in \d+% of the GPU time matched to them", page_text(at))


def test_own_fleet_and_api_are_compared_at_the_measured_mix(open_page: Open) -> None:
    at = open_page("unit_cost", "sample", MONTH)
    said = page_text(at)
    assert "Measured mix" in said
    assert "At today's volume the own fleet costs" in said
    names = [line["name"] for line in chart(at, "break-even")["data"]]
    assert names == ["API", "Own fleet"]


def test_a_cheaper_api_is_compared_with_by_choice(open_page: Open) -> None:
    at = open_page("unit_cost", "sample", MONTH)
    before = chart(at, "break-even")["data"][0]["y"]
    at.selectbox(key="api").select_index(1).run()
    assert chart(at, "break-even")["data"][0]["y"] != before
