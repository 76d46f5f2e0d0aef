"""What GPUs can be bought as: for a term, by the hour, on spot; and what an hour costs that is paid upfront."""

from dataclasses import dataclass
from math import inf

from costlib.demand_curve import HOURS_PER_YEAR, MOST_GPUS_COUNT
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.spot import Spot


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """GPUs for a term, paid every hour of it, used or not. `usd_per_gpu_hour` has what is paid upfront in it
    (`amortised_usd_per_gpu_hour`). Sold in steps of `step_count` GPUs, `most_count` of them at most."""

    label: str
    usd_per_gpu_hour: float
    years_ratio: float = 1.0
    step_count: int = 1
    most_count: int = MOST_GPUS_COUNT
    basis: Basis = Basis.ASSUMED

    def __post_init__(self) -> None:
        if not 0 <= self.usd_per_gpu_hour < inf:
            raise DomainError(f"{self.label}: a commitment costs 0 or more USD per GPU-hour.")
        if not 0 < self.years_ratio <= 10:
            raise DomainError(f"{self.label}: a term has above 0 and at most 10 years, not {self.years_ratio}.")
        if self.step_count < 1 or self.most_count < 0:
            raise DomainError(f"{self.label}: commitments come in steps of 1 GPU or more, up to 0 or more.")

    @property
    def term_hours(self) -> int:
        return round(self.years_ratio * HOURS_PER_YEAR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What can be bought by the hour. `most_gpus_count` is what a provider gives on demand, where that is known;
    `price_fall_fraction` by how much hourly prices are expected to fall each year."""

    usd_per_gpu_hour: float
    spot: Spot | None = None
    most_gpus_count: int = MOST_GPUS_COUNT
    price_fall_fraction: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.usd_per_gpu_hour < inf:
            raise DomainError(f"the on-demand price must be above 0 USD per GPU-hour, not {self.usd_per_gpu_hour}.")
        if self.most_gpus_count < 0:
            raise DomainError("most_gpus_count is 0 or more.")
        if not 0 <= self.price_fall_fraction < 1:
            raise DomainError(f"price_fall_fraction is a share from 0 to below 1, not {self.price_fall_fraction}.")


def amortised_usd_per_gpu_hour(
    upfront_usd: float, usd_per_gpu_hour: float, years_ratio: float, capital_cost_fraction: float = 0.0
) -> float:
    """What an hour costs where part is paid upfront: the annuity of it, spread over every hour of the term.

    Equation   u k / (1 - (1 + k)^-y) / 8,760 + c;  u / (8,760 y) + c at k = 0
    Symbols    u upfront, per GPU   k cost of capital a year   y years   c paid by the hour besides
    Returns    [USD per GPU-hour]
    Raises     DomainError for amounts below 0 or a term that is none
    Source     the annuity; domain_math §8.3
    Example    a year of a dollar an hour, paid upfront; and with 10 % of capital cost
    >>> amortised_usd_per_gpu_hour(8760, 0, 1), round(amortised_usd_per_gpu_hour(8760, 0, 1, 0.1), 3)
    (1.0, 1.1)
    """
    if min(upfront_usd, usd_per_gpu_hour, capital_cost_fraction) < 0 or not years_ratio > 0:
        raise DomainError("an upfront payment needs amounts of 0 or more and a term above 0 years.")
    k, years = capital_cost_fraction, years_ratio
    yearly = upfront_usd * k / (1 - (1 + k) ** -years) if k else upfront_usd / years
    return yearly / HOURS_PER_YEAR + usd_per_gpu_hour
