"""What holds for every file in collectors/sources, found by looking, so that a new one is tested when it appears."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import collectors.sources
from collectors.base import CollectContext, FetchFailed, Target
from collectors.sources import COLLECTORS
from costlib.errors import BadRecord

FILES = [path.stem for path in Path(collectors.sources.__file__).parent.glob("[!_]*.py")]
GPU_PAGE = b"""\
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-6ad7",modelName="NVIDIA H100 80GB HBM3"} 97
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-6ad7",modelName="NVIDIA H100 80GB HBM3"} 512.5
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-6ad7",modelName="NVIDIA H100 80GB HBM3"} 123456789
"""
# Sources that answer with one page of text; test_prometheus.py has what it shares with none.
PAGE_SOURCES = ("dcgm", "vllm")


def test_every_file_is_found_and_no_other():
    assert sorted(COLLECTORS) == sorted(FILES)


@pytest.fixture(params=PAGE_SOURCES)
def collector(request):
    return COLLECTORS[request.param]


@pytest.fixture
def body(collector, last_page):
    return {"dcgm": GPU_PAGE, "vllm": last_page}[collector.key]


def read_of(readings):
    return [*readings.pages, *readings.devices]


def test_fetch_returns_the_bytes_as_they_came(collector, ctx):
    class Echo:
        async def get_bytes(self, url, **how):
            return type("Response", (), {"body": f"{url} {how['bearer_token']}".encode()})

    target = Target(key="k", url="http://h/metrics", bearer_token="t")
    assert asyncio.run(collector.fetch(replace(ctx, target=target, http=Echo()))) == b"http://h/metrics t"
    with pytest.raises(FetchFailed):
        asyncio.run(collector.fetch(ctx))


def test_parse_is_pure_and_gives_the_same_again(collector, ctx, body):
    first = collector.parse(body, ctx)
    assert read_of(first), "the page has something to read"
    assert first == collector.parse(body, ctx) == collector.parse(body, replace(ctx, memo={}))
    later = replace(ctx, scraped_at=ctx.scraped_at + timedelta(days=1))
    moved = read_of(collector.parse(body, later))
    assert [replace(page, scraped_at=ctx.scraped_at) for page in moved] == read_of(first)


def test_pages_carry_the_target_and_an_aware_time(collector, ctx, body):
    for page in read_of(collector.parse(body, ctx)):
        assert page.target_key == ctx.target.key
        assert page.scraped_at == ctx.scraped_at and page.scraped_at.tzinfo


def test_a_page_cut_anywhere_is_a_bad_record_or_a_shorter_whole_one(collector, ctx, body):
    """A cut at the end of a line cannot be seen in the page; `http.py` sees it in the length."""
    truth = {page.identity: page.counters for page in read_of(collector.parse(body, ctx))}

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(body) - 1))
    def check(length):
        try:
            pages = read_of(collector.parse(body[:length], ctx))
        except BadRecord:
            return
        assert body[:length].endswith(b"\n")
        for page in pages:
            assert page.counters.items() <= truth[page.identity].items()

    check()


def test_a_target_shows_no_secret(collector):
    shown = repr(CollectContext(target=Target(key="k", url="u", bearer_token="s3cret"), scraped_at=None))
    assert "s3cret" not in shown
