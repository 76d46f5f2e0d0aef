"""Every lever as a person moves it: its place in the address, its effect on the bill, and back. Where scenarios go."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from costlib.lever import Choice, Lever, Param, Switch
from costlib.levers import LEVERS
from tests.conftest import EXPLORES
from tests.e2e.conftest import LOOK_MS, Server, Window, windows
from tests.e2e.looking import bar, bars, card, figures, follows, settled, usd
from ui import links

SPEND, RANGE = "Spend per month", "Range per month"
ENDS = ["Today", "Scenario"]
AT_REST = re.compile(r"^[^?]*\??$")
CENT_USD, DOLLAR_USD = 0.01, 1.0
TRIES = 36
# One of each stage; tests/pages moves all of them without a browser, PERMILLION_EXPLORE=1 with one.
IN_BROWSER = LEVERS if EXPLORES else {lever.stage: lever for lever in reversed(LEVERS)}.values()


@pytest.fixture(scope="module")
def opened(server: Server, browser: Browser) -> Iterator[Window]:
    """One window for all levers."""
    with windows(browser) as open_window:
        window = open_window(server.url)
        settled(window.page)
        yield window


def shown(window: Window, url: str) -> Page:
    window.page.goto(url, wait_until="domcontentloaded")
    return settled(window.page)


@pytest.fixture
def window(opened: Window, server: Server) -> Window:
    """The What-if page with every lever at rest, whatever the test before left behind."""
    if opened.page.url.rstrip("/?") != server.url:
        shown(opened, server.url)
    return opened


def asked_for(page: Page) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(page.url).query))


def control(page: Page, lever: Lever, param: Param) -> Locator:
    """A parameter's widget, in its stage's part of the panel, which is opened."""
    stage = page.locator(f".st-key-stage-{lever.stage.name.lower()}")
    if stage.locator("details").first.get_attribute("open") is None:
        stage.locator("summary").first.click()
    widget = page.locator(f".st-key-{links.key_of(lever, param).replace('.', '-')}")
    expect(widget).to_be_visible()
    return widget


def move(widget: Locator, param: Param) -> str:
    """Move a widget as a person would, a switch to on, all others one further; how the address should spell it."""
    if isinstance(param, Switch):
        widget.locator("label").first.click()
        expect(widget.get_by_role("switch")).to_be_checked()
        return "true"
    if (radio := widget.get_by_role("radio", checked=False).first).count():
        name = radio.inner_text()
        radio.click()
        return name
    if widget.get_by_role("combobox").count():
        return choose_another(widget)
    field = widget.locator("input")
    before, most, is_slider = (field.get_attribute(name) for name in ("value", "max", "aria-orientation"))
    ahead, back = ("ArrowRight", "ArrowLeft") if is_slider else ("ArrowUp", "ArrowDown")
    field.press(back if float(before or 0) == float(most or "inf") else ahead)
    expect(field).not_to_have_value(before or "")
    if not is_slider:
        field.press("Enter")
    return (field.get_attribute("aria-valuetext") if isinstance(param, Choice) else None) or field.input_value()


def choose_another(widget: Locator) -> str:
    """The first option of a list that is not chosen. What scrolls the page closes the list: it is opened again."""
    option = widget.page.get_by_role("listbox").get_by_role("option", selected=False).first
    for _ in range(TRIES):
        widget.get_by_role("button", name="Open").click()
        try:
            name = option.inner_text(timeout=LOOK_MS / TRIES)
            option.click(timeout=LOOK_MS / TRIES)
        except PlaywrightTimeout:
            continue
        return name
    pytest.fail("the list of options does not stay open")


@pytest.mark.parametrize("lever", IN_BROWSER, ids=lambda lever: lever.key)
def test_a_lever_moves_the_address_and_the_bill_and_reset_takes_both_back(window: Window, lever: Lever) -> None:
    page, spend = window.page, card(window.page, SPEND)
    today = spend.inner_text()
    switches_first = sorted((*lever.params, *lever.evidence), key=lambda param: not isinstance(param, Switch))
    for param in switches_first[: None if EXPLORES else 2]:
        value, key = move(control(page, lever, param), param), links.key_of(lever, param)
        page.wait_for_url(lambda url, key=key: f"{key}=" in url)
        assert same(asked_for(page)[key], value), page.url

    moved = page.locator(f".st-key-stage-{lever.stage.name.lower()} summary").filter(has_text="1 moved")
    expect(moved).to_be_visible()
    refused = page.get_by_text(re.compile(rf"{lever.label} is not applied: .+ Remedy: |combination cannot run: "))
    expect(bar(page, lever.label).or_(refused).first).to_be_visible()
    settled(page)
    found = bars(page)
    expect(spend).to_have_text(f"${found['Scenario']:,.0f}")
    if refused.count():
        assert list(found) == ENDS
    else:
        assert list(found) == ["Today", lever.label, "Scenario"]
        change = found[lever.label]
        assert change == pytest.approx(abs(found["Scenario"] - found["Today"]), abs=CENT_USD)
        if change < CENT_USD / 2:
            expect(page.get_by_text(f"{lever.label} changes nothing on this bill")).to_be_visible()
        elif change > DOLLAR_USD:
            assert spend.inner_text() != today

    page.get_by_role("button", name="Reset").click()
    expect(page).to_have_url(AT_REST)
    expect(spend).to_have_text(today)
    settled(page)
    expect(page.locator(".st-key-bridge .js-plotly-plot")).to_have_count(1)  # what was there is gone, and not beside it
    assert list(bars(page)) == ENDS
    expect(page.locator(".st-key-levers summary").filter(has_text="moved")).to_have_count(0)
    assert not [said for said in window.complaints if "404" not in said]


def same(found: str, expected: str) -> bool:
    """An address may spell 3 as 3.0."""
    try:
        return float(found) == float(expected)
    except ValueError:
        return found == expected


def test_the_range_and_what_it_hangs_on_follow_a_slider(server: Server, opened: Window) -> None:
    page = shown(opened, f"{server.url}/?prefix_caching.enabled=true")
    width, hangs_on = card(page, RANGE).inner_text(), figures(page, "sureness")
    slider = page.get_by_role("slider", name="Prompt tokens reused")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(card(page, RANGE)).not_to_have_text(width)
    follows(page, "sureness", hangs_on)


def test_a_saved_scenario_is_found_side_by_side_and_opens_again(server: Server, opened: Window) -> None:
    name = "FP8 for the night"
    page = shown(opened, f"{server.url}/?weight_precision.weights=FP8&prefix_caching.enabled=true")
    spend = card(page, SPEND).inner_text()
    page.get_by_role("button", name="Saved").click()
    page.get_by_role("textbox", name="Name").fill(name)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save these settings").click()
    expect(page.get_by_text(f"Saved as {name}.")).to_be_visible()
    page.get_by_role("link", name="Compare them side by side").click()

    expect(page.get_by_role("heading", name="Compare", level=1)).to_be_visible()
    settled(page)
    before = figures(page, "spend-card")
    page.get_by_role("combobox", name="Scenarios").click()
    page.get_by_role("option", name=name).click()
    follows(page, "spend-card", before)
    page.keyboard.press("Escape")
    settled(page)
    page.get_by_role("link", name=f"Open {name} in What-if").click()

    expect(page.get_by_role("heading", name="What-if", level=1)).to_be_visible()
    settled(page)
    expect(card(page, SPEND)).to_have_text(spend)
    assert asked_for(page).items() >= {"weight_precision.weights": "FP8", "prefix_caching.enabled": "true"}.items()
    page.get_by_role("button", name="Saved").click()
    page.locator(f".st-key-saved-{name.replace(' ', '-')}").get_by_role("button", name="Delete").click()
    expect(page.get_by_text(f"Deleted {name}.")).to_be_visible()


def test_a_shared_link_restores_the_scenario_in_another_window(
    server: Server, window: Window, open_window: Callable[..., Window]
) -> None:
    page, today = window.page, card(window.page, SPEND).inner_text()
    page.get_by_role("button", name="Aggressive").click()
    expect(card(page, SPEND)).not_to_have_text(today)
    settled(page)
    page.get_by_role("button", name="Share").click()
    query = page.get_by_test_id("stPopoverBody").get_by_role("code").inner_text()
    other = settled(open_window(f"{server.url}/{query}").page)
    expect(card(other, SPEND)).to_have_text(card(page, SPEND).inner_text())
    assert bars(other) == bars(page)
    assert asked_for(other) == asked_for(page)


def test_a_link_of_a_version_that_is_not_known_says_so(server: Server, opened: Window) -> None:
    page = shown(opened, f"{server.url}/?v=99&weight_precision.weights=FP8")
    expect(page.get_by_text("made by a version of Permillion that is not known here")).to_be_visible()
    expect(bar(page, "Weight precision")).to_be_visible()


def test_a_plan_reaches_its_target_in_steps_that_what_if_pulls(server: Server, opened: Window) -> None:
    page = shown(opened, f"{server.url}/plan")
    field = page.get_by_role("spinbutton", name="Target, USD per 1M tokens")
    half, before = float(field.get_attribute("placeholder") or ""), figures(page, "plan-card")
    field.fill(f"{half * 0.4:.3f}")
    field.press("Enter")
    follows(page, "plan-card", before)
    expect(page.locator("[data-stale=true]")).to_have_count(0)  # the steps below the chart
    reached = usd(card(page, "Cost per 1M tokens").inner_text())
    assert reached <= half * 0.4
    steps = page.locator("[class*='st-key-step-head-']")
    names = [re.sub(r"^\d+ · ", "", text) for text in steps.locator("strong").all_inner_texts()]
    assert names
    page.get_by_role("link", name="Open in What-if").click()

    expect(page.get_by_role("heading", name="What-if", level=1)).to_be_visible()
    settled(page)
    assert set(bars(page)) == {*ENDS, *names}
    assert usd(card(page, "Cost per 1M tokens").inner_text()) == pytest.approx(reached, abs=0.001)
