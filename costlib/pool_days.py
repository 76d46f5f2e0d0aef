"""What pools of GPUs did day by day, and the design matrix that tells a change apart from everything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from costlib.effect import LEAST_DAYS
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.lever import Work
from costlib.load_response import response
from costlib.roofline import Floats
from costlib.saving import Design, Weights
from costlib.units import HOURS_PER_DAY

LEAST_HOURS = 20  # of a day that counts
WEEK_DAYS = 7
RETURN_DAYS = 14  # after a change was taken back, that are compared with it too
DAYS_FOR_WEEKDAYS = 28  # in all, before each weekday has a level of its own
TREND_NEEDS = (28, 14)  # days before and after
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolHours:
    """One or several deployments by the hour from `start` (aware UTC); NaN where nothing is known.

    gpu_hours are those rented, busy_gpu_hours those in which a request ran.
    """

    start: datetime
    gpu_hours: Floats
    busy_gpu_hours: Floats
    computed_tokens: Floats
    cached_tokens: Floats
    output_tokens: Floats
    requests_count: Floats
    failed_count: Floats

    def plus(self, other: "PoolHours") -> "PoolHours":
        """Both together; unknown in every hour in which one of them is. Raises DomainError for other hours."""
        if self.start != other.start or len(self.gpu_hours) != len(other.gpu_hours):
            raise DomainError("pools are added hour by hour; give them the same hours.")
        names = [field.name for field in fields(self) if field.name != "start"]
        return PoolHours(start=self.start, **{name: getattr(self, name) + getattr(other, name) for name in names})

    def work(self, per: Work, weights: Weights) -> Floats:
        """Units of work of each hour: requests, or tokens in those of a prompt token that is computed.

        Equation   N = I_c + w_h I_h + w_o O;  asked tokens: N = I_c + I_h + w_o O (domain_math §12.1)
        """
        if per is Work.REQUESTS:
            return self.requests_count
        cached_ratio = 1.0 if per is Work.ASKED_TOKENS else weights.cached_ratio
        return self.computed_tokens + cached_ratio * self.cached_tokens + weights.output_ratio * self.output_tokens

    def log_cost_of(self, spans: Sequence[tuple[datetime, datetime]], per: Work, weights: Weights) -> Floats:
        """Logarithm of GPU-hours for a unit of work in each span of whole hours; NaN where an hour of it is unknown."""
        work, found = self.work(per, weights), []
        for start, end in spans:
            first, last = (int((moment - self.start) / _HOUR) for moment in (start, end))
            done, rented = float(work[first:last].sum()), float(self.gpu_hours[first:last].sum())
            is_whole = 0 <= first < last <= len(work) and done > 0 and rented > 0
            found.append(float(np.log(rented / done)) if is_whole else np.nan)
        return np.array(found)


def together(pools: Sequence[PoolHours]) -> PoolHours:
    return reduce(PoolHours.plus, pools)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolDays:
    """UTC days of which at least LEAST_HOURS were seen, with what happened in the hours that were.

    The usual hours are those that the work of each hour took before the change: see `costlib.load_response`.
    """

    days: tuple[date, ...]
    gpu_hours: Floats
    busy_gpu_hours: Floats
    work: Floats
    usual_gpu_hours: Floats
    usual_busy_gpu_hours: Floats

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(day.toordinal() for day in self.days)

    def only(self, keep: NDArray[np.bool_]) -> "PoolDays":
        kept = {field.name: getattr(self, field.name)[keep] for field in fields(self) if field.name != "days"}
        return PoolDays(days=tuple(day for day, is_kept in zip(self.days, keep, strict=True) if is_kept), **kept)

    def on(self, days: Sequence[date]) -> "PoolDays":
        wanted = set(days)
        return self.only(np.array([day in wanted for day in self.days], dtype=bool))

    def log_cost(self, is_busy: bool = False) -> Floats:
        """Logarithm of GPU-hours over the usual ones for the same work at the same hours."""
        took, usual = (
            (self.busy_gpu_hours, self.usual_busy_gpu_hours) if is_busy else (self.gpu_hours, self.usual_gpu_hours)
        )
        return np.asarray(np.log(took / usual))


def by_day(hours: PoolHours, per: Work, weights: Weights, before: tuple[date, date] | None = None) -> PoolDays:
    """Whole UTC days. One without work, or without GPUs, has no cost of a unit and is left out.

    before  the days that say what is usual; all of them where it is left out
    """
    first = hours.start.astimezone(UTC)
    work = hours.work(per, weights)
    seen = np.isfinite(work) & np.isfinite(hours.gpu_hours)
    day_of = (first.hour + np.arange(len(work))) // HOURS_PER_DAY
    count = int(day_of[-1]) + 1 if len(day_of) else 0
    days = tuple(first.date() + timedelta(days=n) for n in range(count))
    is_usual = np.array([before is None or before[0] <= day < before[1] for day in days], dtype=bool)[day_of]

    def summed(values: Floats) -> Floats:
        return np.bincount(day_of, weights=np.where(seen, values, 0.0), minlength=count).astype(float)

    def usual(took: Floats) -> Floats:
        known = is_usual & seen & np.isfinite(took)
        return summed(response(work[known], took[known])(work)) if known.any() else np.full(count, np.nan)

    found = PoolDays(
        days=days,
        gpu_hours=summed(hours.gpu_hours),
        busy_gpu_hours=summed(hours.busy_gpu_hours),
        work=summed(work),
        usual_gpu_hours=usual(hours.gpu_hours),
        usual_busy_gpu_hours=usual(hours.busy_gpu_hours),
    )
    whole = summed(np.ones(len(work))) >= LEAST_HOURS
    return found.only(whole & (found.work > 0) & (found.gpu_hours > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Days before and after a change; the day of the change itself belongs to neither, unless it began at midnight."""

    before: tuple[date, date]  # the first day, and the day after the last
    after: tuple[date, date]
    again: tuple[date, date] | None = None  # taken back: as it was before

    @property
    def end(self) -> date:
        return self.again[1] if self.again else self.after[1]

    def is_before(self, day: date) -> bool:
        is_again = self.again is not None and self.again[0] <= day < self.again[1]
        return is_again or self.before[0] <= day < self.before[1]

    def is_after(self, day: date) -> bool:
        return self.after[0] <= day < self.after[1]


def window_of(shipped_at: datetime, before_days: int, after_days: int) -> Window:
    """
    >>> window_of(datetime(2026, 10, 6, 10, tzinfo=UTC), 28, 14).after
    (datetime.date(2026, 10, 7), datetime.date(2026, 10, 21))
    """
    day, next_day = _edge(shipped_at)
    return Window(
        before=(day - timedelta(days=before_days), day), after=(next_day, next_day + timedelta(days=after_days))
    )


def until_taken_back(window: Window, ended_at: datetime) -> Window:
    """The window of a change that was taken back within it: two weeks after that count as before."""
    day, first = _edge(ended_at)
    if day >= window.after[1]:
        return window
    return Window(
        before=window.before, after=(window.after[0], day), again=(first, first + timedelta(days=RETURN_DAYS))
    )


def _edge(moment: datetime) -> tuple[date, date]:
    """The day that a moment is in, and the first day that is whole after it."""
    moment = moment.astimezone(UTC)
    day = moment.date()
    return day, day if moment.time() == moment.min.time() else day + timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A regression that is ready to be solved; `column` is the change. `explained` names the columns."""

    series: Floats
    design: Floats
    column: int
    days: tuple[date, ...]
    is_after: NDArray[np.bool_]
    explained: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(day.toordinal() for day in self.days)


def question(
    pool: PoolDays, window: Window, design: Design, control: PoolDays | None = None,
    other_steps: Mapping[str, date] = {}, *, is_busy: bool = False, trend: bool | None = None,
    series: Floats | None = None,
) -> Question | Undefined:  # fmt: skip
    """What the change did to the logarithm of the cost of a unit of work, asked as a regression.

    Equation   log Y_t = m + d after_t + b log load_t + weekday + trend + other changes + e_t;  with a pool that nobody
               touched: log Y_t - log Y'_t, the load of both, no trend, as drift is common (domain_math §12.2, §12.3)
    Symbols    Y GPU-hours over the usual ones for the work of each hour, or another series
    Returns    a Question; Undefined with the reason where there are too few days on either side
    Valid for  levers that do not act through the load. Per request, load is counted in requests
    Raises     DomainError for difference-in-differences without a control
    """
    if control is None and design in (Design.DIFFERENCE, Design.SPLIT):
        raise DomainError(f"{design.value} compares with a pool that nobody touched; name one in control_keys.")
    with_control = control is not None and design in (Design.DIFFERENCE, Design.SPLIT)
    values = dict(zip(pool.days, pool.log_cost(is_busy) if series is None else series, strict=True))
    days = [day for day in pool.days if window.is_before(day) or window.is_after(day)]
    days = [day for day in days if np.isfinite(values[day])]
    if with_control:
        assert control is not None
        theirs = set(control.days)
        days = [day for day in days if day in theirs]
    after = np.array([window.is_after(day) for day in days], dtype=float)
    counts = int((1 - after).sum()), int(after.sum())
    for count, side in zip(counts, ("before", "after"), strict=True):
        if count < LEAST_DAYS:
            return Undefined(reason=f"{count} days {side} the change have data, at least {LEAST_DAYS} are needed")
    load = np.log(pool.on(days).work)
    columns = [("level", np.ones(len(days))), ("change", after), ("load", load - load.mean())]
    y = np.array([values[day] for day in days])
    if with_control:
        assert control is not None
        beside = control.on(days)
        y = y - beside.log_cost(is_busy)
        its_load = np.log(beside.work)
        columns.append(("load of the untouched pool", its_load - its_load.mean()))
    columns += [(f"weekday {n}", level) for n, level in enumerate(_weekdays(days))]
    wants_trend = trend if trend is not None else not with_control and _has_room(counts)
    if wants_trend:
        numbers = np.array([day.toordinal() for day in days], dtype=float)
        columns.append(("trend", (numbers - numbers.mean()) / len(days)))
    columns += [(name, np.array([day >= at for day in days], dtype=float)) for name, at in other_steps.items()]
    kept = [(name, column) for name, column in columns if name in ("level", "change") or np.ptp(column) > 0]
    notes = () if wants_trend or with_control else ("No trend is taken out: the windows are too short for one.",)
    return Question(
        series=y,
        design=np.column_stack([column for _, column in kept]),
        column=1,
        days=tuple(days),
        is_after=after.astype(bool),
        explained=tuple(name for name, _ in kept),
        notes=notes,
    )


def _has_room(counts: tuple[int, int]) -> bool:
    return all(count >= least for count, least in zip(counts, TREND_NEEDS, strict=True))


def _weekdays(days: Sequence[date]) -> list[Floats]:
    """A level for each weekday but one; of short windows for the weekend alone."""
    numbers = np.array([day.weekday() for day in days])
    if len(days) < DAYS_FOR_WEEKDAYS:
        return [(numbers >= 5).astype(float)]
    return [(numbers == weekday).astype(float) for weekday in range(1, WEEK_DAYS)]
