"""One replica in steady state: the largest batch, what binds it, and how fast it answers at a given load."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from costlib.engine import (
    EngineConstants,
    engine_inputs,
    prefill_s,
    steady_tpot_s,
    step_s,
)
from costlib.errors import DoesNotFit, DomainError
from costlib.hardware import GpuSpec
from costlib.kvcache import concurrent_sequences, reload_s, transfer_s
from costlib.models import ModelSpec
from costlib.queueing import open_loop_response_s, ttft_s
from costlib.roofline import Floats
from costlib.serving import Batching, Role, ServingConfig
from costlib.static_batch import longest_output_ratio, static_step_s
from costlib.workload import Workload

_HALVINGS = 30
_GPU_AND_SEQUENCE = np.array([[0.0], [1.0]])  # prompts not counted: none for the GPU, its own for a sequence


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
    """Step times and request rate for every batch from 1 to the largest; arrays are aligned, batch = index + 1.

    `step_s` is what the GPU spends on a step, prompts included; `interval_s` what passes between two tokens of one
    sequence, which the prompts of the others lengthen but not its own. Where drafts are verified, a step yields
    `step_tokens` to each sequence, and these times are per token. The `uncut` ones go on to the batch that memory and
    settings allow, past the limit on time per token.
    """

    bound: Bound
    limits: tuple[tuple[Bound, int], ...]
    constants: EngineConstants
    requests_per_s: Floats
    decode_step_s: Floats  # without any prompt
    step_tokens: float
    uncut_step_s: Floats
    uncut_interval_s: Floats
    mean_output_tokens: float
    max_tpot_s: float | None
    prefill_s: float  # one prompt alone
    transfer_s: float  # of a prompt's KV cache to a decode pool; 0 where both are one
    waits_for_batch: bool  # static batching: a request waits for the running batch to end
    misses_tpot: bool  # even one sequence at a time is slower than asked for

    @property
    def batch_count(self) -> int:
        return len(self.requests_per_s)

    @property
    def step_s(self) -> Floats:
        return self.uncut_step_s[: self.batch_count]

    @property
    def interval_s(self) -> Floats:
        return self.uncut_interval_s[: self.batch_count]

    @property
    def prefill_share_fraction(self) -> float:
        """Share of a step's time that prompts take, at the largest batch."""
        return float(1 - self.decode_step_s[-1] / self.step_s[-1])

    @property
    def capacity_requests_per_s(self) -> float:
        return float(self.requests_per_s[-1])

    def capacity_if(self, time_ratio: float) -> float:
        """Capacity if every step took `time_ratio` times as long: `max_tpot_s` then binds at another batch.

        Returns    [request/s]
        """
        most = _largest_batch(self.uncut_interval_s * time_ratio, self.max_tpot_s)
        return float(most / (self.mean_output_tokens * self.uncut_step_s[most - 1] * time_ratio))

    def tpot_s(self, requests_per_s: float) -> float:
        """Time per output token at this request rate: that of the batch which the rate keeps running [s]."""
        return float(np.interp(requests_per_s, self.requests_per_s, self.interval_s))

    def running_count(self, requests_per_s: float) -> float:
        """Mean sequences running at this rate (Little's law on the step curve); below one, the busy share."""
        rates = np.concatenate(([0.0], self.requests_per_s))
        return float(np.interp(requests_per_s, rates, np.arange(len(rates), dtype=float)))

    def ttft_s(self, requests_per_s: float) -> float:
        """Time to the first token at this rate of Poisson arrivals; see `queueing.ttft_s`.

        Returns    [s]
        Raises     DomainError above capacity: the queue then grows without end
        """
        # A rate read back from a table or a gauge may pass the capacity by a rounding.
        if not 0 <= requests_per_s <= self.capacity_requests_per_s * (1 + 1e-9):
            raise DomainError(
                f"{requests_per_s:g} requests/s are unstable: one replica answers {self.capacity_requests_per_s:g}."
            )
        decode_s = float(np.interp(requests_per_s, self.requests_per_s, self.decode_step_s))
        busy = min(1.0, requests_per_s / float(self.requests_per_s[0]))  # below a batch of one
        step_s = float(np.interp(requests_per_s, self.requests_per_s, self.step_s))
        if self.waits_for_batch:
            prompts_s = self.prefill_s * max(1.0, self.running_count(requests_per_s))
            half_batch_s = busy * self.mean_output_tokens * step_s / 2
            return float(ttft_s(self.constants, prompts_s, 0.0, self.tpot_s(requests_per_s), half_batch_s))
        load = busy * (1 - decode_s / step_s)
        response_s = open_loop_response_s(self.prefill_s, load) + self.transfer_s
        return float(ttft_s(self.constants, response_s, decode_s * self.step_tokens, self.tpot_s(requests_per_s)))

    def goodput_requests_per_s(self, max_ttft_s: float, max_tpot_s: float) -> float:
        """The highest rate at which mean times to the first token and per token keep their limits.

        Returns    [request/s]; 0 where not even a single request does
        """
        good, most = 0.0, self.capacity_requests_per_s

        def keeps(rate: float) -> bool:
            return self.ttft_s(rate) <= max_ttft_s and self.tpot_s(rate) <= max_tpot_s

        if keeps(most):
            return most
        if not keeps(good):
            return good
        for _ in range(_HALVINGS):
            middle = (good + most) / 2
            good, most = (middle, most) if keeps(middle) else (good, middle)
        return good


def solve_replica(
    model: ModelSpec,
    gpu: GpuSpec,
    serving: ServingConfig,
    workload: Workload,
    constants: EngineConstants,
    max_tpot_s: float | None = None,
) -> Replica:
    """The steady state of continuous batching on one replica.

    Equation   rate(B) = B / (O x step(B)),  step(B) with B/O prompts in it (`engine.steady_tpot_s`, own_prompts 0)
               B <= max_num_seqs,  KV memory / KV of one sequence,  max_num_batched_tokens / (1 + k + E I_c/O),
               and the interval between tokens (own_prompts 1) <= max_tpot
    Symbols    O mean output tokens   I_c mean uncached prompt tokens: every output token brings I_c/O of them along,
               and its share of what is reloaded from host memory
               k tokens drafted and E gained in a step: 0 and 1 without speculation
    Returns    a Replica
    Valid for  prefill chunks that share steps with decode (chunked prefill, vLLM's default), or static batches
               (`static_batch`); data-parallel attention groups and pipeline stages each with the limits of one engine
    Raises     DoesNotFit, DomainError
    Source     docs/method.md; Agrawal et al., Sarathi-Serve, OSDI 2024
    """
    check_lengths(model, workload)
    outputs = workload.mean_output_tokens
    cached = workload.mean_prompt_tokens * serving.reused_fraction
    computed = workload.mean_prompt_tokens - cached
    context = resident_tokens(workload)
    inputs = engine_inputs(model, gpu, serving)
    limits = batch_limits(model, gpu, serving, context, computed / outputs)
    step_tokens = serving.speculation.step_tokens
    most = min(limits.values())
    batch = np.arange(1, most + 1, dtype=float)

    uncut_step_s, uncut_interval_s = steady_tpot_s(
        inputs, constants, batch, context, computed, outputs, cached_tokens=cached, own_prompts=_GPU_AND_SEQUENCE
    )
    waited_ratio = np.ones(most)  # of a slot's time, over what its answer takes
    if serving.batching == Batching.STATIC:
        uncut_step_s, uncut_interval_s = static_step_s(
            inputs, constants, batch, context, computed, outputs, workload.output_cv_ratio, cached
        )
        waited_ratio = longest_output_ratio(batch, workload.output_cv_ratio)
    # A prompt's reload from host memory stands in for computing it: it takes its turn in the steps, as chunks do.
    reloaded_s = reload_s(model, gpu, serving, workload.mean_prompt_tokens)
    uncut_step_s = uncut_step_s + batch / outputs * reloaded_s
    if serving.batching != Batching.STATIC:
        uncut_interval_s = uncut_interval_s + (batch - 1) / outputs * reloaded_s
    if max_tpot_s is not None:
        limits[Bound.MAX_TPOT] = int(np.searchsorted(uncut_interval_s, max_tpot_s, side="right"))
        most = _largest_batch(uncut_interval_s, max_tpot_s)
    return Replica(
        bound=min(limits, key=lambda name: limits[name]),
        limits=tuple(limits.items()),
        constants=constants,
        requests_per_s=batch[:most] / (outputs * uncut_step_s[:most]),
        decode_step_s=step_s(inputs, constants, batch[:most], context) / step_tokens * waited_ratio[:most],
        step_tokens=step_tokens,
        uncut_step_s=uncut_step_s,
        uncut_interval_s=uncut_interval_s,
        mean_output_tokens=outputs,
        max_tpot_s=max_tpot_s,
        prefill_s=float(constants.prefill_ratio * prefill_s(inputs, constants, computed, cached)) + reloaded_s,
        transfer_s=transfer_s(model, serving, workload.mean_prompt_tokens),
        waits_for_batch=serving.batching == Batching.STATIC,
        misses_tpot=limits.get(Bound.MAX_TPOT) == 0,
    )


def check_lengths(model: ModelSpec, workload: Workload) -> None:
    """Raises DomainError for requests longer than the model's context."""
    if workload.tokens_per_request > model.max_context_tokens:
        raise DomainError(
            f"requests of {workload.tokens_per_request:,.0f} tokens exceed the {model.max_context_tokens:,} that "
            f"{model.name} can hold; use a model with a longer context or shorten prompts."
        )


def batch_limits(
    model: ModelSpec, gpu: GpuSpec, serving: ServingConfig, context: float, uncached_per_output: float
) -> dict[Bound, int]:
    """Sequences that settings and memory allow. Raises DoesNotFit when that is none."""
    engines = serving.data_parallel_attention_count
    # Of each sequence: its own token, its drafts, and the prompt tokens that the tokens it gains bring along.
    step_load = 1 + serving.speculation.draft_tokens + serving.speculation.step_tokens * uncached_per_output
    limits = {
        Bound.MAX_NUM_SEQS: serving.max_num_seqs * engines,
        Bound.KV_MEMORY: concurrent_sequences(model, gpu, serving, context),
        Bound.MAX_NUM_BATCHED_TOKENS: engines
        * serving.pipeline_parallel_count
        * int(serving.max_num_batched_tokens / step_load),
    }
    if serving.role == Role.PREFILL:  # a prompt longer than a step goes through in several
        limits[Bound.MAX_NUM_BATCHED_TOKENS] = max(limits[Bound.MAX_NUM_BATCHED_TOKENS], engines)
    if not limits[Bound.MAX_NUM_BATCHED_TOKENS]:
        raise DoesNotFit(
            f"max_num_batched_tokens {serving.max_num_batched_tokens} is too small: each output token brings "
            f"{uncached_per_output:,.0f} prompt tokens with it; raise it above {step_load:,.0f}."
        )
    return limits


def _largest_batch(interval_s: Floats, max_tpot_s: float | None) -> int:
    """The largest batch whose tokens come fast enough; 1 where not even one sequence's do."""
    fast_enough = len(interval_s) if max_tpot_s is None else int(np.searchsorted(interval_s, max_tpot_s, side="right"))
    return max(1, fast_enough)
