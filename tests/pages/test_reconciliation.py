"""The Reconciliation page: every dollar on one line, to the cent, and what people write about the month."""

import re
from decimal import Decimal

import pytest

from costlib.billing import exact_sum
from store.read import open_snapshot
from tests.pages.conftest import Homes, Open
from tests.pages.reading import card, chart, page_text, table
from ui import data

BRIDGE = "From the charges to the invoice"


def exact(figure: str) -> Decimal:
    return Decimal(re.sub(r"[$,]", "", figure))


@pytest.mark.parametrize("basis", ["effective", "billed"])
def test_the_lines_of_the_trial_balance_add_up_to_the_months_charges_to_the_cent(
    open_page: Open, all_homes: Homes, basis: str
) -> None:
    label = {"effective": "Effective (amortised)", "billed": "Billed (invoice)"}[basis]
    at = open_page("reconciliation", "sample", {"month": "2026-10", "basis": label})
    table = at.dataframe[0].value
    amounts = [exact(amount) for amount in table["USD"]]
    assert exact_sum(amounts[:-1]) == amounts[-1]
    with open_snapshot(all_homes["sample"].home) as snapshot:
        charged = exact_sum(group.cost(basis) for group in snapshot.charge_groups("2026-10"))
    assert amounts[-1] == round(charged, 2)
    assert card(at, "Residual") == "$0.00"


def test_the_sample_month_has_idle_cost_and_a_part_of_its_own_for_what_nobody_owns(open_page: Open) -> None:
    table = open_page("reconciliation", "sample", {"month": "2026-10"}).dataframe[0].value.set_index("Line")["USD"]
    assert exact(table["Warm idle"]) > 0
    assert exact(table["Unallocated GPU"]) > 0
    assert exact(table["Credits"]) < 0


def test_the_cascade_ends_at_zero(open_page: Open) -> None:
    bars = chart(open_page("reconciliation", "sample", {"month": "2026-10"}), "balance-cascade")["data"][0]
    assert bars["base"][-1] == pytest.approx(0, abs=0.01)


def test_the_newest_month_that_is_over_is_shown_first(open_page: Open) -> None:
    at = open_page("reconciliation", "sample")
    assert at.selectbox(key="month").value == "2026-10"
    assert at.selectbox(key="month").options == ["2026-11", "2026-10", "2026-09", "2026-08", "2026-07"]


def test_resources_without_an_owner_are_listed_with_a_rule_that_would_match_them(open_page: Open) -> None:
    at = open_page("reconciliation", "sample", {"month": "2026-10"})
    assert "gpu-17" in list(table(at, "Resource")["Resource"])
    assert "[[rule]]" in at.code[0].value


# What people write ----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path, monkeypatch, open_page: Open, all_homes: Homes):
    """A sample of its own, because these tests write into it."""
    all_homes._made["written"] = all_homes.copy("sample", tmp_path / "home")
    yield lambda: open_page("reconciliation", "written", {"month": "2026-10", "basis": "Billed (invoice)"})
    del all_homes._made["written"]


def test_b35_an_invoice_total_is_kept_and_the_difference_is_shown_to_the_cent(written) -> None:
    at = written()
    billed = exact(card(at, "Our total"))
    total = exact(table(at, BRIDGE)["Amount"][0]) + Decimal("1.27")
    at.text_input(key="invoice-amount").set_value(str(total))
    at.text_input(key="invoice-owner").set_value("Ada")
    at.button(key="invoice-save").click().run()
    assert not at.error
    assert "Saved" in page_text(at)
    assert card(at, "Open difference") == "$1.27"
    assert exact(card(at, "Invoice total")) == pytest.approx(billed + 1, abs=1)
    bridge = table(written(), BRIDGE).set_index(BRIDGE)["Amount"]
    assert exact(bridge["Not explained"]) == Decimal("1.27")


def test_a_difference_is_explained_with_its_owner_and_leaves_the_rest_unexplained(written) -> None:
    at = written()
    total = exact(table(at, BRIDGE)["Amount"][0]) + 10
    at.text_input(key="invoice-amount").set_value(str(total))
    at.button(key="invoice-save").click().run()
    at.text_input(key="note-amount").set_value("7.50")
    at.text_input(key="note-text").set_value("credit booked in November")
    at.text_input(key="note-owner").set_value("Grace")
    at.button(key="note-save").click().run()
    bridge = table(at, BRIDGE).set_index(BRIDGE)
    assert bridge.loc["credit booked in November", "Owner"] == "Grace"
    assert exact(bridge.loc["Not explained", "Amount"]) == Decimal("2.50")


@pytest.mark.parametrize("amount", ["", "1,5", "1.234,56", "NaN", "1e999", "=1+1"])
def test_an_amount_that_is_no_number_is_refused_with_what_is_wrong_and_nothing_is_kept(written, amount: str) -> None:
    at = written()
    before = card(at, "Invoice total")
    at.text_input(key="invoice-amount").set_value(amount)
    at.button(key="invoice-save").click().run()
    assert at.error
    assert card(written(), "Invoice total") == before


def test_a_difference_without_a_reason_is_refused(written) -> None:
    at = written()
    at.text_input(key="note-amount").set_value("1.00")
    at.button(key="note-save").click().run()
    assert "needs a reason" in page_text(at)


def test_a_month_is_locked_and_unlocked(written) -> None:
    at = written()
    at.button(key="lock").click().run()
    assert card(at, "Month") == "Locked"
    at.button(key="lock").click().run()
    assert card(at, "Month") == "Final"


def test_a_rule_file_that_cannot_be_read_is_an_error_with_its_place(written) -> None:
    assert written().metric
    data.home().owners.write_text("[[rule]]\ndeploymnt = 'x'\n")
    said = page_text(written())
    assert "owners.toml" in said
    assert "deployment" in said


def test_people_and_licences_stand_beside_the_bill_and_never_in_it(open_page: Open) -> None:
    open_page("reconciliation", "sample", {"month": "2026-10"})
    data.home().owners.write_text(
        '[[monthly]]\nwhat = "on-call"\nkind = "people"\nusd = "5000.00"\nfrom = 2026-01-01\n', encoding="utf-8"
    )
    try:
        at = open_page("reconciliation", "sample", {"month": "2026-10"})
        bill, person, both = (exact(cost) for cost in table(at, "Beside the bill, from owners.toml")["Amount"])
        assert (person, both) == (5000, bill + 5000)
        assert exact(at.dataframe[0].value["USD"].iloc[-1]) == round(bill, 2)
    finally:
        data.home().owners.unlink()
