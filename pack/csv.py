"""The rows of a review as CSV: the amounts of all rows add up to the total, and every row says what it is of."""

import csv as tables
from io import StringIO

from costlib.billing import exact_text
from costlib.books import Bucket
from costlib.review import DetailRow, Review
from costlib.text_safety import neutral
from pack.savings_tables import csv_texts, has_savings
from pack.style import Numbers, Style

COLUMNS = (
    "record", "period_start", "period_end", "is_open", "currency", "basis", "snapshot_id", "is_sample",
    "product", "model", "team", "bucket", "amount", "tokens", "note",
)  # fmt: skip
DETAIL, ASSUMPTION = "detail", "assumption"


def csv(review: Review, style: Style | None = None) -> bytes:
    """UTF-8 with a mark that spreadsheets look for. Numbers have the locale's decimal mark and no thousands; where that
    mark is a comma, cells are parted by semicolons. The period's end is excluded. Savings and assumptions are rows
    without amount.
    """
    style = style or Style()
    point = style.locale.decimal
    made = StringIO()
    writer = tables.writer(made, delimiter=";" if point == "," else ",", lineterminator="\r\n")
    writer.writerow(COLUMNS)
    common = (
        str(review.period.start),
        str(review.period.end),
        _yes_no(review.period.is_open),
        neutral(review.currency),
        str(review.basis),
        neutral(review.snapshot_id),
        _yes_no(review.is_sample),
    )
    for row in sorted(review.details, key=order):
        amount = exact_text(row.amount).replace(".", point)
        tokens = "" if row.tokens is None else str(row.tokens)
        texts = (neutral(text) for text in (row.product, row.model, row.team))
        writer.writerow((DETAIL, *common, *texts, str(row.bucket), amount, tokens, ""))
    if review.savings is not None and has_savings(review):
        for record, name, owner, words in csv_texts(review.savings, Numbers(currency=review.currency, style=style)):
            cells = (neutral(name), "", neutral(owner), "", "", "", neutral(words))
            writer.writerow((record, *common, *cells))
    for text in review.made_from:
        writer.writerow((ASSUMPTION, *common, "", "", "", "", "", "", neutral(text)))
    return b"\xef\xbb\xbf" + made.getvalue().encode("utf-8", "replace")


def order(row: DetailRow) -> tuple[str, str, str, int, str, int]:
    """Details by product, model, team and bucket, in every file."""
    tokens = -1 if row.tokens is None else row.tokens
    return (row.product, row.model, row.team, list(Bucket).index(row.bucket), str(row.amount), tokens)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"
