"""Policies replayed: dollars, who waits, cold starts, flaps; against a fixed fleet and one that knows what comes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.autoscale import keep_warm_s, replay
from costlib.autoscale_file import LESSON
from costlib.autoscale_policy import (
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    Rule,
    SchedulePolicy,
    StaticPolicy,
)
from costlib.autoscale_run import ReplaySettings, step_rates
from costlib.errors import Cancelled, DomainError
from costlib.estimate import Undefined
from tests.costlib.capacity_builders import load, unit

SMOOTH = ReplaySettings(arrivals_cv_ratio=0.0)
DAY = 6 + 5 * np.sin(np.arange(48) / 24 * 2 * np.pi)


def by_running(target: float = 38.0, most: int = 40, down_s: float = 600, **changes) -> HpaPolicy:
    return HpaPolicy(
        label="running",
        min_replicas_count=1,
        max_replicas_count=most,
        targets=(MetricTarget(metric=Metric.RUNNING, target_ratio=target),),
        down=Behaviour(stabilisation_s=down_s, rules=(Rule(change_count=100, period_s=15, is_percent=True),)),
        **changes,
    )


QUEUE_OF_FIVE = HpaPolicy(
    label="queue", min_replicas_count=1, max_replicas_count=40,
    targets=(MetricTarget(metric=Metric.WAITING, target_ratio=5),),
)  # fmt: skip


def test_a_fixed_fleet_costs_its_replicas_and_lets_nobody_wait():
    """domain_math §14, vector 32: one GPU at $3.50 for 720 hours."""
    found = replay(load([0.5] * 24), unit(), [], SMOOTH, hours_per_month=720).static
    assert found.replica_hours == pytest.approx(24)
    assert found.usd_per_month == pytest.approx(2520)
    assert (found.missed_fraction, found.starts_count, found.flaps_count) == (0, 0, 0)


def test_dollars_are_replica_hours_times_gpus_times_price():
    found = replay(load([4.0] * 6), unit(gpus=4, usd=2.0), [StaticPolicy(label="seven", replicas_count=7)], SMOOTH)
    [seven] = found.replays
    assert seven.replica_hours == pytest.approx(42)
    assert (seven.gpu_hours, seven.total_usd) == (pytest.approx(168), pytest.approx(336))
    assert found.saved_fraction(seven) == pytest.approx(1 - 7 / 5)


def test_what_comes_before_a_place_is_free_waits_its_turn():
    """One replica answers one a second; two a second come for an hour, then none: the last of them waits an hour."""
    found = replay(load([2.0, 0.0, 0.0]), unit(batch=1), [StaticPolicy(label="one", replicas_count=1)],
                   ReplaySettings(arrivals_cv_ratio=0, max_wait_s=60))  # fmt: skip
    [one] = found.replays
    assert one.worst_wait_s == pytest.approx(3600, rel=0.1)
    assert one.missed_fraction > 0.9
    assert one.unserved_requests_count == 0


def test_what_is_never_answered_counts_as_waiting_to_the_end():
    found = replay(load([1.0] * 2), unit(), [StaticPolicy(label="none", replicas_count=0)], SMOOTH).replays[0]
    assert found.missed_fraction > 0.99
    assert found.unserved_requests_count == pytest.approx(7200)


def test_clairvoyant_lets_nobody_wait_and_costs_less_than_the_peak_all_day():
    found = replay(load(DAY), unit(), [], SMOOTH)
    assert found.clairvoyant.missed_fraction == 0
    assert found.clairvoyant.total_usd < 0.7 * found.static.total_usd


def test_following_the_running_requests_costs_little_more_than_knowing_the_future():
    found = replay(load(DAY), unit(), [by_running()])
    [one] = found.replays
    assert found.clairvoyant.replica_hours * 0.9 < one.replica_hours < found.clairvoyant.replica_hours * 1.2
    assert one.missed_fraction < 0.02
    assert not one.flaps_for_ever


def test_a_slow_start_makes_more_wait():
    rush = [0.5] * 3 + [12.0] * 3
    quick, slow = (
        replay(load(rush), unit(), [by_running()], ReplaySettings(start_s=s, arrivals_cv_ratio=0)).replays[0]
        for s in (30, 900)
    )
    assert slow.missed_fraction > 2 * quick.missed_fraction
    assert slow.worst_wait_s > quick.worst_wait_s


def test_a_queue_vanishes_with_enough_replicas_so_scaling_on_it_flaps_for_ever():
    found = replay(load(DAY), unit(bend=3.0), [QUEUE_OF_FIVE, LESSON], SMOOTH)
    queue = found.replays[0]
    assert queue.flaps_for_ever
    assert queue.flaps_count > 20
    assert any("queue never comes to rest" in note for note in found.notes)
    assert len(queue.replicas_count) == 48, "a policy that flaps for ever keeps no more than its hours"


def test_a_static_fleet_and_a_schedule_never_flap():
    hours = tuple(range(1, 13)) + tuple(range(12, 0, -1))
    found = replay(load(DAY), unit(), [SchedulePolicy(label="clock", replicas_by_hour_count=hours)], SMOOTH)
    assert not any(one.flaps_for_ever for one in (found.static, *found.replays))


def test_scaling_to_none_saves_the_night_and_costs_a_cold_start():
    night = [4.0] * 8 + [0.0] * 12 + [4.0] * 4
    keda = KedaPolicy(
        label="keda", min_replicas_count=0, max_replicas_count=9,
        targets=(MetricTarget(metric=Metric.RUNNING, target_ratio=38),),
    )  # fmt: skip
    found = replay(load(night), unit(), [keda, by_running()], SMOOTH)
    to_none, to_one = found.replays
    assert to_none.ready_count[10:18].max() == 0
    assert to_none.starts_from_none_count == 1
    assert to_none.replica_hours < to_one.replica_hours
    assert to_none.worst_wait_s >= SMOOTH.start_s


def test_each_start_is_billed_in_whole_hours_where_a_provider_does():
    day = [0.5, 6.0] * 6
    second, hour = (
        replay(load(day), unit(), [by_running()], ReplaySettings(arrivals_cv_ratio=0, billed_s=s)).replays[0]
        for s in (1, 3600)
    )
    assert second.starts_count == hour.starts_count > 0
    assert hour.replica_hours > second.replica_hours


@settings(max_examples=15)
@given(st.lists(st.floats(0, 30), min_size=1, max_size=6), st.floats(0, 3), st.floats(0, 600))
def test_whatever_comes_requests_are_counted_once_and_replicas_are_paid(rates, cv, start_s):
    found = replay(load(rates), unit(), [by_running()], ReplaySettings(start_s=start_s, arrivals_cv_ratio=cv))
    for one in found.all:
        assert one.replica_hours >= one.ready_count.sum() - 1e-6
        assert 0 <= one.unserved_requests_count <= found.requests_count + 1e-6
        if found.requests_count:
            assert 0 <= one.missed_fraction <= 1 + 1e-9
    assert found.static.replica_hours >= len(rates) - 1e-9


@given(st.lists(st.floats(0, 50), min_size=1, max_size=50))
def test_joining_hours_up_keeps_the_requests_of_each(rates):
    found = step_rates(np.array(rates), 240).reshape(-1, 240)
    assert found.mean(axis=1) == pytest.approx(np.array(rates))
    assert np.all(found >= 0)


def test_the_same_replay_is_the_same_every_time():
    one, two = (replay(load(DAY[:12]), unit(), [by_running()]).replays[0] for _ in range(2))
    assert (one.total_usd, one.missed_fraction, one.changes_count) == (
        two.total_usd,
        two.missed_fraction,
        two.changes_count,
    )


def test_progress_only_rises_and_what_it_raises_stops_the_work():
    told: list[float] = []
    replay(load(DAY), unit(), [by_running()], progress=told.append)
    assert all(before <= after for before, after in pairwise(told))
    assert 0 <= told[0] < told[-1] <= 1

    def stop(done: float) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        replay(load(DAY), unit(), [by_running()], progress=stop)


def test_traffic_without_a_request_has_no_share_that_waited():
    found = replay(load([0.0] * 3), unit(), [by_running()])
    assert isinstance(found.replays[0].missed_fraction, Undefined)


def test_unknown_hours_are_said_and_no_hour_at_all_is_refused():
    assert any("1 hours without a measurement" in note for note in replay(load([1, np.nan]), unit(), []).notes)
    with pytest.raises(DomainError, match="no hour of the traffic is known"):
        replay(load([np.nan]), unit(), [])


def test_a_replay_has_an_end():
    with pytest.raises(DomainError, match="3,000,000 at most"):
        replay(load(np.ones(13_000)), unit(), [])


def test_the_policy_in_force_reproduces_the_replica_hours_of_a_bill():
    """A bill of whole hours, counted apart: running requests over target, rounded up, as a cluster would keep them."""
    rates = np.tile(DAY[:24], 7)
    target = 40.0
    billed = sum(max(1, np.ceil(rate * 50 / target)) for rate in rates)  # one a second runs 50 at once
    found = replay(load(rates), unit(), [by_running(target, down_s=300)], SMOOTH).replays[0]
    assert found.replica_hours == pytest.approx(billed, rel=0.05)


def test_keeping_warm_as_long_as_a_start_costs_is_at_most_twice_the_best():
    break_even = keep_warm_s(180, 0.0, 2.0)
    for gap in np.linspace(1, 2000, 50):
        paid = min(gap, break_even) + (break_even if gap > break_even else 0)
        assert paid <= 2 * min(gap, break_even) + 1e-9
