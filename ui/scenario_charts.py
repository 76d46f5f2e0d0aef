"""Figures of what is not known of a scenario: what its spend hangs on, and its range beside others."""

from collections.abc import Sequence

from ui.charts import BAR_HEIGHT, Figure, layout
from ui.text import on_chart, short_money
from ui.theme import Palette

NARROW = 0.06  # of the axis: a bar that has no room for its edge


def tornado(rows: Sequence[tuple[str, str, str, float, float]], middle: float, palette: Palette) -> Figure:
    """What spend hangs on: a bar from each unknown's P10 to its P90, around the middle; name, edges, USD per month."""
    reach = [middle, *(usd for _, _, _, low_usd, high_usd in rows for usd in (low_usd, high_usd))]
    low, high = min(reach), max(reach)
    names = [on_chart(name).replace(": ", ":<br>", 1) for name, *_ in rows]
    ends = [(low, low_usd, high, high_usd) for _, low, high, low_usd, high_usd in rows]

    def side(less: bool) -> Figure:
        """The half of each bar that costs less, or more: nothing where both edges are on the other side."""
        chosen = [
            min(((low, low_usd), (high, high_usd)), key=lambda end: end[1] if less else -end[1])
            for low, low_usd, high, high_usd in ends
        ]
        chosen = [(edge, usd if (usd < middle) is less else middle) for edge, usd in chosen]
        return {
            "type": "bar", "orientation": "h", "y": names, "x": [usd - middle for _, usd in chosen], "base": middle,
            "text": [on_chart(edge) if abs(usd - middle) > NARROW * (high - low) else "" for edge, usd in chosen],
            "textposition": "inside", "insidetextanchor": "end",
            "textangle": 0, "cliponaxis": False, "constraintext": "none",
            "marker": {"color": palette.less if less else palette.more, "cornerradius": 2},
            "customdata": [f"{on_chart(edge)}: {short_money(usd)}" for edge, usd in chosen],
            "hovertemplate": "%{y}, %{customdata} a month<extra></extra>",
        }  # fmt: skip

    room = (high - low or middle or 1.0) * 0.12
    frame = layout(
        palette,
        BAR_HEIGHT * len(names) + 40,
        barmode="overlay",
        bargap=0.35,
        showlegend=False,
        shapes=[{"type": "line", "xref": "x", "yref": "paper", "x0": middle, "x1": middle, "y0": 0, "y1": 1,
                 "line": {"color": palette.muted, "width": 1}}],
        xaxis={"range": [low - room, high + room], "tickprefix": "$", "tickformat": "~s", "nticks": 5, "tickangle": 0},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )  # fmt: skip
    return {"data": [side(less=True), side(less=False)], "layout": frame}


def ranged_bars(rows: Sequence[tuple[str, float, float, float]], palette: Palette) -> Figure:
    """Today and scenarios as horizontal bars with whiskers: name, middle, P10, P90; USD per month."""
    bars = {
        "type": "bar", "orientation": "h", "y": [on_chart(name) for name, *_ in rows],
        "x": [middle for _, middle, _, _ in rows],
        "error_x": {
            "type": "data", "symmetric": False, "array": [max(0.0, high - middle) for _, middle, _, high in rows],
            "arrayminus": [max(0.0, middle - low) for _, middle, low, _ in rows],
            "color": palette.text, "thickness": 1.5, "width": 6,
        },
        "marker": {"color": [palette.idle, *[palette.accent] * (len(rows) - 1)], "cornerradius": 2},
        "text": [short_money(middle) for _, middle, _, _ in rows], "textposition": "inside",
        "insidetextanchor": "start", "textangle": 0,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }  # fmt: skip
    frame = layout(
        palette,
        BAR_HEIGHT * len(rows) + 60,
        bargap=0.35,
        showlegend=False,
        xaxis={"rangemode": "tozero", "tickprefix": "$", "tickformat": "~s", "nticks": 5, "tickangle": 0},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )
    return {"data": [bars], "layout": frame}
