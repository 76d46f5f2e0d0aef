"""Daily series, days ahead: level, damped trend and weekdays by exponential smoothing, with draws of what may come.

Each series has a smoothing of its own; the errors that are drawn are of the same past days in all series of one call,
so that what moved together in the past does so in every draw.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from costlib.errors import DomainError

Array = NDArray[np.float64]

WEEK = 7
LEAST_DAYS = 14  # two of each weekday
DRAWS = 400
BLOCK_DAYS = 7  # of errors that are drawn together: what lasts for days does so in a draw too
INSIDE = 0.8  # of the days should lie between P10 and P90
_LOSS_DAYS = (1, 4, 8, 14)  # ahead, over which the smoothing is chosen
_WARM_UP_DAYS = 14
_OUTLIER = 3.0  # times the usual error: a day that is further off does not teach more than that
_SHIFT_DAYS = 3  # in a row, on the same side: then it is no outlier but a new level
_LIVELY = 1.02  # a smoothing with a trend must be better by this to be preferred
_GRID = np.array(
    [
        (level, trend, season, damping)
        for level, trend, season, damping in product(
            (0.03, 0.08, 0.15, 0.3, 0.5, 0.8), (0.0, 0.02, 0.08), (0.0, 0.05, 0.15), (0.85, 0.95)
        )
        if trend or damping == 0.95  # without a trend there is nothing to damp
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """`middle` is series x days ahead, `draws` series x draws x days ahead; a draw is of the same past days in all."""

    middle: Array
    draws: Array


def weekdays_of(values: Array) -> Array:
    """The usual distance of each weekday from the week around it, series x 7; the first column is the first day's.

    Equation   median over weeks of (y - mean of the 7 days around), less the mean of the seven
    Returns    the unit of `values`, 0 where a weekday was never seen
    Valid for  a series x days array, nan where a day is missing
    Example    a workday of 3, a weekend of 1
    >>> [round(float(x), 2) for x in weekdays_of(np.array([[3.0] * 5 + [1.0] * 2] * 4).reshape(1, -1))[0]]
    [0.57, 0.57, 0.57, 0.57, 0.57, -1.43, -1.43]
    """
    count, days = values.shape
    padded = np.pad(values, ((0, 0), (3, 3)), constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, WEEK, axis=1)
    known = np.isfinite(around).sum(axis=2)
    mean = np.where(known >= WEEK - 2, np.nansum(around, axis=2) / np.maximum(known, 1), np.nan)
    # The mean of a week with a gap would lean to the days it has.
    mean = np.where(known == WEEK, mean, np.nan)
    apart = values - mean
    found = np.zeros((count, WEEK))
    for weekday in range(WEEK):
        own = apart[:, weekday:days:WEEK]
        for row in range(count):
            seen = own[row][np.isfinite(own[row])]
            found[row, weekday] = np.median(seen) if len(seen) else 0.0
    return np.asarray(found - found.mean(axis=1, keepdims=True))


def smooth(values: Array, ahead_days: int, draws_count: int = DRAWS, seed: int = 0) -> Smoothed:
    """The next `ahead_days` of each row of `values`, which is series x days, nan where a day is missing.

    Equation   y(t+h) = l + (d + d^2 + ... + d^h) b + s(weekday);  e = y - forecast of the day before, cut at 3 times
               the usual one unless it is the third such day in a row;  l += d b + A e;  b = d b + B e;  s += C e
               A, B, C and d are those of a grid with the least mean |error| 1 to 14 days ahead. Draws follow the same
               equations with past errors in blocks of 7 days, and are widened or narrowed until 80 % of the past,
               and what few weeks of it leave open (a factor 1 + 1/weeks), lies between their P10 and P90
    Returns    Smoothed, in the unit of `values`; the same for the same `seed`
    Valid for  14 days and more; weekdays count from the third week. What never happened in the past is in no draw
    Raises     DomainError for too few days, or a series without any
    Source     Hyndman et al. 2008, Forecasting with Exponential Smoothing, ch. 3; Gelper et al. 2010 for the cut
    Example    what was always 5 stays 5
    >>> smooth(np.full((1, 21), 5.0), 2, 10).middle.tolist()
    [[5.0, 5.0]]
    """
    count, days = values.shape
    if days < LEAST_DAYS or not np.isfinite(values).any(axis=1).all() or ahead_days < 1:
        raise DomainError(
            f"{days} days cannot be continued by {ahead_days}: {LEAST_DAYS} days and one measured at least are needed."
        )
    season = weekdays_of(values) if days >= 3 * WEEK else np.zeros((count, WEEK))
    start = np.nanmedian((values - np.resize(season, (count, days)))[:, :LEAST_DAYS], axis=1)
    start = np.where(np.isfinite(start), start, np.nanmedian(values, axis=1))
    usual = _usual_error(values)
    loss = _run(values, start, season, usual, _GRID[None], _LOSS_DAYS).loss * np.where(_GRID[:, 1] > 0, _LIVELY, 1.0)
    chosen = _GRID[np.argmin(loss, axis=1)][:, None]
    final = _run(values, start, season, usual, chosen, tuple(range(1, min(ahead_days, 28) + 1)))
    level, trend, weekday = final.level[:, 0], final.trend[:, 0], final.season[:, 0]
    past = final.errors[:, 0, _WARM_UP_DAYS // 2 :] if days >= 2 * _WARM_UP_DAYS else final.errors[:, 0]
    still = np.zeros((count, 1, ahead_days))
    middle = _follow(level, trend, weekday, days, chosen, still)[:, 0]
    shocks = _blocks(past, draws_count, ahead_days, np.random.default_rng(seed))
    spread = _follow(level, trend, weekday, days, chosen, shocks) - middle[:, None]
    return Smoothed(middle=middle, draws=middle[:, None] + _widened(spread, final))


@dataclass(frozen=True, slots=True)
class _Run:
    """What smoothing with each line of a grid left. `ahead` are errors: series x lines x days x days ahead.

    A grid is series x lines x 4, or 1 x lines x 4 for all series.
    """

    loss: Array
    errors: Array
    level: Array
    trend: Array
    season: Array
    ahead: Array


def _run(values: Array, start: Array, season: Array, usual: Array, grid: Array, ahead: tuple[int, ...]) -> _Run:
    count, days = values.shape
    lines = grid.shape[1]
    a, b, c, d = (grid[:, :, column] for column in range(4))
    level = np.repeat(start[:, None], lines, axis=1)
    trend = np.zeros((count, lines))
    weekday = np.repeat(season[:, None], lines, axis=1)
    size = np.repeat(usual[:, None], lines, axis=1)
    sides = np.zeros((count, lines))
    further = np.array(ahead)
    powers = d[:, :, None] ** np.arange(1, further[-1] + 1)
    reach = np.cumsum(powers, axis=2)[:, :, further - 1]
    padded = np.pad(values, ((0, 0), (0, int(further[-1]))), constant_values=np.nan)
    errors = np.full((count, lines, days), np.nan)
    off = np.full((count, lines, days, len(ahead)), np.nan)
    for day in range(days):
        to_come = day - 1 + further
        said = level[:, :, None] + reach * trend[:, :, None] + weekday[:, :, to_come % WEEK]
        off[:, :, day] = padded[:, None, to_come] - said
        now = day % WEEK
        error = values[:, day, None] - (level + d * trend + weekday[:, :, now])
        known = np.isfinite(error)
        error = np.where(known, error, 0.0)
        errors[:, :, day] = np.where(known, error, np.nan)
        is_far = np.abs(error) > _OUTLIER * size
        side = np.where(is_far, np.sign(error), 0.0)
        sides = np.where(known, np.where(side == 0, 0.0, np.where(sides * side > 0, sides + side, side)), sides)
        bound = _OUTLIER * size
        taken = np.where(np.abs(sides) >= _SHIFT_DAYS, error, np.clip(error, -bound, bound))
        level, trend = level + d * trend + a * taken, d * trend + b * taken
        weekday[:, :, now] += c * taken
        size = np.where(known, 0.95 * size + 0.05 * np.minimum(1.25 * np.abs(error), bound), size)
    judged = np.abs(off[:, :, min(_WARM_UP_DAYS, days // 2) :])
    loss = np.where(np.isfinite(judged), judged, 0.0).mean(axis=(2, 3))
    return _Run(loss=loss, errors=errors, level=level, trend=trend, season=weekday, ahead=off)


def _follow(level: Array, trend: Array, season: Array, first_day: int, chosen: Array, shocks: Array) -> Array:
    """The equations onwards, with an error for each day: series x draws x days ahead."""
    a, b, c, d = (chosen[:, :, column] for column in range(4))
    count, draws, ahead = shocks.shape
    at, slope = np.repeat(level[:, None], draws, 1), np.repeat(trend[:, None], draws, 1)
    weekday = np.repeat(season[:, None], draws, 1)
    found = np.empty((count, draws, ahead))
    for day in range(ahead):
        now, error = (first_day + day) % WEEK, shocks[:, :, day]
        found[:, :, day] = at + d * slope + weekday[:, :, now] + error
        at, slope = at + d * slope + a * error, d * slope + b * error
        weekday[:, :, now] += c * error
    return found


def _usual_error(values: Array) -> Array:
    """1.48 median |y - y of a week before|/sqrt 2: the standard deviation of a day, if most days are alike."""
    apart = np.abs(values[:, WEEK:] - values[:, :-WEEK])
    found = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in apart])
    return np.asarray(1.48 * found / np.sqrt(2) + 1e-9 * np.nanmax(np.abs(values), axis=1) + 1e-12)


def _blocks(past: Array, draws: int, ahead: int, rng: np.random.Generator) -> Array:
    """Past errors, less their mean, in blocks of consecutive days; the same days for every series."""
    centred = np.nan_to_num(past - np.nanmean(past, axis=1, keepdims=True))
    days = past.shape[1]
    blocks = -(-ahead // BLOCK_DAYS)
    first = rng.integers(0, days, (draws, blocks))
    taken = ((first[:, :, None] + np.arange(BLOCK_DAYS)) % days).reshape(draws, -1)[:, :ahead]
    return np.asarray(centred[:, taken])


def _widened(spread: Array, run: _Run) -> Array:
    """`spread` times what makes 80 % of the errors of the past lie inside, series by series."""
    ahead = run.ahead.shape[3]
    low, high = (np.abs(np.quantile(spread[:, :, :ahead], tail, axis=1)) for tail in (0.1, 0.9))
    found = spread.copy()
    for row in range(len(spread)):
        errors = run.ahead[row, 0, _WARM_UP_DAYS:]
        width = np.where(errors < 0, low[row], high[row])
        seen = np.isfinite(errors) & (width > 0)
        if seen.sum() >= _WARM_UP_DAYS:
            weeks = len(errors) / WEEK  # errors of one week say much the same
            inside = min(0.95, INSIDE * (1 + 1 / weeks))
            found[row] *= np.clip(np.quantile(np.abs(errors[seen]) / width[seen], inside), 0.5, 3.0)
    return found
