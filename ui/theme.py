"""Colours of the charts, for the theme in use. Green is less cost, red is more, grey today or idle, amber a limit."""

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    text: str
    muted: str
    grid: str
    accent: str
    less: str
    more: str
    idle: str
    limit: str
    series: tuple[str, ...]


LIGHT = Palette(
    text="#161A23", muted="#5B6475", grid="#E2E6EE", accent="#3D5AFE", less="#12A071", more="#C8323C", idle="#98A1B2",
    limit="#D97706",
    series=("#3D5AFE", "#12A594", "#8E4EC6", "#E5894A", "#D6409F", "#7C8698"),
)  # fmt: skip
DARK = Palette(
    text="#E8EBF2", muted="#98A2B5", grid="#262D3B", accent="#7C93FF", less="#3DD68C", more="#FF7A80", idle="#667085",
    limit="#F5A65B",
    series=("#7C93FF", "#3CC8B4", "#B98CF0", "#F0A56A", "#F07AC0", "#8D97A9"),
)  # fmt: skip


def palette() -> Palette:
    return DARK if st.context.theme.type == "dark" else LIGHT


def scroll_when_narrow(key: str) -> None:
    """Where columns stand below each other, a long container keeps to half a screen: what it moves stays in sight.
    A server does not know the width; only the style sheet does."""
    st.html(f"<style>@media (max-width: 640px) {{ .st-key-{key} {{ max-height: 55vh; overflow-y: auto; }} }}</style>")
