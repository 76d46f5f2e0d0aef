"""What is to come, and what was not like the rest: forecasts by product, where the month lands, unusual days."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from costlib.anomaly import UseDay, anomalies
from costlib.billing import exact_sum
from costlib.books import CostBasis, TokenClass
from costlib.budget import Scope, days_of, outlook
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.forecast import Forecast, History, forecast
from costlib.review import Anomaly, Outlook, Period
from costlib.scenario import Scenario, SelfHosted
from costlib.units import SECONDS_PER_HOUR
from store.budgets_file import Planned
from store.read import Snapshot

HISTORY_DAYS = 112  # that a forecast looks back on
MOST_FORECAST = 20  # products one by one


@dataclass(frozen=True, slots=True)
class _Series:
    """One product's days."""

    cost: dict[date, Decimal]
    use: dict[date, dict[str, float]]


def to_come(
    snapshot: Snapshot, period: Period, basis: CostBasis, currency: str, scenario: Scenario | None, known: Planned
) -> tuple[Outlook | None, tuple[Anomaly, ...]]:
    """Where the month lands by product, and the days that were not like the others.

    Of many products the largest are forecast one by one, and those with a budget; the others as one.
    """
    until = min(period.end, (snapshot.status().charges_to or datetime.now(UTC)).date())
    start = until - timedelta(days=HISTORY_DAYS)
    series = _series(snapshot, start, until, basis, currency, scenario)
    if not series:
        return None, ()
    first = min(day for one in series.values() for day in one.cost)
    month = f"{until - timedelta(days=1):%Y-%m}"
    count = max(1, (days_of(month)[-1] - until).days + 1)
    days = [first + timedelta(days=n) for n in range((until - first).days)]
    budgets = [one for one in known.budgets if one.currency == currency]
    few, others = _apart(series, {*(one.product for one in budgets), *(step.key for step in known.steps)})
    ahead: dict[Scope, Forecast | Undefined] = {}
    actual: dict[Scope, dict[date, Decimal]] = {}
    for name, one in {**few, "": _summed(series.values())}.items():
        scope = (name, "")
        actual[scope] = {day: amount for day, amount in one.cost.items() if f"{day:%Y-%m}" == month and day < until}
        try:
            ahead[scope] = forecast(_history(name, one, days), count, known.steps)
        except DomainError as error:
            ahead[scope] = Undefined(reason=str(error).rstrip("."))
    found = [
        finding.as_anomaly("/overview", currency)
        for name, one in series.items()
        for finding in anomalies(_use_days(one, days), name, since=period.start)
    ]
    made = outlook(month, actual, ahead, budgets, currency)
    if others:
        made = replace(made, method=f"{made.method} Of {len(series)} products the largest, and those with a budget, "
                                    f"are forecast one by one, and the {others} others as one.")  # fmt: skip
    if known.problem:
        made = replace(
            made, lines=tuple(replace(line, breach_probability=Undefined(reason=known.problem)) for line in made.lines)
        )
    return made, tuple(found)


def _apart(series: Mapping[str, _Series], budgeted: Collection[str]) -> tuple[dict[str, _Series], int]:
    """Products to forecast one by one, with the sum of the others as one; and how many these are."""
    named = sorted(
        (name for name in series if name), key=lambda name: (-abs(exact_sum(series[name].cost.values())), name)
    )
    few = [name for n, name in enumerate(named) if n < MOST_FORECAST or name in budgeted]
    others = [name for name in named if name not in set(few)]
    if len(others) <= 1:
        return {name: series[name] for name in named}, 0
    return {**{name: series[name] for name in few}, f"{len(others)} others": _summed(series[n] for n in others)}, len(
        others
    )


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
    snapshot: Snapshot, start: date, until: date, basis: CostBasis, currency: str, scenario: Scenario | None
) -> dict[str, _Series]:
    names = {} if scenario is None else scenario.product_names
    deployments = scenario.deployments if scenario else ()
    gpus = {one.key: one.supply.serving.gpus_count for one in deployments if isinstance(one.supply, SelfHosted)}
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
    measured = snapshot.sums(begin, end, "day", "deployment")
    for row in measured[["deployment_key", "bin_start", *_COLUMNS.values()]].to_dict("records"):
        name = names.get(row["deployment_key"], row["deployment_key"])
        day = row["bin_start"].date()
        if name in found:
            use = found[name].use.setdefault(day, {})
            for column in _COLUMNS.values():
                value = _gpu_hours(row, column, gpus) if column in _GPU_SECONDS else row.get(column)
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
    "busy_gpu_hours": "busy_s",
    "gpu_hours": "coverage_s",
}
_GPU_SECONDS = ("busy_s", "coverage_s")  # of engines; GPU-hours where it is known how many GPUs one has


def _gpu_hours(row: Mapping[str, Any], column: str, gpus: Mapping[str, int]) -> float | None:
    count, seconds = gpus.get(row["deployment_key"]), row.get(column)
    return None if count is None or seconds is None else float(seconds) * count / SECONDS_PER_HOUR


def _use_days(one: _Series, days: Sequence[date]) -> list[UseDay]:
    return [
        UseDay(
            on=day,
            cost=one.cost.get(day),
            **{field: one.use.get(day, {}).get(column) for field, column in _COLUMNS.items()},
        )
        for day in days
    ]


def _summed(series: Iterable[_Series]) -> _Series:
    found: dict[date, list[Decimal]] = defaultdict(list)
    for one in series:
        for day, amount in one.cost.items():
            found[day].append(amount)
    return _Series(cost={day: exact_sum(amounts) for day, amounts in found.items()}, use={})
