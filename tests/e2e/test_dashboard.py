"""The dashboard in a browser: it moves, it can be shared, it asks nobody else, and it fits the screen."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import EXPLORES
from tests.e2e.conftest import PATHS
from tests.e2e.looking import card, figures, follows, settled, usd

SPEND = "Spend per month"
CHARTED = ("", "overview", "savings", "capacity")  # in the dark, where colours are what differs
# The client looks for its server below the page's own address first.
KNOWN_NOT_FOUND = re.compile(r"/(?:\w+)/_stcore/(?:health|host-config)$")
WORD_JOINER = "\u2060"  # may stand in an address to keep it from becoming a link
WIDE, NARROW = WIDTHS = ({"width": 1440, "height": 900}, {"width": 420, "height": 900})
FIRST_ROW = {"x": 18, "y": 52}  # of a table: where its box is to tick, below the names of the columns
FITS = "(box => box.scrollWidth <= box.clientWidth + 1)(document.querySelector('[data-testid=stMain]'))"


@pytest.fixture
def what_if(server, open_window):
    return settled(open_window(server.url).page)


def about_the_link(page: Page) -> Locator:
    return page.get_by_test_id("stAlert").filter(has_text="The link asks")


def test_live_numbers_move(what_if) -> None:
    rate, in_thousands = card(what_if, "Tokens per second"), re.compile(r"^[\d.]+k$")
    expect(rate).to_have_text(in_thousands)  # before the second scrape there is no rate
    before = rate.inner_text()
    expect(what_if.get_by_text("sample replay, 3 servers")).to_be_visible()
    expect(rate).not_to_have_text(before)
    expect(rate).to_have_text(in_thousands)


def test_a_lever_changes_spend_and_the_address_and_the_address_restores_it(server, what_if, open_window) -> None:
    spend = card(what_if, SPEND)
    today = spend.inner_text()
    what_if.get_by_role("combobox", name="Weights").click()
    what_if.get_by_role("option", name="FP8", exact=True).click()
    expect(spend).not_to_have_text(today)
    assert usd(spend.inner_text()) < usd(today)
    expect(what_if).to_have_url(re.compile(r"[?&]weight_precision\.weights="))

    opened = settled(open_window(what_if.url).page)
    expect(card(opened, SPEND)).to_have_text(spend.inner_text())
    expect(about_the_link(opened)).to_have_count(0)


def test_reset_after_a_link_empties_the_address_and_blames_nobody(server, open_window, what_if) -> None:
    today = card(what_if, SPEND).inner_text()
    page = settled(open_window(f"{server.url}/?weight_precision.weights=FP8").page)
    expect(card(page, SPEND)).not_to_have_text(today)
    page.get_by_role("button", name="Reset").click()
    expect(card(page, SPEND)).to_have_text(today)
    expect(page).to_have_url(re.compile(r"^[^?]*\??$"))
    settled(page)
    expect(about_the_link(page)).to_have_count(0)


def test_a_slider_is_reached_and_moved_by_keyboard_and_the_chart_follows(server, open_window) -> None:
    page = settled(open_window(f"{server.url}/?prefix_caching.enabled=true").page)
    slider = page.locator("[class*='st-key-prefix_caching'] input[type=range]")
    expect(slider).to_be_enabled()
    before, bars = slider.input_value(), figures(page, "bridge")
    page.get_by_role("button", name="Reset").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        if slider.evaluate("input => input === document.activeElement"):
            break
    else:
        pytest.fail("the slider cannot be reached with the Tab key")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert int(slider.input_value()) == int(before) + 20
    expect(page).to_have_url(re.compile(rf"prefix_caching\.hit_fraction={int(before) + 20}"))
    follows(page, "bridge", bars)


def test_a_hostile_link_shows_as_text_and_makes_no_link(server, open_window) -> None:
    link = (
        f"{server.url}/?a=https://evil.example/visit&b=[click](https://evil.example)&c=<img src=x onerror=alert(1)>"
        "&d=www.evil.example&e=a@evil.example"
    )
    window = open_window(link)
    page = settled(window.page)
    warning = about_the_link(page)
    expect(warning).to_be_visible()
    shown = warning.inner_text().replace(WORD_JOINER, "")
    for literal in (
        "b=[click](https://evil.example)",
        "c=<img src=x onerror=alert(1)>",
        "d=www.evil.example",
        "e=a@evil.example",
    ):
        assert literal in shown
    assert warning.locator("img").count() == 0
    assert warning.locator("a").evaluate_all("links => links.map(a => a.href)") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_window_asks_nobody_else_and_complains_of_nothing(server, open_window, scheme: str) -> None:
    window = open_window(server.url, scheme=scheme)
    for path in PATHS if scheme == "light" or EXPLORES else CHARTED:
        if path:
            window.page.set_viewport_size(WIDE)
            window.page.goto(f"{server.url}/{path}", wait_until="domcontentloaded")
        page = settled(window.page)
        expect(page.locator(".st-key-page-head").get_by_text("Sample data")).to_be_visible()
        if path in ("", "compare", "plan", "live", "overview"):
            expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        for viewport in WIDTHS:
            page.set_viewport_size(viewport)
            page.wait_for_function(f"() => {FITS}")
        settled(page)
    elsewhere = [url for url in window.requests if not _ours(url, server.port)]
    assert not elsewhere, elsewhere
    assert len(window.requests) > 10, "the request log works"
    unexpected = [url for url in window.not_found if not KNOWN_NOT_FOUND.search(urlsplit(url).path)]
    assert not unexpected, unexpected
    complaints = [said for said in window.complaints if "404" not in said]
    assert not complaints, complaints


def _ours(url: str, port: int) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob") or (parts.hostname in ("127.0.0.1", "localhost") and parts.port == port)


def test_the_menu_leads_to_another_page(server, open_window) -> None:
    page = settled(open_window(server.url).page)
    for name in ("Overview", "What-if"):
        page.get_by_role("link", name=name).first.click()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        settled(page)


def test_a_period_in_the_address_is_restored(server, open_window) -> None:
    page = settled(open_window(f"{server.url}/overview").page)
    spend = card(page, "Spend")
    this_month = spend.inner_text()
    page.get_by_role("radio", name="90 days").click()
    expect(spend).not_to_have_text(this_month)
    assert parse_qs(urlsplit(page.url).query).get("period")
    opened = settled(open_window(page.url).page)
    expect(card(opened, "Spend")).to_have_text(spend.inner_text())


def test_a_row_that_is_chosen_leads_to_what_it_consists_of_and_the_address_keeps_it(server, open_window) -> None:
    page = settled(open_window(f"{server.url}/overview").page)
    for table in ("by-product", "drill-model"):
        page.locator(f"[class*='st-key-{table}'] .dvn-scroller").first.click(position=FIRST_ROW)
        expect(page).to_have_url(re.compile(r"[?&]product=" if table == "by-product" else r"[?&]model="))
        settled(page)
    (model,) = parse_qs(urlsplit(page.url).query)["model"]
    expect(page.locator(".st-key-breadcrumbs")).to_contain_text(model)
    opened = settled(open_window(page.url).page)
    expect(opened.locator(".st-key-breadcrumbs")).to_contain_text(model)
    opened.get_by_role("button", name="All products").click()
    expect(opened.locator(".st-key-by-product")).to_be_visible()
    expect(opened).not_to_have_url(re.compile("product="))
