"""AWS Cost and Usage Reports: the file's own total, and where each part of a commitment's cost ends."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.billing import format_of
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord
from tests.collectors.billing.aws_reports import cur2_csv, cur2_parquet, legacy_csv, line, total
from tests.collectors.billing.samples import read
from tests.collectors.billing.samples import rows_of as charges

GOLDEN = Path(__file__).with_name("aws_cur")
LAYOUT = GOLDEN / "s3_layout/gpucur"
OCTOBER, FIRST_HOUR_ENDS, NOVEMBER = (
    datetime(2026, *rest, tzinfo=UTC).replace(tzinfo=None) for rest in ((10, 1), (10, 1, 1), (11, 1))
)
PLAN, RESERVATION = "arn:aws:savingsplans::1:savingsplan/a", "arn:aws:ec2:us-west-2:1:reserved-instances/b"
# No upfront, 40 a hour; the one covered hour takes 30.97 of it.
PLAN_HOUR = (
    line("SavingsPlanCoveredUsage", "55.04", SavingsPlanARN=PLAN, SavingsPlanEffectiveCost="30.97"),
    line("SavingsPlanNegation", "-55.04", SavingsPlanARN=PLAN, ResourceId=""),
    line(
        "SavingsPlanRecurringFee",
        "40",
        SavingsPlanARN=PLAN,
        ProductCode="ComputeSavingsPlans",
        UsageType="ComputeSP:1yrNoUpfront",
        ResourceId="",
        TotalCommitmentToDate="40",
        UsedCommitment="30.97",
    ),
)
# Three hours bought at 20, two used.
RESERVED_HOURS = (
    *(line("DiscountedUsage", "0", ReservationARN=RESERVATION, EffectiveCost="20") for _ in range(2)),
    line(
        "RIFee",
        "60",
        ReservationARN=RESERVATION,
        UsageType="USW2-HeavyUsage:p5.48xlarge",
        ResourceId="",
        UsageAmount="3",
        UnusedRecurringFee="20",
        UnusedAmortizedUpfrontFeeForBillingPeriod="0",
        UnusedQuantity="1",
    ),
)


@pytest.mark.parametrize(
    ("name", "rows_count", "billed", "effective"),
    [
        ("cur_legacy_anonymised_part1.csv.gz", 641, "0.88457418010", "0.88457418010"),
        ("cur_2022-07_alt_columns.csv", 2, "0", "0"),
        ("cur_empty_frame.csv", 0, "0", "0"),
        # Unblended, less what the plan covers at 55.04 for the 30.97 it costs; of reserved usage nothing is said.
        ("s3_layout/gpucur/20260901-20261001/*/*.gz", 432, "6079.05042383078496", "8308.89042383078496"),
        ("s3_layout/gpucur/20261001-20261101/*/*.gz", 288, "3144.906182599693728", "4631.466182599693728"),
    ],
)
def test_a_sample_sums_to_its_own_total(name: str, rows_count: int, billed: str, effective: str) -> None:
    (path,) = GOLDEN.glob(name)
    assert format_of(BillingSource(path=path)).key == "aws_cur"
    rows = charges(path)
    assert len(rows) == rows_count
    assert (total(rows, "BilledCost"), total(rows, "EffectiveCost")) == (Decimal(billed), Decimal(effective))


def test_what_the_generator_leaves_out_is_said_and_not_made_up() -> None:
    (path,) = LAYOUT.glob("20261001-20261101/*/*.gz")
    table, source = read(path)
    reserved = [row for row in table.to_pylist() if row["CommitmentDiscountType"] == "Reservation"]
    assert len(reserved) == 48
    assert {row["EffectiveCost"] for row in reserved} == {row["ListCost"] for row in reserved} == {None}
    assert json.loads(reserved[0]["extra"])["pricing/publicOnDemandCost"] == "convertible"
    assert dict(source.notes) == {"lines of a commitment that do not say what they cost amortised": 48}


def test_a_gpu_hour_says_which_machine_whose_and_when(tmp_path: Path) -> None:
    (row,) = charges(legacy_csv(tmp_path / "r.csv", [line(InvoiceId="42")]))
    wanted = {
        "BilledCost": Decimal("55.04"),
        "EffectiveCost": Decimal("55.04"),
        "ListCost": Decimal("55.04"),
        "BillingCurrency": "USD",
        "BillingPeriodStart": OCTOBER,
        "BillingPeriodEnd": NOVEMBER,
        "ChargePeriodEnd": FIRST_HOUR_ENDS,
        "ProviderName": "AWS",
        "InvoiceId": "42",
        "BillingAccountId": "012345678901",
        "SubAccountId": "000000000002",
        "ServiceCategory": "Compute",
        "ServiceName": "Amazon Elastic Compute Cloud",
        "SkuPriceDetails": '{"InstanceType": "p5.48xlarge"}',
        "PricingQuantity": 1,
        "PricingUnit": "Hours",
        "PricingCategory": "Standard",
        "ResourceId": "i-0a1",
        "RegionId": "us-west-2",
        "Tags": '{"user:team": "search"}',
    }
    assert {name: row[name] for name in wanted} == wanted
    assert "pricing/publicOnDemandCost" not in json.loads(row["extra"])


@pytest.mark.parametrize("write", [legacy_csv, cur2_csv, cur2_parquet])
def test_b20_a_savings_plan_is_bought_used_and_wasted_and_both_totals_are_what_was_paid(write, tmp_path: Path) -> None:
    covered, negation, fee, unused = charges(write(tmp_path / "r", list(PLAN_HOUR)))
    assert [row["BilledCost"] for row in (covered, negation, fee, unused)] == [
        Decimal("55.04"),
        Decimal("-55.04"),
        40,
        0,
    ]
    assert [row["EffectiveCost"] for row in (covered, negation, fee, unused)] == [
        Decimal("30.97"),
        0,
        0,
        Decimal("9.03"),
    ]
    assert [row["ChargeCategory"] for row in (covered, negation, fee, unused)] == ["Usage", *["Purchase"] * 2, "Usage"]
    assert [row["CommitmentDiscountStatus"] for row in (covered, negation, fee, unused)] == [
        "Used",
        None,
        None,
        "Unused",
    ]
    assert {row["CommitmentDiscountId"] for row in (covered, negation, fee, unused)} == {PLAN}
    # The negation names the machine too, and no hour may count twice.
    assert [row["PricingQuantity"] for row in (covered, negation, fee, unused)] == [1, None, None, None]
    assert [row["row_number"] for row in (covered, negation, fee, unused)] == [1, 2, 3, 4]


@pytest.mark.parametrize("write", [legacy_csv, cur2_csv, cur2_parquet])
def test_b20_a_reservation_closes_to_its_fee(write, tmp_path: Path) -> None:
    rows = charges(write(tmp_path / "r", list(RESERVED_HOURS)))
    assert total(rows, "BilledCost") == total(rows, "EffectiveCost") == 60
    unused = rows[-1]
    assert (unused["CommitmentDiscountStatus"], unused["EffectiveCost"], unused["BilledCost"]) == ("Unused", 20, 0)
    assert (unused["PricingQuantity"], unused["PricingUnit"]) == (1, "Hours")
    assert unused["SkuPriceDetails"] == '{"InstanceType": "p5.48xlarge"}'


def test_a_commitment_that_is_used_whole_wastes_nothing(tmp_path: Path) -> None:
    fee = PLAN_HOUR[2] | {"savingsPlan/TotalCommitmentToDate": "30.97"}
    assert len(charges(legacy_csv(tmp_path / "r.csv", [fee]))) == 1


def test_upfront_fees_cost_nothing_amortised(tmp_path: Path) -> None:
    upfront = [
        line("SavingsPlanUpfrontFee", "1000", SavingsPlanARN=PLAN),
        line("Fee", "900", ReservationARN=RESERVATION),
    ]
    rows = charges(legacy_csv(tmp_path / "r.csv", [*upfront, line("Fee", "100")]))
    assert [row["EffectiveCost"] for row in rows] == [0, 0, 100]
    assert {row["ChargeCategory"] for row in rows} == {"Purchase"}


@pytest.mark.parametrize(
    ("cells", "category", "charge_class"),
    [
        ({"line_type": "Tax", "TaxType": "VAT"}, "Tax", None),
        ({"line_type": "Credit", "cost": "-5"}, "Credit", None),
        ({"line_type": "EdpDiscount", "cost": "-5"}, "Credit", None),
        ({"line_type": "BundledDiscount", "cost": "-5"}, "Credit", None),
        ({"line_type": "Refund", "cost": "-5"}, "Usage", "Correction"),
        ({"line_type": "Refund", "cost": "-5", "TaxType": "VAT"}, "Tax", "Correction"),
        ({"BillType": "Refund", "cost": "-5"}, "Usage", "Correction"),
    ],
)
def test_b12_other_lines_keep_their_amount_and_their_category(cells, category, charge_class, tmp_path: Path) -> None:
    (row,) = charges(legacy_csv(tmp_path / "r.csv", [line(**cells)]))
    assert (row["ChargeCategory"], row["ChargeClass"]) == (category, charge_class)
    assert row["BilledCost"] == row["EffectiveCost"] == Decimal(cells.get("cost", "55.04"))
    assert (row["PricingQuantity"], row["ListCost"], row["SkuPriceDetails"]) == (None, None, None)


def test_an_unknown_line_type_is_kept_and_said(tmp_path: Path) -> None:
    table, source = read(legacy_csv(tmp_path / "r.csv", [line("MoonTax", "3")]))
    (row,) = table.to_pylist()
    assert (row["ChargeCategory"], row["BilledCost"], row["PricingQuantity"]) == ("Usage", 3, None)
    assert dict(source.notes) == {"lines of the unknown type 'MoonTax', taken as usage of no quantity": 1}


@pytest.mark.parametrize(
    ("cells", "instance_type", "hours", "pricing", "capacity"),
    [
        ({"UsageType": "SpotUsage:p5.48xlarge"}, "p5.48xlarge", 1, "Dynamic", None),
        ({"UsageType": "USE1-UnusedBox:p5.48xlarge"}, "p5.48xlarge", 1, "Standard", "Unused"),
        # What a capacity reservation holds in all costs nothing: its instances have lines of their own.
        ({"UsageType": "USW2-Reservation:p5.48xlarge", "cost": "0"}, None, None, "Standard", None),
        # A fee on the same machine, by the hour, is not the machine.
        ({"UsageType": "USW2-BoxUsage:p5.48xlarge", "ProductCode": "ElasticMapReduce"}, None, 1, "Standard", None),
        ({"UsageType": "SoftwareUsage:p5.48xlarge", "ProductCode": "5xmrmp1"}, None, 1, "Standard", None),
        (
            {"UsageType": "USW2-Host:ml.p5.48xlarge", "ProductCode": "AmazonSageMaker"},
            "ml.p5.48xlarge",
            1,
            "Standard",
            None,
        ),
    ],
)
def test_only_a_machine_has_machine_hours(cells, instance_type, hours, pricing, capacity, tmp_path: Path) -> None:
    (row,) = charges(legacy_csv(tmp_path / "r.csv", [line(**cells)]))
    assert json.loads(row["SkuPriceDetails"] or "{}").get("InstanceType") == instance_type
    assert (row["PricingQuantity"], row["PricingCategory"]) == (hours, pricing)
    assert row["CapacityReservationStatus"] == capacity


def test_an_instance_without_a_unit_is_billed_by_the_hour(tmp_path: Path) -> None:
    (row,) = charges(legacy_csv(tmp_path / "r.csv", [line(UsageType="SpotUsage:p5.48xlarge", unit="")]))
    assert row["PricingUnit"] == "Hours"


@pytest.mark.parametrize("write", [legacy_csv, cur2_csv, cur2_parquet])
@pytest.mark.parametrize("own_cost", ["0", ""])
def test_a_containers_share_does_not_count_beside_its_instance(write, own_cost, tmp_path: Path) -> None:
    share = line(cost=own_cost, ResourceId="arn:aws:eks:us-west-2:1:pod/c/vllm/a", UsageType="EKS-EC2-GPU-Hours") | {
        "splitLineItem/ParentResourceId": "i-0a1",
        "splitLineItem/SplitCost": "40",
        "splitLineItem/UnusedCost": "15.04",
    }
    rows = charges(write(tmp_path / "r", [share, line()]))
    assert total(rows, "BilledCost") == total(rows, "EffectiveCost") == Decimal("55.04")
    assert [row["PricingQuantity"] for row in rows] == [None, 1]
    kept = json.loads(rows[0]["extra"])
    assert Decimal(kept.get("splitLineItem/SplitCost") or kept["split_line_item_split_cost"]) == 40


@pytest.mark.parametrize("write", [legacy_csv, cur2_csv, cur2_parquet])
def test_an_accounts_discount_is_in_the_net_cost_and_so_not_beside_it(write, tmp_path: Path) -> None:
    lines = [
        line(cost="100") | {"lineItem/NetUnblendedCost": "90"},
        line("SavingsPlanCoveredUsage", "50", SavingsPlanEffectiveCost="30")
        | {"lineItem/NetUnblendedCost": "45", "savingsPlan/NetSavingsPlanEffectiveCost": "27"},
        line("Tax", "7"),
        line("EdpDiscount", "-15"),
    ]
    rows = charges(write(tmp_path / "r", lines))
    assert [row["BilledCost"] for row in rows] == [90, 45, 7, 0]
    assert total(rows, "BilledCost") == sum(Decimal(row["lineItem/UnblendedCost"]) for row in lines)
    assert [row["EffectiveCost"] for row in rows] == [90, 27, 7, 0]


@pytest.mark.parametrize("nothing", ["", "0", "0.0", "0E-10"])
def test_a_net_column_that_says_nothing_of_any_row_is_not_used(nothing: str, tmp_path: Path) -> None:
    lines = [row | {"lineItem/NetUnblendedCost": nothing} for row in (line(cost="100"), line("BundledDiscount", "-15"))]
    assert [row["BilledCost"] for row in charges(legacy_csv(tmp_path / "r.csv", lines))] == [100, -15]


def test_b14_scientific_notation_is_exact_and_noise_is_rounded_once_and_kept(tmp_path: Path) -> None:
    noise = "1.2345678901234567e-05"
    table, source = read(
        legacy_csv(tmp_path / "r.csv", [line(cost="5.0E-7"), line(cost=noise), line(cost="10.478341169760286")])
    )
    rows = table.to_pylist()
    assert [row["BilledCost"] for row in rows] == [
        Decimal("0.0000005"),
        Decimal("0.000012345678901235"),
        Decimal("10.478341169760286"),
    ]
    assert [json.loads(row["extra"]).get("lineItem/UnblendedCost") for row in rows] == [None, noise, None]
    assert dict(source.notes) == {"amounts with more than 18 decimals, rounded there; the text is kept in `extra`": 1}


@pytest.mark.parametrize("end", ["2026-10-01T00:00:00Z", ""])
def test_a_fee_of_one_moment_lies_in_its_interval(end: str, tmp_path: Path) -> None:
    moment = line("Fee", "9", UsageEndDate=end)
    rows = charges(legacy_csv(tmp_path / "r.csv", [moment, moment | {"identity/TimeInterval": ""}]))
    assert [row["ChargePeriodEnd"] for row in rows] == [FIRST_HOUR_ENDS, NOVEMBER]


def test_a_bad_amount_is_named_by_its_row_and_by_the_name_it_has_in_the_report(tmp_path: Path) -> None:
    path = legacy_csv(tmp_path / "r.csv", [line(), line(cost="1,5")])
    with pytest.raises(
        BadRecord, match=r"r\.csv: row 2 \(line 3\), column lineItem/UnblendedCost: '1,5' is not a number"
    ):
        charges(path)
    path = legacy_csv(tmp_path / "s.csv", [line("SavingsPlanCoveredUsage", "1", SavingsPlanEffectiveCost="x")])
    with pytest.raises(BadRecord, match=r"row 1 \(line 2\), column savingsPlan/SavingsPlanEffectiveCost"):
        charges(path)


def test_b16_one_column_in_two_spellings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match=r"line_item_unblended_cost \(lineItem/UnblendedCost\) in two spellings"):
        charges(legacy_csv(tmp_path / "r.csv", [line() | {"line_item_unblended_cost": "2"}]))


def test_b15_a_missing_column_is_named(tmp_path: Path) -> None:
    row = line()
    del row["lineItem/UnblendedCost"]
    with pytest.raises(BadRecord, match=r"lacks the column line_item_unblended_cost \(lineItem/UnblendedCost\)"):
        charges(legacy_csv(tmp_path / "r.csv", [row]))


def test_bedrock_says_which_model_and_how_many_tokens_of_which_class(tmp_path: Path) -> None:
    bedrock = {
        "ProductCode": "AmazonBedrock",
        "ProductName": "Amazon Bedrock",
        "unit": "1K tokens",
        "UsageAmount": "1500.5",
    }
    market = {
        "ProductCode": "abc",
        "ProductName": "Claude Sonnet 4 (Amazon Bedrock Edition)",
        "unit": "Units",
        "UsageAmount": "2",
        "LineItemDescription": "AWS Marketplace software usage|us-west-2|Million Cache Read Input Tokens",
    }
    lines = [
        line(UsageType="USW2-NovaPro-input-tokens", **bedrock),
        line(UsageType="USW2-NovaPro-output-tokens", **bedrock),
        line(UsageType="MP:USW2_CacheReadInputTokenCount-Units", **market),
        line(UsageType="USW2-NovaPro-Guardrail", **bedrock),
    ]
    rows = charges(legacy_csv(tmp_path / "r.csv", lines))
    assert [(row["x_Model"], row["x_TokenClass"]) for row in rows] == [
        ("NovaPro", "input"),
        ("NovaPro", "output"),
        ("Claude Sonnet 4", "cached_input"),
        (None, None),
    ]
    assert [rows[0]["x_InputTokens"], rows[1]["x_OutputTokens"], rows[2]["x_CachedInputTokens"]] == [
        1_500_500,
        1_500_500,
        2_000_000,
    ]


@pytest.mark.parametrize("write", [cur2_csv, cur2_parquet])
def test_cur_2_is_told_from_a_legacy_report_and_says_the_same(write, tmp_path: Path) -> None:
    lines = [*PLAN_HOUR, *RESERVED_HOURS, line("Tax", "7"), line(**{"resourceTags/user:team": ""})]
    path = write(tmp_path / "r", lines)
    assert format_of(BillingSource(path=path)).key == "aws_cur2"
    theirs, ours = charges(path), charges(legacy_csv(tmp_path / "l.csv", lines))
    assert json.loads(theirs[0]["Tags"]) == {"user_team": "search"}
    apart = {"Tags", "extra"}
    assert [{n: c for n, c in row.items() if n not in apart} for row in theirs] == [
        {n: c for n, c in row.items() if n not in apart} for row in ours
    ]


def test_a_chosen_few_columns_are_cur_2(tmp_path: Path) -> None:
    rows = [{n: c for n, c in line().items() if not n.startswith(("product/", "resourceTags/", "pricing/"))}]
    path = cur2_csv(tmp_path / "r.csv", rows)
    path.write_text(
        path.read_text().replace("resource_tags,product,", "").replace('"{}","{}",', "").replace("{},{},", "")
    )
    assert format_of(BillingSource(path=path)).key == "aws_cur2"
    assert total(charges(path), "BilledCost") == Decimal("55.04")


def test_cur_2_in_a_table_by_year_and_month_is_cur_2(tmp_path: Path) -> None:
    path = cur2_csv(tmp_path / "r.csv", [line() | {"year": "2026", "month": "10"}])
    assert format_of(BillingSource(path=path)).key == "aws_cur2"


def test_a_report_gzipped_or_not_is_the_same(tmp_path: Path) -> None:
    packed = GOLDEN / "cur_legacy_anonymised_part1.csv.gz"
    plain = tmp_path / "plain.csv"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert charges(plain) == charges(packed)


TYPES = ["Usage", "Tax", "Credit", "Refund", "Fee", "RIFee", "DiscountedUsage", "SavingsPlanCoveredUsage"]
TYPES += ["SavingsPlanNegation", "SavingsPlanRecurringFee", "SavingsPlanUpfrontFee", "EdpDiscount", "New"]
AMOUNTS = st.decimals(-(10**9), 10**9, places=12, allow_nan=False).map(str)


@given(
    lines=st.lists(
        st.builds(
            line,
            st.sampled_from(TYPES),
            AMOUNTS,
            EffectiveCost=AMOUNTS,
            UnusedRecurringFee=AMOUNTS,
            SavingsPlanEffectiveCost=AMOUNTS,
            TotalCommitmentToDate=AMOUNTS,
            UsedCommitment=AMOUNTS,
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_billed_total_is_the_sum_of_unblended_costs_whatever_the_lines(lines, tmp_path_factory) -> None:
    path = legacy_csv(tmp_path_factory.mktemp("r") / "r.csv", lines)
    rows = charges(path)
    assert total(rows, "BilledCost") == sum(Decimal(row["lineItem/UnblendedCost"]) for row in lines)
    assert len(rows) - len(lines) == sum(row["CommitmentDiscountStatus"] == "Unused" for row in rows)
