"""Prefix caching: only prefill is saved, and what today's hit rate already saves is not saved again."""

from dataclasses import replace

import pytest

from costlib.compare import compare
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work

# The data sheet, and reading and computing one after the other: then prefill costs the same wherever it rides.
ADDED_UP = replace(IDEAL, knee_ratio=0.0)
# 64 sequences of 658 prompt and 200 output tokens: prefill takes 30 % of every step when nothing is cached.
THIRTY_PERCENT = scenario(hosted("llama-3.1-8b", "h100-sxm", work(50, 658, 200), max_num_seqs=64))


def pulled(today, hit_fraction, constants=None):
    settings = {"prefix_caching": {"enabled": True, "hit_fraction": hit_fraction}}
    return compare(today, settings, CATALOG, constants=constants)


def prefill_share(projection):
    return projection.cost.prefill_usd_per_month / (
        projection.cost.prefill_usd_per_month + projection.cost.decode_usd_per_month
    )


def test_sixty_percent_hits_on_thirty_percent_prefill_save_eighteen_percent():
    """Domain_math §14, vector 27: phi' h (1 - eps) with phi' = 0.3, h = 0.6, eps = 0. Not sixty percent."""
    result = pulled(THIRTY_PERCENT, 0.6, ADDED_UP)
    assert prefill_share(result.today) == pytest.approx(0.30, abs=0.003)
    assert result.capacity_freed_fraction == pytest.approx(0.18, rel=0.02)


@pytest.mark.parametrize("hit_fraction", [0.1, 0.45, 0.9])
def test_the_saving_is_the_prefill_share_times_the_hit_rate(hit_fraction):
    """A little less, because what is computed attends to what is cached."""
    result = pulled(THIRTY_PERCENT, hit_fraction, ADDED_UP)
    at_most = prefill_share(result.today) * hit_fraction
    assert at_most * 0.98 < result.capacity_freed_fraction < at_most


@pytest.mark.parametrize("hit_fraction", [0.1, 0.45, 0.9])
def test_with_a_knee_the_last_prompt_tokens_saved_are_the_dear_ones(hit_fraction):
    """Published constants: part of a short prompt computes while the weights are read anyway, so more is saved."""
    result = pulled(THIRTY_PERCENT, hit_fraction)
    proportional = prefill_share(result.today) * hit_fraction
    assert proportional < result.capacity_freed_fraction < 1.15 * proportional


def test_todays_hit_rate_asked_for_again_changes_nothing():
    cached = THIRTY_PERCENT.with_serving(prefix_hit_fraction=0.4)
    result = pulled(cached, 0.4)
    assert result.changes == (("prefix_caching", 0.0),)
    assert result.scenario.cost == result.today.cost


def test_a_lower_hit_rate_than_todays_costs():
    cached = THIRTY_PERCENT.with_serving(prefix_hit_fraction=0.4)
    assert pulled(cached, 0.1).capacity_freed_fraction < 0


def test_decoding_and_its_memory_are_untouched():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(5, 10, 2000))), 0.95)
    for step in ("kv_per_sequence_bytes", "kv_pool_bytes", "weights_bytes"):
        assert result.scenario.step(step).value == result.today.step(step).value
    assert 0 < result.capacity_freed_fraction < 0.01


def test_the_first_token_comes_sooner():
    result = pulled(THIRTY_PERCENT, 0.9)
    assert result.scenario.step("prefill_s").value < result.today.step("prefill_s").value / 2
    assert result.scenario.ttft_s < result.today.ttft_s


def test_cached_tokens_are_still_answered_tokens():
    result = pulled(THIRTY_PERCENT, 0.9)
    assert result.scenario.tokens_per_month == result.today.tokens_per_month


def test_an_api_caches_by_its_own_price():
    ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.9)), 0.5).refusals
    assert "bought by the token" in refusal.reason
    assert "the provider's cached input price" in refusal.remedy


def test_a_stated_throughput_is_not_improved_by_a_lever_that_cannot_see_it():
    ((_, refusal),) = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=1000.0)), 0.5).refusals
    assert "stated_tokens_per_s" in refusal.remedy
