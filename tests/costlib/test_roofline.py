"""FLOPs and bytes: ridges, attention, experts touched, utilisation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.hardware import Precision
from costlib.kvcache import kv_bytes_per_token
from costlib.roofline import attention_flop, linear_flop, mfu_fraction, ridge_flop_per_byte, touched_fraction
from tests.costlib.scenario_builders import CATALOG

LLAMA_70B = CATALOG.model("llama-3.3-70b")
GPT_OSS = CATALOG.model("gpt-oss-20b")


@pytest.mark.parametrize(
    ("gpu", "ridge"), [("a100-sxm-80gb", 153), ("h100-sxm", 295), ("h200-sxm", 206), ("l4", 403), ("a10g", 117)]
)
def test_ridge(gpu, ridge):
    """Domain_math §14, vector 21, and §12b."""
    assert ridge_flop_per_byte(CATALOG.gpu(gpu)) == pytest.approx(ridge, rel=0.005)


def test_eight_bit_doubles_the_ridge_where_the_gpu_computes_in_it():
    h100, a100 = CATALOG.gpu("h100-sxm"), CATALOG.gpu("a100-sxm-80gb")
    assert ridge_flop_per_byte(h100, Precision.FP8) == pytest.approx(591, rel=0.005)
    assert ridge_flop_per_byte(a100, Precision.FP8) == ridge_flop_per_byte(a100)


def test_prefill_flop_of_a_70b():
    """Domain_math §14, vector 20: 282.4 + 5.24 TFLOP."""
    assert linear_flop(LLAMA_70B, 2000) == pytest.approx(282.4e12, rel=0.005)
    assert attention_flop(LLAMA_70B, 0, 2000) == pytest.approx(5.24e12, rel=0.005)


def test_context_at_which_decode_is_memory_bound_at_any_batch():
    """Domain_math §14, vector 33: 2 P M / (C kv) = 1,460 tokens for a 70B on H100."""
    h100 = CATALOG.gpu("h100-sxm")
    limit = linear_flop(LLAMA_70B, 1) / (ridge_flop_per_byte(h100) * kv_bytes_per_token(LLAMA_70B))
    assert limit == pytest.approx(1460, rel=0.005)


def test_a_window_caps_the_attention_of_each_token():
    """gpt-oss: 12 full layers integrate s, 12 sliding layers min(s, 128); 64 heads of 64."""
    full, sliding = 1000**2 / 2, 128**2 / 2 + (1000 - 128) * 128
    assert attention_flop(GPT_OSS, 0, 1000) == pytest.approx(4 * 12 * 64 * 64 * (full + sliding))


@given(
    model=st.sampled_from(CATALOG.models),
    cuts=st.tuples(*[st.floats(0, 100_000)] * 3).map(sorted),
)
def test_attention_of_two_stretches_adds_up(model, cuts):
    start, middle, end = cuts
    parts = attention_flop(model, start, middle) + attention_flop(model, middle, end)
    assert parts == pytest.approx(attention_flop(model, start, end), abs=attention_flop(model, 0, end) * 1e-9)


@pytest.mark.parametrize(
    ("model", "tokens", "share"),
    [
        pytest.param("deepseek-v3", 16, 0.398, id="vector 29: 8 of 256, 16 tokens"),
        pytest.param("deepseek-v3", 64, 0.869, id="vector 29: 8 of 256, 64 tokens"),
        pytest.param("mixtral-8x7b", 4, 0.684, id="domain_math 4.9: 2 of 8, 4 tokens"),
        pytest.param("mixtral-8x7b", 16, 0.990, id="domain_math 4.9: 2 of 8, 16 tokens"),
    ],
)
def test_share_of_experts_touched(model, tokens, share):
    model = CATALOG.model(model)
    ratio = model.active_experts_count / model.experts_count
    assert touched_fraction(ratio, tokens) == pytest.approx(share, rel=0.005)


@pytest.mark.parametrize("model", [m for m in CATALOG.models if m.is_moe], ids=lambda m: m.key)
def test_one_token_touches_the_active_parameters_and_many_all(model):
    ratio = model.active_experts_count / model.experts_count
    shared = model.total_params_count - model.routed_params_count
    assert shared + model.routed_params_count * touched_fraction(ratio, 1) == pytest.approx(model.active_params_count)
    assert touched_fraction(ratio, 1e9) == 1


def test_a_dense_model_has_no_experts_to_touch():
    assert LLAMA_70B.routed_params_count == 0
    assert list(touched_fraction(0.0, [0, 1, 1000])) == [0, 0, 0]


@pytest.mark.parametrize(
    ("model", "tokens_per_s", "gpus", "expected"),
    [
        pytest.param("llama-3.1-8b", 1000, 1, 0.05147, id="vector 18"),
        pytest.param("llama-3.3-70b", 833, 2, 0.1885, id="vector 19"),
    ],
)
def test_mfu(model, tokens_per_s, gpus, expected):
    mfu = mfu_fraction(CATALOG.model(model), tokens_per_s, CATALOG.gpu("a100-sxm-80gb"), gpus_count=gpus)
    assert mfu == pytest.approx(expected, rel=0.005)


def test_latent_attention_counts_the_latent_when_decoding_and_the_heads_in_prefill():
    """domain_math 4.4: 2 H (2 r + d_r) per cached token and layer when absorbed; 2 H (2 d + d_r) in prefill."""
    deepseek = CATALOG.model("deepseek-v3")
    pairs = 61 * 128
    assert attention_flop(deepseek, 99.5, 100.5, decoding=True) == pytest.approx(pairs * 2 * (2 * 512 + 64) * 100)
    assert attention_flop(deepseek, 99.5, 100.5) == pytest.approx(pairs * 2 * (2 * 128 + 64) * 100)
