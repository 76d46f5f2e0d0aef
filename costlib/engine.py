"""The step-time model of a continuous-batching engine: how long a step takes and how much work a replica gets done."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.hardware import GpuSpec, Precision
from costlib.kvcache import kv_bytes_per_sequence
from costlib.models import ModelSpec
from costlib.roofline import FLOP_PER_PARAM_AND_TOKEN, Floats, attention_flop, linear_flop, touched_weight_bytes
from costlib.serving import ServingConfig

ALL_REDUCES_PER_LAYER = 2.0
ACTIVATION_BYTES_PER_ELEMENT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConstants:
    """What the data sheet does not say. The defaults are fitted to published measurements, not to this fleet
    (docs/method.md, "Where the constants come from").

    `step_low_ratio` and `step_high_ratio` bound measured over modelled step time for 80 % of 988 such measurements;
    `benchmarks/accuracy.py` recomputes them.
    """

    compute_efficiency_fraction: float = 0.69
    bandwidth_efficiency_fraction: float = 0.69
    link_efficiency_fraction: float = 0.70
    layer_overhead_s: float = 87e-6
    link_hop_s: float = 4e-6
    step_low_ratio: float = 0.66
    step_high_ratio: float = 1.25
    basis: Basis = Basis.ASSUMED

    def __post_init__(self) -> None:
        for name in ("compute_efficiency_fraction", "bandwidth_efficiency_fraction", "link_efficiency_fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise DomainError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}.")


def weight_read_s(weights_bytes: float, gpu: GpuSpec, tensor_parallel_count: int = 1) -> float:
    """Least time to read the weights once: W / (M g) [s], at the sheet's bandwidth. The floor of a decode step.

    Example    140 GB on two A100 80 GB SXM: 34.3 ms (domain_math §14, vector 22)
    >>> round(weight_read_s(140e9, catalog.gpu("a100-sxm-80gb"), 2), 4)
    0.0343
    """
    return weights_bytes / (gpu.hbm_bytes_per_s * tensor_parallel_count)


def prefill_s(
    model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, prompt_tokens: float, constants: EngineConstants
) -> float:
    """GPU time to compute one prompt's uncached part, as chunks inside running steps.

    Equation   t = (2 P_a n / C_w + A / C_16) / (g e_c)
    Symbols    n uncached prompt tokens   A attention FLOPs of those tokens over the whole context [FLOP]
               C_w, C_16 dense peaks at the weight format's compute rate and at bf16 [FLOP/s]   e_c compute efficiency
    Returns    [s], basis of `constants`
    Valid for  compute-bound prefill; the weights are read by the decode step it shares
    Raises     DomainError when the GPU cannot compute in the weight format
    Source     docs/method.md
    """
    cached = prompt_tokens * serving.prefix_hit_fraction
    linear_s = linear_flop(model, prompt_tokens - cached) / gpu.peak_flop_per_s(serving.weight_precision)
    attention_s = attention_flop(model, cached, prompt_tokens) / gpu.peak_flop_per_s(Precision.BF16)
    return (linear_s + attention_s) / (serving.tensor_parallel_count * constants.compute_efficiency_fraction)


def decode_step_s(
    model: ModelSpec,
    gpu: GpuSpec,
    serving: ServingConfig,
    batch: ArrayLike,
    context_tokens: float,
    constants: EngineConstants,
) -> Floats:
    """Time of a step that gives each of `batch` sequences one token.

    Equation   t = max((W(B) + B K) / (M e_m), (2 P_a B / C_w + B A_1 / C_16) / e_c) / g + t_link + L t_0
    Symbols    W(B) weights touched [byte]   K KV bytes of one sequence, read whole [byte]   M bandwidth [byte/s]
               A_1 attention FLOPs of one token   t_0 fixed cost per layer [s]   t_link two all-reduces per layer
    Returns    [s], shape of `batch`
    Valid for  batch >= 1; TP inside one node; hard maximum of the two roofs (the smooth knee comes with calibration)
    Raises     DomainError when heads cannot be split over the group
    Source     docs/method.md; constants from the fit in EngineConstants
    """
    sequences = np.asarray(batch, dtype=float)
    group = serving.tensor_parallel_count
    if model.heads_count % group:
        raise DomainError(
            f"{model.name} has {model.heads_count} attention heads; tensor_parallel_count {group} does not divide them."
        )
    kv_per_gpu = kv_bytes_per_sequence(model, context_tokens, serving.kv_precision, group)
    touched = touched_weight_bytes(model, serving, sequences)
    memory_s = (touched / group + sequences * kv_per_gpu) / (
        gpu.hbm_bytes_per_s * constants.bandwidth_efficiency_fraction
    )
    linear_s = FLOP_PER_PARAM_AND_TOKEN * model.active_params_count / gpu.peak_flop_per_s(serving.weight_precision)
    attention_s = attention_flop(
        model, context_tokens - 0.5, context_tokens + 0.5, decoding=True
    ) / gpu.peak_flop_per_s(Precision.BF16)
    compute_s = sequences * (linear_s + attention_s) / (group * constants.compute_efficiency_fraction)
    overhead_s = model.layers_count * constants.layer_overhead_s
    return np.maximum(memory_s, compute_s) + link_s(model, gpu, group, sequences, constants) + overhead_s


def link_s(model: ModelSpec, gpu: GpuSpec, group: int, tokens: ArrayLike, constants: EngineConstants) -> Floats:
    """Time of the all-reduces of one step over a tensor-parallel group.

    Equation   2 L [2 (g - 1)/g x n h b / (l e_l / 2) + t_hop log2 g]
    Symbols    n tokens in the step   h hidden size   b 2 bytes   l link rate, both directions [byte/s]   t_hop one hop
    Returns    [s], shape of `tokens`; 0 for one GPU
    Valid for  one node; a GPU without a GPU-to-GPU link goes over PCIe
    Raises     nothing
    Source     docs/method.md
    """
    count = np.asarray(tokens, dtype=float)
    if group == 1:
        return np.zeros_like(count)
    one_way = (gpu.link_bytes_per_s or gpu.host_link_bytes_per_s) / 2 * constants.link_efficiency_fraction
    moved = 2 * (group - 1) / group * count * model.hidden_size_count * ACTIVATION_BYTES_PER_ELEMENT
    per_reduce_s = moved / one_way + constants.link_hop_s * np.log2(group)
    return np.asarray(ALL_REDUCES_PER_LAYER * model.layers_count * per_reduce_s)
