"""S34 and S40: hours that a local day has more or fewer of, and GPUs that nobody has claimed."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from collectors.base import Target
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.records import Scrape, TargetRow
from store.writer import Writer
from tests.collectors.collector_support import NOON, FakeTime, Pages, started
from tests.store.builders import page, run, sample

BERLIN, NEW_YORK, KOLKATA = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Kolkata"))
HOUR = timedelta(hours=1)


def with_a_token_every_half_hour(folder: Path, start: datetime, end: datetime) -> Snapshot:
    """A home in which an engine counted one token in the middle of each half hour from `start` to `end`."""
    home, first = Home(folder), start.astimezone(UTC) + HOUR / 4
    moments = [first + number * HOUR / 2 for number in range(2 * int((end - start) / HOUR))]
    scrapes = [
        Scrape(
            run=run(moment),
            pages=[page(moment, counters={"prompt_tokens": 1.0})],
            samples=[sample(moment, {"prompt_tokens": 1.0})],
        )
        for moment in moments
    ]
    with Writer.open(home, lambda: end.astimezone(UTC) + timedelta(days=1)) as writer:
        assert not any(writer.add_scrapes(scrapes))
        writer.publish(force=True)
    snapshot = open_snapshot(home)
    assert snapshot
    return snapshot


def tokens(snapshot: Snapshot, start: datetime, end: datetime) -> float:
    return float(snapshot.windows(start, end, "total", "target")["prompt_tokens"].sum())


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (datetime(2026, 3, 29, tzinfo=BERLIN), 23),  # summer time begins,
        (datetime(2026, 10, 25, tzinfo=BERLIN), 25),  # and ends
        (datetime(2026, 3, 8, tzinfo=NEW_YORK), 23),
        (datetime(2026, 11, 1, tzinfo=NEW_YORK), 25),
        (datetime(2028, 2, 29, tzinfo=BERLIN), 24),  # a leap day
        (datetime(2026, 12, 31, tzinfo=NEW_YORK), 24),  # the end of a year,
        (datetime(2026, 4, 30, tzinfo=UTC), 24),  # and of a month
    ],
    ids=str,
)
def test_s34_a_local_day_has_the_hours_that_it_has_and_its_neighbours_the_others(tmp_path, day, hours) -> None:
    """Windows are half-open and in UTC: what lies on a border is in one of the two, and none is in both."""
    begins, ends = day, day + timedelta(days=1)  # by the clock on the wall
    earliest, latest = (begins.astimezone(UTC) - 5 * HOUR), (ends.astimezone(UTC) + 5 * HOUR)
    with with_a_token_every_half_hour(tmp_path, earliest, latest) as snapshot:
        parts = [tokens(snapshot, start, end) for start, end in ((earliest, begins), (begins, ends), (ends, latest))]
        whole = tokens(snapshot, earliest, latest)
    assert parts == [10, 2 * hours, 10]
    assert sum(parts) == whole


def test_s34_days_and_hours_add_up_to_the_total_over_the_end_of_a_month_and_year(tmp_path) -> None:
    start, end = datetime(2026, 12, 30, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)
    with with_a_token_every_half_hour(tmp_path, start, end) as snapshot:
        by_bin = {
            bin: snapshot.windows(start, end, bin, "target")["prompt_tokens"].sum() for bin in ("hour", "day", "total")
        }
    assert by_bin == {"hour": 144, "day": 144, "total": 144}


def test_s34_a_zone_that_is_half_an_hour_off_has_days_of_its_own_too(tmp_path) -> None:
    begins, ends = (datetime(2026, 10, day, tzinfo=KOLKATA) for day in (5, 6))
    earliest, latest = begins.astimezone(UTC) - 5 * HOUR, ends.astimezone(UTC) + 5 * HOUR
    with with_a_token_every_half_hour(tmp_path, earliest, latest) as snapshot:
        parts = [tokens(snapshot, start, end) for start, end in ((earliest, begins), (begins, ends), (ends, latest))]
    assert parts == [10, 48, 10]


# S40: a page of dcgm-exporter, made up after its documented fields.

WHOLE = 'gpu="0",UUID="GPU-6ad7",modelName="NVIDIA H100",Hostname="node-1"'
SLICE = 'gpu="1",UUID="GPU-77aa",modelName="NVIDIA A100",Hostname="node-1",GPU_I_PROFILE="1g.10gb",GPU_I_ID="3"'


def devices_page(seconds: float) -> str:
    """Each has used 300 W since it began to count; energy is told in millijoules."""
    told = {"DCGM_FI_DEV_POWER_USAGE": 300.0, "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 300_000.0 * seconds}
    return "".join(f"{name}{{{labels}}} {value}\n" for name, value in told.items() for labels in (WHOLE, SLICE))


def test_s40_gpus_without_a_pod_or_a_deployment_and_mig_slices_stay_in_the_account(tmp_path) -> None:
    network, clock, home = Pages({"u": ""}), FakeTime(), Home(tmp_path)

    async def main() -> None:
        with Writer.open(home, clock) as writer:
            writer.name_targets([TargetRow(target_key="gpu-1", source_key="vllm", deployment_key="chat")])
            target = Target(key="node-1", url="u", source_key="dcgm")
            collection = await started(writer, [target], network, clock)
            for number in range(4):
                clock.elapsed_s = 15.0 * number
                network.said["u"] = devices_page(clock.elapsed_s)
                await collection.scrape_all()
            await collection.close()

    asyncio.run(main())
    with open_snapshot(home) as snapshot:  # type: ignore[union-attr]
        devices = snapshot.devices(NOON - HOUR, NOON + HOUR, "total")
    assert list(devices["device_key"]) == ["GPU-6ad7", "GPU-77aa/3"]
    assert list(devices["energy_j"]) == [300.0 * 45, 300.0 * 45]
    # Nobody's: under the exporter's own name, and never under a deployment that somebody pays for.
    assert set(devices["deployment_key"]) == {"node-1"}
