"""What a segment brings, looked at in one pass: the sums and the fingerprint of each file and each batch."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy.sql import ColumnElement, FromClause

from costlib.billing import MONEY_COLUMNS, exact_sum
from costlib.errors import BadRecord
from store.inbox import APPEND, FileEntry, Manifest
from store.rows import CELLS, batch_of
from store.sql import fingerprint_scheme, row_fingerprint

# Two files of one call with more than this share of identical rows are two deliveries of a month, not two parts of it.
_LARGEST_OVERLAP_FRACTION = 0.5
# Of more rows than this every 64th fingerprint is compared, which tells a share well enough.
_COMPARED_WHOLE_COUNT = 100_000
_COMPARED_OF = 64


class BatchKey(NamedTuple):
    """What a batch is of. Evidence of one gateway is apart from that of another, and from cost."""

    provider: str | None
    billing_account: str | None
    period_start: datetime  # naive UTC
    evidence_of: str = ""  # the statement, where it is evidence


@dataclass(slots=True)
class Sums:
    """What some rows add up to. A cost is None when no row has it."""

    scheme: str
    rows_count: int = 0
    uninvoiced_count: int = 0
    fingerprint: int = 0
    costs: dict[str, Decimal | None] = field(default_factory=lambda: dict.fromkeys(MONEY_COLUMNS))
    billed: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    files: set[int] = field(default_factory=set)
    periods: set[datetime] = field(default_factory=set)
    period_ends: set[datetime] = field(default_factory=set)

    def add(self, group: Row) -> None:
        self.rows_count += group.rows_count
        self.uninvoiced_count += group.uninvoiced_count
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
        return f"{self.scheme}:{self.rows_count}:{self.fingerprint:x}"

    def cost(self, name: str) -> Decimal | None:
        """One cost, None in several currencies: they are never added."""
        return self.costs[name] if len(self.billed) == 1 else None


def scheme_of(connection: Connection) -> str:
    return fingerprint_scheme(connection, len(CELLS))


def fingerprint(rows: FromClause) -> ColumnElement[int]:
    return row_fingerprint([rows.c[name] for name in CELLS])


def groups_of(connection: Connection, rows: FromClause) -> list[Row]:
    """The one pass: sums per file, batch and currency."""
    provider, account, period_start = batch_of(rows)
    currency = rows.c.BillingCurrency
    statement = select(
        rows.c.file_number,
        provider.label("provider"),
        account.label("billing_account"),
        period_start.label("period_start"),
        currency.label("currency"),
        func.max(rows.c.BillingPeriodEnd).label("period_end"),
        func.count().label("rows_count"),
        (func.count() - func.count(rows.c.InvoiceId)).label("uninvoiced_count"),
        func.sum(fingerprint(rows)).label("fingerprint"),
        *(func.sum(rows.c[name]).label(name) for name in MONEY_COLUMNS),
    ).group_by(rows.c.file_number, provider, account, period_start, currency)
    return list(connection.execute(statement))


def summed(connection: Connection, rows: FromClause) -> Sums:
    """All of these rows together."""
    sums = Sums(scheme_of(connection))
    for group in groups_of(connection, rows):
        sums.add(group)
    return sums


def sums_of(
    connection: Connection, arrival: FromClause, files: Mapping[int, FileEntry]
) -> tuple[dict[int, Sums], dict[BatchKey, Sums]]:
    """The sums of each file, and of each batch."""
    scheme = scheme_of(connection)
    by_file: dict[int, Sums] = {number: Sums(scheme) for number in files}
    by_batch: dict[BatchKey, Sums] = {}
    for group in groups_of(connection, arrival):
        entry = files[group.file_number]
        evidence_of = statement_of(entry) if entry.is_evidence else ""
        key = BatchKey(group.provider, group.billing_account, group.period_start, evidence_of)
        by_file[group.file_number].add(group)
        by_batch.setdefault(key, Sums(scheme)).add(group)
    return by_file, by_batch


def statement_of(entry: FileEntry) -> str:
    return entry.statement or entry.format_key


def check_totals(manifest: Manifest, by_file: Mapping[int, Sums]) -> None:
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


def check_overlap(connection: Connection, arrival: FromClause, manifest: Manifest, changed: Iterable[Sums]) -> None:
    """Refuse an original and its restatement given in one call: as parts of one delivery they would be summed.

    Files that are appended are not summed, and may overlap.
    """
    files = {entry.file_number: entry for entry in manifest.files if entry.delivery != APPEND}
    if all(len(sums.files & files.keys()) < 2 for sums in changed):
        return
    every = _COMPARED_OF if sum(entry.rows_count for entry in files.values()) > _COMPARED_WHOLE_COUNT else 1
    provider, account, period_start = batch_of(arrival)
    told = (provider.label("p"), account.label("a"), period_start.label("s"))
    prints = select(arrival.c.file_number, *told, fingerprint(arrival).label("row")).subquery()
    copies = (
        select(prints, func.count().label("n"))
        .where(prints.c.row % every == 0, prints.c.file_number.in_(list(files)))
        .group_by(*prints.c)
        .cte("copies")
    )
    one, other = copies.alias("one"), copies.alias("other")
    same_batch = and_(*(one.c[name].is_not_distinct_from(other.c[name]) for name in ("p", "a", "s")))
    common = (
        select(
            one.c.file_number, other.c.file_number.label("other_number"), one.c.s.label("period_start"),
            (func.sum(func.least(one.c.n, other.c.n)) * every).label("common_count"),
        )
        .join(other, and_(same_batch, one.c.row == other.c.row, one.c.file_number < other.c.file_number))
        .group_by(one.c.file_number, other.c.file_number, one.c.p, one.c.a, one.c.s)
    )  # fmt: skip
    about = "about " if every > 1 else ""
    for row in connection.execute(common):
        first, second = files[row.file_number], files[row.other_number]
        if row.common_count > _LARGEST_OVERLAP_FRACTION * min(first.rows_count, second.rows_count):
            raise BadRecord(
                f"{first.file_name} and {second.file_name} share {about}{row.common_count} identical rows of"
                f" {row.period_start:%Y-%m}: they look like two deliveries of one month, not two parts of it, and would"
                " be counted twice. Nothing is stored. Import them one after the other, the older first."
            )
