"""Billed money is divided without loss, to the last digit and to the cent shown."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import lcm

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.allocation import in_cents, share_of, split, usd_per_mtok_of, whole_split
from costlib.billing import SMALLEST
from costlib.errors import DomainError
from costlib.estimate import Undefined

CENT = Decimal("0.01")
amounts = st.decimals(min_value=-(10**7), max_value=10**7, places=18)


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


def test_unit_cost_is_all_dollars_over_all_tokens():
    """Vector 1: $2,520 over the 2,592 million tokens of a month."""
    assert usd_per_mtok_of(Decimal(2520), 2_592_000_000).quantize(Decimal("0.00001")) == Decimal("0.97222")


@pytest.mark.parametrize("tokens", [0, None])
def test_without_tokens_there_is_no_unit_cost(tokens):
    assert isinstance(usd_per_mtok_of(Decimal(1), tokens), Undefined)


def test_a_share_of_nothing_is_undefined():
    assert share_of(Decimal(1), Decimal(4)) == 0.25
    assert isinstance(share_of(Decimal(0), Decimal(0)), Undefined)


@given(st.lists(amounts, min_size=1, max_size=8))
def test_whole_cents_are_left_as_they_are(values):
    whole = [value.quantize(CENT) for value in values]
    assert in_cents(whole) == whole


# split

weights = st.dictionaries(st.text(max_size=4), st.integers(0, 10**18) | st.floats(0, 1e18), max_size=12)
wild_weights = st.dictionaries(
    st.text(max_size=4), st.floats() | st.integers() | st.decimals(allow_nan=False, places=3), max_size=6
)


@given(amounts, weights | wild_weights)
def test_i01_shares_sum_to_the_amount_whatever_the_weights(amount, given_weights):
    shares = split(amount, given_weights, "rest")
    with localcontext(prec=60):
        assert sum(shares.values(), start=Decimal(0)) == amount
    assert given_weights.keys() <= shares.keys() <= {*given_weights, "rest"}


@given(amounts, weights)
def test_a_share_is_within_one_unit_of_its_exact_part(amount, given_weights):
    total = sum(map(Fraction, given_weights.values()))
    for key, share in split(amount, given_weights, "rest").items() if total else ():
        assert abs(Fraction(share) - Fraction(amount) * Fraction(given_weights[key]) / total) < Fraction(SMALLEST)


@given(amounts, weights, st.randoms(use_true_random=False))
def test_i02_the_order_of_owners_plays_no_part(amount, given_weights, random):
    shuffled = list(given_weights.items())
    random.shuffle(shuffled)
    assert split(amount, dict(shuffled), "rest") == split(amount, given_weights, "rest")


@given(amounts, weights, st.integers(1, 10**6))
def test_i10_the_scale_of_the_weights_plays_no_part(amount, given_weights, times):
    exact = {key: Fraction(weight) for key, weight in given_weights.items()}
    common = lcm(*(weight.denominator for weight in exact.values()))
    scaled = {key: int(weight * common * times) for key, weight in exact.items()}
    assert split(amount, scaled, "rest") == split(amount, given_weights, "rest")


@given(amounts, weights)
def test_b21_a_refund_is_divided_as_the_charge_was(amount, given_weights):
    refunded = split(-amount, given_weights, "rest")
    assert refunded == {key: -share for key, share in split(amount, given_weights, "rest").items()}


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"a": 0, "b": 0.0},
        {"a": 1.0, "b": float("nan")},
        {"a": 1.0, "b": float("inf")},
        {"a": 3, "b": -1},
        {"a": Decimal("NaN"), "b": 1},
    ],
    ids=["none", "all zero", "one NaN", "one infinite", "one negative", "a Decimal NaN"],
)
def test_b22_weights_that_say_nothing_leave_the_whole_amount_over(bad):
    shares = split(Decimal("12.34"), bad, "unallocated")
    assert shares.pop("unallocated") == Decimal("12.34")
    assert shares == dict.fromkeys(bad, 0)


def test_b23_a_cent_over_three_tenants_goes_to_the_first_by_name():
    assert split(CENT, {"c": 1, "b": 1, "a": 1}, "rest", CENT) == {"a": CENT, "b": 0, "c": 0}


def test_b23_a_million_tenants_share_a_cent_exactly():
    tenants = {f"tenant-{n:06}": 1 + n % 7 for n in range(1_000_000)}
    shares = split(CENT, tenants, "rest")
    assert sum(shares.values(), start=Decimal(0)) == CENT
    assert len(shares) == 1_000_000
    exact = {n: Fraction(1, 100) * n / sum(tenants.values()) for n in range(1, 8)}
    assert all(abs(Fraction(share) - exact[tenants[key]]) < Fraction(SMALLEST) for key, share in shares.items())


def test_only_whole_units_can_be_divided():
    with pytest.raises(DomainError, match=r"0\.015 is no multiple of 0\.01"):
        split(Decimal("0.015"), {"a": 1}, "rest", CENT)


@given(st.integers(0, 10**15), weights)
def test_tokens_are_divided_whole(count, given_weights):
    assert sum(whole_split(count, given_weights, "rest").values()) == count
