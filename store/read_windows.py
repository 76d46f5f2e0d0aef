"""Windows: what was measured of engines, servers, deployments or models in a stretch of time, and what it is worth."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, Select, Table, bindparam, func, select
from sqlalchemy.sql import ColumnElement, FromClause

from costlib.errors import UnknownKey
from costlib.measures import HISTOGRAMS
from costlib.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE
from costlib.windows import DataState, derived, state_of
from store.engine import naive
from store.publish import MINUTES_KEPT
from store.quantiles import quantiles_by_bounds
from store.read_targets import Servers
from store.rollup import of_samples, over_engines, over_time
from store.samples import bounds_from
from store.schema import BUCKETS, histogram_bounds, target, usage_hour, usage_minute, usage_sample
from store.sql import BINS, arrow, as_frame, time_bin

KEYS = {
    "engine": ("target_key", "model_key", "engine_key"),
    "target": ("target_key", "model_key"),
    "deployment": ("deployment_key", "model_key"),
    "model": ("model_key",),
}
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
TOTAL = "total"

_WIDTH_S = {"minute": SECONDS_PER_MINUTE, "hour": SECONDS_PER_HOUR, "day": SECONDS_PER_DAY}
_SAMPLES_FOR = timedelta(minutes=30)  # a total of at most this comes from samples, where they reach back far enough
_WHOLE = ("total_tokens", "computed_prompt_tokens", "cached_prompt_tokens", "requests_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The question: which stretch of time, in which bins, per what."""

    start: datetime  # aware, included
    end: datetime  # excluded
    bin: str
    per: str

    def __post_init__(self) -> None:
        if self.bin not in (*BINS, TOTAL):
            raise UnknownKey("bin width", self.bin, (*BINS, TOTAL))
        if self.per not in KEYS:
            raise UnknownKey("grouping", self.per, KEYS)


def windows(connection: Connection, window: Window, servers: Servers, reaches: "Reach") -> pd.DataFrame:
    """One row per bin and group; see `Snapshot.windows`."""
    span = {"start": naive(window.start), "end": naive(window.end)}
    sums, members_of = _statements(_source(window, reaches), window.bin, window.per)
    members = as_frame(arrow(connection, members_of, span))
    result = _with_derived(_with_quantiles(connection, arrow(connection, sums, span)))
    if window.bin == TOTAL and window.per != "model":
        result = _with_silent(result, window, servers)
    return _with_states(result, window, servers, members)


def sums(connection: Connection, window: Window, reaches: "Reach") -> pd.DataFrame:
    """`windows` without latency, states and servers that told nothing."""
    span = {"start": naive(window.start), "end": naive(window.end)}
    return _with_derived(as_frame(arrow(connection, _bare(_source(window, reaches), window.bin, window.per), span)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far back a published file has the finer rows; aware times."""

    samples_from: datetime
    minutes_from: datetime

    @classmethod
    def of(cls, published_at: datetime, samples_kept: timedelta, is_sample: bool) -> "Reach":
        # Sample data are hours from the start: only what was replayed of them has minutes.
        minutes = published_at if is_sample else published_at - MINUTES_KEPT
        return cls(samples_from=published_at - samples_kept, minutes_from=minutes)


def _source(window: Window, reaches: Reach) -> Table:
    """The finest rows that reach back to the start, where fineness matters: at ends that are not on the hour."""
    if window.bin == "minute":
        return usage_minute
    if window.bin != TOTAL:
        return usage_hour
    is_short = window.end - window.start <= _SAMPLES_FOR
    if is_short and window.start >= reaches.samples_from:
        return usage_sample
    on_the_hour = not any(moment.minute or moment.second or moment.microsecond for moment in (window.start, window.end))
    if (window.start >= reaches.minutes_from and not on_the_hour) or is_short:
        return usage_minute
    return usage_hour


@cache
def _statements(source: Table, bin: str, per: str) -> tuple[Select, Select]:
    """The sums and the members of windows of one kind. Built once: with their many columns that takes a while."""
    rows = _within(source)
    bin_start = None if bin == TOTAL else time_bin(bin, rows.c.bin_start)
    return _summed(rows, bin, per), _members(rows, bin_start, per)


@cache
def _bare(source: Table, bin: str, per: str) -> Select:
    """The sums without buckets, which are most columns: the database does not add up what nobody asks for."""
    rows = _summed(_within(source), bin, per).order_by(None).subquery().c
    keys = KEYS[per] if bin == TOTAL else ("bin_start", *KEYS[per])
    kept = [column for column in rows if not column.name.startswith(HISTOGRAMS)]
    return select(*kept).order_by(*(rows[name] for name in keys))


def _within(source: Table) -> FromClause:
    moment = source.c.scraped_at if source is usage_sample else source.c.bin_start
    rows = of_samples(source, None) if source is usage_sample else select(source)
    return rows.where(moment >= bindparam("start"), moment < bindparam("end")).subquery()


def _summed(rows: FromClause, bin: str, per: str) -> Select:
    keys = KEYS[per]
    if per != "engine":
        named = rows.outerjoin(target, target.c.target_key == rows.c.target_key)
        columns = {name: _deployment(rows) if name == "deployment_key" else rows.c[name] for name in keys}
        rows = over_engines(rows, columns).select_from(named).subquery()
    if bin == TOTAL:
        return over_time(rows, keys).order_by(*keys)
    return over_time(rows, keys, time_bin(bin, rows.c.bin_start)).order_by("bin_start", *keys)


def _deployment(rows: FromClause) -> ColumnElement[str]:
    return func.coalesce(target.c.deployment_key, rows.c.target_key)


def _members(rows: FromClause, bin_start: ColumnElement[datetime] | None, per: str) -> Select:
    """Which servers each group of each bin is made of."""
    columns = {name: _deployment(rows) if name == "deployment_key" else rows.c[name] for name in KEYS[per]}
    columns |= {"member_key": rows.c.target_key}
    if bin_start is not None:
        columns["bin_start"] = bin_start
    named = rows.outerjoin(target, target.c.target_key == rows.c.target_key)
    labelled = [expression.label(name) for name, expression in columns.items()]
    return select(*labelled).select_from(named).distinct()


def _with_silent(result: pd.DataFrame, window: Window, servers: Servers) -> pd.DataFrame:
    """Rows without a figure for servers that were asked in the window and of which nothing is known in it."""
    key = "deployment_key" if window.per == "deployment" else "target_key"
    asked = servers.asked(window.start, window.end)
    names = {servers.deployment_of(item) if key == "deployment_key" else item for item in asked}
    silent = sorted(names - set(result[key]))
    if not silent:
        return result
    longer = result.reindex(range(len(result) + len(silent)))
    longer.loc[len(result) :, key] = silent
    return longer


def _with_quantiles(connection: Connection, rows: pa.Table) -> pd.DataFrame:
    """The rows with the quantiles of their buckets instead of these: far fewer columns."""
    stored = connection.execute(select(histogram_bounds.c.bounds_id, histogram_bounds.c.bounds))
    bounds = {row.bounds_id: bounds_from(row.bounds) for row in stored}
    found: dict[str, np.ndarray] = {}
    for name in HISTOGRAMS:
        ids = rows[f"{name}_bounds_id"].to_pylist()
        buckets = [rows[bucket].to_numpy() for bucket in BUCKETS[name]]
        increments = np.nan_to_num(np.column_stack(buckets).astype(float))
        values = quantiles_by_bounds(ids, increments, bounds, tuple(QUANTILES.values()))
        found |= {f"{name}_{label}": array for label, array in zip(QUANTILES, values, strict=True)}
    result = as_frame(
        rows.drop_columns([column for name in HISTOGRAMS for column in (f"{name}_bounds_id", *BUCKETS[name])])
    )
    return pd.concat([result, pd.DataFrame(found, index=result.index)], axis=1)


def _with_derived(result: pd.DataFrame) -> pd.DataFrame:
    numbers = result.select_dtypes("number")
    sums = {name: numbers[name].to_numpy(dtype=float, na_value=np.nan) for name in numbers}
    follows = pd.DataFrame(derived(sums), index=result.index)
    # Whole numbers stay whole, and exact where the server counted them.
    for name in _WHOLE:
        follows[name] = follows[name].round().astype("Int64")
    for name in ("computed_prompt_tokens", "cached_prompt_tokens"):
        follows[name] = result[name].fillna(follows[name])
    follows["total_tokens"] = result["prompt_tokens"] + result["generation_tokens"]
    return pd.concat([result.drop(columns=[name for name in follows if name in result]), follows], axis=1)


def _with_states(result: pd.DataFrame, window: Window, servers: Servers, members: pd.DataFrame) -> pd.DataFrame:
    names = [*(["bin_start"] if window.bin != TOTAL else []), *KEYS[window.per]]
    servers_of: dict[tuple, list[str]] = {}
    first_seen = servers.first_seen
    for *group, member in members[[*names, "member_key"]].itertuples(index=False, name=None):
        servers_of.setdefault(tuple(group), []).append(member)
    if window.bin == TOTAL and window.per == "deployment":
        # Replicas that were asked and never told a model are missing from each of the deployment's.
        silent = servers.asked(window.start, window.end) - set(members["member_key"])
        for group, found in servers_of.items():
            found += sorted(key for key in silent if servers.deployment_of(key) == group[0])
    starts = list(result["bin_start"]) if window.bin != TOTAL else [window.start] * len(result)
    width_s = _WIDTH_S.get(window.bin, (window.end - window.start).total_seconds())
    fractions, states, whys = [], [], []
    figures = zip(
        starts,
        result[names].itertuples(index=False, name=None),
        *(result[name].fillna(0).tolist() for name in ("samples_count", "restarts_count", "observed_s", "gap_s")),
        strict=True,
    )
    for start, group, samples, restarts, observed_s, gap_s in figures:
        end = start + timedelta(seconds=width_s)
        found = servers_of.get(group) or servers.of_group(group[names.index(KEYS[window.per][0])])
        fraction = _fraction(observed_s, start, end, [first_seen[key] for key in found if key in first_seen])
        failing = [key for key in found if servers.is_failing(key, start, end)]
        state = state_of(
            samples_count=int(samples),
            gap_s=gap_s,
            restarts_count=int(restarts),
            observed_fraction=fraction,
            is_failing=bool(failing),
            is_overdue=bool(found) and all(servers.is_overdue(key, end) for key in found),
        )
        fractions.append(fraction if samples or observed_s else (0.0 if group in servers_of else np.nan))
        states.append(str(state))
        telling = {DataState.GAP: failing, DataState.NOT_EXPORTED: found}.get(state)
        whys.append(servers.why(telling[0]) if telling else "")
    added = {"window_s": width_s, "coverage_fraction": fractions, "state": states, "why": whys}
    return pd.concat([result, pd.DataFrame(added, index=result.index)], axis=1)


def _fraction(observed_s: float, start: datetime, end: datetime, first_seen: Iterable[datetime]) -> float:
    """The share of [start, end) observed, from when the first of the servers was first seen on."""
    begin = max([start, min(first_seen, default=start)])
    length_s = (end - begin).total_seconds()
    return min(1.0, observed_s / length_s) if length_s > 0 else float(observed_s > 0)
