"""The review, and a team's statement, as Markdown: for an issue, a wiki or a mail. Names cannot act in it."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from costlib.review import Review
from costlib.text_safety import plain, without_addresses
from pack.agenda_tables import (
    action_table,
    anomaly_table,
    indicator_table,
    outlook_table,
    proposal_table,
    reconciliation_table,
    waste_table,
)
from pack.savings_tables import savings_tables
from pack.style import Numbers, Style
from pack.tables import (
    Cell,
    Column,
    Table,
    bridge_table,
    product_table,
    shown,
    statement_table,
    team_name,
    team_table,
)
from pack.words import (
    A_SENTENCE,
    TITLE,
    assumptions,
    figure_change,
    figure_note,
    figure_text,
    headline,
    identity,
    outlook_title,
    warnings,
)

MOST_ROWS = 50
# Marks that act anywhere; a colon or dollar sign within a word; and what begins a list or a rule at the front.
_ACTS = re.compile(
    r"[\\`*_{}\[\]<>|~^&#]|:(?=\S)|(?<!\s)\$(?!\d)|\$(?=[^\d\s])|^[+\-](?=[\s\-]|$)|(?<=^\d)[.)](?=\s|$)|(?<=^\d\d)[.)](?=\s|$)"
)


def markdown(review: Review, style: Style | None = None) -> bytes:
    """Everything the PDF says, with longer tables."""
    style = style or Style()
    numbers = Numbers(currency=review.currency, style=style)
    parts = [*_head(review, TITLE, numbers), f"**{_text(headline(review, numbers))}**"]
    if converted := numbers.in_display_currency(review.total):
        parts.append(_text(f"{converted}. {numbers.rate_note()}"))
    if review.note:
        parts.append(_text(review.note))
    parts += [
        _figures(review, numbers),
        *_section(bridge_table(review), numbers),
        *_section(product_table(review, MOST_ROWS), numbers),
        f"## {_text(outlook_title(review, numbers))}",
        *_body(outlook_table(review, MOST_ROWS), numbers),
        *_section(waste_table(review, MOST_ROWS), numbers),
        *_section(anomaly_table(review, MOST_ROWS), numbers),
        *_section(proposal_table(review, MOST_ROWS), numbers),
        *_links(review, style.dashboard_url),
        *(["## Risks", _list(review.risks)] if review.risks else []),
        *_section(action_table("Actions", review.actions, MOST_ROWS), numbers),
        *_section(action_table("Actions of the last review", review.last_actions, MOST_ROWS), numbers),
        *(part for table in savings_tables(review, MOST_ROWS, MOST_ROWS, numbers) for part in _section(table, numbers)),
        *_section(team_table(review, MOST_ROWS), numbers),
        *_section(reconciliation_table(review, MOST_ROWS), numbers),
        *(_section(indicator_table(review, numbers), numbers) if review.indicators else []),
        "## Assumptions",
        _list(assumptions(review)),
    ]
    return _joined(parts)


def statement_markdown(review: Review, team: str, style: Style | None = None) -> bytes:
    """What one team is charged."""
    numbers = Numbers(currency=review.currency, style=style or Style())
    rows = review.of_team(team)
    parts = _head(review, f"Statement: {team_name(team)}", numbers)
    parts += _section(statement_table(rows), numbers) if rows else ["Nothing of this period is this team's."]
    return _joined([*parts, "## Assumptions", _list(assumptions(review))])


def _head(review: Review, title: str, numbers: Numbers) -> list[str]:
    facts = [f"- {name}: {_text(value)}" for name, value in identity(review, numbers)]
    notes = [f"> {_text(note)}" for note in warnings(review)]
    return [f"# {_text(title)}, {_text(review.period.name)}", "\n".join(facts), *(["\n".join(notes)] if notes else [])]


def _figures(review: Review, numbers: Numbers) -> str:
    columns = (Column(title="Figure"), Column(title="Now"), Column(title="Change"), Column(title="Note"))
    rows = [
        (figure.name, figure_text(figure, numbers), figure_change(figure, numbers)[0], figure_note(figure))
        for figure in review.figures
    ]
    return _grid(columns, rows, numbers) if rows else ""


def _section(table: Table, numbers: Numbers) -> list[str]:
    return [f"## {_text(table.title)}", *_body(table, numbers)]


def _body(table: Table, numbers: Numbers) -> list[str]:
    rows = [*table.rows, *([table.total] if table.total else [])]
    return [
        *([_grid(table.columns, rows, numbers)] if table.rows else []),
        *([_text(table.note)] if table.note else []),
    ]


def _grid(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], numbers: Numbers) -> str:
    lines = [
        "| " + " | ".join(_text(column.title) for column in columns) + " |",
        "| " + " | ".join("---" if column.kind.is_text else "---:" for column in columns) + " |",
    ]
    for row in rows:
        cells = (_text(shown(cell, column.kind, numbers)) for cell, column in zip(row, columns, strict=True))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _links(review: Review, dashboard_url: str) -> list[str]:
    """Proposals as links into the dashboard, where its address is given."""
    found = [(one.title, address(dashboard_url, one.link)) for one in review.proposals]
    lines = [f"- [{_text(title)}](<{link}>)" for title, link in found if link]
    return ["\n".join(lines)] if lines else []


def address(dashboard_url: str, link: str) -> str:
    """A link of the review on the dashboard's own address; nothing for one that leads anywhere else.

    >>> address("http://costs.internal:8501/", "/what-if?v=2")
    'http://costs.internal:8501/what-if?v=2'
    >>> [address("http://costs.internal", link) for link in ("//evil.example", "javascript:x", "/a b>")]
    ['', '', '']
    """
    base, parts = urlsplit(dashboard_url), urlsplit(link)
    if base.scheme not in ("http", "https") or not base.netloc or parts.scheme or parts.netloc:
        return ""
    is_plain = all(letter.isascii() and letter.isprintable() and letter not in ' <>"\\`' for letter in link)
    return f"{dashboard_url.rstrip('/')}{link}" if is_plain and link.startswith("/") else ""


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {_text(text)}" for text in texts)


def _text(text: object) -> str:
    r"""Text that stands within a line, escaped where Markdown could act on it and nowhere else.

    >>> [_text(text) for text in ("- $5.20 of [x](y) | 1*2", "1. a", "see: -a")] == [
    ...     r"\- $5.20 of \[x\](y) \| 1\*2", r"1\. a", "see: -a"]
    True
    """
    return _ACTS.sub(lambda found: f"\\{found[0]}", without_addresses(plain(text, A_SENTENCE)))


def _joined(parts: Iterable[str]) -> bytes:
    return ("\n\n".join(part for part in parts if part) + "\n").encode("utf-8", "replace")
