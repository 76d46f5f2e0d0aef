"""Saved scenarios: whole or absent, by name, and readable later."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import ConfigError
from store import saved as store
from store.home import Home
from store.saved import MOST_NAME_CHARACTERS, delete, save, saved

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = {"prefix_caching": {"enabled": True, "hit_fraction": 0.45}, "kv_precision": {"kv": "fp8"}}


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_what_is_saved_comes_back_by_name(home):
    save(home, "Quick", SETTINGS, NOW)
    (one,) = saved(home)
    assert (one.name, one.settings, one.saved_at, one.problem) == ("Quick", SETTINGS, NOW, "")


def test_the_same_name_replaces_and_another_stands_beside(home):
    save(home, "b", SETTINGS, NOW)
    save(home, "A", SETTINGS, NOW)
    save(home, " b ", {}, NOW)
    assert [(one.name, bool(one.settings)) for one in saved(home)] == [("A", True), ("b", False)]


def test_deleted_is_gone_and_deleting_what_is_not_there_is_no_error(home):
    save(home, "b", SETTINGS, NOW)
    delete(home, "b")
    delete(home, "b")
    assert saved(home) == []


@pytest.mark.parametrize("name", ["", "   ", "x" * (MOST_NAME_CHARACTERS + 1), "a\x00b", "a\u202eb"])
def test_a_name_that_is_none_is_refused(home, name):
    with pytest.raises(ConfigError, match="name is 1 to 80 printable"):
        save(home, name, SETTINGS, NOW)


@given(name=st.text(min_size=1, max_size=MOST_NAME_CHARACTERS))
def test_no_name_leaves_the_folder(tmp_path_factory, name):
    home = Home(tmp_path_factory.mktemp("saved"))
    try:
        save(home, name, SETTINGS, NOW)
    except ConfigError:
        return
    assert [path.parent for path in home.scenarios.iterdir()] == [home.scenarios]
    assert saved(home)[0].name == " ".join(name.split())


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "settings": 3}', "[" * 100_000,
     json.dumps({"format": 1, "name": "x", "saved_at": "never", "settings": {}})],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(home, text):
    save(home, "good", SETTINGS, NOW)
    (home.scenarios / "bad.json").write_text(text)
    found = {one.name: one.problem for one in saved(home)}
    assert found["good"] == ""
    assert "bad.json cannot be read" in found["bad.json"]
    assert "Delete it" in found["bad.json"]


def test_there_is_an_end_to_how_many(home, monkeypatch):
    monkeypatch.setattr(store, "MOST_SAVED", 2)
    save(home, "one", {}, NOW)
    save(home, "two", {}, NOW)
    save(home, "two", SETTINGS, NOW)
    with pytest.raises(ConfigError, match="delete one"):
        save(home, "three", {}, NOW)


def test_a_copy_under_another_name_is_no_second_scenario_and_can_be_deleted(home):
    save(home, "one", SETTINGS, NOW)
    (kept,) = home.scenarios.glob("*.json")
    (home.scenarios / "copy.json").write_bytes(kept.read_bytes())
    assert {one.name: bool(one.problem) for one in saved(home)} == {"one": False, "copy.json": True}
    delete(home, "copy.json")
    assert [one.name for one in saved(home)] == ["one"]
