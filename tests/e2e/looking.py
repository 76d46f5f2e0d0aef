"""What the browser tests look for. They wait on what can be seen, never on time."""

from playwright.sync_api import Locator, Page, expect

FIGURES = "plot => JSON.stringify(plot.data.map(series => series.x))"


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


def card(page: Page, label: str) -> Locator:
    """The figure on the card of this name."""
    cards = page.get_by_test_id("stMetric").filter(has=page.get_by_text(label, exact=True))
    return cards.get_by_test_id("stMetricValue")


def usd(figure: str) -> float:
    return float(figure.replace("$", "").replace(",", ""))


def plot(page: Page, key: str) -> Locator:
    """The chart on the card of this key, once it is drawn."""
    found = page.locator(f".st-key-{key} .js-plotly-plot").first
    expect(found).to_be_visible()
    return found


def figures(page: Page, key: str) -> str:
    """What a chart shows, to tell whether it moved."""
    return plot(page, key).evaluate(FIGURES)


def bars(page: Page) -> dict[str, float]:
    """The lengths of the waterfall's bars by their names, USD per month."""
    return plot(page, "bridge").evaluate(
        "plot => Object.fromEntries(plot.data[0].y.map((y, n) => [y, plot.data[0].x[n]]))"
    )


def bar(page: Page, name: str) -> Locator:
    """The name of a bar of the waterfall."""
    return page.locator(".st-key-bridge .ytick").get_by_text(name, exact=True)


def follows(page: Page, key: str, before: str) -> None:
    """A chart shows other figures than before."""
    page.wait_for_function(
        f"([chart, before]) => ({FIGURES})(document.querySelector(chart)) !== before",
        arg=[f".st-key-{key} .js-plotly-plot", before],
    )
