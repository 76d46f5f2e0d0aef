"""`reconcile`: what it answers of a bill, as a record and as text. The verb itself is tried in tests/cli."""

from decimal import Decimal
from pathlib import Path

import pytest

from collectors.importer import import_files
from collectors.reconciliation import Reconciliation, reconciled, reconciliation_text
from costlib.books import Bucket, CostBasis, IdlePolicy
from costlib.estimate import Undefined
from store.books import books
from store.home import Home
from store.ledger import write
from store.owners_file import load_rates
from store.read import open_snapshot
from store.records import LedgerEntry, LedgerKind
from tests.store.builders import bill

MONTH = "2026-10"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def imported(home: Home, folder: Path, *rows: dict) -> Home:
    import_files([bill(folder / "bill.csv", *rows)], home)
    return home


def report(home: Home, show_in: str = "") -> Reconciliation:
    with open_snapshot(home) as snapshot:
        found = books(snapshot, home, MONTH, CostBasis.BILLED)
    return reconciled(found, IdlePolicy.OWN_LINE, load_rates(home), show_in)


def say(home: Home, kind: LedgerKind, amount: str | None, text: str = "", owner: str = "") -> None:
    found = None if amount is None else Decimal(amount)
    write(home, [LedgerEntry(kind=kind, month=MONTH, currency="USD", amount=found, text=text, owner=owner)])


def test_the_parts_shown_add_up_to_the_total_shown(home: Home, tmp_path: Path) -> None:
    third = "0.333333333333333333"
    rows = [
        {"BilledCost": third, "ServiceCategory": "Storage"},
        {"BilledCost": third, "ServiceCategory": "Networking"},
        {"BilledCost": third, "ChargeCategory": "Tax"},
    ]
    (one,) = report(imported(home, tmp_path, *rows)).currencies
    assert sum(item.shown for item in one.buckets) == Decimal("1.00")
    assert {item.bucket for item in one.buckets} == {Bucket.STORAGE, Bucket.NETWORK, Bucket.TAX}
    text = reconciliation_text(report(home))
    assert "exact total 0.999999999999999999 USD" in text
    assert ["residual", "0.00"] in [line.split() for line in text.splitlines()]


def test_an_invoice_within_rounding_is_right_and_one_beyond_is_not(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"BilledCost": "100.004"})
    assert report(home).is_right, "without an invoice there is nothing to differ from"
    assert report(home).currencies[0].is_reconciled is None
    say(home, LedgerKind.INVOICE, "100.00")
    assert (report(home).is_right, report(home).currencies[0].is_reconciled) == (True, True)
    say(home, LedgerKind.INVOICE, "112.50")
    found = report(home)
    assert (found.is_right, found.currencies[0].open_difference) == (False, Decimal("12.496"))
    assert "DIFFERS, more than rounding (0.005)" in reconciliation_text(found)


def test_a_difference_that_somebody_explains_is_explained(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"BilledCost": "100"})
    say(home, LedgerKind.INVOICE, "112.50")
    say(home, LedgerKind.NOTE, "12.50", "marketplace, on the same invoice", "Ada")
    found = report(home)
    assert (found.is_right, found.currencies[0].open_difference) == (True, 0)
    text = reconciliation_text(found)
    assert "note of Ada: marketplace, on the same invoice, 12.50" in text
    assert "not explained: 0.00 USD" in text


def test_what_belongs_to_nobody_is_listed_with_a_rule_that_would_match_it(home: Home, tmp_path: Path) -> None:
    rows = [{"BilledCost": cost, "ResourceId": f"i-{n}abc"} for n, cost in enumerate(("3", "80"))]
    found = report(imported(home, tmp_path, *rows))
    assert [(item.resource, item.billed) for item in found.unmatched] == [("i-1abc", 80), ("i-0abc", 3)]
    assert "[[rule]]" in found.suggested_rules
    home.owners.write_text(found.suggested_rules, encoding="utf-8")
    assert report(home).unmatched == (), "the suggestion is a file that works"


def test_what_is_no_use_of_a_resource_stands_in_one_line_by_service(home: Home, tmp_path: Path) -> None:
    rows = [
        {"BilledCost": "80", "ResourceId": "i-1", "ServiceName": "EC2"},
        {"BilledCost": "900", "ResourceId": "plan-1", "ServiceName": "Plans", "ChargeCategory": "Purchase"},
        {"BilledCost": "-5", "ServiceName": "Credits", "ChargeCategory": "Credit"},
    ]
    found = report(imported(home, tmp_path, *rows))
    lines = reconciliation_text(found).splitlines()
    listed = lines.index("Resources that belong to no deployment:")
    assert lines[listed + 1].split() == ["i-1", "EC2", "80.00", "USD"]
    assert lines[listed + 2] == "Of no resource, by service: Plans 900.00 USD, Credits -5.00 USD"
    assert "plan-1" not in found.suggested_rules


def test_b13_a_total_in_another_currency_names_its_rate_or_why_there_is_none(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"BilledCost": "100", "BillingCurrency": "EUR"})
    (one,) = report(home, "USD").currencies
    assert isinstance(one.shown_in, Undefined)
    assert "no rate from EUR to USD on or before 2026-11-01" in reconciliation_text(report(home, "USD"))
    home.rates.write_text(
        '[[rate]]\nfrom = "EUR"\nto = "USD"\non = 2026-10-01\nrate = "1.0812"\nsource = "ECB"', encoding="utf-8"
    )
    text = reconciliation_text(report(home, "USD"))
    assert "shown in USD: 108.12 (1 EUR = 1.0812 USD, ECB, 2026-10-01)" in text
    assert report(home, "USD").currencies[0].balance.total == 100


def test_what_others_wrote_moves_no_cursor(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path, {"ResourceId": "i-\x1b[31mred", "ServiceName": "E\u202eC2"})
    text = reconciliation_text(report(home))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_people_stand_beside_the_bill(home: Home, tmp_path: Path) -> None:
    imported(home, tmp_path)
    home.owners.write_text(
        '[[monthly]]\nwhat = "on-call"\nkind = "people"\nusd = "5000"\nfrom = 2026-01-01', encoding="utf-8"
    )
    assert "beside the bill: on-call, people, 5,000.00 USD a month, on no invoice" in reconciliation_text(report(home))
