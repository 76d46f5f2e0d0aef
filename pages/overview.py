"""Overview: what did we spend, are we on budget, and what changed?"""

import streamlit as st

from ui import data, drill, frame, overview, overview_cards, overview_data

found = frame.header("Overview")
covered = data.status(found) if found else None
asked = None
if found and covered:
    with st.container(horizontal=True, vertical_alignment="center", key="overview-controls"):
        asked = overview_data.controls(found, covered)
        st.space("stretch")
        exporting = st.container(width="content")
if found is None or asked is None:
    st.info(
        "No billing data yet. Import an export with `permillion import FILE`, or load the sample with "
        "`permillion demo`. The What-if page works without either.",
        icon=":material/receipt_long:",
    )
    frame.footer(found)
    st.stop()

view, problem = overview_data.read(found, asked)
if view is None:
    overview_cards.without_review(found, asked, problem)
    frame.footer(found)
    st.stop()

with exporting:
    overview.exports(view)
overview.problems(view)
overview_cards.figures(view)
overview.hint(view)
left, right = st.columns([11, 9], gap="small")
with left, st.container(border=True, key="landing-card", height="stretch"):
    overview.landing(view)
with right, st.container(border=True, key="daily-spend", height="stretch"):
    overview.daily(view)
with st.container(key="changes"):
    drill.changes(found, view)
frame.footer(found, *overview.footnote(found, view))
