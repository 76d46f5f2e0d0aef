"""A BigQuery billing export as flat rows: nested records, JSON lines, and what a console makes of repeated fields."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from collectors.billing import _files
from collectors.billing._csv import header_of
from collectors.billing._gcp_cells import value_of
from collectors.billing._json import documents, is_json, text_of
from collectors.billing._native import Vocabulary, is_blank
from collectors.billing._read import read_table
from collectors.billing._tables import Chunk, chunks_of
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord

# Fields of which a row has any number. A console writes each member as a column, and each further one as a row.
_REPEATED = ("credits", "labels", "system_labels", "tags", "project.labels", "project.ancestors")
_FLATTENED = "rows that repeat a charge for each of its credits or labels, taken as one charge"
_Row = Mapping[str, str | None]


def flat_chunks(source: BillingSource, words: Vocabulary) -> Iterator[Chunk]:
    """The export with one column per member of a record (`usage.amount`), and lists as JSON in one cell."""
    if not _files.is_parquet(source.path) and is_json(source.head()):
        return chunks_of(source, (_flat(row) for row in _json_rows(source)))
    chunks = (_expanded(chunk, words) for chunk in read_table(source))
    if _repeated_columns(header_of(source.head())):
        return chunks_of(source, _joined(source, (row for chunk in chunks for row in _rows(chunk))))
    return chunks


# JSON -----------------------------------------------------------------------------------------------------------------


def _json_rows(source: BillingSource) -> Iterator[Mapping[str, Any]]:
    """JSON lines, or one array as the console saves it."""
    for line, document in documents(source):
        for row in document if isinstance(document, list) else (document,):
            if not isinstance(row, dict):
                raise BadRecord(
                    f"{source.name}: line {line} holds {str(row)[:40]!r}, where a row of the export belongs"
                )
            yield row


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str | None]:
    cells: dict[str, str | None] = {}
    for name, value in record.items():
        # One record where a list belongs is a list of it.
        if isinstance(value, dict) and f"{prefix}{name}" not in _REPEATED:
            cells |= _flat(value, f"{prefix}{name}.")
        else:
            cells[f"{prefix}{name}"] = text_of(value)
    return cells


def _expanded(chunk: Chunk, words: Vocabulary) -> Chunk:
    """A record that is one JSON cell, as Parquet and some extracts have it, becomes a column per member."""
    columns = dict(chunk.columns)
    for name in chunk.columns.keys() & words.records:
        records = [_record(cell, name) for cell in chunk.columns[name]]
        if any(records):
            members = dict.fromkeys(member for record in records for member in record)
            columns |= {member: [record.get(member) for record in records] for member in members}
            del columns[name]
    return Chunk(
        source=chunk.source,
        columns=columns,
        first_row=chunk.first_row,
        lines=chunk.lines,
        file_name=chunk.file_name,
    )


def _record(cell: str | None, name: str) -> dict[str, str | None]:
    if cell is None or not cell.lstrip().startswith("{"):
        return {}
    try:
        value = value_of(cell)
    except ValueError:
        return {}
    return _flat(value, f"{name}.") if isinstance(value, dict) else {}


# Repeated rows --------------------------------------------------------------------------------------------------------


def _repeated_columns(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Columns such as credits.amount or credits_amount: the list and the member that they are of."""
    found = {}
    for name in names:
        dotted = name.replace("project_", "project.")
        for repeated in _REPEATED:
            member = dotted.removeprefix(f"{repeated}.").removeprefix(f"{repeated}_")
            if member != dotted and member in ("name", "full_name", "id", "type", "amount", "key", "value"):
                found[name] = (repeated, member)
    return found


def _rows(chunk: Chunk) -> Iterator[dict[str, str | None]]:
    for cells in zip(*chunk.columns.values(), strict=True):
        yield dict(zip(chunk.columns, cells, strict=True))


def _joined(source: BillingSource, rows: Iterable[_Row]) -> Iterator[dict[str, str | None]]:
    """One row per charge, with its lists in one cell each.

    A row continues the one before when all else in it is blank, or when all else is the same and it has a credit that
    the charge does not have yet: identical charges bear identical credits, and stay two.
    """
    charge: dict[str, str | None] | None = None
    lists: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        columns = _repeated_columns(row)
        rest = {name: cell for name, cell in row.items() if name not in columns}
        records: dict[str, dict[str, str]] = {repeated: {} for repeated in _REPEATED}
        for name, (repeated, member) in columns.items():
            if (cell := row[name]) is not None and not is_blank(cell):
                records[repeated][member] = cell
        if charge is not None and _continues(charge, lists, rest, records):
            source.notes[_FLATTENED] += 1
            for repeated, record in records.items():
                if record and record not in lists[repeated]:
                    lists[repeated].append(record)
            continue
        if charge is not None:
            yield _whole(charge, lists)
        charge, lists = rest, {repeated: [record] if record else [] for repeated, record in records.items()}
    if charge is not None:
        yield _whole(charge, lists)


def _continues(
    charge: _Row, lists: Mapping[str, list[dict[str, str]]], rest: _Row, records: Mapping[str, dict[str, str]]
) -> bool:
    if all(map(is_blank, rest.values())):
        return True
    others = all(not record or record in lists[name] for name, record in records.items() if name != "credits")
    new = records["credits"] and lists["credits"] and _who(records["credits"]) not in map(_who, lists["credits"])
    return rest == charge and others and bool(new)


def _who(credit: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(credit.get(name) for name in ("type", "id", "name"))


def _whole(charge: _Row, lists: Mapping[str, list[dict[str, str]]]) -> dict[str, str | None]:
    return {**charge, **{name: json.dumps(records) for name, records in lists.items() if records}}
