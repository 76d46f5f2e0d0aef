"""What the overview shows beside a review: which days it is of, what each day idled, which invoice it ties to, and the
parts that each product's cost consists of."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.drill import Part, parts
from costlib.estimate import Undefined
from costlib.review import NOT_ALLOCATED, Period, Review
from costlib.slices import slices
from store.books import Statement, books_between, statements, usable_fleet
from store.home import Home
from store.months import month_of
from store.read import Snapshot, SnapshotStatus

MONTHS_COUNT = 6  # of invoices looked back on
_DAY = timedelta(days=1)


def whole_days(covered: SnapshotStatus) -> tuple[date, date] | None:
    """The first day with charges, and the first after the last that is charged whole; None without one."""
    if covered.charges_from is None or covered.charges_to is None:
        return None
    first, until = covered.charges_from.date(), covered.charges_to.date()
    return (first, until) if first < until else None


def month_so_far(until: date) -> tuple[Period, Period]:
    """The month of the day before `until`, up to there, and the same days of the month before.

    >>> [str(one.name) for one in month_so_far(date(2026, 11, 21))]
    ['1–20 Nov 2026', '1–20 Oct 2026']
    >>> [str(one.name) for one in month_so_far(date(2026, 3, 31))]  # February has no 30th
    ['1–30 Mar 2026', '1–28 Feb 2026']
    >>> [str(one.name) for one in month_so_far(date(2026, 12, 1))]  # a month that is over, beside a whole one
    ['1–30 Nov 2026', '1–31 Oct 2026']
    """
    start = (until - _DAY).replace(day=1)
    before = (start - _DAY).replace(day=1)
    is_over = until.day == 1
    end = start if is_over else min(before + (until - start), start)
    return Period(start=start, end=until), Period(start=before, end=end)


def days_so_far(until: date, count: int) -> tuple[Period, Period]:
    """The last `count` days, and as many before them.

    >>> [str(one.name) for one in days_so_far(date(2026, 11, 21), 30)]
    ['22 Oct – 20 Nov 2026', '22 Sep – 21 Oct 2026']
    """
    start = until - timedelta(days=count)
    return Period(start=start, end=until), Period(start=start - timedelta(days=count), end=start)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayUse:
    """What one day cost and did. None: nothing was charged, or measured, on it."""

    on: date
    cost: Decimal | None
    idle: Decimal | None  # the cost of deployments times the share of their observed time without a request
    not_allocated: Decimal | None
    tokens: int | None


def day_uses(snapshot: Snapshot, home: Home, of: Review) -> tuple[DayUse, ...]:
    """Each day of a review's period, for lines of figures by day; the review has the figures themselves."""
    names = product_names(snapshot, home)
    start, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (of.period.start, of.period.end))
    measured: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for row in snapshot.sums(start, end, "day", "deployment").to_dict("records"):
        name = names.get(row["deployment_key"], row["deployment_key"])
        measured[row["bin_start"].date()].append({**row, "product": name})
    charged = {day.on: day.by_product for day in of.daily}
    return tuple(
        _day_use(on, charged.get(on), measured[on])
        for on in (of.period.start + n * _DAY for n in range(of.period.days_count))
    )


def _day_use(on: date, costs: Mapping[str, Decimal] | None, rows: Sequence[Mapping[str, Any]]) -> DayUse:
    counts = [row["total_tokens"] for row in rows]
    return DayUse(
        on=on,
        cost=None if costs is None else exact_sum(costs.values()),
        idle=None if costs is None else _idle(costs, rows),
        not_allocated=None if costs is None else costs.get(NOT_ALLOCATED, Decimal(0)),
        tokens=None if not counts or any(pd.isna(count) for count in counts) else int(sum(counts)),
    )


def _idle(costs: Mapping[str, Decimal], rows: Sequence[Mapping[str, Any]]) -> Decimal | None:
    parts = []
    for product, cost in costs.items():
        mine = [row for row in rows if row["product"] == product and row["coverage_s"] > 0]
        if mine and product != NOT_ALLOCATED:
            busy_fraction = sum(row["busy_s"] for row in mine) / sum(row["coverage_s"] for row in mine)
            parts.append(in_cents([cost * Decimal(max(0.0, 1 - busy_fraction))])[0])
    return exact_sum(parts) if parts else None


def product_names(snapshot: Snapshot, home: Home) -> dict[str, str]:
    """What each deployment of the scenario is called."""
    (scenario, _), _ = usable_fleet(home, snapshot)
    return {} if scenario is None else scenario.product_names


def cost_parts(snapshot: Snapshot, home: Home, period: Period, basis: CostBasis, currency: str) -> tuple[Part, ...]:
    """What a period's cost consists of, down to the machine. Raises ConfigError when nothing was charged in it."""
    fleet, _ = usable_fleet(home, snapshot)
    mine = books_between(snapshot, home, period.start, period.end, basis, currency, fleet)
    found = slices(mine.balances[0], mine.groups, mine.capacity, mine.matches.by_group, mine.servers)
    names = {} if fleet[0] is None else fleet[0].product_names
    return parts(
        basis, mine.groups, mine.capacity, mine.matches.by_group, mine.servers, found, lambda key: names.get(key, key)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceMatch:
    """One closed month of one currency beside its invoices."""

    month: str  # YYYY-MM
    statements: tuple[Statement, ...]

    @property
    def matched_fraction(self) -> float | Undefined:
        """How much of the invoices the charges explain.

        Equation   1 - sum of |invoice - charges| / sum of |invoice|, over accounts with an invoice
        """
        known = [one for one in self.statements if one.difference is not None]
        invoiced = exact_sum(abs(one.invoice) for one in known if one.invoice is not None)
        if not invoiced:
            return Undefined(reason="no invoice total was entered for this month")
        off = exact_sum(abs(one.difference) for one in known if one.difference is not None)
        return max(0.0, 1 - float(off / invoiced))

    @property
    def open_count(self) -> int:
        """Accounts whose invoice and charges differ by more than rounding."""
        return sum(one.ties is False for one in self.statements)

    @property
    def without_invoice_count(self) -> int:
        return sum(one.invoice is None for one in self.statements)


def invoice_matches(snapshot: Snapshot, currency: str) -> tuple[InvoiceMatch, ...]:
    """The newest billing months that are over, oldest first; none before one is."""
    known = snapshot.months()
    over = [name for name in sorted(set(known["month"])) if month_of(name)[1] <= snapshot.published_at]
    found = []
    for month in over[-MONTHS_COUNT:]:
        mine = tuple(
            one for one in statements(snapshot, month, snapshot.charge_groups(month)) if one.currency == currency
        )
        if mine:
            found.append(InvoiceMatch(month=month, statements=mine))
    return tuple(found)
