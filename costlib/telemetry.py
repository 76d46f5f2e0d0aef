"""Measurements: what one scrape of one engine says, and what changed since the scrape before.

The rules (docs/method.md): a counter that drops, or whose process started later, has restarted, and its increase is its
new value; an increase over a gap is real but unplaced; a counter that is not exported is None, never 0. Increases of
adjacent scrapes add up exactly, because none is extrapolated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS

# A scrape later than this many intervals after the one before leaves a gap.
GAP_AFTER_INTERVALS_RATIO = 2.5
# process_start_time_seconds is exported in hundredths of a second.
START_TIME_RESOLUTION_S = 0.015


class SampleState(StrEnum):
    FIRST = "first"  # nothing to compare with: increments unknown
    OK = "ok"
    GAP = "gap"  # increments real, their time within the gap unknown
    RESET = "reset"  # the engine restarted: increments since its start, at most one interval lost
    STARTED = (
        "started"  # a new engine that started while its target was watched: increments since its start, all of them
    )


_NO_COUNTERS: dict[str, float | None] = dict.fromkeys(COUNTERS)

# The states whose increments lie within their interval.
PLACED_STATES = (SampleState.OK, SampleState.RESET, SampleState.STARTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A Prometheus histogram: upper bounds (the last is +Inf), cumulative counts, sum and count."""

    bounds: tuple[float, ...]
    cumulative_counts: tuple[float, ...]
    sum: float
    count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePage:
    """Cumulative state of one engine at one scrape. A measure the page does not export is absent from its mapping."""

    target_key: str
    model_key: str
    engine_key: str
    scraped_at: datetime  # aware UTC
    started_at: datetime | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)  # what the engine says of itself, under vLLM's names
    remarks: Mapping[str, str] = field(default_factory=dict)  # what is wrong with a measure of this page

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.target_key, self.model_key, self.engine_key


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSample:
    """What one engine did between two scrapes. `histograms` hold increments, per bucket not cumulative over time."""

    target_key: str
    model_key: str
    engine_key: str
    scraped_at: datetime
    interval_s: float | None
    state: SampleState
    counters: Mapping[str, float | None]
    gauges: Mapping[str, float | None]
    histograms: Mapping[str, Histogram | None]
    restarted: bool = False  # also true of a gap that a restart lies in


def counter_increase(previous: float | None, current: float | None, restarted: bool = False) -> float | None:
    """Increase of one counter between two scrapes, None when either end is unknown.

    Equation   current - previous; current alone after a restart (the counter began again at 0)
    Example    the counters 100, 150, 20, 60 hold one restart and increase by 110 (domain_math §14, vector 36)
    >>> values = [100, 150, 20, 60]
    >>> sum(counter_increase(a, b) for a, b in zip(values, values[1:]))
    110
    """
    if current is None:
        return None
    if restarted:
        return current
    if previous is None:
        return None
    return current if current < previous else current - previous


def usage_sample(
    previous: EnginePage | None, current: EnginePage, every_s: float, watched_since: datetime | None = None
) -> UsageSample:
    """The increments from `previous` to `current`, two pages of one engine, scraped about every `every_s` seconds.

    An engine without a previous page that started after `watched_since` is new: its counters began at 0 under our eyes
    and count whole. Of any other, what it counted before it was first seen is not ours to place.
    """
    restarted = previous is not None and has_restarted(previous, current)
    is_new = (
        previous is None
        and watched_since is not None
        and current.started_at is not None
        and watched_since <= current.started_at <= current.scraped_at
    )
    since = previous.scraped_at if previous else current.started_at if is_new else None
    interval_s = (current.scraped_at - since).total_seconds() if since else None
    if interval_s is None:
        state = SampleState.FIRST
    elif interval_s > every_s * GAP_AFTER_INTERVALS_RATIO:
        state = SampleState.GAP
    elif is_new:
        state = SampleState.STARTED
    elif restarted:
        state = SampleState.RESET
    else:
        state = SampleState.OK
    began_at_zero = restarted or is_new
    before = previous.counters if previous else {}
    histograms_before = previous.histograms if previous else {}
    return UsageSample(
        target_key=current.target_key,
        model_key=current.model_key,
        engine_key=current.engine_key,
        scraped_at=current.scraped_at,
        interval_s=interval_s,
        state=state,
        counters=_NO_COUNTERS
        | {name: counter_increase(before.get(name), value, began_at_zero) for name, value in current.counters.items()},
        gauges={name: current.gauges.get(name) for name in GAUGES},
        histograms={
            name: _histogram_increase(histograms_before.get(name), current.histograms.get(name), began_at_zero)
            for name in HISTOGRAMS
        },
        restarted=restarted,
    )


def carried(previous: EnginePage | None, current: EnginePage) -> EnginePage:
    """What the next page is compared with: `current`, and where it lacks a counter the last value that was known.

    A series that is missing from one page and back on the next has lost nothing.
    """
    if previous is None or has_restarted(previous, current):
        return current
    return replace(
        current,
        counters={**previous.counters, **current.counters},
        histograms={**previous.histograms, **current.histograms},
    )


def is_same_engine(one: EnginePage, other: EnginePage) -> bool:
    """Whether two pages that came by different paths are of one engine, whose tokens would count twice.

    They are when model and rank agree, neither has counted less at the later time, and either both processes started at
    the same moment (to the hundredth of a second, as the kernel tells it) or, where that is not exported, all counters
    stand at the same values and some have counted.
    """
    if (one.model_key, one.engine_key) != (other.model_key, other.engine_key):
        return False
    early, late = sorted((one, other), key=lambda page: page.scraped_at)
    shared = early.counters.keys() & late.counters.keys()
    if not shared or any(late.counters[name] < early.counters[name] for name in shared):
        return False
    if early.started_at and late.started_at:
        return abs((late.started_at - early.started_at).total_seconds()) < START_TIME_RESOLUTION_S
    return any(late.counters[name] for name in shared) and all(
        late.counters[name] == early.counters[name] for name in shared
    )


def has_restarted(previous: EnginePage, current: EnginePage) -> bool:
    """A later process start, or any token or request counter below its earlier value."""
    if previous.started_at and current.started_at and (current.started_at - previous.started_at).total_seconds() > 1:
        return True
    before = previous.counters
    return any(value < before[name] for name, value in current.counters.items() if name in before)


def _histogram_increase(previous: Histogram | None, current: Histogram | None, restarted: bool) -> Histogram | None:
    if current is None or restarted:
        return current
    if previous is None or previous.bounds != current.bounds:
        return None
    if current.count < previous.count:
        return current
    return Histogram(
        bounds=current.bounds,
        cumulative_counts=tuple(
            [b - a for a, b in zip(previous.cumulative_counts, current.cumulative_counts, strict=True)]
        ),
        sum=current.sum - previous.sum,
        count=current.count - previous.count,
    )


def quantile(bounds: Sequence[float], cumulative_counts: Sequence[float], q: float) -> float | None:
    """The q-quantile of a histogram, linear within its bucket as Prometheus does; None when it holds nothing.

    A quantile that falls into the +Inf bucket is only known to be above the last finite bound, which is returned.

    Symbols    bounds ascending upper bounds [unit of the histogram], the last +Inf; counts cumulative [1]; q in [0, 1]
    Example    100 observations, 80 at most 0.5 s and all at most 1 s: the p90 lies halfway through that bucket
    >>> quantile([0.5, 1.0, float("inf")], [80, 100, 100], 0.9)
    0.75
    """
    total = cumulative_counts[-1] if cumulative_counts else 0
    if not total or total <= 0:
        return None
    rank = q * total
    below_bound, below_count = 0.0, 0.0
    for bound, count in zip(bounds, cumulative_counts, strict=True):
        if count >= rank:
            if bound == float("inf"):
                return below_bound
            if count == below_count:
                return bound
            return below_bound + (bound - below_bound) * (rank - below_count) / (count - below_count)
        below_bound, below_count = bound, count
    return below_bound
