"""The sample fleet's bill: FOCUS 1.2 rows for whole days, which tie to its GPU-hours and list price.

A month as a small fleet has it: one deployment's nodes under a savings plan that was bought a node too large, one on
spot, one on demand at a negotiated price, a node that nobody tagged, and what stands around GPUs: hosts, storage,
traffic, support, tax and a credit. The plan is paid by the day, so every day costs the same on either basis but for
the lines of the first of a month.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from math import ceil

from collectors.sample import WEEKS, solved
from costlib.allocation import CENT
from costlib.project import usd_per_gpu_hour
from costlib.scenario import SelfHosted
from costlib.scenario_file import ScenarioFile
from costlib.units import HOURS_PER_DAY

GPUS_PER_NODE = 8
INSTANCE_TYPES = {8: "gpu_8x_h100_sxm5", 2: "gpu_2x_h100_sxm5"}  # by GPUs of a node
PLAN_ID = "sample-plan-0001"
PLAN_NODES = 4  # that the savings plan was bought for
SPOT_DEPLOYMENT, PLAN_DEPLOYMENT = "doc-extraction", "support-copilot"
# What is paid of the list price.
NEGOTIATED, PLANNED, SPOT = Decimal("0.92"), Decimal("0.70"), Decimal("0.50")
TAX = Decimal("0.04")
SUPPORT_PER_MONTH, CREDIT_PER_MONTH = Decimal("950.00"), Decimal("-1500.00")

BILL_COLUMNS = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency", "BillingPeriodStart",
    "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ProviderName", "PublisherName", "InvoiceIssuerName", "InvoiceId", "BillingAccountId",
    "BillingAccountName", "ServiceCategory", "ServiceName", "ResourceId", "ResourceName", "ResourceType", "RegionId",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit", "CommitmentDiscountId",
    "CommitmentDiscountCategory", "CommitmentDiscountType", "CommitmentDiscountStatus", "SkuPriceDetails", "Tags",
)  # fmt: skip

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of the sample fleet, which runs all day."""

    name: str
    usd_per_gpu_hour: Decimal  # list
    paid: Decimal = NEGOTIATED  # of list
    gpus_count: int = GPUS_PER_NODE
    tags: tuple[tuple[str, str], ...] = ()


def bill_csv(file: ScenarioFile, end: datetime, weeks: int = WEEKS) -> str:
    """The sample bill in FOCUS 1.2 columns, for the whole days of the `weeks` before `end`."""
    text = StringIO()
    writer = csv.DictWriter(text, BILL_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    fleet = nodes(file)
    last = end.replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(weeks * 7, 0, -1):
        writer.writerows(_day_of_bill(fleet, last - timedelta(days=day)))
    return text.getvalue()


def nodes(file: ScenarioFile) -> tuple[Node, ...]:
    """Whole nodes of eight for each deployment, and one of two GPUs that belongs to nobody."""
    found = []
    for deployment in file.today.deployments:
        _, priced = solved(file, deployment)
        assert isinstance(deployment.supply, SelfHosted)
        price = Decimal(str(usd_per_gpu_hour(deployment.supply.purchase, file.today, file.catalog)))
        paid = {PLAN_DEPLOYMENT: PLANNED, SPOT_DEPLOYMENT: SPOT}.get(deployment.key, NEGOTIATED)
        tags = (("deployment", deployment.key), ("product", deployment.product))
        found += [
            Node(name=f"{deployment.key}-{number + 1}", usd_per_gpu_hour=price, paid=paid, tags=tags)
            for number in range(ceil(priced.gpus_count / GPUS_PER_NODE))
        ]
    return (*found, Node(name="gpu-17", usd_per_gpu_hour=found[0].usd_per_gpu_hour, gpus_count=2))


def _day_of_bill(fleet: Sequence[Node], day: datetime) -> Iterator[Row]:
    charges = [
        *(_node_day(day, node) for node in fleet),
        *_plan_day(day, [node for node in fleet if node.paid == PLANNED]),
        _charge(day, "Virtual machines", "Compute", Decimal("28.80"), "3 x CPU node for gateway and monitoring"),
        _charge(day, "Block storage", "Storage", Decimal("38.40"), "model weights and images"),
        _charge(day, "Data transfer", "Networking", Decimal("12.75"), "traffic to the internet"),
    ]
    if day.day == 1:
        support = _charge(day, "Support", "Other", SUPPORT_PER_MONTH, "support plan")
        charges.append({**support, "ChargeFrequency": "Recurring"})
    yield from charges
    taxed = sum((Decimal(str(row["BilledCost"])) for row in charges if row["ServiceName"] != "Support"), Decimal(0))
    yield _charge(day, "Tax", "Other", (taxed * TAX).quantize(CENT), "sales tax", "Tax")
    if day.day == 1:
        credit = _charge(day, "Committed spend credit", "Other", CREDIT_PER_MONTH, "monthly credit", "Credit")
        yield {**credit, "ChargeFrequency": "Recurring"}


def _node_day(day: datetime, node: Node) -> Row:
    listed = node.usd_per_gpu_hour * node.gpus_count * HOURS_PER_DAY
    paid = listed * node.paid
    row = _charge(day, "GPU instances", "Compute", paid, f"{node.gpus_count} x GPU node")
    if node.paid == PLANNED:
        bought = {"BilledCost": Decimal(0), "ContractedCost": listed * NEGOTIATED, "PricingCategory": "Committed"}
        row |= bought | _plan("Used")
    elif node.paid == SPOT:
        row["PricingCategory"] = "Dynamic"
    return row | {
        "ListCost": listed,
        "ResourceId": f"sample-node/{node.name}",
        "ResourceName": node.name,
        "ResourceType": "Instance",
        "PricingQuantity": HOURS_PER_DAY,
        "PricingUnit": "Hours",
        "ConsumedQuantity": HOURS_PER_DAY,
        "ConsumedUnit": "Hours",
        "SkuPriceDetails": json.dumps(
            {"GpuCount": node.gpus_count, "InstanceType": INSTANCE_TYPES[node.gpus_count]}, sort_keys=True
        ),
        "Tags": json.dumps(dict(node.tags)) if node.tags else "",
    }


def _plan_day(day: datetime, covered: Sequence[Node]) -> Iterator[Row]:
    """What the savings plan costs the day, and the part of it that no node used."""
    one = covered[0].usd_per_gpu_hour * PLANNED * GPUS_PER_NODE * HOURS_PER_DAY
    plan = {"ResourceId": PLAN_ID, "ResourceType": "Savings plan"}
    bought = _charge(day, "GPU instances", "Compute", one * PLAN_NODES, "savings plan, 1 year, paid daily", "Purchase")
    yield bought | plan | _plan("") | {"EffectiveCost": Decimal(0), "ChargeFrequency": "Recurring"}
    unused = _charge(day, "GPU instances", "Compute", one * (PLAN_NODES - len(covered)), "savings plan not used")
    nothing = dict.fromkeys(("BilledCost", "ListCost", "ContractedCost"), Decimal(0))
    yield unused | plan | _plan("Unused") | nothing | {"PricingCategory": "Committed"}


def _plan(status: str) -> Row:
    return {
        "CommitmentDiscountId": PLAN_ID,
        "CommitmentDiscountCategory": "Spend",
        "CommitmentDiscountType": "Savings Plan",
        "CommitmentDiscountStatus": status,
    }


def _charge(
    day: datetime, service: str, category: str, cost: Decimal, description: str, charge_category: str = "Usage"
) -> Row:
    month = day.replace(day=1)
    next_month = (month + timedelta(days=32)).replace(day=1)
    return {
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
        "BillingCurrency": "USD",
        "BillingPeriodStart": _iso(month),
        "BillingPeriodEnd": _iso(next_month),
        "ChargePeriodStart": _iso(day),
        "ChargePeriodEnd": _iso(day + timedelta(days=1)),
        "ChargeCategory": charge_category,
        "ChargeDescription": f"Sample: {description}",
        "ChargeFrequency": "Usage-Based",
        "ProviderName": "Sample Cloud",
        "PublisherName": "Sample Cloud",
        "InvoiceIssuerName": "Sample Cloud",
        "InvoiceId": f"SAMPLE-{month:%Y-%m}",
        "BillingAccountId": "sample-0001",
        "BillingAccountName": "Sample account",
        "RegionId": "sample-1",
        "ServiceCategory": category,
        "ServiceName": service,
        "PricingCategory": "" if charge_category in ("Tax", "Credit") else "Standard",
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
