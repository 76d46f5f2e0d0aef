"""S37: a month out of Prometheus, in chunks that can be cut off, run again and set up in any way, and count alike."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import collectors.prometheus.backfill as module
from collectors.base import Target
from collectors.prometheus.backfill import backfill
from collectors.prometheus.http import PrometheusLimits
from collectors.run import collect
from costlib.errors import ConfigError
from costlib.telemetry import EnginePage, SampleState
from store.home import Home
from store.read import open_snapshot
from store.records import BackfillJob
from store.writer import Writer
from tests.collectors.prometheus_support import Killed, Memory
from tests.fake_prometheus import FakePrometheus, refusal, series_of, too_many_samples

HOUR_S = 3600.0
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
BEGIN_S = BEGIN.timestamp()
SERVER = "gpu-1:8000"


def engine(hours, every_s=60.0, *, restarts=(), per_s=1.0, begin_s=0.0, **labels):
    """A server that counts `per_s` tokens a second, and begins again at `restarts` [s after BEGIN]."""
    at = np.arange(begin_s, hours * HOUR_S, every_s) + 0.5
    began = np.zeros_like(at) - 1000.0
    for restart_s in restarts:
        began[at > restart_s] = restart_s
    told = {"instance": SERVER, "job": "vllm", **labels}
    return [
        series_of(
            {"__name__": "vllm:prompt_tokens_total", "model_name": "m", "engine": "0", **told},
            BEGIN_S + at,
            np.rint((at - began) * per_s),
        ),
        series_of({"__name__": "process_start_time_seconds", **told}, BEGIN_S + at, BEGIN_S + began),
    ]


def truth(hours, every_s=60.0, restarts=()):
    """What is counted between the first sample and the last, less what came after the last before each restart."""
    at = np.arange(0.0, hours * HOUR_S, every_s) + 0.5
    edges = [-1000.0, *restarts, np.inf]
    total = 0.0
    for number, (begin, end) in enumerate(pairwise(edges)):
        inside = at[(at > begin) & (at <= end)]
        total += np.rint(inside[-1] - begin) - (np.rint(inside[0] - begin) if number == 0 else 0)
    return total


def run(store, server, hours, *, start=BEGIN, on_progress=lambda progress: None, url=None, **more):
    source = Target(key="prom", url=url or server.url, source_key="prometheus", labels={"team": "search"})
    end = BEGIN + timedelta(hours=hours)
    naps = []
    report = backfill(store, source, start, end, lambda: end, on_progress, sleep=naps.append, **more)
    assert all(nap > 0 for nap in naps)
    return report


def chunks(server):
    """The spans that were asked for [s], without what is read again for late samples and gaps."""
    asked = [params for path, params in server.asked if "vllm" in params.get("query", "")]
    return [int(params["query"].rpartition("[")[2][:-2]) - 300 for params in asked]


class TestChunks:
    def test_thirty_days_are_read_in_order_and_whole(self):
        days = 30
        with FakePrometheus(engine(days * 24, 300.0)) as server:
            store, seen = Memory(), []
            report = run(store, server, days * 24, on_progress=seen.append)
        assert store.total() == truth(days * 24, 300.0)
        assert report.stopped is None and report.done_to == report.to_at
        assert report.samples_count == len(store.rows) == days * 24 * 12
        assert [progress.chunk for progress in seen] == list(range(1, len(seen) + 1))
        assert seen[-1].chunk == seen[-1].chunks_count and seen[-1].samples_count == report.samples_count
        assert store.named[SERVER].labels == {"job": "vllm", "team": "search"}

    def test_no_series_has_more_than_eleven_thousand_points_in_a_chunk(self):
        with FakePrometheus(engine(96, 15.0)) as server:
            run(Memory(), server, 96)
        longest_s = max(chunks(server))
        assert (longest_s + 300) / 15 <= 11_000
        assert longest_s == 45 * HOUR_S  # and no shorter than need be: the most whole hours in 11,000 points

    def test_many_series_make_shorter_chunks(self, monkeypatch):
        monkeypatch.setattr(module, "SAMPLES_COUNT", 2 * 240 * 3)
        with FakePrometheus(engine(12, 15.0)) as server:
            run(Memory(), server, 12)
        assert max(chunks(server)) == 3 * HOUR_S

    def test_chunks_end_at_full_hours(self):
        with FakePrometheus(engine(30, 60.0)) as server:
            seen = []
            run(Memory(), server, 30, start=BEGIN + timedelta(minutes=20), on_progress=seen.append)
        assert all(progress.done_to.minute == 0 for progress in seen) and seen[0].done_to == BEGIN + timedelta(hours=1)

    def test_s36_a_server_that_finds_it_too_much_is_asked_for_less(self):
        def fault(path, params):
            query = params.get("query", "")
            return too_many_samples() if "vllm" in query and int(query.rpartition("[")[2][:-2]) > 2000 else None

        with FakePrometheus(engine(3, 60.0), fault=fault) as server:
            store = Memory()
            report = run(store, server, 3)
        assert report.stopped is None and store.total() == truth(3)

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.floats(HOUR_S / 4, 9.7 * HOUR_S), max_size=3, unique_by=lambda at_s: at_s // 600),
        st.integers(1, 40),
    )
    def test_however_it_is_cut_the_total_is_that_of_the_whole(self, restarts, points_count):
        restarts = sorted(restarts)
        with FakePrometheus(engine(10, 60.0, restarts=restarts)) as server, pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "POINTS_COUNT", 60 * points_count)
            store = Memory()
            run(store, server, 10)
        assert store.total() == truth(10, 60.0, restarts)
        assert list(store.states.values()).count(SampleState.RESET) == len(restarts)

    @pytest.mark.parametrize("restart_s", [2.4 * HOUR_S, 3 * HOUR_S, 3 * HOUR_S - 10, 3 * HOUR_S + 10])
    def test_a_restart_within_a_chunk_or_where_one_ends(self, monkeypatch, restart_s):
        monkeypatch.setattr(module, "POINTS_COUNT", 60)
        with FakePrometheus(engine(6, 60.0, restarts=[restart_s])) as server:
            store = Memory()
            run(store, server, 6)
        assert store.total() == truth(6, 60.0, [restart_s])

    def test_a_long_absence_is_a_gap_and_no_zero(self):
        kept = [
            replace(
                series,
                times_s=[*series.times_s[:120], *series.times_s[-120:]],
                values=[*series.values[:120], *series.values[-120:]],
            )
            for series in engine(200, 60.0)
        ]
        with FakePrometheus(kept) as server:
            store = Memory()
            run(store, server, 200)
        assert store.total() == truth(200)
        assert list(store.states.values()).count(SampleState.GAP) == 1 and len(store.rows) == 240

    def test_a_pair_is_not_doubled_where_a_chunk_ends(self, monkeypatch):
        monkeypatch.setattr(module, "POINTS_COUNT", 60)
        one, other = (engine(6, 60.0, begin_s=offset_s, replica=name) for name, offset_s in (("a", 0.0), ("b", 20.0)))
        one = [replace(s, times_s=s.times_s[:170], values=s.values[:170]) for s in one]  # ends ten minutes early
        with FakePrometheus([*one, *other]) as server:
            store = Memory()
            run(store, server, 6)
        assert store.total() == truth(6) + 20  # the one that goes on scrapes 20 s later
        assert SampleState.RESET not in store.states.values()


class TestCutOffAndRunAgain:
    @pytest.mark.parametrize("dies_at", range(1, 12))
    def test_killed_at_any_step_it_goes_on_and_counts_the_same(self, monkeypatch, dies_at):
        """Between storing a chunk and noting it, too: the chunk is read again and adds nothing."""
        monkeypatch.setattr(module, "POINTS_COUNT", 60)
        restarts = [1.5 * HOUR_S]
        with FakePrometheus(engine(4, 60.0, restarts=restarts)) as server:
            store = Memory(dies_at=dies_at)
            with pytest.raises(Killed):
                run(store, server, 4)
            there = len(store.rows)
            report = run(store, server, 4)
        assert report.stopped is None and not report.remarks and report.samples_count == 240 - there
        assert store.total() == truth(4, 60.0, restarts) and len(store.rows) == 240

    def test_the_same_again_adds_nothing_and_says_so(self):
        with FakePrometheus(engine(4)) as server:
            store = Memory()
            run(store, server, 4)
            asked, total = len(server.asked), store.total()
            report = run(store, server, 5)
        assert report.samples_count == 0 and "nothing added" in report.text
        assert len(server.asked) == asked and store.total() == total

    def test_more_of_the_past_is_added_in_front(self):
        with FakePrometheus(engine(8)) as server:
            store = Memory()
            run(store, server, 8, start=BEGIN + timedelta(hours=4))
            report = run(store, server, 8)
        assert (report.from_at, report.to_at) == (BEGIN, BEGIN + timedelta(hours=4))
        assert len(store.rows) == 480
        assert store.total() == truth(8) - 60  # what lies between the two is in neither

    def test_it_ends_where_what_is_stored_of_a_server_begins(self):
        both = [*engine(4), *engine(4, instance="gpu-2:8000")]
        with FakePrometheus(both) as server:
            store = Memory(firsts={SERVER: BEGIN + timedelta(hours=2)})
            run(store, server, 4)
        assert max(key[-1] for key in store.rows if key[0] == SERVER) < BEGIN_S + 2 * HOUR_S
        assert max(key[-1] for key in store.rows if key[0] == "gpu-2:8000") > BEGIN_S + 3.9 * HOUR_S
        assert set(store.named) == {"gpu-2:8000"}  # the other has its owner's name

    @pytest.mark.parametrize("dies_at", [4, 5, 6, 7])
    def test_it_ends_there_too_when_it_was_cut_off(self, monkeypatch, dies_at):
        monkeypatch.setattr(module, "POINTS_COUNT", 60)
        with FakePrometheus(engine(4)) as server:
            store = Memory(firsts={SERVER: BEGIN + timedelta(hours=3)}, dies_at=dies_at)
            with pytest.raises(Killed):
                run(store, server, 4)
            run(store, server, 4)
        assert len(store.rows) == 180

    def test_s26_what_is_scraped_directly_under_another_name_is_not_read_again(self):
        page = EnginePage(
            target_key="llama",
            model_key="m",
            engine_key="0",
            scraped_at=BEGIN + timedelta(hours=4),
            started_at=datetime.fromtimestamp(BEGIN_S - 1000, UTC),
            counters={"prompt_tokens": 4 * HOUR_S + 1000},
        )
        with FakePrometheus(engine(4)) as server:
            store = Memory(firsts={"llama": BEGIN + timedelta(hours=1)}, streams={"live": {page.identity: page}})
            run(store, server, 4)
        assert len(store.rows) == 60

    def test_live_scrapes_go_on_from_its_end(self):
        with FakePrometheus(engine(4)) as server:
            store = Memory()
            run(store, server, 4)
        (page,) = store.engine_pages()
        assert page.counters == {"prompt_tokens": 4 * HOUR_S - 60 + 1000}

    def test_a_server_that_starts_meanwhile_counts_from_its_first_token(self):
        with FakePrometheus(
            [*engine(4), *engine(4, begin_s=2.5 * HOUR_S, restarts=[2.4 * HOUR_S], instance="new")]
        ) as server:
            store = Memory()
            run(store, server, 4)
        counted = sum(row["prompt_tokens"] for key, row in store.rows.items() if key[0] == "new")
        assert counted == np.rint(4 * HOUR_S - 60 + 0.5 - 2.4 * HOUR_S)

    def test_what_was_counted_before_prometheus_looked_is_not_placed(self):
        """Asked for more than it kept: the server started in that time, and its first sample came days later."""
        with FakePrometheus(engine(100, begin_s=50 * HOUR_S, restarts=[10 * HOUR_S])) as server:
            store = Memory()
            run(store, server, 100)
        assert next(iter(store.states.values())) == SampleState.FIRST
        assert store.total() == 50 * HOUR_S - 60


class TestWhatGoesWrong:
    def test_a_failure_that_passes_is_waited_for(self):
        failures = iter([refusal("unavailable", "starting", 503)] * 2)
        with FakePrometheus(engine(2), fault=lambda path, params: next(failures, None)) as server:
            store = Memory()
            assert run(store, server, 2).stopped is None
        assert store.total() == truth(2)

    def test_a_failure_that_stays_stops_it_cleanly_and_it_goes_on_later(self, monkeypatch):
        monkeypatch.setattr(module, "POINTS_COUNT", 60)
        with FakePrometheus(engine(4)) as server:
            store = Memory()

            def fault(path, params):
                late = float(params.get("time", 0)) > BEGIN_S + 2.5 * HOUR_S
                return refusal("unavailable", "store gateway down", 503) if late else None

            server.fault = fault
            report = run(store, server, 4)
            assert report.done_to == BEGIN + timedelta(hours=2)
            assert "store gateway down" in report.text and "Run it again" in report.text
            server.fault = None
            assert run(store, server, 4).stopped is None
        assert store.total() == truth(4)

    @pytest.mark.parametrize("status", [401, 302])
    def test_what_waiting_does_not_mend_is_not_tried_again(self, status):
        with FakePrometheus(engine(2), fault=lambda path, params: (status, b"", {})) as server:
            assert run(Memory(), server, 2).stopped
        assert len(server.asked) == 1

    def test_a_server_that_is_down_is_in_the_report(self):
        report = run(Memory(), None, 2, url="http://127.0.0.1:1", limits=PrometheusLimits(connect_s=0.5))
        assert "nothing listens" in (report.stopped or "")

    def test_a_store_that_refuses_stops_it(self):
        class Full(Memory):
            def add_scrapes(self, scrapes, stream="live"):
                return [OSError("no space left on device")]

        with FakePrometheus(engine(2)) as server:
            store = Full()
            report = run(store, server, 2)
        assert "no space left" in report.text and store.jobs["prometheus/prom"].done_to == BEGIN

    def test_warnings_are_in_the_report(self):
        with FakePrometheus(engine(2), extra={"warnings": ["a store did not answer"]}) as server:
            report = run(Memory(), server, 2)
        assert "a store did not answer" in report.remarks[0]

    def test_an_empty_past_is_read_quickly_and_adds_nothing(self):
        with FakePrometheus() as server:
            report = run(Memory(), server, 30 * 24)
        assert report.samples_count == 0 and report.stopped is None and len(server.asked) < 50

    @pytest.mark.parametrize("start", [BEGIN + timedelta(hours=3), BEGIN.replace(tzinfo=None)])
    def test_times_that_cannot_be_are_refused(self, start):
        with pytest.raises(ConfigError, match="two times"):
            run(Memory(), None, 2, start=start, url="http://127.0.0.1:1")


def tokens(home, start, end):
    snapshot = open_snapshot(home)
    assert snapshot is not None
    with snapshot:
        frame = snapshot.windows(start, end, "total", "target", end)
    return frame.set_index("target_key")["prompt_tokens"]


def test_in_a_real_store_the_live_scrapes_go_on_without_a_seam(tmp_path):
    """Backfilled to noon, collected on from there, and read again after an absence: as if it had never been away."""
    home, hours, now = Home(tmp_path), 6, BEGIN
    with (
        FakePrometheus(engine(hours, restarts=[1.5 * HOUR_S])) as server,
        Writer.open(home, clock=lambda: now) as writer,
    ):
        source = Target(key="prom", url=server.url, source_key="prometheus")
        now = BEGIN + timedelta(hours=4)
        assert backfill(writer, source, BEGIN, now, lambda: now).stopped is None
        for minutes in (241, 245, 360):
            now = BEGIN + timedelta(minutes=minutes)
            (found,) = asyncio.run(collect(writer, [source], every_s=60.0, once=True, clock=lambda now=now: now))
            assert found.state == "ok", found.error
        writer.publish(force=True)
    assert tokens(home, BEGIN, now)[SERVER] == truth(hours, restarts=[1.5 * HOUR_S])


def test_in_a_real_store_it_is_there_once(tmp_path, monkeypatch):
    """Cut off and run again, then extended: the writer keeps every sample once, with its increments."""
    monkeypatch.setattr(module, "POINTS_COUNT", 60)
    hours = 5
    end = BEGIN + timedelta(hours=hours)
    with (
        FakePrometheus(engine(hours, restarts=[1.5 * HOUR_S])) as server,
        Writer.open(Home(tmp_path), clock=lambda: end) as writer,
    ):
        server.fault = lambda path, params: (
            refusal("bad_data", "later") if float(params.get("time", 0)) > BEGIN_S + 3.5 * HOUR_S else None
        )
        assert run(writer, server, hours).done_to == BEGIN + timedelta(hours=3)
        server.fault = None
        report = run(writer, server, hours)
        assert report.stopped is None and report.samples_count == 120
        assert "nothing added" in run(writer, server, hours).text
        job = writer.backfill("prometheus/prom")
        assert job == BackfillJob(source_key="prometheus/prom", from_at=BEGIN, to_at=end, done_to=end)
        assert writer.first_sample_at([SERVER]) <= BEGIN + timedelta(hours=1)
        writer.publish(force=True)
        (page,) = writer.engine_pages()
        assert page.scraped_at > end - timedelta(minutes=2)
    assert tokens(Home(tmp_path), BEGIN, end)[SERVER] == truth(hours, restarts=[1.5 * HOUR_S])
