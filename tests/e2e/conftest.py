"""Permillion as its user starts it, and Chromium to look at it. Skipped, and says so, where there is no Chromium.

Playwright keeps an event loop in this thread while it runs, in which no other test could start one: the browser lives
for one module, and so does the server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PATHS = ["", *sorted(path.stem for path in (ROOT / "pages").glob("*.py") if path.stem != "what_if")]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip
# Long enough for a machine with a dozen other things to do; a test that passes does not wait for them.
READY_S, STOP_S, LOOK_MS = 180.0, 60.0, 180_000
expect.set_options(timeout=LOOK_MS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a page needs the browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no chromium, chromium-browser or google-chrome in PATH"))


@dataclass
class Server:
    """A running dashboard."""

    process: subprocess.Popen
    port: int
    home: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def started(
    command: Callable[[int], list[str]], home: Path, first: Callable[[], object] | None = None
) -> Iterator[Server]:
    """Starts a command on a free port and waits until it answers; ends it, if the test has not. `first` is what the new
    process does before it begins."""
    port = free_port()
    log = (home.parent / f"{home.name}.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, *command(port)],
        cwd=ROOT,
        env={**os.environ, "PERMILLION_HOME": str(home), "PYTHONUNBUFFERED": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        preexec_fn=first,
    )
    try:
        until = time.monotonic() + READY_S
        while not _answers(port):
            assert process.poll() is None, Path(log.name).read_text(encoding="utf-8")
            assert time.monotonic() < until, f"nothing answers on port {port}: {Path(log.name).read_text()}"
            time.sleep(0.1)
        yield Server(process, port, home)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        log.close()


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2) as answer:
            return answer.read() == b"ok"
    except (URLError, OSError):
        return False


def up(*options: str) -> Callable[[int], list[str]]:
    return lambda port: ["-c", "import cli; cli.app()", "up", *options, "--port", str(port)]


def dashboard_alone(port: int) -> list[str]:
    return ["-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]


@pytest.fixture(scope="module")  # not for the session: collector and pages would go on working beside all other tests
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`permillion up --demo`, for all tests of a module that only look."""
    with started(up("--demo"), tmp_path_factory.mktemp("e2e") / "home") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclass
class Window:
    """A page of a browser window, and everything that it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("response", lambda got: self.not_found.append(got.url) if got.status == 404 else None)


@contextmanager
def windows(browser: Browser) -> Iterator[Callable[..., Window]]:
    """windows(browser) gives open(url, scheme="dark", width=420): a window of its own that shows this address."""
    contexts = []

    def opened(url: str, *, scheme: str = "light", width: int = 1440, height: int = 900) -> Window:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        context.set_default_timeout(LOOK_MS)
        contexts.append(context)
        window = Window(context.new_page())
        window.page.goto(url, wait_until="domcontentloaded")
        return window

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def open_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Windows of one test, closed after it."""
    with windows(browser) as opened:
        yield opened
