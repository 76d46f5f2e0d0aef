"""Figures of a request log: hits by the size of a cache and by threshold, prompts by turn, answers by length. Pure."""

from collections.abc import Sequence
from math import sqrt

from lab.prefix import HitPoint
from ui.charts import Figure, layout
from ui.money_charts import faint
from ui.text import PERCENT, compact
from ui.theme import Palette

HEIGHT, LOW = 300, 240


def hits_by_size(curve: Sequence[HitPoint], used: tuple[float, float] | None, palette: Palette) -> Figure:
    """Share of prompt tokens by the tokens that a cache holds, logarithmic; `used`: the cache that there is, to which
    the line goes on where it is larger than any on the curve."""
    points = [(float(point.cache_tokens), point.hit_fraction) for point in curve]
    if used is not None and points and used[0] > points[-1][0]:
        points.append(used)
    data: list[Figure] = [
        {"type": "scatter", "mode": "lines", "name": "of prompt tokens", "x": [tokens for tokens, _ in points],
         "y": [round(share * PERCENT, 3) for _, share in points], "fill": "tozeroy",
         "fillcolor": faint(palette.accent), "line": {"color": palette.accent, "width": 2},
         "hovertemplate": "%{x:,.0f} tokens: %{y:.1f} %<extra></extra>"}
    ]  # fmt: skip
    if used is not None:
        tokens, share = used
        side = "left" if points and tokens > sqrt(points[0][0] * points[-1][0]) else "right"
        data.append(
            {"type": "scatter", "mode": "markers+text", "x": [tokens], "y": [share * PERCENT], "cliponaxis": False,
             "text": [f"  {compact(tokens)} tokens: {share:.0%}  "], "textposition": f"bottom {side}",
             "textfont": {"color": palette.text},
             "marker": {"color": palette.limit, "size": 11, "line": {"color": palette.text, "width": 1}},
             "hovertemplate": "this cache, %{x:,.0f} tokens: %{y:.1f} %<extra></extra>"}
        )  # fmt: skip
    most = max((point.hit_fraction for point in curve), default=0.0) * PERCENT
    frame = layout(
        palette, HEIGHT, showlegend=False,
        xaxis={"type": "log", "tickformat": ",.2~s", "showgrid": False, "nticks": 6,
               "title": {"text": "tokens in the cache", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"range": [0, min(100.0, max(most * 1.15, 1.0))], "ticksuffix": " %  ", "nticks": 6},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def hits_by_threshold(rows: Sequence[tuple[float, float, float]], used: float, palette: Palette) -> Figure:
    """(threshold, hits, hits that are right at worst): what lies between may be wrong."""
    at = [threshold for threshold, _, _ in rows]
    base = {"type": "scatter", "mode": "lines", "x": at}
    data = [
        {**base, "y": [round(right * PERCENT, 3) for _, _, right in rows], "name": "right at worst",
         "line": {"color": palette.less, "width": 1.5},
         "hovertemplate": "%{x:.2f}: %{y:.1f} % surely right<extra></extra>"},
        {**base, "y": [round(hits * PERCENT, 3) for _, hits, _ in rows], "name": "hits", "fill": "tonexty",
         "fillcolor": faint(palette.more), "line": {"color": palette.accent, "width": 2},
         "hovertemplate": "%{x:.2f}: %{y:.1f} % hit<extra></extra>"},
    ]  # fmt: skip
    line = {"type": "line", "x0": used, "x1": used, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": palette.limit, "width": 1.5, "dash": "dash"}}  # fmt: skip
    most = max((hits for _, hits, _ in rows), default=0.0) * PERCENT
    frame = layout(
        palette, HEIGHT, shapes=[line],
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "reversed",
                "font": {"color": palette.muted}},
        xaxis={"showgrid": False, "nticks": 9, "tickformat": ".2f",
               "title": {"text": "alike from", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"range": [0, max(most * 1.15, 1.0)], "ticksuffix": " %  ", "nticks": 6},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def counted(names: Sequence[str], values: Sequence[float], words: Sequence[str], palette: Palette, of: str) -> Figure:
    """One bar per name with its value above it; `words` are read under the pointer, `of` stands below."""
    bars = {
        "type": "bar",
        "x": list(names),
        "y": list(values),
        "customdata": list(words),
        "text": [f"{value:,.0f}" for value in values],
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "textfont": {"color": palette.text, "size": 11},
        "marker": {"color": palette.accent, "cornerradius": 2},
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    frame = layout(
        palette, LOW, bargap=0.3, showlegend=False,
        xaxis={"type": "category", "showgrid": False, "tickangle": 0, "nticks": 12,
               "title": {"text": of, "font": {"size": 11, "color": palette.muted}}},
        yaxis={"range": [0, max([*values, 1.0]) * 1.18], "showticklabels": False, "showgrid": False},
    )  # fmt: skip
    return {"data": [bars], "layout": frame}
