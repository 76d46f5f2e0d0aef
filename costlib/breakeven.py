"""The cost identity and its inverses: price, throughput, tokens. Domain_math §2 and §8.6."""

from dataclasses import dataclass
from math import ceil, inf

from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.pricing import TokenPrice
from costlib.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK

MOST_STRETCHES = 20
ROUNDING = 1e-9  # of a replica: an exact fit adds none


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
    return max(minimum, ceil(needed - ROUNDING))


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


def cache_write_payback_reads(write_ratio: float, read_ratio: float) -> float:
    """Reads after which writing a prompt to an API's cache has paid for itself; below 1: the first one does it.

    Equation   (w - 1) / (1 - r), w and r in units of the input price
    Raises     DomainError when a read costs as much as input, or more
    Example    a quarter more to write, a tenth to read (domain_math §14, vector 28)
    >>> round(cache_write_payback_reads(1.25, 0.1), 3)
    0.278
    """
    if not 0 <= read_ratio < 1:
        raise DomainError("a cache pays back only where reading costs less than input.")
    return max(0.0, (write_ratio - 1) / (1 - read_ratio))


def api_usd_per_mtok(
    price: TokenPrice, computed_tokens: float, cached_tokens: float, output_tokens: float
) -> float | Undefined:
    """What an API would charge for a million tokens of this mix, cached input at its own price.

    Equation   (p_in I_c + p_hit I_h + p_out O) / (I_c + I_h + O)
    Example    half of the input cached, a sixth of all tokens output
    >>> price = TokenPrice(key="", provider="", model_key="", valid_from=catalog.token_prices[0].valid_from,
    ...                    usd_per_mtok_input=1.0, usd_per_mtok_cached_input=0.1, usd_per_mtok_output=4.0)
    >>> round(api_usd_per_mtok(price, 500, 500, 200), 4)
    1.125
    """
    tokens = computed_tokens + cached_tokens + output_tokens
    if not tokens:
        return Undefined(reason="no tokens were measured, so there is no mix to price")
    charged = (
        price.usd_per_mtok_input * computed_tokens
        + price.usd_per_mtok_cached_input * cached_tokens
        + price.usd_per_mtok_output * output_tokens
    )
    return charged / tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHosting:
    """What it takes to serve a model on GPUs paid by the hour: whole replicas, and people.

    `capacity_tokens_per_s` is one replica's, input and output, at the real mix and the latency asked for.
    """

    usd_per_gpu_hour: float
    gpus_per_replica_count: int
    capacity_tokens_per_s: float
    target_busy_fraction: float = 1.0
    peak_to_mean_ratio: float = 1.0
    min_replicas_count: int = 1
    operations_usd_per_month: float = 0.0
    hours_per_month: float = HOURS_PER_MONTH

    def __post_init__(self) -> None:
        for name in ("capacity_tokens_per_s", "target_busy_fraction", "hours_per_month", "gpus_per_replica_count"):
            if not 0 < getattr(self, name) < inf:
                raise DomainError(f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("usd_per_gpu_hour", "operations_usd_per_month", "min_replicas_count"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        if not 1 <= self.peak_to_mean_ratio < inf:
            raise DomainError(f"peak_to_mean_ratio is peak over mean, so 1 or more, not {self.peak_to_mean_ratio}.")

    @property
    def replica_usd_per_month(self) -> float:
        return self.usd_per_gpu_hour * self.gpus_per_replica_count * self.hours_per_month

    @property
    def replica_tokens_per_month(self) -> float:
        """What one replica carries in a month, with room for the peak and the headroom asked for."""
        month_s = self.hours_per_month * SECONDS_PER_HOUR
        return self.capacity_tokens_per_s * month_s * self.target_busy_fraction / self.peak_to_mean_ratio

    def replicas_count(self, tokens_per_month: float) -> int:
        return replicas_for(tokens_per_month, self.replica_tokens_per_month, 1.0, self.min_replicas_count)

    def usd_per_month(self, tokens_per_month: float) -> float:
        """The cost of a month with so many tokens: a step up for every further replica.

        Equation   F + R(V) p g h,  R = max(minimum, ceil(V peak / (X U T)))
        Example    100 billion tokens at 1,000 tok/s a GPU, $3.50 and 720 hours (domain_math §14, vector 5)
        >>> a100 = SelfHosting(
        ...     usd_per_gpu_hour=3.50, gpus_per_replica_count=1, capacity_tokens_per_s=1000, hours_per_month=720
        ... )
        >>> a100.replicas_count(100e9), a100.usd_per_month(100e9)
        (39, 98280.0)
        """
        return self.operations_usd_per_month + self.replicas_count(tokens_per_month) * self.replica_usd_per_month


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """Where self-hosting costs no more than an API.

    From `stays_cheaper_tokens_per_month` on it does so at every volume; Undefined says why it never does. Below it
    there may be stretches, from and to a volume, that end where the next replica is due; the first of them are here.
    """

    stays_cheaper_tokens_per_month: float | Undefined
    stretches_tokens_per_month: tuple[tuple[float, float], ...] = ()


def crossings(hosting: SelfHosting, usd_per_mtok_api: float) -> Crossings:
    """Whole replicas against a price per token, at every volume.

    Equation   API V c;  self-hosted F + R s, where R replicas carry up to R v tokens
               R replicas cost no more from (F + R s) / c to R v;  never, unless s / v < c (slope test);
               no API stretch begins at replica R once R (v c - s) >= F + v c
    Symbols    V tokens a month   c API price of a token   s, v dollars and tokens of a replica a month   F operations
    Returns    Crossings
    Valid for  the same mix, quality and latency on both sides; `usd_per_mtok_api` of that mix
    Raises     DomainError when the API price is not above 0
    Source     domain_math §8.6
    Example    $0.90 and an A100 at 1,000 tok/s: never (domain_math §14, vector 4); at 2,000 tok/s one pays from 2.8
               billion tokens on (vector 3), not while a second is new, and for good from 5.6 billion on
    >>> a100 = {"usd_per_gpu_hour": 3.50, "gpus_per_replica_count": 1, "hours_per_month": 720}
    >>> slow, fast = (SelfHosting(capacity_tokens_per_s=speed, **a100) for speed in (1000, 2000))
    >>> crossings(slow, 0.90).stays_cheaper_tokens_per_month.reason
    'never: a replica that is full all month makes a million tokens for $0.97, against $0.90'
    >>> found = crossings(fast, 0.90)
    >>> found.stays_cheaper_tokens_per_month / 1e9, found.stretches_tokens_per_month
    (5.6, ((2800000000.0, 5184000000.0),))
    """
    if not 0 < usd_per_mtok_api < inf:
        raise DomainError(f"the API price must be above 0 USD per million tokens, not {usd_per_mtok_api}.")
    fixed, step_usd, step_tokens = (
        hosting.operations_usd_per_month,
        hosting.replica_usd_per_month,
        hosting.replica_tokens_per_month,
    )
    same_tokens_usd = step_tokens * usd_per_mtok_api / TOKENS_PER_MTOK
    gain_usd = same_tokens_usd - step_usd  # of a replica that is full
    if gain_usd <= 0:
        full = step_usd / step_tokens * TOKENS_PER_MTOK
        return Crossings(
            stays_cheaper_tokens_per_month=Undefined(
                reason=f"never: a replica that is full all month makes a million tokens for ${full:.2f}, "
                f"against ${usd_per_mtok_api:.2f}"
            )
        )

    def pays_from(replicas: int) -> float:
        return break_even_tokens(fixed + replicas * step_usd, usd_per_mtok_api)

    least = max(1, hosting.min_replicas_count)
    first = max(least, ceil(fixed / gain_usd - ROUNDING))
    last = max(least, ceil((fixed + same_tokens_usd) / gain_usd - ROUNDING) - 1)
    stretches = range(first, min(last, first + MOST_STRETCHES))
    return Crossings(
        stays_cheaper_tokens_per_month=pays_from(last),
        stretches_tokens_per_month=tuple((pays_from(replicas), replicas * step_tokens) for replicas in stretches),
    )
