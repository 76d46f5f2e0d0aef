"""From a what-if to a change that somebody commits to: "Plan this", and a link read back into its settings."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import streamlit as st

from costlib.errors import PermillionError
from costlib.lever import Choice, Number, Param, Switch, Values
from costlib.levers import LEVERS
from store.actions import MOST_CHARACTERS
from store.savings_file import note_idea
from ui import data, links, text
from ui.savings import ENTRY, LINK
from ui.text import PERCENT

_OWNER = 80  # characters


def settings_of(link: str, today: data.Today) -> dict[str, dict[str, Any]]:
    """The settings of a link as `links.params` spells them. Raises PermillionError for what cannot be set here."""
    asked = dict(parse_qsl(link.strip().rpartition("?")[2]))
    found: dict[str, dict[str, Any]] = {}
    for lever in LEVERS:
        params = {links.key_of(lever, param): param for param in (*lever.params, *lever.evidence)}
        said = {param.key: _read(param, asked[key], today) for key, param in params.items() if key in asked}
        if said:
            found[lever.key] = {**lever.neutral_values, **said}
            lever.check_values(found[lever.key], today.scenario, today.catalog)
    return found


def _read(param: Param, spelt: str, today: data.Today) -> Any:
    """What the spelling says; one that says nothing is left for the lever to refuse."""
    if isinstance(param, Switch):
        return {"true": True, "false": False}.get(spelt.lower(), spelt)
    if isinstance(param, Choice):
        options = param.options(today.scenario, today.catalog)
        return next((one.value for one in options if one.label == spelt), spelt)
    assert isinstance(param, Number)
    try:
        number = float(spelt)
    except ValueError:
        return spelt
    return number / PERCENT if param.is_share else number


def popover(found: data.Snapshot | None, today: data.Today, settings: Mapping[str, Values]) -> None:
    """Start an entry of the savings ledger from the settings on screen, and go there with their link."""
    with st.popover("Plan this", icon=":material/flag:", key="plan-this"), st.form("plan-this-form", border=False):
        query = links.query(settings, today.scenario, today.catalog)
        st.markdown("Note these settings as a change. What it promises is frozen on the next page.")
        named = _title(settings)  # other levers, another box: one that is there keeps what it was given
        title = st.text_input("What is changed", named, max_chars=MOST_CHARACTERS, key=f"plan-title-{named}")
        owner = st.text_input("Owner", max_chars=_OWNER, key="plan-owner")
        is_sent = st.form_submit_button("Note it and plan", icon=":material/arrow_forward:", disabled=not query)
        if not query:
            st.caption("Move a lever first: nothing is changed yet.")
    if not is_sent:
        return
    try:
        key = note_idea(data.home(), title, owner, data.now(), is_sample=found is not None and found.is_sample)
    except PermillionError as error:
        st.toast(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    st.switch_page("pages/savings.py", query_params={ENTRY: key, LINK: query})


def _title(settings: Mapping[str, Values]) -> str:
    return ", ".join(lever.label for lever in LEVERS if lever.key in settings
                     and not lever.is_neutral(settings[lever.key]))  # fmt: skip
