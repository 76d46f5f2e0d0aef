"""What people write: kept in order, through the inbox, and never changed or removed."""

import subprocess
import sys
import threading
from decimal import Decimal

import pytest

from costlib.errors import BadRecord, ConfigError
from store import inbox
from store.handover import hand_over
from store.home import Home
from store.ledger import LedgerEntry, LedgerKind, write
from store.read import open_snapshot
from store.writer import Writer
from tests.store.builders import NOON, frozen
from tests.store.segments import charge, deliver

INVOICE = LedgerEntry(
    kind=LedgerKind.INVOICE,
    month="2026-10",
    provider="AWS",
    billing_account="100",
    currency="USD",
    amount=Decimal("12345678901234567890.12"),
    owner="finance",
)
NOTE = LedgerEntry(kind=LedgerKind.NOTE, month="2026-09", text="=credit of 3.10 is late", owner="maria")


def ledger(home: Home, month: str | None = None) -> list[LedgerEntry]:
    with open_snapshot(home) as snapshot:
        return snapshot.ledger(month)


def test_what_was_written_is_read_back_exactly_and_in_order(home: Home) -> None:
    write(home, [INVOICE, NOTE], frozen())
    corrected = LedgerEntry(kind=LedgerKind.INVOICE, month="2026-10", currency="USD", amount=Decimal("-0.01"))
    write(home, [corrected], frozen())
    found = ledger(home)
    assert [(entry.kind, entry.amount, entry.text, entry.owner, entry.at) for entry in found] == [
        ("invoice", INVOICE.amount, "", "finance", NOON),
        ("note", None, NOTE.text, "maria", NOON),
        ("invoice", Decimal("-0.01"), "", "", NOON),
    ]
    assert len({entry.entry_id for entry in found}) == 3
    assert ledger(home, "2026-09") == found[1:2]


def test_the_ledger_stays_when_bills_are_restated(home: Home) -> None:
    write(home, [INVOICE], frozen())
    for cost in ("1", "2"):
        deliver(home, [charge(cost)])
    assert [entry.kind for entry in ledger(home)] == ["invoice"]


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        (LedgerEntry(kind=LedgerKind.LOCK, month="October"), "not a month"),
        (LedgerEntry(kind=LedgerKind.LOCK, month="2026-13"), "not a month"),
        (LedgerEntry(kind=LedgerKind.INVOICE, month="2026-10", amount=Decimal(1)), "its currency"),
        (LedgerEntry(kind=LedgerKind.INVOICE, month="2026-10", currency="USD"), "its amount"),
        (LedgerEntry(kind=LedgerKind.NOTE, month="2026-10", text="why?"), "its owner"),
    ],
)
def test_an_entry_that_says_too_little_is_refused_with_all_beside_it(home: Home, entry: LedgerEntry, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        write(home, [NOTE, entry], frozen())
    assert open_snapshot(home) is None


def test_there_is_something_to_accept_or_the_entry_is_refused(home: Home) -> None:
    deliver(home, [charge("1")])
    with pytest.raises(BadRecord, match="nothing waits for 2026-10"):
        write(home, [NOTE, LedgerEntry(kind=LedgerKind.ACCEPT, month="2026-10")], frozen())
    assert ledger(home) == []


def test_an_entry_about_one_account_says_nothing_of_another(home: Home) -> None:
    deliver(home, [charge("1"), charge("1", BillingAccountId="200")])
    write(home, [LedgerEntry(kind=LedgerKind.LOCK, month="2026-10", billing_account="200")], frozen())
    with open_snapshot(home) as snapshot:
        assert snapshot.months()["state"].tolist() == ["open", "locked"]


def test_writing_works_beside_a_running_writer(home: Home) -> None:
    with Writer.open(home, frozen()) as writer:
        person = threading.Thread(target=write, args=(home, [NOTE]))
        person.start()
        while not inbox.waiting(home):
            pass
        writer.drain_inbox()
        writer.publish(force=True)
        person.join()
    assert [entry.owner for entry in ledger(home)] == ["maria"]


KILLED = """
import os, signal, sys
from pathlib import Path
from store import inbox
from store.home import Home
from store.ledger import LedgerEntry, LedgerKind, write
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
inbox.reply = die
write(Home(Path(sys.argv[1])), [LedgerEntry(kind=LedgerKind.NOTE, month="2026-09", text="late", owner="maria")])
"""


def test_an_entry_is_written_once_though_the_writer_was_killed_before_it_answered(home: Home) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(home.path)], check=False)
    assert killed.returncode == -9
    (segment,) = inbox.waiting(home)
    assert hand_over(home, segment.name) == inbox.Reply(receipts=())
    assert [entry.text for entry in ledger(home)] == ["late"]
