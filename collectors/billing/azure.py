"""Azure cost details, actual or amortised: Enterprise Agreement, Customer Agreement and pay-as-you-go, in any language.

The two are views of the same money, and a file is one or the other. Charges outside commitments are the same in both:
BilledCost and EffectiveCost are what the file says. Of reservations and savings plans,

actual      has the purchase, at what was invoiced, and their use at 0: BilledCost is known, EffectiveCost is not (null)
amortised   has their use at a share of the price, and what went unused: EffectiveCost is known, BilledCost is 0,
            because the invoice has the purchase instead, which the file leaves out

So the actual file sums to the invoice, the amortised one to the cost of use, and one month needs one of them. A file
that has both kinds of rows is two exports joined, and is refused.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from collectors.billing._dates import DateOrder, date_order, day_from
from collectors.billing._native import Sheet, details, fitted, folded, is_blank, json_object, per_text, vocabulary
from collectors.billing._periods import billing_month
from collectors.billing._read import read_table
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from costlib.errors import BadRecord

_WORDS = vocabulary("azure")
AMORTISED = (
    "rows of amortised cost: commitments are spread over their use, so BilledCost leaves out their purchase;"
    " the actual cost of the month is the same money seen otherwise: keep one of the two"
)
ACTUAL = (
    "rows of commitments in actual cost: their EffectiveCost is known to the amortised export only,"
    " which is the same money seen otherwise: keep one of the two"
)
_NO_PERIOD = "rows without a billing period, taken as the calendar month of their date"
_UNKNOWN_TYPE = "rows of the unknown ChargeType {!r}, taken as usage"

_ZERO = re.compile(r"\s*[+-]?0*\.?0*(?:[eE][+-]?\d+)?\s*")
_HOURS = re.compile(r"(?:\d+ )?Hours?", re.IGNORECASE)
_VM_SIZE = re.compile(r"(?:Standard|Basic)_\w+")
_VM_SIZE_IN_ORDER = re.compile(r"\b(?:Standard|Basic)_\w+")
_SPOT_METER = re.compile(r"\b(?:Spot|Low Priority)$", re.IGNORECASE)
_UNUSED = ("unusedreservation", "unusedsavingsplan")


def identify(head: bytes, name: str) -> bool:
    return _WORDS.knows_head(head)


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    """Reads the file twice: how dates are written, and which view it is, is known only from all rows."""
    facts = _facts(source)
    return charges_from(_focus(Sheet(chunk, _WORDS), facts) for chunk in read_table(source))


def statement(source: BillingSource) -> str:
    """Whose account of the money the file is, once it has been parsed: of the two for one month only one counts.

    A file without commitments, such as one part of many, is told by its path: exports are named for what they are.
    """
    told = {AMORTISED: True, ACTUAL: False}
    by_rows = next((is_amortised for note, is_amortised in told.items() if note in source.notes), None)
    is_amortised = "amorti" in str(source.path).lower() if by_rows is None else by_rows
    return "azure amortised" if is_amortised else "azure actual"


# What only the whole file says ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    order: DateOrder
    is_amortised: bool


@dataclass(slots=True, kw_only=True)
class _Seen:
    dates: dict[str, str] = field(default_factory=dict)  # and where each first stands
    starts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    bought_at: str = ""
    amortised_at: str = ""


def _facts(source: BillingSource) -> _Facts:
    seen = _Seen()
    for chunk in read_table(replace(source, notes=Counter())):
        _look(Sheet(chunk, _WORDS), seen)
    if seen.bought_at and seen.amortised_at:
        raise BadRecord(
            f"{seen.bought_at} is the purchase of a commitment, as actual cost has it, and {seen.amortised_at} the"
            " spread cost of one, as amortised cost has it: the same money twice. Import one of the two exports."
        )
    starts = seen.starts["billing_start"] or seen.starts["service_start"]
    return _Facts(order=date_order(seen.dates, starts), is_amortised=bool(seen.amortised_at))


def _look(sheet: Sheet, seen: _Seen) -> None:
    sheet.require("date", "BilledCost")
    for meaning in ("date", "billing_start", "billing_end", "service_start"):
        cells = sheet.cells(meaning)
        new = {cell for cell in set(cells) if cell and not is_blank(cell)}
        seen.dates |= {cell: sheet.place(cells.index(cell), meaning) for cell in new - seen.dates.keys()}
        seen.starts[meaning] |= new
    kinds = _kinds(sheet)
    for kind in set(kinds):
        index = kinds.index(kind)
        if kind.is_bought and kind.charge_type == "purchase" and not seen.bought_at:
            seen.bought_at = sheet.place(index, "charge_type")
        if (kind.is_unused or (kind.is_used and not kind.is_free)) and not seen.amortised_at:
            seen.amortised_at = sheet.place(index, "BilledCost")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What kind of charge a row is."""

    charge_type: str  # folded; "usage" where the export has none
    commitment: str  # CommitmentDiscountType, "" for a charge outside commitments
    is_free: bool

    @property
    def is_unused(self) -> bool:
        return self.charge_type in _UNUSED

    @property
    def is_used(self) -> bool:
        return bool(self.commitment) and self.charge_type == "usage"

    @property
    def is_bought(self) -> bool:
        return bool(self.commitment) and self.charge_type in ("purchase", "refund")


def _kinds(sheet: Sheet) -> list[_Kind]:
    # Without a PricingModel, a reservation's id tells; with one, it may stand beside a charge that it does not cover.
    model = "pricing_model" if sheet.has("pricing_model") else "reservation_id"
    rows = list(
        zip(
            sheet.cells("charge_type"),
            sheet.cells(model),
            per_text(lambda cell: bool(_ZERO.fullmatch(cell or "")), sheet.cells("BilledCost")),
            strict=True,
        )
    )

    def kind(row: tuple[str | None, str | None, bool]) -> _Kind:
        charge_type, text, is_free = row
        kind_of_charge = folded(charge_type or "") or "usage"
        found = _WORDS.word("commitments", charge_type) or _WORDS.word("commitments", text)
        if found is None and model == "reservation_id" and not is_blank(text):
            found = "Reservation"
        return _Kind(charge_type=kind_of_charge, commitment=found or "", is_free=is_free)

    kind_of = {row: kind(row) for row in set(rows)}
    return [kind_of[row] for row in rows]


# Rows -----------------------------------------------------------------------------------------------------------------


def _focus(sheet: Sheet, facts: _Facts) -> Chunk:
    rows_count, kinds = sheet.chunk.rows_count, _kinds(sheet)
    infos = per_text(json_object, sheet.cells("additional_info"))
    types = [_type(sheet, kind) for kind in kinds]
    quantities, units = _quantities(sheet, kinds)
    return sheet.focus(
        {
            **_costs(sheet, kinds, facts),
            **_periods(sheet, facts),
            "ChargeCategory": types,
            "ChargeClass": ["Correction" if kind.charge_type == "refund" else None for kind in kinds],
            "ChargeDescription": _descriptions(sheet, kinds),
            "ChargeFrequency": per_text(
                lambda cell: _WORDS.word("frequencies", cell) or cell, sheet.cells("frequency")
            ),
            "ProviderName": ["Microsoft"] * rows_count,
            "InvoiceIssuerName": ["Microsoft"] * rows_count,
            "ServiceCategory": _categories(sheet),
            "SkuPriceDetails": [
                details({"InstanceType": _instance_type(info, order)})
                for info, order in zip(infos, sheet.cells("order_name"), strict=True)
            ],
            "ResourceName": [
                (info or {}).get("VMName") or name
                for info, name in zip(infos, sheet.cells("resource_name"), strict=True)
            ],
            "PricingCategory": _pricing(sheet, kinds),
            "PricingQuantity": quantities,
            "PricingUnit": units,
            "ConsumedQuantity": [
                quantity if kind.charge_type == "usage" else None
                for quantity, kind in zip(quantities, kinds, strict=True)
            ],
            "ConsumedUnit": [
                unit if kind.charge_type == "usage" else None for unit, kind in zip(units, kinds, strict=True)
            ],
            **_commitments(sheet, kinds),
            "Tags": per_text(_tags, sheet.cells("tags")),
        },
        used=("BilledCost", "date", "billing_start", "billing_end", "quantity", "tags", "resource_name", "product"),
    )


def _costs(sheet: Sheet, kinds: Sequence[_Kind], facts: _Facts) -> dict[str, Cells]:
    costs, too_long = fitted(sheet.chunk.source, sheet.cells("BilledCost"))
    as_exported = {"x_CostAsExported": too_long} if too_long else {}
    committed = [kind.is_unused or kind.is_used or kind.is_bought for kind in kinds]
    if any(committed):
        sheet.chunk.source.notes[AMORTISED if facts.is_amortised else ACTUAL] += committed.count(True)
    if facts.is_amortised:
        # A blank cost stays blank, and is refused.
        billed = ["0" if spread and cost else cost for cost, spread in zip(costs, committed, strict=True)]
        return {"BilledCost": billed, "EffectiveCost": costs, **as_exported}
    return {
        "BilledCost": costs,
        "EffectiveCost": [None if hidden else cost for cost, hidden in zip(costs, committed, strict=True)],
        **as_exported,
    }


def _periods(sheet: Sheet, facts: _Facts) -> dict[str, Cells]:
    rows = list(zip(*(_days(sheet, name, facts) for name in ("date", "billing_start", "billing_end")), strict=True))
    without = sum(not (start and end) for _, start, end in rows)
    if without:
        sheet.chunk.source.notes[_NO_PERIOD] += without
    periods_of = {row: _periods_of(*row) for row in set(rows)}
    periods = [periods_of[row] for row in rows]
    names = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
    return dict(zip(names, zip(*periods, strict=True), strict=True))


def _periods_of(day: date | None, start: date | None, end: date | None) -> tuple[str | None, ...]:
    """The day and its billing period, ends exclusive. A blank day is left to be refused by row and column."""
    if start and end:
        # The last day is part of the period, unless it is the day on which the next one begins.
        after = end if end.day == start.day and end > start else end + timedelta(days=1)
        period = (_midnight(start), _midnight(after))
    else:
        month = billing_month(day) if day else {}
        period = (month.get("BillingPeriodStart"), month.get("BillingPeriodEnd"))
    return (_midnight(day), _midnight(day + timedelta(days=1)) if day else None, *period)


def _days(sheet: Sheet, meaning: str, facts: _Facts) -> list[date | None]:
    cells = sheet.cells(meaning)

    def day(cell: str | None) -> date | None:
        if cell is None or is_blank(cell):
            return None
        try:
            return day_from(cell, facts.order)
        except BadRecord as error:
            raise BadRecord(
                f"{sheet.place(cells.index(cell), meaning)}: {error}."
                " Nothing of the file is stored; mend the export and import it again."
            ) from None

    return per_text(day, cells)


def _midnight(day: date | None) -> str | None:
    return day and f"{day.isoformat()}T00:00:00Z"


def _type(sheet: Sheet, kind: _Kind) -> str:
    if kind.charge_type == "refund" and kind.commitment:
        return "Purchase"
    found = _WORDS.words["charge_types"].get(kind.charge_type)
    if found is None:
        sheet.chunk.source.notes[_UNKNOWN_TYPE.format(kind.charge_type)] += 1
    return found or "Usage"


def _descriptions(sheet: Sheet, kinds: Sequence[_Kind]) -> Cells:
    """The product; where there is none, the commitment's order or what kind of adjustment it is."""
    return [
        next((text for text in (product, order) if not is_blank(text)), None)
        or ("Rounding adjustment" if kind.charge_type == "roundingadjustment" else None)
        for product, order, kind in zip(sheet.cells("product"), sheet.cells("order_name"), kinds, strict=True)
    ]


def _categories(sheet: Sheet) -> Cells:
    rows = list(
        zip(*(sheet.cells(name) for name in ("ServiceName", "consumed_service", "service_family")), strict=True)
    )
    category_of = {
        row: next((found for text in row if (found := _WORDS.word("service_categories", text))), "Other")
        for row in set(rows)
    }
    return [category_of[row] for row in rows]


def _instance_type(info: dict[str, Any] | None, order: str | None) -> str | None:
    """The VM size: what ran, or what a reservation is for."""
    size = str((info or {}).get("ServiceType") or "")
    if _VM_SIZE.fullmatch(size):
        return size
    found = _VM_SIZE_IN_ORDER.search(order or "")
    return found[0] if found else None


def _pricing(sheet: Sheet, kinds: Sequence[_Kind]) -> Cells:
    """A commitment itself is sold at a standard price. Pay-as-you-go files only name the meter of a spot machine."""

    def category(model: str | None, meter: str | None, kind: _Kind) -> str | None:
        if kind.is_bought:
            return "Standard"
        found = _WORDS.word("pricing_models", model)
        if found is None and _SPOT_METER.search(meter or ""):
            return "Dynamic"
        if found is None and kind.commitment:
            return "Committed"
        return found or (None if sheet.has("pricing_model") else "Standard")

    return [category(*row) for row in zip(sheet.cells("pricing_model"), sheet.cells("SkuMeter"), kinds, strict=True)]


def _quantities(sheet: Sheet, kinds: Sequence[_Kind]) -> tuple[Cells, Cells]:
    """Quantities are hours also where the meter is priced by a hundred of them ("100 Hours")."""
    units = per_text(lambda cell: "Hours" if cell and _HOURS.fullmatch(cell.strip()) else cell, sheet.cells("unit"))
    # One reservation is bought, not one hour.
    bought = [kind.is_bought for kind in kinds]
    return sheet.cells("quantity"), ["Units" if one else unit for unit, one in zip(units, bought, strict=True)]


def _commitments(sheet: Sheet, kinds: Sequence[_Kind]) -> dict[str, Cells]:
    ids = [
        (next((text for text in pair if not is_blank(text)), None)) if kind.commitment else None
        for *pair, kind in zip(sheet.cells("benefit_id"), sheet.cells("reservation_id"), kinds, strict=True)
    ]
    return {
        "CommitmentDiscountId": ids,
        "CommitmentDiscountType": [kind.commitment or None for kind in kinds],
        "CommitmentDiscountCategory": [
            None if not kind.commitment else "Spend" if kind.commitment == "Savings Plan" else "Usage" for kind in kinds
        ],
        "CommitmentDiscountStatus": [
            "Unused" if kind.is_unused else "Used" if kind.is_used else None for kind in kinds
        ],
    }


def _tags(cell: str | None) -> str | None:
    """With the braces that some exports leave out; what is no object even then stays as it is, and is counted."""
    if cell is None or is_blank(cell) or cell.strip() == '""':
        return None
    if cell.lstrip().startswith("{") or json_object(cell) is None:
        return cell
    return f"{{{cell}}}"


FORMAT = BillingFormat(
    key="azure",
    label="Azure cost details, actual or amortised",
    identify=identify,
    parse=parse,
    statement=statement,
)
