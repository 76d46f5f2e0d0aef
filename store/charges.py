"""Loading a segment: each provider, account and billing period of it is one batch, and replaces the batch before.

A batch with the same rows as the active one, in whatever order and from whatever files, changes nothing. Everything
here runs inside the caller's transaction, so that either the old months are visible or the new ones, never a mix.
"""

import json
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, select, update
from sqlalchemy.sql import FromClause

from costlib.billing import FOCUS_COLUMNS, MONEY_COLUMNS, exact_sum
from costlib.errors import BadRecord
from store import sample
from store.inbox import FileEntry, Manifest, receipt_from, receipt_record
from store.records import RUN_OK, ImportReceipt, ImportStatus
from store.schema import charge, import_batch, import_file, run_log
from store.sql import row_fingerprint, view_of_parquet

ACTIVE, SUPERSEDED = "active", "superseded"
# Two files of one call with more than this share of identical rows are two deliveries of a month, not two parts of it.
_LARGEST_OVERLAP_FRACTION = 0.5

BatchKey = tuple[str | None, str | None, datetime]  # provider, billing account, start of the billing period


@dataclass(slots=True)
class _Sums:
    """What some rows add up to. A cost is None when no row has it."""

    rows_count: int = 0
    fingerprint: int = 0
    costs: dict[str, Decimal | None] = field(default_factory=lambda: dict.fromkeys(MONEY_COLUMNS))
    billed: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    files: set[int] = field(default_factory=set)
    periods: set[datetime] = field(default_factory=set)
    period_ends: set[datetime] = field(default_factory=set)

    def add(self, group: Row) -> None:
        self.rows_count += group.rows_count
        self.fingerprint += int(group.fingerprint)
        for name in MONEY_COLUMNS:
            cost = getattr(group, name)
            if cost is not None:
                self.costs[name] = exact_sum((cost, self.costs[name] or Decimal(0)))
        self.billed[group.currency] = exact_sum((group.BilledCost, self.billed[group.currency]))
        self.files.add(group.file_number)
        self.periods.add(group.period_start)
        self.period_ends.add(group.period_end)

    @property
    def currency(self) -> str:
        return ", ".join(sorted(self.billed))

    @property
    def digest(self) -> str:
        return f"{self.rows_count}:{self.fingerprint:x}"

    def cost(self, name: str) -> Decimal | None:
        """One cost, None in several currencies: they are never added."""
        return self.costs[name] if len(self.billed) == 1 else None


def load(connection: Connection, manifest: Manifest, rows: Path, now: datetime) -> list[ImportReceipt]:
    """Store what is new in a segment. `now` is naive UTC. Raises BadRecord or ConfigError; the caller rolls back."""
    if answered := _answered_before(connection, manifest.segment_id):
        return answered
    sample.admit(connection, manifest.is_sample)
    arrival = view_of_parquet(connection, "arrival", rows)
    by_file, by_batch = _sums(connection, arrival)
    _check_totals(manifest, by_file)

    active, replaced_before = _known_batches(connection)
    changed = {
        key: sums
        for key, sums in by_batch.items()
        if (key, sums.digest) not in replaced_before and (key not in active or active[key].digest != sums.digest)
    }
    _check_overlap(connection, arrival, manifest, changed)
    replaced = {key: active[key] for key in changed if key in active}
    stale = {key: active[key] for key, sums in by_batch.items() if (key, sums.digest) in replaced_before}
    receipts = [
        _receipt(entry, by_file[entry.file_number], by_batch, replaced, changed, stale) for entry in manifest.files
    ]
    if changed:
        _supersede(connection, replaced, manifest.segment_id, now)
        _add_batches(connection, manifest, changed, now)
        _add_charges(connection, arrival, manifest.segment_id)
        _add_files(connection, manifest, receipts, now)
    return receipts


def _answered_before(connection: Connection, segment_id: str) -> list[ImportReceipt]:
    """The receipts of a segment that was stored before a kill kept its answer from going out."""
    known = select(import_file.c.receipt).where(import_file.c.segment_id == segment_id)
    return [receipt_from(json.loads(text)) for text in connection.scalars(known.order_by(import_file.c.file_number))]


def _key(rows: FromClause) -> tuple[Any, Any, Any]:
    return (
        func.coalesce(rows.c.ProviderName, rows.c.InvoiceIssuerName),
        rows.c.BillingAccountId,
        rows.c.BillingPeriodStart,
    )


def _fingerprint(rows: FromClause) -> Any:
    return row_fingerprint([*(rows.c[name] for name in FOCUS_COLUMNS), rows.c.extra])


def _sums(connection: Connection, arrival: FromClause) -> tuple[dict[int, _Sums], dict[BatchKey, _Sums]]:
    """One pass over the rows: what each file and each batch adds up to."""
    provider, account, period_start = _key(arrival)
    groups = (arrival.c.file_number, provider, account, period_start, arrival.c.BillingCurrency)
    statement = select(
        arrival.c.file_number,
        provider.label("provider"),
        account.label("billing_account"),
        period_start.label("period_start"),
        arrival.c.BillingCurrency.label("currency"),
        func.max(arrival.c.BillingPeriodEnd).label("period_end"),
        func.count().label("rows_count"),
        func.sum(_fingerprint(arrival)).label("fingerprint"),
        *(func.sum(arrival.c[name]).label(name) for name in MONEY_COLUMNS),
    ).group_by(*groups)
    by_file: dict[int, _Sums] = defaultdict(_Sums)
    by_batch: dict[BatchKey, _Sums] = defaultdict(_Sums)
    for group in connection.execute(statement):
        by_file[group.file_number].add(group)
        by_batch[group.provider, group.billing_account, group.period_start].add(group)
    return by_file, by_batch


def _check_totals(manifest: Manifest, by_file: dict[int, _Sums]) -> None:
    """What arrived must be what was read: row count and billed sum per currency, to the last digit."""
    for entry in manifest.files:
        found = by_file[entry.file_number]
        said = {currency: Decimal(total) for currency, total in entry.billed.items()}
        if (found.rows_count, dict(found.billed)) != (entry.rows_count, said):
            raise BadRecord(
                f"{entry.file_name}: {entry.rows_count} rows billed {said} were read,"
                f" but {found.rows_count} rows billed {dict(found.billed)} arrived; nothing is stored."
                " Import the file again."
            )


def _known_batches(connection: Connection) -> tuple[dict[BatchKey, Row], set[tuple[BatchKey, str]]]:
    """The active batch of each key, and the digests that were active once: an older delivery never replaces a newer."""
    active: dict[BatchKey, Row] = {}
    replaced: set[tuple[BatchKey, str]] = set()
    for row in connection.execute(select(import_batch)):
        key = row.provider, row.billing_account, row.period_start
        if row.status == ACTIVE:
            active[key] = row
        else:
            replaced.add((key, row.digest))
    return active, replaced - {(key, row.digest) for key, row in active.items()}


def _check_overlap(
    connection: Connection, arrival: FromClause, manifest: Manifest, changed: dict[BatchKey, _Sums]
) -> None:
    """Refuse an original and its restatement given in one call: as parts of one delivery they would be summed."""
    if all(len(sums.files) == 1 for sums in changed.values()):
        return
    provider, account, period_start = _key(arrival)
    copies = (
        select(
            arrival.c.file_number, provider.label("p"), account.label("a"), period_start.label("s"),
            _fingerprint(arrival).label("row"), func.count().label("n"),
        )
        .group_by(arrival.c.file_number, "p", "a", "s", "row")
        .cte("copies")
    )  # fmt: skip
    one, other = copies.alias("one"), copies.alias("other")
    same_batch = and_(*(one.c[name].is_not_distinct_from(other.c[name]) for name in ("p", "a", "s")))
    common = (
        select(
            one.c.file_number, other.c.file_number.label("other_number"), one.c.s.label("period_start"),
            func.sum(func.least(one.c.n, other.c.n)).label("common_count"),
        )
        .join(other, and_(same_batch, one.c.row == other.c.row, one.c.file_number < other.c.file_number))
        .group_by(one.c.file_number, other.c.file_number, one.c.p, one.c.a, one.c.s)
    )  # fmt: skip
    names = {entry.file_number: entry for entry in manifest.files}
    for row in connection.execute(common):
        first, second = names[row.file_number], names[row.other_number]
        if row.common_count > _LARGEST_OVERLAP_FRACTION * min(first.rows_count, second.rows_count):
            raise BadRecord(
                f"{first.file_name} and {second.file_name} share {row.common_count} identical rows of"
                f" {row.period_start:%Y-%m}: they look like two deliveries of one month, not two parts of it, and would"
                " be counted twice. Nothing is stored. Import them one after the other, the older first."
            )


def _supersede(connection: Connection, replaced: dict[BatchKey, Row], segment_id: str, now: datetime) -> None:
    if replaced:
        old = import_batch.c.batch_id.in_([row.batch_id for row in replaced.values()])
        connection.execute(
            update(import_batch).where(old).values(status=SUPERSEDED, superseded_at=now, superseded_by=segment_id)
        )


def _add_batches(connection: Connection, manifest: Manifest, changed: dict[BatchKey, _Sums], now: datetime) -> None:
    entries = {entry.file_number: entry for entry in manifest.files}
    rows = []
    for number, (key, sums) in enumerate(changed.items(), start=1):
        provider, account, period_start = key
        files = [entries[file_number] for file_number in sorted(sums.files)]
        rows.append(
            {
                "batch_id": f"{manifest.segment_id}-{number}",
                "segment_id": manifest.segment_id,
                "provider": provider,
                "billing_account": account,
                "period_start": period_start,
                "period_end": max(sums.period_ends),
                "status": ACTIVE,
                "imported_at": now,
                "file_names": ", ".join(entry.file_name for entry in files),
                "format_key": files[0].format_key,
                "digest": sums.digest,
                "currency": sums.currency,
                "rows_count": sums.rows_count,
                **{name: sums.cost(name) for name in MONEY_COLUMNS},
                "is_sample": manifest.is_sample,
            }
        )
    connection.execute(insert(import_batch), rows)


def _add_charges(connection: Connection, arrival: FromClause, segment_id: str) -> None:
    names = ["file_number", "row_number", *FOCUS_COLUMNS, "extra"]
    batch = import_batch.c
    own = and_(
        batch.segment_id == segment_id,
        *(
            mine.is_not_distinct_from(theirs)
            for mine, theirs in zip(
                (batch.provider, batch.billing_account, batch.period_start), _key(arrival), strict=True
            )
        ),
    )
    rows = select(batch.batch_id, *(arrival.c[name] for name in names)).select_from(arrival.join(import_batch, own))
    connection.execute(insert(charge).from_select(["batch_id", *names], rows))


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


# Receipts -------------------------------------------------------------------------------------------------------------


def _receipt(
    entry: FileEntry,
    sums: _Sums,
    by_batch: dict[BatchKey, _Sums],
    replaced: dict[BatchKey, Row],
    changed: Container[BatchKey],
    stale: dict[BatchKey, Row],
) -> ImportReceipt:
    own = [key for key, batch in by_batch.items() if entry.file_number in batch.files]
    touched = [key for key in own if key in changed]
    said = [_replacement(replaced[key]) for key in touched if key in replaced]
    said += [_staleness(stale[key]) for key in own if key in stale]
    periods = tuple(sorted({f"{start:%Y-%m}" for start in sums.periods}))
    if touched:
        status, first = ImportStatus.IMPORTED, f"{sums.rows_count} rows of {', '.join(periods)} stored"
    else:
        status, first = ImportStatus.ALREADY_IMPORTED, "the same rows were imported before; nothing is added"
    notes = [f"{count} {what}" for what, count in entry.notes.items()]
    return ImportReceipt(
        file_name=entry.file_name,
        format_key=entry.format_key,
        status=status,
        detail="; ".join([first, *said, *notes]),
        rows_count=sums.rows_count,
        billed_cost=sums.cost("BilledCost"),
        effective_cost=sums.cost("EffectiveCost"),
        list_cost=sums.cost("ListCost"),
        contracted_cost=sums.cost("ContractedCost"),
        currency=sums.currency,
        periods=periods,
        superseded=tuple(replaced[key].batch_id for key in touched if key in replaced),
    )


def _replacement(old: Row) -> str:
    who = " ".join(part for part in (old.provider, old.billing_account) if part)
    return (
        f"replaces the {old.rows_count} rows of {old.period_start:%Y-%m} from {who or 'an unnamed provider'} that came"
        f" with {old.file_names} (parts of one export must be imported in one call)"
    )


def _staleness(newer: Row) -> str:
    return (
        f"its delivery of {newer.period_start:%Y-%m} was replaced by {newer.file_names}"
        f" on {newer.imported_at:%Y-%m-%d}, and an older delivery does not replace a newer one"
    )
