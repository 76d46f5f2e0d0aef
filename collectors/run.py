"""The run loop: scrapes every target on its own steady tick and hands what changed to the store.

A target that fails waits by itself and never delays another. Increments count from the last page that the store took,
and a restart begins with the pages that the store remembers: nothing is lost and nothing counted twice. What a failing
store did not take is in the next scrape, because engines only count upwards.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from collectors.base import CollectContext, FetchFailed, Http, ScrapeFailure, Target
from collectors.http import HttpClient
from collectors.sources import COLLECTORS
from costlib.errors import ConfigError, UnknownKey
from costlib.telemetry import EnginePage, UsageSample, usage_sample
from store.records import RUN_OK, ImportReceipt, ScrapeRun

T = TypeVar("T")
Clock = Callable[[], datetime]

DEFAULT_EVERY_S = 15.0
TARGETS_COUNT_LIMIT = 200
CONCURRENT_SCRAPES_COUNT = 16
BACK_OFF_FIRST_S, BACK_OFF_CAP_S = 1.0, 300.0
# Failures that waiting does not mend: somebody has to change something.
SLOW_WORDS = frozenset({"auth", "bad_url", "blocked_address", "redirected"})
INBOX_EVERY_S = 2.0
# Wall time ahead of the monotonic clock by more than this is followed: the machine slept, or its clock was put right.
CLOCK_FOLLOWS_AFTER_S = 2.0

log = logging.getLogger("permillion.collect")


class Store(Protocol):
    """The part of `store.writer.Writer` that the loop needs."""

    def engine_pages(self) -> list[EnginePage]: ...
    def add_scrape(self, run: ScrapeRun, pages: Sequence[EnginePage], samples: Sequence[UsageSample]) -> None: ...
    def add_failed_run(self, run: ScrapeRun) -> None: ...
    def drain_inbox(self) -> list[ImportReceipt]: ...
    def publish(self, force: bool = False) -> str | None: ...


def steady_clock(wall: Clock = lambda: datetime.now(UTC), monotonic_s: Callable[[], float] = time.monotonic) -> Clock:
    """The time of day, except that it never goes back: a clock that is set back would give negative intervals."""
    anchor, anchored_s = wall(), monotonic_s()

    def now() -> datetime:
        nonlocal anchor, anchored_s
        at, elapsed_s = wall(), monotonic_s() - anchored_s
        steady = anchor + timedelta(seconds=elapsed_s)
        if (at - steady).total_seconds() > CLOCK_FOLLOWS_AFTER_S:
            anchor, anchored_s = at, anchored_s + elapsed_s
            return at
        return steady

    return now


@dataclass(slots=True)
class Watch:
    """What the loop remembers of one target."""

    target: Target
    memo: dict[str, object] = field(default_factory=dict)
    failure: ScrapeFailure | None = None  # of the last scrape
    failures_count: int = 0  # in a row
    skipped_ticks_count: int = 0

    def back_off_s(self, chance: float) -> float:
        """How long a failing target is left alone: 1 s, doubling to 5 min, spread so that not all return at once."""
        if self.failure and self.failure.retry_after_s is not None:
            return self.failure.retry_after_s
        if self.failure and self.failure.word in SLOW_WORDS:
            return BACK_OFF_CAP_S
        doubled_s = BACK_OFF_FIRST_S * 2.0 ** min(self.failures_count - 1, 16)
        return min(BACK_OFF_CAP_S, doubled_s) * (0.5 + chance / 2)


class Collection:
    """Scrapes `targets` over `http` into `store`, which only ever sees one call at a time, in a thread of its own."""

    def __init__(
        self,
        store: Store,
        targets: Sequence[Target],
        http: Http,
        *,
        clock: Clock,
        every_s: float = DEFAULT_EVERY_S,
        on_run: Callable[[ScrapeRun], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        _check(targets, every_s)
        self.watches = [Watch(target) for target in targets]
        self._store = store
        self._http = http
        self._clock = clock
        self._every_s = every_s
        self._on_run = on_run or (lambda run: None)
        self._chance = chance
        self._pages = {page.identity: page for page in store.engine_pages()}  # the last that the store took
        self._places = asyncio.Semaphore(CONCURRENT_SCRAPES_COUNT)
        self._scraped = asyncio.Event()
        self._store_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def scrape_all(self) -> list[ScrapeRun]:
        """One scrape of every target, all at once."""
        return await asyncio.gather(*(self.scrape(watch) for watch in self.watches))

    async def scrape(self, watch: Watch) -> ScrapeRun:
        """One attempt at one target, in the store when this returns. Raises for nothing a target or the store does."""
        pages: list[EnginePage] = []
        samples: list[UsageSample] = []
        async with self._places:
            ctx = CollectContext(target=watch.target, scraped_at=self._clock(), http=self._http, memo=watch.memo)
            try:
                pages = await _read(ctx)
                samples = [self._since_last(page) for page in pages]
                watch.failure, watch.failures_count = None, 0
            except ScrapeFailure as failure:
                watch.failure, watch.failures_count = failure, watch.failures_count + 1
        run = ScrapeRun(
            source_key=f"{watch.target.source_key}/{watch.target.key}",
            target_key=watch.target.key,
            started_at=ctx.scraped_at,
            finished_at=self._clock(),
            state=watch.failure.word if watch.failure else RUN_OK,
            rows_count=len(samples),
            error=str(watch.failure) if watch.failure else _remarks(pages),
            every_s=self._every_s,
            is_sample=watch.target.is_sample,
        )
        try:
            if watch.failure:
                await self._in_store(lambda: self._store.add_failed_run(run))
            else:
                await self._in_store(lambda: self._store.add_scrape(run, pages, samples))
                self._pages |= {page.identity: page for page in pages}
        except Exception as error:  # a full disk or a broken file must not end the loop: the next scrape holds it all
            log.exception("%s: the scrape was not stored", watch.target.key)
            run = replace(run, state="not_stored", rows_count=0, error=f"{watch.target.key}: not stored: {error}")
            with suppress(Exception):
                await self._in_store(lambda: self._store.add_failed_run(run))
        self._scraped.set()
        self._on_run(run)
        return run

    async def follow(self, watch: Watch) -> None:
        """Scrapes one target for ever: on every tick while it answers, after its back-off while it does not."""
        now = asyncio.get_running_loop().time
        began_s, tick = now(), 0
        while True:
            await self.scrape(watch)
            if watch.failure:
                await asyncio.sleep(watch.back_off_s(self._chance()))
                tick = int((now() - began_s) / self._every_s)
                continue
            late = max(0, int((now() - began_s) / self._every_s) - tick)
            watch.skipped_ticks_count += late
            if late:
                log.warning("%s: %d ticks skipped, because the scrape took too long", watch.target.key, late)
            tick += late + 1
            await asyncio.sleep(began_s + tick * self._every_s - now())

    async def keep_up(self) -> None:
        """For ever: takes in what `import` left in the inbox, and publishes what changed."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._scraped.wait(), INBOX_EVERY_S)
            self._scraped.clear()
            await self.publish()

    async def publish(self, force: bool = False) -> None:
        """Drains the inbox and publishes; unless forced, the store decides whether it is worth it and not too soon."""
        try:
            for receipt in await self._in_store(self._store.drain_inbox):
                log.info("%s: %s. %s", receipt.file_name, receipt.status, receipt.detail)
            await self._in_store(lambda: self._store.publish(force))
        except Exception:  # readers go on with the snapshot they have, and the next round tries again
            log.exception("publishing failed; readers keep the last snapshot")

    async def close(self) -> None:
        """Waits for what the store is writing and publishes the rest. The caller has stopped the scrapes."""
        await self.publish(force=True)
        self._store_thread.shutdown()

    async def _in_store(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, call)

    def _since_last(self, page: EnginePage) -> UsageSample:
        previous = self._pages.get(page.identity)
        if previous and previous.scraped_at >= page.scraped_at:
            raise FetchFailed(
                "clock_back",
                f"{page.target_key}: this machine's clock ({page.scraped_at:%Y-%m-%d %H:%M:%S} UTC) is behind the last "
                f"scrape ({previous.scraped_at:%Y-%m-%d %H:%M:%S} UTC). Set it right; what the engine counts meanwhile "
                "is in the first scrape after that time.",
            )
        return usage_sample(previous, page, self._every_s)


async def collect(
    store: Store,
    targets: Sequence[Target],
    *,
    every_s: float = DEFAULT_EVERY_S,
    once: bool = False,
    clock: Clock | None = None,
    stop: asyncio.Event | None = None,
    http: Http | None = None,
    on_run: Callable[[ScrapeRun], None] | None = None,
) -> list[ScrapeRun]:
    """Scrapes `targets` into `store` until `stop` is set or it is cancelled, or once; publishes before it returns.

    Returns the runs of the single round when `once`, else nothing. Raises ConfigError for targets that cannot be.
    """
    async with AsyncExitStack() as stack:
        if http is None:
            http = await stack.enter_async_context(HttpClient())
        collection = Collection(store, targets, http, clock=clock or steady_clock(), every_s=every_s, on_run=on_run)
        stack.push_async_callback(collection.close)
        if once:
            return await collection.scrape_all()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(collection.follow(watch)) for watch in collection.watches]
            tasks.append(group.create_task(collection.keep_up()))
            await (stop or asyncio.Event()).wait()
            for task in tasks:
                task.cancel()
        return []


async def _read(ctx: CollectContext) -> list[EnginePage]:
    """The pages of one target, or a ScrapeFailure; a fault of the collector itself must not take the others along."""
    collector = COLLECTORS[ctx.target.source_key]
    try:
        return collector.parse(await collector.fetch(ctx), ctx)
    except ScrapeFailure:
        raise
    except Exception as error:
        log.exception("%s: fault in collector %s", ctx.target.key, collector.key)
        raise FetchFailed(
            "internal",
            f"{ctx.target.key}: fault in collector {collector.key} ({type(error).__name__}); please report it.",
        ) from error


def _remarks(pages: Sequence[EnginePage]) -> str | None:
    """What a page that was taken has wrong with it, for the run log."""
    found = [
        f"{measure} of {page.model_key}, engine {page.engine_key}, {remark}"
        for page in pages
        for measure, remark in page.remarks.items()
    ]
    return "; ".join(found) or None


def _check(targets: Sequence[Target], every_s: float) -> None:
    if not every_s > 0:
        raise ConfigError(f"scraping every {every_s:g} s is not possible; give a time above 0, for example 15s.")
    if len(targets) > TARGETS_COUNT_LIMIT:
        raise ConfigError(f"{len(targets)} targets; one collector scrapes at most {TARGETS_COUNT_LIMIT}. Split them.")
    twice = [key for key, count in Counter(target.key for target in targets).items() if count > 1]
    if twice:
        raise ConfigError(
            f"{', '.join(twice)} is named more than once; name each target once, or its tokens count twice."
        )
    for target in targets:
        if target.source_key not in COLLECTORS:
            raise UnknownKey("source", target.source_key, COLLECTORS, f"target {target.key}")
