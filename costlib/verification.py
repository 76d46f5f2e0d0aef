"""Did it really save? One change against what was measured: a verdict with its interval, or why there is none."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from statistics import NormalDist
from typing import Any

import numpy as np

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.cross_checks import checks, placebo_fraction
from costlib.effect import LEVEL
from costlib.estimate import Basis, Estimate, Undefined
from costlib.guards import guard_results
from costlib.lever import Work
from costlib.pool_days import PoolDays, PoolHours, Question, Window, by_day, question
from costlib.saving import GUARDED, DayPoint, Design, Entry, Outcome, Plan, Verdict, Verification
from costlib.savings_money import Spent, avoided, bars, capacity_freed
from costlib.switchback import paired, turns_of
from costlib.units import TOKENS_PER_MTOK
from costlib.verifiable import (
    CannotTell,
    Measured,
    about_load,
    asked_of,
    billed_series,
    must_be_measured,
    must_be_the_same_size,
    other_steps,
    solved,
    window_of_entry,
    window_to_compare,
)

NOT_MEASURED = Undefined(reason="not measured")
_NORMAL = NormalDist()
_CARRY_OVER = timedelta(hours=1)  # of a turn: caches warm up, replicas come and go


def verify(entry: Entry, measured: Measured, level: float = LEVEL) -> Verification:
    """The verdict on a change that was shipped, with everything it rests on.

    Returns    a Verification; CANNOT_TELL, with the reason and what would settle it, where the data cannot say
    Valid for  a plan that was frozen before. What prices, volume, weekdays, load and trend did is taken out; of a
               Plan with `looks_count` 1 nothing is said before its days are over
    Source     domain_math §12
    """
    plan = entry.plan
    try:
        if plan is None or entry.shipped_at is None:
            raise CannotTell(
                "nothing was promised before it was shipped, or it was not shipped yet", "commit, and ship"
            )
        if plan.work is Work.OUTSIDE:
            raise CannotTell(
                "this change keeps requests from the servers: their metrics show less work at the same cost of it",
                "count what clients ask at the gateway, or compare bills by hand",
            )
        return _verified(entry, plan, measured, level)
    except CannotTell as known:
        return silent(entry, known.reason, known.remedy, measured.data_digest)


def silent(entry: Entry, reason: str, remedy: str, data_digest: str = "") -> Verification:
    """That it cannot be told."""
    none = Undefined(reason=reason)
    window = window_of_entry(entry) if entry.plan and entry.shipped_at else None
    return Verification(
        entry_id=entry.id, verdict=Verdict.CANNOT_TELL, reason=reason, remedy=remedy, saved_fraction=none,
        before=window.before if window else None, after=window.after if window else None,
        minimum_fraction=none, naive_fraction=none, placebo_fraction=none, realised_fraction=none,
        bill_change_usd_per_month=none, cash_usd_per_month=none, capacity_gpu_hours_per_month=none,
        is_final=False, spend_before=none, spend_after=none, data_digest=data_digest,
    )  # fmt: skip


def _verified(entry: Entry, plan: Plan, measured: Measured, level: float) -> Verification:
    window, level = window_to_compare(entry, plan, measured, level)
    pool = by_day(measured.pool, plan.work, plan.weights, window.before)
    control = None if measured.control is None else by_day(measured.control, plan.work, plan.weights, window.before)
    must_be_measured(measured, plan, window)
    steps = other_steps(entry, plan, window, measured)
    series = billed_series(pool, plan, measured.cost_by_day)
    asked = asked_of(pool, window, plan, control, steps, series)
    found = solved(asked)
    must_be_the_same_size(measured.pool, pool, window, found.middle, plan)
    saved, sure = found.saved_fraction(level), (found.quantile(level / 2), found.middle, found.quantile(1 - level / 2))
    notes = [*asked.notes, *(f"Taken out as well: {name}." for name in steps), *about_load(measured.pool, window, plan)]
    if plan.design is Design.SWITCHBACK:
        turns = _turns(entry, measured.pool, plan, level)
        if isinstance(turns, Undefined):
            raise CannotTell(turns.reason, "let it run for more pairs of days")
        saved = turns
        sure = tuple(float(np.log(1 - min(part, 0.999))) for part in (turns.high, turns.mid, turns.low))  # type: ignore[assignment]
    half = (sure[2] - sure[0]) / 2
    error = half / _NORMAL.inv_cdf(1 - level / 2) if plan.design is Design.SWITCHBACK else found.standard_error
    smallest = 1 - float(np.exp(-(half + 0.8416 * error)))
    guards = guard_results(plan.guards, measured.guarded, window)
    verdict, reason, remedy = _verdict(
        plan, saved, smallest, [GUARDED.get(one.guard.measure, one.guard.measure) for one in guards if one.is_broken]
    )
    unsure = [one.guard.measure for one in guards if one.is_broken is None]
    notes += [f"{GUARDED.get(name, name)}: whether it stayed within its margin cannot be told." for name in unsure]
    promised = plan.projection.saved_fraction.mid
    money = _money(entry, measured, pool, window, plan, sure, asked, control, steps)
    return Verification(
        entry_id=entry.id, verdict=verdict, reason=reason, remedy=remedy, before=window.before, after=window.after,
        log_effect=sure[1], standard_error=error, saved_fraction=saved, minimum_fraction=smallest,
        placebo_fraction=placebo_fraction(pool, window, plan.design, control, found, steps, series),
        realised_fraction=_over(saved, promised),
        checks=checks(pool, window, plan.design, control, asked, steps, series, level),
        guards=guards, distributions=measured.distributions, days=_points(asked, pool, plan, sure[1]),
        notes=tuple(notes), data_digest=measured.data_digest, **money,
    )  # fmt: skip


# What is to be said ---------------------------------------------------------------------------------------------------


def _turns(entry: Entry, hours: PoolHours, plan: Plan, level: float) -> Estimate | Undefined:
    """Of a switchback, what its turns say."""
    every = entry.switched_every_hours
    if not entry.periods or not every or entry.shipped_at is None:
        return Undefined(reason="nobody noted when it was on")
    turns = turns_of(entry.shipped_at, every, entry.periods)
    costs = hours.log_cost_of([(turn.start + _CARRY_OVER, turn.end) for turn in turns], plan.work, plan.weights)
    found = paired(turns, costs, level)
    return found if isinstance(found, Undefined) else found.saved_fraction


def _verdict(plan: Plan, saved: Estimate, smallest: float, broken: Sequence[str]) -> tuple[Verdict, str, str]:
    promised = plan.projection.saved_fraction.mid
    said = f"saved {saved.mid:.1%} of the cost of a unit of work, between {saved.low:.1%} and {saved.high:.1%}"
    if saved.high < 0:
        return Verdict.ROSE, f"a unit of work costs {-saved.mid:.1%} more, at least {-saved.high:.1%}", "take it back"
    if saved.low > 0:
        if broken:
            return (
                Verdict.GUARD_BROKEN,
                f"{said}, and {', '.join(broken)} got worse beyond the margin",
                "mend that first",
            )
        if plan.quality and plan.quality.is_held is False:
            least = plan.quality.least_accepted_fraction or 0.0
            return (
                Verdict.GUARD_BROKEN,
                f"{said}, and only {least:.1%} of its answers are surely accepted",
                "mend that first",
            )
        if plan.quality and plan.quality.is_held is None:
            return Verdict.PROBABLE, f"{said}; nobody evaluated its answers", "evaluate them, and commit to that"
        if plan.design is Design.BEFORE_AFTER:
            return (Verdict.PROBABLE, f"{said}; nothing untouched was compared with",
                    "name a pool that nobody touches, or switch it on and off by lot")  # fmt: skip
        if saved.high < promised:
            return Verdict.PARTIAL, f"{said}, which is less than the promised {promised:.1%}", ""
        return Verdict.VERIFIED, said, ""
    if saved.high < promised or smallest <= promised:
        return (Verdict.NOT_SHOWN, f"between {saved.low:.1%} and {saved.high:.1%} were saved, which may be nothing; "
                f"the promised {promised:.1%} would have been seen", "")  # fmt: skip
    return (Verdict.CANNOT_TELL, f"the smallest saving that can be seen here is {smallest:.1%}, and {promised:.1%} was "
            "promised", "compare more days, with an untouched pool, or switch it on and off by lot")  # fmt: skip


def _over(saved: Estimate, promised: float) -> Estimate | Undefined:
    if promised <= 0:
        return Undefined(reason="no saving was promised")
    return Estimate(low=saved.low / promised, mid=saved.mid / promised, high=saved.high / promised,
                    basis=Basis.MEASURED)  # fmt: skip


def _points(asked: Question, pool: PoolDays, plan: Plan, log_effect: float) -> tuple[DayPoint, ...]:
    """By day the cost of a million units of work at the frozen price and at equal load, and what it would have been.

    A day's GPU-hours over the usual ones, times what a unit took before: idle weekends do not drown the rest.
    """
    found, is_by_turns = pool.on(asked.days), plan.design is Design.SWITCHBACK
    before = found.only(~asked.is_after)
    unit_gpu_hours = float(before.gpu_hours.sum() / before.work.sum())
    usd = unit_gpu_hours * np.exp(found.log_cost()) * plan.usd_per_gpu_hour * TOKENS_PER_MTOK
    return tuple(
        DayPoint(
            on=day, usd_per_mtok=float(cost), is_after=bool(is_after),
            without_usd_per_mtok=float(cost * np.exp(-log_effect)) if is_after and not is_by_turns else None,
        )
        for day, cost, is_after in zip(asked.days, usd, asked.is_after, strict=True)
    )  # fmt: skip


# Money ----------------------------------------------------------------------------------------------------------------


def _money(
    entry: Entry, measured: Measured, pool: PoolDays, window: Window, plan: Plan, sure: Sequence[float],
    asked: Question, control: PoolDays | None, steps: Mapping[str, date],
) -> dict[str, Any]:  # fmt: skip
    sides = [_spent(pool, measured.cost_by_day, [day for day in asked.days if holds(day)])
             for holds in (window.is_before, window.is_after)]  # fmt: skip
    before, after = sides
    months = {f"{day:%Y-%m}" for day in asked.days}
    freed: Estimate | Undefined = NOT_MEASURED
    busy = _time_effect(question(pool, window, plan.design, control, steps, is_busy=True))
    rented = sure
    if plan.outcome is Outcome.COST:  # what is paid fell, not the hours that are rented
        rented = _time_effect(question(pool, window, plan.design, control, steps))
    if isinstance(after, Spent) and busy and rented:
        freed = capacity_freed(after, busy, rented)
    if isinstance(before, Undefined) or isinstance(after, Undefined):
        why = before if isinstance(before, Undefined) else after
        assert isinstance(why, Undefined)
        return {"naive_fraction": _naive_of_time(pool, asked), "bill_change_usd_per_month": why, "spend_before": why,
                "cash_usd_per_month": why, "capacity_gpu_hours_per_month": freed, "is_final": False,
                "spend_after": why}  # fmt: skip
    if plan.design is Design.SWITCHBACK:
        return _money_of_turns(before, after, _on_fraction(entry, window), sure, months <= measured.final_months)
    first, last, steps_of_bill = bars(before, after, sure[1], plan.outcome)
    return {
        "naive_fraction": 1 - float(after.cost_per_month / before.cost_per_month),
        "bill_change_usd_per_month": last - first,
        "cash_usd_per_month": avoided(float(after.cost_per_month), sure),
        "capacity_gpu_hours_per_month": freed,
        "is_final": months <= measured.final_months,
        "spend_before": first,
        "spend_after": last,
        "bars": steps_of_bill,
    }


def _on_fraction(entry: Entry, window: Window) -> float:
    """The part of the days after in which a switchback was on."""
    first, end = (datetime.combine(day, time.min, UTC) for day in window.after)
    on = sum((max(min(last, end) - max(since, first), timedelta(0)) for since, last in entry.periods), timedelta(0))
    return on / (end - first)


def _money_of_turns(
    before: Spent, after: Spent, on_fraction: float, sure: Sequence[float], is_final: bool
) -> dict[str, Any]:
    """Of a switchback: what is not paid once it is on all the time, C_off (1 - e^d), C = C_off (f e^d + 1 - f)."""
    none = Undefined(reason="it was on by turns: the bill of these weeks is of both")
    cost = float(after.cost_per_month)
    off = [cost / (on_fraction * float(np.exp(step)) + 1 - on_fraction) for step in sure]
    low, mid, high = sorted(one * (1 - float(np.exp(step))) for one, step in zip(off, sure, strict=True))
    first, last = in_cents([before.cost_per_month, after.cost_per_month])
    return {
        "naive_fraction": none, "bill_change_usd_per_month": none, "capacity_gpu_hours_per_month": none,
        "cash_usd_per_month": Estimate(low=low, mid=mid, high=high, basis=Basis.MEASURED), "is_final": is_final,
        "spend_before": first, "spend_after": last,
    }  # fmt: skip


def _time_effect(asked: Question | Undefined) -> Sequence[float]:
    """Low, high and middle of the log effect on GPU-hours; nothing where they are not measured on every day."""
    if isinstance(asked, Undefined) or not np.isfinite(asked.series).all():
        return ()
    found = solved(asked)
    return (*found.interval(), found.middle)


def _spent(pool: PoolDays, cost_by_day: Mapping[date, Decimal] | Undefined, days: Sequence[date]) -> Spent | Undefined:
    if isinstance(cost_by_day, Undefined):
        return cost_by_day
    if missing := [day for day in days if day not in cost_by_day]:
        return Undefined(reason=f"{len(missing)} days of the window are not billed yet, the first {missing[0]}")
    cost, part = exact_sum(cost_by_day[day] for day in days), pool.on(days)
    if cost <= 0:
        return Undefined(reason="nothing was billed for these pools")
    return Spent(
        days_count=len(days), cost=cost, gpu_hours=float(part.gpu_hours.sum()), work=float(part.work.sum()),
        busy_gpu_hours=float(np.nansum(part.busy_gpu_hours)),
    )  # fmt: skip


def _naive_of_time(pool: PoolDays, asked: Question) -> float:
    rented = pool.on(asked.days).gpu_hours
    return 1 - float(rented[asked.is_after].mean() / rented[~asked.is_after].mean())
