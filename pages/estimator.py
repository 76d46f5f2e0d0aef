"""Estimator: what would a product cost that does not run yet, how sure is that, and which guess decides it?"""

import streamlit as st

from ui import estimator, frame, text

found = frame.header("Estimator", works_without_data=True)


@st.fragment
def page() -> None:
    asked = estimator.controls()
    if asked is None:
        frame.footer(found)
        return
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, key="factors-card"):
        asked = estimator.factors(asked)
    estimated, built, problem = estimator.solve(asked)
    if estimated is None or built is None:
        right.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        frame.footer(found)
        return
    with right:
        option = estimator.option_of(estimated)
        estimator.figures(option, estimated)
        with st.container(border=True, key="chances-card"):
            estimator.chances(option, estimated)
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True, key="spread-card"):
        estimator.spread(option)
    with right:
        if estimated.plan_steps:
            with st.container(border=True, key="bridge-card"):
                estimator.bridge(estimated, asked)
        with st.container(border=True, key="options-card"):
            estimator.side_by_side(estimated)
    frame.footer(found, estimator.basis(estimated, built))


page()
