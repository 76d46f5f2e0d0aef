"""The Overview page: what was spent, to the cent, where it lands, what changed, and what is not known."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from collectors.importer import import_files
from store.home import Home
from store.ledger import write
from store.read import open_snapshot
from store.records import LedgerEntry, LedgerKind
from tests.pages.conftest import Homes, Open
from tests.pages.homes import NOW, Place, charge
from tests.pages.reading import card, chart, page_text, table, usd
from tests.store.builders import ALWAYS, bill
from ui.text import UNKNOWN, cents

MIDNIGHT = NOW.replace(hour=0, minute=0)
MONTH = MIDNIGHT.replace(day=1)
BILLED = {"basis": "Billed (invoice)"}
CARDS = ["Spend", "Forecast, end of Nov", "Cost per 1M tokens", "Idle GPU cost", "No product", "Matches invoice"]
BUDGETS = """
[[budget]]
amount = "10.00"
currency = "USD"
from = "2026-11"
[[budget]]
product = "Search answers"
amount = "3000000"
currency = "USD"
from = "2026-01"
"""


def spent(home: Home, start: datetime, basis: str = "effective", end: datetime = MIDNIGHT) -> Decimal:
    with open_snapshot(home) as snapshot:
        return round(snapshot.spend_total(start, end, basis)["USD"], 2)


def delta(at, label: str) -> str:
    return next(metric.delta for metric in at.metric if metric.label == label)


@pytest.fixture
def changed(all_homes: Homes, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Place:
    """A home of its own like the sample's, to write files into; opened as "changed"."""
    place = all_homes.copy("sample", tmp_path / "changed")
    monkeypatch.setitem(all_homes._made, "changed", place)
    return place


@pytest.mark.parametrize("query", [{}, BILLED], ids=["effective", "billed"])
def test_cards_table_chart_and_small_print_have_the_bill_to_the_cent(
    see_page: Open, all_homes: Homes, query: dict
) -> None:
    at = see_page("overview", "sample", query)
    total = spent(all_homes["sample"].home, MONTH, "billed" if query == BILLED else "effective")
    assert [metric.label for metric in at.metric] == CARDS
    assert usd(card(at, "Spend")) == pytest.approx(float(total), abs=1)
    assert f"The rows add up to the spend: {cents(total)}" in page_text(at)
    assert round(sum(table(at, "Product")["Spend"]), 2) == float(total)
    bars = [bar for bar in chart(at, "daily-spend-bars")["data"] if bar["type"] == "bar"]
    assert round(sum(sum(filter(None, bar["y"])) for bar in bars), 2) == float(total)
    assert {len(bar["x"]) for bar in bars} == {(MIDNIGHT - MONTH).days}


def test_changes_have_their_reasons_and_the_largest_is_first(see_page: Open) -> None:
    rows = table(see_page("overview", "sample"), "Product")
    reasons = rows["From volume"] + rows["From unit cost"] + rows["From mix"]
    assert reasons.to_numpy() == pytest.approx(rows["Change"].to_numpy(), abs=0.001)
    assert list(rows["Change"].abs()) == sorted(rows["Change"].abs(), reverse=True)
    assert set(rows["Product"]) == {"Support copilot", "Document extraction", "Search answers", "No product"}


def test_an_open_month_is_compared_with_the_same_days_of_the_month_before(see_page: Open, all_homes: Homes) -> None:
    at = see_page("overview", "sample")
    october = MONTH.replace(month=10)
    before = spent(all_homes["sample"].home, october, end=october + (MIDNIGHT - MONTH))
    ratio = float(spent(all_homes["sample"].home, MONTH) / before) - 1
    assert delta(at, "Spend") == f"{ratio:+.1%}"


def test_without_whole_days_before_nothing_is_compared_and_it_says_so(see_page: Open) -> None:
    at = see_page("overview", "real", {"period": "30 days"})
    assert not delta(at, "Spend")
    assert "no whole days before" in page_text(at)
    assert "Change" not in table(at, "Product")


def test_days_that_were_not_charged_are_left_out_of_the_chart_and_counted(see_page: Open) -> None:
    at = see_page("overview", "real", {"period": "30 days"})
    assert "Nothing was charged on 9 of 30 days: 22 Oct" in page_text(at)
    (bar,) = chart(at, "daily-spend-bars")["data"]
    assert bar["y"][:9] == [None] * 9


def test_days_of_ones_own_choice_are_kept_in_the_address(open_page: Open, all_homes: Homes) -> None:
    at = open_page("overview", "sample", {"period": "Custom"})
    at.date_input(key="days").set_value((date(2026, 11, 2), date(2026, 11, 8))).run()
    total = spent(all_homes["sample"].home, MONTH.replace(day=2), end=MONTH.replace(day=9))
    assert f"2–8 Nov 2026, by the UTC day that a charge is for: {cents(total)}" in page_text(at)
    assert delta(at, "Spend") is not None


@pytest.mark.parametrize("query", [{"period": "13"}, {"basis": "imaginary"}, {"product": "no such"}], ids=str)
def test_nonsense_in_the_address_leaves_the_defaults(open_page: Open, query: dict) -> None:
    at = open_page("overview", "sample", query)
    assert not at.exception
    assert (at.segmented_control(key="period").value, at.segmented_control(key="basis").value) == ("month", "effective")
    assert "Daily" in table(at, "Product")


# Where it lands -------------------------------------------------------------------------------------------------------


def test_without_a_budget_it_says_where_the_month_lands_and_how_to_set_one(see_page: Open) -> None:
    at = see_page("overview", "no budgets")
    assert "November lands at $" in page_text(at)
    assert "Write budgets.toml" in page_text(at)
    assert " to $" in delta(at, "Forecast, end of Nov")
    assert "Of budget" not in table(at, "Product")
    assert not chart(at, "landing")["layout"].get("shapes")


def test_the_sample_has_its_budgets_and_an_invoice_that_ties(see_page: Open) -> None:
    at = see_page("overview", "sample")
    said = page_text(at)
    assert "Budget $75,000" in said
    assert delta(at, "Forecast, end of Nov")[0] in "+-"
    of_budget = table(at, "Product").set_index("Product")["Of budget"]
    assert of_budget[["Support copilot", "Document extraction"]].between(1, 200).all()
    assert card(at, "Matches invoice") == "100.0%"
    assert "Billed charges of October 2026 tie to the invoice to the cent" in said


def test_with_a_budget_it_says_by_how_much_the_month_is_over_it(open_page: Open, changed: Place) -> None:
    (changed.home.path / "budgets.toml").write_text(BUDGETS, encoding="utf-8")
    at = open_page("overview", "changed")
    said = page_text(at)
    assert "over budget" in said and "More than 99% likely to end over it" in said
    assert delta(at, "Forecast, end of Nov").startswith("+$")
    (line,) = chart(at, "landing")["layout"]["shapes"]
    assert (line["y0"], line["line"]["dash"]) == (10.0, "dash")
    of_budget = table(at, "Product").set_index("Product")["Of budget"]
    assert 0 < of_budget["Search answers"] < 100
    assert of_budget.drop("Search answers").isna().all()


@pytest.mark.parametrize("name", ["budgets.toml", "scenario.toml"])
def test_a_broken_file_takes_away_no_more_than_what_needs_it(
    open_page: Open, all_homes: Homes, tmp_path: Path, name: str
) -> None:
    at = open_page(
        "overview", all_homes.changed("sample", tmp_path / name, name, '[[budget]]\nfrom = "2026-11"\namount = 5.5\n')
    )
    assert not at.exception and not at.error
    (warning,) = [one.value.replace("\\", "") for one in at.warning]
    assert f"{name} is not used: " in warning
    assert usd(card(at, "Spend")) == pytest.approx(float(spent(all_homes["sample"].home, MONTH)), abs=1)
    if name == "budgets.toml":
        assert "[[budget]] 1" in warning and "digits in quotes" in warning, "the place and what to do"
        assert "No budget is set" not in page_text(at)
    else:
        assert "support-copilot" in set(table(at, "Product")["Product"]), "by its key: names are in that file"


def test_the_newest_closed_month_is_set_against_its_invoice(open_page: Open, changed: Place) -> None:
    total = spent(changed.home, MONTH.replace(month=10), "billed", end=MONTH) - 100
    write(changed.home, [LedgerEntry(kind=LedgerKind.INVOICE, month="2026-10", currency="USD", amount=total)])
    at = open_page("overview", "changed")
    assert card(at, "Matches invoice").startswith("99.")
    assert "Billed charges of October 2026 tie to the invoice within 0." in page_text(at)


def test_a_month_without_an_invoice_says_where_to_enter_it(open_page: Open, all_homes: Homes, tmp_path: Path) -> None:
    october, november = NOW - timedelta(days=30), NOW - timedelta(days=2)
    home = Home(tmp_path / "home")
    rows = [charge(day, "chat", "1.00") for day in (october, november)]
    import_files([bill(tmp_path / "bill.csv", *rows)], home, clock=lambda: NOW)
    all_homes._made["no invoice"] = Place(home)
    at = open_page("overview", "no invoice")
    assert (card(at, "Matches invoice"), delta(at, "Matches invoice")) == (UNKNOWN, "no invoice")
    assert "Reconciliation is where to enter it" in page_text(at)


# Down to the machines -------------------------------------------------------------------------------------------------


def test_an_address_leads_down_to_the_machines_of_a_product(open_page: Open) -> None:
    rows = table(open_page("overview", "sample"), "Product").set_index("Product")["Spend"]
    at = open_page("overview", "sample", {"product": "Search answers"})
    for level in ("model", "pool"):
        found = at.dataframe[0].value
        assert round(found["Spend"].sum(), 2) == rows["Search answers"]
        assert len(found) == 1 or level == "pool"
        at.query_params[level] = found.iloc[0, 0]
        at.run()
    machines = table(at, "Replica")
    assert all(name.startswith("search-answers-") for name in machines["Replica"])
    assert round(machines["Spend"].sum(), 2) == pytest.approx(found["Spend"].iloc[0], abs=0.001)
    assert [button.label for button in at.button][:3] == ["All products", "Search answers", "llama\\-3\\.1\\-8b"]


def test_breadcrumbs_lead_back_up_and_out(open_page: Open) -> None:
    at = open_page("overview", "sample", {"product": "Search answers", "model": "llama-3.1-8b"})
    assert "Pool" in at.dataframe[0].value
    at.button(key="crumb-1").click().run()
    assert list(at.dataframe[0].value.iloc[:, 0]) == ["llama-3.1-8b"]
    at.button(key="crumb-0").click().run()
    assert "Daily" in table(at, "Product")
    assert "product" not in at.query_params


def test_what_has_no_product_leads_to_what_it_is_for(see_page: Open) -> None:
    at = see_page("overview", "sample", {"product": "-"})
    assert {"Tax", "Support and licences"} <= set(at.dataframe[0].value["Model or purpose"])


# What is not known ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["Cost per 1M tokens", "Idle GPU cost"])
def test_what_was_not_measured_is_unknown_and_never_zero(see_page: Open, label: str) -> None:
    assert card(see_page("overview", "own scenario"), label) == UNKNOWN


def test_charges_that_belong_to_nobody_are_a_row_and_it_says_how_to_match_them(see_page: Open) -> None:
    at = see_page("overview", "real", {"period": "30 days"})
    assert table(at, "Product")["Product"].tolist() == ["No product"]
    assert card(at, "No product") == "100.0%"
    assert "owners.toml can say the rest" in page_text(at)


def test_products_whose_names_try_to_be_markup_make_the_bill(see_page: Open, all_homes: Homes) -> None:
    rows = table(see_page("overview", "hostile"), "Product")["Spend"]
    with open_snapshot(all_homes["hostile"].home) as snapshot:
        assert round(rows.sum(), 2) == round(float(snapshot.spend_total(*ALWAYS)["USD"]), 2)


def test_a_broken_owners_file_leaves_the_spend_and_names_the_place(open_page: Open, changed: Place) -> None:
    changed.home.owners.write_text("[[rule]]\ndeploymnet = 'x'\n", encoding="utf-8")
    at = open_page("overview", "changed")
    assert usd(card(at, "Spend")) == pytest.approx(float(spent(changed.home, MONTH)), abs=1)
    assert "owners.toml" in " ".join(error.value.replace("\\", "") for error in at.error)
    assert card(at, "Idle GPU cost") == UNKNOWN
