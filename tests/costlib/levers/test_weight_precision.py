"""Weight precision: int4 gains at batch 1 and not at large batches; eight bit pays where the GPU computes in it."""

import pytest

from costlib.compare import compare
from costlib.hardware import Precision
from costlib.levers.weight_precision import LEVER
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work


def pulled(today, weights, **rest):
    return compare(today, {"weight_precision": {"weights": weights}}, CATALOG, **rest)


@pytest.mark.parametrize(
    ("batch", "gain"),
    [
        pytest.param(1, 3.24, id="1: all weights; 4.18 GB and the output layer's 0.78 instead of 16.06"),
        pytest.param(32, 3.24, id="32: int4 still waits for memory"),
        pytest.param(64, 2.39, id="64: 7.88 ms of reading against 3.29 ms of bf16 arithmetic"),
        pytest.param(128, 1.20, id="128: 7.88 ms against 6.59 ms"),
        pytest.param(256, 1.00, id="256: both compute, and int4 computes in bf16"),
    ],
)
def test_int4_gains_less_the_larger_the_batch(batch, gain):
    """An 8B on A100 at the data sheet's figures, no context: 16.06 GB / 2.039 TB/s, 2 x 8.03 GFLOP / 312 TFLOP/s."""
    alone = work(prompt=0, output=1, output_cv_ratio=0)
    result = pulled(
        scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", alone, max_num_seqs=batch)), "int4", constants=IDEAL
    )
    assert 1 / (1 - result.capacity_freed_fraction) == pytest.approx(gain, rel=0.005)


@pytest.mark.parametrize(
    ("gpu", "speed_up"),
    [
        pytest.param("a100-sxm-80gb", 1.0, id="A100 has no fp8 units: storage only"),
        pytest.param("h100-sxm", 2.0, id="H100 computes in fp8"),
    ],
)
def test_fp8_speeds_prefill_up_only_where_the_gpu_computes_in_it(gpu, speed_up):
    result = pulled(scenario(hosted("llama-3.1-8b", gpu, work(prompt=1000))), "fp8", constants=IDEAL)
    before, after = (projection.step("prefill_s").value for projection in (result.today, result.scenario))
    assert before / after == pytest.approx(speed_up, rel=0.02)  # attention stays in 16 bit
    assert result.scenario.step("weights_bytes").value == result.today.step("weights_bytes").value / 2


def test_fp8_on_a100_still_makes_room_for_more_sequences():
    result = pulled(scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(5, 4000, 200))), "fp8")
    gained = result.scenario.step("kv_pool_bytes").value - result.today.step("kv_pool_bytes").value
    assert gained == pytest.approx(8.03e9, rel=1e-3)
    assert result.capacity_freed_fraction > 0


def test_fp4_is_refused_on_hopper_and_its_option_blocked():
    today = scenario(hosted("llama-3.1-8b", "h100-sxm"))
    (weights,) = LEVER.params
    blocked = {option.value: option.blocked for option in weights.options(today, CATALOG)}
    assert blocked == {**dict.fromkeys(blocked, ""), "fp4": "NVIDIA H100 SXM has no FP4 units"}
    ((_, refusal),) = pulled(today, "fp4").refusals
    assert refusal.reason == "NVIDIA H100 SXM has no FP4 units"
    assert "FP8, INT8 or INT4" in refusal.remedy


def test_one_hopper_in_the_fleet_is_enough_to_refuse_fp4():
    mixed = scenario(hosted("llama-3.1-8b", "b200"), hosted("llama-3.1-8b", "h100-sxm", key="old"))
    assert pulled(mixed, "fp4").refusals
    assert not pulled(scenario(hosted("llama-3.1-8b", "b200")), "fp4").refusals


def test_fewer_bits_let_a_70b_run_on_half_the_gpus():
    """What does not fit one H100 in bf16 does in fp8; the group is another lever's, so only memory is freed here."""
    result = pulled(scenario(hosted("llama-3.3-70b", "h100-sxm", tensor_parallel_count=2)), "fp8")
    assert result.scenario.step("weights_bytes").value == pytest.approx(70.55e9, rel=1e-3)
    assert result.scenario.gpus_count <= result.today.gpus_count


def test_a_stated_checkpoint_size_does_not_outlive_the_format_it_was_stated_for():
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", stated_weights_bytes=20e9))
    result = pulled(today, "fp8")
    assert result.today.step("weights_bytes").value == 20e9
    assert result.scenario.step("weights_bytes").value == pytest.approx(8.03e9, rel=1e-3)


def test_a_model_bought_by_the_token_has_no_format_to_choose():
    ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.9)), "fp8").refusals
    assert "bought by the token" in refusal.reason


def test_every_format_is_offered():
    (weights,) = LEVER.params
    values = [option.value for option in weights.options(scenario(hosted("llama-3.1-8b", "b200")), CATALOG)]
    assert values == ["keep", *Precision]
