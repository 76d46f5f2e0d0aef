"""The fit of log ratios: what measurements tell wins, what they do not stays as it was and as open as it was."""

import numpy as np
import pytest

from costlib.map_fit import fit_log_ratios, slopes_of

COUNT = 400
BLOCKS = np.arange(COUNT) // 20
PRIOR = np.array([0.1, 0.1])
CHANCE = np.random.default_rng(7)
LOAD = CHANCE.uniform(0.0, 1.0, COUNT)


def two_parts(x: np.ndarray) -> np.ndarray:
    """A fixed part, and one that grows with load."""
    return np.log(np.exp(x[0]) + LOAD * np.exp(x[1]))


def same_part(x: np.ndarray) -> np.ndarray:
    """Two constants that only ever act together."""
    return np.zeros(COUNT) + x[0] + x[1]


def measured(model, truth: tuple[float, float], noise: float = 0.02, seed: int = 0) -> np.ndarray:
    return model(np.array(truth)) + noise * np.random.default_rng(seed).standard_normal(COUNT)


def test_what_the_measurements_tell_is_found() -> None:
    found = fit_log_ratios(two_parts, measured(two_parts, (0.2, -0.3)), PRIOR, BLOCKS)
    assert found.log_ratio == pytest.approx([0.2, -0.3], abs=0.015)
    assert found.noise_ratio == pytest.approx(0.02, rel=0.2)


def test_the_posterior_holds_the_truth_as_often_as_it_says() -> None:
    inside = []
    for seed in range(200):
        truth = tuple(0.1 * np.random.default_rng(1000 + seed).standard_normal(2))
        found = fit_log_ratios(two_parts, measured(two_parts, truth, noise=0.3, seed=seed), PRIOR, BLOCKS)
        low, high = np.quantile(found.drawn_log_ratio, [0.1, 0.9], axis=0)
        inside.append((low <= truth) & (truth <= high))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)


def test_what_they_do_not_tell_apart_is_shared_by_the_prior_and_stays_open() -> None:
    found = fit_log_ratios(same_part, measured(same_part, (0.3, 0.0)), np.array([0.1, 0.2]), BLOCKS)
    assert found.log_ratio.sum() == pytest.approx(0.3, abs=0.01)
    assert found.log_ratio[1] == pytest.approx(4 * found.log_ratio[0], rel=0.05), "in the ratio of the variances"
    apart = found.drawn_log_ratio[:, 0] - found.drawn_log_ratio[:, 1]
    together = found.drawn_log_ratio.sum(axis=1)
    assert np.std(apart) > 10 * np.std(together)


def test_one_window_in_ten_that_is_far_off_moves_little() -> None:
    log_measured = measured(two_parts, (0.1, 0.1))
    log_measured[::10] += 1.0
    found = fit_log_ratios(two_parts, log_measured, PRIOR, BLOCKS)
    assert found.log_ratio == pytest.approx([0.1, 0.1], abs=0.03)


def test_residuals_are_of_fits_that_have_not_seen_them() -> None:
    """A fold that differs from the rest is missed by more when it is left out than when it is fitted."""
    log_measured = measured(two_parts, (0.0, 0.0), noise=0.01)
    last = np.arange(COUNT) >= 0.8 * COUNT
    log_measured[last] += 0.02
    found = fit_log_ratios(two_parts, log_measured, PRIOR, BLOCKS)
    fitted = log_measured - two_parts(found.log_ratio)
    assert found.left_out_log_ratio[last].mean() > fitted[last].mean() > 0


def test_days_that_differ_are_told_from_noise() -> None:
    """Stretches of time that err together leave more open than as many independent windows."""
    day = np.arange(COUNT) // 100
    drift = np.array([0.05, -0.05, 0.04, -0.04])[day]
    noise = 0.01 * np.random.default_rng(0).standard_normal(COUNT)
    by_day = fit_log_ratios(two_parts, two_parts(np.zeros(2)) + drift + noise, np.array([1.0, 1.0]), day)
    by_window = fit_log_ratios(
        two_parts, two_parts(np.zeros(2)) + drift + noise, np.array([1.0, 1.0]), np.arange(COUNT)
    )
    assert by_day.drawn_log_ratio[:, 0].std() > 2 * by_window.drawn_log_ratio[:, 0].std()


def test_slopes_are_derivatives() -> None:
    at = np.array([0.1, -0.2])
    fixed, load = np.exp(at[0]), LOAD * np.exp(at[1])
    expected = np.stack([fixed / (fixed + load), load / (fixed + load)], axis=1)
    assert slopes_of(two_parts, at) == pytest.approx(expected, abs=1e-6)


def test_one_block_and_one_window_are_enough_to_say_something() -> None:
    found = fit_log_ratios(lambda x: x[:1], np.array([0.3]), np.array([0.1]), np.zeros(1, dtype=int), noise=0.1)
    assert found.log_ratio[0] == pytest.approx(0.15, abs=0.06)
    assert np.isfinite(found.drawn_log_ratio).all()
