"""What people do to a change: note it, ship it, sign it, take it back, reject it, say something of it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

import streamlit as st

from costlib.detected import Detected, is_noted
from costlib.errors import PermillionError
from costlib.saving import Design, Entry, Savings, State, Verdict, Verification
from pack.style import Numbers, short_day
from store.actions import MOST_CHARACTERS
from store.detected import changes_of
from store.savings import Verifier, signed_from
from store.savings_file import note_idea, reject, reopen, say, ship, sign, take_back
from ui import data, text
from ui.savings import said
from ui.savings_entry import sentence

WHO, DONE = "savings-who", "savings-done"
LOOK_BACK = timedelta(days=56)
MOST_SEEN = 12
_NAME = 80  # characters
LIVE = (State.SHIPPED, State.VERIFIED, State.PARTIAL, State.NOT_SHOWN)


def told() -> None:
    """What was done in the run before."""
    if words := st.session_state.pop(DONE, ""):
        st.toast(said(words), icon=":material/check:")


def do(step: Callable[[], object], done: str) -> None:
    """Take a step and draw the page anew; where it is refused, say why and leave the form as it is."""
    try:
        step()
    except PermillionError as error:
        st.error(said(error), icon=":material/error:")
    else:
        st.session_state[DONE] = done
        st.rerun()


def who(form: str, width: int | Literal["stretch"] = "stretch") -> str:
    """Whoever writes; the name that was given last stands there already."""
    name = st.text_input("Your name", st.session_state.get(WHO, ""), max_chars=_NAME, key=f"{form}-who",
                         width=width)  # fmt: skip
    if name.strip():
        st.session_state[WHO] = name.strip()
    return name


def bar(found: data.Snapshot, of: Savings) -> None:
    """What can be done without a change being chosen."""
    with st.popover("Note an idea", icon=":material/lightbulb:", key="note-idea"), st.form("idea-form", border=False):
        title = st.text_input("What is to be changed", max_chars=MOST_CHARACTERS, key="idea-title")
        owner = st.text_input("Owner", max_chars=_NAME, key="idea-owner")
        proof = st.text_input("Evidence", max_chars=MOST_CHARACTERS, key="idea-evidence",
                              placeholder="link to an evaluation, a pull request or a dashboard")  # fmt: skip
        if st.form_submit_button("Note it", icon=":material/add:"):
            do(lambda: note_idea(data.home(), title, owner, data.now(), evidence=proof, is_sample=found.is_sample),
               "Noted.")  # fmt: skip
    _seen_ones(found, of)


def _seen_ones(found: data.Snapshot, of: Savings) -> None:
    """What engines and metrics show to have changed, and nobody noted."""
    try:
        every = _seen(found.id, data.now().date(), found, data.now())
    except PermillionError as error:
        every, problem = (), str(error)
    else:
        problem = ""
    fresh = [one for one in reversed(every) if not is_noted(one, of.entries)][:MOST_SEEN]
    with st.popover(f"Seen in the metrics ({len(fresh)})", icon=":material/radar:", key="seen"):
        if problem:
            st.error(said(problem), icon=":material/error:")
        elif not fresh:
            st.caption("Nothing changed in the last eight weeks that is not in the ledger.")
            return
        else:
            st.markdown(
                "Changes of the last eight weeks that nobody noted. What a metric does not tell is not guessed."
            )
        owner = st.text_input("Owner", max_chars=_NAME, key="seen-owner") if fresh else ""
        for n, one in enumerate(fresh):
            with st.container(horizontal=True, vertical_alignment="center", key=f"seen-{n}"):
                st.markdown(f"{said(_title(one))}, {short_day(one.at.date())}", width="stretch")
                if st.button("Note it", key=f"note-seen-{n}", icon=":material/add:"):
                    do(lambda one=one: note_idea(data.home(), _title(one), owner, data.now(),
                                                 is_sample=found.is_sample), "Noted.")  # fmt: skip


@st.cache_data(max_entries=4, show_spinner=False)
def _seen(snapshot_id: str, on: date, _found: data.Snapshot, _now: datetime) -> tuple[Detected, ...]:
    return changes_of(_found, _now - LOOK_BACK, _now)


def _title(one: Detected) -> str:
    words = text.plain(one.sentence, MOST_CHARACTERS).rstrip(".")
    return words if one.deployment_key in words else text.plain(f"{words} on {one.deployment_key}", MOST_CHARACTERS)


def actions(found: data.Snapshot, of: Savings, one: Entry, numbers: Numbers) -> None:
    """The steps that may follow where this change is."""
    with st.container(horizontal=True, vertical_alignment="center", key="entry-actions"):
        if one.state is State.PLANNED and one.plan is not None and one.plan.design is Design.SWITCHBACK:
            with st.popover("Ship", icon=":material/rocket_launch:", key="ship"):
                st.markdown("Its turns are drawn by lot, on the command line:")
                st.code(f"permillion savings turns {one.id}\npermillion savings ship {one.id}", language=None)
        elif one.state is State.PLANNED:
            _dated("Ship", "ship", ":material/rocket_launch:", "On since", "Shipped.",
                   lambda at, by, note: ship(data.home(), one.id, at, by, data.now(), text=note))  # fmt: skip
        if one.state in LIVE:
            _sign(found, of, one, numbers)
            _dated("Take back", "take-back", ":material/undo:", "Off since", "Taken back.",
                   lambda at, by, note: take_back(data.home(), one.id, at, by, data.now(), note))  # fmt: skip
        if one.state in (State.IDEA, State.PLANNED, State.NOT_SHOWN):
            _worded("Reject", "reject", ":material/block:", "Why", "Rejected.",
                    lambda words, by: reject(data.home(), one.id, words, by, data.now()))  # fmt: skip
        if one.state is State.REJECTED:
            _worded("Open again", "reopen", ":material/replay:", "Why", "Open again.",
                    lambda words, by: reopen(data.home(), one.id, by, data.now(), words))  # fmt: skip
        _worded("Say", "say", ":material/chat:", "What is to be known of it", "Noted.",
                lambda words, by: say(data.home(), one.id, words, by, data.now()))  # fmt: skip


def _dated(label: str, key: str, icon: str, asks: str, done: str, step: Callable[[datetime, str, str], object]) -> None:
    """A step that took place at some time, in UTC: now, unless another is given."""
    with st.popover(label, icon=icon, key=key), st.form(f"{key}-form", border=False):
        moment = data.now().astimezone(UTC)
        on = st.date_input(f"{asks} (UTC)", moment.date(), max_value=moment.date(), key=f"{key}-on")
        hour = st.time_input("At", moment.time().replace(second=0, microsecond=0), key=f"{key}-at")
        note = st.text_input("Note", max_chars=MOST_CHARACTERS, key=f"{key}-note")
        by = who(key)
        if st.form_submit_button(label, icon=icon):
            at = min(datetime.combine(on or moment.date(), hour or time(), tzinfo=UTC), moment)
            do(lambda: step(at, by, note), done)


def _worded(label: str, key: str, icon: str, asks: str, done: str, step: Callable[[str, str], object]) -> None:
    with st.popover(label, icon=icon, key=key), st.form(f"{key}-form", border=False):
        words = st.text_area(asks, max_chars=MOST_CHARACTERS, key=f"{key}-words")
        by = who(key)
        if st.form_submit_button(label, icon=icon):
            do(lambda: step(words or "", by), done)


def _to_sign(found: data.Snapshot, of: Savings, one: Entry) -> Verification | None:
    """What is measured now; where a signature fell with the bill it rests on, whatever was signed before."""
    known = of.verifications.get(one.id)
    if known is None or known.verdict is not Verdict.CANNOT_TELL or one.signed is None:
        return known
    return Verifier(found, data.home(), of.entries, data.now(), with_distributions=False).to_sign(one)


def _sign(found: data.Snapshot, of: Savings, one: Entry, numbers: Numbers) -> None:
    """Put a name under what is measured today. What cannot be told yet cannot be signed."""
    measured = _to_sign(found, of, one)
    with st.popover("Sign", icon=":material/signature:", key="sign"):
        if measured is None:
            st.caption("It was not measured yet.")
            return
        try:
            ready = signed_from(measured, found, one.owner, data.now())
        except PermillionError as error:
            st.caption(said(error))
            return
        with st.form("sign-form", border=False):
            bills = "final bills" if measured.is_final else "bills that are still open: sign again when they are final"
            st.markdown(f"**{said(sentence(measured, numbers))}** It rests on {bills}.")
            note = st.text_input("Note", max_chars=MOST_CHARACTERS, key="sign-note")
            by = who("sign")
            if st.form_submit_button("Sign", icon=":material/signature:"):
                do(lambda: sign(data.home(), one.id, ready, by, data.now(), note), "Signed.")
