"""Any order of deliveries, locks and kills: after each step every total is that of a small model in memory."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from store import inbox
from store.home import Home
from store.read import open_snapshot
from store.records import LedgerEntry, LedgerKind
from store.writer import Writer
from tests.store.builders import NOON, frozen
from tests.store.segments import APPEND, DAYS, REPLACE, charge, hand_in

MONTHS = (9, 10)
ACCOUNT_OF = {REPLACE: "whole months", APPEND: "appended", DAYS: "days"}

Row = tuple[int, int, str]  # month, day, cost
Rows = Counter[Row]
ROW = st.tuples(st.sampled_from(MONTHS), st.integers(1, 4), st.sampled_from(["0.1", "-0.25", "1e-18", "7"]))


def total(rows: Rows) -> Decimal:
    return sum((Decimal(cost) * count for (_, _, cost), count in rows.items()), Decimal(0))


@dataclass
class Batch:
    rows: Rows
    arrived: Rows


@dataclass
class Account:
    """One billing month of one account."""

    delivery: str
    active: Batch | None = None
    pending: Batch | None = None
    history: list[Rows] = field(default_factory=list)
    is_locked: bool = False

    def deliver(self, files: list[Rows]) -> None:
        arrived = sum(files, Counter())
        waiting = self.pending if self.is_locked else None
        base = waiting or self.active
        known = [batch for batch in (self.active, waiting) if batch]
        if any(arrived in (batch.rows, batch.arrived) for batch in known) or arrived in self.history:
            return
        rows = arrived
        if base and self.delivery == APPEND:
            rows = base.rows
            for file in files:
                rows = rows | file  # the multiset maximum
        elif base and self.delivery == DAYS:
            days = {day for _, day, _ in arrived}
            rows = arrived + Counter({row: count for row, count in base.rows.items() if row[1] not in days})
        if base and rows == base.rows:
            return
        batch = Batch(rows, arrived)
        self.history += [old.arrived for old in ((waiting,) if self.is_locked else (self.active, self.pending)) if old]
        if self.is_locked:
            self.pending = batch
        else:
            self.active, self.pending = batch, None

    def accept(self) -> None:
        if self.pending:
            self.history += [self.active.arrived] if self.active else []
            self.active, self.pending = self.pending, None


class Killed(BaseException):
    """What a kill does to the rest of the work."""


class Bills(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.home = Home(Path(self.folder.name))
        self.accounts = {(month, delivery): Account(delivery) for month in MONTHS for delivery in ACCOUNT_OF}
        self.delivered: list[tuple[str, list[Rows]]] = []

    def teardown(self) -> None:
        self.folder.cleanup()

    def hand_in(self, delivery: str, files: list[Rows], order: st.DataObject | None = None) -> None:
        def charges(rows: Rows) -> list:
            listed = sorted(rows.elements())
            listed = order.draw(st.permutations(listed)) if order else listed
            return [charge(cost, day, month, BillingAccountId=ACCOUNT_OF[delivery]) for month, day, cost in listed]

        hand_in(self.home, *map(charges, files), delivery=delivery)
        for month in MONTHS:
            own = [Counter({row: n for row, n in file.items() if row[0] == month}) for file in files]
            if any(own):
                self.accounts[month, delivery].deliver([file for file in own if file])
        self.delivered.append((delivery, files))

    def store(self) -> None:
        with Writer.open(self.home, frozen()) as writer:
            writer.drain_inbox()
            writer.publish(force=True)

    def post(self, kind: LedgerKind, month: int, delivery: str) -> None:
        entry = LedgerEntry(kind=kind, month=f"2026-{month:02d}", billing_account=ACCOUNT_OF[delivery], at=NOON)
        inbox.post(self.home, [entry], NOON)
        self.store()

    @rule(delivery=st.sampled_from(list(ACCOUNT_OF)), rows=st.lists(ROW, min_size=1, max_size=6), data=st.data())
    def import_(self, delivery: str, rows: list[Row], data: st.DataObject) -> None:
        files: dict[int, Rows] = {}
        for row, count in Counter(rows).items():  # rows alike stay in one file
            files.setdefault(data.draw(st.integers(0, 2)), Counter())[row] = count
        self.hand_in(delivery, list(files.values()), data)
        self.store()

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def import_again_as_one_file_in_another_order(self, data: st.DataObject) -> None:
        delivery, files = data.draw(st.sampled_from(self.delivered))
        self.hand_in(delivery, [sum(files, Counter())], data)
        self.store()

    @rule(
        delivery=st.sampled_from(list(ACCOUNT_OF)),
        rows=st.lists(ROW, min_size=1, max_size=4),
        stored=st.booleans(),
    )
    def kill_the_writer(self, delivery: str, rows: list[Row], stored: bool) -> None:
        """Before the transaction ends, or after it and before anybody is told."""
        self.hand_in(delivery, [Counter(rows)])
        where = ("store.inbox.reply",) if stored else ("store.locks.record",)
        with patch(*where, side_effect=Killed), suppress(Killed), Writer.open(self.home, frozen()) as writer:
            writer.drain_inbox()
        self.store()

    @rule(
        kind=st.sampled_from([LedgerKind.LOCK, LedgerKind.UNLOCK]),
        month=st.sampled_from(MONTHS),
        delivery=st.sampled_from(list(ACCOUNT_OF)),
    )
    def lock(self, kind: LedgerKind, month: int, delivery: str) -> None:
        self.post(kind, month, delivery)
        self.accounts[month, delivery].is_locked = kind is LedgerKind.LOCK

    @rule(month=st.sampled_from(MONTHS), delivery=st.sampled_from(list(ACCOUNT_OF)))
    def accept(self, month: int, delivery: str) -> None:
        self.post(LedgerKind.ACCEPT, month, delivery)
        self.accounts[month, delivery].accept()

    @precondition(lambda self: self.delivered)
    @invariant()
    def every_total_is_the_model_s(self) -> None:
        with open_snapshot(self.home) as snapshot:
            months = snapshot.months()
            groups = [group for month in MONTHS for group in snapshot.charge_groups(f"2026-{month:02d}")]
            found = {
                (row.month, row.billing_account): (row.billed or 0, row.rows_count, row.pending_count, row.state)
                for row in months.itertuples()
            }
            spent = snapshot.spend_total(*EVER)
        assert found == dict(self.expected())
        assert sum((group.billed for group in groups), Decimal(0)) == spent.get("USD", 0)
        assert spent.get("USD", 0) == sum((told[0] for told in found.values()), Decimal(0))

    def expected(self) -> Iterator[tuple[tuple[str, str], tuple]]:
        for (month, delivery), account in self.accounts.items():
            rows = account.active.rows if account.active else Counter()
            state = "locked" if account.is_locked else "open"
            if account.active or account.pending:
                place = (f"2026-{month:02d}", ACCOUNT_OF[delivery])
                yield place, (total(rows), rows.total(), int(account.pending is not None), state)


EVER = (NOON.replace(year=2000), NOON.replace(year=2100))
Bills.TestCase.settings = settings(max_examples=4, stateful_step_count=12, deadline=None)
test_any_order_of_commands_gives_the_model_s_totals = Bills.TestCase
