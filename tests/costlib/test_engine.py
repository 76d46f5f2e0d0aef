"""The step-time model: hand arithmetic on round figures, crossovers, and what must never slow a step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.engine import EngineConstants, decode_step_s, link_s, prefill_s, weight_read_s
from costlib.errors import DomainError
from costlib.hardware import Precision
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL

FITTED = EngineConstants()
BF16, FP8, INT8, INT4 = (
    ServingConfig(weight_precision=precision)
    for precision in (Precision.BF16, Precision.FP8, Precision.INT8, Precision.INT4)
)
LLAMA_8B = CATALOG.model("llama-3.1-8b")
LLAMA_70B = CATALOG.model("llama-3.3-70b")


def step_s(serving, batch, *, model=TOY_MODEL, gpu=TOY_GPU, context=0.0, constants=IDEAL):
    return float(decode_step_s(model, gpu, serving, batch, context, constants))


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
        pytest.param(100, 20.0, id="the knee: 100 tokens of 0.2 ms are 20 ms too"),
        pytest.param(150, 30.0, id="compute: 150 tokens of 0.2 ms"),
    ],
)
def test_two_roofs(batch, ms):
    assert step_s(BF16, batch) == pytest.approx(ms / 1e3)


def test_kv_reads_and_attention_by_hand():
    """10 sequences of 2,000 tokens read 10 x 2,000 x 100,000 bytes: 2 ms beside the 20 ms for the weights."""
    assert step_s(BF16, 10, context=2000) == pytest.approx(0.022)


def test_fixed_cost_per_layer_is_added_to_every_step():
    slow = replace(IDEAL, layer_overhead_s=1e-4)
    assert step_s(BF16, 1, constants=slow) == pytest.approx(0.020 + 25e-4)


def test_int4_reads_less_and_computes_no_faster():
    """2 / 0.52 at batch 1; nothing once both wait for the same bf16 matmuls."""
    assert step_s(BF16, 1) / step_s(INT4, 1) == pytest.approx(3.846, rel=1e-3)
    assert step_s(INT4, 200) == step_s(BF16, 200)


@pytest.mark.parametrize(("gpu", "crossover"), [("a100-sxm-80gb", 76.5), ("h100-sxm", 147.5)], ids=["A100", "H100"])
def test_int4_against_int8_crosses_at_half_the_ridge(gpu, crossover):
    """Domain_math §14, vector 31: int4 is compute-bound from a quarter of the ridge on, W8A8 reads P bytes till it."""

    def gain(batch):
        return np.log(
            step_s(INT8, batch, model=LLAMA_8B, gpu=CATALOG.gpu(gpu))
            / step_s(INT4, batch, model=LLAMA_8B, gpu=CATALOG.gpu(gpu))
        )

    assert gain(crossover * 0.99) > 0 > gain(crossover * 1.01)


def test_prefill_of_2000_tokens_on_a_70b():
    """(282.2 + 5.2) TFLOP over four H100 at 69 % of 989.4 TFLOP/s."""
    four = ServingConfig(tensor_parallel_count=4)
    seconds = prefill_s(LLAMA_70B, CATALOG.gpu("h100-sxm"), four, 2000, FITTED)
    assert seconds == pytest.approx(287.4e12 / (4 * 0.69 * 989.4e12), rel=0.002)


def test_cached_half_of_a_prompt_saves_half_the_matmuls_and_a_quarter_of_the_attention():
    h100, half = CATALOG.gpu("h100-sxm"), ServingConfig(prefix_hit_fraction=0.5)
    saved = prefill_s(LLAMA_70B, h100, BF16, 2000, IDEAL) - prefill_s(LLAMA_70B, h100, half, 2000, IDEAL)
    assert saved == pytest.approx((282.2e12 / 2 + 5.243e12 / 4) / 989.4e12, rel=0.001)


def test_all_reduces_by_hand():
    """25 layers x 2 x (2 x 1/2 x 10 tokens x 4,096 x 2 bytes / 200 GB/s one way + a hop of 4 us)."""
    constants = replace(IDEAL, link_hop_s=4e-6)
    expected = 50 * (10 * 8192 / 200e9 + 4e-6)
    assert float(link_s(TOY_MODEL, TOY_GPU, 2, 10, constants)) == pytest.approx(expected)
    assert float(link_s(TOY_MODEL, TOY_GPU, 1, 10, constants)) == 0


def test_a_gpu_without_links_reduces_over_pcie():
    bare = replace(TOY_GPU, link_bytes_per_s=0.0)
    ratio = float(link_s(TOY_MODEL, bare, 2, 10, IDEAL)) / float(link_s(TOY_MODEL, TOY_GPU, 2, 10, IDEAL))
    assert ratio == pytest.approx(400 / 64)


def test_heads_that_cannot_be_split_are_refused_by_name():
    with pytest.raises(DomainError, match="Toy 10B has 32 attention heads; tensor_parallel_count 3 does not divide"):
        step_s(ServingConfig(tensor_parallel_count=3), 1)


@pytest.mark.parametrize("name", [name for name in EngineConstants.__slots__ if name.endswith("efficiency_fraction")])
@pytest.mark.parametrize("value", [0.0, -0.1, 1.1])
def test_an_efficiency_is_a_share(name, value):
    with pytest.raises(DomainError, match=f"{name} must be above 0 and at most 1"):
        EngineConstants(**{name: value})


batches = st.floats(1, 1024)
contexts = st.floats(1, 30_000)
models = st.sampled_from(CATALOG.models)
gpus = st.sampled_from(CATALOG.gpus)


@given(model=models, gpu=gpus, batch=batches, context=contexts, more=st.floats(1, 10))
def test_more_bandwidth_never_slows_a_step(model, gpu, batch, context, more):
    faster = replace(gpu, hbm_bytes_per_s=gpu.hbm_bytes_per_s * more)
    before = step_s(BF16, batch, model=model, gpu=gpu, context=context, constants=FITTED)
    assert step_s(BF16, batch, model=model, gpu=faster, context=context, constants=FITTED) <= before


@given(model=models, gpu=gpus, batch=batches, context=contexts, more=st.floats(1, 4))
def test_a_larger_batch_or_context_never_makes_a_step_shorter(model, gpu, batch, context, more):
    before = step_s(FP8, batch, model=model, gpu=gpu, context=context, constants=FITTED)
    assert step_s(FP8, batch * more, model=model, gpu=gpu, context=context, constants=FITTED) >= before
    assert step_s(FP8, batch, model=model, gpu=gpu, context=context * more, constants=FITTED) >= before


@given(model=models, gpu=gpus, batch=st.integers(1, 1000), context=contexts)
def test_sharing_a_step_among_one_more_sequence_never_costs_each_more(model, gpu, batch, context):
    steps = decode_step_s(model, gpu, BF16, [batch, batch + 1], context, FITTED)
    assert steps[1] / (batch + 1) <= steps[0] / batch * (1 + 1e-12)
