"""Reading a file as a table, whatever it is packed in."""

from collections.abc import Iterator

from collectors.billing import _files
from collectors.billing._csv import csv_chunks
from collectors.billing._parquet import parquet_chunks
from collectors.billing._tables import Chunk
from collectors.billing.base import BillingSource


def read_table(source: BillingSource) -> Iterator[Chunk]:
    """The rows of a CSV, gzipped or not, or of a Parquet file. Raises BadRecord for what is no whole table."""
    return parquet_chunks(source) if _files.is_parquet(source.path) else csv_chunks(source)
