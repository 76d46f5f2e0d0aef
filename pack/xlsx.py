"""The review as a workbook: sums are live formulas over the detail rows, and charts are the spreadsheet's own."""

from decimal import Decimal
from io import BytesIO
from typing import Any

import xlsxwriter

from costlib.billing import exact_sum
from costlib.bucket_words import WORDS
from costlib.estimate import Undefined
from costlib.review import Figure, FigureUnit, Review, StatementLine
from pack.agenda_tables import (
    action_table,
    anomaly_table,
    outlook_table,
    proposal_table,
    statements_in_cents,
    ties,
    waste_table,
)
from pack.csv import order
from pack.indicator_sheet import indicator_sheet
from pack.savings_tables import has_savings, savings_tables
from pack.sheet import OPTIONS, Place, Sheet, add_up, book_of, span
from pack.style import Numbers, Style
from pack.tables import Kind, Table, largest, product_name, shown_terms, team_name, term_name
from pack.words import TITLE, assumptions, figure_note, headline, identity, warnings

EVERY = 100_000  # rows: nothing is left out of the workbook
MOST_IN_CHART = 8
FIRST = 4  # the row of a sheet's table heads, below its title


def xlsx(review: Review, style: Style | None = None) -> bytes:
    """The workbook of the meeting. It holds no date but the period's: the same review makes the same bytes."""
    numbers = Numbers(currency=review.currency, style=style or Style())
    made = BytesIO()
    with xlsxwriter.Workbook(made, OPTIONS) as workbook:
        book = book_of(workbook, review, TITLE)
        summary, bridge, products = book.sheet("Summary"), book.sheet("Bridge"), book.sheet("Products")
        teams, daily, agenda = book.sheet("Teams"), book.sheet("Daily"), book.sheet("Agenda")
        indicators, detail = book.sheet("Indicators"), book.sheet("Detail")
        savings = book.sheet("Savings") if has_savings(review) else None
        accounts, notes = book.sheet("Reconciliation"), book.sheet("Assumptions")
        rows = _detail(detail, review)
        sums = {
            "Products": _products(products, review, rows),
            "Teams": _teams(teams, review, rows),
            "Days": _daily(daily, review),
            "Bridge": _bridge(bridge, review),
        }
        _accounts(accounts, review)
        _agenda(agenda, review)
        indicator_sheet(indicators, review)
        if savings is not None:
            _savings(savings, review, numbers)
        _notes(notes, review, numbers)
        _summary(summary, review, numbers, rows["amount"], sums)
    return made.getvalue()


def _detail(sheet: Sheet, review: Review) -> dict[str, str]:
    """Every row, with a number for its product and team by which other sheets add up; returns the ranges."""
    heads = ("Product no.", "Team no.", "Product", "Model", "Team", "Bucket", "Amount", "Tokens")
    sheet.widths((11, 9, 30, 26, 24, 22, 16, 18))
    sheet.title("Detail rows", f"{review.period.name}. Other sheets add these up by product and team number.")
    row = sheet.heads(FIRST, heads, texts=(2, 3, 4, 5))
    products, teams = _numbers_of(mover.product for mover in review.movers), _numbers_of(review.teams)
    details = sorted(review.details, key=order)
    for one in details:
        sheet.count(row, 0, products[one.product])
        sheet.count(row, 1, teams[one.team])
        texts = (product_name(one.product), one.model, team_name(one.team), WORDS[one.bucket][0])
        for n, text in enumerate(texts, start=2):
            sheet.text(row, n, text)
        sheet.money(row, 6, one.amount)
        sheet.count(row, 7, one.tokens)
        row += 1
    last = max(row - 1, FIRST + 1)  # an empty table still has a row to add up
    if details:
        sheet.filtered(FIRST, last, len(heads))
    return {
        "product": span(FIRST + 1, last, 0, "Detail"),
        "team": span(FIRST + 1, last, 1, "Detail"),
        "amount": span(FIRST + 1, last, 6, "Detail"),
    }


def _numbers_of(names: Any) -> dict[str, int]:
    return {name: n for n, name in enumerate(sorted(names), start=1)}


def _products(sheet: Sheet, review: Review, rows: dict[str, str]) -> Place:
    heads = ("No.", "Product", "Cost", "Before", "Change", "From volume", "From unit cost", "From mix", "Per 1M tokens",
             "Budget", "Of budget")  # fmt: skip
    sheet.widths((6, 32, 16, 16, 16, 16, 16, 16, 14, 16, 11))
    sheet.title("Products", f"{review.period.name}. Cost is the sum of the detail rows.")
    row = sheet.heads(FIRST, heads, texts=(1,))
    numbered = _numbers_of(mover.product for mover in review.movers)
    for mover in sorted(review.movers, key=lambda mover: (-mover.cost, mover.product)):
        line = row + 1  # as a spreadsheet counts
        sheet.count(row, 0, numbered[mover.product])
        sheet.text(row, 1, product_name(mover.product))
        sheet.formula(row, 2, f"SUMIF({rows['product']},A{line},{rows['amount']})", mover.cost)
        sheet.money(row, 3, mover.before)
        sheet.formula(row, 4, f'IF(D{line}="","",C{line}-D{line})', mover.change)
        for n, part in enumerate((mover.from_volume, mover.from_unit_cost, mover.from_mix), start=5):
            sheet.money(row, n, part)
        sheet.per_mtok(row, 8, mover.per_mtok)
        sheet.money(row, 9, mover.budget)
        of_budget = None if mover.of_budget is None else Decimal(str(mover.of_budget))
        sheet.formula(row, 10, f'IF(N(J{line})>0,C{line}/J{line},"")', of_budget, "share")
        row += 1
    columns = [
        [mover.cost for mover in review.movers],
        *([getattr(mover, name) for mover in review.movers]
          for name in ("before", "change", "from_volume", "from_unit_cost", "from_mix")),
        [],
        [mover.budget for mover in review.movers],
    ]  # fmt: skip
    sheet.text(row, 0, "", "total")
    sheet.text(row, 1, "Total", "total")
    for n, amounts in enumerate(columns, start=2):
        known = [amount for amount in amounts if amount is not None]
        if known or n == 2:
            add_up(sheet, FIRST + 1, row, n, known)
        else:
            sheet.text(row, n, "", "total")
    sheet.text(row, 10, "", "total")
    if len(review.movers) > 1:
        shown = min(len(review.movers), MOST_IN_CHART + 4)
        sheet.bars("Cost by product", FIRST + 1, FIRST + shown, names=1, amounts=2, at=(row + 2, 1))
    return sheet.place(row, 2)


def _teams(sheet: Sheet, review: Review, rows: dict[str, str]) -> Place:
    sheet.widths((6, 32, 16, 11))
    sheet.title("Chargeback by team", f"{review.period.name}. Amounts are the sums of the detail rows.")
    row = sheet.heads(FIRST, ("No.", "Team", "Amount", "Share"), texts=(1,))
    total = FIRST + len(review.teams) + 2  # as a spreadsheet counts
    for team, number in _numbers_of(review.teams).items():
        amount = exact_sum(one.amount for one in review.of_team(team))
        line = row + 1
        sheet.count(row, 0, number)
        sheet.text(row, 1, team_name(team))
        sheet.formula(row, 2, f"SUMIF({rows['team']},A{line},{rows['amount']})", amount)
        share = amount / review.total if review.total else None
        sheet.formula(row, 3, f'IF(C{total}=0,"",C{line}/C{total})', share, "share")
        row += 1
    sheet.text(row, 0, "", "total")
    sheet.text(row, 1, "Total", "total")
    add_up(sheet, FIRST + 1, row, 2, [one.amount for one in review.details])
    sheet.text(row, 3, "", "total")
    return sheet.place(row, 2)


def _daily(sheet: Sheet, review: Review) -> Place | None:
    """Days by product: the largest apart, the others together."""
    sheet.title("Daily spend", review.period.name)
    if not review.daily:
        sheet.text(FIRST, 0, "No day of this period is known by itself.", "muted")
        return None
    kept, rest = largest(review.movers, MOST_IN_CHART, lambda mover: mover.cost, lambda mover: mover.product)
    names = [mover.product for mover in kept]
    others = [mover.product for mover in rest]
    heads = ["Day", *(product_name(name) for name in names), *([f"{len(others)} others"] if others else []), "Total"]
    sheet.widths((14, *[16] * (len(heads) - 1)))
    row = sheet.heads(FIRST, heads)
    for day in sorted(review.daily, key=lambda day: day.on):
        sheet.day(row, 0, day.on, "partial" if day.is_partial else "day")
        parts = [day.by_product.get(name, Decimal(0)) for name in names]
        if others:
            parts.append(exact_sum(amount for product, amount in day.by_product.items() if product not in names))
        for n, part in enumerate(parts, start=1):
            sheet.money(row, n, part)
        sheet.formula(row, len(parts) + 1, f"SUM({span(row, row, 1, last_column=len(parts))})", exact_sum(parts))
        row += 1
    sheet.text(row, 0, "Total", "total")
    last = len(heads) - 1
    for n in range(1, last + 1):
        wanted = {kept[n - 1].product} if n <= len(kept) else set(others) if n < last else {*names, *others}
        amounts = [amount for day in review.daily for product, amount in day.by_product.items() if product in wanted]
        add_up(sheet, FIRST + 1, row, n, amounts)
    if any(day.is_partial for day in review.daily):
        sheet.text(row + 1, 0, "Days in italics are not complete.", "muted")
    sheet.stack("Daily spend by product", FIRST, row - 1, series=range(1, last), at=(row + 3, 0))
    return sheet.place(row, last)


def _bridge(sheet: Sheet, review: Review) -> Place | None:
    sheet.widths((28, 16, 16, 16, 70))
    sheet.title("What changed", review.period.name)
    bridge = review.bridge
    if bridge is None:
        sheet.text(FIRST, 0, "There is no period before this one, so nothing can be said of a change.", "muted")
        return None
    row = sheet.heads(FIRST, ("Reason", "Amount", "From", "To", "Why"), texts=(0, 4))
    sheet.text(row, 0, "Before")
    sheet.money(row, 1, bridge.before)
    sheet.formula(row, 3, f"B{row + 1}", bridge.before)
    level = bridge.before
    first = row + 1
    for term in shown_terms(bridge):
        row += 1
        sheet.text(row, 0, term_name(term.kind))
        sheet.money(row, 1, term.amount, "change")
        sheet.formula(row, 2, f"D{row}", level)
        level += term.amount
        sheet.formula(row, 3, f"C{row + 1}+B{row + 1}", level)
        sheet.text(row, 4, term.sentence)
    last = row
    row += 1
    sheet.text(row, 0, "After", "total")
    sheet.formula(row, 1, f"SUM({span(first - 1, last, 1)})", bridge.after, "total_money")
    for n in (2, 3, 4):
        sheet.text(row, n, "", "total")
    if last >= first:
        sheet.changes("What changed", first, last, names=0, amounts=1, at=(row + 2, 0))
    return sheet.place(row, 1)


def _accounts(sheet: Sheet, review: Review) -> None:
    sheet.widths((30, 16, 16, 16, 60, 8))
    month = f"Billing month {review.statements_month}. " if review.statements_month else ""
    sheet.title("Match to invoices", f"{month}The difference is the invoice less what was billed.")
    row = sheet.heads(FIRST, ("Provider", "Billed", "Invoice", "Difference", "Note", "Ties"), texts=(0, 4, 5))
    if not review.statements:
        sheet.text(row, 0, "No invoice was compared.", "muted")
        return
    lines = statements_in_cents(review.statements)
    for line in sorted(lines, key=lambda line: (-line.billed, line.provider, line.note)):
        _statement_line(sheet, row, line)
        row += 1
    invoices = [line.invoice for line in lines if line.invoice is not None]
    differences = [line.difference for line in lines if line.difference is not None]
    sheet.text(row, 0, "Total", "total")
    for n, amounts in ((1, [line.billed for line in lines]), (2, invoices), (3, differences)):
        add_up(sheet, FIRST + 1, row, n, amounts)
    missing = len(lines) - len(invoices)
    sheet.text(row, 4, f"{missing} without an invoice yet: not in the difference." if missing else "", "total")


def _statement_line(sheet: Sheet, row: int, line: StatementLine) -> None:
    sheet.text(row, 0, line.provider)
    sheet.money(row, 1, line.billed)
    sheet.money(row, 2, line.invoice)
    sheet.formula(row, 3, f'IF(C{row + 1}="","",C{row + 1}-B{row + 1})', line.difference, "change")
    sheet.text(row, 4, line.note)
    sheet.text(row, 5, ties(line))


def _agenda(sheet: Sheet, review: Review) -> None:
    """What else the meeting looks at, one table below the other."""
    sheet.widths((46, 22, 18, 18, 18, 18, 14, 14))
    row = sheet.title("For the meeting", review.period.name) + 1
    tables = (
        outlook_table(review, EVERY),
        waste_table(review, EVERY),
        anomaly_table(review, EVERY),
        proposal_table(review, EVERY),
        action_table("Actions", review.actions, EVERY),
        action_table("Actions of the last review", review.last_actions, EVERY),
    )
    for table in tables:
        row = _table(sheet, row, table)
    sheet.text(row, 0, "Risks", "section")
    for risk in review.risks or ("None.",):
        row += 1
        sheet.text(row, 0, risk)


def _savings(sheet: Sheet, review: Review, numbers: Numbers) -> None:
    """Each change, and each month, of the savings ledger."""
    sheet.widths((46, 18, 18, 18, 14, 18, 16, 18, 18))
    row = sheet.title("Savings", "What changes promised, and what was measured. The amounts are never added.") + 1
    for table in savings_tables(review, EVERY, EVERY, numbers):
        row = _table(sheet, row, table)


def _table(sheet: Sheet, row: int, table: Table) -> int:
    sheet.text(row, 0, table.title, "section")
    row += 1
    if table.rows:
        first = row = sheet.heads(
            row,
            [column.title for column in table.columns],
            texts=[n for n, column in enumerate(table.columns) if column.kind.is_text or column.kind is Kind.DAY],
        )
        for cells in table.rows:
            for n, (cell, column) in enumerate(zip(cells, table.columns, strict=True)):
                sheet.cell(row, n, cell, column.kind)
            row += 1
        if table.total:
            sheet.text(row, 0, "Total", "total")
            amounts = [cells[1] for cells in table.rows if isinstance(cells[1], Decimal)]
            add_up(sheet, first, row, 1, amounts)
            row += 1
    if table.note:
        sheet.text(row, 0, table.note, "muted")
        row += 1
    return row + 1


def _notes(sheet: Sheet, review: Review, numbers: Numbers) -> None:
    sheet.widths((24, 110))
    row = sheet.title("Assumptions", "What these numbers are, and what they rest on.") + 1
    for name, value in identity(review, numbers):
        sheet.text(row, 0, name, "muted")
        sheet.text(row, 1, value)
        row += 1
    for note in (*warnings(review), *assumptions(review)):
        row += 1
        sheet.text(row, 1, note)


def _summary(
    sheet: Sheet, review: Review, numbers: Numbers, amounts: str, sums: dict[str, Place | None]
) -> None:  # fmt: skip
    sheet.widths((30, 20, 20, 18, 70))
    row = sheet.title(TITLE, headline(review, numbers)) + 1
    for name, value in identity(review, numbers):
        sheet.text(row, 0, name, "muted")
        sheet.text(row, 1, value)
        row += 1
    for note in warnings(review):
        sheet.text(row, 0, note, "warning")
        row += 1
    if review.note:
        sheet.text(row, 0, review.note)
        row += 1
    row = sheet.heads(row + 1, ("Total", "Amount", "Less the detail rows", "", ""))
    sheet.text(row, 0, "Sum of the detail rows", "strong")
    sheet.formula(row, 1, f"SUM({amounts})", review.total, "strong_money")
    total = row + 1
    for name, place in sums.items():
        if place is None:
            continue
        row += 1
        sheet.text(row, 0, name)
        sheet.formula(row, 1, place, review.total)
        sheet.formula(row, 2, f"ROUND(B{row + 1}-B{total},2)", Decimal(0))
    rate = numbers.style.rate
    if rate is not None and rate.base == review.currency:
        row += 1
        sheet.text(row, 0, f"In {rate.quote}, for display")
        sheet.number(row, 1, review.total * rate.rate, "plain_money", f"B{total}*C{row + 1}")
        sheet.number(row, 2, rate.rate, "rate")
        sheet.text(row, 4, rate.text, "muted")
    if review.figures:
        row = sheet.heads(row + 2, ("Figure", "Now", "Before", "Change", "Note"), texts=(0, 4))
        for figure in review.figures:
            _figure(sheet, row, figure)
            row += 1


_KINDS = {
    FigureUnit.MONEY: "money",
    FigureUnit.PER_MTOK: "per_mtok",
    FigureUnit.SHARE: "share",
    FigureUnit.TOKENS: "count",
}


def _figure(sheet: Sheet, row: int, figure: Figure) -> None:
    look = _KINDS[figure.unit]
    values = [
        None if value is None or isinstance(value, Undefined) else Decimal(str(value))
        for value in (figure.value, figure.before)
    ]
    sheet.text(row, 0, figure.name)
    for n, value in enumerate(values, start=1):
        if value is not None:
            sheet.number(row, n, value, look)
    now, before = values
    if now is not None and before is not None:
        sheet.number(row, 3, now - before, look, f"B{row + 1}-C{row + 1}")
    sheet.text(row, 4, figure_note(figure), "muted")
