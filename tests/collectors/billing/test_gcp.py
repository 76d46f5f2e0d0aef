"""Google Cloud billing exports: net cost in every spelling of credits, invoice months, GPUs, rows that come late."""

import csv
import gzip
import io
import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.billing import _tables, format_of
from collectors.billing._gcp_cells import records_of, value_of
from collectors.billing.base import Delivery
from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.errors import BadRecord
from store.home import Home
from store.read import open_snapshot
from tests.collectors.billing.samples import read, rows_of, total, written

GOLDEN = Path(__file__).with_name("gcp")
NESTED = GOLDEN / "gcp_detailed_a3_nested.jsonl"
EXPECTED = json.loads(NESTED.with_suffix(".expected.json").read_text())

CUD = {"type": "COMMITTED_USAGE_DISCOUNT", "name": "CUD", "full_name": "Committed use", "id": "cud-1", "amount": -23.5}
PROMO = {"type": "PROMOTION", "name": "Startup", "full_name": "", "id": "promo-1", "amount": -4.25}
ROW = {
    "billing_account_id": "01AB23-CD45EF-678901",
    "service": {"id": "6F81-5844-456A", "description": "Compute Engine"},
    "sku": {"id": "AAAA-1111", "description": "Nvidia H100 80GB GPU running in Americas"},
    "usage_start_time": "2026-10-01T05:00:00Z",
    "usage_end_time": "2026-10-01T06:00:00Z",
    "project": {"id": "ml-prod", "name": "ml", "labels": [{"key": "env", "value": "prod"}]},
    "labels": [{"key": "team", "value": "search"}],
    "system_labels": [{"key": "compute.googleapis.com/machine_spec", "value": "a3-highgpu-8g"}],
    "location": {"location": "us-central1", "region": "us-central1", "zone": "us-central1-a"},
    "resource": {"name": "projects/ml-prod/instances/vllm-0", "global_name": "//compute.googleapis.com/i/42"},
    "export_time": "2026-10-02T09:14:55.123456Z",
    "cost": 78.25,
    "cost_at_list": 90.5,
    "currency": "USD",
    "usage": {"amount": 28800.0, "unit": "seconds", "amount_in_pricing_units": 8.0, "pricing_unit": "hour"},
    "credits": [CUD, PROMO],
    "invoice": {"month": "202609"},
    "cost_type": "regular",
}
NET = Decimal("50.5")  # 78.25 - 23.5 - 4.25
REPEATED = ("labels", "system_labels", "credits")


def lines(folder: Path, *rows: dict, name: str = "export.jsonl") -> Path:
    return written(folder, name, "".join(json.dumps({**ROW, **row}) + "\n" for row in rows or ({},)))


def flat(row: dict, separator: str = ".") -> dict:
    """One cell per member of a record; lists as they are."""
    cells = {}
    for name, value in row.items():
        members = value.items() if isinstance(value, dict) else [("", value)]
        cells |= {f"{name}{separator}{member}" if member else name: cell for member, cell in members}
    return cells


def table(folder: Path, *rows: dict, name: str = "export.csv") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return written(folder, name, text.getvalue())


def seen(path: Path) -> list[dict]:
    """What a file says, whatever its spelling: every column but what is kept as it was."""
    return [{name: value for name, value in row.items() if name not in ("extra", "Tags")} for row in rows_of(path)]


# Samples --------------------------------------------------------------------------------------------------------------


def test_the_nested_sample_has_its_own_net_by_invoice_month() -> None:
    rows, source = read(NESTED)
    assert format_of(source).key == "gcp"
    assert total(rows, "BilledCost") == total(rows, "EffectiveCost") == Decimal(EXPECTED["net"])
    by_month: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows.to_pylist():
        by_month[f"{row['BillingPeriodStart']:%Y%m}"] += row["BilledCost"]
    assert by_month == {month: Decimal(net) for month, net in EXPECTED["net_by_invoice_month"].items()}
    assert len(set(rows["row_number"].to_pylist())) == EXPECTED["rows"]


@pytest.mark.parametrize(
    ("name", "charges_count", "credits_count", "net"),
    [
        ("gcp_standard_export_2020-11.csv.gz", 25, 8, "0"),  # a free trial pays for all of it
        ("nise_gpu_202610.csv.gz", 144, 48, "2947.7505238464"),
    ],
)
def test_a_sample_has_its_own_net(name: str, charges_count: int, credits_count: int, net: str) -> None:
    rows, _ = read(GOLDEN / name)
    assert rows.num_rows == charges_count + credits_count
    assert rows["ChargeCategory"].to_pylist().count("Credit") == credits_count
    assert total(rows, "BilledCost") == Decimal(net)


# Credits --------------------------------------------------------------------------------------------------------------


def test_b12_a_price_agreed_lowers_its_charge_and_money_given_is_a_charge_of_its_own(tmp_path: Path) -> None:
    charge, credit = rows_of(lines(tmp_path))
    assert (charge["BilledCost"], charge["ContractedCost"], charge["ListCost"]) == (
        Decimal("54.75"),
        Decimal("78.25"),
        Decimal("90.5"),
    )
    assert (charge["PricingCategory"], charge["CommitmentDiscountStatus"]) == ("Committed", "Used")
    assert (charge["CommitmentDiscountType"], charge["CommitmentDiscountId"]) == ("Committed Use", "cud-1")
    assert (credit["ChargeCategory"], credit["BilledCost"], credit["row_number"]) == ("Credit", Decimal("-4.25"), 1)
    assert (credit["ChargeDescription"], credit["ResourceName"]) == ("Startup", "vllm-0")
    assert json.loads(credit["extra"]) == {"x_CreditId": "promo-1", "x_CreditType": "PROMOTION"}
    assert records_of(json.loads(charge["extra"])["credits"])[0]["id"] == "cud-1"


def spellings(folder: Path) -> dict[str, Path]:
    """The same charge, as everything that takes it out of BigQuery writes it."""
    as_json = {name: json.dumps(value) if isinstance(value, list) else value for name, value in flat(ROW).items()}
    parts = {name: {**as_json, name: repr(flat(ROW)[name])} for name in REPEATED}
    in_python = {**as_json, **{name: cells[name] for name, cells in parts.items()}}
    blank = dict.fromkeys(as_json, "")
    member_names = ("type", "name", "full_name", "id", "amount")

    def with_credit(row: dict, credit: dict) -> dict:
        columns = {name: cell for name, cell in row.items() if name != "credits"}
        return columns | {f"credits.{member}": credit[member] for member in member_names}

    paths = {
        "JSON lines": lines(folder),
        "JSON array": written(folder, "a.json", json.dumps([ROW], indent=2)),
        "numbers as text": lines(
            folder, {"cost": "78.25", "credits": [{**CUD, "amount": "-23.50"}, PROMO]}, name="t.jsonl"
        ),
        "CSV, lists in JSON": table(folder, as_json, name="j.csv"),
        "CSV, lists in Python": table(folder, in_python, name="p.csv"),
        "CSV, names with underscores": table(
            folder, {name.replace(".", "_"): cell for name, cell in as_json.items()}, name="u.csv"
        ),
        "CSV, records in one cell": table(
            folder,
            {name: json.dumps(cell) if isinstance(cell, dict | list) else cell for name, cell in ROW.items()},
            name="r.csv",
        ),
        "console, blank continuations": table(
            folder, with_credit(as_json, CUD), with_credit(blank, PROMO), name="b.csv"
        ),
        "console, repeated charges": table(
            folder, with_credit(as_json, CUD), with_credit(as_json, PROMO), name="c.csv"
        ),
        "Parquet, nested": folder / "n.parquet",
        "Parquet, lists with elements": folder / "e.parquet",
    }
    pq.write_table(pa.Table.from_pylist([ROW]), folder / "n.parquet")
    wrapped = {name: {"list": [{"element": item} for item in ROW[name]]} for name in REPEATED}
    pq.write_table(pa.Table.from_pylist([{**ROW, **wrapped}]), folder / "e.parquet")
    (folder / "j.csv.gz").write_bytes(gzip.compress((folder / "j.csv").read_bytes()))
    return paths | {"gzip": folder / "j.csv.gz"}


def test_b12_every_spelling_of_nested_credits_is_the_same_charge(tmp_path: Path) -> None:
    paths = spellings(tmp_path)
    expected = seen(paths["JSON lines"])
    assert exact_sum(row["BilledCost"] for row in expected) == NET
    for spelling, path in paths.items():
        assert seen(path) == expected, spelling
        assert json.loads(rows_of(path)[0]["Tags"])["team"] == "search", spelling


def test_a_single_credit_that_is_no_list_and_none_at_all(tmp_path: Path) -> None:
    assert total(read(lines(tmp_path, {"credits": CUD}))[0], "BilledCost") == Decimal("54.75")
    for nothing in ([], {}, None, "", "[]"):
        assert total(read(lines(tmp_path, {"credits": nothing}))[0], "BilledCost") == Decimal("78.25")


def test_b19_identical_charges_stay_two_even_where_a_console_repeats_charges(tmp_path: Path) -> None:
    charge = {name: cell for name, cell in flat(ROW).items() if name not in REPEATED}
    of_cud, of_promo = ({f"credits.{key}": value for key, value in credit.items()} for credit in (CUD, PROMO))
    rows, _ = read(table(tmp_path, charge | of_cud, charge | of_promo, charge | of_cud, charge | of_promo))
    assert total(rows, "BilledCost") == 2 * NET


def test_a_charge_whose_credits_go_on_in_the_next_chunk_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tables, "CHUNK_ROWS", 1)
    path = spellings(tmp_path)["console, blank continuations"]
    assert total(read(path)[0], "BilledCost") == NET


@pytest.mark.parametrize(
    "cell",
    ["__import__('os').getcwd()", "[{'amount': 1 + 1}]", "[{'amount': 'NaN'}]", "[{'amount': 'x'}]", "[5]", "[{"],
)
def test_what_is_no_list_of_credits_is_refused_and_never_run(tmp_path: Path, cell: str) -> None:
    path = table(tmp_path, {**flat(ROW), "credits": cell})
    with pytest.raises(BadRecord, match=r"row 1 \(line 2\), column credits: .* cannot be read as credits"):
        read(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=8) | st.decimals(allow_nan=False, allow_infinity=False, places=9),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
        max_leaves=8,
    )
)
def test_a_python_literal_is_read_as_it_was_written_with_exact_numbers(value: object) -> None:
    assert value_of(written_in_python(value)) == value


def written_in_python(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {written_in_python(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written_in_python, value)) + "]"
    return repr(value)


def test_an_extract_without_the_column_of_credits_says_so(tmp_path: Path) -> None:
    cells = {name: cell for name, cell in flat(ROW).items() if name != "credits"}
    rows, source = read(table(tmp_path, cells))
    assert total(rows, "BilledCost") == Decimal("78.25")
    assert source.notes["rows of an extract without the column credits, whose cost is that before any discount"] == 1


def test_b14_amounts_beyond_the_kept_decimals_are_added_first_and_rounded_once(tmp_path: Path) -> None:
    tiny = {**CUD, "amount": "-0.0000000000000000004"}
    path = lines(tmp_path, {"cost": "1.0000000000000000009", "credits": [tiny, tiny]})
    rows, source = read(path)
    assert total(rows, "BilledCost") == Decimal(1)
    assert "rounded there" in " ".join(source.notes)


# Months, kinds, machines ----------------------------------------------------------------------------------------------


def test_the_billing_period_is_the_invoice_month_in_pacific_time(tmp_path: Path) -> None:
    row = rows_of(lines(tmp_path))[0]
    assert row["ChargePeriodStart"] == datetime(2026, 10, 1, 5)  # noqa: DTZ001
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (datetime(2026, 9, 1), datetime(2026, 10, 1))  # noqa: DTZ001


@pytest.mark.parametrize("month", ["", "202613", "September"])
def test_a_month_that_is_none_is_refused(tmp_path: Path, month: str) -> None:
    with pytest.raises(BadRecord, match="row 1, column BillingPeriodStart"):
        read(lines(tmp_path, {"invoice": {"month": month}}))


def test_a_file_without_invoice_months_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="no column for invoice_month"):
        read(lines(tmp_path, {"invoice": {}}))


@pytest.mark.parametrize(
    ("changes", "category", "charge_class", "pricing"),
    [
        ({}, "Usage", None, "Standard"),
        ({"sku": {"description": "Spot Preemptible Nvidia H100 80GB GPU"}}, "Usage", None, "Dynamic"),
        ({"sku": {"description": "Commitment v1: Nvidia H100 for 1 year"}}, "Purchase", None, "Standard"),
        ({"cost_type": "tax"}, "Tax", None, None),
        ({"cost_type": "adjustment"}, "Adjustment", None, None),
        ({"cost_type": "rounding_error"}, "Adjustment", None, None),
        ({"adjustment_info": {"id": "adj-7", "type": "USAGE_CORRECTION"}}, "Usage", "Correction", "Standard"),
        ({"cost_type": "levy"}, "Usage", None, "Standard"),
    ],
)
def test_kinds_of_charges_in_the_words_of_focus(
    tmp_path: Path, changes: dict, category: str, charge_class: str | None, pricing: str | None
) -> None:
    (row,) = rows_of(lines(tmp_path, {"credits": []} | changes))
    assert (row["ChargeCategory"], row["ChargeClass"], row["PricingCategory"]) == (category, charge_class, pricing)


@pytest.mark.parametrize(
    ("sku", "details"),
    [
        ("Nvidia H100 80GB GPU running in Americas", {"InstanceType": "a3-highgpu-8g", "GpuCount": 1}),
        ("A3 Instance Core running in Americas", None),
        ("A3 Instance Ram running in Americas", None),
    ],
)
def test_a_gpu_sku_counts_gpus_and_the_rest_of_the_machine_has_none(
    tmp_path: Path, sku: str, details: dict | None
) -> None:
    row = rows_of(lines(tmp_path, {"sku": {"id": "s", "description": sku}}))[0]
    assert (row["SkuPriceDetails"] and json.loads(row["SkuPriceDetails"])) == details
    assert (row["PricingQuantity"], row["PricingUnit"]) == (8, "Hours")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == (28800, "seconds")


def test_a_disk_and_a_network_of_compute_engine_are_no_compute(tmp_path: Path) -> None:
    texts = ["Storage PD Capacity", "Network Inter Zone Egress", "Nvidia H100 80GB GPU"]
    rows = rows_of(lines(tmp_path, *({"sku": {"description": text}, "credits": []} for text in texts)))
    assert [row["ServiceCategory"] for row in rows] == ["Storage", "Networking", "Compute"]


def test_a_reservation_that_nobody_used_is_said(tmp_path: Path) -> None:
    unused = [{"key": "compute.googleapis.com/is_unused_reservation", "value": "true"}]
    assert rows_of(lines(tmp_path, {"system_labels": unused}))[0]["CapacityReservationStatus"] == "Unused"


def test_the_nearest_label_counts(tmp_path: Path) -> None:
    labels = [{"key": "env", "value": "test"}, {"key": "team", "value": "=cmd|x"}]
    assert json.loads(rows_of(lines(tmp_path, {"labels": labels}))[0]["Tags"]) == {"env": "test", "team": "=cmd|x"}


def test_b33_labels_that_cannot_be_read_are_kept(tmp_path: Path) -> None:
    rows, source = read(lines(tmp_path, {"labels": "team=search", "credits": []}))
    row = rows.to_pylist()[0]
    assert row["Tags"] is None
    assert "team=search" in row["extra"]
    assert source.notes["Tags cells that are no JSON object, kept as they are in `extra`"] == 1


# Late rows ------------------------------------------------------------------------------------------------------------


def test_b34_late_rows_join_their_invoice_month_and_overlapping_extracts_count_once(home: Home, tmp_path: Path) -> None:
    early = [{"credits": [], "cost": "10"}, {"credits": [], "cost": "10"}]  # two identical rows are two
    late = {"credits": [], "cost": "-3.5", "export_time": "2026-10-09T00:00:00Z"}
    assert format_of(read(lines(tmp_path))[1]).delivery is Delivery.APPEND
    import_files([lines(tmp_path, *early, name="1.jsonl")], home)
    import_files([lines(tmp_path, *early, late, name="2.jsonl")], home)
    import_files([lines(tmp_path, late, name="3.jsonl")], home)
    assert billed(home) == {"2026-09": Decimal("16.5")}


def test_b34_an_extract_that_comes_again_in_another_shape_adds_nothing(home: Home, tmp_path: Path) -> None:
    cells = flat(ROW) | {"export_time": "2026-10-02 09:14:55.123456 UTC", "cost": "78.250", "currency": "USD"}
    again = {name: repr(cell) if isinstance(cell, list) else cell for name, cell in sorted(cells.items())}
    as_json, as_csv = lines(tmp_path, {"project": {**ROW["project"], "number": None}}), table(tmp_path, again)
    import_files([as_json], home)
    (receipt,) = import_files([as_csv], home)
    assert receipt.status == "already imported"
    assert billed(home) == {"2026-09": NET}


def test_b20_the_standard_and_the_detailed_export_of_a_month_are_one_money(home: Home, tmp_path: Path) -> None:
    standard = {name: value for name, value in ROW.items() if name != "resource"}
    path = written(tmp_path, "standard.jsonl", json.dumps(standard))
    import_files([lines(tmp_path, name="detailed.jsonl")], home)
    (receipt,) = import_files([path], home)
    assert receipt.status == "refused"
    assert "is a gcp standard statement of Google Cloud" in receipt.detail
    assert "as gcp detailed" in receipt.detail
    assert billed(home) == {"2026-09": NET}
    import_files([path], home, replaces_statement=True)
    assert billed(home) == {"2026-09": NET}, "the one instead of the other"


def test_b34_a_month_of_google_stays_open_for_late_rows(home: Home, tmp_path: Path) -> None:
    import_files([lines(tmp_path)], home)
    snapshot = open_snapshot(home)
    assert snapshot
    with snapshot:
        assert snapshot.months()["state"].tolist() == ["open"]


def billed(home: Home) -> dict[str, Decimal]:
    snapshot = open_snapshot(home)
    assert snapshot
    with snapshot:
        months = snapshot.months()
    return dict(zip(months["month"], months["billed"], strict=True))
