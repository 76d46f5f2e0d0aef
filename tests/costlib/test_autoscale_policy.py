"""What the HPA and KEDA decide, by the rules that Kubernetes documents; figures done by hand."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.autoscale_file import LESSON, policies_from, tried_policies
from costlib.autoscale_policy import (
    DOWN,
    UP,
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    Rule,
    SchedulePolicy,
    Select,
    Signals,
    StaticPolicy,
)
from costlib.errors import ConfigError, DomainError, UnknownKey
from tests.costlib.capacity_builders import load, unit

QUEUE = (MetricTarget(metric=Metric.WAITING, target_ratio=10),)
NONE_WAIT = Signals(0, 0, 0)


def hpa(**changes) -> HpaPolicy:
    return HpaPolicy(**{"label": "q", "min_replicas_count": 1, "max_replicas_count": 100, "targets": QUEUE, **changes})


def waits(count: float) -> Signals:
    return Signals(count, 0, 0)


def walk(policy, signals_at, seconds: int, replicas: int = 2, step: int = 15):
    """(second, replicas) after each look; every replica is ready at once."""
    controller, told = policy.controller(), []
    for at in range(0, seconds + 1, step):
        replicas = controller.desired(at, replicas, replicas, signals_at(at, replicas))
        told.append((at, replicas))
    return told


def first(told, replicas: int) -> int:
    return next(at for at, count in told if count == replicas)


def test_a_queue_of_five_times_the_target_asks_for_five_times_the_replicas():
    no_rush = Behaviour(stabilisation_s=0, rules=(Rule(change_count=900, period_s=15, is_percent=True),))
    assert walk(hpa(up=no_rush), lambda at, n: waits(100), 0)[0][1] == 10


@pytest.mark.parametrize(("waiting", "replicas"), [(18, 2), (21.9, 2), (22.1, 3), (23, 3), (17.9, 2), (9, 1)])
def test_a_tenth_to_either_side_of_the_target_changes_nothing(waiting, replicas):
    at_once = Behaviour(stabilisation_s=0, rules=DOWN.rules)
    assert walk(hpa(down=at_once), lambda at, n: waits(waiting), 0)[0][1] == replicas


def test_of_several_metrics_the_one_that_asks_for_most_counts():
    both = (*QUEUE, MetricTarget(metric=Metric.KV_USAGE, target_ratio=0.5))
    assert walk(hpa(targets=both), lambda at, n: Signals(0, 0, 2.0), 0)[0][1] == 4


def test_going_up_is_by_the_larger_of_double_and_four_pods_each_fifteen_seconds():
    told = walk(hpa(), lambda at, n: waits(1e6), 60, replicas=1)
    assert [count for _, count in told] == [5, 10, 20, 40, 80]


def test_going_down_waits_for_the_most_that_five_minutes_asked_for():
    told = walk(hpa(), lambda at, n: waits(100 if at < 60 else 20), 600, replicas=10)
    assert first(told, 2) == 345, "the last recommendation of ten is of 45 s; 300 s later it is out of the window"


def test_select_disabled_lets_a_direction_alone():
    frozen = Behaviour(stabilisation_s=0, rules=(), select=Select.DISABLED)
    assert walk(hpa(down=frozen), lambda at, n: NONE_WAIT, 900, replicas=9)[-1][1] == 9


def test_select_min_takes_the_slower_rule():
    slow = Behaviour(
        stabilisation_s=0, select=Select.MIN,
        rules=(Rule(change_count=1, period_s=60), Rule(change_count=100, period_s=15, is_percent=True)),
    )  # fmt: skip
    told = walk(hpa(up=slow), lambda at, n: waits(1e6), 120, replicas=4)
    assert [count for _, count in told] == [5, 5, 5, 5, 6, 6, 6, 6, 7]


def test_s85_two_to_eight_pods_are_three_steps_of_two_and_five_minutes_before_the_load():
    told = walk(LESSON, lambda at, n: waits(0 if at < 60 else 1e4), 600)
    ups = [(at, count) for (_, before), (at, count) in pairwise(told) if count != before]
    assert [count for _, count in ups] == [4, 6, 8]
    began = 60
    assert 285 <= ups[-1][0] - began <= 300


def test_without_a_pod_that_answers_nothing_is_changed():
    assert hpa().controller().desired(0, 5, 0, waits(1e6)) == 5


def test_limits_are_kept_whatever_the_metrics_say():
    bounded = hpa(min_replicas_count=2, max_replicas_count=4)
    assert walk(bounded, lambda at, n: waits(1e6), 60)[-1][1] == 4
    assert walk(bounded, lambda at, n: NONE_WAIT, 900)[-1][1] == 2
    assert bounded.controller().desired(0, 9, 9, waits(1e6)) == 4


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 60))
def test_the_hpa_never_leaves_its_limits_and_never_goes_faster_than_its_rules(queues, least, more):
    policy = hpa(min_replicas_count=least, max_replicas_count=least + more)
    controller, replicas = policy.controller(), least
    for place, queue in enumerate(queues):
        after = controller.desired(15.0 * place, replicas, replicas, waits(queue))
        assert least <= after <= least + more
        assert after <= max(2 * replicas, replicas + 4)
        replicas = after


def keda(**changes) -> KedaPolicy:
    return KedaPolicy(**{"label": "k", "min_replicas_count": 0, "max_replicas_count": 9, "targets": QUEUE, **changes})


def test_keda_starts_one_from_none_when_somebody_waits_at_the_gateway():
    controller = keda().controller()
    assert controller.desired(0, 0, 0, NONE_WAIT) == 0
    assert controller.desired(15, 0, 0, waits(1)) == 0, "it looks every 30 s"
    assert controller.desired(30, 0, 0, waits(1)) == 1


def test_keda_stops_the_last_one_after_its_cooldown_and_not_before():
    told = walk(keda(cooldown_s=120), lambda at, n: waits(10 if at < 60 else 0), 600, replicas=1)
    assert first(told, 0) == 30 + 120


def test_keda_with_one_replica_at_least_is_its_hpa():
    at = keda(min_replicas_count=2)
    assert walk(at, lambda at, n: waits(300), 120) == walk(at.hpa, lambda at, n: waits(300), 120)


def test_a_schedule_follows_the_hour_of_the_week():
    hours = tuple(range(1, 25))
    assert SchedulePolicy(label="s", replicas_by_hour_count=hours).controller(30).desired(3600, 0, 0, NONE_WAIT) == 8
    week = tuple(range(168))
    assert SchedulePolicy(label="s", replicas_by_hour_count=week).controller(167).desired(3600, 0, 0, NONE_WAIT) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: hpa(min_replicas_count=0),
        lambda: hpa(max_replicas_count=0),
        lambda: hpa(targets=()),
        lambda: hpa(tolerance_fraction=1.0),
        lambda: MetricTarget(metric=Metric.KV_USAGE, target_ratio=80),
        lambda: MetricTarget(metric=Metric.WAITING, target_ratio=0),
        lambda: Rule(change_count=0, period_s=15),
        lambda: Rule(change_count=1, period_s=1801),
        lambda: Behaviour(stabilisation_s=3601, rules=UP.rules),
        lambda: Behaviour(stabilisation_s=0, rules=()),
        lambda: SchedulePolicy(label="s", replicas_by_hour_count=(1, 2)),
        lambda: StaticPolicy(label="s", replicas_count=-1),
        lambda: keda(polling_s=0),
    ],
)
def test_what_kubernetes_would_refuse_is_refused_here(wrong):
    with pytest.raises(DomainError):
        wrong()


# Written down.

QUEUE_TABLE = {
    "kind": "hpa", "label": "queue", "min_replicas_count": 2, "max_replicas_count": 8,
    "targets": {"num_requests_waiting": 50},
    "up": {"stabilisation_s": 60, "rules": [{"change_count": 2, "period_s": 120}]},
}  # fmt: skip


def test_the_lessons_policy_can_be_written_down():
    [(of, policy)] = policies_from({"policy": [QUEUE_TABLE]}, "p.toml")
    assert of == ""
    assert (policy.up, policy.down, policy.targets) == (LESSON.up, LESSON.down, LESSON.targets)


def test_every_kind_can_be_written_down():
    tables = [
        QUEUE_TABLE,
        {**QUEUE_TABLE, "kind": "keda", "label": "k", "min_replicas_count": 0, "cooldown_s": 600},
        {"kind": "schedule", "replicas_by_hour_count": [1] * 24, "deployment": "chat"},
        {"kind": "static", "replicas_count": 3},
    ]
    found = policies_from({"policy": tables}, "p.toml")
    assert [type(policy) for _, policy in found] == [HpaPolicy, KedaPolicy, SchedulePolicy, StaticPolicy]
    assert found[2][0] == "chat"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "no \\[\\[policy\\]\\]"),
        ({"policies": []}, "unknown key 'policies'"),
        ({"policy": [{"kind": "vpa"}]}, "unknown kind 'vpa'"),
        ({"policy": [{**QUEUE_TABLE, "minReplicas": 1}]}, "unknown key 'minReplicas'"),
        ({"policy": [{**QUEUE_TABLE, "targets": {"gpu_queue_depth": 50}}]}, "unknown metric 'gpu_queue_depth'"),
        ({"policy": [{**QUEUE_TABLE, "targets": 5}]}, "targets is a table"),
        ({"policy": [{**QUEUE_TABLE, "min_replicas_count": "2"}]}, "min_replicas_count is a whole number"),
        ({"policy": [{**QUEUE_TABLE, "up": {"select": "max"}}]}, "unknown select 'max'"),
        ({"policy": [{**QUEUE_TABLE, "up": {"rules": [{"pods": 2}]}}]}, "a rule has change_count"),
        ({"policy": [{"kind": "schedule", "replicas_by_hour_count": "x"}]}, "list of 24 or 168"),
        ({"policy": [QUEUE_TABLE, QUEUE_TABLE]}, "labels"),
        ({"policy": [1]}, "a policy is a table"),
    ],
)
def test_a_slip_in_the_file_is_named(document, said):
    with pytest.raises((ConfigError, UnknownKey), match=said):
        policies_from(document, "p.toml")


def test_what_is_tried_without_a_file_is_within_what_a_policy_may_be():
    found = tried_policies(load([0.0, 5.0, 40.0] * 8), unit(least=2), start_s=3000)
    assert len({policy.label for policy in found}) == len(found) == 5
    assert found[0].down.stabilisation_s == 3600
