"""Actions of the weekly review: noted, done, never lost, and shown as they stood."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from costlib.errors import ConfigError, UnknownKey
from costlib.review import ActionState, Proposal
from store.actions import mark, note, noted, tell
from store.home import Home

MONDAY = datetime(2026, 11, 16, 9, tzinfo=UTC)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_an_action_has_an_owner_a_due_date_and_the_day_it_was_said(home):
    key = note(home, "Try  FP8 on search", "Ada", date(2026, 11, 30), MONDAY)
    (action,) = noted(home).actions
    assert (action.id, action.text, action.owner) == (key, "Try FP8 on search", "Ada")
    assert (action.due, action.said_on, action.state) == (date(2026, 11, 30), MONDAY.date(), ActionState.OPEN)
    assert action.is_late(date(2026, 12, 1))


def test_done_and_open_again_are_lines_of_their_own_and_the_past_stays(home):
    key = note(home, "Buy", "Ben", None, MONDAY)
    mark(home, key, ActionState.DONE, MONDAY + timedelta(days=1))
    mark(home, key, ActionState.OPEN, MONDAY + timedelta(days=2))
    assert noted(home).actions[0].state is ActionState.OPEN
    assert noted(home, until=MONDAY + timedelta(days=1)).actions[0].state is ActionState.DONE
    assert noted(home, until=MONDAY - timedelta(days=1)).actions == ()
    assert len(home.actions.read_text().splitlines()) == 3


@pytest.mark.parametrize(("text", "owner"), [("", "a"), ("a", "  "), ("a" * 501, "a"), ("a\x07b", "a")])
def test_what_is_no_action_is_refused(home, text, owner):
    with pytest.raises(ConfigError, match="1 to 500 printable"):
        note(home, text, owner, None, MONDAY)


def test_an_action_that_nobody_noted_cannot_be_done(home):
    with pytest.raises(UnknownKey, match="action"):
        mark(home, "nothing", ActionState.DONE, MONDAY)


def test_a_line_that_cannot_be_read_is_named_and_the_others_count(home):
    note(home, "Buy", "Ben", None, MONDAY)
    with home.actions.open("a") as file:
        file.write('{"id": "x"}\nnonsense\n{"id": "unknown", "state": "done", "at": "2026-11-16T09:00:00+00:00"}\n')
    note(home, "Sell", "Ben", None, MONDAY)
    found = noted(home)
    assert [action.text for action in found.actions] == ["Buy", "Sell"]
    assert [problem.split(" cannot")[0] for problem in found.problems] == [f"actions.jsonl line {n}" for n in (2, 3, 4)]


def test_a_decided_proposal_keeps_its_week_its_link_and_what_it_promised(home):
    proposal = Proposal(
        title="FP8", saved_low=Decimal(1), saved=Decimal("40777.80"), saved_high=Decimal(3), link="/?a.b=FP8"
    )
    note(home, "FP8", "Ada", None, MONDAY, week=date(2026, 11, 9), proposal=proposal)
    (action,) = noted(home).actions
    assert (action.week, action.link, action.saved) == (date(2026, 11, 9), "/?a.b=FP8", Decimal("40777.80"))
    mark(home, action.id, ActionState.DONE, MONDAY)
    assert noted(home).actions[0].saved == Decimal("40777.80")


def test_the_newest_note_of_a_week_counts_and_an_empty_one_takes_it_back(home):
    week = date(2026, 11, 9)
    tell(home, week, "Two  imports ran twice", MONDAY)
    tell(home, date(2026, 11, 2), "Before", MONDAY)
    assert noted(home).notes == {week: "Two imports ran twice", date(2026, 11, 2): "Before"}
    tell(home, week, " ", MONDAY + timedelta(hours=1))
    assert noted(home).notes[week] == ""
    with pytest.raises(ConfigError, match="1 to 1000 printable"):
        tell(home, week, "x" * 1001, MONDAY)


@pytest.mark.parametrize("line", ['"saved": "NaN"', '"saved": "much"', '"week": "soon"'])
def test_what_was_changed_by_hand_into_nonsense_is_named(home, line):
    home.make()
    home.actions.write_text(
        f'{{"id": "x", "text": "a", "owner": "b", "due": null, "at": "2026-11-16T09:00:00+00:00", {line}}}\n'
    )
    assert noted(home).actions == ()
    assert len(noted(home).problems) == 1
