"""Bringing a live file to the schema of this program: numbered steps, written by hand, after a backup.

A new file gets the tables of `store.schema` as they are now. An older file gets every step after its version: a module
`m0002_<what>.py` beside this one defines `upgrade(connection)`, is added to STEPS, and SCHEMA_VERSION goes up by one.
A newer file is refused, because this program cannot know what its columns mean.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, inspect, select

from costlib.errors import ConfigError
from store.engine import naive, quoted, run_alone
from store.migrations import m0002_engines_apart, m0003_charges_in_files, m0004_engine_changes
from store.schema import metadata, schema_version

Step = Callable[[Connection], None]

# STEPS[0] leads from version 1 to version 2, and so on.
STEPS: tuple[Step, ...] = (m0002_engines_apart.upgrade, m0003_charges_in_files.upgrade, m0004_engine_changes.upgrade)


def migrate(connection: Connection, path: Path, now: datetime, steps: Sequence[Step] = STEPS) -> Path | None:
    """Bring the file at `path`, open as `connection`, to version 1 + len(steps). Returns the backup if one was made."""
    newest = 1 + len(steps)
    with connection.begin():
        found = _version(connection)
        if found is None:
            metadata.create_all(connection, checkfirst=False)
            _stamp(connection, newest, now)
    if found is None or found == newest:
        return None
    if found > newest:
        raise ConfigError(
            f"{path} was written by a newer Permillion (schema {found}; this one knows up to {newest})."
            " Update Permillion, or name another folder in PERMILLION_HOME."
        )
    backup = _backup(connection, path, found, now)
    with connection.begin():
        for version, step in enumerate(steps[found - 1 :], start=found + 1):
            step(connection)
            _stamp(connection, version, now)
    return backup


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema_version.name):
        return None
    newest: int | None = connection.scalar(select(func.max(schema_version.c.version)))
    return newest


def _stamp(connection: Connection, version: int, now: datetime) -> None:
    connection.execute(insert(schema_version).values(version=version, applied_at=naive(now)))


def _backup(connection: Connection, path: Path, version: int, now: datetime) -> Path:
    """A copy by the database itself: a second handle on the file would drop its lock, and miss the write-ahead log."""
    backup = path.with_name(f"{path.stem}.v{version}.{now:%Y%m%dT%H%M%SZ}.backup.duckdb")
    live = connection.exec_driver_sql("SELECT current_database()").scalar_one()
    connection.rollback()
    run_alone(connection, f"ATTACH {quoted(backup)} AS backup")
    try:
        run_alone(connection, f'COPY FROM DATABASE "{live}" TO backup')
    finally:
        run_alone(connection, "DETACH backup")
    return backup
