"""Lever parameters as widgets. The address is the scenario: each widget's key is its query parameter."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import streamlit as st

from costlib.catalog import Catalog
from costlib.lever import Choice, Lever, Number, Param, Stage, Switch, Values
from costlib.levers import LEVERS
from costlib.scenario import Scenario
from ui import links, text
from ui.text import PERCENT

FEW = 6  # options up to this many lie side by side
MOST_SLIDER_STEPS = 1000  # a longer way is typed
BLOCKED_LENGTH = 110
STAGES = {
    Stage.REQUESTS: "Requests",
    Stage.MODEL: "Model",
    Stage.SERVING: "Serving",
    Stage.ROUTING: "Routing",
    Stage.HARDWARE: "Hardware",
    Stage.PURCHASE: "Purchase",
}
OPEN = {Stage.MODEL, Stage.SERVING, Stage.ROUTING}


def panel(scenario: Scenario, catalog: Catalog) -> dict[str, dict[str, Any]]:
    """Draw every lever by its stage and return its values, by lever."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Levers", anchor=False, width="stretch")
        st.button("Reset", icon=":material/restart_alt:", type="tertiary", on_click=reset, key="reset-levers")
    settings = {}
    for stage, group in groupby(LEVERS, key=lambda lever: lever.stage):
        levers = list(group)
        count = sum(_is_moved(lever) for lever in levers)
        name = f"{STAGES[stage]}{f' · {count} moved' if count else ''}"
        with st.expander(name, expanded=stage in OPEN or count > 0, key=f"stage-{stage.name.lower()}"):
            for lever in levers:
                settings[lever.key] = _lever(lever, scenario, catalog)
    return settings


def _is_moved(lever: Lever) -> bool:
    """By its widgets as they were last set; where none is drawn yet, by the address that they will read."""
    for param in [param for param in lever.params if isinstance(param, Switch)] or lever.params:
        key = links.key_of(lever, param)
        rest = links.figure(param, param.neutral) if isinstance(param, Number) else param.neutral
        if st.session_state[key] != rest if key in st.session_state else key in st.query_params:
            return True
    return False


def _lever(lever: Lever, scenario: Scenario, catalog: Catalog) -> dict[str, Any]:
    """One lever's widgets. What a switch that is off would need is not drawn, and at rest."""
    values = lever.neutral_values
    for param in lever.params:
        values[param.key] = _widget(lever, param, scenario, catalog)
        if isinstance(param, Switch) and not values[param.key]:
            return values
    if lever.evidence and not lever.is_neutral(values):
        with st.container(horizontal=True, key=f"evidence-{lever.key}"):
            for param in lever.evidence:
                values[param.key] = _number(param, f"{lever.key}.{param.key}", typed=True)
    return values


def reset() -> None:
    """Back to today: every lever at rest, and with it an empty address."""
    for lever in LEVERS:
        show(lever, lever.neutral_values)


def load(settings: Mapping[str, Values]) -> None:
    """Set every lever to these settings; what they do not name goes to rest."""
    for lever in LEVERS:
        show(lever, {**lever.neutral_values, **settings.get(lever.key, {})})


def show(lever: Lever, values: Values) -> None:
    """Set a lever's widgets, before they are drawn."""
    for param in (*lever.params, *lever.evidence):
        value = values[param.key]
        st.session_state[links.key_of(lever, param)] = (
            links.figure(param, value) if isinstance(param, Number) else value
        )


def _widget(lever: Lever, param: Param, scenario: Scenario, catalog: Catalog) -> Any:
    key = links.key_of(lever, param)
    if isinstance(param, Switch):
        return st.toggle(param.label, value=param.neutral, key=key, help=param.help, bind="query-params")
    if isinstance(param, Number):
        return _number(param, key, typed=(param.high - param.low) / param.step > MOST_SLIDER_STEPS)
    return _choice(param, key, scenario, catalog)


def _number(param: Number, key: str, *, typed: bool) -> float:
    """A slider, or a box to type in where the range is long. Shares are percentages."""
    low, high, rest, step = (links.figure(param, of) for of in (param.low, param.high, param.neutral, param.step))
    digits = 0 if isinstance(step, int) else max(0, len(f"{step:.6f}".rstrip("0").partition(".")[2]))
    figure = f"%.{digits}f" if digits else "%d"
    if typed:
        unit = "%" if param.is_share else "$" if param.is_money else ""
        given = st.number_input(
            f"{param.label}{f', {unit}' if unit else ''}", low, high, rest, step, format=figure, key=key,
            help=param.help, bind="query-params",
        )  # fmt: skip
    else:
        # Of a share the label says what it is of.
        unit = "%%" if param.is_share else f" {param.unit.removeprefix('USD ')}"
        given = st.slider(
            param.label, low, high, rest, step, format=f"{'$' * param.is_money}{figure}{unit}", key=key,
            help=param.help, bind="query-params",
        )  # fmt: skip
    return given / PERCENT if param.is_share else float(given)


def _choice(param: Choice, key: str, scenario: Scenario, catalog: Catalog) -> str:
    options = param.options(scenario, catalog)
    labels = {option.value: option.label for option in options}
    open_to = [option.value for option in options if not option.blocked]
    if st.session_state.get(key, param.neutral) not in open_to:
        del st.session_state[key]  # a preset or a saved scenario asked for what this fleet cannot do
    blocked = sorted({option.blocked for option in options if option.blocked})
    help_ = param.help + (f" Not offered: {text.label('; '.join(blocked), text.A_PARAGRAPH)}." if blocked else "")
    shared: dict[str, Any] = {"key": key, "help": help_, "bind": "query-params"}
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
    if blocked:
        st.caption(f"Not here: {text.label('; '.join(blocked), BLOCKED_LENGTH)}")
    return str(chosen or param.neutral)
