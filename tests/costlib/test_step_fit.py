"""Non-negative least squares against answers known otherwise."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.step_fit import nonnegative_least_squares


@pytest.mark.parametrize(
    ("design", "target", "expected"),
    [
        pytest.param([[1, 0], [0, 1]], [2, 3], [2, 3], id="nothing to hold back"),
        pytest.param([[1, 0], [0, 1]], [2, -3], [2, 0], id="one held at zero"),
        pytest.param([[1, 0], [0, 1]], [-2, -3], [0, 0], id="all held at zero"),
        pytest.param([[1, 1], [1, 2], [1, 3]], [1, 2, 3], [0, 1], id="a line through the origin"),
        pytest.param([[1, 1], [1, 2], [1, 3]], [3, 2, 1], [2, 0], id="a falling line: its mean is the best level"),
        pytest.param([[1, 1], [1, 1]], [2, 2], None, id="columns alike: any share of them"),
    ],
)
def test_known_answers(design, target, expected):
    design, target = np.array(design, dtype=float), np.array(target, dtype=float)
    found = nonnegative_least_squares(design, target)
    assert (found >= 0).all()
    if expected is None:
        assert design @ found == pytest.approx(target)
    else:
        assert found == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), columns=st.integers(1, 5), rows=st.integers(1, 12))
def test_no_choice_of_columns_does_better(seed, columns, rows):
    """Of all subsets of columns whose plain least squares is not negative, the best one is the answer."""
    chance = np.random.default_rng(seed)
    design, target = chance.normal(size=(rows, columns)), chance.normal(size=rows)
    best = np.linalg.norm(target)
    for count in range(1, columns + 1):
        for chosen in combinations(range(columns), count):
            found = np.linalg.lstsq(design[:, chosen], target, rcond=None)[0]
            if (found >= 0).all():
                best = min(best, np.linalg.norm(design[:, chosen] @ found - target))
    found = nonnegative_least_squares(design, target)
    assert (found >= 0).all()
    assert np.linalg.norm(design @ found - target) <= best + 1e-9
