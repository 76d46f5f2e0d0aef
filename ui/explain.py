"""The working behind a projection: every step, and what each deployment is bound by."""

import pandas as pd
import streamlit as st

from costlib.compare import Comparison
from costlib.levers import lever
from costlib.units import MS_PER_S
from ui import data, text
from ui.text import PERCENT


def basis_line(today: data.Today, comparison: Comparison) -> str:
    """What the projection rests on, in one sentence of small print."""
    count = len(today.measured_keys)
    if count and today.measured_from and today.measured_to:
        days = f"{text.day(today.measured_from)} to {text.day(today.measured_to)}"
        demand = f"Demand of {count} of {len(today.scenario.deployments)} deployments measured, {days}."
    else:
        demand = "Demand assumed, from the scenario file."
    hosted = today.scenario.hosted
    fitted = sum(one.fitted is not None for one in hosted)
    if fitted:
        engine = f"calibrated on {fitted} of {len(hosted)} deployments; its range is that of windows held out"
    else:
        engine = "not calibrated on this fleet; its range covers 80 % of published measurements"
    return (
        f"{demand} Engine model: {comparison.scenario.usd_per_month.basis}, {engine}. "
        f"Prices in force on {text.day_of(today.scenario.as_of)}; a month is "
        f"{today.scenario.hours_per_month:g} hours. Levers are credited by Shapley values: their order does not matter."
    )


def whose_scenario(found: data.Snapshot | None, today: data.Today) -> None:
    """Say when the deployments are the sample's although the data are not, and what is wrong with the user's file."""
    file_problem(today)
    if today.is_sample and not (found and found.is_sample):
        st.info(
            f"These deployments are the sample fleet's. Describe yours in {text.label(data.home().scenario)}, "
            "starting from `data/demo/scenario.toml`.",
            icon=":material/science:",
        )


def file_problem(today: data.Today) -> None:
    if today.problem:
        st.error(text.label(today.problem, text.A_PARAGRAPH), icon=":material/error:")
    for note in today.calibration_notes:
        st.warning(text.label(note, text.A_PARAGRAPH), icon=":material/straighten:")


def refusals(comparison: Comparison) -> None:
    for key, refusal in comparison.refusals:
        st.warning(
            f"{text.label(lever(key).label)} is not applied: {text.label(refusal.reason, 300)}. "
            f"Remedy: {text.label(refusal.remedy, 200)}.",
            icon=":material/block:",
        )
    if said := [text.label(warning, 400) for warning in comparison.scenario.warnings]:
        st.warning("  \n".join(said), icon=":material/warning:")


def deployments(comparison: Comparison) -> None:
    rows = [
        {
            "Deployment": text.plain(d.key),
            "Model": text.plain(d.model_key),
            "GPUs": d.gpus_count,
            "Replicas": d.replicas_count,
            "USD per month": d.cost.total_usd_per_month,
            "Capacity used": None if d.busy_fraction is None else d.busy_fraction * PERCENT,
            "Batch bound by": d.bound or text.UNKNOWN,
            "Time per token, ms": None if d.tpot_s is None else d.tpot_s * MS_PER_S,
            "First token, ms": None if d.ttft_s is None else d.ttft_s * MS_PER_S,
        }
        for d in comparison.scenario.deployments
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "USD per month": st.column_config.NumberColumn(format="%,.0f"),
            "Capacity used": st.column_config.NumberColumn(format="%.0f%%", help="Mean demand over capacity."),
            "Time per token, ms": st.column_config.NumberColumn(format="%.0f"),
            "First token, ms": st.column_config.NumberColumn(format="%.0f"),
        },
        key="whatif-deployments",
    )


def steps(comparison: Comparison) -> None:
    rows = [
        {
            "Where": text.plain(s.scope),
            "Step": s.key,
            "Value": f"{s.value:,.6g}",
            "Unit": s.unit,
            "How": s.equation,
            "Basis": str(s.basis),
        }
        for s in comparison.scenario.steps
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height=360, key="whatif-steps")
