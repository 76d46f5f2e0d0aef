"""Importing bills: read and check every file, hand the rows over as one segment, and wait for the writer's answer.

There is one path. Without a running writer this process becomes it for a moment; beside one it waits.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from collectors.billing import format_of
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import exact_sum
from costlib.errors import BadRecord, ConfigError
from store.durable import sha256_of
from store.engine import utc_now
from store.home import Home
from store.inbox import FileEntry, Reply, SegmentBuilder, take_reply, withdraw
from store.records import ImportReceipt, ImportStatus
from store.writer import StoreBusy, Writer

# How long to wait for a running writer, which looks into its inbox every few seconds.
WAIT_S = 60.0
_LOOK_EVERY_S = 0.2

# Called with a file's name and the rows read of it so far.
Progress = Callable[[str, int], None]


def import_files(
    paths: Iterable[Path | str],
    home: Home,
    format_key: str | None = None,
    currency: str | None = None,
    is_sample: bool = False,
    on_progress: Progress | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    wait_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> list[ImportReceipt]:
    """Import billing files as one delivery, and say what became of each, in their order.

    A delivery is all or nothing: with one bad file nothing is stored, because the others may be parts of its month.
    The newest delivery of a provider, account and billing period replaces the one before.

    Raises    ConfigError when the call itself is wrong (no file, an unknown format, sample data into a real home)
    """
    files = [Path(path) for path in paths]
    if not files:
        raise ConfigError("no file to import; name at least one billing export")
    home.make()
    with SegmentBuilder(home, clock()) as segment:
        delivery = _Delivery(segment=segment, format_key=format_key, currency=currency, on_progress=on_progress)
        for path in files:
            delivery.read(path)
        if delivery.refused:
            return delivery.refusals(files)
        segment_id = segment.finish(delivery.entries, is_sample)
    reply = _hand_over(home, segment_id, clock, wait_s, sleep)
    if reply and reply.refused_kind == ConfigError.__name__:
        raise ConfigError(reply.refused_message)
    return delivery.receipts(files, reply)


# Reading --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Delivery:
    """The files of one call: those read into the segment, copies of such files, and those refused."""

    segment: SegmentBuilder
    format_key: str | None
    currency: str | None
    on_progress: Progress | None
    entries: list[FileEntry] = field(default_factory=list)
    entry_of: dict[Path, FileEntry] = field(default_factory=dict)  # a copy has the entry of its original
    refused: dict[Path, str] = field(default_factory=dict)
    format_keys: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path) -> None:
        try:
            source = BillingSource(path=path, currency=self.currency)
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
        for batch in billing_format.parse(source):
            self.segment.add(number, batch)
            rows_count += batch.num_rows
            for currency, cost in _billed(batch).items():
                billed[currency] = exact_sum((billed[currency], cost))
            if self.on_progress:
                self.on_progress(source.name, rows_count)
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
        )
        self.entries.append(entry)
        return entry

    def refusals(self, files: Iterable[Path]) -> list[ImportReceipt]:
        """Every file of a call in which one is bad."""
        bad = ", ".join(path.name for path in self.refused)
        beside = (
            f"not stored, because {bad} of the same call is refused, and files of one call may be parts of one month"
        )
        return [
            ImportReceipt(
                file_name=path.name,
                format_key=self.format_keys.get(path),
                status=ImportStatus.REFUSED,
                detail=self.refused.get(path, beside),
            )
            for path in files
        ]

    def receipts(self, files: Iterable[Path], reply: Reply | None) -> list[ImportReceipt]:
        answers = [self._queued(entry) for entry in self.entries] if reply is None else list(reply.receipts)
        if reply and not answers:
            raise BadRecord(reply.refused_message)
        answer_of = {entry.file_number: answer for entry, answer in zip(self.entries, answers, strict=True)}
        receipts, answered = [], set()
        for path in files:
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


def _billed(batch: pa.RecordBatch) -> dict[str, Decimal]:
    """The sum of BilledCost per currency, in Decimal: an Arrow sum could overflow unseen."""
    costs: dict[str, list[Decimal]] = defaultdict(list)
    for currency, cost in zip(batch["BillingCurrency"].to_pylist(), batch["BilledCost"].to_pylist(), strict=True):
        costs[currency].append(cost)
    return {currency: exact_sum(amounts) for currency, amounts in costs.items()}


# Handing over ---------------------------------------------------------------------------------------------------------


def _hand_over(
    home: Home, segment_id: str, clock: Callable[[], datetime], wait_s: float, sleep: Callable[[float], None]
) -> Reply | None:
    """The answer to our segment: from a writer that runs, or by being the writer. None when it takes too long."""
    waited_s = 0.0
    while True:
        reply = take_reply(home, segment_id)
        if reply is not None or waited_s > wait_s:
            return reply
        try:
            with Writer.open(home, clock) as writer:
                writer.drain_inbox()
                writer.publish(force=True)
        except StoreBusy:
            sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
        except Exception:
            withdraw(home, segment_id)
            raise
