"""What an import would make of a file, from its first rows: which of its columns becomes which, and the charges."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from collectors.billing import format_of
from collectors.billing._read import read_table
from collectors.billing._tables import Chunk
from collectors.billing._typed import time_from
from collectors.billing.base import BillingSource
from costlib.billing import FOCUS_COLUMNS, decimal_from, exact_text
from costlib.errors import BadRecord

_FOCUS_NAMES = {name.casefold(): name for name in FOCUS_COLUMNS}
# Rows by which a column is recognised again in what was made of it.
_COMPARED_ROWS_COUNT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`columns` pairs each column of the file with the FOCUS columns that have its values, with "extra" when it is only
    kept, or with "" when it is empty or goes into others. `rows` are the first charges, as text, without what is null.
    """

    format_key: str
    label: str
    columns: tuple[tuple[str, str], ...]
    rows: list[dict[str, str]]
    notes: Mapping[str, int]


def preview(
    path: Path,
    format_key: str | None = None,
    currency: str | None = None,
    mapping: Path | None = None,
    rows: int = 20,
) -> Preview:
    """Nothing is stored, and of a large file only the beginning is read, so what is wrong further on is not seen.

    Raises    BadRecord or UnknownKey, as an import of it would
    """
    source = BillingSource(path=path, currency=currency, mapping=mapping)
    billing_format = format_of(source, format_key)
    batch = next(billing_format.parse(source), None)
    if batch is None:
        raise BadRecord(f"{source.name} has a header and no rows; there is nothing to import")
    return Preview(
        format_key=billing_format.key,
        label=billing_format.label,
        columns=_columns(source, batch.slice(0, _COMPARED_ROWS_COUNT)),
        rows=[_texts(row) for row in batch.slice(0, rows).to_pylist()],
        notes=dict(source.notes),
    )


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in row.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return exact_text(value)
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else str(value)


def _columns(source: BillingSource, batch: pa.RecordBatch) -> tuple[tuple[str, str], ...]:
    chunk = _first_chunk(source)
    if chunk is None:
        return ()
    places = [row - chunk.first_row for row in batch["row_number"].to_pylist()]
    made = {name: batch[name].to_pylist() for name in FOCUS_COLUMNS}
    kept = {name for text in set(batch["extra"].to_pylist()) - {None} for name in json.loads(text)}
    shown = []
    for name, cells in chunk.columns.items():
        theirs = [cells[place] if 0 <= place < len(cells) else None for place in places]
        same = [focus for focus, values in made.items() if _say_the_same(theirs, values)]
        if (own := _FOCUS_NAMES.get(name.casefold())) in same:
            same = [own]
        shown.append((name, "extra" if name in kept else ", ".join(same)))
    return tuple(shown)


def _first_chunk(source: BillingSource) -> Chunk | None:
    """The file as a table; None when it is none, but JSON or TOML."""
    try:
        chunk = next(read_table(BillingSource(path=source.path)), None)
    except BadRecord:
        return None
    return chunk if chunk and len(chunk.columns) > 1 else None


def _say_the_same(cells: Sequence[str | None], values: Sequence[Any]) -> bool:
    pairs = [(cell, value) for cell, value in zip(cells, values, strict=True) if cell or value is not None]
    return bool(pairs) and all(
        cell is not None and value is not None and _reads_as(cell, value) for cell, value in pairs
    )


def _reads_as(cell: str, value: object) -> bool:
    if cell == value:
        return True
    try:
        if isinstance(value, Decimal):
            return decimal_from(cell.strip()) == value
        return isinstance(value, datetime) and time_from(cell.strip()) == value
    except BadRecord:
        return False
