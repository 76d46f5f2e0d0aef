"""GPUs as their own exporter sees them: how busy the silicon was, beside what the engine says it did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from costlib.telemetry import GAP_AFTER_INTERVALS_RATIO, SampleState, counter_increase

# `gpu_util_fraction` is the share of time in which any kernel ran, however small; the others say how much of it worked.
DEVICE_GAUGES = (
    "gpu_util_fraction",
    "sm_active_fraction",
    "sm_occupancy_fraction",
    "tensor_active_fraction",
    "dram_active_fraction",
    "memory_used_bytes",
    "memory_free_bytes",
    "power_w",
)
DEVICE_COUNTERS = ("energy_j",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePage:
    """One GPU, or one MIG slice of it, at one scrape. What is not exported is absent from its mapping.

    `device_key` is the GPU's UUID, with the slice's number behind it; `facts` are its labels: name, host, MIG profile,
    and in Kubernetes the pod that has it.
    """

    target_key: str
    device_key: str
    scraped_at: datetime  # aware UTC
    counters: Mapping[str, float] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str]:
        return self.target_key, self.device_key


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSample:
    """What one GPU did between two scrapes."""

    target_key: str
    device_key: str
    scraped_at: datetime
    interval_s: float | None
    state: SampleState
    counters: Mapping[str, float | None]
    gauges: Mapping[str, float | None]
    facts: Mapping[str, str]


def device_sample(previous: DevicePage | None, current: DevicePage, every_s: float) -> DeviceSample:
    """The increments from `previous` to `current`, two pages of one GPU, scraped about every `every_s` seconds."""
    before = previous.counters if previous else {}
    restarted = any(value < before.get(name, value) for name, value in current.counters.items())
    interval_s = (current.scraped_at - previous.scraped_at).total_seconds() if previous else None
    if interval_s is None:
        state = SampleState.FIRST
    elif interval_s > every_s * GAP_AFTER_INTERVALS_RATIO:
        state = SampleState.GAP
    else:
        state = SampleState.RESET if restarted else SampleState.OK
    return DeviceSample(
        target_key=current.target_key,
        device_key=current.device_key,
        scraped_at=current.scraped_at,
        interval_s=interval_s,
        state=state,
        counters={
            name: counter_increase(before.get(name), current.counters.get(name), restarted) for name in DEVICE_COUNTERS
        },
        gauges={name: current.gauges.get(name) for name in DEVICE_GAUGES},
        facts=current.facts,
    )
