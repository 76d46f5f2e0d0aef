"""Autoscaling: the day's fleet over the mean's, by hand."""

import pytest

from costlib.compare import compare
from costlib.levers.autoscaling import followed_ratio
from tests.costlib.scenario_builders import CATALOG, hosted, scenario, work


def fleet(ratio, requests_per_s=400):
    return scenario(hosted("llama-3.1-8b", "h100-sxm", work(requests_per_s, 800, 200, peak_to_mean_ratio=ratio)))


def pulled(today, headroom=0.15, kept=0.3):
    values = {"enabled": True, "headroom_fraction": headroom, "kept_fraction": kept}
    return compare(today, {"autoscaling": values}, CATALOG)


@pytest.mark.parametrize(("ratio", "freed"), [(2.0, 0.5), (4.0, 0.75), (1.25, 0.2)])
def test_at_best_the_fleet_is_the_means(ratio, freed):
    assert pulled(fleet(ratio), headroom=0.0, kept=0.0).capacity_freed_fraction == pytest.approx(freed)


def test_a_day_with_two_to_four_times_the_mean_saves_a_third_to_two_thirds():
    """domain_math §8.4: peaks of 2 to 4 times the mean make 30 to 60 % before what starts cost."""
    assert 0.3 < pulled(fleet(2.0)).capacity_freed_fraction < 0.45
    assert 0.5 < pulled(fleet(4.0)).capacity_freed_fraction < 0.65


def test_everything_kept_saves_nothing():
    assert pulled(fleet(2.0), kept=1.0).saved_usd_per_month == 0


@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.0, 7.5, 24.0, 100.0])
def test_it_lies_between_the_mean_and_the_peak(ratio):
    for headroom in (0.0, 0.4, 1.0):
        for kept in (0.0, 0.5, 1.0):
            assert 1 <= followed_ratio(ratio, headroom, kept) <= ratio


def test_a_flat_demand_is_refused():
    ((_, refusal),) = pulled(fleet(1.0)).refusals
    assert "peak to follow" in refusal.reason
