"""What engines say of themselves is kept each time it changes, and only then."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from collectors.demo import sample_file
from collectors.sample import usage_hours
from collectors.sample_latency import BOUNDS
from costlib.history import EngineHistory, increases
from store.detected import changes_of
from store.home import Home
from store.read import open_snapshot
from store.records import BackfillJob, Scrape, TargetRow
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, at, page, run

FP16, FP8 = {"cache_dtype": "auto", "block_size": "16"}, {"cache_dtype": "fp8", "block_size": "16"}


def told(writer: Writer, *facts: dict[str, str], every_s: float = 15.0, stream: str = "live", **of) -> None:
    """One page after another, which say this."""
    for place, said in enumerate(facts):
        moment = at(every_s * place)
        add(writer, run(moment), [page(moment, facts=said, **of)], stream=stream)


def changes(home: Home, writer: Writer, *window) -> list[list]:
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        found = snapshot.changes(*(window or ALWAYS))
    return found[["changed_at", "fact", "before", "after"]].values.tolist()


def test_one_row_per_fact_that_differs_at_the_scrape_that_first_said_so(home: Home, writer: Writer) -> None:
    told(writer, FP16, FP16, {"cache_dtype": "fp8", "block_size": "32"}, {"cache_dtype": "fp8", "block_size": "32"})
    assert changes(home, writer) == [[at(30), "block_size", "16", "32"], [at(30), "cache_dtype", "auto", "fp8"]]


def test_the_first_page_of_an_engine_is_no_change(home: Home, writer: Writer) -> None:
    told(writer, FP16)
    told(writer, FP8, engine_key="1")
    told(writer, FP8, target_key="gpu-2")
    assert changes(home, writer) == []


def test_what_appears_or_vanishes_has_nothing_on_that_side(home: Home, writer: Writer) -> None:
    told(writer, FP16, {"cache_dtype": "auto", "max_lora": "4"})
    assert changes(home, writer) == [[at(15), "block_size", "16", None], [at(15), "max_lora", None, "4"]]


def test_a_page_that_says_nothing_of_itself_is_no_change_nor_is_the_one_after_it(home: Home, writer: Writer) -> None:
    """So it is when an engine is read by way of a Prometheus for a while."""
    told(writer, FP16, {}, FP16)
    assert changes(home, writer) == []


def test_pages_stored_together_are_compared_one_after_another(home: Home, writer: Writer) -> None:
    scrapes = [
        Scrape(run=run(at(15 * n)), pages=[page(at(15 * n), facts=said)]) for n, said in enumerate((FP16, FP8, FP16))
    ]
    assert writer.add_scrapes(scrapes) == [None, None, None]
    assert changes(home, writer) == [[at(15), "cache_dtype", "auto", "fp8"], [at(30), "cache_dtype", "fp8", "auto"]]


def test_a_change_is_seen_after_the_collector_was_away(home: Home, writer: Writer) -> None:
    told(writer, FP16, FP8, every_s=3 * 86_400)
    assert len(changes(home, writer)) == 1


def test_history_that_is_read_back_changes_nothing(home: Home, writer: Writer) -> None:
    """Its pages are in a stream of their own, and what they say is not of now."""
    told(writer, FP8)
    job = BackfillJob(source_key="p", from_at=NOON - timedelta(days=1), to_at=NOON, done_to=NOON)
    writer.set_backfill(job)
    told(writer, FP16, FP8, stream=job.stream)
    times = [NOON.timestamp() - 30, NOON.timestamp() - 15]
    history = EngineHistory(
        target_key="gpu-1",
        model_key="qwen",
        engine_key="0",
        times_s=np.array(times),
        started_s=np.full(2, np.nan),
        counters={"prompt_tokens": np.array([1.0, 2.0])},
    )
    add(writer, run(), stream=job.stream, histories=[increases(history, None, every_s=15.0)])
    assert changes(home, writer) == []


def test_a_scrape_that_is_refused_leaves_no_change(home: Home, writer: Writer) -> None:
    told(writer, FP16)
    with pytest.raises(Exception, match="NaN"):
        add(writer, run(), [page(at(15), facts=FP8, counters={"prompt_tokens": float("nan")})])
    assert changes(home, writer) == []


def test_changes_are_of_a_window_and_name_the_deployment(home: Home, writer: Writer) -> None:
    told(writer, FP16, FP8, every_s=60.0)
    writer.name_targets([TargetRow(target_key="gpu-1", source_key="vllm", deployment_key="chat")])
    assert changes(home, writer, NOON, at(60)) == [], "the end is excluded"
    assert len(changes(home, writer, at(60), at(61))) == 1
    with open_snapshot(home) as snapshot:
        row = snapshot.changes(*ALWAYS).iloc[0]
    names = ("deployment_key", "target_key", "model_key", "engine_key")
    assert tuple(row[name] for name in names) == ("chat", "gpu-1", "qwen", "0")


# With what is seen of usage -------------------------------------------------------------------------------------------


def test_what_engines_say_is_told_in_words_of_the_deployment(home: Home, writer: Writer) -> None:
    told(writer, FP16, FP8)
    told(writer, FP16, FP8, engine_key="1")
    writer.name_targets([TargetRow(target_key="gpu-1", source_key="vllm", deployment_key="chat")])
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        (found,) = changes_of(snapshot, NOON - timedelta(days=1), NOON + timedelta(days=9))
        assert changes_of(snapshot, at(16), at(3600)) == ()
    assert (found.deployment_key, found.at, found.lever_key) == ("chat", at(15), "kv_precision")
    assert found.sentence == "KV cache in fp8, auto before, on 2 engines"


def test_a_new_pod_that_says_otherwise_than_the_one_it_replaces_is_a_change(home: Home, writer: Writer) -> None:
    for hour, pod, facts in ((0, "pod-a", FP16), (30, "pod-a", FP16), (31, "pod-b", FP8)):
        moment = NOON + timedelta(hours=hour)
        started_at = NOON + timedelta(hours=30.9 if pod == "pod-b" else 0)
        add(writer, run(moment), [page(moment, target_key=pod, facts=facts, started_at=started_at)])
    writer.name_targets(
        [TargetRow(target_key=pod, source_key="vllm", deployment_key="c") for pod in ("pod-a", "pod-b")]
    )
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        (found,) = changes_of(snapshot, NOON - timedelta(days=1), NOON + timedelta(days=9))
    assert (found.at, found.sentence) == (NOON + timedelta(hours=30.9), "KV cache in fp8, auto before")


def test_the_samples_switch_is_found_in_its_hour_and_the_collapse_in_its(home: Home, writer: Writer) -> None:
    """And no other: data/demo/README.md says what was planted. Newest whole week: from 9 November 2026."""
    end = datetime(2026, 11, 21, 8, tzinfo=UTC)
    writer.add_usage_hours(usage_hours(sample_file(end), end), BOUNDS.values())
    writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        found = changes_of(snapshot, end - timedelta(weeks=17), end)
        days = snapshot.windows(end - timedelta(weeks=17), end, "day", "deployment")
        assert changes_of(snapshot, end - timedelta(weeks=5), end) == found[1:], "whatever the window"
    assert [(one.deployment_key, one.at, one.sentence) for one in found] == [
        (
            "search-answers",
            datetime(2026, 10, 6, 10, tzinfo=UTC),
            "prefix caching switched on: 0 % → 22 % of prompt tokens cached",
        ),
        ("support-copilot", datetime(2026, 11, 10, 8, tzinfo=UTC), "fewer prompt tokens were cached: 35 % → 3 %"),
        ("support-copilot", datetime(2026, 11, 15, tzinfo=UTC), "more prompt tokens were cached: 3 % → 35 %"),
    ]
    assert days[["ttft_s_p95", "tpot_s_p95"]].notna().all(axis=None), "the sample's days have latencies"
