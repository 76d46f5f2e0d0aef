"""The books of any days: what charges are for, cut at the edges, and the parts of a charge are the charge."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.importer import import_files
from costlib.balance import in_buckets
from costlib.billing import exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis
from costlib.bridge import cost_change
from costlib.charge_time import joined, part_of
from costlib.errors import ConfigError, UnknownKey
from costlib.slices import ItemKind, slices
from costlib.units import SECONDS_PER_HOUR
from store.books import Books, books, books_between
from store.home import Home
from store.read import Snapshot, open_snapshot
from tests.demo_home import demo_home
from tests.store.builders import bill

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
MONDAY = date(2026, 11, 9)
WEEK = timedelta(days=7)
both_bases = pytest.mark.parametrize("basis", list(CostBasis))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Snapshot]]:
    home = demo_home(tmp_path_factory.mktemp("between") / "home", NOW)
    with open_snapshot(home) as snapshot:
        yield home, snapshot


def sliced(found: Books):
    (balance,) = found.balances
    return slices(balance, found.groups, found.capacity, found.matches.by_group, found.servers)


# The sample -----------------------------------------------------------------------------------------------------------


@both_bases
def test_a_weeks_balance_is_what_its_days_were_charged(sample: tuple[Home, Snapshot], basis: CostBasis) -> None:
    home, snapshot = sample
    found = books_between(snapshot, home, MONDAY, MONDAY + WEEK, basis)
    (balance,) = found.balances
    start = datetime(2026, 11, 9, tzinfo=UTC)
    assert balance.residual == 0
    assert balance.total == snapshot.spend_total(start, start + WEEK, basis=str(basis))["USD"]
    assert (found.month, found.statements, found.ledger) == ("2026-11-09 to 2026-11-15", (), ())
    served_s = sum(use.observed_s * use.gpus_count for use in found.servers)
    assert balance.gpu_hours == served_s / SECONDS_PER_HOUR + 24 * 7, "and one GPU that is nobody's"
    assert in_buckets(balance)[Bucket.WARM_IDLE] > 0


def test_the_days_of_a_month_are_the_month(sample: tuple[Home, Snapshot]) -> None:
    """The sample's bills invoice every day in its own month."""
    home, snapshot = sample
    between = books_between(snapshot, home, date(2026, 10, 1), date(2026, 11, 1), CostBasis.EFFECTIVE)
    month = books(snapshot, home, "2026-10", CostBasis.EFFECTIVE)
    assert between.balances[0].lines == month.balances[0].lines
    assert between.servers == month.servers


@both_bases
def test_slices_are_the_balance_and_weeks_make_a_bridge(sample: tuple[Home, Snapshot], basis: CostBasis) -> None:
    home, snapshot = sample
    before, after = (books_between(snapshot, home, start, start + WEEK, basis) for start in (MONDAY - 5 * WEEK, MONDAY))
    for found in (before, after):
        mine = sliced(found)
        assert exact_sum(one.cost for one in mine) == found.balances[0].total
        served = {one.item.deployment_key: one for one in mine if one.item.kind is ItemKind.GPU}
        (use,) = (use for use in found.servers if use.deployment_key == "doc-extraction")
        assert served["doc-extraction"].billed_gpu_hours == pytest.approx(4 * use.observed_s / SECONDS_PER_HOUR)
        assert served["doc-extraction"].tokens_count == sum(
            (use.computed_prompt_tokens or 0) + (use.cached_prompt_tokens or 0) + (use.generation_tokens or 0)
            for use in found.servers
            if use.deployment_key == "doc-extraction"
        )
    change = cost_change(sliced(before), sliced(after))
    assert change.before + exact_sum(change.terms.values()) == change.after
    assert set(change.by_product) >= {"doc-extraction", "search-answers", "support-copilot", ""}


def test_a_period_without_days_or_charges_is_refused(sample: tuple[Home, Snapshot]) -> None:
    home, snapshot = sample
    with pytest.raises(ConfigError, match="has no day in it"):
        books_between(snapshot, home, MONDAY, MONDAY, CostBasis.BILLED)
    with pytest.raises(ConfigError, match="nothing was charged for 2020-01-06 to 2020-01-12"):
        books_between(snapshot, home, date(2020, 1, 6), date(2020, 1, 13), CostBasis.BILLED)
    with pytest.raises(UnknownKey, match=r"currency 'EUR' in 2026-11-09 to 2026-11-15"):
        books_between(snapshot, home, MONDAY, MONDAY + WEEK, CostBasis.BILLED, "EUR")


# Charges that cross an edge -------------------------------------------------------------------------------------------

OCTOBER = {"ChargePeriodStart": "2026-10-01T00:00:00Z", "ChargePeriodEnd": "2026-11-01T00:00:00Z"}


def imported(folder: Path, *rows: dict) -> Home:
    home = Home(folder / "own")
    import_files([bill(folder / "bill.csv", *rows)], home)
    return home


def total(home: Home, start: date, end: date) -> Decimal:
    with open_snapshot(home) as snapshot:
        return books_between(snapshot, home, start, end, CostBasis.BILLED).balances[0].total


def test_a_fee_of_a_month_is_cut_by_days(tmp_path: Path) -> None:
    home = imported(tmp_path, {**OCTOBER, "BilledCost": "31"})
    assert total(home, date(2026, 10, 5), date(2026, 10, 12)) == 7
    assert total(home, date(2026, 10, 26), date(2026, 11, 2)) == 6
    assert total(home, date(2026, 9, 1), date(2026, 12, 1)) == 31


def test_days_that_follow_each_other_have_all_of_a_fee(tmp_path: Path) -> None:
    home = imported(tmp_path, {**OCTOBER, "BilledCost": "0.01"}, {**OCTOBER, "BilledCost": "99.999999999999999999"})
    edges = [*(date(2026, 10, day) for day in (1, 2, 3, 11, 31)), date(2026, 11, 1)]
    parts = [total(home, start, end) for start, end in pairwise(edges)]
    assert exact_sum(parts) == Decimal("100.009999999999999999")
    days = [part / (end - start).days for part, (start, end) in zip(parts, pairwise(edges), strict=True)]
    assert max(days) - min(days) < Decimal("1e-17")


def test_a_charge_of_another_month_counts_where_it_was_used(tmp_path: Path) -> None:
    """Invoiced in October, used on the last day of September: a correction, of September."""
    used = {"ChargePeriodStart": "2026-09-30T00:00:00Z", "ChargePeriodEnd": "2026-10-01T00:00:00Z"}
    home = imported(tmp_path, {**used, "BilledCost": "5"}, {"BilledCost": "3"})
    assert total(home, date(2026, 9, 28), date(2026, 10, 1)) == 5


def test_a_charge_that_takes_no_time_stays_whole() -> None:
    moment = datetime(2026, 10, 5, tzinfo=UTC)
    fee = ChargeGroup(currency="USD", billed=Decimal(5), first_start=moment, last_end=moment)
    assert part_of(fee, moment, moment + WEEK) == fee


def test_a_cut_charge_keeps_what_was_never_said(tmp_path: Path) -> None:
    home = imported(tmp_path, {**OCTOBER, "BilledCost": "31", "EffectiveCost": ""}, {"BilledCost": "1"})
    with open_snapshot(home) as snapshot:
        days = (datetime(2026, 10, 5, tzinfo=UTC), datetime(2026, 10, 12, tzinfo=UTC))
        groups = snapshot.charge_groups_between(*days)
    assert any(group.effective is None for group in groups)
    assert all(days[0] <= group.first_start and group.last_end <= days[1] for group in groups)


@given(
    amount=st.decimals(-(10**19), 10**19, places=18),
    edges=st.lists(st.integers(0, 10**6), max_size=6),
    length=st.integers(1, 10**6),
)
def test_parts_sum_to_the_charge_to_the_last_digit(amount: Decimal, edges: list[int], length: int) -> None:
    first = datetime(2026, 10, 1, tzinfo=UTC)
    fee = ChargeGroup(
        currency="USD", billed=amount, pricing_quantity=amount, first_start=first,
        last_end=first + timedelta(seconds=length),
    )  # fmt: skip
    cuts = [first, *(first + timedelta(seconds=at) for at in sorted(edges) if at < length), fee.last_end]
    parts = [part_of(fee, start, end) for start, end in pairwise(cuts)]
    assert exact_sum(part.billed for part in parts) == amount
    (whole,) = joined(parts)
    assert (whole.billed, whole.pricing_quantity, whole.first_start) == (amount, amount, first)
    assert whole.last_end == fee.last_end
