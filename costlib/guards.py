"""What must not get worse while money is saved: latency and failures in the same windows, each within its margin."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np

from costlib.effect import LEVEL, effect
from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate, Undefined
from costlib.pool_days import Window
from costlib.saving import GUARDED, Guard, GuardResult

LEAST = 1e-4  # below it a share of failures is taken for this one, so that it has a logarithm
_LEAST_DAYS = 3


def guard_results(
    guards: Sequence[Guard], guarded: Mapping[str, Mapping[date, float]], window: Window, level: float = LEVEL
) -> tuple[GuardResult, ...]:
    """How each guarded measure stepped at the change, by day.

    Equation   log m_t = level + d after_t + e_t;  broken where the whole interval of e^d - 1 is above the margin, held
               where all of it is below
    Returns    one result for each guard; Undefined where the measure is not known on some days of either side
    Source     domain_math §12.9 (non-inferiority, the margin set beforehand)
    """
    return tuple(_result(guard, guarded.get(guard.measure, {}), window, level) for guard in guards)


def _result(guard: Guard, by_day: Mapping[date, float], window: Window, level: float) -> GuardResult:
    days = [day for day in sorted(by_day) if window.is_before(day) or window.is_after(day)]
    days = [day for day in days if np.isfinite(by_day[day])]
    after = np.array([window.is_after(day) for day in days], dtype=bool)
    values = np.array([max(by_day[day], LEAST) for day in days])
    none = Undefined(reason=f"{GUARDED.get(guard.measure, guard.measure)} was measured on too few days")
    if min(int(after.sum()), int((~after).sum())) < _LEAST_DAYS:
        return GuardResult(guard=guard, before=none, after=none, change_fraction=none, is_broken=None)
    design = np.column_stack([np.ones(len(days)), after.astype(float)])
    try:
        found = effect(np.log(values), design, 1, [day.toordinal() for day in days])
    except DomainError:
        return GuardResult(guard=guard, before=none, after=none, change_fraction=none, is_broken=None)
    low, high = found.interval(level)
    low, mid, high = (float(np.exp(step)) - 1 for step in (low, found.middle, high))
    margin = guard.margin_fraction
    return GuardResult(
        guard=guard,
        before=float(np.mean(values[~after])),
        after=float(np.mean(values[after])),
        change_fraction=Estimate(low=low, mid=min(max(mid, low), high), high=high, basis=Basis.MEASURED),
        is_broken=True if low > margin else False if high <= margin else None,
    )
