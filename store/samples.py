"""UsageSample and EnginePage to rows and back, exactly."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import BigInteger, Boolean, Connection, DateTime, Double, Row, Table, select

from costlib.errors import BadRecord
from costlib.telemetry import COUNTERS, GAUGES, HISTOGRAMS, EnginePage, Histogram, UsageSample
from store.engine import aware, naive
from store.schema import BUCKETS, BUCKETS_COUNT, engine_page, histogram_bounds, usage_sample
from store.sql import bulk_load

_LARGEST_COUNT = 2.0**63
_ARROW_TYPE = {BigInteger: pa.int64(), Double: pa.float64(), DateTime: pa.timestamp("us"), Boolean: pa.bool_()}


def add_samples(connection: Connection, samples: Iterable[UsageSample], is_sample: bool) -> None:
    samples = list(samples)
    rows = [_sample_row(sample, is_sample) for sample in samples]
    bulk_load(connection, usage_sample, arrow_rows(usage_sample, rows))
    _add_bounds(connection, {histogram.bounds for sample in samples for histogram in _kept(sample).values()})


def arrow_rows(table: Table, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as an Arrow table of exactly `table`'s columns and types (no DECIMAL); what a row leaves out is NULL."""
    types = {column.name: _ARROW_TYPE.get(type(column.type), pa.string()) for column in table.columns}
    return pa.table({name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()})


def _sample_row(sample: UsageSample, is_sample: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "target_key": sample.target_key,
        "model_key": sample.model_key,
        "engine_key": sample.engine_key,
        "scraped_at": naive(sample.scraped_at),
        "interval_s": sample.interval_s,
        "state": str(sample.state),
        "is_sample": is_sample,
    }
    for name in COUNTERS:
        value = _finite(sample, name, sample.counters.get(name))
        row[name] = value if value is None or name.endswith("_s") else round(value)
    for name in GAUGES:
        row[name] = _finite(sample, name, sample.gauges.get(name))
    for name, histogram in _known(sample).items():
        row[f"{name}_sum"] = _finite(sample, name, histogram.sum)
        row[f"{name}_count"] = round(_finite(sample, name, histogram.count) or 0)
    for name, histogram in _kept(sample).items():
        row[f"{name}_bounds_id"] = _bounds_id(histogram.bounds)
        below = 0.0
        for bucket, count in zip(BUCKETS[name], histogram.cumulative_counts, strict=False):
            row[bucket] = round(_finite(sample, name, count - below) or 0)
            below = count
    return row


def _finite(sample: UsageSample, name: str, value: float | None) -> float | None:
    if value is None or (math.isfinite(value) and abs(value) < _LARGEST_COUNT):
        return value
    raise BadRecord(
        f"{name} of engine {sample.engine_key!r} at {sample.target_key!r} is {value}, which no engine can count to;"
        " the page is refused"
    )


def _known(sample: UsageSample) -> dict[str, Histogram]:
    found = ((name, sample.histograms.get(name)) for name in HISTOGRAMS)
    return {name: histogram for name, histogram in found if histogram is not None}


def _kept(sample: UsageSample) -> dict[str, Histogram]:
    """The histograms whose buckets have a column each. Of a finer one only the sum and the count are stored."""
    return {name: item for name, item in _known(sample).items() if len(item.bounds) <= BUCKETS_COUNT}


# Bounds are text in the database: repr keeps every float exactly, "inf" included.


def bounds_text(bounds: Iterable[float]) -> str:
    return ",".join(repr(float(bound)) for bound in bounds)


def bounds_from(text: str) -> tuple[float, ...]:
    return tuple(float(bound) for bound in text.split(","))


def _bounds_id(bounds: Iterable[float]) -> str:
    return hashlib.sha256(bounds_text(bounds).encode()).hexdigest()[:12]


def _add_bounds(connection: Connection, used: set[tuple[float, ...]]) -> None:
    known = set(connection.scalars(select(histogram_bounds.c.bounds_id))) if used else set()
    new = [{"bounds_id": _bounds_id(bounds), "bounds": bounds_text(bounds)} for bounds in used]
    bulk_load(
        connection, histogram_bounds, arrow_rows(histogram_bounds, [r for r in new if r["bounds_id"] not in known])
    )


# Pages ----------------------------------------------------------------------------------------------------------------


def page_rows(pages: Iterable[EnginePage], is_sample: bool) -> pa.Table:
    return arrow_rows(
        engine_page,
        [
            {
                "target_key": page.target_key,
                "model_key": page.model_key,
                "engine_key": page.engine_key,
                "scraped_at": naive(page.scraped_at),
                "started_at": naive(page.started_at) if page.started_at else None,
                "page": _page_text(page),
                "is_sample": is_sample,
            }
            for page in pages
        ],
    )


def _page_text(page: EnginePage) -> str:
    histograms = {
        name: {"bounds": bounds_text(h.bounds), "counts": h.cumulative_counts, "sum": h.sum, "count": h.count}
        for name, h in page.histograms.items()
    }
    body = {"counters": dict(page.counters), "gauges": dict(page.gauges), "histograms": histograms}
    try:
        return json.dumps(body, allow_nan=False)
    except ValueError:
        raise BadRecord(
            f"engine {page.engine_key!r} at {page.target_key!r} exports NaN or infinity; the page is refused"
        ) from None


def page_from(row: Row) -> EnginePage:
    body = json.loads(row.page)
    scraped_at = aware(row.scraped_at)
    assert scraped_at is not None
    return EnginePage(
        target_key=row.target_key,
        model_key=row.model_key,
        engine_key=row.engine_key,
        scraped_at=scraped_at,
        started_at=aware(row.started_at),
        counters=body["counters"],
        gauges=body["gauges"],
        histograms={
            name: Histogram(
                bounds=bounds_from(h["bounds"]), cumulative_counts=tuple(h["counts"]), sum=h["sum"], count=h["count"]
            )
            for name, h in body["histograms"].items()
        },
    )
