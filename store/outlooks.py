"""What is to come, and what was not like the rest: forecasts by product, where the month lands, unusual days."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from costlib.anomaly import UseDay, anomalies
from costlib.billing import exact_sum
from costlib.books import CostBasis, TokenClass
from costlib.budget import EVERYTHING, Budget, days_of, outlook
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.forecast import Forecast, History, forecast
from costlib.review import Anomaly, Outlook, Period
from store.budgets_file import load_steps
from store.home import Home
from store.read import Snapshot

HISTORY_DAYS = 112  # that a forecast looks back on


@dataclass(frozen=True, slots=True)
class _Series:
    """One product's days."""

    cost: dict[date, Decimal]
    use: dict[date, dict[str, float]]


def to_come(
    snapshot: Snapshot, home: Home, period: Period, basis: CostBasis, currency: str, names: Mapping[str, str],
    budgets: Sequence[Budget],
) -> tuple[Outlook | None, tuple[Anomaly, ...]]:  # fmt: skip
    """Where the month lands by product, and the days that were not like the others."""
    until = min(period.end, (snapshot.status().charges_to or datetime.now(UTC)).date())
    start = until - timedelta(days=HISTORY_DAYS)
    series = _series(snapshot, start, until, basis, currency, names)
    if not series:
        return None, ()
    first = min(day for one in series.values() for day in one.cost)
    steps = load_steps(home)
    month = f"{until - timedelta(days=1):%Y-%m}"
    last = days_of(month)[-1]
    count = max(1, (last - until).days + 1)
    ahead: dict[tuple[str, str], Forecast | Undefined] = {}
    actual: dict[tuple[str, str], dict[date, Decimal]] = {}
    whole = _Series(cost=_summed(one.cost for one in series.values()), use={})
    for name, one in {**series, "": whole}.items():
        scope = EVERYTHING if one is whole else (name, "")
        if one is not whole and not name:
            continue
        actual[scope] = {day: amount for day, amount in one.cost.items() if f"{day:%Y-%m}" == month and day < until}
        days = [first + timedelta(days=n) for n in range((until - first).days)]
        try:
            ahead[scope] = forecast(_history(name, one, days), count, steps)
        except DomainError as error:
            ahead[scope] = Undefined(reason=str(error).rstrip("."))
    found = [
        finding.as_anomaly("/overview")
        for name, one in series.items()
        for finding in anomalies(_use_days(one, first, until), name, since=period.start)
    ]
    return outlook(month, actual, ahead, budgets, currency), tuple(found)


def _history(name: str, one: _Series, days: Sequence[date]) -> History:
    """With what drives the cost, where every day of it was measured; else the cost alone."""
    columns = {TokenClass.INPUT: "prompt_tokens", TokenClass.OUTPUT: "generation_tokens"}
    measured = [one.use.get(day, {}) for day in days]
    is_known = all(use.keys() >= {"requests_count", *columns.values()} for use in measured)
    return History(
        key=name,
        first=days[0],
        cost=[one.cost.get(day, Decimal(0)) for day in days],
        requests=[int(use["requests_count"]) for use in measured] if is_known else None,
        tokens={of: [int(use[column]) for use in measured] for of, column in columns.items()} if is_known else {},
    )


def _series(
    snapshot: Snapshot, start: date, until: date, basis: CostBasis, currency: str, names: Mapping[str, str]
) -> dict[str, _Series]:
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, until))
    charges = snapshot.daily_spend(begin, end, basis.value, "deployment")  # type: ignore[arg-type]
    charges = charges[(charges["currency"] == currency) & charges["cost"].notna()]
    found: dict[str, _Series] = defaultdict(lambda: _Series(cost={}, use={}))
    for row in charges.itertuples():
        name = "" if pd.isna(row.key) else names.get(row.key, row.key)
        cost = found[name].cost
        cost[row.day] = exact_sum((cost.get(row.day, Decimal(0)), row.cost))
    if not found:
        return {}
    for row in snapshot.windows(begin, end, "day", "deployment").to_dict("records"):
        name = names.get(row["deployment_key"], row["deployment_key"])
        day = row["bin_start"].date()
        if name in found:
            use = found[name].use.setdefault(day, {})
            for column in _COLUMNS.values():
                value = row.get(column)
                if value is not None and not pd.isna(value):
                    use[column] = use.get(column, 0.0) + float(value)
    return dict(found)


_COLUMNS = {
    "requests_count": "requests_count",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_prompt_tokens",
    "output_tokens": "generation_tokens",
    "draft_tokens": "draft_tokens",
    "accepted_tokens": "accepted_tokens",
}


def _use_days(one: _Series, first: date, until: date) -> list[UseDay]:
    days = [first + timedelta(days=n) for n in range((until - first).days)]
    return [
        UseDay(
            on=day,
            cost=one.cost.get(day),
            **{field: one.use.get(day, {}).get(column) for field, column in _COLUMNS.items()},
        )
        for day in days
    ]


def _summed(series: Iterable[Mapping[date, Decimal]]) -> dict[date, Decimal]:
    found: dict[date, list[Decimal]] = defaultdict(list)
    for one in series:
        for day, amount in one.items():
            found[day].append(amount)
    return {day: exact_sum(amounts) for day, amounts in found.items()}
