"""One measured point: what it says about others, and what it may not say."""

import numpy as np
import pytest

from costlib.anchor import (
    LOG_SD,
    NEAR_LOG_SD,
    NOISE_LOG_SD,
    SCALE_LOG_SD,
    Places,
    anchored_log_sd,
    anchored_ratio,
    constant_ratios,
    covariance,
    live_ratio,
)
from costlib.errors import DomainError

BATCHES = np.array([1.0, 4.0, 64.0, 256.0])


def places(memory: object = (-0.9, -0.8, -0.4, -0.2), compute: object = (0.0, -0.1, -0.5, -0.7)) -> Places:
    """A deployment from small batches, bound by memory, to large ones, bound by compute."""
    octaves = np.stack([np.log2(BATCHES), *[np.zeros(4)] * 4], axis=1)
    return Places(
        slopes_ratio={"memory": np.array(memory), "compute": np.array(compute)},
        octaves_count=octaves,
    )


def pairs(of: Places, wanted: int, anchor: int):
    one, other = of.at(np.array([wanted])), of.at(np.array([anchor]))
    return covariance(one, one), covariance(one, other), covariance(other, other)


def test_the_anchor_itself_is_exact_as_the_noise_goes_to_zero() -> None:
    own, between, at_anchor = pairs(places(), 2, 2)
    for noise, allowed in ((0.1, 0.2), (0.01, 0.01), (1e-6, 1e-9)):
        assert anchored_ratio(1.4, between, at_anchor, noise) == pytest.approx(1.4, rel=allowed)
    assert anchored_log_sd(own, between, at_anchor, 0.0) == pytest.approx(0.0, abs=1e-9)


def test_with_noise_the_anchor_is_believed_in_part() -> None:
    _, between, at_anchor = pairs(places(), 2, 2)
    assert 1.0 < anchored_ratio(1.4, between, at_anchor) < 1.4
    assert anchored_ratio(1.4, between, at_anchor, noise_log_sd=1e3) == pytest.approx(1.0, abs=1e-6)


def test_a_prediction_that_was_right_stays() -> None:
    _, between, at_anchor = pairs(places(), 0, 3)
    assert anchored_ratio(1.0, between, at_anchor) == 1.0


def test_a_near_point_learns_more_than_a_far_one_and_is_surer() -> None:
    """Batch 4 and batch 256 seen from batch 1, each as slow as its own place lets it be."""
    near, far = pairs(places(), 1, 0), pairs(places(), 3, 0)
    assert anchored_ratio(1.2, *near[1:]) > anchored_ratio(1.2, *far[1:]) > 1.0
    assert anchored_log_sd(*near) < anchored_log_sd(*far)


def test_covariance_is_that_of_a_distribution() -> None:
    """Symmetric, and no combination of points has a negative variance."""
    of = places()
    i, j = (index.ravel() for index in np.meshgrid(range(4), range(4)))
    matrix = covariance(of.at(i), of.at(j)).reshape(4, 4)
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0


def test_far_apart_only_scale_and_constants_are_shared() -> None:
    of = places(memory=np.full(4, -1.0), compute=np.zeros(4))
    far = Places(slopes_ratio=of.slopes_ratio, octaves_count=of.octaves_count + 100)
    assert covariance(of, far) == pytest.approx(SCALE_LOG_SD**2 + LOG_SD["memory"] ** 2)


def test_the_shares_of_one_point_add_up() -> None:
    """Constants through their slopes, scale, and what stays with the neighbourhood: the part of the error believed."""
    anchor = places().at(np.array([2]))
    ratios = constant_ratios(anchor, 1.3)
    total = float(covariance(anchor, anchor)[0]) + NOISE_LOG_SD**2
    through = sum(float(anchor.slopes_ratio[group][0]) * np.log(ratios[group]) for group in ("memory", "compute"))
    near = NEAR_LOG_SD**2 / total * np.log(1.3)
    believed = (total - NOISE_LOG_SD**2) / total * np.log(1.3)
    assert through + np.log(ratios["scale"]) + near == pytest.approx(believed)
    assert ratios["memory"] < 1 < ratios["scale"]  # slower than modelled: less bandwidth, everything slower


def test_no_change_is_no_change() -> None:
    _, between, at_base = pairs(places(), 1, 1)
    for error in (0.5, 1.0, 2.0):
        assert live_ratio(1.0, error, between, at_base) == 1.0


def test_a_measured_base_never_turns_the_direction() -> None:
    """A base half as fast as modelled would turn a small gain into a loss, of which it knows nothing."""
    _, between, at_base = pairs(places(), 3, 0)
    assert live_ratio(1.05, 2.0, between, at_base) == pytest.approx(1.05**0.5)
    assert 0.9 < live_ratio(0.95, 0.5, between, at_base) < 1.0


@pytest.mark.parametrize("error", [0.0, -1.0, np.nan, np.inf])
def test_absurd_measurements_are_refused(error: float) -> None:
    with pytest.raises(DomainError, match="above 0"):
        anchored_ratio(error, 0.01, 0.01)


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(DomainError, match="no group of constants magic"):
        Places(slopes_ratio={"magic": np.ones(1)}, octaves_count=np.zeros((1, 5)))
