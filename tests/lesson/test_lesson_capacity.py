"""What the lesson says of queues that call for more GPUs, against a replay that counts dollars and who waits."""

import numpy as np

from costlib.autoscale import replay
from costlib.autoscale_policy import Behaviour, HpaPolicy, Metric, MetricTarget, Rule
from costlib.autoscale_run import ReplaySettings
from tests.costlib.capacity_builders import load, unit

DAY = 6 + 5 * np.sin(np.arange(48) / 24 * 2 * np.pi)
SLOWLY = Behaviour(stabilisation_s=600, rules=(Rule(change_count=100, period_s=15, is_percent=True),))


def policy(label: str, metric: Metric, target: float) -> HpaPolicy:
    return HpaPolicy(
        label=label, min_replicas_count=1, max_replicas_count=40, down=SLOWLY,
        targets=(MetricTarget(metric=metric, target_ratio=target),),
    )  # fmt: skip


def test_s83_a_queue_of_one_or_of_fifty_never_comes_to_rest_and_is_judged_by_dollars_and_by_who_waits():
    """Neither number is the rule: both flap for ever, and the one that costs less makes more people wait. Scaling on
    what runs is cheaper than either, and burst capacity is what its hours cost beyond a fleet for the peak."""
    queues = [policy("one", Metric.WAITING, 1), policy("fifty", Metric.WAITING, 50)]
    found = replay(
        load(DAY), unit(), [*queues, policy("running", Metric.RUNNING, 38)], ReplaySettings(arrivals_cv_ratio=0)
    )
    one, fifty, running = found.replays
    assert one.flaps_for_ever and fifty.flaps_for_ever and not running.flaps_for_ever
    assert one.total_usd > fifty.total_usd > running.total_usd
    assert fifty.missed_fraction > one.missed_fraction > 0.2 > running.missed_fraction
    assert one.total_usd > found.static.total_usd, "a burst that is bought again and again costs more than the peak"
