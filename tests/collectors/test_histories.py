"""Random histories of a server, read as the collector reads it: what it counted is what we have, and never more.

The fake server knows what it truly counted (`tests/fake_vllm`). Without a restart the two are equal to the token. A
restart, and an engine that goes, may cost what was counted between the last sight before and the first sight after, and
nothing else may. The same scrapes read as Prometheus would have kept them give the same increments.

    PERMILLION_HISTORIES=10000 ./dev test tests/collectors/test_histories.py

reads ten thousand, in a minute or two; without it the first thousand of them are read.
"""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Self

import numpy as np
import pytest

from collectors.base import CollectContext, FetchFailed, Target
from collectors.sources.vllm import parse
from costlib.history import EngineHistory, HistogramHistory, increases
from costlib.measures import COUNTERS, HISTOGRAMS
from costlib.telemetry import EnginePage, SampleState, UsageSample, carried, usage_sample
from tests.collectors.collector_support import FakeTime, MemoryStore, started
from tests.fake_vllm import EPOCH, Life, Rank, exported
from tests.fake_vllm.histories import History, history

HISTORIES_COUNT = int(os.environ.get("PERMILLION_HISTORIES", "500"))
PARTS_COUNT = 10  # so that a failure names a tenth of the histories, and the rest is still read
LOOP_HISTORIES_COUNT = 200

Engine = tuple[str, str]  # model and rank
TARGET = Target(key="gpu-1", url="http://gpu-1:8000/metrics")


@dataclass
class Collected:
    """What a reader made of one history."""

    pages: dict[Engine, list[EnginePage]] = field(default_factory=lambda: defaultdict(list))
    samples: dict[Engine, list[UsageSample]] = field(default_factory=lambda: defaultdict(list))

    def total(self, engine: Engine, measure: str) -> float:
        return sum(sample.counters[measure] or 0.0 for sample in self.samples[engine])


# Only the speed of parse may depend on what is remembered, so histories in the same words share it.
MEMOS: dict[tuple[str, str], dict[str, object]] = defaultdict(dict)


def pages_of(page: str, at_s: float, memo: dict[str, object]) -> Sequence[EnginePage]:
    ctx = CollectContext(target=TARGET, scraped_at=moment(at_s), memo=memo)
    return parse(page.encode(), ctx).pages


def moment(at_s: float) -> datetime:
    return EPOCH + timedelta(seconds=at_s)


def engine_of(page: EnginePage) -> Engine:
    """The rank stands first in the key, before the labels of a gateway."""
    return page.model_key, page.engine_key.partition(",")[0]


def collected(told: History) -> Collected:
    """One scrape after another, as `collectors/run.py` does it."""
    found = Collected()
    last: dict[Engine, EnginePage] = {}
    for scrape in told.seen:
        life = told.server.life_at(scrape.at_s)
        assert life and scrape.page
        for page in pages_of(scrape.page, scrape.at_s, MEMOS[life.exposition.release, life.exposition.prefix]):
            engine = engine_of(page)
            previous = last.get(engine)
            found.pages[engine].append(page)
            found.samples[engine].append(usage_sample(previous, page, told.every_s, moment(told.watched_s)))
            last[engine] = carried(previous, page)
    return found


# The oracle.


@dataclass(frozen=True, slots=True)
class Sight:
    at_s: float
    life: Life
    is_first: bool  # of this engine in this life


def sights(told: History, pages: Sequence[EnginePage]) -> Iterator[tuple[Sight, EnginePage]]:
    before: Life | None = None
    for page in pages:
        at_s = (page.scraped_at - EPOCH).total_seconds()
        life = told.server.life_at(at_s)
        assert life
        yield Sight(at_s, life, life is not before), page
        before = life


def bounds(
    told: History, engine: Engine, measure: str, pages: Sequence[EnginePage], watched_s: float
) -> tuple[float, float]:
    """The least and the most that may be collected of one counter; equal where nothing restarted."""
    seen = [sight for sight, page in sights(told, pages) if measure in page.counters]
    if not seen:
        return 0.0, 0.0
    ended_s = told.seen[-1].at_s

    def true(from_s: float, to_s: float) -> float:
        return sum(
            life.counted(rank, from_s, to_s)[measure]
            for life, rank in engines(told, engine)
            if measure in exported(life.exposition)
        )

    first = seen[0]
    born_s = born(first.life, engine)
    lost = 0.0
    if born_s < watched_s:  # what it had counted when it was first seen is not ours to place
        most = true(first.at_s, ended_s)
    else:
        most = true(watched_s, ended_s)
        is_dated = pages[0].started_at is not None and first.life.from_s >= watched_s
        lost += true(watched_s, born_s if first.is_first and is_dated else first.at_s)
    for one, other in pairwise(seen):
        if one.life is not other.life:
            lost += true(one.at_s, other.at_s)
    lost += true(seen[-1].at_s, ended_s)  # it went, or was not told any more
    return most - lost, most


def engines(told: History, engine: Engine) -> Iterator[tuple[Life, Rank]]:
    for life in told.server.lives:
        for rank in life.ranks:
            if (life.exposition.model, rank.key) == engine:
                yield life, rank


def born(life: Life, engine: Engine) -> float:
    rank = next(rank for rank in life.ranks if rank.key == engine[1])
    return life.from_s if rank.from_s is None else rank.from_s


# The same scrapes as Prometheus keeps them: raw samples in columns.


def kept(pages: Sequence[EnginePage]) -> EngineHistory:
    """What a Prometheus that scraped at these moments would hand back of one engine."""

    def column(values: Iterable[float | None]) -> np.ndarray:
        return np.array([np.nan if value is None else value for value in values])

    return EngineHistory(
        target_key=pages[0].target_key,
        model_key=pages[0].model_key,
        engine_key=pages[0].engine_key,
        times_s=np.array([page.scraped_at.timestamp() for page in pages]),
        started_s=column(page.started_at.timestamp() if page.started_at else None for page in pages),
        counters={
            name: column(page.counters.get(name) for page in pages)
            for name in COUNTERS
            if any(name in page.counters for page in pages)
        },
        histograms={name: histogram for name in HISTOGRAMS if (histogram := kept_histogram(name, pages))},
    )


def kept_histogram(name: str, pages: Sequence[EnginePage]) -> HistogramHistory | None:
    """None where it was never told, or in buckets that changed: those are two histograms."""
    told = [page.histograms.get(name) for page in pages]
    bounds_found = {histogram.bounds for histogram in told if histogram}
    if len(bounds_found) != 1:
        return None
    (only,) = bounds_found
    nothing = [np.nan] * len(only)
    return HistogramHistory(
        bounds=only,
        cumulative_counts=np.array([histogram.cumulative_counts if histogram else nothing for histogram in told]),
        sum=np.array([histogram.sum if histogram else np.nan for histogram in told]),
        count=np.array([histogram.count if histogram else np.nan for histogram in told]),
    )


def prometheus_differs(told: History, found: Collected) -> Iterator[str]:
    """Where the kept samples give another increment than the scrapes did, read in two stretches as a backfill does."""
    for engine, pages in found.pages.items():
        cut = told.seed % (len(pages) + 1)
        last: EnginePage | None = None
        direct = iter(found.samples[engine])
        for stretch in filter(None, (pages[:cut], pages[cut:])):
            read = increases(kept(stretch), last, told.every_s, moment(told.watched_s).timestamp())
            last = read.last_page
            for row, sample in zip(range(len(stretch)), direct, strict=False):
                where = f"history {told.seed}, {engine}, scrape at {sample.scraped_at:%H:%M:%S}"
                if (read.states[row], bool(read.restarted[row])) != (sample.state, sample.restarted):
                    yield f"{where}: {sample.state} directly and {read.states[row]} through Prometheus"
                for name in COUNTERS:
                    one, kept_ones = sample.counters[name], read.counters.get(name)
                    got = np.nan if kept_ones is None else kept_ones[row]
                    if not (np.isnan(got) if one is None else got == one):
                        yield f"{where}: {name} is {one} directly and {got} through Prometheus"


def truth_differs(told: History, found: Collected) -> Iterator[str]:
    for engine, pages in found.pages.items():
        for measure in COUNTERS:
            got = found.total(engine, measure)
            least, most = bounds(told, engine, measure, pages, told.watched_s)
            if not least <= got <= most:
                yield f"history {told.seed}, {engine}, {measure}: collected {got}, the truth is {least} to {most}"


@pytest.mark.parametrize("part", range(PARTS_COUNT))
def test_a_history_is_collected_to_the_token_and_alike_by_both_paths(part: int) -> None:
    met: Counter[str] = Counter()
    for seed in range(part, HISTORIES_COUNT, PARTS_COUNT):
        told = history(seed)
        found = collected(told)
        differs = [*truth_differs(told, found), *prometheus_differs(told, found)]
        assert not differs, "\n".join(differs[:10])
        samples = [sample for samples in found.samples.values() for sample in samples]
        met.update({sample.state for sample in samples} | {"restarted" for sample in samples if sample.restarted})
        met["exact"] += bool(samples) and not any(sample.restarted for sample in samples)
    assert all(met[kind] for kind in (*SampleState, "restarted", "exact")), f"these prove less than they say: {met}"


# And through the real loop, with its own idea of what came before.


class AtTime:
    """Answers as the server of a history did, in place of the network."""

    def __init__(self, told: History) -> None:
        self.answers = iter(told.scrapes)
        self.body = b""

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> Self:
        page = next(self.answers).page
        if page is None:
            raise FetchFailed("refused", f"{url}: nothing listens there.")
        self.body = page.encode()
        return self


async def looped(told: History, store: MemoryStore, restarts_after: int) -> float:
    """The scrapes of a history by two collectors, one after the other; returns when the second began."""
    clock, http = FakeTime(), AtTime(told)
    for scrapes in (told.scrapes[:restarts_after], told.scrapes[restarts_after:]):
        began_s = clock.elapsed_s
        collection = await started(store, [TARGET], http, clock, every_s=told.every_s)
        for scrape in scrapes:
            clock.elapsed_s = scrape.at_s
            await collection.scrape_all()
        await collection.close()
    return began_s


@pytest.mark.parametrize("part", range(PARTS_COUNT))
def test_the_loop_collects_the_same_and_loses_nothing_when_it_is_itself_restarted(part: int) -> None:
    """An engine that the second collector meets first is new to it only if it started since."""
    for seed in range(part, LOOP_HISTORIES_COUNT, PARTS_COUNT):
        told = history(seed)
        store = MemoryStore()
        restarts_after = seed % len(told.scrapes)
        began_s = asyncio.run(looped(told, store, restarts_after))
        by_engine: dict[Engine, list[UsageSample]] = defaultdict(list)
        for sample in store.samples:
            by_engine[sample.model_key, sample.engine_key.partition(",")[0]].append(sample)
        for engine, pages in collected(told).pages.items():
            is_first_met_by_it = pages[0].scraped_at > moment(began_s)
            watched_s = began_s if is_first_met_by_it else told.watched_s
            for measure in COUNTERS:
                got = sum(sample.counters[measure] or 0.0 for sample in by_engine[engine])
                least, most = bounds(told, engine, measure, pages, watched_s)
                assert least <= got <= most, f"history {seed}, {engine}, {measure}: {got}, not {least} to {most}"
