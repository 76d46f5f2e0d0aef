"""Evaluations: how much of a share is proven by so many answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import DomainError
from costlib.evidence import accepted_of_all, least_accepted_fraction

shares = st.floats(0, 1)


def test_no_error_in_n_answers_bounds_the_error_near_three_over_n():
    """Domain_math §7.1, the rule of three: 0 errors in n, then below 3/n at 95 %."""
    assert 1 - least_accepted_fraction(1.0, 3000) <= 3 / 3000


@given(shares, st.integers(1, 10**6))
def test_the_proven_share_is_at_most_the_observed_and_never_below_zero(share, count):
    assert 0 <= least_accepted_fraction(share, count) <= share + 1e-12


@given(shares, st.integers(1, 10**5))
def test_more_of_the_same_proves_more(share, count):
    assert least_accepted_fraction(share, 10 * count) >= least_accepted_fraction(share, count) - 1e-12


def test_nothing_evaluated_proves_nothing():
    assert least_accepted_fraction(1.0, 0) == 0.0


@pytest.mark.parametrize(("share", "count"), [(1.1, 10), (-0.1, 10), (float("nan"), 10), (0.5, -1)])
def test_what_is_no_evaluation_is_refused(share, count):
    with pytest.raises(DomainError, match="no evaluation"):
        least_accepted_fraction(share, count)


@given(st.lists(shares, max_size=6))
def test_together_they_spoil_at_most_the_sum_of_what_each_spoils(fractions):
    together = accepted_of_all(fractions)
    assert 0 <= together <= min(fractions, default=1.0) + 1e-12
