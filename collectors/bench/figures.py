"""What is made of the times and tokens of requests: percentiles, goodput, unit cost. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from costlib.breakeven import needed_tokens_per_s, usd_per_mtok
from costlib.estimate import Undefined

PERCENTILES = (50, 90, 95, 99)
# A percentile is firm when at least this many observations lie beyond it: p50 from 20, p90 from 100, p99 from 1,000.
BEYOND_COUNT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Mean and percentiles of `count` observations, in the unit of the field that holds it.

    `loose` names the percentiles that rest on fewer than BEYOND_COUNT observations beyond them: read them as hints.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    most: float
    loose: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Latencies that a good answer keeps, in seconds; None: not asked for."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    @property
    def text(self) -> str:
        named = (("TTFT", self.ttft_s), ("TPOT", self.tpot_s), ("e2e", self.e2e_s))
        return ", ".join(f"{name} ≤ {value:g} s" for name, value in named if value is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodput:
    """Answers that kept every target. A failed request kept none and counts in the share."""

    good_count: int
    good_fraction: float
    good_requests_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """Dollars per million tokens of an endpoint that is paid by the hour and always as busy as in this stage.

    Idle hours, failed answers' tokens and everything but `usd_per_hour` are left out: a lower bound of what is billed.
    `needed_tokens_per_s` is the speed at which a million tokens of the kind counted cost the target.
    """

    usd_per_mtok_output: float
    usd_per_mtok_blended: float
    needed_tokens_per_s: float | None


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The percentile of values in ascending order, on a straight line between the two nearest.

    Equation   value at rank (n - 1) p / 100, counted from 0 (Hyndman and Fan's type 7, numpy's default)
    Raises     ValueError without values
    Example    half-way between the 2nd and 3rd of four
    >>> percentile([1.0, 2.0, 4.0, 8.0], 50)
    3.0
    """
    if not ordered:
        raise ValueError("no percentile of nothing")
    rank = (len(ordered) - 1) * percent / 100
    below = floor(rank)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return min(low + (rank - below) * (high - low), high)


def needed_count(percent: float) -> int:
    """Observations from which a percentile is firm: BEYOND_COUNT of them lie beyond it.

    >>> [needed_count(percent) for percent in PERCENTILES]
    [20, 100, 200, 1000]
    """
    return round(BEYOND_COUNT * 100 / (100 - percent))


def distribution(values: Sequence[float], nothing: str) -> Distribution | Undefined:
    """Mean and percentiles of `values` in any order; Undefined(nothing) when there are none.

    >>> found = distribution([3.0, 1.0, 2.0], "no answers")
    >>> found.p50, found.mean, found.loose
    (2.0, 2.0, ('p50', 'p90', 'p95', 'p99'))
    """
    if not values:
        return Undefined(reason=nothing)
    ordered = sorted(values)
    p50, p90, p95, p99 = (percentile(ordered, percent) for percent in PERCENTILES)
    loose = tuple(f"p{percent}" for percent in PERCENTILES if len(ordered) < needed_count(percent))
    mean = min(max(sum(ordered) / len(ordered), ordered[0]), ordered[-1])  # rounding must not carry it outside
    return Distribution(
        count=len(ordered), mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, most=ordered[-1], loose=loose
    )


def tpot_s(first_s: float, last_s: float, output_tokens: int, chunks_count: int) -> float | None:
    """Time per output token after the first, of one answer; None where it does not exist.

    Equation   (last - first) / (n - 1)
    Valid for  answers of 2 tokens or more that came in 2 pieces or more; an answer in one piece has no pace
    >>> tpot_s(0.5, 2.5, 101, 50)
    0.02
    """
    if output_tokens < 2 or chunks_count < 2:
        return None
    return (last_s - first_s) / (output_tokens - 1)


def goodput(kept: Sequence[bool], ended_count: int, window_s: float) -> Goodput | Undefined:
    """Answers that kept the targets, of all `ended_count` requests that ended, failed ones included.

    >>> goodput([True, True, False], 4, 10.0).good_fraction
    0.5
    """
    if not ended_count or window_s <= 0:
        return Undefined(reason="no request ended")
    good = sum(kept)
    return Goodput(good_count=good, good_fraction=good / ended_count, good_requests_per_s=good / window_s)


def unit_cost(
    usd_per_hour: float, output_tokens_per_s: float, total_tokens_per_s: float, target_usd_per_mtok: float | None
) -> UnitCost | Undefined:
    """What a million tokens cost at this speed, around the clock, and the speed that the target needs.

    Example    $3.50 an hour at 1,000 tok/s; $1.00 per million needs 972 tok/s (domain_math §14, vector 1)
    >>> cost = unit_cost(3.50, 1000.0, 4000.0, 1.0)
    >>> round(cost.usd_per_mtok_output, 3), round(cost.usd_per_mtok_blended, 3), round(cost.needed_tokens_per_s, 1)
    (0.972, 0.243, 972.2)
    """
    if output_tokens_per_s <= 0:
        return Undefined(reason="no output tokens were delivered")
    needed = None if target_usd_per_mtok is None else needed_tokens_per_s(usd_per_hour, target_usd_per_mtok)
    return UnitCost(
        usd_per_mtok_output=usd_per_mtok(usd_per_hour, output_tokens_per_s),
        usd_per_mtok_blended=usd_per_mtok(usd_per_hour, total_tokens_per_s),
        needed_tokens_per_s=needed,
    )


def total(counts: Sequence[int | None]) -> int | Undefined:
    """The sum, when every answer has a count; a sum that leaves some out would be a wrong number.

    >>> total([1, 2]), total([1, None])
    (3, Undefined(reason='1 of 2 answers carried no such count'))
    """
    missing = sum(count is None for count in counts)
    if missing or not counts:
        return Undefined(reason=f"{missing} of {len(counts)} answers carried no such count" if counts else "no answers")
    return sum(count for count in counts if count is not None)
