"""The weekly review put together from the sample: it adds up, compares what can be compared, and says what it lacks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.measures import HISTOGRAMS
from costlib.review import Action, ActionState, Review
from pack.csv import csv
from pack.files import files
from pack.markdown import markdown
from pack.style import Numbers
from pack.words import statements_title
from store import outlooks
from store.actions import mark, note, tell
from store.home import Home
from store.ledger import write
from store.read import Snapshot, open_snapshot
from store.records import LedgerEntry, LedgerKind
from store.reviews import NO_BEFORE, _week_of, newest_week, review, weeks
from tests.demo_home import demo_home
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Snapshot]]:
    home = demo_home(tmp_path_factory.mktemp("reviews") / "home", NOW)
    (home.path / "budgets.toml").write_text(
        '[[budget]]\namount = "50000.00"\ncurrency = "USD"\nfrom = "2026-01"\n', encoding="utf-8"
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
    assert landing.budget == Decimal("50000.00")
    assert landing.p10 <= landing.p50 <= landing.p90
    assert landing.breach_probability > 0.9, "the sample fleet spends more than 70,000 a month"
    assert any("over budget" in risk for risk in week.risks)
    figure = next(figure for figure in week.figures if figure.name == "Forecast against budget")
    assert figure.value == landing.p50 - landing.budget


def test_of_many_products_the_largest_are_forecast_one_by_one_and_the_others_as_one(
    sample: tuple[Home, Snapshot], week: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, snapshot = sample
    monkeypatch.setattr(outlooks, "MOST_FORECAST", 1)
    found = review(snapshot, home, newest_week(snapshot), CostBasis.EFFECTIVE, NOW).outlook
    assert [line.name for line in found.lines] == ["", "2 others", "Support copilot"]
    one_by_one = {line.name: line.actual for line in week.outlook.lines}
    others = exact_sum(one_by_one[name] for name in ("Search answers", "Document extraction"))
    assert abs(found.lines[1].actual - others) <= Decimal("0.01"), "rounded once"
    assert found.lines[0] == week.outlook.lines[0]
    assert "the 2 others as one" in found.method and "one by one" not in week.outlook.method


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


# What is beside it.


def october(folder: Path, *bills: dict[str, str]) -> Home:
    """A home with charges of October and of the week from 9 November."""
    home = Home(folder / "home")
    later = {
        "BillingPeriodStart": "2026-11-01T00:00:00Z",
        "BillingPeriodEnd": "2026-12-01T00:00:00Z",
        "ChargePeriodStart": "2026-11-09T00:00:00Z",
        "ChargePeriodEnd": "2026-11-16T00:00:00Z",
    }
    for n, row in enumerate((*bills, later)):
        import_files([bill(folder / f"{n}.csv", row)], home, clock=lambda: NOW)
    return home


def read(home: Home, basis: CostBasis = CostBasis.EFFECTIVE) -> Review:
    with open_snapshot(home) as snapshot:
        return review(snapshot, home, newest_week(snapshot), basis, NOW)


@pytest.mark.parametrize(
    ("invoice", "difference", "ties", "title"),
    [
        (None, None, None, "October 2026: no invoice total was entered yet"),
        ("100.02", "0.02", False, "October 2026 is $0.02 off its invoices"),
        ("100.00", "0.00", True, "October 2026 ties to its invoices"),
    ],
)
def test_the_newest_closed_month_is_beside_its_invoices(
    tmp_path: Path, invoice: str | None, difference: str | None, ties: bool | None, title: str
) -> None:
    home = october(tmp_path, {"BilledCost": "100.00"})
    if invoice:
        entry = LedgerEntry(kind=LedgerKind.INVOICE, month="2026-10", currency="USD", amount=Decimal(invoice))
        write(home, [entry], lambda: NOW)
    made = read(home)
    assert made.statements_month == "2026-10"
    (line,) = made.statements
    assert (line.billed, line.ties) == (Decimal("100.00"), ties)
    assert line.difference == (None if difference is None else Decimal(difference))
    assert statements_title(made, Numbers(currency="USD")) == title
    (indicator,) = [one for one in made.indicators if one.name == "reconciliation_difference"]
    known = None if isinstance(indicator.value, Undefined) else indicator.value
    assert known == line.difference, "of billed cost, also where the review is of effective cost"


def test_an_action_is_of_the_week_it_was_decided_for_and_open_ones_come_along(tmp_path: Path) -> None:
    home = october(tmp_path, {"BilledCost": "100.00"})
    week = date(2026, 11, 9)
    this = note(home, "This", "Ada", None, NOW, week=week)
    last = note(home, "Last", "Ada", None, NOW, week=week - timedelta(days=7))
    done = note(home, "Long done", "Ada", None, NOW, week=week - timedelta(days=14))
    mark(home, done, ActionState.DONE, NOW)
    opened = note(home, "Long open", "Ada", None, NOW, week=week - timedelta(days=14))
    note(home, "Next", "Ada", None, NOW, week=week + timedelta(days=7))
    tell(home, week, "Mind the credit", NOW)
    made = read(home)
    assert [action.id for action in made.actions] == [this]
    assert [action.id for action in made.last_actions] == [last, opened]
    assert made.note == "Mind the credit"
    for content in (markdown(made), csv(made)):
        assert (b"Mind the credit" in content) == (content[:1] == b"#"), "rows are of money alone"


@pytest.mark.parametrize(
    ("said", "week"), [("2026-11-15", "2026-11-09"), ("2026-11-16", "2026-11-09"), ("2026-11-21", "2026-11-09"),
                       ("2026-11-22", "2026-11-16")]
)  # fmt: skip
def test_an_action_without_a_week_is_of_the_newest_that_was_over(said: str, week: str) -> None:
    assert _week_of(Action(id="a", text="a", said_on=date.fromisoformat(said))) == date.fromisoformat(week)


def test_a_day_at_once_is_what_each_day_says_alone(sample: tuple[Home, Snapshot]) -> None:
    """Also where a charge lasts for more than a day, and is cut."""
    _, snapshot = sample
    start = datetime(2026, 11, 1, tzinfo=UTC)
    for day, groups in snapshot.daily_charge_groups(start, start + timedelta(days=3)).items():
        alone = snapshot.charge_groups_between(day, day + timedelta(days=1))
        assert exact_sum(one.billed for one in groups) == exact_sum(one.billed for one in alone)
        assert len(groups) == len(alone)


@pytest.mark.parametrize("per", ["target", "deployment", "model"])
@pytest.mark.parametrize("bin", ["hour", "total"])
def test_sums_are_those_of_windows(sample: tuple[Home, Snapshot], bin: str, per: str) -> None:
    _, snapshot = sample
    days = datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 11, tzinfo=UTC)
    whole, sums = snapshot.windows(*days, bin, per), snapshot.sums(*days, bin, per)
    pd.testing.assert_frame_equal(whole[list(sums.columns)], sums)
    left_out = set(whole) - set(sums)
    assert {name for name in left_out if not name.startswith(HISTOGRAMS)} == {
        "state", "why", "window_s", "coverage_fraction",
    }  # fmt: skip


def test_without_dollars_no_change_of_the_fleet_is_proposed(tmp_path: Path) -> None:
    made = read(october(tmp_path, {"BilledCost": "1.00", "BillingCurrency": "EUR"}))
    assert made.currency == "USD", "the week is in dollars"
    home = Home(tmp_path / "euros")
    import_files([bill(tmp_path / "e.csv", {"BillingCurrency": "EUR"})], home, clock=lambda: NOW)
    made = read(home)
    assert (made.currency, made.proposals) == ("EUR", ())
    assert any("priced in USD" in line for line in made.made_from)
