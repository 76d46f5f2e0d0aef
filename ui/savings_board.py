"""The board of changes: one card each, in columns from the idea to what came of it; on a narrow screen it is a list."""

from datetime import datetime
from urllib.parse import urlsplit

import streamlit as st

from costlib.estimate import Undefined
from costlib.saving import Entry, Savings, State, Verdict
from pack.savings_tables import (
    STATES,
    VERDICTS,
    interval,
    measured_fraction,
    promised_amount,
    promised_fraction,
    verdict_of,
)
from pack.style import Numbers, short_day
from ui import text
from ui.savings import choose, said

COLUMNS = (
    ("Ideas", (State.IDEA,)),
    ("Planned", (State.PLANNED,)),
    ("Shipped", (State.SHIPPED,)),
    ("Saved", (State.VERIFIED, State.PARTIAL)),
    ("Not saved", (State.NOT_SHOWN, State.REVERSED, State.REJECTED)),
)
CHIPS = {
    Verdict.VERIFIED: (":material/verified:", "green"),
    Verdict.PARTIAL: (":material/clock_loader_60:", "green"),
    Verdict.PROBABLE: (":material/rule:", "blue"),
    Verdict.NOT_SHOWN: (":material/do_not_disturb_on:", "gray"),
    Verdict.ROSE: (":material/trending_up:", "red"),
    Verdict.GUARD_BROKEN: (":material/speed:", "red"),
    Verdict.CANNOT_TELL: (":material/question_mark:", "orange"),
}
STATE_CHIPS = {
    State.IDEA: (":material/lightbulb:", "gray"),
    State.PLANNED: (":material/event:", "blue"),
    State.SHIPPED: (":material/rocket_launch:", "blue"),
    State.VERIFIED: (":material/verified:", "green"),
    State.PARTIAL: (":material/clock_loader_60:", "green"),
    State.NOT_SHOWN: (":material/do_not_disturb_on:", "gray"),
    State.REVERSED: (":material/undo:", "gray"),
    State.REJECTED: (":material/block:", "gray"),
}
_LONGEST_TITLE = 70


def board(of: Savings, numbers: Numbers) -> None:
    st.markdown(f"**{_title(of)}** from the idea to what came of it")
    for column, (name, states) in zip(st.columns(len(COLUMNS), gap="small"), COLUMNS, strict=True):
        inside = [one for one in of.entries if one.state in states]
        with column:
            st.caption(f"**{name}** {len(inside)}")
            for one in sorted(inside, key=lambda one: (one.state not in states[:1], -last_step(one).timestamp())):
                _card(of, one, numbers)


def _title(of: Savings) -> str:
    count = len(of.entries)
    told = [verdict for one in of.entries if (verdict := verdict_of(of, one)) and one.id not in of.broken_entries]
    saved = sum(verdict in (Verdict.VERIFIED, Verdict.PARTIAL, Verdict.PROBABLE) for verdict in told)
    changes = f"{count} change{'' if count == 1 else 's'}"
    return f"{saved} of {len(told)} shipped changes saved" if told else f"{changes}, none measured yet"


def _card(of: Savings, one: Entry, numbers: Numbers) -> None:
    with st.container(border=True, key=f"change-{one.id}", gap="xsmall"):
        st.markdown(f"**{text.label(one.title, _LONGEST_TITLE)}**")
        st.caption(f"{text.label(one.owner or 'no owner', 40)} · {short_day(last_step(one).date())}")
        chips(of, one, is_short=True)
        promised = promised_fraction(one)
        if not isinstance(promised, Undefined):
            amount = promised_amount(one)
            a_month = "" if isinstance(amount, Undefined) else f", {text.dollars(numbers.short(amount))} a month"
            st.markdown(f":small[Promised {numbers.share(promised.mid)}{a_month}]")
        measured = measured_fraction(of, one)
        if not isinstance(measured, Undefined):
            st.markdown(f":small[Measured **{numbers.share(measured.mid)}**, {interval(measured, numbers)}]")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button("Open", key=f"open-{one.id}", icon=":material/arrow_forward:", type="tertiary",
                      on_click=choose, args=(one.id,))  # fmt: skip
            evidence(one)


def chips(of: Savings, one: Entry, is_short: bool = False) -> None:
    """State and verdict, each as a word with its own sign; one of them where both say the same, none that is broken."""
    if one.id in of.broken_entries:
        st.badge("Ledger broken", icon=":material/link_off:", color="red")
        return
    verdict = verdict_of(of, one)
    says_it = verdict is not None and (is_short or VERDICTS[verdict] == STATES[one.state])
    if not says_it or (one.state is State.REVERSED and verdict is not None):
        icon, color = STATE_CHIPS[one.state]
        st.badge(STATES[one.state], icon=icon, color=color)  # type: ignore[arg-type]
    if verdict is not None:
        icon, color = CHIPS[verdict]
        unsigned = "" if one.signed or is_short else ", not signed"
        st.badge(f"{VERDICTS[verdict]}{unsigned}", icon=icon, color=color)  # type: ignore[arg-type]


def evidence(one: Entry) -> None:
    """A link where it is one of the web, and its text where it is anything else."""
    if not one.evidence:
        return
    if is_address(one.evidence):
        st.link_button("Evidence", one.evidence, icon=":material/open_in_new:", type="tertiary", key=f"proof-{one.id}")
    else:
        st.caption(said(one.evidence[:200]))


def is_address(link: str) -> bool:
    """
    >>> [is_address(link) for link in ("https://git.example/1", "javascript:alert(1)", "//evil.example", "https:x")]
    [True, False, False, False]
    """
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    is_plain = all(letter.isascii() and letter.isprintable() and letter not in ' <>"\\`' for letter in link)
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def last_step(one: Entry) -> datetime:
    """When it came to where it is."""
    return one.ended_at or one.shipped_at or one.committed_at or one.noted_at
