"""Overview: what did we spend, what did a million tokens cost, and how much of it idled?"""

import streamlit as st

from ui import charts, data, explain, frame, overview
from ui.spend import day_start, spend
from ui.theme import palette

found = frame.header("Overview")
covered = data.status(found) if found else None
if found is None or covered is None or covered.charges_to is None:
    st.info(
        "No billing data yet. Import an export with `permillion import FILE`, or load the sample with "
        "`permillion demo`. The What-if page works without either.",
        icon=":material/receipt_long:",
    )
    st.stop()

today = data.today(found)
explain.file_problem(today)
with st.container(horizontal=True, vertical_alignment="center", key="overview-controls"):
    days = st.segmented_control(
        "Period", [7, 28, 56], default=28, format_func="{} days".format, required=True, key="days",
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    basis = st.segmented_control(
        "Cost basis", ["effective", "billed"], default="effective", required=True, key="basis",
        format_func={"effective": "Effective (amortised)", "billed": "Billed (invoice)"}.get,
        label_visibility="collapsed", bind="query-params",
    )  # fmt: skip

view = spend(found, today.scenario, day_start(covered.charges_to), days, basis)
if view is None:
    st.info("Nothing was charged in this period. Choose a longer one.", icon=":material/event_busy:")
    st.stop()

overview.figures(view, covered)
overview.hint(view)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="daily-spend"):
    st.markdown(overview.spend_title(view))
    figure = charts.stacked_days(overview.day_texts(view), view.by_day, palette())
    charts.draw(figure, "daily-spend-bars", alt="Daily spend by product, stacked")
with right, st.container(border=True, key="daily-unit-cost"):
    st.markdown(overview.unit_cost_title(view))
    if overview.has_unit_costs(view):
        figure = charts.line_days(overview.day_texts(view), view.unit_cost_by_day, "Cost per 1M tokens", palette())
        charts.draw(figure, "daily-unit-cost-line", alt="Cost per million tokens by day")
st.subheader("By product", anchor=False)
overview.table(view)
frame.footer(found, overview.footnote(view, basis))
