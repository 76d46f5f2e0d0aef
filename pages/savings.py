"""Savings: what did each change really save?"""

from collections.abc import Callable

import streamlit as st

from costlib.saving import State
from ui import (
    data,
    frame,
    savings,
    savings_board,
    savings_data,
    savings_entry,
    savings_plan,
    savings_proof,
    savings_steps,
    text,
)

found = frame.header("Savings")
if found is None:
    st.info(
        "Nothing is measured yet, so no saving can be. Start a collector with `permillion up --metrics-url URL` and "
        "import a bill with `permillion import FILE`, or load the sample with `permillion demo`.",
        icon=":material/savings:",
    )
    frame.footer(found)
    st.stop()
of, problem = savings_data.read(found)
if of is None:
    st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    frame.footer(found)
    st.stop()
numbers, is_presenting, today = savings.numbers_of(of), frame.is_presenting(), data.now().date()
savings_steps.told()
chosen = savings.chosen(of)


def card(key: str, draw: Callable[..., None], *given: object) -> None:
    with st.container(border=True, key=key):
        draw(*given)


def beside(*places: tuple[str, Callable[..., None], tuple[object, ...]]) -> None:
    """Cards side by side; to an audience, one after the other."""
    columns = [st.container()] * len(places) if is_presenting else st.columns(len(places), gap="medium")
    for column, (key, draw, given) in zip(columns, places, strict=True):
        with column:
            card(key, draw, *given)


def ledger() -> None:
    """Every change, and what all of them came to."""
    if not is_presenting:
        with st.container(horizontal=True, vertical_alignment="center", key="savings-bar"):
            savings_steps.bar(found, of)
            st.button(
                "Present", icon=":material/present_to_all:", key="presenting", on_click=frame.present, args=(True,)
            )
    savings.notices(of)
    if not of.entries:
        savings.nothing_yet()
        return
    savings.figures(of, numbers, today)
    beside(("months", savings.by_month, (of, numbers)), ("learnt-card", savings.learnt, (of, numbers)))
    card("board", savings_board.board, of, numbers)


def change() -> None:
    """One of them, and what its verdict rests on."""
    savings_entry.head(of, chosen)
    savings.notices(of)
    if not is_presenting:
        savings_steps.actions(found, of, chosen, numbers)
    card("verdict", savings_entry.verdict, of, chosen, numbers)
    measured = of.verifications.get(chosen.id)
    if chosen.state is State.IDEA and not is_presenting:
        card("commit-card", savings_plan.panel, found, chosen, numbers)
    if measured is not None and savings_entry.is_known(measured):
        savings_entry.figures(measured, numbers)
        beside(
            ("promise-card", savings_entry.promise, (chosen, measured, numbers)),
            ("bridge-card", savings_entry.bridge, (of, measured, numbers)),
        )
        card("days-card", savings_entry.days, of, chosen, measured, numbers)
        card("guards-card", savings_proof.guards, measured, numbers)
        beside(
            ("checks-card", savings_proof.checks, (measured, numbers)),
            ("afterwards-card", savings_proof.afterwards, (of, chosen, numbers)),
        )
    if chosen.plan is None:
        card("history-card", savings_entry.history, of, chosen)
    else:
        beside(
            ("frozen-card", savings_entry.frozen, (of, chosen, numbers)),
            ("history-card", savings_entry.history, (of, chosen)),
        )


change() if chosen is not None else ledger()
frame.footer(
    found,
    "Work is counted in tokens by weights that were frozen before each change, at equal load.",
    "Verified, probable and claimed are never added, and no saving is multiplied with another.",
)
