"""What changes came to of what was promised, and what the next promise of the same lever is worth."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.estimate import Basis, Estimate
from costlib.realisation import LEAST_SD_RATIO, PRIOR_SD_RATIO, drawn_ratio, learnt, realised
from costlib.saving import Entry, Learnt, State, Verdict
from tests.savings_builders import entry, plan, signed

PROMISED = 0.2
_exact = Estimate(low=PROMISED, mid=PROMISED, high=PROMISED, basis=Basis.ASSUMED)


def change(ratio: float, standard_error: float = 0.0, *levers: str, key: str = "one", **more: object) -> Entry:
    """A change that came to `ratio` of a promised 20 %; the promise itself is exact."""
    made = plan(PROMISED, lever_keys=levers or ("prefix_caching",))
    made = replace(made, projection=replace(made.projection, saved_fraction=_exact))
    said = replace(signed(Verdict.VERIFIED, ratio * PROMISED, 100.0), standard_error=standard_error)
    return entry(key, key, State.VERIFIED, made, signed=replace(said, **more))


def test_without_a_signed_change_nothing_is_learnt() -> None:
    assert learnt([]) == {}
    assert learnt([entry("a", "a", State.IDEA), entry("b", "b", State.SHIPPED, plan())]) == {}


def test_half_of_what_was_promised_is_a_ratio_of_one_half() -> None:
    """10 % saved of 20 % promised; an error of 0.02 in the logarithm is 0.9 x 0.02 / 0.2 of the ratio."""
    found = realised(change(0.5, 0.02))
    assert found is not None
    assert found.ratio == pytest.approx(0.5)
    assert found.sd_ratio == pytest.approx(0.09)


def test_a_promise_with_a_wide_range_says_less_about_its_lever() -> None:
    """P10 to P90 of 2 x 1.2816 x 0.04 around 0.2 is a standard deviation of a fifth of the promise."""
    wide = Estimate(low=PROMISED - 0.0512621, mid=PROMISED, high=PROMISED + 0.0512621, basis=Basis.ASSUMED)
    one = change(0.5)
    assert one.plan is not None
    one = replace(one, plan=replace(one.plan, projection=replace(one.plan.projection, saved_fraction=wide)))
    found = realised(one)
    assert found is not None
    assert found.sd_ratio == pytest.approx(0.2, rel=1e-4)


def test_one_exact_change_pulls_nearly_to_itself_and_one_noisy_change_hardly_moves() -> None:
    exact = learnt([change(0.5)])["prefix_caching"]
    assert 0.5 < exact.mean_ratio < 0.51
    noisy = learnt([change(0.5, 0.5)])["prefix_caching"]
    assert 0.97 < noisy.mean_ratio < 1
    assert exact.sd_ratio < 0.011 < 0.28 < noisy.sd_ratio < PRIOR_SD_RATIO


def test_an_error_as_large_as_the_priors_meets_it_half_way() -> None:
    """Equal precisions: the mean of 1 and 0.5, and the prior's deviation over the root of 2."""
    found = learnt([change(0.5, PRIOR_SD_RATIO * PROMISED / 0.9)])["prefix_caching"]
    assert found.mean_ratio == pytest.approx(0.75)
    assert found.sd_ratio == pytest.approx(PRIOR_SD_RATIO / 2**0.5)


def test_many_changes_pull_to_their_mean() -> None:
    ratios = [0.6, 0.7, 0.65, 0.75, 0.7, 0.6, 0.68, 0.72, 0.7, 0.7]
    found = learnt([change(ratio, 0.01, key=f"{n}") for n, ratio in enumerate(ratios)])["prefix_caching"]
    assert found.mean_ratio == pytest.approx(np.mean(ratios), abs=0.01)
    assert found.changes_count == 10


def test_changes_that_contradict_each_other_leave_much_open() -> None:
    agree = learnt([change(0.9, key="a"), change(0.91, key="b")])["prefix_caching"]
    differ = learnt([change(0.4, key="a"), change(1.4, key="b")])["prefix_caching"]
    assert agree.sd_ratio < 0.01 < 0.2 < differ.sd_ratio


def test_levers_that_miss_their_promise_by_far_make_every_promise_less_sure() -> None:
    """A noisy change is pulled less towards what was promised where promises have proven worth little."""
    noisy = change(0.5, 0.06, "kv_offload", key="x")
    kept = [change(1.0, 0.01, lever, key=lever) for lever in ("prefix_caching", "batch_limits", "weight_precision")]
    missed = [change(0.1, 0.01, lever, key=lever) for lever in ("prefix_caching", "batch_limits", "weight_precision")]
    assert learnt([*missed, noisy])["kv_offload"].mean_ratio < learnt([*kept, noisy])["kv_offload"].mean_ratio


def test_a_change_of_two_levers_weighs_half_for_each() -> None:
    found = learnt([change(0.5, 0.06, "prefix_caching", "batch_limits")])
    assert found["prefix_caching"].mean_ratio == found["batch_limits"].mean_ratio
    assert learnt([change(0.5, 0.06)])["prefix_caching"].mean_ratio < found["prefix_caching"].mean_ratio < 1


@pytest.mark.parametrize("verdict", [Verdict.NOT_SHOWN, Verdict.ROSE, Verdict.PARTIAL, Verdict.PROBABLE])
def test_what_failed_is_what_learning_is_about(verdict: Verdict) -> None:
    assert learnt([change(-0.2, verdict=verdict)])["prefix_caching"].mean_ratio < 0


@pytest.mark.parametrize(
    "one",
    [
        change(0.5, verdict=Verdict.CANNOT_TELL),
        change(0.5, verdict=Verdict.GUARD_BROKEN),
        change(0.5, log_effect=float("nan")),
        entry("tiny", "tiny", State.VERIFIED, plan(0.001), signed=signed(Verdict.VERIFIED, 0.1, 1.0)),
    ],
    ids=["cannot be told", "bought with latency", "no number", "promised nothing"],
)
def test_what_tells_nothing_is_left_out(one: Entry) -> None:
    assert learnt([one]) == {}


@given(st.lists(st.tuples(st.floats(-2, 3), st.floats(0, 0.5)), min_size=1, max_size=6), st.randoms())
def test_order_does_not_matter(rows, chance) -> None:
    levers = ("prefix_caching", "batch_limits")
    changes = [
        change(ratio, error, *levers[: n % 2 + 1], key=f"{n}", log_effect=log(1 - ratio * PROMISED))
        for n, (ratio, error) in enumerate(rows)
    ]
    found = learnt(changes)
    chance.shuffle(changes)
    assert learnt(changes) == found
    for one in found.values():
        assert 0 < one.sd_ratio <= 2
        assert min(1, *(row[0] for row in rows)) - 1e-9 <= one.mean_ratio <= max(1, *(row[0] for row in rows)) + 1e-9


@pytest.mark.parametrize(("true_mean", "true_sd"), [(1.0, 0.3), (0.8, 0.2), (0.6, 0.4)])
def test_intervals_cover_what_levers_come_to(true_mean: float, true_sd: float) -> None:
    """Of 95 % intervals, over ledgers of four levers with one to three changes each, also where the prior is off."""
    chance = np.random.default_rng(7)
    inside = []
    for _ in range(150):
        truth = {f"lever-{n}": float(chance.normal(true_mean, true_sd)) for n in range(4)}
        changes = []
        for key, ratio in truth.items():
            for n in range(int(chance.integers(1, 4))):
                error = float(chance.uniform(0.1, 0.4))
                effect = log(1 - PROMISED * (ratio + error * float(chance.standard_normal())))
                changes.append(
                    change(ratio, error * PROMISED * np.exp(-effect), key, key=f"{key}{n}", log_effect=effect)
                )
        found = learnt(changes)
        inside += [abs(found[key].mean_ratio - ratio) < 1.96 * found[key].sd_ratio for key, ratio in truth.items()]
    assert 0.92 <= np.mean(inside) <= 0.995


def test_nothing_is_taken_for_surer_than_a_percent() -> None:
    found = realised(change(1.0))
    assert found is not None
    assert found.sd_ratio == LEAST_SD_RATIO


def test_of_several_levers_each_weighs_by_its_share_of_the_change() -> None:
    """Two thirds at 0.4 and a third at what was promised come to 0.6; an unknown lever is as promised."""
    known = {"a": Learnt(lever_key="a", mean_ratio=0.4, sd_ratio=0.3, changes_count=1)}
    drawn = drawn_ratio([("a", -200.0), ("b", -100.0)], known, np.array([[0.0], [1.0]]))
    assert drawn == pytest.approx([0.6, 0.8])
    assert drawn_ratio([("a", 0.0)], known, np.zeros((3, 1))) == pytest.approx([1, 1, 1])
