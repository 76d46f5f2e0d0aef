"""AWS Cost and Usage Report, legacy: CSV (gzipped or not) or Parquet, under its own names or Athena's.

A month is many files and many deliveries; which belong together is said by a manifest (`_manifest`).
"""

from collections.abc import Iterator

import pyarrow as pa

from collectors.billing._aws import focus_chunks
from collectors.billing._aws_names import is_legacy
from collectors.billing._csv import header_of
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource


def identify(head: bytes, name: str) -> bool:
    return is_legacy(header_of(head))


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(focus_chunks(source))


FORMAT = BillingFormat(key="aws_cur", label="AWS Cost and Usage Report (legacy)", identify=identify, parse=parse)
