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
# One whole page per source.
PAGES = {"vllm": "a_baseline_preempt"}


def test_every_file_is_found_and_no_other():
    assert sorted(COLLECTORS) == sorted(FILES)


def test_every_source_has_a_page_to_be_tested_on():
    assert set(PAGES) == set(COLLECTORS)


@pytest.fixture(params=sorted(COLLECTORS))
def collector(request):
    return COLLECTORS[request.param]


def test_fetch_returns_the_bytes_as_they_came(collector, ctx):
    class Echo:
        async def get_bytes(self, url, *, bearer_token=None):
            return type("Response", (), {"body": f"{url} {bearer_token}".encode()})

    target = Target(key="k", url="http://h/metrics", bearer_token="t")
    assert asyncio.run(collector.fetch(replace(ctx, target=target, http=Echo()))) == b"http://h/metrics t"
    with pytest.raises(FetchFailed):
        asyncio.run(collector.fetch(ctx))


def test_parse_is_pure_and_gives_the_same_again(collector, ctx, last_page):
    first = collector.parse(last_page, ctx)
    assert first == collector.parse(last_page, ctx) == collector.parse(last_page, replace(ctx, memo={}))
    later = replace(ctx, scraped_at=ctx.scraped_at + timedelta(days=1))
    assert [replace(page, scraped_at=ctx.scraped_at) for page in collector.parse(last_page, later)] == first


def test_pages_carry_the_target_and_an_aware_time(collector, ctx, last_page):
    for page in collector.parse(last_page, ctx):
        assert page.target_key == ctx.target.key
        assert page.scraped_at == ctx.scraped_at and page.scraped_at.tzinfo


def test_a_page_cut_anywhere_is_a_bad_record_or_a_shorter_whole_one(collector, ctx, last_page):
    """A cut at the end of a line cannot be seen in the page; `http.py` sees it in the length."""
    truth = {page.identity: page.counters for page in collector.parse(last_page, ctx)}

    @settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(last_page) - 1))
    def check(length):
        try:
            pages = collector.parse(last_page[:length], ctx)
        except BadRecord:
            return
        assert last_page[:length].endswith(b"\n")
        for page in pages:
            assert page.counters.items() <= truth[page.identity].items()

    check()


def test_a_target_shows_no_secret(collector):
    shown = repr(CollectContext(target=Target(key="k", url="u", bearer_token="s3cret"), scraped_at=None))
    assert "s3cret" not in shown
