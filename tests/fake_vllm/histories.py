"""Random histories of one server and of whoever scrapes it: restarts, gaps, ranks that come and go, upgrades under way.

A seed gives one history. `seen` are the scrapes that got an answer; a series may be missing from one of them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.fake_vllm.load import Load
from tests.fake_vllm.releases import RELEASES, Exposition
from tests.fake_vllm.server import FakeVllm, Life, Rank

PREFIXES = ("vllm:", "vllm:", "vllm:", "vllm_", "ray_vllm_")
QUICK_BUCKETS = (0.5, 5.0)  # most histories have few buckets, because ten thousand of them are to be read
QUARTERS_PER_S = 4  # processes start on a quarter of a second, which the page's hundredths tell exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Scraped:
    """One scrape: when, and the page or None where there was no answer."""

    at_s: float
    page: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    seed: int
    server: FakeVllm
    every_s: float
    scrapes: tuple[Scraped, ...]
    watched_s: float = 0.0  # since when the server is looked at, whether it answers or not

    @property
    def seen(self) -> list[Scraped]:
        return [scrape for scrape in self.scrapes if scrape.page is not None]


def history(seed: int) -> History:
    """The history of that number; the same on every machine."""
    chance = random.Random(seed)
    every_s = chance.choice((5.0, 15.0, 60.0))
    count = chance.randint(4, 9)
    at_s = [every_s * (number + 1 + chance.uniform(-0.1, 0.1)) for number in range(count)]
    server = FakeVllm(*_lives(chance, seed, at_s[-1] + every_s, every_s))
    fails = chance.choice((0.0, 0.0, 0.2))
    misses = chance.choice((0.0, 0.0, 0.15))
    scrapes = []
    for at in at_s:
        page = None if chance.random() < fails else server.page_at(at)
        if page is not None and chance.random() < misses:
            page = _without_one(page, chance)
        scrapes.append(Scraped(at_s=at, page=page))
    return History(seed=seed, server=server, every_s=every_s, scrapes=tuple(scrapes))


def _lives(chance: random.Random, seed: int, until_s: float, every_s: float) -> Iterator[Life]:
    exposition = _exposition(chance)
    load = Load(
        requests_per_s=chance.choice((0.2, 0.7, 2.0)),
        prompt_tokens=chance.choice((20, 300)),
        output_tokens=chance.choice((5, 60)),
        cached_fraction=chance.choice((0.0, 0.4)),
        aborted_fraction=chance.choice((0.0, 0.2)),
        preempted_fraction=chance.choice((0.0, 0.2)),
        places_count=chance.choice((2, 8)),
    )
    restarts = sorted(_quarter(chance.uniform(0, until_s)) for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 3))))
    # Some servers are there before they are watched, some come later, some are gone before the end.
    begins_s = chance.choice((-40.0, 0.0, _quarter(1.5 * every_s)))
    ends_s = chance.choice((until_s, until_s, until_s, _quarter(until_s - 2.5 * every_s)))
    for number, restart_s in enumerate([*restarts, ends_s]):
        to_s = min(restart_s, ends_s)
        if to_s > begins_s:
            yield Life(
                from_s=begins_s,
                to_s=to_s,
                exposition=exposition,
                load=load,
                ranks=tuple(_ranks(chance, exposition, begins_s, to_s)),
                seed=seed * 8 + number,
            )
            begins_s = to_s + chance.choice((0.25, 2.0, _quarter(1.7 * every_s)))
        if chance.random() < 0.4:
            exposition = _upgraded(chance, exposition)


def _exposition(chance: random.Random) -> Exposition:
    prefix = chance.choice(PREFIXES)
    return Exposition(
        release=chance.choice(RELEASES),
        prefix=prefix,
        shows_start_time=prefix != "ray_vllm_" and chance.random() < 0.7,
        is_multi_process=chance.random() < 0.15,
        shows_created=chance.random() < 0.1,
        shows_rest=chance.random() < 0.1,
        estimates_flops=chance.random() < 0.3,
        drafted_tokens=chance.choice((0, 0, 3)),
        buckets=QUICK_BUCKETS if chance.random() < 0.9 else (),
    )


def _upgraded(chance: random.Random, exposition: Exposition) -> Exposition:
    """Another release of the same server, and seldom another name of its model."""
    later = RELEASES[RELEASES.index(exposition.release) :]
    model = "fake/renamed" if chance.random() < 0.2 else exposition.model
    return replace(exposition, release=chance.choice(later), model=model)


def _ranks(chance: random.Random, exposition: Exposition, from_s: float, to_s: float) -> Iterator[Rank]:
    yield Rank()
    if exposition.release in ("0.6.6", "0.7.3"):  # no data parallelism, and no label to tell it
        return
    for number in range(chance.choice((0, 0, 0, 1, 2))):
        early_s, late_s = sorted(_quarter(chance.uniform(from_s, to_s)) for _ in range(2))
        yield Rank(
            key=str(number + 1),
            from_s=early_s if chance.random() < 0.2 else None,
            to_s=late_s if chance.random() < 0.2 else None,
        )


def _without_one(page: str, chance: random.Random) -> str:
    """The page without one metric: of every engine, with all its buckets."""
    names = sorted({_metric(line) for line in page.splitlines() if line and line[0] != "#"})
    gone = chance.choice(names)
    return "".join(line for line in page.splitlines(keepends=True) if line[0] == "#" or _metric(line) != gone)


def _metric(line: str) -> str:
    name = line.partition("{")[0].partition(" ")[0]
    for part in ("_bucket", "_sum", "_count"):
        name = name.removesuffix(part)
    return name


def _quarter(seconds: float) -> float:
    return round(seconds * QUARTERS_PER_S) / QUARTERS_PER_S
