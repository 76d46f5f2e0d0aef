"""S25, S26 and S35 to S37: the same server, as a Prometheus kept it. The whole loop, against what was truly counted."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from collectors.base import Target
from collectors.http import HttpClient
from collectors.prometheus.backfill import backfill
from collectors.replay import ReplayServer
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer
from tests.collectors.collector_support import NOON, FakeTime, MemoryStore, started
from tests.fake_prometheus import FakePrometheus, Series, refusal, scraped, success, too_many_points
from tests.fake_vllm import FakeVllm, Life

NOON_S = NOON.timestamp()
INSTANCE = {"instance": "gpu-1:8000", "job": "vllm"}


def kept(server: FakeVllm, at_s: Sequence[float], **labels: str) -> list[Series]:
    """What a Prometheus has that scraped the server at these seconds after noon."""
    return scraped(((NOON_S + at, server.page_at(at)) for at in at_s), {**INSTANCE, **labels})


def read(url: str, at_s: Sequence[float]) -> MemoryStore:
    """A collector that reads a Prometheus at these moments."""
    store, clock = MemoryStore(), FakeTime()

    async def main() -> None:
        async with HttpClient() as http:
            target = Target(key="prom", url=url, source_key="prometheus")
            collection = await started(store, [target], http, clock)
            for clock.elapsed_s in at_s:
                await collection.scrape_all()
            await collection.close()

    asyncio.run(main())
    return store


def true(server: FakeVllm, from_s: float, to_s: float) -> float:
    return sum(counted["prompt_tokens"] for counted in server.truth(from_s, to_s).values())


def test_s25_a_pair_of_prometheus_that_scrape_the_same_server_counts_it_once() -> None:
    server = FakeVllm(Life(from_s=-500.0, to_s=900.0))
    one = kept(server, range(-60, 240, 15), prometheus_replica="a")
    other = kept(server, range(-53, 240, 15), prometheus_replica="b")
    with FakePrometheus([*one, *other]) as prometheus:
        store = read(prometheus.url, [0.0, 120.0, 240.0])
    first_s = min(min(series.times_s) for series in (*one, *other)) - NOON_S
    total = store.total("prompt_tokens")
    assert true(server, first_s + 15, 225.0) <= total <= true(server, first_s, 240.0)
    assert {run.state for run in store.runs} == {"ok"}


def test_s26_a_server_that_is_read_directly_is_not_counted_through_prometheus_as_well() -> None:
    server = FakeVllm(Life(from_s=-500.0, to_s=900.0))
    clock = FakeTime()
    with (
        FakePrometheus(kept(server, range(-60, 240, 15))) as prometheus,
        ReplayServer({"/metrics": server.page_at}, clock=lambda: clock.elapsed_s) as replay,
    ):
        store = MemoryStore()

        async def main() -> None:
            targets = [
                Target(key="prom", url=prometheus.url, source_key="prometheus"),
                Target(key="direct", url=replay.urls[0]),
            ]
            async with HttpClient() as http:
                collection = await started(store, targets, http, clock)
                for clock.elapsed_s in (0.0, 15.0, 30.0, 45.0):
                    await collection.scrape_all()
                await collection.close()

        asyncio.run(main())
    states = {key: {run.state for run in store.runs if run.target_key == key} for key in ("prom", "direct")}
    assert states == {"direct": {"ok"}, "prom": {"duplicate_engine"}}
    assert any("comes by two paths" in str(run.error) for run in store.runs)
    assert store.total("prompt_tokens") == true(server, 0.0, 45.0)


def test_s35_the_interval_of_a_slower_prometheus_is_learned_so_that_nothing_looks_like_a_gap() -> None:
    server = FakeVllm(Life(from_s=-2_000.0, to_s=2_000.0))
    with FakePrometheus(kept(server, range(-300, 900, 60))) as prometheus:
        store = read(prometheus.url, [15.0 * tick for tick in range(60)])
    states = [str(state) for history in store.histories for state in history.states]
    assert states[0] == "first" and set(states[1:]) == {"ok"}
    covered_s = sum(
        interval_s for history in store.histories for interval_s in history.interval_s if interval_s == interval_s
    )
    assert covered_s == 840 + 300  # whole, from the first sample to the last
    assert store.total("prompt_tokens") == true(server, -300.0, 840.0)


@pytest.mark.parametrize(
    "answer",
    [
        refusal("bad_data", "parse error", 400),
        refusal("execution", "too many samples", 422),
        refusal("internal", "block store is down", 503),
        too_many_points(),
        (200, b"<html>log in</html>", {}),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[', {}),
        success({"resultType": "matrix", "result": []}),
    ],
)
def test_s36_what_prometheus_refuses_is_named_and_nothing_is_stored(answer) -> None:
    with FakePrometheus(fault=lambda path, params: answer) as prometheus:
        store = read(prometheus.url, [0.0])
    (run,) = store.runs
    assert run.state != "ok" and run.state != "internal" and run.error
    assert not store.histories and not store.pages


def test_s36_warnings_of_a_partial_answer_are_in_the_run_log() -> None:
    server = FakeVllm(Life(from_s=-500.0, to_s=900.0))
    extra = {"warnings": ["store gateway 3 did not answer"]}
    with FakePrometheus(kept(server, range(-60, 60, 15)), extra=extra) as prometheus:
        store = read(prometheus.url, [45.0])
    (run,) = store.runs
    assert run.state == "ok" and "store gateway 3 did not answer" in str(run.error)


def test_s37_a_backfill_of_history_in_a_real_store_is_there_once_and_equals_the_truth(tmp_path) -> None:
    server = FakeVllm(Life(from_s=0.0, to_s=4_000.0), Life(from_s=4_100.0, to_s=9_000.0, seed=3))
    clock = FakeTime(9_000.0)
    with FakePrometheus(kept(server, range(60, 9_000, 60))) as prometheus, Writer.open(Home(tmp_path), clock) as writer:
        target = Target(key="prom", url=prometheus.url, source_key="prometheus")
        for _ in range(2):
            report = backfill(writer, target, NOON, NOON + timedelta(seconds=9_000), clock)
            assert report.done_to == report.to_at
        writer.publish(force=True)
    with open_snapshot(Home(tmp_path)) as snapshot:  # type: ignore[union-attr]
        total = snapshot.windows(NOON - timedelta(hours=1), NOON + timedelta(hours=4), "total", "target")
    lost = true(server, 3_960.0, 4_000.0)
    assert total["prompt_tokens"].sum() == true(server, 60.0, 8_940.0) - lost
    assert total["restarts_count"].sum() == 1


def test_s37_a_backfill_that_prometheus_breaks_off_goes_on_where_it_ended(tmp_path) -> None:
    server = FakeVllm(Life(from_s=0.0, to_s=9_000.0))
    clock = FakeTime(9_000.0)
    broken = [True]

    def fault(path: str, params: object) -> object:
        return refusal("unavailable", "restarting", 503) if broken[0] and path == "/api/v1/query" else None

    with (
        FakePrometheus(kept(server, range(60, 9_000, 60)), fault=fault) as prometheus,  # type: ignore[arg-type]
        Writer.open(Home(tmp_path), clock) as writer,
    ):
        target = Target(key="prom", url=prometheus.url, source_key="prometheus")
        first = backfill(writer, target, NOON, NOON + timedelta(seconds=9_000), clock, sleep=lambda seconds: None)
        assert first.done_to < first.to_at
        broken[0] = False
        second = backfill(writer, target, NOON, NOON + timedelta(seconds=9_000), clock, sleep=lambda seconds: None)
        assert second.done_to == second.to_at
        writer.publish(force=True)
    with open_snapshot(Home(tmp_path)) as snapshot:  # type: ignore[union-attr]
        total = snapshot.windows(NOON - timedelta(hours=1), NOON + timedelta(hours=4), "total", "target")
    assert total["prompt_tokens"].sum() == true(server, 60.0, 8_940.0)
