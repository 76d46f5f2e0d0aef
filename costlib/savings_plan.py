"""Savings plans: money committed by the hour rather than GPUs, used up by whatever runs of the families it covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.roofline import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Covered:
    """One GPU that a plan covers: how many are needed in each hour, and what one costs with the plan and without."""

    gpu_key: str
    needed_gpus_count: Floats
    usd_per_gpu_hour: float
    plan_usd_per_gpu_hour: float

    def __post_init__(self) -> None:
        if not 0 < self.plan_usd_per_gpu_hour <= self.usd_per_gpu_hour < inf:
            raise DomainError(
                f"{self.gpu_key}: a plan's price is above 0 and at most the on-demand price, not "
                f"{self.plan_usd_per_gpu_hour} and {self.usd_per_gpu_hour}."
            )
        if not np.all(np.isfinite(self.needed_gpus_count) & (self.needed_gpus_count >= 0)):
            raise DomainError(f"{self.gpu_key}: every hour of the need must be known, 0 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingsPlan:
    """A plan of `committed_usd_per_hour`, and all that is paid with it, plan included."""

    committed_usd_per_hour: float
    usd_per_hour: float
    on_demand_only_usd_per_hour: float
    coverage_fraction: float | Undefined  # of what everything would cost on demand
    utilisation_fraction: float | Undefined  # of the money committed

    @property
    def saved_fraction(self) -> float:
        all_of_it = self.on_demand_only_usd_per_hour
        return 1 - self.usd_per_hour / all_of_it if all_of_it else 0.0


def plan_usd_per_hour(covered: Sequence[Covered], committed_usd_per_hour: float) -> SavingsPlan:
    """What a plan of this size leads to. Each hour it covers first what it makes cheaper most.

    Equation   S + mean over hours of  sum p_g n_g - sum (p_g/s_g) x_g,   x_g plan money that GPU g takes up
    Symbols    S committed   p_g on-demand, s_g plan price of GPU g   n_g needed
    Returns    a SavingsPlan
    Valid for  covered GPUs with the same hours; what an hour does not use is lost with it
    Raises     DomainError for a commitment below 0, hours that differ in number, or none
    Source     AWS, Savings Plans user guide, "How Savings Plans apply": the highest discount first
    Example    ten GPUs at $2 instead of $4: a plan of $10 covers five
    >>> need = Covered(gpu_key="a", needed_gpus_count=np.full(4, 10.0), usd_per_gpu_hour=4, plan_usd_per_gpu_hour=2)
    >>> plan_usd_per_hour([need], 10).usd_per_hour
    30.0
    """
    if not 0 <= committed_usd_per_hour < inf:
        raise DomainError(f"a plan commits 0 or more USD an hour, not {committed_usd_per_hour}.")
    ordered = _ordered(covered)
    left = np.full(len(ordered[0].needed_gpus_count), committed_usd_per_hour)
    listed, relieved = np.zeros(len(left)), np.zeros(len(left))
    for one in ordered:
        taken = np.minimum(left, one.plan_usd_per_gpu_hour * one.needed_gpus_count)
        left = left - taken
        relieved += taken * one.usd_per_gpu_hour / one.plan_usd_per_gpu_hour
        listed += one.usd_per_gpu_hour * one.needed_gpus_count
    alone = float(listed.mean())
    used = committed_usd_per_hour - float(left.mean())
    nothing = Undefined(reason="nothing is needed in any hour")
    return SavingsPlan(
        committed_usd_per_hour=committed_usd_per_hour,
        usd_per_hour=committed_usd_per_hour + alone - float(relieved.mean()),
        on_demand_only_usd_per_hour=alone,
        coverage_fraction=float(relieved.mean()) / alone if alone else nothing,
        utilisation_fraction=used / committed_usd_per_hour
        if committed_usd_per_hour
        else Undefined(reason="nothing is committed"),
    )


def best_plan(covered: Sequence[Covered]) -> SavingsPlan:
    """The plan with the least bill.

    Equation   the least S at which another dollar an hour relieves no more than it costs:
               mean over hours of  p_g/s_g of the GPU in which the S-th dollar falls, 0 past the last  <= 1.
               With one discount for all: the 1 - s/p quantile of the hours' spend at plan prices
    Returns    a SavingsPlan; one of 0 where none pays
    Valid for  as `plan_usd_per_hour`
    Raises     DomainError as there
    Source     domain_math §8.3: the newsvendor in money
    Example    eight hours need 10 GPUs and two need 30: $21 an hour cover the 10
    >>> need = Covered(gpu_key="a", needed_gpus_count=np.array([10.0] * 8 + [30.0] * 2),
    ...                usd_per_gpu_hour=3.5, plan_usd_per_gpu_hour=2.1)
    >>> round(best_plan([need]).committed_usd_per_hour, 6)
    21.0
    """
    ordered = _ordered(covered)
    edges, slopes = [], []
    spent = np.zeros(len(ordered[0].needed_gpus_count))
    for one in ordered:
        ratio = one.usd_per_gpu_hour / one.plan_usd_per_gpu_hour
        edges += [spent, spent := spent + one.plan_usd_per_gpu_hour * one.needed_gpus_count]
        slopes += [np.full(len(spent), ratio), np.full(len(spent), -ratio)]
    at, change = np.concatenate(edges), np.concatenate(slopes)
    order = np.argsort(at, kind="stable")
    relieved = np.cumsum(change[order]) / len(spent)  # by another dollar, beyond each edge
    # Several edges may lie at one place: only past the last of them is the slope what it says.
    last = np.append(np.diff(at[order]) > 0, True)
    enough = np.flatnonzero(last & (relieved <= 1 + 1e-12))
    return plan_usd_per_hour(covered, float(at[order][enough[0]]))


def _ordered(covered: Sequence[Covered]) -> list[Covered]:
    """By what the plan makes of their price, the highest discount first."""
    hours = {len(one.needed_gpus_count) for one in covered}
    if len(hours) != 1 or not hours.pop():
        raise DomainError("a plan needs at least one GPU that it covers, and the same hours of each.")
    return sorted(covered, key=lambda one: one.plan_usd_per_gpu_hour / one.usd_per_gpu_hour)
