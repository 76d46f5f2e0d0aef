"""The weekly review is one record: page, PDF, workbook and rows have the same totals to the cent, and the same bytes
come of the same snapshot; and so they stay when what they are made of is missing, late, large or hostile."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.review import Review
from costlib.text_safety import neutral
from pack.csv import csv
from pack.files import files
from pack.markdown import markdown
from pack.pdf import pdf
from pack.style import LOCALES, Numbers, Style
from pack.xlsx import xlsx
from store.home import Home
from store.read import snapshot_of
from store.reviews import newest_week, review, weeks
from tests.pack.reading import csv_total, pages_of, pdf_text, workbook
from tests.pages.conftest import Homes, Open
from tests.pages.homes import HOSTILE, NOW, Place, charge
from tests.pages.reading import card, page_text, table
from tests.store.builders import bill

CENT = Decimal("0.01")
MONDAY = datetime(2026, 11, 9, tzinfo=NOW.tzinfo)
Read = Callable[..., tuple[AppTest, Review]]


@dataclass
class Week:
    """Bills of a home, each imported after the one before."""

    homes: Homes
    path: Path

    def home(self, name: str, *bills: list[dict[str, str]], budgets: str = "", owned: tuple[str, ...] = ()) -> str:
        folder = self.path / name.replace(" ", "-")
        folder.mkdir()
        home = Home(folder / "home")
        for n, rows in enumerate(bills):
            import_files([bill(folder / f"bill-{n}.csv", *rows)], home, clock=lambda: NOW)
        rules = [
            f"[[rule]]\ndeployment = {json.dumps(one)}\ntag = {{ deployment = {json.dumps(one)} }}" for one in owned
        ]
        home.owners.write_text("\n".join(rules), encoding="utf-8")
        if budgets:
            (home.path / "budgets.toml").write_text(budgets, encoding="utf-8")
        self.homes._made[name] = Place(home)
        return name


@pytest.fixture
def week(all_homes: Homes, tmp_path: Path) -> Week:
    return Week(all_homes, tmp_path)


def days(count: int, *deployments: str, cost: str = "10.01", since: datetime = MONDAY) -> list[dict[str, str]]:
    return [charge(since + timedelta(days=n), key, cost) for n in range(count) for key in deployments or ("chat",)]


@pytest.fixture
def read(open_page: Open, all_homes: Homes) -> Read:
    """The page over a home and the review that it shows, whose totals are the same everywhere."""

    def opened(
        name: str, start: date | None = None, query: dict[str, str] | None = None, style: Style | None = None
    ) -> tuple[AppTest, Review]:
        place = all_homes[name]
        with snapshot_of(place.home) as snapshot:
            known = {period.start: period for period in weeks(snapshot)}
            period = known[start] if start else newest_week(snapshot)
            made = review(snapshot, place.home, period, CostBasis.EFFECTIVE, place.now)
        at = open_page("weekly_review", name, query)
        assert not at.exception
        same_everywhere(at, made, style or Style())
        return at, made

    return opened


def cents(value: object) -> Decimal:
    return Decimal(repr(value)).quantize(CENT)


def same_everywhere(at: AppTest, made: Review, style: Style | None = None) -> None:
    total = Numbers(currency=made.currency, style=style or Style()).money(made.total)
    assert card(at, "Spend") == total
    assert cents(float(table(at, "From volume")["Spend"].sum())) == made.total
    assert total.replace("\u00a0", " ") in pdf_text(pdf(made, style)).replace("\u00a0", " ")
    assert total in markdown(made, style).decode()
    assert csv_total(csv(made, style)) == made.total
    book = workbook(xlsx(made, style))
    assert cents(book.calculated("Summary", book.find("Summary", "Sum of the detail rows"), 2)) == made.total
    assert cents(book.calculated("Products", book.find("Products", "Total"), 3)) == made.total


def said(made: Review) -> str:
    """What the files say, in one line."""
    return " ".join(f"{pdf_text(pdf(made))} {markdown(made).decode()}".split())


# The sample.


def test_the_samples_review_has_the_same_totals_on_the_page_and_in_every_file(read: Read) -> None:
    at, made = read("sample")
    assert made.bridge is not None
    text, said_on_page = said(made), page_text(at)
    numbers = Numbers(currency="USD")
    for amount in (made.bridge.before, made.bridge.after):
        assert numbers.money(amount) in text
    shown = {row["Product"]: row for row in table(at, "From volume").to_dict("records")}
    for mover in made.movers:
        row = shown[mover.product or "No product"]
        assert (cents(row["Spend"]), cents(row["Change"])) == (mover.cost, mover.change)
        assert numbers.money(mover.cost) in text
    for term in made.bridge.terms:
        if term.amount:
            assert term.sentence in said_on_page
            assert numbers.change(term.amount) in text
    waste = exact_sum(line.amount for line in made.waste if isinstance(line.amount, Decimal))
    assert f"{numbers.money(waste)} bought nothing" in said_on_page
    assert numbers.money(waste) in text
    (line,) = made.statements
    assert cents(float(table(at, "Ties")["Billed"].iloc[0])) == line.billed.quantize(CENT)
    assert numbers.money(line.billed.quantize(CENT)) in text
    every_indicator_is_on_a_sheet_with_its_reason(made)


def test_the_same_snapshot_read_anew_makes_the_same_bytes(all_homes: Homes) -> None:
    home = all_homes["sample"].home
    made = []
    for later in (timedelta(), timedelta(days=3)):
        with snapshot_of(home) as snapshot:
            made.append(files(review(snapshot, home, newest_week(snapshot), CostBasis.EFFECTIVE, NOW + later)))
    assert made[0] == made[1]


def test_separators_and_currency_are_kept_in_the_address_and_are_those_of_the_files(week: Week, read: Read) -> None:
    euros = [{**row, "BillingCurrency": "EUR", "BillingAccountId": "200"} for row in days(7, cost="1000.50")]
    name = week.home("currencies", days(7), euros)
    at, made = read(name, None, {"locale": "German"}, Style(locale=LOCALES["de"]))
    assert (made.currency, card(at, "Spend")) == ("EUR", "7.003,50\u00a0€")
    at.selectbox(key="currency").set_value("USD").run()
    assert card(at, "Spend") == "70,07\u00a0$"


def test_what_nobody_chose_comes_from_the_environment(
    week: Week, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERMILLION_LOCALE", "fr")
    assert card(open_page("weekly_review", week.home("french", days(7))), "Spend") == "70,07\u00a0$"


def every_indicator_is_on_a_sheet_with_its_reason(made: Review) -> None:
    assert {one.number_count for one in made.indicators} == set(range(1, 29))
    book = workbook(xlsx(made))
    for one in made.indicators:
        row = book.find("Indicators", one.label)
        assert book.values["Indicators"][row, 8] == one.name
        if hasattr(one.value, "reason"):
            assert book.values["Indicators"][row, 7] == one.value.reason
        else:
            assert book.values["Indicators"][row, 3] == pytest.approx(float(one.value), abs=0.005, rel=1e-9)


# What is missing, late, large or hostile.


def test_a_first_week_has_nothing_before_it(week: Week, read: Read) -> None:
    at, made = read(week.home("first week", days(7)))
    assert made.total == Decimal("70.07")
    assert "No period before" in page_text(at)
    assert "There is no period before this one" in page_text(at)
    assert "There is no period before this one" in said(made)
    assert all(one.before is None for one in made.indicators)


def test_days_without_data_are_counted_and_not_made_up(week: Week, read: Read) -> None:
    rows = days(7, since=MONDAY - timedelta(days=7)) + days(2) + days(2, since=MONDAY + timedelta(days=5))
    at, made = read(week.home("gap", rows))
    assert made.total == Decimal("40.04")
    for text in (page_text(at), said(made)):
        assert "3 of 7 days have no data" in text


def test_a_restated_month_counts_once_as_it_was_restated(week: Week, read: Read) -> None:
    before = days(7, since=MONDAY - timedelta(days=7))
    at, made = read(week.home("restated", before + days(7), before + days(7, cost="11.01")))
    assert made.total == Decimal("77.07")
    assert made.bridge is not None
    assert made.bridge.before == Decimal("70.07")
    assert "+$7.00" in page_text(at) or "$7.00" in page_text(at)
    assert "+$7.00" in said(made)


def test_an_open_month_and_week_say_that_they_will_grow(week: Week, read: Read) -> None:
    name = week.home("open", days(10))
    at, made = read(name, date(2026, 11, 16), {"week": "16–22 Nov 2026, open"})
    assert made.period.is_open
    for text in (page_text(at), said(made)):
        assert "still open" in text
        assert "4 of 7 days have no data" in text
    assert made.statements == (), "October was never billed, and November is not over"


def test_one_product_is_all_of_it(week: Week, read: Read) -> None:
    at, made = read(week.home("one product", days(14, since=MONDAY - timedelta(days=7)), owned=("chat",)))
    assert [mover.product for mover in made.movers] == ["chat"]
    assert "chat is 100% of spend" in page_text(at)
    assert "chat is 100% of spend" in said(made)


def test_five_hundred_products_are_all_on_the_page_and_summed_up_in_the_pdf(week: Week, read: Read) -> None:
    names = tuple(f"product-{n:03}" for n in range(500))
    at, made = read(week.home("many", days(1, *names) + days(1, since=MONDAY + timedelta(days=6)), owned=names))
    assert len(made.movers) == len(table(at, "From volume")) == 500 + 1, "and what is not theirs"
    assert "489 others" in said(made)
    assert pages_of(pdf(made)) <= 4


def test_hostile_names_stay_text_on_the_page_and_in_the_files(week: Week, read: Read) -> None:
    names = (*HOSTILE, '=HYPERLINK("http://evil.example")', "+1", "@x")
    at, made = read(week.home("hostile names", days(7, *names), owned=names))
    assert len(made.movers) > len(names) - 3, "but for names of control characters, which owners.toml cannot spell"
    texts = [text for cells in workbook(xlsx(made)).values.values() for text in cells.values() if isinstance(text, str)]
    assert all(neutral(text) == text or text.startswith("'") for text in texts)
    assert b"/URI" not in pdf(made)
    for written in (element.value for kind in (at.markdown, at.warning, at.info) for element in kind):
        assert "<img" not in written.replace("\\<", "")
        assert "](https://evil" not in written


@pytest.mark.parametrize("amount", ['"-5.00"', "5.5"])
def test_a_budget_that_is_none_is_refused_with_its_place_and_all_else_is_there(
    week: Week, read: Read, amount: str
) -> None:
    budgets = f'[[budget]]\namount = {amount}\ncurrency = "USD"\nfrom = "2026-01"\n'
    at, made = read(week.home(f"budget {amount}", days(14, since=MONDAY - timedelta(days=7)), budgets=budgets))
    (problem,) = made.problems
    assert problem.startswith("budgets.toml is not used: budgets.toml [[budget]] 1")
    for text in (page_text(at), said(made)):
        assert " ".join(problem.split()) in " ".join(text.split())
    assert card(at, "Forecast against budget") == "–"
    assert "no budget" not in page_text(at)
    (variance,) = [one for one in made.indicators if one.name == "budget_variance"]
    assert variance.value.reason == problem


def test_without_a_budget_nothing_is_said_of_breaking_one(week: Week, read: Read) -> None:
    at, made = read(week.home("no budget", days(7)))
    assert card(at, "Forecast against budget") == "–"
    assert made.outlook is None or all(line.breach_probability is None for line in made.outlook.lines)
    (variance,) = [one for one in made.indicators if one.name == "budget_variance"]
    assert variance.value.reason == "no budget is set"
