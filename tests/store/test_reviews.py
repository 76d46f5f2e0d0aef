"""The weekly review put together from the sample: it adds up, compares what can be compared, and says what it lacks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from collectors.demo import load_demo
from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.review import Review
from pack.files import files
from store.actions import note
from store.home import Home
from store.read import Snapshot, open_snapshot
from store.reviews import NO_BEFORE, newest_week, review, weeks
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Snapshot]]:
    home = Home(tmp_path_factory.mktemp("reviews") / "home")
    load_demo(home, lambda: NOW)
    (home.path / "budgets.toml").write_text(
        '[[budget]]\namount = "100000.00"\ncurrency = "USD"\nfrom = "2026-01"\n', encoding="utf-8"
    )
    note(home, "Try FP8", "Ada", date(2026, 11, 30), NOW)
    with open_snapshot(home) as snapshot:
        yield home, snapshot


@pytest.fixture(scope="module")
def week(sample: tuple[Home, Snapshot]) -> Review:
    home, snapshot = sample
    return review(snapshot, home, newest_week(snapshot), CostBasis.EFFECTIVE, NOW)


def test_a_week_goes_from_monday_to_monday_and_the_newest_whole_one_is_taken(sample: tuple[Home, Snapshot]) -> None:
    _, snapshot = sample
    known = weeks(snapshot)
    assert all(period.start.weekday() == 0 and period.days_count == 7 for period in known)
    assert [period.is_open for period in known[:2]] == [True, False]
    assert newest_week(snapshot) == known[1]


def test_days_products_and_details_make_the_total_that_was_charged(sample: tuple[Home, Snapshot], week: Review) -> None:
    _, snapshot = sample
    start = datetime(week.period.start.year, week.period.start.month, week.period.start.day, tzinfo=UTC)
    charged = snapshot.spend_total(start, start + timedelta(days=7), "effective")["USD"]
    assert week.total == charged.quantize(Decimal("0.01"))
    assert len(week.daily) == 7
    assert exact_sum(day.cost for day in week.daily) == week.total
    assert {mover.product for mover in week.movers} >= {"Support copilot", "Search answers", "Document extraction"}


def test_the_bridge_closes_to_the_cent_and_every_reason_has_its_sentence(week: Review) -> None:
    assert week.bridge is not None
    assert exact_sum(term.amount for term in week.bridge.terms) == week.bridge.after - week.bridge.before
    assert all(term.sentence for term in week.bridge.terms)


def test_the_month_lands_with_a_range_and_the_chance_to_be_over_budget(week: Review) -> None:
    landing = week.outlook.in_all
    assert landing.budget == Decimal("100000.00")
    assert landing.p10 <= landing.p50 <= landing.p90
    assert landing.breach_probability > 0.9, "the sample fleet spends 120,000 a month"
    assert any("over budget" in risk for risk in week.risks)
    figure = next(figure for figure in week.figures if figure.name == "Forecast against budget")
    assert figure.value == landing.p50 - landing.budget


def test_proposals_say_what_they_save_from_to_and_where_to_look(week: Review) -> None:
    assert 1 <= len(week.proposals) <= 3
    assert [one.saved for one in week.proposals] == sorted((one.saved for one in week.proposals), reverse=True)
    assert all(one.saved_low <= one.saved_high and one.link.startswith("/?") for one in week.proposals)
    assert any(not one.is_proven for one in week.proposals), "FP8 changes answers, and nobody evaluated them"


def test_actions_are_in_it(week: Review) -> None:
    assert [action.text for action in (*week.actions, *week.last_actions)] == ["Try FP8"]


def test_waste_is_priced_and_what_is_not_exported_is_not_zero(week: Review) -> None:
    by_kind = {str(line.kind): line.amount for line in week.waste}
    assert by_kind["warm_idle"] > 0
    assert isinstance(by_kind["rejected_draft"], Undefined)


def test_the_same_snapshot_makes_the_same_files(sample: tuple[Home, Snapshot], week: Review) -> None:
    home, snapshot = sample
    again = review(snapshot, home, newest_week(snapshot), CostBasis.EFFECTIVE, NOW + timedelta(days=3))
    assert files(again) == files(week)


def test_the_first_week_has_nothing_to_compare_with_and_says_so(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    first = review(snapshot, home, weeks(snapshot)[-1], CostBasis.EFFECTIVE, NOW)
    assert first.bridge is None
    assert NO_BEFORE in first.made_from
    assert all(mover.before is None for mover in first.movers)


def test_a_week_without_a_charge_is_refused_with_what_to_do(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    empty = replace(newest_week(snapshot), start=date(2020, 1, 6), end=date(2020, 1, 13))
    with pytest.raises(ConfigError, match="permillion import"):
        review(snapshot, home, empty, CostBasis.EFFECTIVE, NOW)


def test_one_small_bill_and_no_servers_make_a_review_all_the_same(tmp_path) -> None:
    """No scenario but the sample's, no measurement, no budget, fourteen days not yet there."""
    home = Home(tmp_path / "home")
    rows = {"BilledCost": "10.01", "EffectiveCost": "10.01", "ServiceCategory": "Storage"}
    import_files([bill(tmp_path / "bill.csv", rows)], home)
    with open_snapshot(home) as snapshot:
        made = review(snapshot, home, newest_week(snapshot), CostBasis.BILLED, NOW)
    assert made.total == Decimal("10.01")
    assert made.outlook is None, "no day is billed whole yet"
    assert set(files(made)) == {name for name in files(made) if name.startswith("review-")}
