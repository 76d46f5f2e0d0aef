"""Windows in which the engine of one deployment never stood still, and what the engine model says of them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from costlib.engine import EngineConstants, EngineInputs, steady_tpot_s
from costlib.step_fit import LEAST_BATCH, BusyWindows

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

LEAST_FINISHED = 20.0  # requests in a window that tell how long its prompts are; fewer came and went by chance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadWindows:
    """Busy windows of one deployment in order of time, and what its servers did altogether."""

    start_s: Floats  # unix time
    busy: BusyWindows
    mean_context_tokens: float  # of a running sequence
    mean_computed_tokens: float  # prompt tokens of a request, without those found in the prefix cache
    mean_cached_tokens: float
    observed_s: float  # by the clock
    busy_fraction: float  # of that, and of all engines
    requests_count: float | None

    def usable(self) -> Rows:
        """Windows of which everything needed is known, with LEAST_BATCH sequences running or more."""
        of = self.busy
        needed = (of.window_s, of.steps_count, of.computed_tokens, of.generated_tokens)
        known = np.all([np.isfinite(column) for column in needed], axis=0)
        positive = (of.window_s > 0) & (of.steps_count > 0) & (of.computed_tokens >= 0)
        return np.flatnonzero(known & positive & (of.generated_tokens >= LEAST_BATCH * of.steps_count))

    def step_s(self, rows: Rows) -> Floats:
        """Mean time of a step in each window."""
        return self.busy.window_s[rows] / self.busy.steps_count[rows]

    def batch_count(self, rows: Rows, engines_count: float = 1.0) -> Floats:
        """Mean sequences that a replica runs in each window; a step of one of its engines decodes one share of them."""
        return engines_count * self.busy.generated_tokens[rows] / self.busy.steps_count[rows]

    def input_per_output(self, rows: Rows) -> Floats:
        """Computed prompt tokens for each generated one."""
        return self.busy.computed_tokens[rows] / self.busy.generated_tokens[rows]

    def prompt_tokens(self, rows: Rows) -> Floats:
        """Computed prompt tokens of a request: of the window's own where it says how many finished, else the mean."""
        finished = self.busy.requests_count
        mean = np.full(len(rows), max(1.0, self.mean_computed_tokens))
        if finished is None:
            return mean
        told = np.isfinite(finished[rows]) & (finished[rows] >= LEAST_FINISHED)
        own = self.busy.computed_tokens[rows] / np.where(told, finished[rows], 1.0)
        return np.where(told, np.maximum(own, 1.0), mean)

    def context_tokens(self, rows: Rows) -> Floats:
        """Context of a running sequence: the mean one, scaled by the KV cache held for each generated token."""
        held = self.busy.context_tokens
        if held is None:
            return np.full(len(rows), self.mean_context_tokens)
        generated = self.busy.generated_tokens[rows]
        known = np.isfinite(held[rows]) & (held[rows] > 0)
        if not known.any():
            return np.full(len(rows), self.mean_context_tokens)
        mean = held[rows][known].sum() / generated[known].sum()
        return self.mean_context_tokens * np.where(known, held[rows] / generated / mean, 1.0)


def with_peaks(inputs: EngineInputs, compute_ratio: float, memory_ratio: float) -> EngineInputs:
    """The engine on a GPU with so many times the peaks of its sheet: constants cannot say that one is faster than its
    sheet, and this is how a wrong sheet shows."""
    return replace(
        inputs,
        dense_flop_per_s=inputs.dense_flop_per_s * compute_ratio,
        expert_flop_per_s=inputs.expert_flop_per_s * compute_ratio,
        attention_flop_per_s=inputs.attention_flop_per_s * compute_ratio,
        hbm_bytes_per_s=inputs.hbm_bytes_per_s * memory_ratio,
    )


def modelled_step_s(inputs: EngineInputs, constants: EngineConstants, load: LoadWindows, rows: Rows) -> Floats:
    """What the engine model says of the mean step of each window.

    Equation   steady_tpot_s(B, s, I, I O / I_c) / p,  B = p D O / steps
    Symbols    O generated, I_c computed tokens of the window   s its context   I computed tokens of one of its requests
               D data-parallel engines, p pipeline stages, whose steps are counted apart
    Returns    [s], basis of `constants`
    Valid for  windows busy throughout; prompts of one window about as long as each other
    Raises     nothing
    Source     domain_math §10.1; docs/method.md
    """
    prompt = load.prompt_tokens(rows)
    stages = inputs.pipeline_parallel_count
    interval_s = steady_tpot_s(
        inputs,
        constants,
        load.batch_count(rows, float(stages * inputs.data_parallel_count)),
        load.context_tokens(rows),
        prompt,
        prompt / np.maximum(load.input_per_output(rows), 1e-9),
        cached_tokens=load.mean_cached_tokens,
        own_prompts=0.0,
    )
    return np.asarray(interval_s / stages)
