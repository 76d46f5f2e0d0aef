"""Data health: can I trust the numbers right now?"""

import streamlit as st

from ui import alerts, frame, health, trace

found = frame.header("Data health")
if found is None:
    health.first_run()
    st.stop()
alerts.problem()
moment = health.as_of(found)
health.cards(found, moment)
st.subheader("Sources", anchor=False)
health.sources(found, moment)
health.runs(found, moment)
trace.trace(found, moment)
st.subheader("Billing imports", anchor=False)
health.imports(found)
st.subheader("Catalogue", anchor=False)
health.catalogue(moment.date())
frame.footer(found, f"Stored in {health.place()}.")
