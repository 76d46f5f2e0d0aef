"""What one GPU did between two scrapes of its exporter."""

from datetime import UTC, datetime, timedelta

import pytest

from costlib.devices import DEVICE_GAUGES, DevicePage, device_sample
from costlib.telemetry import SampleState

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def page(second, energy_j=None, **gauges):
    return DevicePage(
        target_key="dcgm-1",
        device_key="GPU-1",
        scraped_at=NOON + timedelta(seconds=second),
        counters={} if energy_j is None else {"energy_j": energy_j},
        gauges=gauges,
    )


@pytest.mark.parametrize(
    ("before", "after", "state", "energy_j"),
    [
        (None, page(0, 100.0), SampleState.FIRST, None),
        (page(0, 100.0), page(15, 6100.0), SampleState.OK, 6000.0),
        (page(0, 100.0), page(60, 6100.0), SampleState.GAP, 6000.0),
        (page(0, 100.0), page(15, 40.0), SampleState.RESET, 40.0),
        (page(0, 100.0), page(15), SampleState.OK, None),
    ],
)
def test_energy_is_a_counter(before, after, state, energy_j):
    sample = device_sample(before, after, 15.0)
    assert (sample.state, sample.counters["energy_j"]) == (state, energy_j)


def test_a_gauge_that_is_not_exported_is_unknown():
    # DCGM has no gpu_util for a MIG slice
    sample = device_sample(page(0), page(15, tensor_active_fraction=0.2), 15.0)
    assert sample.gauges == {**dict.fromkeys(DEVICE_GAUGES), "tensor_active_fraction": 0.2}
