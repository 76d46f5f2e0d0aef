"""S09 to S14, S28 to S31 and S39: whole answers that are no page of metrics, or one that cannot be right."""

import asyncio
from collections.abc import Callable

import pytest

from collectors.base import CollectContext, PageRefused, Target, excerpt
from collectors.sources.vllm import parse
from costlib.telemetry import EnginePage, SampleState, usage_sample
from store.records import ScrapeRun
from tests.collectors.collector_support import FakeTime, MemoryStore, Pages, counting, http_answer, started
from tests.collectors.faults.fault_support import GOOD
from tests.fake_vllm import RELEASES, Exposition, FakeVllm, Life, Rank, exported
from ui import text

Scrape = Callable[..., ScrapeRun]
COUNTER = 'vllm:prompt_tokens_total{model_name="m"}'
OTHER = 'vllm:generation_tokens_total{model_name="m"} 7\n'
LOGIN = b"<!doctype html><html><title>Log in</title><form>\x1b[31m</form></html>"


def pages_of(ctx: CollectContext, page: str | None) -> list[EnginePage]:
    assert page
    return list(parse(page.encode(), ctx).pages)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'vllm:prompt_tokens_total{model_name="\xff"} 1\n', "UTF-8"),
        (b'vllm:prompt_tokens_total{model_name="\xed\xa0\x80"} 1\n', "UTF-8"),  # half of a surrogate pair
        (b'vllm:prompt_tokens_total{model_name="\0"} 1\n', "NUL"),
    ],
)
def test_s09_what_is_not_text_fails_the_scrape(scrape_of: Scrape, store: MemoryStore, body: bytes, says: str) -> None:
    run = scrape_of(http_answer(body))
    assert run.state == "bad_text" and says in str(run.error)
    assert not store.samples


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "gnp\u202e.exe", "a\u200bb", "\x07bell"])
def test_s09_control_and_direction_characters_are_kept_as_data_and_escaped_on_display(
    scrape_of: Scrape, store: MemoryStore, hostile: str
) -> None:
    page = f'vllm:prompt_tokens_total{{model_name="{hostile}"}} 1\n' * 2  # twice, so that the run has to name it
    run = scrape_of(http_answer(page.encode()))
    assert [model for _, model, _ in store.pages] == [hostile]
    shown = [excerpt(hostile), text.plain(hostile), text.label(hostile), text.on_chart(hostile)]
    for said in shown:
        assert said.replace("\u2060", "").isprintable()
    assert run.error and "twice" in run.error


def test_s09_a_hostile_name_is_escaped_in_the_run_log(scrape_of: Scrape) -> None:
    run = scrape_of(http_answer(b'vllm:prompt_tokens_total{model_name="\x1b[31mred"} 1\n' * 2))
    assert str(run.error).isprintable()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400", "-1"])
def test_s10_s11_a_counter_that_stands_at_no_count_is_rejected_and_counted(
    scrape_of: Scrape, store: MemoryStore, value: str
) -> None:
    run = scrape_of(http_answer(f"{COUNTER} {value}\n{OTHER}".encode()))
    assert run.state == "ok" and "1 sample rejected" in str(run.error)
    (page,) = store.pages.values()
    assert page.counters == {"generation_tokens": 7.0}


def test_s10_a_gauge_that_is_no_number_is_rejected(ctx: CollectContext) -> None:
    (page,) = pages_of(ctx, f'{OTHER}vllm:num_requests_running{{model_name="m"}} NaN\n')
    assert "running_count" not in page.gauges and "running_count" in page.remarks


def test_s10_the_last_bound_of_a_histogram_is_infinite_by_right(ctx: CollectContext) -> None:
    (page,) = pages_of(ctx, FakeVllm().page_at(30.0))
    assert page.histograms["ttft_s"].bounds[-1] == float("inf") and not page.remarks


def test_s11_a_rejected_counter_is_compared_with_its_last_good_value_afterwards(
    store: MemoryStore, fake_time: FakeTime
) -> None:
    network = Pages({"u": ""})

    async def main() -> None:
        collection = await started(store, [Target(key="g", url="u")], network, fake_time)
        for number, value in enumerate(("100", "-5", "160")):
            fake_time.elapsed_s = 15.0 * number
            network.said["u"] = f"{COUNTER} {value}\n{OTHER}"
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    assert [sample.counters["prompt_tokens"] for sample in store.samples] == [None, None, 60.0]
    assert [sample.state for sample in store.samples] == [SampleState.FIRST, SampleState.OK, SampleState.OK]


@pytest.mark.parametrize("second", ["5", "6"])
def test_s12_of_a_series_that_is_there_twice_the_first_is_kept_and_the_server_flagged(
    scrape_of: Scrape, store: MemoryStore, second: str
) -> None:
    run = scrape_of(http_answer(f"{COUNTER} 5\n{COUNTER} {second}\n".encode()))
    assert run.state == "ok" and "exposed twice" in str(run.error)
    (page,) = store.pages.values()
    assert page.counters == {"prompt_tokens": 5.0}


@pytest.mark.parametrize(
    "line",
    [
        'vllm:prompt_tokens_total{model_name="m",model_name="n"} 1',
        "vllm:prompt_tokens_total{model_name=m} 1",
        'vllm:prompt_tokens_total{model_name="m} 1',
        'vllm:prompt_tokens_total{model_name="m"} 0x10',
        'vllm:prompt_tokens_total{model_name="m"} 1_0',
        'vllm:prompt_tokens_total{model_name="m"} twelve',
        'vllm:prompt_tokens_total{model_name="m"',
    ],
)
def test_s13_one_line_that_is_no_sample_fails_the_whole_scrape(
    scrape_of: Scrape, store: MemoryStore, line: str
) -> None:
    run = scrape_of(http_answer(f"{OTHER}{line}\n".encode()))
    assert run.state == "bad_syntax" and "text format" in str(run.error)
    assert not store.samples and not store.pages


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (LOGIN, "web page"),
        (b'{"error": "no such model"}\n', "JSON"),
        (b"", "empty"),
        (b"Welcome to the gateway\n", "URL"),
        (b"<html>" + b"x" * 10_000, "web page"),
    ],
)
def test_s14_what_is_no_metrics_page_is_quoted_short_and_harmless(
    scrape_of: Scrape, store: MemoryStore, body: bytes, says: str
) -> None:
    run = scrape_of(http_answer(body))
    assert run.state == "not_metrics" and says in str(run.error)
    assert "\x1b" not in str(run.error) and len(str(run.error)) < 500
    assert not store.samples


def test_s14_metrics_of_something_else_are_told_from_those_of_vllm(scrape_of: Scrape, store: MemoryStore) -> None:
    assert scrape_of(http_answer(b'node_cpu_seconds_total{cpu="0"} 34.0\n')).state == "not_vllm"
    assert not store.samples


# S28: unknown is not zero.


@pytest.mark.parametrize("release", RELEASES)
def test_s28_a_page_tells_what_its_release_exports_and_nothing_else_becomes_a_number(
    ctx: CollectContext, release: str
) -> None:
    exposition = Exposition(release=release, drafted_tokens=3, estimates_flops=True)
    server = FakeVllm(Life(exposition=exposition))
    (page,) = pages_of(ctx, server.page_at(120.0))
    told = {*page.counters, *page.gauges, *page.histograms}
    assert not exported(exposition) - told, "the page tells these, and they were not read"
    truth = server.truth(0.0, 120.0)["fake/llama", "0"]
    assert {name: page.counters[name] for name in page.counters} == {name: truth[name] for name in page.counters}


def test_s28_request_histograms_that_a_release_lost_are_unknown_and_not_zero(ctx: CollectContext) -> None:
    """vLLM 0.6.0 exposed none of them (vllm issue 8178)."""
    server = FakeVllm()
    lost = ("request_", "e2e_", "time_to_first", "inter_token")
    pages = [
        "".join(
            line for line in str(server.page_at(at)).splitlines(keepends=True) if not any(f":{w}" in line for w in lost)
        )
        for at in (30.0, 45.0)
    ]
    first, second = (pages_of(ctx, page)[0] for page in pages)
    sample = usage_sample(first, second, 15.0)
    assert sample.counters["prompt_tokens"] is not None
    assert {sample.counters[name] for name in ("requests_stop_count", "queue_s", "finished_prompt_tokens")} == {None}
    assert sample.histograms["ttft_s"] is None and sample.histograms["e2e_s"] is None


def test_s28_a_server_without_engine_series_is_not_exported(scrape_of: Scrape, store: MemoryStore) -> None:
    page = FakeVllm(Life(exposition=Exposition(logs_stats=False))).page_at(30.0)
    run = scrape_of(http_answer(str(page).encode()))
    assert run.state == "not_exported" and "--disable-log-stats" in str(run.error)
    assert not store.samples and not store.pages


# S29: histograms that contradict themselves.

BUCKETS = {"0.5": "3", "1.0": "5", "+Inf": "8"}


def histogram(buckets: dict[str, str], total: str = "6.5", count: str = "8") -> str:
    name = "vllm:time_to_first_token_seconds"
    lines = [f'{name}_bucket{{le="{bound}",model_name="m"}} {value}' for bound, value in buckets.items()]
    return "\n".join(
        [*lines, f'{name}_sum{{model_name="m"}} {total}', f'{name}_count{{model_name="m"}} {count}', OTHER]
    )


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (histogram({"0.5": "5", "1.0": "3", "+Inf": "8"}), "do not rise"),
        (histogram(BUCKETS, count="9"), "count"),
        (histogram(BUCKETS, total="NaN"), "finite"),
        (histogram({"0.5": "3", "1.0": "5"}), "Inf"),
        (histogram({"0.5": "NaN", "1.0": "5", "+Inf": "8"}), "finite"),
    ],
)
def test_s29_a_histogram_that_contradicts_itself_is_withheld_and_the_rest_is_kept(
    ctx: CollectContext, broken: str, says: str
) -> None:
    (page,) = pages_of(ctx, broken)
    assert "ttft_s" not in page.histograms and says in page.remarks["ttft_s"]
    assert page.counters == {"generation_tokens": 7.0}


def test_s29_the_sum_of_seconds_is_kept_when_only_the_buckets_are_broken(ctx: CollectContext) -> None:
    broken = histogram({"0.5": "5", "1.0": "3", "+Inf": "8"}).replace("time_to_first_token", "request_queue_time")
    (page,) = pages_of(ctx, broken)
    assert page.counters["queue_s"] == 6.5


def test_s29_buckets_that_changed_with_an_upgrade_give_no_quantiles_across_it(ctx: CollectContext) -> None:
    short = FakeVllm(Life(exposition=Exposition(buckets=(0.5, 5.0)))).page_at(30.0)
    long = FakeVllm(Life(exposition=Exposition(buckets=(0.1, 1.0, 10.0)))).page_at(45.0)
    sample = usage_sample(pages_of(ctx, short)[0], pages_of(ctx, long)[0], 15.0)
    assert sample.histograms["ttft_s"] is None
    assert sample.counters["queue_s"] is not None


def test_s30_several_api_servers_are_counted_by_their_counters(ctx: CollectContext) -> None:
    """Their gauges are those of whoever wrote last, and nothing tells when the processes began."""
    exposition = Exposition(is_multi_process=True)
    server = FakeVllm(Life(exposition=exposition, ranks=(Rank(key="0"), Rank(key="1"))))
    truth = server.truth(60.0, 75.0)
    before, after = (pages_of(ctx, server.page_at(at)) for at in (60.0, 75.0))
    for one, other in zip(before, after, strict=True):
        sample = usage_sample(one, other, 15.0)
        assert other.started_at is None
        true = truth[other.model_key, other.engine_key]
        told = exported(exposition) & true.keys()
        assert {name: sample.counters[name] for name in told} == {name: true[name] for name in told}


@pytest.mark.parametrize("count", [2, 300, 5_000])
def test_s31_a_label_that_takes_ever_new_values_is_summed_over_and_told(ctx: CollectContext, count: int) -> None:
    page = "".join(f'vllm:prompt_tokens_total{{model_name="m",request_id="r{n}"}} 2\n' for n in range(count))
    (found,) = pages_of(ctx, page)
    assert found.counters == {"prompt_tokens": 2.0 * count}
    assert f"{count:,} values" in found.remarks["prompt_tokens"] and "request_id" in found.remarks["prompt_tokens"]


@pytest.mark.parametrize(
    ("body", "word", "says"),
    [
        (b"x 1\n" * 20_001, "sample_limit", "20,001"),
        (b'x{l="' + b"v" * 1_025 + b'"} 1\n', "label_limit", "1,024"),
        (b"x{" + b"l" * 129 + b'="v"} 1\n', "label_limit", "128"),
        (b"x{" + b",".join(b'l%d="v"' % n for n in range(101)) + b"} 1\n", "label_limit", "101"),
        (b"".join(b'vllm:prompt_tokens_total{model_name="m%d"} 1\n' % n for n in range(257)), "engine_limit", "257"),
    ],
)
def test_s31_more_than_a_page_may_hold_fails_the_scrape(
    scrape_of: Scrape, store: MemoryStore, body: bytes, word: str, says: str
) -> None:
    run = scrape_of(http_answer(body))
    assert run.state == word and says in str(run.error)
    assert not store.samples


@pytest.mark.parametrize(
    "body",
    [
        GOOD + b"x 1\n" * 19_999,
        GOOD + b'x{l="' + b"v" * 1_024 + b'"} 1\n',
        GOOD + b"x{" + b",".join(b'l%d="v"' % n for n in range(100)) + b"} 1\n",
        b"".join(b'vllm:prompt_tokens_total{model_name="m%d"} 1\n' % n for n in range(256)),
    ],
)
def test_s31_as_much_as_a_page_may_hold_is_read(ctx: CollectContext, body: bytes) -> None:
    assert parse(body, ctx).pages


def test_s31_what_is_remembered_of_series_that_are_gone_is_forgotten(ctx: CollectContext) -> None:
    for scrape in range(20):
        page = "".join(
            f'vllm:prompt_tokens_total{{model_name="m",request_id="{scrape}-{n}"}} 2\n' for n in range(1_000)
        )
        parse(page.encode(), ctx)
    reader = ctx.memo["page"]
    assert len(reader._series) < 5_000  # type: ignore[attr-defined]


# S39: more than any machine can do.


def test_s39_a_counter_that_grows_faster_than_any_engine_is_refused_and_told_until_it_is_believable(
    store: MemoryStore, fake_time: FakeTime
) -> None:
    network = Pages({"u": ""})

    async def main() -> None:
        collection = await started(store, [Target(key="g", url="u")], network, fake_time)
        for number, tokens in enumerate(("100", "1e15", "160")):
            fake_time.elapsed_s = 15.0 * number
            network.said["u"] = counting(tokens)
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    assert [run.state for run in store.runs] == ["ok", "implausible", "ok"]
    assert "1e+15" in str(store.runs[1].error)
    assert store.total("prompt_tokens") == 60


def test_s39_what_a_very_fast_engine_does_is_believed(store: MemoryStore, fake_time: FakeTime) -> None:
    network = Pages({"u": ""})

    async def main() -> None:
        collection = await started(store, [Target(key="g", url="u")], network, fake_time)
        for number, tokens in enumerate(("0", "30000000")):  # two million a second
            fake_time.elapsed_s = 15.0 * number
            network.said["u"] = counting(tokens)
            await collection.scrape_all()
        await collection.close()

    asyncio.run(main())
    assert {run.state for run in store.runs} == {"ok"} and store.total("prompt_tokens") == 3e7


def test_s13_a_page_is_refused_whole_whatever_came_before_the_fault(ctx: CollectContext) -> None:
    with pytest.raises(PageRefused):
        parse(f"{COUNTER} 1\n{OTHER}broken{{ 1\n".encode(), ctx)
