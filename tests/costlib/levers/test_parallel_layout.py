"""Parallel layout: more GPUs answer faster and seldom cheaper; what does not fit is refused."""

import pytest

from costlib.compare import compare
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work

EIGHT = scenario(hosted("llama-3.1-8b", "h100-sxm", work(100)))
SEVENTY = scenario(hosted("llama-3.3-70b", "h100-sxm", work(60, 1500, 300), tensor_parallel_count=4))


def pulled(today, constants=None, **values):
    return compare(today, {"parallel_layout": {key: str(value) for key, value in values.items()}}, CATALOG, constants)


def layout_of(result):
    (deployment,) = result.scenario.deployments
    return deployment.gpus_count // deployment.replicas_count


def test_a_group_reads_the_weights_together():
    """16.06 GB at 3.35 TB/s on one GPU; a quarter of that on four."""
    result = pulled(EIGHT, tensor_parallel_count=4)
    assert result.scenario.step("weight_read_s").value == result.today.step("weight_read_s").value / 4
    assert layout_of(result) == 4


def test_a_model_that_fits_one_gpu_answers_sooner_on_four_and_costs_more():
    result = pulled(EIGHT, tensor_parallel_count=4)
    assert result.scenario.tpot_s < result.today.tpot_s
    assert result.capacity_freed_fraction < 0


def test_without_traffic_and_fixed_costs_splitting_would_be_free():
    """The data sheet's links and no latency: what remains is the traffic alone."""
    free = pulled(EIGHT, IDEAL, tensor_parallel_count=2).capacity_freed_fraction
    assert pulled(EIGHT, tensor_parallel_count=2).capacity_freed_fraction < free


def test_stages_move_less_and_answer_no_sooner():
    """One sequence passes both halves one after the other; a tensor-parallel group reads them at once."""
    alone = scenario(hosted("llama-3.1-8b", "h100-sxm", work(1), max_num_seqs=1))
    stages, tensor = pulled(alone, pipeline_parallel_count=2), pulled(alone, tensor_parallel_count=2)
    one, two, split = (p.step("decode_step_s").value for p in (stages.today, stages.scenario, tensor.scenario))
    assert split < 0.75 * one < one == pytest.approx(two, rel=0.01)
    assert layout_of(stages) == layout_of(tensor) == 2


def test_both_at_once_multiply():
    assert layout_of(pulled(SEVENTY, tensor_parallel_count=2, pipeline_parallel_count=4)) == 8


def test_a_group_too_small_for_the_weights_is_refused_with_what_is_needed():
    ((_, refusal),) = pulled(SEVENTY, tensor_parallel_count=1).refusals
    assert "does not fit 1 x NVIDIA H100 SXM" in refusal.reason
    assert "fewer bits per weight" in refusal.remedy


def test_a_group_that_does_not_divide_the_heads_is_refused():
    model = next(one for one in CATALOG.models if one.heads_count % 8)
    ((_, refusal),) = pulled(scenario(hosted(model.key, "h200-sxm")), tensor_parallel_count=8).refusals
    assert "does not divide" in refusal.reason


def test_fewer_bits_make_room_for_fewer_gpus():
    """Weight precision acts first, so the layout finds a model of half the bytes: 70B in FP8 on two H100 for four."""
    levers = {"weight_precision": {"weights": "fp8"}, "parallel_layout": {"tensor_parallel_count": "2"}}
    result = compare(SEVENTY, levers, CATALOG)
    assert not result.refusals
    assert result.saved_usd_per_month > 0


def test_a_floor_of_replicas_only_ever_costs():
    calm = scenario(hosted("llama-3.1-8b", "h100-sxm", work(1)))
    result = pulled(calm, min_replicas_count=3)
    assert (result.today.gpus_count, result.scenario.gpus_count) == (1, 3)
    assert result.saved_usd_per_month == -2 * result.today.usd_per_month.mid
    assert pulled(EIGHT, min_replicas_count=1).saved_usd_per_month == 0


def test_a_stated_throughput_is_that_of_its_own_layout():
    mixed = scenario(*EIGHT.deployments, hosted("llama-3.1-8b", "h100-sxm", key="told", stated_tokens_per_s=9000.0))
    told = [p.deployments[1] for p in (pulled(mixed, tensor_parallel_count=2).scenario, pulled(mixed).today)]
    assert told[0] == told[1]


def test_a_model_bought_by_the_token_has_no_layout():
    assert pulled(scenario(bought("llama-3.3-70b", 0.9)), tensor_parallel_count=2).refusals
