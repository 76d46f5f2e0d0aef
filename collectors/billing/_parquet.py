"""Parquet as chunks of cells that are spelled out as text only where somebody reads them as text."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Context, Decimal
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collectors.billing import _files
from collectors.billing._columns import CODED, recoded, texts_of_floats
from collectors.billing._tables import LARGEST_CELL_CHARACTERS, Chunk, check_columns
from collectors.billing.base import BillingSource
from costlib.billing import SMALLEST
from costlib.errors import BadRecord
from costlib.units import MEBI

# Half a row group of the database: few enough to be spelled out as text, where a format needs that.
CHUNK_ROWS = 61_440
# The largest double has 309 digits before the point.
_ANY_DOUBLE = Context(prec=400)


class ParquetCells(Sequence[str | None]):
    """A column. `values` are as the file has them; as a sequence it is what its cells would say in a CSV."""

    def __init__(self, values: pa.Array) -> None:
        self.values = values.storage if isinstance(values.type, pa.BaseExtensionType) else values

    def coded(self) -> pa.DictionaryArray:
        return self._coded

    @cached_property
    def _coded(self) -> pa.DictionaryArray:
        """Each different value is spelled out once."""
        if pa.types.is_nested(self.values.type):
            return _spelled(self.values).dictionary_encode()
        values = self.values if pa.types.is_dictionary(self.values.type) else self.values.dictionary_encode()
        return recoded(values.indices.cast(pa.int32()), _spelled(values.dictionary)) if values.type != CODED else values

    @cached_property
    def _texts(self) -> list[str | None]:
        different = np.array([*self._coded.dictionary.to_pylist(), None], object)
        texts: list[str | None] = different[self._coded.indices.fill_null(len(different) - 1).to_numpy()].tolist()
        return texts

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> str | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[str | None]: ...
    def __getitem__(self, index: int | slice) -> str | list[str | None] | None:
        return self._texts[index]

    def __iter__(self) -> Iterator[str | None]:
        return iter(self._texts)


def parquet_chunks(source: BillingSource) -> Iterator[Chunk]:
    schema = _files.open_parquet(source.path).schema_arrow
    check_columns(source, schema.names)
    binary = [field.name for field in schema if pa.types.is_floating(field.type)]
    if binary:
        source.notes["columns stored as binary floating point, taken at their shortest decimal"] += len(binary)
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_binary(field.type)]
    first_row = 1
    try:
        # Without pre_buffer, and through a buffer, a file is never in memory whole, however large its row groups are.
        with pq.ParquetFile(
            source.path,
            read_dictionary=texts,
            pre_buffer=False,
            buffer_size=MEBI,
            page_checksum_verification=True,
        ) as file:
            rows_count = file.metadata.num_rows
            for batch in file.iter_batches(CHUNK_ROWS):
                if batch.num_rows:
                    columns = {name: ParquetCells(values) for name, values in zip(schema.names, batch, strict=True)}
                    chunk = Chunk(source=source, columns=columns, first_row=first_row, lines=None)
                    _check_cells(chunk)
                    source.reading.fraction = (first_row - 1 + batch.num_rows) / rows_count
                    yield chunk
                first_row += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise BadRecord(
            f"{source.name}: after row {first_row - 1} the Parquet file is damaged ({error}); export it again"
        ) from error


def _check_cells(chunk: Chunk) -> None:
    for name, cells in chunk.columns.items():
        kind = cells.values.type
        if not (pa.types.is_dictionary(kind) or pa.types.is_nested(kind)):
            continue  # a number or a time is short
        texts = cells.coded()
        texts.dictionary.validate(full=True)  # is it UTF-8
        lengths = pc.utf8_length(texts.dictionary)
        longest = pc.max(lengths).as_py() or 0
        if longest > LARGEST_CELL_CHARACTERS:
            index = pc.index(texts.indices, pc.index(lengths, longest)).as_py()
            raise BadRecord(
                f"{chunk.place(index, name)}: a cell of {longest} characters; at most"
                f" {LARGEST_CELL_CHARACTERS} are read. Leave the column out of the export if it is not needed."
            )


def _spelled(values: pa.Array) -> pa.Array:
    """How values are written in a CSV."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_floating(kind):
        texts = texts_of_floats(values).to_pylist()
        return pa.array([None if text is None else _shortest_decimal(text) for text in texts], pa.string())
    text_of = _text_of(kind)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        values = values.cast(pa.timestamp("us", kind.tz), safe=False)  # Python has no finer ones
    return pa.array([text_of(_value(cell)) if cell.is_valid else None for cell in values], pa.string())


def _text_of(kind: pa.DataType) -> Callable[[Any], str]:
    if pa.types.is_map(kind):
        return lambda pairs: json.dumps(dict(pairs), ensure_ascii=False)
    if pa.types.is_nested(kind):
        return lambda value: json.dumps(value, ensure_ascii=False, default=str)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return lambda value: value.decode(errors="backslashreplace")
    if pa.types.is_decimal(kind):
        return lambda value: f"{value:f}"
    return _iso if pa.types.is_temporal(kind) else str


def _shortest_decimal(text: str) -> str:
    number = Decimal(text)
    return f"{number.quantize(SMALLEST, context=_ANY_DOUBLE) if number.is_finite() else number:f}"


def _value(cell: pa.Scalar) -> Any:
    try:
        return cell.as_py()
    except (ValueError, OverflowError):  # a time beyond the calendar: nobody will take it, but it has to be named
        return cell.cast(pa.int64()).as_py()


def _iso(value: date | datetime | int) -> str:
    return str(value) if isinstance(value, int) else value.isoformat()
