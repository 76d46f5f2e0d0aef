"""Limits: how far are we from what the hardware can do, and what fills the gap?"""

import streamlit as st

from costlib.errors import PermillionError
from ui import controls, data, explain, frame, limits, limits_calibration, limits_cost, limits_speed, text

found = frame.header("Limits", works_without_data=True)
today = data.today(found)
explain.own_deployments(found, today, "Limits are of a model on a GPU.", ":material/speed:")
offered = limits.hosted_of(today.scenario)
if not offered:
    st.info("Every deployment is bought by the token: its hardware is the provider's.", icon=":material/speed:")
    frame.footer(found)
    st.stop()


@st.fragment
def page() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="limits-controls"):
        deployment = limits.choice(offered)
        with st.popover("Scenario", icon=":material/tune:", key="limits-levers"):
            settings = controls.panel(today.scenario, today.catalog)
    comparison, problem = data.solve(today, settings)
    if problem:
        st.warning(text.label(problem, text.A_PARAGRAPH), icon=":material/block:")
    if comparison is None:
        return
    try:
        view = limits.solve(deployment.key, today.scenario, comparison.today, today.catalog)
    except PermillionError as error:
        st.error(text.label(f"Today's deployment cannot run: {error}", text.A_PARAGRAPH), icon=":material/error:")
        return
    scenario = limits.changed(deployment.key, today, comparison)
    live = limits.live_of(view, today)
    gap, note = limits_cost.gap_of(view, today.catalog, live)
    limits.figures(view, live, gap, note)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, key="roofline-card"):
        limits.roofline_chart(view, scenario, live)
    with right, st.container(border=True, key="speeds-card"):
        limits_speed.speed_chart(view, today.catalog)
    left, right = st.columns(2, gap="medium")
    with left:
        with st.container(border=True, key="memory-card"):
            limits.memory_chart(view)
        with st.container(border=True, key="calibration-card"):
            limits_calibration.panel(view, found, today)
    with right, st.container(border=True, key="gap-card"):
        limits_cost.gap_chart(gap, note)
        limits_cost.plan_link(offered, deployment)
    frame.footer(
        found,
        "Roofs and the floor are the data sheets'; what engines reach of them is fitted to published measurements. "
        f"Prices in force on {text.day_of(today.scenario.as_of)}.",
    )


page()
