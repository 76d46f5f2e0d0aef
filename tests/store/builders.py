"""Small pages, samples and bills for the store's tests."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from costlib.devices import DevicePage, DeviceSample
from costlib.telemetry import EnginePage, Histogram, SampleState, UsageSample
from store.records import LIVE, RUN_OK, Scrape, ScrapeRun
from store.writer import Writer

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
BOUNDS = (0.1, 1.0, float("inf"))
ALWAYS = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


def frozen(moment: datetime = NOON):
    return lambda: moment


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def run(moment: datetime = NOON, state: str = RUN_OK, error: str | None = None, **changes) -> ScrapeRun:
    values = {
        "source_key": "vllm:http://gpu-1:8000",
        "target_key": "gpu-1",
        "started_at": moment,
        "finished_at": moment,
        "rows_count": 1,
        "every_s": 15.0,
    }
    return ScrapeRun(**{**values, "state": state, "error": error, **changes})


def add(
    writer: Writer,
    run: ScrapeRun,
    pages: Sequence[EnginePage] = (),
    samples: Sequence[UsageSample] = (),
    stream: str = LIVE,
    **more,
) -> None:
    """Stores one scrape, and raises what the store says against it."""
    (failure,) = writer.add_scrapes([Scrape(run=run, pages=pages, samples=samples, **more)], stream)
    if failure:
        raise failure


def page(moment: datetime = NOON, **changes) -> EnginePage:
    values = {"target_key": "gpu-1", "model_key": "qwen", "engine_key": "0", "scraped_at": moment}
    return EnginePage(**{**values, **changes})


def sample(
    moment: datetime = NOON,
    counters: Mapping[str, float | None] | None = None,
    gauges: Mapping[str, float | None] | None = None,
    ttft_s: Histogram | None = None,
    state: SampleState = SampleState.OK,
    interval_s: float | None = 15.0,
    **changes,
) -> UsageSample:
    values = {"target_key": "gpu-1", "model_key": "qwen", "engine_key": "0", "scraped_at": moment}
    return UsageSample(
        **{**values, **changes},
        interval_s=interval_s,
        state=state,
        counters=counters or {},
        gauges=gauges or {},
        histograms={"ttft_s": ttft_s},
    )


def histogram(*cumulative_counts: float, bounds: tuple[float, ...] = BOUNDS, sum: float = 1.0) -> Histogram:
    return Histogram(bounds=bounds, cumulative_counts=cumulative_counts, sum=sum, count=cumulative_counts[-1])


def gpu_page(moment: datetime = NOON, **changes) -> DevicePage:
    values = {"target_key": "gpu-1", "device_key": "GPU-7f", "scraped_at": moment, "facts": {"name": "H100"}}
    return DevicePage(**{**values, **changes})


def gpu_sample(
    moment: datetime = NOON,
    energy_j: float | None = None,
    gauges: Mapping[str, float | None] | None = None,
    state: SampleState = SampleState.OK,
    interval_s: float | None = 15.0,
    **changes,
) -> DeviceSample:
    values = {"target_key": "gpu-1", "device_key": "GPU-7f", "scraped_at": moment, "facts": {}}
    return DeviceSample(
        **{**values, **changes},
        interval_s=interval_s,
        state=state,
        counters={"energy_j": energy_j},
        gauges=gauges or {},
    )


CHARGE = {
    "BilledCost": "1.50",
    "EffectiveCost": "1.25",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-10-01T00:00:00Z",
    "BillingPeriodEnd": "2026-11-01T00:00:00Z",
    "ChargePeriodStart": "2026-10-05T00:00:00Z",
    "ChargePeriodEnd": "2026-10-05T01:00:00Z",
    "ChargeCategory": "Usage",
    "ProviderName": "AWS",
    "BillingAccountId": "100",
    "ServiceName": "EC2",
    "Tags": '{"team": "search"}',
}


def bill(path: Path, *rows: Mapping[str, str | None]) -> Path:
    """A FOCUS file of CHARGE rows with these changes; a column that any row sets to None is left out."""
    charges = [{**CHARGE, **row} for row in rows or ({},)]
    names = [
        name for name in dict.fromkeys(key for item in charges for key in item) if charges[0].get(name, "") is not None
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(charges)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path
