"""What must not get worse: broken, held or not to be told, each within a margin that was set beforehand."""

from datetime import date, timedelta

import numpy as np
import pytest

from costlib.estimate import Estimate, Undefined
from costlib.guards import LEAST, guard_results
from costlib.pool_days import Window
from costlib.saving import GUARDED, Guard

START = date(2026, 9, 7)
CHANGE, END = START + timedelta(days=28), START + timedelta(days=42)
WINDOW = Window(before=(START, CHANGE), after=(CHANGE, END))
TTFT = Guard(measure="ttft_p95_s", margin_fraction=0.1)


def by_day(ratio: float, sd: float = 0.01, base: float = 0.8, seed: int = 0) -> dict[date, float]:
    noise = np.random.default_rng(seed).normal(0, sd, 42)
    return {START + timedelta(days=n): base * (ratio if n >= 28 else 1.0) * float(np.exp(noise[n])) for n in range(42)}


def result(days, guard: Guard = TTFT):
    (found,) = guard_results([guard], {guard.measure: days}, WINDOW)
    return found


@pytest.mark.parametrize(("ratio", "is_broken"), [(1.0, False), (0.7, False), (1.05, False), (1.2, True)])
def test_only_what_is_surely_beyond_the_margin_is_broken(ratio: float, is_broken: bool):
    found = result(by_day(ratio))
    assert found.is_broken is is_broken
    assert found.change_fraction.mid == pytest.approx(ratio - 1, abs=0.02)
    assert found.change_fraction.low <= found.change_fraction.mid <= found.change_fraction.high
    assert found.before == pytest.approx(0.8, rel=0.01)
    assert found.after == pytest.approx(0.8 * ratio, rel=0.02)


def test_where_the_margin_lies_within_the_interval_it_cannot_be_told():
    found = result(by_day(1.1, sd=0.1))
    assert found.is_broken is None
    assert isinstance(found.change_fraction, Estimate)
    assert found.change_fraction.low < 0.1 < found.change_fraction.high


def test_no_margin_at_all_still_lets_chance_pass():
    assert result(by_day(1.0, seed=3), Guard(measure="ttft_p95_s", margin_fraction=0.0)).is_broken is not True


def test_failures_that_were_none_have_a_logarithm():
    failed = Guard(measure="failed_fraction", margin_fraction=0.5)
    none = dict.fromkeys(by_day(1.0), 0.0)
    assert result(none, failed).is_broken is False
    some = {day: (0.01 if day >= CHANGE else 0.0) for day in none}
    found = result(some, failed)
    assert found.is_broken is True
    assert (found.before, found.after) == pytest.approx((LEAST, 0.01))


@pytest.mark.parametrize("kept", [lambda day: False, lambda day: day < CHANGE, lambda day: day >= CHANGE])
def test_a_measure_that_is_not_known_on_both_sides_is_undefined_and_no_guard_held(kept):
    found = result({day: value for day, value in by_day(1.0).items() if kept(day)})
    assert found.is_broken is None
    assert found.change_fraction == Undefined(reason=f"{GUARDED['ttft_p95_s']} was measured on too few days")
    assert (found.before, found.after) == (found.change_fraction,) * 2


def test_a_day_that_is_no_number_or_outside_the_windows_is_left_out():
    days = by_day(1.0)
    expected = result({day: value for day, value in days.items() if day != START}).change_fraction
    days |= {START: float("nan"), END: 100.0, START - timedelta(days=1): 100.0}
    assert result(days).change_fraction == expected


def test_each_guard_has_its_own_answer():
    tpot = Guard(measure="tpot_p95_s", margin_fraction=0.1)
    found = guard_results([TTFT, tpot], {"ttft_p95_s": by_day(1.0), "tpot_p95_s": by_day(1.3)}, WINDOW)
    assert [(one.guard, one.is_broken) for one in found] == [(TTFT, False), (tpot, True)]
    assert guard_results([], {}, WINDOW) == ()
