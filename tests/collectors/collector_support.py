"""What the collector's tests share besides fixtures: a store in memory, a clock, servers that misbehave on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from collectors.base import FetchFailed
from collectors.run import Collection
from costlib.devices import DevicePage, DeviceSample
from costlib.history import HistoryIncreases
from costlib.telemetry import EnginePage, UsageSample
from store.records import ImportReceipt, Scrape, ScrapeRun, TargetRow

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class MemoryStore:
    """Keeps what a Writer would, and nothing else."""

    pages: dict[tuple[str, str, str], EnginePage] = field(default_factory=dict)
    devices: dict[tuple[str, str], DevicePage] = field(default_factory=dict)
    samples: list[UsageSample] = field(default_factory=list)
    histories: list[HistoryIncreases] = field(default_factory=list)
    device_samples: list[DeviceSample] = field(default_factory=list)
    runs: list[ScrapeRun] = field(default_factory=list)
    targets: dict[str, TargetRow] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)  # how many scrapes came together
    published: list[bool] = field(default_factory=list)
    tails_count: int = 0
    broken: bool = False  # as a full disk: nothing but a line in the run log is taken
    refuses: set[str] = field(default_factory=set)  # targets of which nothing is taken

    def engine_pages(self) -> list[EnginePage]:
        return list(self.pages.values())

    def device_pages(self) -> list[DevicePage]:
        return list(self.devices.values())

    def add_scrapes(self, scrapes: Sequence[Scrape]) -> list[Exception | None]:
        self.batches.append(len(scrapes))
        return [self._add(scrape) for scrape in scrapes]

    def _add(self, scrape: Scrape) -> Exception | None:
        has_content = scrape.pages or scrape.devices
        if has_content and (self.broken or scrape.run.target_key in self.refuses):
            return OSError("no space left on device")
        self.runs.append(scrape.run)
        self.samples += scrape.samples
        self.histories += scrape.histories
        self.device_samples += scrape.device_samples
        self.pages |= {page.identity: page for page in scrape.pages}
        self.devices |= {page.identity: page for page in scrape.devices}
        return None

    def name_targets(self, rows: Sequence[TargetRow]) -> None:
        self.targets |= {row.target_key: row for row in rows}

    def drain_inbox(self) -> list[ImportReceipt]:
        return []

    def publish(self, force: bool = False) -> str | None:
        self.published.append(force)
        return None

    def publish_tail(self) -> str | None:
        self.tails_count += 1
        return None

    def total(self, counter: str) -> float:
        """All that was counted, by whatever path."""
        scraped = sum(sample.counters[counter] or 0.0 for sample in self.samples)
        read = sum(float(np.nansum(item.counters[counter])) for item in self.histories if counter in item.counters)
        return scraped + read


@dataclass
class Pages:
    """A network of pages: for each address what it says, an error, or how long it takes to say nothing."""

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
    """A page of one engine that has counted so many prompt tokens since it started."""
    return f'process_start_time_seconds {started}\nvllm:prompt_tokens_total{{model_name="m"}} {tokens}\n'


async def started(store, targets, http, clock, **settings):
    """A collection as `collect` makes it, within an event loop."""
    return Collection(store, targets, http, clock=clock, **settings)


@dataclass
class FakeTime:
    """A clock that moves when the test says so."""

    elapsed_s: float = 0.0

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=self.elapsed_s)


def http_answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer, closed after it, with the right length unless a header says otherwise."""
    if not any(header.startswith(("Content-Length", "Transfer-Encoding")) for header in headers):
        headers = (*headers, f"Content-Length: {len(body)}")
    head = [f"HTTP/1.1 {status}", "Content-Type: text/plain", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def saying(answer: bytes) -> Answer:
    """A server that reads a request, says `answer` and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return serve


@asynccontextmanager
async def serving(answer: bytes | Answer, scheme: str = "http") -> AsyncIterator[str]:
    """A loopback server that treats every connection as `answer` says; yields its URL."""
    say = saying(answer) if isinstance(answer, bytes) else answer

    open_connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_connections.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):  # the client has gone
            await say(reader, writer)
        writer.close()
        with suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
        open_connections.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics"
    finally:
        server.close()
        for task in open_connections:
            task.cancel()
        await asyncio.gather(*open_connections)
