"""KV precision: twice the tokens in the same memory; it pays where memory binds or contexts are long."""

import pytest

from costlib.compare import compare
from costlib.hardware import Precision
from costlib.levers.kv_precision import LEVER
from costlib.replica import Bound
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

LONG = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(5, 8192, 1024)))


def pulled(today, kv="fp8"):
    return compare(today, {"kv_precision": {"kv": kv}}, CATALOG)


def value(projection, step):
    return projection.step(step).value


def test_eight_bits_halve_a_token_and_hold_twice_the_sequences():
    """131,072 bytes per token of an 8B in 16 bit."""
    result = pulled(LONG)
    assert (value(result.today, "kv_bytes_per_token"), value(result.scenario, "kv_bytes_per_token")) == (131072, 65536)
    held, holds = (value(p, "batch_by_kv_memory_count") for p in (result.today, result.scenario))
    assert holds in (2 * held, 2 * held + 1)
    assert value(result.scenario, "kv_pool_bytes") == value(result.today, "kv_pool_bytes")


def test_where_memory_binds_half_the_reading_and_twice_the_batch_free_capacity():
    """Assumed 1.05 to 1.5 times the throughput where KV memory binds (domain_math §12a)."""
    result = pulled(LONG)
    assert result.today.deployments[0].bound is Bound.KV_MEMORY
    assert 1.05 < 1 / (1 - result.capacity_freed_fraction) < 1.5


@pytest.mark.parametrize("batch", [1, 8])
def test_with_short_contexts_and_a_batch_limit_it_saves_next_to_nothing(batch):
    today = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(5, 100, 100), max_num_seqs=batch))
    assert 0 <= pulled(today).capacity_freed_fraction < 0.01


def test_it_saves_again_nothing_when_today_already_has_it():
    result = pulled(LONG.with_serving(kv_precision=Precision.FP8))
    assert result.changes == (("kv_precision", 0.0),)


def test_going_back_to_sixteen_bits_costs():
    assert pulled(LONG.with_serving(kv_precision=Precision.FP8), "bf16").capacity_freed_fraction < 0


def test_a_latent_cache_halves_too():
    today = scenario(hosted("deepseek-v3", "h200-sxm", work(20), tensor_parallel_count=8, weight_precision="fp8"))
    result = pulled(today)
    assert value(result.scenario, "kv_per_sequence_bytes") == value(result.today, "kv_per_sequence_bytes") / 2


def test_only_formats_that_a_cache_can_have_are_offered():
    (kv,) = LEVER.params
    assert [option.value for option in kv.options(LONG, CATALOG)] == ["keep", "bf16", "fp8"]


@pytest.mark.parametrize(
    "today",
    [bought("llama-3.3-70b", 0.9), hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=1000.0)],
    ids=["by the token", "stated throughput"],
)
def test_without_a_modelled_capacity_there_is_no_cache_to_choose(today):
    ((_, refusal),) = pulled(scenario(today)).refusals
    assert "no deployment has a modelled capacity" in refusal.reason
