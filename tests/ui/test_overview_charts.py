"""The overview's two charts: what is known and what is to come, and each day by product."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from costlib.review import OutlookDay
from ui.money_charts import Mark, amount_text, cumulative, daily_stack
from ui.theme import LIGHT

FIRST = date(2026, 11, 1)
HOSTILE = "<img src=x onerror=alert(1)>"


def month(known_days: int, days: int = 30) -> list[OutlookDay]:
    """Ten dollars a day, give or take one a day for those to come."""
    found = []
    for n in range(days):
        spent, on = Decimal(10 * (n + 1)), FIRST + timedelta(days=n)
        off = Decimal(n + 1 - known_days)
        known = n < known_days
        found.append(
            OutlookDay(on=on, actual=spent) if known else OutlookDay(on=on, p10=spent - off, p50=spent, p90=spent + off)
        )
    return found


def test_the_forecast_begins_where_the_known_days_end_and_its_band_opens_from_there() -> None:
    actual, high, low, middle = cumulative(month(20), None, LIGHT)["data"]
    assert (actual["x"][-1], actual["y"][-1]) == ("2026-11-20", 200.0)
    for line in (high, low, middle):
        assert (line["x"][0], line["y"][0], line["x"][-1]) == ("2026-11-20", 200.0, "2026-11-30")
    assert [line["y"][-1] for line in (low, middle, high)] == [290.0, 300.0, 310.0]
    assert (middle["line"]["dash"], low["fill"]) == ("dash", "tonexty")


def test_a_month_that_is_over_has_no_forecast() -> None:
    (actual,) = cumulative(month(30), None, LIGHT)["data"]
    assert actual["name"] == "Actual"


def test_before_the_first_known_day_all_is_forecast() -> None:
    assert cumulative(month(0), None, LIGHT)["data"][3]["x"][0] == "2026-11-01"


def test_the_budget_is_dashed_amber_and_labelled() -> None:
    frame = cumulative(month(20), Decimal(250), LIGHT)["layout"]
    (line,), (note,) = frame["shapes"], frame["annotations"]
    assert (line["y0"], line["line"]["dash"], line["line"]["color"]) == (250.0, "dash", LIGHT.limit)
    assert (note["text"], note["y"]) == ("Budget $250", 250.0)


@pytest.mark.parametrize(("currency", "prefix"), [("USD", "$"), ("EUR", "EUR ")])
def test_other_currencies_are_not_called_dollars(currency: str, prefix: str) -> None:
    figure = cumulative(month(20), Decimal(250), LIGHT, currency)
    assert figure["layout"]["yaxis"]["tickprefix"] == prefix
    assert amount_text(Decimal(250), currency).strip("$ EUR") == "250"
    if currency != "USD":
        assert "$" not in str(figure)


DAYS = ["2026-11-01", "2026-11-02"]


def test_others_and_what_has_no_product_are_on_top_and_grey() -> None:
    data = daily_stack(DAYS, {"a": [1, 2], "b": [3, None]}, [4, 4], ("Rest", [5, 5]), [], LIGHT)["data"]
    assert [bar["name"] for bar in data] == ["a", "b", "Others", "Rest"]
    assert [bar["marker"]["color"] for bar in data] == [*LIGHT.series[:2], LIGHT.muted, LIGHT.idle]
    assert data[1]["y"] == [3, None], "a day without a value has no bar"


def test_a_day_that_stands_out_has_a_dot_with_its_sentence() -> None:
    data = daily_stack(DAYS, {"a": [1, 2]}, None, None, [Mark(day=DAYS[1], at=2.0, words="cost 20 % above")], LIGHT)
    dots = data["data"][-1]
    assert (dots["x"], dots["y"], dots["text"]) == ([DAYS[1]], [2.0], ["cost 20 % above"])


def test_names_and_sentences_from_outside_are_no_tags() -> None:
    marks = [Mark(day=DAYS[0], at=1.0, words=HOSTILE)]
    assert "<img" not in str(daily_stack(DAYS, {HOSTILE: [1, 2]}, None, (HOSTILE, [1, 1]), marks, LIGHT, HOSTILE))
