"""How bills and what people write of them reach the writer: a segment is a folder with a manifest in JSON, and of a
bill its typed rows in Parquet.

A segment appears whole, by one rename, and goes when it has been answered. The answer lies beside it, for the process
that handed it over. So an import works the same way whether a writer runs or not, and survives a kill at any moment.
"""

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from costlib.billing import FOCUS_COLUMNS, MONEY_PRECISION, MONEY_SCALE, ColumnKind
from costlib.errors import BadRecord
from store.durable import move_into_place, sha256_of, write_text
from store.home import Home
from store.records import ImportReceipt, ImportStatus, LedgerEntry, LedgerKind

REPLACE, APPEND, DAYS = "replace", "append", "days"

_ROWS, _MANIFEST, _REPLY = "rows.parquet", "manifest.json", ".reply.json"
# Rows are written by so many: each group of rows has its own statistics, and costs every reader a little.
_GROUP_ROWS_COUNT = 122_880
# Half-built segments of a killed import, and answers nobody fetched, are swept after this.
_KEPT_FOR = timedelta(days=1)

# Few texts of a bill are different; each is kept once per group of rows.
_TEXT = pa.dictionary(pa.int32(), pa.string())
_ARROW_OF_KIND = {
    ColumnKind.MONEY: pa.decimal128(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.QUANTITY: pa.decimal128(MONEY_PRECISION, MONEY_SCALE),
    ColumnKind.TIME: pa.timestamp("us"),
    ColumnKind.TEXT: _TEXT,
    ColumnKind.JSON: _TEXT,
}
# What a billing format yields: FOCUS columns, typed, and everything else a file had as one JSON text.
CHARGE_ROWS = pa.schema(
    [pa.field("row_number", pa.int64())]
    + [pa.field(name, _ARROW_OF_KIND[kind]) for name, kind in FOCUS_COLUMNS.items()]
    + [pa.field("extra", _TEXT)]
)
SEGMENT_ROWS = CHARGE_ROWS.insert(0, pa.field("file_number", pa.int64()))
_TEXT_COLUMNS = [field.name for field in SEGMENT_ROWS if field.type == _TEXT]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What the manifest says of one file.

    billed       the sum of BilledCost per currency, as exact text
    delivery     what it does to the rows that are there of its provider, account and billing period: REPLACE, APPEND
                 or DAYS
    is_evidence  whether it says who used what, and no cost
    statement    whose account of the money it is, where one format has several ("azure actual", "azure amortised");
                 of two statements of one period only one counts
    """

    file_number: int
    file_name: str
    format_key: str
    sha256: str
    bytes_count: int
    rows_count: int
    billed: Mapping[str, str]
    notes: Mapping[str, int]
    delivery: str = REPLACE
    is_evidence: bool = False
    statement: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a segment brings: the files of one import, or what somebody wrote.

    `replaces_statement` says that the files count instead of another statement of the same account and period.
    """

    segment_id: str
    is_sample: bool = False
    files: tuple[FileEntry, ...] = ()
    rows_sha256: str = ""
    replaces_statement: bool = False
    ledger: tuple[LedgerEntry, ...] = ()


class SegmentBuilder:
    """Writes one segment. Leaving the block without `finish` removes everything."""

    def __init__(self, home: Home, now: datetime) -> None:
        self.segment_id = _new_id(now)
        self._final = home.inbox / self.segment_id
        self._building = home.inbox / f".{self.segment_id}.building"
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_count = 0

    def __enter__(self) -> "SegmentBuilder":
        self._building.mkdir(parents=True)
        self._parquet = pq.ParquetWriter(
            self._building / _ROWS, SEGMENT_ROWS, compression="zstd", use_dictionary=_TEXT_COLUMNS
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()
        shutil.rmtree(self._building, ignore_errors=True)

    def add(self, file_number: int, rows: pa.RecordBatch) -> None:
        numbers = pa.repeat(pa.scalar(file_number, pa.int64()), rows.num_rows)
        self._waiting.append(pa.RecordBatch.from_arrays([numbers, *rows.columns], schema=SEGMENT_ROWS))
        self._waiting_count += rows.num_rows
        if self._waiting_count >= _GROUP_ROWS_COUNT:
            self._flush()

    def finish(self, files: Iterable[FileEntry], is_sample: bool, replaces_statement: bool = False) -> str:
        self._flush()
        self._parquet.close()
        manifest = Manifest(
            segment_id=self.segment_id,
            is_sample=is_sample,
            files=tuple(files),
            rows_sha256=sha256_of(self._building / _ROWS),
            replaces_statement=replaces_statement,
        )
        _write_manifest(self._building, manifest)
        move_into_place(self._building, self._final)
        return self.segment_id

    def _flush(self) -> None:
        if self._waiting_count:
            # Arrow writes texts as they are coded only where all have the same code.
            rows = pa.Table.from_batches(self._waiting).unify_dictionaries()
            self._parquet.write_table(rows, row_group_size=2 * _GROUP_ROWS_COUNT)
        self._waiting, self._waiting_count = [], 0


def post(home: Home, entries: Iterable[LedgerEntry], now: datetime) -> str:
    """Hand over what somebody wrote."""
    manifest = Manifest(segment_id=_new_id(now), ledger=tuple(entries))
    building = home.inbox / f".{manifest.segment_id}.building"
    building.mkdir(parents=True)
    _write_manifest(building, manifest)
    move_into_place(building, home.inbox / manifest.segment_id)
    return manifest.segment_id


def _new_id(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"


def _write_manifest(building: Path, manifest: Manifest) -> None:
    (building / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1, default=str), encoding="utf-8")


# The writer's side ----------------------------------------------------------------------------------------------------


def waiting(home: Home) -> list[Path]:
    """Whole segments, oldest first."""
    if not home.inbox.is_dir():
        return []
    return sorted(item for item in home.inbox.iterdir() if item.is_dir() and not item.name.startswith("."))


def opened(segment: Path) -> tuple[Manifest, Path]:
    """The manifest of a segment and its checked rows. Raises BadRecord when it is not as it was written."""
    rows = segment / _ROWS
    try:
        body = json.loads((segment / _MANIFEST).read_text(encoding="utf-8"))
        manifest = _manifest_from(body)
        whole = not manifest.files or sha256_of(rows) == manifest.rows_sha256
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadRecord(f"{segment} is damaged ({error}); import the billing file again") from error
    if not whole:
        raise BadRecord(f"{rows} is damaged (its SHA-256 differs); import the billing file again")
    return manifest, rows


def _manifest_from(body: Mapping[str, Any]) -> Manifest:
    files = tuple(FileEntry(**entry) for entry in body["files"])
    ledger = tuple(
        LedgerEntry(
            **{
                **entry,
                "kind": LedgerKind(entry["kind"]),
                "amount": None if entry["amount"] is None else Decimal(entry["amount"]),
                "at": datetime.fromisoformat(entry["at"]),
            }
        )
        for entry in body.get("ledger", ())
    )
    return Manifest(**{**body, "files": files, "ledger": ledger})


def reply(home: Home, segment: Path, receipts: Iterable[ImportReceipt], refused: Exception | None = None) -> None:
    """Answer a segment, then let it go."""
    body = {
        "receipts": [receipt_record(receipt) for receipt in receipts],
        "refused": {"kind": type(refused).__name__, "message": str(refused)} if refused else None,
    }
    write_text(home.inbox / (segment.name + _REPLY), json.dumps(body))
    _remove(segment)


def sweep(home: Home, now: datetime) -> None:
    """Remove what killed imports left: half-built segments and answers that nobody fetched."""
    for item in home.inbox.iterdir() if home.inbox.is_dir() else ():
        left_over = item.name.startswith(".") or item.name.endswith(_REPLY)
        if left_over and item.stat().st_mtime < (now - _KEPT_FOR).timestamp():
            shutil.rmtree(item) if item.is_dir() else item.unlink()


def _remove(segment: Path) -> None:
    """Out of sight in one step: half a segment must never be found, and be called damaged, after a kill."""
    hidden = segment.with_name(f".{segment.name}.answered")
    with suppress(FileNotFoundError):
        segment.rename(hidden)
        shutil.rmtree(hidden)


# The importer's side --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    receipts: tuple[ImportReceipt, ...]
    refused_kind: str | None = None
    refused_message: str = ""


def withdraw(home: Home, segment_id: str) -> None:
    """Take back a segment that could not be stored, so that it does not turn up later."""
    _remove(home.inbox / segment_id)


def take_reply(home: Home, segment_id: str) -> Reply | None:
    """The writer's answer, once; None while there is none."""
    path = home.inbox / (segment_id + _REPLY)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    path.unlink()
    refused = body["refused"] or {"kind": None, "message": ""}
    return Reply(
        receipts=tuple(receipt_from(record) for record in body["receipts"]),
        refused_kind=refused["kind"],
        refused_message=refused["message"],
    )


def receipt_record(receipt: ImportReceipt) -> dict[str, Any]:
    """A receipt as JSON values; money is text."""
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(receipt).items()}


def receipt_from(record: Mapping[str, Any]) -> ImportReceipt:
    values = dict(record, status=ImportStatus(record["status"]))
    for field in fields(ImportReceipt):
        if field.name.endswith("_cost") and values[field.name] is not None:
            values[field.name] = Decimal(values[field.name])
        elif isinstance(values[field.name], list):
            values[field.name] = tuple(values[field.name])
    return ImportReceipt(**values)
