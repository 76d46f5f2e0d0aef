"""Batch limits: larger batches share one read of the weights, until something else binds."""

import pytest

from costlib.compare import compare
from costlib.replica import Bound
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work

NO_PROMPT = work(prompt=0, output=1, output_cv_ratio=0)


def pulled(today, constants=None, **values):
    return compare(today, {"batch_limits": {key: str(value) for key, value in values.items()}}, CATALOG, constants)


def only(projection):
    (deployment,) = projection.deployments
    return deployment


def test_eight_times_the_batch_on_one_read_of_the_weights():
    """20 GB at 1 TB/s for 8 or 64 tokens alike; half a token of KV each is 0.4 and 3.2 MB more."""
    today = scenario(hosted("toy-10b", "toy-gpu", NO_PROMPT, max_num_seqs=8))
    result = pulled(today, IDEAL, max_num_seqs=64)
    gain = only(result.scenario).capacity_tokens_per_s / only(result.today).capacity_tokens_per_s
    assert gain == pytest.approx(8, rel=1e-3)


def test_past_the_ridge_more_sequences_take_turns():
    """128 tokens of 0.2 ms take 25.6 ms and 256 take 51.2 ms: no more tokens per second."""
    today = scenario(hosted("toy-10b", "toy-gpu", NO_PROMPT, max_num_seqs=128))
    result = pulled(today, IDEAL, max_num_seqs=256)
    assert result.capacity_freed_fraction == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("deployment", "bound"),
    [
        pytest.param(
            hosted("llama-3.3-70b", "h100-sxm", work(5, 4000, 500), tensor_parallel_count=4, max_num_seqs=256),
            Bound.KV_MEMORY,
            id="KV memory",
        ),
        pytest.param(
            hosted("llama-3.1-8b", "h100-sxm", max_num_seqs=256, max_tpot_s=0.020), Bound.MAX_TPOT, id="time per token"
        ),
    ],
)
def test_nothing_changes_when_something_else_binds_first(deployment, bound):
    result = pulled(scenario(deployment), max_num_seqs=1024)
    assert only(result.today).bound is bound
    assert only(result.scenario) == only(result.today)


def test_fewer_sequences_answer_sooner_and_cost_more():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(100))), max_num_seqs=16)
    assert result.saved_usd_per_month < 0
    assert result.scenario.tpot_s < result.today.tpot_s


def test_more_tokens_per_step_take_activation_memory():
    """16 bytes x 4,096 hidden x 24,576 more tokens: 1.6 GB less for KV cache."""
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), max_num_batched_tokens=32768)
    lost = result.today.step("kv_pool_bytes").value - result.scenario.step("kv_pool_bytes").value
    assert lost == 16 * 4096 * (32768 - 8192)


def test_one_limit_can_be_moved_and_the_other_kept():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), max_num_seqs=512)
    limits = {name: result.scenario.step(f"batch_by_{name}_count").value for name in Bound if name != Bound.MAX_TPOT}
    assert limits[Bound.MAX_NUM_SEQS] == 512
    assert limits[Bound.MAX_NUM_BATCHED_TOKENS] == result.today.step("batch_by_max_num_batched_tokens_count").value


def test_fewer_tokens_than_sequences_is_refused_as_vllm_does():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), max_num_seqs=1024, max_num_batched_tokens=512)
    ((_, refusal),) = result.refusals
    assert refusal.reason == "1,024 sequences per step need as many tokens or more, and 512 are allowed"
    assert "raise tokens per step or lower sequences" in refusal.remedy
    assert result.saved_usd_per_month == 0


def test_the_limit_that_is_kept_counts_too():
    """512 tokens against the 1,024 sequences the deployment already allows."""
    assert pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), max_num_batched_tokens=512).refusals


def test_a_model_bought_by_the_token_has_no_batch():
    assert pulled(scenario(bought("llama-3.3-70b", 0.9)), max_num_seqs=8).refusals
