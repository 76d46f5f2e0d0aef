"""A team's statement as a workbook of one sheet."""

from decimal import Decimal
from io import BytesIO

import xlsxwriter

from costlib.review import Review
from pack.sheet import OPTIONS, add_up, book_of
from pack.style import Numbers, Style
from pack.tables import statement_table, team_name
from pack.words import assumptions, identity, warnings


def statement_xlsx(review: Review, team: str, style: Style | None = None) -> bytes:
    """What one team is charged, with its total as a live formula."""
    numbers = Numbers(currency=review.currency, style=style or Style())
    made = BytesIO()
    with xlsxwriter.Workbook(made, OPTIONS) as workbook:
        sheet = book_of(workbook, review, "Statement").sheet("Statement", widths=(28, 24, 22, 16, 16))
        row = sheet.title(f"Statement: {team_name(team)}", review.period.name)
        for name, value in identity(review, numbers):
            sheet.text(row, 0, name, "muted")
            sheet.text(row, 1, value)
            row += 1
        table = statement_table(review.of_team(team))
        row = sheet.heads(row + 1, [column.title for column in table.columns], texts=(0, 1, 2))
        first = row
        for product, model, what, tokens, amount in table.rows:
            for n, text in enumerate((product, model, what)):
                sheet.text(row, n, text)
            sheet.count(row, 3, tokens if isinstance(tokens, int) else None)
            sheet.money(row, 4, _decimal(amount))
            row += 1
        sheet.text(row, 0, "Total", "total")
        for n in (1, 2, 3):
            sheet.text(row, n, "", "total")
        add_up(sheet, first, row, 4, [_decimal(line[-1]) for line in table.rows])
        for note in (*warnings(review), *assumptions(review)):
            row += 1
            sheet.text(row + 1, 0, note, "muted")
    return made.getvalue()


def _decimal(cell: object) -> Decimal:
    assert isinstance(cell, Decimal)
    return cell
