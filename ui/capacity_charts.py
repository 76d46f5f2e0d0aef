"""Figures of capacity: hours, levels, weeks, bills by level of commitment, replays, and GPUs cut to scale. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ui.charts import Figure, layout
from ui.money_charts import faint
from ui.text import PERCENT, on_chart
from ui.theme import Palette

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Values = Sequence[float | None]
HEIGHT = 280
A_WEEK = 168
ROW = 44  # of a GPU's memory or compute
SMALLEST_NAMED = 0.11  # of the width: narrower slices are named by the pointer only


def hours(
    at: Sequence[str], need: Values, low: Values, high: Values, owned: float, palette: Palette, unit: str = "GPUs"
) -> Figure:
    """What each hour needs, in the band of the model's error; an hour without a value is a gap."""
    base = {"type": "scatter", "mode": "lines", "x": list(at), "connectgaps": False}
    data = [
        {**base, "y": list(high), "line": {"width": 0, "shape": "hv"}, "showlegend": False, "hoverinfo": "skip"},
        {**base, "y": list(low), "line": {"width": 0, "shape": "hv"}, "fill": "tonexty", "hoverinfo": "skip",
         "fillcolor": faint(palette.accent), "name": "80% of the model's error"},
        {**base, "y": list(need), "line": {"color": palette.accent, "width": 1.5, "shape": "hv"}, "name": "Needed",
         "hovertemplate": f"%{{x|%a %-d %b %H:%M}}: %{{y:,.0f}} {unit}<extra></extra>"},
    ]  # fmt: skip
    shapes, marks = _level(owned, "owned", palette)
    frame = layout(
        palette, HEIGHT, shapes=shapes, annotations=marks, legend=_above(palette),
        xaxis=_days("%-d %b", 6),
        yaxis={"rangemode": "tozero", "nticks": 6, "ticksuffix": "  ", "tickformat": ",d"},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def durations(shares: Sequence[float], owned: float, palette: Palette) -> Figure:
    """The load-duration curve: how many GPUs are needed in so many of the hours."""
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [0.0, *(share * PERCENT for share in reversed(shares))] if shares else [],
        "y": [len(shares), *range(len(shares), 0, -1)] if shares else [],
        "line": {"color": palette.accent, "width": 2, "shape": "vh"},
        "fill": "tozeroy",
        "fillcolor": faint(palette.accent),
        "hovertemplate": "%{y:,.0f} or more in %{x:.1f} % of hours<extra></extra>",
    }
    shapes, marks = _level(owned, "owned", palette)
    frame = layout(
        palette, HEIGHT, showlegend=False, shapes=shapes, annotations=marks,
        xaxis={"range": [0, 100], "ticksuffix": " %", "nticks": 6, "showgrid": False,
               "title": {"text": "of hours", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"rangemode": "tozero", "nticks": 6, "ticksuffix": "  ", "tickformat": ",d"},
    )  # fmt: skip
    return {"data": [line], "layout": frame}


def week(ratios: Values, palette: Palette) -> Figure:
    """168 hours of a week over their mean, a row a day, Monday first; an hour that was never seen is empty."""
    rows = [[None if v is None else round(v, 3) for v in ratios[24 * day : 24 * day + 24]] for day in range(7)]
    strip = {
        "type": "heatmap",
        "z": rows,
        "x": [f"{hour:02}:00" for hour in range(24)],
        "y": list(DAYS),
        "colorscale": [[0, palette.grid], [1, palette.accent]],
        "zmin": 0,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"thickness": 8, "outlinewidth": 0, "ticksuffix": "×", "nticks": 4, "len": 1,
                     "tickfont": {"color": palette.muted, "size": 11}},
        "hovertemplate": "%{y} %{x} UTC: %{z:.2f} times the mean<extra></extra>",
    }  # fmt: skip
    frame = layout(
        palette, 220,
        xaxis={"showgrid": False, "tickvals": ["00:00", "06:00", "12:00", "18:00"], "tickangle": 0, "ticks": ""},
        yaxis={"autorange": "reversed", "showgrid": False, "ticks": "", "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": [strip], "layout": frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """One offer's bill at every level, its optimum and rules of thumb: label, GPUs, USD an hour."""

    name: str
    usd_per_hour: Sequence[float]
    best: tuple[int, float]
    rules: Sequence[tuple[str, int, float]]


def levels(bill: Bill, others: Mapping[str, Sequence[float]], owned: float, palette: Palette) -> Figure:
    """Bill by level of commitment; what is owned already lies left of none."""
    data: list[Figure] = [
        {"type": "scatter", "mode": "lines", "name": on_chart(name), "x": list(range(len(bills))), "y": list(bills),
         "line": {"color": palette.idle, "width": 1.5, "dash": "dot"},
         "hovertemplate": "%{x:,.0f} GPUs: $%{y:,.2f} an hour<extra>" + on_chart(name) + "</extra>"}
        for name, bills in others.items()
    ]  # fmt: skip
    data.append(
        {"type": "scatter", "mode": "lines", "name": on_chart(bill.name), "x": list(range(len(bill.usd_per_hour))),
         "y": list(bill.usd_per_hour), "line": {"color": palette.accent, "width": 2.5},
         "hovertemplate": "%{x:,.0f} GPUs: $%{y:,.2f} an hour<extra></extra>"}
    )  # fmt: skip
    data += [
        {"type": "scatter", "mode": "markers", "name": name, "x": [at], "y": [usd],
         "marker": {"color": color, "size": size, "symbol": symbol, "line": {"color": palette.text, "width": 1}},
         "hovertemplate": f"{name}: %{{x:,.0f}} GPUs, $%{{y:,.2f}} an hour<extra></extra>"}
        for (name, at, usd), (color, size, symbol) in zip(
            [*bill.rules, ("Optimum", *bill.best)],
            [*((palette.limit, 10, shape) for shape in ("diamond", "square", "triangle-up")[: len(bill.rules)]),
             (palette.less, 13, "circle")],
            strict=True,
        )
    ]  # fmt: skip
    shapes, marks = [], []
    if owned:
        shapes = [{"type": "rect", "x0": -owned, "x1": 0, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
                   "fillcolor": faint(palette.idle), "line": {"width": 0}}]  # fmt: skip
        marks = [{"text": f"{owned:,.0f} owned", "x": -owned / 2, "yref": "paper", "y": 1, "yanchor": "top",
                  "showarrow": False, "font": {"size": 11, "color": palette.muted}}]  # fmt: skip
    frame = layout(
        palette, 360, shapes=shapes, annotations=marks, legend=_above(palette),
        xaxis={"showgrid": False, "nticks": 8, "tickformat": ",d",
               "title": {"text": "GPUs committed to", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"rangemode": "tozero", "tickprefix": "$", "ticksuffix": "  ", "nticks": 6},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def replay(at: Sequence[str], lines: Sequence[tuple[str, Values, str]], palette: Palette) -> Figure:
    """Replicas by hour of several, each with its name and colour; the first is filled."""
    data = [
        {"type": "scatter", "mode": "lines", "name": on_chart(name), "x": list(at), "y": list(values),
         "line": {"color": color, "width": 2 if n else 0, "shape": "hv"},
         **({} if n else {"fill": "tozeroy", "fillcolor": faint(color)}),
         "hovertemplate": "%{x|%a %H:%M}: %{y:,.1f}<extra>" + on_chart(name) + "</extra>"}
        for n, (name, values, color) in enumerate(lines)
    ]  # fmt: skip
    frame = layout(
        palette, 320, legend=_above(palette),
        xaxis=_days("%a %-d" if len(at) <= A_WEEK else "%-d %b", 8),
        yaxis={"rangemode": "tozero", "nticks": 6, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": data, "layout": frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Part of a GPU's row, from 0 to 1, with whose it is; "" is free, None cannot be used."""

    row: str
    begin: float
    width: float
    tenant: str | None
    words: str


def cut_gpus(slices: Sequence[Slice], palette: Palette) -> Figure:
    """GPUs cut into instances, drawn to scale: a row of memory and one of compute each."""
    rows = list(dict.fromkeys(one.row for one in slices))
    owners = [name for name in dict.fromkeys(one.tenant for one in slices) if name]
    tones = [palette.series[n % len(palette.series)] for n in range(len(owners))]
    edges: dict[str | None, str] = {**dict(zip(owners, tones, strict=True)), "": palette.idle, None: palette.idle}
    bars = {
        "type": "bar",
        "orientation": "h",
        "y": [one.row for one in slices],
        "x": [one.width for one in slices],
        "base": [one.begin for one in slices],
        "marker": {
            # Faint, so that a name on it can be read in both themes.
            "color": [faint(edges[one.tenant]) if one.tenant is not None else palette.grid for one in slices],
            "line": {"color": [edges[one.tenant] for one in slices], "width": 1.5},
            "pattern": {
                "shape": ["/" if one.tenant is None else "" for one in slices],
                "fgcolor": palette.idle,
                "size": 6,
            },
        },
        "text": [on_chart(one.tenant or "") if one.width >= SMALLEST_NAMED else "" for one in slices],
        "textposition": "inside",
        "insidetextanchor": "middle",
        "textangle": 0,
        "constraintext": "inside",
        "textfont": {"color": palette.text, "size": 12},
        "customdata": [on_chart(one.words, 120) for one in slices],
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    frame = layout(
        palette, ROW * len(rows) + 24, bargap=0.25, barmode="overlay", showlegend=False,
        xaxis={"range": [0, 1], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": [bars], "layout": frame}


def _level(at: float, name: str, palette: Palette) -> tuple[list[Figure], list[Figure]]:
    """A dashed level with its name; nothing at 0."""
    if not at:
        return [], []
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at,
            "line": {"color": palette.limit, "width": 1.5, "dash": "dash"}}  # fmt: skip
    words = {"text": f"{at:,.0f} {name}", "xref": "paper", "x": 1, "xanchor": "right", "y": at, "yanchor": "bottom",
             "showarrow": False, "font": {"size": 11, "color": palette.limit}}  # fmt: skip
    return [line], [words]


def _days(words: str, count: int) -> Figure:
    return {"type": "date", "tickformat": words, "showgrid": False, "nticks": count, "tickangle": 0,
            "ticklabelstandoff": 6}  # fmt: skip


def _above(palette: Palette) -> Figure:
    return {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal",
            "font": {"color": palette.muted}}  # fmt: skip
