"""Steps in series of days: known answers, and intervals that hold the truth as often as they say."""

from dataclasses import replace
from functools import cache
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._planted_savings import WORLDS, pools
from costlib.effect import block_bootstrap, effect, newey_west
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.pool_days import question
from costlib.saving import Design

SAVED = 0.12
SEEDS = 140  # of each of the seven worlds: 980 pools
DESIGNS = (Design.DIFFERENCE, Design.BEFORE_AFTER)


def step(before: int, after: int) -> np.ndarray:
    return np.column_stack([np.ones(before + after), np.repeat([0.0, 1.0], [before, after])])


def white(count: int, seed: int = 0, sd: float = 0.05) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, count)


def handed_on(rho: float, count: int, seed: int = 0) -> np.ndarray:
    shocks = white(count, seed)
    y = shocks.copy()
    for day in range(1, count):
        y[day] = rho * y[day - 1] + np.sqrt(1 - rho**2) * shocks[day]
    return y


# Known answers --------------------------------------------------------------------------------------------------------


def test_of_many_days_of_white_noise_it_is_the_difference_of_two_means_with_students_interval():
    """Pooled two-sample t: the middle is the difference of means, the half width t_0.975 s sqrt(1/n1 + 1/n2)."""
    y = white(120, seed=2)
    y[60:] -= 0.1
    found = effect(y, step(60, 60), 1, range(120))
    difference = y[60:].mean() - y[:60].mean()
    pooled = np.sqrt((y[:60].var(ddof=1) + y[60:].var(ddof=1)) / 2)
    half = 1.9803 * pooled * np.sqrt(2 / 60)  # t of 118 degrees of freedom
    low, high = found.interval()
    assert found.middle == pytest.approx(difference, abs=0.1 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.2)
    assert found.freedom_count == 118
    assert abs(found.autocorrelation_ratio) < 0.15
    assert found.error_sd == pytest.approx(0.05, rel=0.1)


def test_where_days_hang_on_each_other_the_interval_is_wider_by_as_much_as_theory_says():
    """An AR(1) with rho 0.6 makes means sqrt((1 + 0.6) / (1 - 0.6)) = 2 times as unsure (domain_math §12.6)."""
    for rho, times in ((0.0, 1.0), (0.6, 2.0)):
        widths = []
        for seed in range(5):
            low, high = effect(handed_on(rho, 120, seed), step(60, 60), 1, range(120)).interval()
            widths.append(high - low)
        assert np.median(widths) == pytest.approx(times * 2 * 1.96 * 0.05 * np.sqrt(2 / 60), rel=0.15)


def test_a_saving_is_one_less_e_to_the_step():
    y = np.repeat([0.0, log(0.8)], 40) + white(80, sd=0.002)
    found = effect(y, step(40, 40), 1, range(80)).saved_fraction()
    assert found.mid == pytest.approx(0.2, abs=0.002)
    assert found.low < 0.2 < found.high
    assert found.basis is Basis.MEASURED


def test_ninety_nine_percent_are_wider_than_ninety_five():
    found = effect(white(40), step(20, 20), 1, range(40))
    (low, high), (least, most) = found.interval(0.05), found.interval(0.01)
    assert least < low < found.middle < high < most
    assert found.standard_error == pytest.approx((high - low) / 2 / 1.96, rel=1e-3)


def test_the_chance_of_none_is_small_for_a_clear_step_and_not_for_nothing():
    y = white(56)
    assert effect(y, step(28, 28), 1, range(56)).chance_of_none > 0.05
    y[28:] -= 0.3
    assert effect(y, step(28, 28), 1, range(56)).chance_of_none < 1e-3


# What must hold -------------------------------------------------------------------------------------------------------


@given(shift=st.floats(-10, 10), scale=st.floats(0.1, 10))
def test_a_constant_changes_nothing_and_another_unit_only_the_unit(shift: float, scale: float):
    y = white(30, seed=3)
    y[15:] += 0.2
    plain, moved = (effect(one, step(15, 15), 1, range(30)) for one in (y, shift + scale * y))
    ours = np.array([plain.middle, *plain.interval(), plain.error_sd]) * scale
    assert [moved.middle, *moved.interval(), moved.error_sd] == pytest.approx(ours, rel=1e-5, abs=1e-9)
    assert moved.autocorrelation_ratio == pytest.approx(plain.autocorrelation_ratio, abs=1e-4)


def test_a_gap_counts_by_its_length():
    y = handed_on(0.7, 30, seed=5)
    in_a_row = effect(y, step(15, 15), 1, range(30))
    with_gap = effect(y, step(15, 15), 1, [*range(15), *range(115, 130)])
    assert with_gap.middle != in_a_row.middle
    assert effect(y, step(15, 15), 1, range(700_000, 700_030)).middle == in_a_row.middle  # from where days count
    missing = np.r_[:5, 7:20, 21:30]
    low, high = effect(y[missing], step(15, 15)[missing], 1, missing).interval()
    assert low < in_a_row.middle < high


def test_it_is_the_same_every_time():
    first, second = (effect(white(30), step(15, 15), 1, range(30)) for _ in range(2))
    assert first.interval() == second.interval()
    assert (first.errors.drawn(9, 4) == second.errors.drawn(9, 4)).all()
    assert first.errors.drawn(9, 4).shape == (4, 9)


def test_drawn_errors_vary_as_those_that_were_seen():
    drawn = effect(white(120, sd=0.07), step(60, 60), 1, range(120)).errors.drawn(50, 400)
    assert drawn.std() == pytest.approx(0.07, rel=0.1)


# Refused --------------------------------------------------------------------------------------------------------------


def test_too_few_days_are_refused():
    with pytest.raises(DomainError, match="4 days are too few for 2 unknowns; take a longer window"):
        effect(white(4), step(2, 2), 1, range(4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_day_that_is_no_number_is_refused(bad: float):
    y, x = white(30), step(15, 15)
    y[4] = bad
    with pytest.raises(DomainError, match="not a number; leave it out"):
        effect(y, x, 1, range(30))
    x[4, 1] = bad
    with pytest.raises(DomainError, match="not a number; leave it out"):
        effect(white(30), x, 1, range(30))


@pytest.mark.parametrize("same", [lambda x: x, lambda x: 1 - x, lambda x: 1e-7 * x])
def test_what_changed_on_the_same_day_cannot_be_told_apart(same):
    x = step(15, 15)
    with pytest.raises(DomainError, match="two explanations change on the same days"):
        effect(white(30), np.column_stack([x, same(x[:, 1])]), 1, range(30))


# How often the truth is held ------------------------------------------------------------------------------------------


@cache
def held(saved: float) -> dict[str, dict[str, float]]:
    """By way and world, how often an interval of 95 % held the truth; both designs by turns."""
    truth = log(1 - saved)
    found: dict[str, dict[str, float]] = {way: {} for way in ("ours", "newey-west", "two samples")}
    for name, world in WORLDS.items():
        hits = np.zeros(3)
        for seed in range(SEEDS):
            mine, beside = pools(replace(world, log_effect=truth), seed)
            asked = question(mine, world.window, DESIGNS[seed % 2], beside)
            low, high = effect(asked.series, asked.design, asked.column, asked.numbers).interval()
            middle, error = newey_west(asked.series, asked.design, asked.column)
            costs = np.log(mine.gpu_hours / mine.work)
            sides = costs[: world.before_days], costs[world.before_days :]
            naive = sides[1].mean() - sides[0].mean()
            naive_error = np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides))
            hits += [
                low <= truth <= high,
                abs(middle - truth) <= 1.96 * error,
                abs(naive - truth) <= 1.96 * naive_error,
            ]
        for way, count in zip(found, hits, strict=True):
            found[way][name] = count / SEEDS
    return found


def test_the_interval_holds_the_truth_93_to_97_of_100_times():
    ours = held(SAVED)["ours"]
    assert 0.93 <= np.mean(list(ours.values())) <= 0.97
    assert min(ours.values()) >= 0.89, ours  # 93 % of 140 seeds, less two standard deviations


def test_of_changes_that_saved_nothing_3_to_7_of_100_are_said_to_have_changed_something():
    ours = held(0.0)["ours"]
    assert 0.03 <= 1 - np.mean(list(ours.values())) <= 0.07
    assert max(1 - share for share in ours.values()) <= 0.11, ours


def test_the_usual_ways_hold_it_far_less_often():
    """What the page shows beside ours, and what a spreadsheet does: each would claim savings that are none."""
    planted, nothing = held(SAVED), held(0.0)
    assert planted["two samples"]["a quiet month after"] < 0.5
    assert np.mean(list(planted["two samples"].values())) < 0.85
    assert np.mean(list(nothing["newey-west"].values())) < 0.9
    assert max(nothing["newey-west"].values()) < min(0.93, np.mean(list(nothing["ours"].values())))


def test_a_block_bootstrap_has_the_same_middle_and_says_the_same_again():
    y = white(56, seed=7)
    y[28:] -= 0.1
    middle, low, high = block_bootstrap(y, step(28, 28), 1)
    assert (middle, low, high) == block_bootstrap(y, step(28, 28), 1)
    assert middle == pytest.approx(y[28:].mean() - y[:28].mean())
    assert low < middle < high


def test_newey_west_is_least_squares_with_another_error():
    """Of two means, lag 0: s_i^2 / n_i each (White 1980), times n / (n - p)."""
    y = white(60, seed=8)
    middle, error = newey_west(y, step(30, 30), 1, lag_days=0)
    assert middle == pytest.approx(y[30:].mean() - y[:30].mean())
    assert error**2 == pytest.approx((y[:30].var() + y[30:].var()) / 30 * 60 / 58)
