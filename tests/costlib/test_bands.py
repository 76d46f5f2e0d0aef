"""P10 to P90: they cover what they promise, also where the model is too sure or not sure enough."""

import numpy as np
import pytest

from costlib.bands import Bands, conformal_margin_log, demand_band, jointly, predictive_bands
from costlib.errors import DomainError

CHANCE_COUNT = 20_000


def band(low: float, high: float, count: int) -> Bands:
    return Bands(low_ratio=np.full(count, low), mid_ratio=np.ones(count), high_ratio=np.full(count, high))


@pytest.mark.parametrize("shares", [(0.1, 0.0), (0.0, 0.1), (0.1, 0.05)])
def test_parameters_and_residual_widen_the_band_alike(shares: tuple[float, float]) -> None:
    chance = np.random.default_rng(1)
    draws, residual = (sd * chance.standard_normal(CHANCE_COUNT) for sd in shares)
    found = predictive_bands(np.ones((1, 1)), draws[:, None], residual)
    expected = np.exp(1.2816 * np.hypot(*shares))
    assert found.high_ratio[0] == pytest.approx(expected, rel=0.02)
    assert found.low_ratio[0] == pytest.approx(1 / expected, rel=0.02)
    assert found.mid_ratio[0] == pytest.approx(1.0, rel=0.01)


def test_what_hangs_on_a_parameter_more_is_surer_less() -> None:
    draws = np.random.default_rng(1).normal(0.0, 0.1, (CHANCE_COUNT, 1))
    found = predictive_bands(np.array([[0.0], [0.5], [1.0]]), draws, np.zeros(1))
    assert found.high_ratio[0] == 1.0
    assert found.high_ratio[0] < found.high_ratio[1] < found.high_ratio[2]


@pytest.mark.parametrize("promised_sd", [0.01, 0.05, 0.3])
def test_held_out_cases_correct_a_band_of_any_width_to_80_percent(promised_sd: float) -> None:
    chance = np.random.default_rng(2)
    held_out, to_come = np.exp(0.05 * chance.standard_normal((2, CHANCE_COUNT)))
    edge = float(np.exp(1.2816 * promised_sd))
    bands = band(1 / edge, edge, CHANCE_COUNT)
    corrected = bands.widened(conformal_margin_log(bands, held_out))
    assert corrected.coverage(to_come) == pytest.approx(0.8, abs=0.01)
    if promised_sd != 0.05:
        assert abs(bands.coverage(to_come) - 0.8) > 0.1


@pytest.mark.parametrize("count", [1, 4, 9, 30])
def test_few_held_out_cases_err_on_the_wide_side(count: int) -> None:
    """Mean coverage over many small samples is at least what is promised, where the sample is large enough for it."""
    chance = np.random.default_rng(3)
    inside = []
    for _ in range(2000):
        bands = band(1.0, 1.0, count)
        margin = conformal_margin_log(bands, np.exp(0.05 * chance.standard_normal(count)))
        inside.append(abs(0.05 * chance.standard_normal()) <= margin)
    assert np.mean(inside) >= min(0.8, count / (count + 1)) - 0.03


def test_a_narrowed_band_never_turns_inside_out() -> None:
    narrowed = band(0.9, 1.1, 1).widened(-5.0)
    assert narrowed.low_ratio[0] == narrowed.mid_ratio[0] == narrowed.high_ratio[0] == 1.0


def test_nothing_held_out_and_no_residual_are_refused() -> None:
    with pytest.raises(DomainError, match="no held-out window"):
        conformal_margin_log(band(1.0, 1.0, 0), np.array([]))
    with pytest.raises(DomainError, match="residuals"):
        predictive_bands(np.ones((1, 1)), np.zeros((10, 1)), np.array([]))


def test_joint_bands_are_those_of_a_product() -> None:
    chance = np.random.default_rng(4)
    product = np.exp(0.1 * chance.standard_normal(CHANCE_COUNT) + 0.2 * chance.standard_normal(CHANCE_COUNT))
    one, other = (tuple(np.exp(np.array([-1.2816, 1.2816]) * sd)) for sd in (0.1, 0.2))
    assert jointly(one, other) == pytest.approx(tuple(np.quantile(product, [0.1, 0.9])), rel=0.02)


def test_demand_that_varies_by_day_is_surer_over_a_month_than_over_a_day() -> None:
    daily = 100 * np.exp(0.3 * np.random.default_rng(5).standard_normal(84))
    month, day = (demand_band(daily, days=days) for days in (30, 1))
    assert day[0] < month[0] < 1 < month[1] < day[1]
    assert np.log(day[1] / day[0]) > 3 * np.log(month[1] / month[0])


def test_weekends_alone_leave_nothing_open() -> None:
    """Weeks are drawn whole, so a pattern that comes again every week is no uncertainty of four of them."""
    assert demand_band(np.tile([5.0, 5.0, 5.0, 5.0, 5.0, 1.0, 1.0], 8), days=28) == pytest.approx((1.0, 1.0))


def test_days_without_any_demand_leave_a_band_above_nothing() -> None:
    low, high = demand_band(np.array([0.0] * 13 + [100.0]), days=1)
    assert 0 < low < 1 <= high


@pytest.mark.parametrize("daily", [np.ones(6), np.zeros(30), np.full(30, np.nan)])
def test_demand_of_too_little_is_refused(daily: np.ndarray) -> None:
    with pytest.raises(DomainError, match="does not tell how it varies"):
        demand_band(daily)
