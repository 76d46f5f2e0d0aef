"""Writing down what people say about a month: invoice totals, notes, locks. Nothing written is changed or removed.

Entries go through the inbox like bills, so that it works beside a running writer, and survives a kill.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from costlib.errors import BadRecord, ConfigError
from store import inbox
from store.engine import utc_now
from store.handover import hand_over
from store.home import Home
from store.months import month_of
from store.records import LedgerEntry, LedgerKind

__all__ = ["LedgerEntry", "LedgerKind", "write"]


def write(home: Home, entries: Sequence[LedgerEntry], clock: Callable[[], datetime] = utc_now) -> None:
    """Write entries, all or none, in their order; each gets its time and its id.

    When it returns they are stored, or lie safe with a running writer that is busy.

    Raises    ConfigError when an entry does not say what its kind needs, BadRecord when there is nothing to accept
    """
    for entry in entries:
        _check(entry)
    if not entries:
        return
    now = clock()
    home.make()
    segment_id = inbox.post(home, [replace(entry, at=entry.at or now) for entry in entries], now)
    reply = hand_over(home, segment_id, clock)
    if reply and reply.refused_kind:
        raise BadRecord(reply.refused_message)


def _check(entry: LedgerEntry) -> None:
    month_of(entry.month)
    if entry.kind is LedgerKind.INVOICE and (entry.amount is None or not entry.currency):
        raise ConfigError("an invoice total needs its amount and its currency, such as 1234.56 USD")
    if entry.kind is LedgerKind.NOTE and not (entry.text.strip() and entry.owner.strip()):
        raise ConfigError("a note needs its text and its owner: whoever answers for it")
