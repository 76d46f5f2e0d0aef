"""Batch and off-peak: half price for what can wait at an API; a lower peak, and nothing else, for our own GPUs."""

import pytest

from costlib.compare import compare
from costlib.levers.batch_tier import peak_to_mean_ratio_after
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

API = scenario(bought("llama-3.3-70b", 1.0))


def fleet(peak_to_mean_ratio, requests_per_s=60):
    demand = work(requests_per_s, 800, 200, peak_to_mean_ratio=peak_to_mean_ratio)
    return scenario(hosted("llama-3.1-8b", "h100-sxm", demand))


def pulled(today, share, discount=0.5):
    values = {"enabled": True, "share_fraction": share, "discount_fraction": discount}
    return compare(today, {"batch_tier": values}, CATALOG)


@pytest.mark.parametrize(("share", "discount"), [(0.2, 0.5), (1.0, 0.5), (0.4, 0.3)])
def test_an_api_bill_falls_by_share_x_discount(share, discount):
    result = pulled(API, share, discount)
    assert result.saved_usd_per_month == pytest.approx(share * discount * result.today.usd_per_month.mid)


@pytest.mark.parametrize(("peak", "share", "freed"), [(3.0, 0.4, 0.4), (2.0, 0.25, 0.25), (2.0, 0.9, 0.5)])
def test_our_own_gpus_are_freed_by_the_peak_that_goes_and_never_below_the_mean(peak, share, freed):
    assert pulled(fleet(peak), share).capacity_freed_fraction == pytest.approx(freed)


def test_the_work_stays_and_fills_what_was_idle():
    result = pulled(fleet(3.0), 0.5)
    assert result.scenario.tokens_per_month == result.today.tokens_per_month
    assert result.scenario.busy_fraction > result.today.busy_fraction
    idle = result.today.cost.idle_usd_per_month - result.scenario.cost.idle_usd_per_month
    assert idle == pytest.approx(result.saved_usd_per_month)


@pytest.mark.parametrize(("peak", "share"), [(3.0, 0.4), (1.5, 1 / 3), (5.0, 0.8)])
def test_what_waits_has_room_below_the_new_peak(peak, share):
    """Idle under the peak of what cannot wait, (1 - s) P - (1 - s), holds s until the peak is the mean."""
    after = peak_to_mean_ratio_after(peak, share)
    assert after - (1 - share) >= share - 1e-12


def test_a_discount_does_nothing_for_gpus_we_pay_by_the_hour():
    assert pulled(fleet(3.0), 0.4, 0.0).scenario.cost == pulled(fleet(3.0), 0.4, 0.9).scenario.cost


def test_a_lone_replica_stays_and_it_says_so():
    result = pulled(fleet(2.0, requests_per_s=0.1), 0.5)
    assert result.saved_usd_per_month == 0
    assert result.notes == ("Batch and off-peak changes nothing on this bill.",)


def test_a_flat_demand_is_refused():
    ((_, refusal),) = pulled(fleet(1.0), 0.5).refusals
    assert "no peak to move work out of" in refusal.reason
    assert "peak_to_mean_ratio" in refusal.remedy
