"""Native exports: which column is which of FOCUS', as data/billing says it, and cells that need a word of care."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from collectors.billing._csv import header_of
from collectors.billing._json import number_text
from collectors.billing._tables import Cells, Chunk
from collectors.billing.base import BillingSource
from costlib.billing import FOCUS_COLUMNS, MONEY_SCALE, ColumnKind
from costlib.errors import BadRecord
from store.catalog_files import DATA, read_toml

_IN_PARENTHESES = re.compile(r"\(([A-Za-z][A-Za-z0-9_ ]*)\)\s*$")
_NUMBERS = (ColumnKind.MONEY, ColumnKind.QUANTITY)


def folded(name: str) -> str:
    """A name by its letters and digits alone; of a localised one, the English name in its parentheses.

    >>> folded("Ressourcengruppe (ResourceGroup)"), folded("usage.amount") == folded("usage_amount")
    ('resourcegroup', True)
    """
    localised = _IN_PARENTHESES.search(name)
    return re.sub(r"[\W_]+", "", localised[1] if localised else name).lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What data/billing/<key>.toml says of an export."""

    key: str
    telling: frozenset[str]  # columns by which a file is known, folded
    telling_count: int
    spellings: Mapping[str, tuple[str, ...]]  # FOCUS columns and our own names of inputs -> folded columns
    words: Mapping[str, Mapping[str, str]]  # by table: the export's word, folded -> FOCUS' word
    records: frozenset[str]  # columns that may hold a JSON object of columns

    def knows(self, names: Iterable[str]) -> bool:
        return len({folded(name) for name in names} & self.telling) >= self.telling_count

    def knows_head(self, head: bytes) -> bool:
        return self.knows(header_of(head))

    def word(self, table: str, text: str | None) -> str | None:
        return self.words[table].get(folded(text or ""))


@cache
def vocabulary(key: str) -> Vocabulary:
    """Read from data/billing/<key>.toml, once."""
    body = read_toml(DATA / "billing" / f"{key}.toml")
    columns, inputs = body.pop("columns"), body.pop("inputs")
    return Vocabulary(
        key=key,
        telling=frozenset(map(folded, body.pop("telling"))),
        telling_count=body.pop("telling_count"),
        records=frozenset(body.pop("records", ())),
        spellings={name: tuple(map(folded, names)) for name, names in {**columns, **inputs}.items()},
        words={table: {folded(word): meaning for word, meaning in words.items()} for table, words in body.items()},
    )


class Sheet:
    """A chunk, seen through a vocabulary: cells by what they mean rather than by what the column is called."""

    def __init__(self, chunk: Chunk, words: Vocabulary) -> None:
        self.chunk, self.words = chunk, words
        found: dict[str, str] = {}
        for name in chunk.columns:
            if (key := folded(name)) in found and any(key in keys for keys in words.spellings.values()):
                raise BadRecord(
                    f"{chunk.source.name} has {found[key]!r} and {name!r}, which mean the same column;"
                    " export it again with one of them"
                )
            found[key] = name
        # The chunk's own column name for each meaning that it has.
        self._columns = {
            meaning: found[key]
            for meaning, keys in words.spellings.items()
            if (key := next((key for key in keys if key in found), None)) is not None
        }

    def cells(self, meaning: str) -> Cells:
        name = self._columns.get(meaning)
        return (None,) * self.chunk.rows_count if name is None else self.chunk.columns[name]

    def has(self, meaning: str) -> bool:
        return meaning in self._columns

    def require(self, *meanings: str) -> None:
        """Raises BadRecord for what the export has no column for, with the names that would do."""
        for meaning in meanings:
            if meaning not in self._columns:
                names = ", ".join(self.words.spellings[meaning])
                hint = " Name it with --currency." if meaning == "BillingCurrency" else ""
                raise BadRecord(
                    f"{self.chunk.source.name} has no column for {meaning} (known names, whatever their case: {names})."
                    f" It has {', '.join(self.chunk.columns)[:400]}.{hint}"
                )

    def place(self, index: int, meaning: str) -> str:
        return self.chunk.place(index, self._columns.get(meaning, meaning))

    def focus(self, derived: Mapping[str, Cells], used: Iterable[str] = ()) -> Chunk:
        """The chunk with FOCUS names: `derived` first, then what is copied; all else under its own name, for `extra`.

        used    inputs that `derived` says in full, so that nothing is lost without them
        """
        columns: dict[str, Cells] = dict(derived)
        copied = {meaning: name for meaning, name in self._columns.items() if meaning in FOCUS_COLUMNS}
        for meaning, name in copied.items():
            columns.setdefault(meaning, self.chunk.columns[name])
        said = {name for meaning, name in copied.items() if meaning not in derived}
        said |= {self._columns[meaning] for meaning in used if meaning in self._columns}
        for name, cells in self.chunk.columns.items():
            if name not in said:
                columns.setdefault(f"x_{name}" if name in FOCUS_COLUMNS else name, cells)
        for meaning in [name for name in columns if FOCUS_COLUMNS.get(name) in _NUMBERS]:
            columns[meaning], too_long = fitted(self.chunk.source, columns[meaning])
            if too_long:
                columns[f"x_{meaning}AsExported"] = too_long
        return Chunk(
            source=self.chunk.source,
            columns=columns,
            first_row=self.chunk.first_row,
            lines=self.chunk.lines,
            file_name=self.chunk.file_name,
        )


def is_blank(cell: str | None) -> bool:
    return cell is None or cell.strip() in ("", "NULL", "null")


def fitted(source: BillingSource, cells: Cells) -> tuple[Cells, Cells | None]:
    """Numbers with at most as many decimals as are kept, each rounded once; and those that had more, as they were."""
    long = {cell: text for cell in set(cells) if cell and (text := _fitted(source, cell)) != cell}
    if not long:
        return cells, None
    return [long.get(cell, cell) for cell in cells], [cell if cell in long else None for cell in cells]


def _fitted(source: BillingSource, cell: str) -> str:
    text = cell.strip()
    if len(text) <= MONEY_SCALE and "e" not in text.lower():
        return cell
    try:
        number = Decimal(text)
    except InvalidOperation:
        return cell  # refused later, by row and column
    rounded = number_text(number, source)
    return cell if rounded is None or not number.is_finite() or Decimal(rounded) == number else rounded


def per_text(function: Callable[[str | None], Any], cells: Cells) -> list[Any]:
    """`function` of every cell, called once for each different text: exports repeat themselves."""
    value_of = {cell: function(cell) for cell in set(cells)}
    return [value_of[cell] for cell in cells]


def json_object(cell: str | None) -> dict[str, Any] | None:
    """The JSON object in a cell: as it is, without its braces, or as text in a JSON text; None when it is none.

    >>> json_object('"team": "search","env": "prod"') == json_object('{"team": "search", "env": "prod"}')
    True
    """
    if is_blank(cell):
        return None
    text = str(cell).strip()
    for attempt in (text, f"{{{text}}}"):
        try:
            value = json.loads(attempt)
            value = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def details(members: Mapping[str, str | int | None]) -> str | None:
    """SkuPriceDetails of what is known; None when nothing is."""
    known = {name: value for name, value in members.items() if value not in (None, "")}
    return json.dumps(known) if known else None
