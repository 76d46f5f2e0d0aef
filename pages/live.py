"""Live: what does the fleet do now, what does that cost, and what stands out?"""

import streamlit as st

from ui import charts, data, explain, fleet, fleet_cards, fleet_charts, fleet_findings, fleet_table, frame, text
from ui.fleet_figures import supply_of
from ui.theme import palette

EVERY_S = 3
SHOWN_AT_FIRST = 4

found = frame.header("Live", works_without_data=True)
today = data.today(found)
explain.file_problem(today)


def one(section: fleet.Section, key: str, ttft_s: float | None, tpot_s: float | None) -> None:
    """One model of one deployment: its figures, its half hour, what stands out."""
    colors, targets = palette(), fleet_cards.targets_of(section, ttft_s, tpot_s)
    fleet_cards.section_head(section)
    fleet_cards.figures(section, *targets)
    panels = (
        ("tokens", fleet_charts.tokens_title(section), fleet_charts.tokens(section, colors)),
        ("latency", fleet_charts.latency_title(section, targets[0]), fleet_charts.latency(section, targets, colors)),
        ("load", fleet_charts.load_title(section), fleet_charts.load(section, colors)),
    )
    for column, (name, title, figure) in zip(st.columns(3, gap="small"), panels, strict=True):
        with column, st.container(border=True):
            st.markdown(title)
            charts.draw(figure, f"{key}-{name}", alt=title.replace("*", ""))
    left, right = st.columns([1, 2], gap="small")
    with left, st.container(border=True):
        st.markdown(fleet_charts.utilisation_title(section))
        if fleet_charts.knows_utilisation(section):
            charts.draw(fleet_charts.utilisation(section, colors), f"{key}-ways", alt="How hard the GPUs work")
        else:
            st.caption(fleet_charts.HOW_TO_TELL)
        st.caption(fleet_charts.WHY_THEY_DIFFER)
        if fleet_charts.acceptance_rows(section):
            st.markdown(fleet_charts.acceptance_title(section))
            charts.draw(
                fleet_charts.acceptance(section, colors), f"{key}-drafts", alt="Drafted tokens accepted, by place"
            )
    with right:
        fleet_findings.panel(fleet_findings.reading(section, *targets), key, today)


@st.fragment(run_every=EVERY_S)
def now() -> None:
    tail, problem = data.tail()
    if problem:
        if problem != data.snapshot()[1]:  # which the head has told
            st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        return
    frames = fleet.read(tail) if tail else None
    if tail is None or frames is None or frames.targets.empty:
        fleet_cards.never_connected()
        return
    fleet_cards.fleet_head(frames, tail.is_sample, data.now())
    ttft_s, tpot_s, shown = fleet_cards.choices(frames, SHOWN_AT_FIRST)
    keys = fleet.keys_of(frames)
    for section in fleet.sections(frames, today, shown):
        st.space("small")
        one(section, f"live-{keys.index(section.key)}", ttft_s, tpot_s)
    st.space("small")
    st.subheader("Replicas", anchor=False)
    replicas = fleet.replicas_of(frames.engines_now, frames).to_dict("records")
    chosen = fleet_table.chosen(replicas, fleet_table.filters(replicas))
    fleet_table.table(chosen, {row["deployment_key"]: supply_of(row["deployment_key"], 1, today) for row in chosen})


now()
frame.footer(
    found,
    f"Cards: {fleet.NOW_WORDS}. Charts and findings: last 30. Models are never averaged together. Percentiles are from "
    "histogram buckets. A figure that is not exported is not zero.",
)
