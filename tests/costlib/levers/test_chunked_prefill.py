"""Prefill chunks: the first token comes later, the others more evenly; money hardly moves."""

import pytest

from costlib.compare import compare
from costlib.engine import EngineConstants
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work

LONG = scenario(hosted("llama-3.1-8b", "h100-sxm", work(10, 8000, 200), max_num_seqs=8))


def pulled(today, chunk, constants: EngineConstants | None = None):
    return compare(today, {"chunked_prefill": {"chunk": str(chunk)}}, CATALOG, constants)


def prefill_s(projection):
    return projection.step("prefill_s").value


def test_a_piece_pays_for_its_read_of_the_weights_only_where_its_arithmetic_is_shorter():
    """At the toy's figures a token computes in 0.2 ms and the weights are read in 20: 512 tokens hide it."""
    today = scenario(hosted("toy-10b", "toy-gpu", work(1, 8000, 200)))
    large, small = (prefill_s(pulled(today, chunk, IDEAL).scenario) for chunk in (8192, 512))
    assert small == pytest.approx(large, rel=1e-6)
    assert prefill_s(pulled(today, 256).scenario) > prefill_s(pulled(today, 8192).scenario)


def test_the_first_token_comes_later_in_small_pieces():
    result = pulled(LONG, 256)
    assert prefill_s(result.scenario) > prefill_s(result.today)
    assert result.scenario.ttft_s > result.today.ttft_s


@pytest.mark.parametrize("chunk", [256, 512, 1024, 2048, 4096, 8192])
def test_money_hardly_moves(chunk):
    """Domain_math §6.1: throughput changes by -5 to +10 %."""
    chat = scenario(hosted("llama-3.3-70b", "h100-sxm", work(10, 4000, 500), tensor_parallel_count=4))
    assert -0.05 < pulled(chat, chunk).capacity_freed_fraction < 0.05


def test_long_prompts_spread_over_steps_that_wait_for_memory_free_a_little():
    """The most the model gives: prompts forty times the answers, in steps of eight sequences."""
    result = pulled(LONG, 256)
    assert 0.05 < result.capacity_freed_fraction < 0.20
    assert result.scenario.tpot_s < result.today.tpot_s


def test_prompts_shorter_than_a_chunk_do_not_notice():
    result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(10, 400, 200))), 512)
    assert result.changes == (("chunked_prefill", 0.0),)
    assert result.scenario.ttft_s == result.today.ttft_s


def test_a_chunk_larger_than_a_step_is_that_step():
    """vLLM's tokens per step stay the upper bound, and memory is reserved for them alone."""
    result = pulled(LONG, 8192)
    assert prefill_s(result.scenario) == prefill_s(result.today)
    small = pulled(LONG, 256)
    assert small.scenario.step("kv_pool_bytes").value == small.today.step("kv_pool_bytes").value


def test_a_model_bought_by_the_token_has_no_steps():
    ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.9)), 512).refusals
    assert "bought by the token" in refusal.reason
