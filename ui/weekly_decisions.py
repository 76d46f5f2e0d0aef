"""The sections of the weekly review in which people write: proposals to decide, actions, and a note of the week."""

from datetime import date
from urllib.parse import parse_qsl

import streamlit as st

from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.review import Action, ActionState, Proposal, Review
from pack.style import NONE, Numbers, short_day
from pack.words import promised
from store.actions import MOST_CHARACTERS, MOST_NOTE_CHARACTERS, mark, note, tell
from ui import data, links, text
from ui.weekly_sections import said

_OWNER = 80  # characters


def proposals(of: Review, numbers: Numbers, is_presenting: bool) -> None:
    """Each with its what-if, and a way to decide it."""
    what = f"{len(of.proposals)} proposals" if len(of.proposals) != 1 else "1 proposal"
    st.markdown(f"**{what}** single changes on today's fleet, by what they save a month")
    if not of.proposals:
        st.caption("No single lever saves cash on this fleet, or it is not priced in this currency.")
    decided = {action.link for action in (*of.actions, *of.last_actions) if action.state is ActionState.OPEN}
    for n, one in enumerate(of.proposals):
        with st.container(horizontal=True, vertical_alignment="center", key=f"proposal-{n}"):
            ends = " to ".join(NONE if isinstance(end, Undefined) else numbers.short(end)
                               for end in (one.saved_low, one.saved_high))  # fmt: skip
            st.markdown(f"**{said(one.title)}** saves {said(ends)}", width="stretch")
            st.badge("Answers unchanged" if one.is_proven else "Unproven", color="green" if one.is_proven else "orange")
            _what_if(one.link)
            if one.link in decided:
                st.badge("Decided", color="blue")
            elif not is_presenting:
                _decide(of, one, n)


def _what_if(link: str) -> None:
    if link.startswith("/?"):
        query = dict(parse_qsl(link.removeprefix("/?")))
        st.page_link(
            "pages/what_if.py", label="What if", icon=":material/tune:", query_params={"v": str(links.VERSION), **query}
        )


def _decide(of: Review, one: Proposal, n: int) -> None:
    with (
        st.popover("Decide", icon=":material/gavel:", key=f"decide-{n}"),
        st.form(f"decision-{n}", border=False),
    ):
        st.markdown(f"Note **{said(one.title)}** as an action.")
        owner = st.text_input("Owner", max_chars=_OWNER, key=f"decision-owner-{n}")
        due = st.date_input("Due", value=None, key=f"decision-due-{n}")
        if st.form_submit_button("Note it", icon=":material/add:"):
            _note(of, one.title, owner, due, one)


def _note(of: Review, words: str, owner: str, due: date | None, proposal: Proposal | None = None) -> None:
    try:
        note(data.home(), words, owner, due, data.now(), week=of.period.start, proposal=proposal)
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
    else:
        st.rerun()


def decisions(of: Review, numbers: Numbers, is_presenting: bool) -> None:
    """Actions with owner and due date, this week's and earlier ones; and a line to write a new one."""
    saved = promised(of)
    aside = "" if saved is None else f" open ones promise {said(numbers.money(saved))} a month"
    st.markdown(f"**Decisions and actions**{aside}")
    if not of.actions:
        st.caption("Nothing was decided for this week yet.")
    _actions(of.actions, numbers, is_presenting)
    if not is_presenting:
        with (
            st.form("new-action", clear_on_submit=True, border=False),
            st.container(horizontal=True, vertical_alignment="bottom"),
        ):
            words = st.text_input("Decision or action", max_chars=MOST_CHARACTERS, key="action-text")
            owner = st.text_input("Owner", max_chars=_OWNER, key="action-owner", width=160)
            due = st.date_input("Due", value=None, key="action-due", width=160)
            is_sent = st.form_submit_button("Add", icon=":material/add:")
        if is_sent:
            _note(of, words, owner, due)
    if of.last_actions:
        st.markdown("**From earlier weeks** what is open, and what was decided the week before")
        _actions(of.last_actions, numbers, is_presenting)


def _actions(actions: tuple[Action, ...], numbers: Numbers, is_presenting: bool) -> None:
    today = data.now().date()
    for one in actions:
        with st.container(horizontal=True, vertical_alignment="center", key=f"action-{one.id}"):
            due = f", due {short_day(one.due)}" if one.due else ""
            saves = "" if one.saved is None else f", to save {said(numbers.money(one.saved))} a month"
            st.markdown(
                f"{text.label(one.text, MOST_CHARACTERS)} · {text.label(one.owner)}{due}{saves}", width="stretch"
            )
            _what_if(one.link)
            _state(one, one.is_late(today), is_presenting)


def _state(one: Action, is_late: bool, is_presenting: bool) -> None:
    if one.state is not ActionState.OPEN:
        st.badge(one.state.value.capitalize(), color="green" if one.state is ActionState.DONE else "gray")
    elif is_late:
        st.badge("Late", color="red")
    if is_presenting:
        return
    if one.state is ActionState.OPEN:
        st.button("Done", key=f"done-{one.id}", on_click=_mark, args=(one.id, ActionState.DONE), type="tertiary")
        st.button("Drop", key=f"drop-{one.id}", on_click=_mark, args=(one.id, ActionState.DROPPED), type="tertiary")
    else:
        st.button("Open again", key=f"open-{one.id}", on_click=_mark, args=(one.id, ActionState.OPEN), type="tertiary")


def _mark(action_id: str, state: ActionState) -> None:
    mark(data.home(), action_id, state, data.now())


def known_first(of: Review) -> None:
    """What the meeting should know, to be written or changed."""
    with (
        st.popover("Note", icon=":material/edit_note:", key="note", help="What the meeting should know"),
        st.form(f"note-{of.period.start}", border=False),
    ):
        words = st.text_area("What the meeting should know", of.note, max_chars=MOST_NOTE_CHARACTERS, key="note-text")
        if not st.form_submit_button("Keep", icon=":material/save:"):
            return
        try:
            tell(data.home(), of.period.start, words or "", data.now())
        except PermillionError as error:
            st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        else:
            st.rerun()
