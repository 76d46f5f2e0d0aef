"""The lesson's arithmetic on memory: what fits, what is left for KV cache, what reserving wastes."""

from dataclasses import replace

import pytest

from costlib.errors import DoesNotFit
from costlib.kvcache import concurrent_sequences, kv_bytes_per_token, kv_pool_bytes_per_gpu, weight_bytes
from costlib.models import AttentionKind, AttentionLayers
from costlib.queueing import padding_fraction
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG

LLAMA_8B, LLAMA_70B, MIXTRAL = (CATALOG.model(key) for key in ("llama-3.1-8b", "llama-3.3-70b", "mixtral-8x7b"))
A100_40, A100_80, H100 = (CATALOG.gpu(key) for key in ("a100-sxm-40gb", "a100-sxm-80gb", "h100-sxm"))

# A 7B with as many KV heads as query heads, the model of S108: 524,288 bytes a token.
MHA = AttentionLayers(kind=AttentionKind.FULL, layers_count=32, kv_heads_count=32, head_dim_count=128)
MHA_7B = replace(LLAMA_8B, key="mha-7b", total_params_count=6.74e9, attention=(MHA,))


def room(model, gpu, gpus=1, **serving):
    """KV memory of a replica at 0.9 of its GPUs' memory, after the activations of 8,192 tokens a step."""
    config = ServingConfig(tensor_parallel_count=gpus, gpu_memory_utilization=0.9, **serving)
    return gpus * kv_pool_bytes_per_gpu(model, gpu, config)


@pytest.mark.parametrize(
    ("gpu", "gpus", "bits", "gigabytes"),
    [
        pytest.param(
            A100_80, 2, "bf16", 7.1, id="S33, S87d: 16 bit on two of 80 GB: 13 GB before activations, 7 after"
        ),
        pytest.param(A100_80, 1, "int8", 3.5, id="S34: INT8 on one of 80 GB loads, and hardly serves"),
        pytest.param(A100_40, 2, "int4", 34.2, id="S87c: INT4 on two of 40 GB"),
        pytest.param(A100_80, 1, "int4", 37.4, id="S35: INT4 on one of 80 GB"),
    ],
)
def test_what_a_70b_leaves_for_its_kv_cache(gpu, gpus, bits, gigabytes):
    assert room(LLAMA_70B, gpu, gpus, weight_precision=bits) / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_s34_the_room_of_int8_is_11_000_tokens_for_all_sequences_together():
    tokens = room(LLAMA_70B, A100_80, weight_precision="int8") / kv_bytes_per_token(LLAMA_70B)
    assert tokens == pytest.approx(11_000, rel=0.03)


def test_s19_two_int4_copies_on_one_h100_leave_nothing_to_serve_with():
    """0.9 of 85.9 GB less twice 36.7 GB are 3.9 GB, and each engine wants 3.2 GB before its first KV block."""
    two_copies = 2 * weight_bytes(LLAMA_70B, ServingConfig(weight_precision="int4"))
    with pytest.raises(DoesNotFit):
        room(LLAMA_70B, H100, weight_precision="int4", stated_weights_bytes=two_copies + 3.2e9)


def test_s57_counting_attention_heads_would_find_a_quarter_of_the_sequences():
    """64 GB over 0.537 GB are 119 sequences of 4,096 tokens; with 32 heads in place of 8 it would be 29."""
    as_mha = replace(LLAMA_8B, attention=(MHA,))
    assert [int(64e9 / (4096 * kv_bytes_per_token(model))) for model in (LLAMA_8B, as_mha)] == [119, 29]


def test_s87e_mixtral_on_two_a100_leaves_more_than_the_20_to_35_gb_that_were_promised():
    """93.4 GB of weights; 131,072 bytes a token, so that 20 to 35 GB are 153,000 to 267,000 tokens."""
    assert weight_bytes(MIXTRAL, ServingConfig()) == pytest.approx(93.4e9, rel=0.001)
    assert [round(room_bytes / kv_bytes_per_token(MIXTRAL), -3) for room_bytes in (20e9, 35e9)] == [153_000, 267_000]
    assert room(MIXTRAL, A100_80, 2) > 35e9


@pytest.mark.parametrize(
    ("lengths", "share"),
    [
        pytest.param([50, 500], 0.45, id="S104: 450 of 500 steps of the short answer's slot: 90 % of it, 45 % of both"),
        pytest.param([10, 2000], 0.4975, id="S13: 1,990 of 2,000 steps: 99.5 % of it"),
        pytest.param([50, 150, 200, 500], 0.55, id="S12: 90 % of the first, 55 % of the batch"),
    ],
)
def test_what_a_static_batch_waits_is_1_less_mean_over_longest(lengths, share):
    assert padding_fraction(lengths) == pytest.approx(share)


@pytest.mark.parametrize(
    ("tokens", "sequences"),
    [
        pytest.param(2048, 61, id="S108: contiguous: 61 sequences, not 15 to 20"),
        pytest.param(1049, 120, id="S108: paged: 120 at the mean length, not 40 to 60"),
    ],
)
def test_sequences_of_a_7b_in_66_gb(tokens, sequences):
    assert kv_bytes_per_token(MHA_7B) == 524_288
    assert int(66e9 / (kv_bytes_per_token(MHA_7B) * tokens)) == sequences


@pytest.mark.parametrize(
    ("tokens", "wasted"),
    [
        pytest.param(50, 0.976, id="S100: 50 of 2,048 reserved waste 97.6 %, not 96"),
        pytest.param(1049, 0.488, id="S108: lengths spread evenly from 50 to 2,048 waste 48.8 %, not 60 to 70"),
    ],
)
def test_what_reserving_the_longest_wastes_holds_no_sequences(tokens, wasted):
    paged, reserved = (
        concurrent_sequences(MHA_7B, A100_80, ServingConfig(kv_used_fraction=share), tokens)
        for share in (1.0, tokens / 2048)
    )
    assert 1 - reserved / paged == pytest.approx(wasted, abs=0.01)
