"""The figures above the what-if, and the sentences that state what its charts find."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from costlib.compare import Comparison
from costlib.estimate import Undefined
from costlib.projection import Projection
from costlib.uncertainty import Uncertainty
from costlib.units import MS_PER_S, TOKENS_PER_MTOK
from ui import cards, text


def projection(comparison: Comparison) -> DeltaGenerator:
    """Six cards: the scenario, each with its change from today. Returns the place of the range, which comes later."""
    today, scenario = comparison.today, comparison.scenario
    saved = round(comparison.saved_usd_per_month)
    band = scenario.usd_per_month
    gpus = scenario.gpus_count - today.gpus_count
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.changed(
            "Spend per month",
            text.money(band.mid),
            text.change(-saved, text.money(-saved)),
            f"vs {text.short_money(today.usd_per_month.mid)}",
            help="Whole replicas, around the clock, at list or stated prices. Cash: what the bill would be.",
        )
        in_range = st.empty()
        with in_range:
            _range(band.low, band.high, str(band.basis), "of step times and demand alone")
        _unit_cost(today, scenario)
        cards.changed(
            "GPUs needed",
            f"{scenario.gpus_count:,}",
            text.change(gpus, f"{gpus:,}"),
            _gpu_names(scenario),
            help="Whole replicas at the peak hour, no fuller than their target.",
        )
        _latency("Time per token, peak", today.tpot_s, scenario.tpot_s)
        _latency("First token, peak", today.ttft_s, scenario.ttft_s)
    return in_range


def spread(place: DeltaGenerator, comparison: Comparison, sure: Uncertainty) -> None:
    """The range once the levers' own guesses are drawn too."""
    with place:
        _range(
            sure.scenario.p10_usd_per_month,
            sure.scenario.p90_usd_per_month,
            str(comparison.scenario.usd_per_month.basis),
            "P10 to P90",
        )


def _range(low: float, high: float, badge: str, note: str) -> None:
    cards.noted(
        "Range per month",
        f"{text.short_money(low)}–{text.short_money(high).lstrip('$')}",
        badge,
        note,
        help="80 % of draws of what is not known: step times, demand, and what the levers guess about the world.",
    )


def _unit_cost(today: Projection, scenario: Projection) -> None:
    now, then = today.usd_per_mtok_blended, scenario.usd_per_mtok_blended
    is_known = not isinstance(now, Undefined) and not isinstance(then, Undefined)
    delta = round(then - now, 4) if is_known else 0
    cards.changed(
        "Cost per 1M tokens",
        text.unit_cost(then),
        text.change(delta, text.unit_cost(delta)) if is_known else None,
        "input + output",
        help=then.reason if isinstance(then, Undefined) else "All dollars over all answered tokens, cached ones too.",
    )


def _latency(name: str, today: float | None, scenario: float | None) -> None:
    delta = None if today is None or scenario is None else round((scenario - today) * MS_PER_S)
    cards.changed(
        name,
        text.milliseconds(scenario),
        None if delta is None else text.change(delta, f"{delta:,} ms"),
        "slowest model",
        help="Modelled for the peak hour. Undefined for APIs and stated capacities.",
    )


def _gpu_names(projection: Projection) -> str:
    return (
        ", ".join(sorted({d.gpu_key.split("-")[0].upper() for d in projection.deployments if d.gpu_key})) or "no GPUs"
    )


def bridge_title(comparison: Comparison) -> str:
    """What the waterfall shows, cash first and freed capacity apart."""
    saved = comparison.saved_usd_per_month
    freed = comparison.capacity_freed_fraction
    capacity = "" if isinstance(freed, Undefined) else f", and frees {text.percent(freed)} of needed capacity"
    if not comparison.changes:
        return "**Nothing changes yet.** Move a lever to see what it would save"
    if round(saved) == 0:
        return f"**Saves no cash** from today to this scenario{capacity}: whole replicas stay as they are"
    verb = "Saves" if saved > 0 else "Costs"
    more = "a month" if saved > 0 else "more a month"
    return f"**{verb} {text.dollars(text.short_money(abs(saved)))} {more}** from today to this scenario{capacity}"


def unit_cost_title(comparison: Comparison) -> str:
    idle, total = comparison.scenario.cost.idle_usd_per_month, comparison.scenario.cost.total_usd_per_month
    share = f"{idle / total:.0%} of it is idle headroom" if total else "nothing is spent"
    return f"**Cost per 1M tokens** {share} in this scenario"


def unit_cost_parts(comparison: Comparison) -> list[tuple[str, dict[str, float]]]:
    both = (("Today", comparison.today), ("Scenario", comparison.scenario))
    has_services = any(projection.cost.services_usd_per_month for _, projection in both)
    rows = []
    for name, projection in both:
        mtok = projection.tokens_per_month / TOKENS_PER_MTOK or 1.0
        parts = {
            "Prefill": projection.cost.prefill_usd_per_month / mtok,
            "Decode": projection.cost.decode_usd_per_month / mtok,
            "Idle headroom": projection.cost.idle_usd_per_month / mtok,
        }
        if has_services:
            parts["Beside the models"] = projection.cost.services_usd_per_month / mtok
        rows.append((name, parts))
    return rows


def unit_cost_note(comparison: Comparison) -> str:
    scenario = comparison.scenario
    return text.dollars(
        f"Fully loaded, scenario: input {text.unit_cost(scenario.usd_per_mtok_input)}, output "
        f"{text.unit_cost(scenario.usd_per_mtok_output)}, blended {text.unit_cost(scenario.usd_per_mtok_blended)} "
        "per 1M tokens. Idle headroom is paid capacity that the mean hour leaves unused."
    )
