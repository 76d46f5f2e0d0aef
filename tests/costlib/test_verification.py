"""The verdict on a change, on fleets that scale by whole replicas over a floor and whose saving is planted."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from benchmarks._planted_savings import START, World
from costlib.estimate import Estimate, Undefined
from costlib.lever import Work
from costlib.pool_days import PoolHours
from costlib.saving import Design, Guard, Verdict, Verification
from costlib.units import HOURS_PER_DAY
from costlib.verifiable import Change
from costlib.verification import verify
from tests.costlib.planted_changes import (
    CHANGE,
    DEARER,
    NOTHING,
    QUIET,
    SAVED,
    SAVING,
    amount,
    entry_of,
    hours_after,
    measured_once,
    moment,
    verified,
)


def numbers_in(text: str) -> int:
    return sum(character.isdigit() for character in text)


# What was really saved ------------------------------------------------------------------------------------------------


def test_a_saving_of_the_promised_size_is_verified():
    found = verified(SAVING)
    assert found.verdict is Verdict.VERIFIED
    assert found.saved_fraction.low < SAVED < found.saved_fraction.high
    assert found.saved_fraction.low > 0
    assert found.placebo_fraction < 0.1
    assert (found.before, found.after) == (SAVING.window.before, SAVING.window.after)
    assert found.reason == (
        f"saved {found.saved_fraction.mid:.1%} of the cost of a unit of work, between {found.saved_fraction.low:.1%} "
        f"and {found.saved_fraction.high:.1%}"
    )


def test_a_saving_smaller_than_was_promised_is_partial():
    found = verified(SAVING, promised=0.4)
    assert found.verdict is Verdict.PARTIAL
    assert "less than the promised 40.0%" in found.reason


def test_before_and_after_alone_is_only_probable():
    found = verified(SAVING, Design.BEFORE_AFTER)
    assert found.verdict is Verdict.PROBABLE
    assert "nothing untouched" in found.reason
    assert "pool that nobody touches" in found.remedy


def test_nothing_saved_is_not_shown_where_the_promise_would_have_been_seen():
    found = verified(NOTHING)
    assert found.verdict is Verdict.NOT_SHOWN
    assert found.saved_fraction.low < 0 < found.saved_fraction.high
    assert found.minimum_fraction <= 0.1
    assert "the promised 10.0% would have been seen" in found.reason


def test_a_quiet_month_lowers_the_bill_and_is_no_saving():
    found = verified(QUIET, promised=0.12)
    assert found.naive_fraction > 0.1
    assert found.bill_change_usd_per_month < -1000
    assert found.verdict is Verdict.NOT_SHOWN
    assert amount(found, "Volume") < -1000
    assert abs(amount(found, "This change")) < abs(amount(found, "Volume")) / 2


def test_a_change_that_made_it_dearer_is_said_to_have():
    found = verified(DEARER)
    assert found.verdict is Verdict.ROSE
    assert found.remedy == "take it back"
    assert found.saved_fraction.high < 0
    assert f"costs {-found.saved_fraction.mid:.1%} more, at least {-found.saved_fraction.high:.1%}" in found.reason
    assert found.cash_usd_per_month.high < 0


def test_an_effect_smaller_than_can_be_seen_cannot_be_told():
    found = verified(NOTHING, promised=0.02)
    assert found.verdict is Verdict.CANNOT_TELL
    assert (
        found.reason
        == f"the smallest saving that can be seen here is {found.minimum_fraction:.1%}, and 2.0% was promised"
    )
    assert "compare more days" in found.remedy
    assert isinstance(found.saved_fraction, Estimate)  # what was measured is shown all the same


def test_realised_is_measured_over_promised():
    found = verified(SAVING, promised=0.24)
    for name in ("low", "mid", "high"):
        assert getattr(found.realised_fraction, name) == pytest.approx(getattr(found.saved_fraction, name) / 0.24)
    assert verified(SAVING, promised=0.0).realised_fraction == Undefined(reason="no saving was promised")


@pytest.mark.parametrize("world", [SAVING, NOTHING, QUIET, DEARER], ids=["saved", "nothing", "quiet", "dearer"])
@pytest.mark.parametrize("promised", [0.02, 0.1, 0.4])
def test_every_verdict_says_why_in_numbers(world: World, promised: float):
    found = verified(world, promised=promised)
    assert numbers_in(found.reason) >= 2
    assert "nan" not in found.reason
    assert found.saved_fraction.mid == pytest.approx(1 - np.exp(found.log_effect), abs=1e-6)


def test_a_stricter_level_widens_the_interval():
    found = verify(entry_of(SAVING), measured_once(SAVING), level=0.005)
    plain = verified(SAVING)
    assert found.saved_fraction.low < plain.saved_fraction.low < plain.saved_fraction.high < found.saved_fraction.high
    assert found.standard_error == plain.standard_error


# Guards ---------------------------------------------------------------------------------------------------------------


def with_ttft(ratio: float) -> Verification:
    noise = np.random.default_rng(0).normal(0, 0.01, 84)
    days = {START + timedelta(days=n): float(np.exp(noise[n])) * (ratio if n >= 56 else 1.0) for n in range(84)}
    guard = Guard(measure="ttft_p95_s", margin_fraction=0.1)
    return verify(entry_of(SAVING, guards=(guard,)), replace(measured_once(SAVING), guarded={"ttft_p95_s": days}))


def test_a_saving_that_made_answers_late_is_none():
    found = with_ttft(1.4)
    assert found.verdict is Verdict.GUARD_BROKEN
    assert "TTFT, p95 got worse beyond the margin" in found.reason
    assert found.guards[0].is_broken is True


def test_a_guard_that_held_changes_nothing_and_one_that_is_unknown_is_noted():
    assert with_ttft(1.0).verdict is Verdict.VERIFIED
    found = verify(entry_of(SAVING, guards=(Guard(measure="tpot_p95_s", margin_fraction=0.1),)), measured_once(SAVING))
    assert found.verdict is Verdict.VERIFIED
    assert "Time per output token, p95: whether it stayed within its margin cannot be told." in found.notes


# Which days -----------------------------------------------------------------------------------------------------------


def test_days_after_it_was_taken_back_count_as_before():
    """Two weeks on of four: where the two weeks after are left out, the interval is wider."""
    back = CHANGE + timedelta(days=14)
    world = SAVING
    was, none = measured_once(world), measured_once(NOTHING)
    at = np.arange(len(was.pool.gpu_hours)) // HOURS_PER_DAY >= 70
    pool = PoolHours(start=was.pool.start, **{
        name: np.where(at, getattr(none.pool, name), getattr(was.pool, name))
        for name in PoolHours.__slots__ if name != "start"
    })  # fmt: skip
    found = verify(replace(entry_of(world), ended_at=moment(back)), replace(was, pool=pool))
    assert found.after == (CHANGE, back)
    assert found.verdict is Verdict.VERIFIED
    assert found.saved_fraction.low < SAVED < found.saved_fraction.high
    days = [point.on for point in found.days]
    assert days[-1] == world.window.end - timedelta(days=1)
    assert [point.on for point in found.days if point.is_after] == [CHANGE + timedelta(days=n) for n in range(14)]


def test_before_its_days_are_over_nothing_is_said():
    until = moment(CHANGE + timedelta(days=20))
    found = verify(entry_of(SAVING), replace(measured_once(SAVING), measured_until=until))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason.startswith("20 of 28 days are over")
    assert str(SAVING.window.after[1]) in found.remedy
    assert isinstance(found.saved_fraction, Undefined)


def test_a_look_that_was_planned_is_taken_at_its_own_level():
    until = moment(CHANGE + timedelta(days=20))
    looked = verify(entry_of(SAVING, looks_count=2), replace(measured_once(SAVING), measured_until=until))
    assert looked.verdict in (Verdict.VERIFIED, Verdict.CANNOT_TELL)
    assert isinstance(looked.saved_fraction, Estimate)
    assert looked.after == (CHANGE, CHANGE + timedelta(days=20))
    last = verify(entry_of(SAVING, looks_count=2), measured_once(SAVING))
    once = verified(SAVING)
    assert last.saved_fraction.low < once.saved_fraction.low  # 4.4 % are left for the last of two looks
    early = replace(measured_once(SAVING), measured_until=moment(CHANGE + timedelta(days=13)))
    assert verify(entry_of(SAVING, looks_count=2), early).reason.startswith("13 of 28 days are over")


@pytest.mark.parametrize("side", ["before", "after"])
def test_without_days_on_both_sides_it_cannot_be_told(side: str):
    was = measured_once(SAVING)
    gone = hours_after(was) == (side == "after")
    pool = PoolHours(start=was.pool.start, **{
        name: np.where(gone, np.nan, getattr(was.pool, name)) for name in PoolHours.__slots__ if name != "start"
    })  # fmt: skip
    found = verify(entry_of(SAVING), replace(was, pool=pool))
    assert found.verdict is Verdict.CANNOT_TELL
    assert f"0 days {side} the change have data, at least 5 are needed" in found.reason or "not known" in found.reason
    assert found.remedy


def test_a_metric_that_vanished_is_named():
    was = measured_once(SAVING)
    pool = replace(was.pool, output_tokens=np.where(hours_after(was), np.nan, was.pool.output_tokens))
    found = verify(entry_of(SAVING), replace(was, pool=pool))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason == "output_tokens is missing in most hours after the change"
    assert "Data health" in found.remedy


# What else happened ---------------------------------------------------------------------------------------------------


def with_change(days_from_it: int, key: str = "pool", **plan: object) -> Verification:
    change = Change(deployment_key=key, at=moment(CHANGE + timedelta(days=days_from_it)), sentence="another model")
    return verify(entry_of(SAVING, **plan), replace(measured_once(SAVING), changes=(change,)))


@pytest.mark.parametrize("key", ["pool", "beside"])
@pytest.mark.parametrize("days", [-4, 0, 4])
def test_two_changes_within_five_days_cannot_be_told_apart(key: str, days: int):
    found = with_change(days, key)
    assert found.verdict is Verdict.CANNOT_TELL
    assert (
        f"two changes in one window: another model on {CHANGE + timedelta(days=days)}, this one on {CHANGE}"
        == found.reason
    )


def test_another_change_far_enough_is_taken_out():
    found = with_change(-20)
    assert found.verdict is Verdict.VERIFIED
    assert found.notes[-1] == f"Taken out as well: another model ({CHANGE - timedelta(days=20)})."


def test_a_change_of_another_pool_or_outside_the_window_is_nothing_to_this_one():
    assert with_change(0, "somewhere else") == verified(SAVING)
    assert with_change(60) == verified(SAVING)
    alone = with_change(0, "beside", design=Design.BEFORE_AFTER)
    assert alone.verdict is Verdict.PROBABLE


def test_a_pool_of_another_size_cannot_be_compared():
    was = measured_once(NOTHING)
    grown = np.where(hours_after(was), np.maximum(was.pool.gpu_hours, 20), was.pool.gpu_hours)
    found = verify(entry_of(NOTHING), replace(was, pool=replace(was.pool, gpu_hours=grown)))
    assert found.verdict is Verdict.CANNOT_TELL
    assert found.reason == "the pool was resized: its fewest GPUs went from 4 to 20"


def test_a_pool_that_goes_down_to_no_gpu_at_all_at_night_is_not_resized():
    was = measured_once(SAVING)

    def asleep(pool: PoolHours) -> PoolHours:
        is_night = np.arange(len(pool.gpu_hours)) % HOURS_PER_DAY < 4
        kept = {name: getattr(pool, name) for name in PoolHours.__slots__ if name != "start"}
        return PoolHours(start=pool.start, **{name: np.where(is_night, 0.0, of) for name, of in kept.items()})

    found = verify(entry_of(SAVING), replace(was, pool=asleep(was.pool), control=asleep(was.control)))
    assert "resized" not in found.reason
    assert found.verdict is Verdict.VERIFIED


def test_what_is_kept_from_the_servers_cannot_be_seen_on_them():
    found = verify(entry_of(SAVING, work=Work.OUTSIDE), measured_once(SAVING))
    assert found.verdict is Verdict.CANNOT_TELL
    assert "keeps requests from the servers" in found.reason


def test_what_was_never_promised_or_shipped_has_no_verdict():
    nothing = replace(entry_of(SAVING), plan=None)
    unshipped = replace(entry_of(SAVING), shipped_at=None)
    for entry in (nothing, unshipped):
        found = verify(entry, measured_once(SAVING))
        assert found.verdict is Verdict.CANNOT_TELL
        assert found.before is None


def test_beside_nothing_a_difference_cannot_be_told():
    found = verify(entry_of(SAVING), replace(measured_once(SAVING), control=None))
    assert found.verdict is Verdict.CANNOT_TELL
    assert "name one in control_keys" in found.reason


# What is drawn --------------------------------------------------------------------------------------------------------


def test_days_are_at_the_frozen_price_with_what_they_would_have_been():
    found = verified(SAVING)
    assert len(found.days) == 84
    assert all((point.without_usd_per_mtok is not None) == point.is_after for point in found.days)
    last = found.days[-1]
    assert last.without_usd_per_mtok == pytest.approx(last.usd_per_mtok * np.exp(-found.log_effect))
