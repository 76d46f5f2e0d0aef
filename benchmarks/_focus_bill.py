"""A FOCUS 1.2 bill in Parquet as clouds write it: hourly rows, costs as doubles, everything else text or time."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from costlib.units import SECONDS_PER_HOUR

RESOURCES_COUNT, SKUS_COUNT, TEAMS_COUNT = 2_000, 97, 40
_GROUP_ROWS_COUNT = 200_000
_PER_HOUR = np.timedelta64(int(SECONDS_PER_HOUR), "s")
# Category, service, unit, kind of resource, price details.
_SERVICES = (
    ("Compute", "Elastic Compute", "Hours", "instance", '{"InstanceType": "p5.48xlarge", "GpuCount": "8"}'),
    ("Compute", "Kubernetes Service", "Hours", "cluster", '{"InstanceType": "m7i.4xlarge"}'),
    ("Storage", "Object Storage", "GB-Mo", "bucket", '{"StorageClass": "Standard"}'),
    ("Networking", "Data Transfer", "GB", "gateway", '{"TransferType": "Outbound"}'),
)


def write_month(path: Path, start: datetime, end: datetime, rows_count: int, seed: int, discount: float = 0.9) -> Path:
    """`rows_count` charges of one account and month. The same arguments write the same rows."""
    chance = np.random.default_rng(seed)
    writer = None
    for done in range(0, rows_count, _GROUP_ROWS_COUNT):
        table = _charges(chance, start, end, min(_GROUP_ROWS_COUNT, rows_count - done), discount)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="snappy")
        writer.write_table(table)
    if writer:
        writer.close()
    return path


def _charges(chance: np.random.Generator, start: datetime, end: datetime, rows_count: int, discount: float) -> pa.Table:
    resource = chance.integers(0, RESOURCES_COUNT, rows_count)
    service, sku, team = resource % len(_SERVICES), resource % SKUS_COUNT, resource % TEAMS_COUNT
    hours_count = int((end - start).total_seconds() / SECONDS_PER_HOUR)
    begins = np.datetime64(start, "us") + np.sort(chance.integers(0, hours_count, rows_count)) * _PER_HOUR
    price = np.round(0.0116 + sku * 0.3137, 4)
    is_whole = service < 2  # an hour of a machine, or a part of something measured
    quantity = np.where(is_whole, 1.0, np.round(chance.random(rows_count) * 100, 6))
    list_cost = np.round(price * quantity, 10)
    of_service = [*zip(*_SERVICES, strict=True)]

    def text(codes: np.ndarray, values: list[str] | tuple[str, ...]) -> pa.Array:
        return pa.array(values).take(pa.array(codes))

    def always(value: str | None) -> pa.Array:
        return pa.repeat(pa.scalar(value, pa.string()), rows_count)

    def moment(values: np.ndarray) -> pa.Array:
        return pa.array(values, pa.timestamp("us", tz="UTC"))

    period = {name: np.full(rows_count, np.datetime64(at, "us")) for name, at in (("start", start), ("end", end))}
    skus = [f"SKU{number:010d}" for number in range(SKUS_COUNT)]
    return pa.table(
        {
            "AvailabilityZone": text(resource % 3, ["us-east-1a", "us-east-1b", "us-east-1c"]),
            "BilledCost": np.round(list_cost * discount, 10),
            "BillingAccountId": always("100000000009"),
            "BillingAccountName": always("Example Payer"),
            "BillingCurrency": always("USD"),
            "BillingPeriodEnd": moment(period["end"]),
            "BillingPeriodStart": moment(period["start"]),
            "ChargeCategory": always("Usage"),
            "ChargeClass": always(None),
            "ChargeDescription": text(
                sku * len(_SERVICES) + service,
                [f"${0.01 + k * 0.31:.4f} per {item[2]} of {item[1]}" for k in range(SKUS_COUNT) for item in _SERVICES],
            ),
            "ChargeFrequency": always("Usage-Based"),
            "ChargePeriodEnd": moment(begins + _PER_HOUR),
            "ChargePeriodStart": moment(begins),
            "CommitmentDiscountId": always(None),
            "CommitmentDiscountStatus": always(None),
            "ConsumedQuantity": quantity,
            "ConsumedUnit": text(service, of_service[2]),
            "ContractedCost": list_cost * 0.93,  # all 17 digits, as a product of doubles has them
            "ContractedUnitPrice": np.round(price * 0.93, 10),
            "EffectiveCost": np.round(list_cost * 0.62, 10),
            "InvoiceId": always(f"INV-{start:%Y-%m}-0001"),
            "InvoiceIssuerName": always("Amazon Web Services, Inc."),
            "ListCost": list_cost,
            "ListUnitPrice": price,
            "PricingCategory": always("Standard"),
            "PricingQuantity": quantity,
            "PricingUnit": text(service, of_service[2]),
            "ProviderName": always("AWS"),
            "PublisherName": always("AWS"),
            "RegionId": always("us-east-1"),
            "RegionName": always("US East (N. Virginia)"),
            "ResourceId": text(resource, [f"arn:aws:ec2:us-east-1:2:i-{k:017x}" for k in range(RESOURCES_COUNT)]),
            "ResourceName": always(None),
            "ResourceType": text(service, of_service[3]),
            "ServiceCategory": text(service, of_service[0]),
            "ServiceName": text(service, of_service[1]),
            "SkuId": text(sku, skus),
            "SkuPriceDetails": text(service, of_service[4]),
            "SkuPriceId": text(sku, [f"{name}.JRTCKXETXF.6YS6EN2CT7" for name in skus]),
            "SubAccountId": always("200000000021"),
            "SubAccountName": always("ml-prod"),
            "Tags": text(team, [f'{{"team": "{k}", "env": "prod", "app": "llm-{k % 7}"}}' for k in range(TEAMS_COUNT)]),
        }
    )  # fmt: skip
