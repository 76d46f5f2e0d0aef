"""The sample's ledger tells its three changes apart: what saved, what only met a quiet week, and what made it worse."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from collectors import sample_story
from collectors.demo import sample_file
from collectors.sample import WEEKS, served
from collectors.sample_ledger import CHANGES, write_sample_ledger
from collectors.sample_story import SEARCH
from costlib.estimate import Estimate
from costlib.pool_days import window_of
from costlib.saving import Entry, Savings, State, Verdict, Verification
from store.home import Home
from store.read import Snapshot, snapshot_of
from store.savings import savings
from store.savings_file import SAMPLE, ledger, note_idea
from tests.demo_home import demo_home

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
END = NOW.replace(minute=0)
HOURS = WEEKS * 7 * 24
CACHING, QUIET, BATCHES = "Prefix caching on", "Larger prefill chunks", "Smaller batches for a steadier answer"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return demo_home(tmp_path_factory.mktemp("ledger") / "home", NOW)


@pytest.fixture(scope="module")
def snapshot(sample: Home) -> Iterator[Snapshot]:
    with snapshot_of(sample) as found:
        yield found


@pytest.fixture(scope="module")
def told(sample: Home, snapshot: Snapshot) -> Savings:
    return savings(snapshot, sample, NOW)


def of(told: Savings, title: str) -> tuple[Entry, Verification]:
    (entry,) = [one for one in told.entries if one.title == title]
    return entry, told.verifications[entry.id]


def gpu_hours(of_key: str, first: datetime, last: datetime) -> float:
    """Rented, of the sample as it is made now; [first, last)."""
    start, file = END - timedelta(hours=HOURS), sample_file(NOW)
    deployment = next(one for one in file.today.deployments if one.key == of_key)
    replicas = np.zeros(HOURS)
    for part in served(file, deployment, start, HOURS):
        replicas[part.hours] = part.replicas_count * part.hosted.serving.gpus_count
    when = start + timedelta(hours=1) * np.arange(HOURS)
    return float(replicas[(when >= first) & (when < last)].sum())


# The three changes ----------------------------------------------------------------------------------------------------


def test_prefix_caching_is_verified_and_the_interval_holds_what_it_truly_saved(
    told: Savings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The truth: GPU-hours of the same weeks of the sample, with the switch and without it ever being pressed."""
    entry, found = of(told, CACHING)
    assert (entry.state, found.verdict) == (State.VERIFIED, Verdict.VERIFIED)
    assert found.after is not None
    span = [datetime.combine(day, datetime.min.time(), UTC) for day in found.after]
    with_it = gpu_hours(SEARCH, *span)
    never = [
        sample_story.replace(one, end_hour=np.inf) if one.key == "prefix caching switched on" else one
        for one in sample_story.EVENTS
    ]
    monkeypatch.setattr(sample_story, "EVENTS", tuple(never))
    saved = 1 - with_it / gpu_hours(SEARCH, *span)
    assert 0.05 < saved < 0.3
    assert isinstance(found.saved_fraction, Estimate)
    assert found.saved_fraction.low <= saved <= found.saved_fraction.high
    assert found.saved_fraction.high - found.saved_fraction.low < 0.1


def test_a_quiet_week_lowered_the_bill_by_more_than_a_tenth_and_nothing_was_saved(told: Savings) -> None:
    entry, found = of(told, QUIET)
    assert found.naive_fraction > 0.1
    assert found.bill_change_usd_per_month < 0
    assert (entry.state, found.verdict) == (State.NOT_SHOWN, Verdict.NOT_SHOWN)
    assert found.saved_fraction.low < 0 < found.saved_fraction.high


def test_smaller_batches_made_it_dearer_and_were_taken_back(told: Savings) -> None:
    entry, found = of(told, BATCHES)
    assert entry.ended_at is not None
    assert (entry.state, found.verdict) == (State.REVERSED, Verdict.ROSE)
    assert entry.signed is not None
    assert entry.signed.verdict is Verdict.ROSE


def test_signatures_hold_and_say_what_is_measured_now(told: Savings) -> None:
    signed = [one for one in told.entries if one.signed]
    assert {one.title for one in signed} == {CACHING, QUIET, BATCHES}
    for one in signed:
        assert one.signed is not None
        assert told.verifications[one.id].verdict is one.signed.verdict
        assert told.verifications[one.id].data_digest == one.signed.data_digest
    assert not told.broken
    assert not told.problems


def test_the_board_has_a_change_in_most_states(told: Savings) -> None:
    assert {one.state for one in told.entries} == {
        State.IDEA, State.PLANNED, State.VERIFIED, State.NOT_SHOWN, State.REVERSED, State.REJECTED,
    }  # fmt: skip
    assert told.is_sample
    assert all(one.is_sample for one in told.entries)


def test_each_change_was_committed_before_it_was_shipped_and_signed_when_its_days_were_over(told: Savings) -> None:
    for one in told.entries:
        if one.shipped_at is None:
            continue
        assert one.committed_at is not None
        assert one.plan is not None
        assert one.signed is not None
        assert one.noted_at < one.committed_at < one.shipped_at
        assert one.signed.at.date() >= window_of(one.shipped_at, one.plan.before_days, one.plan.after_days).after[1]


def test_the_hours_of_the_ledger_are_those_of_the_story() -> None:
    """What is said to have been switched, was at that hour."""
    when = {one.key: one for one in sample_story.EVENTS}
    by_title = {one.title: one for one in CHANGES}
    assert by_title[CACHING].shipped_hour == when["prefix caching switched on"].end_hour
    assert by_title[QUIET].shipped_hour == when["quiet week"].first_hour
    batches = when["smaller batches, taken back"]
    assert (by_title[BATCHES].shipped_hour, by_title[BATCHES].taken_back_hour) == (batches.first_hour, batches.end_hour)


# Written again --------------------------------------------------------------------------------------------------------


def aside(home: Home) -> Path:
    return home.savings.with_name(home.savings.name + SAMPLE)


@pytest.fixture
def again(sample: Home, tmp_path: Path) -> Home:
    """A home with nothing but a copy of the ledger: what is measured is asked of the sample."""
    home = Home(tmp_path)
    home.savings.write_bytes(sample.savings.read_bytes())
    return home


def test_loading_again_keeps_the_ledger_as_it_is(again: Home, snapshot: Snapshot) -> None:
    before = again.savings.read_bytes()
    write_sample_ledger(again, snapshot, END)
    assert again.savings.read_bytes() == before
    assert not aside(again).exists()


def test_what_people_added_to_the_sample_is_kept_too(again: Home, snapshot: Snapshot) -> None:
    note_idea(again, "Mine", "Me", NOW, is_sample=True)
    before = again.savings.read_bytes()
    write_sample_ledger(again, snapshot, END)
    assert again.savings.read_bytes() == before


def test_a_real_ledger_is_never_touched(snapshot: Snapshot, tmp_path: Path) -> None:
    home = Home(tmp_path)
    note_idea(home, "A real one", "Me", NOW)
    before = home.savings.read_bytes()
    for end in (END, END + timedelta(weeks=1)):
        write_sample_ledger(home, snapshot, end)
    assert home.savings.read_bytes() == before
    assert not aside(home).exists()


def test_a_week_later_the_old_one_is_set_aside_and_a_new_one_written(sample: Home, snapshot: Snapshot) -> None:
    """Last of all, as it changes the home of this file."""
    before = sample.savings.read_bytes()
    was = {one.title: one.shipped_at for one in ledger(sample).entries}
    write_sample_ledger(sample, snapshot, END + timedelta(weeks=1))
    now = {one.title: one.shipped_at for one in ledger(sample).entries}
    assert aside(sample).read_bytes() == before
    assert set(now) == set(was)
    for title, at in was.items():
        assert now[title] == (at + timedelta(weeks=1) if at else None)
