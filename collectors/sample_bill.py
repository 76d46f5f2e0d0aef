"""The sample fleet's bill: FOCUS 1.2 rows for whole days, which tie to its GPU-hours and list price.

A month as a small fleet has it: one deployment's nodes under a savings plan that nights do not use up, and on demand
above it; one on spot, one on demand at a negotiated price, a node that nobody tagged, and what stands around GPUs:
hosts, storage, traffic, support, tax and credits. The plan is paid by the day, so every day costs the same on either
basis.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from io import StringIO

import numpy as np

from collectors.sample import NODE_GPUS_COUNT, WEEKS, served
from collectors.sample_story import (
    DOCUMENTS,
    LIST_PRICE_BEFORE,
    SERVICE_CREDIT,
    SERVICE_CREDIT_WEEKDAY,
    SUPPORT,
    newest_monday,
)
from costlib.allocation import CENT
from costlib.project import usd_per_gpu_hour
from costlib.scenario import SelfHosted
from costlib.scenario_file import ScenarioFile
from costlib.units import HOURS_PER_DAY

INSTANCE_TYPES = {4: "gpu_4x_h100_sxm5", 2: "gpu_2x_h100_sxm5", 1: "gpu_1x_h100_sxm5"}  # by GPUs of a node
DEARER_GPUS_COUNT = 2  # of the nodes whose list price rose
PLAN_ID = "sample-plan-0001"
PLAN_NODES = 3  # that the savings plan pays for, at any hour
SPOT_DEPLOYMENT, PLAN_DEPLOYMENT = DOCUMENTS, SUPPORT
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
    """One machine of the sample fleet."""

    name: str
    usd_per_gpu_hour: Decimal  # list, as it is now
    gpus_count: int
    paid: Decimal = NEGOTIATED  # of list
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The nodes of one deployment, the one that runs longest first, and the hours of each day that each runs."""

    nodes: tuple[Node, ...]
    hours_by_day: np.ndarray  # (days, nodes)


def bill_csv(file: ScenarioFile, end: datetime, weeks: int = WEEKS) -> str:
    """The sample bill in FOCUS 1.2 columns, for the whole days of the `weeks` before `end`."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(BILL_COLUMNS)
    last = end.replace(hour=0, minute=0, second=0, microsecond=0)
    first, monday = last - timedelta(weeks=weeks), newest_monday(end)
    fleet = pools(file, first, weeks * 7)
    for number in range(weeks * 7):
        rows = _day_of_bill(fleet, number, first + timedelta(days=number), monday)
        writer.writerows([row.get(name, "") for name in BILL_COLUMNS] for row in rows)
    return text.getvalue()


def pools(file: ScenarioFile, first: datetime, days: int) -> tuple[Pool, ...]:
    """The nodes that ran each deployment's replicas on the `days` from `first`, and a GPU that is nobody's."""
    found = []
    for deployment in file.today.deployments:
        key, running = deployment.key, np.zeros(days * HOURS_PER_DAY, np.int64)
        for part in served(file, deployment, first, len(running)):
            running[part.hours] = part.replicas_count * part.hosted.serving.gpus_count // NODE_GPUS_COUNT[key]
        assert isinstance(deployment.supply, SelfHosted)
        price = Decimal(str(usd_per_gpu_hour(deployment.supply.purchase, file.today, file.catalog)))
        tags = (("deployment", key), ("product", deployment.product))
        nodes = tuple(
            Node(name=f"{key}-{number + 1}", usd_per_gpu_hour=price, gpus_count=NODE_GPUS_COUNT[key],
                 paid=_paid(key, number), tags=tags)
            for number in range(running.max())
        )  # fmt: skip
        is_on = running[:, None] > np.arange(len(nodes))
        found.append(Pool(nodes=nodes, hours_by_day=is_on.reshape(days, HOURS_PER_DAY, -1).sum(axis=1)))
    nobodys = Node(name="gpu-17", usd_per_gpu_hour=price, gpus_count=1)
    return (*found, Pool(nodes=(nobodys,), hours_by_day=np.full((days, 1), HOURS_PER_DAY)))


def _paid(key: str, number: int) -> Decimal:
    if key == PLAN_DEPLOYMENT and number < PLAN_NODES:
        return PLANNED
    return SPOT if key == SPOT_DEPLOYMENT else NEGOTIATED


def _day_of_bill(fleet: Sequence[Pool], number: int, day: datetime, monday: datetime) -> Iterator[Row]:
    ran = [
        (node, int(hours))
        for pool in fleet
        for node, hours in zip(pool.nodes, pool.hours_by_day[number], strict=True)
        if hours
    ]
    charges = [
        *(_node_day(day, node, hours, day < monday) for node, hours in ran),
        *_plan_day(day, [(node, hours) for node, hours in ran if node.paid == PLANNED]),
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
    if day == monday + timedelta(days=SERVICE_CREDIT_WEEKDAY):
        credit = _charge(day, "Service credit", "Other", SERVICE_CREDIT, "credit for an outage of storage", "Credit")
        yield {**credit, "ChargeFrequency": "One-Time"}


def _node_day(day: datetime, node: Node, hours: int, is_before: bool) -> Row:
    price = node.usd_per_gpu_hour
    if is_before and node.gpus_count == DEARER_GPUS_COUNT:
        price *= LIST_PRICE_BEFORE
    listed = price * node.gpus_count * hours
    paid = listed * node.paid
    row = _charge(day, "GPU instances", "Compute", paid, f"{node.gpus_count} x GPU node")
    if node.paid == PLANNED:
        bought = {"BilledCost": Decimal(0), "ContractedCost": listed * NEGOTIATED, "PricingCategory": "Committed"}
        row |= bought | _plan("Used")
    elif node.paid == SPOT:
        row["PricingCategory"] = "Dynamic"
    quantities = {"PricingQuantity": hours, "ConsumedQuantity": hours}
    return row | _of_node(node) | quantities | {"ListCost": listed}


@lru_cache
def _of_node(node: Node) -> Row:
    size = {"GpuCount": node.gpus_count, "InstanceType": INSTANCE_TYPES[node.gpus_count]}
    return {
        "ResourceId": f"sample-node/{node.name}",
        "ResourceName": node.name,
        "ResourceType": "Instance",
        "PricingUnit": "Hours",
        "ConsumedUnit": "Hours",
        "SkuPriceDetails": json.dumps(size, sort_keys=True),
        "Tags": json.dumps(dict(node.tags)) if node.tags else "",
    }


def _plan_day(day: datetime, covered: Sequence[tuple[Node, int]]) -> Iterator[Row]:
    """What the savings plan costs the day, and the part of it that no node used."""
    (node, _), used = covered[0], sum(hours for _, hours in covered)
    an_hour, owned = node.usd_per_gpu_hour * PLANNED * node.gpus_count, PLAN_NODES * HOURS_PER_DAY
    plan = {"ResourceId": PLAN_ID, "ResourceType": "Savings plan"}
    bought = _charge(day, "GPU instances", "Compute", an_hour * owned, "savings plan, 1 year, paid daily", "Purchase")
    yield bought | plan | _plan("") | {"EffectiveCost": Decimal(0), "ChargeFrequency": "Recurring"}
    if used == owned:
        return
    unused = _charge(day, "GPU instances", "Compute", an_hour * (owned - used), "savings plan not used")
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
    return {
        **_of_day(day),
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost),
        "BillingCurrency": "USD",
        "ChargeCategory": charge_category,
        "ChargeDescription": f"Sample: {description}",
        "ChargeFrequency": "Usage-Based",
        "ProviderName": "Sample Cloud",
        "PublisherName": "Sample Cloud",
        "InvoiceIssuerName": "Sample Cloud",
        "BillingAccountId": "sample-0001",
        "BillingAccountName": "Sample account",
        "RegionId": "sample-1",
        "ServiceCategory": category,
        "ServiceName": service,
        "PricingCategory": "" if charge_category in ("Tax", "Credit") else "Standard",
    }


@lru_cache
def _of_day(day: datetime) -> Row:
    month = day.replace(day=1)
    return {
        "BillingPeriodStart": _iso(month),
        "BillingPeriodEnd": _iso((month + timedelta(days=32)).replace(day=1)),
        "ChargePeriodStart": _iso(day),
        "ChargePeriodEnd": _iso(day + timedelta(days=1)),
        "InvoiceId": f"SAMPLE-{month:%Y-%m}",
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
