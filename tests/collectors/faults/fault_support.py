"""What the fault tests share: one GET, several targets at once, servers with TLS, and how much memory it took."""

import asyncio
import gzip
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from collectors.base import FetchFailed, Http, ScrapeFailure, Target, TargetRefused
from collectors.http import HttpClient, HttpLimits
from store.records import ScrapeRun
from tests.collectors.collector_support import FakeTime, MemoryStore, http_answer, started

QUICK = HttpLimits(connect_s=0.2, idle_s=0.15, total_s=0.4)
GOOD = b'vllm:prompt_tokens_total{engine="0",model_name="m"} 5.0\n'
CERTIFICATES = Path(__file__).parent / "certificates"


def failure_of(url: str, **how: str) -> ScrapeFailure:
    """Why this address gives nothing."""

    async def main() -> ScrapeFailure:
        async with HttpClient(QUICK) as http:
            with pytest.raises((FetchFailed, TargetRefused)) as caught:
                await http.get_bytes(url, **how)
        return caught.value

    return asyncio.run(main())


async def scraped(
    store: MemoryStore, clock: FakeTime, http: Http, targets: Sequence[Target], at_s: Sequence[float]
) -> list[ScrapeRun]:
    """One collector that scrapes all targets at each of these moments."""
    collection = await started(store, targets, http, clock)
    runs: list[ScrapeRun] = []
    for clock.elapsed_s in at_s:
        runs += await collection.scrape_all()
    await collection.close()
    return runs


def gzipped(body: bytes) -> bytes:
    return http_answer(gzip.compress(body), "Content-Encoding: gzip")


def server_context(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    return context


@contextmanager
def serving_tls(context: ssl.SSLContext) -> Iterator[str]:
    """A loopback server that serves GOOD over TLS; yields its URL.

    In a thread, with blocking sockets: asyncio's own server drops the connection without saying what is wrong.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    answer(listener.accept()[0])

        def answer(plain: socket.socket) -> None:
            plain.settimeout(1.0)
            with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as connection:
                connection.recv(65_536)
                connection.sendall(http_answer(GOOD))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}/metrics"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@contextmanager
def memory_at_most(mebibytes: float) -> Iterator[None]:
    """Fails when what Python allocates within it ever exceeds this."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < mebibytes, f"{peak:.1f} MiB at its peak, and {mebibytes} are allowed"
