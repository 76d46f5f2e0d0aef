"""From samples to minutes and hours, and from those to any longer stretch: three steps over the same columns.

`of_samples` sums the samples of one engine in a bin, `over_engines` adds up engines (and servers) within a bin, and
`over_time` adds up bins. Sums stay exact, unknown stays unknown, and where the bounds of a histogram changed under way
its sum and count remain, under the bounds_id MIXED.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Delete,
    Insert,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    delete,
    insert,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql import FromClause, func

from costlib.devices import DEVICE_COUNTERS, DEVICE_GAUGES
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS, MEAN_GAUGES
from costlib.telemetry import PLACED_STATES, SampleState
from store.schema import BUCKETS, KV_USAGE, device_hour, device_sample, usage_hour, usage_minute, usage_sample
from store.sql import temporary_like, time_bin

MIXED = "mixed"
ENGINE = ("target_key", "model_key", "engine_key")

_COUNTED = ("samples_count", "restarts_count")
_TABLE = {"minute": usage_minute, "hour": usage_hour, "device_hour": device_hour}
_SOURCE = {"minute": usage_sample, "hour": usage_sample, "device_hour": device_sample}
Columns = dict[str, ColumnElement]


def refresh(connection: Connection, unit: str, target_keys: Sequence[str], first: datetime, last: datetime) -> None:
    """Rebuild the bins of `target_keys` from `first` to `last` (naive UTC) that have samples, out of these.

    `unit`: "minute", "hour" or "device_hour". A bin without samples stays as it is: they may be gone, the bin is not.
    """
    region = {"target_keys": list(target_keys), "first": first, "last": last}
    clear, fill = _statements(unit)
    connection.execute(clear, region)
    connection.execute(fill, region)


def add_to_bins(connection: Connection, unit: str, samples: Table, since: datetime | None = None) -> None:
    """Add the rows of `samples` to their bins from `since` on, whose earlier samples are no longer kept."""
    table = _TABLE[unit]
    bin_start = time_bin(unit, samples.c.scraped_at)
    new = of_samples(samples, bin_start).add_columns(func.bool_or(samples.c.is_sample).label("is_sample"))
    fresh = (new if since is None else new.where(bin_start >= since)).subquery()
    names = [column.name for column in fresh.columns]
    first, last = connection.execute(select(func.min(bin_start), func.max(bin_start))).one()
    shared = and_(
        table.c.bin_start.between(first if since is None else max(first, since), last),
        *(table.c[name].in_(select(samples.c[name]).distinct()) for name in ENGINE),
    )
    parts = union_all(select(fresh), select(*(table.c[name] for name in names)).where(shared)).subquery()
    whole = over_time(parts, (*ENGINE, "is_sample"), parts.c.bin_start)
    staged = temporary_like(table)
    staged.create(connection)
    connection.execute(insert(staged).from_select([column.name for column in whole.selected_columns], whole))
    connection.execute(delete(table).where(shared))
    connection.execute(insert(table).from_select(staged.c.keys(), select(staged)))
    staged.drop(connection)


def of_samples(samples: FromClause, bin_start: ColumnElement[datetime] | None) -> Select:
    """One row per bin and engine, in the columns of `usage_hour` but `is_sample`; all in one bin when that is None."""
    s = samples.c
    placed = s.state.in_(PLACED_STATES)
    ran = or_(s.running_count > 0, s.generation_tokens > 0)
    known = or_(s.running_count.is_not(None), s.generation_tokens.is_not(None))
    in_time = case((placed, s.interval_s))
    return _grouped(
        {**_binned(bin_start), **{name: s[name] for name in ENGINE}},
        {
            "samples_count": func.count(),
            "restarts_count": _total(case((s.restarted, 1), else_=0), usage_hour.c.restarts_count),
            "observed_s": _seconds(in_time),
            "gap_s": _seconds(case((s.state == SampleState.GAP, s.interval_s))),
            "coverage_s": _seconds(in_time),
            "busy_s": func.sum(case((and_(placed, ran), s.interval_s), (and_(placed, known), 0.0))),
            **{name: _total(s[name], usage_hour.c[name]) for name in COUNTERS},
            **{name: _mean(s[name], in_time) for name in GAUGES},
            "kv_usage_p50_fraction": func.percentile_cont(0.5).within_group(s.kv_usage_fraction),
            "kv_usage_p95_fraction": func.percentile_cont(0.95).within_group(s.kv_usage_fraction),
            "kv_usage_max_fraction": func.max(s.kv_usage_fraction),
            **_histogram_sums(samples),
            "oldest_at": func.min(s.scraped_at),
            "newest_at": func.max(s.scraped_at),
        },
    )


def over_engines(rows: FromClause, keys: Mapping[str, ColumnElement]) -> Select:
    """Rows of one bin added up over engines: one row per bin and `keys`.

    Engines that were observed at the same time were observed once: `observed_s` is that of the one seen longest, and
    with `gap_s` it covers the one known longest. What several engines hold at a time is summed, fractions are averaged.
    """
    r = rows.c
    seen_s = func.max(r.observed_s + func.coalesce(r.gap_s, 0.0))
    gauges = {
        name: _mean(r[name], r.observed_s)
        if name in MEAN_GAUGES
        else func.sum(r[name] * r.observed_s) / func.nullif(func.max(case((r[name].is_not(None), r.observed_s))), 0.0)
        for name in GAUGES
    }
    return _grouped(
        {**_binned(r.get("bin_start")), **keys},
        {
            **_added(rows),
            "observed_s": func.max(r.observed_s),
            "gap_s": seen_s - func.max(r.observed_s),
            **gauges,
        },
    )


def over_time(rows: FromClause, keys: Sequence[str], bin_start: ColumnElement[datetime] | None = None) -> Select:
    """Rows of the same `keys` added up over the bins that lie in each longer one; over all of them without one.

    Means are weighted by time. A quantile of KV usage is exact for one engine in one bin; over several it is the mean
    of theirs, weighted by samples.
    """
    r = rows.c
    return _grouped(
        {**_binned(bin_start), **{name: r[name] for name in keys}},
        {
            **_added(rows),
            "observed_s": func.sum(r.observed_s),
            "gap_s": func.sum(r.gap_s),
            **{name: _mean(r[name], r.observed_s) for name in GAUGES},
        },
    )


@cache
def _statements(unit: str) -> tuple[Delete, Insert]:
    """What empties and what fills the bins of a region. Built once: with its many columns that takes a while."""
    table, samples = _TABLE[unit], _SOURCE[unit]
    width = "minute" if unit == "minute" else "hour"
    target_keys: ColumnElement[list[str]] = bindparam("target_keys", expanding=True)
    start, end = (time_bin(width, bindparam(name, type_=DateTime)) for name in ("first", "last"))
    bin_start = time_bin(width, samples.c.scraped_at)
    touched = and_(samples.c.target_key.in_(target_keys), samples.c.scraped_at >= start, bin_start <= end)
    rebuilt = select(samples.c.target_key, bin_start.label("bin_start")).where(touched).distinct().subquery()
    clear = delete(table).where(
        select(rebuilt)
        .where(rebuilt.c.target_key == table.c.target_key, rebuilt.c.bin_start == table.c.bin_start)
        .exists()
    )
    rows = (of_device_samples if samples is device_sample else of_samples)(samples, bin_start).where(touched)
    rows = rows.add_columns(func.bool_or(samples.c.is_sample).label("is_sample"))
    return clear, insert(table).from_select([column.name for column in rows.selected_columns], rows)


def of_device_samples(samples: FromClause, bin_start: ColumnElement[datetime] | None) -> Select:
    """One row per bin and GPU, in the columns of `device_hour` but `is_sample`; all in one bin when that is None."""
    s = samples.c
    in_time = case((s.state.in_(PLACED_STATES), s.interval_s))
    return _grouped(
        {**_binned(bin_start), "target_key": s.target_key, "device_key": s.device_key},
        {
            "samples_count": func.count(),
            "observed_s": _seconds(in_time),
            "gap_s": _seconds(case((s.state == SampleState.GAP, s.interval_s))),
            **{name: func.sum(s[name]) for name in DEVICE_COUNTERS},
            **{name: _mean(s[name], in_time) for name in DEVICE_GAUGES},
            "newest_at": func.max(s.scraped_at),
        },
    )


def devices_over_time(rows: FromClause, keys: Sequence[str]) -> Select:
    r = rows.c
    return _grouped(
        {name: r[name] for name in keys},
        {
            **{name: func.sum(r[name]) for name in ("observed_s", *DEVICE_COUNTERS)},
            **{name: _mean(r[name], r.observed_s) for name in DEVICE_GAUGES},
            "newest_at": func.max(r.newest_at),
        },
    )


def _added(rows: FromClause) -> Columns:
    """What is added up alike over engines and over time."""
    r = rows.c
    return {
        **{name: _total(r[name], usage_hour.c[name]) for name in _COUNTED},
        "coverage_s": func.sum(r.coverage_s),
        "busy_s": func.sum(r.busy_s),
        **{name: _total(r[name], usage_hour.c[name]) for name in COUNTERS},
        **{name: _mean(r[name], r.samples_count) for name in KV_USAGE[:2]},
        "kv_usage_max_fraction": func.max(r.kv_usage_max_fraction),
        **_histogram_sums(rows),
        "oldest_at": func.min(r.oldest_at),
        "newest_at": func.max(r.newest_at),
    }


def _binned(bin_start: ColumnElement[datetime] | None) -> Columns:
    return {} if bin_start is None else {"bin_start": bin_start}


def _grouped(keys: Columns, columns: Columns) -> Select:
    named = [expression.label(name) for name, expression in {**keys, **columns}.items()]
    return select(*named).group_by(*keys.values())


def _total(column: ColumnElement, like: ColumnElement) -> ColumnElement:
    """A sum in the type of `like`: the database widens it, to a type that frames know only as a float."""
    return cast(func.sum(column), like.type)


def _seconds(column: ColumnElement[float]) -> ColumnElement[float]:
    """Time seen. Here nothing is known to be zero: not to have looked is no unknown amount of looking."""
    return func.coalesce(func.sum(column), 0.0)


def _mean(value: ColumnElement[float], weight: ColumnElement[float]) -> ColumnElement[float]:
    known = case((value.is_not(None), weight))
    return func.sum(value * weight) / func.nullif(func.sum(known), 0.0)


def _histogram_sums(source: FromClause) -> Columns:
    sums: Columns = {}
    for name in HISTOGRAMS:
        low, high = (pick(source.c[f"{name}_bounds_id"]) for pick in (func.min, func.max))
        for total in (f"{name}_sum", f"{name}_count"):
            sums[total] = _total(source.c[total], usage_hour.c[total])
        sums[f"{name}_bounds_id"] = case((low == high, low), (low.is_not(None), MIXED))
        for bucket in BUCKETS[name]:
            sums[bucket] = case((low == high, _total(source.c[bucket], usage_hour.c[bucket])))
    return sums
