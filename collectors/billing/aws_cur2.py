"""AWS CUR 2.0, from Data Exports: Parquet or gzipped CSV, tags and product attributes as maps."""

from collections.abc import Iterator

import pyarrow as pa

from collectors.billing._aws import focus_chunks
from collectors.billing._aws_names import is_cur2
from collectors.billing._csv import header_of
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource


def identify(head: bytes, name: str) -> bool:
    return is_cur2(header_of(head))


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(focus_chunks(source))


FORMAT = BillingFormat(key="aws_cur2", label="AWS CUR 2.0 (Data Exports)", identify=identify, parse=parse)
