"""What one engine does between its start and its end: requests queue, are prefilled, decoded and done.

First come, first served, over a fixed number of places. Every time is a whole number of ticks of 1/1024 s and every
token a whole token, so that sums are exact in floating point and a test may ask for equality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray

from costlib.measures import ACCEPTED_AT, COUNTERS

TICKS_PER_S = 1024
PREFILL_TICKS = 8  # and one more for every four prompt tokens that are computed
KV_CAPACITY_TOKENS = 65_536
# What vLLM's estimate of the work counts for one token or one step, in round figures.
FLOP_PER_TOKEN, READ_BYTES_PER_STEP, WRITE_BYTES_PER_TOKEN = 4_096.0, 65_536.0, 1_024.0

Ticks = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What clients ask of one engine, on average, and how it answers."""

    requests_per_s: float = 1.0
    prompt_tokens: int = 200
    output_tokens: int = 40
    cached_fraction: float = 0.3
    aborted_fraction: float = 0.0  # of the requests, by the client, within their decode
    preempted_fraction: float = 0.0
    places_count: int = 8
    step_s: float = 1 / 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What the engine stands at: counters by canonical name, gauges, and of each histogram its observations so far."""

    counters: Mapping[str, float]
    gauges: Mapping[str, float]
    observed: Mapping[str, Sequence[float] | tuple[float, int]]  # values, or one value and how often


class Work:
    """The requests that an engine meets in `lasts_s` seconds from its start; the seed and the load decide them all."""

    def __init__(self, load: Load, seed: int, lasts_s: float, drafted_tokens: int = 0) -> None:
        self.load = load
        self.drafted_tokens = drafted_tokens  # per draft; 0: no speculation
        self.step = round(load.step_s * TICKS_PER_S)
        chance = np.random.default_rng(seed)
        count = int(1.3 * max(0.0, lasts_s) * load.requests_per_s) + 16  # more than come within it
        between = chance.exponential(TICKS_PER_S / load.requests_per_s, count)
        self.arrived: Ticks = np.cumsum(np.maximum(1, between.astype(np.int64)))
        self.prompt = chance.integers(1, 2 * load.prompt_tokens + 1, count)
        self.cached = np.minimum(
            self.prompt, (self.prompt * load.cached_fraction * 2 * chance.random(count)).astype(int)
        )
        planned = chance.integers(1, 2 * load.output_tokens + 1, count)
        fate = chance.random(count)
        self.aborted = fate < load.aborted_fraction
        self.preempted = chance.random(count) < load.preempted_fraction
        self.outcome = chance.choice(
            np.array(["stop", "stop", "stop", "length", "length", "error", "repetition"]), count
        )
        self.output = np.where(self.aborted, np.maximum(1, planned // 2), planned)
        prefill = PREFILL_TICKS + (self.prompt - self.cached) // 4
        self.scheduled = self._scheduled(prefill + self.output * self.step)
        self.first = self.scheduled + prefill
        self.ended = self.first + (self.output - 1) * self.step
        self._by_end = np.argsort(self.ended, kind="stable")
        self._by_end = self._by_end[~self.aborted[self._by_end]]  # who was aborted never finishes
        self._busy_from, self._busy_to = self._busy()

    def _scheduled(self, takes: Ticks) -> Ticks:
        """When each request gets its place: in the order they came, the place that is free first."""
        free = [0] * self.load.places_count
        heapify(free)
        scheduled = []
        for arrived, lasts in zip(self.arrived.tolist(), takes.tolist(), strict=True):
            begins = max(arrived, free[0])
            heapreplace(free, begins + lasts)
            scheduled.append(begins)
        return np.array(scheduled, dtype=np.int64)

    def _busy(self) -> tuple[Ticks, Ticks]:
        """The stretches in which at least one request has a place."""
        ends = np.maximum.accumulate(self.ended + self.step)
        opens = np.concatenate(([True], self.scheduled[1:] > ends[:-1]))
        return self.scheduled[opens], ends[np.concatenate((opens[1:], [True]))]

    def counters(self, at: int) -> dict[str, float]:
        """Everything counted from the start to tick `at`, by canonical name."""
        begun = self.first <= at  # a request's prompt counts once, at its first token
        done = self._by_end[: np.searchsorted(self.ended[self._by_end], at, side="right")]
        generated = int(np.clip((at - self.first) // self.step + 1, 0, self.output).sum())
        prompt, cached = int(self.prompt[begun].sum()), int(self.cached[begun].sum())
        steps = int((np.clip(at, self._busy_from, self._busy_to) - self._busy_from).sum()) // self.step
        outcomes = dict(zip(*np.unique(self.outcome[done], return_counts=True), strict=True))
        ticks = {
            "queue_s": self.scheduled[done] - self.arrived[done],
            "prefill_s": self.first[done] - self.scheduled[done],
            "decode_s": self.ended[done] - self.first[done],
            "inference_s": self.ended[done] - self.scheduled[done],
        }
        counted: dict[str, float] = {
            **dict.fromkeys(COUNTERS, 0.0),
            "prompt_tokens": prompt,
            "computed_prompt_tokens": prompt - cached,
            "cached_prompt_tokens": cached,
            "generation_tokens": generated,
            **{f"requests_{outcome}_count": int(count) for outcome, count in outcomes.items()},
            "finished_prompt_tokens": int(self.prompt[done].sum()),
            "finished_generation_tokens": int(self.output[done].sum()),
            "prefix_queries_tokens": prompt,
            "prefix_hits_tokens": cached,
            "steps_count": steps,
            "step_tokens": prompt - cached + generated,
            "preemptions_count": int((begun & self.preempted).sum()),
            **{name: int(spent.sum()) / TICKS_PER_S for name, spent in ticks.items()},
            "estimated_flop": FLOP_PER_TOKEN * (prompt - cached + generated),
            "estimated_read_bytes": READ_BYTES_PER_STEP * steps,
            "estimated_write_bytes": WRITE_BYTES_PER_TOKEN * (prompt - cached + generated),
            **self._speculated(generated),
        }
        return {name: float(value) for name, value in counted.items()}

    def _speculated(self, generated: int) -> dict[str, float]:
        """One draft for every three tokens; the places of a draft are accepted the less the later they stand."""
        drafted = self.drafted_tokens
        if not drafted:
            return {}
        drafts = generated // 3
        accepted = [drafts * (drafted - place) // (drafted + 1) for place in range(drafted)]
        return {
            "drafts_count": drafts,
            "draft_tokens": drafts * drafted,
            "accepted_tokens": sum(accepted),
            **dict(zip(ACCEPTED_AT, accepted, strict=False)),
        }

    def level(self, at: int) -> Level:
        """All that the page at tick `at` is made from."""
        counters = self.counters(at)
        waiting = int(((self.arrived <= at) & (at < self.scheduled)).sum())
        runs = (self.scheduled <= at) & (at < self.ended + self.step)
        held = np.where(self.first <= at, self.prompt + (at - self.first) // self.step, self.prompt)
        begun = self.first <= at
        done = self._by_end[: np.searchsorted(self.ended[self._by_end], at, side="right")]
        later_tokens = int(counters["generation_tokens"]) - int(begun.sum())
        return Level(
            counters=counters,
            gauges={
                "running_count": float(runs.sum()),
                "waiting_count": float(waiting),
                "waiting_capacity_count": float(waiting),
                "waiting_deferred_count": 0.0,
                "kv_usage_fraction": min(1.0, float(held[runs].sum()) / KV_CAPACITY_TOKENS),
                "awake_fraction": 1.0,
            },
            observed={
                "ttft_s": (self.first - self.arrived)[begun] / TICKS_PER_S,
                "itl_s": (self.step / TICKS_PER_S, later_tokens),
                "tpot_s": np.full(len(done), self.step / TICKS_PER_S),
                "e2e_s": (self.ended - self.arrived)[done] / TICKS_PER_S,
                "queue_s": (self.scheduled - self.arrived)[done] / TICKS_PER_S,
                "prefill_s": (self.first - self.scheduled)[done] / TICKS_PER_S,
                "decode_s": (self.ended - self.first)[done] / TICKS_PER_S,
                "inference_s": (self.ended - self.scheduled)[done] / TICKS_PER_S,
                "finished_prompt_tokens": self.prompt[done],
                "finished_generation_tokens": self.output[done],
                "computed_prompt_tokens": (self.prompt - self.cached)[done],
            },
        )
