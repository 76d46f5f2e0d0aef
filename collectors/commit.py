"""The way into the store: answers wait a moment for each other and are stored in one transaction, in one thread.

A transaction costs about the same for one answer and for hundreds. Nothing that the store does holds up a scrape, and
nothing that it fails at ends the loop.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from collectors.base import ScrapeFailure, Target
from collectors.ingest import Answer, Ledger, row_of
from collectors.paths import GATEWAYS
from costlib.devices import DevicePage
from costlib.telemetry import EnginePage
from store.records import ImportReceipt, Scrape, ScrapeRun, TargetRow

T = TypeVar("T")

# Answers wait this long for others, or until so many wait.
COMMIT_AFTER_S, COMMIT_COUNT = 0.25, 256
# Where a transaction takes long they wait up to four times as long, so that the store is busy with few large ones.
COMMITTING_FRACTION, COMMIT_AFTER_MOST_RATIO = 0.05, 4.0
FORGET_EVERY = timedelta(hours=1)

log = logging.getLogger("permillion.collect")


class Store(Protocol):
    """The part of `store.writer.Writer` that the loop needs."""

    def engine_pages(self) -> list[EnginePage]: ...
    def device_pages(self) -> list[DevicePage]: ...
    def add_scrapes(self, scrapes: Sequence[Scrape]) -> list[Exception | None]: ...
    def name_targets(self, rows: Sequence[TargetRow]) -> None: ...
    def drain_inbox(self) -> list[ImportReceipt]: ...
    def publish(self, force: bool = False) -> str | None: ...
    def publish_tail(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one answer. `failure` is why nothing of it was taken; `since` the newest stored of its target."""

    run: ScrapeRun
    failure: ScrapeFailure | None
    since: datetime | None


class Intake:
    """Hands answers to `store`, which only ever sees one call at a time, in a thread of its own."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        targets: Sequence[Target] = (),
        on_run: Callable[[ScrapeRun], None] | None = None,
        commit_after_s: float = COMMIT_AFTER_S,
    ) -> None:
        self.stored = asyncio.Event()  # set when something was; whoever publishes clears it
        self._store = store
        self._ledger = ledger
        self._on_run = on_run or (lambda run: None)
        self._commit_after_s = commit_after_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: list[tuple[Answer, asyncio.Future[Outcome]]] = []
        self._enough = asyncio.Event()
        self._took_s = 0.0  # the last transaction
        self._committing: asyncio.Task[None] | None = None
        self._unnamed: dict[str, TargetRow] = {}
        self._forget_at: datetime | None = None
        self._watch(targets)

    async def put(self, answer: Answer) -> Outcome:
        """Returns when the answer is stored, or was refused for good."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, outcome))
        if len(self._waiting) >= COMMIT_COUNT:
            self._enough.set()
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await outcome

    async def take(self, answers: Sequence[Answer]) -> list[Outcome]:
        """Stores these together, at once."""
        outcomes = await self.in_store(lambda: self._take(answers))
        self.stored.set()
        for outcome in outcomes:
            self._on_run(outcome.run)
        return outcomes

    async def watch(self, targets: Sequence[Target]) -> None:
        """These targets are read from now on; the store is told their names with the next answer, or soon."""
        await self.in_store(lambda: self._watch(targets))
        self.stored.set()

    def since(self, target_key: str) -> datetime | None:
        """The newest that is stored of a target."""
        return self._ledger.since.get(target_key)

    async def note(self, runs: Sequence[ScrapeRun]) -> None:
        """Lines for the run log alone."""
        with suppress(Exception):  # the loop goes on without them
            await self.in_store(lambda: self._store.add_scrapes([Scrape(run=run) for run in runs]))
        self.stored.set()
        for run in runs:
            self._on_run(run)

    async def publish(self, force: bool = False) -> None:
        """Drains the inbox and publishes; unless forced, the store decides whether it is worth it and not too soon."""
        try:
            await self.in_store(self._tell_names)
            await self.in_store(self._store.publish_tail)
            for receipt in await self.in_store(self._store.drain_inbox):
                log.info("%s: %s. %s", receipt.file_name, receipt.status, receipt.detail)
            await self.in_store(lambda: self._store.publish(force))
        except Exception:  # readers go on with the snapshot they have, and the next round tries again
            log.exception("publishing failed; readers keep the last snapshot")

    def hurry(self) -> None:
        """What waits now waits no longer for others."""
        self._enough.set()

    async def close(self) -> None:
        """Stores what waits, publishes the rest and ends the thread."""
        self.hurry()
        while self._committing:
            await self._committing
        await self.publish(force=True)
        self._thread.shutdown()

    async def in_store(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _commit(self) -> None:
        """Stores what waits, after giving others the chance to come along, until nothing waits."""
        now = asyncio.get_running_loop().time
        try:
            while self._waiting:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._enough.wait(), self._wait_s())
                self._enough.clear()
                batch, self._waiting = self._waiting, []
                began_s = now()
                outcomes = await self.take([answer for answer, _ in batch])
                self._took_s = now() - began_s
                for (_, waiting), outcome in zip(batch, outcomes, strict=True):
                    if not waiting.done():  # it is when whoever asked was cancelled
                        waiting.set_result(outcome)
        finally:
            self._committing = None

    def _wait_s(self) -> float:
        most_s = self._commit_after_s * COMMIT_AFTER_MOST_RATIO
        return min(max(self._commit_after_s, self._took_s / COMMITTING_FRACTION), most_s)

    # In the store's thread.

    def _take(self, answers: Sequence[Answer]) -> list[Outcome]:
        """What the answers add, stored together. Never raises."""
        found = self._ledger.scrapes(answers)
        scrapes = [scrape for scrape, _ in found]
        self._unnamed |= {row.target_key: row for row in self._ledger.servers(answers, scrapes)}
        self._tell_names()
        outcomes, lost = [], []
        for (scrape, failure), error in zip(found, self._add(scrapes), strict=True):
            run = scrape.run
            if error is None:
                self._ledger.took(scrape)
            else:
                log.error("%s: the scrape was not stored: %s", run.target_key, error)
                said = f"{run.target_key}: not stored: {error}"
                run = replace(run, state="not_stored", rows_count=0, error=said)
                lost.append(Scrape(run=run))
            since = self._ledger.since.get(run.target_key)
            outcomes.append(Outcome(run=run, failure=failure, since=since))
        if lost:
            self._add(lost)
        self._forget(answers)
        return outcomes

    def _add(self, scrapes: Sequence[Scrape]) -> Sequence[Exception | None]:
        """A full disk or a broken file must not end the loop: the next scrape holds it all."""
        try:
            return self._store.add_scrapes(scrapes)
        except Exception as error:
            log.exception("the store took nothing of %d scrapes", len(scrapes))
            return [error] * len(scrapes)

    def _watch(self, targets: Sequence[Target]) -> None:
        self._ledger.watch(targets)
        rows = [row_of(target) for target in targets if target.source_key not in GATEWAYS]
        self._unnamed |= {row.target_key: row for row in rows}

    def _tell_names(self) -> None:
        """Tells the store of servers that it does not know yet; what it does not take it is told again."""
        told = list(self._unnamed.values())
        if told:
            try:
                self._store.name_targets(told)
            except Exception:
                log.exception("the names of %d servers were not stored", len(told))
            else:
                self._ledger.named(told)
                self._unnamed.clear()

    def _forget(self, answers: Sequence[Answer]) -> None:
        now = max((answer.finished_at for answer in answers), default=None)
        if now and (self._forget_at is None or now >= self._forget_at):
            self._forget_at = now + FORGET_EVERY
            self._ledger.forget(now)
