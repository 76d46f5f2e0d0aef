"""Lab: what caches, a router and shorter prompts would find in the requests that were really sent."""

import streamlit as st

from ui import data, frame, lab, lab_job, lab_results

found = frame.header("Lab", works_without_data=True)
today = data.today(found)
shown = lab.controls(today, is_own=not today.is_sample or bool(found and found.is_sample))
lab_job.panel()
report = shown.report
if report is None:
    lab.introduction()
    frame.footer(found, "Prompts are read and not kept; nothing leaves this machine.")
    st.stop()
if shown.is_sample:
    st.badge("Sample log", icon=":material/science:", color="orange")
elif not shown.is_as_asked:
    st.caption("Examined in another way than the controls now say: give the log again to see what they give.")
lab_results.what_was_read(report)
lab_results.figures(report)
lab_results.doors(report, today)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="sizes-card"):
    lab_results.by_size(report)
with right, st.container(border=True, key="thresholds-card"):
    lab_results.by_threshold(report)
with st.container(border=True, key="routing-card"):
    lab_results.routing(report)
with st.container(border=True, key="repeats-card"):
    lab_results.repeats(report)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="turns-card"):
    lab_results.turns(report)
with right, st.container(border=True, key="lengths-card"):
    lab_results.lengths(report)
with st.container(border=True, key="readings-card"):
    lab_results.readings(report)
frame.footer(found, lab_results.basis(report, shown.is_sample))
