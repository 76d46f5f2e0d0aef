"""Publishing: a copy of everything pages may read, as a new file, and a pointer that names it.

The file is built under a hidden name and renamed when it is whole and on the disk; the pointer is replaced after that.
Whoever reads goes on with the file it has open, whatever happens to the writer.
"""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, MetaData, func, insert, or_, select, true

from store.charges import ACTIVE
from store.durable import move_into_place, write_text
from store.engine import naive, quoted, run_alone
from store.home import Home
from store.records import RUN_OK
from store.schema import (
    SCHEMA_VERSION,
    charge,
    histogram_bounds,
    import_batch,
    import_file,
    meta,
    metadata,
    run_log,
    usage_hour,
    usage_minute,
    usage_sample,
)

SAMPLES_KEPT = timedelta(minutes=30)
MINUTES_KEPT = timedelta(days=2)
RUNS_KEPT = timedelta(days=2)
# A page reads the pointer and opens the file a moment later: what was replaced stays this long, the newest two always.
_REPLACED_KEPT = timedelta(seconds=60)
_NEWEST_KEPT_COUNT = 2

_STAMP = "%Y%m%dT%H%M%S%fZ"
_PREFIX, _SUFFIX = "permillion-", ".duckdb"

_snapshot = MetaData()
_COPY = {table.name: table.to_metadata(_snapshot, schema="snapshot") for table in metadata.sorted_tables}


def publish(connection: Connection, home: Home, now: datetime) -> str:
    """Publish the live tables as they are; returns the snapshot's id."""
    home.serving.mkdir(parents=True, exist_ok=True)
    snapshot_id = f"{now.astimezone(UTC):{_STAMP}}-{secrets.token_hex(4)}"
    final = home.serving / f"{_PREFIX}{snapshot_id}{_SUFFIX}"
    building = home.serving / f".{final.name}.building"
    run_alone(connection, f"ATTACH {quoted(building)} AS snapshot")
    try:
        with connection.begin():
            _copy(connection, snapshot_id, now)
        run_alone(connection, "CHECKPOINT snapshot")
    except BaseException:
        run_alone(connection, "DETACH snapshot")
        building.unlink(missing_ok=True)
        raise
    run_alone(connection, "DETACH snapshot")
    move_into_place(building, final)
    write_text(home.pointer, final.name)
    _remove_replaced(home, now)
    return snapshot_id


def sweep(home: Home) -> None:
    """Remove what a killed writer was building. Only the writer builds here."""
    for leftover in home.serving.glob(f".{_PREFIX}*"):
        leftover.unlink()


def _copy(connection: Connection, snapshot_id: str, now: datetime) -> None:
    """Fill the attached file in one transaction, so that all its tables show the same moment."""
    _snapshot.create_all(connection, checkfirst=False)
    moment = naive(now)
    active = select(import_batch.c.batch_id).where(import_batch.c.status == ACTIVE)
    newest_success = (
        select(run_log.c.source_key, func.max(run_log.c.started_at).label("started_at"))
        .where(run_log.c.state == RUN_OK)
        .group_by(run_log.c.source_key)
        .subquery()
    )
    wanted: dict[str, ColumnElement[bool]] = {
        usage_hour.name: true(),
        usage_minute.name: usage_minute.c.bin_start >= moment - MINUTES_KEPT,
        usage_sample.name: usage_sample.c.scraped_at >= moment - SAMPLES_KEPT,
        histogram_bounds.name: true(),
        charge.name: charge.c.batch_id.in_(active),
        import_file.name: true(),
        import_batch.name: true(),
        # Two days of runs, and the last success of a source that has been failing for longer.
        run_log.name: or_(
            run_log.c.started_at >= moment - RUNS_KEPT,
            select(newest_success)
            .where(
                newest_success.c.source_key == run_log.c.source_key,
                newest_success.c.started_at == run_log.c.started_at,
            )
            .exists(),
        ),
        meta.name: true(),
    }
    for name, condition in wanted.items():
        copy = _COPY[name]
        connection.execute(insert(copy).from_select(copy.c.keys(), select(metadata.tables[name]).where(condition)))
    facts = {"snapshot_id": snapshot_id, "published_at": moment.isoformat(), "schema_version": str(SCHEMA_VERSION)}
    connection.execute(insert(_COPY[meta.name]), [{"key": key, "value": value} for key, value in facts.items()])


def _remove_replaced(home: Home, now: datetime) -> None:
    published = sorted(home.serving.glob(f"{_PREFIX}*{_SUFFIX}"))
    for path in published[:-_NEWEST_KEPT_COUNT]:
        if _published_at(path) < now - _REPLACED_KEPT:
            path.unlink(missing_ok=True)


def _published_at(path: Path) -> datetime:
    stamp = path.name.removeprefix(_PREFIX).split("-")[0]
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
