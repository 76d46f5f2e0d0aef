"""Figures as plain Plotly dictionaries. Pure: rows and a palette in, a figure out. Titles stand beside, in the page."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import streamlit as st

from ui.text import on_chart, short_money, unit_cost
from ui.theme import Palette

Figure = dict[str, Any]
CONFIG = {"displayModeBar": False, "scrollZoom": False, "responsive": True}
BAR_HEIGHT = 34


def draw(figure: Figure, key: str, alt: str) -> None:
    """One chart, at its own height, named for those who cannot see it."""
    st.plotly_chart(figure, key=key, theme=None, config=CONFIG, alt=alt)


def layout(palette: Palette, height: int, **more: Any) -> Figure:
    axis = {
        "gridcolor": palette.grid,
        "zeroline": False,
        "showline": False,
        "automargin": True,
        "fixedrange": True,
    }
    base = {
        "template": {},  # the default template is 6 KB of colours that none of these figures uses
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, sans-serif", "size": 12, "color": palette.text},
        "hoverlabel": {"font": {"family": "Inter, sans-serif", "size": 12}},
        "legend": {"orientation": "h", "y": -0.12, "x": 0, "traceorder": "normal", "font": {"color": palette.muted}},
        "xaxis": {**axis, "tickfont": {"color": palette.muted}, **more.pop("xaxis", {})},
        "yaxis": {**axis, "tickfont": {"color": palette.muted}, **more.pop("yaxis", {})},
    }
    return {**base, **more}


def waterfall(today: float, changes: Sequence[tuple[str, float]], scenario: float, palette: Palette) -> Figure:
    """Today, each lever's change, and the scenario, as horizontal bars that hang from one another; USD per month."""
    names, bases, lengths, colors, shown = ["Today"], [0.0], [today], [palette.idle], [short_money(today)]
    level = today
    for name, change in changes:
        names.append(name)
        bases.append(min(level, level + change))
        lengths.append(abs(change))
        colors.append(palette.less if change <= 0 else palette.more)
        shown.append(short_money(change) if change <= 0 else f"+{short_money(change)}")
        level += change
    names, bases = [*names, "Scenario"], [*bases, 0.0]
    lengths, colors, shown = [*lengths, scenario], [*colors, palette.accent], [*shown, short_money(scenario)]
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [on_chart(name) for name in names],
        "x": lengths,
        "base": bases,
        "text": shown,
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "marker": {"color": colors, "cornerradius": 2},
        "textfont": {"color": [palette.text, *colors[1:-1], palette.text], "size": 12},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    most = max([today, scenario, *(base + length for base, length in zip(bases, lengths, strict=True))]) or 1.0
    frame = layout(
        palette,
        BAR_HEIGHT * len(names) + 24,
        bargap=0.35,
        showlegend=False,
        xaxis={"range": [0, most * 1.25], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )
    return {"data": [bars], "layout": frame}


def stacked_unit_cost(rows: Sequence[tuple[str, Mapping[str, float]]], palette: Palette) -> Figure:
    """One horizontal bar per scenario, its parts stacked, USD per million tokens, the total at its end."""
    parts = list(rows[0][1])
    colors = [palette.series[0], palette.series[1], palette.idle]
    names = [name for name, _ in rows]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": part,
            "y": names,
            "x": [values[part] for _, values in rows],
            "marker": {"color": color},
            "hovertemplate": f"{part}: $%{{x:.3f}}<extra></extra>",
        }
        for part, color in zip(parts, colors, strict=True)
    ]
    totals = [sum(values.values()) for _, values in rows]
    data.append(
        {
            "type": "scatter",
            "mode": "text",
            "y": names,
            "x": totals,
            "text": [f" {unit_cost(total)}" for total in totals],
            "textposition": "middle right",
            "textfont": {"color": palette.text},
            "showlegend": False,
            "hoverinfo": "skip",
            "cliponaxis": False,
        }
    )
    frame = layout(
        palette,
        190,
        barmode="stack",
        bargap=0.45,
        xaxis={"range": [0, (max(totals) or 1.0) * 1.2], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )
    return {"data": data, "layout": frame}


def stacked_days(days: Sequence[str], series: Mapping[str, Sequence[float]], palette: Palette) -> Figure:
    """Daily amounts as stacked bars; the last series, what is left over, is grey."""
    colors = [*islice(cycle(palette.series[:-1]), len(series) - 1), palette.idle]
    data = [
        {
            "type": "bar",
            "name": on_chart(name),
            "x": list(days),
            "y": list(values),
            "marker": {"color": color},
            "hovertemplate": "%{x|%-d %b}: $%{y:,.0f}<extra>" + on_chart(name) + "</extra>",
        }
        for (name, values), color in zip(series.items(), colors, strict=True)
    ]
    frame = layout(
        palette, 300, barmode="relative", bargap=0.3,
        xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False},
        yaxis={"tickprefix": "$", "tickformat": ",.3~s"},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def line_days(days: Sequence[str], values: Sequence[float | None], name: str, palette: Palette) -> Figure:
    """One daily figure as a line; a day without a value is a gap, not a zero."""
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(days),
        "y": list(values),
        "connectgaps": False,
        "line": {"color": palette.accent, "width": 2},
        "hovertemplate": "%{x|%-d %b}: $%{y:.3f}<extra></extra>",
    }
    frame = layout(
        palette, 300, showlegend=False,
        xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False},
        yaxis={"tickprefix": "$", "rangemode": "tozero"},
    )  # fmt: skip
    return {"data": [line], "layout": frame}
