"""alerts.toml: strict, without secrets, and an error says what, where and what to do."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from costlib.alerts import Signal, Watched, Way, judged
from costlib.errors import ConfigError
from store.alerts_file import ALERT_KEYS, load_rules, load_state, rules_from, save_state
from store.home import Home

DEMO = Path(__file__).parents[2] / "data" / "demo" / "alerts.toml"
WHOLE = {"on": '"idle_share"', "above": "0.3"}


def rules(*blocks: dict[str, str]):
    text = "\n".join("[[alert]]\n" + "\n".join(f"{key} = {value}" for key, value in block.items()) for block in blocks)
    return rules_from(tomllib.loads(text), "alerts.toml")


def test_the_documented_file_is_read_whole_and_has_every_key(tmp_path: Path):
    (tmp_path / "alerts.toml").write_text(DEMO.read_text(encoding="utf-8"), encoding="utf-8")
    breach, anomaly, idle = load_rules(Home(tmp_path))
    assert (breach.scope, breach.above_ratio, breach.clear_below_ratio) == ("Support copilot", 0.5, 0.4)
    assert (breach.to, breach.url_variable) == ((Way.LOG, Way.WEBHOOK, Way.PAGE), "PERMILLION_WEBHOOK")
    assert (anomaly.to, anomaly.clear_below_ratio) == ((Way.LOG, Way.PAGE), 200)
    assert idle.to == (Way.PAGE,)
    assert {key for block in tomllib.loads(DEMO.read_text(encoding="utf-8"))["alert"] for key in block} == ALERT_KEYS


def test_a_home_without_the_file_has_no_rules(tmp_path: Path):
    assert load_rules(Home(tmp_path)) == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"on": None}, r"alerts.toml \[\[alert\]\] 1: on is missing"),
        ({"on": '"idle_shar"'}, "Did you mean 'idle_share'"),
        ({"above": None}, "above is missing"),
        ({"above": '"high"'}, "above: expected a finite number"),
        ({"above": "nan"}, "above: expected a finite number"),
        ({"clear_below": "0.9"}, "it clears below 0.9, and fires only above 0.3; clear lower"),
        ({"to": '"log"'}, r'to: a list such as \["log", "page"\]'),
        ({"to": "[]"}, "to: a list"),
        ({"to": '["mail"]'}, "unknown way 'mail'"),
        ({"to": '["webhook"]'}, "url_variable, which names where its address is, go together"),
        ({"url_variable": '"X"'}, "go together"),
        ({"to": '["webhook"]', "url_variable": '"https://h.example/T0KEN"'}, "the name of an environment variable"),
        ({"url": '"https://h.example"'}, "unknown key 'url'"),
        ({"scope": '""'}, "scope is empty"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(changed: dict[str, str | None], message: str):
    with pytest.raises(ConfigError, match=message) as refused:
        rules({key: value for key, value in {**WHOLE, **changed}.items() if value is not None})
    assert "T0KEN" not in str(refused.value)


def test_the_same_watched_twice_is_refused():
    with pytest.raises(ConfigError, match="two alerts watch 'idle_share chat'; keep one"):
        rules(*[{**WHOLE, "scope": '"chat"'}] * 2)


def test_what_was_said_is_kept_as_it_was(tmp_path: Path):
    home = Home(tmp_path)
    signal = Signal(on=Watched.IDLE_SHARE, scope="Küche \n", value_ratio=0.5, text="ä")
    state = judged(rules(WHOLE), [signal], load_state(home), datetime(2026, 11, 21, tzinfo=UTC))
    save_state(home, state)
    assert load_state(home) == state
    assert len(state.firing) == len(state.events) == 1


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 2}', '{"format": 1, "firing": {"a": "2026-11-21"}, "events": []}', "[" * 100_000]
)
def test_a_broken_state_is_named(tmp_path: Path, text: str):
    (tmp_path / "alerts.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"alerts\.json cannot be read"):
        load_state(Home(tmp_path))
