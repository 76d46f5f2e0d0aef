"""The writer: what it is given survives, whole or not at all; only one process writes."""

import subprocess
import sys
from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from costlib.errors import BadRecord, ConfigError, RetryLater, UnknownKey
from store.home import Home
from store.read import open_snapshot
from store.writer import StoreBusy, Writer
from tests.store.builders import ALWAYS, BOUNDS, NOON, add, at, frozen, histogram, page, run, sample


def snapshot(writer: Writer, home: Home):
    writer.publish(force=True)
    return open_snapshot(home)


def test_a_restarted_collector_gets_the_last_page_of_every_engine_exactly(home: Home) -> None:
    first, other = page(at(0), engine_key="0"), page(at(0), engine_key="1")
    last = page(
        at(15),
        engine_key="0",
        started_at=at(-1000),
        counters={"prompt_tokens": 2.0**52 + 1, "queue_s": 0.1 + 0.2},
        gauges={"kv_usage_fraction": 1 / 3},
        histograms={"ttft_s": histogram(1, 2, 3, sum=0.1)},
    )
    with Writer.open(home, frozen()) as writer:
        add(writer, run(at(0)), [first, other], [])
        add(writer, run(at(15)), [last], [])
    with Writer.open(home, frozen()) as writer:
        pages = {item.identity: item for item in writer.engine_pages()}
    assert pages == {last.identity: last, other.identity: other}


def test_a_scrape_is_stored_whole_or_not_at_all(writer: Writer, home: Home) -> None:
    impossible = sample(counters={"prompt_tokens": float("inf")})
    with pytest.raises(BadRecord, match="prompt_tokens of engine '0' at 'gpu-1' is inf"):
        add(writer, run(), [page()], [sample(counters={"prompt_tokens": 5}), impossible])
    assert writer.engine_pages() == []
    published = snapshot(writer, home)
    assert published.usage(*ALWAYS).empty
    assert published.runs().empty


def test_a_failed_run_is_kept_with_its_reason(writer: Writer, home: Home) -> None:
    add(writer, run(state="timeout", error="gpu-1 did not answer within 8 s", rows_count=0))
    runs = snapshot(writer, home).runs()
    assert runs[["state", "error"]].values.tolist() == [["timeout", "gpu-1 did not answer within 8 s"]]
    assert runs["started_at"][0] == NOON


def test_a_time_without_a_zone_is_refused(writer: Writer) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        add(writer, run(datetime(2026, 10, 5)))  # noqa: DTZ001


def test_a_sample_from_before_the_kept_time_is_refused_because_its_hour_cannot_be_rebuilt(writer: Writer) -> None:
    long_ago = NOON - timedelta(days=15)
    with pytest.raises(BadRecord, match="check the clock"):
        add(writer, run(long_ago), [], [sample(long_ago)])


def test_samples_go_after_two_weeks_and_their_hours_stay(home: Home) -> None:
    with Writer.open(home, frozen(NOON)) as writer:
        add(writer, run(), [page()], [sample(counters={"prompt_tokens": 7})])
    later = NOON + timedelta(days=30)
    with Writer.open(home, frozen(later)) as writer:
        published = snapshot(writer, home)
        add(writer, run(later), [page(later)], [sample(later, counters={"prompt_tokens": 1})])
        again = snapshot(writer, home)
    assert published.usage(*ALWAYS)["prompt_tokens"].tolist() == [7]
    assert again.usage(*ALWAYS)["prompt_tokens"].tolist() == [7, 1]


def test_a_histogram_finer_than_its_columns_keeps_sum_and_count(writer: Writer, home: Home) -> None:
    fine = (*map(float, range(40)), float("inf"))
    add(writer, run(), [], [sample(ttft_s=histogram(*range(1, 42), bounds=fine))])
    assert snapshot(writer, home).live(NOON, 60)["ttft_p95_s"].isna().all()


def test_buckets_are_stored_each_by_itself(writer: Writer, home: Home) -> None:
    add(writer, run(), [], [sample(ttft_s=histogram(80, 100, 100, bounds=BOUNDS))])
    add(writer, run(at(15)), [], [sample(at(15), ttft_s=histogram(0, 0, 0, bounds=BOUNDS))])
    assert snapshot(writer, home).live(at(15), 60)["ttft_p95_s"].tolist() == pytest.approx([0.775, 0.775])


# One writer -----------------------------------------------------------------------------------------------------------


HOLD = """
import sys
from pathlib import Path
from store.home import Home
from store.writer import Writer
with Writer.open(Home(Path(sys.argv[1]))):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_writes(home: Home) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreBusy, match=rf"in use by process {holder.pid}, .*permillion import") as refusal:
            Writer.open(home)
        holder.stdin.close()
    assert isinstance(refusal.value, RetryLater)
    Writer.open(home).close()


def test_a_second_writer_in_one_process_is_refused_too(writer: Writer, home: Home) -> None:
    with pytest.raises(StoreBusy, match="by this process"):
        Writer.open(home)


def test_a_damaged_file_is_named_with_what_to_do(home: Home) -> None:
    home.make()
    home.live.write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigError, match=r"live\.duckdb cannot be opened.*import the billing files again"):
        Writer.open(home)


def test_a_home_that_cannot_be_made_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Name a folder that can be written in PERMILLION_HOME"):
        Writer.open(Home(tmp_path / "file" / "home"))


def test_usage_hours_with_an_unknown_column_are_refused(writer: Writer) -> None:
    with pytest.raises(UnknownKey, match="prompt_tokens"):
        writer.add_usage_hours(pa.table({"bin_start": [NOON], "promt_tokens": [1]}))
