"""One of several names from outside, chosen: kept in the address, and shown as it is written."""

from collections.abc import Callable, Sequence

import streamlit as st

from ui import text

WIDTH = 360


def picked(label: str, options: Sequence[str], key: str, shown: Callable[[str], str] = str, help: str = "") -> str:
    """The option that is chosen; nothing is drawn where there is no choice. One that is gone gives way to the first."""
    if len(options) == 1:
        return options[0]
    if st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    return str(
        st.selectbox(label, options, key=key, bind="query-params", width=WIDTH, help=help or None,
                     format_func=lambda one: text.plain(shown(one), 80))
    )  # fmt: skip
