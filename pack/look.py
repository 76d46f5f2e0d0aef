"""What the PDF looks like: colours, the typeface, and texts that it can draw."""

import unicodedata
from functools import cache
from pathlib import Path

from reportlab.lib.colors import Color, HexColor
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from costlib.text_safety import plain

REGULAR, BOLD = "Inter", "Inter-SemiBold"
FONTS = Path(__file__).parent / "fonts"
UNDRAWABLE = "\ufffd"

TEXT, MUTED, FAINT = HexColor("#161A23"), HexColor("#5B6475"), HexColor("#98A1B2")
LINE, BAND, WHITE = HexColor("#E2E6EE"), HexColor("#F5F7FB"), HexColor("#FFFFFF")
ACCENT, LESS, MORE, LIMIT = HexColor("#3D5AFE"), HexColor("#0B7A55"), HexColor("#C8323C"), HexColor("#D97706")
LESS_TINT, MORE_TINT, QUIET_TINT = HexColor("#E1F3EC"), HexColor("#FBE7E8"), HexColor("#EEF1F6")
ACCENT_TINT, LIMIT_TINT = HexColor("#E6EAFF"), HexColor("#FDF1E0")
SERIES = tuple(HexColor(name) for name in ("#3D5AFE", "#12A594", "#8E4EC6", "#E5894A", "#D6409F"))


@cache
def register_fonts() -> None:
    for name, file in ((REGULAR, "Inter-Regular.ttf"), (BOLD, "Inter-SemiBold.ttf")):
        pdfmetrics.registerFont(TTFont(name, str(FONTS / file)))
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)


@cache
def _drawable() -> frozenset[int]:
    register_fonts()
    return frozenset(pdfmetrics.getFont(REGULAR).face.charToGlyph)


def drawable(text: object, longest: int = 120) -> str:
    """`plain`, with letters that the typeface lacks replaced: by their base letter, or by a mark that says so."""
    return "".join(_letter(letter) for letter in plain(text, longest))


def _letter(letter: str) -> str:
    if ord(letter) in _drawable():
        return letter
    base = unicodedata.normalize("NFKD", letter)[:1]
    if base and ord(base) in _drawable():
        return base
    return "" if unicodedata.combining(letter) else UNDRAWABLE


def width_of(text: str, size: float, font: str = REGULAR) -> float:
    register_fonts()
    return float(pdfmetrics.stringWidth(text, font, size))


def fitted(text: str, width: float, size: float, font: str = REGULAR) -> str:
    """`text`, cut with an ellipsis where it is wider than `width`."""
    if width_of(text, size, font) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(text[:middle].rstrip() + "…", size, font) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def tint_of(way: int, is_less_better: bool) -> tuple[Color, Color]:
    """Background and ink of a change: green is better, red worse."""
    if not way:
        return QUIET_TINT, MUTED
    is_better = (way < 0) == is_less_better
    return (LESS_TINT, LESS) if is_better else (MORE_TINT, MORE)


def pale(colour: Color) -> Color:
    """For what is not complete."""
    return Color(*(1 - 0.42 * (1 - part) for part in (colour.red, colour.green, colour.blue)))
