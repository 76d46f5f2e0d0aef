"""The charts of the PDF, as vectors: days in a stack, the month against its budget, and the steps of a change."""

import math
from collections.abc import Sequence
from decimal import Decimal

from reportlab.graphics.shapes import Drawing, Line, Polygon, PolyLine, Rect, String
from reportlab.lib.colors import Color

from costlib.billing import exact_sum
from costlib.review import Bridge, Day, Outlook
from pack import look
from pack.style import Numbers, short_day
from pack.tables import largest, product_name, shown_terms, term_name

LABEL = 6.5  # points
MOST_SERIES = 5  # and one for the others
_LEFT, _BOTTOM, _TOP = 38.0, 14.0, 6.0


def daily_stack(days: Sequence[Day], width: float, height: float, numbers: Numbers) -> Drawing:
    """Spend of each day, the largest products apart and the others together; days not complete are pale."""
    drawing = Drawing(width, height)
    if not days:
        return _nothing(drawing, "No day of this period is known by itself.")
    sums: dict[str, Decimal] = {}
    for day in days:
        for product, amount in day.by_product.items():
            sums[product] = sums.get(product, Decimal(0)) + amount
    kept, rest = largest(sums.items(), MOST_SERIES, lambda pair: pair[1], lambda pair: pair[0])
    names = sorted((product for product, _ in kept), key=lambda name: not name)  # what is nobody's last, and grey
    labels = [product_name(name) for name in names] + ([f"{len(rest)} others"] if rest else [])
    colours = iter(look.SERIES)
    inks = [next(colours) if name else look.FAINT for name in names] + ([look.MUTED] if rest else [])
    stacks = []
    for day in days:
        parts = [day.by_product.get(name, Decimal(0)) for name in names]
        others = exact_sum(amount for product, amount in day.by_product.items() if product not in names)
        stacks.append([float(part) for part in ([*parts, others] if rest else parts)])
    legend_height = _legend(drawing, labels, inks, width)
    axis = _Axis(
        drawing,
        low=min(sum(part for part in stack if part < 0) for stack in stacks),
        high=max(sum(part for part in stack if part > 0) for stack in stacks),
        bottom=_BOTTOM + legend_height,
        numbers=numbers,
    )
    step = (width - _LEFT) / len(days)
    bar = min(step * 0.62, 26.0)
    every = max(1, math.ceil(len(days) * 30 / (width - _LEFT)))
    for n, (day, stack) in enumerate(zip(days, stacks, strict=True)):
        x = _LEFT + n * step + (step - bar) / 2
        above = below = 0.0
        for colour, part in zip(inks, stack, strict=True):
            start = above if part >= 0 else below
            bottom, top = axis.y(min(start, start + part)), axis.y(max(start, start + part))
            ink = look.pale(colour) if day.is_partial else colour
            if top - bottom > 0:
                drawing.add(Rect(x, bottom, bar, top - bottom, fillColor=ink, strokeColor=None))
            above, below = (above + part, below) if part >= 0 else (above, below + part)
        if n % every == 0:
            _text(drawing, x + bar / 2, axis.bottom - 9, short_day(day.on), anchor="middle")
    return drawing


def month_path(outlook: Outlook | None, width: float, height: float, numbers: Numbers) -> Drawing:
    """Spend of the month, added up: what it was, what it will be with a band, and the budget."""
    drawing = Drawing(width, height)
    path = () if outlook is None else outlook.path
    if outlook is None or len(path) < 2:
        return _nothing(drawing, "There is no forecast for this month.")
    budget = None if outlook.in_all is None else outlook.in_all.budget
    known = [amount for day in path for amount in (day.actual, day.p10, day.p50, day.p90) if amount is not None]
    levels = [float(amount) for amount in known] + ([float(budget)] if budget is not None else [])
    axis = _Axis(drawing, low=min([0.0, *levels]), high=max([0.0, *levels]), bottom=_BOTTOM, numbers=numbers)
    step = (width - _LEFT - 8) / (len(path) - 1)
    places = [_LEFT + 4 + n * step for n in range(len(path))]
    actual = [(x, axis.y(float(day.actual))) for x, day in zip(places, path, strict=True) if day.actual is not None]
    ahead = [(x, day) for x, day in zip(places, path, strict=True) if day.p50 is not None and day.actual is None]
    low = [(x, axis.y(float(day.p10))) for x, day in ahead if day.p10 is not None]
    high = [(x, axis.y(float(day.p90))) for x, day in ahead if day.p90 is not None]
    middle = [(x, axis.y(float(day.p50))) for x, day in ahead if day.p50 is not None]
    if low and high:
        band = [*actual[-1:], *high, *reversed(low)]
        drawing.add(Polygon(_flat(band), fillColor=look.ACCENT_TINT, strokeColor=None))
    if budget is not None:
        y = axis.y(float(budget))
        drawing.add(Line(_LEFT, y, width, y, strokeColor=look.LIMIT, strokeWidth=1, strokeDashArray=[3, 2]))
        _text(drawing, _LEFT + 4, y + 3, f"Budget {numbers.short(budget)}", colour=look.LIMIT)
    if len(actual) > 1:
        drawing.add(PolyLine(_flat(actual), strokeColor=look.ACCENT, strokeWidth=1.6, strokeLineJoin=1))
    if middle:
        joined = [*actual[-1:], *middle]
        drawing.add(PolyLine(_flat(joined), strokeColor=look.ACCENT, strokeWidth=1.4, strokeDashArray=[3, 2]))
    every = max(1, math.ceil(len(path) * 34 / (width - _LEFT)))
    for n in range(0, len(path), every):
        anchor = "start" if n == 0 else "middle"
        _text(drawing, places[n] - (4 if n == 0 else 0), axis.bottom - 9, short_day(path[n].on), anchor=anchor)
    return drawing


def change_steps(bridge: Bridge, width: float, height: float, numbers: Numbers) -> Drawing:
    """The reasons of a change one after the other, from nothing to the whole change."""
    drawing = Drawing(width, height)
    terms = shown_terms(bridge)
    if not terms:
        return _nothing(drawing, "Nothing changed.")
    levels = [0.0]
    for term in terms:
        levels.append(levels[-1] + float(term.amount))
    spread = max(levels) - min(levels) or 1.0
    axis = _Axis(drawing, low=min(levels), high=max(levels) + spread * 0.06, bottom=_BOTTOM + 8, numbers=numbers)
    step = (width - _LEFT) / (len(terms) + 1)
    bar = min(step * 0.6, 44.0)
    bars = [
        (term_name(term.kind), float(term.amount), numbers.change(term.amount), levels[n])
        for n, term in enumerate(terms)
    ]
    whole = bridge.after - bridge.before
    bars.append(("Change", float(whole), numbers.change(whole), 0.0))
    for n, (name, amount, text, start) in enumerate(bars):
        x = _LEFT + n * step + (step - bar) / 2
        bottom, top = axis.y(min(start, start + amount)), axis.y(max(start, start + amount))
        is_whole = n == len(bars) - 1
        colour = look.ACCENT if is_whole else look.MORE if amount > 0 else look.LESS
        drawing.add(Rect(x, bottom, bar, max(0.8, top - bottom), rx=1, ry=1, fillColor=colour, strokeColor=None))
        if not is_whole:
            y = axis.y(start + amount)
            drawing.add(Line(x + bar, y, x + step, y, strokeColor=look.FAINT, strokeWidth=0.5))
        label_y = top + 3 if amount >= 0 else bottom - 8
        _text(drawing, x + bar / 2, label_y, text, anchor="middle", colour=look.TEXT, most=step)
        _text(drawing, x + bar / 2, 3, name, anchor="middle", font=look.BOLD if is_whole else look.REGULAR, most=step)
    return drawing


class _Axis:
    """The money axis of a chart: round levels as faint lines, with their amounts on the left."""

    def __init__(self, drawing: Drawing, *, low: float, high: float, bottom: float, numbers: Numbers) -> None:
        self.bottom = bottom
        tick = _round_step(high - low)
        self._low, self._high = math.floor(low / tick) * tick, math.ceil(high / tick) * tick
        if self._high <= self._low:
            self._high = self._low + tick
        self._scale = (drawing.height - _TOP - bottom) / (self._high - self._low)
        for n in range(round((self._high - self._low) / tick) + 1):
            level = self._low + n * tick
            y = self.y(level)
            is_zero = abs(level) < tick / 2
            colour = look.FAINT if is_zero else look.LINE
            drawing.add(Line(_LEFT, y, drawing.width, y, strokeColor=colour, strokeWidth=0.5))
            amount = numbers.short(Decimal(str(round(level, 6))))
            _text(drawing, _LEFT - 4, y - 2.3, amount, anchor="end", most=_LEFT - 4)

    def y(self, level: float) -> float:
        return float(self.bottom + (level - self._low) * self._scale)


def _round_step(spread: float) -> float:
    """A step of 1, 2 or 5 times a power of ten, for about four of them.

    >>> [_round_step(spread) for spread in (4.0, 21_000.0, 0.0)]
    [1.0, 5000.0, 1.0]
    """
    if spread <= 0:
        return 1.0
    wish = spread / 4.5
    power = 10.0 ** math.floor(math.log10(wish))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= wish)


def _legend(drawing: Drawing, labels: Sequence[str], inks: Sequence[Color], width: float) -> float:
    """Names of the series below the chart; returns their height."""
    rows: list[list[tuple[float, int, str]]] = [[]]
    x = _LEFT
    for n, label in enumerate(labels):
        text = look.fitted(look.drawable(label), 76, LABEL)
        wide = look.width_of(text, LABEL) + 18
        if rows[-1] and x + wide > width:
            rows.append([])
            x = _LEFT
        rows[-1].append((x, n, text))
        x += wide
    for number, row in enumerate(reversed(rows)):
        y = 2 + number * 10
        for place, n, text in row:
            drawing.add(Rect(place, y, 6, 6, rx=1, ry=1, fillColor=inks[n], strokeColor=None))
            _text(drawing, place + 9, y + 0.6, text)
    return len(rows) * 10 + 4.0


def _nothing(drawing: Drawing, why: str) -> Drawing:
    drawing.add(
        Rect(0.5, 0.5, drawing.width - 1, drawing.height - 1, rx=4, ry=4, fillColor=look.BAND, strokeColor=None)
    )
    _text(drawing, drawing.width / 2, drawing.height / 2 - 3, why, anchor="middle", size=8)
    return drawing


def _text(drawing: Drawing, x: float, y: float, text: str, *, anchor: str = "start", colour: object = look.MUTED,
          font: str = look.REGULAR, size: float = LABEL, most: float = 0.0) -> None:  # fmt: skip
    clean = look.drawable(text)
    if most:
        clean = look.fitted(clean, most, size, font)
    drawing.add(String(x, y, clean, fontName=font, fontSize=size, fillColor=colour, textAnchor=anchor))


def _flat(points: Sequence[tuple[float, float]]) -> list[float]:
    return [number for point in points for number in point]
