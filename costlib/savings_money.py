"""What a change did to the money: the bill, what is not paid any more, and GPU time that is free and still paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import exp

from costlib.allocation import in_cents
from costlib.estimate import Basis, Estimate
from costlib.lmdi import lmdi
from costlib.saving import Bar, Outcome
from costlib.units import HOURS_PER_DAY, HOURS_PER_MONTH

DAYS_PER_MONTH = HOURS_PER_MONTH / HOURS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """One window of the pools: what they cost, rented, ran and did on so many days; `cost` as billed."""

    days_count: int
    cost: Decimal
    gpu_hours: float
    busy_gpu_hours: float
    work: float

    @property
    def cost_per_month(self) -> Decimal:
        return self.cost * Decimal(repr(DAYS_PER_MONTH)) / self.days_count

    def per_month(self, amount: float) -> float:
        return amount * DAYS_PER_MONTH / self.days_count


def bars(before: Spent, after: Spent, log_effect: float, outcome: Outcome) -> tuple[Decimal, Decimal, tuple[Bar, ...]]:
    """From the spend before to the spend after, a month each: volume, price, the change, and everything else.

    Equation   V = N p g, g = e^d x rest;  effect of x = L(V1, V0) ln(x1 / x0) (domain_math §12.8). Of a change to what
               is paid, e^d is part of p
    Symbols    N units of work   p cost of a GPU-hour   g GPU-hours for a unit of work   d log_effect
    Returns    spend before, spend after, bars in whole cents: before + sum of bars = after
    Raises     DomainError unless there is work, cost and GPU time on both sides
    Example    nothing but the change: a tenth less for the same work
    >>> first = Spent(days_count=7, cost=Decimal(700), gpu_hours=100.0, busy_gpu_hours=50.0, work=1e3)
    >>> then = Spent(days_count=7, cost=Decimal(630), gpu_hours=90.0, busy_gpu_hours=50.0, work=1e3)
    >>> from math import log
    >>> [(bar.name, str(bar.amount)) for bar in bars(first, then, log(0.9), Outcome.GPU_HOURS)[2]]
    [('Volume', '0.00'), ('Price', '0.00'), ('This change', '-304.17'), ('Everything else', '0.00')]
    """
    step = exp(log_effect)
    work = [one.work / one.days_count for one in (before, after)]
    price = [float(one.cost) / one.gpu_hours for one in (before, after)]
    time = [one.gpu_hours / one.work for one in (before, after)]
    if outcome is Outcome.COST:
        price[1] /= step
    else:
        time[1] /= step
    scale = DAYS_PER_MONTH
    volume, paid, rest, change = lmdi(
        [work[0] * scale, price[0], time[0], 1.0], [work[1] * scale, price[1], time[1], step]
    )
    (first,) = in_cents([before.cost_per_month])
    (last,) = in_cents([after.cost_per_month])
    named = {"Volume": volume, "Price": paid, "This change": change, "Everything else": rest}
    given = [Decimal(repr(amount)) for amount in named.values()]
    given[-1] += last - first - sum(given)  # what rounding of floats left
    cents = in_cents(given)
    return first, last, tuple(Bar(name=name, amount=cent) for name, cent in zip(named, cents, strict=True))


def avoided(amount: float, log_effects: Sequence[float]) -> Estimate:
    """What was not used, of something of which `amount` was: amount x (e^-d - 1), for the interval of d.

    Example    90 used where a tenth was saved: 10 more would have been
    >>> from math import log
    >>> round(avoided(90.0, [log(0.8), log(0.9), 0.0]).mid, 6)
    10.0
    """
    low, mid, high = sorted(amount * (exp(-step) - 1) for step in log_effects)
    return Estimate(low=low, mid=mid, high=high, basis=Basis.MEASURED)


def capacity_freed(after: Spent, busy: Sequence[float], rented: Sequence[float]) -> Estimate:
    """GPU-hours a month that became free and are still paid: busy ones avoided, less rented ones that went.

    Symbols    busy, rented   low, middle and high of the log effect on GPU-hours that run, and that are rented
    Returns    GPU-hours a month; below zero where more went than became free, and idle time with it. The interval has
               both as if they hung on each other not at all, which is wider than they do
    """
    freed = avoided(after.per_month(after.busy_gpu_hours), busy)
    gone = avoided(after.per_month(after.gpu_hours), rented)
    return Estimate(low=freed.low - gone.high, mid=freed.mid - gone.mid, high=freed.high - gone.low,
                    basis=Basis.MEASURED)  # fmt: skip
