"""From the bytes of a vLLM page to one EnginePage per engine.

Which series make which measure is `layout.py`'s; here are the numbers. A sample that cannot be right takes its
measure off the page and no other: absent is unknown, and the next page is compared with the last that was known.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from operator import gt

from collectors.base import CollectContext, PageRefused, Readings, excerpt
from collectors.vllm.aliases import load_aliases
from collectors.vllm.layout import EngineLayout, Layout, Measured, PageReader, Places
from collectors.vllm.version import Recognised
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS, MEAN_GAUGES
from costlib.telemetry import EnginePage, Histogram

ALIASES = load_aliases()
_START_TIME_RANGE = datetime(2000, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_REMARKED_COUNT = 5


def parse(body: bytes, ctx: CollectContext) -> Readings:
    """One page per engine. Raises PageRefused naming the target and what to do when there is none to be had."""
    layout, values = read(body, ctx)
    recognised = layout.recognised(values)
    rejected: list[str] = []
    pages = [_page(ctx, engine, values, recognised, rejected) for engine in layout.engines]
    remarks = []
    if rejected:
        more = f" and {len(rejected) - _REMARKED_COUNT:,} more" if len(rejected) > _REMARKED_COUNT else ""
        shown = ", ".join(rejected[:_REMARKED_COUNT])
        remarks = [f"{len(rejected):,} sample{'s' * (len(rejected) > 1)} rejected: {shown}{more}"]
    return Readings(pages=pages, remarks=remarks)


def read(body: bytes, ctx: CollectContext) -> tuple[Layout, list[float]]:
    """What the series of a page are, and their values. Raises PageRefused naming the target."""
    reader = ctx.memo.get("page")
    if not isinstance(reader, PageReader):
        reader = ctx.memo["page"] = PageReader(ALIASES)
    try:
        return reader.read(body)
    except PageRefused as refusal:
        raise PageRefused(refusal.word, f"{ctx.target.key}: {refusal}") from None


def _page(
    ctx: CollectContext,
    engine: EngineLayout,
    values: Sequence[float],
    recognised: Recognised,
    rejected: list[str],
) -> EnginePage:
    remarks = dict(engine.remarks)

    def remark(measure: str, said: str) -> None:
        remarks[measure] = f"{remarks[measure]}; {said}" if measure in remarks else said

    levels: dict[str, float] = {}
    histograms: dict[str, Histogram] = {}
    for measure, measured in engine.measures.items():
        if measured.values:
            bad = [values[place] for place in measured.values if not 0.0 <= values[place] < math.inf]
            if not bad:
                levels[measure] = _total(measure, measured.values, values)
                continue
            rejected.append(f"{measure} of {excerpt(engine.model_key)} is {bad[0]}")
            remark(measure, f"is withheld: it stands at {bad[0]}, which no engine counts to")
        else:
            try:
                histograms[measure] = _histogram(measured, values)
            except ValueError as fault:
                remark(measure, f"is withheld: {fault}")
    for measure, older in engine.older.items():
        if measure not in remarks and _said(older, values) != _said(engine.measures[measure], values):
            newer = engine.measures[measure].alias.name
            remark(measure, f"stands at another value under its older name {older.alias.name}; {newer} is used")
    return EnginePage(
        target_key=ctx.target.key,
        model_key=engine.model_key,
        engine_key=engine.engine_key,
        scraped_at=ctx.scraped_at,
        started_at=_started_at(engine, values),
        counters={name: levels[name] for name in COUNTERS if name in levels},
        gauges={name: levels[name] for name in GAUGES if name in levels},
        histograms={name: histograms[name] for name in HISTOGRAMS if name in histograms},
        facts={**engine.facts, **recognised.facts},
        remarks=remarks,
    )


def _total(measure: str, places: Places, values: Sequence[float]) -> float:
    """The sum, or the mean, over the labels that tell no engines apart."""
    if len(places) == 1:
        return values[places[0]]
    total = math.fsum(values[place] for place in places)
    return total / len(places) if measure in MEAN_GAUGES else total


def _said(measured: Measured, values: Sequence[float]) -> tuple[float, ...]:
    """What two names of one measure have to agree on."""
    return tuple(sum(values[place] for place in places) for places in (measured.values, measured.sums, measured.counts))


def _started_at(engine: EngineLayout, values: Sequence[float]) -> datetime | None:
    """When the process started, or failing that the engine's counters. A time outside any sense is no evidence."""
    earliest, latest = _START_TIME_RANGE
    for place in (engine.started,) if engine.started is not None else engine.created:
        if earliest < values[place] < latest:
            return datetime.fromtimestamp(values[place], UTC)
    return None


def _histogram(measured: Measured, values: Sequence[float]) -> Histogram:
    """Raises ValueError saying what makes these series no histogram."""
    bounds, buckets = measured.bounds, measured.buckets
    if not bounds or bounds[-1] != math.inf:
        raise ValueError("its +Inf bucket is missing")
    if len(measured.sums) == len(measured.counts) == 1 == max(map(len, buckets)):
        counts = tuple([values[places[0]] for places in buckets])
        total, count = values[measured.sums[0]], values[measured.counts[0]]
    else:
        if {len(measured.sums), len(measured.counts), *map(len, buckets)} != {len(measured.sums) or 1}:
            raise ValueError("its sum, its count or a bucket is missing, or not there for every value of a label")
        counts = tuple(math.fsum(values[place] for place in places) for places in buckets)
        total, count = (math.fsum(values[place] for place in places) for places in (measured.sums, measured.counts))
    if not all(map(math.isfinite, (*counts, total, count))):
        raise ValueError("its sum, its count or a bucket is not finite")
    if counts[0] < 0 or any(map(gt, counts, counts[1:])):
        raise ValueError("its buckets do not rise")
    if counts[-1] != count:
        raise ValueError("its count is not that of the +Inf bucket")
    return Histogram(bounds=bounds, cumulative_counts=counts, sum=total, count=count)
