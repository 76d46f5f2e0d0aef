"""FLOPs and bytes: how much arithmetic and how much memory traffic a step needs, and what the hardware allows."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec

FLOP_PER_PARAM_AND_TOKEN = 2.0  # one multiply, one add
ATTENTION_FLOP_PER_HEAD_ELEMENT = 4.0  # QK and AV, a multiply and an add each

Floats = NDArray[np.float64]


def weight_read_s(weights_bytes: float, gpu: GpuSpec, gpus_count: int = 1) -> float:
    """Least time to read the weights once: W / (M g) [s], at the sheet's bandwidth. The floor of a decode step.

    Example    140 GB on two A100 80 GB SXM: 34.3 ms (domain_math §14, vector 22)
    >>> round(weight_read_s(140e9, catalog.gpu("a100-sxm-80gb"), 2), 4)
    0.0343
    """
    return weights_bytes / (gpu.hbm_bytes_per_s * gpus_count)


def ridge_flop_per_byte(gpu: GpuSpec, precision: Precision = Precision.BF16) -> float:
    """FLOPs per byte at which compute and memory take equally long: peak / bandwidth [FLOP/byte].

    Example    domain_math §14, vector 21
    >>> [round(ridge_flop_per_byte(catalog.gpu(key))) for key in ("a100-sxm-80gb", "h100-sxm", "h200-sxm")]
    [153, 295, 206]
    """
    return gpu.peak_flop_per_s(precision) / gpu.hbm_bytes_per_s


def attention_flop(model: ModelSpec, first_token: float, last_token: float, decoding: bool = False) -> float:
    """FLOPs of causal attention while the context grows from `first_token` to `last_token` tokens.

    Equation   sum over groups of  L H f x (integral of min(s, w) ds from first to last)
    Symbols    L layers   H query heads   w window (infinite for full attention)   f FLOPs per pair of tokens and head:
               4 d (QK and AV);  MLA 2 (2 d + d_r) in prefill, and 2 (2 r + d_r) in decode, which works on the latent
               d head size   r latent rank   d_r rotary size
    Returns    [FLOP]; no FLOP is counted for the masked half
    Valid for  prefill and decode alike; linear-attention layers are taken as part of the 2 P term
    Raises     nothing
    Source     docs/method.md, after Kaplan et al. 2020, appendix
    Example    2 x 80 x 64 x 128 x 2,000^2 = 5.24 TFLOP (domain_math §14, vector 20)
    >>> round(attention_flop(catalog.model("llama-3.3-70b"), 0, 2000) / 1e12, 2)
    5.24
    """
    total = 0.0
    for group in model.attention:
        if group.kind is AttentionKind.LINEAR:
            continue
        window = group.window_tokens if group.kind is AttentionKind.SLIDING else np.inf
        weight = group.layers_count * model.heads_count * flop_per_pair(group, decoding)
        total += weight * (_area(last_token, window) - _area(first_token, window))
    return total


def flop_per_pair(group: AttentionLayers, decoding: bool) -> float:
    """FLOPs of one query head for one token and one token of its context; see `attention_flop`."""
    if group.kind is AttentionKind.MLA:
        return 2.0 * (2 * (group.latent_rank_count if decoding else group.head_dim_count) + group.rope_dim_count)
    return ATTENTION_FLOP_PER_HEAD_ELEMENT * group.head_dim_count


def _area(tokens: float, window: float) -> float:
    """Integral of min(s, window) from 0 to `tokens`."""
    inside = min(tokens, window)
    return inside * inside / 2 + (tokens - inside) * (window if tokens > window else 0.0)


def linear_flop(model: ModelSpec, tokens: float) -> float:
    """FLOPs of the weight multiplications for `tokens` tokens: 2 x active parameters x tokens [FLOP]."""
    return FLOP_PER_PARAM_AND_TOKEN * model.active_params_count * tokens


def touched_fraction(experts_ratio: ArrayLike, tokens: ArrayLike) -> Floats:
    """Share of the experts that a step with `tokens` tokens reads.

    Equation   1 - (1 - k/E)^n
    Symbols    k experts per token, E experts [1]   n tokens in the step [1]
    Returns    [1], broadcast shape; 0 for a dense model, whose ratio is 0
    Valid for  uniform routing; skew touches fewer (EngineConstants.expert_read_ratio)
    Raises     nothing
    Source     docs/method.md
    Example    256 experts, 8 per token: 16 tokens touch 39.8 % of them, 64 tokens 86.9 % (domain_math §14, vector 29)
    >>> [round(float(share), 3) for share in touched_fraction(8 / 256, [16, 64])]
    [0.398, 0.869]
    """
    return np.asarray(1 - (1 - np.asarray(experts_ratio, dtype=float)) ** np.asarray(tokens, dtype=float))


def mfu_fraction(
    model: ModelSpec, tokens_per_s: float, gpu: GpuSpec, precision: Precision = Precision.BF16, gpus_count: int = 1
) -> float:
    """Model FLOPs utilisation: share of the dense peak that useful weight multiplications reach.

    Equation   2 P_a X / (C g)
    Symbols    P_a active parameters   X tokens per second   C dense peak [FLOP/s]   g GPUs
    Returns    [1]; attention FLOPs are left out, as most published figures do
    Valid for  tokens that were computed: cached prompt tokens are not work
    Raises     DomainError when the GPU has no such precision
    Source     Chowdhery et al., PaLM, 2022, appendix B
    Example    8.03 B parameters, 1,000 tok/s, 312 TFLOP/s (domain_math §14, vector 18)
    >>> round(mfu_fraction(catalog.model("llama-3.1-8b"), 1000, catalog.gpu("a100-sxm-80gb")), 5)
    0.05148
    """
    return linear_flop(model, tokens_per_s) / (gpu.peak_flop_per_s(precision) * gpus_count)
