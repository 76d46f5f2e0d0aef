"""Plan: which changes, in which order, bring a million tokens from today's cost to a target?"""

import streamlit as st

from ui import data, explain, frame, plan, text

found = frame.header("Plan", works_without_data=True)
today = data.today(found)
explain.own_deployments(found, today, "A plan is for deployments.", ":material/route:")


@st.fragment
def page() -> None:
    asked = plan.controls(today)
    if asked is None:
        return
    solved, problem = plan.solve(asked, today.catalog)
    if solved is None:
        st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        return
    if not solved.changes:
        st.info(plan.title(solved), icon=":material/route:")
        plan.left(solved)
        return
    plan.figures(solved)
    with st.container(border=True, key="plan-card"):
        st.markdown(plan.title(solved))
        plan.chart(solved)
        plan.door(solved, asked, today)
    with st.grid(2, min_column_width=plan.STEP_WIDTH):
        for place, change in enumerate(solved.changes, 1):
            plan.step(place, change)
    with st.container(border=True, key="commands-card"):
        plan.commands(solved)
    plan.left(solved)


page()
frame.footer(
    found,
    "Each step is the lever of the largest effect next, solved together with those before it, whole replicas and the "
    "limits on time per token kept.",
    explain.basis_line(today, data.solve(today, {})[0]),
)
