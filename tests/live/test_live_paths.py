"""The fake vLLM by two paths, directly and through a real Prometheus: both tell what it counted, and together once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collectors.replay import ReplayServer
from tests.fake_vllm import Exposition, FakeVllm, Life, Load, Rank
from tests.live.acting import Acting, Totals
from tests.live.collecting import Permillion
from tests.live.servers import Prometheus, wait_until

# Every release tells these two; what else is compared, the newest tell too.
TOKENS = ("prompt_tokens", "generation_tokens")
MEASURES = (*TOKENS, "cached_prompt_tokens", "requests_stop_count", "requests_length_count")
LASTS_S, RESTART_S, DOWN_S, RUNNING_S = 13.0, 9.0, 0.5, -60.0
OUT_OF_REACH_S = (RESTART_S, RESTART_S + 2.0)  # for the home that reads by both: Prometheus sees the new process first
BUSY = Load(requests_per_s=20.0, output_tokens=20, step_s=1 / 128)
PROMPTS = "vllm:prompt_tokens_total"


def life(model: str, from_s: float = RUNNING_S, to_s: float = LASTS_S + 1, **more: Any) -> Life:
    exposition = Exposition(release=more.pop("release", "0.33.0"), model=model)
    return Life(from_s=from_s, to_s=to_s, exposition=exposition, load=BUSY, seed=len(model) + abs(int(from_s)), **more)


FLEET = {
    "steady": FakeVllm(life("steady")),
    "ranks": FakeVllm(life("ranks", ranks=(Rank(), Rank(key="1")))),
    "old": FakeVllm(life("old", release="0.6.6")),
    "restarted": FakeVllm(life("restarted", to_s=RESTART_S), life("restarted", from_s=RESTART_S + DOWN_S)),
}
DIRECT, THROUGH, BOTH = "direct", "prometheus", "both"


@dataclass(frozen=True, kw_only=True)
class Read:
    """How it went: the fleet, and the rows of usage by model in a home per path."""

    fleet: dict[str, Acting]
    usage: dict[str, dict[str, dict[str, Any]]]
    both: Permillion
    both_said: str

    def stored(self, path: str, model: str) -> Totals:
        row = self.usage[path][model]
        return {name: row[name] for name in measures_of(model)}


def measures_of(model: str) -> tuple[str, ...]:
    return TOKENS if model == "old" else MEASURES


@pytest.fixture(scope="module")
def read(prometheus_for: Callable[..., Prometheus], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    """The whole fleet at work once, read by three homes: directly, through Prometheus, and by both paths at once.

    The third begins half-way, when Prometheus alone knows what was before.
    """
    folder = tmp_path_factory.mktemp("paths")
    homes = {path: Permillion(home=Path(folder) / path) for path in (DIRECT, THROUGH, BOTH)}
    fleet = {model: Acting(server, LASTS_S) for model, server in FLEET.items()}
    with ExitStack() as stack:
        bases = {
            model: stack.enter_context(
                ReplayServer(
                    {
                        f"/{DIRECT}": acting.pages_for(DIRECT),
                        f"/{THROUGH}": acting.pages_for(THROUGH),
                        f"/{BOTH}": acting.pages_for(BOTH, OUT_OF_REACH_S if model == "restarted" else (0.0, 0.0)),
                    }
                )
            ).url
            for model, acting in fleet.items()
        }
        prometheus = prometheus_for(*(f"{base}/{THROUGH}" for base in bases.values()), every="1s")
        homes[THROUGH].configure(prometheus.as_source)
        blocks = [f'[[vllm]]\nkey = "{model}"\nurl = "{base}/{BOTH}"\n' for model, base in bases.items()]
        homes[BOTH].configure("\n".join([*blocks, prometheus.as_source]))
        urls = [f"{model}={base}/{DIRECT}" for model, base in bases.items()]
        with homes[DIRECT].collecting(*urls, every="1s", keys=list(fleet)) as direct:
            wait_until(lambda: len(prometheus.raw(PROMPTS)) == 5, "a first sample of every engine", 30.0)
            for acting in fleet.values():
                acting.begin()
            with homes[BOTH].collecting(every="1s", keys=list(fleet)) as both:
                ends_s = max(acting.ends_s for acting in fleet.values())
                wait_until(lambda: time.time() > ends_s, "the end of the work", 2 * LASTS_S)
                direct.wait_for_scrape()
                both.wait_for_scrape()
        prometheus.wait_for_scrape(PROMPTS, ends_s)
        homes[THROUGH].says("collect", "--once")
        usage = {path: home.usage(per="model") for path, home in homes.items()}
        yield Read(fleet=fleet, usage=usage, both=homes[BOTH], both_said=both.said)


@pytest.mark.parametrize("model", ["steady", "ranks", "old"])
@pytest.mark.parametrize("path", [DIRECT, THROUGH, BOTH])
def test_what_did_not_restart_is_counted_exactly(read: Read, path: str, model: str) -> None:
    assert read.stored(path, model) == read.fleet[model].truth(measures_of(model))


@pytest.mark.parametrize("path", [DIRECT, THROUGH])
def test_of_what_restarted_all_is_counted_that_was_shown_and_nothing_more(read: Read, path: str) -> None:
    acting, stored = read.fleet["restarted"], read.stored(path, "restarted")
    assert stored == acting.seen(path, MEASURES)
    assert all(stored[name] <= total for name, total in acting.truth(MEASURES).items())
    last_s = max(at_s for at_s in acting.shown[path] if at_s < RESTART_S)
    assert RESTART_S - last_s < 2.0, "more than an interval was lost"


def test_a_restart_that_one_path_sees_before_the_other_is_counted_once(read: Read) -> None:
    acting, stored = read.fleet["restarted"], read.stored(BOTH, "restarted")
    least, most = acting.seen(BOTH, MEASURES), acting.truth(MEASURES)
    for name in MEASURES:
        assert least[name] <= stored[name] <= most[name]


def test_an_engine_that_comes_by_two_paths_is_refused_by_the_second_and_said_so(read: Read) -> None:
    assert " prom duplicate_engine " in read.both_said
    found = read.both.says("doctor", "--json", codes=(0, 1))
    assert "duplicate_engine" in found and "comes by two paths" in found
