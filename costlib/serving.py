"""How a model is served: the part of a vLLM command line that changes the bill."""

from dataclasses import dataclass
from math import inf

from costlib.errors import DomainError
from costlib.hardware import Precision

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


_PARALLEL = ("tensor_parallel_count", "pipeline_parallel_count", "data_parallel_attention_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """Settings of one replica. The defaults are those of vLLM 0.32 on a GPU of 70 GiB or more.

    `prefix_hit_fraction` is the share of prompt tokens found in the prefix cache; `target_busy_fraction` how full a
    replica may run at the peak hour. `stated_weights_bytes` is the checkpoint's size where it is known.
    `data_parallel_attention_count` groups of GPUs each hold the attention weights and the KV cache of their own
    sequences; experts are spread over all of them.
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
        for name in ("gpu_memory_utilization", "target_busy_fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise DomainError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}.")
        if not 0 <= self.prefix_hit_fraction <= 1:
            raise DomainError(f"prefix_hit_fraction is a share from 0 to 1, not {self.prefix_hit_fraction}.")

    @property
    def gpus_per_dense_copy_count(self) -> int:
        """GPUs that share one copy of the weights outside the experts."""
        return self.tensor_parallel_count * self.pipeline_parallel_count

    @property
    def gpus_count(self) -> int:
        """GPUs of one replica."""
        return self.gpus_per_dense_copy_count * self.data_parallel_attention_count
