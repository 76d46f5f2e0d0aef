"""The Weekly review page: the record of the pack on a screen, with decisions that stay."""

from datetime import UTC

import pytest

from costlib.books import CostBasis
from store.reviews import newest_week, review
from tests.pages.conftest import Open
from tests.pages.reading import card, chart, page_text, table, usd
from ui import data


def test_its_figures_are_the_reviews_to_the_cent(open_page: Open) -> None:
    at = open_page("weekly_review", "sample")
    found = data.snapshot()[0]
    made = review(found, data.home(), newest_week(found), CostBasis.EFFECTIVE, data.now().astimezone(UTC))
    assert usd(card(at, "Spend")) == pytest.approx(float(made.total), abs=0.001)
    assert table(at, "From volume")["Spend"].sum() == pytest.approx(float(made.total), abs=0.005)
    assert len(chart(at, "daily-bars")["data"][0]["x"]) == 7
    for term in made.bridge.terms:
        if term.amount:
            assert term.sentence in page_text(at)


def test_the_month_and_the_waste_are_there_and_what_is_unknown_says_so(open_page: Open) -> None:
    at = open_page("weekly_review", "sample")
    said = page_text(at)
    assert "The month lands at $" in said
    assert "no budget is set" in said
    assert "bought nothing" in said
    assert "drafts are not exported" in " ".join(table(at, "Waste")["Known by"])


def test_a_decision_is_written_down_done_and_opened_again(
    all_homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    place = all_homes.copy("sample", tmp_path / "deciding")
    monkeypatch.setitem(all_homes._made, "deciding", place)
    at = open_page("weekly_review", "deciding")
    at.text_input(key="action-text").set_value("Try <b>FP8</b>")
    at.text_input(key="action-owner").set_value("Ada")
    next(button for button in at.button if button.label == "Add").click().run()
    assert "Try <b>FP8</b> · Ada" in page_text(at)
    assert "\\<b\\>" in " ".join(one.value for one in at.markdown), "it stays text"
    next(button for button in at.button if button.label == "Done").click().run()
    assert "Open again" in [button.label for button in at.button]
    assert len(place.home.actions.read_text().splitlines()) == 2


def test_an_open_week_says_that_it_will_grow(open_page: Open) -> None:
    at = open_page("weekly_review", "sample", {"week": "16–22 Nov 2026, open"})
    assert "not billed whole" in page_text(at)


def test_without_a_bill_it_says_how_to_get_one(open_page: Open) -> None:
    at = open_page("weekly_review", "empty")
    assert "No billing data yet" in page_text(at)
