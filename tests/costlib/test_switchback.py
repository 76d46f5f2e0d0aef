"""On and off by turns: a schedule drawn by lot, and what its turns say whatever hours hang on each other."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.switchback import LEAST_PAIRS, TURNS_HOURS, Paired, paired, schedule, turns_of

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
SEEDS = 400


def test_of_the_same_hours_on_two_days_one_is_on():
    turns = schedule(MONDAY, 2, 12, seed=3)
    assert [turn.is_on for turn in turns] == [True, False, False, True]
    assert [turn.start.hour for turn in turns] == [0, 12, 0, 12]


@given(pairs=st.integers(1, 20), turn_hours=st.sampled_from(TURNS_HOURS), seed=st.integers(0, 2**32))
def test_each_hour_of_the_day_is_as_often_on_as_off(pairs: int, turn_hours: int, seed: int):
    turns = schedule(MONDAY, 2 * pairs, turn_hours, seed)
    on = Counter(turn.start.hour for turn in turns if turn.is_on)
    off = Counter(turn.start.hour for turn in turns if not turn.is_on)
    assert on == off == dict.fromkeys(range(0, 24, turn_hours), pairs)
    ends = [MONDAY, *(turn.end for turn in turns)]
    assert [turn.start for turn in turns] == ends[:-1]
    assert ends[-1] == MONDAY + timedelta(days=2 * pairs)
    assert turns == schedule(MONDAY, 2 * pairs, turn_hours, seed)


def test_lots_are_drawn_anew_for_each_hour_and_each_pair_of_days():
    firsts = [turn.is_on for turn in schedule(MONDAY, 400, 6, seed=0) if (turn.start - MONDAY).days % 2 == 0]
    drawn = np.array(firsts, dtype=float).reshape(-1, 4)
    assert drawn.mean() == pytest.approx(0.5, abs=0.07)
    together = np.corrcoef(drawn.T)
    assert np.abs(together - np.eye(4)).max() < 0.25
    assert abs(np.corrcoef(drawn[1:, 0], drawn[:-1, 0])[0, 1]) < 0.25


@pytest.mark.parametrize(
    ("first", "days_count", "turn_hours", "said"),
    [
        (MONDAY, 14, 5, "a turn lasts 4, 6, 8, 12 hours, not 5"),
        (MONDAY, 7, 6, "give an even number of days, not 7"),
        (MONDAY, 0, 6, "give an even number of days, not 0"),
        (MONDAY + timedelta(hours=1), 14, 6, "turns begin at midnight UTC, not at 2026-11-02T01:00"),
        (MONDAY.replace(tzinfo=None), 14, 6, "turns begin at midnight UTC"),
    ],
)
def test_a_schedule_that_would_not_balance_is_refused(first, days_count, turn_hours, said):
    with pytest.raises(DomainError, match=said):
        schedule(first, days_count, turn_hours, seed=0)


def test_turns_are_read_back_from_when_it_was_on():
    turns = schedule(MONDAY, 4, 8, seed=1)
    on = [(turn.start, turn.end) for turn in turns if turn.is_on]
    found = turns_of(MONDAY, 8, on)
    assert found == turns


def test_turns_that_follow_each_other_are_noted_as_one_period():
    on = [(MONDAY, MONDAY + timedelta(hours=12)), (MONDAY + timedelta(hours=18), MONDAY + timedelta(hours=24))]
    assert [turn.is_on for turn in turns_of(MONDAY, 6, on)] == [True, True, False, True, *[False] * 4], (
        "to the end of the pair"
    )


# What turns say -------------------------------------------------------------------------------------------------------


def observed(seed: int, effect: float, days_count: int = 14, rho: float = 0.8, turn_hours: int = 6) -> Paired:
    """Turns of hours that hang on each other strongly, with a rhythm of the day ten times as large as the noise."""
    turns = schedule(MONDAY, days_count, turn_hours, seed)
    chance = np.random.default_rng(10_000 + seed)
    noise = chance.normal(0, 0.05, len(turns))
    for n in range(1, len(turns)):
        noise[n] = rho * noise[n - 1] + np.sqrt(1 - rho**2) * noise[n]
    rhythm = np.array([0.5 * np.sin(turn.start.hour / 24 * 2 * np.pi) for turn in turns])
    found = paired(turns, np.array([effect * turn.is_on for turn in turns]) + noise + rhythm)
    assert isinstance(found, Paired)
    return found


def test_of_changes_that_do_nothing_3_to_7_of_100_look_as_if_they_did_something():
    """The test is exact, whatever hours hang on each other (Fisher): of 400, 5 % is 20."""
    chances = np.array([observed(seed, 0.0, days_count=8).chance_fraction for seed in range(SEEDS)])
    assert 0.03 <= np.mean(chances <= 0.05) <= 0.07
    assert np.mean(chances <= 0.5) == pytest.approx(0.5, abs=0.07)


def test_the_interval_holds_the_truth_93_to_97_of_100_times():
    found = [observed(seed, -0.1, days_count=8) for seed in range(SEEDS)]
    assert 0.93 <= np.mean([one.low <= -0.1 <= one.high for one in found]) <= 0.97
    assert np.mean([one.log_effect for one in found]) == pytest.approx(-0.1, abs=0.005)


def test_a_clear_saving_is_seen_and_a_rhythm_of_the_day_does_not_matter():
    found = observed(1, -0.2)
    assert found.pairs_count == 28
    assert found.chance_fraction < 0.01
    assert found.saved_fraction.low > 0.1
    assert found.saved_fraction.mid == pytest.approx(1 - np.exp(found.log_effect))
    turns = schedule(MONDAY, 14, 6, seed=1)
    flat = np.random.default_rng(0).normal(0, 0.05, len(turns))
    rhythm = np.array([turn.start.hour / 10 for turn in turns])
    plain, moved = paired(turns, flat), paired(turns, flat + rhythm)
    assert isinstance(plain, Paired)
    assert isinstance(moved, Paired)
    assert (moved.low, moved.log_effect, moved.high) == pytest.approx((plain.low, plain.log_effect, plain.high))


def test_fewer_than_six_pairs_say_nothing():
    turns = schedule(MONDAY, 10, 12, seed=0)[: 2 * LEAST_PAIRS]
    costs = np.linspace(0, 1, len(turns))
    whole = schedule(MONDAY, 6, 12, seed=0)
    assert isinstance(paired(whole, costs), Paired)
    costs[0] = np.nan  # the hour of one turn is unknown: its pair is none
    assert paired(whole, costs) == Undefined(reason="5 pairs of turns have data, at least 6 are needed")
    assert paired([], np.array([])) == Undefined(reason="0 pairs of turns have data, at least 6 are needed")


def test_a_rarer_error_needs_more_pairs():
    """Of n pairs the rarest draw is 2 of 2^n: at 1 % eight of them, 2 / 256 = 0.8 %."""
    turns = schedule(MONDAY, 14, 12, seed=0)
    costs = np.random.default_rng(0).normal(0, 0.05, len(turns))
    assert paired(turns[:12], costs[:12], 0.01) == Undefined(reason="6 pairs of turns have data, at least 8 are needed")
    wide, narrow = paired(turns, costs, 0.01), paired(turns, costs, 0.05)
    assert isinstance(wide, Paired)
    assert isinstance(narrow, Paired)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_turns_that_were_both_on_are_no_pair():
    on = [(MONDAY, MONDAY + timedelta(days=14))]
    turns = turns_of(MONDAY, 12, on)
    assert paired(turns, np.zeros(len(turns))) == Undefined(reason="0 pairs of turns have data, at least 6 are needed")
