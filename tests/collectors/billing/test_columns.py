"""A Parquet column read whole says what its cells, spelled out and read one by one, would say."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.billing import _columns, _parquet, _typed, format_of
from collectors.billing._columns import coded, decimals, joined, sums
from collectors.billing._parquet import parquet_chunks
from collectors.billing._tables import Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingSource
from costlib.billing import SMALLEST, decimal_from, exact_sum
from costlib.errors import BadRecord
from store.inbox import CHARGE_ROWS

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
ANY_DOUBLE = Context(prec=400)

doubles = st.floats(width=64) | st.integers(-(10**9), 10**9).map(lambda cents: cents / 100)
amounts = st.decimals(-(10**21), 10**21, places=18, allow_nan=False) | st.decimals(-1, 1, places=20, allow_nan=False)
words = st.text(max_size=12) | st.sampled_from(
    ["", "NULL", "null", " ", "USD", "{}", '{"team": "search"}', "[1]", "0.1"]
)
numbers = st.one_of(
    st.decimals(allow_nan=True).map(str),
    st.from_regex(r"[+-]?[0-9]{0,24}\.?[0-9]{0,24}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    words,
)


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


def column_of(kind: pa.DataType, values: st.SearchStrategy) -> st.SearchStrategy[pa.Array]:
    return st.lists(maybe(values), min_size=3, max_size=3).map(lambda found: pa.array(found, kind))


moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001
# What exports have money, quantities, times and texts as, and what they should not.
money = st.one_of(
    column_of(pa.float64(), doubles),
    column_of(pa.float32(), st.floats(width=32)),
    column_of(pa.decimal128(38, 18), st.decimals(-(10**19), 10**19, places=18, allow_nan=False)),
    column_of(pa.decimal128(38, 20), st.decimals(-(10**17), 10**17, places=20, allow_nan=False)),
    column_of(pa.decimal256(60, 18), amounts.filter(lambda amount: amount.as_tuple().exponent >= -18)),
    column_of(pa.decimal128(38, 0), st.integers(-(10**37), 10**37).map(Decimal)),
    column_of(pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    column_of(pa.uint64(), st.integers(0, 2**64 - 1)),
    column_of(pa.string(), numbers),
    column_of(pa.bool_(), st.booleans()),
)
times = st.one_of(
    column_of(pa.timestamp("ns"), moments),
    column_of(pa.timestamp("us", "UTC"), moments),
    column_of(pa.timestamp("ms", "America/New_York"), moments),
    column_of(pa.timestamp("s"), st.integers(-(2**50), 2**50) | st.integers(0, 2**32)),
    column_of(pa.date32(), st.dates()),
    column_of(pa.string(), moments.map(str) | words),
)
texts = st.one_of(
    column_of(pa.string(), words),
    column_of(pa.large_string(), words),
    column_of(pa.binary(), words.map(str.encode)),
    column_of(pa.string(), words).map(lambda array: array.dictionary_encode()),
    column_of(pa.list_(pa.string()), st.lists(words, max_size=2)),
    column_of(pa.map_(pa.string(), pa.string()), st.lists(st.tuples(words, words), max_size=2)),
    column_of(pa.int32(), st.integers(0, 9)),
    column_of(pa.bool_(), st.booleans()),
    column_of(pa.float64(), doubles),
)
tables = st.fixed_dictionaries(
    {"EffectiveCost": money, "PricingQuantity": money, "ServiceName": texts, "Tags": texts, "x_One": texts},
    optional={
        "BilledCost": money,
        "ChargePeriodStart": times,
        "BillingCurrency": texts,
        "x_Two": texts,
        "x_Three": money,
    },
)


def focus(columns: dict[str, pa.Array]) -> pa.Table:
    utc = pa.timestamp("us", tz="UTC")
    usual = {
        "BilledCost": pa.array([0.1, 2.5, -3.0]),
        "BillingCurrency": pa.array(["USD"] * 3),
        "BillingPeriodStart": pa.array([START] * 3, utc),
        "BillingPeriodEnd": pa.array([END] * 3, utc),
        "ChargePeriodStart": pa.array([START] * 3, utc),
        "ChargePeriodEnd": pa.array([START + timedelta(hours=1)] * 3, utc),
        "ChargeCategory": pa.array(["Usage"] * 3),
    }
    return pa.table({**usual, **columns})


def result(source: BillingSource, spelled: bool) -> tuple[object, Counter[str]]:
    """The charges or the reason, and the notes; from the columns as they are, or from the text of every cell."""

    def as_text(chunk: Chunk) -> Chunk:
        return replace(chunk, columns={name: tuple(cells) for name, cells in chunk.columns.items()})

    chunks = parquet_chunks(source)
    try:
        batches = list(charges_from(map(as_text, chunks) if spelled else chunks))
    except BadRecord as error:
        return str(error), source.notes
    return [batch.to_pylist() for batch in batches], source.notes


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(columns=tables)
def test_columns_and_their_cells_agree_on_rows_extra_notes_and_errors(tmp_path: Path, columns: dict) -> None:
    pq.write_table(focus(columns), tmp_path / "a.parquet")
    whole, by_cell = (result(BillingSource(path=tmp_path / "a.parquet"), spelled) for spelled in (False, True))
    assert whole == by_cell


@settings(deadline=None)
@given(st.lists(maybe(st.floats(allow_nan=False, min_value=-9e19, max_value=9e19)), min_size=1))
def test_a_double_is_its_shortest_decimal_to_18_places(values: list[float | None]) -> None:
    expected = [v if v is None else Decimal(repr(v)).quantize(SMALLEST, context=ANY_DOUBLE) for v in values]
    assert decimals(pa.array(values, pa.float64())).to_pylist() == expected


@settings(deadline=None)
@given(st.lists(numbers.map(str.strip), min_size=1, max_size=3))
def test_a_text_is_the_number_it_spells_or_left_to_be_named(texts: list[str]) -> None:
    found = decimals(pa.array(texts))
    if found is not None:
        assert found.to_pylist() == [decimal_from(text) for text in texts]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(10) ** 20], pa.decimal128(38, 0)),
        pa.array([Decimal("1e-19")], pa.decimal128(38, 19)),
        pa.array([1e20]),
        pa.array([float("nan")]),
        pa.array([float("-inf")]),
        pa.array(["1e25"]),
        pa.array(["1" + 21 * "0"]),
        pa.array(["1.0000000000000000001"]),
        pa.array([True]),
    ],
    ids=str,
)
def test_what_would_be_rounded_or_overflow_is_no_number(column: pa.Array) -> None:
    """Arrow's own cast of the first gives another number, without a word."""
    assert decimals(column) is None


def test_b14_a_decimal_with_more_places_than_are_kept_is_rounded_once_and_kept_beside(tmp_path: Path) -> None:
    cost = pa.array([Decimal(1), Decimal("2.50000000000000000051"), None], pa.decimal128(38, 20))
    pq.write_table(focus({"ListCost": cost}), tmp_path / "a.parquet")
    source = BillingSource(path=tmp_path / "a.parquet")
    rows = [row for batch in format_of(source).parse(source) for row in batch.to_pylist()]
    assert [row["ListCost"] for row in rows] == [Decimal(1), Decimal("2.500000000000000001"), None]
    assert [json.loads(row["extra"] or "{}").get("x_ListCostAsExported") for row in rows] == [
        None,
        "2.50000000000000000051",
        None,
    ]
    assert source.notes["numbers with more than 18 decimals, rounded there"] == 1


def test_a_time_no_calendar_has_is_named_by_row_and_column(tmp_path: Path) -> None:
    late = pa.array([0, 2**61, 0], pa.timestamp("ms"))
    pq.write_table(focus({"ChargePeriodStart": late}), tmp_path / "a.parquet")
    said, _ = result(BillingSource(path=tmp_path / "a.parquet"), spelled=False)
    assert str(said).startswith("a.parquet: row 2, column ChargePeriodStart: '2305843009213693952' is not an ISO 8601")


def test_times_of_every_unit_and_zone_are_one_moment_in_utc(tmp_path: Path) -> None:
    local = pa.timestamp("ms", "America/New_York")
    columns = {
        "ChargePeriodStart": pa.array([START] * 3, local),
        "BillingPeriodStart": pa.array([START.replace(tzinfo=None)] * 3, pa.timestamp("ns")),
        "BillingPeriodEnd": pa.array([date(2026, 11, 1)] * 3, pa.date32()),
    }
    pq.write_table(focus(columns), tmp_path / "a.parquet")
    rows, _ = result(BillingSource(path=tmp_path / "a.parquet"), spelled=False)
    assert {row["ChargePeriodStart"] for row in rows[0]} == {START.replace(tzinfo=None)}
    assert {row["BillingPeriodStart"] for row in rows[0]} == {START.replace(tzinfo=None)}
    assert {row["BillingPeriodEnd"] for row in rows[0]} == {END.replace(tzinfo=None)}


def test_a_bad_cell_is_blamed_on_its_own_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dictionary of a row group has the texts of all its chunks."""
    monkeypatch.setattr(_parquet, "CHUNK_ROWS", 1)
    pq.write_table(focus({"EffectiveCost": pa.array(["1", "2", "three"])}), tmp_path / "a.parquet")
    source = BillingSource(path=tmp_path / "a.parquet")
    batches = charges_from(parquet_chunks(source))
    assert [next(batches)["EffectiveCost"].to_pylist() for _ in range(2)] == [[1], [2]]
    with pytest.raises(BadRecord, match="row 3, column EffectiveCost: 'three'"):
        next(batches)
    assert source.reading.fraction == 1.0


def test_a_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(focus({"ServiceName": pa.concat_arrays([bad] * 3)}), tmp_path / "a.parquet")
    said, _ = result(BillingSource(path=tmp_path / "a.parquet"), spelled=False)
    assert "UTF" in str(said)


# By themselves --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.decimals(-(10**19), 10**19, places=18, allow_nan=False)), min_size=1)
)
def test_sums_are_exact_per_key(rows: list[tuple[str, Decimal]]) -> None:
    keys, costs = zip(*rows, strict=True)
    found = sums(pa.array(costs, _columns.DECIMAL), pa.array(keys).dictionary_encode())
    assert found == {key: exact_sum(cost for other, cost in rows if other == key) for key in set(keys)}


def test_sums_do_not_overflow_where_a_sum_of_38_digits_would() -> None:
    largest = Decimal("99999999999999999999.999999999999999000")
    assert sums(pa.array([largest] * 1000, _columns.DECIMAL), pa.array(["USD"] * 1000)) == {
        "USD": Decimal("99999999999999999999999.999999999999000000")
    }


cells = st.lists(st.lists(maybe(st.sampled_from(["", "a", "b", "NULL"])), min_size=4, max_size=4), max_size=4)


@settings(deadline=None)
@given(cells)
def test_joined_has_the_cells_of_each_row_that_are_not_null(columns: list[list[str | None]]) -> None:
    members = {}
    for number, column in enumerate(columns):
        texts = coded(column)
        members[str(number)] = (
            texts,
            [json.dumps(str(number)) + ": " + json.dumps(t) for t in texts.dictionary.to_pylist()],
        )
    expected = [
        {str(number): column[row] for number, column in enumerate(columns) if column[row] not in (None, "", "NULL")}
        for row in range(4)
    ]
    assert [json.loads(text) if text else {} for text in joined(members, 4).to_pylist()] == expected


@pytest.mark.parametrize("convert", [tuple, list, lambda cells: _parquet.ParquetCells(pa.array(cells))])
def test_cells_are_a_sequence_of_texts_wherever_they_come_from(convert: Callable) -> None:
    found = convert(["a", None, "a", ""])
    assert (len(found), found[0], found[1], list(found), found[1:3]) == (4, "a", None, ["a", None, "a", ""], found[1:3])
    assert coded(found).to_pylist() == ["a", None, "a", None]
    assert list(found[1:3]) == [None, "a"]


def test_batches_are_as_the_segment_wants_them(tmp_path: Path) -> None:
    pq.write_table(focus({}), tmp_path / "a.parquet")
    (batch,) = charges_from(parquet_chunks(BillingSource(path=tmp_path / "a.parquet")))
    assert batch.schema == CHARGE_ROWS
    assert batch["row_number"].to_pylist() == [1, 2, 3]
    assert np.all([name in batch.schema.names for name in _typed.REQUIRED_COLUMNS])
