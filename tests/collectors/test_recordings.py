"""Real vLLM servers, recorded and served again: what they counted is what is stored, to the token."""

import asyncio
import gzip
import json
import urllib.error
import urllib.request
from datetime import timedelta

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.addresses import target_from_url
from collectors.base import CollectContext
from collectors.http import HttpClient
from collectors.replay import Recording, ReplayServer
from collectors.run import Collection
from collectors.sources.vllm import parse
from costlib.errors import ConfigError
from costlib.measures import ACCEPTED_AT, COUNTERS
from costlib.telemetry import SampleState
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer
from tests.collectors.collector_support import NOON

EVERY_S = 5.0

# What the server had counted in the end, beginning at 0.
LAST = {
    "prompt_tokens": 63_162,
    "cached_prompt_tokens": 32_928,
    "generation_tokens": 21_943,
    "preemptions_count": 95,
}
# By other eyes than ours: the series behind our counters, as the library reads them.
EXPOSED = {
    "prompt_tokens": "vllm:prompt_tokens_total",
    "computed_prompt_tokens": "vllm:prompt_tokens_by_source_total local_compute",
    "cached_prompt_tokens": "vllm:prompt_tokens_cached_total",
    "generation_tokens": "vllm:generation_tokens_total",
    "requests_stop_count": "vllm:request_success_total stop",
    "requests_length_count": "vllm:request_success_total length",
    "requests_abort_count": "vllm:request_success_total abort",
    "requests_error_count": "vllm:request_success_total error",
    "requests_repetition_count": "vllm:request_success_total repetition",
    "finished_prompt_tokens": "vllm:request_prompt_tokens_sum",
    "finished_generation_tokens": "vllm:request_generation_tokens_sum",
    "prefix_queries_tokens": "vllm:prefix_cache_queries_total",
    "prefix_hits_tokens": "vllm:prefix_cache_hits_total",
    "external_hits_tokens": "vllm:external_prefix_cache_hits_total",
    "steps_count": "vllm:iteration_tokens_total_count",
    "step_tokens": "vllm:iteration_tokens_total_sum",
    "preemptions_count": "vllm:num_preemptions_total",
    "queue_s": "vllm:request_queue_time_seconds_sum",
    "prefill_s": "vllm:request_prefill_time_seconds_sum",
    "decode_s": "vllm:request_decode_time_seconds_sum",
    "inference_s": "vllm:request_inference_time_seconds_sum",
    "estimated_flop": "vllm:estimated_flops_per_gpu_total",
    "estimated_read_bytes": "vllm:estimated_read_bytes_per_gpu_total",
    "estimated_write_bytes": "vllm:estimated_write_bytes_per_gpu_total",
    "drafts_count": "vllm:spec_decode_num_drafts_total",
    "draft_tokens": "vllm:spec_decode_num_draft_tokens_total",
    "accepted_tokens": "vllm:spec_decode_num_accepted_tokens_total",
    **{
        measure: f"vllm:spec_decode_num_accepted_tokens_per_pos_total {place}"
        for place, measure in enumerate(ACCEPTED_AT)
    },
}
# What tells series of one name apart.
TOLD_BY = ("source", "finished_reason", "position")


def counted(page):
    """The counters of a page as the library reads them; those that it does not have are not there."""
    values = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            told = [sample.labels[label] for label in TOLD_BY if label in sample.labels]
            values[" ".join((sample.name, *told))] = sample.value
    return {measure: values[name] for measure, name in EXPOSED.items() if name in values}


async def scrape_until(store, url, clock, until_s, every_s=EVERY_S):
    """One collector, from now to `until_s` of the recording."""
    async with HttpClient() as http:
        collection = Collection(store, [target_from_url(url, {})], http, clock=clock, every_s=every_s)
        while clock.elapsed_s <= until_s:
            await collection.scrape_all()
            clock.elapsed_s += every_s
        await collection.close()


def replayed(play, clock):
    return ReplayServer({"/metrics": play}, clock=lambda: clock.elapsed_s)


def test_the_recording_is_the_one_its_readme_describes(recording):
    first, last = counted(recording.pages[0]), counted(recording.pages[-1])
    assert {measure: first[measure] for measure in LAST} == dict.fromkeys(LAST, 0)
    assert {measure: last[measure] for measure in LAST} == LAST
    assert len(recording.pages) == 57 and recording.pages.count(None) == 1


@pytest.mark.parametrize("folder", ["a_baseline_preempt", "b_spec_ngram"])
def test_from_first_to_last_scrape_exactly_what_the_engine_counted(folder, captures, store, fake_time):
    recording = Recording.load(captures / folder / "metrics.jsonl.gz")
    with replayed(recording.play(), fake_time) as server:
        asyncio.run(scrape_until(store, server.urls[0], fake_time, recording.duration_s + EVERY_S))
    first, last = counted(recording.pages[0]), counted(recording.pages[-1])
    assert {run.state for run in store.runs} == {"ok", "dropped"}
    told = {name for sample in store.samples for name, value in sample.counters.items() if value is not None}
    assert told == last.keys(), "a counter of the page is not read, or one is made up"
    for measure in told:
        assert store.total(measure) == pytest.approx(last[measure] - first[measure], abs=1e-6, rel=1e-12), measure
    assert not any((sample.counters[name] or 0) < 0 for sample in store.samples for name in COUNTERS)


def test_the_baseline_counts_what_its_clients_and_its_log_say(recording, store, fake_time):
    with replayed(recording.play(), fake_time) as server:
        asyncio.run(scrape_until(store, server.urls[0], fake_time, recording.duration_s + EVERY_S))
    assert {measure: store.total(measure) for measure in LAST} == LAST
    ttft = [sample.histograms["ttft_s"] for sample in store.samples if sample.histograms["ttft_s"]]
    assert sum(histogram.count for histogram in ttft) == 487


def test_speculation_counts_its_drafts_and_what_was_accepted_at_each_place(captures, store, fake_time):
    """4,887 drafts, of whose 18,188 tokens every one was accepted; the figures are those of the recording's README."""
    recording = Recording.load(captures / "b_spec_ngram" / "metrics.jsonl.gz")
    with replayed(recording.play(), fake_time) as server:
        asyncio.run(scrape_until(store, server.urls[0], fake_time, recording.duration_s + EVERY_S))
    totals = [store.total(measure) for measure in ("drafts_count", "draft_tokens", "accepted_tokens")]
    assert totals == [4_887, 18_188, 18_188]
    by_place = [store.total(measure) for measure in ACCEPTED_AT]
    assert sum(by_place) == 18_188 and by_place[4:] == [0.0] * 12
    assert by_place[0] == 4_887 and by_place == sorted(by_place, reverse=True)


def test_the_same_when_the_collector_is_restarted_on_the_way(recording, fake_time, tmp_path):
    """Three collectors, one after the other, on one home; the second stops for half a minute before the third."""
    home = Home(tmp_path)
    with replayed(recording.play(), fake_time) as server:
        for until_s, away_s in ((95.0, 0.0), (200.0, 25.0), (recording.duration_s + EVERY_S, 0.0)):
            with Writer.open(home, clock=fake_time) as writer:
                asyncio.run(scrape_until(writer, server.urls[0], fake_time, until_s, every_s=10.0))
            fake_time.elapsed_s += away_s
    snapshot = open_snapshot(home)
    assert snapshot
    minutes = snapshot.usage(NOON, NOON + timedelta(minutes=10), "minute")
    assert {measure: minutes[measure].sum() for measure in LAST} == LAST
    # From the first scrape at 0 s to the last at 285 s, without the gap that the second collector left at 200 s.
    assert minutes["coverage_s"].sum() == 285 - 35


def test_a_recording_that_starts_again_is_an_engine_that_restarted(recording, store, fake_time):
    """Three passes: each loses only what was counted between its last scrape and its end, here nothing."""
    with replayed(recording.play(loop=True), fake_time) as server:
        asyncio.run(scrape_until(store, server.urls[0], fake_time, 3 * recording.duration_s - EVERY_S))
    assert [sample.state for sample in store.samples].count(SampleState.RESET) == 2
    assert store.total("preemptions_count") == 3 * 95


def test_an_engine_that_crashed_ends_in_a_typed_gap_and_in_no_zero(captures, tmp_path, fake_time):
    recording = Recording.load(captures / "d_engine_crash" / "metrics.jsonl.gz")
    home = Home(tmp_path)
    with replayed(recording.play(), fake_time) as server, Writer.open(home, clock=fake_time) as writer:
        asyncio.run(scrape_until(writer, server.urls[0], fake_time, recording.duration_s))
        (key,) = {page.target_key for page in writer.engine_pages()}
    with open_snapshot(home) as snapshot:
        runs = snapshot.runs().query("kind == 'scrape'").sort_values("started_at")
        whole = snapshot.windows(NOON, NOON + timedelta(minutes=5), "total", "target")
        (server_now,) = snapshot.targets().to_dict("records")
    states = list(runs["state"])
    good = states.index("dropped")
    assert good > 0 and set(states[:good]) == {"ok"} and set(states[good:]) == {"dropped"}
    (row,) = whole.to_dict("records")
    assert (row["state"], row["target_key"]) == ("gap", key)
    assert "closed the connection" in row["why"]
    assert row["observed_s"] < recording.duration_s and row["samples_count"] == good
    assert server_now["last_error"]


@pytest.fixture
def without_log_stats(captures, tmp_path, fake_time):
    """A snapshot of a home whose only server was started with --disable-log-stats."""
    page = (captures / "e_disable_log_stats" / "metrics_disable_log_stats.prom").read_text()
    home = Home(tmp_path)
    with replayed(lambda elapsed_s: page, fake_time) as server, Writer.open(home, clock=fake_time) as writer:
        asyncio.run(scrape_until(writer, server.urls[0], fake_time, 30.0))
        assert not writer.engine_pages()
    with open_snapshot(home) as snapshot:
        yield snapshot


def test_of_a_server_without_log_stats_every_figure_is_unknown_and_none_is_zero(without_log_stats):
    (row,) = without_log_stats.windows(NOON, NOON + timedelta(minutes=5), "total", "target").to_dict("records")
    assert "--disable-log-stats" in row["why"] and pd.isna(row["model_key"])
    figures = {name: value for name, value in row.items() if name in {*COUNTERS, "total_tokens", "requests_count"}}
    assert len(figures) == len(COUNTERS) + 2
    assert all(pd.isna(value) for value in figures.values()), "unknown is not zero"
    assert set(without_log_stats.runs().query("kind == 'scrape'")["state"]) == {"not_exported"}


def test_a_server_without_log_stats_is_not_exported(without_log_stats):
    (row,) = without_log_stats.windows(NOON, NOON + timedelta(minutes=5), "total", "target").to_dict("records")
    assert row["state"] == "not_exported"


def test_every_recorded_page_is_read_without_a_remark(captures, ctx: CollectContext):
    for folder in ("a_baseline_preempt", "b_spec_ngram", "d_engine_crash"):
        for page in Recording.load(captures / folder / "metrics.jsonl.gz").pages:
            if page:
                assert [(p.engine_key, p.remarks) for p in parse(page.encode(), ctx).pages] == [("0", {})]


class TestReplay:
    def test_shows_the_page_scraped_last_and_holds_the_final_one(self):
        recording = Recording(offsets_s=(0.0, 5.0, 10.0), pages=("a", None, "b"))
        assert [recording.page_at(at) for at in (-1, 0, 4.9, 5, 10, 1e6)] == [None, "a", "a", None, "b", "b"]
        assert [recording.play(speed=10)(at) for at in (0.4, 0.5, 1.0)] == ["a", None, "b"]
        assert [recording.play(loop=True)(at) for at in (9, 10, 19, 1e6 + 1)] == [None, "a", None, "a"]

    def test_serves_several_pages_and_knows_their_urls(self):
        pages = {"/llama/metrics": lambda elapsed_s: "a 1\n", "/qwen/metrics": lambda elapsed_s: f"b {elapsed_s}\n"}
        with ReplayServer(pages, clock=lambda: 7.0) as server:
            said = [urllib.request.urlopen(url).read() for url in server.urls]
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(server.url + "/metrics")
        assert said == [b"a 1\n", b"b 0.0\n"]

    def test_says_when_its_port_is_taken(self):
        pages = {"/metrics": lambda elapsed_s: ""}
        with ReplayServer(pages) as first, pytest.raises(ConfigError, match="another port"):
            ReplayServer(pages, port=int(first.url.rpartition(":")[2])).__enter__()

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"not gzip", "gzipped"),
            (gzip.compress(b'{"ts": 1, "text": "a"}\nnot json\n'), "line 2"),
            (gzip.compress(json.dumps({"text": "a"}).encode()), "ts"),
            (gzip.compress(b""), "no scrape"),
            (gzip.compress(b'{"ts": 1, "text": "a"}\n')[:-9], "gzipped"),
        ],
    )
    def test_a_file_that_is_no_recording_is_named(self, tmp_path, content, says):
        path = tmp_path / "metrics.jsonl.gz"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=says) as caught:
            Recording.load(path)
        assert str(path) in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match=r"nothing\.gz"):
            Recording.load(tmp_path / "nothing.gz")

    @pytest.mark.parametrize("speed", [0, -1, float("nan")])
    def test_time_only_runs_forward(self, recording, speed):
        with pytest.raises(ConfigError, match="above 0"):
            recording.play(speed=speed)
