"""Loads the sample data, labelled as such: usage hours straight into the store, the bill as a file like any other."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors.importer import import_files
from collectors.sample import usage_hours
from collectors.sample_bill import bill_csv
from costlib.errors import ConfigError
from costlib.scenario_file import ScenarioFile
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.home import Home
from store.records import ImportReceipt, ImportStatus
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
    """Eight weeks of the sample fleet up to the last full hour. Again: the hours and the bill are replaced.

    Raises    ConfigError when the home holds real data, which sample data must not be added to
    """
    end = clock().replace(minute=0, second=0, microsecond=0)
    file = sample_file(end)
    rows = usage_hours(file, end)
    with Writer.open(home, clock) as writer:
        writer.add_usage_hours(rows)
        writer.publish(force=True)
    with TemporaryDirectory() as folder:
        bill = Path(folder) / "sample-bill.csv"
        bill.write_text(bill_csv(file, end), encoding="utf-8")
        (receipt,) = import_files([bill], home, is_sample=True, clock=clock)
    if receipt.status is ImportStatus.REFUSED:
        raise ConfigError(f"the sample bill was refused: {receipt.detail}")
    return DemoLoaded(hours_count=rows.num_rows, usage_to=end, bill=receipt)
