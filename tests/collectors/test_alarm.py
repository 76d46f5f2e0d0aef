"""The alarm of the collector: one look at each published state, and no fault in the rules stops collecting."""

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors import alerts
from collectors.alerts import Alarm
from collectors.run import collect
from costlib.alerts import Signal, Watched
from store.alerts_file import load_state
from store.home import Home
from store.writer import Writer

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = '[[alert]]\non = "idle_share"\nabove = 0.3\nto = ["log", "page"]\n'
IDLE = Signal(on=Watched.IDLE_SHARE, scope="", value_ratio=0.4, text="idle")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    (tmp_path / "alerts.toml").write_text(RULE, encoding="utf-8")
    with Writer.open(home, lambda: NOW) as writer:
        writer.publish(force=True)
    return home


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time the figures are made."""
    times: list[str] = []
    monkeypatch.setattr(alerts, "signals", lambda snapshot, home: times.append(snapshot.id) or (IDLE,))
    return times


def look(home: Home, times: int = 1) -> Alarm:
    alarm = Alarm(home, {}, lambda: NOW)

    async def looks() -> None:
        for _ in range(times):
            await alarm.look()

    asyncio.run(looks())
    return alarm


def test_each_published_state_is_looked_at_once(home: Home, asked: list[str]) -> None:
    alarm = look(home, times=3)
    assert len(asked) == 1
    (event,) = load_state(home).firing_on_page
    assert (event.on, event.at) == (Watched.IDLE_SHARE, NOW)
    with Writer.open(home, lambda: NOW) as writer:
        writer.publish(force=True)
    asyncio.run(alarm.look())
    assert len(asked) == 2
    assert len(load_state(home).events) == 1, "what fires already does not fire again"


def test_without_rules_no_figure_is_made(home: Home, asked: list[str]) -> None:
    (home.path / "alerts.toml").unlink()
    look(home)
    assert not asked


def test_broken_rules_are_one_warning_however_often_it_looks(
    home: Home, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    (home.path / "alerts.toml").write_text('[[alert]]\non = "weather"\n', encoding="utf-8")
    alarm = look(home)
    with Writer.open(home, lambda: NOW) as writer:
        writer.publish(force=True)
    asyncio.run(alarm.look())
    (record,) = [one for one in caplog.records if one.name == "permillion.alerts"]
    assert record.levelno == logging.WARNING
    assert "alerts.toml" in record.getMessage()
    assert "weather" in record.getMessage()


def test_a_fault_of_ours_is_logged_and_goes_no_further(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(alerts, "signals", lambda *_: 1 / 0)
    look(home)
    assert "looking for alerts failed" in caplog.text


def test_before_anything_is_published_there_is_nothing_to_say(tmp_path: Path, asked: list[str]) -> None:
    look(Home(tmp_path))
    assert not asked


def test_one_round_of_collecting_looks_after_its_last_publishing(home: Home, asked: list[str]) -> None:
    with Writer.open(home, lambda: NOW) as writer:
        asyncio.run(collect(writer, [], once=True, alarm=Alarm(home, {}, lambda: NOW)))
    published = home.pointer.read_text(encoding="utf-8")
    assert len(asked) == 1
    assert asked[0] in published


def test_collecting_on_looks_now_and_then(home: Home, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "LOOK_EVERY_S", 0.01)

    async def collecting() -> None:
        stop = asyncio.Event()
        with Writer.open(home, lambda: NOW) as writer:
            running = asyncio.create_task(collect(writer, [], stop=stop, alarm=Alarm(home, {}, lambda: NOW)))
            while not asked:
                await asyncio.sleep(0.01)
            stop.set()
            await running

    asyncio.run(asyncio.wait_for(collecting(), 30))
    assert asked
