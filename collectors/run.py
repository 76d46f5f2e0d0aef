"""The run loop: scrapes every target on its own steady tick and hands what came to the store, many at a time.

A target that fails waits by itself and never delays another. Increments count from the last page that the store took,
and a restart begins with the pages that the store remembers: nothing is lost and nothing counted twice. What a failing
store did not take is in the next scrape, because engines only count upwards.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

from collectors.alerts import Alarm
from collectors.base import CollectContext, FetchFailed, Http, Readings, ScrapeFailure, Target
from collectors.commit import COMMIT_AFTER_S, Intake, Outcome, Store
from collectors.file_sd import FileSd, Servers
from collectors.http import HttpClient, Unverified
from collectors.ingest import Answer, Ledger
from collectors.names import ModelNames
from collectors.paths import DuplicateEngine
from collectors.sources import COLLECTORS
from collectors.watch import Clock, Ticks, Watch, first_scrape_after_s, steady_clock
from costlib.errors import ConfigError, UnknownKey
from store.records import ScrapeRun

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

DEFAULT_EVERY_S = 15.0
TARGETS_COUNT_LIMIT = 2_000
CONCURRENT_SCRAPES_COUNT = 64
# Targets that failed last time have places of their own: hundreds that hang do not hold up those that answer.
CONCURRENT_RETRIES_COUNT = 16
INBOX_EVERY_S = 2.0
DISCOVER_EVERY_S = 5.0
# Of the interval; where servers are asked many times a second, their answers do not wait for each other as long.
COMMIT_AFTER_FRACTION = 0.05
# On the way out, scrapes under way are given this long.
STOP_WITHIN_S = 3.0

log = logging.getLogger("permillion.collect")


class Collection:
    """Scrapes `targets` over `http` into `store`. Made within an event loop, and closed there."""

    def __init__(
        self,
        store: Store,
        targets: Sequence[Target],
        http: Http,
        *,
        clock: Clock,
        every_s: float = DEFAULT_EVERY_S,
        names: ModelNames | None = None,
        on_run: Callable[[ScrapeRun], None] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_targets(targets, every_s)
        self._http = http
        self._clock = clock
        self._every_s = every_s
        self._chance = chance
        ledger = Ledger(store.engine_pages(), store.device_pages(), every_s=every_s, watched_since=clock(), names=names)
        self._intake = Intake(store, ledger, targets, on_run, min(COMMIT_AFTER_S, every_s * COMMIT_AFTER_FRACTION))
        self.watches = [self._watch(target) for target in targets]
        self._places = asyncio.Semaphore(CONCURRENT_SCRAPES_COUNT)
        self._retry_places = asyncio.Semaphore(CONCURRENT_RETRIES_COUNT)
        self._is_stopping = False
        self._spawn: Spawn | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def scrape_all(self) -> list[ScrapeRun]:
        """One scrape of every target, all at once, into the store in one transaction."""
        watches = list(self.watches)
        outcomes = await self._intake.take(await asyncio.gather(*map(self._ask, watches)))
        for watch, outcome in zip(watches, outcomes, strict=True):
            _learn(watch, outcome)
        return [outcome.run for outcome in outcomes]

    async def scrape(self, watch: Watch) -> ScrapeRun:
        """One attempt at one target, in the store when this returns. Raises for nothing a target or the store does."""
        watch.is_scraping = True
        outcome = await self._intake.put(await self._ask(watch))
        watch.is_scraping = False
        _learn(watch, outcome)
        return outcome.run

    async def follow(self, watch: Watch) -> None:
        """Scrapes one target until stopped: on every tick while it answers, after its back-off while it does not."""
        key, now = watch.target.key, asyncio.get_running_loop().time
        ticks = Ticks.of(key, self._every_s, now_s=now(), now_unix_s=self._clock().timestamp())
        await asyncio.sleep(first_scrape_after_s(key, len(self.watches), self._every_s))
        tick = ticks.number_at(now())
        while not self._is_stopping:
            await self.scrape(watch)
            if watch.failure:
                await asyncio.sleep(watch.back_off_s(self._chance()))
                tick = ticks.number_at(now())
                continue
            late = max(0, ticks.number_at(now()) - tick)
            watch.skip(late)
            tick += late + 1
            await asyncio.sleep(ticks.at_s(tick) - now())

    def follow_all(self, spawn: Spawn) -> None:
        """Begins to follow each target that nobody follows yet."""
        self._spawn = spawn
        for watch in self.watches:
            if watch.target.key not in self._tasks:
                self._tasks[watch.target.key] = spawn(self.follow(watch))

    async def change(self, targets: Sequence[Target]) -> None:
        """From now on these are the targets. The series of one that is gone just ends; one that stays goes on as is."""
        await self._intake.watch(targets)
        kept = {watch.target.key: watch for watch in self.watches}
        self.watches = [
            kept[target.key] if target.key in kept and kept[target.key].target == target else self._watch(target)
            for target in targets
        ]
        for watch in kept.values():
            if watch not in self.watches and (task := self._tasks.pop(watch.target.key, None)):
                task.cancel()
        if self._spawn and not self._is_stopping:
            self.follow_all(self._spawn)

    async def discover(self, servers: Servers) -> None:
        """For ever: follows what discovery files name, as they change."""
        while True:
            await asyncio.sleep(DISCOVER_EVERY_S)
            if runs := await asyncio.to_thread(servers.look, self._clock()):
                await self.change(servers.targets)
                await self._intake.note(runs)

    async def keep_up(self) -> None:
        """For ever: takes in what `import` left in the inbox, and publishes what changed."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._intake.stored.wait(), INBOX_EVERY_S)
            self._intake.stored.clear()
            await self.publish()

    async def note(self, runs: Sequence[ScrapeRun]) -> None:
        """Lines for the run log alone."""
        await self._intake.note(runs)

    async def publish(self, force: bool = False) -> None:
        await self._intake.publish(force)

    async def stop(self, within_s: float) -> None:
        """Begins no scrape any more, and lets those under way end and be stored, for a while."""
        self._is_stopping = True
        now = asyncio.get_running_loop().time
        until_s = now() + within_s
        busy = {watch.target.key for watch in self.watches if watch.is_scraping} & self._tasks.keys()
        for key in self._tasks.keys() - busy:
            self._tasks[key].cancel()
        while now() < until_s and any(watch.is_scraping for watch in self.watches if watch.target.key in busy):
            self._intake.hurry()
            await asyncio.wait([self._tasks[key] for key in busy], timeout=COMMIT_AFTER_S)
        for key in busy:
            self._tasks[key].cancel()

    async def close(self) -> None:
        """Stores what came, publishes the rest and ends. Whoever follows targets has been stopped or cancelled."""
        await self._intake.close()

    def _watch(self, target: Target) -> Watch:
        return Watch(target, since=self._intake.since(target.key))

    async def _ask(self, watch: Watch) -> Answer:
        """What one target says, parsed; or why it does not."""
        target = watch.target
        is_unverified = target.options.get("tls_verify") is False
        async with self._retry_places if watch.failures_count else self._places:
            ctx = CollectContext(
                target=target,
                scraped_at=self._clock(),
                since=watch.since,
                http=Unverified(self._http) if is_unverified else self._http,
                memo=watch.memo,
            )
            readings, failure = Readings(), None
            try:
                readings = await _read(ctx)
            except ScrapeFailure as found:
                failure = found
        return Answer(
            target=target,
            scraped_at=ctx.scraped_at,
            finished_at=self._clock(),
            readings=readings,
            failure=failure,
            remarks=[*watch.said_of_skipped(), *(["its TLS certificate is not verified"] if is_unverified else [])],
        )


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
    names: ModelNames | None = None,
    file_sd: Sequence[FileSd] = (),
    stop_within_s: float = STOP_WITHIN_S,
    alarm: Alarm | None = None,
) -> list[ScrapeRun]:
    """Scrapes `targets`, and those that `file_sd` finds, into `store` until `stop` is set or it is cancelled, or once.

    Publishes before it returns. `alarm` looks at what is published. Returns the runs of the single round when `once`,
    else nothing. Raises ConfigError for targets that cannot be.
    """
    clock = clock or steady_clock()
    check_targets(targets, every_s)
    servers = Servers(targets, file_sd, TARGETS_COUNT_LIMIT)
    found = servers.look(clock())
    async with AsyncExitStack() as stack:
        if http is None:
            http = await stack.enter_async_context(HttpClient())
        if once and alarm:
            stack.push_async_callback(alarm.look)  # after the last publishing, which closing does
        collection = Collection(store, servers.targets, http, clock=clock, every_s=every_s, names=names, on_run=on_run)
        stack.push_async_callback(collection.close)
        await collection.note(found)
        if once:
            return await collection.scrape_all()
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(collection.keep_up()), group.create_task(collection.discover(servers))]
            if alarm:
                others.append(group.create_task(alarm.keep_watch()))
            collection.follow_all(group.create_task)
            await (stop or asyncio.Event()).wait()
            await collection.stop(stop_within_s)
            for task in others:
                task.cancel()
        return []


async def _read(ctx: CollectContext) -> Readings:
    """What one target says, or a ScrapeFailure; a fault of the collector itself must not take the others along."""
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


def _learn(watch: Watch, outcome: Outcome) -> None:
    """A target that answers is asked on its tick, also when what it says is known from a better path."""
    failure = None if isinstance(outcome.failure, DuplicateEngine) else outcome.failure
    watch.failure, watch.failures_count = failure, watch.failures_count + 1 if failure else 0
    watch.since = outcome.since


def check_targets(targets: Sequence[Target], every_s: float = DEFAULT_EVERY_S) -> None:
    """Raises ConfigError for targets that cannot be scraped together."""
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
