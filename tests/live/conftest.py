"""A real vLLM and a real Prometheus for the tests here; see servers.py.

`vllm_server`: one for the session, with .url, .metrics_url, .model, .log_path, .counters() and .restart().
`prometheus_for(target, …, every="1s")`: one that scrapes these addresses, with .url, .raw() and .wait_for_samples().
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.collecting import KEY, Collector, Permillion
from tests.live.servers import (
    Daemon,
    Prometheus,
    VllmServer,
    prometheus_program,
    prometheus_scraping,
    tiny_vllm,
    vllm_python,
)

PYTHON, PROGRAM = vllm_python(), prometheus_program()
NEEDS = {
    "vllm_server": (PYTHON, "no vLLM for CPUs in .venv-live; ./dev test-live puts it there, or says why it cannot"),
    "prometheus_for": (PROGRAM, "no prometheus in PATH or .venv-live; ./dev test-live unpacks the distribution's"),
}
DAEMONS = pytest.StashKey[list[Daemon]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a server that this machine has not is skipped."""
    for item in items:
        for name, (found, reason) in NEEDS.items():
            if name in getattr(item, "fixturenames", ()) and not found:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest) -> list[Daemon]:
    """The servers that run now; the log of each is shown with a test that fails."""
    return request.config.stash.setdefault(DAEMONS, [])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        report.sections += [("log", daemon.log_tail()) for daemon in item.config.stash.get(DAEMONS, [])]
    return report


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory: pytest.TempPathFactory, running: list[Daemon]) -> Iterator[VllmServer]:
    """vLLM on the CPU with a model of random weights."""
    assert PYTHON
    server = tiny_vllm(PYTHON, tmp_path_factory.mktemp("vllm"))
    server.daemon.start()
    running.append(server.daemon)
    yield server
    server.daemon.stop()
    running.remove(server.daemon)


@pytest.fixture(scope="module")
def prometheus_for(
    tmp_path_factory: pytest.TempPathFactory, running: list[Daemon]
) -> Iterator[Callable[..., Prometheus]]:
    """prometheus_for("http://127.0.0.1:8000/metrics", every="1s"): a Prometheus that scrapes it, ready to be asked."""
    assert PROGRAM
    started: list[Daemon] = []

    def start(*targets: str, every: str = "1s") -> Prometheus:
        prometheus = prometheus_scraping(PROGRAM, tmp_path_factory.mktemp("prometheus"), targets, every)
        prometheus.daemon.start()
        started.append(prometheus.daemon)
        running.append(prometheus.daemon)
        return prometheus

    yield start
    for daemon in started:
        daemon.stop()
        running.remove(daemon)


@pytest.fixture
def client(vllm_server: VllmServer) -> Client:
    return Client(url=vllm_server.url, model=vllm_server.model)


@pytest.fixture
def permillion(tmp_path: Path) -> Permillion:
    return Permillion(home=tmp_path / "home")


@pytest.fixture
def collecting(permillion: Permillion) -> Callable[..., Collector]:
    """with collecting(metrics_url, every="1s") as collector: `permillion collect` of one server."""
    return lambda metrics_url, every="1s": permillion.collecting(f"{KEY}={metrics_url}", every=every)
