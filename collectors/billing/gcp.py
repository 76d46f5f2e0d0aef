"""Google Cloud billing export to BigQuery, standard or detailed, taken out as CSV, JSON lines or Parquet.

Net cost is `cost` and its credits, which are negative; every dollar of both is in exactly one row here. A credit that
is part of a price (committed and sustained use, a negotiated discount, a margin) lowers the BilledCost of its own
charge. A credit that is money given (promotion, free tier) is a row of its own, of ChargeCategory Credit, so that a
machine does not look free because somebody else paid for it. All credits are kept in `extra`.

The billing period is invoice.month, which follows Pacific time: the first hours of a month in UTC are billed in the
month before. Google does not spread commitments over their use, so EffectiveCost is BilledCost. The export only ever
adds rows, late ones and corrections among them; a month has no mark that says it is complete, and no InvoiceId.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from collectors.billing._gcp_cells import one_spelling, pairs_of, records_of
from collectors.billing._gcp_rows import flat_chunks
from collectors.billing._json import is_json, number_text, text_of
from collectors.billing._native import Sheet, details, is_blank, per_text, vocabulary
from collectors.billing._periods import billing_month
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource, Delivery
from costlib.billing import FOCUS_COLUMNS, exact_sum
from costlib.errors import BadRecord

_WORDS = vocabulary("gcp")
_UNKNOWN_TYPE = "rows of the unknown cost_type {!r}, taken as usage"
_DETAILED = "rows of the detailed export; the standard export of the month is the same money: keep one of the two"
_NO_CREDITS = "rows of an extract without the column credits, whose cost is that before any discount"
_CREDIT_ROWS = "credits that are charges of their own, of ChargeCategory Credit"

_MONTH = re.compile(r"(\d{4})-?(\d{2})(?:\.0)?")
_COMMITMENT_SKU = re.compile(r"Commitment\b")
_SPOT_SKU = re.compile(r"\b(?:Spot|Preemptible)\b", re.IGNORECASE)
_GPU_SKU = re.compile(r"\bGPUs?\b|\bNvidia\b", re.IGNORECASE)
_HOUR = re.compile(r"hours?", re.IGNORECASE)
_MACHINE = "compute.googleapis.com/machine_spec"
_UNUSED = "compute.googleapis.com/is_unused_reservation"
_JSON_MEMBERS = (b'"billing_account_id"', b'"usage_start_time"', b'"cost"', b'"sku"')
# What a credit has from the charge that it is for.
_OF_CHARGE = (
    "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeClass",
    "ProviderName", "PublisherName", "InvoiceIssuerName", "BillingAccountId", "SubAccountId", "SubAccountName",
    "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "RegionId", "AvailabilityZone", "ResourceId",
    "ResourceName", "Tags",
)  # fmt: skip


def identify(head: bytes, name: str) -> bool:
    if is_json(head):
        return all(member in head for member in _JSON_MEMBERS)
    return _WORDS.knows_head(head)


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    for chunk in flat_chunks(source, _WORDS):
        sheet = Sheet(chunk, _WORDS)
        sheet.require("cost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "invoice_month")
        if sheet.has("resource_name") or sheet.has("resource_global_name"):
            source.notes[_DETAILED] += chunk.rows_count
        if not sheet.has("credits") and b"credits" not in source.head():
            source.notes[_NO_CREDITS] += chunk.rows_count
        credits_of = _credits(sheet)
        focus = _told_alike(_focus(sheet, credits_of))
        yield from charges_from(iter([focus]))
        yield from _credit_rows(focus, credits_of)


def statement(source: BillingSource) -> str:
    """Which of the two exports a parsed file is: only the detailed one names resources. One account needs one."""
    return "gcp detailed" if _DETAILED in source.notes else "gcp standard"


def _told_alike(focus: Chunk) -> Chunk:
    """With one spelling and one order of what goes to `extra`: rows are added if they are new, and an extract that
    was JSON before has none when it comes as CSV."""
    rest = sorted(focus.columns.keys() - FOCUS_COLUMNS.keys())
    known = {name: cells for name, cells in focus.columns.items() if name in FOCUS_COLUMNS}
    return replace(focus, columns={**known, **{name: per_text(one_spelling, focus.columns[name]) for name in rest}})


# Credits --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Credit:
    name: str
    credit_id: str
    kind: str
    amount: Decimal

    @property
    def is_given(self) -> bool:
        """Money given, rather than a price agreed."""
        return _WORDS.word("credit_types", self.kind) is not None

    @property
    def commitment(self) -> str | None:
        return _WORDS.word("commitment_credits", self.kind)


def _credits(sheet: Sheet) -> list[tuple[_Credit, ...]]:
    cells = sheet.cells("credits")

    def credits_in(cell: str | None) -> tuple[_Credit, ...]:
        try:
            return tuple(_credit(record) for record in records_of(cell))
        except (ValueError, InvalidOperation) as error:
            raise BadRecord(
                f"{sheet.place(cells.index(cell), 'credits')}: {str(cell)[:80]!r} cannot be read as credits ({error})."
                " Nothing of the file is stored; export it again."
            ) from None

    return per_text(credits_in, cells)


def _credit(record: Mapping[str, Any]) -> _Credit:
    amount = record.get("amount")
    number = Decimal(0) if amount in (None, "") else Decimal(str(amount))
    if not number.is_finite():
        raise ValueError(f"the amount {number}")
    return _Credit(
        name=text_of(record.get("full_name")) or text_of(record.get("name")) or "",
        credit_id=text_of(record.get("id")) or "",
        kind=text_of(record.get("type")) or "",
        amount=number,
    )


def _credit_rows(focus: Chunk, credits_of: Sequence[tuple[_Credit, ...]]) -> Iterator[pa.RecordBatch]:
    """The credits that are money given, each as a charge, with the row number of the charge that they are for."""
    given = [(index, credit) for index, found in enumerate(credits_of) for credit in found if credit.is_given]
    if not given:
        return
    focus.source.notes[_CREDIT_ROWS] += len(given)
    amounts = [number_text(credit.amount, focus.source) for _, credit in given]
    columns: dict[str, Cells] = {
        name: [focus.columns[name][index] for index, _ in given] for name in _OF_CHARGE if name in focus.columns
    }
    columns |= {
        "BilledCost": amounts,
        "EffectiveCost": amounts,
        "ChargeCategory": ["Credit"] * len(given),
        "ChargeDescription": [credit.name or credit.kind for _, credit in given],
        "x_CreditId": [credit.credit_id for _, credit in given],
        "x_CreditType": [credit.kind for _, credit in given],
    }
    row_numbers = [focus.first_row + index for index, _ in given]
    done = 0
    for batch in charges_from(iter([Chunk(source=focus.source, columns=columns, first_row=1, lines=None)])):
        numbers = pa.array(row_numbers[done : done + batch.num_rows], pa.int64())
        done += batch.num_rows
        at = batch.schema.get_field_index("row_number")
        yield batch.set_column(at, batch.schema.field(at), numbers)


# Charges --------------------------------------------------------------------------------------------------------------


def _focus(sheet: Sheet, credits_of: Sequence[tuple[_Credit, ...]]) -> Chunk:
    rows_count = sheet.chunk.rows_count
    categories = _categories(sheet)
    net = _net(sheet, credits_of)
    system = per_text(_pairs, sheet.cells("system_labels"))
    months = per_text(_month, sheet.cells("invoice_month"))
    is_use = [category == "Usage" for category in categories]
    return sheet.focus(
        {
            "BilledCost": net,
            "EffectiveCost": net,
            "ContractedCost": _where(is_use, sheet.cells("contracted_cost")),
            "BillingPeriodStart": [start for start, _ in months],
            "BillingPeriodEnd": [end for _, end in months],
            "ChargeCategory": categories,
            "ChargeClass": per_text(
                lambda cell: None if is_blank(cell) else "Correction", sheet.cells("adjustment_id")
            ),
            "ChargeDescription": _first(sheet, "adjustment_text", "SkuMeter"),
            "ProviderName": ["Google Cloud"] * rows_count,
            "InvoiceIssuerName": ["Google Cloud"] * rows_count,
            "ServiceCategory": _service_categories(sheet),
            "SkuPriceDetails": _sku_details(sheet, is_use, system),
            "RegionId": _first(sheet, "region", "location"),
            "ResourceId": _first(sheet, "resource_global_name", "resource_name"),
            "ResourceName": per_text(lambda cell: cell and cell.rsplit("/", 1)[-1], sheet.cells("resource_name")),
            "PricingQuantity": sheet.cells("price_amount"),
            "PricingUnit": per_text(_unit, sheet.cells("price_unit")),
            "ConsumedQuantity": _where(is_use, sheet.cells("usage_amount")),
            "ConsumedUnit": _where(is_use, sheet.cells("usage_unit")),
            "CapacityReservationStatus": [
                "Unused" if labels.get(_UNUSED, "").lower() == "true" else None for labels in system
            ],
            **_commitments(sheet, categories, credits_of),
            "Tags": _tags(sheet),
        },
        used=(
            "invoice_month", "labels", "tags", "region", "price_amount", "price_unit", "usage_amount", "usage_unit",
            "resource_global_name",
        ),
    )  # fmt: skip


def _net(sheet: Sheet, credits_of: Sequence[tuple[_Credit, ...]]) -> Cells:
    """cost and the credits that lower it. What is no number is left as it is, to be refused by row and column."""
    net: list[str | None] = []
    for cell, found in zip(sheet.cells("cost"), credits_of, strict=True):
        try:
            cost = Decimal((cell or "").strip())
        except InvalidOperation:
            net.append(cell)
            continue
        lowered = [credit.amount for credit in found if not credit.is_given]
        total = exact_sum((cost, *lowered)) if lowered and cost.is_finite() else cost
        net.append(number_text(total, sheet.chunk.source))
    return net


def _month(cell: str | None) -> tuple[str | None, str | None]:
    found = _MONTH.fullmatch((cell or "").strip())
    if not found or not 1 <= int(found[2]) <= 12:
        return cell, cell  # refused by row and column
    month = billing_month(date(int(found[1]), int(found[2]), 1))
    return month["BillingPeriodStart"], month["BillingPeriodEnd"]


def _categories(sheet: Sheet) -> list[str]:
    def category(cost_type: str | None, sku: str | None) -> str:
        found = "Usage" if is_blank(cost_type) else _WORDS.word("cost_types", cost_type)
        if found is None:
            sheet.chunk.source.notes[_UNKNOWN_TYPE.format(cost_type)] += 1
        is_fee = found == "Usage" and _COMMITMENT_SKU.match(sku or "")
        return "Purchase" if is_fee else found or "Usage"

    return [category(*row) for row in zip(sheet.cells("cost_type"), sheet.cells("SkuMeter"), strict=True)]


def _service_categories(sheet: Sheet) -> Cells:
    """Networks and disks of Compute Engine are told by their SKU."""

    def category(service: str | None, sku: str | None) -> str:
        found = _WORDS.word("service_categories", service) or "Other"
        words = (kind for word, kind in _WORDS.words["sku_categories"].items() if word in plain(sku))
        return next(words, found) if found == "Compute" else found

    def plain(text: str | None) -> str:
        return re.sub(r"[\W_]+", "", text or "").lower()

    rows = list(zip(sheet.cells("ServiceName"), sheet.cells("SkuMeter"), strict=True))
    category_of = {row: category(*row) for row in set(rows)}
    return [category_of[row] for row in rows]


def _sku_details(sheet: Sheet, is_use: Sequence[bool], system: Sequence[Mapping[str, str]]) -> Cells:
    """Of a SKU that counts GPUs: a unit of it is one GPU of the machine. Its cores and memory are other SKUs."""
    return [
        details({"InstanceType": labels.get(_MACHINE), "GpuCount": 1})
        if use and _GPU_SKU.search(sku or "") and _HOUR.fullmatch((unit or "").strip())
        else None
        for sku, unit, use, labels in zip(
            sheet.cells("SkuMeter"), sheet.cells("price_unit"), is_use, system, strict=True
        )
    ]


def _commitments(
    sheet: Sheet, categories: Sequence[str], credits_of: Sequence[tuple[_Credit, ...]]
) -> dict[str, Cells]:
    """A commitment's fee, or use that a commitment's credit lowers."""
    paid_by = [next((credit for credit in found if credit.commitment), None) for found in credits_of]
    rows = list(zip(categories, paid_by, sheet.cells("SkuMeter"), strict=True))
    return {
        "PricingCategory": [
            None
            if category not in ("Usage", "Purchase")
            else "Dynamic"
            if _SPOT_SKU.search(sku or "")
            else "Committed"
            if credit and category == "Usage"
            else "Standard"
            for category, credit, sku in rows
        ],
        "CommitmentDiscountId": [credit.credit_id or None if credit else None for _, credit, _ in rows],
        "CommitmentDiscountType": [
            "Committed Use" if category == "Purchase" else credit and credit.commitment for category, credit, _ in rows
        ],
        "CommitmentDiscountStatus": [
            "Used" if credit and category == "Usage" else None for category, credit, _ in rows
        ],
    }


def _tags(sheet: Sheet) -> Cells:
    """Labels of the project, tags and labels of the resource: the nearest counts. Unreadable ones are kept as text."""
    rows = list(zip(*(sheet.cells(name) for name in ("project_labels", "tags", "labels")), strict=True))

    def tags(row: tuple[str | None, ...]) -> str | None:
        try:
            pairs = {key: value for cell in row for key, value in pairs_of(cell).items()}
        except ValueError:
            return "; ".join(filter(None, row))
        return json.dumps(pairs, ensure_ascii=False) if pairs else None

    tags_of = {row: tags(row) for row in set(rows)}
    return [tags_of[row] for row in rows]


def _pairs(cell: str | None) -> dict[str, str]:
    try:
        return pairs_of(cell)
    except ValueError:
        return {}  # kept in `extra`


def _unit(cell: str | None) -> str | None:
    return "Hours" if cell and _HOUR.fullmatch(cell.strip()) else cell


def _where(chosen: Sequence[bool], cells: Cells) -> Cells:
    return [cell if is_chosen else None for cell, is_chosen in zip(cells, chosen, strict=True)]


def _first(sheet: Sheet, *meanings: str) -> Cells:
    rows = zip(*(sheet.cells(meaning) for meaning in meanings), strict=True)
    return [next((cell for cell in row if not is_blank(cell)), None) for row in rows]


FORMAT = BillingFormat(
    key="gcp",
    label="Google Cloud billing export (BigQuery)",
    identify=identify,
    parse=parse,
    delivery=Delivery.APPEND,
    statement=statement,
)
