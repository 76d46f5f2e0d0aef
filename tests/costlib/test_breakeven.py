"""Price, throughput and tokens: the identities, and the answers that are most often published wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.breakeven import break_even_tokens, commitment_quantile, needed_tokens_per_s, replicas_for, usd_per_mtok
from costlib.errors import DomainError

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
