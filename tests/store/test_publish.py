"""Publishing: whoever reads goes on reading, and never sees a half."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from costlib.errors import RetryLater
from store import publish
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer
from tests.store.builders import ALWAYS, NOON, add, run, sample


class Clock:
    """Wall and monotonic time that move when told to."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def __call__(self):
        return NOON + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


def scrape(writer: Writer, clock: Clock, tokens: int = 1) -> None:
    moment = clock()
    add(writer, run(moment), [], [sample(moment, {"prompt_tokens": tokens})])


def snapshots(home: Home) -> list[Path]:
    return sorted(home.serving.glob("permillion-*.duckdb"))


def total(home: Home) -> int:
    with open_snapshot(home) as snapshot:
        return int(snapshot.usage(*ALWAYS)["prompt_tokens"].sum())


def test_before_the_first_publishing_there_is_no_snapshot(home: Home, writer: Writer) -> None:
    assert open_snapshot(home) is None


def test_readers_see_what_was_published_not_what_is_live(home: Home) -> None:
    clock = Clock()
    with Writer.open(home, clock) as writer:
        scrape(writer, clock, 3)
        writer.publish(force=True)
        scrape(writer, clock, 4)
        assert total(home) == 3
        writer.publish(force=True)
        assert total(home) == 7


def test_an_open_snapshot_keeps_working_after_its_file_is_gone(home: Home) -> None:
    clock = Clock()
    with Writer.open(home, clock) as writer:
        scrape(writer, clock, 3)
        writer.publish(force=True)
        old = open_snapshot(home)
        for _ in range(4):
            clock.passed_s += 100
            scrape(writer, clock, 10)
            writer.publish(force=True)
        assert not old.path.exists()
        assert len(snapshots(home)) == 2
        assert old.usage(*ALWAYS)["prompt_tokens"].tolist() == [3]
        assert old.status().id == old.id
        assert total(home) == 43
    old.close()


def test_a_snapshot_stays_a_minute_for_whoever_just_read_the_pointer(home: Home) -> None:
    clock = Clock()
    with Writer.open(home, clock) as writer:
        for _ in range(5):
            clock.passed_s += 10
            writer.publish(force=True)
        assert len(snapshots(home)) == 5
        clock.passed_s += 61
        writer.publish(force=True)
    assert len(snapshots(home)) == 2


def test_every_snapshot_has_an_id_of_its_own_even_at_the_same_moment(home: Home, writer: Writer) -> None:
    ids = {writer.publish(force=True) for _ in range(5)}
    assert len(ids) == 5
    assert {path.name.removeprefix("permillion-").removesuffix(".duckdb") for path in snapshots(home)} == ids


@pytest.mark.parametrize("step", ["_copy", "move_into_place", "write_text"])
def test_when_publishing_fails_the_pointer_names_the_last_good_file(
    home: Home, writer: Writer, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(writer, run(), [], [sample(counters={"prompt_tokens": 3})])
    good = writer.publish(force=True)

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(publish, step, broken)
        with pytest.raises(OSError, match="No space left"):
            writer.publish(force=True)
    with open_snapshot(home) as snapshot:
        assert snapshot.id == good
    assert writer.publish(force=True) != good
    assert total(home) == 3


def test_what_a_killed_writer_was_building_is_swept(home: Home) -> None:
    home.make()
    leftover = home.serving / ".permillion-20261005T120000000000Z-00000000.duckdb.building"
    leftover.write_bytes(b"half")
    Writer.open(home).close()
    assert not leftover.exists()


def test_publishing_takes_four_percent_of_the_time_at_most(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    with Writer.open(home, clock, clock.monotonic) as writer:
        really = publish.publish

        def slow(*args: object) -> str:
            clock.passed_s += 2.0
            return really(*args)

        monkeypatch.setattr(publish, "publish", slow)
        scrape(writer, clock)
        assert writer.publish()
        published_at = clock.passed_s
        scrape(writer, clock)
        clock.passed_s = published_at + 47.9
        assert writer.publish() is None, "after 2 s of work come 48 s of rest"
        clock.passed_s = published_at + 48.1
        assert writer.publish()
        scrape(writer, clock)
        assert writer.publish() is None
        assert writer.publish(force=True)


def test_nothing_new_is_not_published_again(writer: Writer) -> None:
    assert writer.publish()
    assert writer.publish() is None


def test_reading_never_opens_the_live_file(home: Home, writer: Writer) -> None:
    writer.publish(force=True)
    writer.close()
    home.live.unlink()
    with open_snapshot(home) as snapshot:
        assert snapshot.usage(*ALWAYS).empty
        assert home.live not in (snapshot.path, *home.path.iterdir())


def test_a_snapshot_cannot_be_written(home: Home, writer: Writer) -> None:
    writer.publish(force=True)
    with open_snapshot(home) as snapshot, pytest.raises(DBAPIError, match="read-only"):
        snapshot._held.exec_driver_sql("DELETE FROM usage_hour")


def test_a_pointer_to_a_file_that_somebody_removed_is_explained(home: Home, writer: Writer) -> None:
    writer.publish(force=True)
    snapshots(home)[0].unlink()
    with pytest.raises(RetryLater, match="permillion collect"):
        open_snapshot(home)


def test_the_tail_rests_by_itself_and_is_swept_by_itself(home: Home) -> None:
    clock = Clock()
    with Writer.open(home, clock, clock.monotonic) as writer:
        for _ in range(5):
            clock.passed_s += 100
            scrape(writer, clock)
            assert writer.publish_tail()
            assert writer.publish_tail() is None, "nothing changed"
        assert writer.publish(), "the snapshot has not been published yet"
    assert len(list(home.serving.glob("tail-*.duckdb"))) == 2
    assert len(snapshots(home)) == 1
    assert home.tail_pointer.read_text(encoding="utf-8") == max(path.name for path in home.serving.glob("tail-*"))
