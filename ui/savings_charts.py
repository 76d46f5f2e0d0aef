"""Figures of the savings page: promise against measurement, days, quantiles, and money by month. Pure, as `charts`."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from costlib.estimate import Estimate, Undefined
from costlib.saving import Bar, CashMonth, DayPoint
from ui.charts import BAR_HEIGHT, Figure, layout
from ui.money_charts import Bar as Hung
from ui.money_charts import Step, axis_money, cascade, faint
from ui.text import PERCENT, on_chart
from ui.theme import Palette

_ABOVE = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"}


def running_totals(months: Sequence[CashMonth], palette: Palette, currency: str) -> Figure:
    """Verified cash as bars and claims as a line, each added up; months whose bills are open are hatched."""
    ordered = sorted(months, key=lambda one: one.month)
    names = [f"{one.month}-01" for one in ordered]
    verified, claimed = Decimal(0), Decimal(0)
    bars, line = [], []
    for one in ordered:
        verified, claimed = verified + one.verified, claimed + one.claimed
        bars.append(float(verified))
        line.append(float(claimed))
    inks = [palette.less if total >= 0 else palette.more for total in bars]
    hover = f"%{{x|%b %Y}}: {axis_money(currency)['tickprefix']}%{{y:,.2f}}"
    data = [
        {"type": "bar", "name": "Verified", "x": names, "y": bars,
         "marker": {"color": [ink if one.is_final else faint(ink) for one, ink in zip(ordered, inks, strict=True)],
                    "line": {"color": inks, "width": 1}, "cornerradius": 2,
                    "pattern": {"shape": ["" if one.is_final else "/" for one in ordered], "fgcolor": inks,
                                "fillmode": "overlay", "size": 6}},
         "hovertemplate": f"{hover}<extra>Verified</extra>"},
        {"type": "scatter", "mode": "lines+markers", "name": "Claimed", "x": names, "y": line,
         "line": {"color": palette.idle, "width": 2, "dash": "dash"}, "marker": {"color": palette.idle, "size": 6},
         "hovertemplate": f"{hover}<extra>Claimed</extra>"},
    ]  # fmt: skip
    frame = layout(
        palette, 260, bargap=0.5, legend={**_ABOVE, "font": {"color": palette.muted}},
        xaxis={"type": "date", "tickformat": "%b %Y", "dtick": "M1" if len(ordered) <= 8 else None, "showgrid": False},
        yaxis={"rangemode": "tozero", "nticks": 5, "ticksuffix": "  ", **axis_money(currency)},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def learnt(rows: Sequence[tuple[str, float, float, int]], palette: Palette) -> Figure:
    """Name, mean, deviation and number of changes of each lever; what was promised is the line at 100 %."""
    names = [f"{on_chart(name, 28)} ({count})" for name, _, _, count in rows]
    data = {
        "type": "scatter", "mode": "markers+text", "y": names, "x": [mean * PERCENT for _, mean, _, _ in rows],
        "error_x": {"type": "data", "array": [sd * PERCENT for _, _, sd, _ in rows], "color": palette.accent,
                    "thickness": 4, "width": 0},
        "marker": {"color": palette.accent, "size": 10}, "text": [f"{mean:.0%}" for _, mean, _, _ in rows],
        "textposition": "top center", "textfont": {"color": palette.text, "size": 12}, "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:.0f} %<extra></extra>",
    }  # fmt: skip
    ends = [end * PERCENT for _, mean, sd, _ in rows for end in (mean - sd, mean + sd)]
    frame = layout(
        palette, 44 * len(rows) + 50, showlegend=False, shapes=[_upright(PERCENT, palette.limit, "dash")],
        xaxis={"range": [min(0.0, *ends), max(120.0, *ends) * 1.05], "ticksuffix": " %", "nticks": 5},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": [data], "layout": frame}


def promise_and_measurement(
    promised: Estimate | Undefined,
    measured: Estimate | Undefined,
    naive: float | Undefined,
    smallest: float | Undefined,
    is_saved: bool,
    palette: Palette,
) -> Figure:
    """Saved shares: the band that was promised, the interval that was measured, and what a bill alone would claim."""
    data, ends = [], [0.0]
    rows = (
        ("Promised", promised, palette.accent, 12),
        ("Measured", measured, palette.less if is_saved else palette.more, 6),
    )
    names = [name for name, found, _, _ in rows if not isinstance(found, Undefined)]
    for name, found, color, thickness in rows:
        if isinstance(found, Undefined):
            continue
        low, mid, high = (value * PERCENT for value in (found.low, found.mid, found.high))
        ends += [low, high]
        data.append(
            {"type": "scatter", "mode": "markers+text", "y": [name], "x": [mid], "cliponaxis": False,
             "error_x": {"type": "data", "symmetric": False, "array": [high - mid], "arrayminus": [mid - low],
                         "color": color if name == "Measured" else faint(color), "thickness": thickness, "width": 0},
             "marker": {"color": color, "size": 11}, "text": [f"{mid:.1f} %"], "textposition": "top center",
             "textfont": {"color": palette.text},
             "hovertemplate": f"{name}: {mid:.1f} % ({low:.1f} to {high:.1f} %)<extra></extra>"}
        )  # fmt: skip
    if not isinstance(naive, Undefined):
        names.append("Before and after")
        ends.append(naive * PERCENT)
        data.append(
            {"type": "scatter", "mode": "markers+text", "y": ["Before and after"], "x": [naive * PERCENT],
             "marker": {"color": palette.idle, "size": 10, "symbol": "diamond-open", "line": {"width": 2}},
             "text": [f"{naive:.1%}".replace("%", " %")], "textposition": "top center", "cliponaxis": False,
             "textfont": {"color": palette.muted},
             "hovertemplate": "What before and after alone would claim: %{x:.1f} %<extra></extra>"}
        )  # fmt: skip
    shapes, notes = [_upright(0.0, palette.muted, "solid")], []
    if not isinstance(smallest, Undefined):
        ends.append(smallest * PERCENT)
        shapes.append(_upright(smallest * PERCENT, palette.limit, "dash"))
        notes.append(
            {"text": f"smallest that can be seen {smallest * PERCENT:.1f} %", "xref": "x", "x": smallest * PERCENT,
             "xanchor": "left", "yref": "paper", "y": 0, "yanchor": "bottom", "showarrow": False,
             "xshift": 4, "font": {"size": 11, "color": palette.limit}}
        )  # fmt: skip
    reach = max(ends) - min(ends) or 1.0
    frame = layout(
        palette, 52 * len(names) + 70, showlegend=False, shapes=shapes, annotations=notes,
        xaxis={"range": [min(ends) - reach * 0.12, max(ends) + reach * 0.16], "ticksuffix": " %", "nticks": 6},
        yaxis={"categoryorder": "array", "categoryarray": names[::-1], "showgrid": False, "ticksuffix": "  ",
               "range": [-0.75, len(names) - 0.35], "tickfont": {"color": palette.text}},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def days(
    points: Sequence[DayPoint],
    changed_on: str,
    windows: Sequence[tuple[str, str]],
    palette: Palette,
    currency: str,
) -> Figure:
    """Cost of a million units of work by day, and what it would have been without the change, dashed."""
    prefix = axis_money(currency)["tickprefix"]
    hover = f"%{{x|%-d %b}}: {prefix}%{{y:.3f}}"
    before, after = ([one for one in points if one.is_after == is_after] for is_after in (False, True))
    without = [one for one in points if one.without_usd_per_mtok is not None]
    data = [
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": [one.on.isoformat() for one in some],
         "y": [one.usd_per_mtok for one in some], "line": {"color": color, "width": 2},
         "marker": {"size": 4, "color": color}, "hovertemplate": f"{hover}<extra>{name}</extra>"}
        for name, some, color in (("Before", before, palette.idle), ("After", after, palette.accent))
    ]  # fmt: skip
    data.append(
        {"type": "scatter", "mode": "lines", "name": "Without the change",
         "x": [one.on.isoformat() for one in without], "y": [one.without_usd_per_mtok for one in without],
         "line": {"color": palette.muted, "width": 2, "dash": "dot"},
         "hovertemplate": f"{hover}<extra>Without the change</extra>"}
    )  # fmt: skip
    shapes = [
        {"type": "rect", "xref": "x", "x0": start, "x1": end, "yref": "paper", "y0": 0, "y1": 1, "layer": "below",
         "line": {"width": 1, "color": palette.grid, "dash": "dot"}, "fillcolor": faint(color).replace("0.2)", "0.07)")}
        for (start, end), color in zip(windows, (palette.idle, palette.accent), strict=False)
    ]  # fmt: skip
    notes = []
    if changed_on:
        shapes.append(
            {"type": "line", "xref": "x", "x0": changed_on, "x1": changed_on, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": palette.limit, "width": 1.5, "dash": "dash"}}
        )  # fmt: skip
        notes.append(
            {"text": "changed ", "xref": "x", "x": changed_on, "xanchor": "right", "yref": "paper", "y": 1,
             "yanchor": "top", "showarrow": False, "font": {"size": 11, "color": palette.limit}}
        )  # fmt: skip
    frame = layout(
        palette, 300, shapes=shapes, annotations=notes, legend={**_ABOVE, "font": {"color": palette.muted}},
        xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False, "nticks": 8, "ticklabelstandoff": 6},
        yaxis={"nticks": 6, "ticksuffix": "  ", "tickprefix": prefix,
               "tickformat": ".3f" if max((one.usd_per_mtok for one in points), default=0.0) < 1 else ".2f"},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def bridge(before: Decimal, steps: Sequence[Bar], after: Decimal, shown: Mapping[str, str], palette: Palette) -> Figure:
    """A month's cost before, every reason for the difference, what is not explained among them, and after."""
    bars = [Hung(name="Before", amount=float(before), step=Step.TOTAL)]
    bars += [
        Hung(name=one.name, amount=float(one.amount), step=Step.MORE if one.amount > 0 else Step.LESS,
             shown=shown[one.name])
        for one in steps
    ]  # fmt: skip
    return cascade([*bars, Hung(name="After", amount=float(after), step=Step.SCENARIO)], palette)


def quantiles(
    before: Mapping[float, float],
    after: Mapping[float, float],
    scale: float,
    unit: str,
    limit: tuple[float, float] | None,
    palette: Palette,
) -> Figure:
    """A measure at its quantiles, before as a ring and after as a dot; `limit` is a quantile and what it may be."""
    marks = [mark for mark in sorted(before) if mark in after]
    names = [f"p{mark * PERCENT:g}" for mark in marks]
    least, most = ([pick(before[mark], after[mark]) * scale for mark in marks] for pick in (min, max))
    data: list[Figure] = [
        {"type": "scatter", "mode": "lines", "y": [name, name], "x": [low, high], "showlegend": False,
         "line": {"color": palette.idle, "width": 2}, "hoverinfo": "skip"}
        for name, low, high in zip(names, least, most, strict=True)
    ]  # fmt: skip
    for label, values, color, symbol in (
        ("Before", before, palette.idle, "circle-open"),
        ("After", after, palette.accent, "circle"),
    ):
        data.append(
            {"type": "scatter", "mode": "markers", "name": label, "y": names,
             "x": [values[mark] * scale for mark in marks],
             "marker": {"color": color, "size": 10, "symbol": symbol, "line": {"width": 2, "color": color}},
             "cliponaxis": False, "hovertemplate": f"%{{y}}: %{{x:,.3~g}} {unit}<extra>{label}</extra>"}
        )  # fmt: skip
    ends = list(most)
    if limit is not None and limit[0] in marks:
        ends.append(limit[1] * scale)
        data.append(
            {"type": "scatter", "mode": "markers", "name": "Margin", "y": [f"p{limit[0] * PERCENT:g}"],
             "x": [limit[1] * scale], "cliponaxis": False,
             "marker": {"color": palette.limit, "size": 16, "symbol": "line-ns",
                        "line": {"width": 3, "color": palette.limit}},
             "hovertemplate": f"may be %{{x:,.3~g}} {unit}<extra>Margin</extra>"}
        )  # fmt: skip
    frame = layout(
        palette, BAR_HEIGHT * len(marks) + 70, legend={**_ABOVE, "font": {"color": palette.muted}},
        xaxis={"range": [0, (max(ends, default=1.0) or 1.0) * 1.12], "ticksuffix": f" {unit}", "nticks": 4},
        yaxis={"autorange": "reversed", "showgrid": False, "ticksuffix": "  ", "tickfont": {"color": palette.text}},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def _upright(at: float, color: str, dash: str) -> Figure:
    return {"type": "line", "xref": "x", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": color, "width": 1.5, "dash": dash}}  # fmt: skip
