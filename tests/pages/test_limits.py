"""The Limits page: roofs, speeds, memory and floor agree with the library, and say how they are known."""

from pathlib import Path
from urllib.parse import parse_qs

import pytest
from typer.testing import CliRunner

import cli
from costlib.units import GIBI
from tests.pages.conftest import Homes, Open
from tests.pages.reading import card, chart, page_text, table, usd


@pytest.fixture
def sample(see_page: Open):
    return see_page("limits", "sample")


def test_measured_and_modelled_work_stand_below_the_sheets_roof(sample) -> None:
    figure = chart(sample, "roofline")
    sheet, _, reached, marks = figure["data"]
    names = marks["text"]
    assert names == ["Live decode", "Live prefill", "Today"]
    assert marks["marker"]["symbol"] == ["circle", "circle", "circle-open"]
    slope = sheet["y"][0] / sheet["x"][0]
    for intensity, speed in zip(marks["x"], marks["y"], strict=True):
        assert 0 < speed < min(slope * intensity, max(sheet["y"]))
    decode, prefill = marks["x"][:2]
    assert decode < sheet["x"][1] < prefill, "decode is bound by bandwidth, prefill by arithmetic"
    assert max(reached["y"]) < max(sheet["y"])


def test_the_scenario_of_the_address_is_a_point_too(open_page: Open) -> None:
    at = open_page("limits", "sample", {"weight_precision.weights": "FP8"})
    marks = chart(at, "roofline")["data"][-1]
    assert marks["text"][-1] == "Scenario"
    assert marks["y"][-1] > marks["y"][-2], "fewer bytes for each token"
    assert "With the scenario's fp8 weights: 1,979 TFLOP/s" in page_text(at)


def test_speeds_have_todays_way_other_gpus_and_the_slowest_that_is_allowed(sample) -> None:
    figure = chart(sample, "speeds")
    own, *others = figure["data"]
    assert own["name"] == "4 x NVIDIA H100 SXM, as it is"
    assert len(others) == 3 + 1, "three rivals and today's point"
    assert figure["layout"]["shapes"][0]["x0"] == 20, "50 ms per token"
    assert own["x"] == sorted(own["x"], reverse=True)
    assert own["y"] == sorted(own["y"]), "a larger batch is slower for one and faster for all"


def test_the_cost_view_has_the_same_points_at_their_cost(open_page: Open) -> None:
    by_speed, by_cost = (
        chart(open_page("limits", "sample", {"pareto": view}), "speeds")["data"][0] for view in ("Speed", "Cost")
    )
    assert by_cost["x"] == by_speed["x"]
    products = [cost * speed for cost, speed in zip(by_cost["y"], by_speed["y"], strict=True)]
    assert products == pytest.approx([products[0]] * len(products)), "cost is price over speed"


def test_the_memory_bar_is_as_long_as_the_gpus_memory(sample) -> None:
    figure = chart(sample, "memory")
    assert sum(bar["x"][0] for bar in figure["data"]) == pytest.approx(figure["layout"]["xaxis"]["range"][1])
    weights = figure["data"][0]["x"][0]
    assert weights == pytest.approx(70.55e9 * 2 / 4 / GIBI, rel=0.01)


def test_the_gap_hangs_from_the_cost_now_down_to_the_floor(sample) -> None:
    bars = chart(sample, "gap")["data"][0]
    assert (bars["y"][0], bars["y"][-1]) == ("Cost now", "Floor")
    assert bars["base"][-2] == pytest.approx(bars["x"][-1]), "the last part ends where the floor stands"
    assert usd(card(sample, "Least cost per 1M")) == pytest.approx(bars["x"][-1], abs=0.0006)
    assert "Cost now: measured, last 2 minutes" in page_text(sample)


def test_without_servers_the_cost_is_modelled_and_no_point_is_live(see_page: Open) -> None:
    at = see_page("limits", "scenario only")
    assert chart(at, "roofline")["data"][-1]["text"] == ["Today"]
    said = page_text(at)
    assert "Cost now: modelled" in said
    assert "nothing was measured in the last half hour" in said


def test_figures_that_are_modelled_say_so(see_page: Open) -> None:
    at = see_page("limits", "scenario only")
    (mfu,) = [metric for metric in at.metric if metric.label.startswith("Arithmetic used")]
    assert mfu.delta == "modelled, busy step"
    assert card(at, "GPU utilisation") == "–"
    assert "Not calibrated on this fleet" in page_text(at)


def test_the_way_to_the_plan_has_the_same_deployment(open_page: Open) -> None:
    at = open_page("limits", "sample", {"deployment": "search-answers · llama-3.1-8b"})
    (link,) = [one.proto for one in at.get("page_link") if one.proto.label == "Plan how to close it"]
    assert parse_qs(link.query_string) == {"deployment": ["search-answers · llama-3.1-8b"]}


def test_another_deployment_can_be_chosen(open_page: Open) -> None:
    at = open_page("limits", "sample", {"deployment": "search-answers · llama-3.1-8b"})
    assert chart(at, "speeds")["data"][0]["name"] == "1 x NVIDIA H100 SXM, as it is"


def test_a_model_that_does_not_fit_says_what_would(see_page: Open) -> None:
    at = see_page("limits", "does not fit")
    assert "Llama 3.1 405B in bf16 does not fit 1 x NVIDIA H100 SXM" in page_text(at)
    assert not at.get("plotly_chart")


def test_measurements_without_a_described_deployment_ask_for_one(see_page: Open) -> None:
    at = see_page("limits", "real")
    assert "Describe your deployments in" in page_text(at)
    assert not at.get("plotly_chart")


def test_a_calibrated_deployment_shows_its_constants_and_the_day_that_was_held_back(
    all_homes: Homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = all_homes.copy("sample", tmp_path / "calibrated")
    monkeypatch.setenv("PERMILLION_HOME", str(place.home.path))
    assert CliRunner().invoke(cli.app, ["calibrate", "--deployment", "support-copilot"]).exit_code == 0
    monkeypatch.setitem(all_homes._made, "calibrated", place)
    at = open_page("limits", "calibrated")
    said = page_text(at)
    assert card(at, "Engine model") == "calibrated"
    assert "which proves nothing" in said
    assert "that it agrees with them proves nothing" in said, "the sample is the model's own"
    predicted, happened = chart(at, "back-test")["data"]
    assert predicted["x"] == happened["x"]
    assert set(table(at, "Times published")["Constant"]) >= {"compute", "memory"}
