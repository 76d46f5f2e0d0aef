"""Weekly review: what must the meeting decide? One page, the same as the pack that it exports."""

from collections.abc import Callable

import streamlit as st

from ui import alerts, frame, text, weekly, weekly_decisions, weekly_sections

found = frame.header("Weekly review")
bar = weekly.bar()
if found is None or (asked := weekly.chosen(found, bar)) is None:
    st.info(
        "No billing data yet. Import an export with `permillion import FILE`, or load the sample with "
        "`permillion demo`.",
        icon=":material/receipt_long:",
    )
    frame.footer(found)
    st.stop()

of, problem = weekly.read(found, asked)
if of is None:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    frame.footer(found)
    st.stop()
numbers, is_presenting = weekly.numbers_of(of, asked), frame.is_presenting()


def card(key: str, draw: Callable[..., None], *more: object) -> None:
    with st.container(border=True, key=key):
        draw(of, numbers, *more)


def beside(*columns: list[tuple[str, Callable[..., None]]]) -> None:
    """Columns of sections; to an audience, one after the other."""
    places = [st.container()] * len(columns) if is_presenting else st.columns(len(columns), gap="medium")
    for place, sections in zip(places, columns, strict=True):
        with place:
            for one in sections:
                card(*one)


if not is_presenting:
    weekly.tools(of, asked, bar)
alerts.firing()
weekly_sections.caveats(of)
weekly_sections.figures(of, numbers)
beside([("bridge", weekly_sections.bridge)], [("daily", weekly_sections.daily), ("remarks", weekly_sections.remarks)])
card("by-product", weekly_sections.movers)
beside([("landing-card", weekly_sections.landing)], [("waste-card", weekly_sections.waste)])
card("proposals", weekly_decisions.proposals, is_presenting)
card("decisions", weekly_decisions.decisions, is_presenting)
if weekly_sections.has_savings(of):
    card("savings-card", weekly_sections.savings)
card("statements-card", weekly_sections.statements)
weekly_sections.indicators(of, numbers)
frame.footer(found, *(text.sentence(line) for line in of.made_from))
