"""Spot: what an hour of interruptible GPUs costs once work that is lost and hours that cannot be had are paid."""

from dataclasses import dataclass
from math import exp, expm1, inf, sqrt

from costlib.errors import DomainError
from costlib.units import SECONDS_PER_HOUR

# Between notice and end [s]. AWS: EC2 user guide, "Spot Instance interruption notices", two minutes before; Azure:
# "Use Azure Spot Virtual Machines", at least 30 seconds; Google Cloud: "Spot VMs", preemption takes up to 30 seconds.
NOTICE_S = {"aws": 120.0, "azure": 30.0, "gcp": 30.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Interruptible GPUs for part of the load.

    `mean_uptime_hours` is the time between two interruptions of one replica; `start_s` what its successor takes until
    it answers, paid; `lost_s` the work that an interruption destroys. `rework_fraction`, where it is stated, stands for
    all three: the share of paid hours that is done again. `available_fraction` is the share of hours in which such GPUs
    can be had; in the rest the load runs on demand. `share_fraction` is the most of the need that may be interrupted.
    """

    usd_per_gpu_hour: float
    mean_uptime_hours: float = 20.0
    start_s: float = 180.0
    lost_s: float = 0.0
    rework_fraction: float | None = None
    available_fraction: float = 1.0
    share_fraction: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.usd_per_gpu_hour < inf and 0 < self.mean_uptime_hours < inf):
            raise DomainError("spot needs a price of 0 or more and a mean_uptime_hours above 0.")
        if not (0 <= self.start_s < inf and 0 <= self.lost_s < inf):
            raise DomainError("spot needs start_s and lost_s of 0 or more.")
        if self.rework_fraction is not None and not 0 <= self.rework_fraction < 1:
            raise DomainError(f"rework_fraction is a share from 0 to below 1, not {self.rework_fraction}.")
        if not (0 <= self.available_fraction <= 1 and 0 <= self.share_fraction <= 1):
            raise DomainError("available_fraction and share_fraction are shares from 0 to 1.")

    @property
    def useful_fraction(self) -> float:
        """The share of paid hours that does work."""
        if self.rework_fraction is not None:
            return 1 - self.rework_fraction
        return served_useful_fraction(self.mean_uptime_hours, self.start_s, self.lost_s)

    def mean_usd_per_gpu_hour(self, on_demand_usd_per_gpu_hour: float) -> float:
        """Of an hour of work that is sent to spot: mostly there, else on demand [USD].

        Equation   a s/u + (1 - a) p;  infinite where no paid hour does work
        Example    three in four hours can be had, a tenth is done again
        >>> round(Spot(usd_per_gpu_hour=0.9, rework_fraction=0.1, available_fraction=0.75).mean_usd_per_gpu_hour(3), 2)
        1.5
        """
        useful = self.useful_fraction
        if useful <= 0:
            return inf if self.available_fraction else on_demand_usd_per_gpu_hour
        own = effective_usd_per_gpu_hour(self.usd_per_gpu_hour, useful)
        return self.available_fraction * own + (1 - self.available_fraction) * on_demand_usd_per_gpu_hour


def effective_usd_per_gpu_hour(usd_per_gpu_hour: float, useful_fraction: float) -> float:
    """Price of an hour of work where only a share of paid hours does work.

    Equation   s / u
    Raises     DomainError for a share that is not above 0 and at most 1
    Source     domain_math §8.2
    Example    $1.05 with a tenth and a fifth done again: $1.17 and $1.31
    >>> [round(effective_usd_per_gpu_hour(1.05, 1 - rework), 2) for rework in (0.1, 0.2)]
    [1.17, 1.31]
    """
    if not 0 < useful_fraction <= 1:
        raise DomainError(f"useful_fraction is a share above 0 and up to 1, not {useful_fraction}.")
    return usd_per_gpu_hour / useful_fraction


def served_useful_fraction(mean_uptime_hours: float, start_s: float, lost_s: float) -> float:
    """Of a server that keeps no checkpoint: the share of paid time in which it does work that counts.

    Equation   (1/λ - l) / (1/λ + R), at least 0
    Symbols    1/λ mean time up   R start of the successor, paid   l work that an interruption destroys
    Returns    [1]
    Valid for  interruptions that come one by one; requests that are cut are sent again
    Raises     DomainError for times that cannot be
    Source     renewal reward; domain_math §8.2
    Example    up for 20 hours, three minutes to start, nothing lost
    >>> round(served_useful_fraction(20, 180, 0), 4)
    0.9975
    """
    if not (0 < mean_uptime_hours < inf and 0 <= start_s < inf and 0 <= lost_s < inf):
        raise DomainError("a server on spot needs a mean time up above 0, and times to start and lost of 0 or more.")
    start, lost = start_s / SECONDS_PER_HOUR, lost_s / SECONDS_PER_HOUR
    return max(0.0, (mean_uptime_hours - lost) / (mean_uptime_hours + start))


def lost_per_interruption_s(mean_request_s: float, notice_s: float) -> float:
    """Work of a running request that an interruption destroys, after a notice in which some still end.

    Equation   d exp(-n/d)
    Symbols    d mean time of a request   n notice, in which no new one is taken
    Returns    [s]; 0 for requests that take no time
    Valid for  exponential durations: what has run so far is d on the mean, and so is what is left
    Raises     DomainError for negative times
    Source     the memoryless property; domain_math §8.2
    Example    requests of 20 s: almost all end in two minutes, few in none
    >>> [round(lost_per_interruption_s(20, notice), 3) for notice in (120, 30, 0)]
    [0.05, 4.463, 20.0]
    """
    if not (0 <= mean_request_s < inf and 0 <= notice_s < inf):
        raise DomainError("requests and notices take 0 s or more.")
    return mean_request_s * exp(-notice_s / mean_request_s) if mean_request_s else 0.0


def checkpointed_useful_fraction(
    mean_uptime_hours: float, every_hours: float, restart_hours: float, checkpoint_hours: float
) -> float:
    """Of a job that writes checkpoints: the share of paid time that moves it on.

    Equation   τ / ((1/λ + R) (e^(λ (τ + δ)) - 1))
    Symbols    1/λ mean time up   τ work between checkpoints   R restart   δ writing one
    Returns    [1]
    Valid for  interruptions at random (Poisson), also while writing
    Raises     DomainError for times that cannot be
    Source     Young 1974; domain_math §8.2
    Example    an interruption in 20 hours, a checkpoint each quarter (domain_math §14, vector 16)
    >>> round(checkpointed_useful_fraction(20, 0.25, 0.1, 0.005), 4)
    0.9693
    """
    if not (0 < mean_uptime_hours < inf and 0 < every_hours < inf and restart_hours >= 0 and checkpoint_hours >= 0):
        raise DomainError("checkpoints need times above 0, and a restart and a write of 0 or more.")
    rate = 1 / mean_uptime_hours
    exponent = rate * (every_hours + checkpoint_hours)
    return 0.0 if exponent > 700 else every_hours / ((mean_uptime_hours + restart_hours) * expm1(exponent))


def best_checkpoint_hours(mean_uptime_hours: float, checkpoint_hours: float) -> float:
    """How much work to do between checkpoints.

    Equation   sqrt(2 δ / λ)
    Returns    [h]
    Valid for  writes that are short beside it
    Raises     DomainError for times that cannot be
    Source     Young 1974
    Example    domain_math §14, vector 16
    >>> round(best_checkpoint_hours(20, 0.005), 4)
    0.4472
    """
    if not (0 < mean_uptime_hours < inf and 0 <= checkpoint_hours < inf):
        raise DomainError("checkpoints need a mean time up above 0, and a write of 0 or more.")
    return sqrt(2 * checkpoint_hours * mean_uptime_hours)
