"""The questions about measurements, as statements over a snapshot."""

from datetime import datetime, timedelta
from functools import reduce
from itertools import accumulate
from operator import add

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Double, Select, Table, and_, case, cast, func, select

from costlib.telemetry import COUNTERS, GAUGES, quantile
from costlib.units import SECONDS_PER_HOUR
from store.engine import naive
from store.rollup import by_scrape
from store.samples import bounds_from
from store.schema import BUCKETS, histogram_bounds, usage_hour, usage_minute, usage_sample
from store.sql import frame, time_bin

HOUR = timedelta(hours=1)

_SECONDS = ("observed_s", "gap_s", "coverage_s", "busy_s")
_REQUESTS = tuple(name for name in COUNTERS if name.startswith("requests_"))
# The busiest hour is looked for among hours of which at least this share was seen.
_PEAK_HOUR_SEEN_FRACTION = 0.5


def usage(start: datetime, end: datetime, bin: str) -> Select:
    table = usage_minute if bin == "minute" else usage_hour
    bin_start = time_bin(bin, table.c.bin_start)
    return (
        select(bin_start.label("bin_start"), table.c.target_key, table.c.model_key, *_measures(table))
        .where(_within(table.c.bin_start, start, end))
        .group_by(bin_start, table.c.target_key, table.c.model_key)
        .order_by("bin_start", table.c.target_key, table.c.model_key)
    )


def usage_total(start: datetime, end: datetime) -> Select:
    hour = usage_hour.c
    return (
        select(hour.target_key, hour.model_key, *_measures(usage_hour))
        .where(_within(hour.bin_start, start, end))
        .group_by(hour.target_key, hour.model_key)
        .order_by(hour.target_key, hour.model_key)
    )


def _measures(table: Table) -> list[ColumnElement]:
    return [
        *(_total(table.c[name]).label(name) for name in COUNTERS),
        _total(table.c.samples_count).label("samples_count"),
        *(func.sum(table.c[name]).label(name) for name in _SECONDS),
        *(_mean(table.c[name], table.c.observed_s).label(name) for name in GAUGES),
        func.max(table.c.kv_usage_max_fraction).label("kv_usage_max_fraction"),
    ]


def demand(start: datetime, end: datetime) -> Select:
    hour = usage_hour.c
    # Requests that came after a gap were asked during the gap: they belong to its time too.
    seen_s = hour.observed_s + func.coalesce(hour.gap_s, 0)
    hours = (
        select(
            *(hour[name] for name in ("target_key", "model_key", *_SECONDS)),
            *(hour[name] for name in ("prompt_tokens", "generation_tokens")),
            *(hour[name] for name in ("prefix_queries_tokens", "prefix_hits_tokens")),
            seen_s.label("seen_s"),
            _requests().label("requests_count"),
        )
        .where(_within(hour.bin_start, start, end))
        .subquery()
    )
    h = hours.c
    full_enough = h.seen_s >= _PEAK_HOUR_SEEN_FRACTION * SECONDS_PER_HOUR
    rate = _ratio(func.sum(h.requests_count), func.sum(h.seen_s))
    return (
        select(
            h.target_key,
            h.model_key,
            rate.label("requests_per_s"),
            _ratio(func.sum(h.prompt_tokens), func.sum(h.requests_count)).label("mean_prompt_tokens"),
            _ratio(func.sum(h.generation_tokens), func.sum(h.requests_count)).label("mean_output_tokens"),
            _ratio(func.max(case((full_enough, _ratio(h.requests_count, h.seen_s)))), rate).label("peak_to_mean_ratio"),
            _ratio(func.sum(h.prefix_hits_tokens), func.sum(h.prefix_queries_tokens)).label("prefix_hit_fraction"),
            _ratio(func.sum(h.busy_s), func.sum(h.coverage_s)).label("busy_fraction"),
            func.least(func.sum(h.observed_s) / (end - start).total_seconds(), 1.0).label("coverage_fraction"),
            func.count().label("hours_count"),
        )
        .group_by(h.target_key, h.model_key)
        .order_by(h.target_key, h.model_key)
    )


def live(connection: Connection, now: datetime, window_s: float) -> pd.DataFrame:
    scraped_at = usage_sample.c.scraped_at
    recent = and_(scraped_at > naive(now - timedelta(seconds=window_s)), scraped_at <= naive(now))
    scrape = by_scrape(recent).subquery()
    rows = frame(
        connection,
        select(
            *(scrape.c[name] for name in ("scraped_at", "target_key", "model_key", "interval_s", "state")),
            *(cast(scrape.c[name], usage_sample.c[name].type).label(name) for name in COUNTERS),
            *(scrape.c[name] for name in GAUGES),
        ).order_by(scrape.c.scraped_at, scrape.c.target_key, scrape.c.model_key),
    )
    p95 = _quantiles(connection, recent, "ttft_s", 0.95)
    keys = zip(rows["target_key"], rows["model_key"], strict=True)
    rows["ttft_p95_s"] = pd.Series([p95.get(key) for key in keys], index=rows.index, dtype=float)
    return rows


def _quantiles(
    connection: Connection, where: ColumnElement[bool], name: str, q: float
) -> dict[tuple[str, str], float | None]:
    """A quantile per target and model over all samples that match; absent where the bounds changed among them."""
    sample = usage_sample.c
    low, high = func.min(sample[f"{name}_bounds_id"]), func.max(sample[f"{name}_bounds_id"])
    sums = (
        select(
            sample.target_key,
            sample.model_key,
            low.label("bounds_id"),
            *(func.sum(sample[bucket]).label(bucket) for bucket in BUCKETS[name]),
        )
        .where(where)
        .group_by(sample.target_key, sample.model_key)
        .having(low == high)
        .subquery()
    )
    known = sums.join(histogram_bounds, histogram_bounds.c.bounds_id == sums.c.bounds_id)
    found = {}
    for row in connection.execute(select(sums, histogram_bounds.c.bounds).select_from(known)):
        bounds = bounds_from(row.bounds)
        increases = (getattr(row, bucket) or 0 for bucket in BUCKETS[name][: len(bounds)])
        found[row.target_key, row.model_key] = quantile(bounds, list(accumulate(increases)), q)
    return found


def _within(column: ColumnElement[datetime], start: datetime, end: datetime) -> ColumnElement[bool]:
    return and_(column >= naive(start), column < naive(end))


def _total(column: ColumnElement) -> ColumnElement:
    """A sum in the column's own type: the database widens it, to a type that frames know only as a float."""
    return cast(func.sum(column), column.type)


def _mean(value: ColumnElement[float], weight: ColumnElement[float]) -> ColumnElement[float]:
    known = case((value.is_not(None), weight))
    return func.sum(value * weight) / func.nullif(func.sum(known), 0)


def _ratio(part: ColumnElement, whole: ColumnElement) -> ColumnElement:
    return cast(part, Double) / func.nullif(cast(whole, Double), 0)


def _requests() -> ColumnElement[int]:
    """Finished requests of an hour, however they finished; NULL only when no outcome is exported."""
    outcomes = [usage_hour.c[name] for name in _REQUESTS]
    total = reduce(add, (func.coalesce(outcome, 0) for outcome in outcomes))
    return case((func.coalesce(*outcomes).is_not(None), total))
