"""The Live page in a browser: it moves by itself, keeps what its reader set, and leads to the lever that answers."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import dashboard_alone, started
from tests.e2e.looking import card, settled
from tests.pages import fleet_home

# The home is not collected any more after it was made: figures stay, and the page says since when.
AGE = timedelta(seconds=5)
FITS = "(box => box.scrollWidth <= box.clientWidth + 1)(document.querySelector('[data-testid=stMain]'))"


@pytest.fixture(scope="module")
def fleet_server(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("live") / "home"
    fleet_home.make(path, datetime.now(UTC).replace(microsecond=0) - AGE)
    with started(dashboard_alone, path) as running:
        yield running


def live(page: Page) -> Page:
    settled(page)
    expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=30_000)
    return page


def test_figures_of_the_sample_fleet_move_by_themselves(server, open_window) -> None:
    page = settled(open_window(f"{server.url}/live").page)
    expect(page.locator(".st-key-fleet-head").get_by_text("sample replay")).to_be_visible(timeout=30_000)
    rate = card(page, "Tokens per second").first
    expect(rate).to_have_text(re.compile(r"[\d.]+k"))
    before = rate.inner_text()
    expect(rate).not_to_have_text(before)


def test_a_target_is_kept_in_the_address_and_restored_from_it(fleet_server, open_window) -> None:
    page = live(open_window(f"{fleet_server.url}/live").page)
    field = page.get_by_role("spinbutton", name="TTFT target, ms")
    field.fill("100")
    field.press("Enter")
    expect(page).to_have_url(re.compile(r"[?&]ttft_ms=100"))
    expect(page.get_by_text("First token is over its target").first).to_be_visible()
    opened = live(open_window(page.url).page)
    expect(opened.get_by_role("spinbutton", name="TTFT target, ms")).to_have_value("100")


def test_a_finding_leads_to_the_what_if_that_answers_it(fleet_server, open_window) -> None:
    page = live(open_window(f"{fleet_server.url}/live").page)
    page.get_by_role("link", name="What if: batch limits").first.click()
    expect(page.get_by_role("heading", name="What-if", level=1)).to_be_visible()
    settled(page)
    expect(page).to_have_url(re.compile(r"batch_limits\.max_num_seqs=512"))
    expect(page.get_by_test_id("stAlert").filter(has_text="The link asks")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_every_window_and_asks_nobody_else(fleet_server, open_window, scheme: str) -> None:
    window = open_window(f"{fleet_server.url}/live?ttft_ms=900", scheme=scheme)
    page = live(window.page)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    for width in (1440, 420):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"() => {FITS}")
    assert not [said for said in window.complaints if "404" not in said]
    assert all(f"127.0.0.1:{fleet_server.port}" in url or url.startswith(("data:", "blob:")) for url in window.requests)


def test_a_filter_of_replicas_survives_the_page_redrawing_itself(fleet_server, open_window) -> None:
    page = live(open_window(f"{fleet_server.url}/live?team=platform").page)
    chip = page.get_by_test_id("stMultiSelect").filter(has_text="Team").get_by_text("platform")
    expect(chip).to_be_visible()
    ago = page.locator(".st-key-fleet-head").get_by_text(re.compile("read .* ago"))
    before = ago.inner_text()
    expect(ago).not_to_have_text(before)
    expect(chip).to_be_visible()
