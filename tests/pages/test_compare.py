"""The Compare page: today and up to four scenarios, each with cash, range and evidence."""

import json

import pytest

from costlib.compare import compare
from costlib.presets import PRESETS
from store.saved import save
from tests.pages.conftest import Open
from tests.pages.reading import chart, page_text, usd
from ui import data


def side_by_side(at):
    return next(frame.value for frame in at.dataframe if "Spend per month" in frame.value.index)


def test_the_presets_stand_beside_today_with_the_librarys_figures(open_page: Open) -> None:
    at = open_page("compare", "sample")
    shown = side_by_side(at)
    assert list(shown.columns) == ["Today", "Quick wins", "Aggressive"]
    today = data.today(data.snapshot()[0])
    for preset in PRESETS:
        solved = compare(today.scenario, preset.settings, today.catalog)
        assert usd(shown.loc["Spend per month", preset.name]) == round(solved.scenario.usd_per_month.mid)
        assert usd(shown.loc["Cash saved", preset.name]) == round(solved.saved_usd_per_month)
    assert shown.loc["Answers still accepted", "Quick wins"] == "none changed"
    assert shown.loc["Answers still accepted", "Aggressive"] == "not evaluated"


def test_the_title_names_the_one_that_saves_most(open_page: Open) -> None:
    at = open_page("compare", "sample")
    assert "Aggressive saves most: $" in page_text(at)
    bars = chart(at, "spend")["data"][0]
    assert bars["y"] == ["Today", "Quick wins", "Aggressive"]
    assert len(set(bars["marker"]["color"][1:])) == 1 != bars["marker"]["color"][0]


def test_saved_scenarios_are_offered_and_one_that_cannot_run_says_why(
    all_homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    place = all_homes.copy("sample", tmp_path / "comparing")
    monkeypatch.setitem(all_homes._made, "comparing", place)
    save(place.home, "Impossible", {"gpu_choice": {"gpu": "t4"}, "weight_precision": {"weights": "bf16"}}, place.now)
    save(place.home, "Ours", {"prefix_caching": {"enabled": True}}, place.now)
    save(place.home, "Of the future", {"time_travel": {"enabled": True}}, place.now)
    at = open_page("compare", "comparing", {"scenarios": "Ours"})
    assert not at.exception
    assert list(side_by_side(at).columns) == ["Today", "Ours"]
    at.multiselect(key="scenarios").set_value(["Ours", "Impossible", "Of the future"]).run()
    assert not at.exception
    assert side_by_side(at).loc["Spend per month", "Of the future"] == "cannot run"
    assert "unknown lever 'time_travel'" in page_text(at)


def test_a_broken_file_is_named_and_the_rest_is_offered(
    all_homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    place = all_homes.copy("sample", tmp_path / "broken saved")
    monkeypatch.setitem(all_homes._made, "broken saved", place)
    place.home.make()
    (place.home.scenarios / "0123.json").write_text(json.dumps({"format": 9}))
    at = open_page("compare", "broken saved")
    assert "0123.json cannot be read" in page_text(at)
    assert "Quick wins" in side_by_side(at).columns


def test_a_saved_name_that_is_taken_is_told_apart(
    all_homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    place = all_homes.copy("sample", tmp_path / "taken")
    monkeypatch.setitem(all_homes._made, "taken", place)
    for name in ("Today", "Quick wins"):
        save(place.home, name, {"prefix_caching": {"enabled": True}}, place.now)
    at = open_page("compare", "taken")
    at.multiselect(key="scenarios").set_value(["Quick wins", "Quick wins (saved)", "Today (saved)"]).run()
    assert not at.exception
    assert list(side_by_side(at).columns) == ["Today", "Quick wins", "Quick wins (saved)", "Today (saved)"]


def test_the_small_print_says_what_the_figures_rest_on(open_page: Open) -> None:
    for page in ("compare", "plan"):
        said = page_text(open_page(page, "sample"))
        assert "Demand of 3 of 3 deployments measured" in said
        assert "Engine model: " in said
        assert "Prices in force on " in said


def test_nothing_chosen_asks_for_a_choice(open_page: Open) -> None:
    at = open_page("compare", "sample")
    at.multiselect(key="scenarios").set_value([]).run()
    assert "Choose up to four" in page_text(at)


def test_without_data_it_compares_on_the_sample_fleet(open_page: Open) -> None:
    at = open_page("compare", "empty")
    assert not at.exception
    assert "These deployments are the sample fleet's" in page_text(at)
