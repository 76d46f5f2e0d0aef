"""Publishing: a copy of what pages may read, as a new file, and a pointer that names it.

The file is built under a hidden name and renamed when it is whole and on the disk; the pointer is replaced after that.
Whoever reads goes on with the file it has open, whatever happens to the writer. The snapshot has everything but the
charges, of which it says where they lie (`store.rows`): they are published by being named. The tail has the last
minutes, and is small enough to be published every few seconds.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, MetaData, func, insert, or_, select, true

from store.durable import move_into_place, write_text
from store.engine import naive, quoted, run_alone
from store.home import Home
from store.records import LIVE, RUN_OK
from store.schema import (
    SCHEMA_VERSION,
    device_hour,
    device_page,
    device_sample,
    engine_change,
    engine_page,
    histogram_bounds,
    import_batch,
    import_file,
    ledger_entry,
    meta,
    metadata,
    run_log,
    target,
    usage_hour,
    usage_minute,
    usage_sample,
)

SAMPLES_KEPT = timedelta(minutes=30)
MINUTES_KEPT = timedelta(days=2)
RUNS_KEPT = timedelta(days=2)
TAIL_SAMPLES_KEPT = timedelta(minutes=5)
TAIL_KEPT = timedelta(minutes=30)
# What only the collector reads, and is large: the cumulative state of every engine and GPU.
_NOT_READ = {(engine_page.name, "page"), (device_page.name, "page")}
# A page reads the pointer and opens the file a moment later: what was replaced stays this long, the newest two always.
_REPLACED_KEPT = timedelta(seconds=60)
_NEWEST_KEPT_COUNT = 2

_STAMP = "%Y%m%dT%H%M%S%fZ"
_PREFIX, _TAIL_PREFIX, _SUFFIX = "permillion-", "tail-", ".duckdb"

Wanted = Mapping[str, ColumnElement[bool]]

_snapshot = MetaData()
_COPY = {table.name: table.to_metadata(_snapshot, schema="snapshot") for table in metadata.sorted_tables}


def publish(connection: Connection, home: Home, now: datetime) -> str:
    """Publish the live tables as they are; returns the snapshot's id."""
    return _publish(connection, home.serving, _PREFIX, home.pointer, _everything(naive(now)), SAMPLES_KEPT, now)


def publish_tail(connection: Connection, home: Home, now: datetime) -> str:
    """Publish the last minutes of the live tables; returns the tail's id."""
    return _publish(
        connection, home.serving, _TAIL_PREFIX, home.tail_pointer, _last_minutes(naive(now)), TAIL_SAMPLES_KEPT, now
    )


def sweep(home: Home) -> None:
    """Remove what a killed writer was building. Only the writer builds here."""
    for prefix in (_PREFIX, _TAIL_PREFIX):
        for leftover in home.serving.glob(f".{prefix}*"):
            leftover.unlink()


def _publish(
    connection: Connection,
    folder: Path,
    prefix: str,
    pointer: Path,
    wanted: Wanted,
    samples_kept: timedelta,
    now: datetime,
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    snapshot_id = f"{now.astimezone(UTC):{_STAMP}}-{secrets.token_hex(4)}"
    final = folder / f"{prefix}{snapshot_id}{_SUFFIX}"
    building = folder / f".{final.name}.building"
    facts = {
        "snapshot_id": snapshot_id,
        "published_at": naive(now).isoformat(),
        "schema_version": str(SCHEMA_VERSION),
        "samples_kept_s": str(samples_kept.total_seconds()),
    }
    run_alone(connection, f"ATTACH {quoted(building)} AS snapshot")
    try:
        with connection.begin():
            _copy(connection, wanted, facts)
        run_alone(connection, "CHECKPOINT snapshot")
    except BaseException:
        run_alone(connection, "DETACH snapshot")
        building.unlink(missing_ok=True)
        raise
    run_alone(connection, "DETACH snapshot")
    move_into_place(building, final)
    write_text(pointer, final.name)
    _remove_replaced(folder, prefix, now)
    return snapshot_id


def _copy(connection: Connection, wanted: Wanted, facts: Mapping[str, str]) -> None:
    """Fill the attached file in one transaction, so that all its tables show the same moment."""
    _snapshot.create_all(connection, checkfirst=False)
    for name, condition in wanted.items():
        columns = [column for column in metadata.tables[name].c if (name, column.name) not in _NOT_READ]
        rows = select(*columns).where(condition)
        connection.execute(insert(_COPY[name]).from_select([column.name for column in columns], rows))
    connection.execute(insert(_COPY[meta.name]), [{"key": key, "value": value} for key, value in facts.items()])


def _everything(moment: datetime) -> Wanted:
    newest_success = (
        select(run_log.c.source_key, func.max(run_log.c.started_at).label("started_at"))
        .where(run_log.c.state == RUN_OK)
        .group_by(run_log.c.source_key)
        .subquery()
    )
    # Two days of runs, and the last success of a source that has been failing for longer.
    runs = or_(
        run_log.c.started_at >= moment - RUNS_KEPT,
        select(newest_success)
        .where(
            newest_success.c.source_key == run_log.c.source_key,
            newest_success.c.started_at == run_log.c.started_at,
        )
        .exists(),
    )
    return {
        usage_hour.name: true(),
        usage_minute.name: usage_minute.c.bin_start >= moment - MINUTES_KEPT,
        usage_sample.name: usage_sample.c.scraped_at >= moment - SAMPLES_KEPT,
        histogram_bounds.name: true(),
        target.name: true(),
        engine_page.name: engine_page.c.stream == LIVE,
        engine_change.name: true(),
        device_page.name: true(),
        device_sample.name: device_sample.c.scraped_at >= moment - SAMPLES_KEPT,
        device_hour.name: true(),
        import_file.name: true(),
        import_batch.name: true(),
        ledger_entry.name: true(),
        run_log.name: runs,
        meta.name: true(),
    }


def _last_minutes(moment: datetime) -> Wanted:
    """All of the tables are there; those of hours, changes and bills are empty."""
    return {
        usage_minute.name: usage_minute.c.bin_start >= moment - TAIL_KEPT,
        usage_sample.name: usage_sample.c.scraped_at >= moment - TAIL_SAMPLES_KEPT,
        histogram_bounds.name: true(),
        target.name: true(),
        engine_page.name: engine_page.c.stream == LIVE,
        device_page.name: true(),
        device_sample.name: device_sample.c.scraped_at >= moment - TAIL_SAMPLES_KEPT,
        run_log.name: run_log.c.started_at >= moment - TAIL_KEPT,
        meta.name: true(),
    }


def _remove_replaced(folder: Path, prefix: str, now: datetime) -> None:
    published = sorted(folder.glob(f"{prefix}*{_SUFFIX}"))
    for path in published[:-_NEWEST_KEPT_COUNT]:
        if _published_at(path, prefix) < now - _REPLACED_KEPT:
            path.unlink(missing_ok=True)


def _published_at(path: Path, prefix: str) -> datetime:
    stamp = path.name.removeprefix(prefix).split("-")[0]
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
