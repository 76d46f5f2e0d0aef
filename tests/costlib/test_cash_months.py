"""Claimed, verified and probable savings of calendar months, by the days that changes were live."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.cash_months import cash_months
from costlib.saving import CashMonth, Design, Entry, State, Verdict
from tests.savings_builders import entry, plan, signed

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


NOVEMBER = at(11, 1)


def change(
    key: str = "a",
    claimed: float = 300.0,
    cash: float = 240.0,
    verdict: Verdict = Verdict.VERIFIED,
    on: datetime = NOVEMBER,
    **more: object,
) -> Entry:
    made = plan(0.2, claimed, design=more.pop("design", Design.DIFFERENCE), pool_keys=more.pop("pools", (key,)))
    whole = {"shipped_at": on, "signed": signed(verdict, 0.2 if cash > 0 else -0.2, cash)} | more
    return entry(key, key, State.VERIFIED, made, **whole)


def november(*entries: Entry, **more: object) -> CashMonth:
    (found,) = cash_months(entries, ["2026-11"], more.pop("now", NOW), **more)
    return found


def figures(of: CashMonth) -> tuple[str, str, str]:
    return str(of.claimed), str(of.verified), str(of.probable)


def test_a_change_that_was_live_all_month_counts_a_month() -> None:
    assert figures(november(change())) == ("300.00", "240.00", "0.00")


def test_a_month_counts_the_days_that_a_change_was_live() -> None:
    """10 of 30 days; then 12 hours of them."""
    assert figures(november(change(on=at(11, 21)))) == ("100.00", "80.00", "0.00")
    assert figures(november(change(ended_at=at(11, 11)))) == ("100.00", "80.00", "0.00")
    assert figures(november(change(), now=at(11, 11))) == ("100.00", "80.00", "0.00"), "to come is not saved yet"
    assert figures(november(change(ended_at=at(11, 1, 12)))) == ("5.00", "4.00", "0.00")


def test_months_are_as_long_as_they_are() -> None:
    """14 of 28 days of February are half a month, and 14 of 31 of March are not."""
    one = change(on=at(2, 15), ended_at=at(3, 15))
    assert [str(month.claimed) for month in cash_months([one], ["2026-02", "2026-03"], NOW)] == ["150.00", "135.48"]


def test_without_something_untouched_it_is_probable() -> None:
    assert figures(november(change(verdict=Verdict.PROBABLE))) == ("300.00", "0.00", "240.00")
    assert figures(november(change(design=Design.BEFORE_AFTER))) == ("300.00", "0.00", "240.00")


def test_a_change_that_costs_more_counts_its_cost() -> None:
    rose = change("b", cash=-90.0, verdict=Verdict.ROSE)
    assert figures(november(rose)) == ("300.00", "-90.00", "0.00")
    assert figures(november(change(), rose)) == ("600.00", "150.00", "0.00")


@pytest.mark.parametrize("verdict", [Verdict.NOT_SHOWN, Verdict.CANNOT_TELL, Verdict.GUARD_BROKEN])
def test_what_was_not_shown_cannot_be_told_or_broke_a_guard_is_claimed_and_no_more(verdict: Verdict) -> None:
    assert figures(november(change(verdict=verdict))) == ("300.00", "0.00", "0.00")


def test_what_is_not_signed_is_claimed_and_what_was_never_shipped_is_not() -> None:
    assert figures(november(change(signed=None))) == ("300.00", "0.00", "0.00")
    assert figures(november(entry("p", "p", State.PLANNED, plan()))) == ("0.00", "0.00", "0.00")


def test_a_promise_to_cost_more_claims_nothing() -> None:
    assert november(change(claimed=-50.0)).claimed == 0


def test_changes_of_a_ledger_that_was_tampered_with_count_nothing_at_all() -> None:
    assert figures(november(change(), change("b"), broken_entries={"a"})) == ("300.00", "240.00", "0.00")


def test_two_of_one_pool_at_the_same_time_are_not_counted_twice_and_alone_they_count_whole() -> None:
    """$240 and $80, each with the other in it, for the last 15 days; before that only the first was live."""
    first, second = change("a", pools=("chat",)), change("b", cash=80.0, pools=("chat",), on=at(11, 16))
    assert figures(november(first, second)) == ("450.00", "240.00", "0.00")


def test_a_jointly_measured_effect_caps_what_both_count() -> None:
    """Jointly 20 %, as each alone: half of $480 counts."""
    both = (change("a", pools=("chat",)), change("b", pools=("chat",)))
    joint = {frozenset("ab"): (both[0].signed.log_effect, 0.02)}  # type: ignore[union-attr]
    assert november(*both, joints=joint).verified == Decimal("240.00")


def test_a_month_is_final_when_its_bills_are() -> None:
    found = cash_months([change()], ["2026-10", "2026-11"], NOW, final_months={"2026-10"})
    assert [(one.month, one.is_final) for one in found] == [("2026-10", True), ("2026-11", False)]


def test_of_a_switchback_the_time_that_it_was_on_counts() -> None:
    """Three days of turns, then from the 26th all of the time: 8 of 30 days."""
    turns = ((at(11, 1), at(11, 2)), (at(11, 3), at(11, 4)), (at(11, 25), at(11, 26)))
    assert november(change(periods=turns, design=Design.SWITCHBACK)).verified == Decimal("64.00")


MOMENTS = st.integers(0, 90 * 24).map(lambda hours: at(10, 1) + timedelta(hours=hours))
CHANGES = st.lists(
    st.tuples(MOMENTS, st.none() | MOMENTS, st.floats(-1e5, 1e5), st.sampled_from(Verdict), st.sampled_from("xy")),
    max_size=5,
)


@given(CHANGES, st.randoms())
def test_nothing_counts_more_than_it_was_signed_for_and_order_does_not_matter(rows, chance) -> None:
    changes = [
        change(f"{n}", abs(cash), cash or 1.0, verdict, on, ended_at=end, pools=(pool,))
        for n, (on, end, cash, verdict, pool) in enumerate(rows)
    ]
    found = november(*changes)
    signed_usd = sum(max(0.0, one.signed.cash_usd_per_month.mid) for one in changes if one.signed)
    assert found.claimed >= 0
    assert float(found.verified + found.probable) <= signed_usd + 0.01
    chance.shuffle(changes)
    assert november(*changes) == found
