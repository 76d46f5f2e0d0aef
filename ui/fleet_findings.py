"""What the detectors find in a section, each with its evidence and the way to what answers it."""

import numpy as np
import pandas as pd
import streamlit as st

from costlib.detectors import QUEUE_COUNT, Finding, Reading, Severity, findings
from costlib.levers import lever
from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS
from ui import data, links, text
from ui.fleet import RECENT_WINDOW, Section, is_failing
from ui.fleet_figures import Figure, Missing, Row, known

LOOKS = {
    Severity.CRITICAL: ("act now", ":material/error:", "red"),
    Severity.WARNING: ("loses money or time", ":material/warning:", "orange"),
    Severity.NOTE: ("reading", ":material/lightbulb:", "blue"),
}
WHAT_IF = "pages/what_if.py"


def reading(section: Section, ttft_target_s: float | None, tpot_target_s: float | None) -> Reading:
    """The half hour of a section as the detectors take it."""
    recent, replicas = section.recent, section.replicas.to_dict("records")
    waiting = section.minutes.get("waiting_count", pd.Series(dtype=float)).dropna().astype(float)
    flags = {row["facts"].get("enable_prefix_caching") for row in replicas}
    supply = None if isinstance(section.supply, Missing) or section.shares_gpus else section.supply
    return Reading(
        window_s=RECENT_WINDOW.total_seconds(),
        observed_s=known(recent, "observed_s") or 0.0,
        figures=_figures(recent),
        replicas_count=len(replicas),
        failing_replicas=tuple(row["replica"] for row in replicas if is_failing(row)),
        idle_replicas=section.idle_replicas,
        queue_minutes_fraction=float((waiting >= QUEUE_COUNT).mean()) if len(waiting) else None,
        mfu_fraction=_or_none(section.utilisation(recent, "mfu")),
        mbu_fraction=_or_none(section.utilisation(recent, "mbu")),
        gpu_util_fraction=section.devices.get("gpu_util_fraction"),
        tensor_active_fraction=section.devices.get("tensor_active_fraction"),
        dram_active_fraction=section.devices.get("dram_active_fraction"),
        replica_usd_per_hour=supply and supply.usd_per_hour / supply.engines_count,
        has_prefix_caching={"True": True, "False": False}.get(flags.pop() or "") if len(flags) == 1 else None,
        ttft_target_s=ttft_target_s,
        tpot_target_s=tpot_target_s,
    )


def _figures(row: Row) -> dict[str, float]:
    """The numbers of a window that are known."""
    wanted = {*COUNTERS, *GAUGES, *(f"{name}_p{q}" for name in HISTOGRAMS for q in (50, 95))}
    endings = ("_fraction", "_ratio", "_s", "_count", "_tokens")
    return {
        name: float(value)
        for name, value in row.items()
        if (name in wanted or name.endswith(endings)) and isinstance(value, int | float | np.number) and value == value
    }


def _or_none(found: Figure) -> float | None:
    return None if isinstance(found, Missing) else found


def panel(read: Reading, key: str, today: data.Today) -> None:
    """Everything that stands out, worst first; or that nothing does, and what could not be looked at."""
    found = findings(read)
    if not read.is_long_enough:
        st.caption("Detectors begin after a minute of measurements.")
    elif not found:
        st.caption("Nothing stands out in the last half hour. " + blind_spots(read))
    for n, finding in enumerate(found):
        _draw(finding, f"{key}-{finding.key}-{n}", today)
    if found and read.is_long_enough and (blind := blind_spots(read)):
        st.caption(blind)


def blind_spots(read: Reading) -> str:
    """What the detectors were not told. Silence about these is not health."""
    absent = [
        name
        for name, value in (
            ("MFU and MBU", read.mfu_fraction or read.mbu_fraction),
            ("GPU utilisation", read.gpu_util_fraction),
            ("KV cache use", read.figures.get("kv_usage_p95_fraction")),
            ("preemptions", read.figures.get("preemptions_count")),
        )
        if value is None
    ]
    return f"Not looked at, because not exported: {', '.join(absent)}." if absent else ""


def _draw(finding: Finding, key: str, today: data.Today) -> None:
    word, icon, color = LOOKS[finding.severity]
    with st.container(border=True, gap="xsmall", key=key):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{text.label(finding.title, 200)}**", width="stretch")
            st.badge(word, icon=icon, color=color)
        st.markdown(text.label(finding.evidence, 600))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(text.label(finding.action, 400), width="stretch")
            if finding.lever_key:
                st.page_link(
                    WHAT_IF,
                    label=f"What if: {lever(finding.lever_key).label.lower()}",
                    icon=":material/tune:",
                    query_params=link(finding, today),
                )


def link(finding: Finding, today: data.Today) -> dict[str, str]:
    """The address parameters with which the What-if page opens on this lever: keys and words of its controls."""
    return links.params({finding.lever_key: finding.lever_values}, today.scenario, today.catalog)
