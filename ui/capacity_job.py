"""A replay of a policy: the button that begins it, how far it is, and what it came to."""

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from costlib.autoscale import AutoscalingReplay, replay
from costlib.autoscale_policy import Policy
from costlib.autoscale_run import ReplaySettings
from costlib.demand_curve import HourlyLoad
from costlib.errors import Cancelled
from costlib.replica_unit import ReplicaUnit
from ui import jobs
from ui.jobs import Job

SLOT = "replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be replayed; `key` tells it from every other."""

    load: HourlyLoad
    unit: ReplicaUnit
    policy: Policy
    settings: ReplaySettings
    hours_per_month: float
    key: str


def job_of(asked: Asked) -> Job:
    def work(progress: jobs.Progress, is_stopped: Callable[[], bool]) -> AutoscalingReplay:
        def told(fraction: float) -> None:
            progress(fraction, f"Replaying, {min(1.0, fraction):.0%}")
            if is_stopped():
                raise Cancelled

        return replay(
            asked.load, asked.unit, (asked.policy,), asked.settings,
            progress=told, hours_per_month=asked.hours_per_month,
        )  # fmt: skip

    return Job(name="The replay", key=asked.key, work=work, said="Waiting for its turn")


def result(asked: Asked) -> AutoscalingReplay | None:
    """The replay of what is asked for, where there is one; else the button that begins it, or how far it is."""
    running, last = jobs.running(SLOT), jobs.ended(SLOT)
    if running is not None and running.key != asked.key:
        jobs.forget(SLOT)
        running = last = None
    is_this = last is not None and last.key == asked.key
    if running is None and is_this and last is not None and last.found is not None:
        found: AutoscalingReplay = last.found
        return found
    if running is None and _begins(asked, is_changed=last is not None and not is_this):
        jobs.start(SLOT, job_of(asked))
        st.rerun()
    if running is not None or is_this:
        jobs.panel(SLOT, "Cancelled; nothing of it is kept.")
    return None


def _begins(asked: Asked, is_changed: bool) -> bool:
    with st.container(horizontal=True, vertical_alignment="center", key="replay-begin"):
        begins = st.button("Replay", type="primary", icon=":material/play_arrow:", key="replay")
        st.caption(
            "Changed since the last replay."
            if is_changed
            else f"{len(asked.load.requests_per_s):,} hours, beside a fleet that never changes and one that knows what "
            "comes."
        )
    return begins
