"""Addresses of scenarios: how settings are spelt in a link, which version wrote it, and how older ones are read.

Widgets are bound to the address by their keys, `lever.parameter`. Numbers are as the slider shows them, choices by
their label. `v` says which spelling it is; a link without it is of version 1.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from costlib.catalog import Catalog
from costlib.lever import Choice, Lever, Number, Param, Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.scenario import Scenario
from ui import text
from ui.text import PERCENT

VERSION = 2
MOST_NAMED = 5
# What version 1 wrote, and the value that it is since.
_SINCE_1: dict[tuple[str, str], Any] = {}


def key_of(lever: Lever, param: Param) -> str:
    return f"{lever.key}.{param.key}"


def figure(param: Number, value: float) -> int | float:
    """A number as its widget has it: whole percents and whole numbers where its steps are."""
    scaled, step = (value * PERCENT, param.step * PERCENT) if param.is_share else (value, param.step)
    is_whole = round(step, 6) == round(step) and (param.is_share or float(param.low).is_integer())
    return round(scaled) if is_whole else round(float(scaled), 6)


def params(settings: Mapping[str, Values], scenario: Scenario, catalog: Catalog) -> dict[str, str]:
    """These settings as an address spells them; what is at rest is left out."""
    spelt: dict[str, str] = {}
    for key, values in settings.items():
        lever = lever_of(key)
        for param in (*lever.params, *lever.evidence):
            if param.key in values and values[param.key] != param.neutral:
                spelt[key_of(lever, param)] = _spelt(param, values[param.key], scenario, catalog)
    return {"v": str(VERSION), **spelt} if spelt else {}


def query(settings: Mapping[str, Values], scenario: Scenario, catalog: Catalog) -> str:
    """The address of these settings, from the question mark on; nothing where all are at rest."""
    spelt = params(settings, scenario, catalog)
    return f"?{urlencode(spelt)}" if spelt else ""


def _spelt(param: Param, value: Any, scenario: Scenario, catalog: Catalog) -> str:
    if isinstance(param, Number):
        return str(figure(param, value))
    if isinstance(param, Choice):
        return next((one.label for one in param.options(scenario, catalog) if one.value == value), str(value))
    return str(value).lower()


def brought_up_to_date() -> str:
    """Rewrite the address that was opened to this version, before widgets read it; what to tell about it, or ""."""
    stated = st.query_params.get("v", "")
    if stated == str(VERSION):
        return ""
    if stated and not (stated.isdecimal() and int(stated) < VERSION):
        del st.query_params["v"]
        return (
            "The link says it was made by a version of Permillion that is not known here. What this one understands "
            "of it is shown; update Permillion, or ask for the link again."
        )
    changed = []
    for name, value in st.query_params.to_dict().items():
        if (name, value) in _SINCE_1:
            del st.query_params[name]
            st.session_state[name] = _SINCE_1[name, value]
            changed.append(f"{name}={value}")
    return f"The link was made by an older version and has been brought up to date: {', '.join(changed)}." * bool(
        changed
    )


def stamp(settings: Mapping[str, Values]) -> None:
    """Write the version beside settings that are not at rest, and take it away with the last of them."""
    moved = any(not lever_of(key).is_neutral(values) for key, values in settings.items())
    if moved and st.query_params.get("v") != str(VERSION):
        st.query_params["v"] = str(VERSION)
    elif not moved and "v" in st.query_params:
        del st.query_params["v"]


def about_ignored(asked: Mapping[str, str], scenario: Scenario, catalog: Catalog) -> str:
    """What a link asked for and this version does not know or allow, to show; "" for nothing. Call after the panel."""
    if not (settings := _ignored(asked, scenario, catalog)):
        return ""
    named = ", ".join(text.label(setting) for setting in settings[:MOST_NAMED])
    return f"The link asks for what is not a setting here, and it is ignored: {named}."


def _ignored(asked: Mapping[str, str], scenario: Scenario, catalog: Catalog) -> list[str]:
    known = {key_of(lever, param): param for lever in LEVERS for param in (*lever.params, *lever.evidence)}
    kept = st.query_params.to_dict()
    return [
        f"{key}={value}"
        for key, value in asked.items()
        if key != "v"
        and (
            key not in known
            # A value equal to the default leaves the address by itself, without having been refused.
            or (key not in kept and value.lower() not in _at_rest(known[key], scenario, catalog))
        )
    ]


def _at_rest(param: Param, scenario: Scenario, catalog: Catalog) -> set[str]:
    """How an address spells the neutral value."""
    if isinstance(param, Number):
        neutral = figure(param, param.neutral)
        return {str(neutral), str(float(neutral))}
    spelled = {str(param.neutral).lower()}
    if isinstance(param, Choice):
        options = param.options(scenario, catalog)
        spelled |= {option.label.lower() for option in options if option.value == param.neutral}
    return spelled
