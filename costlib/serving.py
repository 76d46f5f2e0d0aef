"""How a model is served: the part of a vLLM command line that changes the bill."""

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from costlib.errors import DomainError
from costlib.hardware import Precision
from costlib.speculation import Speculation

# Bytes per parameter by weight format. int4 has one bf16 scale and zero point per 128 weights, and keeps embeddings
# in 16 bit (domain_math 5.1: about 0.52); fp4 has one 8-bit scale per 16 weights.
WEIGHT_BYTES_PER_PARAM = {
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    Precision.INT8: 1.0,
    Precision.INT4: 0.52,
    Precision.FP4: 0.5625,
}
KV_BYTES_PER_ELEMENT = {Precision.BF16: 2.0, Precision.FP8: 1.0}
# Bytes that a step moves for each byte of weights stored, where the kernel unpacks them into memory and reads them
# again; 1 for every other method. From bitsandbytes over 16 bit in the same engine, one sequence on an A100: NF4 takes
# 1.9 times as long, INT8 6 times (premAI benchmarks; two models each). At large batches assumed.
WEIGHT_TRAFFIC_RATIO = {("bitsandbytes", Precision.INT4): 7.3, ("bitsandbytes", Precision.INT8): 12.0}


class Batching(StrEnum):
    CONTINUOUS = "continuous"  # a sequence that ends makes room for the next at once
    STATIC = "static"  # a batch runs until its longest answer ends


class Role(StrEnum):
    """What a pool of replicas does of a request: all of it, or one half where prefill and decode are apart."""

    BOTH = "both"
    PREFILL = "prefill"
    DECODE = "decode"


_PARALLEL = ("tensor_parallel_count", "pipeline_parallel_count", "data_parallel_attention_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """Settings of one replica. The defaults are those of vLLM 0.32 on a GPU of 70 GiB or more.

    `prefix_hit_fraction` is the share of prompt tokens found in the prefix cache; `target_busy_fraction` how full a
    replica may run at the peak hour. `stated_weights_bytes` is the checkpoint's size where it is known.
    `data_parallel_attention_count` groups of GPUs each hold the attention weights and the KV cache of their own
    sequences; experts are spread over all of them. `kv_used_fraction` is the share of KV memory that can hold tokens:
    1 when it is paged, less when each sequence reserves its longest. `max_chunk_tokens` bounds a prompt's share of a
    step (`--long-prefill-token-threshold`); 0 leaves it to max_num_batched_tokens. `speculation` drafts nothing unless
    it says so.

    `quantization` is vLLM's name of the method behind `weight_precision`, as `--quantization` takes it: fp8, awq, gptq,
    bitsandbytes, modelopt_fp4, compressed-tensors; "" leaves it to the checkpoint. `host_kv_bytes` of host memory for
    each GPU hold KV blocks that it dropped, and `host_hit_fraction` is the share found there of the prompt tokens that
    its own cache misses. `role` is `both` unless prefill and decode are apart; then a prompt's KV cache goes from one
    pool to the other at `kv_transfer_bytes_per_s`.
    """

    weight_precision: Precision = Precision.BF16
    kv_precision: Precision = Precision.BF16
    tensor_parallel_count: int = 1
    pipeline_parallel_count: int = 1
    data_parallel_attention_count: int = 1
    max_num_seqs: int = 1024
    max_num_batched_tokens: int = 8192
    gpu_memory_utilization: float = 0.92
    prefix_hit_fraction: float = 0.0
    target_busy_fraction: float = 0.8
    min_replicas_count: int = 1
    stated_weights_bytes: float | None = None
    batching: Batching = Batching.CONTINUOUS
    kv_used_fraction: float = 1.0
    max_chunk_tokens: int = 0
    speculation: Speculation = field(default_factory=Speculation)
    quantization: str = ""
    host_kv_bytes: float = 0.0
    host_hit_fraction: float = 0.0
    role: Role = Role.BOTH
    kv_transfer_bytes_per_s: float = 0.0

    def __post_init__(self) -> None:
        if self.kv_precision not in KV_BYTES_PER_ELEMENT:
            raise DomainError(f"kv_precision must be bf16 or fp8, not {self.kv_precision}.")
        for name in (*_PARALLEL, "max_num_seqs", "max_num_batched_tokens"):
            if not 1 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        if self.stated_weights_bytes is not None and not 0 < self.stated_weights_bytes < inf:
            raise DomainError(f"stated_weights_bytes must be above 0, not {self.stated_weights_bytes}.")
        if not 0 <= self.min_replicas_count < inf:
            raise DomainError(f"min_replicas_count must be 0 or more, not {self.min_replicas_count}.")
        for name in ("gpu_memory_utilization", "target_busy_fraction", "kv_used_fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise DomainError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}.")
        if not 0 <= self.max_chunk_tokens < inf:
            raise DomainError(f"max_chunk_tokens must be 0 (no bound) or more, not {self.max_chunk_tokens}.")
        if not 0 <= self.prefix_hit_fraction <= 1:
            raise DomainError(f"prefix_hit_fraction is a share from 0 to 1, not {self.prefix_hit_fraction}.")
        for name in ("host_kv_bytes", "kv_transfer_bytes_per_s"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 (none) or more, not {getattr(self, name)}.")
        if not 0 <= self.host_hit_fraction <= 1:
            raise DomainError(f"host_hit_fraction is a share from 0 to 1, not {self.host_hit_fraction}.")
        if self.host_hit_fraction and not self.host_kv_bytes:
            raise DomainError("host_hit_fraction needs host memory to be found in: state host_kv_bytes.")
        if (self.role == Role.PREFILL) != (self.kv_transfer_bytes_per_s > 0):
            raise DomainError("kv_transfer_bytes_per_s belongs to a prefill pool, which needs it above 0.")

    @property
    def reloaded_fraction(self) -> float:
        """Share of all prompt tokens that come from host memory."""
        return (1 - self.prefix_hit_fraction) * self.host_hit_fraction

    @property
    def reused_fraction(self) -> float:
        """Share of prompt tokens that are not computed: found on the GPU or in host memory."""
        return self.prefix_hit_fraction + self.reloaded_fraction

    @property
    def weight_traffic_ratio(self) -> float:
        """Bytes moved for each byte of weights stored: 1 unless the method's kernel unpacks them into memory."""
        return WEIGHT_TRAFFIC_RATIO.get((self.quantization, self.weight_precision), 1.0)

    @property
    def chunk_tokens(self) -> int:
        """Most tokens of one prompt in a step."""
        return min(self.max_num_batched_tokens, self.max_chunk_tokens or self.max_num_batched_tokens)

    @property
    def gpus_per_dense_copy_count(self) -> int:
        """GPUs that share one copy of the weights outside the experts."""
        return self.tensor_parallel_count * self.pipeline_parallel_count

    @property
    def gpus_count(self) -> int:
        """GPUs of one replica."""
        return self.gpus_per_dense_copy_count * self.data_parallel_attention_count
