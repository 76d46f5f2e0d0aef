"""The Pareto front holds no dominated point and misses none that is not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from costlib.pareto import front

# Few values, so that ties are common.
POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40)


def dominates(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@given(POINTS)
def test_no_point_of_the_front_is_dominated(points):
    kept = [points[i] for i in front(*zip(*points, strict=True))]
    assert not [(a, b) for a in points for b in kept if dominates(a, b)]


@given(POINTS)
def test_every_point_outside_is_dominated_by_one_on_the_front_or_equal_to_it(points):
    kept = [points[i] for i in front(*zip(*points, strict=True))]
    assert all(any(dominates(k, point) or k == point for k in kept) for point in points)


@given(POINTS)
def test_cost_and_speed_rise_along_the_front(points):
    kept = np.array([points[i] for i in front(*zip(*points, strict=True))])
    assert (np.diff(kept, axis=0) > 0).all()


def test_what_is_no_number_is_no_choice():
    assert front([np.nan, np.inf, 2.0], [1.0, 1.0, 1.0]).tolist() == [2]
    assert front([np.nan], [1.0]).tolist() == []
