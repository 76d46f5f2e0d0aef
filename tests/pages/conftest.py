"""Homes in every state, and pages opened over them from app.py, as `streamlit run app.py` would."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from store.home import Home
from tests.pages import homes
from tests.pages.homes import Place
from ui import data

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., AppTest]


class Homes:
    """Each state's home, made when it is first asked for. What several have in common is made once and copied."""

    MAKERS: dict[str, Callable[["Homes", Path], Place]] = {
        "empty": lambda made, path: Place(Home(path)),
        "sample": lambda made, path: homes.sample(path),
        "no budgets": lambda made, path: homes.without_budgets(made.copy("sample", path)),
        "stale": lambda made, path: homes.an_hour_later(made["sample"]),
        "missing file": lambda made, path: homes.broken(path, None),
        "garbage": lambda made, path: homes.broken(path, b"this is no database" * 1000),
        "real": lambda made, path: homes.real(path),
        "own scenario": lambda made, path: homes.with_scenario(made.copy("real", path), homes.GOOD_SCENARIO),
        "unknown GPU": lambda made, path: homes.with_scenario(made.copy("real", path), homes.UNKNOWN_GPU),
        "does not fit": lambda made, path: homes.with_scenario(made.copy("real", path), homes.TOO_LARGE),
        "tight": lambda made, path: homes.with_scenario(made.copy("real", path), homes.FITS_AS_FP8_ONLY),
        "API only": lambda made, path: homes.with_scenario(Place(Home(path)), homes.API_ONLY),
        "unbilled": lambda made, path: homes.unbilled(path),
        "scenario only": lambda made, path: homes.with_scenario(Place(Home(path)), homes.GOOD_SCENARIO),
        "calibrated": lambda made, path: homes.calibrated(made.copy("sample", path)),
        "calibration stale": lambda made, path: homes.calibrated(made.copy("sample", path), is_stale=True),
        "hostile": lambda made, path: homes.hostile(path),
        "fleet": lambda made, path: homes.fleet(path),
        "fleet stopped": lambda made, path: homes.an_hour_later(made["fleet"]),
        "tail lost": lambda made, path: homes.without_tail(made.copy("fleet", path)),
    }

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, {}

    def __getitem__(self, state: str) -> Place:
        if state not in self._made:
            self._made[state] = self.MAKERS[state](self, self._folder / state.replace(" ", "-"))
        return self._made[state]

    def changed(self, state: str, path: Path, name: str, text: str) -> str:
        """The same content with one more file beside it, as a state of its own; its name."""
        place = self.copy(state, path)
        (place.home.path / name).write_text(text, encoding="utf-8")
        self._made[path.name] = place
        return path.name

    def copy(self, state: str, path: Path) -> Place:
        """The same content in a home of its own, to change it."""
        place = self[state]
        shutil.copytree(place.home.path, path)
        return Place(Home(path), place.now)


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
        at = AppTest.from_file(ROOT / "app.py", default_timeout=300)
        at.switch_page(f"pages/{page}.py")
        for name, value in (query or {}).items():
            at.query_params[name] = value
        return at.run()

    return opened


@pytest.fixture(scope="session")
def pages_seen() -> dict[tuple, AppTest]:
    return {}


@pytest.fixture
def see_page(open_page: Open, pages_seen: dict[tuple, AppTest]) -> Open:
    """As open_page, for tests that only look: each page over each state is run once."""

    def seen(page: str, state: str, query: dict[str, str] | None = None) -> AppTest:
        key = (page, state, *(query or {}).items())
        if key not in pages_seen:
            pages_seen[key] = open_page(page, state, query)
        return pages_seen[key]

    return seen
