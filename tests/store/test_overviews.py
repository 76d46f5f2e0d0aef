"""What the overview reads beside a review: its days, its invoices, and the machines its cost consists of."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from collectors.importer import import_files
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.drill import Part, walk
from costlib.estimate import Undefined
from costlib.review import NOT_ALLOCATED, Review
from store.books import Span, Statement
from store.home import Home
from store.overviews import (
    InvoiceMatch,
    cost_parts,
    day_uses,
    days_so_far,
    invoice_matches,
    month_so_far,
    whole_days,
)
from store.read import Snapshot, open_snapshot
from store.reviews import review
from tests.demo_home import demo_home
from tests.pages.homes import charge
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
UNTIL = date(2026, 11, 21)
both_bases = pytest.mark.parametrize("basis", list(CostBasis))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Snapshot]]:
    home = demo_home(tmp_path_factory.mktemp("overviews") / "home", NOW)
    with open_snapshot(home) as snapshot:
        yield home, snapshot


@pytest.fixture(scope="module")
def month(sample: tuple[Home, Snapshot]) -> Review:
    home, snapshot = sample
    period, earlier = month_so_far(UNTIL)
    return review(snapshot, home, period, CostBasis.EFFECTIVE, NOW, earlier=earlier)


@pytest.fixture(scope="module")
def both(sample: tuple[Home, Snapshot], month: Review) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The parts of the month and of the days before that it is compared with."""
    home, snapshot = sample
    return (
        cost_parts(snapshot, home, month.period, month.basis, "USD"),
        cost_parts(snapshot, home, month.before, month.basis, "USD"),
    )


def test_a_month_that_is_open_is_compared_with_the_same_days_of_the_one_before(month: Review) -> None:
    assert (month.period.start, month.period.end) == (date(2026, 11, 1), UNTIL)
    assert (month.before.start, month.before.end) == (date(2026, 10, 1), date(2026, 10, 21))


@both_bases
def test_the_parts_make_the_bill_to_the_last_digit(sample: tuple[Home, Snapshot], basis: CostBasis) -> None:
    home, snapshot = sample
    period, _ = days_so_far(UNTIL, 2)
    span = Span.of(period.start, period.end)
    parts = cost_parts(snapshot, home, period, basis, "USD")
    assert exact_sum(part.amount for part in parts) == snapshot.spend_total(span.start, span.end, str(basis))["USD"]


def test_every_product_leads_to_machines_that_make_its_cents_at_every_level(
    month: Review, both: tuple[tuple[Part, ...], tuple[Part, ...]]
) -> None:
    for mover in month.movers:
        cost, before = mover.cost, mover.before
        path, rows = walk(*both, (mover.product,), cost, before)
        for depth in (1, 2, 3):
            assert len(path) == depth
            assert exact_sum(row.cost for row in rows) == cost
            assert exact_sum(row.before for row in rows) == before
            cost, before = rows[0].cost, rows[0].before
            path, rows = walk(*both, (*path, rows[0].name), mover.cost, mover.before)


def test_a_products_machines_are_those_that_the_bill_names(both: tuple[tuple[Part, ...], ...]) -> None:
    now, _ = both
    assert {part.replica for part in now if part.product == "Search answers"} >= {"search-answers-1"}
    assert {part.model for part in now if part.product == NOT_ALLOCATED} >= {"Unallocated GPU", "Tax"}


def test_days_have_what_they_cost_and_did(sample: tuple[Home, Snapshot], month: Review) -> None:
    home, snapshot = sample
    days = day_uses(snapshot, home, month)
    assert len(days) == month.period.days_count
    assert exact_sum(day.cost for day in days) == month.total
    assert all(day.tokens > 0 and 0 <= day.idle < day.cost for day in days)


def test_a_day_without_a_charge_or_a_measurement_is_unknown_and_not_nothing(tmp_path) -> None:
    home = Home(tmp_path / "home")
    rows = [charge(NOW.replace(day=day), "chat", "10.00") for day in (10, 12)]
    import_files([bill(tmp_path / "bill.csv", *rows)], home, clock=lambda: NOW)
    with open_snapshot(home) as snapshot:
        first, until = whole_days(snapshot.status())
        period, earlier = days_so_far(until, (until - first).days)
        made = review(snapshot, home, period, CostBasis.BILLED, NOW, earlier=earlier)
        days = day_uses(snapshot, home, made)
        assert invoice_matches(snapshot, "USD") == (), "no month is over"
    assert made.before is None
    assert [(day.cost, day.tokens, day.idle) for day in days] == [
        (Decimal("10.00"), None, None), (None, None, None), (Decimal("10.00"), None, None),
    ]  # fmt: skip


def test_a_bill_without_one_whole_day_has_no_days(sample: tuple[Home, Snapshot]) -> None:
    covered = sample[1].status()
    hours = replace(covered, charges_from=NOW.replace(hour=1), charges_to=NOW.replace(hour=9))
    assert whole_days(hours) is None
    assert whole_days(replace(covered, charges_from=None)) is None


def test_closed_months_stand_beside_their_invoices_the_newest_last(sample: tuple[Home, Snapshot]) -> None:
    _, snapshot = sample
    found = invoice_matches(snapshot, "USD")
    assert [one.month for one in found[-2:]] == ["2026-09", "2026-10"]
    assert isinstance(found[-2].matched_fraction, Undefined)
    assert found[-1].matched_fraction == pytest.approx(1, abs=1e-6), "an invoice is in whole cents"
    assert (found[-1].open_count, found[-1].without_invoice_count) == (0, 0)
    assert invoice_matches(snapshot, "EUR") == ()


def statement(billed: str, invoice: str | None) -> Statement:
    return Statement(
        provider="P", billing_account=billed, currency="USD", billed=Decimal(billed), state="final",
        invoice=None if invoice is None else Decimal(invoice), rounding_allowed=Decimal("0.005"),
    )  # fmt: skip


def test_differences_of_accounts_do_not_make_up_for_each_other() -> None:
    found = InvoiceMatch(month="2026-10", statements=(statement("99", "100"), statement("101", "100")))
    assert found.matched_fraction == pytest.approx(0.99)
    assert found.open_count == 2


def test_an_account_without_an_invoice_is_counted_and_explains_nothing() -> None:
    found = InvoiceMatch(month="2026-10", statements=(statement("50", None), statement("100", "100")))
    assert (found.matched_fraction, found.without_invoice_count) == (1.0, 1)
