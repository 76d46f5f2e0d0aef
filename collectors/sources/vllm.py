"""vLLM's own metrics page, of any release from 0.5 on.

What a measure is called in which release is data (`data/vllm/metrics.toml`). Here the series of a page become one
EnginePage per engine: a model, a data-parallel rank and, behind an exporter that gathers several processes (Ray's), the
labels that tell those apart.
"""

import math
from collections import defaultdict
from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from collectors.aliases import Alias, AliasTable, Part
from collectors.base import CollectContext, Collector, PageRefused, excerpt
from collectors.exposition import SeriesTable
from costlib.telemetry import COUNTERS, GAUGES, HISTOGRAMS, EnginePage, Histogram
from store.catalog_files import DATA, read_toml

ALIASES = AliasTable(read_toml(DATA / "vllm" / "metrics.toml"), where="data/vllm/metrics.toml")
ENGINES_COUNT_LIMIT = 256
# Of the API server process; not on the page when there are several of them.
START_TIME = "process_start_time_seconds"
_REPEATED = "is exposed twice for this engine; the first value is used"
_START_TIME_RANGE = datetime(2000, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()

Engine = tuple[str, str]  # model_key, engine_key
Parts = dict[Part | float, float]  # the bucket of a histogram is keyed by its upper bound


class _Family(NamedTuple):
    """One measure of one engine under one of its names."""

    engine: Engine
    measure: str
    rank: int


class _Measured(NamedTuple):
    """A measure as it stands on a page."""

    alias: Alias
    parts: Parts
    is_repeated: bool  # some of it is there twice


_START = _Family(("", ""), START_TIME, 0)


class FindingState(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    WITHHELD = "withheld"  # exposed, and not usable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one engine's page has to say on one measure. `why`, where there is anything to say, follows its name."""

    model_key: str
    engine_key: str
    measure: str
    state: FindingState
    exposed_as: str | None
    why: str


async def fetch(ctx: CollectContext) -> bytes:
    response = await ctx.http.get_bytes(ctx.target.url, bearer_token=ctx.target.bearer_token)
    return response.body


def parse(body: bytes, ctx: CollectContext) -> list[EnginePage]:
    """One page per engine, all or none. Raises PageRefused naming the target and what to do."""
    return [page for page, _ in _read(body, ctx)]


def diagnose(body: bytes, ctx: CollectContext) -> list[Finding]:
    """Every canonical measure of every engine: there, absent or withheld, and why. Raises as `parse` does."""
    return [
        _finding(measure, page, measured.get(measure))
        for page, measured in _read(body, ctx)
        for measure in (*COUNTERS, *GAUGES, *HISTOGRAMS)
    ]


COLLECTOR = Collector(key="vllm", label="vLLM", fetch=fetch, parse=parse)


def _read(body: bytes, ctx: CollectContext) -> list[tuple[EnginePage, Mapping[str, _Measured]]]:
    """The page of each engine, and what it was made from."""
    series = ctx.memo.get("series")
    if not isinstance(series, SeriesTable):
        series = ctx.memo["series"] = SeriesTable(_meaning_of)
    try:
        families: dict[_Family, Parts] = defaultdict(dict)
        repeated = set()
        for (family, part), value in series.read(body):
            parts = families[family]
            if part in parts:
                repeated.add(family)
            else:
                parts[part] = value
        started_at = _started_at(families.pop(_START, {}))
        engines = _engines(families, repeated)
        return [(_page(ctx, engine, started_at, measured), measured) for engine, measured in engines.items()]
    except PageRefused as refusal:
        raise PageRefused(refusal.word, f"{ctx.target.key}: {refusal}") from None


def _engines(families: Mapping[_Family, Parts], repeated: Container[_Family]) -> dict[Engine, dict[str, _Measured]]:
    """What is measured of each engine, under the newest of the names that the page has for it."""
    engines: dict[Engine, dict[str, _Measured]] = defaultdict(dict)
    for family in sorted(families, key=lambda family: family.rank):
        if family.measure not in engines[family.engine]:
            alias = ALIASES.by_measure[family.measure][family.rank]
            engines[family.engine][family.measure] = _Measured(alias, families[family], family in repeated)
    if not engines:
        raise PageRefused(
            "no_engine_metrics",
            "the page has no vLLM engine series. vLLM exposes none when it is started with --disable-log-stats: leave "
            "that flag out. If it is not vLLM that serves this page, name one that does.",
        )
    if len(engines) > ENGINES_COUNT_LIMIT:
        raise PageRefused(
            "engine_limit",
            f"the page tells {len(engines):,} engines apart, and {ENGINES_COUNT_LIMIT} are allowed; look for a label "
            "that takes a new value with every request.",
        )
    return engines


def _meaning_of(name: str, labels: Mapping[str, str]) -> tuple[_Family, Part | float] | None:
    """What one series stands for, or None when it is none that is measured."""
    if name == START_TIME and not labels:
        return _START, Part.VALUE
    match = ALIASES.match(name, labels)
    if match is None:
        return None
    alias, part = match
    others = {label: value for label, value in labels.items() if label not in alias.labels}
    bound = others.pop("le", None) if part is Part.BUCKET else None
    model_key = others.pop("model_name", "unknown")
    engine_key = ",".join([others.pop("engine", "0"), *(f"{label}={value}" for label, value in sorted(others.items()))])
    family = _Family((model_key, engine_key), alias.measure, alias.rank)
    return family, part if part is not Part.BUCKET else _bound(name, bound)


def _bound(name: str, bound: str | None) -> float:
    try:
        value = float(bound or "")
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise PageRefused(
            "bad_syntax", f"a bucket of {excerpt(name)} has no number as its bound: le={excerpt(bound or '')}."
        )
    return value


def _started_at(parts: Parts) -> datetime | None:
    """A start time outside any sense is no evidence of anything, and so is not known."""
    earliest, latest = _START_TIME_RANGE
    at = parts.get(Part.VALUE, math.nan)
    return datetime.fromtimestamp(at, UTC) if earliest < at < latest else None


def _page(
    ctx: CollectContext, engine: Engine, started_at: datetime | None, measured: Mapping[str, _Measured]
) -> EnginePage:
    remarks = {name: _REPEATED for name, found in measured.items() if found.is_repeated}
    histograms = {}
    for name in HISTOGRAMS:
        if name in measured:
            try:
                histograms[name] = _histogram(measured[name].parts)
            except ValueError as fault:
                remarks[name] = f"is withheld: {fault}"
    model_key, engine_key = engine
    return EnginePage(
        target_key=ctx.target.key,
        model_key=model_key,
        engine_key=engine_key,
        scraped_at=ctx.scraped_at,
        started_at=started_at,
        counters={name: _level(name, measured[name].parts) for name in COUNTERS if name in measured},
        gauges={name: _level(name, measured[name].parts) for name in GAUGES if name in measured},
        histograms=histograms,
        remarks=remarks,
    )


def _level(measure: str, parts: Parts) -> float:
    value = parts[Part.VALUE]
    if not math.isfinite(value) or value < 0:
        raise PageRefused(
            "bad_value",
            f"{measure} is {value}, which no engine counts to; nothing of the page is used. Restart vLLM if it stays.",
        )
    return value


def _histogram(parts: Parts) -> Histogram:
    """Raises ValueError saying what makes these series no histogram."""
    bounds = tuple(sorted(part for part in parts if isinstance(part, float)))
    counts = tuple(parts[bound] for bound in bounds)
    total, count = parts.get(Part.SUM, math.nan), parts.get(Part.COUNT, math.nan)
    if not bounds or bounds[-1] != math.inf:
        raise ValueError("its +Inf bucket is missing")
    if not all(map(math.isfinite, (*counts, total, count))):
        raise ValueError("its sum, its count or a bucket is missing or not finite")
    if counts[0] < 0 or any(low > high for low, high in pairwise(counts)):
        raise ValueError("its buckets do not rise")
    if counts[-1] != count:
        raise ValueError("its count is not that of the +Inf bucket")
    return Histogram(bounds=bounds, cumulative_counts=counts, sum=total, count=count)


def _finding(measure: str, page: EnginePage, measured: _Measured | None) -> Finding:
    if measured is None:
        state = FindingState.ABSENT
        known = "; ".join(f"{alias.name} in {alias.releases}" for alias in ALIASES.by_measure[measure])
        why = f"is not on the page, and so unknown. It is exposed as {known}."
    else:
        is_withheld = measure in HISTOGRAMS and measure not in page.histograms
        state = FindingState.WITHHELD if is_withheld else FindingState.PRESENT
        why = page.remarks.get(measure, "")
    return Finding(
        model_key=page.model_key,
        engine_key=page.engine_key,
        measure=measure,
        state=state,
        exposed_as=measured.alias.name if measured else None,
        why=why,
    )
