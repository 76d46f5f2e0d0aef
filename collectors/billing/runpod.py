"""RunPod's billing API: answers of `GET /v2/billing/{pods,serverless,clusters,endpoints,network-volumes}`.

A record is what one resource cost in one bucket, in US dollars, split into parts (GPU, CPU, disk, fees). Each part is
a charge of its own, because only the GPU's is the cost of GPUs.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from collectors.billing._buckets import field_of
from collectors.billing._json import documents, is_json, number_text, object_text, text_of
from collectors.billing._periods import billing_month
from collectors.billing._tables import chunks_of
from collectors.billing._typed import charges_from, time_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.billing import exact_sum, exact_text
from costlib.errors import BadRecord

_TOTAL, _AMOUNT = "totalAmount", "Amount"
_REST = "otherAmount"
_CATEGORY = {"gpuAmount": "Compute", "cpuAmount": "Compute", "diskAmount": "Storage", "storageAmount": "Storage"}
_RESOURCES = {
    "podId": "Pods",
    "serverlessId": "Serverless",
    "endpointId": "Serverless",
    "clusterId": "Clusters",
    "networkVolumeId": "Network volumes",
}
# Totals are added up in binary floating point on the other side.
_NOISE = Decimal("0.000001")


def identify(head: bytes, name: str) -> bool:
    return is_json(head) and b'"records"' in head and b'"totalAmount"' in head


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(chunks_of(source, _rows(source)))


def _rows(source: BillingSource) -> Iterator[dict[str, str | None]]:
    for line, document in documents(source):
        for answer in document if isinstance(document, list) else [document]:
            where = f"{source.name}: the answer at line {line}"
            records = field_of(answer, "records", where, list)
            _check_whole(records, answer.get("metadata"), where)
            for number, record in enumerate(records, start=1):
                yield from _charges(source, record, f"{where}, record {number}")


def _check_whole(records: list[Any], metadata: Any, where: str) -> None:
    """The answer says itself how much it holds."""
    if not isinstance(metadata, Mapping):
        return
    count = metadata.get("recordCount")
    if isinstance(count, Decimal) and count != len(records):
        raise BadRecord(f"{where} is incomplete: {len(records)} of {count} records; ask for the rest, or export again")
    totals = metadata.get("totals")
    said = totals.get(_TOTAL) if isinstance(totals, Mapping) else None
    total = exact_sum(field_of(record, _TOTAL, where, Decimal) for record in records)
    if isinstance(said, Decimal) and abs(said - total) > _NOISE:
        raise BadRecord(f"{where} says {said} in all, but its records add up to {total}; export it again")


def _charges(source: BillingSource, record: Mapping[str, Any], where: str) -> Iterator[dict[str, str | None]]:
    start, end = (field_of(record, name, where, str) for name in ("startTime", "endTime"))
    if time_from(end) - time_from(start) > timedelta(days=1):
        raise BadRecord(
            f"{where} is of {start} to {end}; a bucket longer than a day cannot be told from the days in it."
            " Ask for bucketSize day or hour"
        )
    kind = next((name for name in _RESOURCES if record.get(name)), None)
    instance = text_of(record.get("gpuTypeId"))
    shared = {
        **billing_month(time_from(start)),
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        **dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "RunPod"),
        "ServiceName": f"RunPod {_RESOURCES[kind]}" if kind else "RunPod",
        "ResourceId": text_of(record.get(kind)) if kind else None,
        "ResourceType": kind.removesuffix("Id") if kind else None,
        "PricingCategory": "Standard",
        **{name: text_of(value) for name, value in record.items() if not name.endswith(_AMOUNT)},
    }
    for name, amount in _parts(record, where).items():
        cost = number_text(amount, source)
        is_gpu = name == "gpuAmount"
        yield {
            **shared,
            "BilledCost": cost,
            "EffectiveCost": cost,
            "ServiceCategory": _CATEGORY.get(name, "Other"),
            "SkuMeter": name.removesuffix(_AMOUNT),
            "SkuPriceDetails": object_text({"InstanceType": instance}) if is_gpu else None,
            "ChargeDescription": f"{shared['ServiceName']}: {name.removesuffix(_AMOUNT)}",
        }


def _parts(record: Mapping[str, Any], where: str) -> dict[str, Decimal]:
    """What is not zero, and the rest of the total that no part names. The parts always add up to the total."""
    total = field_of(record, _TOTAL, where, Decimal)
    named = {
        name: value
        for name, value in record.items()
        if name.endswith(_AMOUNT) and name != _TOTAL and isinstance(value, Decimal) and value
    }
    rest = exact_sum([total, *(value.copy_negate() for value in named.values())])
    if abs(rest) > _NOISE or (rest and not named):
        named[_REST] = rest
    elif rest:
        largest = max(named, key=lambda name: abs(named[name]))
        named[largest] = Decimal(exact_text(exact_sum([named[largest], rest])))
    return named or {"gpuAmount": total}


FORMAT = BillingFormat(
    key="runpod", label="RunPod billing, JSON", identify=identify, parse=parse, delivery=Delivery.DAYS
)
