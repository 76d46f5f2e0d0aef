"""What each way of measuring would see of `costlib.engine`: closed loop, open loop, full queue, static batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks._accuracy_rows import Point
from costlib.engine import (
    EngineConstants,
    EngineInputs,
    kv_sequences,
    steady_tpot_s,
    step_s,
)
from costlib.queueing import closed_loop_response_s, ttft_s
from costlib.units import MS_PER_S

Floats = NDArray[np.float64]
T = TypeVar("T")

OPEN_LOOP_REQUESTS = 500.0  # of TensorRT-LLM's serving benchmark: the last one drains
P99_OVER_MEAN = 0.6  # of MLPerf's limit on the 99th percentile, what the mean may take
LEAST_KV_SHARE = 0.02  # of memory: what was measured did fit, whatever the model says


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """What came at the engine, a row for each measurement."""

    prompt_tokens: Floats
    output_tokens: Floats
    sequences: Floats  # NaN: as many as fit
    requests_per_s: Floats  # inf: all at once
    tpot_limit_s: Floats
    replicas: Floats
    beams: Floats
    is_latency_bound: NDArray[np.bool_]
    hbm_bytes: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unstated:
    """What publications leave out and the fit therefore estimates."""

    memory_fraction: Floats
    reserve_bytes: Floats
    resident_output_ratio: Floats
    sequences_count: Floats
    sequences_exponent_ratio: Floats
    chunk_tokens: Floats
    server_ratio: Floats
    slot_wait_ratio: Floats
    start_s: Floats


def load_of(points: Sequence[Point]) -> Load:
    return Load(
        prompt_tokens=np.array([point.prompt_tokens for point in points]),
        output_tokens=np.array([point.output_tokens for point in points]),
        sequences=np.array([point.sequences for point in points]),
        requests_per_s=np.nan_to_num([point.requests_per_s for point in points], nan=math.inf, posinf=math.inf),
        tpot_limit_s=np.array([point.tpot_limit_s for point in points]),
        replicas=np.array([point.replicas for point in points]),
        beams=np.array([point.beams for point in points]),
        is_latency_bound=np.array([point.is_latency_bound for point in points]),
        hbm_bytes=np.array([point.setup.gpu.hbm_bytes for point in points]),
    )


def taken(arrays: T, rows: NDArray[np.intp]) -> T:
    """The same dataclass with these rows of every array."""
    found = {field.name: getattr(arrays, field.name) for field in fields(arrays)}  # type: ignore[arg-type]
    return replace(arrays, **{k: v[rows] for k, v in found.items() if isinstance(v, np.ndarray)})  # type: ignore[type-var]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """An engine under measurement."""

    load: Load
    inputs: EngineInputs
    constants: EngineConstants
    unstated: Unstated

    @property
    def context_tokens(self) -> Floats:
        return self.load.prompt_tokens + self.load.output_tokens / 2

    def fitting(self) -> Floats:
        """Sequences whose KV cache fits, at least one a rank."""
        inputs, load = self.inputs, self.load
        slices = inputs.tensor_parallel_count * inputs.pipeline_parallel_count
        weights = inputs.dense_bytes / slices + inputs.expert_bytes / inputs.gpus_count
        usable = self.unstated.memory_fraction * load.hbm_bytes - self.unstated.reserve_bytes
        roomy = replace(inputs, usable_hbm_bytes=np.maximum(usable, weights + LEAST_KV_SHARE * load.hbm_bytes))
        resident = load.prompt_tokens + self.unstated.resident_output_ratio * load.output_tokens
        return np.maximum(kv_sequences(roomy, resident) / load.beams, inputs.data_parallel_count)

    def step(self, sequences: Floats) -> Floats:
        return step_s(self.inputs, self.constants, sequences, self.context_tokens)

    def tpot(self, sequences: Floats, own_prompts: float = 1.0) -> Floats:
        """The beams of a request share one prompt."""
        prompt = self.load.prompt_tokens / self.load.beams
        return steady_tpot_s(
            self.inputs,
            self.constants,
            sequences * self.load.beams,
            self.context_tokens,
            prompt,
            self.load.output_tokens,
            cached_tokens=(self.load.prompt_tokens - prompt) / 2,
            own_prompts=own_prompts,
        )

    def prefill(self, tokens: Floats) -> Floats:
        """Time to compute `tokens` of prompts alone; a chunk takes several short ones."""
        chunk = np.minimum(tokens, self.inputs.chunk_tokens)
        return tokens / chunk * step_s(self.inputs, self.constants, 0.0, 0.0, chunk, self.load.prompt_tokens / 2)

    def at_rate(self) -> Floats:
        """Sequences in flight at a request rate, by Little's law."""
        sequences = np.ones_like(self.load.prompt_tokens)
        for _ in range(12):
            wanted = self.load.requests_per_s * self.load.output_tokens * self.tpot(sequences)
            sequences = np.minimum((sequences + wanted) / 2, np.minimum(self.fitting(), OPEN_LOOP_REQUESTS))
        return sequences


def closed_loop_tpot(bench: Bench) -> Floats:
    return bench.tpot(np.minimum(bench.load.sequences, bench.fitting())) * MS_PER_S


def full_queue(bench: Bench) -> Floats:
    """Output tokens/s with requests always waiting: as many at once as memory, engine and latency limit allow."""
    load, unstated = bench.load, bench.unstated
    length = (load.prompt_tokens + load.output_tokens) / 2048
    most = unstated.sequences_count * length**-unstated.sequences_exponent_ratio * bench.inputs.data_parallel_count
    sequences = np.minimum(bench.fitting(), most)
    low, high = np.ones_like(sequences), sequences
    for _ in range(14):  # the largest that keeps the limit, between 1 and all
        middle = np.sqrt(low * high)
        kept = bench.tpot(middle, 0.0) <= P99_OVER_MEAN * load.tpot_limit_s
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
    too_slow = bench.tpot(sequences, 0.0) > P99_OVER_MEAN * load.tpot_limit_s
    sequences = np.where(too_slow, low, sequences)
    waited = np.where(load.is_latency_bound, unstated.server_ratio, 1.0)
    return waited * load.replicas * sequences / bench.tpot(sequences, 0.0)


def open_loop_itl(bench: Bench) -> Floats:
    return bench.tpot(bench.at_rate()) * MS_PER_S


def open_loop_output(bench: Bench) -> Floats:
    """Output tokens/s of a finite run: the last request still decodes when the last has come."""
    sequences = bench.at_rate()
    tpot = bench.tpot(sequences)
    arriving = 1 / (1 / (bench.load.requests_per_s * bench.load.output_tokens) + tpot / OPEN_LOOP_REQUESTS)
    return np.minimum(arriving, sequences / tpot)


def static_output(bench: Bench) -> Floats:
    """Output tokens/s of batches that start together: waves of a prefill and the steps after it."""
    load = bench.load
    waves = np.ceil(load.sequences / np.minimum(bench.fitting(), load.sequences) - 1e-9)
    sequences = load.sequences / waves
    wave_s = bench.prefill(sequences * load.prompt_tokens) + np.maximum(load.output_tokens - 1, 0) * bench.step(
        sequences
    )
    return load.sequences * load.output_tokens / (waves * wave_s + bench.unstated.start_s)


def static_total(bench: Bench) -> Floats:
    return static_output(bench) * (1 + bench.load.prompt_tokens / bench.load.output_tokens)


def closed_loop_ttft(bench: Bench) -> Floats:
    load, constants = bench.load, bench.constants
    running = np.minimum(load.sequences, bench.fitting())
    tpot = bench.tpot(running)
    decode = load.output_tokens * tpot
    wait = (load.sequences / running - 1 + bench.unstated.slot_wait_ratio / load.sequences) * decode
    own = constants.prefill_ratio * bench.prefill(load.prompt_tokens)
    response = closed_loop_response_s(constants, own, decode, running)
    return ttft_s(constants, response, bench.step(running), tpot, wait) * MS_PER_S


def open_loop_ttft(bench: Bench) -> Floats:
    """Past saturation the queue grows until the last request has come."""
    load, constants = bench.load, bench.constants
    running = bench.at_rate()
    tpot = bench.tpot(running)
    served = running / tpot / load.output_tokens
    backlog_s = np.maximum(OPEN_LOOP_REQUESTS / served - OPEN_LOOP_REQUESTS / load.requests_per_s, 0) / 2
    wait = np.where(load.requests_per_s > 1.05 * served, backlog_s, 0.0)
    own = constants.prefill_ratio * bench.prefill(load.prompt_tokens)
    response = closed_loop_response_s(constants, own, load.output_tokens * tpot, running)
    unbuffered = replace(constants, buffered_tokens=0.0)
    return ttft_s(unbuffered, response, bench.step(running), tpot, wait) * MS_PER_S


def static_ttft(bench: Bench) -> Floats:
    """All prompts are computed before the first token is seen."""
    own = bench.constants.prefill_ratio * bench.prefill(bench.load.prompt_tokens)
    return (bench.constants.front_s + own * bench.load.sequences) * MS_PER_S


SEEN: dict[tuple[str, str], Callable[[Bench], Floats]] = {
    ("closed", "tpot_ms"): closed_loop_tpot,
    ("closed", "ttft_ms"): closed_loop_ttft,
    ("open", "itl_ms"): open_loop_itl,
    ("open", "output_tok_s_total"): open_loop_output,
    ("open", "ttft_ms"): open_loop_ttft,
    ("offline", "output_tok_s_total"): full_queue,
    ("mlperf", "output_tok_s_total"): full_queue,
    ("static", "output_tok_s_total"): static_output,
    ("static", "total_tok_s"): static_total,
    ("static", "ttft_ms"): static_ttft,
}
