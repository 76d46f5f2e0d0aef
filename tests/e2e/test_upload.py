"""A person's first bill: uploaded, looked at, imported, and tied to its invoice, in the browser alone."""

import csv
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Page, expect

from store.home import Home
from store.read import snapshot_of
from tests.e2e.conftest import dashboard_alone, started
from tests.e2e.looking import card, settled

BILL = Path(__file__).parents[1] / "collectors" / "billing" / "focus" / "aws_focus_1.2_p5_savings_plan.csv"


def total_of(path: Path, month: str) -> Decimal:
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["BillingPeriodStart"].startswith(month)]
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def stored(home: Path) -> bool:
    return Home(home).live.exists()


def test_a_bill_is_uploaded_looked_at_imported_and_tied_to_its_invoice(browser, open_window, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started(dashboard_alone, home) as running:
        page = open_window(f"{running.url}/reconciliation").page
        expect(page.get_by_text("No billing data yet").first).to_be_visible()
        page.locator("input[type=file]").set_input_files(BILL)
        expect(page.get_by_text("Read as FOCUS").first).to_be_visible()
        assert not stored(home), "a look stores nothing"
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text(f"{BILL.name}: imported").first).to_be_visible()
        total = _billed_total(page)
        with snapshot_of(Home(home)) as snapshot:
            month = snapshot.months()["month"].iloc[-1]
        assert total == total_of(BILL, month).quantize(Decimal(1))
        page.get_by_label("Total in USD").fill(str(total_of(BILL, month)))
        page.get_by_role("button", name="Save the total").click()
        expect(page.get_by_text("ties to the cent").first).to_be_visible()
        expect(card(page, "Residual")).to_have_text("$0.00")


def _billed_total(page: Page) -> Decimal:
    settled(page)
    page.get_by_text("Billed (invoice)").first.click()
    expect(page.get_by_text("billed cost").first).to_be_visible()
    return Decimal(card(page, "Our total").inner_text().replace("$", "").replace(",", ""))
