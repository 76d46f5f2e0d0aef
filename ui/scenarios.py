"""Where a scenario comes from and where it goes: presets, what the servers report, saved ones, and links."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from costlib.errors import DomainError, PermillionError
from costlib.lever import Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.presets import PRESETS
from costlib.speculation import acceptance_of
from store.saved import MOST_NAME_CHARACTERS, Saved, delete, save, saved
from ui import controls, data, links, plan_change, text


def bar(found: data.Snapshot | None, today: data.Today, settings: Mapping[str, Values]) -> None:
    """Presets, "Set from live", saved scenarios and the link, in one row above the levers."""
    with st.container(horizontal=True, vertical_alignment="center", key="scenario-bar"):
        for preset in PRESETS:
            st.button(
                preset.name, help=preset.help, type="tertiary", key=f"preset-{preset.name}", on_click=controls.load,
                args=(preset.settings,),
            )  # fmt: skip
        if live := measured(found, today):
            st.button(
                "Set from live", icon=":material/sensors:", type="tertiary", key="set-from-live", on_click=_set,
                args=(live,), help="Hit rate and acceptance that the servers reported in the last seven days.",
            )  # fmt: skip
        _saved_ones(today, settings)
        plan_change.popover(found, today, settings)
        with st.popover("Share", icon=":material/link:", key="share"):
            query = links.query(settings, today.scenario, today.catalog)
            st.code(query or "?", language=None, wrap_lines=True)
            st.caption(
                "Append it to this page's address; the address bar has it too. It holds settings only: who opens it "
                "sees their own fleet's figures."
            )


def _saved_ones(today: data.Today, settings: Mapping[str, Values]) -> None:
    kept = saved(data.home())
    with st.popover("Saved", icon=":material/bookmark:", key="saved"):
        name = st.text_input("Name", max_chars=MOST_NAME_CHARACTERS, key="saved-name", placeholder="FP8 and routing")
        st.button(
            "Save these settings", icon=":material/save:", key="save-scenario", on_click=_save, args=(settings,),
            disabled=not name.strip(), width="stretch",
        )  # fmt: skip
        for one in kept:
            with st.container(horizontal=True, vertical_alignment="center", key=f"saved-{text.plain(one.name)}"):
                st.markdown(text.label(one.problem or one.name), width="stretch")
                if not one.problem:
                    st.button("Open", key=f"open-{one.name}", type="tertiary", on_click=_open, args=(one, today))
                st.button(
                    "Delete", icon=":material/delete:", key=f"delete-{one.name}", type="tertiary",
                    on_click=_delete, args=(one.name,),
                )  # fmt: skip
        if kept:
            st.page_link("pages/compare.py", label="Compare them side by side", icon=":material/compare:")
        else:
            st.caption("Nothing is saved yet.")


def _save(settings: Mapping[str, Values]) -> None:
    try:
        save(data.home(), st.session_state["saved-name"], _moved(settings), data.now())
    except PermillionError as error:
        st.toast(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    st.toast(f"Saved as {text.label(st.session_state['saved-name'])}.", icon=":material/bookmark_added:")


def _open(one: Saved, today: data.Today) -> None:
    """Not in part: what an older or a newer version saved, or a hand wrote, may not be a setting here."""
    try:
        for key, values in one.settings.items():
            lever_of(key).check_values(values, today.scenario, today.catalog)
    except PermillionError as error:
        problem = f"{one.name} is not opened: {error}"
        st.toast(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        return
    controls.load(one.settings)


def _moved(settings: Mapping[str, Values]) -> dict[str, Values]:
    """What is not at rest: later defaults then reach saved scenarios too."""
    return {lever.key: settings[lever.key] for lever in LEVERS if not lever.is_neutral(settings[lever.key])}


def _delete(name: str) -> None:
    delete(data.home(), name)
    st.toast(f"Deleted {text.label(name)}.")


def _set(live: Mapping[str, Mapping[str, Any]]) -> None:
    for lever in LEVERS:
        if lever.key in live:
            controls.show(lever, {**lever.neutral_values, **live[lever.key]})


def measured(found: data.Snapshot | None, today: data.Today) -> dict[str, dict[str, Any]]:
    """Settings that the servers report: prompt tokens found in the prefix cache, and the chance that a draft is right.

    Over all deployments, weighted by tokens; what no server exports is left out.
    """
    if found is None or not today.is_measured_fleet or today.measured_from is None or today.measured_to is None:
        return {}
    return _reported(found.id, today.measured_from, today.measured_to, found)


@st.cache_resource(max_entries=4, show_spinner=False)
def _reported(snapshot_id: str, start: datetime, end: datetime, _found: data.Snapshot) -> dict[str, dict[str, Any]]:
    frame = data.windows(_found, start, end, "total", "deployment")
    sums = frame.select_dtypes("number").astype(float).sum(min_count=1)

    def total(name: str) -> float:
        return float(sums.get(name, float("nan")))

    live: dict[str, dict[str, Any]] = {}
    if total("prefix_queries_tokens") > 0:
        hits = total("prefix_hits_tokens") / total("prefix_queries_tokens")
        live["prefix_caching"] = {"enabled": True, "hit_fraction": min(round(hits, 2), 0.95)}
    if total("drafts_count") > 0:
        drafts = total("drafts_count")
        try:
            found_fraction = acceptance_of(1 + total("accepted_tokens") / drafts, total("draft_tokens") / drafts)
        except DomainError:
            return live  # counters that contradict each other; Live says so
        live["speculative_decoding"] = {"enabled": True, "acceptance_fraction": min(round(found_fraction, 2), 0.95)}
    return live
