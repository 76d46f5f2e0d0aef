"""What every page begins with: its title, what the data are, how fresh, and a way to share."""

from datetime import timedelta
from pathlib import Path

import streamlit as st

from ui import data, text

STALE_AFTER = timedelta(minutes=5)
PAGES = Path(__file__).resolve().parents[1] / "pages"
_door_opened = False
_PAGE, _OPENED = "page", "page-opened"
_PRESENT = "present"
_LARGER = "<style>:root{font-size:19px}</style>"  # everything that is not drawn is sized by it


def through_the_door() -> None:
    """app.py says that it ran in this server."""
    global _door_opened
    _door_opened = True


def _back_through_the_door() -> None:
    """Until `st.navigation` was called once, a server runs a page asked for by its address without app.py, and so
    without its settings and its menu. Calling it here, and running again, puts that right."""
    # The first page has no address of its own; app.py's first one is that.
    first = PAGES / "what_if.py"
    pages = [first, *(path for path in sorted(PAGES.glob("*.py")) if path != first)]
    st.navigation([st.Page(path) for path in pages], position="hidden")
    st.rerun()


def is_presenting() -> bool:
    """Whether the address asks for what an audience sees: no menu, larger type, and pages leave out their controls."""
    return st.query_params.get(_PRESENT) == "1"


def present(is_on: bool) -> None:
    """Keep that in the address, or take it away."""
    if is_on:
        st.query_params[_PRESENT] = "1"
    else:
        st.query_params.pop(_PRESENT, None)


def header(title: str, works_without_data: bool = False) -> data.Snapshot | None:
    """Draw the title row and return the snapshot to read, None when nothing was published yet.

    A page that `works_without_data` goes on with None when the stored data cannot be read; the others end there.
    """
    if not _door_opened:
        _back_through_the_door()
    st.session_state[_OPENED] = st.session_state.get(_PAGE) != title
    st.session_state[_PAGE] = title
    found, problem = data.snapshot()
    if is_presenting():
        st.html(_LARGER)
    with st.container(horizontal=True, vertical_alignment="center", key="page-head"):
        st.title(title, anchor=False, width="stretch")
        if problem:
            st.badge("Data not readable", icon=":material/error:", color="red")
        elif found is None:
            st.badge("No data yet", icon=":material/database_off:", color="gray")
        else:
            if found.is_sample:
                st.badge("Sample data", icon=":material/science:", color="orange")
            moment = data.now()
            stale = moment - found.published_at > STALE_AFTER
            st.badge(
                f"{'Stale, ' if stale else ''}published {text.age(found.published_at, moment)}",
                icon=":material/schedule:" if stale else ":material/check_circle:",
                color="orange" if stale else "green",
                help="When the collector last published what it stored. Data health shows each source.",
            )
        if is_presenting():
            st.button("Leave", icon=":material/close:", key="leave", on_click=present, args=(False,), type="tertiary")
    if problem:
        st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        if not works_without_data:
            st.stop()
    return found


def was_just_opened() -> bool:
    """Whether this run is the page's first since it was chosen or its address was followed."""
    return bool(st.session_state[_OPENED])


def footer(found: data.Snapshot | None, *lines: str) -> None:
    """The small print: what the figures rest on, and which snapshot they are from."""
    sample = "Sample data: an invented fleet, priced from real list prices. " if found and found.is_sample else ""
    stamp = f" Snapshot {text.label(found.id)}." if found else ""
    with st.container(key="page-foot"):
        st.caption(sample + " ".join(lines) + stamp)
