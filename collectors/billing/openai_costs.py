"""OpenAI's organisation costs: pages of `GET /v1/organization/costs`, best grouped by line_item and project_id.

Amounts are JSON numbers of the currency, in buckets of one UTC day; a negative one is a credit.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from collectors.billing._buckets import buckets, field_of
from collectors.billing._json import is_json, number_text, object_text, text_of
from collectors.billing._periods import billing_month, iso
from collectors.billing._tables import chunks_of
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.billing import exact_text
from costlib.errors import BadRecord

_RESULT = "organization.costs.result"
_SIGNS = (b'"organization.', b'"start_time"')
_TOKENS_PER = {"tokens": Decimal(1), "1000_tokens": Decimal(1000)}
_TOKEN_COLUMN = {
    "input": "x_InputTokens",
    "cache_write": "x_InputTokens",  # computed, and then kept
    "cached_input": "x_CachedInputTokens",
    "output": "x_OutputTokens",
}
_KNOWN = frozenset(("object", "amount", "line_item", "project_id", "quantity", "quantity_unit", "organization_id"))


def identify(head: bytes, name: str) -> bool:
    return is_json(head) and any(sign in head for sign in _SIGNS) and b'"object"' in head


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(chunks_of(source, _rows(source)))


def _rows(source: BillingSource) -> Iterator[dict[str, str | None]]:
    for where, bucket in buckets(source, "start_time"):
        start, end = (_moment(bucket, name, where) for name in ("start_time", "end_time"))
        for result in field_of(bucket, "results", where, list):
            if field_of(result, "object", where, str) != _RESULT:
                raise BadRecord(
                    f"{where} has {result['object']!r}, which counts use and has no cost;"
                    " save the pages of /v1/organization/costs instead"
                )
            yield {
                **billing_month(start),
                "ChargePeriodStart": iso(start),
                "ChargePeriodEnd": iso(end),
                **_charge(source, result, where),
            }


def _charge(source: BillingSource, result: Mapping[str, Any], where: str) -> dict[str, str | None]:
    amount = field_of(result, "amount", where, dict)
    cost = number_text(amount.get("value"), source)
    item = text_of(result.get("line_item"))
    model, token_class = of_line_item(item or "")
    quantity, unit = result.get("quantity"), text_of(result.get("quantity_unit"))
    row = {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "BillingCurrency": (text_of(amount.get("currency")) or "").upper(),
        "ChargeCategory": "Credit" if (cost or "").startswith("-") else "Usage",
        "ChargeDescription": item,
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "OpenAI"),
        "BillingAccountId": text_of(result.get("organization_id")),
        "SubAccountId": text_of(result.get("project_id")),
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "OpenAI API",
        "SkuMeter": item,
        "PricingQuantity": number_text(quantity, source),
        "PricingUnit": unit,
        "ConsumedQuantity": number_text(quantity, source),
        "ConsumedUnit": unit,
        "Tags": object_text({name: text_of(result.get(name)) for name in ("project_id", "api_key_id")}),
        "x_Model": model,
        "x_TokenClass": token_class,
    }
    if token_class and unit in _TOKENS_PER and isinstance(quantity, Decimal):
        row[_TOKEN_COLUMN[token_class]] = exact_text(quantity * _TOKENS_PER[unit])
    return {**row, **{name: text_of(value) for name, value in result.items() if name not in _KNOWN}}


def of_line_item(item: str) -> tuple[str | None, str | None]:
    """The model and the class of its tokens that a line item names, if it names any.

    >>> of_line_item("gpt-5.6, cached input"), of_line_item("credit grant")
    (('gpt-5.6', 'cached_input'), (None, None))
    """
    model, comma, what = item.rpartition(",")
    words = set(re.findall(r"[a-z]+", what.lower()))
    if not comma:
        return None, None
    if words & {"cached", "cache"} and words & {"write", "writes", "creation"}:
        return model.strip(), "cache_write"
    if "cached" in words:
        return model.strip(), "cached_input"
    return model.strip(), next((name for name in ("input", "output") if name in words), None)


def _moment(bucket: Mapping[str, Any], name: str, where: str) -> datetime:
    seconds = field_of(bucket, name, where, Decimal)
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        raise BadRecord(f"{where}: {name} {seconds} is no Unix time in seconds; export it again") from None


FORMAT = BillingFormat(
    key="openai_costs", label="OpenAI costs, JSON", identify=identify, parse=parse, delivery=Delivery.DAYS
)
