"""Rows and words of the overview: nothing is lost where there are many products, and names of days are short."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis
from costlib.review import Day, DetailRow, Mover, Outlook, OutlookLine, Period, Review
from ui.drill import MOST_ROWS, product_rows
from ui.overview_words import month_name, month_of, range_of

PERIOD = Period(start=date(2026, 11, 1), end=date(2026, 11, 3))


def many(count: int, has_before: bool = True) -> Review:
    """Products of 1, 2, 3 … dollars, half on each day, that cost a dollar less before."""
    names = [f"p{n}" for n in range(count)]
    costs = [Decimal(n + 1) for n in range(count)]
    movers = [
        Mover(product=name, cost=cost, before=cost - 1, from_volume=Decimal(1), from_unit_cost=Decimal(0),
              from_mix=Decimal(0)) if has_before else Mover(product=name, cost=cost)
        for name, cost in zip(names, costs, strict=True)
    ]  # fmt: skip
    half = {name: cost / 2 for name, cost in zip(names, costs, strict=True)}
    return Review(
        period=PERIOD, before=None, currency="USD", basis=CostBasis.BILLED, snapshot_id="s", total=exact_sum(costs),
        movers=tuple(movers), daily=tuple(Day(on=PERIOD.start + timedelta(days=n), by_product=half) for n in (0, 1)),
        details=tuple(
            DetailRow(product=name, amount=cost, bucket=Bucket.HOST) for name, cost in zip(names, costs, strict=True)
        ),
    )  # fmt: skip


@pytest.mark.parametrize(("count", "rows_count"), [(1, 1), (MOST_ROWS, MOST_ROWS), (500, MOST_ROWS + 1)])
def test_however_many_products_there_are_the_rows_make_the_spend(count: int, rows_count: int) -> None:
    of = many(count)
    rows = product_rows(of)
    assert len(rows) == rows_count
    for column, total in (("Spend", of.total), ("Change", count), ("From volume", count)):
        assert sum(row[column] for row in rows) == total
    assert [sum(row["Daily"][day] for row in rows) for day in (0, 1)] == [float(of.total / 2)] * 2


def test_the_others_are_counted_and_have_no_change_where_one_of_them_has_none() -> None:
    others = product_rows(many(500, has_before=False))[-1]
    assert (others["Product"], others["Change"], others["Change %"]) == (f"{500 - MOST_ROWS} others", None, None)


def test_the_month_is_that_of_the_forecast_else_that_of_the_periods_last_day() -> None:
    assert month_of(many(1)) == "November"
    line = OutlookLine(name="", kind="all", p10=Decimal(1000), p50=Decimal(2000), p90=Decimal(3000))
    assert Outlook(month="2026-12", lines=(line,)).in_all is line
    assert range_of(line, "USD") == "8 of 10 outcomes lie between $1,000 and $3,000."
    assert (month_name("2026-10"), month_name("2026-10", short=True)) == ("October 2026", "Oct 2026")
