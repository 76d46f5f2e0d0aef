"""Exact cache: whole requests never reach a model, every request is looked up, and hits are still answers."""

import pytest

from costlib.compare import compare
from costlib.levers.exact_cache import LEVER
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

# 1 request/s of 1,000 tokens at $4 per million: $0.004 each, $10,512 in 730 hours.
API = scenario(bought("llama-3.3-70b", 4.0, work(1, 800, 200)))
FLEET = scenario(hosted("llama-3.1-8b", "h100-sxm", work(150, 800, 200)))


def pulled(today, hit_fraction, lookup_usd_per_thousand=0.0, **others):
    values = {"enabled": True, "hit_fraction": hit_fraction, "lookup_usd_per_thousand": lookup_usd_per_thousand}
    return compare(today, {"exact_cache": values, **others}, CATALOG)


def test_an_api_bill_falls_by_the_hit_rate():
    result = pulled(API, 0.3)
    assert result.today.usd_per_month.mid == pytest.approx(10_512)
    assert result.saved_usd_per_month == pytest.approx(0.3 * 10_512)


def test_hits_and_misses_pay_for_the_lookup():
    result = pulled(API, 0.3, lookup_usd_per_thousand=1.0)
    assert result.scenario.cost.services_usd_per_month == pytest.approx(0.001 * 3600 * 730)
    assert result.saved_usd_per_month == pytest.approx(0.3 * 10_512 - 2_628)


def test_a_lookup_can_cost_more_than_hits_save_and_it_says_so():
    result = pulled(API, 0.1, lookup_usd_per_thousand=1.0)
    assert result.saved_usd_per_month == pytest.approx(0.1 * 10_512 - 2_628)
    assert result.notes == ("Exact cache costs $1,576.80 a month more here.",)


@pytest.mark.parametrize("today", [API, FLEET], ids=["API", "fleet"])
def test_a_hit_is_an_answer(today):
    result = pulled(today, 0.4)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_a_fleet_frees_capacity_by_the_hit_rate_and_cash_by_whole_replicas():
    result = pulled(FLEET, 0.4)
    assert result.capacity_freed_fraction == pytest.approx(0.4)
    gone = result.today.gpus_count - result.scenario.gpus_count
    assert gone > 0
    assert result.saved_usd_per_month == pytest.approx(gone * 3.50 * 730)


def test_on_one_replica_nothing_is_saved_and_it_says_so():
    quiet = scenario(hosted("llama-3.1-8b", "h100-sxm", work(0.1)))
    result = pulled(quiet, 0.5)
    assert result.saved_usd_per_month == 0
    assert result.notes == ("Exact cache changes nothing on this bill.",)


def test_the_bill_is_its_parts():
    cost = pulled(FLEET, 0.4, lookup_usd_per_thousand=1.0).scenario.cost
    parts = cost.prefill_usd_per_month + cost.decode_usd_per_month + cost.idle_usd_per_month
    assert cost.services_usd_per_month > 0
    assert cost.total_usd_per_month == pytest.approx(parts + cost.services_usd_per_month)


def test_the_unit_costs_carry_the_lookups():
    after = pulled(FLEET, 0.4, lookup_usd_per_thousand=1.0).scenario
    work_of = FLEET.deployments[0].workload
    share = work_of.mean_prompt_tokens / work_of.tokens_per_request
    assert after.usd_per_mtok_blended == pytest.approx(
        share * after.usd_per_mtok_input + (1 - share) * after.usd_per_mtok_output
    )


def test_a_request_that_a_cascade_tries_twice_is_looked_up_once():
    cascade = {"enabled": True, "share_fraction": 0.6, "escalated_fraction": 0.5}
    result = pulled(API, 0.0, lookup_usd_per_thousand=1.0, cascade_routing=cascade)
    assert result.scenario.cost.services_usd_per_month == pytest.approx(2_628)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_without_requests_there_is_nothing_to_answer():
    silent = scenario(bought("llama-3.3-70b", 4.0, work(0)))
    refusal = LEVER.refuse(silent, LEVER.neutral_values, CATALOG)
    assert refusal.reason == "no deployment receives requests"
    assert refusal.remedy
