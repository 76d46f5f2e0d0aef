"""The vocabulary of a bill: FOCUS columns, and money read from text without passing through a float."""

import re
from collections.abc import Iterable
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from enum import StrEnum

from costlib.errors import BadRecord

# Digits kept after the point. Real exports carry up to 18; more is refused rather than rounded.
MONEY_SCALE = 18
MONEY_PRECISION = 38


class ColumnKind(StrEnum):
    MONEY = "money"  # Decimal(38, 18), in BillingCurrency
    QUANTITY = "quantity"  # Decimal(38, 18)
    TIME = "time"  # ISO 8601, UTC when no zone is given
    TEXT = "text"
    JSON = "json"


# The FOCUS 1.0 to 1.3 columns we keep as columns; any other column of a file is kept in the charge's `extra` JSON.
# Those that begin with x_ are ours: what an API bill or a gateway's log says of tokens.
FOCUS_COLUMNS = {
    "BilledCost": ColumnKind.MONEY,
    "EffectiveCost": ColumnKind.MONEY,
    "ListCost": ColumnKind.MONEY,
    "ContractedCost": ColumnKind.MONEY,
    "BillingCurrency": ColumnKind.TEXT,
    "BillingPeriodStart": ColumnKind.TIME,
    "BillingPeriodEnd": ColumnKind.TIME,
    "ChargePeriodStart": ColumnKind.TIME,
    "ChargePeriodEnd": ColumnKind.TIME,
    "ChargeCategory": ColumnKind.TEXT,
    "ChargeClass": ColumnKind.TEXT,
    "ChargeDescription": ColumnKind.TEXT,
    "ChargeFrequency": ColumnKind.TEXT,
    "ProviderName": ColumnKind.TEXT,
    "PublisherName": ColumnKind.TEXT,
    "InvoiceIssuerName": ColumnKind.TEXT,
    "InvoiceId": ColumnKind.TEXT,
    "BillingAccountId": ColumnKind.TEXT,
    "BillingAccountName": ColumnKind.TEXT,
    "SubAccountId": ColumnKind.TEXT,
    "SubAccountName": ColumnKind.TEXT,
    "ServiceCategory": ColumnKind.TEXT,
    "ServiceSubcategory": ColumnKind.TEXT,
    "ServiceName": ColumnKind.TEXT,
    "SkuId": ColumnKind.TEXT,
    "SkuPriceId": ColumnKind.TEXT,
    "SkuMeter": ColumnKind.TEXT,
    "SkuPriceDetails": ColumnKind.JSON,
    "RegionId": ColumnKind.TEXT,
    "ResourceId": ColumnKind.TEXT,
    "ResourceName": ColumnKind.TEXT,
    "ResourceType": ColumnKind.TEXT,
    "PricingCategory": ColumnKind.TEXT,
    "PricingQuantity": ColumnKind.QUANTITY,
    "PricingUnit": ColumnKind.TEXT,
    "ConsumedQuantity": ColumnKind.QUANTITY,
    "ConsumedUnit": ColumnKind.TEXT,
    "ListUnitPrice": ColumnKind.QUANTITY,
    "ContractedUnitPrice": ColumnKind.QUANTITY,
    "CommitmentDiscountId": ColumnKind.TEXT,
    "CommitmentDiscountCategory": ColumnKind.TEXT,
    "CommitmentDiscountType": ColumnKind.TEXT,
    "CommitmentDiscountStatus": ColumnKind.TEXT,
    "CapacityReservationId": ColumnKind.TEXT,
    "CapacityReservationStatus": ColumnKind.TEXT,
    "AvailabilityZone": ColumnKind.TEXT,
    "Tags": ColumnKind.JSON,
    "x_Model": ColumnKind.TEXT,
    "x_TokenClass": ColumnKind.TEXT,
    "x_InputTokens": ColumnKind.QUANTITY,
    "x_CachedInputTokens": ColumnKind.QUANTITY,
    "x_OutputTokens": ColumnKind.QUANTITY,
    "x_RequestsCount": ColumnKind.QUANTITY,
}
MONEY_COLUMNS = tuple(name for name, kind in FOCUS_COLUMNS.items() if kind is ColumnKind.MONEY)

# Without these a row cannot be placed or summed. Everything else may be missing or null in practice.
REQUIRED_COLUMNS = (
    "BilledCost",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
_EXACT = Context(prec=MONEY_PRECISION, traps=[Inexact, InvalidOperation])
# Wide enough for the sum of any number of 38-digit amounts; an inexact sum is an error, never a result.
_EXACT_SUM = Context(prec=2 * MONEY_PRECISION, traps=[Inexact, InvalidOperation, Overflow])
SMALLEST = Decimal(1).scaleb(-MONEY_SCALE)


def decimal_from(text: str) -> Decimal:
    """The exact number that `text` spells, to 18 decimal places and 20 digits before the point, or BadRecord.

    Plain and scientific notation only: a thousands separator, a currency sign or a decimal comma needs a format that
    declares it, because `1.234` would otherwise mean two things. Nothing is rounded.

    >>> decimal_from("5e-06") == Decimal("0.000005")
    True
    """
    if not _NUMBER.fullmatch(text):
        raise BadRecord(f"{text[:40]!r} is not a number (expected digits with a decimal point, such as -12.50)")
    try:
        return Decimal(text).quantize(SMALLEST, context=_EXACT)
    except (Inexact, InvalidOperation):
        raise BadRecord(
            f"{text[:60]!r} does not fit {MONEY_PRECISION} digits with {MONEY_SCALE} decimal places; nothing is rounded"
        ) from None


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum; Python's own `sum` of Decimals rounds to 28 digits.

    >>> exact_sum([Decimal("12345678901234567890.123456789012345678"), Decimal("1")])
    Decimal('12345678901234567891.123456789012345678')
    """
    total = Decimal(0)
    for amount in amounts:
        total = _EXACT_SUM.add(total, amount)
    return total


def exact_text(amount: Decimal) -> str:
    """Every digit of `amount`, without exponent and without zeros at the end.

    >>> exact_text(Decimal("5.075027390510000000")), exact_text(Decimal("1E+3"))
    ('5.07502739051', '1000')
    """
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
