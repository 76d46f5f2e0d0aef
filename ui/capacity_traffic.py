"""Traffic of a file on the page Capacity: uploaded, kept for this session, and taken instead of history."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import streamlit as st

from costlib.demand_curve import HourlyLoad
from costlib.errors import PermillionError
from store.traffic_csv import of_deployments, traffic_of
from ui import text

_KEPT, _TURN = "traffic-kept", "traffic-turn"
MOST_MB = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a file says; `key` tells it from every other."""

    name: str
    loads: tuple[HourlyLoad, ...]
    key: str


def kept() -> Traffic | None:
    found: Traffic | None = st.session_state.get(_KEPT)
    return found


def badge() -> None:
    """Whose hours these are, on every section."""
    if traffic := kept():
        st.badge(f"Traffic from {text.label(traffic.name, 60)}, assumed", icon=":material/upload_file:", color="orange")


def control(deployments: Sequence[str]) -> None:
    """Take a file of these deployments' traffic, or leave it again."""
    turn = st.session_state.setdefault(_TURN, 0)
    with st.popover("Traffic", icon=":material/upload_file:", key="traffic-file"):
        if traffic := kept():
            st.markdown(f"Hours are those of {text.label(traffic.name, 60)}, assumed.")
            if st.button("Leave the file", icon=":material/undo:", key="traffic-leave"):
                del st.session_state[_KEPT]
                st.rerun()
        upload = st.file_uploader(
            "CSV of hour,requests_per_s[,deployment]", key=f"traffic-upload-{turn}", max_upload_size=MOST_MB,
            help="One row for each hour, 2026-11-21T14:00 in UTC or with its zone. It is taken instead of history, for "
            "this session; other deployments keep theirs.",
        )  # fmt: skip
        if upload is None:
            return
        name = text.plain(upload.name.replace("\\", "/").rpartition("/")[2] or "traffic.csv", 60)
        try:
            loads = tuple(of_deployments(traffic_of(upload, name), deployments).values())
        except PermillionError as error:
            st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
            return
        key = f"{name} {sha256(upload.getbuffer()).hexdigest()}"
        st.session_state[_KEPT] = Traffic(name=name, loads=loads, key=key)
        # With another key the widget is another one, and what was uploaded to this one is let go.
        st.session_state[_TURN] = turn + 1
    st.rerun()
