"""What was spent in a window, by deployment, joined with what its servers measured in the same window."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd

from costlib.allocation import Allocated, OwnerUse, allocate, usd_per_mtok_of
from costlib.billing import exact_sum
from costlib.estimate import Undefined
from costlib.scenario import Scenario
from costlib.units import SECONDS_PER_DAY
from ui import data

REST = "Not matched"
BEGINNING, END_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One deployment's window beside the window before."""

    name: str
    use: OwnerUse
    cost_before: Decimal
    daily: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """A window [start, end) of whole days in one currency. Amounts in other currencies are listed, never added."""

    currency: str
    days: tuple[date, ...]
    rows: tuple[Row, ...]
    now: Allocated
    before: Allocated | None
    by_day: dict[str, tuple[float, ...]]
    unit_cost_by_day: tuple[float | None, ...]
    coverage_fraction: float | Undefined
    outside: Decimal  # stored charges of the same currency on other days: corrections, older months
    other_currencies: tuple[tuple[str, Decimal], ...]
    missing_count: int


def spend(of: data.Snapshot, scenario: Scenario, end: datetime, days_count: int, basis: data.CostBasis) -> Spend | None:
    """The last `days_count` days before `end`, None when nothing was charged in them."""
    start = end - timedelta(days=days_count)
    charges = data.daily_spend(of, start, end, basis, "deployment")
    if charges.empty:
        return None
    totals = charges.groupby("currency")["cost"].sum()
    currency = str(totals.astype(float).abs().idxmax())
    mine = charges[charges["currency"] == currency]
    usage = data.usage(of, start, end, "day")
    stored = of.spend_total(BEGINNING, END_OF_TIME, basis)
    before_start = start - timedelta(days=days_count)
    before = data.daily_spend(of, before_start, start, basis, "deployment")
    before = before[before["currency"] == currency]
    usage_before = data.usage(of, before_start, start, "day")
    days = tuple((start + timedelta(days=n)).date() for n in range(days_count))
    products = _names(scenario)
    owners = [key for key in dict.fromkeys([*products, *mine["key"].dropna()]) if (mine["key"] == key).any()]
    matched = [key for key in owners if key in products or (usage["target_key"] == key).any()]
    rows = tuple(
        Row(
            name=products.get(key, key),
            use=_use(key, mine, usage),
            cost_before=_total(before[before["key"] == key]),
            daily=_daily(mine[mine["key"] == key], days),
        )
        for key in matched
    )
    rest = mine[~mine["key"].isin(matched)]
    has_before = not before.empty and before["day"].min() == before_start.date()
    return Spend(
        currency=currency,
        days=days,
        rows=tuple(sorted(rows, key=lambda row: row.use.cost, reverse=True)),
        now=allocate([row.use for row in rows], unmatched=_total(rest)),
        before=allocate(
            [_use(key, before, usage_before) for key in matched],
            unmatched=_total(before[~before["key"].isin(matched)]),
        )
        if has_before
        else None,
        by_day={**{row.name: row.daily for row in rows}, REST: _daily(rest, days)},
        unit_cost_by_day=_unit_costs(mine, usage, days),
        coverage_fraction=_coverage(usage, matched, days_count),
        outside=exact_sum([stored.get(currency) or Decimal(0), _total(mine).copy_negate()]),
        other_currencies=tuple((str(code), cost) for code, cost in totals.items() if code != currency),
        missing_count=int(charges["unknown_count"].sum()),
    )


def _names(scenario: Scenario) -> dict[str, str]:
    """What each deployment is called: its product, and its key as well where several share one."""
    shared = Counter(d.product for d in scenario.deployments)
    return {
        d.key: d.key if not d.product else d.product if shared[d.product] == 1 else f"{d.product} ({d.key})"
        for d in scenario.deployments
    }


def _use(key: str, charges: pd.DataFrame, usage: pd.DataFrame) -> OwnerUse:
    measured = usage[usage["target_key"] == key]
    cost = _total(charges[charges["key"] == key])
    if measured.empty:
        return OwnerUse(key=key, cost=cost)
    tokens = measured["prompt_tokens"].sum() + measured["generation_tokens"].sum()
    return OwnerUse(
        key=key,
        cost=cost,
        tokens=int(tokens),
        busy_s=float(measured["busy_s"].sum()),
        coverage_s=float(measured["coverage_s"].sum()),
    )


def _total(charges: pd.DataFrame) -> Decimal:
    return exact_sum(charges["cost"].dropna())


def _daily(charges: pd.DataFrame, days: Sequence[date]) -> tuple[float, ...]:
    by_day = charges.groupby("day")["cost"].sum()
    return tuple(float(by_day.get(day, 0)) for day in days)


def _unit_costs(charges: pd.DataFrame, usage: pd.DataFrame, days: Sequence[date]) -> tuple[float | None, ...]:
    """All spend over all tokens, day by day; None on a day without tokens."""
    tokens = (usage["prompt_tokens"] + usage["generation_tokens"]).groupby(usage["bin_start"].dt.date).sum()
    costs = charges.groupby("day")["cost"].sum()
    figures = (usd_per_mtok_of(Decimal(costs.get(day, 0)), int(tokens.get(day, 0))) for day in days)
    return tuple(None if isinstance(figure, Undefined) else float(figure) for figure in figures)


def _coverage(usage: pd.DataFrame, matched: Sequence[str], days_count: int) -> float | Undefined:
    """Mean share of the window in which the matched servers were observed."""
    observed = usage[usage["target_key"].isin(matched)].groupby("target_key")["observed_s"].sum()
    if not len(observed):
        return Undefined(reason="no server of a billed deployment was observed")
    return float((observed / (days_count * SECONDS_PER_DAY)).clip(upper=1.0).mean())


def day_start(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
