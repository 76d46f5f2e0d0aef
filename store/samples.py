"""What engines did, as columns: UsageSample and HistoryIncreases become rows of `usage_sample`, exactly."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Boolean, Connection, DateTime, Double, Table, select

from costlib.errors import BadRecord
from costlib.history import HistoryIncreases
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS
from costlib.telemetry import Histogram, UsageSample
from costlib.units import MEGA
from store.engine import naive
from store.schema import BUCKETS, BUCKETS_COUNT, histogram_bounds, usage_sample
from store.sql import bulk_load

_LARGEST_COUNT = 2.0**63
_ARROW_TYPE = {BigInteger: pa.int64(), Double: pa.float64(), DateTime: pa.timestamp("us"), Boolean: pa.bool_()}
TYPES = {column.name: _ARROW_TYPE.get(type(column.type), pa.string()) for column in usage_sample.columns}
_COUNTS = frozenset(name for name, kind in TYPES.items() if kind == pa.int64())

Columns = dict[str, pa.Array]
Bounds = tuple[float, ...]


def arrow_rows(table: Table, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of exactly `table`'s columns and types (no DECIMAL); what a row leaves out is NULL."""
    types = {column.name: _ARROW_TYPE.get(type(column.type), pa.string()) for column in table.columns}
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()})


def rows_of_samples(samples: Sequence[UsageSample], is_sample: Sequence[bool]) -> pa.Table:
    """One row per sample, built column by column. Raises BadRecord for a number that no engine can count to."""
    columns: Columns = {
        "target_key": pa.array([item.target_key for item in samples], pa.string()),
        "model_key": pa.array([item.model_key for item in samples], pa.string()),
        "engine_key": pa.array([item.engine_key for item in samples], pa.string()),
        "scraped_at": pa.array([naive(item.scraped_at) for item in samples], pa.timestamp("us")),
        "interval_s": pa.array([item.interval_s for item in samples], pa.float64()),
        "state": pa.array([str(item.state) for item in samples], pa.string()),
        "restarted": pa.array([item.restarted for item in samples], pa.bool_()),
        "is_sample": pa.array(is_sample, pa.bool_()),
    }
    for name in COUNTERS:
        columns[name] = _numbers(samples, name, [item.counters.get(name) for item in samples])
    for name in GAUGES:
        columns[name] = _numbers(samples, name, [item.gauges.get(name) for item in samples])
    for name in HISTOGRAMS:
        columns |= _histogram_columns(samples, name, [item.histograms.get(name) for item in samples])
    return _whole(columns, len(samples))


def rows_of_history(history: HistoryIncreases, after_s: float | None, is_sample: bool) -> pa.Table:
    """The rows of `history` later than `after_s` [unix s]; no Python per row."""
    times = np.rint(history.times_s * MEGA).astype(np.int64)
    rows = np.ones(len(times), bool) if after_s is None else times > round(after_s * MEGA)
    count = int(rows.sum())
    columns: Columns = {
        "target_key": _same(history.target_key, count),
        "model_key": _same(history.model_key, count),
        "engine_key": _same(history.engine_key, count),
        "scraped_at": pa.array(times[rows], pa.timestamp("us")),
        "interval_s": _column("interval_s", history.interval_s[rows], history),
        "state": pa.array(np.array(history.states, dtype=object).astype(str)[rows], pa.string()),
        "restarted": pa.array(history.restarted[rows]),
        "is_sample": pa.array(np.full(count, is_sample)),
    }
    for name, values in (*history.counters.items(), *history.gauges.items()):
        if name in TYPES:
            columns[name] = _column(name, values[rows], history)
    for name, item in history.histograms.items():
        if name not in BUCKETS:
            continue
        columns[f"{name}_sum"] = _column(f"{name}_sum", item.sum[rows], history)
        columns[f"{name}_count"] = _column(f"{name}_count", item.count[rows], history)
        if len(item.bounds) > BUCKETS_COUNT:
            continue
        increments = np.diff(item.cumulative_counts[rows], axis=1, prepend=0.0)
        known = np.isfinite(item.count[rows]) & np.isfinite(increments).all(axis=1)
        columns[f"{name}_bounds_id"] = pa.array(np.where(known, bounds_id(item.bounds), None), pa.string())
        for bucket, values in zip(BUCKETS[name], np.where(known[:, None], increments, np.nan).T, strict=False):
            columns[bucket] = _column(bucket, values, history)
    return _whole(columns, count)


def add_bounds(connection: Connection, used: Iterable[Bounds]) -> None:
    """Remember what the bounds_ids of these bounds stand for."""
    ids = {bounds_id(bounds): bounds for bounds in set(used) if len(bounds) <= BUCKETS_COUNT}
    known = set(connection.scalars(select(histogram_bounds.c.bounds_id))) if ids else set()
    new = [{"bounds_id": key, "bounds": bounds_text(bounds)} for key, bounds in ids.items() if key not in known]
    bulk_load(connection, histogram_bounds, arrow_rows(histogram_bounds, new))


def bounds_of(samples: Iterable[UsageSample], histories: Iterable[HistoryIncreases]) -> set[Bounds]:
    found = {item.bounds for sample in samples for item in sample.histograms.values() if item is not None}
    return found | {item.bounds for history in histories for item in history.histograms.values()}


# Bounds are text in the database: repr keeps every float exactly, "inf" included.


@lru_cache(maxsize=256)
def bounds_text(bounds: Bounds) -> str:
    return ",".join(repr(float(bound)) for bound in bounds)


def bounds_from(text: str) -> Bounds:
    return tuple(float(bound) for bound in text.split(","))


@lru_cache(maxsize=256)
def bounds_id(bounds: Bounds) -> str:
    return hashlib.sha256(bounds_text(bounds).encode()).hexdigest()[:12]


# Columns --------------------------------------------------------------------------------------------------------------


def _whole(columns: Columns, count: int) -> pa.Table:
    return pa.table({name: columns[name] if name in columns else pa.nulls(count, kind) for name, kind in TYPES.items()})


def _same(value: str, count: int) -> pa.Array:
    return pa.array(np.full(count, value, dtype=object), pa.string())


def _numbers(samples: Sequence[UsageSample], name: str, values: Sequence[float | None]) -> pa.Array:
    for sample, value in zip(samples, values, strict=True):
        if value is not None and not (math.isfinite(value) and abs(value) < _LARGEST_COUNT):
            raise _impossible(sample, name, value)
    if name in _COUNTS:
        # Not by way of a float array: a count may be larger than a float keeps exactly.
        return pa.array([None if value is None else round(value) for value in values], pa.int64())
    return pa.array(values, pa.float64())


def _histogram_columns(samples: Sequence[UsageSample], name: str, items: Sequence[Histogram | None]) -> Columns:
    """Of a histogram finer than its columns only sum and count are stored."""
    increments = np.full((len(items), BUCKETS_COUNT), np.nan)
    ids: list[str | None] = [None] * len(items)
    by_bounds: dict[Bounds, list[int]] = {}
    for row, item in enumerate(items):
        if item is not None and len(item.bounds) <= BUCKETS_COUNT:
            by_bounds.setdefault(item.bounds, []).append(row)
    for bounds, rows in by_bounds.items():
        cumulative = np.array([items[row].cumulative_counts for row in rows], float)  # type: ignore[union-attr]
        if not (np.isfinite(cumulative) & (np.abs(cumulative) < _LARGEST_COUNT)).all():
            wrong = rows[int(np.argmax(~np.isfinite(cumulative).all(axis=1)))]
            raise _impossible(samples[wrong], name, float("nan"))
        increments[rows, : len(bounds)] = np.diff(cumulative, axis=1, prepend=0.0)
        for row in rows:
            ids[row] = bounds_id(bounds)
    return {
        f"{name}_sum": _numbers(samples, f"{name}_sum", [item and item.sum for item in items]),
        f"{name}_count": _numbers(samples, f"{name}_count", [item and item.count for item in items]),
        f"{name}_bounds_id": pa.array(ids, pa.string()),
        **{bucket: _nullable(values, whole=True) for bucket, values in zip(BUCKETS[name], increments.T, strict=True)},
    }


def _column(name: str, values: NDArray[np.float64], of: HistoryIncreases) -> pa.Array:
    if np.isinf(values).any() or np.nanmax(np.abs(values), initial=0.0) >= _LARGEST_COUNT:
        raise _impossible(of, name, float(np.nanmax(np.abs(values))))
    return _nullable(values, whole=name in _COUNTS)


def _nullable(values: NDArray[np.float64], whole: bool) -> pa.Array:
    unknown = np.isnan(values)
    if whole:
        return pa.array(np.rint(np.where(unknown, 0.0, values)).astype(np.int64), mask=unknown)
    return pa.array(values, mask=unknown)


def _impossible(of: UsageSample | HistoryIncreases, name: str, value: float) -> BadRecord:
    return BadRecord(
        f"{name} of engine {of.engine_key!r} at {of.target_key!r} is {value}, which no engine can count to;"
        " the page is refused"
    )
