"""The savings ledger: every word that was written reads back exactly, and no word is changed, moved or lost unseen."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import ConfigError, UnknownKey
from costlib.estimate import Basis, Estimate
from costlib.saving import Design, Guard, Plan, Projection, Signed, State, Verdict, Weights
from costlib.savings_ledger import (
    BODIES,
    MOST_LINE_CHARACTERS,
    Event,
    Idea,
    Kind,
    Shipped,
    TakenBack,
    continues,
    encoded,
    new_id,
    read_chain,
)
from costlib.savings_steps import STATE_OF, entries, find, folded, is_committed_late
from tests.savings_builders import plan, signed

MONDAY = datetime(2026, 9, 7, 9, tzinfo=UTC)
FP8, CACHE = "fp8-weights-3fa9c1", "longer-prefixes-0b77de"


def day(number):
    return MONDAY + timedelta(days=number)


def event(kind, on=0, body=None, entry_id=FP8, text="", is_sample=False):
    return Event(entry_id=entry_id, kind=kind, at=day(on), by="Ada", text=text, is_sample=is_sample, body=body)


def signature(on, verdict=Verdict.VERIFIED):
    return replace(signed(verdict, 0.17, 9000.0), at=day(on), by="Ada")


IDEA = event(Kind.IDEA, 0, Idea(title="FP8 weights", owner="Ada", evidence="https://git.example/1"))
PLANNED = event(Kind.PLANNED, 1, plan())
SHIPPED = event(Kind.SHIPPED, 2, Shipped(at=day(2)))
SIGNED = event(Kind.SIGNED, 30, signature(30))
TAKEN_BACK = event(Kind.TAKEN_BACK, 40, TakenBack(at=day(39)))
REJECTED = event(Kind.REJECTED, 41, text="Answers got worse")
LIFE = (
    IDEA,
    event(Kind.IDEA, 0, Idea(title="Longer prefixes", owner="Ben"), CACHE),
    PLANNED,
    event(Kind.SAID, 1, text="Ask search first", entry_id=CACHE),
    SHIPPED,
    SIGNED,
    event(Kind.REJECTED, 31, text="Too much work", entry_id=CACHE),
    TAKEN_BACK,
)


def chained(events):
    lines, head = [], ""
    for one in events:
        lines.append(encoded(one, head))
        head = read_chain(lines[-1:]).head
    return lines


LINES = chained(LIFE)


# Nothing is lost on the way into the file and back.

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TIMES = st.datetimes(timezones=st.just(UTC))
ESTIMATES = st.builds(
    lambda values, basis: Estimate(**dict(zip(("low", "mid", "high"), sorted(values), strict=True)), basis=basis),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.sampled_from(Basis),
)
KEYS = st.lists(TEXTS, max_size=3).map(tuple)
BODY = {
    Idea: st.builds(Idea, title=TEXTS, owner=TEXTS, evidence=TEXTS),
    Plan: st.builds(
        Plan,
        lever_keys=KEYS,
        pool_keys=KEYS,
        control_keys=KEYS,
        weights=st.builds(Weights, cached_ratio=NUMBERS, output_ratio=NUMBERS, source=TEXTS),
        usd_per_gpu_hour=NUMBERS,
        projection=st.builds(Projection, saved_fraction=ESTIMATES, saved_usd_per_month=ESTIMATES),
        minimum_fraction=st.none() | NUMBERS,
        guards=st.lists(st.builds(Guard, measure=TEXTS, margin_fraction=NUMBERS), max_size=2).map(tuple),
    ),
    Shipped: st.builds(
        Shipped,
        at=TIMES,
        periods=st.lists(st.tuples(TIMES, TIMES), max_size=3).map(tuple),
        switched_every_hours=st.none() | NUMBERS,
    ),
    Signed: st.builds(
        Signed,
        at=TIMES,
        log_effect=NUMBERS,
        standard_error=NUMBERS,
        saved_fraction=ESTIMATES,
        cash_usd_per_month=ESTIMATES,
    ),
    TakenBack: st.builds(TakenBack, at=TIMES),
}
EVENTS = st.sampled_from(Kind).flatmap(
    lambda kind: st.builds(
        Event,
        entry_id=st.just(FP8),
        kind=st.just(kind),
        at=TIMES,
        by=TEXTS,
        text=TEXTS,
        body=BODY.get(BODIES[kind], st.none()),
    )
)


@given(EVENTS)
def test_what_is_written_reads_back_exactly(said):
    line = encoded(said, "")
    chain = read_chain([line])
    assert chain.events == (said,)
    assert not chain.breaks
    assert line.isascii() and "\n" not in line
    assert encoded(chain.events[0], "") == line


def test_a_field_that_is_younger_than_a_line_has_its_default_there():
    document = json.loads(encoded(PLANNED, ""))
    assert document["body"].pop("looks_count") == 1
    chain = read_chain([written(document)])
    assert not chain.breaks
    assert chain.events == (PLANNED,)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(replace(SIGNED, body=replace(SIGNED.body, log_effect=float("nan"))), id="NaN"),
        pytest.param(replace(SIGNED, body=replace(SIGNED.body, log_effect=np.float64("nan"))), id="NaN of numpy"),
        pytest.param(replace(SIGNED, body=replace(SIGNED.body, standard_error=float("inf"))), id="infinite"),
        pytest.param(replace(IDEA, at=IDEA.at.replace(tzinfo=None)), id="in no time zone"),
        pytest.param(replace(IDEA, body=SIGNED.body), id="a body of another kind"),
        pytest.param(replace(IDEA, entry_id="../x"), id="no id"),
        pytest.param(replace(IDEA, text="\ud800"), id="half a character"),
        pytest.param(replace(IDEA, text="x" * MOST_LINE_CHARACTERS), id="too long"),
    ],
)
def test_what_would_not_read_back_is_refused(said):
    with pytest.raises(ConfigError, match="cannot be kept in the savings ledger"):
        encoded(said, "")


def test_a_float_of_numpy_is_a_number():
    said = replace(SIGNED, body=replace(SIGNED.body, log_effect=np.float64(-0.1)))
    assert read_chain([encoded(said, "")]).events == (said,)


# Nothing is changed, moved or lost unseen.


def compact(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def written(document):
    """A line as somebody would write it who knows how digests are made."""
    without = compact({key: value for key, value in document.items() if key != "digest"})
    return compact({**document, "digest": sha256(without.encode()).hexdigest()})


def paths_of(value, path=()):
    """Every place in a document that holds a plain value, or an empty list."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, (*path, key))
    elif isinstance(value, list) and value:
        for key, item in enumerate(value):
            yield from paths_of(item, (*path, key))
    else:
        yield path


def changed(line, path, value):
    document = json.loads(line)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return compact(document)


EVERY_PLACE = [(number, path) for number, line in enumerate(LINES, 1) for path in paths_of(json.loads(line))]
OTHER = st.none() | st.booleans() | st.integers(-5, 5) | NUMBERS | st.text(max_size=8) | st.just([])


def test_changing_any_field_of_any_line_names_the_line_and_its_change():
    assert len(EVERY_PLACE) > 90
    for number, path in EVERY_PLACE:
        lines = list(LINES)
        lines[number - 1] = changed(lines[number - 1], path, "what it was not")
        chain = read_chain(lines)
        assert [broken.line_number for broken in chain.breaks] == [number], path
        assert f"line {number} " in chain.breaks[0].text
        assert LIFE[number - 1].entry_id in chain.broken_entries or path == ("entry_id",)
        if path != ("entry_id",):
            assert chain.breaks[0].entry_id == LIFE[number - 1].entry_id


@given(st.sampled_from(EVERY_PLACE), OTHER)
def test_whatever_a_field_is_changed_into_is_seen(place, value):
    number, path = place
    lines = list(LINES)
    lines[number - 1] = changed(lines[number - 1], path, value)
    if lines != LINES:
        assert [broken.line_number for broken in read_chain(lines).breaks] == [number]


@given(st.data())
def test_any_other_byte_is_seen(data):
    number = data.draw(st.integers(0, len(LINES) - 1))
    place = data.draw(st.integers(0, len(LINES[number]) - 1))
    lines = list(LINES)
    lines[number] = (
        lines[number][:place] + data.draw(st.characters(exclude_characters="\n")) + lines[number][place + 1 :]
    )
    if lines != LINES:
        assert [broken.line_number for broken in read_chain(lines).breaks] == [number + 1]


@given(st.permutations(range(len(LINES))))
def test_any_other_order_is_seen(order):
    chain = read_chain([LINES[place] for place in order])
    assert bool(chain.breaks) == (list(order) != sorted(order))
    # Whoever stands elsewhere than before, seen from any line of their own change, is marked.
    for entry_id in (FP8, CACHE):
        own = [place for place in order if LIFE[place].entry_id == entry_id]
        assert own == sorted(own) or entry_id in chain.broken_entries


@given(st.integers(0, len(LINES) - 2))
def test_a_line_that_is_missing_is_seen_and_nothing_noted_before_it_counts(place):
    chain = read_chain([*LINES[:place], *LINES[place + 1 :]])
    (broken,) = chain.breaks
    assert broken.line_number == place + 1
    assert "missing" in broken.text
    assert {one.entry_id for one in LIFE[:place]} <= chain.broken_entries


@given(st.integers(0, len(LINES) - 1), st.integers(0, len(LINES)))
def test_a_line_that_is_there_twice_is_seen(place, where):
    lines = [*LINES[:where], LINES[place], *LINES[where:]]
    chain = read_chain(lines)
    assert chain.breaks
    assert LIFE[place].entry_id in chain.broken_entries


@given(st.integers(0, len(LINES) - 1))
def test_a_line_that_somebody_put_in_with_the_right_digests_is_seen_by_the_next(place):
    forged = encoded(event(Kind.SAID, 1, text="Forged", entry_id=CACHE), read_chain(LINES[:place]).head)
    chain = read_chain([*LINES[:place], forged, *LINES[place:]])
    assert [broken.line_number for broken in chain.breaks] == [place + 2]
    assert CACHE in chain.broken_entries


@given(st.integers(0, len(LINES) - 2))
def test_a_line_that_was_changed_and_given_a_new_digest_is_seen_by_the_next(place):
    document = json.loads(LINES[place]) | {"by": "Mallory"}
    chain = read_chain([*LINES[:place], written(document), *LINES[place + 1 :]])
    (broken,) = chain.breaks
    assert f"does not follow line {place + 1}" in broken.text
    assert LIFE[place].entry_id in chain.broken_entries


def test_what_comes_after_a_break_is_read_and_counts():
    lines = [*LINES[:3], "nonsense", *LINES[3:]]
    later = encoded(replace(IDEA, entry_id="later-1"), read_chain(lines).head)
    chain = read_chain([*lines, later])
    assert chain.events == (*LIFE, replace(IDEA, entry_id="later-1"))
    assert chain.broken_entries == {FP8, CACHE}
    assert [broken.text for broken in chain.breaks] == [
        "line 4 cannot be read: Expecting value: line 1 column 1 (char 0)"
    ]


def test_only_a_head_on_file_shows_lines_taken_from_the_end_or_a_file_written_anew():
    chain = read_chain(LINES)
    assert continues(chain, chain.head, chain.lines_count)
    assert continues(chain, read_chain(LINES[:3]).head, 3) and continues(chain, "", 0)
    shorter, anew = read_chain(LINES[:-1]), read_chain(chained([replace(one, by="Mallory") for one in LIFE]))
    for other in (shorter, anew):
        assert not other.breaks
        assert not continues(other, chain.head, chain.lines_count)
    assert not continues(chain, "", 3)
    assert not continues(read_chain([*LINES[:2], "nonsense"]), "", 3)


DEEP = "[" * 100_000
HOSTILE = {
    "nothing": "",
    "no JSON": "\x00\ufffd\ufffd",
    "a list": "[]",
    "a number": "7",
    "deep": DEEP,
    "deep inside": changed(LINES[0], ("text",), 0)[:-1] + ',"x":' + DEEP,
    "a long number": "9" * 5000,
    "long": '"' + "x" * MOST_LINE_CHARACTERS + '"',
    "NaN": LINES[5].replace('"standard_error":0.021', '"standard_error":NaN'),
    "huge": LINES[5].replace('"standard_error":0.021', '"standard_error":1e999'),
    "a huge whole number": LINES[5].replace('"standard_error":0.021', '"standard_error":' + "9" * 400),
    "a field twice": LINES[0][:-1] + ',"by":"Mallory"}',
    "spaces": LINES[0] + " ",
    "a carriage return": LINES[0] + "\r",
    **{
        f"{path[0]} {value!r}"[:40]: written(json.loads(changed(LINES[0], path, value)))
        for path, value in [
            (("kind",), "unknown"),
            (("kind",), ["idea"]),
            (("at",), "2026-13-01T00:00:00+00:00"),
            (("at",), "2026-09-07T09:00:00"),
            (("at",), "2026-09-07T09:00:00+02:00"),
            (("is_sample",), 1),
            (("by",), None),
            (("by",), "\ud800"),
            (("body",), None),
            (("body",), []),
            (("body", "title"), 7),
            (("body", "new"), 7),
            (("entry_id",), "<script>"),
            (("entry_id",), {}),
            (("previous",), None),
        ]
    },
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_line_that_cannot_be_is_named_and_nothing_crashes(line):
    chain = read_chain([line])
    assert [broken.line_number for broken in chain.breaks] == [1]
    assert chain.breaks[0].text.isprintable() and len(chain.breaks[0].text) < 300
    folded(chain.events)


@given(st.lists(st.text() | st.sampled_from(LINES), max_size=4))
def test_no_text_crashes(lines):
    chain = read_chain(lines)
    folded(chain.events)
    assert chain.lines_count == len(lines)


@given(st.lists(EVENTS, max_size=6))
def test_no_order_of_steps_crashes(events):
    found = folded(events)
    assert len(found.problems) <= len(events)


# Which step may follow which.


def test_a_change_goes_from_an_idea_to_what_was_shown_and_is_taken_back():
    states = [entries(LIFE[:count])[0].state for count in range(1, len(LIFE) + 1)]
    assert [first for first, second in pairwise([*states, None]) if first is not second] == [
        State.IDEA,
        State.PLANNED,
        State.SHIPPED,
        State.VERIFIED,
        State.REVERSED,
    ]
    fp8, cache = entries(LIFE)
    assert (fp8.title, fp8.owner, fp8.evidence, fp8.noted_at) == ("FP8 weights", "Ada", "https://git.example/1", day(0))
    assert (fp8.plan, fp8.signed) == (PLANNED.body, SIGNED.body)
    assert (fp8.committed_at, fp8.shipped_at, fp8.ended_at) == (day(1), day(2), day(39))
    assert fp8.periods == ((day(2), day(39)),)
    assert [said.text for said in fp8.said] == [
        "Noted: FP8 weights",
        "Committed to 18.0% saved (12.0% to 24.0%), by difference",
        "Shipped at 2026-09-09 09:00 UTC",
        "Signed as verified: 17.0% saved (13.0% to 21.0%), bills final",
        "Taken back at 2026-10-16 09:00 UTC",
    ]
    assert [said.text for said in cache.said] == [
        "Noted: Longer prefixes",
        "Ask search first",
        "Rejected. Too much work",
    ]


@pytest.mark.parametrize("verdict", Verdict)
def test_the_verdict_signed_is_the_state(verdict):
    found = folded([IDEA, PLANNED, SHIPPED, event(Kind.SIGNED, 30, signature(30, verdict))])
    if verdict is Verdict.CANNOT_TELL:
        assert "cannot be signed" in found.problems[0][1]
    assert found.entries[0].state is STATE_OF.get(verdict, State.SHIPPED)


def test_the_newest_signature_counts_and_both_stay():
    again = event(Kind.SIGNED, 60, signature(60, Verdict.ROSE))
    (found,) = entries([IDEA, PLANNED, SHIPPED, SIGNED, again])
    assert (found.state, found.signed) == (State.NOT_SHOWN, again.body)
    assert [said.text.split(":")[0] for said in found.said[-2:]] == ["Signed as verified", "Signed as rose"]


STEPS = {
    State.IDEA: [IDEA],
    State.PLANNED: [IDEA, PLANNED],
    State.SHIPPED: [IDEA, PLANNED, SHIPPED],
    State.VERIFIED: [IDEA, PLANNED, SHIPPED, SIGNED],
    State.PARTIAL: [IDEA, PLANNED, SHIPPED, event(Kind.SIGNED, 30, signature(30, Verdict.PARTIAL))],
    State.NOT_SHOWN: [IDEA, PLANNED, SHIPPED, event(Kind.SIGNED, 30, signature(30, Verdict.NOT_SHOWN))],
    State.REVERSED: [IDEA, PLANNED, SHIPPED, TAKEN_BACK],
    State.REJECTED: [IDEA, REJECTED],
}
LATER = {
    Kind.IDEA: replace(IDEA, at=day(50)),
    Kind.PLANNED: replace(PLANNED, at=day(50)),
    Kind.SHIPPED: replace(SHIPPED, at=day(50)),
    Kind.SIGNED: event(Kind.SIGNED, 50, signature(50)),
    Kind.TAKEN_BACK: event(Kind.TAKEN_BACK, 50, TakenBack(at=day(50))),
    Kind.REJECTED: replace(REJECTED, at=day(50)),
    Kind.REOPENED: event(Kind.REOPENED, 50),
    Kind.SAID: event(Kind.SAID, 50, text="Well"),
}
MAY = {
    State.IDEA: {Kind.PLANNED, Kind.REJECTED},
    State.PLANNED: {Kind.SHIPPED, Kind.REJECTED},
    State.SHIPPED: {Kind.SIGNED, Kind.TAKEN_BACK},
    State.VERIFIED: {Kind.SIGNED, Kind.TAKEN_BACK},
    State.PARTIAL: {Kind.SIGNED, Kind.TAKEN_BACK},
    State.NOT_SHOWN: {Kind.SIGNED, Kind.TAKEN_BACK, Kind.REJECTED},
    State.REVERSED: {Kind.SIGNED},  # what it cost while it was on
    State.REJECTED: {Kind.REOPENED},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", Kind)
def test_a_step_that_cannot_follow_is_a_problem_and_changes_nothing(state, kind):
    before = entries(STEPS[state])
    assert before[0].state is state
    found = folded([*STEPS[state], LATER[kind]])
    if kind in MAY[state] | {Kind.SAID}:
        assert not found.problems
        assert len(found.entries[0].said) > len(before[0].said)
    else:
        assert found.entries == before
        assert [entry_id for entry_id, _ in found.problems] == [FP8]


@pytest.mark.parametrize("state", [State.IDEA, State.PLANNED, State.NOT_SHOWN])
def test_what_is_opened_again_is_what_it_was(state):
    steps = [*STEPS[state], REJECTED, LATER[Kind.REOPENED]]
    assert entries(steps)[0].state is state


def test_a_promise_that_was_frozen_after_the_fact_is_visible():
    (late,) = entries([IDEA, PLANNED, event(Kind.SHIPPED, 2, Shipped(at=day(-3)))])
    assert is_committed_late(late)
    assert late.said[-1].text.startswith("Committed after it was shipped")
    assert not is_committed_late(entries(LIFE)[0]) and not is_committed_late(entries([IDEA])[0])


ON = ((day(2), day(3)), (day(4), day(5)), (day(8), day(9)))
SWITCHBACK = [IDEA, event(Kind.PLANNED, 1, plan(design=Design.SWITCHBACK))]


def test_a_switchback_says_when_it_is_on_and_is_off_once_it_is_taken_back():
    shipped = event(Kind.SHIPPED, 2, Shipped(at=day(2), periods=ON, switched_every_hours=24.0))
    (found,) = entries([*SWITCHBACK, shipped])
    assert (found.periods, found.switched_every_hours) == (ON, 24.0)
    half = day(4) + timedelta(hours=12)
    (found,) = entries([*SWITCHBACK, shipped, event(Kind.TAKEN_BACK, 6, TakenBack(at=half))])
    assert found.periods == (ON[0], (day(4), half))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([PLANNED], "unknown change"),
        ([IDEA, event(Kind.PLANNED, 1, plan(pool_keys=()))], "names the pools"),
        ([IDEA, event(Kind.PLANNED, 1, plan(control_keys=("support-copilot",)))], "both changed and compared"),
        ([IDEA, event(Kind.PLANNED, 1, plan(control_keys=()))], "nobody touches"),
        ([IDEA, event(Kind.PLANNED, 1, plan(before_days=10**9))], "window before the change"),
        ([IDEA, event(Kind.PLANNED, 1, plan(after_days=0))], "window after the change"),
        ([IDEA, event(Kind.PLANNED, 1, plan(looks_count=0))], "looks 1 to"),
        ([IDEA, event(Kind.PLANNED, 1, plan(guards=(Guard(measure="ttft", margin_fraction=0.1),)))], "unknown guard"),
        ([IDEA, PLANNED, event(Kind.SHIPPED, 2, Shipped(at=day(3)))], "yet to come"),
        ([IDEA, PLANNED, event(Kind.SHIPPED, 2, Shipped(at=day(2), periods=ON))], "no switchback"),
        ([*SWITCHBACK, SHIPPED], "Say when it is on"),
        (
            [*SWITCHBACK, event(Kind.SHIPPED, 2, Shipped(at=day(2), periods=ON[::-1], switched_every_hours=24.0))],
            "Put them in order",
        ),
        (
            [*SWITCHBACK, event(Kind.SHIPPED, 4, Shipped(at=day(3), periods=ON, switched_every_hours=24.0))],
            "from when it was shipped",
        ),
        ([IDEA, PLANNED, SHIPPED, event(Kind.TAKEN_BACK, 5, TakenBack(at=day(1)))], "before it was shipped"),
        ([IDEA, PLANNED, SHIPPED, event(Kind.TAKEN_BACK, 5, TakenBack(at=day(6)))], "yet to come"),
        ([IDEA, PLANNED, SHIPPED, replace(SIGNED, by="Ben")], "who signs"),
        ([IDEA, replace(PLANNED, is_sample=True)], "not of the sample"),
        ([IDEA, event(Kind.PLANNED, -1, plan())], "Set this machine's clock"),
    ],
)
def test_what_cannot_be_says_why(steps, said):
    ((_, problem),) = folded(steps).problems
    assert said in problem


def test_an_id_is_readable_and_its_own():
    assert new_id("Quantise: search & support, all of them", "Ada", MONDAY).startswith("quantise-search-support-all-")
    assert new_id("量化", "Ada", MONDAY).startswith("change-")
    assert new_id("FP8", "Ada", MONDAY) == new_id("FP8", "Ada", MONDAY)
    assert len({new_id("FP8", owner, day(on)) for owner in ("Ada", "Ben") for on in range(50)}) == 100


@given(TEXTS)
def test_any_title_makes_an_id(title):
    encoded(replace(IDEA, entry_id=new_id(title, "", MONDAY)), "")


def test_a_change_is_found_by_the_beginning_of_its_id():
    found = entries(LIFE)
    assert find(found, FP8).id == find(found, "fp8").id == FP8
    longer = replace(found[0], id=f"{FP8}-2")
    assert find([*found, longer], FP8).id == FP8
    for text in ("", "nothing"):
        with pytest.raises(UnknownKey, match=CACHE):
            find(found, text)
    with pytest.raises(UnknownKey, match="Known: fp8-weights-3fa9c1, fp8-weights-3fa9c1-2"):
        find([*found, longer], "fp8")


def test_what_was_taken_back_stays_so_when_its_verdict_is_signed():
    reversed_ = entries(STEPS[State.REVERSED])[0]
    signed = folded([*STEPS[State.REVERSED], LATER[Kind.SIGNED]]).entries[0]
    assert (reversed_.state, signed.state) == (State.REVERSED, State.REVERSED)
    assert signed.signed is not None
