"""Continuous batching and paging: what static slots and reserved memory waste, and nothing where vLLM runs."""

import pytest

from costlib.compare import compare
from costlib.queueing import static_slot_use_fraction
from costlib.replica import solve_replica
from costlib.serving import ServingConfig
from costlib.static_batch import longest_output_ratio
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL, bought, hosted, scenario, work

# No prompts and answers of a token or so: a step reads the weights, whatever the batch.
DECODING = {"prompt": 0.0, "output": 10.0}


def static(batch, workload, **serving):
    return hosted("toy-10b", "toy-gpu", workload, batching="static", max_num_seqs=batch, **serving)


def pulled(today, constants=None):
    return compare(today, {"continuous_batching": {"enabled": True}}, CATALOG, constants)


def replica(batching, workload, **serving):
    return solve_replica(TOY_MODEL, TOY_GPU, ServingConfig(batching=batching, **serving), workload, IDEAL)


@pytest.mark.parametrize("batch", [1, 8, 32, 1024])
def test_exponential_answers_keep_the_longest_waiting_as_the_harmonic_numbers_say(batch):
    """Domain_math §14, vector 12: 36.8 % of 8 slots and 24.6 % of 32."""
    assert 1 / float(longest_output_ratio(batch, 1.0)) == pytest.approx(static_slot_use_fraction(batch), rel=2e-3)


@pytest.mark.parametrize(("batch", "used"), [(8, 0.302), (32, 0.163)])
def test_other_distributions_of_the_same_spread_waste_about_as_much(batch, used):
    """Lognormal of cv 1.5, by simulation in domain_math §6.1."""
    assert 1 / float(longest_output_ratio(batch, 1.5)) == pytest.approx(used, rel=0.07)


def test_answers_all_alike_leave_no_slot_waiting():
    assert longest_output_ratio([1, 8, 1024], 0.0).tolist() == [1, 1, 1]


@pytest.mark.parametrize("cv", [0.01, 0.3, 1.0, 3.0, 100.0])
def test_the_longest_of_more_answers_is_longer_and_of_one_is_the_mean(cv):
    one, *more = longest_output_ratio([1, 2, 8, 64, 512], cv)
    assert one == pytest.approx(1, abs=2e-3)
    assert sorted(more) == more
    assert more[0] > one


@pytest.mark.parametrize("batch", [8, 32])
def test_the_gain_is_what_the_slots_waited(batch):
    """Reading 20 GB for every step, full or not: continuous makes 1 / (slots at work) times the tokens."""
    result = pulled(scenario(static(batch, work(50, **DECODING))), IDEAL)
    gain = 1 / (1 - result.capacity_freed_fraction)
    assert gain == pytest.approx(1 / static_slot_use_fraction(batch), rel=5e-3)


def test_answers_all_alike_gain_nothing():
    result = pulled(scenario(static(32, work(50, output_cv_ratio=0, **DECODING))), IDEAL)
    assert result.capacity_freed_fraction == pytest.approx(0, abs=1e-9)


def test_prompts_come_before_the_batch_and_not_between_its_tokens():
    today = work(1, 1000, 100)
    before, after = (replica(kind, today, max_num_seqs=16) for kind in ("static", "continuous"))
    assert before.interval_s[-1] < after.interval_s[-1]
    assert before.prefill_share_fraction > 0
    assert before.capacity_requests_per_s < after.capacity_requests_per_s


def test_a_request_waits_for_the_running_batch():
    """At capacity half a batch on average: 100 tokens x H_16 x the step."""
    today = work(1, 0, 100)
    before, after = (replica(kind, today, max_num_seqs=16) for kind in ("static", "continuous"))
    rate = before.capacity_requests_per_s
    assert before.ttft_s(rate) == pytest.approx(16 / rate / 2, rel=1e-3)
    assert after.ttft_s(rate) < before.ttft_s(rate) / 100


def test_paging_lets_all_of_the_memory_hold_tokens():
    today = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(20, 4000, 500), kv_used_fraction=0.25))
    result = pulled(today)
    held, holds = (p.step("batch_by_kv_memory_count").value for p in (result.today, result.scenario))
    assert 4 * held <= holds <= 4 * held + 4
    assert 0 < result.capacity_freed_fraction < 0.75  # four times the sequences are not four times the tokens


def test_both_together_stay_in_the_range_that_is_published():
    """1.5 to 10 times over static batches (domain_math §12a), not the 23 of one request at a time."""
    today = hosted("llama-3.1-8b", "a100-sxm-80gb", work(40), batching="static", kv_used_fraction=0.3, max_num_seqs=32)
    assert 1.5 < 1 / (1 - pulled(scenario(today)).capacity_freed_fraction) < 10


def test_under_vllm_there_is_nothing_left_to_save_and_it_says_so():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")))
    ((_, refusal),) = result.refusals
    assert "already batches continuously and pages its KV cache, as vLLM always does" in refusal.reason
    assert "batching static" in refusal.remedy
    assert result.saved_usd_per_month == 0


def test_a_model_bought_by_the_token_has_no_batch():
    ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.9))).refusals
    assert "bought by the token" in refusal.reason
