"""The pack: every file of a review says the same, to the cent, whatever the review holds."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from costlib.billing import exact_sum
from costlib.errors import DomainError, UnknownKey
from costlib.estimate import Undefined
from costlib.rates import Rate
from costlib.review import Review, StatementLine, WasteLine
from costlib.saving import Savings
from costlib.text_safety import neutral, plain, restored
from pack.csv import csv
from pack.files import STATEMENT_WRITERS, WRITERS, files, statement, stem
from pack.markdown import markdown
from pack.pdf import MOST_PRODUCTS, pdf, statement_pdf
from pack.savings_tables import entry_table
from pack.statement_xlsx import statement_xlsx
from pack.style import LOCALES, Numbers, Style, locale_of
from pack.tables import Kind, shown, team_name
from pack.xlsx import xlsx
from tests import savings_builders
from tests.pack.invented import CASES, HOSTILE, first_week, full, hostile, many_products, negative, open_month
from tests.pack.reading import Workbook, csv_rows, csv_total, pages_of, pdf_text, without_stored_results, workbook

ROOT = Path(__file__).resolve().parents[2]
CENT = Decimal("0.01")
CHECKS = ("Products", "Teams", "Days", "Bridge")
every_case = pytest.mark.parametrize("name", CASES)


def cents(value: object) -> Decimal:
    assert isinstance(value, float), value
    return Decimal(repr(value)).quantize(CENT)


@cache
def case(name: str) -> Review:
    return CASES[name]()


@cache
def book_of(name: str) -> Workbook:
    return workbook(xlsx(case(name)))


@cache
def pdf_of(name: str) -> bytes:
    return pdf(case(name))


def shown_total(review: Review) -> str:
    return Numbers(currency=review.currency).money(review.total)


# The same everywhere.


@every_case
def test_the_total_is_the_same_in_every_file(name: str) -> None:
    review = case(name)
    book = book_of(name)
    row = book.find("Summary", "Sum of the detail rows")
    assert cents(book.values["Summary"][row, 2]) == review.total  # stored beside the formula
    assert cents(book.calculated("Summary", row, 2)) == review.total  # calculated anew
    assert csv_total(csv(review)) == review.total
    assert shown_total(review) in pdf_text(pdf_of(name))
    assert shown_total(review) in markdown(review).decode()


@every_case
def test_every_formula_comes_to_what_is_stored_with_it(name: str) -> None:
    book = book_of(name)
    checked = 0
    for sheet, formulas in book.formulas.items():
        for at in formulas:
            stored, found = book.values[sheet].get(at, ""), book.calculated(sheet, *at)
            if isinstance(stored, float) and isinstance(found, float):
                assert found == pytest.approx(stored, abs=0.004, rel=1e-12), (sheet, at, formulas[at])
            else:
                assert stored == found, (sheet, at, formulas[at])
            checked += 1
    assert checked


@every_case
def test_products_teams_days_and_bridge_differ_from_the_details_by_nothing(name: str) -> None:
    review = case(name)
    book = book_of(name)
    left_out = {*([] if review.daily else ["Days"]), *([] if review.bridge else ["Bridge"])}
    for what in set(CHECKS) - left_out:
        row = book.find("Summary", what)
        assert cents(book.calculated("Summary", row, 2)) == review.total, what
        assert book.calculated("Summary", row, 3) == 0.0, what


def test_a_changed_detail_changes_every_total() -> None:
    """The sums are live: a cent more in one detail row is a cent more everywhere that adds it up."""
    book = workbook(xlsx(full()))
    book.values["Detail"][6, 7] += 0.01
    for sheet, name, column in (
        ("Summary", "Sum of the detail rows", 2),
        ("Products", "Total", 3),
        ("Teams", "Total", 3),
    ):
        row = book.find(sheet, name)
        assert cents(book.calculated(sheet, row, column)) == full().total + CENT, sheet


@every_case
def test_what_each_product_cost_is_the_same_in_workbook_and_rows(name: str) -> None:
    review = case(name)
    rows = csv_rows(csv(review))
    for mover in review.movers:
        mine = [row for row in rows if row["record"] == "detail" and restored(row["product"]) == mover.product]
        assert exact_sum(Decimal(row["amount"]) for row in mine) == mover.cost


def test_the_table_of_the_pdf_adds_up_to_its_total() -> None:
    """500 products: the largest, one row for the others, and a total that is theirs."""
    review = many_products()
    text = markdown(review).decode()
    lines = text.split("## Products")[1].split("\n\n")[1].splitlines()[2:]
    spends = [Decimal(re.sub(r"[^\d.-]", "", line.split("|")[2])) for line in lines]
    assert "450 others" in text
    assert exact_sum(spends[:-1]) == spends[-1] == review.total
    assert f"{500 - MOST_PRODUCTS} others" in pdf_text(pdf(review))


@every_case
def test_each_file_says_where_it_is_from(name: str) -> None:
    review = case(name)
    book = book_of(name)
    sheet = {value for value in book.values["Assumptions"].values() if isinstance(value, str)}
    assert neutral(plain(review.snapshot_id)) in sheet
    assert {neutral(plain(text, 32_000)) for text in review.made_from} <= sheet
    for row in csv_rows(csv(review)):
        assert restored(row["snapshot_id"]) == review.snapshot_id
        assert (row["period_start"], row["currency"], row["basis"]) == (
            "2026-11-09",
            review.currency,
            str(review.basis),
        )
        assert row["is_sample"] == ("yes" if review.is_sample else "no")
    for text in (pdf_text(pdf_of(name)), markdown(review).decode()):
        assert review.period.name in text
        assert ("Sample data" in text) == review.is_sample
        assert ("Invoiced cost" in text) == (str(review.basis) == "billed")


# The same bytes.

_HASHES = """
import hashlib
from pack.files import files, statement
from tests import savings_builders
from tests.pack.invented import CASES
for name, case in CASES.items():
    made = files(case())
    made |= dict(statement(case(), team, kind) for team in case().teams[:2] for kind in ("pdf", "xlsx", "md"))
    for file, data in made.items():
        print(name, file, hashlib.sha256(data).hexdigest())
"""


def test_the_same_review_makes_the_same_bytes_in_any_process() -> None:
    """Other hash seeds, another zone of time, another language."""
    settings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
        {"PYTHONHASHSEED": "4321", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
    ]
    found = [
        subprocess.run(
            [sys.executable, "-c", _HASHES],
            cwd=ROOT,
            env={**os.environ, **setting, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for setting in settings
    ]
    assert found[0] == found[1]
    assert len(found[0].splitlines()) > 4 * len(CASES)


def test_the_workbook_holds_no_time_of_its_making() -> None:
    with ZipFile(BytesIO(xlsx(full()))) as archive:
        assert {one.date_time for one in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert b"2026-11-16T00:00:00Z" in archive.read("docProps/core.xml")


def test_another_snapshot_makes_other_bytes() -> None:
    other = replace(full(), snapshot_id="other")
    for name, data in files(full()).items():
        assert hashlib.sha256(data).digest() != hashlib.sha256(files(other)[name]).digest(), name


# Names that would like to act.


def test_no_text_of_the_workbook_is_a_formula_or_an_address() -> None:
    data = xlsx(hostile())
    book = workbook(data)
    texts = [value for cells in book.values.values() for value in cells.values() if isinstance(value, str)]
    assert all(neutral(text) == text or text.startswith("'") for text in texts)
    assert not [text for text in texts if text[:1] in ("=", "+", "-", "@", "\t", "\r")]
    with ZipFile(BytesIO(data)) as archive:
        joined = b"".join(archive.read(name) for name in archive.namelist() if name.startswith("xl/"))
        assert b"<hyperlink" not in joined
        assert b"externalLink" not in b"".join(name.encode() for name in archive.namelist())


def test_no_formula_has_a_name_in_it() -> None:
    """Products called `a*`, `A*` and `>0` would be patterns and conditions: rows are added up by number."""
    for formulas in workbook(xlsx(hostile())).formulas.values():
        for formula in formulas.values():
            assert re.fullmatch(
                r'[A-Z$:!()\d.,=<>+\-*/]*(?:Detail|Products|Teams|Daily|Bridge|[A-Z$:!()\d.,=<>+\-*/"])*', formula
            )


def test_no_cell_of_the_rows_begins_a_formula() -> None:
    for row in csv_rows(csv(hostile())):
        for column, cell in row.items():
            if column not in ("amount", "tokens"):
                assert neutral(cell) == cell or cell.startswith("'"), cell
    named = {restored(row["product"]) for row in csv_rows(csv(hostile())) if row["record"] == "detail"}
    assert named == set(HOSTILE)


def test_markdown_of_hostile_names_has_no_link_no_tag_and_no_new_column() -> None:
    text = markdown(hostile()).decode()
    assert not re.search(r"(?<!\\)<", text)
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "http:/" not in text.replace("http:\u2060", "")
    tables = [block for block in text.split("\n\n") if block.startswith("| ")]
    for block in tables:
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block


def test_the_pdf_draws_markup_as_text_and_keeps_to_its_pages() -> None:
    data = pdf(hostile())
    assert "<b>bold</b>" in pdf_text(data)
    assert 2 <= pages_of(data) <= 4
    assert b"/URI" not in data
    assert b"/JavaScript" not in data


def test_letters_without_a_glyph_are_marked_and_explained() -> None:
    text = pdf_text(pdf(hostile()))
    assert "Łódź Ωμέγα Привет" in text
    assert "Letters that cannot be drawn here" in text
    assert "Letters that cannot be drawn here" not in pdf_text(pdf(full()))


@pytest.mark.parametrize("kind", STATEMENT_WRITERS)
def test_file_names_of_statements_stay_in_their_folder(kind: str) -> None:
    review = hostile()
    names = [statement(review, team, kind)[0] for team in review.teams]
    assert len(set(names)) == len(review.teams)
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z]+", name) for name in names)


# What is missing is said.


def test_a_first_week_has_no_change_and_says_so() -> None:
    for text in (pdf_text(pdf(first_week())), markdown(first_week()).decode()):
        assert "There is no period before this one" in " ".join(text.split())
        assert "There is no forecast for this" in text
    book = workbook(xlsx(first_week()))
    assert "Bridge" not in {value for (_, column), value in book.values["Summary"].items() if column == 1}


def test_an_open_period_says_so_in_every_file() -> None:
    review = open_month()
    assert "still open" in " ".join(pdf_text(pdf(review)).split())
    assert "still open" in markdown(review).decode()
    assert {row["is_open"] for row in csv_rows(csv(review))} == {"yes"}
    assert any("still open" in str(value) for value in workbook(xlsx(review)).values["Summary"].values())


def test_a_missing_budget_is_not_zero() -> None:
    text = markdown(full()).decode()
    assert "| Batch evals | no budget |" in text
    assert "1 of 5 have no budget" in text


def test_a_missing_invoice_is_no_difference() -> None:
    text = markdown(full()).decode().split("## Match to invoices")[1]
    assert "| OpenAI | $2,140.07 | none yet | – |" in text
    book = workbook(xlsx(full()))
    row = book.find("Reconciliation", "OpenAI")
    assert book.calculated("Reconciliation", row, 4) == ""
    assert cents(book.calculated("Reconciliation", book.find("Reconciliation", "Total"), 4)) == Decimal("12.52")


def test_waste_that_was_not_counted_is_not_zero() -> None:
    assert "| Aborted requests | – | – | not known: this vLLM does not count them |" in markdown(full()).decode()


def test_waste_and_bills_of_many_digits_are_shown_in_cents_that_add_up() -> None:
    third = Decimal(1) / 3
    review = replace(
        full(),
        waste=tuple(WasteLine(kind=kind, amount=third) for kind in "abc"),
        statements=tuple(StatementLine(provider=name, billed=third, invoice=third) for name in "xyz"),
    )
    text = markdown(review).decode()
    for title in ("Waste, priced", "Match to invoices"):
        lines = text.split(f"## {title}")[1].split("\n\n")[1].splitlines()[2:]
        amounts = [Decimal(line.split("|")[2].strip(" $")) for line in lines]
        assert exact_sum(amounts[:-1]) == amounts[-1] == Decimal("1.00"), title
    book = workbook(xlsx(review))
    assert cents(book.calculated("Reconciliation", book.find("Reconciliation", "Total"), 2)) == Decimal("1.00")


def test_a_negative_total_keeps_its_sign() -> None:
    assert "-$80,835.32" in pdf_text(pdf(negative()))
    assert "The total is negative" in markdown(negative()).decode()


@every_case
def test_the_pdf_keeps_to_four_pages(name: str) -> None:
    assert 1 <= pages_of(pdf_of(name)) <= 4


# Statements.


@pytest.mark.parametrize("name", ["full", "many products", "hostile", "negative"])
def test_the_statements_of_all_teams_make_the_total(name: str) -> None:
    review = case(name)
    totals = []
    for team in review.teams:
        book = workbook(statement_xlsx(review, team))
        totals.append(cents(book.calculated("Statement", book.find("Statement", "Total"), 5)))
        assert totals[-1] == exact_sum(row.amount for row in review.of_team(team))
    assert exact_sum(totals) == review.total


def test_a_statement_is_the_same_as_pdf_workbook_and_text() -> None:
    review = full()
    for team in review.teams:
        total = Numbers(currency="USD").money(exact_sum(row.amount for row in review.of_team(team)))
        assert f"{total} is charged to {team_name(team)}." in pdf_text(statement_pdf(review, team))
        assert f"| {total} |" in statement(review, team, "md")[1].decode()


def test_a_team_without_a_part_has_no_statement() -> None:
    with pytest.raises(UnknownKey, match="unknown team 'Nobody'"):
        statement(full(), "Nobody")


# Settings.


def test_separators_follow_the_locale() -> None:
    german = Style(locale=locale_of("de"))
    assert "80.835,32\u00a0$" in markdown(full(), german).decode()
    assert "80.835,32" in pdf_text(pdf(full(), german))
    rows = csv(full(), german).decode("utf-8-sig").splitlines()
    assert rows[0].startswith("record;")
    assert csv_total(csv(full(), german)) == full().total


@pytest.mark.parametrize("name", LOCALES)
def test_every_locale_has_the_same_digits(name: str) -> None:
    text = Numbers(currency="EUR", style=Style(locale=LOCALES[name])).money(Decimal("-1234567.89"))
    assert re.sub(r"\D", "", text) == "123456789"
    assert text.startswith("-")
    assert "€" in text


def test_a_rate_is_for_display_and_changes_no_sum() -> None:
    rate = Rate(base="USD", quote="EUR", on=date(2026, 11, 13), rate=Decimal("0.92"), source="ECB")
    style = Style(rate=rate)
    assert csv(full(), style) == csv(full())
    for text in (pdf_text(pdf(full(), style)), markdown(full(), style).decode()):
        assert "≈ €74,368.49" in text
        assert "$80,835.32" in text
        assert "1 USD = 0.92 EUR" in text.replace("\n", " ")
    book = workbook(xlsx(full(), style))
    row = book.find("Summary", "In EUR, for display")
    assert cents(book.calculated("Summary", row, 2)) == Decimal("74368.49")
    assert cents(book.calculated("Summary", book.find("Summary", "Sum of the detail rows"), 2)) == full().total


def test_a_rate_of_another_currency_is_refused_aloud() -> None:
    rate = Rate(base="GBP", quote="EUR", on=date(2026, 11, 13), rate=Decimal("1.15"), source="ECB")
    text = markdown(full(), Style(rate=rate)).decode()
    assert "No rate for display from USD" in text
    assert "≈" not in text


def test_proposals_link_into_the_dashboard_only_where_its_address_is_known() -> None:
    assert "](<" not in markdown(full()).decode()
    linked = markdown(full(), Style(dashboard_url="https://costs.internal")).decode()
    assert "](<https://costs.internal/what-if?scale.night=1>)" in linked
    assert "javascript" not in markdown(hostile(), Style(dashboard_url="https://costs.internal")).decode()


def test_the_files_are_named_by_their_period() -> None:
    assert set(files(full())) == {f"{stem(full().period)}.{kind}" for kind in WRITERS}


# LibreOffice, where it is.


def test_libreoffice_calculates_the_same_totals(tmp_path: Path) -> None:
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("no LibreOffice here to calculate the workbook anew")
    for name, case in CASES.items():
        review = case()
        (tmp_path / "pack.xlsx").write_bytes(without_stored_results(xlsx(review)))
        subprocess.run(
            [
                *(office, f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}", "--headless"),
                *("--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", str(tmp_path / "out")),
                str(tmp_path / "pack.xlsx"),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )
        book = workbook((tmp_path / "out" / "pack.xlsx").read_bytes())
        row = book.find("Summary", "Sum of the detail rows")
        assert cents(book.values["Summary"][row, 2]) == review.total, name
        assert cents(book.values["Products"][book.find("Products", "Total"), 3]) == review.total, name
        assert not [
            value for cells in book.values.values() for value in cells.values() if str(value).startswith("#")
        ], name


# Savings: what changes promised, and what was measured.


def test_savings_are_the_same_in_every_file_and_never_added_to_the_total() -> None:
    review = case("with savings")
    assert review.savings is not None
    numbers = Numbers(currency="USD")
    table = entry_table(review.savings, 100, numbers)
    book, rows = book_of("with savings"), csv_rows(csv(review))
    printed, text = pdf_text(pdf_of("with savings")), markdown(review).decode()
    for title, owner, state, promised, measured, between, verdict, promised_a_month, cash in table.rows:
        row = book.find("Savings", str(title))
        values = [book.values["Savings"].get((row, column)) for column in range(2, 10)]
        assert values[:2] == [owner, state]
        line = next(one for one in rows if one["record"] == "saving" and one["product"] == title)
        assert (line["team"], line["amount"]) == (owner, "")
        assert f"verdict {verdict}" in line["note"]
        assert str(title) in text
        for cell, column, kind in ((promised, 2, Kind.SHARE), (measured, 3, Kind.SHARE), (cash, 7, Kind.MONEY)):
            if isinstance(cell, Undefined):
                assert values[column] == "–"
                continue
            assert values[column] == pytest.approx(float(cell), abs=1e-12)
            assert shown(cell, kind, numbers) in line["note"]
            assert shown(cell, kind, numbers) in text
        if isinstance(promised_a_month, Decimal):
            assert numbers.money(promised_a_month) in line["note"]
        assert between == "–" or str(between) in line["note"]
    first = table.rows[0]
    assert numbers.money(first[8]) in printed  # type: ignore[arg-type]
    assert "Probable" in printed
    assert csv_total(csv(review)) == review.total, "savings are no part of what was spent"


def test_the_months_of_savings_keep_claimed_verified_and_probable_apart() -> None:
    review = case("with savings")
    assert review.savings is not None
    (october,) = [one for one in review.savings.months if one.month == "2026-10"]
    book = book_of("with savings")
    row = book.find("Savings", "October 2026")
    found = [book.values["Savings"][row, column] for column in (2, 3, 4, 5)]
    assert found == [float(october.claimed), float(october.verified), float(october.probable), "final"]
    for text in (pdf_text(pdf_of("with savings")), markdown(review).decode()):
        for amount in ("$21,840.00", "$12,437.61", "$3,020.00"):
            assert amount in text
    assert not [one for one in book.formulas["Savings"].values() if "SUM" in one]


def test_every_file_notes_where_the_ledger_stood_so_that_a_later_one_can_be_compared() -> None:
    review = case("with savings")
    assert review.savings is not None
    for text in (
        pdf_text(pdf_of("with savings")).replace("\n", " "),
        markdown(review).decode(),
        " ".join(row["note"] for row in csv_rows(csv(review))),
        " ".join(str(value) for value in book_of("with savings").values["Savings"].values()),
    ):
        assert "has 31 lines and none was changed" in text
        assert review.savings.head in text.replace(" ", "") or review.savings.head in text


def test_a_broken_ledger_says_so_in_every_file() -> None:
    review = case("broken savings")
    for text in (
        " ".join(pdf_text(pdf_of("broken savings")).split()),
        markdown(review).decode(),
        " ".join(row["note"] for row in csv_rows(csv(review))),
    ):
        assert "is broken" in text


@pytest.mark.parametrize("savings", [None, savings_builders.empty()])
def test_a_review_without_changes_prints_as_if_there_was_no_ledger(savings: Savings | None) -> None:
    assert files(replace(full(), savings=savings)) == files(full())
    assert "Savings" not in book_of("full").values
    assert "saving" not in csv(full()).decode().lower()


def test_savings_in_another_currency_are_refused() -> None:
    with pytest.raises(DomainError, match="EUR, not USD"):
        replace(full(), savings=replace(savings_builders.full(), currency="EUR"))
