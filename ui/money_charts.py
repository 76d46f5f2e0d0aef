"""Figures of money: where a bill went, and from which volume on an own fleet is cheaper. Pure, as `charts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log10

from ui.charts import BAR_HEIGHT, Figure, layout
from ui.text import compact, on_chart, short_money
from ui.theme import Palette


class Step(StrEnum):
    TOTAL = "total"  # stands on zero
    LESS = "less"  # takes away from the level, and is money not spent
    MORE = "more"  # adds to it
    PART = "part"  # part of the total before it: hangs from the level, down to the next
    TOKENS = "tokens"  # such a part, and what was wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    name: str
    amount: float
    step: Step
    shown: str = ""  # the amount as text, where the short one will not do


def cascade(bars: Sequence[Bar], palette: Palette) -> Figure:
    """Horizontal bars that hang from one another: a total, what was taken from it, and what the rest consists of."""
    colors = {
        Step.TOTAL: palette.idle,
        Step.LESS: palette.less,
        Step.MORE: palette.more,
        Step.PART: palette.limit,
        Step.TOKENS: palette.accent,
    }
    level, bases, lengths, words = 0.0, [], [], []
    for bar in bars:
        if bar.step is Step.TOTAL:
            bases.append(0.0)
            level = bar.amount
        elif bar.step is Step.MORE:
            bases.append(level)
            level += bar.amount
        else:
            taken = abs(bar.amount) if bar.step is Step.LESS else bar.amount
            bases.append(level - taken)
            level -= taken
        lengths.append(bar.amount if bar.step is Step.TOTAL else abs(bar.amount))
        sign = "-" if bar.step is Step.LESS else ""
        words.append(bar.shown or sign + short_money(abs(bar.amount) if sign else bar.amount))
    ends = [base + length for base, length in zip(bases, lengths, strict=True)]
    most = max([*ends, *lengths, 0.0]) or 1.0
    least = min([*bases, 0.0])
    data = {
        "type": "bar",
        "orientation": "h",
        "y": [on_chart(bar.name) for bar in bars],
        "x": lengths,
        "base": bases,
        "text": words,
        "textposition": "outside",
        "textangle": 0,
        "cliponaxis": False,
        "marker": {"color": [colors[bar.step] for bar in bars], "cornerradius": 2},
        "textfont": {"color": palette.text, "size": 12},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    frame = layout(
        palette,
        BAR_HEIGHT * len(bars) + 24,
        bargap=0.35,
        showlegend=False,
        xaxis={"range": [least * 1.1, most * 1.22], "showticklabels": False, "showgrid": False},
        yaxis={"autorange": "reversed", "showgrid": False, "tickfont": {"color": palette.text}, "ticksuffix": "  "},
    )
    return {"data": [data], "layout": frame}


def break_even(
    tokens: Sequence[float],
    api: Sequence[float],
    own: Sequence[float],
    crossing: float | None,
    live: float | None,
    palette: Palette,
) -> Figure:
    """Dollars a month against tokens a month, both logarithmic: the API's line, the own fleet's steps, today's volume.

    Amounts are positive. The volume from which the own fleet stays cheaper is labelled, where there is one.
    """
    lines = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": list(tokens),
            "y": list(amounts),
            "line": {"color": color, "width": 2, "shape": shape},
            "hovertemplate": f"%{{x:.3s}} tokens: $%{{y:,.0f}}<extra>{name}</extra>",
        }
        for name, amounts, color, shape in (
            ("API", api, palette.series[3], "linear"),
            ("Own fleet", own, palette.accent, "hv"),
        )
    ]
    shapes, notes = [], []
    for at, words, color, place in (
        (crossing, "cheaper from {}", palette.less, 1.0),
        (live, "today {}", palette.muted, 0.06),
    ):
        if at is None or not tokens[0] <= at <= tokens[-1]:
            continue
        shapes.append(
            {"type": "line", "xref": "x", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1,
             "line": {"color": color, "width": 1.5, "dash": "dash"}}
        )  # fmt: skip
        notes.append(  # placed by exponent on a logarithmic axis, where shapes are placed by value
            {"text": " " + words.format(compact(at)) + " ", "xref": "x", "x": log10(at), "yref": "paper", "y": place,
             "xanchor": "left", "yanchor": "top" if place == 1.0 else "bottom", "showarrow": False,
             "font": {"size": 11, "color": color}}
        )  # fmt: skip
    frame = layout(
        palette, 320, shapes=shapes, annotations=notes,
        # Above the lines: below them is the axis' title, which the legend would cover on a narrow screen.
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": palette.muted}},
        xaxis={"type": "log", "showgrid": False, "exponentformat": "B", "ticksuffix": "", "nticks": 6, "dtick": 1,
               "title": {"text": "tokens a month", "font": {"size": 11, "color": palette.muted}}},
        yaxis={"type": "log", "tickprefix": "$", "tickformat": ",.2~s", "dtick": 1},
    )  # fmt: skip
    return {"data": lines, "layout": frame}
