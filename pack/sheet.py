"""Sheets of a workbook: cells with their looks, and charts. Every text passes through `neutral` on its way in."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from xlsxwriter.utility import xl_col_to_name, xl_range, xl_range_abs

from costlib.billing import exact_sum
from costlib.estimate import Undefined
from costlib.review import Review
from costlib.text_safety import neutral, plain
from pack.style import NONE, SIGNS
from pack.tables import Cell, Kind

MOST_LETTERS = 32_000  # a cell holds 32 767
FONT = "Calibri"
_SERIES = ("#3D5AFE", "#12A594", "#8E4EC6", "#E5894A", "#D6409F", "#E0B400", "#3BA7D6", "#B5543C", "#98A1B2")
_MUTED, _LINE, _BAND, _LIMIT = "#5B6475", "#E2E6EE", "#F5F7FB", "#9A5300"

# Texts stay texts: nothing that a cell holds is guessed to be a number, a formula or an address.
OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
    "nan_inf_to_errors": False,
}

Place = str  # a cell of another sheet, as a formula has it


def span(first: int, last: int, column: int, sheet: str = "", last_column: int | None = None) -> str:
    """A range of rows, counted from 0, as a formula has it.

    >>> span(5, 9, 6, "Detail"), span(5, 5, 1, last_column=3)
    ('Detail!$G$6:$G$10', 'B6:D6')
    """
    end = column if last_column is None else last_column
    if sheet:
        return f"{sheet}!{_whole(xl_range_abs(first, column, last, end))}"
    return _whole(xl_range(first, column, last, end))


def _whole(found: str) -> str:
    return found if ":" in found else f"{found}:{found}"


class Book:
    """A workbook and the looks of its cells."""

    def __init__(self, workbook: Any, currency: str) -> None:
        self.workbook = workbook
        money = money_format(currency)
        change = f"+{money};-{money};{money}"
        looks: dict[str, dict[str, Any]] = {
            "text": {},
            "title": {"bold": True, "font_size": 16},
            "section": {"bold": True, "font_size": 12},
            "muted": {"font_color": _MUTED},
            "warning": {"font_color": _LIMIT, "bold": True},
            "strong": {"bold": True},
            "head": {"bold": True, "font_color": _MUTED, "bg_color": _BAND, "bottom": 1, "bottom_color": _LINE,
                     "text_wrap": True, "valign": "vcenter"},
            "number_head": {"bold": True, "font_color": _MUTED, "bg_color": _BAND, "bottom": 1, "bottom_color": _LINE,
                            "text_wrap": True, "valign": "vcenter", "align": "right"},
            "note": {"indent": 1},
            "muted_note": {"font_color": _MUTED, "indent": 1},
            "note_head": {"bold": True, "font_color": _MUTED, "bg_color": _BAND, "bottom": 1, "bottom_color": _LINE,
                          "text_wrap": True, "valign": "vcenter", "indent": 1},
            "total": {"bold": True, "top": 1},
            "money": {"num_format": money},
            "change": {"num_format": change},
            "strong_money": {"num_format": money, "bold": True},
            "total_money": {"num_format": money, "bold": True, "top": 1},
            "plain_money": {"num_format": "#,##0.00"},
            "per_mtok": {"num_format": money.replace("0.00", "0.000")},
            "per_request": {"num_format": money.replace("0.00", "0.000000")},
            "ratio": {"num_format": "0.000"},
            "share": {"num_format": "0.0%"},
            "growth": {"num_format": "+0.0%;-0.0%;0.0%"},
            "count": {"num_format": "#,##0"},
            "rate": {"num_format": "0.0000####"},
            "day": {"num_format": "d mmm yyyy", "align": "left"},
            "partial": {"num_format": "d mmm yyyy", "align": "left", "italic": True},
        }  # fmt: skip
        self.looks = {name: workbook.add_format({"font_name": FONT, **look}) for name, look in looks.items()}

    def sheet(self, name: str, widths: Sequence[float] = ()) -> "Sheet":
        sheet = Sheet(self, self.workbook.add_worksheet(name), name)
        sheet.widths(widths)
        return sheet


def money_format(currency: str) -> str:
    """How a spreadsheet shows this currency; separators are those of whoever opens it.

    >>> money_format("USD"), money_format("EUR"), money_format("SE\\"K")
    ('[$$]#,##0.00', '[$€]#,##0.00', '"SE K" #,##0.00')
    """
    sign = SIGNS.get(currency)
    if sign == "$" or (sign is not None and not sign.isascii()):
        return f"[${sign}]#,##0.00"
    letters = "".join(letter if letter.isalnum() else " " for letter in plain(currency, 12))
    return f'"{letters}" #,##0.00'


class Sheet:
    def __init__(self, book: Book, worksheet: Any, name: str) -> None:
        self._book, self._sheet, self._name = book, worksheet, name
        worksheet.hide_gridlines(2)
        worksheet.set_landscape()
        worksheet.set_paper(9)  # A4
        worksheet.fit_to_pages(1, 0)

    def widths(self, widths: Iterable[float]) -> None:
        for n, width in enumerate(widths):
            self._sheet.set_column(n, n, width)

    def title(self, title: str, below: str) -> int:
        self.text(0, 0, title, "title")
        self.text(1, 0, below, "muted")
        self._sheet.set_row(0, 24)
        return 2

    def heads(self, row: int, heads: Sequence[str], texts: Iterable[int] = (0,)) -> int:
        """Heads of columns; those of `texts` stand on the left, as their cells do, the others over their numbers."""
        for n, head in enumerate(heads):
            self.text(row, n, head, "head" if n in texts else "number_head")
        return row + 1

    def filtered(self, first: int, last: int, columns: int) -> None:
        self._sheet.freeze_panes(first + 1, 0)
        self._sheet.autofilter(first, 0, last, columns - 1)

    def text(self, row: int, column: int, text: object, look: str = "text") -> None:
        clean = neutral(plain(text, MOST_LETTERS)) if text != "" else ""
        look = {"text": "note", "head": "note_head", "muted": "muted_note"}.get(look, look) if column else look
        if clean:
            self._sheet.write_string(row, column, clean, self._book.looks[look])
        else:
            self._sheet.write_blank(row, column, None, self._book.looks[look])

    def money(self, row: int, column: int, amount: Decimal | None, look: str = "money") -> None:
        if amount is not None:
            self.number(row, column, amount, look)

    def per_mtok(self, row: int, column: int, amount: Decimal | Undefined) -> None:
        if isinstance(amount, Decimal):
            self.number(row, column, amount, "per_mtok")

    def count(self, row: int, column: int, count: int | None) -> None:
        if count is not None:
            self.number(row, column, count, "count")

    def number(self, row: int, column: int, number: Decimal | float, look: str, formula: str = "") -> None:
        if formula:
            self._sheet.write_formula(row, column, f"={formula}", self._book.looks[look], float(number))
        else:
            self._sheet.write_number(row, column, float(number), self._book.looks[look])

    def formula(self, row: int, column: int, formula: str, amount: Decimal | None, look: str = "money") -> None:
        """A live formula, and what it comes to: shown by what does not calculate."""
        value = "" if amount is None else float(amount)
        self._sheet.write_formula(row, column, f"={formula}", self._book.looks[look], value)

    def day(self, row: int, column: int, day: date, look: str = "day") -> None:
        self._sheet.write_datetime(row, column, day, self._book.looks[look])

    def cell(self, row: int, column: int, cell: Cell, kind: Kind) -> None:
        if cell is None or isinstance(cell, Undefined):
            self.text(row, column, NONE, "muted")
        elif isinstance(cell, str):
            self.text(row, column, cell)
        elif isinstance(cell, date):
            self.day(row, column, cell)
        else:
            look = {Kind.BAR: "share", Kind.CHANCE: "share"}.get(kind, str(kind))
            self.number(row, column, cell, look)

    def place(self, row: int, column: int) -> Place:
        return f"{self._name}!{xl_col_to_name(column)}{row + 1}"

    def bars(self, title: str, first: int, last: int, *, names: int, amounts: int, at: tuple[int, int]) -> None:
        chart = self._chart({"type": "bar"}, title)
        chart.add_series({
            "name": title,
            "categories": [self._name, first, names, last, names],
            "values": [self._name, first, amounts, last, amounts],
            "fill": {"color": _SERIES[0]},
            "gap": 60,
        })  # fmt: skip
        chart.set_y_axis({"reverse": True, "line": {"color": _LINE}})
        chart.set_x_axis({"major_gridlines": {"visible": True, "line": {"color": _LINE}}, "num_format": "#,##0"})
        chart.set_legend({"none": True})
        self._sheet.insert_chart(*at, chart)

    def stack(self, title: str, heads: int, last: int, *, series: Iterable[int], at: tuple[int, int]) -> None:
        chart = self._chart({"type": "column", "subtype": "stacked"}, title)
        for n, column in enumerate(series):
            chart.add_series({
                "name": [self._name, heads, column],
                "categories": [self._name, heads + 1, 0, last, 0],
                "values": [self._name, heads + 1, column, last, column],
                "fill": {"color": _SERIES[min(n, len(_SERIES) - 1)]},
                "gap": 50,
            })  # fmt: skip
        chart.set_x_axis({"num_format": "d mmm", "date_axis": True, "line": {"color": _LINE}, "label_position": "low"})
        chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": _LINE}}})
        chart.set_legend({"position": "bottom"})
        self._sheet.insert_chart(*at, chart)

    def changes(self, title: str, first: int, last: int, *, names: int, amounts: int, at: tuple[int, int]) -> None:
        """Columns above zero for what was added and below for what was saved."""
        chart = self._chart({"type": "column"}, title)
        chart.add_series({
            "name": title,
            "categories": [self._name, first, names, last, names],
            "values": [self._name, first, amounts, last, amounts],
            "fill": {"color": "#C8323C"},
            "invert_if_negative": True,
            "invert_if_negative_color": "#0B7A55",
            "data_labels": {"value": True, "num_format": "+#,##0;-#,##0;0"},
            "gap": 60,
        })  # fmt: skip
        chart.set_y_axis({"num_format": "#,##0", "major_gridlines": {"visible": True, "line": {"color": _LINE}}})
        chart.set_x_axis({"line": {"color": _LINE}, "label_position": "low"})
        chart.set_legend({"none": True})
        self._sheet.insert_chart(*at, chart)

    def _chart(self, kind: dict[str, str], title: str) -> Any:
        chart = self._book.workbook.add_chart(kind)
        chart.set_title({"name": title, "name_font": {"size": 12, "bold": True, "color": "#161A23"}})
        chart.set_size({"width": 860, "height": 360})
        chart.set_chartarea({"border": {"none": True}})
        return chart


def book_of(workbook: Any, review: Review, title: str) -> Book:
    workbook.set_properties({
        "title": f"{title} {review.period.name}"[:200],
        "author": "Permillion",
        "comments": f"Snapshot {review.snapshot_id}"[:200],
        "created": datetime.combine(review.period.end, time(), tzinfo=UTC).replace(tzinfo=None),
    })  # fmt: skip
    workbook.set_calc_mode("auto")
    return Book(workbook, review.currency)


def add_up(sheet: Sheet, first: int, row: int, column: int, amounts: Sequence[Decimal]) -> None:
    """The total in `row` of the rows from `first` to the one above."""
    formula = f"SUM({span(first, row - 1, column)})" if row > first else "0"
    sheet.formula(row, column, formula, exact_sum(amounts), "total_money")
