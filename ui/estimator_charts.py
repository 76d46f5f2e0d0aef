"""Figures of an estimate: chances by cost, and what its spread comes from. Pure."""

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10

from ui.charts import Figure, layout
from ui.money_charts import faint
from ui.text import PERCENT, on_chart, short_money
from ui.theme import Palette

ROW = 30


def chances(curves: Mapping[str, Sequence[float]], chosen: str, budget: float | None, palette: Palette) -> Figure:
    """The share of draws that cost so much or less, for each option; P1 to P99 over dollars a month, logarithmic."""
    data = []
    others = (color for color in (palette.series[1], palette.series[2], palette.series[4], palette.series[5]))
    for name, edges in curves.items():
        color = palette.accent if name == chosen else next(others, palette.idle)
        data.append(
            {"type": "scatter", "mode": "lines", "name": on_chart(name), "x": [max(edge, 0.01) for edge in edges],
             "y": list(range(1, len(edges) + 1)),
             "line": {"color": color, "width": 3 if name == chosen else 1.5},
             **({"fill": "tozeroy", "fillcolor": faint(color)} if name == chosen else {}),
             "hovertemplate": "%{y} % of draws at $%{x:,.0f} or less<extra>" + on_chart(name) + "</extra>"}
        )  # fmt: skip
    shapes, notes = [], []
    if budget:
        shapes = [{"type": "line", "x0": budget, "x1": budget, "yref": "paper", "y0": 0, "y1": 1,
                   "line": {"color": palette.limit, "width": 2, "dash": "dash"}}]  # fmt: skip
        # Placed by exponent on a logarithmic axis, where shapes are placed by value.
        notes = [{"text": f" budget {short_money(budget)} ", "x": log10(budget), "yref": "paper", "y": 0,
                  "xanchor": "left", "yanchor": "bottom", "showarrow": False,
                  "font": {"size": 11, "color": palette.limit}}]  # fmt: skip
    frame = layout(
        palette, 320, shapes=shapes, annotations=notes,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal",
                "font": {"color": palette.muted}},
        xaxis={"type": "log", "showgrid": False, **_ticks([edge for edges in curves.values() for edge in edges]),
               "title": {"text": "a month", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"range": [0, 100], "ticksuffix": " %  ", "nticks": 5},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def _ticks(costs: Sequence[float]) -> Figure:
    """Round dollars within these costs: the fewer to a decade, the more decades there are."""
    low, high = (log10(max(of, 0.01)) for of in (min(costs), max(costs)))
    steps = (1, 2, 5) if high - low < 1.5 else (1, 3) if high - low < 3.5 else (1,)
    at = [step * 10.0**power for power in range(floor(low), ceil(high) + 1) for step in steps]
    return {"tickvals": at, "ticktext": [short_money(value) for value in at]}


def spread(rows: Sequence[tuple[str, float, float]], palette: Palette) -> Figure:
    """Factors by their share of the spread: what each makes alone, and what it has part in."""
    names = [on_chart(name) for name, _, _ in rows]
    base = {"type": "bar", "orientation": "h", "y": names}
    alone = [max(0.0, first) * PERCENT for _, first, _ in rows]
    total = [max(0.0, whole) * PERCENT for _, _, whole in rows]
    data = [
        {**base, "x": alone, "name": "alone", "marker": {"color": palette.accent, "cornerradius": 2},
         "hovertemplate": "%{y} alone: %{x:.0f} %<extra></extra>"},
        {**base, "x": [max(0.0, whole - own) for whole, own in zip(total, alone, strict=True)],
         "name": "with others", "marker": {"color": faint(palette.accent), "cornerradius": 2},
         "text": [f"{whole:.0f} %" for whole in total], "textposition": "outside", "cliponaxis": False,
         "textfont": {"color": palette.text},
         "customdata": total, "hovertemplate": "%{y}, also with others: %{customdata:.0f} %<extra></extra>"},
    ]  # fmt: skip
    frame = layout(
        palette, ROW * len(rows) + 60, barmode="stack", bargap=0.35,
        showlegend=any(whole - own > 1 for whole, own in zip(total, alone, strict=True)),
        xaxis={"range": [0, max([*total, 1.0]) * 1.15], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": data, "layout": frame}
