"""Looks in between and several changes: all of them together err as often as one would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import DomainError
from costlib.many_looks import holm, level_of_look, spent_level

CHANCES = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), min_size=1, max_size=8)


@pytest.mark.parametrize(("elapsed", "spent"), [(0.25, 0.00009), (0.5, 0.00557), (0.75, 0.02362), (1.0, 0.05)])
def test_what_may_be_used_up_by_then(elapsed: float, spent: float):
    """2 (1 - Phi(1.95996 / sqrt(t))), by a table of the normal distribution; Lan and DeMets 1983."""
    assert spent_level(elapsed) == pytest.approx(spent, abs=0.00001)


@pytest.mark.parametrize("elapsed", [0.0, -0.1, 1.1])
def test_a_part_of_the_days_lies_between_none_and_all(elapsed: float):
    with pytest.raises(DomainError, match="lies between 0 and 1"):
        spent_level(elapsed)


@given(looks=st.integers(1, 12))
def test_all_looks_together_use_five_percent(looks: int):
    levels = [level_of_look(look / looks, looks) for look in range(1, looks + 1)]
    assert sum(levels) == pytest.approx(0.05)
    assert levels == sorted(levels)


def test_between_looks_the_last_one_counts_and_before_the_first_there_is_none():
    assert level_of_look(0.49, 2) is None
    assert level_of_look(0.5, 2) == level_of_look(0.99, 2) == pytest.approx(0.0056, abs=0.0001)
    assert level_of_look(1.0, 1) == pytest.approx(0.05)
    with pytest.raises(DomainError, match="one look at least, not 0"):
        level_of_look(0.5, 0)


def test_four_looks_err_no_more_often_than_one():
    """Sums of white noise, looked at four times at these levels: less than 5 % are ever beyond."""
    sums = np.cumsum(np.random.default_rng(0).normal(size=(20_000, 4)), axis=1) / np.sqrt(np.arange(1, 5))
    levels = [level_of_look(look / 4, 4) for look in range(1, 5)]
    limits = [np.quantile(np.abs(np.random.default_rng(1).normal(size=400_000)), 1 - level) for level in levels]
    assert 0.03 < (np.abs(sums) > limits).any(axis=1).mean() <= 0.053
    assert (np.abs(sums) > 1.96).any(axis=1).mean() > 0.1  # to look each time at 5 %


def test_holm_of_three():
    """The least at 5 % / 3, the next at 5 % / 2; it fails, and so does what comes after it."""
    assert holm({"a": 0.01, "b": 0.03, "c": 0.04}) == pytest.approx({"a": 0.05 / 3, "b": 0.025, "c": 0.025})
    assert holm({}) == {}
    assert holm({"alone": 0.2}) == {"alone": 0.05}


@given(chances=CHANCES)
def test_what_holm_passes_lies_between_bonferroni_and_no_correction(chances: dict[str, float]):
    levels = holm(chances)
    passed = {name for name, level in levels.items() if chances[name] <= level}
    assert {name for name, chance in chances.items() if chance <= 0.05 / len(chances)} <= passed
    assert passed <= {name for name, chance in chances.items() if chance <= 0.05}
    least = sorted(chances.values())[: len(passed)]
    assert sorted(chances[name] for name in passed) == least  # none passes before a clearer one
    assert set(levels) == set(chances)
