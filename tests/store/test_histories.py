"""Histories: a month in one load, the same figures as scrape after scrape, and nothing twice."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from costlib.history import EngineHistory, HistogramHistory, increases
from costlib.telemetry import EnginePage, Histogram, usage_sample
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.records import BackfillJob
from store.writer import Writer
from tests.store.builders import ALWAYS, BOUNDS, NOON, add, frozen, run

EVERY_S = 15.0
STREAM = BackfillJob(source_key="prom", from_at=NOON, to_at=NOON, done_to=NOON).stream
SAMPLES_FROM = NOON - timedelta(days=14) + timedelta(hours=1)


def raw(first: datetime, count: int, seed: int = 1) -> EngineHistory:
    """`count` samples of an engine that always works, one every EVERY_S from `first` on."""
    drawn = np.random.default_rng(seed)
    times = first.timestamp() + EVERY_S * np.arange(count)
    buckets = np.cumsum(np.cumsum(drawn.integers(0, 4, (count, len(BOUNDS))), axis=1), axis=0).astype(float)
    return EngineHistory(
        target_key="gpu-1",
        model_key="qwen",
        engine_key="0",
        times_s=times,
        started_s=np.full(count, times[0] - 100),
        counters={
            "prompt_tokens": np.cumsum(drawn.integers(0, 90, count)).astype(float),
            "queue_s": np.cumsum(drawn.integers(0, 64, count)) / 64,
        },
        gauges={"running_count": drawn.integers(0, 5, count) + 0.0, "kv_usage_fraction": drawn.random(count)},
        histograms={
            "ttft_s": HistogramHistory(
                bounds=BOUNDS, cumulative_counts=buckets, sum=buckets[:, -1] / 4, count=buckets[:, -1]
            )
        },
    )


def part(history: EngineHistory, begin: int, end: int) -> EngineHistory:
    cut = slice(begin, end)
    item = history.histograms["ttft_s"]
    return EngineHistory(
        target_key=history.target_key,
        model_key=history.model_key,
        engine_key=history.engine_key,
        times_s=history.times_s[cut],
        started_s=history.started_s[cut],
        counters={name: values[cut] for name, values in history.counters.items()},
        gauges={name: values[cut] for name, values in history.gauges.items()},
        histograms={
            "ttft_s": HistogramHistory(
                bounds=item.bounds,
                cumulative_counts=item.cumulative_counts[cut],
                sum=item.sum[cut],
                count=item.count[cut],
            )
        },
    )


def pages_of(history: EngineHistory) -> list[EnginePage]:
    item = history.histograms["ttft_s"]
    return [
        EnginePage(
            target_key=history.target_key,
            model_key=history.model_key,
            engine_key=history.engine_key,
            scraped_at=datetime.fromtimestamp(float(time_s), UTC),
            started_at=datetime.fromtimestamp(float(history.started_s[row]), UTC),
            counters={name: float(values[row]) for name, values in history.counters.items()},
            gauges={name: float(values[row]) for name, values in history.gauges.items()},
            histograms={
                "ttft_s": Histogram(
                    bounds=BOUNDS,
                    cumulative_counts=tuple(item.cumulative_counts[row]),
                    sum=float(item.sum[row]),
                    count=float(item.count[row]),
                )
            },
        )
        for row, time_s in enumerate(history.times_s)
    ]


def fill(writer: Writer, history: EngineHistory) -> None:
    """As a collector does: from the page that the stream ended with."""
    before = {kept.identity: kept for kept in writer.engine_pages(STREAM)}.get(history.identity)
    new = part(
        history, int(np.searchsorted(history.times_s, before.scraped_at.timestamp(), "right")) if before else 0, None
    )
    add(writer, run(kind="backfill"), histories=[increases(new, before, EVERY_S)], stream=STREAM)


def read(home: Home, writer: Writer) -> Snapshot:
    writer.publish(force=True)
    found = open_snapshot(home)
    assert found
    return found


def figures(snapshot: Snapshot, bin: str):
    shown = snapshot.windows(*ALWAYS, bin, "engine")
    return shown.drop(columns=["state", "why", "coverage_fraction", "window_s"])


def test_a_history_gives_the_bins_that_its_scrapes_give(tmp_path) -> None:
    history = raw(NOON - timedelta(hours=3), 500)
    found = []
    for name in ("at-once", "one-by-one"):
        home = Home(tmp_path / name)
        with Writer.open(home, frozen()) as writer:
            if name == "at-once":
                fill(writer, history)
            else:
                pages = pages_of(history)
                samples = [usage_sample(a, b, EVERY_S) for a, b in zip([None, *pages], pages, strict=False)]
                add(writer, run(kind="backfill"), pages[-1:], samples)
            with read(home, writer) as snapshot:
                found.append({bin: figures(snapshot, bin) for bin in ("minute", "hour")})
    for bin, frame in found[0].items():
        assert len(frame) > 2
        assert frame.equals(found[1][bin])


@pytest.mark.parametrize(
    "first",
    [NOON - timedelta(hours=3), NOON - timedelta(days=40), SAMPLES_FROM - timedelta(minutes=61)],
    ids=["kept-as-samples", "older", "across-the-border"],
)
def test_stretches_add_up_to_the_whole_and_again_changes_nothing(tmp_path, first: datetime) -> None:
    """The cuts lie within hours and minutes."""
    history = raw(first, 600)
    results = []
    for name, cuts in (("whole", [0, 600]), ("parts", [0, 101, 102, 350, 600])):
        home = Home(tmp_path / name)
        with Writer.open(home, frozen()) as writer:
            for begin, end in itertools.pairwise(cuts):
                fill(writer, part(history, begin, end))
                before = writer.engine_pages(STREAM)
                repeated = increases(part(history, 0, end), None, EVERY_S)
                add(writer, run(kind="backfill"), histories=[repeated], stream=STREAM)
                assert writer.engine_pages(STREAM) == before
                if begin == 101:
                    writer.publish(force=True)
            with read(home, writer) as snapshot:
                results.append(snapshot.windows(*ALWAYS, "hour", "engine"))
    whole, parts = results
    known = [history.counters[name][-1] - history.counters[name][0] for name in ("prompt_tokens", "queue_s")]
    for frame in results:
        assert [frame["prompt_tokens"].sum(), frame["queue_s"].sum()] == known
    sums = ["samples_count", "prompt_tokens", "queue_s", "observed_s", "busy_s", "ttft_s_count", "ttft_s_sum"]
    assert parts[["bin_start", *sums]].equals(whole[["bin_start", *sums]])
    for name in ("running_count", "kv_usage_fraction", "kv_usage_max_fraction", "ttft_s_p95"):
        assert parts[name].tolist() == pytest.approx(whole[name].tolist())


def test_what_is_older_than_the_samples_has_minutes_and_hours_only(home: Home, writer: Writer) -> None:
    fill(writer, raw(NOON - timedelta(days=100), 240))
    fill(writer, raw(NOON - timedelta(days=60), 240))
    with writer._connection.begin():
        count = "SELECT (SELECT count(*) FROM usage_{}) AS n"
        found = [
            writer._connection.exec_driver_sql(count.format(name)).scalar() for name in ("sample", "minute", "hour")
        ]
    assert found == [0, 60, 2]
    assert writer.first_sample_at(["gpu-1"]) == NOON - timedelta(days=100)


def test_an_hour_that_was_scraped_long_ago_is_added_to(home: Home) -> None:
    """The history ends where the scrapes began, in the middle of an hour whose samples are gone."""
    long_ago = NOON - timedelta(days=30)
    history = raw(long_ago - timedelta(minutes=30), 240)
    scraped = part(history, 121, 240)
    with Writer.open(home, frozen(long_ago + timedelta(hours=1))) as writer:
        pages = pages_of(part(history, 120, 240))
        samples = [usage_sample(a, b, EVERY_S) for a, b in itertools.pairwise(pages)]
        add(writer, run(long_ago), pages[-1:], samples)
        writer.publish(force=True)
    with Writer.open(home, frozen()) as writer:
        writer.publish(force=True)
        fill(writer, part(history, 0, 121))
        with read(home, writer) as snapshot:
            total = snapshot.windows(*ALWAYS)
    assert len(scraped.times_s) == 119
    assert total["prompt_tokens"].tolist() == [
        history.counters["prompt_tokens"][-1] - history.counters["prompt_tokens"][0]
    ]
    assert total["samples_count"].tolist() == [240]


def test_a_history_that_counts_to_infinity_is_refused_whole(home: Home, writer: Writer) -> None:
    history = raw(NOON - timedelta(hours=1), 50)
    history.counters["prompt_tokens"][-1] = np.inf
    with pytest.raises(Exception, match="no engine can count to"):
        add(writer, run(kind="backfill"), histories=[increases(history, None, EVERY_S)], stream=STREAM)
    assert writer.engine_pages(STREAM) == []
