"""The web door: page settings, navigation and nothing else. `permillion up` starts it."""

from pathlib import Path

import streamlit as st

from ui import frame

ROOT = Path(__file__).parent

frame.through_the_door()
# Before the navigation: else the browser tab's icon would be a page's, which is fetched from another host.
st.set_page_config(page_icon=str(ROOT / "static" / "icon.png"), layout="wide")

# Called on every run: without it Streamlit would discover pages/ by itself.
chosen = st.navigation(
    [
        st.Page("pages/what_if.py", title="What-if", icon=":material/tune:", default=True),
        st.Page("pages/compare.py", title="Compare", icon=":material/compare:"),
        st.Page("pages/plan.py", title="Plan", icon=":material/route:"),
        st.Page("pages/capacity.py", title="Capacity", icon=":material/stacked_bar_chart:"),
        st.Page("pages/live.py", title="Live", icon=":material/sensors:"),
        st.Page("pages/overview.py", title="Overview", icon=":material/monitoring:"),
        st.Page("pages/unit_cost.py", title="Unit cost", icon=":material/toll:"),
        st.Page("pages/estimator.py", title="Estimator", icon=":material/calculate:"),
        st.Page("pages/lab.py", title="Lab", icon=":material/experiment:"),
        st.Page("pages/limits.py", title="Limits", icon=":material/speed:"),
        st.Page("pages/reconciliation.py", title="Reconciliation", icon=":material/balance:"),
        st.Page("pages/weekly_review.py", title="Weekly review", icon=":material/event_note:"),
        st.Page("pages/savings.py", title="Savings", icon=":material/savings:"),
        st.Page("pages/data_health.py", title="Data health", icon=":material/health_and_safety:"),
    ],
    position="hidden" if frame.is_presenting() else "top",
)
st.set_page_config(page_title=f"{chosen.title} · Permillion")
chosen.run()
