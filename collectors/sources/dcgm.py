"""NVIDIA's dcgm-exporter: how busy the GPUs are, one page per GPU or MIG slice.

What the exporter calls each measure, and in which unit, is data (`data/dcgm/metrics.toml`).
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from collectors.base import CollectContext, Collector, PageRefused, Readings
from collectors.exposition import SeriesTable
from costlib.devices import DEVICE_COUNTERS, DEVICE_GAUGES, DevicePage
from costlib.errors import ConfigError
from store.catalog_files import DATA, read_toml

_WHERE = "data/dcgm/metrics.toml"
_TABLE = read_toml(DATA / "dcgm" / "metrics.toml")
DEVICES_COUNT_LIMIT = 512


class _Meaning(NamedTuple):
    """What one series stands for: a measure of one device, in our unit after `factor`."""

    device_key: str
    measure: str
    rank: int
    factor: float
    facts: tuple[tuple[str, str], ...]


def _by_name() -> dict[str, tuple[str, int, float]]:
    found = {}
    for kind, measures in (("gauges", DEVICE_GAUGES), ("counters", DEVICE_COUNTERS)):
        if set(_TABLE[kind]) != set(measures):
            raise ConfigError(f"{_WHERE}, [{kind}]: one entry for each of {', '.join(measures)}, and no other.")
        for measure, entries in _TABLE[kind].items():
            found |= {entry["name"]: (measure, rank, float(entry["factor"])) for rank, entry in enumerate(entries)}
    return found


_BY_NAME = _by_name()


async def fetch(ctx: CollectContext) -> bytes:
    response = await ctx.http.get_bytes(ctx.target.url, bearer_token=ctx.target.bearer_token)
    return response.body


def parse(body: bytes, ctx: CollectContext) -> Readings:
    """One page per GPU, all or none. Raises PageRefused naming the target and what to do."""
    series = ctx.memo.get("series")
    if not isinstance(series, SeriesTable):
        series = ctx.memo["series"] = SeriesTable(_meaning_of)
    try:
        found = series.read(body)
        values: dict[str, dict[str, tuple[int, float]]] = {}
        facts: dict[str, dict[str, str]] = {}
        rejected = set()
        for meaning, raw in found:
            value = raw * meaning.factor
            if not math.isfinite(value) or value < 0:
                rejected.add(meaning.measure)
                continue
            of_device = values.setdefault(meaning.device_key, {})
            if meaning.measure not in of_device or meaning.rank < of_device[meaning.measure][0]:
                of_device[meaning.measure] = meaning.rank, value
            facts.setdefault(meaning.device_key, {}).update(meaning.facts)
        _check(values)
    except PageRefused as refusal:
        raise PageRefused(refusal.word, f"{ctx.target.key}: {refusal}") from None
    pages = [
        DevicePage(
            target_key=ctx.target.key,
            device_key=device_key,
            scraped_at=ctx.scraped_at,
            counters={name: of_device[name][1] for name in DEVICE_COUNTERS if name in of_device},
            gauges={name: of_device[name][1] for name in DEVICE_GAUGES if name in of_device},
            facts=facts[device_key],
        )
        for device_key, of_device in values.items()
    ]
    remarks = [f"{name} is not a number of any GPU and is left out" for name in sorted(rejected)]
    return Readings(devices=pages, remarks=remarks)


COLLECTOR = Collector(key="dcgm", label="DCGM exporter", fetch=fetch, parse=parse)


def _check(values: Mapping[str, object]) -> None:
    if not values:
        raise PageRefused(
            "no_device_metrics",
            "the page has no DCGM_FI_ series. Name the address of NVIDIA's dcgm-exporter (port 9400 by default); if "
            "it is the exporter, its GPU or driver delivers none of the fields that it was told to collect.",
        )
    if len(values) > DEVICES_COUNT_LIMIT:
        raise PageRefused("engine_limit", f"the page tells of {len(values):,} GPUs; {DEVICES_COUNT_LIMIT} are allowed.")


def _meaning_of(name: str, labels: Mapping[str, str]) -> _Meaning | None:
    if name not in _BY_NAME:
        return None
    device, slice_number = (_label(labels, *_TABLE["labels"][key]) for key in ("uuid", "slice"))
    device = device or f"gpu {_label(labels, *_TABLE['labels']['index']) or '?'}"
    facts = ((ours, _label(labels, *theirs)) for ours, theirs in _TABLE["facts"].items())
    measure, rank, factor = _BY_NAME[name]
    return _Meaning(
        device_key=f"{device}/{slice_number}" if slice_number else device,
        measure=measure,
        rank=rank,
        factor=factor,
        facts=tuple((ours, value) for ours, value in facts if value),
    )


def _label(labels: Mapping[str, str], *names: str) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
