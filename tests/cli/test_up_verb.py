"""`permillion up --demo`: sample data are for a home that has nothing real, and are never mixed with named servers."""

from pathlib import Path

import pytest

from collectors import up as up_module
from collectors.base import Target
from collectors.targets import Sources
from store.home import Home
from store.writer import Writer
from tests.store.builders import add, frozen, page, run, sample


class Started(Exception):
    """The dashboard would start now."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    def started(home: Home, port: int) -> None:
        raise Started

    monkeypatch.setattr(up_module, "_start_dashboard", started)
    monkeypatch.setattr(up_module.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(up_module, "load_demo", lambda home, clock: said.append("sample loaded"))
    said: list[str] = []
    return said


def begin(home: Home, said: list[str], *targets: Target) -> None:
    with pytest.raises(Started):
        up_module.up(home, Sources(targets=targets), demo=True, port=0, every_s=15.0, say=said.append)


def test_an_empty_home_gets_the_sample(home: Home, said: list[str]) -> None:
    begin(home, said)
    assert said == ["sample loaded"]


def test_named_servers_leave_the_sample_out(home: Home, said: list[str]) -> None:
    begin(home, said, Target(key="chat", url="http://127.0.0.1:9/metrics"))
    assert said == ["The sample is left out: servers are named."]


def test_real_data_leave_the_sample_out(tmp_path: Path, said: list[str]) -> None:
    home = Home(tmp_path / "real")
    with Writer.open(home, frozen()) as writer:
        add(writer, run(), [page()], [sample()])
        writer.publish(force=True)
    begin(home, said)
    assert said == ["The sample is left out: this home holds real data."]
