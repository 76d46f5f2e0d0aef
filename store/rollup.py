"""From samples to minutes and hours: sums stay exact, means are weighted by observed time, unknown stays unknown."""

from datetime import datetime
from functools import cache

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    DateTime,
    Delete,
    Insert,
    Select,
    and_,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
)
from sqlalchemy.sql import FromClause, func

from costlib.telemetry import COUNTERS, HISTOGRAMS, SampleState
from store.schema import BUCKETS, usage_hour, usage_minute, usage_sample
from store.sql import time_bin

MIXED = "mixed"
_SUMMED_GAUGES = ("running_count", "waiting_count")


def refresh(connection: Connection, target_keys: set[str], first: datetime, last: datetime, is_sample: bool) -> None:
    """Rebuild every minute and hour of `target_keys` from `first` to `last` out of their samples (naive UTC)."""
    region = {"target_keys": sorted(target_keys), "first": first, "last": last}
    for unit in ("minute", "hour"):
        clear, fill = _statements(unit)
        connection.execute(clear, region)
        connection.execute(fill, {**region, "is_sample": is_sample})


@cache
def _statements(unit: str) -> tuple[Delete, Insert]:
    """What empties and what fills the bins of a region. Built once: with its many columns that takes a while."""
    table = {"minute": usage_minute, "hour": usage_hour}[unit]
    target_keys: ColumnElement[list[str]] = bindparam("target_keys", expanding=True)
    start, end = (time_bin(unit, bindparam(name, type_=DateTime)) for name in ("first", "last"))
    clear = delete(table).where(table.c.target_key.in_(target_keys), table.c.bin_start.between(start, end))
    sample = usage_sample.c
    touched = and_(
        sample.target_key.in_(target_keys), sample.scraped_at >= start, time_bin(unit, sample.scraped_at) <= end
    )
    scrape = by_scrape(touched).subquery()
    columns = {
        "bin_start": time_bin(unit, scrape.c.scraped_at),
        "target_key": scrape.c.target_key,
        "model_key": scrape.c.model_key,
        "is_sample": bindparam("is_sample", type_=Boolean),
        "gap_s": _seconds(case((scrape.c.observed_s.is_(None), scrape.c.gap_s))),
        "observed_s": _seconds(scrape.c.observed_s),
        "coverage_s": _seconds(scrape.c.coverage_s),
        **{name: func.sum(scrape.c[name]) for name in ("samples_count", "busy_s")},
        **{name: func.sum(scrape.c[name]) for name in COUNTERS},
        **{name: _time_mean(scrape, name) for name in (*_SUMMED_GAUGES, "kv_usage_fraction")},
        "kv_usage_max_fraction": func.max(scrape.c.kv_usage_max_fraction),
        **_histogram_sums(scrape),
    }
    rows = _labelled(columns).group_by(columns["bin_start"], scrape.c.target_key, scrape.c.model_key)
    return clear, insert(table).from_select(list(columns), rows)


def by_scrape(where: ColumnElement[bool]) -> Select:
    """The samples that match, summed over the engines of each target and model at each scrape."""
    sample = usage_sample.c
    placed = sample.state.in_((SampleState.OK, SampleState.RESET))
    ran = or_(sample.running_count > 0, sample.generation_tokens > 0)
    known = or_(sample.running_count.is_not(None), sample.generation_tokens.is_not(None))
    in_time = case((placed, sample.interval_s))
    columns = {
        "target_key": sample.target_key,
        "model_key": sample.model_key,
        "scraped_at": sample.scraped_at,
        "state": _least_sure(sample.state),
        "samples_count": func.count(),
        "interval_s": func.max(sample.interval_s),
        "observed_s": func.max(in_time),
        "gap_s": func.max(case((sample.state == SampleState.GAP, sample.interval_s))),
        "coverage_s": func.sum(in_time),
        "busy_s": func.sum(case((and_(placed, ran), sample.interval_s), (and_(placed, known), 0.0))),
        **{name: func.sum(sample[name]) for name in (*COUNTERS, *_SUMMED_GAUGES)},
        "kv_usage_fraction": func.avg(sample.kv_usage_fraction),
        "kv_usage_max_fraction": func.max(sample.kv_usage_fraction),
        **_histogram_sums(usage_sample),
    }
    return _labelled(columns).where(where).group_by(sample.target_key, sample.model_key, sample.scraped_at)


def _labelled(columns: dict[str, ColumnElement]) -> Select:
    return select(*(expression.label(name) for name, expression in columns.items()))


def _least_sure(state: ColumnElement[str]) -> ColumnElement[str]:
    """Of engines that disagree, the state that says least about the time between the scrapes."""
    unsure = (SampleState.GAP, SampleState.FIRST, SampleState.RESET)
    return case(*((func.bool_or(state == word), str(word)) for word in unsure), else_=str(SampleState.OK))


def _seconds(column: ColumnElement[float]) -> ColumnElement[float]:
    """Time seen. Here nothing is known to be zero: not to have looked is no unknown amount of looking."""
    return func.coalesce(func.sum(column), 0.0)


def _time_mean(scrape: FromClause, gauge: str) -> ColumnElement:
    weight = case((scrape.c[gauge].is_not(None), scrape.c.observed_s))
    return func.sum(scrape.c[gauge] * weight) / func.nullif(func.sum(weight), 0)


def _histogram_sums(source: FromClause) -> dict[str, ColumnElement]:
    """Sums of every bucket; where the bounds changed under way, sum and count only, under the bounds_id MIXED."""
    sums: dict[str, ColumnElement] = {}
    for name in HISTOGRAMS:
        low, high = (pick(source.c[f"{name}_bounds_id"]) for pick in (func.min, func.max))
        sums[f"{name}_sum"] = func.sum(source.c[f"{name}_sum"])
        sums[f"{name}_count"] = func.sum(source.c[f"{name}_count"])
        sums[f"{name}_bounds_id"] = case((low == high, low), (low.is_not(None), MIXED))
        for bucket in BUCKETS[name]:
            sums[bucket] = case((low == high, func.sum(source.c[bucket])))
    return sums
