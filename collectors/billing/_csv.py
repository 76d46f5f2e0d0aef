"""CSV, gzipped or not, as chunks of text cells."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from collectors.billing import _files
from collectors.billing._tables import CHUNK_ROWS, Chunk, check_cells, check_columns
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord


def header_of(head: bytes) -> list[str]:
    """The column names in the first bytes of a CSV; empty when they are none."""
    try:
        first = head.decode("utf-8-sig", errors="ignore").splitlines()[:1]
        return next(csv.reader(first, strict=True), [])
    except csv.Error:
        return []


def csv_chunks(source: BillingSource) -> Iterator[Chunk]:
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
            check_columns(source, names)
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
    check_cells(chunk)
    return chunk


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
