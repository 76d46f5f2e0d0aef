"""The run loop: nothing lost, nothing counted twice, nobody waits for anybody else."""

import asyncio
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.base import FetchFailed, Target
from collectors.run import Collection, Watch, collect, steady_clock
from costlib.errors import ConfigError
from costlib.telemetry import EnginePage, SampleState, usage_sample
from tests.collectors.collector_support import NOON, FakeTime, MemoryStore

EVERY_S = 15.0


@dataclass
class Pages:
    """A network of pages: for each target what it says, an error, or how long it takes to say nothing."""

    said: dict[str, str | Exception | float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get_bytes(self, url, *, bearer_token=None):
        self.asked.append(url)
        answer = self.said[url]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            raise FetchFailed("timeout", "no answer")
        return type("Response", (), {"body": answer.encode()})


def counting(tokens, started=1_700_000_000):
    return f'process_start_time_seconds {started}\nvllm:prompt_tokens_total{{model_name="m"}} {tokens}\n'


def scrape(store, http, clock, *urls):
    """One round over `urls` by a collector that starts with what the store remembers."""

    async def main():
        collection = Collection(store, [Target(key=url, url=url) for url in urls], http, clock=clock)
        try:
            return await collection.scrape_all()
        finally:
            await collection.close()

    return asyncio.run(main())


def history(store, clock, http, *pages, restart_collector=True):
    """Scrapes of one target that shows `pages` one after the other, every 15 s."""

    async def main():
        collection = Collection(store, [Target(key="a", url="a")], http, clock=clock)
        for page in pages:
            http.said["a"] = page
            await collection.scrape_all()
            clock.elapsed_s += EVERY_S
            if restart_collector:
                await collection.close()
                collection = Collection(store, [Target(key="a", url="a")], http, clock=clock)
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
        pages = counting(100), failed, failed, counting("NaN"), counting(190)
        history(store, fake_time, Pages(), *pages, restart_collector=restart_collector)
        assert [run.state for run in store.runs] == ["ok", "timeout", "timeout", "bad_value", "ok"]
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
        collection = Collection(store, [Target(key="a", url="a")], http, clock=fake_time)
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
    assert run.state == "ok" and "prompt_tokens of m, engine 0, is exposed twice" in run.error


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
        def add_scrape(self, run, pages, samples):
            assert asked_second.wait(5)
            super().add_scrape(run, pages, samples)

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
        return await collect(store, [Target(key=url, url=url) for url in urls], every_s=every_s, stop=stop, http=http)

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
    class Slow(Pages):
        async def get_bytes(self, url, *, bearer_token=None):
            await asyncio.sleep(0.12)
            return await super().get_bytes(url)

    async def main():
        http = Slow({"a": counting(1)})
        collection = Collection(store, [Target(key="a", url="a")], http, clock=steady_clock(), every_s=0.05)
        task = asyncio.create_task(collection.follow(collection.watches[0]))
        await asyncio.sleep(0.5)
        task.cancel()
        await collection.close()
        return collection.watches[0].skipped_ticks_count, http.asked

    skipped, asked = asyncio.run(main())
    assert skipped >= 2 and len(asked) <= 5


def test_a_loop_that_is_cancelled_publishes_too(store):
    async def main():
        task = asyncio.create_task(collect(store, [Target(key="a", url="a")], http=Pages({"a": counting(1)})))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert store.published[-1] is True and len(store.runs) == 1


class TestBackOff:
    def after(self, failures_count, word="refused", retry_after_s=None, chance=1.0):
        failure = FetchFailed(word, "", retry_after_s)
        watch = Watch(Target(key="a", url="a"), failure=failure, failures_count=failures_count)
        return watch.back_off_s(chance)

    def test_doubles_from_a_second_to_five_minutes(self):
        assert [self.after(count) for count in (1, 2, 3, 9, 10, 10_000)] == [1, 2, 4, 256, 300, 300]

    def test_is_spread_over_its_second_half(self):
        assert self.after(3, chance=0.0) == 2 and self.after(3, chance=0.5) == 3

    def test_is_long_where_only_people_can_help(self):
        assert {self.after(1, word) for word in ("auth", "redirected", "blocked_address", "bad_url")} == {300}

    def test_is_what_the_server_asks_for(self):
        assert self.after(1, "http_503", retry_after_s=60.0) == 60


class TestClock:
    def test_never_goes_back_but_follows_ahead(self):
        wall, monotonic = FakeTime(), FakeTime()
        now = steady_clock(wall, lambda: monotonic.elapsed_s)
        seen = [now()]
        for wall_s, monotonic_s in ((10, 10), (-3600, 20), (-3590, 30), (7200, 40), (7210, 50)):
            wall.elapsed_s, monotonic.elapsed_s = wall_s, monotonic_s
            seen.append(now())
        assert [(at - NOON).total_seconds() for at in seen] == [0, 10, 20, 30, 7200, 7210]

    def test_is_the_time_of_day(self):
        assert abs((steady_clock()() - datetime.now(UTC)).total_seconds()) < 1


@pytest.mark.parametrize(
    ("targets", "every_s", "says"),
    [
        ([Target(key="a", url="u"), Target(key="a", url="v")], 15, "a is named more than once"),
        ([Target(key=f"{number}", url="u") for number in range(201)], 15, "at most 200"),
        ([Target(key="a", url="u", source_key="vlm")], 15, "Did you mean 'vllm'"),
        ([Target(key="a", url="u")], 0, "above 0"),
        ([Target(key="a", url="u")], float("nan"), "above 0"),
    ],
)
def test_what_cannot_be_collected_is_said_at_once(store, targets, every_s, says):
    with pytest.raises(ConfigError, match=says):
        asyncio.run(collect(store, targets, every_s=every_s, once=True, http=Pages()))
