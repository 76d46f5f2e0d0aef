"""Figures of the savings page: what is drawn, in which units, and what is never left out."""

from decimal import Decimal

import pytest

from costlib.estimate import Basis, Estimate, Undefined
from costlib.saving import Bar, CashMonth
from tests import savings_builders as made
from ui import savings_charts
from ui.money_charts import faint
from ui.theme import LIGHT

UNKNOWN = Undefined(reason="not measured")


def test_running_totals_add_months_in_their_order_and_red_is_below_zero() -> None:
    rows = [("2026-10", "50", True), ("2026-09", "-80", True), ("2026-11", "40", False)]
    months = [
        CashMonth(month=month, claimed=Decimal(100), verified=Decimal(amount), probable=Decimal(7), is_final=is_final)
        for month, amount, is_final in rows
    ]
    bars, line = savings_charts.running_totals(months, LIGHT, "USD")["data"]
    assert bars["y"] == [-80.0, -30.0, 10.0]
    assert line["y"] == [100.0, 200.0, 300.0], "what is probable is in neither"
    assert bars["marker"]["color"] == [LIGHT.more, LIGHT.more, faint(LIGHT.less)]


def test_the_measured_interval_is_in_percent_around_its_middle_and_the_smallest_effect_a_line() -> None:
    share = Estimate(low=0.1, mid=0.16, high=0.2, basis=Basis.MEASURED)
    figure = savings_charts.promise_and_measurement(share, share, 0.09, 0.06, True, LIGHT)
    measured = next(one for one in figure["data"] if one["y"] == ["Measured"])
    assert measured["x"] == [pytest.approx(16)]
    assert (measured["error_x"]["array"][0], measured["error_x"]["arrayminus"][0]) == pytest.approx((4, 6))
    assert [line["x0"] for line in figure["layout"]["shapes"]] == pytest.approx([0, 6])
    low, high = figure["layout"]["xaxis"]["range"]
    assert low < 0 < 20 < high


def test_what_is_not_known_is_not_drawn() -> None:
    figure = savings_charts.promise_and_measurement(UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, False, LIGHT)
    assert figure["data"] == []
    assert savings_charts.days((), "", (), LIGHT, "USD")["data"][0]["x"] == []


def test_the_bridge_leads_from_before_to_after_with_what_is_not_explained_even_where_it_is_nothing() -> None:
    found = made.verifications()[made.VERIFIED]
    steps = [*found.bars[:-1], Bar(name="Everything else", amount=Decimal(0))]
    assert isinstance(found.spend_before, Decimal) and isinstance(found.spend_after, Decimal)
    assert found.spend_before + sum(bar.amount for bar in found.bars) == found.spend_after
    shown = {bar.name: str(bar.amount) for bar in steps}
    (bars,) = savings_charts.bridge(found.spend_before, steps, found.spend_after, shown, LIGHT)["data"]
    assert bars["y"] == ["Before", "Volume", "Price", "The change", "Everything else", "After"]
    assert bars["marker"]["color"][1:4] == [LIGHT.more, LIGHT.less, LIGHT.less]


def test_quantiles_have_the_margin_at_its_own_quantile() -> None:
    before, after = {0.5: 0.2, 0.95: 0.8, 0.99: 1.5}, {0.5: 0.25, 0.95: 0.7}
    data = savings_charts.quantiles(before, after, 1000.0, "ms", (0.95, 0.88), LIGHT)["data"]
    assert [(one["name"], one["y"], one["x"]) for one in data if one.get("name")] == [
        ("Before", ["p50", "p95"], [200.0, 800.0]),
        ("After", ["p50", "p95"], [250.0, 700.0]),
        ("Margin", ["p95"], [880.0]),
    ]


def test_names_of_bars_cannot_be_tags() -> None:
    bar = Bar(name="<b>Volume</b>", amount=Decimal(1))
    (bars,) = savings_charts.bridge(Decimal(1), [bar], Decimal(2), {bar.name: "+$1"}, LIGHT)["data"]
    assert bars["y"][1] == "&lt;b&gt;Volume&lt;/b&gt;"
