"""Fixtures of all tests: a home in a temporary folder, and a writer in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from store.home import Home
from store.writer import Writer
from tests.store.builders import frozen

# Properties are about results, never about time: a loaded machine must not fail them. A change is judged by the same
# examples as the one before it; PERMILLION_EXPLORE=1 looks for new ones.
EXPLORES = "PERMILLION_EXPLORE" in os.environ
settings.register_profile("ours", deadline=None, derandomize=not EXPLORES, max_examples=100 if EXPLORES else 50)
settings.load_profile("ours")

# `./dev test` hands whole files to its workers in this order: begun last, one of these would be waited for alone.
LONGEST = (
    "e2e/test_levers.py",
    "e2e/test_dashboard.py",
    "pages/test_every_page.py",
    "e2e/test_live_page.py",
    "store/test_bills_oracle.py",
    "e2e/test_server.py",
    "store/test_batches.py",
    "store/test_books.py",
    "ui/test_spend.py",
    "cli/test_verbs.py",
)
ORDER = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.get(item.path, len(ORDER)))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are no name: gzip writes the time into them, and every worker must collect the same tests."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def writer(home: Home) -> Iterator[Writer]:
    """A writer whose clock stands at NOON."""
    with Writer.open(home, frozen()) as writer:
        yield writer
