"""Anthropic's cost report: pages of `GET /v1/organizations/cost_report`, best grouped by workspace_id and description.

Amounts are decimal texts in cents, in buckets of one UTC day. Priority Tier is billed apart and not in the report.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from collectors.billing._buckets import buckets, field_of
from collectors.billing._json import is_json, object_text, text_of
from collectors.billing._locale import scaled
from collectors.billing._periods import billing_month
from collectors.billing._tables import chunks_of
from collectors.billing._typed import charges_from, time_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.billing import decimal_from, exact_text
from costlib.errors import BadRecord

_CENTS_EXPONENT = -2
_TOKEN_CLASS = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cached_input",
    "output_tokens": "output",
}
_KNOWN = frozenset(("amount", "currency", "workspace_id", "description", "model"))
_PRIORITY = "report without Priority Tier, which is billed apart: add its invoice by hand"


def identify(head: bytes, name: str) -> bool:
    return is_json(head) and b'"starting_at"' in head and b'"ending_at"' in head


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    source.notes[_PRIORITY] += 1
    return charges_from(chunks_of(source, _rows(source)))


def _rows(source: BillingSource) -> Iterator[dict[str, str | None]]:
    for where, bucket in buckets(source, "starting_at"):
        start, end = (field_of(bucket, name, where, str) for name in ("starting_at", "ending_at"))
        for number, result in enumerate(field_of(bucket, "results", where, list), start=1):
            yield {
                **billing_month(time_from(start)),
                "ChargePeriodStart": start,
                "ChargePeriodEnd": end,
                **_charge(result, f"{where}, result {number}"),
            }


def _charge(result: Mapping[str, Any], where: str) -> dict[str, str | None]:
    if isinstance(result, Mapping) and "amount" not in result and "uncached_input_tokens" in result:
        raise BadRecord(f"{where} counts tokens and has no cost; save the pages of cost_report, not usage_report")
    cents = text_of(field_of(result, "amount", where, object)) or ""
    try:
        cost = exact_text(scaled(decimal_from(cents.strip()), _CENTS_EXPONENT))
    except BadRecord as error:
        raise BadRecord(f"{where}: amount {error}") from None
    description, model = text_of(result.get("description")), text_of(result.get("model"))
    token_type = text_of(result.get("token_type")) or ""
    token_class = "cache_write" if token_type.startswith("cache_creation") else _TOKEN_CLASS.get(token_type)
    return {
        "BilledCost": cost,
        "EffectiveCost": cost,
        "BillingCurrency": (text_of(result.get("currency")) or "").upper(),
        "ChargeCategory": "Credit" if cost.startswith("-") else "Usage",
        "ChargeDescription": description,
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "Anthropic"),
        "SubAccountId": text_of(result.get("workspace_id")),
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Anthropic API",
        "SkuMeter": description,
        "Tags": object_text({"workspace_id": text_of(result.get("workspace_id"))}),
        "x_Model": model,
        "x_TokenClass": token_class,
        **{name: text_of(value) for name, value in result.items() if name not in _KNOWN},
    }


FORMAT = BillingFormat(
    key="anthropic_costs", label="Anthropic cost report, JSON", identify=identify, parse=parse, delivery=Delivery.DAYS
)
