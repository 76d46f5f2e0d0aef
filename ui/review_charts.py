"""Charts of a review, which the overview and the weekly page share."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from costlib.billing import exact_sum
from costlib.review import NOT_ALLOCATED, Review
from pack.tables import NO_PRODUCT
from ui.charts import Figure
from ui.money_charts import Mark, daily_stack
from ui.theme import Palette

MOST_PRODUCTS = 5  # as many as there are colours that can be told apart


def daily_of(of: Review, palette: Palette) -> Figure:
    """Each day's cost: the dearest products, the others as one, and what has none; what stands out has a dot."""
    named = sorted((one for one in of.movers if one.product), key=lambda one: (-one.cost, one.product))
    by_day = {day.on: day.by_product for day in of.daily}
    days = [of.period.start + timedelta(days=n) for n in range(of.period.days_count)]

    def amount(on: date, names: Sequence[str]) -> float | None:
        parts = by_day.get(on)
        return None if parts is None else float(exact_sum(parts.get(name, Decimal(0)) for name in names))

    def amounts(names: Sequence[str]) -> list[float | None]:
        return [amount(on, names) for on in days]

    few, others = named[:MOST_PRODUCTS], [one.product for one in named[MOST_PRODUCTS:]]
    has_rest = any(one.product == NOT_ALLOCATED for one in of.movers)
    return daily_stack(
        [on.isoformat() for on in days],
        {one.product: amounts([one.product]) for one in few},
        amounts(others) if others else None,
        (NO_PRODUCT, amounts([NOT_ALLOCATED])) if has_rest else None,
        _marks(of),
        palette,
        of.currency,
    )


def _marks(of: Review) -> list[Mark]:
    """One dot for each day, above its bar, with all there is to say of it."""
    heights = {day.on: exact_sum(max(amount, Decimal(0)) for amount in day.by_product.values()) for day in of.daily}
    said: dict[date, list[str]] = {}
    for one in of.anomalies:
        if one.on in heights:
            said.setdefault(one.on, []).append(f"{one.scope or NO_PRODUCT}: {one.sentence}")
    return [
        Mark(day=on.isoformat(), at=float(heights[on]), words="; ".join(words)) for on, words in sorted(said.items())
    ]
