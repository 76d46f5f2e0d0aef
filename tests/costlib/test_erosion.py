"""Whether a saving lasts: later windows against what was signed."""

from datetime import date, timedelta
from math import log

import numpy as np
import pytest

from costlib.erosion import erosion
from costlib.estimate import Estimate, Undefined
from costlib.saving import State, Verdict
from tests.savings_builders import entry, plan, signed

SIGNED = entry("fp8", "FP8", State.VERIFIED, plan(), signed=signed(Verdict.VERIFIED, 0.2, 100.0))


def windows(*saved: float | None, error: float = 0.02):
    start = date(2026, 1, 1)
    return [
        (
            start + timedelta(days=28 * n),
            Undefined(reason="too few days") if one is None else (log(1 - one), error),
        )
        for n, one in enumerate(saved)
    ]


def test_what_saves_as_much_as_was_signed_lasts() -> None:
    found = erosion(SIGNED, windows(0.21, 0.19, 0.2))
    assert found.is_eroded is False
    assert found.sentence == (
        "It lasts. In the 28 days from 2026-02-26 it saved 20.0% (16.8% to 23.1%); 20.0% was signed."
    )
    first, saved = found.windows[0]
    assert first == date(2026, 1, 1)
    assert isinstance(saved, Estimate)
    assert saved.mid == pytest.approx(0.21)


def test_less_than_half_of_what_was_signed_has_worn_off() -> None:
    """2 % saved, at most 5.8 %: below half of the 20 % signed."""
    found = erosion(SIGNED, windows(0.2, 0.02))
    assert found.is_eroded is True
    assert "worn off" in found.sentence
    assert "2.0%" in found.sentence


def test_below_half_but_not_surely_cannot_be_told() -> None:
    found = erosion(SIGNED, windows(0.2, 0.08))
    assert found.is_eroded is None
    assert "not surely" in found.sentence


def test_a_saving_that_falls_from_window_to_window_is_wearing_off_before_half_is_lost() -> None:
    found = erosion(SIGNED, windows(0.2, 0.18, 0.16, 0.14, 0.12))
    assert found.is_eroded is True
    assert "from 20.0% to 12.0% over 5 windows" in found.sentence
    assert erosion(SIGNED, windows(0.12, 0.14, 0.16, 0.18, 0.2)).is_eroded is False, "one that grows is not"


def test_the_order_of_windows_does_not_matter() -> None:
    shown = windows(0.2, 0.18, 0.16, 0.14, 0.12)
    assert erosion(SIGNED, shown[::-1]) == erosion(SIGNED, shown)


def test_too_few_windows_tell_nothing() -> None:
    assert erosion(SIGNED, []).is_eroded is None
    found = erosion(SIGNED, windows(0.01, None))
    assert found.is_eroded is None
    assert "1 window of 28 days" in found.sentence


def test_a_window_that_is_not_over_is_passed_over_and_still_shown() -> None:
    found = erosion(SIGNED, windows(0.2, None, 0.2, None))
    assert found.is_eroded is False
    assert isinstance(found.windows[-1][1], Undefined)


@pytest.mark.parametrize("verdict", [None, Verdict.NOT_SHOWN, Verdict.ROSE, Verdict.CANNOT_TELL])
def test_where_no_saving_is_signed_none_can_be_lost(verdict: Verdict | None) -> None:
    one = entry("a", "a", State.SHIPPED, plan(), signed=verdict and signed(verdict, 0.2, 1.0))
    assert erosion(one, windows(0.2, 0.0)).is_eroded is None


def test_of_savings_that_last_about_one_in_forty_gives_an_alarm() -> None:
    """Six windows each of a 20 % saving, measured with an error of 0.04."""
    chance = np.random.default_rng(5)
    start = date(2026, 1, 1)
    alarms = 0
    for _ in range(2000):
        found = [
            (start + timedelta(days=28 * n), (log(0.8) + 0.04 * float(z), 0.04))
            for n, z in enumerate(chance.standard_normal(6))
        ]
        alarms += erosion(SIGNED, found).is_eroded is True
    assert 0.01 <= alarms / 2000 <= 0.05
