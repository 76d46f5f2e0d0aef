"""The sample bill: it ties to the fleet's GPU-hours and list price, has all that a real month has, and says SAMPLE."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest

from collectors.demo import sample_file
from collectors.sample import WEEKS, solved
from collectors.sample_bill import BILL_COLUMNS, bill_csv
from costlib.billing import MONEY_COLUMNS
from costlib.project import usd_per_gpu_hour

END = datetime(2026, 11, 21, 8, tzinfo=UTC)
FILE = sample_file(END)
FLEET = FILE.today.deployments
DAYS = 7 * WEEKS
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def bill() -> Rows:
    return list(csv.DictReader(StringIO(bill_csv(FILE, END))))


def total(rows: Rows, column: str = "BilledCost") -> Decimal:
    return sum((Decimal(row[column]) for row in rows), Decimal(0))


def where(rows: Rows, **wanted: str) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def of(deployment) -> Callable[[dict[str, str]], bool]:
    return lambda row: json.loads(row["Tags"] or "{}").get("deployment") == deployment.key


@pytest.mark.parametrize("deployment", FLEET, ids=lambda d: d.key)
def test_list_cost_is_gpu_hours_times_the_scenarios_price_exactly(bill: Rows, deployment) -> None:
    _, priced = solved(FILE, deployment)
    price = Decimal(str(usd_per_gpu_hour(deployment.supply.purchase, FILE.today, FILE.catalog)))
    mine = list(filter(of(deployment), bill))
    assert total(mine, "ListCost") == priced.gpus_count * price * 24 * DAYS
    assert len(mine) * 8 == priced.gpus_count * DAYS, "whole nodes of eight"


def test_a_node_is_listed_above_what_was_negotiated_and_that_above_what_was_committed(bill: Rows) -> None:
    nodes = where(bill, ResourceType="Instance")
    for row in nodes:
        assert Decimal(row["ListCost"]) > Decimal(row["ContractedCost"]) >= Decimal(row["EffectiveCost"]) > 0
        assert json.loads(row["SkuPriceDetails"])["InstanceType"].startswith(f"gpu_{row_gpus(row)}x")
    assert {row["PricingCategory"] for row in nodes} == {"Standard", "Dynamic", "Committed"}, "on demand, spot, plan"


def row_gpus(row: dict[str, str]) -> int:
    return json.loads(row["SkuPriceDetails"])["GpuCount"]


def test_what_the_plan_costs_is_what_was_used_of_it_and_what_was_not(bill: Rows) -> None:
    purchases = where(bill, ChargeCategory="Purchase")
    used, unused = (where(bill, CommitmentDiscountStatus=status) for status in ("Used", "Unused"))
    assert total(purchases) == total(used, "EffectiveCost") + total(unused, "EffectiveCost") > 0
    assert total(unused, "EffectiveCost") > 0
    assert total(used) == total(unused) == total(purchases, "EffectiveCost") == 0
    assert {row["CommitmentDiscountId"] for row in purchases + used + unused} == {"sample-plan-0001"}


def test_billed_and_effective_are_the_same_on_every_day(bill: Rows) -> None:
    for name in {row["ChargePeriodStart"] for row in bill}:
        day = where(bill, ChargePeriodStart=name)
        assert total(day) == total(day, "EffectiveCost")


def test_every_day_is_billed_alike_but_for_the_first_of_a_month(bill: Rows) -> None:
    by_day: dict[str, Decimal] = defaultdict(Decimal)
    for row in bill:
        by_day[row["ChargePeriodStart"]] += Decimal(row["BilledCost"])
    assert len(by_day) == DAYS
    assert max(by_day) == "2026-11-20T00:00:00Z", "whole days only"
    assert len({cost for day, cost in by_day.items() if "-01T" not in day}) == 1


def test_a_month_is_its_days_with_one_support_fee_and_one_credit(bill: Rows) -> None:
    october = where(bill, BillingPeriodStart="2026-10-01T00:00:00Z")
    assert [Decimal(row["BilledCost"]) for row in where(october, ChargeCategory="Credit")] == [Decimal(-1500)]
    assert [Decimal(row["BilledCost"]) for row in where(october, ServiceName="Support")] == [Decimal(950)]
    assert total(october) == 31 * total(where(october, ChargePeriodStart="2026-10-02T00:00:00Z")) - 1500 + 950


def test_one_node_belongs_to_nobody(bill: Rows) -> None:
    untagged = [row for row in where(bill, ResourceType="Instance") if not row["Tags"]]
    assert {row["ResourceName"] for row in untagged} == {"gpu-17"}
    assert len(untagged) == DAYS


def test_tax_is_in_whole_cents(bill: Rows) -> None:
    tax = where(bill, ChargeCategory="Tax")
    assert len(tax) == DAYS
    assert all(Decimal(row["BilledCost"]) == round(Decimal(row["BilledCost"]), 2) > 0 for row in tax)


def test_the_bill_names_itself_a_sample_and_has_every_column(bill: Rows) -> None:
    assert set(bill[0]) == set(BILL_COLUMNS)
    for row in bill:
        assert row["ProviderName"] == "Sample Cloud"
        assert row["InvoiceId"].startswith("SAMPLE-")
        assert row["ChargeDescription"].startswith("Sample: ")
        assert all(row[name] for name in MONEY_COLUMNS)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]


def test_the_same_end_gives_the_same_bill_to_the_byte() -> None:
    assert bill_csv(FILE, END) == bill_csv(FILE, END)
    assert bill_csv(FILE, END) == bill_csv(FILE, END + timedelta(hours=3)), "the same whole days"
