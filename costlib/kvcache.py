"""KV cache: what a token costs in memory, and how many sequences fit beside the weights."""

from costlib.errors import DoesNotFit
from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.serving import KV_BYTES_PER_ELEMENT, WEIGHT_BYTES_PER_PARAM, Role, ServingConfig
from costlib.units import GIBI

BLOCK_TOKENS = 16  # vLLM's block on GPUs; a sequence wastes (block - 1) / 2 tokens on average

# Per GPU, assumed: CUDA context, graphs and collectives 2 GiB; live activations of a step about 8 bf16 buffers of the
# hidden size per scheduled token. Together 3 GB for a 70B at 8,192 tokens per step, as the lesson's worked answer uses.
FIXED_RESERVE_BYTES = 2 * GIBI
ACTIVATION_BYTES_PER_HIDDEN = 16.0
HOST_LINK_REACHED_FRACTION = 0.8  # of the sheet's rate one way, by copies of whole blocks; assumed


def kv_bytes_per_token(model: ModelSpec, precision: Precision = Precision.BF16) -> float:
    """KV cache that one more token adds while every sliding window still has room.

    Equation   sum over layer groups of  2 L H_kv d b  (full, sliding)  or  L (r + d_r) b  (MLA);  linear layers add 0
    Symbols    L layers [1]   H_kv KV heads [1]   d head size [1]   r latent rank [1]   d_r rotary size [1]
               b bytes per element [byte]
    Returns    [byte/token], exact for the layout given
    Valid for  decoder attention; block rounding is in `concurrent_sequences`
    Raises     KeyError for a precision without a KV format (ServingConfig refuses it first)
    Source     Kwon et al., PagedAttention, SOSP 2023; DeepSeek-V2 report for MLA; docs/method.md
    Example    2 x 32 x 8 x 128 x 2 bytes; DeepSeek V3: 61 x (512 + 64) x 2 (domain_math §14, vectors 6 and 8)
    >>> kv_bytes_per_token(catalog.model("llama-3.1-8b")), kv_bytes_per_token(catalog.model("deepseek-v3"))
    (131072.0, 70272.0)
    """
    return sum(layer_kv_bytes_per_token(group, precision) for group in model.attention)


def layer_kv_bytes_per_token(group: AttentionLayers, precision: Precision) -> float:
    """The same of one group of layers; 0 for linear attention, whose state has a constant size [byte/token]."""
    element_bytes = KV_BYTES_PER_ELEMENT[precision]
    if group.kind is AttentionKind.LINEAR:
        return 0.0
    if group.kind is AttentionKind.MLA:
        return group.layers_count * (group.latent_rank_count + group.rope_dim_count) * element_bytes
    return 2.0 * group.layers_count * group.kv_heads_count * group.head_dim_count * element_bytes


def kv_bytes_per_sequence(
    model: ModelSpec, tokens: float, precision: Precision = Precision.BF16, tensor_parallel_count: int = 1
) -> float:
    """KV cache of one sequence of `tokens` tokens on each GPU of a tensor-parallel group.

    Equation   sum over groups of  bytes per token x min(tokens, window) x share  +  L x state x share
    Symbols    share = 1/g for KV heads (never below 1/H_kv: heads are replicated when g > H_kv); 1 for an MLA latent,
               which every rank holds whole
    Returns    [byte] on one GPU
    Valid for  tokens >= 0; vLLM's tensor parallelism
    Raises     nothing
    Source     docs/method.md
    Example    half a GiB for 4,096 tokens of Llama 3.1 8B (domain_math §14, vector 6)
    >>> kv_bytes_per_sequence(catalog.model("llama-3.1-8b"), 4096) / GIBI
    0.5
    """
    total = 0.0
    for group in model.attention:
        held = min(tokens, group.window_tokens) if group.kind is AttentionKind.SLIDING else tokens
        if group.kind is AttentionKind.LINEAR:
            total += group.layers_count * group.state_bytes / tensor_parallel_count
        else:
            total += layer_kv_bytes_per_token(group, precision) * held * layer_share(group, tensor_parallel_count)
    return total


def sequence_bytes_per_gpu(model: ModelSpec, serving: ServingConfig, tokens: float) -> float:
    """KV cache of one sequence on one GPU of its group, that of a model which drafts included [byte]."""
    own = kv_bytes_per_sequence(model, tokens, serving.kv_precision, serving.tensor_parallel_count)
    drafter = serving.speculation.kv_bytes_per_token * tokens / serving.tensor_parallel_count
    return own / serving.pipeline_parallel_count + drafter


def reload_s(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, prompt_tokens: float) -> float:
    """Time in which the part of a prompt's KV cache that lies in host memory comes back to the GPUs.

    Equation   f s kv / (e M_h / 2)
    Symbols    f reloaded_fraction   s prompt tokens   kv KV bytes per token on one GPU   M_h host link, both directions
               e HOST_LINK_REACHED_FRACTION
    Returns    [s], assumed; 0 without host hits
    Valid for  each GPU with a host link of its own; it pays where computing the same tokens takes longer
    Raises     nothing
    Source     domain_math §6.5
    Example    half of 1,000 prompt tokens of Llama 3.1 8B over 64 GB/s each way, 80 % reached: 65.5 MB in 1.28 ms
    >>> offloaded = ServingConfig(host_kv_bytes=64 * GIBI, host_hit_fraction=0.5)
    >>> round(reload_s(catalog.model("llama-3.1-8b"), catalog.gpu("h100-sxm"), offloaded, 1000) * 1e3, 2)
    1.28
    """
    found = prompt_tokens * serving.reloaded_fraction
    if not found:
        return 0.0
    own = kv_bytes_per_sequence(model, found, serving.kv_precision, serving.tensor_parallel_count)
    each_way_bytes_per_s = gpu.host_link_bytes_per_s / 2 * HOST_LINK_REACHED_FRACTION
    return own / serving.pipeline_parallel_count / each_way_bytes_per_s


def transfer_s(model: ModelSpec, serving: ServingConfig, prompt_tokens: float) -> float:
    """Time in which a prompt's KV cache goes from a prefill pool to a decode pool; 0 where both are one [s].

    Equation   s kv / BW, each GPU of the group sending its own share
    Source     domain_math §8.5
    Example    1,000 prompt tokens of Llama 3.1 8B over 50 GB/s: 131 MB
    >>> apart = ServingConfig(role=Role.PREFILL, kv_transfer_bytes_per_s=50e9)
    >>> round(transfer_s(catalog.model("llama-3.1-8b"), apart, 1000), 6)
    0.002621
    """
    if serving.role != Role.PREFILL:
        return 0.0
    own = kv_bytes_per_sequence(model, prompt_tokens, serving.kv_precision, serving.tensor_parallel_count)
    return own / serving.pipeline_parallel_count / serving.kv_transfer_bytes_per_s


def layer_share(group: AttentionLayers, tensor_parallel_count: int) -> float:
    """Share of a sequence's KV cache that each GPU of a tensor-parallel group holds [1]."""
    if group.kind is AttentionKind.MLA:
        return 1.0
    return max(1.0 / tensor_parallel_count, 1.0 / group.kv_heads_count)


def weight_bytes(model: ModelSpec, serving: ServingConfig) -> float:
    """All weights as stored: the checkpoint's stated size, else parameters x bytes per parameter with scales [byte]."""
    return sum(weight_bytes_by_part(model, serving))


def weight_bytes_by_part(model: ModelSpec, serving: ServingConfig) -> tuple[float, float]:
    """Weights outside and inside the routed experts, as stored.

    Equation   (P - P_e) b_d,  P_e b;  a stated size is split in the same proportion
    Symbols    P_e routed parameters   b bytes per parameter, scales included   b_d the same outside experts: 16 bit
               where experts have 4
    Returns    [byte], [byte]
    Raises     nothing
    Source     docs/method.md
    Example    gpt-oss-20b: 13.8 GB as released; 13.4 from its 1.14 B and 19.78 B parameters
    >>> four_bit = ServingConfig(weight_precision=Precision.FP4)
    >>> [round(part / 1e9, 1) for part in weight_bytes_by_part(catalog.model("gpt-oss-20b"), four_bit)]
    [2.3, 11.1]
    """
    routed = model.routed_params_count
    dense = (model.total_params_count - routed) * WEIGHT_BYTES_PER_PARAM[dense_precision(model, serving)]
    experts = routed * WEIGHT_BYTES_PER_PARAM[serving.weight_precision]
    scale = 1.0 if serving.stated_weights_bytes is None else serving.stated_weights_bytes / (dense + experts)
    return dense * scale, experts * scale


def dense_precision(model: ModelSpec, serving: ServingConfig) -> Precision:
    """The format of the weights outside the experts: checkpoints with 4 bit experts keep the rest in 16."""
    four_bit = serving.weight_precision in (Precision.INT4, Precision.FP4)
    return Precision.BF16 if model.is_moe and four_bit else serving.weight_precision


def reserve_bytes_per_gpu(model: ModelSpec, serving: ServingConfig) -> float:
    """Memory per GPU that is neither weights nor KV cache: context, graphs, activations of one step,
    and the weights of a model that drafts [byte], assumed."""
    activations = ACTIVATION_BYTES_PER_HIDDEN * model.hidden_size_count * serving.max_num_batched_tokens
    return FIXED_RESERVE_BYTES + activations + serving.speculation.draft_bytes / serving.tensor_parallel_count


def usable_bytes_per_gpu(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig) -> float:
    """Memory of one GPU for weights and KV cache: HBM x utilisation - reserve [byte]; below 0 where there is none."""
    return gpu.hbm_bytes * serving.gpu_memory_utilization - reserve_bytes_per_gpu(model, serving)


def kv_pool_bytes_per_gpu(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig) -> float:
    """Memory of one GPU left for KV cache.

    Equation   pool = HBM x utilisation - reserve - W_d/(g p) - W_e/G
    Symbols    HBM gpu.hbm_bytes   W_d, W_e weights outside and inside experts
               g tensor and p pipeline parallel GPUs, G all of them
    Returns    [byte] on one GPU, above 0
    Valid for  weights split evenly over the group; no CPU offload
    Raises     DoesNotFit with what is needed, what is there and the smallest group that would do
    Source     docs/method.md
    """
    dense, experts = weight_bytes_by_part(model, serving)
    usable = usable_bytes_per_gpu(model, gpu, serving)
    pool = usable - dense / serving.gpus_per_dense_copy_count - experts / serving.gpus_count
    if pool <= 0:
        copies = serving.data_parallel_attention_count
        weights, there = dense * copies + experts, serving.gpus_count * max(usable, 0)
        enough = next((g for g in (1, 2, 4, 8, 16) if usable > 0 and weights / g < usable), None)
        remedy = f"use {enough} of them or fewer bits per weight" if enough else "use a GPU with more memory"
        raise DoesNotFit(
            f"{model.name} in {serving.weight_precision} does not fit {serving.gpus_count} x {gpu.name}: "
            f"weights need {weights / GIBI:,.0f} GiB, {(weights - there) / GIBI:,.1f} GiB more than the "
            f"{there / GIBI:,.1f} GiB that are usable; {remedy}."
        )
    return pool


def concurrent_sequences(model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, tokens: float) -> int:
    """Sequences of `tokens` mean resident length whose KV cache fits in a replica at once.

    Equation   B = D floor(u pool / KV bytes of (tokens + (block - 1) / 2))
    Symbols    D data-parallel attention groups, each with sequences of its own   u kv_used_fraction, 1 when paged
    Returns    [1], at least 1
    Valid for  means; a peak above the mean is preempted and recomputed by vLLM, which this does not price
    Raises     DoesNotFit when the weights, or a single sequence, do not fit
    Source     Kwon et al., SOSP 2023 (block rounding); docs/method.md
    """
    pool = kv_pool_bytes_per_gpu(model, gpu, serving) * serving.kv_used_fraction
    one = sequence_bytes_per_gpu(model, serving, tokens + (BLOCK_TOKENS - 1) / 2)
    fits = int(pool / one) if one else serving.max_num_seqs
    if fits < 1:
        raise DoesNotFit(
            f"one sequence of {tokens:,.0f} tokens of {model.name} needs {one / GIBI:.1f} GiB of KV cache per GPU; "
            f"{pool / GIBI:.1f} GiB are left on {serving.gpus_count} x {gpu.name}: "
            "use more GPUs, fp8 KV cache or shorter contexts."
        )
    return fits * serving.data_parallel_attention_count
