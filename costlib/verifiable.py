"""May a saving be asked for at all? What a verification looks at, and when it cannot tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np

from costlib.effect import LEAST_DAYS, Effect, effect
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.lever import Work
from costlib.many_looks import level_of_look
from costlib.pool_days import PoolDays, PoolHours, Question, Window, by_day, question, until_taken_back, window_of
from costlib.roofline import Floats
from costlib.saving import Design, Distribution, Entry, Outcome, Plan

BEYOND_FRACTION = 0.1  # of the work
RESIZED_RATIO = 1.5  # of the fewest GPUs of a day, beyond what work and the change explain
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something else that happened to a pool: another entry of the ledger, or what its metrics told."""

    deployment_key: str
    at: datetime
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Everything that a verification looks at, for the days from before the window until now.

    cost_by_day     of the pools, on the effective basis; Undefined where they are billed in several currencies
    final_months    YYYY-MM of which nothing more is to come
    guarded         p95 of a day, or a share, by measure of GUARDED and day
    """

    pool: PoolHours
    control: PoolHours | None = None
    cost_by_day: Mapping[date, Decimal] | Undefined
    final_months: frozenset[str] = frozenset()
    guarded: Mapping[str, Mapping[date, float]] = field(default_factory=dict)
    distributions: tuple[Distribution, ...] = ()
    changes: tuple[Change, ...] = ()
    measured_until: datetime
    data_digest: str = ""


class CannotTell(Exception):
    """Why there is no verdict, and what would settle it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


def window_of_entry(entry: Entry) -> Window:
    """The days that are compared once all of them are over. The change has a plan and was shipped."""
    assert entry.plan is not None and entry.shipped_at is not None
    window = window_of(entry.shipped_at, entry.plan.before_days, entry.plan.after_days)
    return window if entry.ended_at is None else until_taken_back(window, entry.ended_at)


def window_to_compare(entry: Entry, plan: Plan, measured: Measured, level: float) -> tuple[Window, float]:
    """The days to compare, and how sure an interval must be at this look."""
    window = window_of_entry(entry)
    known_until = measured.measured_until.astimezone(UTC).date()
    if known_until >= window.end:
        return window, level_of_look(1.0, plan.looks_count, level) or level
    if window.again is not None:
        raise CannotTell(
            "it was taken back, and the two weeks after that, which are compared with it too, are not over",
            f"wait until {window.end}",
        )
    over = max(0, (known_until - window.after[0]).days)
    looked_at = level_of_look(over / plan.after_days, plan.looks_count, level) if over else None
    if looked_at is None:
        raise CannotTell(
            f"{over} of {plan.after_days} days are over; to stop as soon as it looks good finds savings that are none",
            f"wait until {window.after[1]}, or plan looks in between before it is shipped",
        )
    return Window(before=window.before, after=(window.after[0], known_until)), looked_at


def must_be_measured(measured: Measured, plan: Plan, window: Window) -> None:
    """Raises CannotTell naming the metric, where one vanished that the work is counted with."""
    parts = {"requests_count": measured.pool.requests_count}
    if plan.work is not Work.REQUESTS:
        parts = {name: getattr(measured.pool, name) for name in ("computed_tokens", "cached_tokens", "output_tokens")}
    days = _days_of(measured.pool)
    rented = np.isfinite(measured.pool.gpu_hours)
    for name, values in parts.items():
        for side, holds in (("before", window.is_before), ("after", window.is_after)):
            at = np.array([holds(day) for day in days], dtype=bool) & rented
            if at.any() and np.isfinite(values[at]).mean() < 0.5:
                raise CannotTell(
                    f"{name} is missing in most hours {side} the change",
                    "see on Data health since when the metric is not exported, and let a whole window pass with it",
                )


def other_steps(entry: Entry, plan: Plan, window: Window, measured: Measured) -> dict[str, date]:
    """Other changes within the window, by what they are. Raises CannotTell where one is too near to be told apart."""
    assert entry.shipped_at is not None
    mine = entry.shipped_at.astimezone(UTC).date()
    watched = {*plan.pool_keys, *(plan.control_keys if plan.design in (Design.DIFFERENCE, Design.SPLIT) else ())}
    steps: dict[str, date] = {}
    for one in measured.changes:
        day = one.at.astimezone(UTC).date()
        if one.deployment_key not in watched or one.at == entry.ended_at or not window.before[0] < day < window.end:
            continue
        if abs((day - mine).days) < LEAST_DAYS:
            raise CannotTell(
                f"two changes in one window: {one.sentence} on {day}, this one on {mine}",
                f"take one of them back for at least {LEAST_DAYS} days, or sign them as one change",
            )
        ends = (window.before[0], window.end)
        if min((day - ends[0]).days, (ends[1] - day).days) >= LEAST_DAYS:
            steps[f"{one.sentence} ({day})"] = day
    return steps


def billed_series(pool: PoolDays, plan: Plan, cost_by_day: Mapping[date, Decimal] | Undefined) -> Floats | None:
    """Of a change to what is paid the logarithm of a unit's cost, by day; NaN where none is billed. Else None."""
    if plan.outcome is not Outcome.COST:
        return None
    if isinstance(cost_by_day, Undefined):
        raise CannotTell(f"its cost is not known: {cost_by_day.reason}", "import the bill of these days")
    costs = np.array([float(cost_by_day.get(day, Decimal("NaN"))) for day in pool.days])
    return np.asarray(np.log(np.where(costs > 0, costs, np.nan) / pool.work))


def asked_of(
    pool: PoolDays, window: Window, plan: Plan, control: PoolDays | None, steps: Mapping[str, date],
    series: Floats | None,
) -> Question:  # fmt: skip
    try:
        asked = question(pool, window, plan.design, control, steps, series=series)
    except DomainError as error:
        raise CannotTell(str(error), "name an untouched pool, or plan another design") from None
    if isinstance(asked, Undefined):
        raise CannotTell(asked.reason, "let more days pass, or look for gaps on Data health")
    return asked


def solved(asked: Question) -> Effect:
    try:
        return effect(asked.series, asked.design, asked.column, asked.numbers)
    except DomainError as error:
        raise CannotTell(str(error).rstrip("."), "let more days pass") from None


def must_be_the_same_size(hours: PoolHours, pool: PoolDays, window: Window, log_effect: float, plan: Plan) -> None:
    """Raises CannotTell where the fewest GPUs of a day jumped, which neither the work nor the change explains."""
    days, all_work = _days_of(hours), hours.work(plan.work, plan.weights)
    found: dict[str, tuple[float, float]] = {}
    for side, holds in (("before", window.is_before), ("after", window.is_after)):
        at = np.array([holds(day) for day in days], dtype=bool) & np.isfinite(hours.gpu_hours)
        work = all_work[at]
        found[side] = float(np.quantile(hours.gpu_hours[at], 0.05)), float(np.nanquantile(work, 0.05))
    if found["before"][0] == found["after"][0]:
        return
    gpus = found["after"][0] / max(found["before"][0], 1e-9)
    work_ratio = found["after"][1] / found["before"][1] if found["before"][1] > 0 else 1.0
    expected = float(np.exp(log_effect)) * min(max(work_ratio, 0.5), 2.0)
    if gpus > RESIZED_RATIO * max(expected, 1.0) or gpus < min(expected, 1.0) / RESIZED_RATIO:
        raise CannotTell(
            f"the pool was resized: its fewest GPUs went from {found['before'][0]:g} to {found['after'][0]:g}",
            "note the new size as a change of its own, and compare windows of one size",
        )


def about_load(hours: PoolHours, window: Window, plan: Plan) -> list[str]:
    """A sentence where much of the work after the change came in hours busier than any before it."""
    work, days = hours.work(plan.work, plan.weights), _days_of(hours)
    before = np.array([window.is_before(day) for day in days], dtype=bool) & np.isfinite(work)
    after = np.array([window.is_after(day) for day in days], dtype=bool) & np.isfinite(work)
    if not before.any() or not after.any():
        return []
    beyond = after & (np.nan_to_num(work) > work[before].max())
    share = float(work[beyond].sum() / work[after].sum())
    if share <= BEYOND_FRACTION:
        return []
    return [f"{share:.0%} of the work after came in hours busier than any before: what that takes is extrapolated."]


def step_between(entry: Entry, measured: Measured, window: Window) -> tuple[float, float]:
    """The log effect between two windows, and its standard error, where `entry` says how it is asked.

    Raises CannotTell
    """
    plan = entry.plan
    assert plan is not None
    if plan.design is Design.SWITCHBACK:
        raise CannotTell("it was on by turns, and each turn is of its own days", "")
    pool = by_day(measured.pool, plan.work, plan.weights, window.before)
    control = None if measured.control is None else by_day(measured.control, plan.work, plan.weights, window.before)
    steps = other_steps(entry, plan, window, measured)
    found = solved(asked_of(pool, window, plan, control, steps, billed_series(pool, plan, measured.cost_by_day)))
    return found.middle, found.standard_error


def _days_of(hours: PoolHours) -> list[date]:
    return [(hours.start + n * _HOUR).astimezone(UTC).date() for n in range(len(hours.gpu_hours))]
