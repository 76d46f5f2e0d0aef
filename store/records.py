"""The small records that cross the store's border."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from costlib.billing import exact_text
from costlib.devices import DevicePage, DeviceSample
from costlib.history import HistoryIncreases
from costlib.telemetry import EnginePage, UsageSample

# The state of a run that worked. Any other word names what failed ("timeout", "refused", "too_large", ...).
RUN_OK = "ok"
# The stream of engine pages that the scrapes of today go on from.
LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeRun:
    """One attempt to read one source. `state` is RUN_OK, or one word for the failure that `error` tells in full."""

    source_key: str
    target_key: str
    started_at: datetime  # aware UTC, as every time at this border
    finished_at: datetime
    state: str = RUN_OK
    rows_count: int = 0
    error: str | None = None
    every_s: float | None = None  # how often this source is read; None when it is read once
    kind: str = "scrape"
    is_sample: bool = False

    @property
    def text(self) -> str:
        """The run in one line."""
        return f"{self.finished_at:%H:%M:%S} {self.target_key} {self.state} {self.error or f'{self.rows_count} rows'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """What one run brought: in the store whole, or not at all.

    `pages` and `devices` are what the next increments are counted from.
    """

    run: ScrapeRun
    pages: Sequence[EnginePage] = ()
    samples: Sequence[UsageSample] = ()
    histories: Sequence[HistoryIncreases] = ()
    devices: Sequence[DevicePage] = ()
    device_samples: Sequence[DeviceSample] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    """A server as it is known: its labels, and the deployment it is a replica of."""

    target_key: str
    source_key: str
    deployment_key: str
    labels: Mapping[str, str] = field(default_factory=dict)
    is_sample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillJob:
    """The history of one source from `from_at` to `to_at`, oldest first; what lies before `done_to` is stored."""

    source_key: str
    from_at: datetime
    to_at: datetime
    done_to: datetime

    @property
    def stream(self) -> str:
        """Where the engines' pages of this job are kept, apart from those of the scrapes that go on meanwhile."""
        return f"backfill:{self.source_key}"


class ImportStatus(StrEnum):
    IMPORTED = "imported"
    ALREADY_IMPORTED = "already imported"
    PENDING = "pending"  # kept beside a locked month, until somebody accepts it
    REFUSED = "refused"
    QUEUED = "queued"  # handed to a running writer that has not answered yet


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReceipt:
    """What became of one billing file. A cost is None when the file has no such column or names several currencies."""

    file_name: str
    format_key: str | None
    status: ImportStatus
    detail: str
    rows_count: int = 0
    billed_cost: Decimal | None = None
    effective_cost: Decimal | None = None
    list_cost: Decimal | None = None
    contracted_cost: Decimal | None = None
    currency: str | None = None  # "EUR, USD" when the file bills in several, which are never added
    periods: tuple[str, ...] = ()  # billing periods found, as YYYY-MM
    superseded: tuple[str, ...] = ()  # the batches this delivery replaced

    @property
    def text(self) -> str:
        """The receipt in one line, with every digit of its sums."""
        sums = {
            "BilledCost": self.billed_cost,
            "EffectiveCost": self.effective_cost,
            "ListCost": self.list_cost,
            "ContractedCost": self.contracted_cost,
        }
        known = ", ".join(f"{name} {exact_text(cost)}" for name, cost in sums.items() if cost is not None)
        amounts = f" {known} {self.currency}." if known else ""
        return f"{self.file_name}: {self.status}. {self.detail}.{amounts}".replace("..", ".")


class LedgerKind(StrEnum):
    INVOICE = "invoice"  # the total that the invoice itself says; the newest of its month and account counts
    NOTE = "note"
    LOCK = "lock"  # later deliveries of the month wait
    UNLOCK = "unlock"
    ACCEPT = "accept"  # what waits for the month takes the place of what is there


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What a person wrote about a month. A provider, account or currency of "" means all of them."""

    kind: LedgerKind
    month: str  # YYYY-MM
    provider: str = ""
    billing_account: str = ""
    currency: str = ""
    amount: Decimal | None = None
    text: str = ""
    owner: str = ""
    at: datetime | None = None  # given when it is written, as is the id
    entry_id: str = ""
