"""Our own export of a trial balance: FOCUS 1.2 rows with a column of ours that says on which line a dollar ended.

It is a view of bills that are here already, so it is evidence and never added to them. Texts that the export made
inert for spreadsheets are read as they were.
"""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from collectors.billing._csv import header_of
from collectors.billing._read import read_table
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from collectors.billing.focus import ALLOCATED_MARK
from costlib.billing import FOCUS_COLUMNS, REQUIRED_COLUMNS, ColumnKind
from costlib.text_safety import restored

_NUMBERS = (ColumnKind.MONEY, ColumnKind.QUANTITY)


def identify(head: bytes, name: str) -> bool:
    return {ALLOCATED_MARK, *REQUIRED_COLUMNS}.issubset(header_of(head))


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(_restored(chunk) for chunk in read_table(source))


def _restored(chunk: Chunk) -> Chunk:
    texts: dict[str, Cells] = {
        name: [cell and restored(cell) for cell in cells]
        for name, cells in chunk.columns.items()
        if FOCUS_COLUMNS.get(name) not in _NUMBERS
    }
    return replace(chunk, columns={**chunk.columns, **texts})


FORMAT = BillingFormat(
    key="allocated", label="allocated cost, exported by us", identify=identify, parse=parse, is_evidence=True
)
