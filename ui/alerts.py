"""Alerts that fire, and what is wrong with their rules, for the pages that show them."""

import streamlit as st

from costlib.alerts import Watched
from costlib.errors import PermillionError
from store.alerts_file import load_rules, load_state
from ui import data, text

NAMES = {
    Watched.BREACH_PROBABILITY: "The chance to break the budget",
    Watched.ANOMALY: "The cost above what was expected",
    Watched.IDLE_SHARE: "Idle, unmatched and unused capacity",
    Watched.UNALLOCATED_SHARE: "Spend without an owner",
    Watched.SPEND_TO_BUDGET: "Spend against the month's budget",
    Watched.PER_MTOK: "Cost per million tokens",
}
_MONEY = {Watched.ANOMALY: 2, Watched.PER_MTOK: 3}  # in the currency of the bill, which the text says


def _shown(on: Watched, value: float) -> str:
    return f"{value:,.{_MONEY[on]}f}" if on in _MONEY else text.percent(value, 1)


def firing() -> None:
    """What fires now, the newest first, with since when, and what is wrong with the rules; nothing where nothing is."""
    problem()
    try:
        events = load_state(data.home()).firing_on_page
    except PermillionError:
        return
    for event in events:
        watched = NAMES[event.on]
        scope = f" of {text.label(event.scope)}" if event.scope else ""
        why = f": {text.label(event.text, 400)}" if event.text else ""
        st.warning(
            f"{watched}{scope} is {_shown(event.on, event.value_ratio)}, above {_shown(event.on, event.limit_ratio)}, "
            f"since {text.day(event.at)}{why}",
            icon=":material/notifications_active:",
        )


def problem() -> None:
    """What is wrong with alerts.toml, where anything is: nothing is sent then."""
    try:
        load_rules(data.home())
        load_state(data.home())
    except PermillionError as error:
        st.warning(f"No alert is sent: {text.label(error, text.A_PARAGRAPH)}", icon=":material/notifications_off:")
