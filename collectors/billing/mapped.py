"""Any table through a declared column mapping: GPU clouds, invoices typed by hand, spreadsheets."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pyarrow as pa

from collectors.billing import _files
from collectors.billing._csv import csv_chunks, header_of
from collectors.billing._json import object_text
from collectors.billing._locale import scaled
from collectors.billing._mapping import ColumnMapping, folded, load_mapping, shipped
from collectors.billing._parquet import parquet_chunks
from collectors.billing._periods import billing_month
from collectors.billing._tables import Cells, Chunk
from collectors.billing._typed import charges_from
from collectors.billing.base import BillingFormat, BillingSource
from costlib.billing import FOCUS_COLUMNS, ColumnKind, exact_text
from costlib.errors import BadRecord

_NULLS = frozenset(("", "NULL", "null"))
_PERIODS = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")


def identify(head: bytes, name: str) -> bool:
    return len(_recognised(head)) == 1


def _recognised(head: bytes) -> list[ColumnMapping]:
    names = set(map(folded, header_of(head)))
    return [mapping for mapping in shipped().values() if mapping.recognise and names.issuperset(mapping.recognise)]


def parse(source: BillingSource) -> Iterator[pa.RecordBatch]:
    mapping = mapping_of(source)
    source.notes[f"file read with the mapping {mapping.name}"] += 1
    return charges_from(_mapped(source, mapping))


def mapping_of(source: BillingSource) -> ColumnMapping:
    """The mapping that was named, or the one shipped one that knows the columns."""
    if source.mapping is not None:
        return load_mapping(source.mapping)
    found = _recognised(source.head())
    if len(found) != 1:
        raise BadRecord(
            f"{source.name} has no mapping: name one with --mapping, your own file or one of {', '.join(shipped())}"
        )
    return found[0]


def _mapped(source: BillingSource, mapping: ColumnMapping) -> Iterator[Chunk]:
    is_parquet = _files.is_parquet(source.path)
    for chunk in parquet_chunks(source) if is_parquet else csv_chunks(source, mapping.encoding):
        mapped = _Mapping(chunk, mapping).focus()
        if mapped.rows_count:
            yield mapped


class _Mapping:
    """One chunk under one mapping."""

    def __init__(self, chunk: Chunk, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self._theirs = {folded(name): name for name in chunk.columns}
        if len(self._theirs) < len(chunk.columns):
            raise BadRecord(f"{chunk.source.name} has columns that differ only in case or spaces; rename one")
        self._chunk = self._without_skipped(chunk)
        self._used: set[str] = {self._theirs[name] for name in mapping.drop if name in self._theirs}
        self._columns = {**self._same_names(), **self._declared()}

    def focus(self) -> Chunk:
        count = len(next(iter(self._chunk.columns.values())))
        columns: dict[str, Cells] = {name: (value,) * count for name, value in self._mapping.constants.items()}
        for name, column in self._columns.items():
            if name not in _PERIODS:
                columns[name] = self._cells(name, column)
        columns.update(self._periods(count))
        for name, members in (("Tags", self._mapping.tags), ("SkuPriceDetails", self._mapping.sku_price_details)):
            if members:
                columns[name] = self._objects(members)
        extra = {name: cells for name, cells in self._chunk.columns.items() if name not in self._used}
        return self._with({**{name: cells for name, cells in extra.items() if name not in FOCUS_COLUMNS}, **columns})

    def _with(self, columns: dict[str, Cells]) -> Chunk:
        chunk = self._chunk
        return Chunk(
            source=chunk.source,
            columns=columns,
            first_row=chunk.first_row,
            lines=chunk.lines,
            file_name=chunk.file_name,
        )

    def _same_names(self) -> dict[str, str]:
        if not self._mapping.same_names:
            return {}
        return {name: self._theirs[folded(name)] for name in FOCUS_COLUMNS if folded(name) in self._theirs}

    def _without_skipped(self, chunk: Chunk) -> Chunk:
        """Rows that are no cost, such as deposits, are left out and counted. A file's rows keep their lines."""
        keep = [True] * chunk.rows_count
        for column, values in self._mapping.skip.items():
            cells = chunk.columns.get(self._theirs.get(column, ""), ())
            keep = [kept and cell not in values for kept, cell in zip(keep, cells, strict=True)] if cells else keep
        if all(keep):
            return chunk
        chunk.source.notes["rows that the mapping says are no cost, left out"] += keep.count(False)
        rows = [index for index, kept in enumerate(keep) if kept]
        return Chunk(
            source=chunk.source,
            columns={name: [cells[index] for index in rows] for name, cells in chunk.columns.items()},
            first_row=chunk.first_row,
            lines=[chunk.lines[index] for index in rows] if chunk.lines else None,
            file_name=chunk.file_name,
        )

    def _declared(self) -> dict[str, str]:
        """Their column of each FOCUS column; one that is optional and not there is left out."""
        found = {}
        for name, names in self._mapping.columns.items():
            there = next((column for column in names if folded(column) in self._theirs), None)
            if there is not None or name not in self._mapping.optional:
                found[name] = there or names[0]
        return found

    def _column(self, column: str) -> str:
        found = self._theirs.get(folded(column))
        if found is None:
            raise BadRecord(
                f"{self._chunk.source.name} lacks the column {column!r} of mapping {self._mapping.name}."
                f" It has {', '.join(self._chunk.columns)}. Change the mapping or the export."
            )
        self._used.add(found)
        return found

    def _cells(self, name: str, column: str) -> Cells:
        found = self._column(column)
        cells, kind = self._chunk.columns[found], FOCUS_COLUMNS[name]
        meant = self._mapping.values.get(name, {})
        text_of: dict[str | None, str | None] = {}
        for cell in set(cells):
            if cell is None or cell.strip() in _NULLS:
                text_of[cell] = meant.get("")
            elif kind in (ColumnKind.MONEY, ColumnKind.QUANTITY):
                text_of[cell] = self._number(cells, found, cell, is_money=kind is ColumnKind.MONEY)
            else:
                text_of[cell] = meant.get(cell.strip(), cell)
        return [text_of[cell] for cell in cells]

    def _number(self, cells: Cells, column: str, cell: str, *, is_money: bool) -> str:
        try:
            number = self._mapping.numbers.number(cell)
        except BadRecord as error:
            raise BadRecord(f"{self._chunk.place(cells.index(cell), column)}: {error}") from None
        if is_money:
            number = scaled(number, self._mapping.money_exponent)
            number = number.copy_negate() if self._mapping.negate and number else number
        return exact_text(number)

    def _periods(self, count: int) -> dict[str, Cells]:
        """The charge's period from what there is, and its billing period: the calendar month of its first day."""
        written = {name: self._column(self._columns[name]) for name in _PERIODS if name in self._columns}
        begin = written.get("ChargePeriodStart") or written.get("BillingPeriodStart")
        if begin is None:
            raise BadRecord(f"mapping {self._mapping.name} has no ChargePeriodStart under [columns]; say which it is")
        made: dict[tuple[str | None, ...], dict[str, str]] = {}
        columns = [self._chunk.columns[column] for column in written.values()]
        rows = []
        for index, cells in enumerate(zip(*columns, strict=True)):
            if cells not in made:
                try:
                    made[cells] = self._period(dict(zip(written, cells, strict=True)))
                except BadRecord as error:
                    raise BadRecord(f"{self._chunk.place(index, begin)}: {error}") from None
            rows.append(made[cells])
        return {name: [row[name] for row in rows] for name in _PERIODS}

    def _period(self, cells: dict[str, str | None]) -> dict[str, str]:
        mapping, dates = self._mapping, self._mapping.dates
        present = {name: cell for name, cell in cells.items() if cell is not None and cell.strip() not in _NULLS}
        begin = present.get("ChargePeriodStart") or present.get("BillingPeriodStart")
        if begin is None:
            raise BadRecord("is empty, and a charge cannot be placed without its date")
        end = present.get("ChargePeriodEnd")
        charge_end = self._end(end) if end else dates.after(begin, mapping.span)
        start = dates.moment(begin)
        if end and charge_end == start:  # an event; its own instant would be no period
            charge_end = start + timedelta(seconds=1)
        period = {"ChargePeriodStart": _text(start), "ChargePeriodEnd": _text(charge_end)}
        first = present.get("BillingPeriodStart")
        month = billing_month(dates.day(first or begin))
        if first and "BillingPeriodEnd" in present:
            month = {
                "BillingPeriodStart": f"{dates.day(first)}T00:00:00Z",
                "BillingPeriodEnd": f"{self._last_day(present['BillingPeriodEnd'])}T00:00:00Z",
            }
        return {**month, **period}

    def _end(self, cell: str) -> datetime:
        dates = self._mapping.dates
        return dates.after(cell, "day") if self._mapping.inclusive_end else dates.moment(cell)

    def _last_day(self, cell: str) -> str:
        day = self._mapping.dates.day(cell)
        return str(day + timedelta(days=1) if self._mapping.inclusive_end else day)

    def _objects(self, members: dict[str, str] | None) -> Cells:
        columns = [self._chunk.columns[self._column(column)] for column in (members or {}).values()]
        names = tuple(members or {})
        return [object_text(dict(zip(names, cells, strict=True))) for cells in zip(*columns, strict=True)]


def _text(moment: datetime) -> str:
    return f"{moment.isoformat()}Z"


FORMAT = BillingFormat(key="mapped", label="any table with a declared mapping", identify=identify, parse=parse)
