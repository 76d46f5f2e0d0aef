"""A file as chunks of text cells: what a CSV says, or what a Parquet value would say in one. Nothing is guessed."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa

from collectors.billing import _files
from collectors.billing.base import BillingSource
from costlib.billing import SMALLEST
from costlib.errors import BadRecord
from costlib.units import KIBI

CHUNK_ROWS = 20_000
LARGEST_CELL_CHARACTERS = 64 * KIBI
LARGEST_COLUMNS_COUNT = 2_000
# The largest double has 309 digits before the point.
_ANY_DOUBLE = Context(prec=400)

Cells = Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file, column by column. Row numbers count data rows from 1, lines the lines of a text file."""

    source: BillingSource
    columns: dict[str, Cells]
    first_row: int
    lines: Sequence[int] | None  # the last line of each row; None for a file without lines

    @property
    def rows_count(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, index: int, column: str) -> str:
        """Where a cell is, for a message."""
        line = f" (line {self.lines[index]})" if self.lines else ""
        return f"{self.source.name}: row {self.first_row + index}{line}, column {column}"


def read_table(source: BillingSource) -> Iterator[Chunk]:
    """The rows of a CSV, gzipped or not, or of a Parquet file. Raises BadRecord for what is no whole table."""
    return _parquet_chunks(source) if _files.is_parquet(source.path) else _csv_chunks(source)


def header_of(head: bytes) -> list[str]:
    """The column names in the first bytes of a CSV; empty when they are none."""
    try:
        first = head.decode("utf-8-sig", errors="ignore").splitlines()[:1]
        return next(csv.reader(first, strict=True), [])
    except csv.Error:
        return []


def _check_columns(source: BillingSource, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadRecord(
            f"{source.name} has the column {', '.join(map(repr, twice))} more than once, so its values mean two things;"
            " export it again with each column once"
        )
    if len(names) > LARGEST_COLUMNS_COUNT:
        raise BadRecord(f"{source.name} has {len(names)} columns; at most {LARGEST_COLUMNS_COUNT} are read")


# CSV ------------------------------------------------------------------------------------------------------------------


def _csv_chunks(source: BillingSource) -> Iterator[Chunk]:
    with _files.open_bytes(source.path) as file:
        watched = _LastByte(file)
        # utf-8-sig drops a byte order mark; newline="" leaves line breaks inside quotes to the csv module.
        text = io.TextIOWrapper(io.BufferedReader(watched), encoding="utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        names: list[str] = []
        rows: list[list[str]] = []
        lines: list[int] = []
        first_row = 1
        try:
            names = next(reader, [])
            _check_columns(source, names)
            for row in reader:
                if len(row) != len(names):
                    if not row:
                        continue  # a blank line
                    raise BadRecord(_ragged(source, first_row + len(rows), reader.line_num, row, names))
                if len(rows) == CHUNK_ROWS:  # only now that another row follows: the last row is judged below
                    yield _chunk(source, names, rows, lines, first_row)
                    first_row += len(rows)
                    rows, lines = [], []
                rows.append(row)
                lines.append(reader.line_num)
        except csv.Error as error:
            raise BadRecord(
                f"{source.name}: row {first_row + len(rows)} (line {reader.line_num}) is no CSV: {error}."
                " The file is cut off, or a quote in it is not doubled; export it again."
            ) from error
        except UnicodeDecodeError as error:
            raise BadRecord(
                f"{source.name}: after line {reader.line_num} comes a byte that is not UTF-8"
                f" ({error.object[error.start : error.start + 1]!r}); save the file as UTF-8"
            ) from error
        if rows:
            if watched.last_byte not in (b"\n", b"\r"):
                source.notes["file without a line break at its end"] += 1
                if watched.last_byte != b'"':
                    _refuse_cut_number(source, rows[-1], names, first_row + len(rows) - 1)
            yield _chunk(source, names, rows, lines, first_row)


def _chunk(
    source: BillingSource, names: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int], first_row: int
) -> Chunk:
    chunk = Chunk(
        source=source, columns=dict(zip(names, zip(*rows, strict=True), strict=True)), first_row=first_row, lines=lines
    )
    _check_cells(chunk)
    return chunk


def _check_cells(chunk: Chunk) -> None:
    for name, cells in chunk.columns.items():
        if max(map(len, filter(None, cells)), default=0) > LARGEST_CELL_CHARACTERS:
            index = next(i for i, cell in enumerate(cells) if len(cell or "") > LARGEST_CELL_CHARACTERS)
            raise BadRecord(
                f"{chunk.place(index, name)}: a cell of {len(cells[index] or '')} characters; at most"
                f" {LARGEST_CELL_CHARACTERS} are read. Leave the column out of the export if it is not needed."
            )


def _ragged(source: BillingSource, row: int, line: int, cells: Sequence[str], names: Sequence[str]) -> str:
    return (
        f"{source.name}: row {row} (line {line}) has {len(cells)} cells where the header has {len(names)}."
        " The file is cut off there, or a cell with a comma is not quoted; nothing is stored. Export it again."
    )


def _refuse_cut_number(source: BillingSource, row: Sequence[str], names: Sequence[str], number: int) -> None:
    """Without a line break or a quote after it, 12.5 at the very end may be what is left of 12.59."""
    last = row[-1]
    if not last or last[-1] in "0123456789.":
        raise BadRecord(
            f"{source.name}: row {number}, column {names[-1]}: the file ends in {last[-40:]!r} without a line break,"
            " so it may be cut off in the middle of a number. Export it again, or add a line break if it is whole."
        )


class _LastByte(io.RawIOBase):
    """Passes bytes through and remembers the last one."""

    def __init__(self, file: Any) -> None:
        self._file, self.last_byte = file, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        self.last_byte = data[-1:] or self.last_byte
        buffer[: len(data)] = data
        return len(data)


# Parquet --------------------------------------------------------------------------------------------------------------


def _parquet_chunks(source: BillingSource) -> Iterator[Chunk]:
    file = _files.open_parquet(source.path)
    schema = file.schema_arrow
    _check_columns(source, schema.names)
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
                _check_cells(chunk)
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
