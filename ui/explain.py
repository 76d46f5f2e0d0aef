"""The working behind a projection: every step, and what each deployment is bound by."""

import pandas as pd
import streamlit as st

from costlib.compare import SAMPLED_ORDERS, Comparison
from costlib.levers import lever
from costlib.units import MS_PER_S
from ui import books, data, frame, text
from ui.text import PERCENT


def basis_line(today: data.Today, comparison: Comparison | None) -> str:
    """What projections of today rest on, in small print. Without a comparison nothing was projected."""
    count = len(today.measured_keys)
    if count and today.measured_from and today.measured_to:
        days = f"{text.day(today.measured_from)} to {text.day(today.measured_to)}"
        demand = f"Demand of {count} of {len(today.scenario.deployments)} deployments measured, {days}."
    else:
        demand = "Demand assumed, from the scenario file."
    return (
        f"{demand} {_engine(today, comparison)}Prices in force on {text.day_of(today.scenario.as_of)}; a month is "
        f"{today.scenario.hours_per_month:g} hours."
    )


def _engine(today: data.Today, comparison: Comparison | None) -> str:
    """How the engine model is known; nothing where it has no part in a price."""
    hosted = today.scenario.hosted
    if comparison is None or not hosted:
        return ""
    fitted = sum(one.fitted is not None for one in hosted)
    if fitted:
        engine = f"calibrated on {fitted} of {len(hosted)} deployments; its range is that of windows held out"
    else:
        engine = "not calibrated on this fleet; its range covers 80 % of published measurements"
    return f"Engine model: {comparison.scenario.usd_per_month.basis}, {engine}. "


def credit(comparison: Comparison) -> str:
    """How the change is shared among levers, in small print."""
    if comparison.is_sampled:
        return f"Levers are credited by the mean of {SAMPLED_ORDERS} orders of pulling them."
    return "Levers are credited by Shapley values: their order does not matter."


def beside_the_bill(found: data.Snapshot | None, today: data.Today, comparison: Comparison) -> None:
    """What the deployments were billed, where the bill names them: the model is of a fleet that does not breathe."""
    if found is None or not today.is_measured_fleet:
        return
    keys = tuple(deployment.key for deployment in today.scenario.deployments)
    billed, modelled = (
        books.billed_usd_per_month(found, keys, today.scenario.hours_per_month),
        comparison.today.usd_per_month.mid,
    )
    if billed is None or modelled <= 0:
        return
    st.caption(
        text.dollars(
            f"Billed for these deployments in the last {books.BILLED_DAYS} days: {text.short_money(billed)} a month, "
            f"{text.percent(billed / modelled)} of the modelled {text.short_money(modelled)}. The model is of one "
            "fleet size, enough for the peak hour, at the scenario's prices; expect that part of a saving on the bill."
        )
    )


def own_deployments(found: data.Snapshot | None, today: data.Today, purpose: str, icon: str) -> None:
    """Ask for the user's deployments, and end the page, where the data are theirs and the deployments the sample's;
    else say whose they are."""
    if today.is_sample and found is not None and not found.is_sample:
        file_problem(today)
        st.info(
            f"{purpose} Describe your deployments in {text.label(data.home().scenario)}, starting from "
            "`data/demo/scenario.toml`.",
            icon=icon,
        )
        frame.footer(found)
        st.stop()
    whose_scenario(found, today)


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
    if noted := [text.label(note, 400) for note in comparison.notes]:
        st.info("  \n".join(noted), icon=":material/info:")


def deployments(comparison: Comparison) -> None:
    """Every deployment before and after: replicas, money, and latency against what users accept."""
    before = {one.key: one for one in comparison.today.deployments}
    limits = {one.key: one.max_tpot_s for one in comparison.changed.deployments}
    slow = [d.key for d in comparison.scenario.deployments if _is_slow(d.tpot_s, limits[d.key])]
    asked = any(limit is not None for limit in limits.values())
    finding = (
        f"{', '.join(text.label(key) for key in slow)} is slower than asked for"
        if slow
        else "Every deployment is as fast as asked for"
        if asked
        else "No deployment has a limit on its time per token"
    )
    st.markdown(f"**{finding}** at the peak hour")
    rows = [
        {
            "Deployment": text.plain(d.key),
            "Model": text.plain(d.model_key),
            "GPUs today": before[d.key].gpus_count if d.key in before else 0,
            "GPUs": d.gpus_count,
            "USD per month": d.cost.total_usd_per_month,
            "Change": d.cost.total_usd_per_month - (before[d.key].cost.total_usd_per_month if d.key in before else 0.0),
            "Capacity used": None if d.busy_fraction is None else d.busy_fraction * PERCENT,
            "Batch bound by": str(d.bound).replace("_", " ") if d.bound else text.UNKNOWN,
            "Time per token, ms": None if d.tpot_s is None else d.tpot_s * MS_PER_S,
            "At most, ms": None if (limit := limits[d.key]) is None else limit * MS_PER_S,
            "First token, ms": None if d.ttft_s is None else d.ttft_s * MS_PER_S,
        }
        for d in comparison.scenario.deployments
    ]
    whole = st.column_config.NumberColumn(format="%,.0f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            **dict.fromkeys(("USD per month", "Change", "Time per token, ms", "At most, ms", "First token, ms"), whole),
            "Capacity used": st.column_config.NumberColumn(format="%.0f%%", help="Mean demand over capacity."),
        },
        key="whatif-deployments",
    )


def _is_slow(tpot_s: float | None, limit_s: float | None) -> bool:
    return tpot_s is not None and limit_s is not None and tpot_s > limit_s


def interactions(comparison: Comparison) -> None:
    """Pairs of levers that are more, or less, than the sum of their parts."""
    if not comparison.interactions:
        return
    st.caption("What two levers change together beyond what each does alone. Above zero they get in each other's way.")
    rows = [
        {"Lever": lever(one.first).label, "and": lever(one.second).label, "USD per month": one.usd_per_month}
        for one in comparison.interactions
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={"USD per month": st.column_config.NumberColumn(format="%+,.0f")},
        key="whatif-interactions",
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
