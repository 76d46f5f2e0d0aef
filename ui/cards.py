"""Figures as cards: a number, its change or a note on it, and a small line of how it got there."""

from collections.abc import Iterable

import streamlit as st

WIDTH = 160  # narrower than this, cards wrap
POINTS = 60
Change = str | int | None


def changed(
    name: str,
    value: str,
    change: Change,
    note: str | None,
    *,
    help: str | None = None,
    points: Iterable[float | None] = (),
    less_is_better: bool = True,
) -> None:
    """A figure with its change. Green is less, red is more; grey where neither is better (`less_is_better=False`)."""
    st.metric(
        name,
        value,
        change,
        delta_color="inverse" if less_is_better else "off",
        delta_description=note,
        chart_data=spark(points),
        chart_type="area",
        help=help,
        height="stretch",
        border=True,
    )


def noted(
    name: str,
    value: str,
    badge: str | None,
    note: str | None = None,
    *,
    help: str | None = None,
    points: Iterable[float | None] = (),
) -> None:
    """A figure with a word on it, which is no change."""
    st.metric(
        name,
        value,
        badge,
        delta_arrow="off",
        delta_color="off",
        delta_description=note,
        chart_data=spark(points),
        chart_type="area",
        help=help,
        height="stretch",
        border=True,
    )


def spark(values: Iterable[float | None]) -> list[float] | None:
    """The newest points of a small line, unknown ones left out; None when there is no line to draw."""
    known = [round(float(value), 4) for value in values if value is not None and value == value]
    return known[-POINTS:] if len(known) > 1 else None
