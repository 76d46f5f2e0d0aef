"""The weekly review on a page: which one is asked for, its settings and its files. Sections are in `weekly_*`.

The page writes every number by the rules of the pack, so that screen and files say the same to the cent.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from costlib.books import CostBasis
from costlib.errors import PermillionError
from costlib.review import Period, Review
from costlib.saving import Savings
from pack.files import TYPES, WRITERS, statement, stem
from pack.style import LOCALES, Numbers, Style
from store.budgets_file import budgets_path
from store.home import Home
from store.reviews import review, weeks
from ui import data, frame, savings_data, text, weekly_decisions

LOCALE, CURRENCY = "PERMILLION_LOCALE", "PERMILLION_CURRENCY"  # what is taken where nobody chose
ALWAYS = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_LANGUAGES = {
    "en": "English", "de": "German", "de-CH": "Swiss", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch",
    "pl": "Polish", "sv": "Swedish",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be shown, and how its numbers are written."""

    period: Period
    basis: str
    currency: str
    style: Style


@st.cache_data(max_entries=8, show_spinner="Putting the week together…")
def _review(
    snapshot_id: str, period: Period, basis: str, currency: str, files_at: tuple[int, ...], _found: data.Snapshot,
    _home: Home, _now: datetime, _ledger: Savings | None,
) -> Review:  # fmt: skip
    return review(_found, _home, period, CostBasis(basis), _now, currency, ledger=_ledger)


@st.cache_data(max_entries=8, show_spinner=False)
def _known(snapshot_id: str, _found: data.Snapshot) -> tuple[list[Period], list[str]]:
    """The weeks that were billed, and the currencies, the largest first."""
    spent = _found.spend_total(*ALWAYS)
    return weeks(_found), sorted(spent, key=lambda code: (-abs(spent[code]), code))


def bar() -> DeltaGenerator:
    """Where settings and tools are; to an audience they are folded away, and what they say stays in the address."""
    if frame.is_presenting():
        return st.popover("Settings", icon=":material/settings:", type="tertiary", key="weekly-controls")
    return st.container(horizontal=True, vertical_alignment="center", key="weekly-controls")


def chosen(found: data.Snapshot, place: DeltaGenerator, env: Mapping[str, str] = os.environ) -> Asked | None:
    """What a person chose, kept in the address; None when nothing was ever billed."""
    known, currencies = _known(found.id, found)
    if not known:
        return None
    names = {str(period.start): period for period in known}
    whole = next((str(period.start) for period in known if not period.is_open), str(known[0].start))
    with place:
        start = st.selectbox(
            "Week", list(names), index=list(names).index(whole), key="week", bind="query-params", width=220,
            format_func=lambda at: f"{names[at].name}{', open' if names[at].is_open else ''}",
            label_visibility="collapsed",
        )  # fmt: skip
        basis = st.segmented_control(
            "Cost basis", [CostBasis.EFFECTIVE.value, CostBasis.BILLED.value], default=CostBasis.EFFECTIVE.value,
            required=True, key="basis", bind="query-params", label_visibility="collapsed",
            format_func={"effective": "Effective (amortised)", "billed": "Billed (invoice)"}.get,
        )  # fmt: skip
        currency = currencies[0]
        if len(currencies) > 1:
            usual = env.get(CURRENCY, "").strip()
            currency = st.selectbox(
                "Currency", currencies, index=currencies.index(usual) if usual in currencies else 0, key="currency",
                bind="query-params", width=110, label_visibility="collapsed", format_func=text.plain,
                help="Currencies are never added.",
            )  # fmt: skip
        usual = env.get(LOCALE, "").strip()
        locale = st.selectbox(
            "Numbers", list(LOCALES), index=list(LOCALES).index(usual) if usual in LOCALES else 0, key="locale",
            bind="query-params", width=120, label_visibility="collapsed", format_func=lambda name: _LANGUAGES[name],
            help="How numbers are written, here and in the files.",
        )  # fmt: skip
    return Asked(period=names[start], basis=basis, currency=currency, style=Style(locale=LOCALES[locale]))


def read(found: data.Snapshot, asked: Asked) -> tuple[Review | None, str]:
    """The review, or why there is none."""
    home = data.home()
    beside = (home.owners, home.scenario, budgets_path(home), home.actions, home.savings)
    states = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in beside)
    ledger, _ = savings_data.read(found)
    try:
        return _review(found.id, asked.period, asked.basis, asked.currency, states, found, home, data.now(), ledger), ""
    except PermillionError as error:
        return None, str(error)


def numbers_of(of: Review, asked: Asked) -> Numbers:
    return Numbers(currency=of.currency, style=asked.style)


def tools(of: Review, asked: Asked, place: DeltaGenerator) -> None:
    """What to do with the review: take it along, say something of it, show it to people."""
    with place:
        _exports(of, asked.style)
        weekly_decisions.known_first(of)
        st.button("Present", icon=":material/present_to_all:", key="presenting", on_click=frame.present, args=(True,))


def _exports(of: Review, style: Style) -> None:
    """The pack, as files: each is made when it is asked for."""
    with st.popover("Export", icon=":material/download:", key="export"):
        for kind, write in WRITERS.items():
            name = f"{stem(of.period)}.{kind}"
            st.download_button(
                name, lambda write=write: write(of, style), name, TYPES[kind], key=f"get-{kind}", on_click="ignore",
                width="stretch",
            )  # fmt: skip
        if teams := [team for team in of.teams if team]:
            team = st.selectbox("Statement of a team", teams, key="team", format_func=text.plain)
            name, content = statement(of, team, style=style)
            st.download_button(
                text.label(name), content, name, TYPES["pdf"], key="get-statement", on_click="ignore", width="stretch"
            )
