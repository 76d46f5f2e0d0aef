"""Loads the sample data, labelled as such: usage hours straight into the store, the bill as a file like any other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors.importer import import_files
from collectors.sample import usage_hours
from collectors.sample_bill import bill_csv
from collectors.sample_latency import BOUNDS
from collectors.sample_ledger import write_sample_ledger
from costlib.allocation import CENT
from costlib.errors import ConfigError
from costlib.scenario_file import ScenarioFile
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.home import Home
from store.ledger import write
from store.read import snapshot_of
from store.records import ImportReceipt, ImportStatus, LedgerEntry, LedgerKind
from store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoLoaded:
    """What `demo` put into the home."""

    hours_count: int
    usage_to: datetime
    bill: ImportReceipt


def sample_file(today: datetime) -> ScenarioFile:
    """The sample fleet's scenario file."""
    return load_scenario(SAMPLE_SCENARIO, today.date())


def load_demo(home: Home, clock: Callable[[], datetime]) -> DemoLoaded:
    """The sample fleet, and what people decided on it: see `write_sample_ledger`. Raises as `load_fleet`."""
    loaded = load_fleet(home, clock)
    with snapshot_of(home) as snapshot:
        write_sample_ledger(home, snapshot, loaded.usage_to)
    return loaded


def load_fleet(home: Home, clock: Callable[[], datetime]) -> DemoLoaded:
    """Seventeen weeks of the sample fleet up to the last full hour. Again: the hours and the bill are replaced.

    Raises    ConfigError when the home holds real data, which sample data must not be added to
    """
    end = clock().replace(minute=0, second=0, microsecond=0)
    file = sample_file(end)
    rows = usage_hours(file, end)
    with Writer.open(home, clock) as writer:
        writer.add_usage_hours(rows, BOUNDS.values())
        writer.publish(force=True)
    with TemporaryDirectory() as folder:
        bill = Path(folder) / "sample-bill.csv"
        bill.write_text(bill_csv(file, end), encoding="utf-8")
        (receipt,) = import_files([bill], home, is_sample=True, clock=clock)
    if receipt.status is ImportStatus.REFUSED:
        raise ConfigError(f"the sample bill was refused: {receipt.detail}")
    _invoice(home, clock)
    return DemoLoaded(hours_count=rows.num_rows, usage_to=end, bill=receipt)


def _invoice(home: Home, clock: Callable[[], datetime]) -> None:
    """What the sample's provider invoiced for the newest month that is over: its charges, in whole cents."""
    with snapshot_of(home) as snapshot:
        months = snapshot.months()
        final = months[months["state"] == "final"].to_dict("records")
        known = {(one.month, one.provider, one.amount) for one in snapshot.ledger()}
    entries = [
        LedgerEntry(
            kind=LedgerKind.INVOICE,
            month=row["month"],
            provider=row["provider"],
            billing_account=row["billing_account"],
            currency=row["currency"],
            amount=row["billed"].quantize(CENT),
            text="Sample data",
            owner="permillion demo",
        )
        for row in final[-1:]
    ]
    write(home, [one for one in entries if (one.month, one.provider, one.amount) not in known], clock)
