"""Work beside a page: it ends when it is told to, when nobody looks, and says why where it fails."""

import threading
from collections.abc import Callable

import pytest

from costlib.errors import Cancelled, ConfigError
from ui import jobs
from ui.jobs import Job, Progress

SECRET = "Xanthippe"


def until_stopped(progress: Progress, is_stopped: Callable[[], bool]) -> None:
    while not is_stopped():
        progress(0.5, "half of it")
    raise Cancelled


def job(work: jobs.Work = until_stopped) -> Job:
    return Job(name="The work", key="a", work=work)


def test_what_is_found_is_kept_and_what_it_was_made_of_is_let_go() -> None:
    one = job(lambda progress, is_stopped: 42)
    one.run()
    assert (one.found, one.work, one.done.is_set()) == (42, None, True)


def test_what_nobody_looks_at_any_more_ends_by_itself() -> None:
    one = job()
    one.seen_s -= jobs.UNSEEN_S + 1
    one.run()
    assert one.was_stopped and one.work is None


def test_progress_stays_between_nothing_and_all() -> None:
    one = job(lambda progress, is_stopped: progress(1.7, "more than all of it"))
    one.run()
    assert (one.fraction, one.said) == (1.0, "more than all of it")


def test_a_third_job_at_once_waits_its_turn_and_can_be_stopped_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_AT_ONCE", threading.BoundedSemaphore(1))
    monkeypatch.setattr(jobs, "LOOK_EVERY_S", 0.01)
    one = job()
    with jobs._AT_ONCE:
        waiting = threading.Thread(target=one.run)
        waiting.start()
        assert not one.done.wait(0.1)
        one.stop.set()
        waiting.join(10)
    assert one.was_stopped


def fails(progress: Progress, is_stopped: Callable[[], bool]) -> None:
    raise ConfigError("the file is wrong; mend it")


def breaks(progress: Progress, is_stopped: Callable[[], bool]) -> None:
    raise KeyError(SECRET)


def test_an_error_is_told_as_it_is_and_a_fault_of_ours_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    wrong, broken = job(fails), job(breaks)
    wrong.run()
    broken.run()
    assert wrong.problem == "the file is wrong; mend it"
    assert broken.problem == "The work failed (KeyError); the server's log says where."
    assert "in breaks" in caplog.text and SECRET not in caplog.text
    assert wrong.done.is_set() and broken.done.is_set()


def test_work_that_breaks_gives_its_place_to_the_next() -> None:
    for _ in range(5):
        one = job(breaks)
        one.run()
        assert one.problem
