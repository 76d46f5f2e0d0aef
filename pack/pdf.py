"""The review as a PDF: A4, two to four pages, drawn as vectors; the same review makes the same bytes."""

from collections.abc import Sequence
from io import BytesIO

from reportlab.lib.pagesizes import A4
from reportlab.platypus import Flowable, SimpleDocTemplate, Spacer
from reportlab.platypus import Table as Grid

from costlib.review import Review
from pack import look
from pack.agenda_tables import (
    action_table,
    anomaly_table,
    outlook_table,
    proposal_table,
    reconciliation_table,
    waste_table,
)
from pack.charts import change_steps, daily_stack, month_path
from pack.pdf_parts import (
    BARE,
    GAP,
    MARGIN,
    PagedCanvas,
    cards,
    grid,
    heading,
    paragraph,
    section,
    side_by_side,
    style_of,
    table_section,
)
from pack.savings_tables import savings_tables
from pack.style import Numbers, Style
from pack.tables import bridge_table, no_bridge, product_table, statement_table, team_name, team_table
from pack.words import (
    BASIS_WORDS,
    SAMPLE,
    TITLE,
    assumptions,
    changed_title,
    daily_title,
    headline,
    outlook_title,
    warnings,
)

WIDTH = A4[0] - 2 * MARGIN
CHART_HEIGHT, STEPS_HEIGHT = 128.0, 106.0
FRAME = 6.0  # what reportlab keeps free within the margins
# What fits four pages; the workbook has the rest.
MOST_PRODUCTS, MOST_TEAMS, MOST_OUTLOOKS, MOST_WASTE, MOST_ANOMALIES = 12, 8, 8, 8, 5
MOST_PROPOSALS, MOST_RISKS, MOST_ACTIONS, MOST_PROVIDERS, MOST_ASSUMPTIONS = 3, 4, 5, 5, 6
MOST_FIGURES, MOST_STATEMENT_ROWS, MOST_NOTE = 6, 100, 1000
MOST_SAVINGS, MOST_MONTHS = 8, 3


def pdf(review: Review, style: Style | None = None) -> bytes:
    """The pack of the meeting."""
    look.register_fonts()
    numbers = Numbers(currency=review.currency, style=style or Style())
    parts: list[Flowable] = [*_head(review, TITLE, numbers), *_summary(review, numbers), *_changes(review, numbers)]
    parts += table_section(product_table(review, MOST_PRODUCTS), WIDTH, numbers)
    parts += table_section(outlook_table(review, MOST_OUTLOOKS), WIDTH, numbers)
    parts += table_section(waste_table(review, MOST_WASTE), WIDTH, numbers)
    parts += table_section(team_table(review, MOST_TEAMS), WIDTH, numbers)
    parts += table_section(anomaly_table(review, MOST_ANOMALIES), WIDTH, numbers)
    parts += table_section(proposal_table(review, MOST_PROPOSALS), WIDTH, numbers)
    if review.risks:
        parts += section("Risks", _bullets(review.risks, MOST_RISKS))
    parts += table_section(action_table("Actions", review.actions, MOST_ACTIONS), WIDTH, numbers)
    if review.last_actions:
        parts += table_section(
            action_table("Actions of the last review", review.last_actions, MOST_ACTIONS), WIDTH, numbers
        )
    for table in savings_tables(review, MOST_SAVINGS, MOST_MONTHS, numbers):
        parts += table_section(table, WIDTH, numbers)
    parts += table_section(reconciliation_table(review, MOST_PROVIDERS), WIDTH, numbers)
    parts += section("Assumptions", _bullets(_small_print(review), MOST_ASSUMPTIONS))
    return _built(parts, f"{TITLE} {review.period.name}", review)


def statement_pdf(review: Review, team: str, style: Style | None = None) -> bytes:
    """What one team is charged."""
    look.register_fonts()
    numbers = Numbers(currency=review.currency, style=style or Style())
    rows = review.of_team(team)
    table = statement_table(rows, MOST_STATEMENT_ROWS)
    title = f"Statement: {team_name(team)}"
    parts: list[Flowable] = _head(review, title, numbers)
    total = table.total[-1] if table.total else None
    amount = numbers.money(total) if not isinstance(total, str | float | int) else ""  # type: ignore[arg-type]
    parts += [paragraph(f"{amount} is charged to {team_name(team)}.", style_of(13, font=look.BOLD)), Spacer(0, GAP)]
    if rows:
        parts += [heading(table.title), Spacer(0, 4), grid(table, WIDTH, numbers), Spacer(0, GAP)]
    else:
        parts += [paragraph("Nothing of this period is this team's."), Spacer(0, GAP)]
    parts += section("Assumptions", _bullets(_small_print(review), MOST_ASSUMPTIONS))
    return _built(parts, f"{title} {review.period.name}", review)


def _head(review: Review, title: str, numbers: Numbers) -> list[Flowable]:
    left = [
        paragraph(title, style_of(17, font=look.BOLD, lead=1.2)),
        paragraph(review.period.name, style_of(10, look.MUTED)),
    ]
    compared = "no period before" if review.before is None else f"compared with {review.before.name}"
    small = style_of(7, look.MUTED, alignment=2)
    right = [
        paragraph(f"{BASIS_WORDS[review.basis]}, {review.currency}, {compared}", small),
        paragraph(f"Snapshot {review.snapshot_id}", small),
    ]
    if review.is_sample:
        right.append(paragraph(SAMPLE.upper(), style_of(7, look.LIMIT, look.BOLD, alignment=2)))
    head = Grid([[left, right]], colWidths=[WIDTH * 0.55, WIDTH * 0.45], hAlign="LEFT")
    head.setStyle([
        ("VALIGN", (0, 0), (0, 0), "TOP"), ("VALIGN", (1, 0), (1, 0), "MIDDLE"),
        *BARE, ("BOTTOMPADDING", (0, 0), (-1, -1), 6),
    ])  # fmt: skip
    parts: list[Flowable] = [head]
    if notes := warnings(review):
        parts += [_banner(" ".join(notes)), Spacer(0, 8)]
    return parts


def _banner(text: str) -> Grid:
    made = Grid([[paragraph(text, style_of(7.8, look.TEXT), 600)]], colWidths=[WIDTH], hAlign="LEFT")
    made.setStyle([
        ("BACKGROUND", (0, 0), (-1, -1), look.LIMIT_TINT), ("ROUNDEDCORNERS", [4, 4, 4, 4]),
        ("LEFTPADDING", (0, 0), (-1, -1), 8), ("TOPPADDING", (0, 0), (-1, -1), 4),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
    ])  # fmt: skip
    return made


def _summary(review: Review, numbers: Numbers) -> list[Flowable]:
    parts: list[Flowable] = [paragraph(headline(review, numbers), style_of(13, font=look.BOLD)), Spacer(0, 2)]
    if converted := numbers.in_display_currency(review.total):
        parts.append(paragraph(f"{converted}. {numbers.rate_note()}", style_of(7.5, look.MUTED)))
    if review.note:
        parts += [Spacer(0, 2), paragraph(review.note, style_of(9), MOST_NOTE)]
    parts.append(Spacer(0, 6))
    if review.figures:
        parts += [cards(review.figures[:MOST_FIGURES], WIDTH, numbers), Spacer(0, GAP + 2)]
    wide = (WIDTH - 16) / 2
    left = [
        heading(outlook_title(review, numbers)),
        Spacer(0, 4),
        month_path(review.outlook, wide, CHART_HEIGHT, numbers),
    ]
    right = [
        heading(daily_title(review, numbers)),
        Spacer(0, 4),
        daily_stack(review.daily, wide, CHART_HEIGHT, numbers),
    ]
    return [*parts, side_by_side(left, right, WIDTH), Spacer(0, GAP)]


def _changes(review: Review, numbers: Numbers) -> list[Flowable]:
    table = bridge_table(review)
    if review.bridge is None:
        return section("What changed", [paragraph(no_bridge(review), style_of(8, look.MUTED))])
    bridge = review.bridge
    quiet = f"{numbers.money(bridge.before)} before, {numbers.money(bridge.after)} now"
    parts: list[Flowable] = [change_steps(bridge, WIDTH, STEPS_HEIGHT, numbers), Spacer(0, 4)]
    if table.rows:
        parts.append(grid(table, WIDTH, numbers))
    return section(changed_title(review, numbers), parts, quiet)


def _small_print(review: Review) -> tuple[str, ...]:
    names = [text for row in review.details for text in (row.product, row.model, row.team)]
    if any(look.UNDRAWABLE in look.drawable(name) for name in names):
        return (f"Letters that cannot be drawn here are shown as {look.UNDRAWABLE}; the workbook has them.",
                *assumptions(review))  # fmt: skip
    return assumptions(review)


def _bullets(texts: Sequence[str], most: int) -> list[Flowable]:
    small = style_of(8, look.TEXT, leftIndent=9, bulletIndent=0, spaceAfter=2)
    listed: list[Flowable] = [paragraph(f"• {text}", small) for text in texts[:most]]
    if len(texts) > most:
        listed.append(paragraph(f"{len(texts) - most} more in the workbook.", style_of(7.5, look.MUTED)))
    return listed


def _built(parts: list[Flowable], title: str, review: Review) -> bytes:
    class Canvas(PagedCanvas):
        foot = " · ".join(
            look.drawable(part, 60)
            for part in (
                "Permillion", review.period.name, BASIS_WORDS[review.basis], review.currency,
                f"snapshot {review.snapshot_id}", *([SAMPLE] if review.is_sample else []),
            )
        )  # fmt: skip

    made = BytesIO()
    document = SimpleDocTemplate(
        made,
        pagesize=A4,
        leftMargin=MARGIN - FRAME,
        rightMargin=MARGIN - FRAME,
        topMargin=28,
        bottomMargin=42,
        invariant=1,
        title=look.drawable(title),
        author="Permillion",
        creator="Permillion",
        subject=look.drawable(f"Snapshot {review.snapshot_id}"),
        lang="en",
    )
    document.build(parts, canvasmaker=Canvas)
    return made.getvalue()
