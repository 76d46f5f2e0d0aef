"""Fixtures of the collector's tests: recorded pages, a store in memory, and one scrape of a server of any kind."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from collectors.base import CollectContext, Target
from collectors.http import HttpClient, HttpLimits
from collectors.replay import Recording
from store.records import ScrapeRun
from tests.collectors.collector_support import NOON, Answer, FakeTime, MemoryStore, serving, started

CAPTURES = Path(__file__).parents[1] / "captures"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture(scope="session")
def captures() -> Path:
    return CAPTURES


@pytest.fixture(scope="session")
def recording() -> Recording:
    return Recording.load(CAPTURES / "a_baseline_preempt" / "metrics.jsonl.gz")


@pytest.fixture(scope="session")
def last_page(recording: Recording) -> bytes:
    return (recording.pages[-1] or "").encode()


@pytest.fixture
def ctx() -> CollectContext:
    return CollectContext(target=Target(key="gpu-1", url="http://gpu-1:8000/metrics"), scraped_at=NOON)


@pytest.fixture
def scrape_of(store: MemoryStore, fake_time: FakeTime) -> Callable[..., ScrapeRun]:
    """Scrapes a server that answers with `answer` once; what it gave is in `store`."""

    def scrape(answer: bytes | Answer, limits: HttpLimits | None = None, scheme: str = "http") -> ScrapeRun:
        async def main() -> ScrapeRun:
            async with serving(answer, scheme) as url, HttpClient(limits) as http:
                collection = await started(store, [Target(key="gpu-1", url=url)], http, fake_time)
                try:
                    return (await collection.scrape_all())[0]
                finally:
                    await collection.close()

        return asyncio.run(main())

    return scrape
