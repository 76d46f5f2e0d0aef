"""Unit cost: what does a million tokens, a request and a GPU-hour cost, and why?"""

import streamlit as st

from ui import books, data, explain, frame, own_or_api, text, unit_cost

found = frame.header("Unit cost")
chosen = books.choices(found, "unit-cost") if found else None
if found is None or chosen is None:
    st.info(
        "No billing data yet. Import an export with `permillion import FILE`, or load the sample with "
        "`permillion demo`.",
        icon=":material/receipt_long:",
    )
    st.stop()

today = data.today(found)
explain.file_problem(today)
read, problem = books.read(found, *chosen)
if read is None:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    st.stop()
balance = books.balance_of(read)
policy = unit_cost.policy_choice()
costs = unit_cost.costs(read, balance, policy)
unit_cost.figures(costs, balance)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="bridge"):
    unit_cost.bridge_chart(read, balance)
with right, st.container(border=True, key="own-or-api"):
    st.subheader("Own fleet or API", anchor=False)
    own_or_api.panel(read, today)
st.subheader("By model", anchor=False)
unit_cost.by_model(costs, balance.currency)
unit_cost.split_methods(read)
frame.footer(found, *books.small_print(balance))
