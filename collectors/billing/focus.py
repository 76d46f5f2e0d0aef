"""FOCUS 1.0, 1.1 and 1.2 cost and usage, as CSV (gzipped or not) or Parquet. Later versions read the same columns.

Specification: focus.finops.org. Exports that fall short of it are read as far as that is safe: unknown columns are
kept, `NULL` is a null, a time without a zone is UTC. What would change a sum is refused.
"""

from collections.abc import Iterator

import pyarrow as pa

from collectors.billing._csv import header_of
from collectors.billing._read import read_table
from collectors.billing._tables import Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import FOCUS_COLUMNS, REQUIRED_COLUMNS
from costlib.errors import BadRecord

# Names that other exports do not use together; a FOCUS file that lacks one of the required columns is still known.
_TELLING_COUNT = 4


def identify(head: bytes, name: str) -> bool:
    """Whether at least four of the first line's names are FOCUS columns that any FOCUS file should have."""
    return len(set(header_of(head)) & set(REQUIRED_COLUMNS)) >= _TELLING_COUNT


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(_checked(source))


def _checked(source: BillingSource) -> Iterator[Chunk]:
    header = header_of(source.head())
    present = [name for name in FOCUS_COLUMNS if name in header]
    given = {"BillingCurrency"} if source.currency else set()
    missing = [name for name in REQUIRED_COLUMNS if name not in header and name not in given]
    if missing:
        hint = " BillingCurrency may be named with --currency." if "BillingCurrency" in missing else ""
        raise BadRecord(
            f"{source.name} lacks the column {', '.join(missing)}. It has {', '.join(present) or 'no FOCUS column'}."
            f" Columns match by their exact FOCUS name; add the missing ones to the export.{hint}"
        )
    yield from read_table(source)


FORMAT = BillingFormat(key="focus", label="FOCUS 1.0 to 1.2, CSV or Parquet", identify=identify, parse=parse)
