"""Where charges lie: in Parquet files, as they were delivered, beside the database that says which of them count.

A segment's rows become the store's by a second name for the same file, and a published snapshot reads them where they
lie: nothing is copied at import, at restatement or at publishing. No file is ever changed, and none goes while a batch
names it, superseded ones included.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import Column, Connection, Row, and_, func, or_, select, union_all
from sqlalchemy.sql import ColumnElement, FromClause

from costlib.billing import FOCUS_COLUMNS
from store.durable import move_into_place
from store.inbox import SEGMENT_ROWS
from store.schema import SCHEMA_VERSION, charge, import_batch
from store.sql import create_view, parquet_rows

CELLS = (*FOCUS_COLUMNS, "extra")
_PLACED = ("file_number", "row_number", *CELLS)
_SUFFIX = ".parquet"
# Every column and no row: files of older versions lack columns, and a question needs a file.
_NO_ROWS = f"none.v{SCHEMA_VERSION}{_SUFFIX}"
_ORPHANS_KEPT = timedelta(days=1)


def prepare(connection: Connection, folder: Path, now: datetime) -> None:
    """Call when the store is opened for writing: makes what reading needs, and removes files that no batch names."""
    none = folder / _NO_ROWS
    if not none.exists():
        building = none.with_name(f".{none.name}.building")
        pq.write_table(SEGMENT_ROWS.empty_table(), building)
        move_into_place(building, none)
    named = set(connection.scalars(select(import_batch.c.rows_file))) | {_NO_ROWS}
    for path in folder.iterdir():
        # What went a moment ago may be read by whoever has an older snapshot open.
        if path.name not in named and path.stat().st_mtime < (now - _ORPHANS_KEPT).timestamp():
            path.unlink()
    show_all(connection, folder)


def show_all(connection: Connection, folder: Path) -> None:
    """`charge` as a view of the writer's connection, for audit: every row ever imported, with its batch."""
    rows = rows_at(folder, [folder / f"*{_SUFFIX}"])
    is_alone = import_batch.c.rows_count == import_batch.c.file_rows_count
    named = func.parse_filename(rows.c.filename) == import_batch.c.rows_file
    joined = rows.join(import_batch, and_(named, or_(is_alone, is_of(rows, import_batch.c))))
    create_view(
        connection,
        charge.name,
        select(import_batch.c.batch_id, *(rows.c[name] for name in _PLACED)).select_from(joined),
    )


def rows_file(name: str) -> str:
    return name + _SUFFIX


def rows_at(folder: Path, paths: Iterable[Path], name: str = "charge") -> FromClause:
    """The rows of these files, in the columns of `charge` without its batch; also `filename`, `file_row_number`."""
    columns = (Column(item, charge.c[item].type) for item in _PLACED)
    return parquet_rows([folder / _NO_ROWS, *paths], columns, name)


def batch_of(rows: FromClause) -> tuple[ColumnElement, ColumnElement, ColumnElement]:
    """What a row says of its batch: provider, billing account, start of the billing period."""
    return (
        func.coalesce(rows.c.ProviderName, rows.c.InvoiceIssuerName),
        rows.c.BillingAccountId,
        rows.c.BillingPeriodStart,
    )


def is_of(rows: FromClause, batch: Any) -> ColumnElement[bool]:
    """Whether a row bears the provider, account and period of `batch`: a row of `import_batch`, or its columns."""
    told = (batch.provider, batch.billing_account, batch.period_start)
    return and_(*(theirs.is_not_distinct_from(mine) for theirs, mine in zip(batch_of(rows), told, strict=True)))


def charges_of(folder: Path, batches: Sequence[Row]) -> FromClause:
    """The charges that these rows of `import_batch` stand for. A file that counts whole is read without looking at
    whose each row is."""
    by_file: dict[str, list[Row]] = defaultdict(list)
    for batch in batches:
        by_file[batch.rows_file].append(batch)
    whole = [name for name, own in by_file.items() if sum(row.rows_count for row in own) == own[0].file_rows_count]
    rows = rows_at(folder, [folder / name for name in whole])
    found = select(*(rows.c[name] for name in _PLACED))
    parts = [batch for name, own in by_file.items() if name not in whole for batch in own]
    if parts:
        chosen = by_batch(folder, parts)
        found = union_all(found, select(*(chosen.c[name] for name in _PLACED)))
    return found.subquery("charge")


def by_batch(folder: Path, batches: Sequence[Row]) -> FromClause:
    """The charges of these batches, each with its `batch_id`."""
    alone = [batch for batch in batches if batch.rows_count == batch.file_rows_count]
    shared = [batch for batch in batches if batch.rows_count != batch.file_rows_count]
    parts = []
    for own, has_key in ((alone, False), (shared, True)):
        rows = rows_at(folder, sorted({folder / batch.rows_file for batch in own}))
        named = func.concat(f"{folder}/", import_batch.c.rows_file) == rows.c.filename
        joined = rows.join(import_batch, and_(named, is_of(rows, import_batch.c)) if has_key else named)
        wanted = import_batch.c.batch_id.in_([batch.batch_id for batch in own])
        parts.append(
            select(import_batch.c.batch_id, *(rows.c[name] for name in _PLACED)).select_from(joined).where(wanted)
        )
    return union_all(*parts).subquery("charge")
