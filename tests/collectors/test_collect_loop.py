"""The run loop: nothing lost, nothing counted twice, nobody waits for anybody else."""

import asyncio
import threading
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.base import FetchFailed, Target
from collectors.run import CONCURRENT_RETRIES_COUNT, CONCURRENT_SCRAPES_COUNT, collect
from collectors.watch import steady_clock
from costlib.errors import ConfigError
from costlib.telemetry import EnginePage, SampleState, usage_sample
from tests.collectors.collector_support import NOON, MemoryStore, Pages, counting, started

EVERY_S = 15.0


def scrape(store, http, clock, *urls):
    """One round over `urls` by a collector that starts with what the store remembers."""

    async def main():
        collection = await started(store, [Target(key=url, url=url) for url in urls], http, clock)
        try:
            return await collection.scrape_all()
        finally:
            await collection.close()

    return asyncio.run(main())


def history(store, clock, http, *pages, restart_collector=True):
    """Scrapes of one target that shows `pages` one after the other, every 15 s."""

    async def main():
        collection = await started(store, [Target(key="a", url="a")], http, clock)
        for page in pages:
            http.said["a"] = page
            await collection.scrape_all()
            clock.elapsed_s += EVERY_S
            if restart_collector:
                await collection.close()
                collection = await started(store, [Target(key="a", url="a")], http, clock)
        await collection.close()

    asyncio.run(main())


@pytest.mark.parametrize("restart_collector", [False, True], ids=["one collector", "restarted after every scrape"])
class TestIncrements:
    def test_begin_at_the_first_scrape(self, store, fake_time, restart_collector):
        history(store, fake_time, Pages(), counting(100), counting(150), restart_collector=restart_collector)
        assert [sample.counters["prompt_tokens"] for sample in store.samples] == [None, 50]
        assert [sample.state for sample in store.samples] == [SampleState.FIRST, SampleState.OK]

    def test_survive_a_restart_of_the_engine(self, store, fake_time, restart_collector):
        pages = counting(100), counting(20, started=1_700_000_900), counting(60, started=1_700_000_900)
        history(store, fake_time, Pages(), *pages, restart_collector=restart_collector)
        assert [sample.counters["prompt_tokens"] for sample in store.samples] == [None, 20, 40]
        assert store.samples[1].state is SampleState.RESET

    def test_survive_a_restart_that_counted_past_the_old_value(self, store, fake_time, restart_collector):
        pages = counting(100), counting(130, started=1_700_000_900)
        history(store, fake_time, Pages(), *pages, restart_collector=restart_collector)
        assert store.samples[1].counters["prompt_tokens"] == 130

    def test_of_failed_scrapes_are_in_the_next_good_one(self, store, fake_time, restart_collector):
        failed = FetchFailed("timeout", "no answer")
        pages = counting(100), failed, failed, "<html>", counting(190)
        history(store, fake_time, Pages(), *pages, restart_collector=restart_collector)
        assert [run.state for run in store.runs] == ["ok", "timeout", "timeout", "not_metrics", "ok"]
        assert store.total("prompt_tokens") == 90
        assert store.samples[-1].state is SampleState.GAP and store.samples[-1].interval_s == 4 * EVERY_S

    def test_wait_while_the_clock_is_behind_the_last_scrape(self, store, fake_time, restart_collector):
        history(store, fake_time, Pages(), counting(100), restart_collector=restart_collector)
        fake_time.elapsed_s = -3600
        history(store, fake_time, Pages(), counting(120), restart_collector=restart_collector)
        assert store.runs[-1].state == "clock_back" and "clock" in store.runs[-1].error
        fake_time.elapsed_s = 3600
        history(store, fake_time, Pages(), counting(150), restart_collector=restart_collector)
        assert store.total("prompt_tokens") == 50


def test_what_the_store_did_not_take_is_in_the_next_scrape(store, fake_time):
    async def main():
        http = Pages()
        collection = await started(store, [Target(key="a", url="a")], http, fake_time)
        for tokens, store.broken in ((100, False), (130, True), (150, False)):
            http.said["a"] = counting(tokens)
            runs.extend(await collection.scrape_all())
            fake_time.elapsed_s += EVERY_S
        await collection.close()

    runs = []
    asyncio.run(main())
    assert [run.state for run in runs] == ["ok", "not_stored", "ok"]
    assert "no space left on device" in runs[1].error
    assert store.total("prompt_tokens") == 50


LIVES = st.lists(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=6),  # tokens between two scrapes
    min_size=1,
    max_size=4,  # of one process after the other
)


@given(LIVES, st.booleans())
def test_increments_are_never_negative_and_add_up_whatever_restarts(lives, shows_start):
    """All that was generated after the first scrape is counted, but over restarts that leave no trace on the page."""
    pages = []
    for number, life in enumerate(lives):
        total = 0
        for tokens in life:
            total += tokens
            pages.append(
                EnginePage(
                    target_key="a",
                    model_key="m",
                    engine_key="0",
                    scraped_at=NOON + timedelta(seconds=EVERY_S * len(pages)),
                    started_at=NOON + timedelta(days=number - 9) if shows_start else None,
                    counters={"prompt_tokens": float(total)},
                )
            )
    increases = [usage_sample(a, b, EVERY_S).counters["prompt_tokens"] for a, b in pairwise(pages)]
    generated = sum(map(sum, lives)) - lives[0][0]
    assert all(increase >= 0 for increase in increases)
    assert sum(increases) == generated if shows_start else sum(increases) <= generated


@given(st.lists(st.integers(0, 10**12), min_size=3, max_size=9), st.data())
def test_adjacent_windows_add_up_to_the_window_over_both(increases, data):
    total, pages = 0, []
    for index, increase in enumerate(increases):
        total += increase
        pages.append(
            EnginePage(
                target_key="a",
                model_key="m",
                engine_key="0",
                scraped_at=NOON + timedelta(seconds=EVERY_S * index),
                counters={"prompt_tokens": float(total)},
            )
        )
    middle = data.draw(st.integers(1, len(pages) - 2))
    window = lambda a, b: usage_sample(pages[a], pages[b], EVERY_S).counters["prompt_tokens"]  # noqa: E731
    assert window(0, middle) + window(middle, -1) == window(0, -1) == sum(increases[1:])


def test_one_target_that_is_down_leaves_the_others_alone(store, fake_time):
    http = Pages({"a": counting(1), "b": FetchFailed("refused", "nothing listens there"), "c": counting(2)})
    runs = scrape(store, http, fake_time, "a", "b", "c")
    assert [(run.target_key, run.state) for run in runs] == [("a", "ok"), ("b", "refused"), ("c", "ok")]
    assert {page.target_key for page in store.engine_pages()} == {"a", "c"}


def test_a_fault_of_ours_in_one_page_leaves_the_others_alone(store, fake_time):
    http = Pages({"a": counting(1), "b": RuntimeError("a bug")})
    runs = scrape(store, http, fake_time, "a", "b")
    assert [run.state for run in runs] == ["ok", "internal"]
    assert "RuntimeError" in runs[1].error


def test_runs_say_what_was_odd_about_a_page_that_was_taken(store, fake_time):
    (run,) = scrape(store, Pages({"a": counting(1) + 'vllm:prompt_tokens_total{model_name="m"} 1\n'}), fake_time, "a")
    assert run.state == "ok" and "prompt_tokens of 'm', engine '0', is exposed twice" in run.error


def test_sample_data_stay_labelled(store, fake_time):
    async def main():
        target = Target(key="a", url="a", is_sample=True)
        return await collect(store, [target], once=True, clock=fake_time, http=Pages({"a": counting(1)}))

    (run,) = asyncio.run(main())
    assert run.is_sample and run.source_key == "vllm/a"


def test_scrapes_go_on_while_the_store_is_writing(fake_time):
    """The first write blocks until the other target has been asked: only scrapes beside writes can end this."""
    asked_second = threading.Event()

    class SlowStore(MemoryStore):
        def add_scrapes(self, scrapes):
            assert asked_second.wait(5)
            return super().add_scrapes(scrapes)

    class Second(Pages):
        async def get_bytes(self, url, *, bearer_token=None):
            if url == "b":
                await asyncio.sleep(0.05)
                asked_second.set()
            return await super().get_bytes(url)

    store = SlowStore()
    scrape(store, Second({"a": counting(1), "b": counting(2)}), fake_time, "a", "b")
    assert [run.state for run in store.runs] == ["ok", "ok"]


def following(store, http, seconds, every_s, *urls):
    async def main():
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        targets = [Target(key=url, url=url) for url in urls]
        return await collect(store, targets, every_s=every_s, stop=stop, http=http, stop_within_s=0.1)

    return asyncio.run(main())


def test_every_target_keeps_its_own_tick(store):
    """`slow` never answers, `down` is refused: `up` is scraped as if it were alone."""
    http = Pages({"up": counting(1), "slow": 60.0, "down": FetchFailed("refused", "nothing listens there")})
    assert following(store, http, 0.5, 0.05, "up", "slow", "down") == []
    assert http.asked.count("up") >= 4
    assert http.asked.count("slow") == 1
    assert http.asked.count("down") == 1  # its back-off is longer than this test
    assert store.published[-1] is True, "the last act is to publish"


def test_ticks_that_a_slow_answer_missed_are_skipped_and_counted(store):
    http = Slow({"a": counting(1)}, 0.12)

    async def main():
        collection = await started(store, [Target(key="a", url="a")], http, steady_clock(), every_s=0.05)
        task = asyncio.create_task(collection.follow(collection.watches[0]))
        await asyncio.sleep(0.5)
        task.cancel()
        await collection.close()
        return collection.watches[0].skipped_ticks_count

    skipped = asyncio.run(main())
    assert skipped >= 2 and len(http.asked) <= 5
    assert any("skipped" in (run.error or "") for run in store.runs), "the run log says so"


class Slow(Pages):
    """Answers after `seconds`."""

    def __init__(self, said, seconds):
        super().__init__(said)
        self.seconds = seconds

    async def get_bytes(self, url, *, bearer_token=None):
        await asyncio.sleep(self.seconds)
        return await super().get_bytes(url)


def test_targets_that_hang_have_places_of_their_own(store):
    """More of them than there are places for all: those that answer are scraped as if they were alone."""
    hanging = [f"hangs-{number}" for number in range(CONCURRENT_SCRAPES_COUNT + 1)]
    http = Pages({"up": counting(1)} | dict.fromkeys(hanging, 60.0))

    async def main():
        targets = [Target(key=key, url=key) for key in ("up", *hanging)]
        collection = await started(store, targets, http, steady_clock(), every_s=1.0)
        for watch in collection.watches[1:]:
            watch.failures_count = 1
        asks = [asyncio.create_task(collection.scrape(watch)) for watch in collection.watches[1:]]
        await asyncio.sleep(0)
        run = await asyncio.wait_for(collection.scrape(collection.watches[0]), 5)
        for task in asks:
            task.cancel()
        await collection.close()
        return run

    assert asyncio.run(main()).state == "ok"
    assert len(http.asked) == 1 + CONCURRENT_RETRIES_COUNT


class TestStopping:
    def stopped(self, store, http, stop_within_s):
        async def main():
            stop = asyncio.Event()
            asyncio.get_running_loop().call_later(0.1, stop.set)
            targets = [Target(key="a", url="a"), Target(key="b", url="b")]
            await collect(store, targets, http=http, stop=stop, stop_within_s=stop_within_s)

        asyncio.run(main())

    def test_waits_for_scrapes_under_way_and_stores_them(self, store):
        self.stopped(store, Slow({"a": counting(1), "b": counting(2)}, 0.3), stop_within_s=5)
        assert sorted(run.target_key for run in store.runs) == ["a", "b"]
        assert {page.target_key for page in store.engine_pages()} == {"a", "b"}
        assert store.published[-1] is True

    def test_does_not_wait_for_ever(self, store):
        self.stopped(store, Pages({"a": counting(1), "b": 60.0}), stop_within_s=0.1)
        assert [run.target_key for run in store.runs] == ["a"]
        assert store.published[-1] is True

    def test_what_came_in_the_same_moment_is_stored_even_when_cancelled(self, store):
        async def main():
            collection = await started(store, [Target(key="a", url="a")], Pages({"a": counting(1)}), steady_clock())
            task = asyncio.create_task(collection.scrape(collection.watches[0]))
            await asyncio.sleep(0.01)
            task.cancel()
            await collection.close()

        asyncio.run(main())
        assert [run.state for run in store.runs] == ["ok"]


def test_the_tail_is_published_after_every_commit(store):
    following(store, Pages({"a": counting(1)}), 0.3, 0.05, "a")
    assert store.tails_count >= len(store.batches)


def test_a_loop_that_is_cancelled_publishes_too(store):
    async def main():
        task = asyncio.create_task(collect(store, [Target(key="a", url="a")], http=Pages({"a": counting(1)})))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert store.published[-1] is True and len(store.runs) == 1


@pytest.mark.parametrize(
    ("targets", "every_s", "says"),
    [
        ([Target(key="a", url="u"), Target(key="a", url="v")], 15, "a is named more than once"),
        ([Target(key=f"{number}", url="u") for number in range(2001)], 15, "at most 2000"),
        ([Target(key="a", url="u", source_key="vlm")], 15, "Did you mean 'vllm'"),
        ([Target(key="a", url="u")], 0, "above 0"),
        ([Target(key="a", url="u")], float("nan"), "above 0"),
    ],
)
def test_what_cannot_be_collected_is_said_at_once(store, targets, every_s, says):
    with pytest.raises(ConfigError, match=says):
        asyncio.run(collect(store, targets, every_s=every_s, once=True, http=Pages()))
