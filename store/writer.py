"""The one process that may change the store: scrapes and bills go in, snapshots come out."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import pyarrow as pa
from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.exc import DataError

from costlib.devices import DevicePage
from costlib.errors import BadRecord, ConfigError, UnknownKey
from costlib.telemetry import EnginePage
from store import charges, inbox, locks, publish, sample
from store.engine import StoreBusy, aware, naive, open_live, utc_now
from store.home import Home
from store.migrations import migrate
from store.pages import device_from, page_from
from store.pending import Pending
from store.records import LIVE, BackfillJob, ImportReceipt, ImportStatus, Scrape, TargetRow
from store.rows import prepare
from store.samples import Bounds, add_bounds
from store.schema import (
    ALL_ENGINES,
    backfill,
    device_page,
    device_sample,
    engine_page,
    run_log,
    target,
    usage_hour,
    usage_minute,
    usage_sample,
)
from store.scrapes import add as add_scrapes
from store.scrapes import name_targets, note_targets
from store.sql import bulk_load

__all__ = ["StoreBusy", "Writer"]

SAMPLES_KEPT = timedelta(days=14)
MINUTES_KEPT = timedelta(days=90)
# After publishing for 1 s the writer does not publish for the next 24 s.
_PUBLISHING_FRACTION = 0.04
_FORGET_EVERY = timedelta(hours=1)

# The files this process has open for writing: DuckDB's lock keeps other processes out, not a second Writer in here.
_open: set[Path] = set()
_opening = threading.Lock()


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
        self._home, self._clock = home, clock
        home.make()
        self._live = home.live.resolve()
        with _opening:
            if self._live in _open:
                raise StoreBusy(
                    f"{home.live} is already being written by this process; use the writer that has it open."
                )
            self._connection = open_live(self._live)
            _open.add(self._live)
        try:
            migrate(self._connection, self._live, clock())
            with self._connection.begin():
                self._pending = Pending(self._connection)
                prepare(self._connection, home.charges, clock())
            publish.sweep(home)
            inbox.sweep(home, clock())
        except BaseException:
            self.close()
            raise
        self._snapshot, self._tail = _Throttle(monotonic), _Throttle(monotonic)
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

    def engine_pages(self, stream: str = LIVE) -> list[EnginePage]:
        """The last cumulative page of every engine: what the next scrape is compared with.

        `stream` is LIVE, or that of a BackfillJob.
        """
        with self._connection.begin():
            stored = self._connection.execute(select(engine_page).where(engine_page.c.stream == stream))
            return [page_from(row) for row in stored]

    def device_pages(self) -> list[DevicePage]:
        """The last cumulative page of every GPU."""
        with self._connection.begin():
            return [device_from(row) for row in self._connection.execute(select(device_page))]

    def add_scrapes(self, scrapes: Sequence[Scrape], stream: str = LIVE) -> list[Exception | None]:
        """Scrapes, all in one transaction; when that fails each by itself, whole or not at all.

        One entry per scrape: None when it is stored, else why nothing of it is. Rows of a history at or before the
        page that `stream` has of their engine are known already and change nothing.
        """
        try:
            self._add(scrapes, stream)
        except Exception as error:
            if len(scrapes) == 1:
                return [error]
            return [failure for scrape in scrapes for failure in self.add_scrapes([scrape], stream)]
        return [None] * len(scrapes)

    def _add(self, scrapes: Sequence[Scrape], stream: str) -> None:
        with self._connection.begin():
            touched = add_scrapes(
                self._connection,
                scrapes,
                stream,
                self._pending,
                samples_from=self._oldest_sample(),
                minutes_from=naive(self._clock()) - MINUTES_KEPT,
            )
        self._pending.mark = touched.mark
        self._pending.touch_samples(touched.usage)
        self._pending.touch("device_hour", touched.devices)
        self._note_change()

    def name_targets(self, rows: Sequence[TargetRow]) -> None:
        """What is known of these servers, instead of what was known of them before."""
        if rows:
            with self._connection.begin():
                name_targets(self._connection, rows)
            self._note_change()

    def first_sample_at(self, target_keys: Iterable[str]) -> datetime | None:
        """The oldest measurement of any of these servers; None when there is none."""
        oldest = select(func.min(target.c.first_seen_at)).where(target.c.target_key.in_(list(target_keys)))
        with self._connection.begin():
            return aware(self._connection.scalar(oldest))

    def backfill(self, source_key: str) -> BackfillJob | None:
        """How far the history of this source has been read; None when nobody ever asked for it."""
        with self._connection.begin():
            row = self._connection.execute(select(backfill).where(backfill.c.source_key == source_key)).first()
        if row is None:
            return None
        from_at, to_at, done_to = (moment.replace(tzinfo=UTC) for moment in row[1:])
        return BackfillJob(source_key=row.source_key, from_at=from_at, to_at=to_at, done_to=done_to)

    def set_backfill(self, job: BackfillJob) -> None:
        """Remember how far `job` has come. Another stretch of time is another job, and begins with no pages."""
        before = self.backfill(job.source_key)
        with self._connection.begin():
            if before is None or (before.from_at, before.to_at) != (job.from_at, job.to_at):
                self._connection.execute(delete(engine_page).where(engine_page.c.stream == job.stream))
            self._connection.execute(delete(backfill).where(backfill.c.source_key == job.source_key))
            times = {name: naive(getattr(job, name)) for name in ("from_at", "to_at", "done_to")}
            self._connection.execute(insert(backfill).values(source_key=job.source_key, **times))

    def add_usage_hours(self, rows: pa.Table, bounds: Iterable[Bounds] = ()) -> None:
        """Sample hours in bulk, replacing sample hours of the same bins; columns of `usage_hour`, absent ones NULL.

        A row without `engine_key` is of all engines of its target. Without `observed_s` that is taken to be one engine,
        so that the target was observed while that was covered. `bounds` are those of the rows' histograms.
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
        if "engine_key" not in rows.column_names:
            rows = rows.append_column("engine_key", pa.array([ALL_ENGINES] * rows.num_rows, pa.string()))
        bins = {key: rows[key].to_pylist() for key in ("bin_start", "target_key", "model_key")}
        first_seen = {key: min(moments) for key, moments in _by(bins["target_key"], bins["bin_start"]).items()}
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
            add_bounds(self._connection, bounds)
            note_targets(self._connection, [(key, key, first, True) for key, first in first_seen.items()])
        self._note_change()

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
            files, now = manifest.files, naive(self._clock())
            with self._connection.begin():
                answer = charges.load(self._connection, self._home.charges, manifest, rows, now)
                locks.record(self._connection, manifest.segment_id, manifest.ledger, now)
            self._note_change()
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
        return self._snapshot.due(force, self._publish)

    def publish_tail(self, force: bool = False) -> str | None:
        """Publish the last minutes, in a small file of their own; otherwise as `publish`."""
        return self._tail.due(force, self._publish_tail)

    def _publish(self) -> str:
        self._pending.rebuild(self._connection, ("minute", "hour", "device_hour"))
        self._forget_old()
        return publish.publish(self._connection, self._home, self._clock())

    def _publish_tail(self) -> str:
        self._pending.rebuild(self._connection, ("minute",))
        return publish.publish_tail(self._connection, self._home, self._clock())

    def _note_change(self) -> None:
        self._snapshot.changed = self._tail.changed = True

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
                (device_sample.c.scraped_at, self._oldest_sample()),
                (run_log.c.started_at, self._oldest_sample()),
                (usage_minute.c.bin_start, now - MINUTES_KEPT),
            ):
                self._connection.execute(delete(column.table).where(column < oldest))


class _Throttle:
    """Publishes what changed, and rests long enough after it to take no more than its share of the time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._not_before, self.changed = monotonic, float("-inf"), True

    def due(self, force: bool, publish: Callable[[], str]) -> str | None:
        started = self._monotonic()
        if not force and (not self.changed or started < self._not_before):
            return None
        snapshot_id = publish()
        self.changed = False
        finished = self._monotonic()
        self._not_before = finished + (finished - started) * (1 / _PUBLISHING_FRACTION - 1)
        return snapshot_id


def _by(keys: Sequence[str], moments: Sequence[datetime]) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = defaultdict(list)
    for key, moment in zip(keys, moments, strict=True):
        found[key].append(moment)
    return found
