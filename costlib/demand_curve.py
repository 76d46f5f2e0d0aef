"""How many GPUs a pool needs in each hour: as measured, by hour of the week, by level, and over a term to come."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, isfinite

import numpy as np

from costlib.breakeven import ROUNDING
from costlib.errors import DomainError
from costlib.estimate import Basis, weakest
from costlib.replica_unit import ReplicaUnit
from costlib.roofline import Floats
from costlib.units import HOURS_PER_DAY

HOURS_PER_WEEK = 7 * HOURS_PER_DAY
HOURS_PER_YEAR = 365 * HOURS_PER_DAY
LEAST_COVERAGE_FRACTION = 0.5  # of the hours of a history that is a history
MOST_GPUS_COUNT = 100_000  # beyond this a curve is a slip of the pen: nobody sells so many
MOST_HOURS = 10 * HOURS_PER_YEAR
_PEAK_HOUR = 14  # of an assumed day, UTC
_HALVINGS = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HourlyLoad:
    """Requests of one deployment in each hour from `start` (aware UTC, on the hour) on; NaN where nobody looked.

    Requests are counted as means: one with twice the tokens is two. `notes` say what is not measured, and why;
    `file_name` is that of the table they were imported from.
    """

    deployment_key: str
    start: datetime
    requests_per_s: Floats
    basis: Basis
    notes: tuple[str, ...] = ()
    file_name: str = ""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.start.minute or self.start.second or self.start.microsecond:
            raise DomainError(f"{self.deployment_key}: hours begin at a full hour with a zone, not {self.start}.")
        if len(self.requests_per_s) > MOST_HOURS:
            raise DomainError(f"{self.deployment_key}: {len(self.requests_per_s):,} hours; {MOST_HOURS:,} at most.")
        known = self.requests_per_s[np.isfinite(self.requests_per_s)]
        if np.isinf(self.requests_per_s).any() or (known < 0).any():
            raise DomainError(f"{self.deployment_key}: requests_per_s must be 0 or more in every hour.")

    @property
    def end(self) -> datetime:
        return self.start + timedelta(hours=len(self.requests_per_s))

    @property
    def hours_of_week(self) -> np.ndarray:
        """0 is Monday 00:00 UTC."""
        first = self.start.weekday() * HOURS_PER_DAY + self.start.hour
        return (first + np.arange(len(self.requests_per_s))) % HOURS_PER_WEEK

    @property
    def known_hours(self) -> int:
        return int(np.isfinite(self.requests_per_s).sum())

    def newest(self, hours_count: int = HOURS_PER_WEEK) -> "HourlyLoad":
        """The last so many hours of it, or all."""
        cut = max(0, len(self.requests_per_s) - hours_count)
        return replace(self, start=self.start + timedelta(hours=cut), requests_per_s=self.requests_per_s[cut:])

    def seen(self) -> "HourlyLoad":
        """From the first hour that is known to the last; all of it where none is."""
        at = np.flatnonzero(np.isfinite(self.requests_per_s))
        first, end = (int(at[0]), int(at[-1]) + 1) if len(at) else (0, len(self.requests_per_s))
        return replace(self, start=self.start + timedelta(hours=first), requests_per_s=self.requests_per_s[first:end])

    @property
    def coverage_fraction(self) -> float:
        return self.known_hours / len(self.requests_per_s) if len(self.requests_per_s) else 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DemandCurve:
    """GPUs that a pool needs in each hour from `start` on, whole replicas; NaN where the hour is not known."""

    label: str
    gpu_key: str
    start: datetime
    needed_gpus_count: Floats
    basis: Basis
    notes: tuple[str, ...] = ()

    @property
    def known_gpus_count(self) -> Floats:
        """The hours that are known, in order."""
        return self.needed_gpus_count[np.isfinite(self.needed_gpus_count)]

    @property
    def mean_gpus_count(self) -> float:
        return float(self.known_gpus_count.mean()) if len(self.known_gpus_count) else 0.0

    @property
    def median_gpus_count(self) -> float:
        return float(np.median(self.known_gpus_count)) if len(self.known_gpus_count) else 0.0

    @property
    def peak_gpus_count(self) -> int:
        return int(self.known_gpus_count.max()) if len(self.known_gpus_count) else 0

    @property
    def peak_to_mean_ratio(self) -> float:
        return self.peak_gpus_count / self.mean_gpus_count if self.mean_gpus_count else 1.0


def resting_on(hours: Sequence[Basis], *others: Basis) -> Basis:
    """The basis of what is computed from these hours and others: assumed where any of the hours are, for what is
    carried on from them was measured no more than they; else the weakest.

    >>> resting_on([Basis.ASSUMED], Basis.EXTRAPOLATED), resting_on([Basis.MEASURED], Basis.EXTRAPOLATED)
    (<Basis.ASSUMED: 'assumed'>, <Basis.EXTRAPOLATED: 'extrapolated'>)
    """
    return Basis.ASSUMED if Basis.ASSUMED in hours else weakest(*hours, *others)


def demand_curve(load: HourlyLoad, unit: ReplicaUnit) -> DemandCurve:
    """GPUs needed in each hour of `load`, whole replicas.

    Equation   g max(minimum, ceil(rate / (X U)))
    Returns    a DemandCurve; basis the weaker of load and capacity, assumed where the load is (`resting_on`)
    Valid for  hours that are steady within: how much a minute exceeds its hour is what target_busy leaves room for
    Raises     DomainError where an hour needs more than MOST_GPUS_COUNT
    Source     docs/capacity.md
    """
    needed = unit.needed_replicas_count(load.requests_per_s) * unit.gpus_count
    _refuse_unheard_of(load.deployment_key, needed)
    return DemandCurve(
        label=load.deployment_key,
        gpu_key=unit.gpu_key,
        start=load.start,
        needed_gpus_count=needed,
        basis=resting_on([load.basis], unit.basis),
        notes=load.notes,
    )


def together(curves: Sequence[DemandCurve]) -> tuple[DemandCurve, ...]:
    """One curve for each GPU: the pool that a commitment of that GPU covers. Curves must have the same hours.

    An hour that one deployment's curve does not know, the pool's does not know either.
    """
    found = []
    for gpu_key in dict.fromkeys(curve.gpu_key for curve in curves):
        mine = [curve for curve in curves if curve.gpu_key == gpu_key]
        hours = {(curve.start, len(curve.needed_gpus_count)) for curve in mine}
        if len(hours) > 1:
            raise DomainError(f"curves of {gpu_key} cover different hours; cut them to the same.")
        found.append(
            DemandCurve(
                label=", ".join(curve.label for curve in mine),
                gpu_key=gpu_key,
                start=mine[0].start,
                needed_gpus_count=np.sum([curve.needed_gpus_count for curve in mine], axis=0),
                basis=resting_on([curve.basis for curve in mine]),
                notes=tuple(dict.fromkeys(note for curve in mine for note in curve.notes)),
            )
        )
    return tuple(found)


def duration_fraction(needed_gpus_count: Floats) -> Floats:
    """The load-duration curve: the share of known hours that need 1, 2, 3… GPUs or more.

    Returns    [1], one for each level up to the peak; empty where nothing is known or needed
    Example    four hours that need 1, 1, 2 and 4
    >>> duration_fraction(np.array([1.0, 2.0, 4.0, 1.0])).tolist()
    [1.0, 0.5, 0.25, 0.25]
    """
    known = needed_gpus_count[np.isfinite(needed_gpus_count)]
    if not len(known):
        return np.zeros(0)
    _refuse_unheard_of("the pool", known)
    counts = np.bincount(np.ceil(known).astype(int))
    return np.asarray(np.cumsum(counts[::-1])[::-1][1:] / len(known))


def week_shape_ratio(load: HourlyLoad) -> Floats:
    """Requests in each of the 168 hours of a week, Monday 00:00 UTC first, over the mean of the hours known.

    Returns    [1], shape (168,); NaN for an hour of the week that was never seen
    Example    a day that is twice as busy as the others
    >>> from datetime import UTC
    >>> load = HourlyLoad(deployment_key="a", start=datetime(2026, 11, 16, tzinfo=UTC), basis=Basis.MEASURED,
    ...                   requests_per_s=np.repeat([2.0, 1, 1, 1, 1, 0.5, 0.5], 24))
    >>> week_shape_ratio(load)[[0, 30, 167]].tolist()
    [2.0, 1.0, 0.5]
    """
    known = np.isfinite(load.requests_per_s)
    hours, rates = load.hours_of_week[known], load.requests_per_s[known]
    counts = np.bincount(hours, minlength=HOURS_PER_WEEK)
    sums = np.bincount(hours, rates, minlength=HOURS_PER_WEEK)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(counts > 0, sums / counts, np.nan)
        return np.asarray(means / np.nanmean(means)) if rates.sum() > 0 else np.asarray(means)


def growth_per_week_ratio(load: HourlyLoad) -> float | None:
    """How much more is asked each week than the week before; None from less than two weeks.

    Equation   exp(median over t of ln(rate(t + k weeks) / rate(t)) / k),  k half of the weeks there are
    Returns    [1], 1 where nothing grows
    Valid for  steady growth; the median holds against single days that are off, not against a step in the level
    Source     the repeated differences of Theil 1950, at one distance, so that the hour of the week drops out
    Example    one percent a week
    >>> from datetime import UTC
    >>> load = HourlyLoad(deployment_key="a", start=datetime(2026, 11, 16, tzinfo=UTC), basis=Basis.MEASURED,
    ...                   requests_per_s=1.01 ** (np.arange(8 * 168) / 168))
    >>> round(growth_per_week_ratio(load), 4)
    1.01
    """
    weeks = len(load.requests_per_s) // HOURS_PER_WEEK
    if weeks < 2:
        return None
    apart = weeks // 2
    early, late = load.requests_per_s[: -apart * HOURS_PER_WEEK], load.requests_per_s[apart * HOURS_PER_WEEK :]
    both = np.isfinite(early) & np.isfinite(late) & (np.nan_to_num(early) > 0) & (np.nan_to_num(late) > 0)
    if both.sum() < HOURS_PER_WEEK / 2:
        return None
    return float(np.exp(np.median(np.log(late[both] / early[both])) / apart))


def predicted(load: HourlyLoad, hours_count: int, growth_ratio: float | None = None) -> HourlyLoad:
    """The next `hours_count` hours: the whole weeks measured, again and again, at today's level and on with growth.

    Equation   rate(t) = measured hour of the same place in its week, brought to the level of the last hour by the
               growth, x growth^(weeks ahead, at most as many as were measured)
    Returns    an HourlyLoad from the end of `load` on; extrapolated, or assumed where `load` is, or where less than a
               week of it is known. Hours that were not observed are filled: by the same hour of the week, of the day,
               or the mean
    Valid for  `growth_ratio` is a week's, measured where it is left out; a stated one goes on for the whole term
    Raises     DomainError where no hour is known, or half of them are not
    Source     docs/capacity.md
    """
    key, rates, notes = load.deployment_key, load.requests_per_s, list(load.notes)
    if not load.known_hours:
        raise DomainError(f"{key}: no hour of its history is known. Import traffic, or assume a shape.")
    if load.coverage_fraction < LEAST_COVERAGE_FRACTION:
        raise DomainError(
            f"{key}: {load.known_hours:,} of {len(rates):,} hours are known; of a history half must be. "
            "Shorten the window to what was measured, or import traffic."
        )
    if not 0 < hours_count <= MOST_HOURS:
        raise DomainError(f"a term has 1 to {MOST_HOURS:,} hours, not {hours_count}.")
    if growth_ratio is not None and not 0.5 <= growth_ratio <= 2:
        raise DomainError(f"growth is a week's over the week before, from 0.5 to 2, not {growth_ratio}.")
    weeks = len(rates) // HOURS_PER_WEEK
    measured_growth = growth_per_week_ratio(load)
    growth = growth_ratio or measured_growth or 1.0
    if growth_ratio is None:
        notes.append(_growth_note(key, measured_growth, weeks))
    filled, missing = _filled(load)
    if missing:
        notes.append(f"{key}: {missing:,} of {len(rates):,} hours were not observed; others like them stand in.")
    if weeks:
        block = filled[-weeks * HOURS_PER_WEEK :]
        age_weeks = np.arange(len(block), 0, -1) / HOURS_PER_WEEK
        block = block * (measured_growth or 1.0) ** age_weeks
        basis = Basis.EXTRAPOLATED
    else:
        block, note = _short(load, filled)
        notes.append(note)
        basis = Basis.ASSUMED
    ahead = np.arange(hours_count)
    most_weeks = np.inf if growth_ratio is not None else float(weeks)
    future = block[ahead % len(block)] * growth ** np.minimum(ahead / HOURS_PER_WEEK, most_weeks)
    return replace(
        load,
        start=load.end,
        requests_per_s=np.asarray(future),
        basis=resting_on([load.basis], basis),
        notes=tuple(notes),
    )


def assumed_load(
    deployment_key: str, requests_per_s: float, peak_to_mean_ratio: float, start: datetime, hours_count: int
) -> HourlyLoad:
    """A day that has this mean and this busiest hour, every day alike: for a deployment without any history.

    Equation   rate(h) = mean x (1 + (r - 1) cos(2 pi (h - 14) / 24)) to r = 2; beyond, ((1 + cos)/2)^k over its mean,
               with k so that the peak is r times the mean
    Returns    an HourlyLoad, assumed
    Valid for  ratios to 24, when one hour has it all; the shape is a convention, not a finding
    Raises     DomainError for a rate below 0 or a ratio outside of 1 to 24
    Source     docs/capacity.md
    Example    twice the mean in the busiest hour, nothing in the quietest
    >>> from datetime import UTC
    >>> day = assumed_load("a", 5.0, 2.0, datetime(2026, 11, 16, tzinfo=UTC), 24).requests_per_s
    >>> [round(float(x), 6) for x in (day.mean(), day.max(), day.min())]
    [5.0, 10.0, 0.0]
    """
    if not (requests_per_s >= 0 and isfinite(requests_per_s) and 1 <= peak_to_mean_ratio <= HOURS_PER_DAY):
        raise DomainError(
            f"{deployment_key}: an assumed day needs a rate of 0 or more and a peak of 1 to 24 times the mean, "
            f"not {requests_per_s} and {peak_to_mean_ratio}."
        )
    hours = (start.hour + np.arange(hours_count)) % HOURS_PER_DAY
    return HourlyLoad(
        deployment_key=deployment_key,
        start=start,
        requests_per_s=np.asarray(requests_per_s * assumed_day_ratio(peak_to_mean_ratio)[hours]),
        basis=Basis.ASSUMED,
        notes=(
            f"{deployment_key}: no history; every day is taken to be alike, with a smooth peak of "
            f"{peak_to_mean_ratio:g} times the mean at {_PEAK_HOUR}:00 UTC.",
        ),
    )


def assumed_day_ratio(peak_to_mean_ratio: float) -> Floats:
    """The 24 hours of an assumed day over their mean; see `assumed_load`."""
    cosine = np.cos(2 * np.pi * (np.arange(HOURS_PER_DAY) - _PEAK_HOUR) / HOURS_PER_DAY)
    if peak_to_mean_ratio <= 2:
        return np.asarray(1 + (peak_to_mean_ratio - 1) * cosine)
    wave = (1 + cosine) / 2
    low, high = 1.0, 2.0
    while 1 / np.mean(wave**high) < min(peak_to_mean_ratio, HOURS_PER_DAY - ROUNDING):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / np.mean(wave**middle) < peak_to_mean_ratio else (low, middle)
    return np.asarray(wave**high / np.mean(wave**high))


def _growth_note(key: str, measured: float | None, weeks: int) -> str:
    if measured is None:
        return f"{key}: growth cannot be told from less than two weeks; none is taken."
    return (
        f"{key}: {measured - 1:+.1%} a week, as in the {weeks} weeks measured, is carried on for as many weeks; "
        "then the level stays."
    )


def _filled(load: HourlyLoad) -> tuple[Floats, int]:
    """Every hour known: by the same hour of the week, or of the day, or the mean of all; and how many were not."""
    rates = load.requests_per_s.copy()
    missing = int((~np.isfinite(rates)).sum())
    if not missing:
        return rates, 0
    for places in (load.hours_of_week, load.hours_of_week % HOURS_PER_DAY, np.zeros(len(rates), dtype=int)):
        known = np.isfinite(load.requests_per_s)
        counts = np.bincount(places[known], minlength=HOURS_PER_WEEK)
        sums = np.bincount(places[known], load.requests_per_s[known], minlength=HOURS_PER_WEEK)
        rest = ~np.isfinite(rates) & (counts[places] > 0)
        rates[rest] = sums[places[rest]] / counts[places[rest]]
    return rates, missing


def _short(load: HourlyLoad, filled: Floats) -> tuple[Floats, str]:
    """Less than a week: whole days again and again, or the mean of less than one."""
    hours = len(filled)
    days = hours // HOURS_PER_DAY
    if days:
        return filled[-days * HOURS_PER_DAY :], (
            f"{load.deployment_key}: {hours} hours of history; the days seen are taken for every day. A week shows "
            "weekends too."
        )
    return np.array([float(np.mean(filled))]), (
        f"{load.deployment_key}: {hours} hour{'s' * (hours > 1)} of history; the mean is taken for every hour, which "
        "hides every peak. A day shows its shape, a week its weekend."
    )


def _refuse_unheard_of(label: str, needed: Floats) -> None:
    known = needed[np.isfinite(needed)]
    if len(known) and known.max() > MOST_GPUS_COUNT:
        raise DomainError(
            f"{label} needs {ceil(known.max()):,} GPUs in its busiest hour; more than {MOST_GPUS_COUNT:,} cannot be "
            "bought. Check requests_per_s and the replica's capacity."
        )
