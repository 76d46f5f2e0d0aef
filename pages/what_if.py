"""What-if: if we change how we serve, what will we spend, and does the live fleet agree?"""

import streamlit as st

from costlib.compare import compare
from costlib.errors import PermillionError
from ui import charts, controls, data, explain, frame, kpis, live, text
from ui.theme import palette

found = frame.header("What-if")
today = data.today(found)
if today.problem:
    st.error(text.label(today.problem, 600), icon=":material/error:")
asked = st.query_params.to_dict()


@st.fragment
def workbench() -> None:
    top = st.container(key="kpis")
    left, right = st.columns([1, 3], gap="medium")
    with left, st.container(border=True, key="levers"):
        settings = controls.panel(today.scenario, today.catalog)
    try:
        comparison = compare(today.scenario, settings, today.catalog)
    except PermillionError as error:
        with top:
            st.error(f"This combination cannot run: {text.label(error, 500)}", icon=":material/error:")
        comparison = compare(today.scenario, {}, today.catalog)
    if ignored := controls.ignored_settings(asked):
        settings_text = ", ".join(text.label(setting) for setting in ignored[:5])
        top.warning(f"The link asks for what is not a setting here, and it is ignored: {settings_text}.")
    with top:
        kpis.projection(comparison)
        explain.refusals(comparison)
    with right:
        fleet = st.container(key="fleet")  # drawn last: a lever's own charts answer first
        with st.container(border=True, key="bridge"):
            st.markdown(kpis.bridge_title(comparison))
            names = [(controls.name_of(key), change) for key, change in comparison.changes]
            figure = charts.waterfall(
                comparison.today.usd_per_month.mid, names, comparison.scenario.usd_per_month.mid, palette()
            )
            charts.draw(figure, "waterfall", alt=kpis.bridge_title(comparison).replace("*", ""))
        with st.container(border=True, key="unit-cost"):
            st.markdown(kpis.unit_cost_title(comparison))
            figure = charts.stacked_unit_cost(kpis.unit_cost_parts(comparison), palette())
            charts.draw(figure, "unit-cost-bars", alt="Cost per million tokens today and in the scenario, by part")
            st.caption(kpis.unit_cost_note(comparison))
        with fleet:
            live.panel(comparison.today, comparison.scenario)
        with st.expander("Show the working", icon=":material/calculate:", key="working", on_change="rerun") as working:
            if working.open:
                explain.deployments(comparison)
                explain.steps(comparison)
    frame.footer(found, explain.basis_line(today, comparison))


workbench()
