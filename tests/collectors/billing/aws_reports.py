"""AWS reports of a few lines."""

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.billing._aws_names import canonical
from costlib.billing import exact_sum

LINE = {
    "identity/LineItemId": "line",
    "identity/TimeInterval": "2026-10-01T00:00:00Z/2026-10-01T01:00:00Z",
    "bill/InvoiceId": "",
    "bill/InvoicingEntity": "Amazon Web Services, Inc.",
    "bill/BillingEntity": "AWS",
    "bill/BillType": "Anniversary",
    "bill/PayerAccountId": "012345678901",
    "bill/BillingPeriodStartDate": "2026-10-01T00:00:00Z",
    "bill/BillingPeriodEndDate": "2026-11-01T00:00:00Z",
    "lineItem/UsageAccountId": "000000000002",
    "lineItem/LineItemType": "Usage",
    "lineItem/UsageStartDate": "2026-10-01T00:00:00Z",
    "lineItem/UsageEndDate": "2026-10-01T01:00:00Z",
    "lineItem/ProductCode": "AmazonEC2",
    "lineItem/UsageType": "USW2-BoxUsage:p5.48xlarge",
    "lineItem/ResourceId": "i-0a1",
    "lineItem/UsageAmount": "1",
    "lineItem/CurrencyCode": "USD",
    "lineItem/UnblendedCost": "55.04",
    "lineItem/LineItemDescription": "$55.04 per hour",
    "lineItem/TaxType": "",
    "product/ProductName": "Amazon Elastic Compute Cloud",
    "product/region": "us-west-2",
    "pricing/publicOnDemandCost": "55.04",
    "pricing/publicOnDemandRate": "55.04",
    "pricing/term": "OnDemand",
    "pricing/unit": "Hrs",
    "reservation/ReservationARN": "",
    "reservation/EffectiveCost": "",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "",
    "reservation/UnusedRecurringFee": "",
    "reservation/UnusedQuantity": "",
    "savingsPlan/SavingsPlanARN": "",
    "savingsPlan/SavingsPlanEffectiveCost": "",
    "savingsPlan/TotalCommitmentToDate": "",
    "savingsPlan/UsedCommitment": "",
    "resourceTags/user:team": "search",
}


def line(line_type: str = "Usage", cost: str = "55.04", **cells: str) -> dict[str, str]:
    """A line of a legacy report. Other cells by their name without its category, such as UsageAmount="2"."""
    name_of = {name.partition("/")[2]: name for name in LINE}
    given = {name_of.get(name, name): cell for name, cell in cells.items()}
    return LINE | {"lineItem/LineItemType": line_type, "lineItem/UnblendedCost": cost} | given


def legacy_csv(path: Path, lines: list[dict[str, str]]) -> Path:
    names = list(dict.fromkeys(name for row in lines for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(lines)
    return path


def _cur2(row: dict[str, str]) -> dict[str, Any]:
    """The line as CUR 2.0 has it: snake case, maps, numbers and times as such."""
    cells: dict[str, Any] = {"resource_tags": {}, "product": {}}
    for name, cell in row.items():
        if name.startswith("resourceTags/"):
            if cell:
                cells["resource_tags"][name.removeprefix("resourceTags/").replace(":", "_")] = cell
        elif name in ("product/ProductName", "product/region"):
            cells["product"]["product_name" if name.endswith("Name") else "region"] = cell
        else:
            cells[
                canonical(name).replace("_plan_arn", "_plan_a_r_n").replace("reservation_arn", "reservation_a_r_n")
            ] = cell
    return cells


def cur2_csv(path: Path, lines: list[dict[str, str]]) -> Path:
    rows = [_cur2(row) for row in lines]
    texts = [{n: json.dumps(c) if isinstance(c, dict) else c for n, c in row.items()} for row in rows]
    return legacy_csv(path, texts)


def cur2_parquet(path: Path, lines: list[dict[str, str]]) -> Path:
    rows = [_cur2(row) for row in lines]
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        cells = [row.get(name, "") for row in rows]
        if isinstance(cells[0], dict):
            columns[name] = pa.array([list(cell.items()) for cell in cells], pa.map_(pa.string(), pa.string()))
        elif name.endswith(("_start_date", "_end_date")):
            times = [datetime.fromisoformat(cell) if cell else None for cell in cells]
            columns[name] = pa.array(times, pa.timestamp("ms", "UTC"))
        elif name.endswith(("_cost", "_amount", "_fee", "_commitment", "_to_date", "_period", "_quantity")):
            columns[name] = pa.array([float(cell) if cell else None for cell in cells], pa.float64())
        else:
            columns[name] = pa.array([cell or None for cell in cells], pa.string())
    pq.write_table(pa.table(columns), path)
    return path


def total(rows: list[dict[str, Any]], column: str) -> Decimal:
    return exact_sum(row[column] for row in rows if row[column] is not None)
