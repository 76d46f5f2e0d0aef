"""The money on Limits: the floor, and what fills the gap to it."""

from collections.abc import Mapping

import streamlit as st

from costlib.catalog import Catalog
from costlib.errors import PermillionError
from costlib.floor import IDEAL_HIT_FRACTION, Gap, GapPart, cost_gap
from costlib.scenario import Deployment
from ui import charts, fleet, text
from ui.limits import View
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


def plan_link(offered: Mapping[str, Deployment], deployment: Deployment) -> None:
    """To the page that closes the gap, with the same deployment chosen."""
    name = next(name for name, one in offered.items() if one.key == deployment.key)
    params = {"deployment": name} if len(offered) > 1 else None
    st.page_link("pages/plan.py", label="Plan how to close it", icon=":material/route:", query_params=params)
