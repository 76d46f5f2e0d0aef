"""On and off by turns, drawn by lot: what the turns themselves say, with no model of how hours hang together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil, log2, sqrt

import numpy as np

from costlib.effect import LEVEL
from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate, Undefined
from costlib.roofline import Floats
from costlib.units import HOURS_PER_DAY

DRAWS = 4000
LEAST_PAIRS = 6  # below it no draw is as rare as 5 %
TURNS_HOURS = (4, 6, 8, 12)  # each fits into a day whole, and outlives a cold cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One period of a switchback."""

    start: datetime
    end: datetime
    is_on: bool


def schedule(first: datetime, days_count: int, turn_hours: int, seed: int) -> tuple[Turn, ...]:
    """Turns for pairs of days: of the same hours on two days that follow each other, lot decides which is on.

    Returns    turns in order of time; each hour of the day is as often on as off
    Raises     DomainError for turns that do not fill a day, an odd number of days, or a start that is not midnight UTC
    Source     domain_math §12.3; Bojinov, Simchi-Levi, Zhao, Design and analysis of switchback experiments (2023)
    Example    two days in turns of twelve hours
    >>> [turn.is_on for turn in schedule(datetime(2026, 11, 2, tzinfo=UTC), 2, 12, seed=3)]
    [True, False, False, True]
    """
    if turn_hours not in TURNS_HOURS:
        raise DomainError(f"a turn lasts {', '.join(map(str, TURNS_HOURS))} hours, not {turn_hours}.")
    if days_count < 2 or days_count % 2:
        raise DomainError(f"turns are drawn for pairs of days: give an even number of days, not {days_count}.")
    if first.tzinfo is None or first.astimezone(UTC).time() != datetime.min.time():
        raise DomainError(f"turns begin at midnight UTC, not at {first.isoformat()}.")
    chance = np.random.default_rng(seed)
    per_day = HOURS_PER_DAY // turn_hours
    found = []
    for pair in range(days_count // 2):
        is_first_on = chance.integers(0, 2, per_day).astype(bool)
        for day in range(2):
            for place in range(per_day):
                start = first + timedelta(days=2 * pair + day, hours=place * turn_hours)
                is_on = bool(is_first_on[place]) is (day == 0)
                found.append(Turn(start=start, end=start + timedelta(hours=turn_hours), is_on=is_on))
    return tuple(found)


def turns_of(first: datetime, turn_hours: float, on: Sequence[tuple[datetime, datetime]]) -> tuple[Turn, ...]:
    """The turns of a switchback, from when it was on, to the end of the last pair of days."""
    step, turns, pair = timedelta(hours=turn_hours), [], timedelta(days=2)
    until = first + ceil((max(end for _, end in on) - first) / pair) * pair
    while first < until:
        turns.append(Turn(start=first, end=first + step, is_on=any(start <= first < end for start, end in on)))
        first += step
    return tuple(turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """What the turns say. Logarithms: `log_effect` is on over off.

    chance_fraction  share of the draws of lots that give as large an effect where there is none
    """

    pairs_count: int
    log_effect: float
    low: float
    high: float
    chance_fraction: float

    @property
    def saved_fraction(self) -> Estimate:
        low, mid, high = (1 - float(np.exp(step)) for step in (self.high, self.log_effect, self.low))
        return Estimate(low=min(low, mid), mid=mid, high=max(mid, high), basis=Basis.MEASURED)


def paired(turns: Sequence[Turn], log_cost: Floats, level: float = LEVEL) -> Paired | Undefined:
    """The effect of being on, from turns of the same hours on two days of which one was on.

    Equation   d_i = log Y_on - log Y_off of pair i;  T(e) = mean(d_i - e);  lots turned round change the sign of
               d_i - e, and the interval has every e whose |T(e)| is not among the `level` largest of such draws
    Symbols    Y cost of a unit of work in one turn; log_cost has NaN where it is not known
    Returns    Paired; Undefined where fewer than LEAST_PAIRS pairs are whole, or than make a draw as rare as `level`
    Valid for  turns that were drawn by lot as in `schedule`, whatever the noise; carry-over left out of each turn
    Source     Fisher's randomisation test, inverted (domain_math §12.3)
    Example    eight pairs around -10 %
    >>> turns = schedule(datetime(2026, 11, 2, tzinfo=UTC), 8, 12, seed=3)
    >>> noise = np.random.default_rng(0).normal(0, 0.02, len(turns))
    >>> found = paired(turns, np.array([-0.1 * turn.is_on for turn in turns]) + noise)
    >>> found.pairs_count, found.low < -0.1 < found.high < 0
    (8, True)
    """
    differences = _differences(turns, log_cost)
    least = max(LEAST_PAIRS, ceil(1 - log2(level)))  # all lots alike are 2 of 2^n draws
    if len(differences) < least:
        return Undefined(reason=f"{len(differences)} pairs of turns have data, at least {least} are needed")
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DRAWS, len(differences)))
    middle = float(differences.mean())
    reach = 20 * float(differences.std(ddof=1)) / sqrt(len(differences)) + 1e-9

    def chance(effect: float) -> float:
        left = differences - effect
        return float(np.mean(np.abs(signs @ left) >= abs(left.sum()) * (1 - 1e-12)))

    return Paired(
        pairs_count=len(differences),
        log_effect=middle,
        low=_edge(chance, middle, -reach, level),
        high=_edge(chance, middle, reach, level),
        chance_fraction=chance(0.0),
    )


def _differences(turns: Sequence[Turn], log_cost: Floats) -> Floats:
    """On minus off of each pair of turns one day apart, taken once."""
    by_start = {turn.start: (turn, float(cost)) for turn, cost in zip(turns, log_cost, strict=True)}
    used: set[datetime] = set()
    found = []
    for turn in sorted(turns, key=lambda one: one.start):
        other = by_start.get(turn.start + timedelta(days=1))
        if turn.start in used or other is None or other[0].is_on is turn.is_on:
            continue
        used |= {turn.start, other[0].start}
        mine = by_start[turn.start][1]
        difference = (mine - other[1]) * (1 if turn.is_on else -1)
        if np.isfinite(difference):
            found.append(difference)
    return np.array(found)


def _edge(chance: Callable[[float], float], middle: float, reach: float, level: float) -> float:
    """The farthest effect in one direction that the lots do not rule out, by halving."""
    inside, outside = 0.0, reach
    for _ in range(40):
        step = (inside + outside) / 2
        inside, outside = (step, outside) if chance(middle + step) > level else (inside, step)
    return middle + outside
