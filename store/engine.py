"""Connections. The writer holds one for its lifetime, and with it the file's lock; readers open published files."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from costlib.errors import ConfigError, RetryLater

# A load spills to disk beyond this instead of pushing the serving engine's host into swap.
WRITER_MEMORY = "1GB"


class StoreBusy(RetryLater):
    """Another process holds the store."""


def open_live(path: Path) -> Connection:
    """The one connection to the live file. Raises StoreBusy while another process has it, ConfigError when broken."""
    engine = _engine(path, {"config": {"memory_limit": WRITER_MEMORY}})
    try:
        return engine.connect()
    except DBAPIError as error:
        raise _explained(path, error) from error


def open_published(path: Path) -> Engine:
    """A read-only engine. NullPool: no file stays open between two questions."""
    return _engine(path, {"read_only": True})


def run_alone(connection: Connection, statement: str) -> None:
    """One statement outside any transaction, where DuckDB wants ATTACH, DETACH and CHECKPOINT."""
    if connection.in_transaction():
        raise RuntimeError(f"{statement.split()[0]} needs the open transaction to be finished first")
    connection.connection.driver_connection.execute(statement)


def quoted(path: Path) -> str:
    """`path` as an SQL text literal."""
    return "'" + str(path).replace("'", "''") + "'"


def utc_now() -> datetime:
    return datetime.now(UTC)


def naive(moment: datetime) -> datetime:
    """An aware time as the database keeps it: UTC without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; the store takes aware times, such as datetime.now(UTC)")
    return moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """A time from the database as the rest of the program sees it: aware, in UTC."""
    return moment.replace(tzinfo=UTC) if moment else None


def _engine(path: Path, connect_args: dict[str, object]) -> Engine:
    engine = create_engine(URL.create("duckdb", database=str(path)), poolclass=NullPool, connect_args=connect_args)
    event.listen(engine, "connect", _keep_quiet)
    return engine


def _keep_quiet(connection: Any, _: object) -> None:
    """Run as `python -c`, DuckDB draws a progress bar on stdout, in the midst of what a command prints as JSON."""
    connection.cursor().execute("SET enable_progress_bar = false")


def _explained(path: Path, error: DBAPIError) -> Exception:
    said = str(error.orig)
    if "Could not set lock" in said:
        holder = re.search(r"PID (\d+)", said)
        who = f"process {holder[1]}" if holder else "another process"
        return StoreBusy(
            f"{path} is in use by {who}, and only one process may write at a time. Leave it running and use"
            " `permillion import` (it hands its rows over), or stop it first."
        )
    return ConfigError(
        f"{path} cannot be opened: {said.splitlines()[0][:300]}. If the disk is well and the folder can be written,"
        " move the file aside and import the billing files again."
    )
