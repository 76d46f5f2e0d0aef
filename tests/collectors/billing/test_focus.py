"""FOCUS files, golden: the totals a provider's file really has, to the last digit, whatever form it comes in."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import collectors.billing
from collectors.billing import format_of, formats
from collectors.billing.base import BillingSource
from costlib.billing import FOCUS_COLUMNS, exact_sum
from store.inbox import CHARGE_ROWS
from tests.store.builders import CHARGE, bill

GOLDEN = Path(__file__).with_name("focus")
OFFICIAL = GOLDEN / "focus_1.0_official_mixed_part1.csv.gz"
OFFICIAL_TOTALS = {
    "BilledCost": Decimal("5.07502739051"),
    "EffectiveCost": Decimal("1.81354239318"),
    "ListCost": Decimal("5.01442739051"),
}


def read(path: Path, **settings) -> tuple[pa.Table, BillingSource]:
    source = BillingSource(path=path, **settings)
    return pa.Table.from_batches(format_of(source).parse(source), CHARGE_ROWS), source


def total(rows: pa.Table, column: str) -> Decimal:
    return exact_sum(cost for cost in rows[column].to_pylist() if cost is not None)


def test_every_format_has_the_key_of_its_file() -> None:
    files = {path.stem for path in Path(collectors.billing.__file__).parent.glob("[!_]*.py")} - {"base"}
    assert set(formats()) == files
    assert all(item.key == name for name, item in formats().items())


def test_the_official_sample_sums_exactly() -> None:
    rows, source = read(OFFICIAL)
    assert rows.num_rows == 502
    assert {name: total(rows, name) for name in OFFICIAL_TOTALS} == OFFICIAL_TOTALS
    assert dict(source.notes) == {}


@pytest.mark.parametrize("name", ["aws_focus_1.2_p5_savings_plan", "aws_focus_1.2_p5_savings_plan.restated"])
def test_the_constructed_month_sums_to_its_expected_totals(name: str) -> None:
    expected = json.loads((GOLDEN / f"{name}.expected.json").read_text())
    rows, _ = read(GOLDEN / f"{name}.csv")
    assert rows.num_rows == expected["rows"]
    for key, value in expected.items():
        if key.startswith("sum_"):
            assert total(rows, key.removeprefix("sum_")) == Decimal(value), key


def test_parquet_with_binary_costs_gives_the_same_rows_and_says_so() -> None:
    exact, _ = read(OFFICIAL)
    binary, source = read(GOLDEN / "focus-00001.snappy.parquet")
    assert binary.num_rows == 502
    assert {name: total(binary, name) for name in OFFICIAL_TOTALS} == OFFICIAL_TOTALS
    for column in ("ChargePeriodStart", "BillingPeriodEnd", "BillingCurrency", "ProviderName"):
        assert sorted(binary[column].to_pylist()) == sorted(exact[column].to_pylist())
    (note,) = source.notes
    assert "binary floating point" in note


def test_parquet_decimals_times_and_maps_are_taken_as_they_are(tmp_path: Path) -> None:
    utc = pa.timestamp("ns", tz="UTC")
    start, end = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    table = pa.table(
        {
            "BilledCost": pa.array([Decimal("12345678901234567890.123456789012345678")], pa.decimal128(38, 18)),
            "ListCost": pa.array([1.23e-17], pa.float64()),
            "EffectiveCost": pa.array([12345678901.25], pa.float64()),
            "BillingCurrency": pa.array(["USD"]).dictionary_encode(),
            **{name: pa.array([start], utc) for name in ("BillingPeriodStart", "ChargePeriodStart")},
            "BillingPeriodEnd": pa.array([end.date()], pa.date32()),
            "ChargePeriodEnd": pa.array([end], utc),
            "ChargeCategory": ["Usage"],
            "Tags": pa.array([[("team", "search")]], pa.map_(pa.string(), pa.string())),
            "x_Discounts": pa.array([{"edp": "0.1"}]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    row = read(tmp_path / "a.parquet")[0].to_pylist()[0]
    assert row["BilledCost"] == Decimal("12345678901234567890.123456789012345678")
    assert row["ListCost"] == Decimal("0.000000000000000012")
    assert row["EffectiveCost"] == Decimal("12345678901.25")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (datetime(2026, 10, 1), datetime(2026, 11, 1))  # noqa: DTZ001
    assert json.loads(row["Tags"]) == {"team": "search"}
    assert json.loads(row["extra"]) == {"x_Discounts": '{"edp": "0.1"}'}


# Reading cells --------------------------------------------------------------------------------------------------------


def one(tmp_path: Path, **cells: str | None) -> dict:
    rows, _ = read(bill(tmp_path / "one.csv", cells))
    return rows.to_pylist()[0]


@pytest.mark.parametrize("null", ["", "NULL", "null"])
def test_nulls_are_null_in_every_kind_of_column(tmp_path: Path, null: str) -> None:
    row = one(tmp_path, EffectiveCost=null, ServiceName=null, Tags=null, x_Note=null)
    assert [row[name] for name in ("EffectiveCost", "ServiceName", "Tags", "extra")] == [None] * 4


@pytest.mark.parametrize(
    "text",
    [
        "2026-10-05T02:00:00Z",
        "2026-10-05 02:00:00",
        "2026-10-05T02:00Z",
        "2026-10-05T02:00:00.000Z",
        "2026-10-05 02:00:00 UTC",
        "2026-10-05T04:00:00+02:00",
        "2026-10-04T21:30:00-0430",
    ],
)
def test_iso_8601_in_its_spellings_is_one_moment(tmp_path: Path, text: str) -> None:
    row = one(tmp_path, ChargePeriodStart=text, ChargePeriodEnd="2026-10-06")
    assert row["ChargePeriodStart"] == datetime(2026, 10, 5, 2)  # noqa: DTZ001


def test_negative_zero_scientific_and_tiny_amounts_are_kept(tmp_path: Path) -> None:
    amounts = ["-12.50", "0", "5e-06", "1E+3", "0.000000000000000001", "-12.50"]
    rows, _ = read(bill(tmp_path / "a.csv", *({"BilledCost": amount} for amount in amounts)))
    assert rows["BilledCost"].to_pylist() == [Decimal(amount) for amount in amounts], "identical rows are kept too"
    assert rows["row_number"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_what_focus_does_not_name_is_kept_in_extra(tmp_path: Path) -> None:
    row = one(tmp_path, x_Team='say "hi", ü', Id="7")
    assert json.loads(row["extra"]) == {"x_Team": 'say "hi", ü', "Id": "7"}


@pytest.mark.parametrize("tags", ["{'team': 'search'}", '["team"]', "team=search", '{"team": "search"', "[" * 5000])
def test_malformed_tags_are_kept_raw_and_counted(tmp_path: Path, tags: str) -> None:
    rows, source = read(bill(tmp_path / "a.csv", {"Tags": tags}, {}))
    first, second = rows.to_pylist()
    assert first["Tags"] is None
    assert json.loads(first["extra"]) == {"Tags": tags}
    assert (second["Tags"], second["extra"]) == (CHARGE["Tags"], None)
    assert dict(source.notes) == {"Tags cells that are no JSON object, kept as they are in `extra`": 1}


def test_formulas_and_line_breaks_in_cells_are_just_text(tmp_path: Path) -> None:
    text = "=cmd|'/c calc'!A1\n\"quoted\", second line"
    assert one(tmp_path, ChargeDescription=text)["ChargeDescription"] == text


def test_a_byte_order_mark_and_any_line_ends_are_read(tmp_path: Path) -> None:
    plain = bill(tmp_path / "a.csv", {}, {}).read_bytes()
    for number, raw in enumerate([b"\xef\xbb\xbf" + plain, plain.replace(b"\n", b"\r\n"), gzip.compress(plain)]):
        (tmp_path / f"{number}.csv").write_bytes(raw)
        assert read(tmp_path / f"{number}.csv")[0].num_rows == 2


def test_a_currency_that_the_file_lacks_may_be_named(tmp_path: Path) -> None:
    rows, _ = read(bill(tmp_path / "a.csv", {"BillingCurrency": None}), currency="EUR")
    assert rows["BillingCurrency"].to_pylist() == ["EUR"]


def test_a_large_file_comes_in_batches(tmp_path: Path) -> None:
    source = BillingSource(path=bill(tmp_path / "a.csv", *({"BilledCost": str(n)} for n in range(20_003))))
    batches = list(format_of(source).parse(source))
    assert [batch.num_rows for batch in batches] == [20_000, 3]
    assert batches[1]["row_number"].to_pylist() == [20_001, 20_002, 20_003]
    assert set(FOCUS_COLUMNS) < set(batches[0].schema.names)
