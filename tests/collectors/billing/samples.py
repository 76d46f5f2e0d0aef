"""Reading one billing file in a test."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa

from collectors.billing import format_of
from collectors.billing.base import BillingSource
from costlib.billing import exact_sum
from store.inbox import CHARGE_ROWS


def read(path: Path, key: str | None = None, **settings) -> tuple[pa.Table, BillingSource]:
    source = BillingSource(path=path, **settings)
    return pa.Table.from_batches(format_of(source, key).parse(source), CHARGE_ROWS), source


def rows_of(path: Path, key: str | None = None, **settings) -> list[dict]:
    return read(path, key, **settings)[0].to_pylist()


def total(rows: pa.Table, column: str) -> Decimal:
    return exact_sum(cost for cost in rows[column].to_pylist() if cost is not None)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
