"""GPU-hours for the work of an hour, as measured: never falling, flat below, in proportion above."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.load_response import response

HOURS = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e3)), min_size=1, max_size=200)


def test_replicas_over_a_floor_are_found():
    work = np.tile(np.arange(60.0), 20)
    usual = response(work, np.maximum(2.0, np.ceil(work / 10)))
    assert usual(np.array([1.0, 12.0, 45.0])) == pytest.approx([2.0, 2.0, 5.0], abs=0.2)


def test_below_the_least_it_is_the_floor_and_above_the_most_it_grows_with_the_work():
    work = np.linspace(10, 100, 400)
    usual = response(work, np.maximum(2.0, work / 10))
    low, middle, high = usual(np.array([0.0, 100.0, 200.0]))
    assert low == pytest.approx(2.0)
    assert high == pytest.approx(2 * middle, rel=0.01)


@given(hours=HOURS, asked=st.lists(st.floats(0, 2e6), min_size=2, max_size=20))
def test_more_work_never_takes_less(hours, asked):
    work, gpu_hours = np.array(hours).T
    found = response(work, gpu_hours)(np.sort(asked))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9 * (1 + np.abs(found[1:]))).all()


@given(hours=HOURS)
def test_the_hours_it_was_learnt_from_add_up_to_what_they_took_or_nearly(hours):
    """Pooling keeps means: at the middles of the bins it is exact, between them straight."""
    work, gpu_hours = np.array(hours).T
    usual = response(work, gpu_hours)
    middle = float(usual(np.array([np.median(work)]))[0])
    assert gpu_hours.min() - 1e-9 <= middle <= gpu_hours.max() * (1 + 1e-9)


def test_hours_in_any_order_say_the_same():
    chance = np.random.default_rng(0)
    work = chance.permutation(400) / 4.0
    gpu_hours = np.ceil(work / 10)
    order = np.argsort(work)
    asked = np.linspace(0, 120, 9)
    assert response(work, gpu_hours)(asked) == pytest.approx(response(work[order], gpu_hours[order])(asked))


def test_an_unknown_hour_stays_unknown_and_no_hour_says_nothing():
    assert np.isnan(response(np.ones(5), np.ones(5))(np.array([np.nan]))[0])
    with pytest.raises(ValueError, match="no hour is known"):
        response(np.array([]), np.array([]))


def test_a_pool_that_never_worked_takes_what_it_always_took():
    assert response(np.zeros(8), np.full(8, 4.0))(np.array([0.0, 10.0])).tolist() == [4.0, 4.0]
