"""Parquet as chunks of text cells."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from collectors.billing import _files
from collectors.billing._tables import CHUNK_ROWS, Cells, Chunk, check_cells, check_columns
from collectors.billing.base import BillingSource
from costlib.billing import SMALLEST
from costlib.errors import BadRecord

# The largest double has 309 digits before the point.
_ANY_DOUBLE = Context(prec=400)


def parquet_chunks(source: BillingSource) -> Iterator[Chunk]:
    file = _files.open_parquet(source.path)
    schema = file.schema_arrow
    check_columns(source, schema.names)
    texts = {field.name: _text_of(field.type) for field in schema}
    binary = [field.name for field in schema if pa.types.is_floating(field.type)]
    if binary:
        source.notes["columns stored as binary floating point, taken at their shortest decimal"] += len(binary)
    first_row = 1
    try:
        for batch in file.iter_batches(CHUNK_ROWS):
            columns: dict[str, Cells] = {
                name: [None if value is None else texts[name](value) for value in _plain(column).to_pylist()]
                for name, column in zip(schema.names, batch.columns, strict=True)
            }
            chunk = Chunk(source=source, columns=columns, first_row=first_row, lines=None)
            if chunk.rows_count:
                check_cells(chunk)
                yield chunk
            first_row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise BadRecord(
            f"{source.name}: after row {first_row - 1} the Parquet file is damaged ({error}); export it again"
        ) from error


def _plain(column: pa.Array) -> pa.Array:
    """Times to the microsecond: Python has no finer ones."""
    return column.cast(pa.timestamp("us", column.type.tz), safe=False) if pa.types.is_timestamp(column.type) else column


def _text_of(kind: pa.DataType) -> Callable[[Any], str]:
    """How a value of this Arrow type is written in a CSV."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_floating(kind):
        return _shortest_decimal
    if pa.types.is_map(kind):
        return lambda pairs: json.dumps(dict(pairs), ensure_ascii=False)
    if pa.types.is_nested(kind):
        return lambda value: json.dumps(value, ensure_ascii=False, default=str)
    if pa.types.is_temporal(kind):
        return _iso
    return str


def _shortest_decimal(value: float) -> str:
    """0.1 for the double nearest to 0.1. What it has beyond 18 decimals is below a double's own uncertainty."""
    number = Decimal(repr(value))
    return f"{number.quantize(SMALLEST, context=_ANY_DOUBLE) if number.is_finite() else number:f}"


def _iso(value: date | datetime) -> str:
    return value.isoformat()
