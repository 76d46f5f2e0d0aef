"""Weight precision: int4 gains at batch 1 and not at large batches; eight bit pays where the GPU computes in it."""

from dataclasses import replace

import pytest

from costlib.compare import compare
from costlib.errors import DoesNotFit
from costlib.fitted import Setup
from costlib.hardware import Precision
from costlib.levers.weight_precision import LEVER
from costlib.search import Space, search
from costlib.serving import ServingConfig
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


def test_every_format_is_offered_by_the_name_the_field_knows():
    (weights,) = LEVER.params
    offered = weights.options(scenario(hosted("llama-3.1-8b", "h100-sxm")), CATALOG)
    assert [(option.value, option.label) for option in offered] == [
        ("keep", "Keep"),
        ("bf16", "BF16"),
        ("fp8", "FP8"),
        ("int8", "INT8"),
        ("int4", "INT4"),
        ("fp4", "FP4"),
        ("awq_int4", "INT4 AWQ"),
        ("gptq_int4", "INT4 GPTQ"),
        ("bnb_int8", "INT8 bnb"),
        ("bnb_nf4", "NF4 bnb"),
    ]
    assert {option.value for option in offered} >= set(Precision), "formats of older links and files stay"


@pytest.mark.parametrize(
    ("weights", "stored", "method"),
    [
        ("bf16", Precision.BF16, ""),
        ("fp8", Precision.FP8, "fp8"),
        ("int8", Precision.INT8, "compressed-tensors"),
        ("int4", Precision.INT4, "compressed-tensors"),
        ("awq_int4", Precision.INT4, "awq"),
        ("gptq_int4", Precision.INT4, "gptq"),
        ("bnb_int8", Precision.INT8, "bitsandbytes"),
        ("bnb_nf4", Precision.INT4, "bitsandbytes"),
    ],
)
def test_a_format_says_what_it_stores_and_what_vllm_calls_it(weights, stored, method):
    """AWQ has no INT8: the lesson's "INT8 by bitsandbytes, GPTQ or AWQ" is no option."""
    (after,) = LEVER.apply(scenario(hosted("llama-3.1-8b", "h100-sxm")), {"weights": weights}, CATALOG).hosted
    assert (after.serving.weight_precision, after.serving.quantization) == (stored, method)


def blocked_on(gpu):
    (weights,) = LEVER.params
    options = weights.options(scenario(hosted("llama-3.1-8b", gpu)), CATALOG)
    return {option.value for option in options if option.blocked}


@pytest.mark.parametrize(
    ("gpu", "blocked"),
    [
        pytest.param("t4", {"fp4"}, id="Turing stores FP8 (W8A16, Marlin) and computes in INT8"),
        pytest.param("a100-sxm-80gb", {"fp4"}, id="Ampere likewise"),
        pytest.param("l40s", {"fp4"}, id="Ada"),
        pytest.param("h100-sxm", {"fp4"}, id="Hopper"),
        pytest.param("b200", {"int8"}, id="Blackwell: FP4, but no INT8 kernels"),
        pytest.param("b300", {"int8"}, id="Blackwell Ultra"),
        pytest.param("mi300x", {"int8", "fp4", "awq_int4", "gptq_int4", "bnb_int8", "bnb_nf4"}, id="CDNA 3: FP8"),
        pytest.param("mi355x", {"int8", "awq_int4", "gptq_int4", "bnb_int8", "bnb_nf4"}, id="CDNA 4: FP4 too"),
    ],
)
def test_what_each_generation_lacks(gpu, blocked):
    """vLLM documentation, quantization: supported hardware; its INT8 page for Blackwell, its FP8 page for Turing."""
    assert blocked_on(gpu) == blocked


@pytest.mark.parametrize("weights", ["awq_int4", "gptq_int4"])
def test_how_four_bits_were_found_does_not_change_what_they_cost(weights):
    """AWQ and GPTQ run on the same kernels: the choice is one of accuracy."""
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40)))
    assert pulled(today, weights).scenario.cost == pulled(today, "int4").scenario.cost


@pytest.mark.parametrize(
    ("weights", "published"),
    [
        pytest.param("bnb_nf4", (19.58 / 37.05, 17.83 / 34.2), id="NF4: 0.53 and 0.52 of 16 bit"),
        pytest.param("bnb_int8", (5.08 / 37.05, 6.91 / 34.2), id="INT8: 0.14 and 0.20 of 16 bit"),
    ],
)
def test_bitsandbytes_is_slower_than_16_bit(weights, published):
    """Tokens per second of one sequence on an A100, Mistral-7B and Llama-2-7B, over 16 bit in the same engine."""
    one = scenario(hosted("mistral-7b-v0.3", "a100-sxm-80gb", work(0.01, 32, 512), max_num_seqs=1))
    result = pulled(one, weights)
    speed_ratio = result.today.tpot_s / result.scenario.tpot_s
    assert min(published) * 0.85 < speed_ratio < max(published) * 1.15


def test_bitsandbytes_saves_memory_as_four_bits_do_but_costs_time():
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", work(100, 200, 1000)))
    bnb, plain = pulled(today, "bnb_nf4").scenario, pulled(today, "int4").scenario
    for step in ("weights_bytes", "kv_pool_bytes"):
        assert bnb.step(step).value == plain.step(step).value
    assert bnb.usd_per_month.mid > pulled(today, "int4").today.usd_per_month.mid > plain.usd_per_month.mid


def test_141_gb_do_not_fit_80():
    """The lesson's "an H100 that could serve one FP16 70B": memory decides, and two INT4 copies do not fit either."""
    today = scenario(hosted("llama-3.3-70b", "h100-sxm", tensor_parallel_count=2))
    assert pulled(today, "bf16").scenario.step("weights_bytes").value == pytest.approx(141.1e9, rel=1e-3)
    with pytest.raises(DoesNotFit, match=r"weights need 131 GiB, .* use 2 of them"):
        compare(scenario(hosted("llama-3.3-70b", "h100-sxm")), {}, CATALOG)
    one_copy_gb = pulled(today, "awq_int4").scenario.step("weights_bytes").value / 1e9
    assert one_copy_gb == pytest.approx(36.7, abs=0.1)
    assert 80 * 1.0737 * 0.92 - 2 * one_copy_gb < 6, "what two copies leave for all KV cache and activations"


def test_another_format_after_bitsandbytes_is_not_slowed_by_it():
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40), weight_precision="int4", quantization="bitsandbytes"))
    plain = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40), weight_precision="int4"))
    assert pulled(today, "int4").scenario.tpot_s == pulled(plain, "int4").scenario.tpot_s
    assert pulled(today, "int4").today.tpot_s > pulled(plain, "int4").today.tpot_s


def test_experts_are_unpacked_too_but_not_what_stays_in_16_bit():
    """Qwen3 30B: 29 B of 30.5 B parameters are experts; the rest is not in four bits, and is read as it was."""
    today = scenario(hosted("qwen3-30b-a3b", "h100-sxm", work(10)))
    (plain,), (unpacked,) = (
        LEVER.apply(today, {"weights": weights}, CATALOG).hosted for weights in ("int4", "bnb_nf4")
    )
    model, gpu = CATALOG.model("qwen3-30b-a3b"), CATALOG.gpu("h100-sxm")
    fast, slow = (CATALOG.engine.resolve(model, gpu, one.serving) for one in (plain, unpacked))
    assert slow.expert_read_ratio == pytest.approx(fast.expert_read_ratio / 7.3)
    assert slow.dense_read_ratio == fast.dense_read_ratio
    assert pulled(today, "bnb_nf4").scenario.tpot_s > 2 * pulled(today, "int4").scenario.tpot_s


def test_a_search_of_other_formats_does_not_keep_todays_method():
    space = Space(usd_per_gpu_hour={"h100-sxm": 3.0}, weight_precisions=(Precision.INT4, Precision.FP8))
    today = ServingConfig(weight_precision=Precision.INT4, quantization="awq")
    found = search(CATALOG.model("llama-3.1-8b"), work(5), space, CATALOG, today)
    methods = {(layout.serving.weight_precision, layout.serving.quantization) for layout in found.layouts}
    assert methods == {(Precision.INT4, "awq"), (Precision.FP8, "")}


def test_a_calibration_of_one_kernel_is_none_of_the_other():
    plain = ServingConfig(weight_precision=Precision.INT4, quantization="awq")
    unpacked = replace(plain, quantization="bitsandbytes")
    setups = {Setup.of("llama-3.1-8b", "h100-sxm", serving) for serving in (plain, unpacked)}
    assert len(setups) == 2
    assert Setup.of("llama-3.1-8b", "h100-sxm", replace(plain, quantization="")) in setups
