"""Cells to FOCUS columns, exactly: the first cell that does not mean one thing is refused, by row and column."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collectors.billing._columns import DECIMAL, MOMENT, Typed, coded, decimals, joined, moments, nothing, recoded
from collectors.billing._tables import Chunk
from costlib.billing import FOCUS_COLUMNS, REQUIRED_COLUMNS, ColumnKind, decimal_from
from costlib.errors import BadRecord
from store.inbox import CHARGE_ROWS

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
}
_WHOLE: dict[ColumnKind, Callable[[pa.Array], pa.Array | None]] = {
    ColumnKind.MONEY: decimals,
    ColumnKind.QUANTITY: decimals,
    ColumnKind.TIME: moments,
}
_TYPE = {ColumnKind.MONEY: DECIMAL, ColumnKind.QUANTITY: DECIMAL, ColumnKind.TIME: MOMENT}


def charges_from(chunks: Iterator[Chunk]) -> Iterator[pa.RecordBatch]:
    """Chunks whose columns bear FOCUS names, as batches of CHARGE_ROWS. Columns by other names go to `extra`."""
    for chunk in chunks:
        yield _batch(chunk)


def _batch(chunk: Chunk) -> pa.RecordBatch:
    extra = {name: coded(cells) for name, cells in chunk.columns.items() if name not in FOCUS_COLUMNS}
    columns: dict[str, pa.Array] = {}
    for name, kind in FOCUS_COLUMNS.items():
        if kind in _CONVERT:
            columns[name] = _converted(chunk, name, kind)
        elif kind is ColumnKind.JSON:
            columns[name], malformed = _json_column(chunk, name)
            if malformed is not None:
                extra[name] = malformed
        else:
            columns[name] = _currency(chunk) if name == "BillingCurrency" else _texts(chunk, name)
    for name in REQUIRED_COLUMNS:
        _require(chunk, name, columns[name])
    for period in ("BillingPeriod", "ChargePeriod"):
        _require_order(chunk, columns, f"{period}Start", f"{period}End")
    columns["row_number"] = pa.array(np.arange(chunk.first_row, chunk.first_row + chunk.rows_count))
    columns["extra"] = _objects(extra, chunk.rows_count)
    arrays = [columns[field.name].cast(field.type) for field in CHARGE_ROWS]
    return pa.RecordBatch.from_arrays(arrays, schema=CHARGE_ROWS)


def _texts(chunk: Chunk, name: str) -> pa.DictionaryArray:
    return coded(chunk.columns[name]) if name in chunk.columns else nothing(chunk.rows_count)


def _converted(chunk: Chunk, name: str, kind: ColumnKind) -> pa.Array:
    """A column of numbers or times: whole where that is exact, else text by text, so that what is wrong has a name."""
    cells = chunk.columns.get(name)
    if cells is None:
        return pa.nulls(chunk.rows_count, _TYPE[kind])
    values = _WHOLE[kind](cells.values) if isinstance(cells, Typed) else None
    if values is not None:
        return values
    column = coded(cells)
    texts = pc.utf8_trim_whitespace(column.dictionary)
    values = _WHOLE[kind](texts)
    if values is None:
        values = pa.array(_one_by_one(chunk, name, column, texts.to_pylist(), _CONVERT[kind]), _TYPE[kind])
    return values.take(column.indices)


def _one_by_one(
    chunk: Chunk, name: str, column: pa.DictionaryArray, texts: Iterable[str], convert: Callable[[str], Any]
) -> list[Any]:
    """Texts are in the order of their first rows, so the row named is the first that is wrong."""
    values = []
    for code, text in enumerate(texts):
        try:
            values.append(convert(text))
        except BadRecord as error:
            raise BadRecord(
                f"{chunk.place(_first_row(column, code), name)}: {error}."
                " Nothing of the file is stored; mend the export and import it again."
            ) from None
    return values


def _currency(chunk: Chunk) -> pa.DictionaryArray:
    name = "BillingCurrency"
    column, given = _texts(chunk, name), chunk.source.currency
    if given is not None:
        for code, text in enumerate(column.dictionary.to_pylist()):
            if text != given:
                place = chunk.place(_first_row(column, code), name)
                raise BadRecord(f"{place} says {text[:40]!r}, but the import was told {given!r}; leave it out")
        column = recoded(pa.array(np.zeros(chunk.rows_count, np.int32)), [given])
    texts = pc.utf8_trim_whitespace(column.dictionary).to_pylist()
    return recoded(column.indices, _one_by_one(chunk, name, column, texts, _currency_from))


def _json_column(chunk: Chunk, name: str) -> tuple[pa.DictionaryArray, pa.DictionaryArray | None]:
    """The cells that are JSON objects, and those that are not for `extra`."""
    column = _texts(chunk, name)
    texts = column.dictionary.to_pylist()
    objects = [_json_object(text) for text in texts]
    if None not in objects:
        return column, None
    malformed = recoded(column.indices, [t if found is None else None for t, found in zip(texts, objects, strict=True)])
    chunk.source.notes[_MALFORMED.format(name)] += len(malformed) - malformed.null_count
    return recoded(column.indices, objects), malformed


def _require(chunk: Chunk, name: str, values: pa.Array) -> None:
    if values.null_count:
        remedy = " Name it with --currency." if name == "BillingCurrency" else ""
        raise BadRecord(
            f"{chunk.place(pc.index(values.is_null(), True).as_py(), name)} is empty,"
            f" and a charge cannot be placed or summed without it.{remedy}"
        )


def _require_order(chunk: Chunk, columns: dict[str, pa.Array], start: str, end: str) -> None:
    index = pc.index(pc.less_equal(columns[end], columns[start]), True).as_py()
    if index >= 0:
        raise BadRecord(
            f"{chunk.place(index, end)} is {columns[end][index]}, not after {start} {columns[start][index]};"
            " ends are exclusive in FOCUS, so a day ends at the next midnight"
        )


def _objects(columns: dict[str, pa.DictionaryArray], rows_count: int) -> pa.DictionaryArray:
    """One JSON object per row of the cells that are not null; null where there is none."""
    members = {}
    for name, column in columns.items():
        key = json.dumps(name, ensure_ascii=False)
        texts = column.dictionary.to_pylist()
        members[name] = column, [f"{key}: {json.dumps(text, ensure_ascii=False)}" for text in texts]
    return joined(members, rows_count)


def _first_row(column: pa.DictionaryArray, code: int) -> int:
    return int(pc.index(column.indices, code).as_py())
