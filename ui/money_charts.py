"""Figures of money: where a bill went, and from which volume on an own fleet is cheaper. Pure, as `charts`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import log10

from costlib.review import OutlookDay
from costlib.units import KILO
from ui.charts import BAR_HEIGHT, Figure, layout
from ui.text import compact, money, on_chart, plain, short_money
from ui.theme import Palette

A_HOVER = 200  # characters of a sentence beside the pointer


class Step(StrEnum):
    TOTAL = "total"  # stands on zero
    SCENARIO = "scenario"  # such a total, of what would be
    LESS = "less"  # takes away from the level, and is money not spent
    MORE = "more"  # adds to it
    PART = "part"  # part of the total before it: hangs from the level, down to the next
    TOKENS = "tokens"  # such a part, and what was wanted


STANDING = (Step.TOTAL, Step.SCENARIO)


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
        Step.SCENARIO: palette.accent,
        Step.LESS: palette.less,
        Step.MORE: palette.more,
        Step.PART: palette.limit,
        Step.TOKENS: palette.accent,
    }
    level, bases, lengths, words = 0.0, [], [], []
    for bar in bars:
        if bar.step in STANDING:
            bases.append(0.0)
            level = bar.amount
        elif bar.step is Step.MORE:
            bases.append(level)
            level += bar.amount
        else:
            taken = abs(bar.amount) if bar.step is Step.LESS else bar.amount
            bases.append(level - taken)
            level -= taken
        lengths.append(bar.amount if bar.step in STANDING else abs(bar.amount))
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


def cumulative(days: Sequence[OutlookDay], budget: Decimal | None, palette: Palette, currency: str = "USD") -> Figure:
    """Spend of a month up to each day: what is known as a line, what is to come dashed in its band, and the budget."""
    known = [day for day in days if day.actual is not None]
    ahead = [*known[-1:], *(day for day in days if day.p50 is not None)]  # from where the line ends

    def line(of: Sequence[OutlookDay], part: str, **more: object) -> Figure:
        amounts = [getattr(day, part) if getattr(day, part) is not None else day.actual for day in of]
        return {"type": "scatter", "mode": "lines", "x": [day.on.isoformat() for day in of],
                "y": [None if amount is None else float(amount) for amount in amounts], **more}  # fmt: skip

    hover = f"%{{x|%-d %b}}: {axis_money(currency)['tickprefix']}%{{y:,.0f}}"
    data = [line(known, "actual", name="Actual", line={"color": palette.accent, "width": 2.5},
                 hovertemplate=f"{hover}<extra>Actual</extra>")]  # fmt: skip
    if len(ahead) > 1:
        data += [
            line(ahead, "p90", line={"width": 0}, showlegend=False, hoverinfo="skip"),
            line(ahead, "p10", line={"width": 0}, fill="tonexty", fillcolor=faint(palette.accent),
                 name="80% of outcomes", hoverinfo="skip"),
            line(ahead, "p50", name="Forecast", line={"color": palette.accent, "width": 2.5, "dash": "dash"},
                 hovertemplate=f"{hover}<extra>Forecast</extra>"),
        ]  # fmt: skip
    shapes, notes = [], []
    if budget is not None:
        shapes = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": float(budget), "y1": float(budget),
                   "line": {"color": palette.limit, "width": 2, "dash": "dash"}}]  # fmt: skip
        notes = [{"text": f"Budget {amount_text(budget, currency)}", "xref": "paper", "x": 0, "xanchor": "left",
                  "y": float(budget), "yanchor": "bottom", "showarrow": False,
                  "font": {"size": 12, "color": palette.limit}}]  # fmt: skip
    frame = layout(
        palette, 300, shapes=shapes, annotations=notes,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom",
                "traceorder": "normal", "font": {"color": palette.muted}},
        xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False, "nticks": 8, "ticklabelstandoff": 6},
        yaxis={"rangemode": "tozero", "nticks": 7, "ticksuffix": "  ", **axis_money(currency)},
    )  # fmt: skip
    return {"data": data, "layout": frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A day that stands out, at a height of the chart, with what there is to say of it."""

    day: str
    at: float
    words: str


def daily_stack(
    days: Sequence[str],
    products: Mapping[str, Sequence[float | None]],
    others: Sequence[float | None] | None,
    rest: tuple[str, Sequence[float | None]] | None,
    marks: Sequence[Mark],
    palette: Palette,
    currency: str = "USD",
) -> Figure:
    """Daily amounts by product as stacked bars, the smaller ones as one, the `rest` grey on top; days that stand out
    have a dot. At most as many products as there are colours; a day without a value has no bar."""
    named = [(name, values, color) for (name, values), color in zip(products.items(), palette.series, strict=False)]
    if others is not None:
        named.append(("Others", others, palette.muted))
    if rest is not None:
        named.append((rest[0], rest[1], palette.idle))
    prefix = axis_money(currency)["tickprefix"]
    data: list[Figure] = [
        {"type": "bar", "name": on_chart(name), "x": list(days), "y": list(values), "marker": {"color": color},
         "hovertemplate": f"%{{x|%-d %b}}: {prefix}%{{y:,.0f}}<extra>" + on_chart(name) + "</extra>"}
        for name, values, color in named
    ]  # fmt: skip
    if marks:
        data.append(
            {"type": "scatter", "mode": "markers", "name": "Unusual", "x": [mark.day for mark in marks],
             "y": [mark.at for mark in marks], "text": [on_chart(mark.words, A_HOVER) for mark in marks],
             "marker": {"color": palette.more, "size": 8, "line": {"color": palette.text, "width": 1}},
             "cliponaxis": False, "hovertemplate": "%{x|%-d %b}: %{text}<extra></extra>"}
        )  # fmt: skip
    frame = layout(
        palette, 300, barmode="relative", bargap=0.3,
        xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False, "nticks": 10},
        yaxis={"nticks": 6, "ticksuffix": "  ", **axis_money(currency)},
    )  # fmt: skip
    return {"data": data, "layout": frame}


def axis_money(currency: str) -> Figure:
    """Ticks of an axis of money."""
    return {"tickprefix": "$" if currency == "USD" else f"{on_chart(currency)} ", "tickformat": ",.3~s"}


def amount_text(amount: Decimal, currency: str) -> str:
    """An amount in few characters, in any currency.

    >>> amount_text(Decimal(20918), "USD"), amount_text(Decimal(-20918), "EUR")
    ('$20.9k', '-20.9k EUR')
    """
    if currency == "USD":
        return short_money(amount)
    if abs(amount) < KILO * 10:
        return money(amount, currency)
    return f"{'-' if amount < 0 else ''}{compact(abs(amount))} {plain(currency)}"


def faint(color: str) -> str:
    """A colour as the fill of a band.

    >>> faint("#3D5AFE")
    'rgba(61,90,254,0.2)'
    """
    return f"rgba({','.join(str(int(color[n : n + 2], 16)) for n in (1, 3, 5))},0.2)"
