"""FOCUS cost and usage, versions 1.0 to 1.3 and what the 1.4 draft keeps of them; CSV or Parquet, packed or not.

Specification: focus.finops.org. Exports that fall short of it are read as far as that is safe: unknown columns are
kept, names may be in any case or with underscores, `NULL` is a null, a time without a zone is UTC, tags may be a list
of keys and values. An amount with more decimals than are kept is rounded once and kept as it was. What would change a
sum is refused.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa

from collectors.billing import litellm
from collectors.billing._columns import Typed, coded
from collectors.billing._csv import header_of
from collectors.billing._gcp_cells import pairs_of
from collectors.billing._json import object_text
from collectors.billing._native import fitted, per_text
from collectors.billing._read import read_table
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import FOCUS_COLUMNS, MONEY_COLUMNS, MONEY_SCALE, REQUIRED_COLUMNS, ColumnKind
from costlib.errors import BadRecord

# Names that other exports do not use together; a FOCUS file that lacks one of the required columns is still known.
_TELLING_COUNT = 4

# The columns that came with a version. A provider may leave conditional ones out, so a file is at least of it.
_NEW_IN = {
    "1.4": ("TagDetails",),
    "1.3": (
        "ServiceProviderName",
        "HostProviderName",
        "ContractApplied",
        "AllocatedMethodId",
        "AllocatedMethodDetails",
        "AllocatedResourceId",
        "AllocatedResourceName",
        "AllocatedTags",
    ),
    "1.2": (
        "BillingAccountType",
        "InvoiceId",
        "PricingCurrency",
        "PricingCurrencyContractedUnitPrice",
        "PricingCurrencyEffectiveCost",
        "PricingCurrencyListUnitPrice",
        "SubAccountType",
    ),
    "1.1": (
        "CapacityReservationId",
        "CapacityReservationStatus",
        "CommitmentDiscountQuantity",
        "CommitmentDiscountUnit",
        "ServiceSubcategory",
        "SkuMeter",
        "SkuPriceDetails",
    ),
}
_OLDEST = "1.0"
_OF_OLDEST_NOT_KEPT = ("CommitmentDiscountName", "RegionName")
_OURS = "x_"
_SPACING = re.compile(r"[\s_]+")  # as databases and spreadsheets write names: billed_cost, Billed Cost
_NAMES = {
    name.casefold(): name
    for name in (*FOCUS_COLUMNS, *_OF_OLDEST_NOT_KEPT, *(name for names in _NEW_IN.values() for name in names))
}
# FOCUS 1.3 has new names for who sells and who runs a service; 1.4 has no others.
_RENAMED = {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}
_OTHER_DATASETS = {
    "InvoiceDetailId": "Invoice Detail, the lines of an invoice",
    "ContractCommitmentId": "Contract Commitment, what was agreed",
    "BillingPeriodStatus": "Billing Period, which months are closed",
}
_QUANTITIES = {"PricingQuantity": "ConsumedQuantity", "PricingUnit": "ConsumedUnit"}
_NUMBERS = tuple(name for name, kind in FOCUS_COLUMNS.items() if kind in (ColumnKind.MONEY, ColumnKind.QUANTITY))
_TIMES = tuple(name for name, kind in FOCUS_COLUMNS.items() if kind is ColumnKind.TIME)
_SPREADSHEET_DATE = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b.*", re.ASCII)
# Our own export of the trial balance is FOCUS too. It is a view of other bills, and read by `allocated`.
ALLOCATED_MARK = "x_Bucket"


def identify(head: bytes, name: str) -> bool:
    """Whether the first line has names that any FOCUS file should have, or that only another FOCUS dataset has."""
    header = header_of(head)
    if ALLOCATED_MARK in header or litellm.is_focus_export(head):
        return False
    named = {_focus_name(column) for column in header}
    return len(named & set(REQUIRED_COLUMNS)) >= _TELLING_COUNT or "ContractCommitmentId" in header


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    header = header_of(source.head())
    named = {column: _focus_name(column) for column in header}
    has_cost = _check_columns(source, tuple(named.values()))
    _note(source, header, named.values())
    return charges_from(_as_focus(chunk, named, has_cost) for chunk in read_table(source))


def _focus_name(column: str) -> str:
    return _NAMES.get(_SPACING.sub("", column).casefold(), column) if not column.startswith(_OURS) else column


def _check_columns(source: BillingSource, names: tuple[str, ...]) -> bool:
    """Whether the file has cost. Raises BadRecord where the columns are not those of cost and usage."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise BadRecord(f"{source.name} has the column {', '.join(twice)} more than once; export it again with one")
    other = next((what for name, what in _OTHER_DATASETS.items() if name in names), None)
    if other and "ChargePeriodStart" not in names:
        raise BadRecord(
            f"{source.name} is the FOCUS dataset {other}; it is not cost and usage, and adding it would count money"
            " twice. Import the Cost and Usage dataset; the total of an invoice is typed in at reconciliation."
        )
    has_cost = bool(set(names) & set(MONEY_COLUMNS)) or not set(names) & {*_QUANTITIES, *_QUANTITIES.values()}
    given = {"BillingCurrency"} if source.currency else set()
    given |= set() if has_cost else {"BilledCost"}
    missing = [name for name in REQUIRED_COLUMNS if name not in names and name not in given]
    if missing:
        present = [name for name in FOCUS_COLUMNS if name in names]
        hint = " BillingCurrency may be named with --currency." if "BillingCurrency" in missing else ""
        raise BadRecord(
            f"{source.name} lacks the column {', '.join(missing)}. It has {', '.join(present) or 'no FOCUS column'}."
            f" Add the missing ones to the export, under their FOCUS names.{hint}"
        )
    return has_cost


def _note(source: BillingSource, header: Iterable[str], names: Iterable[str]) -> None:
    present = set(names)
    version = next((version for version, new in _NEW_IN.items() if present & set(new)), _OLDEST)
    source.notes[f"file with the columns of FOCUS {version}"] += 1
    known = set(_NAMES.values())
    unknown = sorted(name for name in present if name not in known and not name.startswith(_OURS))
    if unknown:
        source.notes[f"columns that FOCUS does not have, kept in `extra`: {', '.join(unknown)[:200]}"] += len(unknown)
    if not present >= {name for name in header if not name.startswith(_OURS)}:
        source.notes["file with column names in another spelling than FOCUS has"] += 1


def _as_focus(chunk: Chunk, named: dict[str, str], has_cost: bool) -> Chunk:
    columns: dict[str, Cells] = {named.get(name, name): cells for name, cells in chunk.columns.items()}
    for name, newer in _RENAMED.items():
        if newer in columns:
            columns[name] = _first_of(columns.get(name), columns[newer])
    if not has_cost:
        chunk.source.notes["rows with a quantity and no cost: capacity, to be priced from the invoice"] += (
            chunk.rows_count
        )
        columns["BilledCost"] = ("0",) * chunk.rows_count
        for name, consumed in _QUANTITIES.items():
            if name not in columns and consumed in columns:
                columns[name] = columns[consumed]
    if "Tags" in columns:
        columns["Tags"] = _tags(columns["Tags"])
    columns |= _rounded(chunk.source, columns)
    mapped = replace(chunk, columns=columns)
    _refuse_spreadsheet_dates(mapped)
    return mapped


def _tags(cells: Cells) -> Cells:
    """BigQuery has a list of keys and values where FOCUS has an object. What is neither stays as it is."""
    if not any((text or "").startswith("[") for text in coded(cells).dictionary.to_pylist()):
        return cells

    def tags(cell: str | None) -> str | None:
        try:
            return object_text(pairs_of(cell)) if cell and cell.startswith("[") else cell
        except ValueError:
            return cell

    return per_text(tags, cells)


def _rounded(source: BillingSource, columns: dict[str, Cells]) -> dict[str, Cells]:
    """The columns in which a number has more decimals than are kept, and beside them what it was."""
    found: dict[str, Cells] = {}
    for name in _NUMBERS:
        cells = columns.get(name)
        # Of values only exact ones can have more: doubles are taken at their shortest decimal.
        if cells is None or (isinstance(cells, Typed) and not _may_be_long(cells.values.type)):
            continue
        shorter, too_long = fitted(source, cells)
        if too_long:
            found |= {name: shorter, f"{_OURS}{name}AsExported": too_long}
    return found


def _may_be_long(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or (pa.types.is_decimal(kind) and kind.scale > MONEY_SCALE))


def _first_of(cells: Cells | None, others: Cells) -> Cells:
    """The cells, and where they are null the others."""
    if cells is None:
        return others
    if not coded(cells).null_count:
        return cells
    return [other if cell in (None, "", "NULL", "null") else cell for cell, other in zip(cells, others, strict=True)]


def _refuse_spreadsheet_dates(chunk: Chunk) -> None:
    """By the first row of text: a spreadsheet writes all dates of a column alike."""
    for name in _TIMES:
        cells = chunk.columns.get(name, ())
        first = None if isinstance(cells, Typed) else next(iter(cells), None)
        if first and _SPREADSHEET_DATE.fullmatch(first.strip()):
            raise BadRecord(
                f"{chunk.place(0, name)}: {first!r} may be two days, with the day or the month first; a"
                " spreadsheet saved this file. Export it again without opening it, or say what is meant:"
                " --mapping focus_us (month first, $1,234.50) or --mapping focus_eu (day first, 1.234,50 €)."
            )


FORMAT = BillingFormat(key="focus", label="FOCUS 1.0 to 1.3, CSV or Parquet", identify=identify, parse=parse)
