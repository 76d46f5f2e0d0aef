"""Text cells to FOCUS columns, exactly: the first cell that does not mean one thing is refused, by row and column."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from collectors.billing._tables import Cells, Chunk
from costlib.billing import FOCUS_COLUMNS, REQUIRED_COLUMNS, ColumnKind, decimal_from
from costlib.errors import BadRecord
from store.inbox import CHARGE_ROWS

_NULLS = frozenset(("", "NULL", "null"))
_ISO_8601 = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|UTC|[+-]\d{2}(:?\d{2})?))?)?",
    re.ASCII | re.IGNORECASE,
)
_CURRENCY = re.compile(r"[A-Z]{3}")
_MALFORMED = "{} cells that are no JSON object, kept as they are in `extra`"


def time_from(text: str) -> datetime:
    """A moment in UTC, without a zone. ISO 8601 only: 05/01/25 means two days.

    >>> time_from("2026-10-01 02:00:00+02:00")
    datetime.datetime(2026, 10, 1, 0, 0)
    """
    if not _ISO_8601.fullmatch(text):
        raise BadRecord(f"{text[:40]!r} is not an ISO 8601 time (expected such as 2026-10-01T00:00:00Z)")
    try:
        moment = datetime.fromisoformat(re.sub(r" ?UTC$", "Z", text.upper()).replace(" Z", "Z"))
    except ValueError as error:
        raise BadRecord(f"{text[:40]!r} is no time there is ({error})") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _currency_from(text: str) -> str:
    if not _CURRENCY.fullmatch(text):
        raise BadRecord(f"{text[:40]!r} is not a currency (expected three letters of ISO 4217, such as USD)")
    return text


def _json_object(text: str) -> str | None:
    """The text itself when it is a JSON object, else None."""
    try:
        return text if isinstance(json.loads(text), dict) else None
    except (ValueError, RecursionError):
        return None


_CONVERT: dict[ColumnKind, Callable[[str], Any]] = {
    ColumnKind.MONEY: decimal_from,
    ColumnKind.QUANTITY: decimal_from,
    ColumnKind.TIME: time_from,
    ColumnKind.TEXT: str,
}


def charges_from(chunks: Iterator[Chunk]) -> Iterator[pa.RecordBatch]:
    """Chunks whose columns bear FOCUS names, as batches of CHARGE_ROWS. Columns by other names go to `extra`."""
    for chunk in chunks:
        yield _batch(chunk)


def _batch(chunk: Chunk) -> pa.RecordBatch:
    extra: dict[str, Cells] = {name: cells for name, cells in chunk.columns.items() if name not in FOCUS_COLUMNS}
    columns: dict[str, list[Any]] = {}
    for name, kind in FOCUS_COLUMNS.items():
        cells = _cells(chunk, name)
        if kind is ColumnKind.JSON:
            columns[name], malformed = _json_columns(chunk, name, cells)
            extra.update(malformed)
        else:
            convert = _currency_from if name == "BillingCurrency" else _CONVERT[kind]
            columns[name] = _converted(chunk, name, cells, convert)
    for name in REQUIRED_COLUMNS:
        _require(chunk, name, columns[name])
    for period in ("BillingPeriod", "ChargePeriod"):
        _require_order(chunk, columns, f"{period}Start", f"{period}End")
    columns["row_number"] = list(range(chunk.first_row, chunk.first_row + chunk.rows_count))
    columns["extra"] = _objects(extra, chunk.rows_count)
    return pa.RecordBatch.from_pydict({name: columns[name] for name in CHARGE_ROWS.names}, schema=CHARGE_ROWS)


def _cells(chunk: Chunk, name: str) -> Cells:
    cells = chunk.columns.get(name) or (None,) * chunk.rows_count
    if name != "BillingCurrency" or chunk.source.currency is None:
        return cells
    given = chunk.source.currency
    for index, cell in enumerate(cells):
        if cell is not None and cell not in _NULLS and cell != given:
            raise BadRecord(
                f"{chunk.place(index, name)} says {cell[:40]!r}, but the import was told {given!r}; leave it out"
            )
    return (given,) * len(cells)


def _converted(chunk: Chunk, name: str, cells: Cells, convert: Callable[[str], Any]) -> list[Any]:
    """Each different text is converted once: exports repeat themselves."""
    value_of: dict[str | None, Any] = {None: None}
    for text in set(cells):
        if text is None or text.strip() in _NULLS:
            value_of[text] = None
            continue
        try:
            value_of[text] = convert(text.strip() if convert is not str else text)
        except BadRecord as error:
            # A set has no order: the row named is the first with any bad cell, so that mending goes top down.
            index, error = _first_bad(cells, convert) or (cells.index(text), error)
            raise BadRecord(
                f"{chunk.place(index, name)}: {error}."
                " Nothing of the file is stored; mend the export and import it again."
            ) from None
    return [value_of[text] for text in cells]


def _first_bad(cells: Cells, convert: Callable[[str], Any]) -> tuple[int, BadRecord] | None:
    for index, text in enumerate(cells):
        if text is not None and text.strip() not in _NULLS:
            try:
                convert(text.strip())
            except BadRecord as error:
                return index, error
    return None


def _json_columns(chunk: Chunk, name: str, cells: Cells) -> tuple[list[str | None], dict[str, Cells]]:
    """The cells that are JSON objects, and those that are not under their own name for `extra`."""
    object_of = {text: None if text is None or text in _NULLS else _json_object(text) for text in set(cells)}
    objects = [object_of[text] for text in cells]
    malformed = [
        text if found is None and text not in _NULLS else None for text, found in zip(cells, objects, strict=True)
    ]
    count = len(malformed) - malformed.count(None)
    if not count:
        return objects, {}
    chunk.source.notes[_MALFORMED.format(name)] += count
    return objects, {name: malformed}


def _require(chunk: Chunk, name: str, values: list[Any]) -> None:
    if None in values:
        remedy = " Name it with --currency." if name == "BillingCurrency" else ""
        raise BadRecord(
            f"{chunk.place(values.index(None), name)} is empty,"
            f" and a charge cannot be placed or summed without it.{remedy}"
        )


def _require_order(chunk: Chunk, columns: dict[str, list[Any]], start: str, end: str) -> None:
    for index, (begin, finish) in enumerate(zip(columns[start], columns[end], strict=True)):
        if finish <= begin:
            raise BadRecord(
                f"{chunk.place(index, end)} is {finish}, not after {start} {begin};"
                " ends are exclusive in FOCUS, so a day ends at the next midnight"
            )


def _objects(columns: dict[str, Cells], rows_count: int) -> list[str | None]:
    """One JSON object per row of the cells that are not null; None where there is none."""
    members = []
    for name, cells in columns.items():
        key = json.dumps(name, ensure_ascii=False)
        text_of = {
            cell: None if cell is None or cell in _NULLS else f"{key}: {json.dumps(cell, ensure_ascii=False)}"
            for cell in set(cells)
        }
        members.append([text_of[cell] for cell in cells])
    if not members:
        return [None] * rows_count
    rows = (", ".join(filter(None, row)) for row in zip(*members, strict=True))
    return [f"{{{row}}}" if row else None for row in rows]
