"""S20 to S24, S27, S32 and S33: engines that restart, come, go, change their words, and clocks that jump.

Each through the real loop, against what a made-up server truly counted.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Self

import pytest

from collectors.base import CollectContext, FetchFailed, Target
from collectors.names import ModelName, ModelNames
from collectors.run import steady_clock
from collectors.sources.vllm import parse
from costlib.telemetry import SampleState, UsageSample
from tests.collectors.collector_support import NOON, FakeTime, MemoryStore, Pages, counting, started
from tests.fake_vllm import Exposition, FakeVllm, Life, Load, Rank

EVERY_S = 15.0
BUSY = Load(requests_per_s=5.0, places_count=64)
TARGET = Target(key="gpu-1", url="http://gpu-1:8000/metrics")


class Serving:
    """The network of a made-up server: its page of the moment, or nothing while it is down."""

    def __init__(self, server: FakeVllm, clock: FakeTime) -> None:
        self.server, self.clock = server, clock
        self.body = b""

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> Self:
        page = self.server.page_at(self.clock.elapsed_s)
        if page is None:
            raise FetchFailed("refused", f"{url}: nothing listens there.")
        self.body = page.encode()
        return self


def scraped(server: FakeVllm, at_s: Sequence[float], names: ModelNames | None = None) -> MemoryStore:
    store, clock = MemoryStore(), FakeTime()

    async def main() -> None:
        collection = await started(store, [TARGET], Serving(server, clock), clock, every_s=EVERY_S, names=names)
        for clock.elapsed_s in at_s:
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    return store


def collected(store: MemoryStore, counter: str = "prompt_tokens") -> float:
    return store.total(counter)


def true(server: FakeVllm, from_s: float, to_s: float, counter: str = "prompt_tokens") -> float:
    return sum(counted[counter] for counted in server.truth(from_s, to_s).values())


def states(store: MemoryStore, engine_key: str = "0") -> list[str]:
    return [str(sample.state) for sample in store.samples if sample.engine_key == engine_key]


def ticks(count: int, from_s: float = 0.0) -> list[float]:
    return [from_s + EVERY_S * number for number in range(count)]


@pytest.mark.parametrize("shows_start_time", [True, False])
def test_s20_after_a_restart_counts_the_new_value_and_at_most_an_interval_is_lost(shows_start_time: bool) -> None:
    exposition = Exposition(shows_start_time=shows_start_time)
    server = FakeVllm(
        Life(from_s=-100.0, to_s=50.0, exposition=exposition, load=BUSY, seed=1),
        Life(from_s=55.0, to_s=200.0, exposition=exposition, load=BUSY, seed=2),
    )
    store = scraped(server, ticks(8))
    assert states(store) == ["first", "ok", "ok", "ok", "reset", "ok", "ok", "ok"]
    lost = true(server, 45.0, 50.0)
    assert lost > 0
    assert collected(store) == true(server, 0.0, 105.0) - lost
    assert all((value or 0.0) >= 0.0 for sample in store.samples for value in sample.counters.values())


def test_s20_a_restart_while_nobody_looked_is_a_gap_and_said_to_hold_a_restart() -> None:
    server = FakeVllm(Life(from_s=-100.0, to_s=50.0, seed=1), Life(from_s=150.0, to_s=300.0, seed=2))
    store = scraped(server, [0.0, 15.0, 180.0, 195.0])
    last = [(str(sample.state), sample.restarted) for sample in store.samples]
    assert last == [("first", False), ("ok", False), ("gap", True), ("ok", False)]


def test_s21_two_restarts_between_two_scrapes_are_seen_by_the_start_time_though_the_counter_grew() -> None:
    slow, fast = Load(requests_per_s=0.1), Load(requests_per_s=30.0, places_count=500)
    server = FakeVllm(
        Life(from_s=-20.0, to_s=1.0, load=slow, seed=1),
        Life(from_s=2.0, to_s=3.0, load=slow, seed=2),
        Life(from_s=4.0, to_s=60.0, load=fast, seed=3),
    )
    store = scraped(server, [0.0, 15.0])
    before, after = true(server, -20.0, 0.0), true(server, 4.0, 15.0)
    assert 0 < before < after  # the counter alone would not tell
    assert states(store) == ["first", "reset"]
    assert collected(store) == after


def test_s21_without_a_start_time_such_a_restart_cannot_be_seen_and_is_never_counted_above() -> None:
    """What it costs is within the interval's tokens: the old value cannot be above the new one."""
    slow, fast = Load(requests_per_s=0.1), Load(requests_per_s=30.0, places_count=500)
    hidden = Exposition(is_multi_process=True)
    server = FakeVllm(
        Life(from_s=-20.0, to_s=1.0, load=slow, exposition=hidden, seed=1),
        Life(from_s=4.0, to_s=60.0, load=fast, exposition=hidden, seed=3),
    )
    store = scraped(server, [0.0, 15.0])
    total = true(server, 0.0, 15.0)
    assert states(store) == ["first", "ok"]
    assert total - true(server, -20.0, 15.0) <= collected(store) <= total


def test_s22_what_a_server_counted_while_it_could_not_be_reached_is_real_and_unplaced() -> None:
    server = FakeVllm(Life(from_s=-100.0, to_s=8_000.0))
    store = scraped(server, [0.0, 15.0, 7_215.0, 7_230.0])
    assert states(store) == ["first", "ok", "gap", "ok"]
    assert store.samples[2].interval_s == 7_200.0
    assert collected(store) == true(server, 0.0, 7_230.0)


def test_s23_a_replica_that_starts_while_it_is_watched_counts_from_its_start() -> None:
    server = FakeVllm(Life(from_s=20.0, to_s=200.0))
    store = scraped(server, ticks(5))
    assert states(store) == ["started", "ok", "ok"]
    assert collected(store) == true(server, 0.0, 60.0) > 0


def test_s23_a_replica_that_was_there_before_begins_at_its_first_value() -> None:
    server = FakeVllm(Life(from_s=-500.0, to_s=200.0))
    store = scraped(server, ticks(3))
    assert states(store) == ["first", "ok", "ok"]
    assert collected(store) == true(server, 0.0, 30.0)


def test_s23_a_replica_that_is_removed_ends_and_nothing_is_carried_forward() -> None:
    server = FakeVllm(Life(from_s=-100.0, to_s=100.0, ranks=(Rank(), Rank(key="1", to_s=35.0))))
    store = scraped(server, ticks(5))
    assert len(states(store)) == 5 and len(states(store, "1")) == 3
    assert [sample.scraped_at for sample in store.samples if sample.engine_key == "1"][-1] == NOON + timedelta(
        seconds=30
    )


def test_s23_a_pod_that_comes_back_under_another_model_name_is_another_engine() -> None:
    server = FakeVllm(
        Life(from_s=-100.0, to_s=50.0), Life(from_s=50.0, to_s=200.0, exposition=Exposition(model="fake/next"), seed=5)
    )
    store = scraped(server, ticks(7))
    by_model: dict[str, list[UsageSample]] = {}
    for sample in store.samples:
        by_model.setdefault(sample.model_key, []).append(sample)
    truth = server.truth(0.0, 90.0)
    assert (
        sum(sample.counters["prompt_tokens"] or 0 for sample in by_model["fake/next"])
        == (truth["fake/next", "0"]["prompt_tokens"])
    )


def test_s24_data_parallel_engines_are_counted_each_and_add_up() -> None:
    server = FakeVllm(Life(from_s=-100.0, to_s=200.0, ranks=tuple(Rank(key=str(rank)) for rank in range(3))))
    store = scraped(server, ticks(4))
    assert {sample.engine_key for sample in store.samples} == {"0", "1", "2"}
    assert collected(store) == true(server, 0.0, 45.0)


def test_s24_a_twin_without_the_engine_label_is_not_counted_beside_its_parts(ctx: CollectContext) -> None:
    name = "vllm:prompt_tokens_total"
    page = f'{name}{{model_name="m"}} 30\n' + "".join(f'{name}{{engine="{n}",model_name="m"}} 15\n' for n in range(2))
    pages = parse(page.encode(), ctx).pages
    assert sum(page.counters["prompt_tokens"] for page in pages) == 30
    assert any("without engine" in page.remarks.get("prompt_tokens", "") for page in pages)


def test_s24_an_upgrade_that_brings_the_engine_label_goes_on_as_the_same_engine() -> None:
    server = FakeVllm(
        Life(from_s=-100.0, to_s=40.0, exposition=Exposition(release="0.7.3")),
        Life(from_s=40.0, to_s=200.0, exposition=Exposition(release="0.32.0"), seed=9),
    )
    store = scraped(server, ticks(6))
    assert states(store) == ["first", "ok", "ok", "reset", "ok", "ok"]
    assert collected(store) == true(server, 0.0, 75.0) - true(server, 30.0, 40.0)


def test_s27_a_measure_is_read_under_the_name_of_each_release() -> None:
    before, after = Exposition(release="0.8.5"), Exposition(release="0.12.0")
    server = FakeVllm(
        Life(from_s=-100.0, to_s=40.0, exposition=before), Life(from_s=40.0, to_s=200.0, exposition=after, seed=9)
    )
    store = scraped(server, ticks(6))
    lost = true(server, 30.0, 40.0, "prefix_hits_tokens")
    assert collected(store, "prefix_hits_tokens") == true(server, 0.0, 75.0, "prefix_hits_tokens") - lost > 0
    assert all(sample.gauges["kv_usage_fraction"] is not None for sample in store.samples)


def test_s27_of_two_names_on_one_page_one_is_used_and_compared_with_the_other(ctx: CollectContext) -> None:
    """0.9.2 and 0.10 expose the prefix cache under both."""
    page = str(FakeVllm(Life(exposition=Exposition(release="0.10.2"))).page_at(60.0))
    (agreed,) = parse(page.encode(), ctx).pages
    assert "prefix_hits_tokens" in agreed.counters and not agreed.remarks
    value = f"{agreed.counters['prefix_hits_tokens']:.1f}"
    differing = page.replace(
        f'vllm:gpu_prefix_cache_hits_total{{engine="0",model_name="fake/llama"}} {value}',
        'vllm:gpu_prefix_cache_hits_total{engine="0",model_name="fake/llama"} 1.0',
    )
    assert differing != page
    (differed,) = parse(differing.encode(), ctx).pages
    assert differed.counters == agreed.counters
    assert "gpu_prefix_cache_hits_total" in differed.remarks["prefix_hits_tokens"]


@pytest.mark.parametrize("prefix", ["vllm:", "vllm_", "ray_vllm_"])
def test_s27_the_spellings_of_gateways_are_read_alike(ctx: CollectContext, prefix: str) -> None:
    plain, spelled = (
        parse(str(FakeVllm(Life(exposition=Exposition(prefix=told))).page_at(60.0)).encode(), ctx).pages[0].counters
        for told in ("vllm:", prefix)
    )
    assert spelled == plain


def test_s32_a_model_that_is_renamed_within_the_month_is_one_model_by_dated_names() -> None:
    switch = NOON + timedelta(seconds=40)
    names = ModelNames(
        [
            ModelName(exposed="old-name", key="llama", end=switch),
            ModelName(exposed="new-name", key="llama", start=switch),
        ]
    )
    server = FakeVllm(
        Life(from_s=-100.0, to_s=40.0, exposition=Exposition(model="old-name")),
        Life(from_s=40.0, to_s=200.0, exposition=Exposition(model="new-name"), seed=4),
    )
    store = scraped(server, ticks(6), names)
    assert {sample.model_key for sample in store.samples} == {"llama"}
    assert collected(store) == true(server, 0.0, 75.0) - true(server, 30.0, 40.0)


@pytest.mark.parametrize("jump_s", [-3_600.0, 3_600.0])
def test_s33_a_jump_of_our_clock_gives_no_negative_interval(jump_s: float) -> None:
    wall, elapsed = NOON, 0.0
    clock = steady_clock(lambda: wall, lambda: elapsed)
    told = [clock()]
    for _ in range(3):
        wall, elapsed = wall + timedelta(seconds=15), elapsed + 15
        told.append(clock())
    wall = wall + timedelta(seconds=jump_s)
    for _ in range(3):
        wall, elapsed = wall + timedelta(seconds=15), elapsed + 15
        told.append(clock())
    steps_s = [(after - before).total_seconds() for before, after in pairwise(told)]
    assert all(step_s >= 15 for step_s in steps_s)
    assert told[-1] == (NOON + timedelta(seconds=90) if jump_s < 0 else NOON + timedelta(seconds=90 + jump_s))


def test_s33_a_clock_that_was_set_back_over_a_restart_of_ours_rewrites_nothing(store: MemoryStore) -> None:
    network = Pages({"u": counting(100)})
    clock = FakeTime()

    async def main() -> None:
        for clock.elapsed_s, tokens in ((0.0, 100), (-3_600.0, 130), (15.0, 150)):
            network.said["u"] = counting(tokens)
            collection = await started(store, [Target(key="gpu-1", url="u")], network, clock)
            await collection.scrape_all()
            await collection.close()

    asyncio.run(main())
    assert [run.state for run in store.runs] == ["ok", "clock_back", "ok"]
    assert [sample.scraped_at for sample in store.samples] == [NOON, NOON + timedelta(seconds=15)]
    assert store.total("prompt_tokens") == 50


@pytest.mark.parametrize("skew_s", [-300.0, 300.0])
def test_s33_a_server_whose_clock_differs_is_counted_by_ours(skew_s: float) -> None:
    """Its start time is only compared with its own; a new server is new only when the two clocks allow it."""
    at = datetime(2026, 11, 21, 11, tzinfo=UTC).timestamp() + skew_s
    network = Pages({"u": ""})
    store, clock = MemoryStore(), FakeTime()

    async def main() -> None:
        collection = await started(store, [Target(key="gpu-1", url="u")], network, clock)
        for number, tokens in enumerate((100, 130, 170)):
            clock.elapsed_s = 15.0 * number
            network.said["u"] = counting(tokens, started=at)
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    assert store.total("prompt_tokens") == 70
    assert [sample.state for sample in store.samples] == [SampleState.FIRST, SampleState.OK, SampleState.OK]
