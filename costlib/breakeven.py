"""The cost identity and its inverses: price, throughput, tokens. Domain_math §2 and §8.6."""

from math import ceil

from costlib.errors import DomainError
from costlib.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK


def usd_per_mtok(usd_per_hour: float, tokens_per_s: float) -> float:
    """Cost of a million tokens when `tokens_per_s` of the kind counted are delivered for `usd_per_hour`.

    Equation   p 10^6 / (3600 X)
    Raises     DomainError when no tokens are delivered: the unit cost is then undefined, not infinite
    Example    domain_math §14, vector 1
    >>> round(usd_per_mtok(3.50, 1000), 5)
    0.97222
    """
    if tokens_per_s <= 0:
        raise DomainError("cost per million tokens is undefined: no tokens are delivered.")
    return usd_per_hour * TOKENS_PER_MTOK / (SECONDS_PER_HOUR * tokens_per_s)


def needed_tokens_per_s(usd_per_hour: float, target_usd_per_mtok: float) -> float:
    """Throughput at which a GPU-hour at `usd_per_hour` costs `target_usd_per_mtok`, around the clock.

    Equation   p 10^6 / (3600 c)
    Example    domain_math §14, vector 2
    >>> round(needed_tokens_per_s(3.50, 0.90), 2)
    1080.25
    """
    return usd_per_hour * TOKENS_PER_MTOK / (SECONDS_PER_HOUR * target_usd_per_mtok)


def break_even_tokens(usd: float, target_usd_per_mtok: float) -> float:
    """Tokens that `usd` would buy at `target_usd_per_mtok`: below this, buying is cheaper.

    Equation   10^6 S / c
    Example    $2,520 against $0.90 per million: 2.8 billion tokens, not 2.8 million (domain_math §14, vector 3)
    >>> break_even_tokens(2520, 0.90) / 1e6
    2800.0
    """
    return usd / target_usd_per_mtok * TOKENS_PER_MTOK


def replicas_for(
    peak_requests_per_s: float, capacity_requests_per_s: float, target_busy_fraction: float, minimum: int
) -> int:
    """Whole replicas that carry the peak at no more than `target_busy_fraction` of their capacity.

    Equation   max(minimum, ceil(peak / (X U)))
    Example    100 billion tokens a month at 2.592 billion per GPU (domain_math §14, vector 5)
    >>> replicas_for(100, 2.592, 1.0, 1)
    39
    """
    needed = peak_requests_per_s / (capacity_requests_per_s * target_busy_fraction)
    return max(minimum, ceil(needed - 1e-9))


def commitment_quantile(reserved_usd_per_hour: float, on_demand_usd_per_hour: float) -> float:
    """Share of hours that need no more than the optimal commitment: commit to this quantile of needed GPUs.

    Equation   1 - r, r = reserved price / on-demand price (newsvendor)
    Raises     DomainError when reserving costs more than buying on demand
    Example    a 40 % discount commits to the 40th percentile, not the median (domain_math §14, vector 17)
    >>> commitment_quantile(0.6, 1.0)
    0.4
    """
    if not 0 <= reserved_usd_per_hour <= on_demand_usd_per_hour or on_demand_usd_per_hour == 0:
        raise DomainError("a commitment needs a reserved price from 0 to the on-demand price.")
    return 1 - reserved_usd_per_hour / on_demand_usd_per_hour
