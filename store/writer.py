"""The one process that may change the store: scrapes and bills go in, snapshots come out."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from sqlalchemy import Connection, delete, insert, select, tuple_
from sqlalchemy.exc import DataError

from costlib.errors import BadRecord, ConfigError, UnknownKey
from costlib.telemetry import EnginePage, UsageSample
from store import charges, inbox, publish, rollup, sample
from store.engine import StoreBusy, naive, open_live, utc_now
from store.home import Home
from store.migrations import migrate
from store.records import ImportReceipt, ImportStatus, ScrapeRun
from store.samples import add_samples, page_from, page_rows
from store.schema import engine_page, run_log, usage_hour, usage_minute, usage_sample
from store.sql import bulk_load

__all__ = ["StoreBusy", "Writer"]

SAMPLES_KEPT = timedelta(days=14)
MINUTES_KEPT = timedelta(days=90)
# After publishing for 1 s the writer does not publish for the next 24 s.
_PUBLISHING_FRACTION = 0.04
_FORGET_EVERY = timedelta(hours=1)

_RUN_FIELDS = ("source_key", "kind", "target_key", "state", "rows_count", "error", "every_s", "is_sample")

# The files this process has open for writing: DuckDB's lock keeps other processes out, not a second Writer in here.
_open: set[Path] = set()


class Writer:
    """Holds the live file from `open` to `close`. Not for use by two threads at once.

    Each method is one transaction: when it returns its work survives a kill, when it raises nothing of it is stored.
    """

    @classmethod
    def open(
        cls, home: Home, clock: Callable[[], datetime] = utc_now, monotonic: Callable[[], float] = time.monotonic
    ) -> "Writer":
        """Raises StoreBusy while another writer has the store, ConfigError when the file is broken or newer than us."""
        return cls(home, clock, monotonic)

    def __init__(self, home: Home, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._home, self._clock, self._monotonic = home, clock, monotonic
        home.make()
        self._live = home.live.resolve()
        if self._live in _open:
            raise StoreBusy(f"{home.live} is already being written by this process; use the writer that has it open.")
        self._connection = open_live(self._live)
        _open.add(self._live)
        try:
            migrate(self._connection, self._live, clock())
            publish.sweep(home)
            inbox.sweep(home, clock())
        except BaseException:
            self.close()
            raise
        self._changed = True
        self._publish_not_before = float("-inf")
        self._forget_not_before = naive(clock())

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()
        self._connection.engine.dispose()
        _open.discard(self._live)

    # Measurements

    def engine_pages(self) -> list[EnginePage]:
        """The last cumulative page of every engine: what the next scrape is compared with."""
        with self._connection.begin():
            return [page_from(row) for row in self._connection.execute(select(engine_page))]

    def add_scrape(self, run: ScrapeRun, pages: Sequence[EnginePage], samples: Sequence[UsageSample]) -> None:
        """One scrape, whole or not at all: samples, the minutes and hours they touch, engine pages and the run."""
        with self._connection.begin():
            if pages or samples:
                sample.admit(self._connection, run.is_sample)
            if samples:
                self._add_samples(run, samples)
            _replace_pages(self._connection, pages, run.is_sample)
            _log_run(self._connection, run)
        self._changed = True

    def _add_samples(self, run: ScrapeRun, samples: Sequence[UsageSample]) -> None:
        times = [naive(item.scraped_at) for item in samples]
        oldest = self._oldest_sample()
        if min(times) < oldest:
            raise BadRecord(
                f"{run.target_key} was scraped at {min(times)} UTC, but samples are kept from {oldest} on;"
                " check the clock of this machine"
            )
        add_samples(self._connection, samples, run.is_sample)
        rollup.refresh(self._connection, {s.target_key for s in samples}, min(times), max(times), run.is_sample)

    def add_failed_run(self, run: ScrapeRun) -> None:
        """A scrape that brought nothing. The gap it leaves shows in the next good one."""
        with self._connection.begin():
            _log_run(self._connection, run)
        self._changed = True

    def add_usage_hours(self, rows: pa.Table) -> None:
        """Sample hours in bulk, replacing sample hours of the same bins; columns of `usage_hour`, absent ones NULL.

        Without `observed_s` a target is taken to have one engine, so that it was observed while that was covered.
        """
        for name in rows.column_names:
            if name not in usage_hour.c:
                raise UnknownKey("column", name, usage_hour.c.keys(), "usage_hour")
        moments = rows["bin_start"].cast(pa.timestamp("us"))
        rows = rows.set_column(rows.column_names.index("bin_start"), "bin_start", moments)
        if "is_sample" in rows.column_names:
            rows = rows.drop_columns(["is_sample"])
        rows = rows.append_column("is_sample", pa.array([True] * rows.num_rows, pa.bool_()))
        if "coverage_s" in rows.column_names and "observed_s" not in rows.column_names:
            rows = rows.append_column("observed_s", rows["coverage_s"])
        bins = {key: rows[key].to_pylist() for key in ("bin_start", "target_key", "model_key")}
        hour = usage_hour.c
        with self._connection.begin():
            sample.admit(self._connection, is_sample=True)
            if rows.num_rows:
                self._connection.execute(
                    delete(usage_hour).where(
                        hour.bin_start.between(min(bins["bin_start"]), max(bins["bin_start"])),
                        tuple_(hour.target_key, hour.model_key).in_(
                            sorted(set(zip(bins["target_key"], bins["model_key"], strict=True)))
                        ),
                    )
                )
            bulk_load(self._connection, usage_hour, rows)
        self._changed = True

    # Bills

    def drain_inbox(self) -> list[ImportReceipt]:
        """Load every whole segment in its own transaction, and answer the process that handed it over."""
        receipts: list[ImportReceipt] = []
        for segment in inbox.waiting(self._home):
            answer, refused = self._load(segment)
            inbox.reply(self._home, segment, answer, refused)
            receipts += answer
        return receipts

    def _load(self, segment: Path) -> tuple[list[ImportReceipt], Exception | None]:
        files: Sequence[inbox.FileEntry] = ()
        try:
            manifest, rows = inbox.opened(segment)
            files = manifest.files
            with self._connection.begin():
                answer = charges.load(self._connection, manifest, rows, naive(self._clock()))
            self._changed = True
            return answer, None
        except DataError as error:
            refused: Exception = BadRecord(f"the database cannot hold these rows: {error.orig}")
        except (BadRecord, ConfigError) as error:
            refused = error
        answer = [
            ImportReceipt(
                file_name=entry.file_name,
                format_key=entry.format_key,
                status=ImportStatus.REFUSED,
                detail=str(refused),
                rows_count=entry.rows_count,
            )
            for entry in files
        ]
        return answer, refused

    # Publishing and housekeeping

    def publish(self, force: bool = False) -> str | None:
        """Publish what changed. The new snapshot's id; None when nothing changed or the last one is too recent."""
        started = self._monotonic()
        if not force and (not self._changed or started < self._publish_not_before):
            return None
        self._forget_old()
        snapshot_id = publish.publish(self._connection, self._home, self._clock())
        self._changed = False
        finished = self._monotonic()
        self._publish_not_before = finished + (finished - started) * (1 / _PUBLISHING_FRACTION - 1)
        return snapshot_id

    def _oldest_sample(self) -> datetime:
        """Whole hours only, so that no hour is ever rebuilt from part of its samples."""
        return (naive(self._clock()) - SAMPLES_KEPT).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

    def _forget_old(self) -> None:
        now = naive(self._clock())
        if now < self._forget_not_before:
            return
        self._forget_not_before = now + _FORGET_EVERY
        with self._connection.begin():
            for column, oldest in (
                (usage_sample.c.scraped_at, self._oldest_sample()),
                (run_log.c.started_at, self._oldest_sample()),
                (usage_minute.c.bin_start, now - MINUTES_KEPT),
            ):
                self._connection.execute(delete(column.table).where(column < oldest))


def _replace_pages(connection: Connection, pages: Sequence[EnginePage], is_sample: bool) -> None:
    if pages:
        identity = tuple_(engine_page.c.target_key, engine_page.c.model_key, engine_page.c.engine_key)
        connection.execute(delete(engine_page).where(identity.in_([page.identity for page in pages])))
        bulk_load(connection, engine_page, page_rows(pages, is_sample))


def _log_run(connection: Connection, run: ScrapeRun) -> None:
    connection.execute(
        insert(run_log).values(
            started_at=naive(run.started_at),
            finished_at=naive(run.finished_at),
            **{name: getattr(run, name) for name in _RUN_FIELDS},
        )
    )
