"""Oracle Cloud cost reports. Every few hours a file adds its hours, and late ones; a correction is a new row.

A row is identified by its lineItem/referenceNo, which is kept, so a file that comes again adds nothing. The billing
period is the calendar month in which use began. cost/myCost is what Oracle charges for the row.
"""

import json
import re
from collections.abc import Iterator

import pyarrow as pa

from collectors.billing._native import Sheet, details, is_blank, per_text, vocabulary
from collectors.billing._periods import billing_month
from collectors.billing._read import read_table
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from, time_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.errors import BadRecord

_WORDS = vocabulary("oci")
_OVERAGE = "rows with a cost/myCostOverage, which is taken as part of cost/myCost and kept in `extra`"
_TAG_PREFIX = "tags/"
_SHAPE = re.compile(r"\b(?:BM|VM)\.[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)+")
# "GPU Per Hour", "1 NONE HOURS GPU": the quantity counts GPUs, so that each unit is one.
_PER_GPU = re.compile(r"\bGPUs?\b", re.IGNORECASE)
_HOURS = re.compile(r"\bhours?\b", re.IGNORECASE)
_OF_A_MACHINE = re.compile(r"(?:(?:GPU|instance|node|server|host)s?\s*(?:per\s*)?)?hours?", re.IGNORECASE)


def identify(head: bytes, name: str) -> bool:
    return _WORDS.knows_head(head)


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    return charges_from(_focus(Sheet(chunk, _WORDS)) for chunk in read_table(source))


def _focus(sheet: Sheet) -> Chunk:
    sheet.require("BilledCost", "ChargePeriodStart", "ChargePeriodEnd")
    chunk = sheet.chunk
    months = [_month(sheet, cell) for cell in sheet.cells("ChargePeriodStart")]
    tags = [name for name in chunk.columns if name.startswith(_TAG_PREFIX)]
    overages = sum(not is_blank(cell) for cell in sheet.cells("overage_cost"))
    if overages:
        chunk.source.notes[_OVERAGE] += overages
    focus = sheet.focus(
        {
            "BillingPeriodStart": [start for start, _ in months],
            "BillingPeriodEnd": [end for _, end in months],
            "ChargeCategory": ["Usage"] * chunk.rows_count,
            "ChargeClass": per_text(
                lambda cell: "Correction" if (cell or "").strip().lower() == "true" else None,
                sheet.cells("is_correction"),
            ),
            "ProviderName": ["Oracle"] * chunk.rows_count,
            "InvoiceIssuerName": ["Oracle"] * chunk.rows_count,
            "PricingCategory": ["Standard"] * chunk.rows_count,
            "PricingUnit": per_text(_unit, sheet.cells("sku_unit")),
            "ServiceCategory": per_text(
                lambda cell: _WORDS.word("service_categories", cell) or "Other", sheet.cells("ServiceName")
            ),
            "SkuPriceDetails": _sku_details(sheet),
            "Tags": _tags(chunk, tags),
        }
    )
    for name in tags:
        focus.columns.pop(name)
    return focus


def _month(sheet: Sheet, cell: str | None) -> tuple[str | None, str | None]:
    """Blank or unreadable, it is left to be refused by row and column."""
    try:
        month = billing_month(time_from((cell or "").strip()).date())
    except BadRecord:
        return None, None
    return month["BillingPeriodStart"], month["BillingPeriodEnd"]


def _unit(cell: str | None) -> str | None:
    return "Hours" if cell and _OF_A_MACHINE.fullmatch(cell.strip()) else cell


def _sku_details(sheet: Sheet) -> Cells:
    """The shape, where the export names one; and that a unit is one GPU, where the unit says so."""
    meanings = ("ChargeDescription", "resource_kind", "sku_unit", "billing_unit")
    rows = list(zip(*(sheet.cells(meaning) for meaning in meanings), strict=True))

    def said(row: tuple[str | None, ...]) -> str | None:
        description, kind, *units = (cell or "" for cell in row)
        shape = _SHAPE.search(f"{description} {kind}")
        is_per_gpu = any(_PER_GPU.search(unit) and _HOURS.search(unit) for unit in units)
        return details({"GpuCount": 1 if is_per_gpu else None, "InstanceType": shape and shape[0]})

    said_of = {row: said(row) for row in set(rows)}
    return [said_of[row] for row in rows]


def _tags(chunk: Chunk, names: list[str]) -> Cells:
    """Each tag is a column, with its namespace."""
    keys = [name.removeprefix(_TAG_PREFIX) for name in names]
    rows = list(zip(*(chunk.columns[name] for name in names), strict=True)) or [()] * chunk.rows_count

    def tags(row: tuple[str | None, ...]) -> str | None:
        present = {key: cell for key, cell in zip(keys, row, strict=True) if not is_blank(cell)}
        return json.dumps(present, ensure_ascii=False) if present else None

    tags_of = {row: tags(row) for row in set(rows)}
    return [tags_of[row] for row in rows]


FORMAT = BillingFormat(
    key="oci", label="Oracle Cloud cost report", identify=identify, parse=parse, delivery=Delivery.APPEND
)
