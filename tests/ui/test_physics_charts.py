"""Figures of the limits: nothing stands above the sheet's roof, and labels and lines are where their values are."""

from math import log10

import pytest

from costlib.units import GIBI, TERA
from ui.physics_charts import (
    Hour,
    MemoryPart,
    Roof,
    SpeedLine,
    SpeedPoint,
    WorkPoint,
    back_test,
    memory,
    roofline,
    speeds,
)
from ui.theme import LIGHT

SHEET = Roof(name="Sheet", bytes_per_s=2e12, flop_per_s=400e12)
REACHED = Roof(name="Reached", bytes_per_s=1.6e12, flop_per_s=300e12)
DECODE = WorkPoint(name="Decode", flop_per_byte=20.0, flop_per_s=20e12, is_live=True)
SCENARIO = WorkPoint(name="Scenario <b>", flop_per_byte=2000.0, flop_per_s=200e12, is_scenario=True)
SLOW = SpeedPoint(name="batch 64", user_tokens_per_s=20.0, gpu_tokens_per_s=1000.0, usd_per_mtok=0.7)
FAST = SpeedPoint(name="batch 1", user_tokens_per_s=80.0, gpu_tokens_per_s=60.0, usd_per_mtok=11.0)
TODAY = SpeedLine(name="Today's", points=(FAST, SLOW), is_today=True)


def test_a_roof_bends_at_its_ridge() -> None:
    assert SHEET.ridge_flop_per_byte == 200
    assert (SHEET.at(100), SHEET.at(200), SHEET.at(1000)) == (200e12, 400e12, 400e12)


def test_the_roofs_are_drawn_in_tflops_and_the_rest_above_is_filled() -> None:
    sheet, above, reached, _ = roofline(SHEET, REACHED, [DECODE], LIGHT)["data"]
    assert sheet["y"][1:] == [SHEET.flop_per_s / TERA] * 2
    assert above["fill"] == "tonexty"
    assert max(reached["y"]) == REACHED.flop_per_s / TERA


def test_every_point_is_inside_the_axes_and_has_one_label_at_its_place() -> None:
    figure = roofline(SHEET, REACHED, [DECODE, SCENARIO], LIGHT)
    marks, frame = figure["data"][-1], figure["layout"]
    for axis, values in (("xaxis", marks["x"]), ("yaxis", marks["y"])):
        low, high = frame[axis]["range"]
        assert all(low < log10(value) < high for value in values)
    labels = {note["text"]: note for note in frame["annotations"]}
    assert labels["Decode"]["x"] == pytest.approx(log10(20))
    assert labels["Decode"]["xanchor"] == "left"
    assert labels["Scenario &lt;b&gt;"]["xanchor"] == "right", "towards the middle, where there is room"


def test_what_is_live_is_filled_and_the_scenario_has_the_accent() -> None:
    marker = roofline(SHEET, REACHED, [DECODE, SCENARIO], LIGHT)["data"][-1]["marker"]
    assert marker["symbol"] == ["circle", "circle-open"]
    assert marker["color"] == [LIGHT.text, LIGHT.accent]


def test_labels_of_points_that_lie_together_do_not_cover_each_other() -> None:
    twin = WorkPoint(name="Today", flop_per_byte=21.0, flop_per_s=20.5e12)
    first, second = roofline(SHEET, REACHED, [DECODE, twin], LIGHT)["layout"]["annotations"]
    assert abs(first["y"] - second["y"]) > 0.1


@pytest.mark.parametrize(("by_cost", "heights"), [(False, [60.0, 1000.0]), (True, [11.0, 0.7])])
def test_speed_is_drawn_against_the_speed_of_a_gpu_or_against_cost(by_cost: bool, heights: list[float]) -> None:
    figure = speeds([TODAY], SLOW, 25.0, by_cost, LIGHT)
    line, mark = figure["data"]
    assert line["x"] == [80.0, 20.0]
    assert line["y"] == heights
    assert mark["y"] == [heights[1]]
    assert figure["layout"]["shapes"][0]["x0"] == 25.0
    assert figure["layout"]["annotations"][-1]["text"] == " at least 25 tok/s "


def test_without_a_target_there_is_no_line_for_one() -> None:
    assert speeds([TODAY], None, None, False, LIGHT)["layout"]["shapes"] == []


def test_memory_is_drawn_in_gib_up_to_the_size_of_the_gpu_and_what_is_free_is_pale() -> None:
    parts = [
        MemoryPart(name="Weights", size_bytes=16 * GIBI),
        MemoryPart(name="KV cache in use", size_bytes=10 * GIBI),
        MemoryPart(name="KV cache free", size_bytes=40 * GIBI, is_free=True),
        MemoryPart(name="Left free", size_bytes=14 * GIBI),
    ]
    figure = memory(parts, 80 * GIBI, LIGHT)
    assert [bar["x"] for bar in figure["data"]] == [[16], [10], [40], [14]]
    assert figure["layout"]["xaxis"]["range"] == [0, 80]
    used, free, left = (bar["marker"] for bar in figure["data"][1:])
    assert free["color"] == used["color"]
    assert free["opacity"] < used["opacity"]
    assert left["color"] == LIGHT.idle


def test_the_back_test_has_what_happened_beside_what_was_said_in_minutes() -> None:
    hour = Hour(at="2026-11-20T08:00:00+00:00", busy_s=1800.0, predicted_s=1740.0, low_s=1680.0, high_s=1920.0)
    predicted, happened = back_test([hour], LIGHT)["data"]
    assert (predicted["y"], happened["y"]) == ([29.0], [30.0])
    assert (predicted["error_y"]["arrayminus"], predicted["error_y"]["array"]) == ([1.0], [3.0])
