"""From the columns of one engine to its measures: one name of several, whole histograms, one bucket set at a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.prometheus.blocks import Block, Floats, Mask
from collectors.vllm.aliases import Part
from costlib.history import EngineHistory, HistogramHistory
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS

Bounds = tuple[float, ...]


class _Buckets(NamedTuple):
    """A histogram over n times: which of `sets` its buckets are at each (-1: it is not there), and its columns."""

    sets: Sequence[Bounds]
    used: NDArray[np.intp]
    buckets: Mapping[float, Floats]
    sums: Floats
    counted: Floats


def histories_of(identity: tuple[str, str, str], block: Block, remarks: Counter[str]) -> list[EngineHistory]:
    """The histories of one engine, by time: a new one begins where the buckets of a histogram change."""
    if not len(block.times_s):
        return []
    by_measure: dict[str, dict[int, dict[Part | float, Floats]]] = defaultdict(lambda: defaultdict(dict))
    for column, values in sorted(block.columns.items(), key=lambda item: item[0].rank):
        by_measure[column.measure][column.rank][column.part] = values
    levels = {name: _level(by_measure[name]) for name in (*COUNTERS, *GAUGES) if name in by_measure}
    histograms = {
        name: _buckets(by_measure[name], len(block.times_s), f"{name} of {identity[0]}", remarks)
        for name in HISTOGRAMS
        if name in by_measure
    }
    borders = sorted({0, len(block.times_s), *(row for found in histograms.values() for row in _changes(found.used))})
    target_key, model_key, engine_key = identity

    def stretch(begin: int, end: int) -> EngineHistory:
        rows = slice(begin, end)
        stretched = {name: _history(found, rows) for name, found in histograms.items()}
        return EngineHistory(
            target_key=target_key,
            model_key=model_key,
            engine_key=engine_key,
            times_s=block.times_s[rows],
            started_s=block.started_s[rows],
            counters={name: levels[name][rows] for name in COUNTERS if _is_known(levels, name, rows)},
            gauges={name: levels[name][rows] for name in GAUGES if _is_known(levels, name, rows)},
            histograms={name: found for name, found in stretched.items() if found is not None},
        )

    return [stretch(begin, end) for begin, end in pairwise(borders)]


def _is_known(levels: Mapping[str, Floats], name: str, rows: slice) -> bool:
    return name in levels and bool(np.isfinite(levels[name][rows]).any())


def _level(ranks: Mapping[int, Mapping[Part | float, Floats]]) -> Floats:
    """At each time the value under the newest name that is there."""
    first, *others = (parts[Part.VALUE] for parts in ranks.values())
    for other in others:
        first = np.where(np.isnan(first), other, first)
    return first


def _buckets(
    ranks: Mapping[int, Mapping[Part | float, Floats]], rows_count: int, where: str, remarks: Counter[str]
) -> _Buckets:
    """At each time the histogram under the newest name that is whole; what is none is left out, and said."""
    absent = np.full(rows_count, np.nan)
    counts: dict[float, Floats] = {}
    total, count = absent, absent
    used = np.full(rows_count, -1)
    sets: dict[Bounds, int] = {}
    for parts in ranks.values():
        bounds = sorted(part for part in parts if isinstance(part, float))
        levels = np.column_stack([parts[bound] for bound in bounds]) if bounds else np.empty((rows_count, 0))
        rank_sum, rank_count = parts.get(Part.SUM, absent), parts.get(Part.COUNT, absent)
        is_there = np.isfinite(levels)
        whole = _is_whole(bounds, levels, is_there, rank_sum, rank_count)
        if ((is_there.any(axis=1) | np.isfinite(rank_count)) & ~whole).any():
            remarks[f"{where} is no whole histogram at some times, and is withheld there"] += 1
        chosen = whole & (used < 0)
        if not chosen.any():
            continue
        patterns, pattern_of = np.unique(is_there[chosen], axis=0, return_inverse=True)
        numbers = [
            sets.setdefault(tuple(bound for bound, there in zip(bounds, pattern, strict=True) if there), len(sets))
            for pattern in patterns
        ]
        used[chosen] = np.array(numbers)[pattern_of.reshape(-1)]
        for bound, values in zip(bounds, levels.T, strict=True):
            counts[bound] = np.where(chosen, values, counts.get(bound, absent))
        total, count = np.where(chosen, rank_sum, total), np.where(chosen, rank_count, count)
    return _Buckets(tuple(sets), used, counts, total, count)


def _is_whole(bounds: Sequence[float], levels: Floats, is_there: Mask, total: Floats, count: Floats) -> Mask:
    """The rules of one page: a +Inf bucket that equals the count, a sum, and buckets that rise."""
    if not bounds or bounds[-1] != np.inf:
        return np.zeros(len(count), dtype=bool)
    known = np.where(is_there, levels, -np.inf)
    rises = (~is_there | (known == np.maximum.accumulate(known, axis=1))).all(axis=1)
    whole: Mask = np.isfinite(total) & (levels[:, -1] == count) & rises
    return whole


def _changes(used: NDArray[np.intp]) -> list[int]:
    """The rows at which a histogram is there with other buckets than when it was last there."""
    there = np.flatnonzero(used >= 0)
    return there[1:][np.diff(used[there]) != 0].tolist() if len(there) > 1 else []


def _history(found: _Buckets, rows: slice) -> HistogramHistory | None:
    numbers = found.used[rows]
    numbers = numbers[numbers >= 0]
    if not len(numbers):
        return None
    bounds = found.sets[numbers[0]]
    return HistogramHistory(
        bounds=bounds,
        cumulative_counts=np.column_stack([found.buckets[bound][rows] for bound in bounds]),
        sum=found.sums[rows],
        count=found.counted[rows],
    )
