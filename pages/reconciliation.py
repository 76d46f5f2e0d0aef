"""Reconciliation: does what we show tie to what we pay, and where did every dollar end?"""

import streamlit as st

from ui import books, frame, importing, ledger, reconciliation, text

found = frame.header("Reconciliation")
chosen = books.choices(found, "reconciliation") if found else None
if found is None or chosen is None:
    st.info(
        "No billing data yet. Upload an export here, or import it with `permillion import FILE`.",
        icon=":material/receipt_long:",
    )
    importing.panel()
    st.stop()

read, problem = books.read(found, *chosen)
if read is None:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    st.stop()
balance = books.balance_of(read)
reconciliation.figures(read, balance)
left, right = st.columns([3, 2], gap="medium")
with left:
    st.subheader("Trial balance", anchor=False)
    reconciliation.trial_balance(balance)
with right, st.container(border=True, key="where-it-went"):
    reconciliation.where_it_went(balance)
reconciliation.lines(balance)
st.subheader("Bridge to the invoice", anchor=False)
reconciliation.bridge(read, balance)
reconciliation.beside_the_bill(read, balance)
ledger.writing(read, balance, books.months(found))
st.subheader("Restated since the first delivery", anchor=False)
reconciliation.restatements(found, balance.month)
st.subheader("Without an owner", anchor=False)
reconciliation.unmatched(read)
st.subheader("Import a bill", anchor=False)
importing.panel()
frame.footer(found, *books.small_print(balance))
