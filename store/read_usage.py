"""The questions about demand and about the scrapes of the last minutes, as statements over a snapshot."""

from datetime import datetime, timedelta
from functools import reduce
from itertools import accumulate
from operator import add
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Double, Select, and_, case, cast, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from costlib.measures import COUNTERS, GAUGES, MEAN_GAUGES
from costlib.telemetry import SampleState, quantile
from costlib.units import SECONDS_PER_HOUR
from store.engine import naive
from store.rollup import over_engines
from store.samples import bounds_from
from store.schema import BUCKETS, histogram_bounds, target, usage_hour, usage_sample
from store.sql import frame

HOUR = timedelta(hours=1)

_REQUESTS = tuple(name for name in COUNTERS if name.startswith("requests_"))
# The busiest hour is looked for among hours of which at least this share was seen.
_PEAK_HOUR_SEEN_FRACTION = 0.5


def demand(start: datetime, end: datetime) -> Select:
    """What was asked of each deployment, replicas added up; `target_key` is the key of the deployment."""
    rows = select(usage_hour).where(_within(usage_hour.c.bin_start, start, end)).subquery()
    deployment_key = func.coalesce(target.c.deployment_key, rows.c.target_key)
    of_deployments = over_engines(rows, {"target_key": deployment_key, "model_key": rows.c.model_key})
    hour = of_deployments.select_from(rows.outerjoin(target, target.c.target_key == rows.c.target_key)).subquery()
    # Requests that came after a gap were asked during the gap: they belong to its time too.
    seen_s = hour.c.observed_s + func.coalesce(hour.c.gap_s, 0)
    hours = select(hour, seen_s.label("seen_s"), _requests(hour.c).label("requests_count")).subquery()
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
    sample = usage_sample.c
    recent = and_(sample.scraped_at > naive(now - timedelta(seconds=window_s)), sample.scraped_at <= naive(now))
    keys = (sample.scraped_at, sample.target_key, sample.model_key)
    rows = frame(
        connection,
        select(
            *keys,
            func.max(sample.interval_s).label("interval_s"),
            _least_sure(sample.state).label("state"),
            *(cast(func.sum(sample[name]), sample[name].type).label(name) for name in COUNTERS),
            *((func.avg if name in MEAN_GAUGES else func.sum)(sample[name]).label(name) for name in GAUGES),
        )
        .where(recent)
        .group_by(*keys)
        .order_by(*keys),
    )
    p95 = _quantiles(connection, recent, "ttft_s", 0.95)
    of = zip(rows["target_key"], rows["model_key"], strict=True)
    rows["ttft_p95_s"] = pd.Series([p95.get(key) for key in of], index=rows.index, dtype=float)
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


def _least_sure(state: ColumnElement[str]) -> ColumnElement[str]:
    """Of engines that disagree, the state that says least about the time between the scrapes."""
    unsure = (SampleState.GAP, SampleState.FIRST, SampleState.RESET, SampleState.STARTED)
    return case(*((func.bool_or(state == word), str(word)) for word in unsure), else_=str(SampleState.OK))


def _ratio(part: ColumnElement, whole: ColumnElement) -> ColumnElement:
    return cast(part, Double) / func.nullif(cast(whole, Double), 0)


def _requests(hour: ReadOnlyColumnCollection[str, Any]) -> ColumnElement[int]:
    """Finished requests of an hour, however they finished; NULL only when no outcome is exported."""
    outcomes = [hour[name] for name in _REQUESTS]
    total = reduce(add, (func.coalesce(outcome, 0) for outcome in outcomes))
    return case((func.coalesce(*outcomes).is_not(None), total))
