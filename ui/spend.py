"""What was spent in a window, by deployment, joined with what its servers measured in the same window."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
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
    idle_by_day: tuple[float | None, ...]  # None on a day without measurements, as below
    tokens_by_day: tuple[int | None, ...]
    unit_cost_by_day: tuple[float | None, ...]
    coverage_fraction: float | Undefined
    outside: Decimal  # stored charges of the same currency on other days: corrections, older months
    other_currencies: tuple[tuple[str, Decimal], ...]
    missing_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One deployment's day: what was charged for it, and what its server measured. Without one, key is None."""

    day: date
    key: str | None
    cost: Decimal = Decimal(0)
    tokens: int | None = None
    busy_s: float | None = None
    coverage_s: float | None = None
    observed_s: float = 0.0


def spend(of: data.Snapshot, scenario: Scenario, end: datetime, days_count: int, basis: data.CostBasis) -> Spend | None:
    """The last `days_count` days before `end`, None when nothing was charged in them."""
    length = timedelta(days=days_count)
    start = end - length
    charges = data.daily_spend(of, start, end, basis, "deployment")
    if charges.empty:
        return None
    totals = {code: exact_sum(rows["cost"].dropna()) for code, rows in charges.groupby("currency")}
    currency = max(totals, key=lambda code: abs(totals[code]))
    cells = _cells(charges, currency, data.usage(of, start, end, "day"))
    charges_before = data.daily_spend(of, start - length, start, basis, "deployment")
    cells_before = _cells(charges_before, currency, data.usage(of, start - length, start, "day"))
    names = _names(scenario)
    charged = {cell.key for cell in cells if cell.key is not None and cell.cost}
    measured = {cell.key for cell in cells if cell.observed_s}
    matched = [key for key in dict.fromkeys([*names, *sorted(charged)]) if key in charged & (names.keys() | measured)]
    days = tuple((start + timedelta(days=n)).date() for n in range(days_count))
    daily = [_allocated([cell for cell in cells if cell.day == day], matched) for day in days]
    rows = [
        Row(
            name=names.get(key, key),
            use=_use(key, cells),
            cost_before=_cost(cell for cell in cells_before if cell.key == key),
            daily=_daily([cell for cell in cells if cell.key == key], days),
        )
        for key in matched
    ]
    now = _allocated(cells, matched)
    reaches_back = bool(cells_before) and min(cell.day for cell in cells_before) == (start - length).date()
    stored = of.spend_total(BEGINNING, END_OF_TIME, basis)
    return Spend(
        currency=currency,
        days=days,
        rows=tuple(sorted(rows, key=lambda row: row.use.cost, reverse=True)),
        now=now,
        before=_allocated(cells_before, matched) if reaches_back else None,
        by_day={
            **{row.name: row.daily for row in rows},
            REST: _daily([cell for cell in cells if cell.key not in matched], days),
        },
        idle_by_day=tuple(float(day.idle) if day.is_measured else None for day in daily),
        tokens_by_day=tuple(day.tokens for day in daily),
        unit_cost_by_day=tuple(_known(usd_per_mtok_of(day.total, day.tokens)) for day in daily),
        coverage_fraction=_coverage(cells, matched, days_count),
        outside=exact_sum([stored.get(currency) or Decimal(0), now.total.copy_negate()]),
        other_currencies=tuple((code, cost) for code, cost in totals.items() if code != currency),
        missing_count=int(charges["unknown_count"].sum()),
    )


def _cells(charges: pd.DataFrame, currency: str, usage: pd.DataFrame) -> list[Cell]:
    """Charges and measurements joined by day and deployment; a server's models are added up."""
    costs: dict[tuple[date, str | None], Decimal] = {}
    for row in charges[charges["currency"] == currency].itertuples():
        if row.cost is not None:
            costs[row.day, None if pd.isna(row.key) else row.key] = row.cost
    seen = defaultdict(list)
    for row in usage.itertuples():
        seen[row.bin_start.date(), row.target_key].append(row)
    return [
        Cell(
            day=day,
            key=key,
            cost=costs.get((day, key), Decimal(0)),
            tokens=_whole(count for row in rows for count in (row.prompt_tokens, row.generation_tokens)),
            busy_s=sum(row.busy_s for row in rows) if rows else None,
            coverage_s=sum(row.coverage_s for row in rows) if rows else None,
            observed_s=max((row.observed_s for row in rows), default=0.0),
        )
        for day, key in dict.fromkeys([*costs, *seen])
        for rows in [seen.get((day, key), [])]
    ]


def _whole(counts: Iterable[int]) -> int | None:
    """Their sum, None when there are none or one of them is not exported."""
    known = list(counts)
    return None if not known or any(pd.isna(count) for count in known) else int(sum(known))


def _use(key: str, cells: Sequence[Cell]) -> OwnerUse:
    mine = [cell for cell in cells if cell.key == key]
    measured = [cell for cell in mine if cell.coverage_s is not None]
    tokens = [cell.tokens for cell in mine if cell.tokens is not None]
    return OwnerUse(
        key=key,
        cost=_cost(mine),
        tokens=sum(tokens) if tokens else None,
        busy_s=sum(cell.busy_s or 0.0 for cell in measured) if measured else None,
        coverage_s=sum(cell.coverage_s or 0.0 for cell in measured) if measured else None,
    )


def _allocated(cells: Sequence[Cell], matched: Sequence[str]) -> Allocated:
    rest = _cost(cell for cell in cells if cell.key not in matched)
    return allocate([_use(key, cells) for key in matched], unmatched=rest)


def _cost(cells: Iterable[Cell]) -> Decimal:
    return exact_sum(cell.cost for cell in cells)


def _daily(cells: Sequence[Cell], days: Sequence[date]) -> tuple[float, ...]:
    return tuple(float(_cost(cell for cell in cells if cell.day == day)) for day in days)


def _known(figure: Decimal | Undefined) -> float | None:
    return None if isinstance(figure, Undefined) else float(figure)


def _coverage(cells: Sequence[Cell], matched: Sequence[str], days_count: int) -> float | Undefined:
    """Mean share of the window in which the matched servers were observed."""
    observed = [sum(cell.observed_s for cell in cells if cell.key == key) for key in matched]
    if not any(observed):
        return Undefined(reason="no server of a billed deployment was observed")
    return sum(min(1.0, seconds / (days_count * SECONDS_PER_DAY)) for seconds in observed) / len(observed)


def _names(scenario: Scenario) -> dict[str, str]:
    """What each deployment is called: its product, and its key as well where several share one."""
    shared = Counter([REST, *(d.product for d in scenario.deployments)])  # no product passes for the rest
    return {
        d.key: d.key if not d.product else d.product if shared[d.product] == 1 else f"{d.product} ({d.key})"
        for d in scenario.deployments
    }


def day_start(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
