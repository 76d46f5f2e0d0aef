"""What pools of GPUs did by the hour and cost by the day, for whoever asks what a change to them saved."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256

import numpy as np
import pandas as pd

from costlib.billing import exact_sum
from costlib.books import ChargeGroup, CostBasis
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.ownership import match
from costlib.pool_days import PoolHours, together
from costlib.roofline import Floats
from costlib.saving import Distribution
from costlib.scenario import Scenario, SelfHosted
from costlib.units import SECONDS_PER_HOUR
from store.home import Home
from store.owners_file import load_owners
from store.read import Snapshot
from store.server_use import hours_of, server_uses

QUANTILES = (0.5, 0.9, 0.95, 0.99)
_FAILED = ("requests_abort_count", "requests_error_count")
_HOUR = timedelta(hours=1)
Guarded = Mapping[str, Mapping[date, float]]  # by measure of GUARDED and day


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """Everything measured and billed of all deployments for the hours of whole days [start, end)."""

    start: datetime
    end: datetime
    hours: Mapping[str, PoolHours]
    cost_by_day: Mapping[str, Mapping[date, Decimal]]  # by deployment, effective cost
    currency: str
    measured_until: datetime
    final_months: frozenset[str]

    def hours_of(self, keys: Sequence[str]) -> PoolHours:
        """Raises ConfigError naming a deployment that was not measured."""
        for key in keys:
            if key not in self.hours:
                known = ", ".join(sorted(self.hours)) or "none"
                raise ConfigError(f"{key} was not measured in these weeks; deployments that were: {known}.")
        return together([self.hours[key] for key in keys])

    def cost_of(self, keys: Sequence[str]) -> Mapping[date, Decimal] | Undefined:
        if silent := [key for key in keys if key not in self.cost_by_day]:
            return Undefined(reason=f"no charge is known to be of {silent[0]}")
        days = set.intersection(*(set(self.cost_by_day[key]) for key in keys))
        return {day: exact_sum(self.cost_by_day[key][day] for key in keys) for day in days}

    def digest(self, keys: Sequence[str], first: date, end: date) -> str:
        """Of what was measured and billed of these days: another one means that a bill was restated, or history was
        filled in."""
        told = sha256()
        for key in keys:
            for day, cost in sorted(self.cost_by_day.get(key, {}).items()):
                if first <= day < end:
                    told.update(f"{key} {day} {cost.normalize()}\n".encode())
            hours = self.hours.get(key)
            if hours is not None:
                since, until = (max(0, (_midnight(day) - self.start) // _HOUR) for day in (first, end))
                for one in fields(hours):
                    if one.name != "start":
                        told.update(np.round(getattr(hours, one.name)[since:until], 3).tobytes())
        return told.hexdigest()


def pools_between(
    snapshot: Snapshot, home: Home, first: date, end: date, scenario: Scenario | None, currency: str
) -> Pools:
    """All deployments on the UTC days [first, end), as far as they were measured.

    Returns    Pools; cost is effective, so that a commitment is in the days it covers and not in that of its purchase
    """
    start, until = _midnight(first), _midnight(end)
    hourly = snapshot.sums(start, until, "hour", "deployment")
    gpus = {
        item.key: item.supply.serving.gpus_count
        for item in (scenario.deployments if scenario else ())
        if isinstance(item.supply, SelfHosted)
    }
    count = int((until - start) / _HOUR)
    hours = {
        str(key): _hours(part, start, count, gpus.get(str(key), 1)) for key, part in hourly.groupby("deployment_key")
    }
    covered, months = snapshot.status(), snapshot.months()
    closed = months.groupby("month")["state"].apply(lambda states: set(states) <= {"final", "locked"})
    return Pools(
        start=start,
        end=until,
        hours=hours,
        cost_by_day=_costs(snapshot, home, start, until, currency),
        currency=currency,
        measured_until=covered.usage_to or start,
        final_months=frozenset(str(month) for month, is_closed in closed.items() if is_closed),
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _hours(rows: pd.DataFrame, start: datetime, count: int, gpus_count: int) -> PoolHours:
    """One deployment's models together; an hour without a row is unknown, and one in which one of them is."""
    at = ((rows["bin_start"] - start) / pd.Timedelta(hours=1)).astype(int).to_numpy()
    # Of a gap's time nothing is known of replicas: its tokens came, and belong to more than this hour.
    whole = (rows["gap_s"].fillna(0) == 0).to_numpy(dtype=bool)

    def column(values: pd.Series) -> Floats:
        found, total = np.full(count, np.nan), np.zeros(count)
        np.add.at(total, at, np.where(whole, values.astype(float), np.nan))
        found[at] = total[at]
        return found

    replica_hours = gpus_count / SECONDS_PER_HOUR
    failed = rows[list(_FAILED)].astype(float).sum(axis=1, min_count=1)
    return PoolHours(
        start=start,
        gpu_hours=column(rows["coverage_s"]) * replica_hours,
        busy_gpu_hours=column(rows["busy_s"]) * replica_hours,
        computed_tokens=column(rows["computed_prompt_tokens"]),
        cached_tokens=column(rows["cached_prompt_tokens"]),
        output_tokens=column(rows["generation_tokens"]),
        requests_count=column(rows["requests_count"]),
        failed_count=column(failed),
    )


def _costs(
    snapshot: Snapshot, home: Home, start: datetime, end: datetime, currency: str
) -> Mapping[str, Mapping[date, Decimal]]:
    """Effective cost by deployment and day, of days that are billed whole and of whose charges each has one."""
    by_day = snapshot.daily_charge_groups(start, end)
    beyond = snapshot.status().charges_to
    listed: list[tuple[date, ChargeGroup]] = [
        (day.date(), group)
        for day, groups in by_day.items()
        for group in groups
        if group.currency == currency and (beyond is None or day + timedelta(days=1) <= beyond)
    ]
    servers = server_uses(snapshot, start, end, hours_of(snapshot, start, end), {})
    found = match([group for _, group in listed], servers, load_owners(home)).by_group
    amounts: dict[str, dict[date, list[Decimal | None]]] = defaultdict(lambda: defaultdict(list))
    for (day, group), owner in zip(listed, found, strict=True):
        if owner.deployment_key:
            amounts[owner.deployment_key][day].append(group.cost(CostBasis.EFFECTIVE))
    return {
        key: {
            day: exact_sum(part for part in parts if part is not None)
            for day, parts in days.items()
            if None not in parts
        }
        for key, days in amounts.items()
    }


# Latency and failures -------------------------------------------------------------------------------------------------


def guarded_by_day(snapshot: Snapshot, start: datetime, end: datetime) -> dict[str, Guarded]:
    """By deployment p95 of TTFT and of the time per token, and the share of requests that failed, of each UTC day."""
    rows = snapshot.windows(start, end, "day", "deployment")
    rows = rows[rows["model_key"].notna()]
    failed = rows[list(_FAILED)].astype(float).sum(axis=1, min_count=1) / rows["requests_count"].astype(float)
    told = {"ttft_p95_s": rows["ttft_s_p95"], "tpot_p95_s": rows["tpot_s_p95"], "failed_fraction": failed}
    days = rows["bin_start"].dt.date
    found: dict[str, dict[str, dict[date, float]]] = defaultdict(lambda: {name: {} for name in told})
    for name, values in told.items():
        slowest = values.astype(float).groupby([rows["deployment_key"], days]).max()
        for (key, day), value in slowest[np.isfinite(slowest)].items():
            found[str(key)][name][day] = float(value)
    return dict(found)


def slowest_by_day(pools: Sequence[Guarded]) -> Guarded:
    """Of several deployments the slowest each day; a day on which one of them does not tell is left out."""
    measures = {name for pool in pools for name in pool}
    found: dict[str, dict[date, float]] = {}
    for name in measures:
        by_pool = [pool.get(name, {}) for pool in pools]
        days = set.intersection(*(set(days) for days in by_pool))
        found[name] = {day: max(of[day] for of in by_pool) for day in days}
    return found


def distributions(
    snapshot: Snapshot, keys: Sequence[str], before: tuple[date, date], after: tuple[date, date]
) -> tuple[Distribution, ...]:
    """TTFT, time per token and end-to-end time in both windows, by quantile; what is not told is left out."""
    sides = []
    for first, end in (before, after):
        rows = snapshot.windows(_midnight(first), _midnight(end), "total", "deployment")
        sides.append(rows[rows["deployment_key"].isin(list(keys)) & rows["model_key"].notna()])
    found = []
    for measure in ("ttft_s", "tpot_s", "e2e_s"):
        quantiles = [
            {
                q: float(rows[name].astype(float).max())
                for q in QUANTILES
                if (name := f"{measure}_p{q * 100:.0f}") in rows
            }
            for rows in sides
        ]
        if all(known and all(np.isfinite(list(known.values()))) for known in quantiles):
            found.append(Distribution(measure=measure, before=quantiles[0], after=quantiles[1]))
    return tuple(found)
