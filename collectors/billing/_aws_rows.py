"""Some rows of an AWS report, by the canonical names of its columns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import lru_cache

from collectors.billing._aws_names import canonical
from collectors.billing._tables import Cells, Chunk
from costlib.billing import MONEY_SCALE, SMALLEST, decimal_from, exact_text
from costlib.errors import BadRecord

_ROUNDED = f"amounts with more than {MONEY_SCALE} decimals, rounded there; the text is kept in `extra`"
_ANY_DOUBLE = Context(prec=400)
_TAG_PREFIXES = ("resourceTags/", "resource_tags_")


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedChunk(Chunk):
    """Says in a message what AWS calls a column."""

    theirs: Mapping[str, str]

    def place(self, index: int, column: str) -> str:
        return Chunk.place(self, index, self.theirs.get(column, column))


@dataclass(slots=True, kw_only=True)
class Rows:
    """A chunk whose cells are taken for FOCUS columns; what nobody takes is the rest of the row."""

    chunk: Chunk
    name_of: dict[str, str]  # theirs, by canonical name
    theirs: dict[str, str] = field(default_factory=dict)  # by FOCUS name
    rest: dict[str, Cells] = field(default_factory=dict)

    @classmethod
    def of(cls, chunk: Chunk) -> "Rows":
        name_of: dict[str, str] = {}
        for name in chunk.columns:
            name_of.setdefault(canonical(name), name)
        return cls(chunk=chunk, name_of=name_of, rest=dict(chunk.columns))

    @property
    def count(self) -> int:
        return self.chunk.rows_count

    def __contains__(self, name: str) -> bool:
        return name in self.name_of

    def cells(self, name: str) -> Cells:
        """A column, all None where the report has none."""
        return self.chunk.columns[self.name_of[name]] if name in self.name_of else (None,) * self.count

    def texts(self, name: str) -> list[str]:
        return [cell or "" for cell in self.cells(name)]

    def flags(self, name: str) -> list[bool]:
        return [bool(cell) for cell in self.cells(name)]

    def take(self, ours: str, *names: str) -> Cells:
        """The first of these columns that the report has, used up."""
        for name in names:
            if name in self.name_of:
                self.theirs[ours] = self.name_of[name]
                self.rest.pop(self.name_of[name], None)
                return self.cells(name)
        return (None,) * self.count

    def attribute(self, key: str) -> list[str | None]:
        """Of the map that CUR 2.0 has in the place of most product columns."""
        return [_object(text).get(key) for text in self.texts("product")]

    def number(self, ours: str, name: str, wanted: Sequence[bool] | None = None) -> Cells:
        """A column of numbers, of the rows where it is wanted; the others keep theirs as it is.

        What has more decimals than we keep is rounded once, half to even, and kept as it is too.
        """
        given = self.take(ours, name)
        fitted = {cell: fit(cell) if cell and len(cell) > MONEY_SCALE else cell for cell in set(given)}
        cells = [fitted[cell] for cell in given] if any(a != b for a, b in fitted.items()) else given
        if wanted is not None:
            cells = [cell if want else None for cell, want in zip(cells, wanted, strict=True)]
        if cells is not given:
            lost = [None if cell == taken else cell for cell, taken in zip(given, cells, strict=True)]
            self.rest[self.name_of[name]] = lost
            rounded = sum(cell is not None and a is not None for cell, a in zip(lost, cells, strict=True))
            if rounded:
                self.chunk.source.notes[_ROUNDED] += rounded
        return cells

    def amount(self, index: int, name: str) -> Decimal | None:
        """One cell as a number; None where it is empty."""
        cell = (self.cells(name)[index] or "").strip() if name in self.name_of else ""
        try:
            return decimal_from(fit(cell)) if cell else None
        except BadRecord as error:
            raise BadRecord(f"{self.chunk.place(index, self.name_of[name])}: {error}") from None

    def tags(self) -> Cells:
        """The tags of each row as a JSON object, by the keys of the report without the name of their column."""
        if "resource_tags" in self or "tags" in self:
            return self.take("Tags", "resource_tags", "tags")
        keys = {
            name: name.removeprefix(prefix)
            for name in self.chunk.columns
            for prefix in _TAG_PREFIXES
            if name.startswith(prefix)
        }
        if not keys:
            return (None,) * self.count
        columns = [self.rest.pop(name) for name in keys]
        return [_tag_object(tuple(keys.values()), values) for values in zip(*columns, strict=True)]

    def named(self, columns: dict[str, Cells]) -> Chunk:
        """These FOCUS columns and the rest, as a chunk."""
        rest = {name: cells for name, cells in self.rest.items() if name not in columns and any(cells)}
        return _NamedChunk(
            source=self.chunk.source,
            columns=columns | rest,
            first_row=self.chunk.first_row,
            lines=self.chunk.lines,
            file_name=self.chunk.file_name,
            theirs=self.theirs,
        )


def fit(text: str) -> str:
    """A number with no more decimals than we keep; anything else as it is.

    >>> fit("5.000000000000000123e-06"), fit("0.25")
    ('0.000005', '0.25')
    """
    try:
        number = Decimal(text.strip())
    except ArithmeticError:
        return text
    exponent = number.as_tuple().exponent
    # What is no amount at all (1e-999) is left for the reader of numbers to refuse.
    if not isinstance(exponent, int) or exponent >= -MONEY_SCALE or number.adjusted() < -_ANY_DOUBLE.prec:
        return text
    return exact_text(number.quantize(SMALLEST, context=_ANY_DOUBLE))


@lru_cache(maxsize=65_536)
def _object(text: str) -> dict[str, str]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


@lru_cache(maxsize=65_536)
def _tag_object(keys: tuple[str, ...], values: tuple[str | None, ...]) -> str | None:
    tags = {key: value for key, value in zip(keys, values, strict=True) if value}
    return json.dumps(tags, ensure_ascii=False) if tags else None
