"""Homes in every state, and pages opened over them from app.py, as `streamlit run app.py` would."""

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages import homes
from tests.pages.homes import Place
from ui import data

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]


class Homes:
    """Each state's home, made when it is first asked for."""

    MAKERS = {
        "empty": lambda path: Place(homes.Home(path)),
        "sample": homes.sample,
        "stale": homes.stale,
        "missing file": lambda path: homes.broken(path, None),
        "garbage": lambda path: homes.broken(path, b"this is no database" * 1000),
        "real": homes.real,
        "own scenario": lambda path: homes.with_scenario(homes.real(path), homes.GOOD_SCENARIO),
        "unknown GPU": lambda path: homes.with_scenario(homes.real(path), homes.UNKNOWN_GPU),
        "does not fit": lambda path: homes.with_scenario(homes.real(path), homes.TOO_LARGE),
        "tight": lambda path: homes.with_scenario(homes.real(path), homes.FITS_AS_FP8_ONLY),
        "unbilled": homes.unbilled,
        "scenario only": lambda path: homes.with_scenario(Place(homes.Home(path)), homes.GOOD_SCENARIO),
        "hostile": homes.hostile,
        "fleet": homes.fleet,
        "fleet stopped": homes.fleet_stopped,
        "tail lost": homes.no_tail,
    }

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, {}

    def __getitem__(self, state: str) -> Place:
        if state not in self._made:
            self._made[state] = self.MAKERS[state](self._folder / state.replace(" ", "-"))
        return self._made[state]


@pytest.fixture(scope="session")
def all_homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return Homes(tmp_path_factory.mktemp("homes"))


@pytest.fixture
def open_page(all_homes: Homes, monkeypatch: pytest.MonkeyPatch) -> Open:
    """open_page("overview", "sample", {"days": "7"}): the page over that home, run once, with that address."""

    def opened(page: str, state: str, query: dict[str, str] | None = None) -> AppTest:
        place = all_homes[state]
        monkeypatch.setenv("PERMILLION_HOME", str(place.home.path))
        monkeypatch.setattr(data, "now", lambda: place.now)
        at = AppTest.from_file(ROOT / "app.py", default_timeout=30)
        at.switch_page(f"pages/{page}.py")
        for name, value in (query or {}).items():
            at.query_params[name] = value
        return at.run()

    return opened
