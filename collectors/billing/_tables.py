"""A table as chunks of text cells: what a CSV says, or what a Parquet value would say in one. Nothing is guessed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from collectors.billing.base import BillingSource
from costlib.errors import BadRecord
from costlib.units import KIBI, MEBI

CHUNK_ROWS = 20_000
CHUNK_BYTES = 64 * MEBI
# A tag's value may have 64 KiB; a cell holds all tags of a row.
LARGEST_CELL_CHARACTERS = 256 * KIBI
LARGEST_COLUMNS_COUNT = 2_000

Cells = Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a file, column by column. Row numbers count data rows from 1, lines the lines of a text file."""

    source: BillingSource
    columns: dict[str, Cells]
    first_row: int
    lines: Sequence[int] | None  # the last line of each row; None for a file without lines
    file_name: str = ""  # of a file in an archive

    @property
    def rows_count(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, index: int, column: str) -> str:
        """Where a cell is, for a message."""
        line = f" (line {self.lines[index]})" if self.lines else ""
        return f"{self.file_name or self.source.name}: row {self.first_row + index}{line}, column {column}"


def chunks_of(source: BillingSource, rows: Iterable[Mapping[str, str | None]]) -> Iterator[Chunk]:
    """Rows by column name, which need not all have the same columns, as chunks."""
    left, first_row = iter(rows), 1
    while some := list(islice(left, CHUNK_ROWS)):
        names = dict.fromkeys(name for row in some for name in row)
        columns = {name: [row.get(name) for row in some] for name in names}
        chunk = Chunk(source=source, columns=columns, first_row=first_row, lines=None)
        check_cells(chunk)
        yield chunk
        first_row += len(some)


def check_columns(source: BillingSource, names: Sequence[str]) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadRecord(
            f"{source.name} has the column {', '.join(map(repr, twice))} more than once, so its values mean two things;"
            " export it again with each column once"
        )
    if len(names) > LARGEST_COLUMNS_COUNT:
        raise BadRecord(f"{source.name} has {len(names)} columns; at most {LARGEST_COLUMNS_COUNT} are read")


def check_cells(chunk: Chunk) -> None:
    for name, cells in chunk.columns.items():
        if max(map(len, filter(None, set(cells))), default=0) > LARGEST_CELL_CHARACTERS:
            index = next(i for i, cell in enumerate(cells) if len(cell or "") > LARGEST_CELL_CHARACTERS)
            raise BadRecord(
                f"{chunk.place(index, name)}: a cell of {len(cells[index] or '')} characters; at most"
                f" {LARGEST_CELL_CHARACTERS} are read. Leave the column out of the export if it is not needed."
            )
