"""Whole columns at once, exactly: each different text is looked at once, and numbers never pass through a float.

What cannot be converted as a whole is left to whoever looks at single texts, and names the cell.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from costlib.billing import MONEY_PRECISION, MONEY_SCALE

DECIMAL = pa.decimal128(MONEY_PRECISION, MONEY_SCALE)
MOMENT = pa.timestamp("us")
CODED = pa.dictionary(pa.int32(), pa.string())

_NULLS = pa.array(["", "NULL", "null"])
# What fits DECIMAL before the point, for Arrow's casts do not look: beyond it they answer with another number.
_NUMBER = r"^[+-]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)([eE]-[0-9]{1,4})?$"
_BEYOND = 10 ** (MONEY_PRECISION - MONEY_SCALE)
# A double has at most 17 digits. From half of the smallest amount up, they all lie within these places.
_WIDE = pa.decimal256(2 * MONEY_PRECISION, MONEY_PRECISION)
_HALF_OF_SMALLEST = 0.5 * 10.0**-MONEY_SCALE
_SUMMED = pa.decimal256(2 * MONEY_PRECISION, MONEY_SCALE)
# 0001-01-01 and the end of 9999 in microseconds: what Python can say.
_FIRST_MOMENT, _LAST_MOMENT = (
    int(np.datetime64(text, "us").astype(np.int64)) for text in ("0001-01-01", "9999-12-31T23:59:59.999999")
)


@runtime_checkable
class Typed(Protocol):
    """Cells that are there as values too, such as those of a Parquet file."""

    values: pa.Array

    def coded(self) -> pa.DictionaryArray: ...


def coded(cells: Sequence[str | None]) -> pa.DictionaryArray:
    """The texts, each once and in the order in which they come, and per row which; null-like ones are null."""
    found = cells.coded() if isinstance(cells, Typed) else pa.array(cells, pa.string()).dictionary_encode()
    found = _used(found)
    is_null = pc.is_in(pc.utf8_trim_whitespace(found.dictionary), _NULLS)
    return recoded(found.indices, pc.if_else(is_null, None, found.dictionary)) if pc.any(is_null).as_py() else found


def recoded(indices: pa.Array, texts: pa.Array | Sequence[str | None]) -> pa.DictionaryArray:
    """Rows by their place in `texts`, null where the text is."""
    texts = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.string())
    if texts.null_count:
        is_valid = texts.is_valid().to_numpy(zero_copy_only=False)
        place = pa.array((np.cumsum(is_valid) - 1).astype(np.int32), mask=~is_valid)
        indices, texts = place.take(indices), texts.drop_null()
    return pa.DictionaryArray.from_arrays(indices, texts)


def nothing(rows_count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.nulls(rows_count, pa.int32()), pa.array([], pa.string()))


def decimals(values: pa.Array) -> pa.Array | None:
    """Numbers, or texts without blanks, as DECIMAL. None where that would round, or any is no number.

    Doubles are taken at their shortest decimal; what that has beyond 18 places is below their own uncertainty.
    """
    kind = values.type
    try:
        if pa.types.is_string(kind):
            are_numbers = pc.all(pc.match_substring_regex(values, _NUMBER), min_count=0).as_py()
            return values.cast(DECIMAL) if are_numbers else None
        is_floating = pa.types.is_floating(kind)
        if not (is_floating or pa.types.is_integer(kind) or pa.types.is_decimal(kind)) or not _fit(values):
            return None
        return _from_floats(values) if is_floating else values.cast(DECIMAL)
    except pa.ArrowInvalid:
        return None


def moments(values: pa.Array) -> pa.Array | None:
    """Times and dates as naive UTC, to the microsecond. None for other types, and for what no calendar has."""
    kind = values.type
    try:
        if pa.types.is_timestamp(kind):
            found = values.cast(pa.timestamp("us", kind.tz), safe=kind.unit != "ns").view(MOMENT)
        elif pa.types.is_date(kind):
            found = values.cast(MOMENT)
        else:
            return None
    except pa.ArrowInvalid:
        return None
    edges = pc.min_max(found.view(pa.int64())).as_py()
    in_range = edges["min"] is None or (edges["min"] >= _FIRST_MOMENT and edges["max"] <= _LAST_MOMENT)
    return found if in_range else None


def texts_of_floats(values: pa.Array) -> pa.Array:
    """The shortest decimal of each that reads back as the same number."""
    return (values.cast(pa.float32()) if pa.types.is_float16(values.type) else values).cast(pa.string())


def sums(amounts: pa.Array, keys: pa.Array) -> dict[str, Any]:
    """The exact sum of `amounts` per key: 76 digits hold any number of rows."""
    rows = pa.table({"key": keys, "amount": amounts.cast(_SUMMED)})
    found = rows.group_by("key").aggregate([("amount", "sum")])
    return dict(zip(found["key"].to_pylist(), found["amount_sum"].to_pylist(), strict=True))


def joined(members: Mapping[str, tuple[pa.DictionaryArray, Sequence[str]]], rows_count: int) -> pa.DictionaryArray:
    """Per row, what `members` say of its cells, joined by commas in braces; null where a row has no cell.

    members    by name: the cells of a column, and what to write for each of its texts
    """
    combination = np.zeros(rows_count, np.int64)
    codes_of: list[np.ndarray] = []
    for column, texts in members.values():
        codes = column.indices.fill_null(len(texts)).to_numpy()
        codes_of.append(codes)
        combination = pa.array(combination * (len(texts) + 1) + codes).dictionary_encode().indices.to_numpy()
        combination = combination.astype(np.int64)
    first = np.zeros(combination.max(initial=-1) + 1, np.int64)
    first[combination[::-1]] = np.arange(rows_count)[::-1]  # of several rows the last assignment stands: the first row
    parts = [
        np.array([*texts, None], object)[codes[first]]
        for (_, texts), codes in zip(members.values(), codes_of, strict=True)
    ]
    rows = [", ".join(filter(None, row)) for row in zip(*parts, strict=True)] or [""] * len(first)
    return recoded(pa.array(combination.astype(np.int32)), [f"{{{row}}}" if row else None for row in rows])


def _used(found: pa.DictionaryArray) -> pa.DictionaryArray:
    """A dictionary of what the rows have, in their order: that of a file's part has more, in another."""
    used = found.indices.unique().drop_null()
    count = len(found.dictionary)
    if len(used) == count and (used.to_numpy() == np.arange(count)).all():
        return found
    place = np.zeros(count, np.int32)
    place[used.to_numpy()] = np.arange(len(used))
    return pa.DictionaryArray.from_arrays(pa.array(place).take(found.indices), found.dictionary.take(used))


def _from_floats(values: pa.Array) -> pa.Array:
    """Of a double's digits, which are 17 at most, only those of one below a tenth can lie beyond 18 places."""
    texts, sizes = texts_of_floats(values), pc.abs(values.cast(pa.float64()))
    is_small = pc.and_(pc.less(sizes, 0.1), pc.greater(sizes, 0.0))
    found = pc.if_else(is_small, "0", texts).cast(DECIMAL)
    is_small = is_small.fill_null(False)
    is_tiny = pc.less_equal(sizes.filter(is_small), _HALF_OF_SMALLEST)
    small = pc.if_else(is_tiny, "0", texts.filter(is_small)).cast(_WIDE)
    return pc.replace_with_mask(found, is_small, pc.round(small, MONEY_SCALE, "half_to_even").cast(DECIMAL))


def _fit(numbers: pa.Array) -> bool:
    edges = pc.min_max(numbers).as_py()
    has_nan = pa.types.is_floating(numbers.type) and pc.any(pc.is_nan(numbers)).as_py()
    return not has_nan and (edges["min"] is None or (edges["min"] > -_BEYOND and edges["max"] < _BEYOND))
