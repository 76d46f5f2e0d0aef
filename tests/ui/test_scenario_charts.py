"""What a scenario hangs on, and its range: bars that begin and end where the figures say."""

from ui.scenario_charts import ranged_bars, tornado
from ui.theme import LIGHT

DRIVERS = [("Prefix caching: hits", "10 %", "65 %", 120.0, 90.0), ("Step times", "P10", "P90", 95.0, 130.0)]


def test_a_tornado_bar_reaches_from_the_cheaper_edge_to_the_dearer_whichever_that_is() -> None:
    less, more = tornado(DRIVERS, 100.0, LIGHT)["data"]
    assert [base + length for base, length in zip([less["base"]] * 2, less["x"], strict=True)] == [90.0, 95.0]
    assert [more["base"] + length for length in more["x"]] == [120.0, 130.0]
    assert (less["text"], more["text"]) == (["65 %", "P10"], ["10 %", "P90"])
    assert (less["marker"]["color"], more["marker"]["color"]) == (LIGHT.less, LIGHT.more)


def test_a_tornado_shows_its_names_in_two_short_lines_and_hostile_ones_as_text() -> None:
    figure = tornado([("A: <b>b</b>", "0", "1", 1.0, 2.0)], 1.5, LIGHT)
    assert figure["data"][0]["y"] == ["A:<br>&lt;b&gt;b&lt;/b&gt;"]


def test_a_tornado_of_edges_that_are_all_the_same_can_be_drawn() -> None:
    low, high = tornado([("x", "0", "1", 5.0, 5.0)], 5.0, LIGHT)["layout"]["xaxis"]["range"]
    assert low < 5.0 < high


def test_whiskers_reach_from_p10_to_p90_and_today_is_grey() -> None:
    (drawn,) = ranged_bars([("Today", 10.0, 8.0, 13.0), ("<i>mine</i>", 5.0, 5.0, 5.0)], LIGHT)["data"]
    assert drawn["error_x"]["array"] == [3.0, 0.0]
    assert drawn["error_x"]["arrayminus"] == [2.0, 0.0]
    assert drawn["marker"]["color"] == [LIGHT.idle, LIGHT.accent]
    assert drawn["y"][1] == "&lt;i&gt;mine&lt;/i&gt;"


def test_a_bar_whose_edges_are_both_dearer_than_the_middle_has_no_cheaper_half() -> None:
    less, more = tornado([("x: y", "10 %", "65 %", 110.0, 130.0), ("z", "P10", "P90", 80.0, 90.0)], 100.0, LIGHT)[
        "data"
    ]
    assert (less["x"], less["text"]) == ([0.0, -20.0], ["", "P10"])
    assert (more["x"], more["text"]) == ([30.0, 0.0], ["65 %", ""])
