"""Weekly review: what must the meeting decide? One page, the same as the pack that it exports."""

import streamlit as st

from ui import frame, text, weekly

found = frame.header("Weekly review")
if found is None or (asked := weekly.chosen(found)) is None:
    st.info(
        "No billing data yet. Import an export with `permillion import FILE`, or load the sample with "
        "`permillion demo`.",
        icon=":material/receipt_long:",
    )
    frame.footer(found)
    st.stop()

of, problem = weekly.read(found, *asked)
if of is None:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    frame.footer(found)
    st.stop()
if of.period.is_open:
    st.warning("This week is not billed whole: its figures will grow.", icon=":material/hourglass_top:")
weekly.exports(of)
weekly.figures(of)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="bridge"):
    weekly.bridge(of)
with right:
    with st.container(border=True, key="daily"):
        weekly.daily(of)
    with st.container(border=True, key="remarks"):
        weekly.remarks(of)
with st.container(border=True, key="by-product"):
    st.markdown("**By product** those that changed most first")
    weekly.movers(of)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="landing-card"):
    weekly.landing(of)
with right, st.container(border=True, key="waste-card"):
    weekly.waste(of)
with st.container(border=True, key="proposals"):
    weekly.proposals(of)
with st.container(border=True, key="decisions"):
    st.markdown("**Decisions and actions**")
    weekly.decisions(of)
frame.footer(found, *(text.sentence(line) for line in of.made_from))
