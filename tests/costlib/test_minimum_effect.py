"""The smallest saving that a plan can see: the closed form by hand, and the simulated one by what is seen then."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import log

import numpy as np
import pytest

from benchmarks._planted_savings import START, WORLDS, World, pools
from costlib.effect import effect
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.minimum_effect import Smallest, best_length, minimum_fraction, smallest
from costlib.pool_days import PoolDays, question
from costlib.saving import Design

BEFORE_AFTER, DIFFERENCE = Design.BEFORE_AFTER, Design.DIFFERENCE
POWER_RUNS = 16  # of each of the seven worlds: 112
FEW = 40  # draws; 160 are for a plan


@pytest.mark.parametrize(
    ("cv", "rho", "days", "seen"),
    [(0.15, 0.0, 14, 0.159), (0.15, 0.5, 14, 0.275), (0.15, 0.5, 28, 0.194), (0.08, 0.5, 14, 0.147),
     (0.08, 0.7, 56, 0.101)],
)  # fmt: skip
def test_two_means_as_checked_by_hand(cv: float, rho: float, days: int, seen: float):
    """domain_math §12.6; the second is vector 30."""
    assert minimum_fraction(cv, rho, days, days) == pytest.approx(seen, abs=0.0006)


@pytest.mark.parametrize(("rho", "days"), [(1.0, 14), (-1.0, 14), (0.5, 0)])
def test_what_is_no_autocorrelation_and_no_day_is_refused(rho: float, days: int):
    with pytest.raises(DomainError, match="between -1 and 1, and there is a day on each side"):
        minimum_fraction(0.1, rho, days, 14)


# From a pool's own days -----------------------------------------------------------------------------------------------


def history(world: World, seed: int = 1) -> tuple[PoolDays, PoolDays]:
    mine, beside = pools(world, seed)
    days = [day for day in mine.days if world.window.is_before(day)]
    return mine.on(days), beside.on(days)


def seen_from(world: World, seed: int = 1, design: Design = BEFORE_AFTER, days: int = 28, **more) -> Smallest:
    mine, beside = history(world, seed)
    control = beside if design is DIFFERENCE else None
    found = smallest(mine, design, world.before_days, days, control, **{"draws": FEW, **more})
    assert isinstance(found, Smallest)
    return found


def test_a_saving_of_the_printed_size_is_seen_four_times_out_of_five():
    seen, runs = 0, 0
    for whole in WORLDS.values():
        for seed in range(50_000, 50_000 + POWER_RUNS):
            design = (DIFFERENCE, BEFORE_AFTER)[seed % 2]
            world = replace(whole, before_days=28, after_days=14)  # half the weeks are a quarter of the work
            found = seen_from(world, seed, design, world.after_days)
            mine, beside = pools(replace(world, log_effect=log(1 - found.fraction)), seed)
            asked = question(mine, world.window, design, beside)
            seen += effect(asked.series, asked.design, asked.column, asked.numbers).interval()[1] < 0
            runs += 1
    assert 0.75 <= seen / runs <= 0.85


def test_an_untouched_pool_that_shares_the_noise_lets_it_see_less():
    world = World(common_fraction=0.9)
    assert seen_from(world, design=DIFFERENCE).fraction < 0.7 * seen_from(world).fraction


def test_more_days_never_see_less_by_much():
    sizes = [seen_from(World(), design=DIFFERENCE, days=days, draws=100).fraction for days in (7, 14, 28, 56)]
    assert all(later <= sooner * 1.05 for sooner, later in pairwise(sizes))
    assert sizes[-1] < 0.9 * sizes[0]


def test_noise_and_a_stricter_level_need_more():
    assert seen_from(World(error_sd=0.1)).fraction > 1.5 * seen_from(World(error_sd=0.05)).fraction
    assert seen_from(World(), level=0.01).fraction > seen_from(World(), level=0.05).fraction


def test_it_is_about_as_large_as_the_closed_form_says_for_the_same_noise():
    """Load, weekdays and trend are to be estimated as well; and how days hang together, which is unsure."""
    found = seen_from(World())
    least = minimum_fraction(found.error_sd, found.autocorrelation_ratio, 56, 28)
    assert 0.5 * least < found.fraction < 2 * least
    assert found.error_sd == pytest.approx(0.05, rel=0.5)


def test_a_known_change_is_no_noise():
    mine, _ = history(World())
    at = START + timedelta(days=40)
    jump = np.where([day >= at for day in mine.days], 1.5, 1.0)
    changed = replace(mine, gpu_hours=mine.gpu_hours * jump)
    before, told, unknown = (
        smallest(pool, BEFORE_AFTER, 56, 28, draws=FEW, other_steps=steps)
        for pool, steps in ((mine, {}), (changed, {"speculation": at}), (changed, {}))
    )
    assert told.fraction == pytest.approx(before.fraction, rel=0.3)
    assert unknown.fraction > 1.5 * told.fraction


def test_known_changes_that_cannot_be_told_apart_are_passed_over():
    mine, _ = history(World())
    days = {"first": 40, "the day after": 41, "at the edge": 1, "in the middle": 28}
    steps = {name: START + timedelta(days=day) for name, day in days.items()}
    assert isinstance(smallest(mine, BEFORE_AFTER, 56, 28, draws=FEW, other_steps=steps), Smallest)


def test_it_says_the_same_again():
    assert seen_from(World()) == seen_from(World())


def test_too_short_a_history_says_nothing():
    mine, _ = history(World())
    short = mine.on(mine.days[:20])
    assert smallest(short, BEFORE_AFTER, 56, 28) == Undefined(reason="20 days were measured, at least 21 are needed")


def test_a_pool_to_compare_with_that_was_hardly_measured_says_nothing():
    mine, beside = history(World())
    found = smallest(mine, DIFFERENCE, 56, 28, beside.on(beside.days[:6]))
    assert isinstance(found, Undefined)
    assert "0 days after the change have data" in found.reason
    with pytest.raises(DomainError, match="name one in control_keys"):
        smallest(mine, DIFFERENCE, 56, 28)


# Which of them to take ------------------------------------------------------------------------------------------------


def of(after_days: int, fraction: float, before_days: int = 56) -> Smallest:
    return Smallest(design=BEFORE_AFTER, before_days=before_days, after_days=after_days, fraction=fraction,
                    error_sd=0.05, autocorrelation_ratio=0.5)  # fmt: skip


def test_the_shortest_that_sees_the_promise():
    found = [of(56, 0.06), of(28, 0.09), of(14, 0.12), of(7, 0.2)]
    assert best_length(found, 0.1) == of(28, 0.09)
    assert best_length(found, 0.05) is None
    assert best_length([], 0.05) is None
