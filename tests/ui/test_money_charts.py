"""Figures of money: what hangs from what, and where the volumes are marked."""

from math import log10

import pytest

from ui.money_charts import Bar, Step, break_even, cascade
from ui.theme import LIGHT

BRIDGE = [
    Bar(name="List price", amount=100.0, step=Step.TOTAL),
    Bar(name="Discount", amount=20.0, step=Step.LESS),
    Bar(name="Paid", amount=80.0, step=Step.TOTAL),
    Bar(name="Idle", amount=30.0, step=Step.PART),
    Bar(name="Credit", amount=10.0, step=Step.MORE, shown="-$10.00"),
    Bar(name="Output", amount=60.0, step=Step.TOKENS),
]


def test_every_bar_hangs_from_the_end_of_the_one_before_and_the_last_one_ends_at_zero() -> None:
    (bars,) = cascade(BRIDGE, LIGHT)["data"]
    ends = list(
        zip(bars["base"], (base + length for base, length in zip(bars["base"], bars["x"], strict=True)), strict=True)
    )
    assert ends == [(0, 100), (80, 100), (0, 80), (50, 80), (50, 60), (0, 60)]


def test_what_was_not_spent_is_green_and_what_became_tokens_has_the_accent() -> None:
    colors = dict(zip((bar.name for bar in BRIDGE), cascade(BRIDGE, LIGHT)["data"][0]["marker"]["color"], strict=True))
    assert (colors["Discount"], colors["Output"], colors["Paid"]) == (LIGHT.less, LIGHT.accent, LIGHT.idle)


def test_amounts_are_written_beside_the_bars_a_saving_with_its_sign() -> None:
    assert cascade(BRIDGE, LIGHT)["data"][0]["text"][1:5] == ["-$20.00", "$80.00", "$30.00", "-$10.00"]


def test_names_from_outside_are_no_markup() -> None:
    (bars,) = cascade([Bar(name="<b>x</b>", amount=1.0, step=Step.TOTAL)], LIGHT)["data"]
    assert bars["y"] == ["&lt;b&gt;x&lt;/b&gt;"]


def test_nothing_at_all_is_drawn_without_a_fault() -> None:
    assert cascade([Bar(name="Bill", amount=0.0, step=Step.TOTAL)], LIGHT)["layout"]["xaxis"]["range"][1] > 0


@pytest.mark.parametrize(
    ("crossing", "words"), [(5.6e9, [" cheaper from 5.6B ", " today 3B "]), (None, [" today 3B "])]
)
def test_the_break_even_and_todays_volume_are_labelled_where_they_are(crossing: float | None, words: list[str]) -> None:
    figure = break_even([1e9, 1e10], [900.0, 9000.0], [2520.0, 5040.0], crossing, 3e9, LIGHT)["layout"]
    assert [note["text"] for note in figure["annotations"]] == words
    assert figure["annotations"][-1]["x"] == pytest.approx(log10(3e9)), (
        "annotations of a log axis are placed by exponent"
    )
    assert figure["shapes"][-1]["x0"] == 3e9
