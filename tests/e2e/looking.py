"""What the browser tests look for. They wait on what can be seen, never on time."""

import re

from playwright.sync_api import Page, expect

LOOK_MS = 20_000


def settled(page: Page) -> Page:
    """The page has run, and nothing in it failed."""
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-connection-state", "CONNECTED", timeout=LOOK_MS)
    expect(page.get_by_test_id("stHeading").first).to_be_visible(timeout=LOOK_MS)
    expect(app).to_have_attribute("data-test-script-state", re.compile("notRunning|stopped"), timeout=LOOK_MS)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    return page


def card(page: Page, label: str):
    """The figure on the card of this name."""
    cards = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return cards.get_by_test_id("stMetricValue")


def usd(figure: str) -> float:
    return float(figure.replace("$", "").replace(",", ""))
