"""The pieces that PDF pages are laid out of: tables, cards, headings, and the foot of each page."""

from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from reportlab.graphics.shapes import Drawing, Rect, String
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepTogether, Paragraph, Spacer
from reportlab.platypus import Table as Grid

from costlib.review import Figure
from pack import look
from pack.style import NONE, Numbers
from pack.tables import Cell, Column, Kind, Table, shown
from pack.words import figure_change, figure_note, figure_text

MARGIN = 40.0  # points
GAP = 10.0
CARD_HEIGHT = 62.0
HEAD_SIZE = 6.8
BARE = [(f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")]
A_PARAGRAPH = 240  # characters
TWO_LINES = 3.8  # of them, for each point of width over the size of the type


def style_of(size: float = 8.0, colour: Any = look.TEXT, font: str = look.REGULAR, lead: float = 1.35, **more: Any) \
        -> ParagraphStyle:  # fmt: skip
    look.register_fonts()
    return ParagraphStyle(
        "p", fontName=font, fontSize=size, leading=size * lead, textColor=colour, splitLongWords=1, **more
    )


def paragraph(text: object, style: ParagraphStyle | None = None, longest: int = A_PARAGRAPH) -> Paragraph:
    """A paragraph of outside text: nothing in it is markup."""
    return Paragraph(escape(look.drawable(text, longest)), style or style_of())


def heading(text: str, quiet: str = "") -> Paragraph:
    words = f"<b>{escape(look.drawable(text))}</b>"
    if quiet:
        words += f'  <font color="#5B6475" size="8">{escape(look.drawable(quiet))}</font>'
    return Paragraph(words, style_of(10.5))


def section(title: str, parts: Sequence[Flowable], quiet: str = "") -> list[Flowable]:
    return [KeepTogether([heading(title, quiet), Spacer(0, 4), *parts]), Spacer(0, GAP)]


def table_section(table: Table, width: float, numbers: Numbers) -> list[Flowable]:
    return section(table.title, _table_parts(table, width, numbers))


def side_by_side(left: Sequence[Flowable], right: Sequence[Flowable], width: float, gap: float = 16.0) -> Grid:
    wide = (width - gap) / 2
    made = Grid([[left, "", right]], colWidths=[wide, gap, wide], hAlign="LEFT")
    made.setStyle([*BARE, ("VALIGN", (0, 0), (-1, -1), "TOP")])
    return made


def _table_parts(table: Table, width: float, numbers: Numbers) -> list[Flowable]:
    parts: list[Flowable] = []
    if table.rows:
        parts.append(grid(table, width, numbers))
    if table.note:
        parts += [Spacer(0, 3), paragraph(table.note, style_of(7.5, look.MUTED))]
    return parts


def grid(table: Table, width: float, numbers: Numbers) -> Grid:
    """A table over the whole width: numbers as wide as they need, texts share what is left."""
    columns = _used(table)
    rows = [[row[n] for n in columns] for row in table.rows]
    total = [] if table.total is None else [[table.total[n] for n in columns]]
    kinds = [table.columns[n] for n in columns]
    texts = [[shown(cell, column.kind, numbers) for cell, column in zip(row, kinds, strict=True)]
             for row in (*rows, *total)]  # fmt: skip
    sizes = (8.0, 7.5, 7.0, 6.5, 6.0, 5.5)
    size = next((size for size in sizes if _is_roomy(kinds, texts, width, size)), sizes[-1])
    widths = _widths(kinds, texts, width, size)
    head = [
        paragraph(column.title, _aligned(_is_left(kinds, n), HEAD_SIZE, look.MUTED)) for n, column in enumerate(kinds)
    ]
    body = []
    for number, (row, words) in enumerate(zip((*rows, *total), texts, strict=True)):
        font = look.BOLD if total and number == len(rows) else look.REGULAR
        cells = enumerate(zip(row, words, widths, strict=True))
        body.append([_cell(*cell, kinds[n].kind, _is_left(kinds, n), size, font) for n, cell in cells])
    made = Grid([head, *body], colWidths=widths, repeatRows=1, hAlign="LEFT")
    last = len(body)
    styles: list[tuple[Any, ...]] = [
        ("BACKGROUND", (0, 0), (-1, 0), look.BAND),
        ("LINEBELOW", (0, 0), (-1, last), 0.5, look.LINE),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("LEFTPADDING", (0, 0), (-1, -1), 5),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
        ("TOPPADDING", (0, 0), (-1, -1), 2.6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.6),
        ("ROUNDEDCORNERS", [3, 3, 0, 0]),
    ]
    if total:
        styles.append(("LINEABOVE", (0, last), (-1, last), 0.8, look.FAINT))
    made.setStyle(styles)
    return made


def _used(table: Table) -> list[int]:
    """The columns that say something: one without any value is left out."""
    rows = [*table.rows, *([table.total] if table.total else [])]
    return [n for n in range(len(table.columns)) if n == 0 or any(_says(row[n]) for row in rows)]


def _says(cell: Cell) -> bool:
    return cell not in (None, "") and not hasattr(cell, "reason")


def _is_roomy(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: float, size: float) -> bool:
    """Whether the names have room, beside numbers of this size."""
    widths, needs = _widths(columns, texts, width, size), _needs(columns, texts, size)
    return all(
        widths[n] >= min(needs[n], 76.0 if column.kind is Kind.TEXT else 56.0)
        for n, column in enumerate(columns)
        if column.kind.is_text
    )


def _needs(columns: Sequence[Column], texts: Sequence[Sequence[str]], size: float) -> list[float]:
    return [
        max([look.width_of(look.drawable(row[n]), size, look.BOLD) for row in texts] + [_head_width(column.title)]) + 11
        for n, column in enumerate(columns)
    ]


def _widths(columns: Sequence[Column], texts: Sequence[Sequence[str]], width: float, size: float) -> list[float]:
    needs = _needs(columns, texts, size)
    given = {n: (76.0 if column.kind is Kind.BAR else needs[n]) for n, column in enumerate(columns)
             if not column.kind.is_text}  # fmt: skip
    left = max(40.0, width - sum(given.values()))
    wishes = {n: min(needs[n], 150.0) if column.kind is Kind.TEXT else min(max(needs[n], 120.0), 330.0)
              for n, column in enumerate(columns) if column.kind.is_text}  # fmt: skip
    cap = 84.0 if left < 260 else 130.0
    names = {n: min(needs[n], cap) for n in wishes if columns[n].kind is Kind.TEXT}
    sentences = len(wishes) - len(names)
    if sentences and sum(wishes.values()) > left and (room := (left - sum(names.values())) / sentences) >= 56:
        wishes = {n: names.get(n, room) for n in wishes}
    scale = left / (sum(wishes.values()) or 1.0)
    return [given[n] if n in given else wishes[n] * scale for n in range(len(columns))]


def _head_width(title: str) -> float:
    """A title may be broken once, where that makes it shortest."""
    words = title.split()
    halves = [(" ".join(words[:n]), " ".join(words[n:])) for n in range(1, len(words))] or [(title, "")]
    return min(max(look.width_of(half, HEAD_SIZE) for half in pair) for pair in halves)


def _aligned(is_left: bool, size: float, colour: Any, font: str = look.REGULAR) -> ParagraphStyle:
    return style_of(size, colour, font, 1.25, **({} if is_left else {"alignment": TA_RIGHT}))


def _is_left(columns: Sequence[Column], n: int) -> bool:
    """Texts begin on the left; numbers end on the right, and so do days except in front."""
    return columns[n].kind.is_text or (n == 0 and columns[n].kind is Kind.DAY)


def _cell(cell: Cell, text: str, width: float, kind: Kind, is_left: bool, size: float, font: str) -> Flowable:
    if kind is Kind.BAR and isinstance(cell, float):
        return _bar(cell, text, width - 10, size)
    colour = look.TEXT
    if kind in (Kind.CHANGE, Kind.GROWTH) and text.startswith(("+", "-")):
        colour = look.MORE if text.startswith("+") else look.LESS
    elif text == NONE or (isinstance(cell, str) and not kind.is_text):
        colour = look.MUTED
    if kind is Kind.TEXT:
        text = look.fitted(look.drawable(text), width - 10.5, size, font)
    return paragraph(text, _aligned(is_left, size, colour, font), max(30, int(TWO_LINES * (width - 10) / size)))


def _bar(fraction: float, text: str, width: float, size: float) -> Drawing:
    """A share as a bar with its number; more than all of it in the colour of a limit."""
    drawing = Drawing(width, size + 2)
    track = width - 30
    drawing.add(Rect(0, size / 2 - 1, track, 3.6, rx=1.8, ry=1.8, fillColor=look.QUIET_TINT, strokeColor=None))
    filled = track * min(1.0, max(0.0, fraction))
    colour = look.LIMIT if fraction > 1 else look.ACCENT
    if filled > 2:
        drawing.add(Rect(0, size / 2 - 1, filled, 3.6, rx=1.8, ry=1.8, fillColor=colour, strokeColor=None))
    drawing.add(
        String(width, 2, text, fontName=look.REGULAR, fontSize=size - 0.5, fillColor=look.TEXT, textAnchor="end")
    )
    return drawing


def cards(figures: Sequence[Figure], width: float, numbers: Numbers) -> Drawing:
    """The numbers on top, side by side."""
    drawing = Drawing(width, CARD_HEIGHT)
    gap = 7.0
    wide = (width - gap * (len(figures) - 1)) / max(1, len(figures))
    wide = min(wide, width / 3)
    for n, figure in enumerate(figures):
        _card(drawing, n * (wide + gap), wide, figure, numbers)
    return drawing


def _card(drawing: Drawing, x: float, wide: float, figure: Figure, numbers: Numbers) -> None:
    inside, room = x + 8, wide - 16
    drawing.add(Rect(x + 0.25, 0.25, wide - 0.5, CARD_HEIGHT - 0.5, rx=4, ry=4, fillColor=look.WHITE,
                     strokeColor=look.LINE, strokeWidth=0.7))  # fmt: skip

    def write(
        dx: float, y: float, text: str, size: float, colour: Any, font: str = look.REGULAR, most: float = 0.0
    ) -> None:
        clean = look.drawable(text)
        while size > 6 and look.width_of(clean, size, font) > room:
            size -= 0.25
        clean = look.fitted(clean, room, size, font)
        drawing.add(String(inside + dx, y, clean, fontName=font, fontSize=size, fillColor=colour))

    write(0, CARD_HEIGHT - 14, figure.name, 7.2, look.TEXT)
    value = figure_text(figure, numbers)
    write(0, CARD_HEIGHT - 32, value, 15, look.TEXT, look.BOLD)
    change, way = figure_change(figure, numbers)
    if change:
        fill, ink = look.tint_of(way, figure.is_less_better)
        arrow = {1: "↑ ", 0: "", -1: "↓ "}[way]
        chip = look.width_of(arrow + change, 6.8) + 8
        drawing.add(Rect(inside - 1, CARD_HEIGHT - 47, chip, 11, rx=5, ry=5, fillColor=fill, strokeColor=None))
        write(3, CARD_HEIGHT - 44, arrow + change, 6.8, ink)
    write(0, 6, figure_note(figure), 6.5, look.MUTED)


class PagedCanvas(Canvas):  # type: ignore[misc]
    """A canvas whose pages know how many they are."""

    foot = ""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._kept.append(dict(self.__dict__))
        self._startPage()

    def save(self) -> None:
        count = len(self._kept)
        for number, page in enumerate(self._kept, start=1):
            self.__dict__.update(page)
            self._draw_foot(number, count)
            super().showPage()
        super().save()

    def _draw_foot(self, number: int, count: int) -> None:
        width = self._pagesize[0]
        self.setStrokeColor(look.LINE)
        self.setLineWidth(0.5)
        self.line(MARGIN, 32, width - MARGIN, 32)
        self.setFont(look.REGULAR, 6.5)
        self.setFillColor(look.MUTED)
        page = f"{number} / {count}"
        self.drawString(MARGIN, 22, look.fitted(self.foot, width - 2 * MARGIN - 40, 6.5))
        self.drawRightString(width - MARGIN, 22, page)
