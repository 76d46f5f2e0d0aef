"""Slider move to chart updated in Chromium, and Python's part: What-if beside an empty page of slider and chart.

Python time is that of one run of the page in this process, without server and browser.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks._timing import median_and_p95

ROOT = Path(__file__).parents[1]
MOVES = 20
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
EMPTY_PAGE = """
import streamlit as st
x = st.slider("x", 0, 100, 50)
st.plotly_chart({"data": [{"type": "bar", "x": [1, x]}], "layout": {"height": 200}}, key="c")
"""
# Milliseconds from the key press to the frame after the first change of a drawn mark.
WATCH = """
(selector) => {
  const chart = document.querySelector(selector).parentElement;  // which may draw it anew
  const begin = performance.now();
  window.moved = new Promise((done, fail) => {
    const seen = new MutationObserver((changes) => {
      if (!changes.some((change) => change.target.ownerSVGElement
          || [...change.addedNodes].some((node) => node.querySelector && node.querySelector("svg")))) return;
      seen.disconnect();
      requestAnimationFrame(() => done(performance.now() - begin));
    });
    seen.observe(chart, {subtree: true, childList: true, attributes: true, characterData: true});
    setTimeout(() => { seen.disconnect(); fail(new Error("the chart did not change in 10 s")); }, 10000);
  });
}
"""


def main() -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is not installed; run ./dev bench")
        return
    browser_path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_path is None:
        print("no Chromium on this machine: nothing measured")
        return
    with sync_playwright() as engine, tempfile.TemporaryDirectory() as folder:
        browser = engine.chromium.launch(executable_path=browser_path, args=FLAGS)
        print(f"{MOVES} moves{'':<36}{'median':>8} {'p95':>8}  ms   bytes on the wire per move")
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_PAGE)
        with _server([sys.executable, "-m", "streamlit", "run", str(empty)], "--server.port", folder) as url:
            _measure(browser, url, "yardstick: empty page, slider + chart", "[data-testid=stPlotlyChart]")
        command = [str(Path(sys.executable).with_name("permillion")), "up", "--demo"]
        with _server(command, "--port", str(Path(folder) / "home")) as url:
            address = f"{url}/?prefix_caching.enabled=true"
            _measure(
                browser,
                address,
                "What-if: reuse slider + unit cost chart",
                ".st-key-unit-cost [data-testid=stPlotlyChart]",
            )
        browser.close()
    print(f"\n{MOVES} moves, Python time alone{'':<17}{'median':>8} {'p95':>8}  ms")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_PAGE)
        _run(empty, "yardstick: empty page, slider + chart", {})
        os.environ["PERMILLION_HOME"] = str(Path(folder) / "home")
        subprocess.run([sys.executable, str(ROOT / "cli.py"), "demo"], check=True, stdout=subprocess.DEVNULL)
        _run(ROOT / "app.py", "What-if, one lever pulled", {"prefix_caching.enabled": "true"})
        five = {"weight_precision.weights": "FP8", "semantic_cache.enabled": "true", "cascade_routing.enabled": "true",
                "kv_precision.kv": "FP8", "prefix_caching.enabled": "true"}  # fmt: skip
        _run(ROOT / "app.py", "What-if, five levers pulled", five)


def _run(script: Path, name: str, address: dict[str, str]) -> None:
    """Moves the page's slider in this process."""
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_file(script, default_timeout=120)
    for key, value in address.items():
        at.query_params[key] = value
    at.run()
    slider = next(one for one in at.slider if not address or one.key == "prefix_caching.hit_fraction")
    times = []
    for move in range(MOVES + 1):
        slider.set_value(20 + move)
        begin = time.perf_counter()
        at.run()
        times.append((time.perf_counter() - begin) * 1000)
        slider = next(one for one in at.slider if one.key == slider.key and one.label == slider.label)
    print(f"{name:<44}{median_and_p95(times[1:])}")


@contextmanager
def _server(command: list[str], port_flag: str, home: str) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PERMILLION_HOME": home, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [*command, port_flag, str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(15)


def _measure(browser, url: str, name: str, chart: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1200})
    received = [0]

    def count(socket_) -> None:
        socket_.on("framereceived", lambda frame: received.__setitem__(0, received[0] + len(frame)))

    page.on("websocket", count)
    page.goto(url)
    page.locator(f"{chart} .main-svg").first.wait_for(timeout=60_000)
    slider = page.locator("input[type=range]:not([disabled])").last if "?" not in url else page.get_by_role(
        "slider", name="Prompt tokens reused"
    )  # fmt: skip
    slider.press("ArrowRight")
    page.wait_for_timeout(3000)
    times, sizes = [], []
    for _ in range(MOVES):
        before = received[0]
        page.evaluate(WATCH, chart)
        slider.press("ArrowRight")
        times.append(page.evaluate("() => window.moved"))
        page.wait_for_timeout(600)  # let the rest of the answer arrive, so that the bytes are this move's
        sizes.append(received[0] - before)
    page.close()
    print(f"{name:<44}{median_and_p95(times)}       {sorted(sizes)[len(sizes) // 2]:,}")
