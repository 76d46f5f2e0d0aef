"""What people wrote, where it touches bills: which months are locked, and what is accepted into them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection, Row, func, insert, select

from costlib.errors import BadRecord
from store import sample
from store.batches import PENDING, accept
from store.engine import aware, naive
from store.records import LedgerEntry, LedgerKind
from store.schema import import_batch, ledger_entry


class OfAccount(Protocol):
    """A batch, or the key of one."""

    provider: str | None
    billing_account: str | None
    period_start: datetime


def record(connection: Connection, segment_id: str, entries: Sequence[LedgerEntry], now: datetime) -> None:
    """Add entries, once, and do what they say. `now` is naive UTC. Raises BadRecord; the caller rolls back."""
    if not entries:
        return
    ids = [entry.entry_id or f"{segment_id}-{place}" for place, entry in enumerate(entries, start=1)]
    if connection.scalar(select(func.count()).where(ledger_entry.c.entry_id.in_(ids))):
        return
    written = connection.scalar(select(func.count()).select_from(ledger_entry)) or 0
    is_sample = sample.content(connection) == sample.SAMPLE
    for number, (entry_id, entry) in enumerate(zip(ids, entries, strict=True), start=written + 1):
        if entry.kind is LedgerKind.ACCEPT:
            _accept(connection, entry, now)
        connection.execute(
            insert(ledger_entry).values(
                number=number,
                entry_id=entry_id,
                kind=entry.kind,
                month=entry.month,
                provider=entry.provider,
                billing_account=entry.billing_account,
                currency=entry.currency,
                amount=entry.amount,
                text=entry.text,
                owner=entry.owner,
                at=naive(entry.at) if entry.at else now,
                is_sample=is_sample,
            )
        )


def entries(connection: Connection, month: str | None = None) -> list[LedgerEntry]:
    """What was written, of one month or of all, in the order of writing."""
    row = ledger_entry.c
    wanted = select(ledger_entry).order_by(row.number)
    found = connection.execute(wanted if month is None else wanted.where(row.month == month))
    return [_entry(item) for item in found]


def locks(connection: Connection) -> Callable[[OfAccount], bool]:
    """Whether the month of a batch is locked: the newest word about it counts."""
    words = [entry for entry in entries(connection) if entry.kind in (LedgerKind.LOCK, LedgerKind.UNLOCK)]

    def is_locked(of: OfAccount) -> bool:
        newest = next((entry for entry in reversed(words) if _is_about(entry, of)), None)
        return newest is not None and newest.kind is LedgerKind.LOCK

    return is_locked


def _accept(connection: Connection, entry: LedgerEntry, now: datetime) -> None:
    pending = connection.execute(select(import_batch).where(import_batch.c.status == PENDING))
    waiting = [batch for batch in pending if _is_about(entry, batch)]
    if not waiting:
        raise BadRecord(f"nothing waits for {entry.month}; import what changed, and accept it then")
    accept(connection, waiting, now)


def _is_about(entry: LedgerEntry, of: OfAccount) -> bool:
    return (
        entry.month == f"{of.period_start:%Y-%m}"
        and entry.provider in ("", of.provider)
        and entry.billing_account in ("", of.billing_account)
    )


def _entry(row: Row) -> LedgerEntry:
    return LedgerEntry(
        kind=LedgerKind(row.kind),
        month=row.month,
        provider=row.provider,
        billing_account=row.billing_account,
        currency=row.currency,
        amount=row.amount,
        text=row.text,
        owner=row.owner,
        at=aware(row.at),
        entry_id=row.entry_id,
    )
