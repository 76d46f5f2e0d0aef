"""Hundreds of servers fetched, parsed and stored, beside bare aiohttp fetching the same pages; and memory over time.

PERMILLION_BENCH_WHOLE=1 runs the memory cycles whole: 1,000 instead of 300.
"""

import asyncio
import gc
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Self

import aiohttp
import numpy as np

from benchmarks._fleet import EVERY_S, STEPS_COUNT, fleet, server
from collectors.base import Target
from collectors.http import HttpClient
from collectors.run import CONCURRENT_SCRAPES_COUNT, Collection
from costlib.units import MEBI
from store.engine import WRITER_MEMORY
from store.home import Home
from store.writer import Writer
from tests.fake_vllm import EPOCH, FakeVllm

TARGETS_COUNT = 500
MEMORY_TARGETS_COUNT = 30
CYCLES_COUNT, WHOLE_CYCLES_COUNT = 300, 1_000
# The writer spends at most this much of its time on the tail and on the snapshot together.
PUBLISHING_FRACTION = 0.08
# Before memory is first looked at: caches are filled, the first roll-ups and snapshots made.
WARM_CYCLES_COUNT = 150


@dataclass
class Took:
    """Wall and CPU seconds of each round."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    async def of(self, call: Callable[[], Awaitable[object]]) -> None:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await call()
        self.wall_s.append(time.perf_counter() - wall_s)
        self.cpu_s.append(time.process_time() - cpu_s)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, fleet(TARGETS_COUNT) as urls:
        asyncio.run(_compare(urls, Home(Path(folder))))
    gc.collect()  # what is left of that is not to be counted below
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_memory(Home(Path(folder))))


async def _compare(urls: list[str], home: Home) -> None:
    """Rounds of both, in turn, so that what else this machine does hits both alike."""
    bare, ours, first, tail, snapshot = Took(), Took(), Took(), Took(), Took()
    began = datetime.now(EPOCH.tzinfo)
    elapsed_s = 0.0

    def clock() -> datetime:
        return began + timedelta(seconds=elapsed_s)

    targets = [Target(key=f"gpu-{number}", url=url) for number, url in enumerate(urls)]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENT_SCRAPES_COUNT)) as session:

        async def fetch(url: str) -> int:
            async with session.get(url) as response:
                return len(await response.read())

        sizes = await asyncio.gather(*map(fetch, urls))
        with Writer.open(home, clock) as writer:
            async with HttpClient() as http:
                collection = Collection(writer, targets, http, clock=clock, every_s=EVERY_S)
                await first.of(collection.scrape_all)
                for _ in range(1, STEPS_COUNT):
                    elapsed_s += EVERY_S
                    await bare.of(lambda: asyncio.gather(*map(fetch, urls)))
                    await ours.of(collection.scrape_all)
                    await tail.of(lambda: asyncio.to_thread(writer.publish_tail, True))
                elapsed_s += EVERY_S
                await snapshot.of(lambda: asyncio.to_thread(writer.publish, True))
                runs = await collection.scrape_all()
                await collection.close()
    failed = [run.error for run in runs if run.state != "ok"]
    if failed:
        print(f"{len(failed)} of {len(runs)} scrapes failed, so nothing here can be trusted: {failed[0]}")
        return
    print(f"{len(urls)} servers, {median(sizes):,.0f} bytes a page; medians of {STEPS_COUNT - 1} rounds")
    print(f"{'':<52}{'wall s':>8} {'x':>5} {'CPU s':>8} {'x':>5}")
    for name, took in (
        ("yardstick: aiohttp, fetched and unpacked", bare),
        ("ours: fetched, parsed, counted and stored", ours),
        ("ours, the first round", first),
        ("ours, publishing the last minutes (now and then)", tail),
        ("ours, publishing the whole snapshot (seldom)", snapshot),
    ):
        wall_s, cpu_s = median(took.wall_s), median(took.cpu_s)
        ratios = wall_s / median(bare.wall_s), cpu_s / median(bare.cpu_s)
        print(f"{name:<52}{wall_s:8.2f} {ratios[0]:5.1f} {cpu_s:8.2f} {ratios[1]:5.1f}")
    held = len(urls) * EVERY_S * (1 - PUBLISHING_FRACTION) / median(ours.cpu_s)
    print(f"by CPU time, one core holds {held:,.0f} servers at {EVERY_S:g} s beside publishing")


@dataclass
class _Offline:
    """The network without one: the page of a server at the moment of the clock."""

    servers: dict[str, FakeVllm]
    elapsed_s: Callable[[], float]
    body: bytes = b""

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> Self:
        self.body = str(self.servers[url].page_at(self.elapsed_s())).encode()
        return self


async def _memory(home: Home) -> None:
    cycles = WHOLE_CYCLES_COUNT if os.environ.get("PERMILLION_BENCH_WHOLE") else CYCLES_COUNT
    elapsed_s = 0.0

    def clock() -> datetime:
        return EPOCH + timedelta(seconds=elapsed_s)

    lasts_s = (cycles + 1) * EVERY_S
    servers = {f"u{number}": server(number, lasts_s) for number in range(MEMORY_TARGETS_COUNT)}
    targets = [Target(key=f"gpu-{number}", url=f"u{number}") for number in range(MEMORY_TARGETS_COUNT)]
    found: list[tuple[int, float, int]] = []
    with Writer.open(home, clock) as writer:
        collection = Collection(writer, targets, _Offline(servers, lambda: elapsed_s), clock=clock, every_s=EVERY_S)
        for cycle in range(cycles):
            elapsed_s = cycle * EVERY_S
            await collection.scrape_all()
            await collection.publish()
            if cycle >= WARM_CYCLES_COUNT and (cycle - WARM_CYCLES_COUNT) % 10 == 0:
                found.append((cycle, _resident_mebibytes(), sys.getallocatedblocks()))
        await collection.close()
    cycle, resident, blocks = np.array(found).T
    half = len(found) // 2
    per_hundred_mebi, per_hundred_blocks = (
        100 * np.polyfit(cycle[half:], values[half:], 1)[0] for values in (resident, blocks)
    )
    print(f"memory, {MEMORY_TARGETS_COUNT} servers, cycles {cycle[0]:.0f} to {cycle[-1]:.0f}, every tenth looked at;")
    print("where the second half tends, in 100 cycles:")
    print(
        f"Python's own memory: {blocks[0]:,.0f} blocks, at the end {blocks[-1]:,.0f} ({per_hundred_blocks:+,.0f}); "
        "a leak of ours shows here"
    )
    print(
        f"the whole process: {min(resident):.0f} to {max(resident):.0f} MiB ({per_hundred_mebi:+.1f}), of which DuckDB "
        f"holds what it likes, up to {WRITER_MEMORY}; with the store closed {_resident_mebibytes():.0f} MiB"
    )


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBI
