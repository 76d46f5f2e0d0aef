"""Many raw samples of one engine at once: the increments of `telemetry.usage_sample`, for a month in one pass.

What Prometheus kept is read in long stretches. The rules are those of one scrape after another, and
`tests/costlib/test_history.py` holds the two to the same figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from costlib.telemetry import GAP_AFTER_INTERVALS_RATIO, EnginePage, Histogram, SampleState

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
RESTART_AFTER_S = 1.0  # process_start_time_seconds moves by less than this without a restart


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramHistory:
    """One histogram over n times: cumulative counts (n, buckets), sum (n,) and count (n,); NaN where not exported."""

    bounds: tuple[float, ...]
    cumulative_counts: Floats
    sum: Floats
    count: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHistory:
    """Raw samples of one engine at n rising times, as cumulative values; NaN where a measure was not exported.

    `times_s` and `started_s` are unix seconds, shape (n,); every array of `counters` and `gauges` has shape (n,).
    """

    target_key: str
    model_key: str
    engine_key: str
    times_s: Floats
    started_s: Floats
    counters: Mapping[str, Floats]
    gauges: Mapping[str, Floats] = field(default_factory=dict)
    histograms: Mapping[str, HistogramHistory] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.target_key, self.model_key, self.engine_key

    @property
    def every_s(self) -> float | None:
        """The interval it was scraped at: the median distance of its samples. None for fewer than two."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryIncreases:
    """What one engine did between n samples, in columns; NaN is unknown. Histogram increments stay cumulative in `le`.

    `last_page` is the cumulative state at the end, with which the next stretch begins; None when nothing was ever read.
    """

    target_key: str
    model_key: str
    engine_key: str
    times_s: Floats
    interval_s: Floats
    states: tuple[SampleState, ...]
    restarted: NDArray[np.bool_]
    counters: Mapping[str, Floats]
    gauges: Mapping[str, Floats]
    histograms: Mapping[str, HistogramHistory]
    last_page: EnginePage | None


def increases(
    history: EngineHistory, previous: EnginePage | None, every_s: float, watched_since_s: float | None = None
) -> HistoryIncreases:
    """The increments of `history`, from the page before it where there is one; n rows for its n samples.

    `watched_since_s` [unix s] is what `telemetry.usage_sample` calls `watched_since`.

    Example    the counters 100, 150, 20, 60 hold one restart and increase by 110 (domain_math §14, vector 36)
    >>> times = np.array([0.0, 15.0, 30.0, 45.0])
    >>> history = EngineHistory(
    ...     target_key="t", model_key="m", engine_key="0", times_s=times, started_s=np.full(4, np.nan),
    ...     counters={"prompt_tokens": np.array([100.0, 150.0, 20.0, 60.0])},
    ... )
    >>> float(np.nansum(increases(history, None, every_s=15.0).counters["prompt_tokens"]))
    110.0
    """
    whole = history if previous is None else _after(previous, history)
    rows = len(whole.times_s)
    is_new = (
        previous is None
        and watched_since_s is not None
        and rows > 0
        and bool(watched_since_s <= whole.started_s[0] <= whole.times_s[0])
    )
    known_before = {name: _known_before(values) for name, values in whole.counters.items()}
    restarted = _restarts(whole, known_before)
    began_at_zero = restarted.copy()
    began_at_zero[:1] |= is_new
    segment = np.maximum.accumulate(np.where(restarted, np.arange(rows), 0))
    interval_s = np.diff(whole.times_s, prepend=whole.started_s[:1] if is_new else np.full(min(rows, 1), np.nan))
    states = np.full(rows, SampleState.OK, dtype=object)
    states[restarted] = SampleState.RESET
    states[:1] = SampleState.STARTED if is_new else SampleState.FIRST
    states[interval_s > every_s * GAP_AFTER_INTERVALS_RATIO] = SampleState.GAP
    new = slice(0 if previous is None else 1, None)
    return HistoryIncreases(
        target_key=history.target_key,
        model_key=history.model_key,
        engine_key=history.engine_key,
        times_s=history.times_s,
        interval_s=interval_s[new],
        states=tuple(states[new]),
        restarted=restarted[new],
        counters={
            name: _increase(values, known_before[name], segment, began_at_zero)[new]
            for name, values in whole.counters.items()
        },
        gauges=history.gauges,
        histograms={
            name: _histogram_increase(item, segment, began_at_zero, new) for name, item in whole.histograms.items()
        },
        last_page=_last_page(whole, segment, previous) if len(history.times_s) else previous,
    )


def _last_page(whole: EngineHistory, segment: Rows, previous: EnginePage | None) -> EnginePage:
    """As `telemetry.carried` after one scrape after another: each measure at its last known value since a restart."""
    began = int(segment[-1])

    def last_known(values: Floats) -> int | None:
        known = np.flatnonzero(np.isfinite(values[began:]))
        return began + int(known[-1]) if len(known) else None

    rows = {name: last_known(values) for name, values in whole.counters.items()}
    histogram_rows = {name: last_known(item.count) for name, item in whole.histograms.items()}
    kept = previous.histograms if previous and not began else {}
    return EnginePage(
        target_key=whole.target_key,
        model_key=whole.model_key,
        engine_key=whole.engine_key,
        scraped_at=datetime.fromtimestamp(float(whole.times_s[-1]), UTC),
        started_at=_moment(float(whole.started_s[-1])),
        counters={name: float(whole.counters[name][row]) for name, row in rows.items() if row is not None},
        histograms={
            **kept,
            **{
                name: Histogram(
                    bounds=whole.histograms[name].bounds,
                    cumulative_counts=tuple(map(float, whole.histograms[name].cumulative_counts[row])),
                    sum=float(whole.histograms[name].sum[row]),
                    count=float(whole.histograms[name].count[row]),
                )
                for name, row in histogram_rows.items()
                if row is not None
            },
        },
    )


def _after(previous: EnginePage, history: EngineHistory) -> EngineHistory:
    """`history` with the page before it as its first row."""

    def joined(before: float | None, values: Floats) -> Floats:
        return np.concatenate(([np.nan if before is None else before], values))

    names = {*history.counters, *previous.counters}
    absent = np.full(len(history.times_s), np.nan)
    histograms = {}
    for name, item in history.histograms.items():
        before = previous.histograms.get(name)
        if before is None or before.bounds != item.bounds:
            before = Histogram(
                bounds=item.bounds, cumulative_counts=(np.nan,) * len(item.bounds), sum=np.nan, count=np.nan
            )
        histograms[name] = HistogramHistory(
            bounds=item.bounds,
            cumulative_counts=np.vstack((np.array(before.cumulative_counts), item.cumulative_counts)),
            sum=joined(before.sum, item.sum),
            count=joined(before.count, item.count),
        )
    return replace(
        history,
        times_s=joined(previous.scraped_at.timestamp(), history.times_s),
        started_s=joined(previous.started_at.timestamp() if previous.started_at else None, history.started_s),
        counters={name: joined(previous.counters.get(name), history.counters.get(name, absent)) for name in names},
        histograms=histograms,
    )


def _known_before(values: Floats) -> Rows:
    """For each row the last row before it that has a value, -1 where there is none."""
    rows = np.arange(len(values))
    last_known = np.maximum.accumulate(np.where(np.isfinite(values), rows, -1))
    return np.concatenate((np.full(min(len(values), 1), -1), last_known[:-1]))


def _restarts(history: EngineHistory, known_before: Mapping[str, Rows]) -> NDArray[np.bool_]:
    """A later process start, or a counter below what it was last known to be since the restart before."""
    restarted = np.diff(history.started_s, prepend=np.nan if len(history.started_s) else ()) > RESTART_AFTER_S
    drops: list[tuple[int, int]] = []
    for name, values in history.counters.items():
        before = known_before[name]
        fell = (before >= 0) & (values < values[before])
        drops += zip(np.flatnonzero(fell).tolist(), before[fell].tolist(), strict=True)
    known_restart = -1
    starts = set(np.flatnonzero(restarted).tolist())
    by_row: dict[int, int] = {}
    for row, before_row in drops:
        by_row[row] = max(by_row.get(row, -1), before_row)
    for row in sorted(starts | by_row.keys()):
        if row in starts or by_row[row] >= known_restart:
            restarted[row] = True
            known_restart = row
    return restarted


def _increase(values: Floats, before: Rows, segment: Rows, began_at_zero: NDArray[np.bool_]) -> Floats:
    return np.where(began_at_zero, values, np.where(before >= segment, values - values[before], np.nan))


def _histogram_increase(
    item: HistogramHistory, segment: Rows, began_at_zero: NDArray[np.bool_], new: slice
) -> HistogramHistory:
    before = _known_before(item.count)
    # A histogram that alone fell began again, as in `telemetry`.
    whole = began_at_zero | ((before >= segment) & (item.count < item.count[before]))
    return HistogramHistory(
        bounds=item.bounds,
        cumulative_counts=np.column_stack(
            [_increase(column, before, segment, whole) for column in item.cumulative_counts.T]
        )[new],
        sum=_increase(item.sum, before, segment, whole)[new],
        count=_increase(item.count, before, segment, whole)[new],
    )


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if np.isfinite(seconds) else None
