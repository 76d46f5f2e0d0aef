"""CSV, packed or not, as chunks of text cells. How it is written is decided on its first megabyte, and then held."""

import csv
import io
from collections.abc import Container, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, islice, product
from pathlib import Path
from typing import IO, Any

from collectors.billing import _files, _tables
from collectors.billing._tables import Cells, Chunk, check_cells, check_columns
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord
from costlib.units import MEBI

_DECIDED_ON_BYTES = MEBI
_BLOCK_ROWS = 1_000
_DELIMITERS = ",;\t|"
_QUOTES = "\"'"
# Of the whole process; what is too long for a cell of ours is refused by column, so this only has to be larger.
csv.field_size_limit(16 * MEBI)

_Rows = list[tuple[list[str], int]]  # and the line on which each ends


class Dialect(csv.Dialect):
    """A quoted delimiter is part of a cell, a doubled quote is a quote, and nothing else is special."""

    def __init__(self, delimiter: str = ",", quotechar: str = '"') -> None:
        self.delimiter, self.quotechar = delimiter, quotechar
        super().__init__()

    delimiter = ","
    quotechar = '"'
    lineterminator = "\n"
    quoting = csv.QUOTE_MINIMAL
    doublequote = True
    skipinitialspace = False
    strict = True


def header_of(head: bytes) -> list[str]:
    """The column names in the first bytes of a CSV; empty when they are none."""
    return list(_header(head))


@lru_cache(maxsize=4)  # every format asks for the same file's
def _header(head: bytes) -> tuple[str, ...]:
    text = head.decode("utf-8-sig", errors="ignore")
    try:
        return tuple(next(csv.reader(io.StringIO(text, newline=""), dialect_of(text)), ()))
    except csv.Error:
        return ()


def dialect_of(text: str) -> Dialect:
    """The delimiter and quote with which the rows of `text` have as many cells as its header, and most of them.

    Where nothing fits every row, the file is bad: then what gives the widest header, so that the bad row is named.

    >>> dialect_of("a;b;c\\n1,5;2,5;x\\n").delimiter
    ';'
    """
    # The last line may be cut: it decides nothing unless it is the only one.
    whole = text[: text.rfind("\n") + 1] or text[: text.rfind("\r") + 1] or text
    candidates = [Dialect(delimiter, quote) for quote, delimiter in product(_QUOTES, _DELIMITERS)]
    return max(candidates, key=lambda dialect: _fit(whole, dialect))


def _fit(text: str, dialect: Dialect) -> tuple[bool, int]:
    reader = csv.reader(io.StringIO(text, newline=""), dialect)
    columns_count = 0
    try:
        columns_count = len(next(reader, []))
        fits = all(len(row) == columns_count for row in reader if row)
    except csv.Error:
        # At the end it is a quoted cell that the cut goes through; before, it is no such file.
        fits = reader.line_num >= text.count("\n")
    return fits and columns_count > 1, columns_count


def csv_chunks(
    source: BillingSource, encoding: str = "utf-8-sig", only: Container[str] | None = None
) -> Iterator[Chunk]:
    """The rows of a CSV, or of all CSV files in an archive, which must have the same columns.

    only    the columns to read; the others are dropped before anything looks at them
    """
    header: list[str] | None = None
    first_row = 1
    file_bytes = None if _files.is_packed(source.path) else source.path.stat().st_size
    for name, file in _files.open_members(source.path):
        with file:
            table = _Table(source, name, file, encoding, only)
            for chunk in table.chunks(first_row):
                first_row += chunk.rows_count
                if file_bytes:
                    source.reading.fraction = min(1.0, table.read_bytes / file_bytes)
                yield chunk
            if header is not None and table.names != header:
                raise BadRecord(
                    f"{name} has other columns than the file before it in the archive; import each by itself"
                )
            header = table.names


class _Table:
    """One CSV text."""

    def __init__(
        self, source: BillingSource, name: str, file: IO[bytes], encoding: str, only: Container[str] | None
    ) -> None:
        self._source, self._name, self._only = source, name, only
        self._watched = _Watched(file)
        buffered = io.BufferedReader(self._watched, buffer_size=_DECIDED_ON_BYTES)
        first = buffered.peek(_DECIDED_ON_BYTES)
        codec = encoding.removesuffix("-sig") if not first.startswith(b"\xef\xbb\xbf") else "utf-8-sig"
        self._encoding = codec
        dialect = dialect_of(first.decode(codec, errors="replace"))
        # newline="" leaves line breaks inside quotes to the csv module.
        self._reader = csv.reader(io.TextIOWrapper(buffered, encoding=codec, newline=""), dialect)
        self._quote = dialect.quotechar.encode()
        self.names: list[str] = []
        self._row = 0  # of this file, from 1

    @property
    def read_bytes(self) -> int:
        return self._watched.read_bytes

    def chunks(self, first_row: int) -> Iterator[Chunk]:
        try:
            yield from self._chunks(first_row)
        except csv.Error as error:
            raise BadRecord(
                f"{self._name}: row {self._row + 1} (line {self._reader.line_num}) is no CSV: {error}."
                " The file is cut off, or a quote in it is not doubled; export it again."
            ) from error
        except UnicodeDecodeError as error:
            raise BadRecord(self._not_text(error)) from error

    def _chunks(self, first_row: int) -> Iterator[Chunk]:
        self.names = next(self._reader, [])
        check_columns(self._source, self.names)
        kept = [i for i, name in enumerate(self.names) if self._only is None or name in self._only]
        # By column already here: rows that are kept alive by the thousand keep the garbage collector busy.
        cells: list[list[str]] = [[] for _ in kept]
        lines: list[int] = []
        read_bytes = self._watched.read_bytes
        block: _Rows = []
        while found := self._block(min(_BLOCK_ROWS, _tables.CHUNK_ROWS)):
            block = found
            # Only now that more rows follow: the last are judged below.
            is_long = self._watched.read_bytes - read_bytes > _tables.CHUNK_BYTES
            if lines and (is_long or len(lines) + len(block) > _tables.CHUNK_ROWS):
                yield self._chunk(kept, cells, lines, first_row)
                first_row += len(lines)
                cells, lines, read_bytes = [[] for _ in kept], [], self._watched.read_bytes
            columns = list(zip(*(row for row, _ in block), strict=True))
            for column, i in zip(cells, kept, strict=True):
                column.extend(columns[i])
            lines.extend(line for _, line in block)
        if lines:
            self._refuse_cut_number([row for row, _ in block])
            yield self._chunk(kept, cells, lines, first_row)

    def _block(self, rows_count: int) -> _Rows:
        """The next rows that are not blank, and the line on which each ends; empty at the end of the file."""
        found: _Rows = []
        while not found:
            line = self._reader.line_num
            rows: list[list[str]] = []
            try:
                rows.extend(islice(self._reader, rows_count))
            except (csv.Error, UnicodeDecodeError):
                self._checked(rows, line)  # what is wrong before it is said first
                raise
            if not rows:
                break
            found = self._checked(rows, line)
        return found

    def _checked(self, rows: list[list[str]], line: int) -> _Rows:
        """Rows after `line` with the lines on which they end. Raises BadRecord for the first that is none."""
        if self._reader.line_num - line == len(rows):
            lines: Iterable[int] = range(line + 1, line + 1 + len(rows))
        else:
            lines = accumulate((1 + sum(map(_breaks, row)) for row in rows), initial=line)
            next(iter(lines))
        found = list(zip(rows, lines, strict=True))
        if set(map(len, rows)) != {len(self.names)} or self.names in rows:
            found = [(row, line) for row, line in found if row]
            for index, (row, line) in enumerate(found):
                self._check_row(row, line, self._row + index + 1)
        self._row += len(found)
        return found

    def _check_row(self, row: list[str], line: int, number: int) -> None:
        if len(row) != len(self.names):
            raise BadRecord(
                f"{self._name}: row {number} (line {line}) has {len(row)} cells where the header has"
                f" {len(self.names)}. The file is cut off there, or a cell with a comma is not quoted; nothing is"
                " stored. Export it again."
            )
        if row == self.names:
            raise BadRecord(
                f"{self._name}: line {line} is the header again: two exports were joined. Import each by itself."
            )

    def _chunk(self, kept: Sequence[int], cells: Sequence[Cells], lines: Sequence[int], first_row: int) -> Chunk:
        columns = dict(zip((self.names[i] for i in kept), cells, strict=True))
        chunk = Chunk(source=self._source, columns=columns, first_row=first_row, lines=lines, file_name=self._name)
        check_cells(chunk)
        return chunk

    def _refuse_cut_number(self, rows: Sequence[Sequence[str]]) -> None:
        """Without a line break or a quote after it, 12.5 at the very end may be what is left of 12.59."""
        if self._watched.last_byte in (b"\n", b"\r"):
            return
        self._source.notes["file without a line break at its end"] += 1
        last = rows[-1][-1]
        is_quoted = self._watched.last_byte == self._quote
        is_used = any(row[-1] for row in rows)  # a last column that nothing uses cannot have been cut off
        if is_used and not is_quoted and (not last or last[-1] in "0123456789."):
            raise BadRecord(
                f"{self._name}: row {self._row}, column {self.names[-1]}: the file ends in {last[-40:]!r} without a"
                " line break, so it may be cut off in the middle of a number. Export it again, or add a line break if"
                " it is whole."
            )

    def _not_text(self, error: UnicodeDecodeError) -> str:
        """Text is decoded in blocks, so the line of the bad byte is looked up only now."""
        line, byte = _first_bad_line(self._source.path, self._name, self._encoding)
        return (
            f"{self._name}: line {line} has the byte {byte!r}, which is not {error.encoding.upper()};"
            " save the file as UTF-8, or name its encoding in a mapping"
        )


def _first_bad_line(path: Path, name: str, encoding: str) -> tuple[int, bytes]:
    for member, file in _files.open_members(path):
        with file:
            for number, line in enumerate(file if member == name else (), start=1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as error:
                    return number, error.object[error.start : error.start + 1]
    raise AssertionError("a text that cannot be decoded has a line that cannot")


def _breaks(cell: str) -> int:
    """The line breaks inside a quoted cell."""
    return cell.count("\n") + cell.count("\r") - cell.count("\r\n")


class _Watched(io.RawIOBase):
    """Passes bytes through, counts them, and remembers the last one."""

    def __init__(self, file: Any) -> None:
        self._file, self.last_byte, self.read_bytes = file, b"", 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        self.last_byte = data[-1:] or self.last_byte
        self.read_bytes += len(data)
        buffer[: len(data)] = data
        return len(data)
