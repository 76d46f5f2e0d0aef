"""The processes of one server over time, and what they truly counted between two moments.

Times are seconds since EPOCH, which is where the collector's tests put noon. A server that is down has no page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from costlib.measures import COUNTERS
from tests.fake_vllm.load import TICKS_PER_S, Level, Load, Work
from tests.fake_vllm.releases import Exposition, page

EPOCH = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEFAULT_LASTS_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One engine of a process, and when it is there: elastic data parallelism adds and removes ranks."""

    key: str = "0"
    from_s: float | None = None  # None: as its process
    to_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process, from its start to its end; what comes after it on the same server is another one."""

    from_s: float = 0.0
    to_s: float = DEFAULT_LASTS_S
    exposition: Exposition = field(default_factory=Exposition)
    load: Load = field(default_factory=Load)
    ranks: Sequence[Rank] = (Rank(),)
    seed: int = 0

    @cached_property
    def works(self) -> Mapping[str, Work]:
        """By rank; each meets its own requests."""
        return {
            rank.key: Work(self.load, self.seed * 1_009 + number, ends_s - begins_s, self.exposition.drafted_tokens)
            for number, rank in enumerate(self.ranks)
            for begins_s, ends_s in (self._span(rank),)
        }

    def levels(self, at_s: float) -> dict[str, Level]:
        """What each engine that is there stands at."""
        found = {}
        for rank in self.ranks:
            begins_s, ends_s = self._span(rank)
            if begins_s <= at_s < ends_s:
                found[rank.key] = self.works[rank.key].level(_ticks(at_s - begins_s))
        return found

    def counted(self, rank: Rank, from_s: float, to_s: float) -> dict[str, float]:
        """The true counts of one engine within the part of the stretch that it lived."""
        begins_s, ends_s = self._span(rank)
        early_s, late_s = max(begins_s, from_s), min(ends_s, to_s)
        if late_s <= early_s:
            return dict.fromkeys(COUNTERS, 0.0)
        before, after = (self._counters_at(rank.key, _ticks(at_s - begins_s)) for at_s in (early_s, late_s))
        return {name: after[name] - before[name] for name in COUNTERS}

    @cached_property
    def _known(self) -> dict[tuple[str, int], dict[str, float]]:
        return {}

    def _counters_at(self, rank: str, at: int) -> dict[str, float]:
        if (rank, at) not in self._known:
            self._known[rank, at] = self.works[rank].counters(at)
        return self._known[rank, at]

    def _span(self, rank: Rank) -> tuple[float, float]:
        begins_s = self.from_s if rank.from_s is None else max(rank.from_s, self.from_s)
        return begins_s, self.to_s if rank.to_s is None else min(rank.to_s, self.to_s)


class FakeVllm:
    """One metrics address: `page_at` is what it answers, `truth` what its engines counted, seen or not."""

    def __init__(self, *lives: Life) -> None:
        self.lives = lives or (Life(),)
        ends = [0.0, *(life.to_s for life in self.lives)]
        if any(life.from_s < before for life, before in zip(self.lives[1:], ends[1:], strict=False)):
            raise ValueError("the lives of a server follow one another")

    def life_at(self, at_s: float) -> Life | None:
        return next((life for life in self.lives if life.from_s <= at_s < life.to_s), None)

    def page_at(self, at_s: float) -> str | None:
        life = self.life_at(at_s)
        if life is None:
            return None
        return page(life.exposition, life.levels(at_s), EPOCH.timestamp() + life.from_s)

    def truth(self, from_s: float, to_s: float) -> dict[tuple[str, str], dict[str, float]]:
        """By model and rank, everything counted in the stretch, in whatever release and whether told or not."""
        found: dict[tuple[str, str], dict[str, float]] = {}
        for life, rank in self._engines():
            total = found.setdefault((life.exposition.model, rank.key), dict.fromkeys(COUNTERS, 0.0))
            for name, value in life.counted(rank, from_s, to_s).items():
                total[name] += value
        return found

    def _engines(self) -> Iterator[tuple[Life, Rank]]:
        return ((life, rank) for life in self.lives for rank in life.ranks)


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_S)
