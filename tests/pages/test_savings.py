"""The savings page: what each change really saved, over ledgers made by hand, and what people do to a change."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from costlib.detected import Detected, Kind
from costlib.estimate import Estimate
from costlib.saving import Advice, Design, Savings, State
from pack.savings_tables import entry_table, month_of, realised
from pack.style import Numbers
from store.home import Home
from store.savings_file import ledger, note_idea
from tests import savings_builders as made
from tests.pages.conftest import Homes, Open
from tests.pages.homes import HOSTILE, NOW
from tests.pages.reading import badges, card, chart, page_text, texts
from tests.pages.test_hostile_names import ACTIVE, CONTROL, ESCAPED
from ui import data, savings_data, savings_plan, savings_steps, weekly

See = Callable[..., AppTest]
NUMBERS = Numbers(currency="USD")
LINK = "?v=2&weight_precision.weights=FP8"
SEEN = Detected(
    deployment_key="support-copilot",
    at=datetime(2026, 11, 3, 4, tzinfo=UTC),
    kind=Kind.VERSION,
    sentence="vLLM <b>0.31</b> to 0.32 on support-copilot",
)


@pytest.fixture(autouse=True)
def seen_in_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, since the sample's take seconds to find."""
    monkeypatch.setattr(savings_steps, "changes_of", lambda *_: (SEEN,))


@pytest.fixture
def see(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> See:
    """The page over the sample's data and this ledger."""

    def opened(of: Savings, entry: str = "", **query: str) -> AppTest:
        monkeypatch.setattr(savings_data, "read", lambda found: (of, ""))
        at = open_page("savings", "sample", query | ({"entry": entry} if entry else {}))
        assert not at.exception, at.exception
        return at

    return opened


def test_the_three_amounts_of_the_newest_whole_month_stand_apart_and_are_those_of_the_pack(see: See) -> None:
    at, of = see(made.full()), made.full()
    october = month_of(of, date(2026, 11, 21))
    assert october is not None and october.month == "2026-10"
    assert card(at, "Verified cash a month") == NUMBERS.money(october.verified) == "$12,437.61"
    assert card(at, "Probable") == "$3,020.00"
    assert card(at, "Claimed") == "$21,840.00"
    rate, count = realised(of)
    assert card(at, "Realised") == NUMBERS.share(rate, 0)
    assert count == 5, "one was shipped four days ago and is not measured, one was taken back"
    assert "$29,578.96 verified of $48,260.00 claimed since August 2026" in page_text(at)
    bars, line = chart(at, "running-totals")["data"]
    assert bars["y"] == pytest.approx([1810.20, 7930.95, 20368.56, 29578.96])
    assert line["y"][-1] == pytest.approx(48260.00)
    assert bars["marker"]["pattern"]["shape"] == ["", "", "", "/"], "the open month is hatched"


def test_every_change_is_a_card_that_says_its_verdict_in_words(see: See) -> None:
    at = see(made.full())
    said = page_text(at)
    for entry in made.entries():
        assert entry.title in said
    words = badges(at)
    for word in (
        "Verified",
        "Partial",
        "Probable",
        "Not shown",
        "Taken back",
        "Cost rose",
        "Planned",
        "Idea",
        "Rejected",
    ):
        assert word in words
    assert words.count("Cannot tell") == 2
    rows = {row[0]: row for row in entry_table(made.full(), 100, NUMBERS).rows}
    measured = rows["FP8 weights for Support copilot"]
    assert f"Measured **{NUMBERS.share(measured[4])}**, {measured[5]}" in said
    assert "3 of 7 shipped changes saved" in said


def test_a_chosen_change_is_in_the_address_and_shows_the_promise_beside_what_was_measured(see: See) -> None:
    at = see(made.full())
    at.button(key=f"open-{made.VERIFIED}").click().run()
    assert at.query_params["entry"] == made.VERIFIED
    said, found = page_text(at), made.verifications()[made.VERIFIED]
    assert "Verified: 16.2% less for the same work (12.3% to 20.1%)." in said
    assert "90% of what was promised" in said
    assert "Before and after alone would claim 9.2%" in said
    assert (card(at, "Saved per unit of work"), card(at, "Capacity freed a month")) == ("16.2%", "410 GPU-h")
    assert isinstance(found.cash_usd_per_month, Estimate)
    assert card(at, "Cash a month") == NUMBERS.money(Decimal(str(round(found.cash_usd_per_month.mid, 2))))
    assert "never added" in said
    names = chart(at, "savings-bridge")["data"][0]["y"]
    assert names == ["Before", "Volume", "Price", "The change", "Everything else", "After"], "the rest is always drawn"
    assert "2 of 2 other methods see a saving" in said
    assert "2% show as much of an effect" in said
    assert "Committed to what it promises" in said
    assert f"The chain holds: 31 lines, head {made.HEAD}" in said
    at.button(key="back").click().run()
    assert "entry" not in at.query_params


@pytest.mark.parametrize("entry", [made.SHIPPED_NOW, made.CANNOT_TELL])
def test_what_cannot_be_told_says_what_would_settle_it_and_cannot_be_signed(see: See, entry: str) -> None:
    at = see(made.full(), entry)
    said = page_text(at)
    assert "What would settle it" in said
    assert "there is no verdict to sign" in said
    assert "Sign" not in {button.label for button in at.button}


def test_a_change_that_cost_more_is_red_in_words_and_below_zero(see: See) -> None:
    at = see(made.full(), made.ROSE)
    assert "Cost rose: 8.0% more for the same work" in page_text(at)
    assert {"Taken back", "Cost rose"} <= set(badges(at))


def test_a_broken_chain_names_the_line_and_the_change_which_counts_for_nothing(see: See) -> None:
    at = see(made.broken())
    assert f"line 14 ({made.VERIFIED}) was changed after it was written" in page_text(at)
    assert "1 change that it touches counts for nothing" in at.error[0].value
    assert "Ledger broken" in badges(at)
    at = see(made.broken(), made.VERIFIED)
    assert "nothing of it counts" in page_text(at)


def test_an_empty_ledger_says_what_to_do(see: See) -> None:
    said = page_text(see(made.empty()))
    assert "Nothing is in the savings ledger yet" in said
    assert "Plan this" in said


def test_presenting_leaves_the_controls_out(see: See) -> None:
    at = see(made.full(), made.VERIFIED, present="1")
    assert {button.label for button in at.button} == {"Leave", "All changes"}
    assert not at.text_input


def test_names_that_try_to_be_markup_stay_text(see: See) -> None:
    of = made.hostile(HOSTILE)
    for at in (see(of), see(of, made.VERIFIED)):
        for text in texts(at):
            assert not ACTIVE.search(ESCAPED.sub("·", text)), text
            assert not CONTROL.search(text), ascii(text)
    drawn = chart(at, "savings-bridge")["data"][0]["y"]
    assert not any("<" in name for name in drawn)


# What people do.


@pytest.fixture
def own(all_homes: Homes, open_page: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Home:
    """The sample with a ledger of its own for one test; what is seen and promised is made by hand."""
    place = all_homes.copy("sample", tmp_path / "ledger")
    monkeypatch.setitem(all_homes._made, "ledger", place)
    place.home.savings.unlink(missing_ok=True)
    for cached in (savings_steps._seen, savings_plan._planned, savings_plan._advised):
        cached.clear()  # what is patched here is no part of their keys
    monkeypatch.setattr(savings_plan, "plan_of", lambda *_: made.plan())
    monkeypatch.setattr(savings_plan, "advice_on", lambda *_: Advice(minimum_fraction=0.1, sentence=""))
    monkeypatch.setattr(
        savings_data, "savings", lambda _, home, now: replace(made.empty(), entries=ledger(home).entries)
    )
    return place.home


def press(at: AppTest, label: str) -> AppTest:
    next(button for button in at.button if button.label == label).click().run()
    assert not at.exception, at.exception
    return at


def test_what_people_do_is_a_line_each_and_a_toast_and_what_is_refused_says_why(open_page: Open, own: Home) -> None:
    at = open_page("savings", "ledger")
    at.text_input(key="idea-title").set_value("Smaller <b>batches</b>")
    press(at, "Note it")
    assert any("a change's owner is 1 to" in error.value.replace("\\", "") for error in at.error)
    at.text_input(key="idea-owner").set_value("Mei")
    press(at, "Note it")
    assert at.toast[0].value == "Noted\\."
    (entry,) = ledger(own).entries
    assert (entry.title, entry.owner, entry.state, entry.is_sample) == (
        "Smaller <b>batches</b>",
        "Mei",
        State.IDEA,
        True,
    )
    at.button(key=f"open-{entry.id}").click().run()
    at.text_area(key="reject-words").set_value("Answers got worse")
    at.text_input(key="reject-who").set_value("Ben")
    press(at, "Reject")
    (entry,) = ledger(own).entries
    assert (entry.state, entry.said[-1].by) == (State.REJECTED, "Ben")
    assert "Rejected" in badges(at)
    assert at.text_input(key="reopen-who").value == "Ben", "who wrote last need not say it again"
    press(at, "Open again")
    assert ledger(own).entries[0].state is State.IDEA


def test_a_change_seen_in_the_metrics_is_offered_until_it_is_noted(open_page: Open, own: Home) -> None:
    at = open_page("savings", "ledger")
    assert f"{SEEN.sentence}, 3 Nov" in page_text(at)
    at.text_input(key="seen-owner").set_value("Ada")
    at.button(key="note-seen-0").click().run()
    assert [one.title for one in ledger(own).entries] == [SEEN.sentence]
    assert "Nothing changed in the last eight weeks that is not in the ledger" in page_text(at)


@pytest.mark.parametrize(("smallest", "is_seen"), [(0.12, True), (0.25, False)])
def test_a_plan_is_frozen_only_after_what_it_could_show_was_shown(
    open_page: Open, own: Home, monkeypatch: pytest.MonkeyPatch, smallest: float, is_seen: bool
) -> None:
    asked = []
    advice = Advice(minimum_fraction=smallest, sentence="A <b>sentence</b>", advice=("Wait longer.",))
    monkeypatch.setattr(savings_plan, "plan_of", lambda _, home, wanted: asked.append(wanted) or made.plan())
    monkeypatch.setattr(savings_plan, "advice_on", lambda *_: advice)
    key = note_idea(own, "FP8 everywhere", "Ada", NOW, is_sample=True)
    at = open_page("savings", "ledger", {"entry": key, "plan": f"{LINK}7"})
    assert "This link cannot be used here" in page_text(at)
    at.text_input(key="commit-link").set_value(LINK).run()
    assert asked[-1].settings["weight_precision"]["weights"] == "fp8"
    assert (asked[-1].link, asked[-1].design) == (f"/{LINK}", Design.BEFORE_AFTER)
    said = page_text(at)
    assert "Promises 18.0% less for the same work" in said
    assert "A <b>sentence</b>" in said and "Wait longer." in said
    assert ("This could not be shown." in said) == (not is_seen)
    assert at.button(key="commit").disabled == (not is_seen)
    if not is_seen:
        at.checkbox(key="commit-anyway").check().run()
    at.text_input(key="commit-who").set_value("Ada").run()
    at.button(key="commit").click().run()
    (entry,) = ledger(own).entries
    assert (entry.state, entry.plan) == (State.PLANNED, made.plan())
    assert "plan" not in at.query_params
    assert "Frozen before it shipped" in page_text(at)


def test_a_what_if_is_planned_with_its_link(open_page: Open, own: Home) -> None:
    at = open_page("what_if", "ledger", {"v": "2", "weight_precision.weights": "FP8"})
    at.text_input(key="plan-owner").set_value("Ada")
    press(at, "Note it and plan")
    (entry,) = ledger(own).entries
    assert entry.title == "Weight precision"
    assert (at.query_params["entry"], at.query_params["plan"]) == (entry.id, LINK)


def test_a_review_with_savings_has_a_card_with_the_tables_own_numbers(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = weekly.read

    def with_savings(found: data.Snapshot, asked: weekly.Asked):  # type: ignore[no-untyped-def]
        of, problem = read(found, asked)
        return of and replace(of, savings=made.full()), problem

    monkeypatch.setattr(weekly, "read", with_savings)
    at = open_page("weekly_review", "sample")
    assert not at.exception
    assert "$12,437.61 verified of $21,840.00 claimed in October 2026" in page_text(at)
    (shown,) = [frame.value for frame in at.dataframe if "Cash a month" in frame.value.columns]
    assert len(shown) == len(made.entries())
    assert shown["Cash a month"].iloc[0] == 9127.21
