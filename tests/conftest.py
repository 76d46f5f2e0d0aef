"""Fixtures of all tests: a home in a temporary folder, and a writer in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.home import Home
from store.writer import Writer
from tests.store.builders import frozen


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def writer(home: Home) -> Iterator[Writer]:
    """A writer whose clock stands at NOON."""
    with Writer.open(home, frozen()) as writer:
        yield writer
