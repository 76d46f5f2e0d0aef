"""Compare: up to four scenarios side by side, each with its cash, its range and its evidence."""

import streamlit as st

from ui import data, explain, frame, side_by_side

found = frame.header("Compare", works_without_data=True)
today = data.today(found)
explain.whose_scenario(found, today)
choices = side_by_side.offered()
names = st.multiselect(
    "Scenarios", list(choices), default=["Quick wins", "Aggressive"], max_selections=side_by_side.MOST, key="scenarios",
    bind="query-params", help="Presets and what was saved on What-if.",
)  # fmt: skip
if not names:
    st.info("Choose up to four scenarios. Save your own on What-if.", icon=":material/info:")
else:
    columns = [side_by_side.solve(name, settings, today) for name, settings in side_by_side.chosen(names, choices)]
    with st.container(border=True, key="spend-card"):
        st.markdown(side_by_side.title(columns))
        side_by_side.spend_chart(columns)
        st.caption("Bars are the projection; whiskers P10 to P90 with every guess drawn.")
    side_by_side.figures(columns)
    side_by_side.settings(columns, today)
    side_by_side.doors(columns, today)
frame.footer(
    found,
    "Each is solved jointly against the same fleet, demand and prices.",
    explain.basis_line(today, data.solve(today, {})[0]),
)
