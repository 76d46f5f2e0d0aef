"""A request log in the browser: uploaded, its hit-rate chart drawn, and its figures taken to What-if."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from playwright.sync_api import expect

from tests.e2e.conftest import dashboard_alone, started
from tests.e2e.looking import card, plot, settled


def log(path: Path) -> Path:
    system = "You help people with their bills, and never tell anybody else of them. " * 4
    requests = (
        {"messages": [{"role": "system", "content": system}, {"role": "user", "content": f"What was bill {n % 90}?"}],
         "model": "a-8b", "usage": {"prompt_tokens": 80, "completion_tokens": 20}}
        for n in range(120)
    )  # fmt: skip
    path.write_text("".join(json.dumps(one) + "\n" for one in requests), encoding="utf-8")
    return path


def test_a_log_is_uploaded_and_its_hit_rates_go_to_what_if(browser, open_window, tmp_path: Path) -> None:
    with started(dashboard_alone, tmp_path / "home") as running:
        page = open_window(f"{running.url}/lab").page
        page.locator("input[type=file]").set_input_files(log(tmp_path / "small.jsonl"))
        page.get_by_role("button", name="Examine").click()
        plot(page, "sizes-card")
        settled(page)
        expect(card(page, "Same words")).to_have_text("25.0%")
        prefix = round(float(card(page, "Prefix hits").inner_text().rstrip("%")))
        page.get_by_role("link", name="Use these in What-if").click()
        expect(page.get_by_role("heading", name="What-if")).to_be_visible()
        settled(page)
        asked = parse_qs(urlparse(page.url).query)
        assert (asked["v"], asked["prefix_caching.enabled"], asked["exact_cache.enabled"]) == (
            ["2"],
            ["true"],
            ["true"],
        )
        assert float(asked["prefix_caching.hit_fraction"][0]) == prefix
        expect(page.get_by_text("is not a setting here")).to_have_count(0)
