"""Lever parameters as widgets. The address is the scenario: each widget's key is its query parameter."""

from typing import Any

import streamlit as st

from costlib.catalog import Catalog
from costlib.lever import Choice, Lever, Number, Param, Switch
from costlib.levers import LEVERS
from costlib.scenario import Scenario
from ui import text
from ui.text import PERCENT

FEW = 6  # options up to this many lie side by side


def key_of(lever: Lever, param: Param) -> str:
    return f"{lever.key}.{param.key}"


def panel(scenario: Scenario, catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Draw every lever and return its values, by lever."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Levers", anchor=False, width="stretch")
        st.button("Reset", icon=":material/restart_alt:", type="tertiary", on_click=reset, key="reset-levers")
    settings = {}
    for lever in LEVERS:
        on = True
        values: dict[str, Any] = {}
        for param in lever.params:
            values[param.key] = _widget(lever, param, scenario, catalog, disabled=not on)
            if isinstance(param, Switch):
                on = values[param.key]
        settings[lever.key] = values
    return settings


def reset() -> None:
    """Back to today: every lever at rest, and with it an empty address."""
    for lever in LEVERS:
        for param in lever.params:
            at_rest = round(param.neutral * PERCENT) if isinstance(param, Number) else param.neutral
            st.session_state[key_of(lever, param)] = at_rest


def _widget(lever: Lever, param: Param, scenario: Scenario, catalog: Catalog, disabled: bool) -> Any:
    key = key_of(lever, param)
    if isinstance(param, Switch):
        return st.toggle(param.label, value=param.neutral, key=key, help=param.help, bind="query-params")
    if isinstance(param, Number):
        percent = st.slider(
            param.label,
            min_value=round(param.low * PERCENT),
            max_value=round(param.high * PERCENT),
            value=round(param.neutral * PERCENT),
            step=max(1, round(param.step * PERCENT)),
            format=f"%d%% {param.unit}",
            label_visibility="collapsed",
            disabled=disabled,
            key=key,
            help=param.help,
            bind="query-params",
        )
        return percent / PERCENT
    return _choice(param, key, scenario, catalog, disabled)


def _choice(param: Choice, key: str, scenario: Scenario, catalog: Catalog, disabled: bool) -> str:
    options = param.options(scenario, catalog)
    labels = {option.value: option.label for option in options}
    open_to = [option.value for option in options if not option.blocked]
    shared: dict[str, Any] = {"key": key, "help": param.help, "bind": "query-params", "disabled": disabled}
    if param.ordered:
        return str(
            st.select_slider(param.label, open_to, value=param.neutral, format_func=labels.__getitem__, **shared)
        )
    if len(open_to) <= FEW:
        chosen = st.segmented_control(
            param.label, open_to, default=param.neutral, format_func=labels.__getitem__, required=True, **shared
        )
    else:
        chosen = st.selectbox(
            param.label, open_to, index=open_to.index(param.neutral), format_func=labels.__getitem__, **shared
        )
    blocked = sorted({option.blocked for option in options if option.blocked})
    if blocked:
        st.caption(text.label("; ".join(blocked)))
    return str(chosen or param.neutral)


def ignored_settings(asked: dict[str, str], scenario: Scenario, catalog: Catalog) -> list[str]:
    """What a link asked for and this version does not know or allow, as texts to show. Call after `panel`."""
    known = {key_of(lever, param): param for lever in LEVERS for param in lever.params}
    kept = st.query_params.to_dict()
    return [
        f"{key}={value}"
        for key, value in asked.items()
        if key not in known
        # A value equal to the default leaves the address by itself, without having been refused.
        or (key not in kept and value.lower() not in _at_rest(known[key], scenario, catalog))
    ]


def _at_rest(param: Param, scenario: Scenario, catalog: Catalog) -> set[str]:
    """How an address spells the neutral value."""
    if isinstance(param, Number):
        return {str(round(param.neutral * PERCENT))}
    spelled = {str(param.neutral).lower()}
    if isinstance(param, Choice):
        options = param.options(scenario, catalog)
        spelled |= {option.label.lower() for option in options if option.value == param.neutral}
    return spelled
