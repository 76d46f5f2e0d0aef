"""Percentiles, goodput and unit cost: known answers, and what holds for any figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.bench.figures import (
    PERCENTILES,
    Distribution,
    distribution,
    goodput,
    needed_count,
    percentile,
    tpot_s,
    unit_cost,
)
from costlib.estimate import Undefined

seconds = st.floats(min_value=0.0, max_value=1e4)
samples = st.lists(seconds, min_size=1, max_size=60)


@given(samples, st.floats(min_value=0, max_value=100), st.floats(min_value=0, max_value=100))
def test_a_higher_percentile_is_never_lower_and_none_leaves_the_range(
    values: list[float], first: float, second: float
) -> None:
    ordered = sorted(values)
    low, high = (percentile(ordered, percent) for percent in sorted((first, second)))
    assert ordered[0] <= low <= high + 1e-9 <= ordered[-1] + 1e-9


@given(samples, st.sampled_from(PERCENTILES))
def test_a_percentile_is_numpys(values: list[float], percent: int) -> None:
    assert percentile(sorted(values), percent) == pytest.approx(np.percentile(values, percent), abs=1e-9)


@given(samples)
def test_the_order_in_which_answers_come_does_not_matter(values: list[float]) -> None:
    assert distribution(values, "none") == distribution(values[::-1], "none")


def test_nothing_measured_is_undefined_and_says_why() -> None:
    assert distribution([], "no answers") == Undefined(reason="no answers")


@pytest.mark.parametrize(
    ("count", "loose"), [(19, "p50 p90 p95 p99"), (20, "p90 p95 p99"), (200, "p99"), (999, "p99"), (1000, "")]
)
def test_a_percentile_with_fewer_than_ten_observations_beyond_it_is_loose(count: int, loose: str) -> None:
    found = distribution([1.0] * count, "none")
    assert isinstance(found, Distribution)
    assert found.loose == tuple(loose.split())


@pytest.mark.parametrize("percent", PERCENTILES)
def test_ten_observations_lie_beyond_a_firm_percentile(percent: int) -> None:
    count = needed_count(percent)
    values = [float(value) for value in range(count)]
    assert sum(value > percentile(values, percent) for value in values) == 10


def test_one_token_or_one_chunk_has_no_pace() -> None:
    assert tpot_s(0.1, 0.1, 1, 1) is None
    assert tpot_s(0.1, 0.1, 64, 1) is None, "a proxy that holds the answer back must not give 0 s per token"
    assert tpot_s(0.1, 1.1, 11, 4) == pytest.approx(0.1)


def test_a_failed_request_counts_against_goodput() -> None:
    found = goodput([True, True, True], ended_count=4, window_s=2.0)
    assert not isinstance(found, Undefined)
    assert (found.good_count, found.good_fraction, found.good_requests_per_s) == (3, 0.75, 1.5)


@pytest.mark.parametrize(("kept", "ended", "window_s"), [([], 0, 1.0), ([True], 1, 0.0)])
def test_goodput_of_nothing_is_undefined(kept: list[bool], ended: int, window_s: float) -> None:
    assert isinstance(goodput(kept, ended, window_s), Undefined)


def test_no_tokens_have_no_unit_cost() -> None:
    assert isinstance(unit_cost(3.5, 0.0, 100.0, 1.0), Undefined)


@given(st.floats(min_value=0.01, max_value=1e4), st.floats(min_value=0.01, max_value=1e6))
def test_a_speed_that_just_meets_the_target_costs_the_target(usd_per_hour: float, target: float) -> None:
    cost = unit_cost(usd_per_hour, 1.0, 2.0, target)
    assert not isinstance(cost, Undefined) and cost.needed_tokens_per_s is not None
    met = unit_cost(usd_per_hour, cost.needed_tokens_per_s, 2 * cost.needed_tokens_per_s, None)
    assert not isinstance(met, Undefined)
    assert met.usd_per_mtok_output == pytest.approx(target)
    assert met.usd_per_mtok_blended == pytest.approx(target / 2)
    assert met.needed_tokens_per_s is None
