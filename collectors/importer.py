"""Importing bills: read and check every file, hand the rows over as one segment, and wait for the writer's answer.

There is one path. Without a running writer this process becomes it for a moment; beside one it waits.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from collectors.billing import format_of
from collectors.billing._columns import sums
from collectors.billing._manifest import delivered
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import exact_sum
from costlib.errors import BadRecord, Cancelled, ConfigError
from store.durable import sha256_of
from store.engine import utc_now
from store.handover import WAIT_S, hand_over
from store.home import Home
from store.inbox import FileEntry, Reply, SegmentBuilder
from store.records import ImportReceipt, ImportStatus

# Called with a file's name, the rows read of it so far, and how much of the whole call that is, where it is known.
Progress = Callable[[str, int, float | None], None]


def import_files(
    paths: Iterable[Path | str],
    home: Home,
    format_key: str | None = None,
    currency: str | None = None,
    is_sample: bool = False,
    on_progress: Progress | None = None,
    *,
    mapping: Path | None = None,
    replaces_statement: bool = False,
    cancelled: Callable[[], bool] = lambda: False,
    clock: Callable[[], datetime] = utc_now,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ImportReceipt]:
    """Import billing files as one delivery, and say what became of each, in their order.

    A delivery is all or nothing: with one bad file nothing is stored, because the others may be parts of its month.
    The newest delivery of a provider, account and billing period replaces the one before. Whatever the size of the
    files, only some rows of them are in memory.

    paths                 files, manifests or folders; a manifest or a folder stands for the newest delivery it has
    mapping               what the columns mean, for tables of no known format
    replaces_statement    whether it counts instead of another kind of export that tells of the same money
    cancelled             asked again and again until the rows are handed over

    Raises    ConfigError when the call itself is wrong (no file, an unknown format, sample data into a real home),
              Cancelled when `cancelled` said so; nothing is stored then
    """
    named = [Path(path) for path in paths]
    if not named:
        raise ConfigError("no file to import; name at least one billing export")
    try:
        files = delivered(named)
    except BadRecord as error:
        return [_refusal(path, str(error)) for path in named]
    home.make()
    with SegmentBuilder(home, clock()) as segment:
        delivery = _Delivery(
            segment=segment,
            files=files,
            format_key=format_key,
            currency=currency,
            mapping=mapping,
            on_progress=on_progress,
            cancelled=cancelled,
        )
        for path in files:
            delivery.read(path)
        if delivery.refused:
            return delivery.refusals()
        segment_id = segment.finish(delivery.entries, is_sample, replaces_statement)
    reply = hand_over(home, segment_id, clock, wait_s, sleep)
    if reply and reply.refused_kind == ConfigError.__name__:
        raise ConfigError(reply.refused_message)
    return delivery.receipts(reply)


# Reading --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Delivery:
    """The files of one call: those read into the segment, copies of such files, and those refused."""

    segment: SegmentBuilder
    files: Sequence[Path]
    format_key: str | None
    currency: str | None
    mapping: Path | None
    on_progress: Progress | None
    cancelled: Callable[[], bool]
    entries: list[FileEntry] = field(default_factory=list)
    entry_of: dict[Path, FileEntry] = field(default_factory=dict)  # a copy has the entry of its original
    refused: dict[Path, str] = field(default_factory=dict)
    format_keys: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        try:
            self._stop_if_cancelled()
            source = BillingSource(path=path, currency=self.currency, mapping=self.mapping)
            billing_format = format_of(source, self.format_key)
            self.format_keys[path] = billing_format.key
            sha256 = sha256_of(path)
            same = next((entry for entry in self.entries if entry.sha256 == sha256), None)
            self.entry_of[path] = same or self._stored(source, billing_format, sha256)
        except BadRecord as error:
            self.refused[path] = str(error)
        except OSError as error:
            self.refused[path] = f"{path} cannot be read: {error.strerror}; check the path and its permissions"

    def _stored(self, source: BillingSource, billing_format: BillingFormat, sha256: str) -> FileEntry:
        number = len(self.entries) + 1
        rows_count = 0
        billed: dict[str, Decimal] = defaultdict(Decimal)
        for batch in _ahead(billing_format.parse(source)):
            self._stop_if_cancelled()
            self.segment.add(number, batch)
            rows_count += batch.num_rows
            for currency, cost in sums(batch["BilledCost"], batch["BillingCurrency"]).items():
                billed[currency] = exact_sum((billed[currency], cost))
            if self.on_progress:
                self.on_progress(source.name, rows_count, self._fraction(source))
        if not rows_count:
            raise BadRecord(f"{source.name} has a header and no rows; there is nothing to import")
        entry = FileEntry(
            file_number=number,
            file_name=source.name,
            format_key=billing_format.key,
            sha256=sha256,
            bytes_count=source.path.stat().st_size,
            rows_count=rows_count,
            billed={currency: str(total) for currency, total in billed.items()},
            notes=dict(source.notes),
            delivery=billing_format.delivery,
            is_evidence=billing_format.is_evidence,
            statement=billing_format.statement(source),
        )
        self.entries.append(entry)
        return entry

    def _stop_if_cancelled(self) -> None:
        if self.cancelled():
            raise Cancelled("the import was cancelled; nothing is stored")

    def _fraction(self, source: BillingSource) -> float | None:
        """By bytes, for files differ in size."""
        if source.reading.fraction is None:
            return None
        sizes = [path.stat().st_size for path in self.files]
        place = self.files.index(source.path)
        return (sum(sizes[:place]) + source.reading.fraction * sizes[place]) / sum(sizes)

    def refusals(self) -> list[ImportReceipt]:
        """Every file of a call in which one is bad."""
        bad = ", ".join(path.name for path in self.refused)
        beside = (
            f"not stored, because {bad} of the same call is refused, and files of one call may be parts of one month"
        )
        return [_refusal(path, self.refused.get(path, beside), self.format_keys.get(path)) for path in self.files]

    def receipts(self, reply: Reply | None) -> list[ImportReceipt]:
        answers = [self._queued(entry) for entry in self.entries] if reply is None else list(reply.receipts)
        if reply and not answers:
            raise BadRecord(reply.refused_message)
        answer_of = {entry.file_number: answer for entry, answer in zip(self.entries, answers, strict=True)}
        receipts, answered = [], set()
        for path in self.files:
            entry = self.entry_of[path]
            receipt = answer_of[entry.file_number]
            if entry.file_number in answered:
                receipt = replace(
                    receipt,
                    file_name=path.name,
                    status=ImportStatus.ALREADY_IMPORTED,
                    detail=f"the same file as {entry.file_name} of this call; nothing is added",
                    superseded=(),
                )
            answered.add(entry.file_number)
            receipts.append(receipt)
        return receipts

    def _queued(self, entry: FileEntry) -> ImportReceipt:
        return ImportReceipt(
            file_name=entry.file_name,
            format_key=entry.format_key,
            status=ImportStatus.QUEUED,
            detail="handed to the running writer, which has not answered yet; it stores the file when it gets to it",
            rows_count=entry.rows_count,
            currency=", ".join(sorted(entry.billed)),
        )


def _ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Reads the next batch while the one before is written: both leave Python to itself most of the time."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def _refusal(path: Path, why: str, format_key: str | None = None) -> ImportReceipt:
    return ImportReceipt(file_name=path.name, format_key=format_key, status=ImportStatus.REFUSED, detail=why)
