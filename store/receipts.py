"""What became of each file of a segment, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Row

from store.arrival import BatchKey, Sums
from store.batches import who
from store.inbox import FileEntry
from store.records import ImportReceipt, ImportStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one batch. Without `batch_id` nothing changed."""

    batch_id: str = ""
    is_pending: bool = False  # it waits, or these rows wait already
    replaced: tuple[Row, ...] = ()
    added_to: Row | None = None  # the batch that the rows of this one were added to
    newer: Row | None = None  # what took the place of these rows before
    rows_count: int = 0  # of the batch


def receipt_of(
    entry: FileEntry, sums: Sums, by_batch: Mapping[BatchKey, Sums], outcomes: Mapping[BatchKey, Outcome]
) -> ImportReceipt:
    own = [outcomes[key] for key, batch in by_batch.items() if entry.file_number in batch.files]
    made = [outcome for outcome in own if outcome.batch_id]
    periods = tuple(sorted({f"{start:%Y-%m}" for start in sums.periods}))
    rows = f"{sums.rows_count} rows of {', '.join(periods)}"
    if any(not outcome.is_pending for outcome in made):
        status, first = ImportStatus.IMPORTED, f"{rows} stored"
    elif made:
        status, first = ImportStatus.PENDING, f"{rows} kept apart, and no total changes"
    else:
        status, first = ImportStatus.ALREADY_IMPORTED, "the same rows were imported before; nothing is added"
    notes = [f"{count} {what}" for what, count in entry.notes.items()]
    return ImportReceipt(
        file_name=entry.file_name,
        format_key=entry.format_key,
        status=status,
        detail="; ".join([first, *(said for outcome in own for said in _sayings(outcome)), *notes]),
        rows_count=sums.rows_count,
        billed_cost=sums.cost("BilledCost"),
        effective_cost=sums.cost("EffectiveCost"),
        list_cost=sums.cost("ListCost"),
        contracted_cost=sums.cost("ContractedCost"),
        currency=sums.currency,
        periods=periods,
        superseded=tuple(batch.batch_id for outcome in made for batch in outcome.replaced),
    )


def _sayings(outcome: Outcome) -> list[str]:
    if outcome.newer:
        return [_staleness(outcome.newer)]
    if outcome.is_pending:
        return ["the month is locked: the rows wait beside it until `permillion reconcile --accept`"]
    if outcome.added_to:
        return [_addition(outcome.added_to, outcome.rows_count)]
    return [_replacement(batch) for batch in outcome.replaced]


def _addition(old: Row, rows_count: int) -> str:
    return (
        f"with the {old.rows_count} rows of {old.period_start:%Y-%m} from {who(old)} that came with {old.file_names}"
        f" there are {rows_count} now"
    )


def _replacement(old: Row) -> str:
    return (
        f"replaces the {old.rows_count} rows of {old.period_start:%Y-%m} from {who(old)} that came"
        f" with {old.file_names} (parts of one export must be imported in one call)"
    )


def _staleness(newer: Row) -> str:
    return (
        f"its delivery of {newer.period_start:%Y-%m} was replaced by {newer.file_names}"
        f" on {newer.imported_at:%Y-%m-%d}, and an older delivery does not replace a newer one"
    )
