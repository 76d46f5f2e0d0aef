"""The command line in this process, over a home in a temporary folder."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import cli
from collectors.replay import Recording, ReplayServer
from store.home import Home

RECORDING = Path(__file__).parents[1] / "captures" / "a_baseline_preempt" / "metrics.jsonl.gz"
Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("PERMILLION_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def permillion(home: Home) -> Run:
    """permillion("usage", "--json"): the verb with these arguments; what it raises unasked is a failure."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture(scope="session")
def recorded_server() -> Iterator[str]:
    """A server that shows the last page of a real vLLM recording; its /metrics address."""
    last = Recording.load(RECORDING).pages[-1]
    with ReplayServer(
        {"/metrics": lambda elapsed_s: last, "/html": lambda elapsed_s: "<!doctype html><html>Hi</html>"}
    ) as at:
        yield f"{at.url}/metrics"
