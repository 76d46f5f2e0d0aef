"""Figures of the hardware's limits: the roofline, speed against cost, and what fills the memory. Pure, as `charts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from costlib.units import GIBI, SECONDS_PER_MINUTE, TERA
from ui.charts import Figure, layout
from ui.text import on_chart
from ui.theme import Palette

ROOM = 2.5  # times the outermost point that an axis of a roofline reaches
LABEL = {"size": 11}
FREE_OPACITY = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPoint:
    """Work done by one GPU: how much arithmetic for each byte moved, and how fast."""

    name: str
    flop_per_byte: float
    flop_per_s: float
    is_live: bool = False
    is_scenario: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """The most that one GPU can do at any intensity: the sheet's peaks, or what an engine reaches of them."""

    name: str
    bytes_per_s: float
    flop_per_s: float

    @property
    def ridge_flop_per_byte(self) -> float:
        return self.flop_per_s / self.bytes_per_s

    def at(self, flop_per_byte: float) -> float:
        return min(self.flop_per_s, flop_per_byte * self.bytes_per_s)


def roofline(sheet: Roof, reached: Roof, points: Sequence[WorkPoint], palette: Palette) -> Figure:
    """FLOP/s against FLOP per byte of one GPU, both logarithmic: two roofs and the work under them."""
    left = min([sheet.ridge_flop_per_byte / 100, *(p.flop_per_byte / ROOM for p in points)])
    right = max([sheet.ridge_flop_per_byte * 20, *(p.flop_per_byte * ROOM for p in points)])
    low = min([sheet.at(left), *(p.flop_per_s / ROOM for p in points)])
    high = sheet.flop_per_s * ROOM

    def line(roof: Roof, dash: str, color: str) -> Figure:
        x = [left, roof.ridge_flop_per_byte, right]
        return {
            "type": "scatter", "mode": "lines", "name": on_chart(roof.name), "x": x,
            "y": [roof.at(at) / TERA for at in x], "line": {"color": color, "width": 2, "dash": dash},
            "hovertemplate": f"{on_chart(roof.name)}: %{{y:,.3~r}} TFLOP/s at %{{x:,.3~r}} FLOP/byte<extra></extra>",
        }  # fmt: skip

    top = {
        "type": "scatter", "mode": "lines", "x": [left, right], "y": [high / TERA] * 2, "fill": "tonexty",
        "fillcolor": palette.grid, "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    marks = {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [p.flop_per_byte for p in points],
        "y": [p.flop_per_s / TERA for p in points],
        "text": [on_chart(p.name) for p in points],
        "marker": {
            "size": 11,
            "symbol": ["circle" if p.is_live else "circle-open" for p in points],
            "color": [palette.accent if p.is_scenario else palette.text for p in points],
            "line": {"width": 2},
        },
        "hovertemplate": "%{text}: %{y:,.3~r} TFLOP/s, %{x:,.3~r} FLOP/byte<extra></extra>",
    }
    frame = layout(
        palette,
        340,
        annotations=_labels(points, (left * right) ** 0.5, (low, high), palette),
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": palette.muted}},
        xaxis={**_log_axis("FLOP per byte moved", palette), "range": [log10(left), log10(right)], "showgrid": False},
        yaxis={**_log_axis("TFLOP/s per GPU", palette), "range": [log10(low / TERA), log10(high / TERA)]},
    )
    return {"data": [line(sheet, "solid", palette.muted), top, line(reached, "dash", palette.limit), marks],
            "layout": frame}  # fmt: skip


def _log_axis(title: str, palette: Palette) -> Figure:
    return {"type": "log", "dtick": 1, "exponentformat": "B", "tickformat": ",.3~r",
            "title": {"text": title, "font": {"size": 11, "color": palette.muted}}}  # fmt: skip


def _labels(points: Sequence[WorkPoint], middle: float, reach: tuple[float, float], palette: Palette) -> list[Figure]:
    """One label per point, on the side where there is room, moved down where it would cover the one before."""
    closest = log10(reach[1] / reach[0]) * 0.065
    placed: list[tuple[bool, float]] = []
    labels = []
    for p in sorted(points, key=lambda p: -p.flop_per_s):
        is_left, height = p.flop_per_byte < middle, log10(p.flop_per_s / TERA)
        for other_side, other in placed:
            if other_side == is_left and abs(other - height) < closest:
                height = other - closest
        placed.append((is_left, height))
        labels.append(
            {"text": on_chart(p.name), "x": log10(p.flop_per_byte), "y": height, "showarrow": False,
             "xanchor": "left" if is_left else "right", "xshift": 11 if is_left else -11,
             "font": {**LABEL, "color": palette.accent if p.is_scenario else palette.text}}
        )  # fmt: skip
    return labels


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedPoint:
    """One batch of one way of serving, full all the time."""

    name: str
    user_tokens_per_s: float
    gpu_tokens_per_s: float
    usd_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedLine:
    """One way of serving at rising batches."""

    name: str
    points: Sequence[SpeedPoint]
    is_today: bool = False


def speeds(
    lines: Sequence[SpeedLine], today: SpeedPoint | None, slo_tokens_per_s: float | None, by_cost: bool,
    palette: Palette,
) -> Figure:  # fmt: skip
    """Tokens a second of one user against those of one GPU, or cost: today's way, others, and the least speed."""

    def height(point: SpeedPoint) -> float:
        return point.usd_per_mtok if by_cost else point.gpu_tokens_per_s

    others = [line for line in lines if not line.is_today]
    colors = dict(zip((line.name for line in others), palette.series[1:], strict=False))
    unit = "$%{y:,.3f} per 1M" if by_cost else "%{y:,.0f} tok/s per GPU"
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": on_chart(line.name),
            "x": [p.user_tokens_per_s for p in line.points],
            "y": [height(p) for p in line.points],
            "text": [on_chart(p.name) for p in line.points],
            "line": {"width": 2.5 if line.is_today else 1.5, "color": palette.accent if line.is_today else None}
            | ({} if line.is_today else {"color": colors.get(line.name, palette.idle)}),
            "marker": {"size": 5 if line.is_today else 4},
            "hovertemplate": f"%{{text}}: %{{x:,.0f}} tok/s per user, {unit}<extra>{on_chart(line.name)}</extra>",
        }
        for line in lines
    ]
    notes, shapes = [], []
    if today is not None:
        data.append(
            {
                "type": "scatter", "mode": "markers", "showlegend": False,
                "x": [today.user_tokens_per_s], "y": [height(today)],
                "marker": {"size": 13, "color": palette.text, "symbol": "circle-open", "line": {"width": 3}},
                "hovertemplate": f"{on_chart(today.name)}: %{{x:,.0f}} tok/s per user, {unit}<extra></extra>",
            }
        )  # fmt: skip
        notes.append(
            {"text": on_chart(today.name), "x": log10(today.user_tokens_per_s), "y": log10(height(today)),
             "showarrow": False, "yshift": 16 if by_cost else -16, "font": {**LABEL, "color": palette.text}}
        )  # fmt: skip
    if slo_tokens_per_s is not None:
        shapes.append(
            {"type": "line", "xref": "x", "x0": slo_tokens_per_s, "x1": slo_tokens_per_s, "yref": "paper", "y0": 0,
             "y1": 1, "line": {"color": palette.limit, "width": 1.5, "dash": "dash"}}
        )  # fmt: skip
        notes.append(
            {"text": f" at least {slo_tokens_per_s:,.3g} tok/s ", "xref": "x", "x": log10(slo_tokens_per_s),
             "yref": "paper", "y": 1.0 if by_cost else 0.02, "xanchor": "left",
             "yanchor": "top" if by_cost else "bottom", "showarrow": False, "font": {**LABEL, "color": palette.limit}}
        )  # fmt: skip
    upright = {"tickprefix": "$", "tickformat": ",.3~r"} if by_cost else {"tickformat": ",.3~s"}
    frame = layout(
        palette, 340, shapes=shapes, annotations=notes,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": palette.muted}},
        xaxis={**_log_axis("tokens/s of one user", palette), "dtick": "D2", "showgrid": False},
        yaxis={**_log_axis("per 1M tokens" if by_cost else "tokens/s per GPU", palette), "dtick": "D2", **upright},
    )  # fmt: skip
    return {"data": data, "layout": frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """A part of one GPU's memory; what `is_free` belongs to the part before it and is not used."""

    name: str
    size_bytes: float
    is_free: bool = False


def memory(parts: Sequence[MemoryPart], hbm_bytes: float, palette: Palette) -> Figure:
    """What fills the memory of one GPU, side by side up to its size; the last part is what is left for nobody."""
    taken = iter(palette.series)
    colors: list[str] = []
    for part in parts[:-1]:
        colors.append(colors[-1] if part.is_free else next(taken))
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": part.name,
            "y": [""],
            "x": [part.size_bytes / GIBI],
            "marker": {"color": color, "opacity": FREE_OPACITY if part.is_free else 1.0},
            "text": f"{part.size_bytes / GIBI:,.0f}" if part.size_bytes > hbm_bytes / 25 else "",
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "textfont": {"color": palette.text if part.is_free else "#FFFFFF"},
            "hovertemplate": f"{part.name}: %{{x:,.1f}} GiB<extra></extra>",
        }
        for part, color in zip(parts, [*colors, palette.idle], strict=True)
    ]
    frame = layout(
        palette, 150, barmode="stack", bargap=0.2,
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal",
                "font": {"color": palette.muted}},
        xaxis={"range": [0, hbm_bytes / GIBI], "showgrid": False, "ticksuffix": " GiB", "nticks": 5},
        yaxis={"showticklabels": False, "showgrid": False},
    )  # fmt: skip
    return {"data": data, "layout": frame}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """Busy time of one hour: what it was, and what was said of it, with the band."""

    at: str
    busy_s: float
    predicted_s: float
    low_s: float
    high_s: float


def back_test(hours: Sequence[Hour], palette: Palette) -> Figure:
    """Predicted busy minutes with their band, hour by hour, and what happened as points."""
    at = [hour.at for hour in hours]
    predicted = {
        "type": "scatter", "mode": "markers", "name": "Predicted, 80 % band", "x": at,
        "y": [hour.predicted_s / SECONDS_PER_MINUTE for hour in hours],
        "error_y": {
            "type": "data", "symmetric": False, "color": palette.accent, "thickness": 1.5, "width": 4,
            "array": [(hour.high_s - hour.predicted_s) / SECONDS_PER_MINUTE for hour in hours],
            "arrayminus": [(hour.predicted_s - hour.low_s) / SECONDS_PER_MINUTE for hour in hours],
        },
        "marker": {"symbol": "line-ew-open", "size": 12, "color": palette.accent, "line": {"width": 2}},
        "hovertemplate": "%{x|%-d %b %H:%M}: %{y:,.1f} min predicted<extra></extra>",
    }  # fmt: skip
    happened = {
        "type": "scatter", "mode": "markers", "name": "Measured", "x": at,
        "y": [hour.busy_s / SECONDS_PER_MINUTE for hour in hours], "marker": {"size": 7, "color": palette.text},
        "hovertemplate": "%{x|%-d %b %H:%M}: %{y:,.1f} min measured<extra></extra>",
    }  # fmt: skip
    frame = layout(
        palette, 220,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"color": palette.muted}},
        xaxis={"type": "date", "tickformat": "%H:%M", "showgrid": False, "nticks": 6},
        yaxis={"rangemode": "tozero", "ticksuffix": " min", "nticks": 5},
    )  # fmt: skip
    return {"data": [predicted, happened], "layout": frame}
