"""The step-time model of a continuous-batching engine. Every argument may be a number or an array; they broadcast.

One deployment over all its batches, a million configurations, and one row for each published measurement are the same
call. docs/method.md has the equations in one place; `engine_table` says where the constants come from.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.hardware import GpuSpec, Precision
from costlib.kvcache import (
    dense_precision,
    layer_kv_bytes_per_token,
    layer_share,
    usable_bytes_per_gpu,
    weight_bytes_by_part,
)
from costlib.models import AttentionKind, ModelSpec
from costlib.roofline import FLOP_PER_PARAM_AND_TOKEN, Floats, flop_per_pair, touched_fraction
from costlib.serving import WEIGHT_BYTES_PER_PARAM, ServingConfig
from costlib.units import MEGA

Amount = float | NDArray[np.floating[Any]]

ALL_REDUCES_PER_LAYER = 2.0
ACTIVATION_BYTES_PER_ELEMENT = 2.0
HEAD_BYTES_PER_PARAM = 2.0
VOCABULARY_COUNT = 128_000.0  # assumed for all models; only the output layer's size follows from it
CROWDED_PAIRS = 512.0  # (sequence, head) pairs on a GPU


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EngineInputs:
    """What model, GPU and settings contribute to a step; see `engine_inputs`. Bytes and FLOPs of attention are of one
    GPU, weights of the whole replica, peaks those of the data sheet."""

    dense_params_count: Amount  # all that every token passes through
    dense_bytes: Amount
    head_bytes: Amount  # what the output layer takes above the weight format: it stays in 16 bit
    expert_params_count: Amount
    expert_bytes: Amount
    experts_ratio: Amount  # experts per token over experts; 0 for a dense model
    layers_count: Amount
    hidden_size_count: Amount
    heads_count: Amount
    kv_bytes_per_token: Amount
    window_kv_bytes_per_token: Amount  # layers that see the last `window_tokens` only
    window_tokens: Amount
    state_bytes: Amount  # of linear attention, per sequence
    prefill_attention_flop: Amount  # per prompt token and token of context
    prefill_window_attention_flop: Amount
    decode_attention_flop: Amount
    decode_window_attention_flop: Amount
    tensor_parallel_count: Amount
    pipeline_parallel_count: Amount
    data_parallel_count: Amount  # of attention; experts are spread over all GPUs
    usable_hbm_bytes: Amount  # of one GPU, for weights and KV cache
    hbm_bytes_per_s: Amount
    dense_flop_per_s: Amount
    expert_flop_per_s: Amount
    attention_flop_per_s: Amount
    link_bytes_per_s: Amount  # one way
    chunk_tokens: Amount  # most prompt tokens in a step
    attended_tokens: Amount = np.inf  # sparse attention reads no more than this
    distinct_sequences_count: Amount = np.inf  # a benchmark that repeats prompts touches fewer experts
    draft_tokens: Amount = 0.0  # that a sequence has verified in a step beside its own token
    step_tokens: Amount = 1.0  # what a sequence gains in a step: its own token and the drafts accepted
    draft_params_count: Amount = 0.0
    draft_bytes: Amount = 0.0
    draft_layers_count: Amount = 0.0
    draft_kv_bytes_per_token: Amount = 0.0  # on one GPU

    @property
    def gpus_count(self) -> Amount:
        return self.tensor_parallel_count * self.pipeline_parallel_count * self.data_parallel_count


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EngineConstants:
    """What the data sheet does not say, resolved for one deployment (or one value per row).

    Ratios compare with the fraction above them. `step_low_ratio` and `step_high_ratio` bound measured over modelled
    step time for 80 % of measurements. The defaults are the data sheet as it stands: nothing lost, nothing fixed.
    """

    dense_compute_fraction: Amount = 1.0
    expert_compute_fraction: Amount = 1.0
    attention_compute_fraction: Amount = 1.0
    bandwidth_fraction: Amount = 1.0
    dense_read_ratio: Amount = 1.0
    expert_read_ratio: Amount = 1.0
    kv_read_ratio: Amount = 1.0
    crowded_kv_read_ratio: Amount = 1.0
    knee_ratio: Amount = np.inf
    link_fraction: Amount = 1.0
    link_cost_ratio: Amount = 1.0
    link_group_exponent_ratio: Amount = 0.0
    all_reduce_s: Amount = 0.0
    all_reduce_sqrt_s: Amount = 0.0
    layer_s: Amount = 0.0
    step_s: Amount = 0.0
    sequence_s: Amount = 0.0
    front_s: Amount = 0.0
    prefill_ratio: Amount = 1.0
    buffered_tokens: Amount = 0.0
    burst_ratio: Amount = 0.0
    waited_steps_ratio: Amount = 0.5
    step_low_ratio: float = 1.0
    step_high_ratio: float = 1.0
    basis: Basis = Basis.ASSUMED

    def __post_init__(self) -> None:
        for name in _AMOUNTS:
            value = getattr(self, name)
            most = 1.0 if name.endswith("_fraction") else np.inf
            within = (value >= 0) & (value <= most) & (value > 0 if name in _DIVISORS else True)
            if within is not True and not np.all(within):
                low = "above 0" if name in _DIVISORS else "0 or more"
                high = "" if most == np.inf else f" and at most {most:g}"
                raise DomainError(f"{name} must be {low}{high}, not {value}.")


_AMOUNTS = tuple(field.name for field in fields(EngineConstants) if field.name != "basis")
_DIVISORS = {name for name in _AMOUNTS if name.endswith("_fraction") or "read" in name}


def engine_inputs(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig) -> EngineInputs:
    """What the step needs to know of one deployment.

    Equation   routed parameters (P - P_a) / (1 - k/E), the rest dense; KV and attention FLOPs per layer group and GPU
    Returns    EngineInputs of numbers, exact for the layout given
    Valid for  decoder models; windows of several sizes are taken as the largest
    Raises     DomainError when heads cannot be split, the GPU cannot compute in the weight format, or the settings
               contradict the model
    Source     docs/method.md
    Example    DeepSeek V3: 654 B of 671 B parameters are routed, one token in 32 of them
    >>> of = engine_inputs(catalog.model("deepseek-v3"), catalog.gpu("h200-sxm"), ServingConfig(
    ...     weight_precision=Precision.FP8, tensor_parallel_count=8))
    >>> round(of.expert_params_count / 1e9), of.experts_ratio
    (654, 0.03125)
    """
    group, stages = serving.tensor_parallel_count, serving.pipeline_parallel_count
    if model.heads_count % group:
        raise DomainError(
            f"{model.name} has {model.heads_count} attention heads; tensor_parallel_count {group} does not divide them."
        )
    dense_bytes, expert_bytes = weight_bytes_by_part(model, serving)
    precision = serving.weight_precision
    cached = {"full": 0.0, "window": 0.0}
    prefill_flop, decode_flop = dict(cached), dict(cached)
    state_bytes = window = 0.0
    for layers in model.attention:
        if layers.kind is AttentionKind.LINEAR:
            state_bytes += layers.layers_count * layers.state_bytes / (group * stages)
            continue
        span = "window" if layers.kind is AttentionKind.SLIDING else "full"
        window = max(window, float(layers.window_tokens))
        cached[span] += layer_kv_bytes_per_token(layers, serving.kv_precision) * layer_share(layers, group) / stages
        pairs = layers.layers_count * model.heads_count / (group * stages)
        prefill_flop[span] += pairs * flop_per_pair(layers, decoding=False)
        decode_flop[span] += pairs * flop_per_pair(layers, decoding=True)
    return EngineInputs(
        dense_params_count=model.total_params_count - model.routed_params_count,
        dense_bytes=dense_bytes,
        head_bytes=0.0
        if model.is_moe
        else VOCABULARY_COUNT * model.hidden_size_count * (HEAD_BYTES_PER_PARAM - WEIGHT_BYTES_PER_PARAM[precision]),
        expert_params_count=model.routed_params_count,
        expert_bytes=expert_bytes,
        experts_ratio=model.active_experts_count / model.experts_count if model.is_moe else 0.0,
        layers_count=float(model.layers_count),
        hidden_size_count=float(model.hidden_size_count),
        heads_count=float(model.heads_count),
        kv_bytes_per_token=cached["full"],
        window_kv_bytes_per_token=cached["window"],
        window_tokens=window,
        state_bytes=state_bytes,
        prefill_attention_flop=prefill_flop["full"],
        prefill_window_attention_flop=prefill_flop["window"],
        decode_attention_flop=decode_flop["full"],
        decode_window_attention_flop=decode_flop["window"],
        tensor_parallel_count=float(group),
        pipeline_parallel_count=float(stages),
        data_parallel_count=float(serving.data_parallel_attention_count),
        usable_hbm_bytes=usable_bytes_per_gpu(model, gpu, serving),
        hbm_bytes_per_s=gpu.hbm_bytes_per_s,
        dense_flop_per_s=gpu.peak_flop_per_s(dense_precision(model, serving)),
        expert_flop_per_s=gpu.peak_flop_per_s(precision),
        attention_flop_per_s=gpu.peak_flop_per_s(Precision.BF16),
        link_bytes_per_s=(gpu.link_bytes_per_s or gpu.host_link_bytes_per_s) / 2,
        chunk_tokens=float(serving.chunk_tokens),
        draft_tokens=float(serving.speculation.draft_tokens),
        step_tokens=serving.speculation.step_tokens,
        draft_params_count=serving.speculation.draft_params_count,
        draft_bytes=serving.speculation.draft_bytes,
        draft_layers_count=float(serving.speculation.draft_layers_count),
        draft_kv_bytes_per_token=serving.speculation.kv_bytes_per_token / group,
    )


def step_s(
    inputs: EngineInputs,
    constants: EngineConstants,
    decode_sequences: Any,
    context_tokens: Any,
    prefill_tokens: Any = 0.0,
    prefill_context_tokens: Any = 0.0,
) -> Floats:
    """Time of one step that gives each decoding sequence a token and computes some prompt tokens.

    Equation   t = p (m^q + c^q)^(1/q) + links + L t_L + t_0 + n_d (k + 1) t_s + k t_draft
               m = [W_d/(g p r_d) + W_e touched/(G r_e) + n_d/(p D) K(s)/r_kv] / (M e_m)
               c = [2 n P_d/(g D p) / (C_d e_d) + 2 n P_e k/E / G / (C_e e_e) + A / (C_16 e_a)] / p
    Symbols    n_d sequences   n tokens: n_d (k + 1) with k drafted, and prompts' tokens   s context [token]
               G = g p D GPUs: tensor, pipeline and data parallel   W_d, W_e weights outside and inside experts
               touched 1 - (1 - k/E)^n with k of E experts for a token
               K(s) KV bytes of a sequence on one GPU   A attention FLOPs there   q = 1 + knee: hard maximum at infinity
               M bandwidth, C peaks, e and r what of them is reached   t fixed costs of a layer, a step, a sampled token
    Returns    [s], broadcast shape, basis of `constants`
    Valid for  steady decoding with chunked prefill; a pipeline of p stages keeps p batches of n/p in flight
    Raises     nothing
    Source     docs/method.md; fitted to published measurements, docs/accuracy.md
    """
    decoding, prompts = np.asarray(decode_sequences, dtype=float), np.asarray(prefill_tokens, dtype=float)
    stages = inputs.pipeline_parallel_count
    verified = decoding * (1 + inputs.draft_tokens)
    body_s = stages * _smooth_max(
        _memory_s(inputs, constants, decoding / stages, prompts / stages, context_tokens),
        _compute_s(inputs, constants, verified / stages, prompts / stages, context_tokens, prefill_context_tokens),
        1 + constants.knee_ratio,
    )
    fixed_s = inputs.layers_count * constants.layer_s + constants.step_s + verified * constants.sequence_s
    passes_s = inputs.draft_tokens * _draft_pass_s(inputs, constants, decoding, context_tokens)
    return np.asarray(body_s + links_s(inputs, constants, (verified + prompts) / stages) + fixed_s + passes_s)


def _draft_pass_s(inputs: EngineInputs, constants: EngineConstants, decoding: Floats, context_tokens: Any) -> Floats:
    """One token drafted for each sequence; 0 where drafts are looked up. Its collectives are small and left out."""
    moved = inputs.draft_bytes / inputs.tensor_parallel_count + (
        decoding / inputs.data_parallel_count * inputs.draft_kv_bytes_per_token * context_tokens
    )
    flop = FLOP_PER_PARAM_AND_TOKEN * decoding * inputs.draft_params_count
    flop_per_s = inputs.attention_flop_per_s * constants.dense_compute_fraction  # 16 bit
    busy_s = np.maximum(
        moved / (inputs.hbm_bytes_per_s * constants.bandwidth_fraction),
        flop / (inputs.tensor_parallel_count * inputs.data_parallel_count * flop_per_s),
    )
    return np.asarray(np.where(decoding > 0, busy_s + inputs.draft_layers_count * constants.layer_s, 0.0))


def _smooth_max(one: Any, other: Any, power: Amount) -> Floats:
    larger, smaller = np.maximum(one, other), np.minimum(one, other)
    ratio = np.divide(smaller, larger, out=np.zeros_like(larger), where=larger > 0)
    return np.asarray(larger * (1 + ratio**power) ** (1 / power))


def attended(inputs: EngineInputs, tokens: Any, full: Amount, window: Amount) -> Floats:
    """`full` for each of `tokens` tokens of context and `window` for those inside the window."""
    seen = np.minimum(tokens, inputs.attended_tokens)
    return np.asarray(full * seen + window * np.minimum(seen, inputs.window_tokens))


def _memory_s(
    inputs: EngineInputs, constants: EngineConstants, decoding: Floats, prompts: Floats, context_tokens: Any
) -> Floats:
    distinct = np.minimum(decoding, inputs.distinct_sequences_count) * (1 + inputs.draft_tokens) + prompts
    touched = touched_fraction(inputs.experts_ratio, distinct)
    slices = inputs.tensor_parallel_count * inputs.pipeline_parallel_count
    weights = (inputs.dense_bytes + inputs.head_bytes) / slices / constants.dense_read_ratio
    experts = inputs.expert_bytes * touched / inputs.gpus_count / constants.expert_read_ratio
    mine = decoding / inputs.data_parallel_count
    one = inputs.state_bytes + attended(
        inputs, context_tokens, inputs.kv_bytes_per_token, inputs.window_kv_bytes_per_token
    )
    crowded = decoding * inputs.heads_count / inputs.tensor_parallel_count > CROWDED_PAIRS
    read_ratio = constants.kv_read_ratio * np.where(crowded, constants.crowded_kv_read_ratio, 1.0)
    return np.asarray(
        (weights + experts + mine * one / read_ratio) / (inputs.hbm_bytes_per_s * constants.bandwidth_fraction)
    )


def _compute_s(
    inputs: EngineInputs,
    constants: EngineConstants,
    decoding: Floats,
    prompts: Floats,
    context_tokens: Any,
    prefill_context_tokens: Any,
) -> Floats:
    tokens = decoding + prompts
    dense = FLOP_PER_PARAM_AND_TOKEN * tokens * inputs.dense_params_count / inputs.gpus_count
    experts = FLOP_PER_PARAM_AND_TOKEN * tokens * inputs.expert_params_count * inputs.experts_ratio / inputs.gpus_count
    attention = (
        decoding
        * attended(inputs, context_tokens, inputs.decode_attention_flop, inputs.decode_window_attention_flop)
        + prompts
        * attended(
            inputs, prefill_context_tokens, inputs.prefill_attention_flop, inputs.prefill_window_attention_flop
        )
    ) / inputs.data_parallel_count  # fmt: skip
    return np.asarray(
        dense / (inputs.dense_flop_per_s * constants.dense_compute_fraction)
        + experts / (inputs.expert_flop_per_s * constants.expert_compute_fraction)
        + attention / (inputs.attention_flop_per_s * constants.attention_compute_fraction)
    )


def links_s(inputs: EngineInputs, constants: EngineConstants, tokens: Any) -> Floats:
    """Time of the collectives of one step: two per layer over the group that shares a layer.

    Equation   2 L a [V/l + t_ar sqrt(log2 g) + t_1 sqrt(V)],   V = 2 (g - 1)/g n h b
    Symbols    n tokens   h hidden size   b 2 bytes   l reached link rate one way [byte/s]   t_1 per sqrt of a megabyte
               g GPUs of a layer, data-parallel attention included   a cost of the generation's link; over PCIe it
               rises with (g/2)^x
    Returns    [s], broadcast shape; 0 for one GPU
    Valid for  one node
    Raises     nothing
    Source     docs/method.md
    """
    group = inputs.tensor_parallel_count * inputs.data_parallel_count
    moved = (
        2 * (group - 1) / group * np.asarray(tokens, dtype=float)
        * inputs.hidden_size_count * ACTIVATION_BYTES_PER_ELEMENT
    )  # fmt: skip
    cost = constants.link_cost_ratio * (np.maximum(inputs.tensor_parallel_count, 2) / 2) ** (
        constants.link_group_exponent_ratio
    )
    each_s = moved / (inputs.link_bytes_per_s * constants.link_fraction) + np.where(
        np.asarray(group) > 1,
        constants.all_reduce_s * np.sqrt(np.log2(group)) + constants.all_reduce_sqrt_s * np.sqrt(moved / MEGA),
        0.0,
    )
    return np.asarray(ALL_REDUCES_PER_LAYER * inputs.layers_count * cost * each_s)


def steady_tpot_s(
    inputs: EngineInputs,
    constants: EngineConstants,
    sequences: Any,
    context_tokens: Any,
    prompt_tokens: Any,
    output_tokens: Any,
    *,
    cached_tokens: Any = 0.0,
    own_prompts: Any = 1.0,
) -> Floats:
    """Mean time between two tokens of a sequence while prompts of the others ride along.

    Equation   t E = step(B) + n/l [step(B + l prompt tokens) - step(B)],   n = (B - own) E I/O,
               l = max(min(I, chunk), n),   E tokens a step yields: 1, more with drafts
    Symbols    B sequences   I prompt tokens computed, after `cached_tokens` from the prefix cache   O output tokens
               l tokens that ride along at once   own 1: what a sequence feels of the others; 0: what the GPU spends
    Returns    [s], broadcast shape
    Valid for  steady continuous batching with chunked prefill
    Raises     nothing
    Source     docs/method.md; Agrawal et al., Sarathi-Serve, OSDI 2024
    """
    prompt = np.asarray(prompt_tokens, dtype=float)
    base_s = step_s(inputs, constants, sequences, context_tokens)
    per_step = np.maximum(np.asarray(sequences, dtype=float) - own_prompts, 0) * prompt / output_tokens
    per_step = per_step * inputs.step_tokens
    lump = np.maximum(np.maximum(np.minimum(prompt, inputs.chunk_tokens), per_step), 1.0)
    with_prompts_s = step_s(inputs, constants, sequences, context_tokens, lump, cached_tokens + prompt / 2)
    return np.asarray((base_s + per_step / lump * (with_prompts_s - base_s)) / inputs.step_tokens)


def prefill_s(inputs: EngineInputs, constants: EngineConstants, prompt_tokens: Any, cached_tokens: Any = 0.0) -> Floats:
    """Time to compute one prompt alone, in chunks.

    Equation   I/l step(0, l prompt tokens at context I_c + I/2),   l = min(I, chunk)
    Symbols    I prompt tokens computed   I_c prompt tokens found in the prefix cache
    Returns    [s], broadcast shape; 0 without a prompt
    Valid for  an engine that does nothing else
    Raises     nothing
    Source     docs/method.md
    """
    prompt = np.asarray(prompt_tokens, dtype=float)
    lump = np.maximum(np.minimum(prompt, inputs.chunk_tokens), 1.0)
    return np.asarray(prompt / lump * step_s(inputs, constants, 0.0, 0.0, lump, cached_tokens + prompt / 2))


def kv_sequences(inputs: EngineInputs, tokens: Any) -> Floats:
    """Sequences of `tokens` resident tokens whose KV cache fits beside the weights; below 1 where none does.

    Equation   D (usable - W_d/(g p) - W_e/G) / K(s)
    Returns    [1], not rounded; negative where not even the weights fit
    Valid for  weights split evenly; block rounding is the caller's (`kvcache.BLOCK_TOKENS`)
    Raises     nothing
    Source     docs/method.md
    """
    slices = inputs.tensor_parallel_count * inputs.pipeline_parallel_count
    pool = inputs.usable_hbm_bytes - inputs.dense_bytes / slices - inputs.expert_bytes / inputs.gpus_count
    one = inputs.state_bytes + attended(inputs, tokens, inputs.kv_bytes_per_token, inputs.window_kv_bytes_per_token)
    one = one + inputs.draft_kv_bytes_per_token * tokens
    return np.asarray(inputs.data_parallel_count * pool / np.maximum(one, 1.0))
