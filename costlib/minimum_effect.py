"""The smallest saving that a test can see, before it is begun: with a smaller promise it proves nothing either way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from math import exp, sqrt
from statistics import NormalDist

import numpy as np

from costlib.effect import LEAST_DAYS, LEVEL, Errors, effect
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.pool_days import PoolDays, Question, Window, question
from costlib.roofline import Floats
from costlib.saving import Design
from costlib.switchback import LEAST_PAIRS

POWER = 0.8
SEEN_FRACTION = 0.83  # of drawn tests: over many pools, whose noise is estimated too, four of five are seen then
DRAWS = 160
LENGTHS_DAYS = (7, 14, 28, 56)
_LEAST_HISTORY_DAYS = 21
_Z = NormalDist().inv_cdf(1 - LEVEL / 2) + NormalDist().inv_cdf(POWER)  # 2.8


def minimum_fraction(cv_fraction: float, autocorrelation_ratio: float, before_days: int, after_days: int) -> float:
    """The smallest difference of two means that is seen four times out of five, of the mean.

    Equation   2.8 c sqrt((1/n_1 + 1/n_2) (1 + r) / (1 - r))
    Symbols    c coefficient of variation of a day   r autocorrelation of days   2.8 = z_0.975 + z_0.8
    Valid for  many days, nothing else to be estimated. `smallest` asks what the verification itself will see
    Raises     DomainError unless -1 < r < 1 and there is a day on each side
    Source     domain_math §12.6
    Example    vector 30: 15 % from day to day, half of it handed on, two weeks on each side
    >>> round(minimum_fraction(0.15, 0.5, 14, 14), 3)
    0.275
    """
    if not -1 < autocorrelation_ratio < 1 or min(before_days, after_days) < 1:
        raise DomainError("an autocorrelation lies between -1 and 1, and there is a day on each side.")
    handed = sqrt((1 + autocorrelation_ratio) / (1 - autocorrelation_ratio))
    return _Z * cv_fraction * sqrt(1 / before_days + 1 / after_days) * handed


@dataclass(frozen=True, slots=True, kw_only=True)
class Smallest:
    """What one design over so many days can see, and what it was worked out from."""

    design: Design
    before_days: int
    after_days: int
    fraction: float
    error_sd: float  # of a day around what the model expects, as a logarithm
    autocorrelation_ratio: float


def smallest(
    pool: PoolDays, design: Design, before_days: int, after_days: int, control: PoolDays | None = None,
    level: float = LEVEL, draws: int = DRAWS, other_steps: Mapping[str, date] = {},
) -> Smallest | Undefined:  # fmt: skip
    """The smallest saving that the verification will see four times out of five, from the pool's own days.

    Equation   m = 1 - e^-q,  q = 83rd percentile of the upper end of the interval where nothing changed
    Returns    a Smallest; Undefined with the reason where the days so far are too few
    Valid for  days to come that vary as those so far. The test itself is run on drawn days: what it costs to estimate
               load, weekdays, trend and autocorrelation is in. `other_steps`, known changes, are no noise
    Raises     DomainError for a design that needs a control without one
    """
    if len(pool.days) < _LEAST_HISTORY_DAYS:
        return Undefined(reason=f"{len(pool.days)} days were measured, at least {_LEAST_HISTORY_DAYS} are needed")
    known = pool.on(pool.days[-before_days:])
    middle = known.days[len(known.days) // 2]
    halves = Window(before=(known.days[0], middle), after=(middle, known.days[-1] + timedelta(days=1)))
    asked = question(known, halves, design, control, _apart(other_steps, known, middle))
    if isinstance(asked, Undefined):
        return asked
    errors = effect(asked.series, asked.design, 0, asked.numbers).errors
    planned = _planned(known, before_days, after_days, design, control)
    if isinstance(planned, Undefined):
        return planned
    upper = _upper_ends(planned.design, planned.column, planned.numbers, errors, level, draws)
    kinds = errors.weights
    return Smallest(
        design=design, before_days=before_days, after_days=after_days,
        fraction=max(0.0, 1 - exp(-float(np.quantile(upper, SEEN_FRACTION)))),
        error_sd=float(kinds @ errors.sd),
        autocorrelation_ratio=float(kinds @ ((1 - errors.noise_fraction) * errors.autoregression_ratio)),
    )  # fmt: skip


def smallest_by_turns(log_cost: Floats, turns_per_day: int, after_days: int) -> Smallest | Undefined:
    """The smallest saving that a switchback over so many days will see four times out of five.

    Equation   m = 1 - exp(-2.8 s / sqrt(n)),  s deviation of log Y_t - log Y_{t + 1 day},  n = days / 2 x turns a day
    Symbols    log_cost  logarithm of the cost of a unit of work in each turn so far, NaN where it is not known
    Returns    a Smallest; Undefined where fewer than LEAST_PAIRS pairs of turns are known
    Valid for  days to come that vary as those so far
    """
    apart = (log_cost[:-turns_per_day] - log_cost[turns_per_day:])[np.isfinite(log_cost[:-turns_per_day])]
    apart = apart[np.isfinite(apart)]
    if len(apart) < LEAST_PAIRS:
        return Undefined(reason=f"{len(apart)} pairs of turns were measured, at least {LEAST_PAIRS} are needed")
    deviation, pairs = float(apart.std(ddof=1)), max(1, after_days // 2 * turns_per_day)
    return Smallest(
        design=Design.SWITCHBACK, before_days=0, after_days=after_days, error_sd=deviation, autocorrelation_ratio=0.0,
        fraction=1 - exp(-_Z * deviation / sqrt(pairs)),
    )  # fmt: skip


def _apart(steps: Mapping[str, date], known: PoolDays, middle: date) -> dict[str, date]:
    """Known changes far enough from the edges, from the middle and from each other to have a level of their own."""
    edges = [known.days[0], middle, known.days[-1]]
    found: dict[str, date] = {}
    for name, day in sorted(steps.items(), key=lambda item: item[1]):
        if min(abs((day - other).days) for other in (*edges, *found.values())) >= LEAST_DAYS:
            found[name] = day
    return found


def _planned(
    known: PoolDays, before_days: int, after_days: int, design: Design, control: PoolDays | None
) -> Question | Undefined:
    """The question that will be asked, its loads those of the weeks so far again."""
    start = known.days[0]
    count = before_days + after_days
    days = tuple(start + timedelta(days=n) for n in range(count))
    then = _again(known, days)
    beside = _again(control.on(known.days), days) if control is not None else None
    change = start + timedelta(days=before_days)
    window = Window(before=(start, change), after=(change, start + timedelta(days=count)))
    return question(then, window, design, beside)


def _again(pool: PoolDays, days: Sequence[date]) -> PoolDays:
    """The pool's days, over and over by whole weeks."""
    span = max(7, len(pool.days) // 7 * 7)
    at = np.arange(len(days)) % min(span, len(pool.days))
    again = {field.name: getattr(pool, field.name)[at] for field in fields(pool) if field.name != "days"}
    return PoolDays(days=tuple(days), **again)


def _upper_ends(
    design: Floats, column: int, numbers: Sequence[int], errors: Errors, level: float, draws: int
) -> Floats:
    """Where the interval of a test that changed nothing ends, above: a step of as much is just seen."""
    drawn = errors.drawn(len(numbers), draws)
    return np.array([effect(one, design, column, numbers).quantile(1 - level / 2) for one in drawn])


def best_length(found: Sequence[Smallest], promised_fraction: float) -> Smallest | None:
    """The shortest of what was worked out that sees the promise; None where none does."""
    able = [one for one in found if one.fraction <= promised_fraction]
    return min(able, key=lambda one: (one.after_days, one.before_days), default=None)
