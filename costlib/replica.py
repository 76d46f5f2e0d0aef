"""One replica in steady state: the largest batch, what binds it, and how fast it answers at a given load."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from costlib.engine import EngineConstants, decode_step_s, prefill_s
from costlib.errors import DoesNotFit, DomainError
from costlib.hardware import GpuSpec
from costlib.kvcache import concurrent_sequences
from costlib.models import ModelSpec
from costlib.roofline import Floats
from costlib.serving import ServingConfig
from costlib.workload import Workload


class Bound(StrEnum):
    """What keeps the batch from growing."""

    MAX_NUM_SEQS = "max_num_seqs"
    KV_MEMORY = "kv_memory"
    MAX_NUM_BATCHED_TOKENS = "max_num_batched_tokens"
    MAX_TPOT = "max_tpot"


def resident_tokens(workload: Workload) -> float:
    """Mean context a running sequence holds, weighted by how long it runs.

    Equation   E[in] + E[out] (1 + cv^2) / 2
    Returns    [token]
    Valid for  output length independent of prompt length
    Source     domain_math 5.4 and vector 34
    Example    prompts of 1,000 and exponential outputs of mean 200 hold 1,200 tokens, not 1,100
    >>> resident_tokens(Workload(requests_per_s=1, mean_prompt_tokens=1000, mean_output_tokens=200))
    1200.0
    """
    return workload.mean_prompt_tokens + workload.mean_output_tokens * (1 + workload.output_cv_ratio**2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """Step time and request rate for every batch from 1 to the largest; arrays are aligned, batch = index + 1.

    `uncut_step_s` goes on to the batch that memory and settings allow, past the limit on time per token.
    """

    bound: Bound
    limits: tuple[tuple[Bound, int], ...]
    step_s: Floats
    requests_per_s: Floats
    uncut_step_s: Floats
    mean_output_tokens: float
    max_tpot_s: float | None
    prefill_s: float
    prefill_share_fraction: float  # of a step's time at the largest batch
    misses_tpot: bool  # even one sequence at a time is slower than asked for

    @property
    def batch_count(self) -> int:
        return len(self.step_s)

    @property
    def capacity_requests_per_s(self) -> float:
        return float(self.requests_per_s[-1])

    def capacity_if(self, time_ratio: float) -> float:
        """Capacity if every step took `time_ratio` times as long: `max_tpot_s` then binds at another batch.

        Returns    [request/s]
        """
        step_s = self.uncut_step_s * time_ratio
        most = _largest_batch(step_s, self.max_tpot_s)
        return float(most / (self.mean_output_tokens * step_s[most - 1]))

    def tpot_s(self, requests_per_s: float) -> float:
        """Time per output token at this request rate: the step time of the batch that the rate keeps running [s]."""
        return float(np.interp(requests_per_s, self.requests_per_s, self.step_s))

    def running_count(self, requests_per_s: float) -> float:
        """Mean sequences running at this rate (Little's law on the step curve); below one, the busy share."""
        rates = np.concatenate(([0.0], self.requests_per_s))
        return float(np.interp(requests_per_s, rates, np.arange(len(rates), dtype=float)))

    def ttft_s(self, requests_per_s: float) -> float:
        """Time to the first token at this request rate.

        Equation   t_step / 2 + t_p + r t_p / (2 (1 - r)),  r = rate x t_p
        Symbols    t_step running step to wait out   t_p prefill of one prompt   last term: M/D/1 queue of prefills
        Returns    [s]
        Valid for  Poisson arrivals below capacity; network and tokenisation excluded
        """
        load = min(requests_per_s * self.prefill_s, 0.99)
        queue_s = load * self.prefill_s / (2 * (1 - load))
        return self.tpot_s(requests_per_s) / 2 + self.prefill_s + queue_s


def solve_replica(
    model: ModelSpec,
    gpu: GpuSpec,
    serving: ServingConfig,
    workload: Workload,
    constants: EngineConstants,
    max_tpot_s: float | None = None,
) -> Replica:
    """The steady state of continuous batching on one replica.

    Equation   step(B) = decode_step(B) + B/O x prefill;   rate(B) = B / (O x step(B))
               B <= max_num_seqs,  KV memory / KV of one sequence,  max_num_batched_tokens / (1 + I_c/O),
               and step(B) <= max_tpot
    Symbols    O mean output tokens   I_c mean uncached prompt tokens: every output token brings I_c/O of them along
    Returns    a Replica
    Valid for  prefill chunks that share steps with decode (chunked prefill, vLLM's default) and do not overlap with it
    Raises     DoesNotFit, DomainError
    Source     docs/method.md; Agrawal et al., Sarathi-Serve, OSDI 2024
    """
    if workload.tokens_per_request > model.max_context_tokens:
        raise DomainError(
            f"requests of {workload.tokens_per_request:,.0f} tokens exceed the {model.max_context_tokens:,} that "
            f"{model.name} can hold; use a model with a longer context or shorten prompts."
        )
    outputs = workload.mean_output_tokens
    uncached_per_output = workload.mean_prompt_tokens * (1 - serving.prefix_hit_fraction) / outputs
    limits = {
        Bound.MAX_NUM_SEQS: serving.max_num_seqs,
        Bound.KV_MEMORY: concurrent_sequences(model, gpu, serving, resident_tokens(workload)),
        Bound.MAX_NUM_BATCHED_TOKENS: int(serving.max_num_batched_tokens / (1 + uncached_per_output)),
    }
    most = min(limits.values())
    if most < 1:
        raise DoesNotFit(
            f"max_num_batched_tokens {serving.max_num_batched_tokens} is too small: each output token brings "
            f"{uncached_per_output:,.0f} prompt tokens with it; raise it above {1 + uncached_per_output:,.0f}."
        )
    batch = np.arange(1, most + 1, dtype=float)
    one_prefill_s = prefill_s(model, gpu, serving, workload.mean_prompt_tokens, constants)
    decode_s = decode_step_s(model, gpu, serving, batch, resident_tokens(workload), constants)
    uncut_step_s = decode_s + batch / outputs * one_prefill_s
    most = _largest_batch(uncut_step_s, max_tpot_s)
    step_s = uncut_step_s[:most]
    if max_tpot_s is not None:
        limits[Bound.MAX_TPOT] = int(np.searchsorted(uncut_step_s, max_tpot_s, side="right"))
    return Replica(
        bound=min(limits, key=lambda name: limits[name]),
        limits=tuple(limits.items()),
        step_s=step_s,
        requests_per_s=batch[:most] / (outputs * step_s),
        uncut_step_s=uncut_step_s,
        mean_output_tokens=outputs,
        max_tpot_s=max_tpot_s,
        prefill_s=one_prefill_s,
        prefill_share_fraction=float(most / outputs * one_prefill_s / step_s[-1]),
        misses_tpot=limits.get(Bound.MAX_TPOT) == 0,
    )


def _largest_batch(step_s: Floats, max_tpot_s: float | None) -> int:
    """The largest batch whose step is fast enough; 1 where not even one sequence is."""
    fast_enough = len(step_s) if max_tpot_s is None else int(np.searchsorted(step_s, max_tpot_s, side="right"))
    return max(1, fast_enough)
