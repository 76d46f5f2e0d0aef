"""The savings ledger on a page: what is read, what is wrong with it, the figures on top and the money by month.

Every number is written by the rules of the weekly pack, so that screen and files say the same to the cent.
"""

import os
from datetime import date

import streamlit as st

from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.levers import LEVERS
from costlib.saving import Entry, Savings
from costlib.savings_steps import find
from pack.savings_tables import in_cents_apart, month_of, named, realised, running_title
from pack.style import LOCALES, Numbers, Style
from ui import cards, charts, savings_charts, text, weekly
from ui.theme import palette

ENTRY, LINK = "entry", "plan"  # of the address: the change that is looked at, and the what-if it is planned from
MOST_LEARNT = 6


def numbers_of(of: Savings) -> Numbers:
    usual = os.environ.get(weekly.LOCALE, "").strip()
    return Numbers(currency=of.currency, style=Style(locale=LOCALES.get(usual, LOCALES["en"])))


def said(sentence: object) -> str:
    """Text of the ledger, or of the library, as Markdown."""
    return text.label(sentence, text.A_PARAGRAPH)


def chosen(of: Savings) -> Entry | None:
    """The change that the address names, by its id or the start of it; None where it names none, or several."""
    try:
        return find(of.entries, st.query_params.get(ENTRY, ""))
    except PermillionError:
        return None


def choose(entry_id: str) -> None:
    """Keep in the address which change is looked at; "" is none."""
    if entry_id:
        st.query_params[ENTRY] = entry_id
    else:
        st.query_params.pop(ENTRY, None)


def notices(of: Savings) -> None:
    """What keeps the ledger from being trusted; each line that is not what was written is named."""
    if of.broken:
        lines = "\n".join(f"- {said(line)}" for line in of.broken)
        count = len(of.broken_entries)
        touched = (
            f"{count} change{'s' if count != 1 else ''} that it touches count{'s' if count == 1 else ''} for nothing"
        )
        st.error(
            f"**The savings ledger was changed after it was written.** {touched}.\n\n{lines}",
            icon=":material/link_off:",
        )
    for problem in of.problems:
        st.warning(said(problem), icon=":material/error:")


def nothing_yet() -> None:
    st.info(
        "Nothing is in the savings ledger yet. Note an idea here, or set levers on the What-if page and choose "
        "**Plan this**: what it promises is frozen, and after it shipped this page says what it really saved.",
        icon=":material/savings:",
    )
    st.page_link("pages/what_if.py", label="What-if", icon=":material/tune:")


def figures(of: Savings, numbers: Numbers, today: date) -> None:
    """Three amounts that are never added, and what came of what was promised."""
    month = month_of(of, today)
    claimed, verified, probable = in_cents_apart(month) if month else (None, None, None)
    when = named(month.month) if month else "no month counts yet"
    bills = "" if month is None else "final bills" if month.is_final else "bills still open"
    rate, count = realised(of)
    with st.grid(4, min_column_width=cards.WIDTH):
        cards.noted(
            "Verified cash a month",
            numbers.money(verified),
            bills or None,
            when,
            help="As signed, of changes that were compared with something untouched on the same days.",
        )
        cards.noted(
            "Probable",
            numbers.money(probable),
            "no control" if month else None,
            when,
            help="As signed, of changes with nothing untouched to compare with. Never added to the verified.",
        )
        cards.noted(
            "Claimed",
            numbers.money(claimed),
            "as promised" if month else None,
            when,
            help="What the model promised before each change, by the days it was on.",
        )
        cards.noted(
            "Realised",
            numbers.share(rate, 0),
            "measured" if count else None,
            f"{count} change{'' if count == 1 else 's'}",
            help=said(rate.reason)
            if isinstance(rate, Undefined)
            else "What was measured over what was promised, of changes that are on, each by its promise.",
        )


def by_month(of: Savings, numbers: Numbers) -> None:
    """The running total of what is verified, against what was claimed."""
    st.markdown(f"**{said(running_title(of, numbers))}** running totals by month")
    if not of.months:
        st.caption("The first month appears when a signed change was on for a day of it.")
        return
    figure = savings_charts.running_totals(of.months, palette(), of.currency)
    charts.draw(figure, "running-totals", alt="Verified cash and claims, added up by month")
    if any(not one.is_final for one in of.months):
        st.caption("Hatched: bills of that month are still open, and may change.")


def learnt(of: Savings, numbers: Numbers) -> None:
    """What changes with each lever came to of what was promised; the next projection starts from it."""
    rows = sorted(of.learnt.values(), key=lambda one: (-one.changes_count, one.lever_key))[:MOST_LEARNT]
    labels = {lever.key: lever.label for lever in LEVERS}
    if not rows:
        st.markdown("**Nothing is learnt yet** of what levers come to")
        st.caption("With each verified change the next projection of its lever is put right by what it really saved.")
        return
    first = rows[0]
    name = labels.get(first.lever_key, first.lever_key)
    st.markdown(f"**{said(name)} came to {numbers.share(first.mean_ratio, 0)} of its promise** by lever")
    figure = savings_charts.learnt(
        [(labels.get(one.lever_key, one.lever_key), one.mean_ratio, one.sd_ratio, one.changes_count) for one in rows],
        palette(),
    )
    charts.draw(figure, "learnt", alt="Measured over promised, by lever")
    st.caption("The line is what was promised. The dot is what verified changes came to, give or take one deviation.")
