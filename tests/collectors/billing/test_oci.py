"""Oracle Cloud cost reports: pieces of a day that add up, corrections as new rows, shapes and tags."""

import csv
import gzip
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.billing import format_of
from collectors.billing.base import Delivery
from collectors.importer import import_files
from costlib.errors import BadRecord
from store.home import Home
from store.read import open_snapshot
from tests.collectors.billing.samples import read, rows_of, total, written

SAMPLE = Path(__file__).parent / "oci" / "oci_cost_report_part1.csv.gz"

ROW = {
    "lineItem/referenceNo": "ref-1",
    "lineItem/tenantId": "ocid1.tenancy.oc1..a",
    "lineItem/intervalUsageStart": "2026-10-31T23:00Z",
    "lineItem/intervalUsageEnd": "2026-11-01T00:00:00Z",
    "product/service": "COMPUTE",
    "product/Description": "Compute - BM.GPU.H100.8",
    "product/resourceId": "ocid1.instance.oc1..b",
    "usage/billedQuantity": "8",
    "cost/productSku": "B98415",
    "cost/unitPrice": "10",
    "cost/myCost": "80",
    "cost/myCostOverage": "",
    "cost/currencyCode": "USD",
    "cost/billingUnitReadable": "1 NONE HOURS GPU",
    "cost/skuUnitDescription": "GPU Per Hour",
    "lineItem/isCorrection": "false",
    "lineItem/backreferenceNo": "",
    "tags/Team.name": "search",
    "tags/orcl-cloud.free": "",
}


def report(folder: Path, *rows: dict, name: str = "report.csv") -> Path:
    lines = [list(ROW), *([*{**ROW, **row}.values()] for row in rows or ({},))]
    return written(folder, name, "".join(",".join(cells) + "\n" for cells in lines))


def test_the_sample_has_its_own_total() -> None:
    rows, source = read(SAMPLE)
    assert format_of(source).key == "oci"
    assert rows.num_rows == 253
    assert total(rows, "BilledCost") == total(rows, "EffectiveCost") == Decimal("1.067936567393528412")
    with gzip.open(SAMPLE, "rt", newline="") as file:
        ids = {row["lineItem/referenceNo"] for row in csv.DictReader(file)}
    assert {json.loads(extra)["lineItem/referenceNo"] for extra in rows["extra"].to_pylist()} == ids


def test_an_hour_of_a_gpu_shape(tmp_path: Path) -> None:
    (row,) = rows_of(report(tmp_path))
    assert json.loads(row["SkuPriceDetails"]) == {"GpuCount": 1, "InstanceType": "BM.GPU.H100.8"}
    assert (row["PricingQuantity"], row["PricingUnit"], row["ServiceCategory"]) == (8, "Hours", "Compute")
    assert row["ChargePeriodStart"] == datetime(2026, 10, 31, 23)  # noqa: DTZ001
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (datetime(2026, 10, 1), datetime(2026, 11, 1))  # noqa: DTZ001
    assert json.loads(row["Tags"]) == {"Team.name": "search"}
    assert (row["ProviderName"], row["ChargeClass"]) == ("Oracle", None)


@pytest.mark.parametrize(
    ("unit", "kept"),
    [("Hours", "Hours"), ("Instance per hour", "Hours"), ("OCPU Hours", "OCPU Hours"), ("GB Months", "GB Months")],
)
def test_hours_of_a_machine_are_hours_and_other_units_stay(tmp_path: Path, unit: str, kept: str) -> None:
    row = rows_of(report(tmp_path, {"cost/skuUnitDescription": unit, "cost/billingUnitReadable": ""}))[0]
    assert row["PricingUnit"] == kept
    assert json.loads(row["SkuPriceDetails"]) == {"InstanceType": "BM.GPU.H100.8"}


def test_b05_a_correction_is_a_row_that_says_which_it_corrects(tmp_path: Path) -> None:
    correction = {
        "lineItem/referenceNo": "ref-2",
        "lineItem/isCorrection": "true",
        "lineItem/backreferenceNo": "ref-1",
        "cost/myCost": "-30",
    }
    rows, _ = read(report(tmp_path, {}, correction))
    assert rows["ChargeClass"].to_pylist() == [None, "Correction"]
    assert json.loads(rows["extra"].to_pylist()[1])["lineItem/backreferenceNo"] == "ref-1"
    assert total(rows, "BilledCost") == 50


def test_an_overage_is_said_and_not_added(tmp_path: Path) -> None:
    rows, source = read(report(tmp_path, {"cost/myCostOverage": "5"}))
    assert total(rows, "BilledCost") == 80
    assert "cost/myCostOverage" in next(iter(source.notes))


def test_a_report_of_usage_alone_is_refused(tmp_path: Path) -> None:
    path = report(tmp_path)
    path.write_text(path.read_text().replace("cost/myCost,", "usage/other,"))
    with pytest.raises(BadRecord, match="no column for BilledCost"):
        read(path)


def test_pieces_of_a_month_add_up_and_a_piece_that_comes_again_adds_nothing(home: Home, tmp_path: Path) -> None:
    first = report(tmp_path, {}, {"lineItem/referenceNo": "ref-2"}, name="1.csv")
    second = report(tmp_path, {"lineItem/referenceNo": "ref-2"}, {"lineItem/referenceNo": "ref-3"}, name="2.csv")
    assert format_of(read(first)[1]).delivery is Delivery.APPEND
    import_files([first], home)
    import_files([second], home)
    assert billed(home) == 240


def billed(home: Home) -> Decimal:
    snapshot = open_snapshot(home)
    assert snapshot
    with snapshot:
        return snapshot.months()["billed"].sum()
