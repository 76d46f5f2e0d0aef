"""Budgets by product and team: what is due by which day, where the month ends, and how likely that is too much."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

import numpy as np

from costlib.allocation import CENT, whole_split
from costlib.billing import exact_sum
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.forecast import TAILS, Forecast, cents
from costlib.review import Outlook, OutlookDay, OutlookLine
from costlib.smoothing import WEEK

Daily = Mapping[date, Decimal]
Scope = tuple[str, str]  # product, team; "" for all of them
EVERYTHING: Scope = ("", "")
_LIKELY = 0.5  # of the draws are over the budget: then it is said on which day
NO_FORECAST = Undefined(reason="no forecast was made")


class Phasing(StrEnum):
    """How a month's amount falls on its days."""

    FLAT = "flat"
    WEEKDAY = "weekday"  # by `weekday_weights`
    LISTED = "listed"  # as `listed` says, one amount for each day


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """An amount for every month from `first_month` to `last_month` (YYYY-MM), which is open when None."""

    amount: Decimal
    currency: str
    first_month: str
    last_month: str | None = None
    product: str = ""
    team: str = ""
    phasing: Phasing = Phasing.FLAT
    weekday_weights: tuple[float, ...] = (1.0,) * WEEK  # Monday to Sunday
    listed: tuple[Decimal, ...] = ()

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount <= 0 or self.amount % CENT:
            raise DomainError(f"a budget is an amount above 0 in whole cents, not {self.amount}.")
        if self.last_month is not None and self.last_month < self.first_month:
            raise DomainError(f"the budget ends in {self.last_month}, before it begins in {self.first_month}.")
        weights = self.weekday_weights
        if len(weights) != WEEK or not all(0 <= weight < np.inf for weight in weights) or not sum(weights):
            raise DomainError("weekday weights are seven numbers from 0 up, Monday first, and not all 0.")
        if self.phasing is Phasing.LISTED:
            if any(not amount.is_finite() or amount < 0 or amount % CENT for amount in self.listed):
                raise DomainError("listed amounts are from 0 up, in whole cents.")
            if self.first_month != self.last_month or len(self.listed) != monthrange(*_parts(self.first_month))[1]:
                raise DomainError("listed amounts are of one month, one for each of its days.")
            if (listed := exact_sum(self.listed)) != self.amount:
                raise DomainError(f"the listed amounts make {listed}, and the budget is {self.amount}.")

    @property
    def scope(self) -> Scope:
        return self.product, self.team

    def holds_in(self, month: str) -> bool:
        return self.first_month <= month and (self.last_month is None or month <= self.last_month)


def days_of(month: str) -> tuple[date, ...]:
    """
    >>> len(days_of("2026-02")), str(days_of("2026-02")[0])
    (28, '2026-02-01')
    """
    year, number = _parts(month)
    return tuple(date(year, number, day + 1) for day in range(monthrange(year, number)[1]))


def phased(budget: Budget, month: str) -> dict[date, Decimal]:
    """What of the budget is due on each day of a month, in cents that make the amount.

    Equation   amount x weight of the day / sum of weights, by largest remainder
    Raises     DomainError when the budget does not hold in the month
    Example
    >>> budget = Budget(amount=Decimal(100), currency="USD", first_month="2026-11")
    >>> found = phased(budget, "2026-11")
    >>> str(found[date(2026, 11, 1)]), str(sum(found.values()))
    ('3.34', '100.00')
    """
    if not budget.holds_in(month):
        raise DomainError(f"the budget holds from {budget.first_month} to {budget.last_month}, not in {month}.")
    days = days_of(month)
    if budget.phasing is Phasing.LISTED:
        return dict(zip(days, budget.listed, strict=True))
    is_flat = budget.phasing is Phasing.FLAT
    weights = {day.isoformat(): 1.0 if is_flat else budget.weekday_weights[day.weekday()] for day in days}
    counts = whole_split(int(budget.amount / CENT), weights, days[-1].isoformat())
    return {day: counts[day.isoformat()] * CENT for day in days}


def due(budget: Budget, month: str, through: date) -> Decimal:
    """The budget of a month up to and with a day.

    >>> budget = Budget(amount=Decimal(300), currency="USD", first_month="2026-11")
    >>> str(due(budget, "2026-11", date(2026, 11, 10)))
    '100.00'
    """
    return exact_sum(amount for day, amount in phased(budget, month).items() if day <= through)


def budget_of(budgets: Sequence[Budget], month: str, scope: Scope) -> Budget | None:
    """The budget that holds for a scope in a month; `check_budgets` makes sure that there is one at most."""
    return next((budget for budget in budgets if budget.scope == scope and budget.holds_in(month)), None)


def check_budgets(budgets: Sequence[Budget]) -> None:
    """Raises DomainError when two budgets of one scope hold in the same month."""
    for n, one in enumerate(budgets):
        for other in budgets[:n]:
            is_before = one.last_month is not None and one.last_month < other.first_month
            is_after = other.last_month is not None and other.last_month < one.first_month
            if one.scope == other.scope and not is_before and not is_after:
                raise DomainError(
                    f"{_name(one.scope)!r} has two budgets that hold in {max(one.first_month, other.first_month)}."
                )


def landing(
    scope: Scope, month: str, actual: Daily, ahead: Forecast | Undefined, budget: Budget | None, currency: str
) -> OutlookLine:
    """Where a month ends for one product, team or all, and the chance that it is over budget.

    Equation   month end = sum of actual days + sum of a draw's days to come;  chance = share of draws above the budget
    Returns    OutlookLine. `breach_on`: the day on which what is spent in the month is first above the budget, in fact
               or, to come, in half of the draws; None when less than half of the draws end above it
    Valid for  `actual` of whole days, and `ahead` from the day after them to the end of the month
    Example    $70 spent in 28 days, $2 a day to come, of $73
    >>> from costlib.forecast import History, forecast
    >>> spent = {day: Decimal("2.50") for day in days_of("2026-11")[:28]}
    >>> ahead = forecast(History(key="", first=date(2026, 11, 8), cost=[Decimal(2)] * 21), 2)
    >>> budget = Budget(amount=Decimal(73), currency="USD", first_month="2026-11")
    >>> found = landing(EVERYTHING, "2026-11", spent, ahead, budget, "USD")
    >>> str(found.p50), found.breach_probability, str(found.breach_on)
    ('74.00', 1.0, '2026-11-30')
    """
    days = days_of(month)
    known = {day: actual[day] for day in days if day in actual}
    spent = exact_sum(known.values())
    notes = []
    if budget is not None and budget.currency != currency:
        notes.append(f"the budget is in {budget.currency} and the spend in {currency}: not compared")
        budget = None
    amount = None if budget is None else budget.amount
    rest = _rest(days, known, ahead)
    if (gap := sum(day not in known for day in days if day < _first_ahead(days, known, ahead))) > 0:
        notes.append(f"{gap} earlier days of the month are not known and count as nothing")
    chance: float | Undefined | None = None
    ends: tuple[Decimal | Undefined, ...] = (rest,) * 3 if isinstance(rest, Undefined) else ()
    breach_on = _passed(known, amount)
    if not isinstance(rest, Undefined):
        path = float(spent) + np.cumsum(rest, axis=1)
        final = path[:, -1] if path.shape[1] else np.full(1, float(spent))
        ends = tuple(cents(float(end)) for end in np.quantile(final, TAILS))
        if amount is not None:
            over = path > float(amount) + float(CENT) / 2
            chance = float((final > float(amount) + float(CENT) / 2).mean())
            if breach_on is None and chance >= _LIKELY:
                on = np.flatnonzero(over.mean(axis=0) >= _LIKELY)
                breach_on = days[len(days) - path.shape[1] + int(on[0])] if len(on) else None
            elif breach_on is not None and chance < _LIKELY:
                notes.append(f"over the budget since {breach_on}, and expected to end below it")
                breach_on = None
    elif amount is not None:
        chance = 1.0 if spent > amount else rest
    return OutlookLine(
        name=_name(scope),
        kind="all" if scope == EVERYTHING else "product" if scope[0] else "team",
        budget=amount,
        actual=spent.quantize(CENT, ROUND_HALF_EVEN),
        p10=ends[0],
        p50=ends[1],
        p90=ends[2],
        breach_probability=chance,
        breach_on=breach_on,
        note="; ".join(notes),
    )


def outlook(
    month: str,
    actual: Mapping[Scope, Daily],
    ahead: Mapping[Scope, Forecast | Undefined],
    budgets: Sequence[Budget],
    currency: str,
) -> Outlook:
    """The landing of every scope that has spend, a forecast or a budget: everything first, then by name.

    >>> outlook("2026-11", {EVERYTHING: {}}, {}, [], "USD").lines[0].p50
    Undefined(reason='no forecast was made')
    """
    scopes = {*actual, *ahead, *(budget.scope for budget in budgets if budget.holds_in(month)), EVERYTHING}
    lines = [
        landing(
            scope,
            month,
            actual.get(scope, {}),
            ahead.get(scope, NO_FORECAST),
            budget_of(budgets, month, scope),
            currency,
        )
        for scope in sorted(scopes, key=lambda scope: (scope != EVERYTHING, not scope[0], scope))
    ]
    return Outlook(
        month=month,
        lines=tuple(lines),
        path=_path(month, actual.get(EVERYTHING, {}), ahead.get(EVERYTHING, NO_FORECAST)),
        method="By drivers, with what is known of the future; 8 in 10 outcomes lie between P10 and P90.",
    )


def _path(month: str, actual: Daily, ahead: Forecast | Undefined) -> tuple[OutlookDay, ...]:
    days = days_of(month)
    known = {day: actual[day] for day in days if day in actual}
    found, spent = [], Decimal(0)
    for day, amount in known.items():
        spent = exact_sum((spent, amount))
        found.append(OutlookDay(on=day, actual=spent.quantize(CENT, ROUND_HALF_EVEN)))
    rest = _rest(days, known, ahead)
    if not isinstance(rest, Undefined) and rest.shape[1]:
        low, middle, high = np.quantile(float(spent) + np.cumsum(rest, axis=1), TAILS, axis=0)
        for n, day in enumerate(days[len(days) - rest.shape[1] :]):
            ends = {"p10": cents(low[n]), "p50": cents(middle[n]), "p90": cents(high[n])}
            found.append(OutlookDay(on=day, **ends))
    return tuple(found)


def _rest(days: Sequence[date], known: Daily, ahead: Forecast | Undefined) -> "np.ndarray | Undefined":
    """The draws of the days of the month that are still to come."""
    first = _first_ahead(days, known, ahead)
    if first > days[-1]:
        return np.zeros((1, 0))
    if isinstance(ahead, Undefined):
        return ahead
    start, count = (first - ahead.first).days, (days[-1] - first).days + 1
    if start < 0 or start + count > ahead.draws.shape[1]:
        last = ahead.first + timedelta(days=ahead.draws.shape[1] - 1)
        return Undefined(reason=f"the forecast is of {ahead.first} to {last} and the month goes on to {days[-1]}")
    return np.asarray(ahead.draws[:, start : start + count])


def _first_ahead(days: Sequence[date], known: Daily, ahead: Forecast | Undefined) -> date:
    """The first day to come: after the last that is known, and not before the forecast begins."""
    after = max(known, default=days[0] - timedelta(days=1)) + timedelta(days=1)
    return after if isinstance(ahead, Undefined) else max(after, min(ahead.first, days[-1] + timedelta(days=1)))


def _passed(known: Daily, amount: Decimal | None) -> date | None:
    spent = Decimal(0)
    for day, cost in sorted(known.items()):
        spent = exact_sum((spent, cost))
        if amount is not None and spent > amount:
            return day
    return None


def _name(scope: Scope) -> str:
    return " / ".join(part for part in scope if part)


def _parts(month: str) -> tuple[int, int]:
    return int(month[:4]), int(month[5:7])
