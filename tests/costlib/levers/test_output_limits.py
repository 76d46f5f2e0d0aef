"""Output limits: decode shrinks, prefill stays, and answers that are cut off are paid for twice."""

from dataclasses import replace

import pytest

from costlib.compare import compare
from costlib.scenario import ApiTokens
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

BOUGHT = scenario(bought("llama-3.3-70b", 1.00, work(10, 600, 400)))


def pulled(today, cut_fraction, truncated_fraction=0.0):
    values = {"enabled": True, "cut_fraction": cut_fraction, "truncated_fraction": truncated_fraction}
    return compare(today, {"output_limits": values}, CATALOG)


def test_half_the_output_of_an_api_saves_half_of_what_output_costs():
    """600 prompt and 400 output tokens at one price: 1,000 become 800."""
    result = pulled(BOUGHT, 0.5)
    assert result.scenario.usd_per_month.mid == pytest.approx(0.8 * result.today.usd_per_month.mid)
    assert result.scenario.cost.prefill_usd_per_month == pytest.approx(result.today.cost.prefill_usd_per_month)


def test_answers_that_are_cut_off_are_paid_for_again():
    """One in five cut: 1.25 requests for each answer eat the whole saving, and not one more is answered."""
    result = pulled(BOUGHT, 0.5, truncated_fraction=0.2)
    assert result.saved_usd_per_month == pytest.approx(0, abs=1e-6)
    assert result.scenario.tokens_per_month == pytest.approx(0.8 * result.today.tokens_per_month)


def test_more_cut_off_answers_cost_more_than_shorter_ones_save():
    assert pulled(BOUGHT, 0.5, truncated_fraction=0.4).saved_usd_per_month < 0


def test_own_gpus_save_less_than_the_tokens_cut_because_prompts_stay():
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", work(200, 2000, 300)))
    assert 0 < pulled(today, 0.5).capacity_freed_fraction < 0.5


def test_a_million_tokens_cost_more_though_each_request_costs_less():
    """Output is the cheaper kind here: without it, dear prompt tokens are a larger part of a million."""
    today = scenario(bought("llama-3.3-70b", 1.00, work(10, 600, 400)))
    (deployment,) = today.deployments
    dear_input = replace(deployment, supply=ApiTokens(usd_per_mtok_input=2.0, usd_per_mtok_output=1.0))
    result = pulled(replace(today, deployments=(dear_input,)), 0.5)
    assert result.saved_usd_per_month > 0
    assert result.scenario.usd_per_mtok_blended > result.today.usd_per_mtok_blended


def test_capacity_freed_is_no_cash_while_the_last_replica_stays():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(1))), 0.5)
    assert result.capacity_freed_fraction > 0
    assert result.saved_usd_per_month == 0


def test_no_answer_is_shorter_than_a_token():
    result = pulled(scenario(bought("llama-3.3-70b", 1.0, work(10, 600, 1))), 0.9)
    assert result.saved_usd_per_month == 0


def test_more_retries_than_can_be_modelled_are_refused():
    result = pulled(scenario(bought("llama-3.3-70b", 1.0, work(9e5, 600, 10))), 0.5, truncated_fraction=0.5)
    ((_, refusal),) = result.refusals
    assert "lower the share of answers cut off" in refusal.remedy
