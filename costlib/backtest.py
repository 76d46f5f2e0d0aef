"""How good forecasts of the past would have been: made again at many a day, from what was known on it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

import numpy as np

from costlib.allocation import CENT
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.forecast import TAILS, Forecast, History, Step, forecast
from costlib.smoothing import WEEK, Array


class Method(StrEnum):
    DRIVERS = "drivers"
    DIRECT = "direct"  # the cost itself, smoothed
    SEASONAL_NAIVE = "seasonal_naive"  # the same weekday of the last week
    NAIVE = "naive"  # the last day


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How far forecasts were off, as a share of what was spent, and how many days lay between P10 and P90.

    `total_inside_fraction` is of the sums of all days ahead, which is what a month end is.
    """

    error_fraction: Mapping[Method, float]
    inside_fraction: float
    total_inside_fraction: float
    origins_count: int

    def skill_fraction(self, against: Method = Method.SEASONAL_NAIVE) -> float | Undefined:
        """1 - own error / theirs: above 0 is better."""
        theirs = self.error_fraction[against]
        own = self.error_fraction[Method.DRIVERS]
        return 1 - own / theirs if theirs else Undefined(reason=f"{against} was never off")


def backtest(
    history: History,
    *,
    known_days: int,
    ahead_days: int,
    every_days: int = WEEK,
    steps: Iterable[Step] = (),
    make: Callable[..., Forecast] = forecast,
    is_window: bool = False,
) -> Score:
    """Forecasts made after `known_days`, and then every `every_days`, beside what came.

    Equation   error = sum |P50 - actual| / sum actual, over all days of all forecasts
    Returns    Score. With `is_window` each forecast knows the last `known_days` only, else everything before it
    Valid for  `steps` that were known all along; days that are not known are left out
    Raises     DomainError when the history is too short for one forecast
    Example    a fleet that costs the same every day
    >>> from datetime import date
    >>> from decimal import Decimal
    >>> flat = History(key="", first=date(2026, 1, 5), cost=[Decimal(5)] * 40)
    >>> found = backtest(flat, known_days=21, ahead_days=7)
    >>> round(found.error_fraction[Method.DRIVERS], 9), found.inside_fraction, found.origins_count
    (0.0, 1.0, 2)
    """
    cost = np.array([np.nan if amount is None else float(amount) for amount in history.cost])
    origins = range(known_days, len(cost) - ahead_days + 1, every_days)
    if not origins:
        raise DomainError(
            f"{history.key!r}: {len(cost)} days are too few to try a forecast of {ahead_days} after {known_days}."
        )
    off: dict[Method, list[Array]] = {method: [] for method in Method}
    inside, sums, actual = [], [], []
    for origin in origins:
        known = _days(history, origin - known_days if is_window else 0, origin)
        came = cost[origin : origin + ahead_days]
        seen = np.isfinite(came)
        made = {Method.DRIVERS: make(known, ahead_days, steps).draws}
        direct = replace(known, tokens={}, cost_of={}, requests=None)
        made[Method.DIRECT] = forecast(direct, ahead_days, steps).draws if known.tokens else made[Method.DRIVERS]
        said = {method: np.quantile(draws, 0.5, axis=0) for method, draws in made.items()}
        said |= _naive(cost[:origin], ahead_days)
        for method, middle in said.items():
            off[method].append(np.abs(middle - came)[seen])
        draws = made[Method.DRIVERS]
        low, high = _tails(draws)
        inside.append(((low <= came) & (came <= high))[seen])
        actual.append(np.abs(came[seen]))
        if seen.all():
            low, high = _tails(draws.sum(axis=1, keepdims=True))
            sums.append(low[0] <= came.sum() <= high[0])
    spent = np.concatenate(actual).sum()
    return Score(
        error_fraction={method: float(np.concatenate(found).sum() / spent) for method, found in off.items()},
        inside_fraction=float(np.concatenate(inside).mean()),
        total_inside_fraction=float(np.mean(sums)) if sums else float("nan"),
        origins_count=len(origins),
    )


def _tails(draws: Array) -> tuple[Array, Array]:
    """P10 and P90, half a cent apart at least: forecasts are to the cent."""
    low, high = np.quantile(draws, (TAILS[0], TAILS[2]), axis=0)
    slack = float(CENT) / 2 + 1e-9 * np.abs(high)
    return low - slack, high + slack


def _naive(cost: Array, ahead_days: int) -> dict[Method, Array]:
    """A day that is not known is that of the week before."""
    filled = cost.copy()
    for day in range(len(filled)):
        if not np.isfinite(filled[day]):
            filled[day] = filled[day - WEEK] if day >= WEEK else np.nanmedian(cost)
    return {
        Method.SEASONAL_NAIVE: np.resize(filled[-WEEK:], ahead_days),
        Method.NAIVE: np.full(ahead_days, filled[-1]),
    }


def _days(history: History, start: int, end: int) -> History:
    """The days from `start` to before `end` of a history."""
    cut = slice(start, end)
    return replace(
        history,
        first=history.first + timedelta(days=start),
        cost=history.cost[cut],
        requests=None if history.requests is None else history.requests[cut],
        tokens={name: counts[cut] for name, counts in history.tokens.items()},
        cost_of={name: amounts[cut] for name, amounts in history.cost_of.items()},
        items={name: amounts[cut] for name, amounts in history.items.items()},
    )
