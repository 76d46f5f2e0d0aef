"""A scaling policy as a form: of a kind that was chosen, with what fits the deployment until something else is said."""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from costlib.autoscale_file import LESSON, tried_policies
from costlib.autoscale_policy import (
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    Policy,
    SchedulePolicy,
)
from costlib.demand_curve import HourlyLoad
from costlib.errors import DomainError
from costlib.replica_unit import ReplicaUnit
from costlib.units import SECONDS_PER_HOUR
from ui.choices import picked
from ui.text import PERCENT

KINDS = ("HPA", "KEDA", "Schedule", "The lesson's")
IN_FORCE = "In force"
METRICS = {Metric.RUNNING: "Running requests", Metric.WAITING: "Waiting requests", Metric.KV_USAGE: "KV cache"}
BOX = 150
LESSON_WAITING = 50.0


def chosen(
    load: HourlyLoad, unit: ReplicaUnit, start_s: float, in_force: Sequence[Policy] = ()
) -> tuple[Policy | None, str]:
    """Draw the form; the policy, or None and what is wrong with it. `in_force` are those written down for it."""
    kinds = (IN_FORCE, *KINDS) if in_force else KINDS
    if st.session_state.get("policy", KINDS[0]) not in kinds:
        st.session_state.pop("policy", None)
    kind = st.segmented_control("Policy", kinds, default=KINDS[0], required=True, key="policy", bind="query-params")
    if kind == IN_FORCE:
        by_label = {policy.label: policy for policy in in_force}
        policy = by_label[picked("Policy in force", list(by_label), "in-force")]
        st.caption(f"As policies.toml has it: {_words(policy)}.")
        return policy, ""
    if kind == KINDS[3]:
        st.caption("Two to eight replicas, one more for 50 requests that wait at each: the tutorials' example.")
        return LESSON, ""
    tried = tried_policies(load, unit, start_s)
    try:
        if kind == "Schedule":
            return _schedule(next(one for one in tried if isinstance(one, SchedulePolicy))), ""
        return _scaled(str(kind), tried, load, unit), ""
    except DomainError as error:
        return None, str(error)


def _words(policy: Policy) -> str:
    if isinstance(policy, HpaPolicy | KedaPolicy):
        each = ", ".join(f"{METRICS[one.metric].lower()} {one.target_ratio:g}" for one in policy.targets)
        return f"{policy.min_replicas_count} to {policy.max_replicas_count} replicas, each with {each}"
    return "replicas by the hour" if isinstance(policy, SchedulePolicy) else "always as many replicas"


def _schedule(suggested: SchedulePolicy) -> SchedulePolicy:
    with st.container(horizontal=True, vertical_alignment="bottom", key="schedule-form"):
        spare = st.number_input("Spare replicas", 0, 100, 0, 1, key="spare", bind="query-params", width=BOX)
        least = st.number_input("At least", 0, 1000, 0, 1, key="floor", bind="query-params", width=BOX)
    st.caption("Each hour of the week has what it, or the hour after it, has needed most; and these.")
    counts = tuple(max(int(least), count + int(spare)) for count in suggested.replicas_by_hour_count)
    return replace(suggested, label="Schedule of the week", replicas_by_hour_count=counts)


def _scaled(kind: str, tried: tuple[Policy, ...], load: HourlyLoad, unit: ReplicaUnit) -> Policy:
    """HPA or KEDA: an empty box keeps what its placeholder says."""
    running, cache = (one for one in tried if isinstance(one, HpaPolicy) and one is not LESSON)
    base = running if kind == "HPA" else next(one for one in tried if isinstance(one, KedaPolicy))
    assert isinstance(base, HpaPolicy | KedaPolicy)
    usual = {
        Metric.RUNNING: running.targets[0].target_ratio,
        Metric.WAITING: LESSON_WAITING,
        Metric.KV_USAGE: cache.targets[0].target_ratio,
    }
    with st.container(horizontal=True, vertical_alignment="bottom", key="policy-form"):
        metric = st.selectbox("Metric", list(METRICS), format_func=METRICS.__getitem__, key="metric",
                              bind="query-params", width=200)  # fmt: skip
        is_share = metric is Metric.KV_USAGE
        scale = PERCENT if is_share else 1
        target = _box("Target for each, %" if is_share else "Target for each", f"target-{METRICS[metric].split()[0]}",
                      usual[metric] * scale, high=float(PERCENT) if is_share else 100_000.0) / scale  # fmt: skip
        least = _box("At least", "least", base.min_replicas_count)
        most = _box("At most", "most-replicas", base.max_replicas_count)
        up_s = _box("Agree before up, s", "up", base.up.stabilisation_s, high=float(SECONDS_PER_HOUR))
        down_s = _box("Agree before down, s", "down", base.down.stabilisation_s, high=float(SECONDS_PER_HOUR))
        cooldown = _box("Idle before none, s", "cooldown", base.cooldown_s) if isinstance(base, KedaPolicy) else 0.0
    found = replace(
        base,
        label=f"{kind}, {METRICS[metric][:1].lower() + METRICS[metric][1:] if not is_share else METRICS[metric]}",
        targets=(MetricTarget(metric=metric, target_ratio=target),),
        min_replicas_count=int(least),
        max_replicas_count=int(most),
        up=_within(base.up, up_s),
        down=_within(base.down, down_s),
    )
    return replace(found, cooldown_s=cooldown) if isinstance(found, KedaPolicy) else found


def _within(of: Behaviour, window_s: float) -> Behaviour:
    return replace(of, stabilisation_s=window_s)


def _box(label: str, key: str, usual: float, high: float = 10_000.0) -> float:
    said = st.number_input(label, 0.0, high, None, 1.0, key=key, bind="query-params", placeholder=f"{usual:g}",
                           format="%g", width=BOX)  # fmt: skip
    return float(usual if said is None else said)
