"""Which sources are read back before a collection begins, and what is said of it."""

from datetime import timedelta

import pytest

from collectors import backfills
from collectors.base import Target
from collectors.prometheus.backfill import BackfillReport, Progress
from collectors.targets import Sources
from tests.collectors.collector_support import NOON


class Books:
    published = 0

    def publish(self, force=False):
        self.published += force


@pytest.fixture
def asked(monkeypatch):
    """Stands in for a backfill of a source: what it was asked, and two chunks of progress."""
    calls = []

    def read_back(store, target, start, end, clock, on_progress, *, names):
        calls.append((target.key, start, end))
        on_progress(Progress(chunk=1, chunks_count=1, samples_count=5, done_to=NOON))
        stopped = "The server does not answer." if target.key == "down" else None
        return BackfillReport(from_at=start, to_at=end, done_to=end, samples_count=5, stopped=stopped, remarks=("odd",))

    monkeypatch.setattr(backfills, "backfill", read_back)
    return calls


def run(*targets):
    books, said = Books(), []
    backfills.backfill_all(books, Sources(targets=targets), lambda: NOON, said.append)
    return books, said


def target(key, **options):
    return Target(key=key, url="http://prom:9090", source_key="prometheus", options=options)


def test_a_source_is_read_back_as_far_as_it_says(asked):
    books, said = run(target("prom", backfill=timedelta(days=30)))
    assert asked == [("prom", NOON - timedelta(days=30), NOON)]
    assert books.published == 1
    assert any("5 samples added" in line for line in said) and "prom: odd" in said


def test_sources_without_a_history_are_not_asked(asked):
    run(target("prom", backfill=timedelta()), Target(key="gpu-1", url="http://gpu-1:8000/metrics"))
    assert asked == []


def test_one_that_does_not_answer_is_said_so_and_the_next_is_read(asked):
    _, said = run(target("down", backfill=timedelta(days=1)), target("up", backfill=timedelta(days=1)))
    assert [key for key, *_ in asked] == ["down", "up"]
    assert any("does not answer" in line for line in said)
