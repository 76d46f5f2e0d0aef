"""`savings.jsonl`: lines are only added, two at once are both whole, and what a crash cut off is kept aside."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from costlib.errors import ConfigError, UnknownKey
from costlib.saving import Design, State, Verdict
from costlib.savings_ledger import Event, Idea, Kind, continues
from store.home import Home
from store.savings_file import (
    SAMPLE,
    TORN,
    Ledger,
    append,
    commit,
    ledger,
    note_idea,
    reject,
    reopen,
    say,
    ship,
    sign,
    take_back,
)
from tests.savings_builders import plan, signed

MONDAY = datetime(2026, 9, 7, 9, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def day(number):
    return MONDAY + timedelta(days=number)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


@pytest.fixture
def fp8(home):
    return note_idea(home, "FP8 weights", "Ada", day(0), evidence="https://git.example/1")


def lines_of(home):
    return home.savings.read_text().splitlines()


def beside(home, ending):
    return home.savings.with_name(home.savings.name + ending)


def test_a_home_without_a_ledger_has_an_empty_one(home):
    assert ledger(home) == Ledger()
    assert not home.savings.exists()


def test_a_change_goes_its_whole_way_and_each_step_is_a_line(home, fp8):
    commit(home, fp8, plan(), "Ada", day(1))
    ship(home, fp8, day(2), "Ben", day(2), text="On all replicas")
    sign(home, fp8, signed(Verdict.VERIFIED, 0.17, 9000.0), "Dana", day(40))
    say(home, fp8, "Cache was off  on Friday", "Ben", day(41))
    take_back(home, fp8, day(50), "Ben", day(50))
    found = ledger(home)
    (entry,) = found.entries
    assert (entry.state, entry.owner, entry.is_sample) == (State.REVERSED, "Ada", False)
    assert entry.plan == plan()
    # Who signed, and when, is who said so.
    assert entry.signed == replace(signed(Verdict.VERIFIED, 0.17, 9000.0), by="Dana", at=day(40))
    assert [(said.by, said.text.split(".")[-1].strip()) for said in entry.said[2::2]] == [
        ("Ben", "On all replicas"),
        ("Ben", "Cache was off on Friday"),
    ]
    assert found.chain.lines_count == len(lines_of(home)) == 6
    assert not found.broken and not found.problems and not found.broken_entries


def test_an_idea_is_rejected_and_opened_again(home, fp8):
    reject(home, fp8, "Too much work", "Ada", day(1))
    assert ledger(home).entries[0].state is State.REJECTED
    reopen(home, fp8, "Ada", day(2), "It is less than we thought")
    assert ledger(home).entries[0].state is State.IDEA


def test_a_switchback_is_kept_in_utc(home, fp8):
    commit(home, fp8, plan(design=Design.SWITCHBACK), "Ada", day(1))
    there = timezone(timedelta(hours=2))
    on = (day(2).astimezone(there), day(3).astimezone(there))
    ship(home, fp8, on[0], "Ada", day(2), periods=[on], switched_every_hours=24.0)
    (entry,) = ledger(home).entries
    assert entry.periods == (on,)
    assert {entry.shipped_at.tzinfo, *(edge.tzinfo for edge in entry.periods[0])} == {UTC}


def test_only_this_user_reads_the_ledger(home, fp8):
    assert home.savings.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda home, key: note_idea(home, "", "Ada", day(1)), "title is 1 to 500 printable"),
        (lambda home, key: note_idea(home, "x" * 501, "Ada", day(1)), "title is 1 to 500 printable"),
        (lambda home, key: note_idea(home, "x", "A\x07", day(1)), "owner is 1 to 500 printable"),
        (lambda home, key: note_idea(home, "x", "Ada", day(1), evidence="\u202e"), "evidence is 1 to 500 printable"),
        (lambda home, key: note_idea(home, "FP8 weights", "Ada", day(0)), "noted already"),
        (lambda home, key: note_idea(home, "x", "Ada", day(1).replace(tzinfo=None)), "no time zone"),
        (lambda home, key: ship(home, key, day(1), "Ada", day(1)), "committed to what it promises"),
        (lambda home, key: commit(home, key, plan(usd_per_gpu_hour=float("nan")), "Ada", day(1)), "cannot be kept"),
        (lambda home, key: commit(home, key[:4], plan(), "Ada", day(1)), "Give the whole id"),
        (lambda home, key: reject(home, key, "", "Ada", day(1)), "reason is 1 to 500 printable"),
        (lambda home, key: say(home, key, "x", " ", day(1)), "name is 1 to 500 printable"),
    ],
)
def test_what_cannot_be_said_is_refused_and_leaves_no_line(home, fp8, write, said):
    before = home.savings.read_bytes()
    with pytest.raises(ConfigError, match=said):
        write(home, fp8)
    assert home.savings.read_bytes() == before


def test_a_change_that_nobody_noted_has_no_steps(home, fp8):
    with pytest.raises(UnknownKey, match=fp8):
        say(home, "fp8-waits", "Hello", "Ada", day(1))


def test_a_promise_cannot_be_made_again(home, fp8):
    commit(home, fp8, plan(), "Ada", day(1))
    with pytest.raises(ConfigError, match="What was promised cannot be changed"):
        commit(home, fp8, plan(saved_fraction=0.05), "Ada", day(2))


def test_threads_that_write_at_once_write_whole_lines_of_one_chain(home, fp8):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: say(home, fp8, f"Note {number}", "Ada", day(1)), range(24)))
    found = ledger(home)
    assert not found.broken
    assert {said.text for said in found.entries[0].said[1:]} == {f"Note {number}" for number in range(24)}


def test_processes_that_write_at_once_write_whole_lines_of_one_chain(home, fp8):
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path;"
        "from store.home import Home; from store.savings_file import say\n"
        "for number in range(10): say(Home(Path(sys.argv[1])), sys.argv[2], f'{sys.argv[3]} {number}', 'Ada',"
        " datetime(2026, 9, 8, tzinfo=UTC))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(home.path), fp8, name], cwd=ROOT) for name in ("a", "b")
    ]
    assert [process.wait() for process in running] == [0, 0]
    found = ledger(home)
    assert not found.broken
    notes = [said.text for said in found.entries[0].said[1:]]
    for name in ("a", "b"):
        assert [note for note in notes if note.startswith(name)] == [f"{name} {number}" for number in range(10)]


def test_a_line_that_a_crash_cut_off_is_kept_aside_by_the_next_and_nothing_else_is_lost(home, fp8):
    whole = home.savings.read_bytes()
    say(home, fp8, "Never confirmed", "Ada", day(1))
    half = home.savings.read_bytes()[len(whole) :]
    for cut in (1, 5, len(half) // 2, len(half) - 2):
        home.savings.write_bytes(whole + half[:cut])
        found = ledger(home)
        assert len(found.entries) == 1 and not found.broken and not found.broken_entries
        assert "was never confirmed" in found.problems[0]
        say(home, fp8, "Said again", "Ada", day(2))
        assert beside(home, TORN).read_bytes() == half[:cut] + b"\n"
        found = ledger(home)
        assert [said.text for said in found.entries[0].said] == ["Noted: FP8 weights", "Said again"]
        assert not found.broken
        assert "then delete that file" in found.problems[0]
        beside(home, TORN).unlink()
        assert ledger(home).problems == ()


def test_a_last_line_that_only_lacks_its_line_break_counts(home, fp8):
    home.savings.write_bytes(home.savings.read_bytes().rstrip(b"\n"))
    found = ledger(home)
    assert len(found.entries) == 1 and not found.problems
    say(home, fp8, "Well", "Ada", day(1))
    assert len(lines_of(home)) == 2 and not ledger(home).broken
    assert not beside(home, TORN).exists()


def test_a_full_disk_leaves_the_ledger_as_it_was(home, fp8, monkeypatch):
    before, write = home.savings.read_bytes(), os.write
    monkeypatch.setattr("store.savings_file.os.write", lambda handle, data: write(handle, data[:7]))
    with pytest.raises(ConfigError, match="the disk is full"):
        say(home, fp8, "Well", "Ada", day(1))
    monkeypatch.undo()
    assert home.savings.read_bytes() == before


def test_nothing_is_written_after_a_line_that_was_changed(home, fp8):
    home.savings.write_text(home.savings.read_text().replace("Ada", "Eve"))
    with pytest.raises(ConfigError, match=r"line 1 .* was changed after it was written.*from a backup"):
        note_idea(home, "Another", "Ada", day(1))


def test_a_change_that_a_break_touches_cannot_go_on_and_another_can(home, fp8):
    say(home, fp8, "Well", "Ada", day(1))
    note_idea(home, "Later", "Ada", day(1))
    home.savings.write_text(home.savings.read_text().replace("Well", "Hell"))
    found = ledger(home)
    assert found.broken_entries == {fp8}
    assert found.broken[0].startswith(f"savings.jsonl: line 2 ({fp8}) was changed")
    with pytest.raises(ConfigError, match=f"{fp8} cannot go on: .* from a backup"):
        commit(home, fp8, plan(), "Ada", day(2))
    say(home, fp8, "Somebody edited line 2", "Ada", day(2))
    note_idea(home, "Another", "Ada", day(3))
    assert len(ledger(home).entries) == 3 and len(ledger(home).broken) == 1


@pytest.mark.parametrize("data", [b"\xff\xfe\x00\n", b"\n\n", b"\x80" * 100, b"[" * 50_000 + b"\n", b'{"digest":1}\n'])
def test_hostile_bytes_are_named_and_crash_nothing(home, data):
    home.make()
    home.savings.write_bytes(data)
    found = ledger(home)
    assert found.entries == ()
    assert found.broken or found.problems
    assert all(text.isprintable() for text in (*found.broken, *found.problems))


def test_a_step_that_cannot_be_is_a_problem_and_marks_its_change(home, fp8, monkeypatch):
    monkeypatch.setattr("store.savings_file.check_step", lambda entry, event: None)
    take_back(home, fp8, day(1), "Ada", day(1))
    found = ledger(home)
    assert not found.broken
    assert found.broken_entries == {fp8}
    assert "Only what was shipped can be taken back" in found.problems[0]


def test_lines_taken_from_the_end_are_seen_by_who_noted_the_head(home, fp8):
    say(home, fp8, "Well", "Ada", day(1))
    chain = ledger(home).chain
    home.savings.write_text(lines_of(home)[0] + "\n")
    assert not ledger(home).broken
    assert not continues(ledger(home).chain, chain.head, chain.lines_count)


def test_a_ledger_of_the_sample_makes_way_for_the_first_real_entry(home):
    tried = note_idea(home, "Try the buttons", "Ada", day(0), is_sample=True)
    commit(home, tried, plan(), "Ada", day(1))
    assert [entry.is_sample for entry in ledger(home).entries] == [True]
    assert ledger(home, is_sample=True).is_sample
    assert ledger(home, is_sample=False) == Ledger()
    before = home.savings.read_bytes()
    real = note_idea(home, "FP8 weights", "Ada", day(2))
    assert [(entry.id, entry.is_sample) for entry in ledger(home, is_sample=False).entries] == [(real, False)]
    assert beside(home, SAMPLE).read_bytes() == before
    assert beside(home, SAMPLE).stat().st_mode & 0o777 == 0o600


def test_entries_of_the_sample_never_stand_among_real_ones(home, fp8):
    with pytest.raises(ConfigError, match="already holds changes of your own"):
        note_idea(home, "Try the buttons", "Ada", day(1), is_sample=True)
    assert ledger(home, is_sample=True) == Ledger()


def test_a_step_of_no_change_does_not_drive_the_sample_out(home):
    note_idea(home, "Try the buttons", "Ada", day(0), is_sample=True)
    before = home.savings.read_bytes()
    with pytest.raises(UnknownKey):
        append(home, Event(entry_id="real-1", kind=Kind.SAID, at=day(1), by="Ada", text="x"))
    assert home.savings.read_bytes() == before


def test_an_event_made_elsewhere_is_appended_as_it_is(home):
    said = Event(entry_id="fp8-1", kind=Kind.IDEA, at=day(0), by="Ben", body=Idea(title="FP8", owner="Ada"))
    append(home, said)
    assert ledger(home).chain.events == (said,)


def test_a_folder_in_its_place_says_so(home):
    home.savings.mkdir()
    assert "cannot be read: Is a directory" in ledger(home).problems[0]
    with pytest.raises(ConfigError, match="cannot be written: Is a directory"):
        note_idea(home, "x", "Ada", day(0))
