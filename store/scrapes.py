"""Scrapes into the tables: one load per table for a whole batch, in the transaction of the caller."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, delete, select, tuple_, update
from sqlalchemy.sql import ColumnElement

from costlib.errors import BadRecord
from costlib.history import HistoryIncreases
from costlib.telemetry import EnginePage
from store import pages, rollup, sample
from store.engine import naive
from store.pages import Identity, facts_from
from store.pending import Pending, Span
from store.records import LIVE, Scrape, ScrapeRun, TargetRow
from store.samples import add_bounds, arrow_rows, bounds_of, rows_of_history, rows_of_samples
from store.schema import device_page, device_sample, engine_change, engine_page, run_log, target, usage_sample
from store.sql import bulk_load, temporary_like

T = TypeVar("T")

_RUN_FIELDS = ("source_key", "kind", "target_key", "state", "rows_count", "error", "every_s", "is_sample")
_old_sample = temporary_like(usage_sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Which bins a batch touched, per target, and the mark that finds them again."""

    usage: dict[str, Span] = field(default_factory=dict)
    devices: dict[str, Span] = field(default_factory=dict)
    mark: datetime | None = None


def add(
    connection: Connection,
    scrapes: Sequence[Scrape],
    stream: str,
    pending: Pending,
    *,
    samples_from: datetime,
    minutes_from: datetime,
) -> Touched:
    """Store `scrapes`; samples are kept from `samples_from` on and minutes from `minutes_from` on (naive UTC)."""
    for flag in {scrape.run.is_sample for scrape in scrapes if _has_content(scrape)}:
        sample.admit(connection, flag)
    bulk_load(connection, run_log, arrow_rows(run_log, [_run_row(scrape.run) for scrape in scrapes]))
    usage = [_rows_of_scrapes(scrapes, samples_from)]
    after = _times_of_pages(connection, stream, {h.target_key for scrape in scrapes for h in scrape.histories})
    latest: dict[Identity, tuple[EnginePage, bool]] = {}
    for scrape in scrapes:
        for history in scrape.histories:
            usage.append(_new_rows(history, after, scrape.run.is_sample, latest))
        latest |= {page.identity: (page, scrape.run.is_sample) for page in scrape.pages}
    rows = pa.concat_tables(usage)
    add_bounds(connection, bounds_of(_each(s.samples for s in scrapes), _each(s.histories for s in scrapes)))
    recent = _add_usage(connection, rows, pending, samples_from, minutes_from)
    devices = _add_devices(connection, scrapes, samples_from)
    if stream == LIVE:  # what an engine was long ago is no change of what it is
        _add_changes(connection, [(page, scrape.run.is_sample) for scrape in scrapes for page in scrape.pages])
    _replace_pages(connection, list(latest.values()), stream)
    seen, also_seen = _spans(rows), _spans(devices)
    sources = {s.target_key: scrape.run for scrape in scrapes for s in (*scrape.samples, *scrape.histories)}
    sources |= {s.target_key: scrape.run for scrape in scrapes for s in scrape.device_samples}
    note_targets(
        connection,
        [
            (key, sources[key].source_key, first, sources[key].is_sample)
            for key, (first, _) in {**also_seen, **seen}.items()
        ],
    )
    touched = _spans(recent)
    firsts = [first for first, _ in (*touched.values(), *also_seen.values())]
    mark = pending.lower_mark(connection, min(firsts)) if firsts else pending.mark
    return Touched(usage=touched, devices=also_seen, mark=mark)


def note_targets(connection: Connection, found: Sequence[tuple[str, str, datetime, bool]]) -> None:
    """Remember servers (key, source, first seen, is sample data) that nobody named, and when each was first seen."""
    if not found:
        return
    known = {
        row.target_key: row.first_seen_at
        for row in connection.execute(select(target.c.target_key, target.c.first_seen_at))
    }
    new = [
        {
            "target_key": key,
            "source_key": source_key,
            "deployment_key": key,
            "labels": "{}",
            "first_seen_at": first,
            "is_sample": is_sample,
        }
        for key, source_key, first, is_sample in found
        if key not in known
    ]
    bulk_load(connection, target, arrow_rows(target, new))
    for key, _, first, _ in found:
        if key in known and (known[key] is None or first < known[key]):
            connection.execute(update(target).where(target.c.target_key == key).values(first_seen_at=first))


def name_targets(connection: Connection, rows: Sequence[TargetRow]) -> None:
    """Replace what is known of these servers; when they were first seen stays."""
    keys = [row.target_key for row in rows]
    seen = select(target.c.target_key, target.c.first_seen_at).where(target.c.target_key.in_(keys))
    first_seen = {row.target_key: row.first_seen_at for row in connection.execute(seen)}
    connection.execute(delete(target).where(target.c.target_key.in_(keys)))
    named = {
        row.target_key: {
            "target_key": row.target_key,
            "source_key": row.source_key,
            "deployment_key": row.deployment_key,
            "labels": json.dumps(dict(row.labels)),
            "first_seen_at": first_seen.get(row.target_key),
            "is_sample": row.is_sample,
        }
        for row in rows
    }
    bulk_load(connection, target, arrow_rows(target, list(named.values())))


# Parts of a batch -----------------------------------------------------------------------------------------------------


def _has_content(scrape: Scrape) -> bool:
    return any((scrape.pages, scrape.samples, scrape.histories, scrape.devices, scrape.device_samples))


def _run_row(run: ScrapeRun) -> dict[str, object]:
    times = {"started_at": naive(run.started_at), "finished_at": naive(run.finished_at)}
    return {**times, **{name: getattr(run, name) for name in _RUN_FIELDS}}


def _rows_of_scrapes(scrapes: Sequence[Scrape], samples_from: datetime) -> pa.Table:
    for scrape in scrapes:
        for item in (*scrape.samples, *scrape.device_samples):
            _refuse_before(samples_from, scrape.run.target_key, naive(item.scraped_at))
    samples = [(item, scrape.run.is_sample) for scrape in scrapes for item in scrape.samples]
    return rows_of_samples([item for item, _ in samples], [flag for _, flag in samples])


def _refuse_before(oldest: datetime, target_key: str, scraped_at: datetime) -> None:
    if scraped_at < oldest:
        raise BadRecord(
            f"{target_key} was scraped at {scraped_at} UTC, but samples are kept from {oldest} on;"
            " check the clock of this machine"
        )


def _new_rows(
    history: HistoryIncreases,
    after: dict[Identity, float],
    is_sample: bool,
    latest: dict[Identity, tuple[EnginePage, bool]],
) -> pa.Table:
    """What the stream does not have of `history`; its last page is what the next stretch goes on from."""
    identity = (history.target_key, history.model_key, history.engine_key)
    rows = rows_of_history(history, after.get(identity), is_sample)
    if rows.num_rows and history.last_page is not None:
        latest[identity] = history.last_page, is_sample
        after[identity] = history.last_page.scraped_at.timestamp()
    return rows


def _times_of_pages(connection: Connection, stream: str, target_keys: set[str]) -> dict[Identity, float]:
    page = engine_page.c
    if not target_keys:
        return {}
    stored = select(page.target_key, page.model_key, page.engine_key, page.scraped_at).where(
        page.stream == stream, page.target_key.in_(sorted(target_keys))
    )
    return {(t, m, e): at.replace(tzinfo=UTC).timestamp() for t, m, e, at in connection.execute(stored)}


def _add_usage(
    connection: Connection, rows: pa.Table, pending: Pending, samples_from: datetime, minutes_from: datetime
) -> pa.Table:
    """Store the rows that are kept as samples, and return them; older ones go into their minutes and hours at once."""
    is_recent = pc.greater_equal(rows["scraped_at"], pa.scalar(samples_from, pa.timestamp("us")))
    recent, old = rows.filter(is_recent), rows.filter(pc.invert(is_recent))
    bulk_load(connection, usage_sample, recent)
    if old.num_rows:
        # What waits is rebuilt from its samples, and these are added to: in that order.
        pending.rebuild_within(connection, ("minute", "hour"))
        _old_sample.create(connection)
        bulk_load(connection, _old_sample, old)
        rollup.add_to_bins(connection, "minute", _old_sample, minutes_from)
        rollup.add_to_bins(connection, "hour", _old_sample)
        _old_sample.drop(connection)
    return recent


def _add_devices(connection: Connection, scrapes: Sequence[Scrape], samples_from: datetime) -> pa.Table:
    latest = {page.identity: (page, scrape.run.is_sample) for scrape in scrapes for page in scrape.devices}
    _replace(connection, latest, (device_page.c.target_key, device_page.c.device_key))
    bulk_load(connection, device_page, pages.rows_of_devices(list(latest.values())))
    samples = [(item, scrape.run.is_sample) for scrape in scrapes for item in scrape.device_samples]
    rows = pages.rows_of_device_samples(samples)
    bulk_load(connection, device_sample, rows)
    return rows


def _add_changes(connection: Connection, found: Sequence[tuple[EnginePage, bool]]) -> None:
    """Remember what engines say otherwise than in the page that is still stored of them."""
    telling = [(page, is_sample) for page, is_sample in found if page.facts]
    if not telling:
        return
    page = engine_page.c
    stored = select(page.target_key, page.model_key, page.engine_key, page.facts).where(
        page.stream == LIVE, page.target_key.in_(sorted({item.target_key for item, _ in telling}))
    )
    said = {(t, m, e): facts_from(text) for t, m, e, text in connection.execute(stored)}
    bulk_load(connection, engine_change, pages.rows_of_changes(found, said))


def _replace_pages(connection: Connection, latest: Sequence[tuple[EnginePage, bool]], stream: str) -> None:
    page = engine_page.c
    identities = [item.identity for item, _ in latest]
    _replace(connection, identities, (page.target_key, page.model_key, page.engine_key), page.stream == stream)
    bulk_load(connection, engine_page, pages.rows_of_pages(latest, stream))


def _replace(
    connection: Connection,
    identities: Iterable[tuple[str, ...]],
    columns: Sequence[ColumnElement[str]],
    *where: ColumnElement[bool],
) -> None:
    identities = list(identities)
    if identities:
        connection.execute(delete(columns[0].table).where(tuple_(*columns).in_(identities), *where))


def _spans(rows: pa.Table) -> dict[str, Span]:
    found = rows.select(["target_key", "scraped_at"]).group_by("target_key")
    columns = found.aggregate([("scraped_at", "min"), ("scraped_at", "max")]).to_pydict()
    return dict(
        zip(columns["target_key"], zip(columns["scraped_at_min"], columns["scraped_at_max"], strict=True), strict=True)
    )


def _each(groups: Iterable[Sequence[T]]) -> Iterable[T]:
    return (item for group in groups for item in group)
