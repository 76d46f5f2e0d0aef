"""What the browser tests look for. They wait on what can be seen, never on time."""

from playwright.sync_api import Page, expect


def settled(page: Page) -> Page:
    """The run that was last asked for has drawn the page to its foot, and nothing in it failed.

    Not: no script runs. A page that refreshes itself may do nothing else on a machine that is busy.
    """
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", "CONNECTED")
    foot = page.locator(".st-key-page-foot")
    expect(foot).to_be_visible()
    expect(foot.locator("[data-stale=true]")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    return page


def card(page: Page, label: str):
    """The figure on the card of this name."""
    cards = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return cards.get_by_test_id("stMetricValue")


def usd(figure: str) -> float:
    return float(figure.replace("$", "").replace(",", ""))
