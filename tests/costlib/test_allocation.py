"""Billed money is divided without loss, to the last digit and to the cent shown."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.allocation import OwnerUse, allocate, in_cents, share_of, usd_per_mtok_of
from costlib.estimate import Undefined

CENT = Decimal("0.01")
amounts = st.decimals(min_value=-(10**7), max_value=10**7, places=18)
seconds = st.none() | st.floats(0, 1e7)
owners = st.lists(
    st.builds(
        OwnerUse,
        key=st.text(max_size=5),
        cost=amounts,
        tokens=st.none() | st.integers(0, 10**15),
        busy_s=seconds,
        coverage_s=seconds,
    ),
    max_size=6,
)


@given(owners, amounts)
def test_the_parts_are_the_bill(owners, unmatched):
    split = allocate(owners, unmatched)
    billed = sum((owner.cost for owner in owners), start=unmatched)
    assert split.busy + split.idle + split.unmeasured + split.unmatched == split.total == billed


@given(st.lists(amounts, max_size=8))
def test_whole_cents_add_up_to_the_rounded_total_and_none_is_off_by_a_cent(values):
    shown = in_cents(values)
    assert sum(shown, start=Decimal(0)) == sum(values, start=Decimal(0)).quantize(CENT)
    assert all(
        abs(cents - value) < CENT and cents == cents.quantize(CENT) for cents, value in zip(shown, values, strict=True)
    )


def test_a_cent_over_three_goes_to_the_first():
    """Domain_math §14, vector 35."""
    assert in_cents([Decimal("0.01") / 3] * 3) == [Decimal("0.01"), 0, 0]


@given(owners, amounts)
def test_what_is_shown_adds_up(owners, unmatched):
    shown = allocate(owners, unmatched).shown()
    total = shown.pop("total")
    assert sum(shown.values()) == total


@pytest.mark.parametrize(
    ("busy_s", "coverage_s", "busy", "idle", "unmeasured"),
    [
        pytest.param(900, 3600, 25, 75, 0, id="a quarter busy"),
        pytest.param(0, 3600, 0, 100, 0, id="observed and idle"),
        pytest.param(3700, 3600, 100, 0, 0, id="clocks that disagree: no more than all"),
        pytest.param(None, 3600, 0, 0, 100, id="busy time not exported is not idle"),
        pytest.param(None, None, 0, 0, 100, id="never observed"),
        pytest.param(0, 0, 0, 0, 100, id="observed for no time"),
    ],
)
def test_idle_is_only_what_was_seen_idle(busy_s, coverage_s, busy, idle, unmeasured):
    split = allocate([OwnerUse(key="chat", cost=Decimal(100), busy_s=busy_s, coverage_s=coverage_s)], Decimal(7))
    assert (split.busy, split.idle, split.unmeasured, split.unmatched) == (busy, idle, unmeasured, 7)


def test_unit_cost_is_all_dollars_over_all_tokens():
    """Vector 1: $2,520 over the 2,592 million tokens of a month."""
    assert usd_per_mtok_of(Decimal(2520), 2_592_000_000).quantize(Decimal("0.00001")) == Decimal("0.97222")


@pytest.mark.parametrize("tokens", [0, None])
def test_without_tokens_there_is_no_unit_cost(tokens):
    assert isinstance(usd_per_mtok_of(Decimal(1), tokens), Undefined)


def test_a_share_of_nothing_is_undefined():
    assert share_of(Decimal(1), Decimal(4)) == 0.25
    assert isinstance(share_of(Decimal(0), Decimal(0)), Undefined)


@pytest.mark.parametrize("cost", ["12345678901.25", "12345678901.123456789012345678"])
def test_amounts_in_a_currency_of_many_digits_are_divided_without_loss(cost):
    """Ten billion won are seven million dollars, and more digits than Python's decimals keep by themselves."""
    smallest = Decimal("0.000000000000000001")
    split = allocate([OwnerUse(key="chat", cost=Decimal(cost), busy_s=1.0, coverage_s=3.0)], smallest)
    with localcontext(prec=60):
        assert split.total == Decimal(cost) + smallest
        assert split.busy + split.idle == Decimal(cost)


@given(owners, amounts)
def test_the_total_shown_is_the_bill_in_cents(owners, unmatched):
    split = allocate(owners, unmatched)
    assert split.shown()["total"] == split.total.quantize(CENT)


@given(st.lists(amounts, min_size=1, max_size=8))
def test_whole_cents_are_left_as_they_are(values):
    whole = [value.quantize(CENT) for value in values]
    assert in_cents(whole) == whole


def test_a_credit_is_divided_like_a_cost():
    split = allocate([OwnerUse(key="chat", cost=Decimal(-100), busy_s=900.0, coverage_s=3600.0)], Decimal(-7))
    assert (split.busy, split.idle, split.total) == (-25, -75, -107)


def test_tokens_of_owners_are_summed_and_unknown_ones_are_left_out():
    counted = [OwnerUse(key=key, cost=Decimal(1), tokens=tokens) for key, tokens in (("a", 3), ("b", 4), ("c", None))]
    assert allocate(counted, Decimal(0)).tokens == 7
