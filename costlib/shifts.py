"""Where a level moves and stays: a share by the hour, which was one thing for days and is another since."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR

Floats = NDArray[np.float64]

# J: judgements of ours, open to better ones.
LEAST_HOURS_COUNT = 16  # J: as many hours on either side, which cover a day: what comes and goes by the hour
LONGEST_WINDOW_HOURS = 4 * HOURS_PER_DAY  # J: and they lie within this, a weekend included
SHIFT_FRACTION = 0.05  # J: a share moves by this at least, and by half
AGREE_FRACTION = 0.9  # J: of the hours on either side lie nearer to their own side's mean
UNUSUAL_RATIO = (
    6.0  # J: times as much as the level moves from one day to the next at other times, where these are known
)
KNOWN_DAYS_COUNT = 3
HOURS_PER_WEEK = 7 * HOURS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A level moved from that of the values of `before` to that of `after`, which begins at `index`."""

    before: slice
    after: slice

    @property
    def index(self) -> int:
        return int(self.after.start)


def shifts(times_s: Floats, levels_fraction: Floats) -> list[Shift]:
    """Where a level moves and stays, oldest first; both arrays of shape (n,), times rising and on the hour.

    Equation   |mean after - mean before| >= SHIFT_FRACTION, the smaller mean at most half of the larger, and of either
               side AGREE_FRACTION of the values nearer to its own mean; where that holds at several hours in a row, the
               one that splits best: argmax of the cumulative sum of the distance from the middle
    Symbols    before, after  LEAST_HOURS_COUNT values at least, which cover a day and lie in LONGEST_WINDOW_HOURS
    Returns    each shift with the values that told it, on either side
    Valid for  what does not do the same a week before or after, which is the week's rhythm, and is UNUSUAL_RATIO times
               the median move at other times
    Raises     nothing; too few values have no shift
    Source     where it splits: the cumulative sum of Page, Continuous inspection schemes, Biometrika 1954
    Example    nothing for two days, then a fifth
    >>> found = shifts(np.arange(96) * 3600.0, np.repeat([0.0, 0.2], 48))
    >>> [one.index for one in found]
    [48]
    """
    hours, n = np.rint(np.asarray(times_s) / SECONDS_PER_HOUR), len(times_s)
    places = np.arange(n)
    first = np.minimum(places - LEAST_HOURS_COUNT, np.searchsorted(hours, hours - HOURS_PER_DAY))
    end = np.maximum(places + LEAST_HOURS_COUNT, np.searchsorted(hours, hours + HOURS_PER_DAY))
    fits = (first >= 0) & (end <= n)
    if not fits.any():
        return []
    first, end = np.maximum(first, 0), np.minimum(end, n)
    fits &= (hours - hours[0] >= HOURS_PER_DAY) & (hours[-1] + 1 - hours >= HOURS_PER_DAY)
    fits &= (hours - hours[first] <= LONGEST_WINDOW_HOURS) & (hours[end - 1] - hours < LONGEST_WINDOW_HOURS)
    sums = np.concatenate(([0.0], np.cumsum(levels_fraction)))
    before = (sums[places] - sums[first]) / np.maximum(1, places - first)
    after = (sums[end] - sums[places]) / np.maximum(1, end - places)
    rise = np.where(fits, after - before, 0.0)
    moved = (np.abs(rise) >= SHIFT_FRACTION) & (np.minimum(before, after) <= 0.5 * np.maximum(before, after))
    for week in (-HOURS_PER_WEEK, HOURS_PER_WEEK):
        then = np.minimum(np.searchsorted(hours, hours + week), n - 1)
        is_there = (hours[then] == hours + week) & fits[then]
        moved &= ~(is_there & (rise[then] * np.sign(rise) >= 0.5 * np.abs(rise)))
    middle = (before + after) / 2
    clear = [
        place
        for place in np.flatnonzero(moved)
        if _agrees(levels_fraction[first[place] : place], middle[place], -rise[place])
        and _agrees(levels_fraction[place : end[place]], middle[place], rise[place])
    ]
    found, apart = [], LEAST_HOURS_COUNT
    runs = np.cumsum([1, *(b - a > apart or rise[a] * rise[b] < 0 for a, b in pairwise(clear))])
    for run in np.unique(runs[: len(clear)]):
        best = max((place for place, of in zip(clear, runs, strict=False) if of == run), key=lambda p: abs(rise[p]))
        others = np.abs(rise[fits & ((places < first[best]) | (places >= end[best]))])
        if len(others) >= KNOWN_DAYS_COUNT * HOURS_PER_DAY and abs(rise[best]) < UNUSUAL_RATIO * np.median(others):
            continue
        window = levels_fraction[first[best] : end[best]]
        split = np.cumsum(np.sign(rise[best]) * (middle[best] - window))
        index = int(first[best] + np.argmax(split) + 1)
        if index < n:
            found.append(Shift(before=slice(first[index], index), after=slice(index, end[index])))
    return found


def _agrees(levels: Floats, middle: float, side: float) -> bool:
    return float(np.mean((levels - middle) * side > 0)) >= AGREE_FRACTION
