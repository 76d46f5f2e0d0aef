"""The step-time model: hand arithmetic on round figures, crossovers, and what must never slow a step."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.engine import (
    EngineConstants,
    engine_inputs,
    kv_sequences,
    links_s,
    prefill_s,
    steady_tpot_s,
    step_s,
)
from costlib.errors import DomainError
from costlib.hardware import Precision
from costlib.kvcache import kv_pool_bytes_per_gpu
from costlib.roofline import weight_read_s
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL

BF16, FP8, INT8, INT4 = (
    ServingConfig(weight_precision=precision)
    for precision in (Precision.BF16, Precision.FP8, Precision.INT8, Precision.INT4)
)
LLAMA_8B = CATALOG.model("llama-3.1-8b")
LLAMA_70B = CATALOG.model("llama-3.3-70b")
DEEPSEEK = CATALOG.model("deepseek-v3")
H100 = CATALOG.gpu("h100-sxm")
# 25 layers x 4 x 32 heads x 125: FLOPs of attention per token and token of context.
TOY_ATTENTION_FLOP = 25 * 4 * 32 * 125


def toy(serving=BF16, gpu=TOY_GPU, **changes):
    """Round figures: 20 GB of weights at 1 TB/s, 20 GFLOP a token at 100 TFLOP/s; the output layer as the rest."""
    return replace(engine_inputs(TOY_MODEL, gpu, serving), head_bytes=0.0, **changes)


def fitted(model, gpu, serving):
    return engine_inputs(model, gpu, serving), CATALOG.engine.resolve(model, gpu, serving)


@pytest.mark.parametrize(
    ("gb", "gpu", "gpus", "ms"),
    [(140, "a100-sxm-80gb", 2, 34.3), (35, "a100-sxm-80gb", 1, 17.2)],
    ids=["vector 22: a 70B on two A100", "vector 22: its int4 on one"],
)
def test_reading_the_weights_once(gb, gpu, gpus, ms):
    assert weight_read_s(gb * 1e9, CATALOG.gpu(gpu), gpus) * 1e3 == pytest.approx(ms, rel=0.005)


@pytest.mark.parametrize(
    ("batch", "ms"),
    [
        pytest.param(1, 20.0, id="memory: 20 GB at 1 TB/s"),
        pytest.param(99, 20.0, id="below the knee: 99 tokens of 0.2 ms are 19.8 ms"),
        pytest.param(150, 30.0, id="compute: 150 tokens of 0.2 ms"),
    ],
)
def test_two_roofs(batch, ms):
    assert step_s(toy(), IDEAL, batch, 0) == pytest.approx(ms / 1e3)


@pytest.mark.parametrize(
    ("knee", "ms"),
    [
        pytest.param(0.0, 40.0, id="0: they add up"),
        pytest.param(1.0, 20.0 * 2**0.5, id="1: root of the sum of squares"),
        pytest.param(30.0, 20.45, id="large: nearly the longer one"),
    ],
)
def test_the_knee_where_memory_and_compute_take_20_ms_each(knee, ms):
    assert step_s(toy(), replace(IDEAL, knee_ratio=knee), 100, 0) * 1e3 == pytest.approx(ms, rel=1e-3)


def test_kv_reads_by_hand():
    """10 sequences of 2,000 tokens read 10 x 2,000 x 100,000 bytes: 2 ms beside the 20 ms for the weights."""
    assert step_s(toy(), IDEAL, 10, 2000) == pytest.approx(0.022)


def test_kv_reads_of_a_window_stop_at_its_width():
    """Half the cache sees 500 tokens: 10 x (2,000 + 500) x 50,000 bytes."""
    half = toy(kv_bytes_per_token=50_000.0, window_kv_bytes_per_token=50_000.0, window_tokens=500.0)
    assert step_s(half, IDEAL, 10, 2000) == pytest.approx(0.020 + 1.25e-3)


def test_prompt_tokens_share_the_step_they_ride_on():
    """400 prompt tokens at a mean context of 200 take 80 ms and their attention, which hides the reading."""
    seconds = step_s(toy(), IDEAL, 1, 0, 400, 200)
    assert seconds == pytest.approx(401 * 0.2e-3 + 400 * 200 * TOY_ATTENTION_FLOP / 100e12)


def test_fixed_costs_are_of_layers_of_the_step_and_of_sequences():
    slow = replace(IDEAL, layer_s=1e-4, step_s=1e-3, sequence_s=1e-5)
    assert step_s(toy(), slow, 10, 0) == pytest.approx(0.020 + 25e-4 + 1e-3 + 10e-5)


def test_experts_are_read_as_they_are_touched_and_computed_as_they_are_active():
    """DeepSeek V3, 8 of 256 experts: 16 tokens touch 39.8 % of 654 GB (vector 29), each passes through 37.6 B."""
    inputs = engine_inputs(DEEPSEEK, CATALOG.gpu("h200-sxm"), replace(FP8, tensor_parallel_count=8))
    assert inputs.dense_params_count + inputs.expert_params_count / 32 == pytest.approx(DEEPSEEK.active_params_count)
    read_gb = (671.03 - 653.88) + 0.398 * 653.88
    assert step_s(inputs, IDEAL, 16, 0) - links_s(inputs, IDEAL, 16) == pytest.approx(read_gb / 8 / 4800, rel=2e-3)


def test_prompts_that_repeat_touch_the_experts_of_one():
    inputs = engine_inputs(DEEPSEEK, CATALOG.gpu("h200-sxm"), replace(FP8, tensor_parallel_count=8))
    same = replace(inputs, distinct_sequences_count=1.0)
    assert step_s(same, IDEAL, 16, 0) < step_s(inputs, IDEAL, 16, 0) / 3


def test_int4_reads_less_and_computes_no_faster():
    """2 / 0.52 at batch 1; nothing once both wait for the same bf16 matmuls."""
    assert step_s(toy(), IDEAL, 1, 0) / step_s(toy(INT4), IDEAL, 1, 0) == pytest.approx(3.846, rel=1e-3)
    assert step_s(toy(INT4), IDEAL, 200, 0) == step_s(toy(), IDEAL, 200, 0)


def test_experts_in_four_bits_leave_the_rest_in_sixteen():
    inputs = engine_inputs(CATALOG.model("gpt-oss-20b"), CATALOG.gpu("b200"), ServingConfig(weight_precision="fp4"))
    assert inputs.dense_bytes == inputs.dense_params_count * 2
    assert inputs.expert_bytes == inputs.expert_params_count * 0.5625
    assert (inputs.dense_flop_per_s, inputs.expert_flop_per_s) == (2250e12, 9000e12)


@pytest.mark.parametrize(("gpu", "crossover"), [("a100-sxm-80gb", 76.5), ("h100-sxm", 147.5)], ids=["A100", "H100"])
def test_int4_against_int8_crosses_at_half_the_ridge(gpu, crossover):
    """Domain_math §14, vector 31: int4 is compute-bound from a quarter of the ridge on, W8A8 reads P bytes till it."""

    def gain(batch):
        int8, int4 = (
            step_s(replace(engine_inputs(LLAMA_8B, CATALOG.gpu(gpu), serving), head_bytes=0.0), IDEAL, batch, 0)
            for serving in (INT8, INT4)
        )
        return np.log(int8 / int4)

    assert gain(crossover * 0.99) > 0 > gain(crossover * 1.01)


def test_prefill_of_2000_tokens_on_a_70b():
    """Vector 20: 282.4 + 5.24 TFLOP over four H100 at 989.4 TFLOP/s, and 160 all-reduces of 49 MB at 450 GB/s."""
    inputs = engine_inputs(LLAMA_70B, H100, ServingConfig(tensor_parallel_count=4))
    links = 160 * 2 * 3 / 4 * 2000 * 8192 * 2 / 450e9
    assert prefill_s(inputs, IDEAL, 2000) == pytest.approx(287.6e12 / (4 * 989.4e12) + links, rel=0.002)


def test_cached_half_of_a_prompt_saves_half_the_matmuls_and_a_quarter_of_the_attention():
    inputs = engine_inputs(LLAMA_70B, H100, BF16)
    saved = prefill_s(inputs, IDEAL, 2000) - prefill_s(inputs, IDEAL, 1000, 1000)
    assert saved == pytest.approx((282.2e12 / 2 + 5.243e12 / 4) / 989.4e12, rel=0.001)


def test_a_prompt_of_two_chunks_pays_the_fixed_cost_twice():
    slow = replace(IDEAL, step_s=1e-3)
    assert prefill_s(toy(chunk_tokens=500.0), slow, 1000) - prefill_s(toy(), slow, 1000) == pytest.approx(1e-3)
    assert prefill_s(toy(), slow, 0) == 0


def test_all_reduces_by_hand():
    """25 layers x 2 x (2 x 1/2 x 10 tokens x 4,096 x 2 bytes / 200 GB/s one way + 4 us + sqrt(0.08192) x 5 us)."""
    constants = replace(IDEAL, all_reduce_s=4e-6, all_reduce_sqrt_s=5e-6)
    two = toy(replace(BF16, tensor_parallel_count=2))
    assert links_s(two, constants, 10) == pytest.approx(50 * (81_920 / 200e9 + 4e-6 + 0.08192**0.5 * 5e-6))
    assert links_s(toy(), constants, 10) == 0


def test_a_gpu_without_links_reduces_over_pcie():
    two = replace(BF16, tensor_parallel_count=2)
    bare = toy(two, gpu=replace(TOY_GPU, link_bytes_per_s=0.0))
    assert links_s(bare, IDEAL, 10) / links_s(toy(two), IDEAL, 10) == pytest.approx(400 / 64)


def test_four_gpus_over_pcie_cost_more_than_two_by_the_groups_exponent():
    constants = replace(IDEAL, all_reduce_s=1e-5, link_fraction=1.0, link_group_exponent_ratio=0.5)
    four = toy(replace(BF16, tensor_parallel_count=4))
    plain = links_s(four, replace(constants, link_group_exponent_ratio=0.0), 10)
    assert links_s(four, constants, 10) / plain == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("serving", "weights_ms"),
    [
        pytest.param({"tensor_parallel_count": 2}, 10.0, id="tensor: each GPU half of every layer"),
        pytest.param(
            {"pipeline_parallel_count": 2}, 20.0, id="pipeline: two batches in flight, one stage after the other"
        ),
        pytest.param({"data_parallel_attention_count": 2}, 20.0, id="data: each GPU its own copy"),
    ],
)
def test_what_reading_the_weights_takes_by_layout(serving, weights_ms):
    inputs = toy(ServingConfig(**serving))
    assert step_s(inputs, IDEAL, 1, 0) - links_s(inputs, IDEAL, 1) == pytest.approx(weights_ms / 1e3)


def test_every_layout_of_two_gpus_computes_twice_as_much_in_the_same_time():
    """300 tokens of 0.2 ms over two GPUs: 30 ms, compute-bound in all three."""
    for name in ("tensor_parallel_count", "pipeline_parallel_count", "data_parallel_attention_count"):
        inputs = toy(ServingConfig(**{name: 2}))
        assert step_s(inputs, IDEAL, 300, 0) - links_s(inputs, IDEAL, 300 / inputs.pipeline_parallel_count) == (
            pytest.approx(0.030)
        ), name


def test_prompts_of_others_lengthen_the_interval_and_the_own_one_only_the_gpus_time():
    """Batch 100, 500 prompt tokens for 100 of output: 5 x 100 tokens ride along for the GPU, 5 x 99 for a sequence."""
    inputs = toy(prefill_attention_flop=0.0, decode_attention_flop=0.0)
    gpu, felt = (steady_tpot_s(inputs, IDEAL, 100, 0, 500, 100, own_prompts=own_prompts) for own_prompts in (0.0, 1.0))
    # Compute-bound from the 100th token on: 0.2 ms each.
    assert gpu == pytest.approx(0.020 + 500 * 0.2e-3)
    assert felt == pytest.approx(0.020 + 495 * 0.2e-3)


def test_alone_a_sequence_feels_no_prompts():
    assert steady_tpot_s(toy(), IDEAL, 1, 1000, 500, 100) == step_s(toy(), IDEAL, 1, 1000)


def test_rows_are_computed_as_each_alone():
    pairs = [(LLAMA_8B, H100, BF16), (DEEPSEEK, CATALOG.gpu("b200"), replace(FP8, tensor_parallel_count=8))]
    found = [fitted(*pair) for pair in pairs]

    def stacked(kind, rows):
        names = [field.name for field in fields(kind) if field.name != "basis"]
        return kind(**{name: np.array([getattr(row, name) for row in rows]) for name in names})

    inputs = stacked(type(found[0][0]), [row for row, _ in found])
    constants = stacked(EngineConstants, [row for _, row in found])
    batches = np.array([[1.0, 1.0], [64.0, 200.0]])
    together = steady_tpot_s(inputs, constants, batches, 1500.0, 1000.0, 500.0)
    for column, (one, its) in enumerate(found):
        assert together[:, column] == pytest.approx(steady_tpot_s(one, its, batches[:, column], 1500.0, 1000.0, 500.0))


def test_sequences_that_fit_are_the_pool_over_the_cache_of_one():
    inputs = engine_inputs(LLAMA_8B, H100, BF16)
    assert kv_sequences(inputs, 4096) == pytest.approx(kv_pool_bytes_per_gpu(LLAMA_8B, H100, BF16) / 2**29)
    assert kv_sequences(engine_inputs(LLAMA_70B, H100, BF16), 4096) < 0


def test_heads_that_cannot_be_split_are_refused_by_name():
    with pytest.raises(DomainError, match="Toy 10B has 32 attention heads; tensor_parallel_count 3 does not divide"):
        toy(ServingConfig(tensor_parallel_count=3))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("bandwidth_fraction", 0.0, "above 0 and at most 1"),
        ("dense_compute_fraction", 1.1, "above 0 and at most 1"),
        ("kv_read_ratio", -0.1, "above 0"),
        ("layer_s", -1e-6, "0 or more"),
        ("knee_ratio", float("nan"), "0 or more"),
    ],
)
def test_a_constant_that_cannot_be_is_refused_by_name(name, value, allowed):
    """X05: out of range, or not a number."""
    with pytest.raises(DomainError, match=f"{name} must be {allowed}, not {value}"):
        EngineConstants(**{name: value})


batches = st.floats(1, 1024)
contexts = st.floats(1, 30_000)
models = st.sampled_from(CATALOG.models)
gpus = st.sampled_from(CATALOG.gpus)


@given(model=models, gpu=gpus, batch=batches, context=contexts, more=st.floats(1, 10))
def test_more_bandwidth_never_slows_a_step(model, gpu, batch, context, more):
    inputs, constants = fitted(model, gpu, BF16)
    faster = replace(inputs, hbm_bytes_per_s=inputs.hbm_bytes_per_s * more)
    assert step_s(faster, constants, batch, context) <= step_s(inputs, constants, batch, context)


@given(model=models, gpu=gpus, batch=batches, context=contexts, more=st.floats(1, 4))
def test_a_larger_batch_or_context_never_makes_a_step_shorter(model, gpu, batch, context, more):
    inputs, constants = fitted(model, gpu, FP8)
    before = step_s(inputs, constants, batch, context)
    assert step_s(inputs, constants, batch * more, context) >= before
    assert step_s(inputs, constants, batch, context * more) >= before


@given(model=models, gpu=gpus, batch=st.integers(1, 1000), context=contexts)
def test_sharing_a_step_among_one_more_sequence_never_costs_each_more(model, gpu, batch, context):
    inputs, constants = fitted(model, gpu, BF16)
    one, more = step_s(inputs, constants, [batch, batch + 1], context)
    assert more / (batch + 1) <= one / batch * (1 + 1e-12)
