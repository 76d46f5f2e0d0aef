"""The Scaling section of Capacity: a policy, chosen and edited, replayed on the newest weeks of a deployment."""

from datetime import timedelta

import pandas as pd
import streamlit as st

from costlib.autoscale import AutoscalingReplay, Replay
from costlib.autoscale_policy import HpaPolicy, KedaPolicy, Policy, SchedulePolicy
from costlib.autoscale_run import ReplaySettings
from costlib.autoscale_yaml import Target, adapter_rules_yaml, hpa_yaml, scaled_object_yaml
from costlib.demand_curve import HOURS_PER_WEEK, HourlyLoad
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from store.policies_file import FILE_NAME, policies_for, policies_in_force
from ui import capacity, capacity_charts, capacity_job, capacity_policy, cards, charts, data, text
from ui.capacity import View
from ui.capacity_job import Asked
from ui.text import PERCENT
from ui.theme import palette

PROMETHEUS = "http://prometheus:9090"


def section(shown: View) -> str:
    """Draw it; returns its line of small print."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="scaling-controls"):
        member = capacity.member_of(shown)
        weeks = _weeks(member.load.seen())
        settings = _settings()
    load = member.load.seen().newest(weeks * HOURS_PER_WEEK)
    if not load.known_hours:
        st.info("No hour of these weeks is known; there is nothing to replay.", icon=":material/hourglass_empty:")
        return ""
    with st.container(border=True, key="policy-card"):
        policy, problem = capacity_policy.chosen(load, member.unit, settings.start_s, _in_force(shown, member.key))
        if policy is None:
            st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
            return ""
        asked = Asked(
            load=load, unit=member.unit, policy=policy, settings=settings,
            hours_per_month=shown.today.scenario.hours_per_month,
            key=f"{shown.key} {member.key} {weeks} {policy!r} {settings!r}",
        )  # fmt: skip
        done = capacity_job.result(asked)
    if done is not None:
        _result(done, asked, shown)
    with st.expander("As YAML", key="policy-yaml", icon=":material/deployed_code:", on_change="rerun") as opened:
        if opened.open:
            _yaml(policy, member.key, shown.deployment(member.key).model_key)
    return (
        f"{capacity.whose_hours((member,))} Replayed in steps of {settings.step_s:g} s, arrivals at random with a "
        f"fixed seed; start {settings.start_s:g} s assumed. A miss waits longer than {settings.max_wait_s:g} s for a "
        "place in a batch."
    )


def _in_force(shown: View, key: str) -> tuple[Policy, ...]:
    """What is written down for a deployment; a file that cannot be used says why, and takes no more away."""
    today = shown.today
    try:
        written = policies_in_force(data.home(), today.is_sample, [one.key for one in today.scenario.deployments])
    except PermillionError as error:
        st.error(f"{FILE_NAME} is not used: {text.label(error, text.A_PARAGRAPH)}", icon=":material/error:")
        return ()
    return policies_for(key, written)


def _weeks(load: HourlyLoad) -> int:
    most = max(1, len(load.requests_per_s) // HOURS_PER_WEEK)
    if most == 1:
        return 1
    if not 1 <= st.session_state.get("weeks", 1) <= most:
        st.session_state.pop("weeks", None)
    return int(st.number_input("Newest weeks", 1, most, 1, 1, key="weeks", bind="query-params", width=140))


def _settings() -> ReplaySettings:
    with st.popover("Replica", icon=":material/timer:", key="replica-settings"):
        start_s = st.number_input(
            "Start, s", 0, 7200, 180, 30, key="start", bind="query-params", width=200,
            help="From the order to the first answer: the node, the image, the weights. Assumed; measure yours.",
        )  # fmt: skip
        wait_s = st.number_input(
            "May wait, s", 0, 600, 10, 1, key="wait", bind="query-params", width=200,
            help="Longest wait for a place in a batch. What waits longer is a miss.",
        )  # fmt: skip
    return ReplaySettings(start_s=float(start_s), max_wait_s=float(wait_s))


def _result(found: AutoscalingReplay, asked: Asked, shown: View) -> None:
    (one,) = found.replays
    if one.flaps_for_ever:
        rate = f"{one.flaps_at_requests_per_s[0]:,.3g}"
        st.warning(
            f"This policy never comes to rest at a constant {rate} requests a second: it flaps for ever. Widen the "
            "window of scaling down, or the gap between what adds a replica and what takes one away.",
            icon=":material/sync_problem:",
        )
    _figures(one, found)
    with st.container(border=True, key="replay-card"):
        st.markdown(_title(one, found))
        at = [(asked.load.start + timedelta(hours=n)).isoformat() for n in range(found.hours)]
        need = asked.unit.needed_replicas_count(found.requests_per_s)
        shades = palette()
        lines = [
            ("Needed", [None if count != count else float(count) for count in need], shades.idle),
            ("Clairvoyant", [round(float(count), 2) for count in found.clairvoyant.replicas_count], shades.less),
            (one.label, [round(float(count), 2) for count in one.replicas_count], shades.accent),
        ]
        charts.draw(capacity_charts.replay(at, lines, shades), "replay-hours",
                    alt="Replicas by hour: needed, and paid under the policy")  # fmt: skip
        st.caption("Replicas that are paid, starting and stopping ones included; means of each hour.")
        _door(one, found, asked, shown)
    with st.container(border=True, key="replay-table-card"):
        st.markdown(f"**{_against(one, found)}**")
        _table(found)
    capacity.notes(tuple(note for note in found.notes if "flaps for ever" not in note))


def _figures(one: Replay, found: AutoscalingReplay) -> None:
    saved = found.static.usd_per_month - one.usd_per_month
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.changed(
            "Spend per month", text.money(one.usd_per_month), text.change(-round(saved) + 0, text.money(-round(saved))),
            "vs static",
        )  # fmt: skip
        cards.noted("Misses", _percent(one.missed_fraction), None, "of requests")
        cards.noted("Worst wait", _seconds(one.worst_wait_s), None, "for a place")
        cards.noted("Starts", f"{one.starts_count:,}", None, "of replicas")
        cards.noted("Cold starts", f"{one.starts_from_none_count:,}", None, "while none ran",
                    help="Whoever asked then waited for the whole start.")  # fmt: skip
        cards.noted("Flaps", f"{one.flaps_count:,}", "for ever" if one.flaps_for_ever else None,
                    None if one.flaps_for_ever else "taken, ordered again",
                    help="A replica taken away and one ordered again within ten minutes, or two starts.")  # fmt: skip


def _percent(value: float | Undefined) -> str:
    return text.UNKNOWN if isinstance(value, Undefined) else text.percent(value, 2)


def _seconds(value: float | Undefined) -> str:
    return text.UNKNOWN if isinstance(value, Undefined) else f"{value:,.0f} s"


def _title(one: Replay, found: AutoscalingReplay) -> str:
    saved, missed = found.saved_fraction(one), one.missed_fraction
    does = f"saves {saved:.0%}" if saved >= 0 else f"costs {-saved:.0%} more"
    late = "" if isinstance(missed, Undefined) else f" and lets {missed:.2%} of requests wait too long"
    if not isinstance(missed, Undefined) and not missed:
        late = " and lets nobody wait too long"
    return f"**{text.label(one.label)} {does} against a static fleet**{late}"


def _against(one: Replay, found: AutoscalingReplay) -> str:
    possible = found.static.usd_per_month - found.clairvoyant.usd_per_month
    if possible <= 0:
        return "Even one that knows what comes would save nothing here"
    share = (found.static.usd_per_month - one.usd_per_month) / possible
    if isinstance(one.missed_fraction, float) and one.missed_fraction > _missed_by_foresight(found) + 0.01:
        return f"It takes {share:.0%} of what foresight would save, from requests that wait"
    if share > 1:
        return "It saves more than foresight, which lets nobody wait"
    return f"It saves {share:.0%} of what foresight would"


def _missed_by_foresight(found: AutoscalingReplay) -> float:
    missed = found.clairvoyant.missed_fraction
    return missed if isinstance(missed, float) else 0.0


def _table(found: AutoscalingReplay) -> None:
    rows = [
        {
            "Policy": text.plain(one.label[:1].upper() + one.label[1:]),
            "USD per month": one.usd_per_month,
            "Saved": found.saved_fraction(one) * PERCENT,
            "Misses": None if isinstance(one.missed_fraction, Undefined) else one.missed_fraction * PERCENT,
            "Worst wait, s": None if isinstance(one.worst_wait_s, Undefined) else one.worst_wait_s,
            "Replica-hours": one.replica_hours,
            "Starts": one.starts_count,
            "Cold starts": one.starts_from_none_count,
            "Flaps": one.flaps_count,
        }
        for one in found.all
    ]
    whole = st.column_config.NumberColumn(format="%,.0f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config={
            **dict.fromkeys(("USD per month", "Worst wait, s", "Replica-hours", "Starts", "Flaps"), whole),
            "Saved": st.column_config.NumberColumn(format="%.1f%%"),
            "Misses": st.column_config.NumberColumn(format="%.2f%%"),
        },
        key="replay-policies",
        height="content",
    )
    st.caption(f"{found.requests_count:,.0f} requests in {found.hours:,} hours; static is the busiest hour's need.")


def _door(one: Replay, found: AutoscalingReplay, asked: Asked, shown: View) -> None:
    """To the lever, with what the policy always keeps."""
    peak = max(float(found.static.replicas_count.max()), 1.0)
    least = float(one.replicas_count.min())
    values = {"enabled": True, "headroom_fraction": 0.15, "kept_fraction": min(1.0, round(least / peak * 20) / 20)}
    capacity.door("Try autoscaling in What-if", {"autoscaling": values}, shown.today)


def _yaml(policy: Policy, key: str, model_key: str) -> None:
    try:
        target = Target(name=key, model_name=model_key)
        if isinstance(policy, HpaPolicy):
            st.code(hpa_yaml(policy, target), language="yaml")
            st.caption("The rules of prometheus-adapter, without which the HPA finds no metric of vLLM:")
            st.code(adapter_rules_yaml(policy.targets), language="yaml")
            return
        if isinstance(policy, SchedulePolicy | KedaPolicy):
            st.code(scaled_object_yaml(policy, target, PROMETHEUS, _gateway(policy)), language="yaml")
    except PermillionError as error:
        st.info(text.label(error, text.A_PARAGRAPH), icon=":material/deployed_code:")


def _gateway(policy: Policy) -> str:
    if not isinstance(policy, KedaPolicy) or policy.min_replicas_count:
        return ""
    return str(
        st.text_input("PromQL of what waits at the gateway", key="gateway-query", max_chars=500,
                      help="From none nothing starts by a metric of vLLM: it exports none while no pod runs.")
    ).strip()  # fmt: skip
