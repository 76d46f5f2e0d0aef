"""The server: it is bound to this machine, keeps quiet, opens on any page, and stops when it is told to."""

import signal
import socket
import tomllib
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect

from tests.conftest import EXPLORES
from tests.e2e.conftest import PATHS, ROOT, STOP_S, dashboard_alone, started, up
from tests.e2e.looking import settled
from tests.pages import homes
from tests.pages.homes import HOSTILE

LINKS = (
    "What-if", "Compare", "Plan", "Live", "Overview", "Unit cost", "Limits", "Reconciliation",
    "Weekly review", "Data health",
)  # fmt: skip
TELLING_PATHS = ("", "overview", "data_health")  # with names of deployments, products, servers and files
CONFIG = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def test_the_shipped_settings_keep_to_this_machine() -> None:
    assert CONFIG["server"]["address"] == "127.0.0.1"
    assert CONFIG["server"]["headless"] is True
    assert CONFIG["server"]["enableXsrfProtection"] is True
    assert CONFIG["server"]["enableCORS"] is True
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["client"]["showErrorDetails"] in ("type", "none")
    assert "enableAgentApi" not in CONFIG["server"]


def test_fonts_and_icons_are_shipped_not_fetched() -> None:
    text = (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert "http" not in text.replace("# ", "")
    for face in CONFIG["theme"]["fontFaces"]:
        assert (ROOT / face["url"].removeprefix("app/")).is_file()


def test_health_answers_ok(server) -> None:
    with urlopen(f"{server.url}/_stcore/health", timeout=STOP_S) as answer:
        assert (answer.status, answer.read()) == (200, b"ok")


def listening(port: int) -> set[str]:
    """Local addresses in state LISTEN on this port, from the kernel's tables."""
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state = line.split()[:4]
            address, _, hex_port = local.partition(":")
            if state == "0A" and int(hex_port, 16) == port:
                found.add(address)
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs the tables of a Linux kernel")
def test_only_this_machine_can_reach_the_port(server) -> None:
    assert listening(server.port) == {"0100007F"}, "127.0.0.1, and not every interface"


@pytest.mark.parametrize(
    ("origin", "status"), [("http://evil.example", 403), (None, 101)], ids=["another site", "itself"]
)
def test_only_its_own_page_may_open_the_socket(server, origin: str | None, status: int) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=STOP_S)
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin or server.url,
    }  # fmt: skip
    connection.request("GET", "/_stcore/stream", headers=headers)
    assert connection.getresponse().status == status
    connection.close()


def test_interrupting_stops_collector_and_dashboard_within_seconds(tmp_path: Path) -> None:
    """Also where a shell ignores Ctrl-C for what it starts in the background, as scripts do."""

    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    with started(up(), tmp_path / "home", ignore) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(STOP_S) == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", running.port)) != 0, "the dashboard still listens"
    assert "Traceback" not in (tmp_path / "home.log").read_text(encoding="utf-8")


def test_hostile_names_stay_text(browser, open_window, hostile_home) -> None:
    with started(dashboard_alone, hostile_home) as running:
        window = open_window(f"{running.url}/overview")
        page = settled(window.page)
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        expect(page.get_by_text(HOSTILE[0]).first).to_be_visible()
        for path in PATHS if EXPLORES else TELLING_PATHS:
            page.goto(f"{running.url}/{path}", wait_until="domcontentloaded")
            settled(page)
            main = page.get_by_test_id("stMain")
            assert main.locator("a[href*='evil.example']").evaluate_all("links => links.map(a => a.href)") == []
            assert main.locator("img[src*='evil'], img[src='x'], script").count() == 0
        assert not dialogs
        assert not [url for url in window.requests if "evil.example" in url]


@pytest.mark.parametrize("path", ["capacity", "data_health"])  # the first by name, and another
def test_the_first_request_of_a_fresh_server_may_be_for_any_page(browser, open_window, tmp_path: Path, path) -> None:
    """Streamlit runs pages/ by itself until app.py has called st.navigation once, the first of them at no address."""
    with started(dashboard_alone, tmp_path / "home") as running:
        page = open_window(f"{running.url}/{path}").page
        name = path.replace("_", " ").capitalize()
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        expect(page.get_by_text("Page not found")).to_have_count(0)
        for link in LINKS:
            expect(page.get_by_role("link", name=link).first).to_be_visible()


@pytest.fixture
def hostile_home(tmp_path: Path) -> Path:
    return homes.hostile(tmp_path / "hostile").home.path
