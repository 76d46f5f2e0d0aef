"""Other ways to ask: CUPED, dates at which nothing happened, and the checks that are shown beside a verdict."""

from dataclasses import replace
from datetime import timedelta
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks._planted_savings import START, World, pools
from costlib.cross_checks import checks, cuped, placebo_fraction
from costlib.effect import effect
from costlib.estimate import Estimate, Undefined
from costlib.pool_days import Window, question
from costlib.saving import Design

WORLD = World(common_fraction=0.9)
SAVED = 0.12


def asked(saved: float, design: Design = Design.DIFFERENCE, seed: int = 1):
    mine, beside = pools(replace(WORLD, log_effect=log(1 - saved)), seed)
    found = question(mine, WORLD.window, design, beside)
    assert not isinstance(found, Undefined)
    return mine, beside, found, effect(found.series, found.design, found.column, found.numbers)


# CUPED ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_cuped_takes_out_rho_squared_of_the_variance(rho: float):
    """domain_math §12.4: Var(y') = (1 - rho^2) Var(y)."""
    x, own = np.random.default_rng(0).normal(size=(2, 20_000))
    y = rho * x + np.sqrt(1 - rho**2) * own
    left, gone = cuped(y, x, np.ones(len(y), dtype=bool))
    assert gone == pytest.approx(rho**2, abs=0.02)
    assert left.var() / y.var() == pytest.approx(1 - gone)
    assert left.mean() == pytest.approx(y.mean())


@given(st.integers(0, 10_000))
def test_before_the_change_cuped_never_adds_variance(seed: int):
    x, y = np.random.default_rng(seed).normal(size=(2, 30))
    left, gone = cuped(y, x, np.arange(30) < 20)
    assert left[:20].var() == pytest.approx((1 - gone) * y[:20].var())
    assert 0 <= gone <= 1


def test_a_pool_that_never_varied_says_nothing():
    y = np.arange(5.0)
    assert cuped(y, np.ones(5), np.ones(5, dtype=bool)) == (pytest.approx(y), 0.0)


# Dates at which nothing happened --------------------------------------------------------------------------------------


def test_no_date_before_it_is_as_clear_as_a_real_saving():
    mine, beside, _, found = asked(SAVED)
    assert placebo_fraction(mine, WORLD.window, Design.DIFFERENCE, beside, found) == 0.0


def test_a_change_that_saved_nothing_is_as_clear_as_about_half_of_them():
    shares = []
    for seed in range(12):
        mine, beside, _, found = asked(0.0, seed=seed)
        shares.append(placebo_fraction(mine, WORLD.window, Design.DIFFERENCE, beside, found))
    assert 0.2 < np.mean(shares) < 0.8


def test_too_few_days_have_no_dates_to_try():
    mine, beside, _, found = asked(SAVED)
    change = WORLD.window.after[0]
    short = Window(before=(change - timedelta(days=28), change), after=WORLD.window.after)
    said = placebo_fraction(mine, short, Design.DIFFERENCE, beside, found)
    assert said == Undefined(reason="28 days before the change are too few for dates at which nothing happened")


# Beside the verdict ---------------------------------------------------------------------------------------------------


def test_every_other_method_finds_a_large_saving_too():
    mine, beside, found, _ = asked(0.3)
    said = {one.name: one.saved_fraction for one in checks(mine, WORLD.window, Design.DIFFERENCE, beside, found)}
    assert set(said) == {
        "Least squares, Newey-West errors", "Least squares, block bootstrap", "Before and after alone, with a trend",
        "CUPED with the untouched pool", "Busy GPU time instead of rented",
    }  # fmt: skip
    for name, saved in said.items():
        assert isinstance(saved, Estimate), name
        assert saved.low > 0.1, name
        assert saved.mid == pytest.approx(0.3, abs=0.1), name


def test_before_and_after_is_checked_beside_an_untouched_pool_where_one_is_named():
    mine, beside, found, _ = asked(SAVED, Design.BEFORE_AFTER)
    named = [one.name for one in checks(mine, WORLD.window, Design.BEFORE_AFTER, beside, found)]
    assert "Difference-in-differences" in named
    alone = [one.name for one in checks(mine, WORLD.window, Design.BEFORE_AFTER, None, found)]
    assert "Difference-in-differences" not in alone
    assert "CUPED with the untouched pool" not in alone


def test_a_known_change_is_taken_out_of_the_other_methods_as_well():
    mine, beside, _, _ = asked(0.3)
    at = START + timedelta(days=30)
    jump = np.where([day >= at for day in mine.days], 1.6, 1.0)
    mine, steps = replace(mine, gpu_hours=mine.gpu_hours * jump), {"speculation": at}
    found = question(mine, WORLD.window, Design.DIFFERENCE, beside, steps)
    assert not isinstance(found, Undefined)
    for one in checks(mine, WORLD.window, Design.DIFFERENCE, beside, found, steps):
        if one.name != "Busy GPU time instead of rented":  # which did not jump
            assert one.saved_fraction.mid == pytest.approx(0.3, abs=0.12), one.name


def test_busy_time_that_was_not_measured_is_no_zero():
    mine, beside, found, _ = asked(SAVED)
    unknown = replace(mine, busy_gpu_hours=np.full(len(mine.days), np.nan))
    said = {one.name: one.saved_fraction for one in checks(unknown, WORLD.window, Design.DIFFERENCE, beside, found)}
    assert isinstance(said["Busy GPU time instead of rented"], Undefined)
