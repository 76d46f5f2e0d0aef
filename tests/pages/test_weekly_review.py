"""The Weekly review page: the record of the pack on a screen, with decisions that stay."""

from datetime import date

import pytest

from costlib.alerts import AlertState, Rule, Signal, Watched, judged
from costlib.books import CostBasis
from store.actions import note, noted, tell
from store.alerts_file import save_state
from store.read import snapshot_of
from store.reviews import newest_week, review
from tests.pages.conftest import Open
from tests.pages.reading import badges, card, chart, page_text, table, usd


def test_its_figures_are_the_reviews_to_the_cent(all_homes, see_page: Open) -> None:
    at, place = see_page("weekly_review", "sample"), all_homes["sample"]
    with snapshot_of(place.home) as found:
        made = review(found, place.home, newest_week(found), CostBasis.EFFECTIVE, place.now)
    assert usd(card(at, "Spend")) == pytest.approx(float(made.total), abs=0.001)
    assert table(at, "From volume")["Spend"].sum() == pytest.approx(float(made.total), abs=0.005)
    assert len(chart(at, "daily-bars")["data"][0]["x"]) == 7
    for term in made.bridge.terms:
        if term.amount:
            assert term.sentence in page_text(at)


def test_the_month_and_the_waste_are_there_and_what_is_unknown_says_so(see_page: Open) -> None:
    at = see_page("weekly_review", "sample")
    said = page_text(at)
    assert "under budget" in said
    assert " budget" in said and "no budget is set" not in said, "the sample has some"
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
    assert "still open" in page_text(at)


def test_without_a_bill_it_says_how_to_get_one(see_page: Open) -> None:
    at = see_page("weekly_review", "empty")
    assert "No billing data yet" in page_text(at)


def test_a_proposal_is_decided_with_its_link_and_promise_and_presenting_leaves_controls_out(
    all_homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    place = all_homes.copy("sample", tmp_path / "proposals")
    monkeypatch.setitem(all_homes._made, "proposals", place)
    note(place.home, "Of the week before", "Ben", date(2026, 11, 10), place.now, week=date(2026, 11, 2))
    tell(place.home, date(2026, 11, 9), "The <b>credit</b> comes in December", place.now)
    save_state(
        place.home,
        judged(
            [Rule(on=Watched.IDLE_SHARE, above_ratio=0.1, clear_below_ratio=0.1)],
            [Signal(on=Watched.IDLE_SHARE, scope="", value_ratio=0.2054, text="<script>")],
            AlertState(),
            place.now,
        ),
    )
    at = open_page("weekly_review", "proposals")
    assert "Idle, unmatched and unused capacity is 20.5%, above 10.0%, since 21 Nov 2026: <script>" in page_text(at)
    assert "The <b>credit</b> comes in December" in page_text(at)
    assert "From earlier weeks" in page_text(at)
    at.text_input(key="decision-owner-0").set_value("Ada")
    next(button for button in at.button if button.label == "Note it").click().run()
    (decided,) = [one for one in noted(place.home).actions if one.owner == "Ada"]
    assert decided.week == date(2026, 11, 9)
    assert decided.link.startswith("/?") and decided.saved > 0
    assert "Decided" in badges(at)
    assert f"open ones promise ${decided.saved:,.2f} a month" in page_text(at)

    at.query_params["present"] = "1"
    at.run()
    labels = {button.label for button in at.button}
    assert "Leave" in labels
    assert not labels & {"Done", "Drop", "Add", "Note it", "Present"}
    assert "From earlier weeks" in page_text(at)
    next(button for button in at.button if button.label == "Leave").click().run()
    assert "present" not in at.query_params
    assert "Present" in {button.label for button in at.button}


def test_broken_alert_rules_are_said_on_data_health(all_homes, open_page: Open, monkeypatch, tmp_path) -> None:
    place = all_homes.copy("sample", tmp_path / "rules")
    monkeypatch.setitem(all_homes._made, "rules", place)
    (place.home.path / "alerts.toml").write_text('[[alert]]\non = "weather"\n', encoding="utf-8")
    said = page_text(open_page("data_health", "rules"))
    assert "No alert is sent: " in said
    assert "weather" in said
