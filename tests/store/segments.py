"""Small deliveries of charges, handed over as segments, without a billing format in between."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import pyarrow as pa

from costlib.billing import exact_sum
from store.home import Home
from store.inbox import APPEND, CHARGE_ROWS, DAYS, REPLACE, FileEntry, SegmentBuilder
from store.records import ImportReceipt
from store.writer import Writer
from tests.store.builders import NOON

__all__ = ["APPEND", "DAYS", "REPLACE"]

Charge = Mapping[str, object]
_CHARGE: Charge = {
    "BilledCost": Decimal("1.50"),
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ProviderName": "AWS",
    "BillingAccountId": "100",
    "ServiceName": "EC2",
}


def charge(cost: str | Decimal = "1.50", day: int = 5, month: int = 10, **changes: object) -> Charge:
    """A charge of one day of a month of 2026."""
    times = {
        "BillingPeriodStart": datetime(2026, month, 1),  # noqa: DTZ001 (the store's times have no zone)
        "BillingPeriodEnd": datetime(2026, month + 1, 1),  # noqa: DTZ001
        "ChargePeriodStart": datetime(2026, month, day),  # noqa: DTZ001
        "ChargePeriodEnd": datetime(2026, month, day, 1),  # noqa: DTZ001
    }
    return {**_CHARGE, **times, "BilledCost": Decimal(cost), **changes}


def hand_in(
    home: Home,
    *files: Sequence[Charge],
    delivery: str = REPLACE,
    is_evidence: bool = False,
    format_key: str = "focus",
    statement: str = "",
    replaces_statement: bool = False,
    moment: datetime = NOON,
) -> None:
    """Leave one delivery, of one file or several, in the inbox."""
    home.make()
    with SegmentBuilder(home, moment) as segment:
        entries = []
        for number, rows in enumerate(files, start=1):
            records = [{**row, "row_number": place} for place, row in enumerate(rows, start=2)]
            segment.add(number, pa.RecordBatch.from_pylist(records, schema=CHARGE_ROWS))
            currencies = {str(row["BillingCurrency"]) for row in rows}
            billed = {
                code: exact_sum(row["BilledCost"] for row in rows if row["BillingCurrency"] == code)
                for code in currencies
            }
            entries.append(
                FileEntry(
                    file_number=number,
                    file_name=f"{format_key}-{number}.csv",
                    format_key=format_key,
                    sha256="",
                    bytes_count=1,
                    rows_count=len(rows),
                    billed={code: str(cost) for code, cost in billed.items()},
                    notes={},
                    delivery=delivery,
                    is_evidence=is_evidence,
                    statement=statement,
                )
            )
        segment.finish(entries, is_sample=False, replaces_statement=replaces_statement)


def deliver(home: Home, *files: Sequence[Charge], **settings: object) -> list[ImportReceipt]:
    """Hand in, store and publish; the receipts."""
    hand_in(home, *files, **settings)
    with Writer.open(home) as writer:
        receipts = writer.drain_inbox()
        writer.publish(force=True)
    return receipts
