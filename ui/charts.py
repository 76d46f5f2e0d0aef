"""Figures as plain Plotly dictionaries. Pure: rows and a palette in, a figure out. Titles stand beside, in the page."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import cycle
from typing import Any

import streamlit as st

from ui.text import PERCENT, on_chart, short_money, unit_cost
from ui.theme import Palette

Figure = dict[str, Any]
CONFIG = {"displayModeBar": False, "scrollZoom": False, "responsive": True}
BAR_HEIGHT = 34
HALF_A_MINUTE = timedelta(seconds=30)


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
    colors = [palette.series[0], palette.series[1], palette.idle, palette.series[2]]
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
        for part, color in zip(parts, colors, strict=False)  # the last only where something is paid beside models
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


def _minutes_axis(at: Sequence[str]) -> dict[str, Any]:
    """Fixed to the window, half a minute beyond its ends, so that nothing jumps when a minute is missing."""
    begin, end = (datetime.fromisoformat(moment) for moment in (at[0], at[-1]))
    reach = [(begin - HALF_A_MINUTE).isoformat(), (end + HALF_A_MINUTE).isoformat()]
    return {"type": "date", "tickformat": "%H:%M", "showgrid": False, "range": reach, "nticks": 5,
            "ticklabelstandoff": 6}  # fmt: skip


def stacked_minutes(
    at: Sequence[str], series: Mapping[str, Sequence[float | None]], palette: Palette, height: int
) -> Figure:
    """Rates by minute as stacked bars; a minute without a value has no bar."""
    data = [
        {
            "type": "bar",
            "name": on_chart(name),
            "x": list(at),
            "y": list(values),
            "marker": {"color": color},
            "hovertemplate": "%{x|%H:%M}: %{y:,.0f}/s<extra>" + on_chart(name) + "</extra>",
        }
        for (name, values), color in zip(series.items(), cycle(palette.series))
    ]
    frame = layout(
        palette, height, barmode="stack", bargap=0.15, uirevision="live",
        xaxis=_minutes_axis(at), yaxis={"rangemode": "tozero", "tickformat": ",.3~s", "nticks": 5, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def _line(at: Sequence[str], values: Sequence[float | None], name: str, color: str, **more: Any) -> Figure:
    return {
        "type": "scatter",
        # A minute between two unknown ones would have no line: its marker shows it.
        "mode": "lines+markers",
        "marker": {"size": 3, "color": color},
        "name": name,
        "x": list(at),
        "y": list(values),
        "connectgaps": False,
        "line": {"color": color, "width": 2},
        **more,
    }


PANEL_FILL = 0.85  # of a panel's share of the height; its name stands in the rest
Percentiles = tuple[str, Sequence[float | None], Sequence[float | None], float | None]


def percentile_minutes(at: Sequence[str], panels: Sequence[Percentiles], palette: Palette, height: int) -> Figure:
    """One panel above another, p50 and p95 in milliseconds each, with a dashed line where a target is set."""
    data, axes, shapes, notes = [], {}, [], []
    share = 1 / len(panels)
    for n, (name, p50, p95, target) in enumerate(panels):
        axis = "y" if not n else f"y{n + 1}"
        top = 1 - n * share
        bottom = 0.0 if n == len(panels) - 1 else top - share * PANEL_FILL
        for label, values, color in (("p50", p50, palette.idle), ("p95", p95, palette.accent)):
            data.append(
                _line(
                    at,
                    values,
                    label,
                    color,
                    yaxis=axis,
                    legendgroup=label,
                    showlegend=not n,
                    hovertemplate=f"%{{x|%H:%M}}: %{{y:,.0f}} ms<extra>{name} {label}</extra>",
                )
            )
        known = [value for value in (*p50, *p95, target) if value is not None]
        axes[f"yaxis{n + 1 if n else ''}"] = {
            "domain": [bottom, top - share * (1 - PANEL_FILL)],
            "range": [0, (max(known) if known else 1.0) * 1.15],
            "nticks": 3,
            "ticksuffix": " ms ",
            "gridcolor": palette.grid,
            "zeroline": False,
            "fixedrange": True,
            "automargin": True,
            "tickfont": {"color": palette.muted},
        }
        notes.append(_note(name, 0, top, palette.muted, "left"))
        if target is not None:
            shapes.append(
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": target, "y1": target,
                 "line": {"color": palette.limit, "width": 1.5, "dash": "dash"}}
            )  # fmt: skip
            notes.append(_note(f"target {target:,.0f} ms", 1, top, palette.limit, "right"))
    across = {**_minutes_axis(at), "anchor": axis}
    frame = layout(palette, height, uirevision="live", xaxis=across, shapes=shapes, annotations=notes)
    return {"data": data, "layout": {**frame, **axes}}


def _note(words: str, x: float, y: float, color: str, anchor: str) -> Figure:
    return {
        "text": words, "x": x, "y": y, "xref": "paper", "yref": "paper", "xanchor": anchor, "yanchor": "top",
        "showarrow": False, "font": {"size": 11, "color": color},
    }  # fmt: skip


def load_minutes(
    at: Sequence[str],
    requests: Mapping[str, Sequence[float | None]],
    kv_percent: Sequence[float | None],
    palette: Palette,
    height: int,
) -> Figure:
    """Requests as lines on the left, the KV cache in use as grey bars on the right, 0 to 100 %."""
    data = [
        {
            # Not an area, which would be filled across a gap.
            "type": "bar",
            "name": "KV cache",
            "x": list(at),
            "y": list(kv_percent),
            "yaxis": "y2",
            "marker": {"color": palette.idle, "opacity": 0.45},
            "hovertemplate": "%{x|%H:%M}: %{y:.0f} %<extra>KV cache</extra>",
        }
    ]
    most = max((value for values in requests.values() for value in values if value is not None), default=0.0)
    data += [
        _line(at, values, name, color, hovertemplate=f"%{{x|%H:%M}}: %{{y:,.1f}}<extra>{name}</extra>")
        for (name, values), color in zip(requests.items(), (palette.accent, palette.limit), strict=True)
    ]
    frame = layout(
        palette, height, uirevision="live", bargap=0, xaxis=_minutes_axis(at),
        # Lines above the bars, which belong to the other axis.
        yaxis={
            "range": [0, max(most, 1.0) * 1.15], "nticks": 5, "ticksuffix": "  ",
            "overlaying": "y2", "tickmode": "auto",
        },
        yaxis2={
            "side": "right", "range": [0, 100], "tickprefix": "  ", "ticksuffix": " %", "nticks": 4,
            "showgrid": False, "zeroline": False,
            "fixedrange": True, "automargin": True, "tickfont": {"color": palette.muted},
        },
    )  # fmt: skip
    return {"data": data, "layout": frame}


def shares(rows: Sequence[tuple[str, float | None]], palette: Palette, colors: Sequence[str]) -> Figure:
    """Shares as horizontal bars from 0 to 100 %; one that is not known has its reason in place of a bar."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [on_chart(name) for name, _ in rows],
        "x": [None if value is None else round(value * PERCENT, 2) for _, value in rows],
        "marker": {"color": list(colors), "cornerradius": 2},
        "hovertemplate": "%{y}: %{x:.0f} %<extra></extra>",
    }
    words = {
        "type": "scatter",
        "mode": "text",
        "y": bars["y"],
        "x": [0 if value is None else round(value * PERCENT, 2) for _, value in rows],
        "text": ["  not exported" if value is None else f" {value:.0%}" for _, value in rows],
        "textposition": "middle right",
        "textfont": {"color": [palette.muted if value is None else palette.text for _, value in rows]},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }
    frame = layout(
        palette, 26 * len(rows) + 20, bargap=0.4, showlegend=False,
        xaxis={"range": [0, 118], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": [bars, words], "layout": frame}
