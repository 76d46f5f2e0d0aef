"""KV cache memory: known answers by layout, what tensor parallelism shares, and what does not fit."""

import re
from dataclasses import replace

import pytest

from costlib.errors import DoesNotFit
from costlib.hardware import Precision
from costlib.kvcache import (
    concurrent_sequences,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    kv_pool_bytes_per_gpu,
    reserve_bytes_per_gpu,
    weight_bytes,
    weight_bytes_by_part,
)
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG

A100 = CATALOG.gpu("a100-sxm-80gb")
LLAMA_8B = CATALOG.model("llama-3.1-8b")
LLAMA_70B = CATALOG.model("llama-3.3-70b")
DEEPSEEK = CATALOG.model("deepseek-v3")
GPT_OSS = CATALOG.model("gpt-oss-20b")
QWEN_NEXT = CATALOG.model("qwen3-next-80b-a3b")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(LLAMA_8B, 131_072, id="vector 6: 2 x 32 x 8 x 128 x 2, KV heads and not attention heads"),
        pytest.param(LLAMA_70B, 327_680, id="vector 7: 2 x 80 x 8 x 128 x 2"),
        pytest.param(DEEPSEEK, 70_272, id="vector 8: 61 x (512 + 64) x 2"),
    ],
)
def test_bytes_per_token(model, expected):
    assert kv_bytes_per_token(model) == expected


def test_a_conversation_of_4096_tokens_holds_half_a_gib():
    assert kv_bytes_per_sequence(LLAMA_8B, 4096) == 2**29


def test_eight_bit_cache_takes_half():
    assert kv_bytes_per_token(LLAMA_70B, Precision.FP8) == kv_bytes_per_token(LLAMA_70B) / 2


def test_a_sliding_window_stops_growing_at_its_width():
    """Twelve layers keep 128 tokens, twelve keep all 1,000: 2 x 8 x 64 x 2 bytes each."""
    assert kv_bytes_per_sequence(GPT_OSS, 1000) == 2 * 8 * 64 * 2 * (12 * 128 + 12 * 1000)
    assert kv_bytes_per_sequence(GPT_OSS, 100) == 100 * kv_bytes_per_token(GPT_OSS)


def test_a_linear_layer_holds_a_state_whatever_the_length():
    empty, long = kv_bytes_per_sequence(QWEN_NEXT, 0), kv_bytes_per_sequence(QWEN_NEXT, 10_000)
    states = sum(group.layers_count * group.state_bytes for group in QWEN_NEXT.attention)
    assert empty == states > 0
    assert long == states + 10_000 * kv_bytes_per_token(QWEN_NEXT)


@pytest.mark.parametrize(
    ("model", "gpus", "share"),
    [
        pytest.param(LLAMA_70B, 4, 1 / 4, id="8 KV heads over 4 GPUs"),
        pytest.param(LLAMA_70B, 8, 1 / 8, id="one KV head each"),
        pytest.param(LLAMA_70B, 16, 1 / 8, id="more GPUs than KV heads: heads are replicated"),
        pytest.param(DEEPSEEK, 8, 1.0, id="every rank holds the whole latent"),
    ],
)
def test_what_one_gpu_of_a_group_holds(model, gpus, share):
    alone = kv_bytes_per_sequence(model, 1000)
    assert kv_bytes_per_sequence(model, 1000, tensor_parallel_count=gpus) == alone * share


def test_pool_and_sequences_of_an_8b_on_80_gb():
    """0.92 x 85.90 GB - 16.06 GB of weights - 2 GiB - 16 x 4,096 x 8,192 bytes = 60.28 GB.

    A sequence of 4,096 tokens and half a block is 131,072 x 4,103.5 bytes: 112 of them.
    """
    serving = ServingConfig()
    assert reserve_bytes_per_gpu(LLAMA_8B, serving) == 2**31 + 16 * 4096 * 8192
    assert kv_pool_bytes_per_gpu(LLAMA_8B, A100, serving) == pytest.approx(60.28e9, rel=1e-3)
    assert concurrent_sequences(LLAMA_8B, A100, serving, 4096) == 112


def test_a_stated_checkpoint_size_replaces_parameters_times_bytes():
    assert weight_bytes(LLAMA_70B, ServingConfig(stated_weights_bytes=140e9)) == 140e9
    assert weight_bytes(LLAMA_8B, ServingConfig(weight_precision=Precision.INT4)) == pytest.approx(
        8.03e9 * 0.52, rel=1e-3
    )


def test_experts_in_four_bits_leave_the_rest_in_sixteen():
    """gpt-oss-20b: 1.14 B parameters outside the experts in 2 bytes, 19.78 B inside in 0.5625; 13.8 GB as released."""
    four_bit = ServingConfig(weight_precision=Precision.FP4)
    dense, experts = weight_bytes_by_part(GPT_OSS, four_bit)
    assert experts == pytest.approx(GPT_OSS.routed_params_count * 0.5625)
    assert dense == pytest.approx((GPT_OSS.total_params_count - GPT_OSS.routed_params_count) * 2)
    assert weight_bytes(GPT_OSS, four_bit) == pytest.approx(13.8e9, rel=0.03)


def test_a_pipeline_splits_the_cache_and_attention_groups_keep_their_own_sequences():
    """Weights of 141 GB: halves on two GPUs either way; a data-parallel copy each does not fit in 80 GB."""
    pair, pipeline = (ServingConfig(**{name: 2}) for name in ("tensor_parallel_count", "pipeline_parallel_count"))
    h200 = CATALOG.gpu("h200-sxm")
    assert concurrent_sequences(LLAMA_70B, h200, pipeline, 4096) == concurrent_sequences(LLAMA_70B, h200, pair, 4096)
    copies = ServingConfig(data_parallel_attention_count=2)
    with pytest.raises(DoesNotFit, match=r"does not fit 2 x NVIDIA H200 SXM: weights need 263 GiB"):
        concurrent_sequences(LLAMA_70B, h200, copies, 4096)
    alone = concurrent_sequences(LLAMA_8B, A100, ServingConfig(), 4096)
    assert concurrent_sequences(LLAMA_8B, A100, copies, 4096) == 2 * alone


def test_what_does_not_fit_is_refused_and_never_a_negative_number_of_sequences():
    """X10, over all models on the smallest and a large GPU."""
    for model in CATALOG.models:
        for gpu in (CATALOG.gpu("t4"), CATALOG.gpu("b200")):
            try:
                assert concurrent_sequences(model, gpu, ServingConfig(), 1000) >= 1
            except DoesNotFit as no:
                assert "GiB" in str(no)


def test_weights_that_do_not_fit_say_how_many_gpus_would_do_and_they_do():
    serving = ServingConfig()
    with pytest.raises(
        DoesNotFit,
        match=r"3\.3 70B in bf16 .* weights need 131 GiB, 60\.8 GiB more than the 70\.6 GiB that are usable; use 2 of",
    ) as no:
        kv_pool_bytes_per_gpu(LLAMA_70B, A100, serving)
    enough = int(re.search(r"use (\d+) of them", str(no.value)).group(1))
    assert kv_pool_bytes_per_gpu(LLAMA_70B, A100, replace(serving, tensor_parallel_count=enough)) > 0


def test_no_group_is_offered_when_none_would_do():
    with pytest.raises(DoesNotFit, match="use a GPU with more memory"):
        kv_pool_bytes_per_gpu(CATALOG.model("llama-3.1-405b"), CATALOG.gpu("t4"), ServingConfig())


def test_one_sequence_too_long_says_what_would_help_and_it_does():
    int4 = ServingConfig(weight_precision=Precision.INT4, max_num_batched_tokens=2048)
    with pytest.raises(DoesNotFit, match=r"one sequence of 131,072 tokens .* fp8 KV cache or shorter contexts"):
        concurrent_sequences(LLAMA_70B, A100, int4, 131_072)
    eight_bit = replace(int4, kv_precision=Precision.FP8)
    assert concurrent_sequences(LLAMA_70B, A100, eight_bit, 131_072) == 1


def test_int4_70b_on_one_40_gb_card_does_not_fit():
    """36.7 GB of weights against 42.9 x 0.92 GB less activations: a table that says it fits is wrong."""
    int4 = ServingConfig(weight_precision=Precision.INT4)
    with pytest.raises(DoesNotFit):
        kv_pool_bytes_per_gpu(LLAMA_70B, CATALOG.gpu("a100-sxm-40gb"), int4)
