"""What a billing format is: how to know a file of it, and how to read one into charges."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pyarrow as pa

from collectors.billing import _files


@dataclass(slots=True)
class Reading:
    """How far a file has been read; None where that is not known."""

    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingSource:
    """One file to read. `notes` counts what a reader should know about how it was read."""

    path: Path
    currency: str | None = None  # for exports that do not say theirs
    mapping: Path | None = None  # what the columns mean, for exports of a format of their own
    reading: Reading = field(default_factory=Reading)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return self.path.name

    def check(self) -> None:
        """Raises BadRecord for what is no file with content."""
        _files.check_regular(self.path)

    def head(self) -> bytes:
        """The first bytes of the file, unpacked; of a Parquet file its column names, as the header of a CSV."""
        return _files.head(self.path)


class Delivery(StrEnum):
    """What a later file of the same provider, account and billing period does to the rows before it."""

    REPLACE = "replace"  # it is the whole period again
    APPEND = "append"  # it adds what is new: identical rows are there as often as the file that has most of them says
    DAYS = "days"  # it is the whole of the days it has rows of, and says nothing of other days


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingFormat:
    """One export format. Its module is named like `key` and has it as FORMAT.

    identify(head, name)  whether a file that begins like this is one; exactly one format may say so
    parse(source)         its charges as batches of `store.inbox.CHARGE_ROWS`, in bounded memory; raises BadRecord
                          naming the file, the row, the column and what to do, at the first thing that is wrong
    delivery              what a later file does to the rows before it
    is_evidence           a gateway's own estimate of money that somebody else bills: who used what, and no cost
    statement(source)     whose account of the money a parsed file is, where a format has several; of two statements of
                          one account and period only one counts
    """

    key: str
    label: str
    identify: Callable[[bytes, str], bool]
    parse: Callable[[BillingSource], Iterator[pa.RecordBatch]]
    delivery: Delivery = Delivery.REPLACE
    is_evidence: bool = False
    statement: Callable[[BillingSource], str] = lambda source: ""
