"""Changes of one pool at the same time never count for more than they did jointly."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import expm1, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.estimate import Estimate, Undefined
from costlib.overlap import avoided, counted, live_spans, live_together, overlaps
from costlib.saving import Design, Entry, Overlap, State, Verdict
from tests.savings_builders import entry, plan, signed

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 12, 1, tzinfo=UTC)
HALVED = log(0.5)
EFFECTS = st.dictionaries(st.sampled_from("abcde"), st.floats(-2, -1e-6), min_size=1)


def day(n: int) -> datetime:
    return FIRST + timedelta(days=n)


def change(
    key: str, on: int, saved: float = 0.2, cash: float = 100.0, *, pools: tuple[str, ...] = ("chat",), **more: object
) -> Entry:
    verdict = Verdict.ROSE if cash < 0 else Verdict.VERIFIED
    made = plan(pool_keys=pools, design=more.pop("design", Design.DIFFERENCE))
    whole = {"shipped_at": day(on), "signed": signed(verdict, saved, cash)} | more
    return entry(key, f"Change {key}", State.VERIFIED, made, **whole)


# A day of a pool


def test_two_changes_that_each_halve_the_cost_share_what_is_not_paid() -> None:
    """$25 a day are left of $100: each is worth $37.50, not $50."""
    assert avoided(25.0, {"a": HALVED, "b": HALVED}) == pytest.approx({"a": 37.5, "b": 37.5})


def test_one_change_alone_avoids_what_it_avoids() -> None:
    assert avoided(50.0, {"a": HALVED}) == pytest.approx({"a": 50.0})
    assert avoided(50.0, {"a": HALVED}, joint_log_effect=-0.1) == pytest.approx({"a": 50.0})


def test_what_rose_counts_whole_and_hides_nothing() -> None:
    """Halved by one and doubled by the other: the same cost as before, and neither is nothing."""
    found = avoided(100.0, {"saves": HALVED, "rises": -HALVED})
    assert found == pytest.approx({"saves": 69.3147, "rises": -69.3147}, rel=1e-4)
    capped = avoided(100.0, {"saves": HALVED, "rises": 0.1}, joint_log_effect=0.05)
    assert capped["rises"] == avoided(100.0, {"saves": HALVED, "rises": 0.1})["rises"]
    assert sum(capped.values()) == pytest.approx(100 * expm1(-0.05))


@given(EFFECTS, st.floats(0, 1e6), st.none() | st.floats(-3, 0.5))
def test_never_more_than_jointly_and_never_below_nothing(effects, cost, joint) -> None:
    found = avoided(cost, effects, joint)
    assert all(amount >= 0 for amount in found.values())
    assert sum(found.values()) <= cost * expm1(-sum(effects.values())) * (1 + 1e-9) + 1e-9
    if joint is not None and len(effects) > 1:
        assert sum(found.values()) <= max(0.0, cost * expm1(-joint)) * (1 + 1e-9) + 1e-9


@given(st.dictionaries(st.sampled_from("abcde"), st.floats(-2, 2), min_size=1), st.none() | st.floats(-3, 3))
def test_signs_stay_and_the_order_of_changes_does_not_matter(effects, joint) -> None:
    found = avoided(10.0, effects, joint)
    assert avoided(10.0, dict(reversed(effects.items())), joint) == pytest.approx(found)
    assert all(found[key] * effect <= 0 for key, effect in effects.items())
    if joint is None:
        assert sum(found.values()) == pytest.approx(10 * expm1(-sum(effects.values())), abs=1e-9)


# What counts of signed savings


def test_one_change_alone_counts_whole() -> None:
    assert counted([change("a", 0)], {frozenset("ab"): (-0.01, 0.01)}) == {"a": 1.0}


def test_changes_of_other_pools_and_those_measured_one_after_another_count_whole() -> None:
    assert counted([change("a", 0), change("b", 1, pools=("search",))]) == {"a": 1.0, "b": 1.0}
    assert counted([change("a", 0), change("b", 100)]) == {"a": 1.0, "b": 1.0}


def test_of_two_that_began_in_each_others_days_only_the_largest_counts() -> None:
    """$300 and $100 are signed, each with the other's effect in it, perhaps: $300 of the $400 count."""
    assert counted([change("a", 0, cash=300.0), change("b", 3)]) == pytest.approx({"a": 0.75, "b": 0.75})
    assert counted([change("a", 0, cash=300.0), change("b", 50)])["a"] == 0.75, "the second's 56 days before hold it"


def test_half_of_the_replicas_beside_the_other_half_see_what_else_began() -> None:
    both = [change("a", 0, design=Design.SPLIT), change("b", 3, design=Design.SWITCHBACK)]
    assert counted(both) == {"a": 1.0, "b": 1.0}


def test_a_joint_effect_caps_the_sum() -> None:
    """Each seems to save 20 %, 0.25 of what is left; jointly it is 20 % as well, so half of the sum counts."""
    both = [change("a", 0), change("b", 3)]
    assert counted(both, {frozenset("ab"): (log(0.8), 0.02)}) == pytest.approx({"a": 0.5, "b": 0.5})
    assert counted(both, {frozenset("ab"): (2 * log(0.8), 0.02)}) == {"a": 1.0, "b": 1.0}
    assert counted(both, {frozenset("ab"): (0.1, 0.02)}) == {"a": 0.0, "b": 0.0}


def test_a_change_of_two_pools_counts_the_mean_of_both() -> None:
    found = counted([change("a", 0, pools=("chat", "search")), change("b", 3)])
    assert found == pytest.approx({"a": 0.75, "b": 0.5})


def test_what_cost_more_counts_whole() -> None:
    rose = change("b", 3, saved=-0.1, cash=-50.0)
    assert counted([change("a", 0), rose]) == {"a": 1.0, "b": 1.0}
    joint = {frozenset("ab"): (log(0.9), 0.02)}
    assert counted([change("a", 0), rose], joint)["b"] == 1.0


@given(
    st.lists(st.tuples(st.integers(0, 200), st.floats(0.01, 0.6), st.floats(1, 1e6)), min_size=2, max_size=5),
    st.floats(-2, 0.2),
    st.randoms(),
)
def test_signed_savings_never_sum_to_more_than_the_joint_one(rows, joint, chance) -> None:
    """Of one pool that costs the same all the time: what counts is at most what the joint effect avoids."""
    changes = [change(f"{n}", on, saved, 1000 * expm1(-log(1 - saved))) for n, (on, saved, _) in enumerate(rows)]
    ids = frozenset(one.id for one in changes)
    found = counted(changes, {ids: (joint, 0.1)})
    assert all(0 <= ratio <= 1 for ratio in found.values())
    sums = sum(found[one.id] * one.signed.cash_usd_per_month.mid for one in changes if one.signed)
    assert sums <= max(0.0, 1000 * expm1(-joint)) * (1 + 1e-9) + 1e-6
    chance.shuffle(changes)
    assert counted(changes, {ids: (joint, 0.1)}) == found


@given(
    st.lists(st.tuples(st.integers(0, 200), st.floats(0.01, 0.6)), min_size=3, max_size=5),
    st.lists(st.tuples(st.sampled_from("01234"), st.sampled_from("01234"), st.floats(-1, 0.2)), max_size=6),
)
def test_every_pair_that_was_measured_jointly_keeps_to_it(rows, pairs) -> None:
    changes = [change(f"{n}", on, saved, 1000 * expm1(-log(1 - saved))) for n, (on, saved) in enumerate(rows)]
    joints = {frozenset((a, b)): (effect, 0.1) for a, b, effect in pairs if a != b}
    found = counted(changes, joints)
    cash = {one.id: found[one.id] * one.signed.cash_usd_per_month.mid for one in changes if one.signed}
    for ids, (effect, _) in joints.items():
        if ids <= cash.keys():
            assert sum(cash[key] for key in ids) <= max(0.0, 1000 * expm1(-effect)) * (1 + 1e-9) + 1e-6


def test_one_that_no_joint_effect_is_of_is_not_counted_twice_either() -> None:
    """Two are measured jointly and a third began between them: of $500 the largest, $300."""
    three = [change("a", 0, cash=300.0), change("b", 3), change("c", 5)]
    found = counted(three, {frozenset("ab"): (2 * log(0.8), 0.02)})
    assert found == pytest.approx({"a": 0.6, "b": 0.6, "c": 0.6})


# Where changes meet


def only(found: tuple[Overlap, ...]) -> Overlap:
    (one,) = found
    return one


def test_changes_that_never_met_do_not_overlap() -> None:
    assert overlaps([], NOW) == ()
    assert overlaps([change("a", 0, ended_at=day(30)), change("b", 30)], NOW) == ()
    assert overlaps([change("a", 0), entry("p", "p", State.PLANNED, plan(pool_keys=("chat",)))], NOW) == ()


def test_two_measured_one_after_another_save_both_parts_of_what_the_other_left() -> None:
    """20 % and 20 % of the rest are 36 %."""
    found = only(overlaps([change("b", 100), change("a", 0)], NOW))
    assert found.entry_ids == ("a", "b")
    assert isinstance(found.joint_fraction, Estimate)
    assert found.joint_fraction.low < found.joint_fraction.mid < found.joint_fraction.high
    assert found.joint_fraction.mid == pytest.approx(0.36)
    assert found.counted_ratio == 1.0
    assert "counts whole" in found.sentence


def test_two_at_once_say_how_much_counts_and_why() -> None:
    found = only(overlaps([change("a", 0, cash=300.0), change("b", 3)], NOW))
    assert found.counted_ratio == 0.75
    assert isinstance(found.joint_fraction, Undefined)
    assert found.sentence == (
        "“Change a” and “Change b” changed the same deployments in the same days: 75% of the sum of their savings "
        "counts, as what each holds of the others cannot be told apart."
    )


def test_a_joint_measurement_is_what_both_saved() -> None:
    found = only(overlaps([change("a", 0), change("b", 3)], NOW, {frozenset("ab"): (log(0.8), 0.0)}))
    assert isinstance(found.joint_fraction, Estimate)
    assert found.joint_fraction.mid == pytest.approx(0.2)
    assert found.counted_ratio == pytest.approx(0.5)
    assert "jointly" in found.sentence


def test_one_that_is_not_signed_yet_is_named_but_takes_nothing() -> None:
    found = only(overlaps([change("a", 0), change("b", 3, signed=None)], NOW))
    assert isinstance(found.joint_fraction, Undefined)
    assert found.counted_ratio == 1.0
    assert "nothing is counted twice" in found.sentence


def test_sets_that_grew_are_shown_once_but_each_is_worth_a_joint_estimate() -> None:
    three = [change("a", 0), change("b", 10), change("c", 20, ended_at=day(40)), change("d", 50)]
    assert live_together(three, NOW) == tuple(map(frozenset, ("ab", "abc", "abd")))
    assert [one.entry_ids for one in overlaps(three, NOW)] == [("a", "b", "c"), ("a", "b", "d")]


def test_many_are_named_in_part() -> None:
    found = only(overlaps([change(f"{n}", n) for n in range(6)], NOW))
    assert "“Change 2” and 3 others changed the same deployments" in found.sentence
    assert found.counted_ratio == pytest.approx(1 / 6)


def test_a_name_from_outside_stays_a_name() -> None:
    bad = replace(change("a", 0), title="a\x1b[31m\u202e")
    assert "\x1b" not in only(overlaps([bad, change("b", 1)], NOW)).sentence


def test_of_a_switchback_the_periods_were_live_and_all_of_the_time_after_them() -> None:
    turns = ((day(0), day(1)), (day(2), day(3)))
    assert live_spans(change("a", 0, periods=turns), day(5)) == (*turns, (day(3), day(5)))
    assert live_spans(change("a", 0, periods=turns, ended_at=day(3)), day(5)) == turns
    assert live_spans(change("a", 9), day(5)) == ()
