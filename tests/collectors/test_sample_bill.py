"""The sample bill: it ties to the fleet's GPU-hours and list price, has all that a real month has, and says SAMPLE."""

import csv
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest

from collectors.demo import sample_file
from collectors.sample import WEEKS, usage_hours
from collectors.sample_bill import BILL_COLUMNS, bill_csv
from collectors.sample_story import LIST_PRICE_BEFORE, SERVICE_CREDIT, newest_monday
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
def test_list_cost_is_gpu_hours_of_the_metrics_times_the_scenarios_price_exactly(bill: Rows, deployment) -> None:
    """From the newest whole week on: nodes of two were cheaper before."""
    price = Decimal(str(usd_per_gpu_hour(deployment.supply.purchase, FILE.today, FILE.catalog)))
    first = newest_monday(END).replace(tzinfo=None)
    hours = sum(
        Decimal(str(row["coverage_s"])) / 3600 * deployment.supply.serving.gpus_count
        for row in usage_hours(FILE, END).to_pylist()
        if row["target_key"] == deployment.key and first <= row["bin_start"] < first + timedelta(days=12)
    )
    mine = [row for row in filter(of(deployment), bill) if row["ChargePeriodStart"] >= f"{first:%Y-%m-%d}"]
    assert sum(row_gpus(row) * Decimal(row["PricingQuantity"]) for row in mine) == hours > 0
    assert total(mine, "ListCost") == hours * price


def test_before_the_newest_whole_week_nodes_of_two_were_cheaper(bill: Rows) -> None:
    prices = defaultdict(set)
    for row in where(bill, ResourceType="Instance"):
        is_before = row["ChargePeriodStart"] < f"{newest_monday(END):%Y-%m-%d}"
        price = Decimal(row["ListCost"]) / Decimal(row["PricingQuantity"]) / row_gpus(row)
        prices[row_gpus(row), is_before].add(price)
    assert {len(found) for found in prices.values()} == {1}
    one = {key: found.pop() for key, found in prices.items()}
    assert one[2, True] == one[2, False] * LIST_PRICE_BEFORE
    assert one[1, True] == one[1, False] == one[4, True] == one[4, False] == one[2, False]


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


def test_weekends_cost_less_and_no_two_weeks_the_same(bill: Rows) -> None:
    by_day: dict[str, Decimal] = defaultdict(Decimal)
    for row in bill:
        by_day[row["ChargePeriodStart"]] += Decimal(row["BilledCost"])
    assert len(by_day) == DAYS
    assert max(by_day) == "2026-11-20T00:00:00Z", "whole days only"
    before = [day for day in by_day if day < f"{newest_monday(END):%Y-%m-%d}" and "-01T" not in day]
    is_weekend = {day: datetime.fromisoformat(day).weekday() >= 5 for day in before}
    assert max(by_day[day] for day in before if is_weekend[day]) < min(
        by_day[day] for day in before if not is_weekend[day]
    )
    weeks: dict[date, Decimal] = defaultdict(Decimal)
    for day, cost in by_day.items():
        weeks[newest_monday(datetime.fromisoformat(day)).date()] += cost
    assert len(set(weeks.values())) == len(weeks) == WEEKS + 1


def test_a_month_has_one_support_fee_and_one_credit(bill: Rows) -> None:
    october = where(bill, BillingPeriodStart="2026-10-01T00:00:00Z")
    assert [Decimal(row["BilledCost"]) for row in where(october, ChargeCategory="Credit")] == [Decimal(-1500)]
    assert [Decimal(row["BilledCost"]) for row in where(october, ServiceName="Support")] == [Decimal(950)]


def test_the_service_credit_is_of_the_newest_whole_week(bill: Rows) -> None:
    (credit,) = where(bill, ServiceName="Service credit")
    assert (credit["ChargePeriodStart"], credit["ChargeCategory"]) == ("2026-11-12T00:00:00Z", "Credit")
    assert Decimal(credit["BilledCost"]) == SERVICE_CREDIT


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
