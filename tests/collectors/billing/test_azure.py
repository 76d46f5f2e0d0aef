"""Azure cost details: the variants of its header, its two views, its dates, and what it says of machines."""

import csv
import io
import json
from datetime import datetime
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from collectors.billing import format_of
from collectors.billing._dates import DateOrder, date_order
from collectors.billing.azure import ACTUAL, AMORTISED
from collectors.billing.base import Delivery
from collectors.importer import import_files
from costlib.errors import BadRecord
from store.home import Home
from tests.collectors.billing.samples import read, rows_of, total, written

GOLDEN = Path(__file__).with_name("azure")
EXPECTED = json.loads((GOLDEN / "azure_nd96_reservation.expected.json").read_text())

ROW = {
    "BillingAccountId": "8611537",
    "BillingPeriodStartDate": "09/01/2026",
    "BillingPeriodEndDate": "09/30/2026",
    "SubscriptionId": "sub-1",
    "Date": "09/05/2026",
    "MeterCategory": "Virtual Machines",
    "MeterName": "ND96isr H100 v5",
    "MeterId": "m-1",
    "Quantity": "24",
    "UnitOfMeasure": "1 Hour",
    "CostInBillingCurrency": "2359.68",
    "BillingCurrencyCode": "USD",
    "ConsumedService": "Microsoft.Compute",
    "ResourceId": "/subscriptions/sub-1/resourceGroups/ml/providers/Microsoft.Compute/virtualMachines/vllm-0",
    "AdditionalInfo": '{"ServiceType": "Standard_ND96isr_H100_v5", "VMName": "vllm-0"}',
    "Tags": '"team": "search"',
    "ChargeType": "Usage",
    "PricingModel": "OnDemand",
    "ReservationId": "",
}
RESERVED = {"PricingModel": "Reservation", "ReservationId": "r-1"}


def export(folder: Path, *rows: dict, rename: dict | None = None, name: str = "azure.csv") -> Path:
    """A file of ROWs with these changes; a column set to None is left out."""
    charges = [{**ROW, **row} for row in rows or ({},)]
    columns = [column for column in charges[0] if all(charge[column] is not None for charge in charges)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([(rename or {}).get(column, column) for column in columns])
    writer.writerows([charge[column] for column in columns] for charge in charges)
    return written(folder, name, text.getvalue())


def one(folder: Path, **changes: str | None) -> dict:
    return rows_of(export(folder, changes))[0]


def refusal(path: Path, **settings) -> str:
    with pytest.raises(BadRecord) as caught:
        read(path, **settings)
    return str(caught.value)


# Samples --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows_count", "billed", "effective"),
    [
        ("ea_actual_cost_small.csv", 11, "8.5450077867419368", "5.2950077867419368"),
        # Three of its costs have up to 25 decimals. They are rounded at 18, once each: 16.2969321366366446274854191.
        ("ea_amortized_cost_small.csv.gz", 28, "15.797780136168644627", "16.296932136636644627"),
        ("mca_cost_details_camelcase.csv", 4, "0.0000262412", "0.0000262412"),
        ("headers_Enterprise.csv", 1, "0", "0"),
        ("headers_PayAsYouGo.csv", 1, "0.075", "0.075"),
        ("nise_nd96_h100_1.csv", 6, "7091.04", "7091.04"),
    ],
)
def test_a_sample_has_its_own_totals(name: str, rows_count: int, billed: str, effective: str) -> None:
    rows, source = read(GOLDEN / name)
    assert format_of(source).key == "azure"
    assert format_of(source).delivery is Delivery.REPLACE
    assert rows.num_rows == rows_count
    assert total(rows, "BilledCost") == Decimal(billed)
    assert total(rows, "EffectiveCost") == Decimal(effective)


def test_samples_that_are_no_whole_tables_are_refused_with_the_place() -> None:
    assert "row 1 (line 2), column BilledCost is empty" in refusal(GOLDEN / "headers_BOM.csv")
    assert "has 10 cells where the header has 11" in refusal(GOLDEN / "usage_template_first_rows.csv", currency="USD")


# Header variants ------------------------------------------------------------------------------------------------------

GERMAN = {
    "SubscriptionId": "Abonnement-GUID (SubscriptionGuid)",
    "Date": "Nutzungsdatum (UsageDateTime)",
    "MeterCategory": "Kategorie der Verbrauchseinheit (MeterCategory)",
    "MeterName": "Name der Verbrauchseinheit (MeterName)",
    "MeterId": "ID der Verbrauchseinheit (MeterId)",
    "Quantity": "Verbrauchte Menge (UsageQuantity)",
    "UnitOfMeasure": "Maßeinheit (UnitOfMeasure)",
    "CostInBillingCurrency": "Kosten vor Steuern (PreTaxCost)",
    "BillingCurrencyCode": "Währung (Currency)",
    "ConsumedService": "Genutzter Dienst (ConsumedService)",
    "ResourceId": "Instanz-ID (InstanceId)",
    "AdditionalInfo": "Zusätzliche Informationen (AdditionalInfo)",
    "Tags": "Tags (Tags)",
}
PAY_AS_YOU_GO = {column: name[name.index("(") + 1 : -1] for column, name in GERMAN.items()}


@pytest.mark.parametrize(
    "rename",
    [
        {},
        {column: column[0].lower() + column[1:] for column in ROW},
        {column: column.upper() for column in ROW},
        {"CostInBillingCurrency": "Cost", "BillingCurrencyCode": "BillingCurrency", "ResourceId": "InstanceName"},
        PAY_AS_YOU_GO,
        GERMAN,
    ],
    ids=["enterprise", "camel case", "upper case", "older enterprise", "pay as you go", "German"],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_b16_a_column_is_known_in_any_variant_case_and_language(tmp_path: Path, rename: dict, mark: bytes) -> None:
    path = export(tmp_path, rename=rename)
    path.write_bytes(mark + path.read_bytes())
    (row,) = rows_of(path)
    assert row | {"extra": None} == one(tmp_path) | {"extra": None}


def test_b16_two_spellings_of_one_column_are_refused(tmp_path: Path) -> None:
    path = export(tmp_path, rename={"MeterId": "meter_name"})
    assert "has 'MeterName' and 'meter_name', which mean the same column" in refusal(path)


def test_b15_a_missing_cost_is_named_with_the_columns_that_there_are(tmp_path: Path) -> None:
    reason = refusal(export(tmp_path, {"CostInBillingCurrency": None}))
    assert (
        "no column for BilledCost (known names, whatever their case: costinbillingcurrency, cost, pretaxcost" in reason
    )
    assert "It has BillingAccountId, BillingPeriodStartDate" in reason


def test_a_missing_currency_can_be_named(tmp_path: Path) -> None:
    path = export(tmp_path, {"BillingCurrencyCode": None})
    assert "--currency" in refusal(path)
    assert rows_of(path, currency="EUR")[0]["BillingCurrency"] == "EUR"


# Two views of the same money ------------------------------------------------------------------------------------------


def test_b20_actual_sums_to_the_invoice_and_amortised_to_the_cost_of_use() -> None:
    actual, one_source = read(GOLDEN / "azure_nd96_reservation_actual.csv")
    amortised, other_source = read(GOLDEN / "azure_nd96_reservation_amortized.csv")
    assert total(actual, "BilledCost") == Decimal(EXPECTED["actual_total"])
    assert total(amortised, "EffectiveCost") == Decimal(EXPECTED["amortized_total"])
    unused = [row for row in amortised.to_pylist() if row["CommitmentDiscountStatus"] == "Unused"]
    assert sum(row["EffectiveCost"] for row in unused) == Decimal(EXPECTED["unused_reservation"])
    # What a view does not know is not guessed: the purchase in one, the invoice's share of use in the other.
    for row in actual.to_pylist():
        assert (row["EffectiveCost"] is None) == (row["CommitmentDiscountType"] is not None)
    assert {row["BilledCost"] for row in amortised.to_pylist() if row["CommitmentDiscountType"]} == {Decimal(0)}
    # Outside commitments the two agree, to the last digit.
    of_both = [
        [(row["BilledCost"], row["EffectiveCost"]) for row in rows if not row["CommitmentDiscountType"]]
        for rows in (actual.to_pylist(), amortised.to_pylist())
    ]
    assert of_both == [[(Decimal("-196.64"), Decimal("-196.64")), (Decimal("0.0031"), Decimal("0.0031"))]] * 2
    assert one_source.notes == {ACTUAL: 7}
    assert other_source.notes == {AMORTISED: 8}


def test_b20_the_second_view_of_a_month_is_refused(home: Home) -> None:
    (first,) = import_files([GOLDEN / "azure_nd96_reservation_actual.csv"], home)
    (again,) = import_files([GOLDEN / "azure_nd96_reservation_actual.csv"], home)
    (second,) = import_files([GOLDEN / "azure_nd96_reservation_amortized.csv"], home)
    assert [first.status, again.status, second.status] == ["imported", "already imported", "refused"]
    assert first.billed_cost == Decimal(EXPECTED["actual_total"])


def test_b20_both_views_in_one_file_are_refused_by_row(tmp_path: Path) -> None:
    bought = RESERVED | {"ChargeType": "Purchase", "CostInBillingCurrency": "9000"}
    for rows in permutations([bought, RESERVED | {"CostInBillingCurrency": "1533.79"}, {}]):
        reason = refusal(export(tmp_path, *rows))
        assert "the same money twice" in reason
        assert f"row {rows.index(bought) + 1} " in reason


@pytest.mark.parametrize(
    ("name", "rows", "view"),
    [
        ("costs.csv", [{}], "azure actual"),
        ("Amortized_202609.csv", [{}], "azure amortised"),
        ("Amortized_202609.csv", [RESERVED | {"ChargeType": "Purchase"}], "azure actual"),
        ("costs.csv", [{"ChargeType": "UnusedSavingsPlan", "PricingModel": "SavingsPlan"}], "azure amortised"),
        ("costs.csv", [{"PricingModel": None, "ReservationId": "r-1"}], "azure amortised"),
        ("costs.csv", [RESERVED | {"CostInBillingCurrency": "0.00"}], "azure actual"),
    ],
)
def test_the_view_is_told_by_the_rows_and_else_by_the_name(
    tmp_path: Path, name: str, rows: list[dict], view: str
) -> None:
    _, source = read(export(tmp_path, *rows, name=name))
    assert format_of(source).statement(source) == view


@pytest.mark.parametrize(
    ("changes", "category", "charge_class", "pricing", "kind", "status"),
    [
        ({}, "Usage", None, "Standard", None, None),
        ({"PricingModel": "Spot"}, "Usage", None, "Dynamic", None, None),
        ({"PricingModel": None, "MeterName": "ND96isr H100 v5 Spot"}, "Usage", None, "Dynamic", None, None),
        ({"PricingModel": None}, "Usage", None, "Standard", None, None),
        (RESERVED, "Usage", None, "Committed", "Reservation", "Used"),
        ({"PricingModel": "SavingsPlan"}, "Usage", None, "Committed", "Savings Plan", "Used"),
        (RESERVED | {"ChargeType": "UnusedReservation"}, "Usage", None, "Committed", "Reservation", "Unused"),
        ({"ChargeType": "UnusedSavingsPlan"}, "Usage", None, "Standard", "Savings Plan", "Unused"),
        (RESERVED | {"ChargeType": "Purchase"}, "Purchase", None, "Standard", "Reservation", None),
        ({"ChargeType": "Purchase"}, "Purchase", None, "Standard", None, None),
        ({"ChargeType": "Refund"}, "Usage", "Correction", "Standard", None, None),
        (RESERVED | {"ChargeType": "Refund"}, "Purchase", "Correction", "Standard", "Reservation", None),
        ({"ChargeType": "RoundingAdjustment", "PricingModel": ""}, "Adjustment", None, None, None, None),
        ({"ChargeType": "Tax", "PricingModel": ""}, "Tax", None, None, None, None),
    ],
)
def test_charge_types_and_pricing_models_in_the_words_of_focus(
    tmp_path: Path, changes: dict, category: str, charge_class: str, pricing: str, kind: str, status: str
) -> None:
    row = one(tmp_path, **changes)
    assert (row["ChargeCategory"], row["ChargeClass"], row["PricingCategory"]) == (category, charge_class, pricing)
    assert (row["CommitmentDiscountType"], row["CommitmentDiscountStatus"]) == (kind, status)


def test_an_unknown_charge_type_is_kept_and_said(tmp_path: Path) -> None:
    rows, source = read(export(tmp_path, {"ChargeType": "Levy"}))
    assert rows["ChargeCategory"].to_pylist() == ["Usage"]
    assert source.notes == {"rows of the unknown ChargeType 'levy', taken as usage": 1}


# Dates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "start", "end", "last"),
    [
        ("09/05/2026", "09/01/2026", "09/30/2026", "09/30/2026"),
        ("9/5/2026", "9/1/2026", "9/30/2026", "9/30/2026"),
        ("2026-09-05", "2026-09-01", "2026-09-30", "2026-09-30"),
        ("2026-09-05T00:00:00Z", "2026-09-01T00:00:00Z", "2026-09-30T00:00:00Z", "2026-09-30T00:00:00Z"),
        ("05/09/2026", "01/09/2026", "30/09/2026", "30/09/2026"),
        ("05.09.2026", "01.09.2026", "30.09.2026", "30.09.2026"),
        ("9/5/2026 12:00:00 AM", "9/1/2026 12:00:00 AM", "9/30/2026 12:00:00 AM", "9/30/2026 12:00:00 AM"),
        ("09/05/2026", "09/01/2026", "10/01/2026", "09/30/2026"),  # some exports name the day after
        ("09/05/2026", "", "", "09/30/2026"),
    ],
)
def test_b18_a_day_is_one_day_and_the_last_day_of_a_period_is_part_of_it(
    tmp_path: Path, day: str, start: str, end: str, last: str
) -> None:
    period = {"BillingPeriodStartDate": start, "BillingPeriodEndDate": end}
    row = rows_of(export(tmp_path, period | {"Date": day}, period | {"Date": last}))[0]
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == (datetime(2026, 9, 5), datetime(2026, 9, 6))  # noqa: DTZ001
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (datetime(2026, 9, 1), datetime(2026, 10, 1))  # noqa: DTZ001


def test_b18_a_contradiction_is_found_over_all_rows_with_both_places(tmp_path: Path) -> None:
    reason = refusal(export(tmp_path, {}, {"Date": "12/31/2026"}, {"Date": "31/12/2026"}))
    assert "row 3 (line 4), column Date says '31/12/2026', with the day first" in reason
    assert "row 2 (line 3), column Date says '12/31/2026', with the month first" in reason


def test_b18_a_date_that_nothing_tells_is_refused(tmp_path: Path) -> None:
    no_period = {"BillingPeriodStartDate": None, "BillingPeriodEndDate": None}
    reason = refusal(export(tmp_path, no_period | {"Date": "05/06/2026"}))
    assert "column Date says '05/06/2026', and no date of the file tells whether the day or the month" in reason


def test_b18_a_day_that_is_none_is_refused_by_row(tmp_path: Path) -> None:
    reason = refusal(export(tmp_path, {}, {"Date": "02/30/2026"}))
    assert "row 2 (line 3), column Date: '02/30/2026' is no day there is, read month first" in reason


@pytest.mark.parametrize(
    ("dates", "starts", "order"),
    [
        (["12/31/2026"], [], DateOrder.MONTH_FIRST),
        (["31/12/2026"], [], DateOrder.DAY_FIRST),
        (["05.06.2026"], [], DateOrder.DAY_FIRST),
        (["2026-12-31"], [], DateOrder.MONTH_FIRST),
        (["07/07/2026"], [], DateOrder.MONTH_FIRST),
        (["09/01/2026", "09/02/2026"], ["09/01/2026"], DateOrder.MONTH_FIRST),
        (["01/09/2026", "02/09/2026"], ["01/09/2026"], DateOrder.DAY_FIRST),
        (["02/01/2026", "02/02/2026", "02/03/2026"], [], DateOrder.MONTH_FIRST),
        (["01/02/2026", "02/02/2026", "03/02/2026"], [], DateOrder.DAY_FIRST),
    ],
)
def test_b18_what_tells_the_order_of_day_and_month(dates: list[str], starts: list[str], order: DateOrder) -> None:
    assert date_order(dict.fromkeys(dates, "row 1"), starts) is order


# Machines, tags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "info",
    [
        '{"ServiceType": "Standard_ND96isr_H100_v5", "VMName": "pool_3"}',
        '"ServiceType": "Standard_ND96isr_H100_v5", "VMName": "pool_3"',
        json.dumps('{"ServiceType": "Standard_ND96isr_H100_v5", "VMName": "pool_3"}'),
    ],
    ids=["object", "without braces", "text in a text"],
)
def test_the_machine_is_named_by_additional_info(tmp_path: Path, info: str) -> None:
    row = one(tmp_path, AdditionalInfo=info)
    assert json.loads(row["SkuPriceDetails"]) == {"InstanceType": "Standard_ND96isr_H100_v5"}
    assert row["ResourceName"] == "pool_3"
    assert (row["PricingQuantity"], row["PricingUnit"], row["ServiceCategory"]) == (24, "Hours", "Compute")
    assert json.loads(row["extra"])["AdditionalInfo"] == info


@pytest.mark.parametrize("info", ["", "not json", '{"ServiceType": "SQLThreatDetection"}', "[" * 3000])
def test_what_names_no_machine_gives_none(tmp_path: Path, info: str) -> None:
    assert one(tmp_path, AdditionalInfo=info)["SkuPriceDetails"] is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ('{"team": "search"}', {"team": "search"}),
        ('"team": "search","a.b\\"c": "=cmd|x"', {"team": "search", 'a.b"c': "=cmd|x"}),
    ],
)
def test_b33_tags_with_and_without_braces(tmp_path: Path, tags: str, expected: dict) -> None:
    assert json.loads(one(tmp_path, Tags=tags)["Tags"]) == expected


@pytest.mark.parametrize("tags", ["", '""'])
def test_b33_no_tags_are_none(tmp_path: Path, tags: str) -> None:
    rows, source = read(export(tmp_path, {"Tags": tags}))
    assert (rows["Tags"].to_pylist(), source.notes) == ([None], {})


def test_b33_malformed_tags_are_kept_and_counted(tmp_path: Path) -> None:
    rows, source = read(export(tmp_path, {"Tags": '"team": search'}))
    row = rows.to_pylist()[0]
    assert row["Tags"] is None
    assert json.loads(row["extra"])["Tags"] == '"team": search'
    assert sum(source.notes.values()) == 1


def test_b14_a_cost_with_more_decimals_than_are_kept_is_rounded_once_and_kept_as_it_was(tmp_path: Path) -> None:
    long = "0.0000000072922557592391990000"
    row = one(tmp_path, CostInBillingCurrency=long)
    assert row["BilledCost"] == row["EffectiveCost"] == Decimal("0.000000007292255759")
    assert json.loads(row["extra"])["x_CostAsExported"] == long


def test_b19_identical_rows_are_kept(tmp_path: Path) -> None:
    rows, _ = read(export(tmp_path, {}, {}, {}))
    assert total(rows, "BilledCost") == Decimal("7079.04")


def test_a_bad_cost_is_named_by_row(tmp_path: Path) -> None:
    assert "row 2 (line 3)" in refusal(export(tmp_path, {}, {"CostInBillingCurrency": "12,50"}))


def test_b24_a_header_alone_has_no_rows(home: Home, tmp_path: Path) -> None:
    path = export(tmp_path)
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    (receipt,) = import_files([path], home)
    assert receipt.status == "refused"
    assert "has a header and no rows" in receipt.detail
