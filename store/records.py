"""The small records that cross the store's border."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from costlib.billing import exact_text

# The state of a run that worked. Any other word names what failed ("timeout", "refused", "too_large", ...).
RUN_OK = "ok"


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


class ImportStatus(StrEnum):
    IMPORTED = "imported"
    ALREADY_IMPORTED = "already imported"
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
