"""The parts of Plan: a target, the levers that reach it, and the commands that say so."""

from dataclasses import dataclass, replace

import streamlit as st

from costlib.catalog import Catalog
from costlib.errors import PermillionError
from costlib.flags import Served
from costlib.lever import Effort
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.plan import Change, Plan, plan_to
from costlib.plan_search import Evidence
from costlib.project import project
from costlib.scenario import Deployment, Scenario
from costlib.units import MS_PER_S
from store.vllm_flags import load_flag_table
from ui import apply, cards, charts, data, links, text
from ui.money_charts import Bar, Step, cascade
from ui.theme import palette

WHOLE = "All deployments"
STEP_WIDTH = 360  # narrower than this, steps stand below each other
EVIDENCE = {
    Evidence.MODELLED: ("Answers unchanged", "green", ":material/check:"),
    Evidence.EVALUATED: ("Evaluated", "green", ":material/verified:"),
    Evidence.UNPROVEN: ("Unproven", "orange", ":material/question_mark:"),
}
EFFORTS = {
    Effort.FLAG: "Flags and a restart",
    Effort.CLIENT: "Client change",
    Effort.CHECKPOINT: "New checkpoint",
    Effort.SERVICE: "Service beside",
    Effort.FLEET: "Other machines",
    Effort.CONTRACT: "Other contract",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the controls say. `scenario` has the chosen deployments only."""

    scenario: Scenario
    target_usd_per_mtok: float
    is_proven_only: bool
    without: tuple[str, ...]
    release: str


def controls(today: data.Today) -> Asked | None:
    """Draw the controls; None, with the reason shown, where today's scenario cannot run."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="plan-controls")
    with row:
        scenario = _chosen(today.scenario)
    try:
        cost = project(scenario, today.catalog).usd_per_mtok_blended
    except PermillionError as error:
        st.error(text.label(f"Today's scenario cannot run: {error}", text.A_PARAGRAPH), icon=":material/error:")
        return None
    half = cost / 2 if isinstance(cost, float) and cost > 0 else 1.0
    releases = load_flag_table().releases
    with row:
        target = st.number_input(
            "Target, USD per 1M tokens", min_value=0.0001, value=None, format="%.3f", step=0.01, width=200,
            placeholder=f"{half:.3f}", key="target", bind="query-params",
            help="Input and output together. Half of today's until you name one.",
        )  # fmt: skip
        proven = st.toggle(
            "Answers stay as they are", key="proven", bind="query-params",
            help="Leave out every lever that changes answers: without an evaluation, its saving is unproven.",
        )  # fmt: skip
        with st.popover("More", icon=":material/tune:", key="plan-more"):
            labels = {lever.label: lever.key for lever in LEVERS}
            without = st.multiselect("Leave out", list(labels), key="without", bind="query-params")
            release = st.selectbox(
                "Options of vLLM", releases[::-1], index=releases[::-1].index(load_flag_table().defaults_release),
                key="vllm", bind="query-params", help="The release that the options are checked against.",
            )  # fmt: skip
    return Asked(
        scenario=scenario,
        target_usd_per_mtok=target or half,
        is_proven_only=proven,
        without=tuple(labels[name] for name in without),
        release=release,
    )


def _chosen(scenario: Scenario) -> Scenario:
    if len(scenario.deployments) == 1:
        return scenario
    named: dict[str, Deployment] = {f"{d.key} · {d.model_key}": d for d in scenario.deployments}
    name = st.selectbox(
        "Deployment", [WHOLE, *named], key="deployment", bind="query-params", width=300,
        format_func=lambda name: text.plain(name, 80),
    )  # fmt: skip
    return scenario if name == WHOLE else replace(scenario, deployments=(named[name],))


def solve(asked: Asked, catalog: Catalog) -> tuple[Plan | None, str]:
    """The plan, or why there is none. Kept: a slider elsewhere on the page does not search again."""
    known = (catalog.gpus, catalog.models, catalog.gpu_prices, catalog.token_prices)
    try:
        return _solved(repr((asked, hash(known))), asked, catalog), ""
    except PermillionError as error:
        return None, str(error)


@st.cache_data(max_entries=32, show_spinner="Solving every lever together…")
def _solved(key: str, _asked: Asked, _catalog: Catalog) -> Plan:
    return plan_to(
        _asked.target_usd_per_mtok,
        _asked.scenario,
        _catalog,
        load_flag_table().at(_asked.release),
        without=_asked.without,
        is_proven_only=_asked.is_proven_only,
    )


def title(plan: Plan) -> str:
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


def figures(plan: Plan) -> None:
    first, last = plan.changes[0], plan.changes[-1]
    unproven = sum(one.saved_usd_per_month for one in plan.changes if one.evidence is Evidence.UNPROVEN)
    gpus = last.gpus_count - first.before_gpus_count
    saved = round(plan.saved_usd_per_month)
    fall = round(plan.end_usd_per_mtok - plan.today_usd_per_mtok, 4)
    with st.grid(4, min_column_width=cards.WIDTH):
        cards.changed(
            "Cost per 1M tokens", text.unit_cost(plan.end_usd_per_mtok), text.change(fall, text.unit_cost(fall)),
            f"vs {text.unit_cost(plan.today_usd_per_mtok)}",
            help="Of today's work: the bill, and what wrong answers are expected to lose, over the tokens that are "
            "answered today.",
        )  # fmt: skip
        cards.changed(
            "Spend per month", text.money(plan.today_usd_per_month - plan.saved_usd_per_month),
            text.change(-saved, text.money(-saved)), f"vs {text.short_money(plan.today_usd_per_month)}",
        )  # fmt: skip
        cards.changed(
            "GPUs", f"{last.gpus_count:,}", text.change(gpus, f"{gpus:,}"), f"vs {first.before_gpus_count:,}",
            help="Whole replicas at the peak hour.",
        )  # fmt: skip
        cards.noted(
            "Unproven", text.money(unproven), "per month", None if unproven else "nothing changes answers",
            help="Saved by levers that change answers and were not evaluated.",
        )  # fmt: skip


def chart(plan: Plan) -> None:
    ends = (
        ("Today", plan.today_usd_per_mtok, Step.TOTAL),
        ("Planned", plan.end_usd_per_mtok, Step.SCENARIO),
    )
    first, last = (Bar(name=name, amount=cost, step=step, shown=text.unit_cost(cost)) for name, cost, step in ends)
    bars = [
        first,
        *(
            Bar(
                name=lever_of(one.lever).label,
                amount=abs(one.saved_usd_per_mtok),
                step=Step.LESS if one.saved_usd_per_mtok >= 0 else Step.MORE,
                shown=text.unit_cost(-round(one.saved_usd_per_mtok, 4) + 0.0),
            )
            for one in plan.changes
        ),
        last,
    ]
    charts.draw(cascade(bars, palette()), "plan-cascade", alt=title(plan).replace("*", "").replace("\\", ""))


def step(place: int, change: Change) -> None:
    lever = lever_of(change.lever)
    with st.container(border=True, key=f"step-{place}"):
        with st.container(horizontal=True, vertical_alignment="center", key=f"step-head-{place}"):
            shown = f" {text.label(', '.join(change.shown), 200)}" if change.shown else ""
            st.markdown(text.dollars(f"**{place} · {text.label(lever.label)}**{shown}".replace("\\$", "$")))
            word, color, icon = EVIDENCE[change.evidence]
            st.badge(word, icon=icon, color=color)  # type: ignore[arg-type]
            if change.assumed:
                st.badge("Assumed", icon=":material/casino:", color="gray")
            st.badge(EFFORTS[change.effort], color="gray")
        st.markdown(text.dollars(_effect(change)))
        if change.assumed:
            st.caption(text.dollars(_range(change)))
        with st.expander("Options, risk, way back", key=f"step-more-{place}"):
            for served in change.flags:
                _diff(served)
            st.caption(f"Risk: {text.label(lever.risks, 400)}")
            st.caption(f"Way back: {text.label(change.rollback, 400)}")


def _effect(change: Change) -> str:
    costs = f"{text.unit_cost(change.before_usd_per_mtok)} → {text.unit_cost(change.after_usd_per_mtok)} per 1M"
    gpus = f"{change.before_gpus_count:,} → {change.gpus_count:,} GPUs"
    speed = "" if change.tpot_s is None else f" · {change.tpot_s * MS_PER_S:.0f} ms per token at the peak"
    if change.makes_room:
        return f"**Makes room for the next**, and saves nothing by itself · {gpus}{speed}"
    return f"**{text.money(-round(change.saved_usd_per_month))} a month** · {costs} · {gpus}{speed}"


def _range(change: Change) -> str:
    names = ", ".join(text.label(name) for name in change.assumed)
    most, least = (
        text.money(-round(usd) + 0) for usd in (change.most_saved_usd_per_month, change.least_saved_usd_per_month)
    )
    return f"Assumed: {names}. At the ends of what is usual, {most} to {least} a month: measure it first."


def _diff(served: Served) -> None:
    lines = [f"# {text.plain(served.deployment_key, 80)}", *(one.text for one in served.changes)]
    st.code("\n".join(text.plain(line, 400) for line in lines), language="diff", wrap_lines=True)


def commands(plan: Plan) -> None:
    """Every deployment's command at the end, for a shell and for Kubernetes, and what could not be checked."""
    st.subheader("Commands", anchor=False)
    st.caption(f"vLLM {text.label(plan.release)}")
    apply.blocks(plan.flags)


def left(plan: Plan) -> None:
    with st.expander("Not in the plan", key="plan-left"):
        for why, keys in plan.left_by_reason:
            names = ", ".join(text.label(lever_of(key).label) for key in keys)
            st.caption(text.dollars(f"**{names}**: {text.label(why, 400)}."))


def door(plan: Plan, asked: Asked, today: data.Today) -> None:
    """To What-if, with every lever of the plan pulled."""
    settings = {key: dict(values) for key, values in plan.settings}
    params = links.params(settings, today.scenario, today.catalog)
    st.page_link("pages/what_if.py", label="Open in What-if", icon=":material/tune:", query_params=params)
    if len(asked.scenario.deployments) < len(today.scenario.deployments):
        st.caption("What-if pulls these levers on every deployment, not on this one alone.")
