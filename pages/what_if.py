"""What-if: if we change how we serve, what will we spend, and does the live fleet agree?"""

import streamlit as st

from costlib.levers import lever
from ui import (
    apply,
    charts,
    controls,
    data,
    explain,
    frame,
    kpis,
    limits,
    links,
    live,
    scenarios,
    sureness,
    text,
)
from ui.theme import palette, scroll_when_narrow

NOTICES = "link-notices"  # of the link that was opened: later the address follows the widgets

found = frame.header("What-if", works_without_data=True)
today = data.today(found)
if frame.was_just_opened():
    st.session_state[NOTICES] = [links.brought_up_to_date()]
explain.whose_scenario(found, today)
asked = st.query_params.to_dict()
notice = st.container(key="notice")


def workbench() -> None:
    """No fragment of its own: beside one that redraws itself, Streamlit would keep elements that are gone."""
    bar = st.container(key="scenarios")
    top = st.container(key="kpis")
    left, right = st.columns([1, 3], gap="medium")
    with left, st.container(border=True, key="levers"):
        settings = controls.panel(today.scenario, today.catalog)
    scroll_when_narrow("levers")
    links.stamp(settings)
    with bar:
        scenarios.bar(found, today, settings)
    comparison, problem = data.solve(today, settings)
    if problem:
        top.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    if comparison is None:
        return
    with top:
        in_range = kpis.projection(comparison)
        explain.beside_the_bill(found, today, comparison)
        explain.refusals(comparison)
    with right:
        fleet = st.container(key="fleet")  # drawn last: a lever's own charts answer first
        with st.container(border=True, key="bridge"):
            st.markdown(kpis.bridge_title(comparison))
            names = [(lever(key).label, change) for key, change in comparison.changes]
            figure = charts.waterfall(
                comparison.today.usd_per_month.mid, names, comparison.scenario.usd_per_month.mid, palette()
            )
            charts.draw(figure, "waterfall", alt=kpis.bridge_title(comparison).replace("*", ""))
        with st.container(border=True, key="unit-cost"):
            st.markdown(kpis.unit_cost_title(comparison))
            figure = charts.stacked_unit_cost(kpis.unit_cost_parts(comparison), palette())
            charts.draw(figure, "unit-cost-bars", alt="Cost per million tokens today and in the scenario, by part")
            st.caption(kpis.unit_cost_note(comparison))
        range_of_spend = st.container()  # drawn last: it takes longest
        with st.container(border=True, key="deployments"):
            explain.deployments(comparison)
        limits.roofline_card(today, comparison)
        with fleet:
            live.panel(comparison.today, comparison.scenario, is_ours=today.is_measured_fleet)
        with st.expander("Apply this", icon=":material/terminal:", key="apply", on_change="rerun") as applying:
            if applying.open:
                apply.panel(today, comparison)
        with st.expander("Show the working", icon=":material/calculate:", key="working", on_change="rerun") as working:
            if working.open:
                explain.interactions(comparison)
                explain.steps(comparison)
    frame.footer(found, explain.basis_line(today, comparison), explain.credit(comparison))
    if (sure := sureness.of(today, settings, comparison)) is not None:
        kpis.spread(in_range, comparison, sure)
        with range_of_spend, st.container(border=True, key="sureness"):
            sureness.panel(comparison, sure)


workbench()
if frame.was_just_opened():
    st.session_state[NOTICES] += [links.about_ignored(asked, today.scenario, today.catalog)]
moved_on, ignored = st.session_state[NOTICES]
if moved_on:
    notice.info(moved_on)
if ignored:
    notice.warning(ignored)
