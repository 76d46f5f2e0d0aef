"""What the collector's tests share besides fixtures: a store in memory, a clock, servers that misbehave on purpose."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from costlib.telemetry import EnginePage, UsageSample
from store.records import ImportReceipt, ScrapeRun

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class MemoryStore:
    """Keeps what a Writer would, and nothing else."""

    pages: dict[tuple[str, str, str], EnginePage] = field(default_factory=dict)
    samples: list[UsageSample] = field(default_factory=list)
    runs: list[ScrapeRun] = field(default_factory=list)
    published: list[bool] = field(default_factory=list)
    broken: bool = False

    def engine_pages(self) -> list[EnginePage]:
        return list(self.pages.values())

    def add_scrape(self, run: ScrapeRun, pages: Sequence[EnginePage], samples: Sequence[UsageSample]) -> None:
        if self.broken:
            raise OSError("no space left on device")
        self.runs.append(run)
        self.samples.extend(samples)
        self.pages |= {page.identity: page for page in pages}

    def add_failed_run(self, run: ScrapeRun) -> None:
        self.runs.append(run)

    def drain_inbox(self) -> list[ImportReceipt]:
        return []

    def publish(self, force: bool = False) -> str | None:
        self.published.append(force)
        return None

    def total(self, counter: str) -> float:
        return sum(sample.counters[counter] or 0.0 for sample in self.samples)


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
