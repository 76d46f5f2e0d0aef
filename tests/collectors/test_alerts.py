"""Alerts: each fires once and clears once on every way, a webhook that fails is tried again, and shows no secret."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collectors import alerts
from collectors.alerts import alert
from collectors.http import HttpLimits
from costlib.alerts import EventKind, Signal, Watched
from costlib.errors import ConfigError
from store.alerts_file import load_state
from store.home import Home
from tests.fake_webhook import Answer, FakeWebhook

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULE = """
[[alert]]
on = "breach_probability"
above = 0.5
clear_below = 0.4
to = ["log", "webhook", "page"]
url_variable = "HOOK"
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "alerts.toml").write_text(RULE, encoding="utf-8")
    return Home(tmp_path)


def chance(value: float | None, scope: str = "chat", text: str = "") -> Signal:
    return Signal(on=Watched.BREACH_PROBABILITY, scope=scope, value_ratio=value, text=text)


def run(home: Home, url: str, *signals: Signal, hours: int = 0):
    return asyncio.run(alert(home, signals, {"HOOK": url}, NOW + timedelta(hours=hours)))


def test_it_fires_once_and_clears_once_whatever_happens_between(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with FakeWebhook() as hook:
        for hours, value in enumerate((0.3, 0.6, 0.9, 0.45, 0.55, None, 0.39, 0.1)):
            state = run(home, hook.url, chance(value), hours=hours)
    assert [(sent["kind"], sent["value"]) for sent in hook.received] == [("fired", 0.6), ("cleared", 0.39)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "fired: breach_probability of 'chat' is 0.6, above 0.5" in caplog.text
    assert (state.firing, state.waiting) == ({}, ())
    # What pages show.
    assert [event.kind for event in load_state(home).on_page] == [EventKind.CLEARED, EventKind.FIRED]


def test_the_message_is_json_with_a_line_for_people(home: Home) -> None:
    with FakeWebhook() as hook:
        run(home, hook.url, chance(0.75, text="lands at $210 of $200"))
    (sent,) = hook.received
    assert sent.pop("id")
    assert sent == {
        "kind": "fired",
        "on": "breach_probability",
        "scope": "chat",
        "value": 0.75,
        "limit": 0.5,
        "at": "2026-11-21T12:00:00+00:00",
        "text": "fired: breach_probability of 'chat' is 0.75, above 0.5: 'lands at $210 of $200'",
    }
    assert hook.paths == ["/hook/s3cret?sig=t0ken"]


def test_each_scope_is_an_alert_of_its_own(home: Home) -> None:
    with FakeWebhook() as hook:
        run(home, hook.url, chance(0.6, "chat"), chance(0.1, "search"))
        run(home, hook.url, chance(0.6, "chat"), chance(0.7, "search"), hours=1)
    assert [sent["scope"] for sent in hook.received] == ["chat", "search"]


def test_a_failure_is_tried_once_more_at_once(home: Home) -> None:
    with FakeWebhook([Answer(503)]) as hook:
        state = run(home, hook.url, chance(0.6))
    assert [sent["id"] for sent in hook.received] == [hook.received[0]["id"]] * 2
    assert not state.waiting


def test_a_webhook_that_is_down_gets_everything_in_order_when_it_is_back(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with FakeWebhook([Answer(503), Answer(500)]) as hook:
        assert run(home, hook.url, chance(0.6)).waiting
        assert "127.0.0.1" in caplog.text and "answered HTTP 500" in caplog.text
        assert "s3cret" not in caplog.text and "t0ken" not in caplog.text
        hook.received.clear()
        hook.answers = ()
        assert not run(home, hook.url, chance(0.2), hours=1).waiting
    assert [sent["kind"] for sent in hook.received] == ["fired", "cleared"]


def test_in_one_round_a_dead_webhook_is_asked_for_one_event_only(home: Home) -> None:
    with FakeWebhook([Answer(500)] * 9) as hook:
        state = run(home, hook.url, *(chance(0.9, f"p{n}") for n in range(4)))
    assert len(hook.received) == alerts.TRIES
    assert len(state.waiting) == 4


def test_nothing_is_forgotten_and_nothing_said_twice_when_it_crashes_between_two_ways(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(*_: object) -> bool:
        raise RuntimeError("power cut")

    with FakeWebhook() as hook:
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="power cut"):
            patch.setattr(alerts, "_post", crash)
            run(home, hook.url, chance(0.6))
        run(home, hook.url, chance(0.6), hours=1)
    assert len(hook.received) == 1
    assert caplog.text.count("fired:") == 1


def test_a_slow_webhook_does_not_hold_up_the_round(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "LIMITS", HttpLimits(total_s=0.1))
    with FakeWebhook([Answer(after_s=0.5)] * 2) as hook:
        assert run(home, hook.url, chance(0.6)).waiting


def test_a_redirect_is_not_followed(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    with FakeWebhook() as other, FakeWebhook([Answer(307, other.url)] * 2) as hook:
        assert run(home, hook.url, chance(0.6)).waiting
    assert not other.received
    assert "sends us on elsewhere, which is not followed" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "http://169.254.169.254/latest/meta-data",
        "http://0xA9FEA9FE/",
        "http://user:pa55@example.org/",
        "javascript:alert(1)",
        "http://",
        "http://[::1",
        "not a url pa55",
    ],
)
def test_an_address_that_may_not_be_asked_is_refused_without_showing_it(
    home: Home, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    assert run(home, url, chance(0.6)).waiting
    assert "the address in HOOK is refused" in caplog.text
    assert "pa55" not in caplog.text and "meta-data" not in caplog.text


def test_a_variable_that_is_not_set_is_said(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    assert run(home, "", chance(0.6)).waiting
    assert "the environment variable HOOK is not set; put the address there" in caplog.text


def test_hostile_names_are_harmless_in_the_log(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    with FakeWebhook() as hook:
        run(home, hook.url, chance(0.6, "\x1b[2J\nERROR all is lost \u202e", text="x" * 5000))
    (record,) = caplog.records
    line = record.getMessage()
    assert "\n" not in line and "\x1b" not in line and "\u202e" not in line
    assert len(line) <= alerts.MOST_TEXT_CHARACTERS


def test_an_anomaly_that_is_over_clears(tmp_path: Path) -> None:
    (tmp_path / "alerts.toml").write_text('[[alert]]\non = "anomaly"\nabove = 100\nto = ["page"]\n', encoding="utf-8")
    home = Home(tmp_path)
    run(home, "", Signal(on=Watched.ANOMALY, scope="chat", value_ratio=250.0))
    state = run(home, "", hours=24)
    assert [event.kind for event in state.events] == [EventKind.FIRED, EventKind.CLEARED]


def test_a_home_without_rules_says_nothing_and_writes_nothing(tmp_path: Path) -> None:
    run(Home(tmp_path), "", chance(0.9))
    assert not list(tmp_path.iterdir())


def test_a_rule_that_is_taken_out_says_nothing_more(home: Home) -> None:
    with FakeWebhook([Answer(500)] * 2) as hook:
        run(home, hook.url, chance(0.6))
        (home.path / "alerts.toml").write_text("", encoding="utf-8")
        state = run(home, hook.url, chance(0.1), hours=1)
    assert (state.firing, state.waiting) == ({}, ())
    assert len(hook.received) == alerts.TRIES


def test_a_state_that_cannot_be_read_stops_with_its_reason(home: Home) -> None:
    (home.path / "alerts.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"alerts\.json cannot be read: .* Delete it"):
        run(home, "", chance(0.6))
