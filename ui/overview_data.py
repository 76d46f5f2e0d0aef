"""What the overview is asked for, and what it shows: read once per snapshot, question and state of the files."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import streamlit as st

from costlib.books import CostBasis
from costlib.drill import Part
from costlib.errors import PermillionError
from costlib.review import Period, Review
from store.books import Span
from store.budgets_file import budgets_path
from store.home import Home
from store.overviews import (
    DayUse,
    InvoiceMatch,
    cost_parts,
    day_uses,
    days_so_far,
    invoice_matches,
    month_so_far,
    whole_days,
)
from store.reviews import review
from ui import data, text
from ui.books import BASES

MONTH, CUSTOM = "month", "custom"
PERIODS = {MONTH: "This month", "30": "30 days", "90": "90 days", CUSTOM: "Custom"}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question, as the controls and the address have it. `until`: the first day that is not charged whole."""

    period: Period
    earlier: Period
    basis: str
    currency: str
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A review and what stands beside it. Each part fails alone: what cannot be read is empty."""

    asked: Asked
    review: Review
    days: tuple[DayUse, ...]
    invoices: tuple[InvoiceMatch, ...]


def controls(found: data.Snapshot, covered: data.SnapshotStatus) -> Asked | None:
    """Period, basis and currency, kept in the address; None while no day is charged whole."""
    known = whole_days(covered)
    if known is None:
        return None
    first, until = known
    chosen = st.segmented_control(
        "Period", list(PERIODS), default=MONTH, format_func=PERIODS.get, required=True, key="period",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    period, earlier = _custom(first, until) if chosen == CUSTOM else _counted(chosen, until)
    basis = st.segmented_control(
        "Cost basis", list(BASES), default="effective", required=True, key="basis", format_func=BASES.get,
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    return Asked(
        period=period, earlier=earlier, basis=basis, until=until,
        currency=_currency(found, covered, period, basis),
    )  # fmt: skip


def _counted(chosen: str, until: date) -> tuple[Period, Period]:
    return month_so_far(until) if chosen == MONTH else days_so_far(until, int(chosen))


def _custom(first: date, until: date) -> tuple[Period, Period]:
    """Days that a person chose, of those with charges; beside as many before them."""
    last = until - _DAY
    start = max(first, last.replace(day=1))
    chosen = st.date_input(
        "Days", (start, last), min_value=first, max_value=last, key="days", label_visibility="collapsed",
        width=230, bind="query-params",
    )  # fmt: skip
    ends = sorted(chosen) if isinstance(chosen, list | tuple) and chosen else [start, last]
    return days_so_far(ends[-1] + _DAY, (ends[-1] - ends[0]).days + 1)


def _currency(found: data.Snapshot, covered: data.SnapshotStatus, period: Period, basis: str) -> str:
    """Of several, the one with the most money is shown first."""
    if len(covered.currencies) <= 1:
        return next(iter(covered.currencies), "USD")
    spent = totals(found, period, basis)
    names = sorted(covered.currencies, key=lambda code: -abs(spent.get(code, Decimal(0))))
    shown = {text.plain(code): code for code in names}
    chosen = st.selectbox(
        "Currency", list(shown), key="currency", label_visibility="collapsed", width=90, bind="query-params"
    )
    return shown.get(chosen, names[0])


@st.cache_data(max_entries=32, show_spinner=False)
def _totals(snapshot_id: str, period: Period, basis: str, _found: data.Snapshot) -> dict[str, Decimal]:
    span = Span.of(period.start, period.end)
    return _found.spend_total(span.start, span.end, basis)  # type: ignore[arg-type]


def totals(found: data.Snapshot, period: Period, basis: str) -> dict[str, Decimal]:
    """The spend of a period in each currency, which are never added."""
    return _totals(found.id, period, basis, found)


@st.cache_resource(max_entries=16, show_spinner="Adding up the days…")  # as it is: nobody changes a review
def _read(
    snapshot_id: str, asked: Asked, files: tuple[int, ...], _found: data.Snapshot, _home: Home
) -> tuple[Review, tuple[DayUse, ...]]:
    made = review(
        _found, _home, asked.period, CostBasis(asked.basis), data.now(), currency=asked.currency, earlier=asked.earlier
    )
    return made, day_uses(_found, _home, made)


@st.cache_resource(max_entries=8, show_spinner=False)
def _invoices(snapshot_id: str, currency: str, _found: data.Snapshot) -> tuple[InvoiceMatch, ...]:
    return invoice_matches(_found, currency)


@st.cache_resource(max_entries=16, show_spinner="Finding the machines…")
def _parts(
    snapshot_id: str, period: Period, basis: str, currency: str, files: tuple[int, ...], _found: data.Snapshot,
    _home: Home,
) -> tuple[Part, ...]:  # fmt: skip
    return cost_parts(_found, _home, period, CostBasis(basis), currency)


def read(found: data.Snapshot, asked: Asked) -> tuple[View | None, str]:
    """The overview, or why there is none."""
    home = data.home()
    try:
        made, days = _read(found.id, asked, _states(home), found, home)
    except PermillionError as error:
        return None, str(error)
    return View(asked=asked, review=made, days=days, invoices=invoices(found, asked.currency)), ""


def invoices(found: data.Snapshot, currency: str) -> tuple[InvoiceMatch, ...]:
    return _invoices(found.id, currency, found)


def parts(found: data.Snapshot, of: Review, period: Period) -> tuple[Part, ...]:
    """What the cost of a period of the review consists of."""
    home = data.home()
    return _parts(found.id, period, of.basis.value, of.currency, _states(home), found, home)


def _states(home: Home) -> tuple[int, ...]:
    """When what lies beside the store was last changed: it is read with the snapshot, and not in it."""
    beside = (home.owners, home.scenario, budgets_path(home), home.actions, home.calibrations)
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in beside)
