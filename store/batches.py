"""Which batch stands for a billing period: one is active, or waits beside a locked one, and the others are history."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Row, select, update

from costlib.errors import BadRecord
from store.arrival import BatchKey, Sums, scheme_of, statement_of, summed
from store.inbox import Manifest
from store.rows import charges_of
from store.schema import import_batch

ACTIVE, PENDING, SUPERSEDED = "active", "pending", "superseded"


@dataclass(slots=True, kw_only=True)
class Period:
    """What is known of one provider, account and billing period before a delivery of it is stored."""

    key: BatchKey
    statement: str  # of the delivery
    is_locked: bool
    batches: Sequence[Row] = ()  # every one there ever was
    rivals: Sequence[Row] = ()  # active or pending ones of another statement of the same money

    def _one(self, status: str) -> Row | None:
        return next((batch for batch in self.batches if batch.status == status), None)

    @property
    def active(self) -> Row | None:
        return self._one(ACTIVE)

    @property
    def pending(self) -> Row | None:
        return self._one(PENDING)

    @property
    def base(self) -> Row | None:
        """What a delivery that adds to the one before adds to."""
        standing = (self.pending if self.is_locked else None) or self.active
        return standing if standing and standing.statement == self.statement else None

    @property
    def replaced(self) -> list[Row]:
        """What the next batch takes the place of: of a locked period only what waits."""
        standing = [self.pending] if self.is_locked else [self.active, self.pending, *self.rivals]
        return [batch for batch in standing if batch is not None]

    def same(self, digest: str) -> Row | None:
        """The batch that stands, or waits, and is made of these very rows, or came with them."""
        standing = (self.active, self.pending if self.is_locked else None)
        return next((batch for batch in standing if batch and digest in (batch.digest, batch.arrived_digest)), None)

    def newer(self, digest: str) -> Row | None:
        """What has taken the place of these rows: an older delivery never replaces a newer one."""
        if any(digest == batch.arrived_digest for batch in self.batches if batch.status == SUPERSEDED):
            return (self.pending if self.is_locked else None) or self.active
        return None


def periods(
    connection: Connection, folder: Path, statements: Mapping[BatchKey, str], is_locked: Callable[[BatchKey], bool]
) -> dict[BatchKey, Period]:
    """What is known of the periods that these statements are of."""
    own: dict[BatchKey, list[Row]] = defaultdict(list)
    costs: dict[datetime, list[Row]] = defaultdict(list)
    for batch in _of_scheme(connection, folder, {key.period_start for key in statements}):
        own[key_of(batch)].append(batch)
        if batch.status != SUPERSEDED:
            costs[batch.period_start].append(batch)
    return {
        key: Period(
            key=key,
            statement=statement,
            is_locked=is_locked(key),
            batches=own[key],
            rivals=_rivals(key, statement, costs[key.period_start]),
        )
        for key, statement in statements.items()
    }


def key_of(batch: Row) -> BatchKey:
    evidence_of = batch.statement if batch.is_evidence else ""
    return BatchKey(batch.provider, batch.billing_account, batch.period_start, evidence_of)


def statements_of(manifest: Manifest, arrived: Mapping[BatchKey, Sums]) -> dict[BatchKey, str]:
    """Whose account of the money each batch is. Raises BadRecord for two of them of the same money in one call."""
    entries = {entry.file_number: entry for entry in manifest.files}
    found: dict[BatchKey, str] = {}
    told: dict[tuple, str] = {}
    for key, sums in arrived.items():
        for number in sorted(sums.files):
            found[key] = statement_of(entries[number])
            other = told.setdefault((_payer(key), key.period_start), found[key])
            if other != found[key]:
                raise BadRecord(
                    f"{entries[number].file_name} is a {found[key]} statement of {_name(key)}, and another file of the"
                    f" same call a {other} statement; nothing is stored. Import the two by themselves."
                )
    return found


def refuse_second_statement(period: Period, file_name: str) -> None:
    """One statement counts for an account and period: the same money told by two exports would be counted twice."""
    for rival in period.rivals:
        raise BadRecord(
            f"{file_name} is a {period.statement} statement of {_name(period.key)}, which {rival.file_names} has told"
            f" already as {rival.statement} ({rival.rows_count} rows): both together would count the same money twice."
            " Nothing is stored. Stay with one of the two, or give --replace to let the new one count instead."
        )


def supersede(connection: Connection, batch_id: str, replaced: Sequence[Row], now: datetime) -> None:
    """The batch of this id takes the place of these."""
    if replaced:
        old = import_batch.c.batch_id.in_([row.batch_id for row in replaced])
        connection.execute(
            update(import_batch).where(old).values(status=SUPERSEDED, superseded_at=now, superseded_by=batch_id)
        )


def accept(connection: Connection, waiting: Iterable[Row], now: datetime) -> None:
    """Pending batches take the place of what they wait beside."""
    standing = list(connection.execute(select(import_batch).where(import_batch.c.status == ACTIVE)))
    for batch in waiting:
        key = key_of(batch)
        old = [row for row in standing if key_of(row) == key]
        old += _rivals(key, batch.statement, [row for row in standing if row.period_start == key.period_start])
        supersede(connection, batch.batch_id, old, now)
        own = import_batch.c.batch_id == batch.batch_id
        connection.execute(update(import_batch).where(own).values(status=ACTIVE))


def who(batch: Row | BatchKey) -> str:
    return " ".join(part for part in (batch.provider, batch.billing_account) if part) or "an unnamed provider"


def _name(key: BatchKey) -> str:
    return f"{who(key)} for {key.period_start:%Y-%m}"


def _rivals(key: BatchKey, statement: str, batches: Sequence[Row]) -> list[Row]:
    """Of these batches of a period those that tell the same cost."""
    if key.evidence_of:
        return []
    return [
        batch
        for batch in batches
        if not batch.is_evidence and batch.statement != statement and _payer(batch) == _payer(key)
    ]


def _payer(of: Row | BatchKey) -> tuple[bool, str | None]:
    """Whose bill it is, as every export spells it: by the account, of which some give the whole path and some only the
    last part; a provider goes by several names, and counts where there is no account."""
    account = of.billing_account
    return account is not None, of.provider if account is None else account.rstrip("/").rpartition("/")[2].lower()


def _of_scheme(connection: Connection, folder: Path, starts: set[datetime]) -> list[Row]:
    """The batches of these periods. Those whose digest was made under another scheme get it anew, from their rows."""
    of_periods = select(import_batch).where(import_batch.c.period_start.in_(starts))
    scheme = scheme_of(connection)
    outdated = [row for row in connection.execute(of_periods) if not row.digest.startswith(f"{scheme}:")]
    for batch in outdated:
        digest = summed(connection, charges_of(folder, [batch])).digest
        own = import_batch.c.batch_id == batch.batch_id
        connection.execute(update(import_batch).where(own).values(digest=digest, arrived_digest=digest))
    return list(connection.execute(of_periods))
