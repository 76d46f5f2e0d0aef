"""The fake vLLM in real time, for a collector and a Prometheus that both read it; it knows what each was shown."""

import time
from collections.abc import Mapping, Sequence

from collectors.replay import PageAt
from tests.fake_vllm import FakeVllm
from tests.fake_vllm.releases import page

Totals = dict[str, float]


class Acting:
    """At rest until `begin`, then working for `lasts_s` seconds, then at rest with all that it has counted.

    Its own time stands still while it rests, so that whoever has to see its first and its last page can.
    """

    def __init__(self, server: FakeVllm, lasts_s: float) -> None:
        self.server, self.lasts_s = server, lasts_s
        self.shown: dict[str, list[float]] = {}  # to each reader, pages of which moments of its own time
        self.total = server.truth(0.0, lasts_s)  # and so its work is made up before anyone asks
        self._made_s, self._began_s = time.time(), 0.0

    def begin(self) -> None:
        self._began_s = time.time()

    @property
    def ends_s(self) -> float:
        """When it comes to rest [unix s]."""
        return self._began_s + self.lasts_s

    def pages_for(self, reader: str, out_of_reach_s: tuple[float, float] = (0.0, 0.0)) -> PageAt:
        """What this reader is shown; no answer within `out_of_reach_s`, in the fake's own time."""
        shown = self.shown[reader] = []

        def page_at(elapsed_s: float) -> str | None:
            at_s = min(self.lasts_s, time.time() - self._began_s) if self._began_s else 0.0
            life = self.server.life_at(at_s)
            if life is None or out_of_reach_s[0] <= at_s < out_of_reach_s[1]:
                return None
            shown.append(at_s)
            started_s = (self._began_s if life.from_s > 0 else self._made_s) + life.from_s
            return page(life.exposition, life.levels(at_s), started_s)

        return page_at

    def truth(self, measures: Sequence[str]) -> Totals:
        """What its engines counted while it worked."""
        return _summed(self.total, measures)

    def seen(self, reader: str, measures: Sequence[str]) -> Totals:
        """What the pages shown to one reader tell: all but what a process counted after it was seen last."""
        total = dict.fromkeys(measures, 0.0)
        first_s = self.shown[reader][0]
        for life in self.server.lives:
            at = [at_s for at_s in self.shown[reader] if life.from_s <= at_s < life.to_s]
            if at:
                counted = _summed(self.server.truth(max(first_s, life.from_s), at[-1]), measures)
                total = {name: total[name] + counted[name] for name in measures}
        return total


def _summed(engines: Mapping[tuple[str, str], Mapping[str, float]], measures: Sequence[str]) -> Totals:
    return {name: sum(counted[name] for counted in engines.values()) for name in measures}
