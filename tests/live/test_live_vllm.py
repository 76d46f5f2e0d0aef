"""A real vLLM: what the client was told it used, what the server counted and what Permillion stored are one number."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from collectors.base import CollectContext, Target
from collectors.bench.evidence import report_from
from collectors.sources.vllm import parse
from tests.live.client import Ask, Client, Used, asked
from tests.live.collecting import Collector, Permillion
from tests.live.servers import Prometheus, VllmServer, get

PROMPT, CACHED = "vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total"
OUTPUT, PREEMPTIONS, FINISHED = (
    "vllm:generation_tokens_total", "vllm:num_preemptions_total", "vllm:request_success_total",
)  # fmt: skip
COUNTED_AS = {"prompt_tokens": PROMPT, "cached_prompt_tokens": CACHED, "generation_tokens": OUTPUT}

Counted = dict[str, float]


def text(number: int, length: int) -> str:
    """A prompt that shares no block with those of other numbers."""
    return (f"{number:06d}" * length)[:length]


def mixed(start: int, count: int) -> list[Ask]:
    """Requests of many lengths, every second one streamed, every fourth beginning as the others of its kind do."""
    return [
        Ask(
            prompt="shared " * 16 + text(start + n, 30) if n % 4 == 0 else text(start + n, 20 + 7 * n),
            output_tokens=4 + n % 9,
            is_streamed=n % 2 == 1,
        )
        for n in range(count)
    ]


def used_between(before: Counted, after: Counted) -> Used:
    """What the server counted, in the client's terms."""
    return Used(
        prompt_tokens=int(after[PROMPT] - before[PROMPT]),
        output_tokens=int(after[OUTPUT] - before[OUTPUT]),
        requests_count=int(after[FINISHED] - before[FINISHED]),
    )


def stored(row: dict[str, float]) -> Counted:
    return {name: row[measure] for measure, name in COUNTED_AS.items()}


def increase(before: Counted, after: Counted) -> Counted:
    return {name: after[name] - before[name] for name in COUNTED_AS.values()}


def test_its_page_is_read_without_a_remark(vllm_server: VllmServer) -> None:
    ctx = CollectContext(target=Target(key="live", url=vllm_server.metrics_url), scraped_at=datetime.now(UTC))
    (page,) = parse(get(vllm_server.metrics_url), ctx).pages
    assert (page.model_key, page.engine_key, page.remarks) == (vllm_server.model, "0", {})
    assert page.started_at
    assert {"prompt_tokens", "cached_prompt_tokens", "generation_tokens"} <= page.counters.keys()
    assert "ttft_s" in page.histograms


def test_the_server_counts_what_the_client_was_told_to_the_token(vllm_server: VllmServer, client: Client) -> None:
    asks = mixed(1_000, 24)
    before = vllm_server.counters()
    told = client.send(asks)
    assert told == asked(asks)
    assert used_between(before, vllm_server.counters()) == told


@pytest.fixture(scope="module")
def crowd() -> list[Ask]:
    """More at once than the cache holds: 16 requests of 300 tokens where there is room for 2,048."""
    return [Ask(prompt=text(2_000 + n, 100), output_tokens=200) for n in range(16)]


def test_what_is_stored_is_what_server_and_client_counted(
    vllm_server: VllmServer, client: Client, collecting: Callable[..., Collector], crowd: list[Ask]
) -> None:
    """Under load that queues, shares prefixes and is preempted, through the loop as its user runs it."""
    before = vllm_server.counters()
    with collecting(vllm_server.metrics_url) as collector:
        told = client.send(mixed(3_000, 40)) + client.send(crowd, at_once_count=16)
        after = vllm_server.counters()
        collector.wait_for_scrape()
    assert told == asked(mixed(3_000, 40)) + asked(crowd)
    assert used_between(before, after) == told
    assert after[PREEMPTIONS] > before[PREEMPTIONS], "nothing was preempted: the load is too light to show anything"
    assert after[CACHED] > before[CACHED], "no prefix was shared: the load is not the one that was meant"
    assert stored(collector.usage()) == increase(before, after)


def test_tokens_made_for_a_client_that_hung_up_are_the_servers_to_count(
    vllm_server: VllmServer, client: Client, collecting: Callable[..., Collector]
) -> None:
    asks = [Ask(prompt=text(4_000 + n, 50), output_tokens=300, hang_up_after_count=3) for n in range(6)]
    before = vllm_server.counters()
    with collecting(vllm_server.metrics_url) as collector:
        told = client.send(asks)
        after = vllm_server.counters()
        collector.wait_for_scrape()
    assert told == Used(), "nobody stayed for the usage"
    assert 0 < after[OUTPUT] - before[OUTPUT] <= asked(asks).output_tokens
    assert after[PROMPT] - before[PROMPT] == asked(asks).prompt_tokens
    assert stored(collector.usage()) == increase(before, after)


@pytest.mark.parametrize("load", [("--concurrency", "4"), ("--rate", "8")], ids=["closed loop", "open loop"])
def test_our_bench_counts_what_the_server_counted_and_permillion_stored(
    vllm_server: VllmServer, permillion: Permillion, collecting: Callable[..., Collector], load: tuple[str, str]
) -> None:
    """Everything it sent, its probes and its warm-up included."""
    before = vllm_server.counters()
    with collecting(vllm_server.metrics_url) as collector:
        said = permillion.says(
            "bench", vllm_server.url, "--json", *load, "--requests", "24", "--input", "60-200", "--output", "5-40"
        )
        after = vllm_server.counters()
        collector.wait_for_scrape()
    report = report_from(said)
    (stage,) = report.stages
    told = report.everything
    assert report.is_complete and (stage.done_count, stage.failures) == (24, {})
    assert told.sent_count == told.done_count > stage.sent_count + stage.warmup_count
    assert used_between(before, after) == Used(
        prompt_tokens=told.input_tokens, output_tokens=told.output_tokens, requests_count=told.done_count
    )
    row = collector.usage()
    assert stored(row) == increase(before, after)
    assert row["requests_stop_count"] + row["requests_length_count"] == told.done_count


def test_through_a_real_prometheus_all_is_read_back_that_the_server_counted(
    vllm_server: VllmServer, client: Client, prometheus_for: Callable[..., Prometheus], permillion: Permillion
) -> None:
    before = vllm_server.counters()
    prometheus = prometheus_for(vllm_server.metrics_url, every="1s")
    (first,) = prometheus.wait_for_samples(OUTPUT, 1)
    told = client.send(mixed(5_000, 24))
    after = vllm_server.counters()
    prometheus.wait_for_scrape(OUTPUT, time.time())
    assert used_between(before, after) == told == asked(mixed(5_000, 24))
    assert first.values[0] == before[OUTPUT]
    for name in COUNTED_AS.values():
        (series,) = prometheus.raw(name)
        assert series.labels["model_name"] == vllm_server.model
        assert list(series.values) == sorted(series.values)
        assert (series.values[0], series.values[-1]) == (before[name], after[name])
    permillion.configure(prometheus.as_source)
    permillion.says("collect", "--once")
    assert stored(permillion.usage(per="model")[vllm_server.model]) == increase(before, after)


def test_a_restart_loses_at_most_one_interval_and_never_adds(
    vllm_server: VllmServer, client: Client, collecting: Callable[..., Collector]
) -> None:
    """The last in this file, because it begins every counter again."""
    before = vllm_server.counters()
    with collecting(vllm_server.metrics_url, every="2s") as collector:
        client.send(mixed(6_000, 24))
        seen = vllm_server.counters()
        collector.wait_for_scrape()
        client.send(mixed(7_000, 8))
        last = vllm_server.counters()
        vllm_server.restart()
        told = client.send(mixed(8_000, 16))
        after = vllm_server.counters()
        collector.wait_for_scrape()
    assert told == asked(mixed(8_000, 16))
    assert after[OUTPUT] == told.output_tokens, "the server did not begin at 0"
    kept = stored(collector.usage())
    for name in COUNTED_AS.values():
        least = seen[name] - before[name] + after[name]
        most = last[name] - before[name] + after[name]
        assert least <= kept[name] <= most, f"{name}: {kept[name]:g} is not from {least:g} to {most:g}"
