"""Loading a segment: each provider, account and billing period of it is one batch.

A batch takes the place of the one before, or waits beside it where the month is locked. One with the same rows, in
whatever order and from whatever files, changes nothing. Everything here runs inside the caller's transaction, so that
either the old months are visible or the new ones, never a mix; a file of rows that no batch names does no harm.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, insert, select
from sqlalchemy.sql import FromClause

from costlib.billing import MONEY_COLUMNS
from store import sample
from store.arrival import Sums, check_overlap, check_totals, summed, sums_of
from store.batches import ACTIVE, PENDING, Period, periods, refuse_second_statement, statements_of, supersede
from store.durable import keep_as
from store.inbox import DAYS, REPLACE, FileEntry, Manifest, receipt_from, receipt_record
from store.locks import locks
from store.merge import merge
from store.receipts import Outcome, receipt_of
from store.records import RUN_OK, ImportReceipt
from store.rows import rows_at, rows_file
from store.schema import import_batch, import_file, run_log


def load(connection: Connection, folder: Path, manifest: Manifest, rows: Path, now: datetime) -> list[ImportReceipt]:
    """Store what is new in a segment. `now` is naive UTC. Raises BadRecord or ConfigError; the caller rolls back."""
    if not manifest.files:
        return []
    if answered := _answered_before(connection, manifest.segment_id):
        return answered
    sample.admit(connection, manifest.is_sample)
    segment = _Segment(connection=connection, folder=folder, manifest=manifest, rows=rows, now=now)
    by_file, by_batch = sums_of(connection, segment.arrival, segment.files)
    check_totals(manifest, by_file)
    known = periods(connection, folder, statements_of(manifest, by_batch), locks(connection))
    outcomes = {key: _known_already(known[key], sums) for key, sums in by_batch.items()}
    changed = {key: sums for key, sums in by_batch.items() if outcomes[key] is None}
    check_overlap(connection, segment.arrival, manifest, changed.values())
    for number, (key, sums) in enumerate(changed.items(), start=1):
        outcomes[key] = segment.store(known[key], sums, f"{manifest.segment_id}-{number}")
    found = {key: outcome for key, outcome in outcomes.items() if outcome}
    receipts = [receipt_of(entry, by_file[entry.file_number], by_batch, found) for entry in manifest.files]
    if any(outcome.batch_id for outcome in found.values()):
        _add_files(connection, manifest, receipts, now)
    return receipts


def _answered_before(connection: Connection, segment_id: str) -> list[ImportReceipt]:
    """The receipts of a segment that was stored before a kill kept its answer from going out."""
    known = select(import_file.c.receipt).where(import_file.c.segment_id == segment_id)
    return [receipt_from(json.loads(text)) for text in connection.scalars(known.order_by(import_file.c.file_number))]


def _known_already(period: Period, sums: Sums) -> Outcome | None:
    if same := period.same(sums.digest):
        return Outcome(is_pending=same.status == PENDING)
    if newer := period.newer(sums.digest):
        return Outcome(newer=newer)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    connection: Connection
    folder: Path
    manifest: Manifest
    rows: Path
    now: datetime

    @property
    def arrival(self) -> FromClause:
        return rows_at(self.folder, [self.rows], "arrival")

    @property
    def files(self) -> Mapping[int, FileEntry]:
        return {entry.file_number: entry for entry in self.manifest.files}

    def store(self, period: Period, sums: Sums, batch_id: str) -> Outcome:
        """Make the batch of what arrived for one period."""
        entries = [self.files[number] for number in sorted(sums.files)]
        if not self.manifest.replaces_statement:
            refuse_second_statement(period, entries[0].file_name)
        delivery, base = entries[0].delivery, period.base
        is_whole = delivery == REPLACE or (base is None and (delivery == DAYS or len(entries) == 1))
        if is_whole:
            content, file_rows_count = sums, sum(entry.rows_count for entry in self.manifest.files)
            rows_in = rows_file(self.manifest.segment_id)
            keep_as(self.rows, self.folder / rows_in)
        else:
            rows_in = rows_file(batch_id)
            merge(self.connection, self.folder, delivery, base, self.arrival, period.key, self.folder / rows_in)
            content = summed(self.connection, rows_at(self.folder, [self.folder / rows_in]))
            file_rows_count = content.rows_count
            if base and content.digest == base.digest:
                (self.folder / rows_in).unlink()
                return Outcome(is_pending=base.status == PENDING)
        supersede(self.connection, batch_id, period.replaced, self.now)
        key = period.key
        values = {
            "batch_id": batch_id,
            "segment_id": self.manifest.segment_id,
            "provider": key.provider,
            "billing_account": key.billing_account,
            "period_start": key.period_start,
            "period_end": max(content.period_ends),
            "status": PENDING if period.is_locked else ACTIVE,
            "imported_at": self.now,
            "file_names": ", ".join(entry.file_name for entry in entries),
            "format_key": entries[0].format_key,
            "statement": period.statement,
            "delivery": delivery,
            "digest": content.digest,
            "arrived_digest": sums.digest,
            "currency": content.currency,
            "rows_file": rows_in,
            "rows_count": content.rows_count,
            "uninvoiced_count": content.uninvoiced_count,
            "file_rows_count": file_rows_count,
            **{name: content.cost(name) for name in MONEY_COLUMNS},
            "is_evidence": bool(key.evidence_of),
            "is_sample": self.manifest.is_sample,
        }
        self.connection.execute(insert(import_batch).values(values))
        return Outcome(
            batch_id=batch_id,
            is_pending=period.is_locked,
            replaced=tuple(period.replaced),
            added_to=None if is_whole else base,
            rows_count=content.rows_count,
        )


def _add_files(connection: Connection, manifest: Manifest, receipts: Iterable[ImportReceipt], now: datetime) -> None:
    for entry, receipt in zip(manifest.files, receipts, strict=True):
        connection.execute(
            insert(import_file).values(
                segment_id=manifest.segment_id,
                file_number=entry.file_number,
                file_name=entry.file_name,
                format_key=entry.format_key,
                file_sha256=entry.sha256,
                bytes_count=entry.bytes_count,
                rows_count=entry.rows_count,
                imported_at=now,
                notes=json.dumps(dict(entry.notes)),
                receipt=json.dumps(receipt_record(receipt)),
                is_sample=manifest.is_sample,
            )
        )
        connection.execute(
            insert(run_log).values(
                source_key=f"billing/{entry.format_key}",
                kind="billing",
                started_at=now,
                finished_at=now,
                state=RUN_OK,
                rows_count=entry.rows_count,
                is_sample=manifest.is_sample,
            )
        )
