"""FOCUS files, golden: the totals a provider's file really has, to the last digit, whatever form it comes in."""

import csv
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
from costlib.billing import FOCUS_COLUMNS, REQUIRED_COLUMNS
from costlib.errors import BadRecord
from tests.collectors.billing.samples import read, rows_of, total, written
from tests.store.builders import CHARGE, bill

GOLDEN = Path(__file__).with_name("focus")
OFFICIAL = GOLDEN / "focus_1.0_official_mixed_part1.csv.gz"
OFFICIAL_TOTALS = {
    "BilledCost": Decimal("5.07502739051"),
    "EffectiveCost": Decimal("1.81354239318"),
    "ListCost": Decimal("5.01442739051"),
}


def test_every_format_has_the_key_of_its_file() -> None:
    files = {path.stem for path in Path(collectors.billing.__file__).parent.glob("[!_]*.py")} - {"base"}
    assert set(formats()) == files
    assert all(item.key == name for name, item in formats().items())


def test_the_official_sample_sums_exactly() -> None:
    rows, source = read(OFFICIAL)
    assert rows.num_rows == 502
    assert {name: total(rows, name) for name in OFFICIAL_TOTALS} == OFFICIAL_TOTALS
    assert dict(source.notes) == {
        "file with the columns of FOCUS 1.0": 1,
        "columns that FOCUS does not have, kept in `extra`: Id": 1,
    }


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
    assert any("binary floating point" in note for note in source.notes)


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
    return rows_of(bill(tmp_path / "one.csv", cells))[0]


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


def test_b14_more_decimals_than_are_kept_are_rounded_once_and_kept_beside(tmp_path: Path) -> None:
    row = one(tmp_path, BilledCost="0.0122642774999509435", ListCost="1.50000000000000000000000")
    assert (row["BilledCost"], row["ListCost"]) == (Decimal("0.012264277499950944"), Decimal("1.5"))
    assert json.loads(row["extra"]) == {"x_BilledCostAsExported": "0.0122642774999509435"}


def test_what_focus_does_not_name_is_kept_in_extra(tmp_path: Path) -> None:
    row = one(tmp_path, x_Team='say "hi", ü', Id="7")
    assert json.loads(row["extra"]) == {"x_Team": 'say "hi", ü', "Id": "7"}


@pytest.mark.parametrize("tags", ["{'team': 'search'}", '["team"]', "team=search", '{"team": "search"', "[" * 5000])
def test_b33_malformed_tags_are_kept_raw_and_counted(tmp_path: Path, tags: str) -> None:
    rows, source = read(bill(tmp_path / "a.csv", {"Tags": tags}, {}))
    first, second = rows.to_pylist()
    assert first["Tags"] is None
    assert json.loads(first["extra"]) == {"Tags": tags}
    assert (second["Tags"], second["extra"]) == (CHARGE["Tags"], None)
    assert source.notes["Tags cells that are no JSON object, kept as they are in `extra`"] == 1


def test_tags_as_a_list_of_keys_and_values_are_an_object(tmp_path: Path) -> None:
    """So BigQuery has them."""
    row = one(tmp_path, Tags='[{"key": "team", "value": "search"}, {"key": "a.b", "value": ""}]')
    assert json.loads(row["Tags"]) == {"team": "search"}
    assert row["extra"] is None


@pytest.mark.parametrize(
    "tags",
    [
        json.dumps({"team": "x" * 65_536}),
        json.dumps({"a.b": "c.d", 'say "hi"': "it's", "": "empty key", "user:team": "Größe 京"}),
    ],
    ids=["64 KiB", "odd keys"],
)
def test_b33_large_values_and_odd_keys_are_kept_to_the_letter(tmp_path: Path, tags: str) -> None:
    assert one(tmp_path, Tags=tags)["Tags"] == tags


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|'/c calc'!A1\n\"quoted\", second line",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "a\0b",
        "\uff1d1+1",
        " leading and trailing ",
    ],
)
def test_b25_formula_text_is_stored_as_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        charge = {**CHARGE, "ChargeDescription": text, "x_Note": text}
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([charge.keys(), charge.values()])
    (row,) = rows_of(path)
    assert row["ChargeDescription"] == text
    assert json.loads(row["extra"]) == {"x_Note": text}


def test_b19_identical_rows_of_one_file_are_all_kept(tmp_path: Path) -> None:
    rows, _ = read(bill(tmp_path / "a.csv", {}, {}, {}))
    assert rows.num_rows == 3
    assert total(rows, "BilledCost") == Decimal("4.50")


def test_b10_a_byte_order_mark_utf_16_and_any_line_ends_are_read(tmp_path: Path) -> None:
    plain = bill(tmp_path / "a.csv", {"ServiceName": "Größe"}, {}).read_bytes()
    text = plain.decode()
    for number, raw in enumerate(
        [
            b"\xef\xbb\xbf" + plain,
            plain.replace(b"\n", b"\r\n"),
            plain.replace(b"\n", b"\r"),
            plain.replace(b"\n", b"\r\n", 1),
            gzip.compress(plain),
            text.encode("utf-16"),
            b"\xfe\xff" + text.encode("utf-16-be"),
            gzip.compress(text.encode("utf-16")),
        ]
    ):
        rows = rows_of(written(tmp_path, f"{number}.csv", raw))
        assert [row["ServiceName"] for row in rows] == ["Größe", "EC2"], number


def test_a_currency_that_the_file_lacks_may_be_named(tmp_path: Path) -> None:
    rows, _ = read(bill(tmp_path / "a.csv", {"BillingCurrency": None}), currency="EUR")
    assert rows["BillingCurrency"].to_pylist() == ["EUR"]


def test_a_large_file_comes_in_batches(tmp_path: Path) -> None:
    source = BillingSource(path=bill(tmp_path / "a.csv", *({"BilledCost": str(n)} for n in range(20_003))))
    batches, fractions = [], []
    for batch in format_of(source).parse(source):
        batches.append(batch)
        fractions.append(source.reading.fraction)
    assert 0 < fractions[0] <= fractions[1] == 1, "how far it is read, for whoever waits"
    assert [batch.num_rows for batch in batches] == [20_000, 3]
    assert batches[1]["row_number"].to_pylist() == [20_001, 20_002, 20_003]
    assert set(FOCUS_COLUMNS) < set(batches[0].schema.names)


# Versions and names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "version"), [("Id", "1.0"), ("SkuMeter", "1.1"), ("InvoiceId", "1.2"), ("AllocatedTags", "1.3")]
)
def test_the_version_is_told_by_the_newest_column(tmp_path: Path, column: str, version: str) -> None:
    _, source = read(bill(tmp_path / "a.csv", {column: "x"}))
    assert source.notes[f"file with the columns of FOCUS {version}"] == 1


def test_b16_the_names_of_1_3_stand_for_those_before_them(tmp_path: Path) -> None:
    """Instead of the older columns, and beside them where those are empty."""
    newer = {"ServiceProviderName": "Vendor", "HostProviderName": "Cloud"}
    assert one(tmp_path, **newer, ProviderName=None)["ProviderName"] == "Vendor"
    rows = rows_of(bill(tmp_path / "b.csv", {**newer, "ProviderName": "NULL"}, {**newer, "ProviderName": "AWS"}))
    assert [row["ProviderName"] for row in rows] == ["Vendor", "AWS"]
    assert {row["PublisherName"] for row in rows} == {"Cloud"}


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda name: f" {name} "])
def test_b16_names_in_another_case_are_the_same_columns(tmp_path: Path, change) -> None:
    header, _, rest = bill(tmp_path / "a.csv").read_text().partition("\n")
    other = ",".join(map(change, header.split(",")))
    (row,) = rows_of(written(tmp_path, "b.csv", f"{other}\n{rest}"))
    assert (row["BilledCost"], row["ServiceName"], row["Tags"]) == (Decimal("1.5"), "EC2", CHARGE["Tags"])


@pytest.mark.parametrize("spelled", ["billed_cost", "Billed Cost", " BILLED COST "])
def test_b16_names_as_databases_and_spreadsheets_write_them_are_the_same_columns(tmp_path: Path, spelled: str) -> None:
    path = bill(tmp_path / "a.csv", {"BilledCost": "2.25"})
    path.write_text(path.read_text().replace("BilledCost", spelled, 1))
    rows, source = read(path)
    assert rows["BilledCost"].to_pylist() == [Decimal("2.25")]
    assert source.notes["file with column names in another spelling than FOCUS has"] == 1


def test_b16_one_column_in_two_cases_is_refused(tmp_path: Path) -> None:
    text = bill(tmp_path / "a.csv").read_text().replace("EffectiveCost", "billedcost")
    with pytest.raises(BadRecord, match="has the column BilledCost more than once"):
        read(written(tmp_path, "b.csv", text))


def test_split_allocation_columns_are_kept_in_extra(tmp_path: Path) -> None:
    allocated = {"AllocatedMethodId": "m-1", "AllocatedResourceId": "pod-1", "AllocatedTags": '{"team": "a"}'}
    assert json.loads(one(tmp_path, **allocated)["extra"]) == allocated


def test_b15_unknown_columns_are_kept_and_reported(tmp_path: Path) -> None:
    rows, source = read(bill(tmp_path / "a.csv", {"Team": "search", "x_Note": "n"}))
    assert json.loads(rows.to_pylist()[0]["extra"]) == {"Team": "search", "x_Note": "n"}
    assert source.notes["columns that FOCUS does not have, kept in `extra`: Team"] == 1


def test_use_without_cost_is_capacity_that_costs_nothing_yet() -> None:
    rows, source = read(GOLDEN / "coreweave_focus_1.2_usage_only.csv")
    assert total(rows, "PricingQuantity") == 24
    assert set(rows["PricingUnit"].to_pylist()) == {"GPU-Hours"}
    assert rows["EffectiveCost"].null_count == 3
    assert source.notes["rows with a quantity and no cost: capacity, to be priced from the invoice"] == 3


def test_a_file_without_cost_and_without_quantity_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="lacks the column BilledCost"):
        read(bill(tmp_path / "a.csv", {"BilledCost": None, "EffectiveCost": None}))


@pytest.mark.parametrize("column", ["InvoiceDetailId", "ContractCommitmentId", "BillingPeriodStatus"])
def test_other_focus_datasets_are_no_cost_and_usage(tmp_path: Path, column: str) -> None:
    header = [name for name in REQUIRED_COLUMNS if not name.startswith("ChargePeriod")]
    with pytest.raises(BadRecord, match="is the FOCUS dataset"):
        read(written(tmp_path, "a.csv", f"{','.join([*header, column])}\n"))
