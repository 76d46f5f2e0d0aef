"""The money on Limits: the floor, what fills the gap to it, and the changes that bring tokens to a target cost."""

import pandas as pd
import streamlit as st

from costlib.breakeven import usd_per_mtok
from costlib.catalog import Catalog
from costlib.errors import PermillionError
from costlib.floor import IDEAL_HIT_FRACTION, Gap, GapPart, cost_gap
from costlib.hardware import Precision
from costlib.plan import Plan, plan_to
from costlib.search import Space
from costlib.units import MS_PER_S
from ui import charts, fleet, text
from ui.limits import View, prices
from ui.money_charts import Bar, Step, cascade
from ui.theme import palette

PARTS = {
    GapPart.PRICE: "Price above the least",
    GapPart.IDLE: "Idle headroom",
    GapPart.BATCH_FILL: "Batch limits",
    GapPart.PREFILL_INTERFERENCE: "Prefill in chunks",
    GapPart.KV_LIMIT: "KV memory",
    GapPart.CACHE_MISSES: "Prompts not cached",
    GapPart.OVERHEAD: "Engine overhead",
}
FORMATS = {
    "16 bit": (Precision.BF16,),
    "8 bit": (Precision.BF16, Precision.FP8, Precision.INT8),
    "4 bit": tuple(Precision),
}


def gap_of(view: View, catalog: Catalog, live: fleet.Section | None) -> tuple[Gap | None, str]:
    """The floor and the gap to it from what tokens cost now, and how that is known; or why there is none."""
    measured = live.usd_per_mtok("total_tokens_per_s") if live else None
    known = measured if isinstance(measured, float) and measured > 0 else None
    note = "modelled, from the mean demand" if known is None else f"measured, {fleet.NOW_WORDS}"
    try:
        return cost_gap(view.deployment, view.projection, view.scenario, catalog, view.constants, known), note
    except PermillionError as error:
        return None, str(error)


def gap_chart(gap: Gap | None, note: str) -> None:
    if gap is None:
        st.markdown("**No floor**")
        st.caption(text.label(note, 400))
        return
    largest, amount = max(gap.parts, key=lambda part: part[1])
    whole = gap.usd_per_mtok - gap.floor.usd_per_mtok
    title = (
        f"**{PARTS[largest]} is {amount / whole:.0%} of the gap** from {text.unit_cost(gap.usd_per_mtok)} "
        f"to the floor of {text.unit_cost(gap.floor.usd_per_mtok)} per 1M"
    )
    st.markdown(text.dollars(title))
    bars = [
        Bar(name="Cost now", amount=gap.usd_per_mtok, step=Step.TOTAL, shown=text.unit_cost(gap.usd_per_mtok)),
        *(Bar(name=PARTS[part], amount=abs(amount), step=Step.PART if amount >= 0 else Step.MORE,
              shown=text.unit_cost(round(amount, 4) + 0.0)) for part, amount in gap.parts),
        Bar(name="Floor", amount=gap.floor.usd_per_mtok, step=Step.TOTAL, shown=text.unit_cost(gap.floor.usd_per_mtok)),
    ]  # fmt: skip
    charts.draw(cascade(bars, palette()), "gap", alt=title.replace("*", ""))
    binds = "bandwidth" if gap.floor.memory_binds else "arithmetic"
    st.caption(
        text.dollars(
            f"Cost now: {note}. Taken away one after the other, from the top; another order would share the gap "
            f"otherwise. At the floor {binds} binds, and {IDEAL_HIT_FRACTION:.0%} of prompt tokens, or as many as "
            "today, are cached."
        )
    )


def plan_panel(view: View, catalog: Catalog) -> None:
    """The last question: which changes, in which order, bring a million tokens to a target?"""
    st.subheader("Plan to a target", anchor=False)
    today_cost = usd_per_mtok(view.projection.usd_per_hour, max(view.projection.demand_tokens_per_s, 1e-9))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = st.number_input(
            "Target, USD per 1M tokens", min_value=0.0001, value=None, format="%.3f", step=0.01, width=220,
            placeholder=f"{today_cost / 2:.3f}", key="target", bind="query-params",
        )  # fmt: skip
        narrowest = st.segmented_control(
            "Formats that passed your evaluation", list(FORMATS), default="8 bit", required=True, key="formats",
            bind="query-params", help="The plan takes no format that was not accepted here.",
        )  # fmt: skip
    accepted = FORMATS[narrowest or "8 bit"]
    space = Space(
        usd_per_gpu_hour=prices(catalog, view.scenario),
        weight_precisions=accepted,
        kv_precisions=(Precision.BF16,) if accepted == FORMATS["16 bit"] else (Precision.BF16, Precision.FP8),
    )
    plan = plan_to(target or today_cost / 2, view.deployment, view.scenario, catalog, space)
    st.markdown(_plan_title(plan))
    if plan.changes:
        _plan_table(plan)


def _plan_title(plan: Plan) -> str:
    goal, today, end = (
        text.dollars(text.unit_cost(cost))
        for cost in (plan.target_usd_per_mtok, plan.today_usd_per_mtok, plan.end_usd_per_mtok)
    )
    if plan.unreachable:
        kind, _, why = plan.unreachable.partition(": ")
        return f"**{goal} per 1M is {kind}:** {text.label(why, 400)}"
    if not plan.changes:
        return f"**{goal} per 1M is met already** at {today}"
    changes = "1 change reaches" if len(plan.changes) == 1 else f"{len(plan.changes)} changes reach"
    return f"**{changes} {goal} per 1M:** from {today}, modelled, to {end}"


def _plan_table(plan: Plan) -> None:
    rows = [
        {
            "Change": text.plain(change.what),
            "From": text.plain(change.was),
            "To": text.plain(change.becomes),
            "USD per 1M after": change.after_usd_per_mtok,
            "Saves": change.saved_usd_per_mtok,
            "GPUs": change.gpus_count,
            "ms per token": None if change.tpot_s is None else change.tpot_s * MS_PER_S,
        }
        for change in plan.changes
    ]
    money = st.column_config.NumberColumn(format="$%.3f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "USD per 1M after": money,
            "Saves": money,
            "ms per token": st.column_config.NumberColumn(format="%.0f"),
        },
        key="plan",
    )
    st.caption(
        "Each is the best next single change at the demand as it is, priced as What-if does, with whole replicas; GPUs "
        "at their least list price without spot. A step that saves nothing makes room for the next."
    )
