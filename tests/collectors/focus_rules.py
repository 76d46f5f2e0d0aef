"""What FOCUS 1.2 asks of a cost and usage file, as far as our export has the columns.

Our own list, from the text of the specification (focus.finops.org, version 1.2), because the project's validator is not
at hand here. It holds for every row: all 21 mandatory columns and those conditional or recommended ones that we write;
names that are no column of 1.2 carry `x_`; which columns may be null, and when they must be; every closed list of
values; decimals, moments in UTC with an exclusive end, currencies, JSON of tags. It does not look at columns that the
export never has, such as those of unit prices, SKUs and commitments, and knows the subcategories that we write only.
"""

import json
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName",
)  # fmt: skip
CONDITIONAL = frozenset(
    ("AvailabilityZone", "BillingAccountType", "CapacityReservationId", "CapacityReservationStatus",
     "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
     "CommitmentDiscountQuantity", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit",
     "ConsumedQuantity", "ConsumedUnit", "ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory",
     "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
     "PricingCurrencyListUnitPrice", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
     "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
     "SubAccountType", "Tags")
)  # fmt: skip
NULLABLE = frozenset(
    ("BillingAccountName", "ChargeClass", "ChargeDescription", "ConsumedQuantity", "ConsumedUnit", "PricingQuantity",
     "PricingUnit", "ResourceId", "ResourceName", "ResourceType", "Tags")
)  # fmt: skip
DECIMALS = ("BilledCost", "ConsumedQuantity", "ContractedCost", "EffectiveCost", "ListCost", "PricingQuantity")
TIMES = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
ALLOWED = {
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeClass": {"", "Correction"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "ServiceCategory": {
        "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
        "Multicloud", "Identity", "Integration", "Internet of Things", "Management and Governance", "Media",
        "Migration", "Mobile", "Networking", "Security", "Storage", "Web", "Other",
    },
}  # fmt: skip
_SUBCATEGORIES = {
    "AI and Machine Learning": {"Generative AI"},
    "Compute": {"Virtual Machines", "Other (Compute)"},
    "Networking": {"Other (Networking)"},
    "Storage": {"Other (Storage)"},
    "Other": {"Other (Other)"},
}
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")


def broken(header: Iterable[str], rows: Iterable[dict[str, str]]) -> Iterator[str]:
    """Every rule that the file breaks, with its row."""
    header = list(header)
    focus = [name for name in header if not name.startswith("x_")]
    yield from (f"{name} is no column of FOCUS 1.2" for name in focus if name not in CONDITIONAL.union(MANDATORY))
    yield from (f"{name} is missing" for name in MANDATORY if name not in header)
    if focus != sorted(focus) or header[: len(focus)] != focus:
        yield "columns are not in the order of the specification, ours behind them"
    for number, row in enumerate(rows, 1):
        yield from (f"row {number}: {what}" for what in _broken_row(row))


def _broken_row(row: dict[str, str]) -> Iterator[str]:
    for name, value in row.items():
        if not value and not name.startswith("x_") and name not in NULLABLE:
            yield f"{name} is null"
        if name in DECIMALS and value and not _is_decimal(value):
            yield f"{name} {value!r} is no decimal"
        if name in TIMES and not _MOMENT.fullmatch(value):
            yield f"{name} {value!r} is no UTC moment of ISO 8601"
        if name in ALLOWED and value not in ALLOWED[name]:
            yield f"{name} {value!r} is not allowed"
    if not re.fullmatch(r"[A-Z]{3}", row["BillingCurrency"]):
        yield "BillingCurrency is no code of ISO 4217"
    if row["ServiceSubcategory"] not in _SUBCATEGORIES.get(row["ServiceCategory"], ()):
        yield f"ServiceSubcategory {row['ServiceSubcategory']!r} is not of {row['ServiceCategory']!r}"
    for period in ("BillingPeriod", "ChargePeriod"):
        if row[f"{period}End"] <= row[f"{period}Start"]:
            yield f"{period}End is not after its start, and ends are exclusive"
    if row["Tags"] and not _is_tags(row["Tags"]):
        yield "Tags is no JSON object of texts"
    yield from _quantities(row)


def _quantities(row: dict[str, str]) -> Iterator[str]:
    category, is_correction = row["ChargeCategory"], row["ChargeClass"] == "Correction"
    for kind in ("Pricing", "Consumed"):
        if bool(row[f"{kind}Quantity"]) != bool(row[f"{kind}Unit"]):
            yield f"{kind}Quantity and {kind}Unit go together"
    if row["ResourceType"] and not row["ResourceId"]:
        yield "ResourceType of no resource"
    if category == "Tax" and row["PricingQuantity"]:
        yield "PricingQuantity of a tax"
    if category in ("Usage", "Purchase") and not is_correction and not row["PricingQuantity"]:
        yield "PricingQuantity is null"
    if category != "Usage" and row["ConsumedQuantity"]:
        yield "ConsumedQuantity of what is no usage"
    if category == "Purchase" and row["ChargeFrequency"] == "Usage-Based":
        yield "a purchase is not usage-based"


def _is_decimal(text: str) -> bool:
    try:
        return Decimal(text).is_finite() and not text.startswith("+")
    except InvalidOperation:
        return False


def _is_tags(text: str) -> bool:
    try:
        tags = json.loads(text)
    except ValueError:
        return False
    return isinstance(tags, dict) and all(isinstance(value, str) or value is True for value in tags.values())
