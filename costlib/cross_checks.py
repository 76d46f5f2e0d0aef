"""The same question asked in other ways, to be shown beside the answer: what each would have said."""

from collections.abc import Mapping
from datetime import date

import numpy as np

from costlib.effect import LEVEL, Effect, block_bootstrap, effect, newey_west
from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate, Undefined
from costlib.pool_days import PoolDays, Question, Window, question
from costlib.roofline import Floats
from costlib.saving import Check, Design

MOST_PLACEBOS = 50
_LEAST_SIDE_DAYS = 14
_Z = 1.96


def placebo_fraction(
    pool: PoolDays, window: Window, design: Design, control: PoolDays | None, found: Effect,
    steps: Mapping[str, date] = {}, series: Floats | None = None,
) -> float | Undefined:  # fmt: skip
    """The share of dates before the change, at which nothing happened, with as clear a step as at the change.

    Equation   share of |d_k| / se_k >= |d| / se over up to 50 dates k that have 14 days before the change on each side
    Returns    0 to 1; about as rare as chance would have it where nothing was saved
    Source     domain_math §12.5
    """
    days = [day for day in pool.days if window.before[0] <= day < window.before[1]]
    if len(days) < 2 * _LEAST_SIDE_DAYS + 1:
        return Undefined(reason=f"{len(days)} days before the change are too few for dates at which nothing happened")
    dates = days[_LEAST_SIDE_DAYS : len(days) - _LEAST_SIDE_DAYS]
    dates = dates[:: -(-len(dates) // MOST_PLACEBOS)]
    seen = abs(found.middle) / found.standard_error
    as_clear = counted = 0
    for at in dates:
        there = Window(before=(days[0], at), after=(at, window.before[1]))
        asked = question(pool, there, design, control, steps, series=series)
        if isinstance(asked, Undefined):
            continue
        try:
            one = effect(asked.series, asked.design, asked.column, asked.numbers)
        except DomainError:
            continue
        counted += 1
        as_clear += abs(one.middle) / one.standard_error >= seen
    return as_clear / counted if counted else Undefined(reason="no date before the change could be tried")


def cuped(series: Floats, beside: Floats, is_before: Floats) -> tuple[Floats, float]:
    """The series less what one beside it, which the change does not reach, says of it.

    Equation   y' = y - theta (x - mean x),  theta = cov(y, x) / var(x) over the days before
    Returns    y' in the unit of y; and the part of the variance before the change that is gone, rho^2
    Source     Deng, Xu, Kohavi, Walker 2013 (CUPED); domain_math §12.4
    Example    a series that only follows another one has nothing left
    >>> x = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    >>> left, gone = cuped(2 * x + 7, x, np.ones(5, dtype=bool))
    >>> bool(np.ptp(left) < 1e-9), round(gone, 6)
    (True, 1.0)
    """
    y, x = series[is_before], beside[is_before]
    variance = float(np.var(x))
    if variance <= 0 or np.var(y) <= 0:
        return series, 0.0
    together = float(np.mean((y - y.mean()) * (x - x.mean())))
    return series - together / variance * (beside - x.mean()), together**2 / (variance * float(np.var(y)))


def checks(
    pool: PoolDays, window: Window, design: Design, control: PoolDays | None, asked: Question,
    steps: Mapping[str, date] = {}, series: Floats | None = None, level: float = LEVEL,
) -> tuple[Check, ...]:  # fmt: skip
    """Other methods on the same days, of the same `series` and with the same other `steps` taken out as `question` has
    them. None of them makes the verdict."""
    middle, error = newey_west(asked.series, asked.design, asked.column)
    drawn, low, high = block_bootstrap(asked.series, asked.design, asked.column)
    found = [
        Check(name="Least squares, Newey-West errors",
              saved_fraction=_saved(middle - _Z * error, middle, middle + _Z * error),
              note="too narrow on a few weeks"),
        Check(name="Least squares, block bootstrap", saved_fraction=_saved(low, drawn, high),
              note="blocks of a week; too narrow on a few weeks"),
    ]  # fmt: skip
    other = Design.BEFORE_AFTER if design is Design.DIFFERENCE else Design.DIFFERENCE
    name = {Design.BEFORE_AFTER: "Before and after alone, with a trend",
            Design.DIFFERENCE: "Difference-in-differences"}[other]  # fmt: skip
    if other is Design.BEFORE_AFTER or control is not None:
        again = question(pool, window, other, control, steps, series=series)
        found.append(Check(name=name, saved_fraction=_asked_again(again, level), note=""))
    if control is not None:
        found.append(_with_cuped(pool, window, control, steps, series, level))
    busy = question(pool, window, design, control, steps, is_busy=True)
    found.append(Check(name="Busy GPU time instead of rented", saved_fraction=_asked_again(busy, level),
                       note="what serving itself takes"))  # fmt: skip
    return tuple(found)


def _with_cuped(
    pool: PoolDays, window: Window, control: PoolDays, steps: Mapping[str, date], series: Floats | None, level: float
) -> Check:
    name = "CUPED with the untouched pool"
    own = dict(zip(pool.days, pool.log_cost() if series is None else series, strict=True))
    days = sorted(day for day in set(pool.days) & set(control.days) if np.isfinite(own[day]))
    mine, beside = pool.on(days), control.on(days).log_cost()
    before = np.array([window.is_before(day) for day in days], dtype=bool)
    if before.sum() < _LEAST_SIDE_DAYS:
        return Check(name=name, saved_fraction=Undefined(reason="too few days before the change"), note="")
    left, gone = cuped(np.array([own[day] for day in days]), beside, before)
    asked = question(mine, window, Design.BEFORE_AFTER, None, steps, series=left)
    return Check(
        name=name, saved_fraction=_asked_again(asked, level), note=f"{gone:.0%} of the variance before is gone"
    )


def _asked_again(asked: Question | Undefined, level: float) -> Estimate | Undefined:
    if isinstance(asked, Undefined):
        return asked
    if not np.isfinite(asked.series).all():
        return Undefined(reason="not measured on every day")
    try:
        return effect(asked.series, asked.design, asked.column, asked.numbers).saved_fraction(level)
    except DomainError as error:
        return Undefined(reason=str(error).rstrip("."))


def _saved(low: float, middle: float, high: float) -> Estimate:
    least, mid, most = sorted(1 - float(np.exp(step)) for step in (low, middle, high))
    return Estimate(low=least, mid=mid, high=most, basis=Basis.MEASURED)
