"""Price, throughput and tokens: the identities, and the answers that are most often published wrong."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costlib.breakeven import (
    MOST_STRETCHES,
    SelfHosting,
    api_usd_per_mtok,
    break_even_tokens,
    cache_write_payback_reads,
    commitment_quantile,
    crossings,
    needed_tokens_per_s,
    replicas_for,
    usd_per_mtok,
)
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.pricing import TokenPrice

MONTH_S = 720 * 3600


@pytest.mark.parametrize(
    ("usd_per_hour", "tokens_per_s", "expected"),
    [
        pytest.param(3.50, 1000, 0.97222, id="vector 1"),
        pytest.param(3.50, 833, 1.167, id="833 tok/s is $1.17, not the $1.00 sometimes printed"),
    ],
)
def test_usd_per_mtok(usd_per_hour, tokens_per_s, expected):
    assert usd_per_mtok(usd_per_hour, tokens_per_s) == pytest.approx(expected, rel=0.0005)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(0.90, 1080.25, id="vector 2"),
        pytest.param(1.00, 972.22, id="$1.00 a million"),
        pytest.param(4.20, 231.48, id="$4.20 a million"),
    ],
)
def test_needed_tokens_per_s(target, expected):
    assert needed_tokens_per_s(3.50, target) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("usd", "tokens"),
    [
        pytest.param(2520, 2.8e9, id="vector 3: 2.8 billion, not 2.8 million"),
        pytest.param(2520 + 5000, 8.3556e9, id="with $5,000 of operations"),
        pytest.param(2 * 2520 + 5000, 11.1556e9, id="two GPUs and $5,000"),
    ],
)
def test_break_even_tokens(usd, tokens):
    assert break_even_tokens(usd, 0.90) == pytest.approx(tokens, rel=1e-4)


def test_one_gpu_at_1000_tokens_per_s_never_reaches_its_break_even():
    """Vector 4: 2,592 million tokens a month is all it makes, and 2,800 million is what it needs."""
    assert 1000 * MONTH_S == 2_592_000_000 < break_even_tokens(2520, 0.90)


@given(usd_per_hour=st.floats(0.01, 1000), target=st.floats(0.01, 100))
def test_needed_throughput_costs_the_target(usd_per_hour, target):
    assert usd_per_mtok(usd_per_hour, needed_tokens_per_s(usd_per_hour, target)) == pytest.approx(target)


@pytest.mark.parametrize("tokens_per_s", [0, -1])
def test_cost_of_no_tokens_is_undefined(tokens_per_s):
    with pytest.raises(DomainError, match="undefined: no tokens are delivered"):
        usd_per_mtok(3.50, tokens_per_s)


@pytest.mark.parametrize(
    ("peak", "capacity", "target", "minimum", "replicas"),
    [
        pytest.param(100, 2.592, 1.0, 1, 39, id="vector 5: 39 GPUs"),
        pytest.param(10, 5, 1.0, 1, 2, id="an exact fit adds none"),
        pytest.param(1.1, 0.1, 1.0, 1, 11, id="nor does one that rounding makes 11.000000000000002"),
        pytest.param(10, 5, 0.8, 1, 3, id="headroom does"),
        pytest.param(10.01, 5, 1.0, 1, 3, id="so does a hair more"),
        pytest.param(1, 5, 1.0, 4, 4, id="a floor"),
        pytest.param(0, 5, 1.0, 0, 0, id="nothing for nothing"),
    ],
)
def test_replicas(peak, capacity, target, minimum, replicas):
    assert replicas_for(peak, capacity, target, minimum) == replicas


def test_thirty_nine_gpus_for_a_month_cost_98_280():
    assert 39 * 3.50 * 720 == 98_280  # vector 5
    assert 3.50 * 24 * 30 == 2520 == 3.50 * 720  # vector 32
    assert 3.50 * 730 == 2555


@pytest.mark.parametrize("reserved", [0.25, 0.4, 0.6, 0.8])
def test_commitment_is_the_cheapest_of_all_when_tried_one_by_one(reserved):
    """Newsvendor against brute force: 200 hours that need 1, 2, ... 200 GPUs; vector 17 for 0.6."""
    hours = range(1, 201)

    def cost(committed):
        return sum(reserved * committed + max(0, needed - committed) for needed in hours)

    best = min(range(201), key=cost)
    assert best / 200 == pytest.approx(commitment_quantile(reserved, 1.0), abs=0.006)


@pytest.mark.parametrize(("reserved", "on_demand"), [(1.2, 1.0), (-0.1, 1.0), (0.0, 0.0)])
def test_a_reservation_dearer_than_on_demand_is_refused(reserved, on_demand):
    with pytest.raises(DomainError, match="from 0 to the on-demand price"):
        commitment_quantile(reserved, on_demand)


# Self-hosting as whole replicas, against an API (domain_math §8.6; lesson_checklist 5.0, items 1 and 2).

PRICE = 0.90


def a100(tokens_per_s=1000.0, **changes):
    """One A100 a replica, at $3.50 for 720 hours: $2,520 and, at 1,000 tok/s, 2,592 million tokens."""
    return SelfHosting(
        **{
            "usd_per_gpu_hour": 3.50,
            "gpus_per_replica_count": 1,
            "capacity_tokens_per_s": tokens_per_s,
            "hours_per_month": 720.0,
            **changes,
        }
    )


def test_vector_4_a_gpu_at_1000_tokens_per_s_never_matches_90_cents():
    found = crossings(a100(), PRICE).stays_cheaper_tokens_per_month
    assert isinstance(found, Undefined)
    assert found.reason == "never: a replica that is full all month makes a million tokens for $0.97, against $0.90"


def test_vector_5_100_billion_tokens_take_39_gpus_and_lose():
    assert a100().replicas_count(100e9) == 39
    assert a100().usd_per_month(100e9) == 98_280
    assert a100().usd_per_month(100e9) > 100e9 / 1e6 * PRICE


@pytest.mark.parametrize(
    ("tokens", "api_usd"),
    [
        pytest.param(10e6, 9.0, id="10 million: $9, not a saving of $87,480"),
        pytest.param(50e6, 45.0, id="50 million, the rule of thumb: $45"),
        pytest.param(2.8e9, 2520.0, id="2.8 billion: even, if one GPU made them"),
    ],
)
def test_what_the_lesson_gets_wrong_by_a_thousand(tokens, api_usd):
    assert tokens / 1e6 * PRICE == pytest.approx(api_usd)
    assert a100().usd_per_month(tokens) >= 2520.0 >= api_usd


def test_833_tokens_per_s_do_not_make_a_million_for_a_dollar():
    assert isinstance(crossings(a100(833.0), 1.00).stays_cheaper_tokens_per_month, Undefined)
    assert isinstance(crossings(a100(972.0), 1.00).stays_cheaper_tokens_per_month, Undefined)
    assert not isinstance(crossings(a100(972.3), 1.00).stays_cheaper_tokens_per_month, Undefined)


def test_a_second_replica_makes_the_api_cheaper_again():
    """At 2,000 tok/s one replica pays from 2.8 billion to its 5.184; two cost as much as 5.6 billion tokens."""
    found = crossings(a100(2000.0), PRICE)
    assert found.stretches_tokens_per_month == ((2.8e9, 5.184e9),)
    assert found.stays_cheaper_tokens_per_month == pytest.approx(5.6e9)


def test_people_move_the_crossing():
    """$2,520 + $5,000 are 8.36 billion tokens of API; at 5,000 tok/s one replica carries 12.96 billion."""
    found = crossings(a100(5000.0, operations_usd_per_month=5000.0), PRICE)
    assert found.stretches_tokens_per_month == ()
    assert found.stays_cheaper_tokens_per_month == pytest.approx(8.3556e9, rel=1e-4)


def test_the_api_at_30_percent_less_moves_it_further():
    dear, cheap = (crossings(a100(5000.0), price).stays_cheaper_tokens_per_month for price in (0.90, 0.63))
    assert cheap / dear == pytest.approx(0.90 / 0.63)


def test_replicas_that_must_run_are_paid_for_from_the_first_token():
    found = crossings(a100(5000.0, min_replicas_count=3), PRICE)
    assert found.stays_cheaper_tokens_per_month == pytest.approx(3 * 2.8e9)


def test_peaks_and_headroom_take_tokens_off_a_replica():
    assert a100(target_busy_fraction=0.8, peak_to_mean_ratio=2.0).replica_tokens_per_month == pytest.approx(1.0368e9)


def test_stretches_are_listed_up_to_a_number():
    """At 1,081 tok/s a replica gains $1.75 a month: the API is cheaper again after each of 1,440."""
    found = crossings(a100(1081.0), PRICE)
    assert len(found.stretches_tokens_per_month) == MOST_STRETCHES
    assert found.stays_cheaper_tokens_per_month > 1000 * 2.8e9


@given(
    speed=st.floats(1100, 5000),
    operations=st.floats(0, 50_000),
    minimum=st.integers(0, 4),
    volume=st.floats(1e6, 500e9),
)
def test_the_crossing_is_where_it_says(speed, operations, minimum, volume):
    """Tried out: dollars saved on either side of every volume that is named."""
    hosting = a100(speed, operations_usd_per_month=operations, min_replicas_count=minimum)
    found = crossings(hosting, PRICE)
    least = found.stays_cheaper_tokens_per_month
    assert not isinstance(least, Undefined)

    def lead(tokens):
        """Dollars that self-hosting saves."""
        return tokens / 1e6 * PRICE - hosting.usd_per_month(tokens)

    def starts_to_lead(tokens):
        """Self-hosting costs no more from here on, and more just below, unless a replica begins right there."""
        below = tokens * (1 - 1e-7)
        is_new_replica = hosting.replicas_count(below) < hosting.replicas_count(tokens)
        return lead(tokens) >= -1e-9 * hosting.usd_per_month(tokens) and (lead(below) < 0 or is_new_replica)

    assert starts_to_lead(least)
    for more in (0.001 * least, volume, 10 * volume):
        assert lead(least + more) >= 0
    for begin, end in found.stretches_tokens_per_month:
        assert starts_to_lead(begin)
        assert lead(end) >= 0 > lead(end * (1 + 1e-7))
        assert end < least


@given(volume=st.floats(1, 1e12), speed=st.floats(10, 970))
def test_never_is_never(volume, speed):
    hosting = a100(speed)
    assume(isinstance(crossings(hosting, PRICE).stays_cheaper_tokens_per_month, Undefined))
    assert hosting.usd_per_month(volume) >= volume / 1e6 * PRICE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens_per_s": 0.0}, "capacity_tokens_per_s must be above 0"),
        ({"hours_per_month": float("inf")}, "hours_per_month must be above 0"),
        ({"usd_per_gpu_hour": -1.0}, "usd_per_gpu_hour must be 0 or more"),
        ({"operations_usd_per_month": float("nan")}, "operations_usd_per_month must be 0 or more"),
        ({"peak_to_mean_ratio": 0.5}, "peak_to_mean_ratio is peak over mean"),
    ],
)
def test_hosting_that_cannot_be_is_refused_by_name(changes, message):
    with pytest.raises(DomainError, match=message):
        a100(**changes)


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan")])
def test_an_api_for_nothing_is_refused(price):
    with pytest.raises(DomainError, match="API price must be above 0"):
        crossings(a100(), price)


def test_the_api_price_of_a_mix():
    """$1.00, $0.10 and $4.00: 500 x 1 + 500 x 0.1 + 200 x 4 = 1,350 for 1,200 tokens."""
    price = TokenPrice(
        key="m",
        provider="p",
        model_key="m",
        usd_per_mtok_input=1.0,
        usd_per_mtok_cached_input=0.1,
        usd_per_mtok_output=4.0,
        valid_from=date(2026, 1, 1),
    )
    assert api_usd_per_mtok(price, 500, 500, 200) == pytest.approx(1.125)
    assert isinstance(api_usd_per_mtok(price, 0, 0, 0), Undefined)


@pytest.mark.parametrize(
    ("write", "read", "reads"),
    [
        pytest.param(1.25, 0.1, 0.2778, id="vector 28: the first re-read pays"),
        pytest.param(2.0, 0.1, 1.1111, id="a dear write takes two"),
        pytest.param(1.0, 0.5, 0.0, id="a free write takes none"),
    ],
)
def test_cache_writes_pay_back(write, read, reads):
    assert cache_write_payback_reads(write, read) == pytest.approx(reads, abs=1e-4)


def test_reading_that_saves_nothing_never_pays_back():
    with pytest.raises(DomainError, match="pays back only where reading costs less"):
        cache_write_payback_reads(1.25, 1.0)
