"""The pictures of the documentation: pages on the sample fleet, in both schemes and two widths, and the pack's PDF.

`./dev screens` writes them to docs/screens. Pages of the PDF need `pdftoppm` (poppler-utils).
"""

import os
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS, LOOK_MS, ROOT, started, up
from tests.e2e.looking import settled

FOLDER = ROOT / "docs" / "screens"
PULLED = (
    "weight_precision.weights=FP8&batch_limits.max_num_seqs=512&prefix_caching.enabled=true"
    "&semantic_cache.enabled=true&cascade_routing.enabled=true"
)
PAGES = {
    "what-if": f"?{PULLED}", "compare": "compare", "plan": "plan?target=0.1",
    "overview": "overview", "weekly-review": "weekly_review",
    "capacity": "capacity", "buying": "capacity?section=Buying", "fit": "capacity?section=Fit&example=true",
    "estimator": "estimator", "lab": "lab?log=Sample+log",
    "savings": "savings", "saving": "savings?entry=prefix-caching", "quiet-week": "savings?entry=larger-prefill",
}  # fmt: skip
WIDTHS = (1440, 420)
HEIGHT, MOST_HEIGHT = 900, 2500
SHAPE_S = 60  # of the replay, so that the lines of the live panel have a shape
COLORS = 256
PDF_DPI = 80


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory() as folder,
        started(up("--demo"), Path(folder) / "home") as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        time.sleep(SHAPE_S)
        for (name, path), scheme, width in product(PAGES.items(), ("light", "dark"), WIDTHS):
            page = _page(browser, f"{server.url}/{path}", scheme, width)
            _take(page, width, FOLDER / f"{name}-{scheme}-{width}.png")
            page.context.close()
        browser.close()
        _draw_pack(server.home, Path(folder))


def _page(browser: Browser, url: str, scheme: str, width: int) -> Page:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": HEIGHT})  # type: ignore[arg-type]
    context.set_default_timeout(LOOK_MS)
    page = context.new_page()
    page.goto(url, wait_until="domcontentloaded")
    return settled(page)


def _take(page: Page, width: int, path: Path) -> None:
    """The whole page, up to a height: what scrolls is the part below the menu, so the window is made as tall."""
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    page.set_viewport_size({"width": width, "height": MOST_HEIGHT})
    foot = page.get_by_test_id("stMainBlockContainer").bounding_box() or {}
    tall = min(MOST_HEIGHT, foot.get("y", 0) + foot.get("height", MOST_HEIGHT))
    page.set_viewport_size({"width": width, "height": int(tall)})
    settled(page)
    page.screenshot(path=path, animations="disabled")
    _keep(path)


def _draw_pack(home: Path, folder: Path) -> None:
    """The pages of the weekly pack's PDF."""
    if shutil.which("pdftoppm") is None:
        print("no pdftoppm here (poppler-utils): the PDF's pages are not drawn")  # noqa: T201
        return
    verb = [sys.executable, "-c", "import cli; cli.app()", "review", "--out", str(folder)]
    subprocess.run(verb, cwd=ROOT, env={**os.environ, "PERMILLION_HOME": str(home)}, check=True, capture_output=True)
    (pdf,) = folder.glob("*.pdf")
    subprocess.run(["pdftoppm", "-r", str(PDF_DPI), "-png", pdf, FOLDER / "weekly-pack"], check=True)
    for path in sorted(FOLDER.glob("weekly-pack-*.png")):
        _keep(path)


def _keep(path: Path) -> None:
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLORS).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    main()
