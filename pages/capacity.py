"""Capacity: how many GPUs are needed hour by hour, how to buy them, what scaling saves, and which GPUs fit."""

import streamlit as st

from ui import (
    capacity,
    capacity_buying,
    capacity_demand,
    capacity_fit,
    capacity_scaling,
    capacity_traffic,
    data,
    explain,
    frame,
    text,
)

DRAWN = {
    "Demand": capacity_demand.section,
    "Buying": capacity_buying.section,
    "Scaling": capacity_scaling.section,
    "Fit": capacity_fit.section,
}

found = frame.header("Capacity", works_without_data=True)
today = data.today(found)
explain.own_deployments(found, today, "Capacity is of deployments.", ":material/stacked_bar_chart:")
shown = capacity.view(found, today)
for problem in shown.problems:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
if not shown.pools:
    if capacity_traffic.kept():  # a file that leaves nothing to draw can be left, or another given
        capacity_traffic.control(shown.self_hosted)
    if not shown.problems:
        st.info("Every deployment is bought by the token: there is no capacity to plan.", icon=":material/memory:")
    frame.footer(found)
    st.stop()


@st.fragment
def page() -> None:
    section = capacity.section()
    capacity_traffic.badge()
    basis = DRAWN[section](shown)
    frame.footer(found, basis, f"Prices in force on {text.day_of(today.scenario.as_of)}.")


page()
