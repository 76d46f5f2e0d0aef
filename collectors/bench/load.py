"""Runs one stage of load. A closed loop keeps a number of requests under way; an open loop waits for no answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from collectors.bench.lengths import poisson_offsets_s
from collectors.bench.measure import Sent, StageLog
from collectors.bench.prompts import Ask
from collectors.bench.stream import Answer, RequestFailed

BEAT_S = 0.05
SHOWN_EVERY_BEATS = 4
# So many failures without one answer between them, and the stage ends: the server is gone, or refuses us all.
GIVE_UP_COUNT = 30
GIVEN_UP = "nothing but failures"

Send = Callable[[Ask], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands."""

    label: str
    stage_number: int
    stages_count: int
    is_warmup: bool
    done_count: int
    failed_count: int
    in_flight_count: int
    part_fraction: float

    @property
    def text(self) -> str:
        filled = round(20 * min(max(self.part_fraction, 0.0), 1.0))
        what = "warm-up" if self.is_warmup else f"{self.done_count:,} done"
        return (
            f"{self.stage_number}/{self.stages_count} {self.label} [{'#' * filled}{'.' * (20 - filled)}] {what}, "
            f"{self.failed_count:,} failed, {self.in_flight_count:,} under way"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a stage stops sending."""

    requests_count: int | None
    duration_s: float | None

    def allow(self, sent_count: int, elapsed_s: float) -> bool:
        if self.requests_count is not None and sent_count >= self.requests_count:
            return False
        return self.duration_s is None or elapsed_s < self.duration_s

    def part(self, sent_count: int, elapsed_s: float) -> float:
        """How much of the stage is behind us, from 0 to 1."""
        by_count = sent_count / self.requests_count if self.requests_count else 0.0
        by_time = elapsed_s / self.duration_s if self.duration_s else 0.0
        return min(1.0, max(by_count, by_time))


class Stage:
    """One stage: `run` until its limits, a `halt`, or nothing but failures; what happened is in `log`."""

    def __init__(self, log: StageLog, limits: Limits, ask: Callable[[int], Ask], send: Send) -> None:
        self.log = log
        self._limits = limits
        self._ask = ask
        self._send = send
        self._begun_s = 0.0
        self._gave_up = asyncio.Event()

    async def run(self, seed: str, halt: asyncio.Event, on_beat: Callable[["Stage"], None]) -> None:
        self._begun_s = asyncio.get_running_loop().time()
        spec = self.log.spec
        load = self._closed(spec.concurrency) if spec.concurrency else self._open(spec.requests_per_s or 0.0, seed)
        working = asyncio.create_task(load)
        others = [asyncio.create_task(wait) for wait in (halt.wait(), self._gave_up.wait())]
        beat = asyncio.create_task(self._beat(on_beat))
        try:
            await asyncio.wait([working, *others], return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and self._gave_up.is_set():
                self.log.stopped_by = GIVEN_UP
        finally:
            for task in (working, beat, *others):
                task.cancel()
            ends = await asyncio.gather(working, beat, *others, return_exceptions=True)
        faults = [end for end in ends if isinstance(end, Exception)]
        if faults:
            raise faults[0]

    @property
    def part_fraction(self) -> float:
        return self._limits.part(self.log.sent_count, self._elapsed_s())

    async def _closed(self, concurrency: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while self._limits.allow(self.log.sent_count, self._elapsed_s()):
            await self._one(self._next_ask(), late_s=0.0)

    async def _open(self, requests_per_s: float, seed: str) -> None:
        async with asyncio.TaskGroup() as group:
            for due_s in poisson_offsets_s(requests_per_s, seed):
                if not self._limits.allow(self.log.sent_count, due_s):
                    return
                if (wait_s := due_s - self._elapsed_s()) > 0:
                    await asyncio.sleep(wait_s)
                group.create_task(self._one(self._next_ask(), late_s=max(0.0, self._elapsed_s() - due_s)))

    def _next_ask(self) -> Ask:
        """Counts the request as sent at once, so that workers that begin together do not overshoot the limit."""
        self.log.sent_count += 1
        self.log.sending_s = self._elapsed_s()
        return self._ask(self.log.sent_count)

    async def _one(self, ask: Ask, late_s: float) -> None:
        sent_s, answer, failure = self._elapsed_s(), None, None
        try:
            answer = await self._send(ask)
            self.log.failed_in_a_row_count = 0
        except RequestFailed as error:
            failure = error.kind
            self.log.examples.setdefault(error.kind, str(error))
            self.log.failed_in_a_row_count += 1
            if self.log.failed_in_a_row_count >= GIVE_UP_COUNT:
                self._gave_up.set()
        ended_s = self._elapsed_s()
        self.log.ended.append(
            Sent(ask=ask, sent_s=sent_s, ended_s=ended_s, late_s=late_s, answer=answer, failure=failure)
        )

    async def _beat(self, on_beat: Callable[["Stage"], None]) -> None:
        """Shows progress, and notes how late the event loop wakes us: what it delays, it delays in every request."""
        loop, beats = asyncio.get_running_loop(), 0
        due_s = loop.time()
        while True:
            due_s += BEAT_S
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self.log.lags_s.append(max(0.0, loop.time() - due_s))
            beats += 1
            if beats % SHOWN_EVERY_BEATS == 0:
                on_beat(self)

    def _elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self._begun_s
