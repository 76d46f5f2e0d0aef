"""The files of a pack, by name."""

import re
from collections.abc import Callable, Mapping

from costlib.errors import UnknownKey
from costlib.review import Period, Review
from pack.csv import csv
from pack.markdown import markdown, statement_markdown
from pack.pdf import pdf, statement_pdf
from pack.statement_xlsx import statement_xlsx
from pack.style import Style
from pack.xlsx import xlsx

WRITERS: Mapping[str, Callable[[Review, Style | None], bytes]] = {
    "pdf": pdf,
    "xlsx": xlsx,
    "csv": csv,
    "md": markdown,
}
STATEMENT_WRITERS: Mapping[str, Callable[[Review, str, Style | None], bytes]] = {
    "pdf": statement_pdf,
    "xlsx": statement_xlsx,
    "md": statement_markdown,
}
TYPES = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
    "md": "text/markdown",
}


def files(review: Review, style: Style | None = None) -> dict[str, bytes]:
    """The whole pack: the same review and settings make the same bytes."""
    return {f"{stem(review.period)}.{kind}": write(review, style) for kind, write in WRITERS.items()}


def statement(review: Review, team: str, kind: str = "pdf", style: Style | None = None) -> tuple[str, bytes]:
    """The name and bytes of what one team is charged. Raises UnknownKey for a team without a part of the cost."""
    if team not in review.teams:
        raise UnknownKey("team", team, review.teams, review.period.name)
    if kind not in STATEMENT_WRITERS:
        raise UnknownKey("kind of statement", kind, STATEMENT_WRITERS)
    return f"{statement_stem(review, team)}.{kind}", STATEMENT_WRITERS[kind](review, team, style)


def stem(period: Period) -> str:
    """
    >>> from datetime import date
    >>> stem(Period(start=date(2026, 11, 9), end=date(2026, 11, 16)))
    'review-2026-11-09-to-2026-11-15'
    """
    return f"review-{period.start}-to-{period.last_day}"


def statement_stem(review: Review, team: str) -> str:
    """A file name that no team's name can leave its folder with; its number keeps like names apart."""
    words = re.sub(r"[^a-z0-9]+", "-", team.lower()).strip("-")[:40].rstrip("-") or "no-team"
    number = review.teams.index(team) + 1
    return f"statement-{review.period.start}-to-{review.period.last_day}-{number:02}-{words}"
