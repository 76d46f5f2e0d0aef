"""A stretch of measurements: what follows from its sums, and how far they can be trusted.

The sums of a minute, an hour or a month of one engine, one server or one model are the same kind of thing, so every
formula here takes arrays: one element per window, NaN where a sum is not known. Method: docs/method.md, "Windows".
"""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from costlib.measures import ACCEPTED_AT, REQUEST_OUTCOMES

Floats = NDArray[np.float64]

# Below this share of the window observed, a total is called partial.
WHOLE_FRACTION = 0.95


class DataState(StrEnum):
    """What a window's figures are worth. The first that applies, in this order."""

    NOT_EXPORTED = "not_exported"  # the server answers and does not tell this; unknown, not zero
    UNDEFINED = "undefined"  # nothing happened that the figure could be of: no request, no draft
    STALE = "stale"  # nobody has looked since
    GAP = "gap"  # scrapes failed or are missing: increments real, their time within the gap unknown
    RESET = "reset"  # an engine restarted: up to one interval of its tokens is lost
    PARTIAL = "partial"  # observed for less than the window
    OK = "ok"


def state_of(
    *,
    samples_count: int,
    gap_s: float,
    restarts_count: int,
    observed_fraction: float,
    is_failing: bool,
    is_overdue: bool,
) -> DataState:
    """The state of a window of a server that was scraped.

    `is_failing`: the newest scrape of the window failed; `is_overdue`: the window is not over, and nobody scrapes.

    >>> state_of(samples_count=4, gap_s=0, restarts_count=1, observed_fraction=1, is_failing=False, is_overdue=False)
    <DataState.RESET: 'reset'>
    """
    if is_overdue:
        return DataState.STALE
    if is_failing or gap_s > 0:
        return DataState.GAP
    if not samples_count:
        return DataState.NOT_EXPORTED
    if restarts_count:
        return DataState.RESET
    return DataState.OK if observed_fraction >= WHOLE_FRACTION else DataState.PARTIAL


def derived(sums: Mapping[str, Floats]) -> dict[str, Floats]:
    """What follows from the sums of windows; every array has one element per window.

    Symbols    the counters of `costlib.measures`; observed_s time in which the server was observed; gap_s time behind
               increments that came after a gap; coverage_s engine-seconds observed; busy_s those with a request running
    Returns    computed_prompt_tokens, cached_prompt_tokens  exported; else by prefix cache hits (vLLM to 0.16)
               total_tokens, *_tokens_per_s                  over observed_s + gap_s: it happened in the gap too
               requests_count, requests_per_s                finished, however they finished
               running_littles_count, waiting_littles_count  L = λW: residence of finished requests over time
               mean_queue_s, mean_prefill_s, mean_decode_s   per finished request
               prefix_hit_fraction                           tokens found over tokens looked up
               acceptance_fraction, tokens_per_draft_ratio   accepted/drafted; 1 + accepted/drafts
               acceptance_at_NN_fraction                     accepted at that place over drafts
               tokens_per_step_ratio, steps_per_s, idle_fraction, preemptions_per_request_ratio
               estimated_flop_per_s, estimated_bytes_per_s   of one GPU, over engine-seconds
    Validity   Little's law (Little 1961) holds over windows long beside a request; what still runs is not in it.
    Example    4 requests of 30 s each in a minute: two at a time
    >>> two = derived({"inference_s": np.array([120.0]), "observed_s": np.array([60.0])})
    >>> float(two["running_littles_count"][0])
    2.0
    """
    shape = np.shape(next(iter(sums.values())))
    unknown = np.full(shape, np.nan)

    def of(name: str) -> Floats:
        return np.asarray(sums.get(name, unknown), dtype=float)

    prompt, generated = of("prompt_tokens"), of("generation_tokens")
    cached = _first(of("cached_prompt_tokens"), np.minimum(of("prefix_hits_tokens"), prompt))
    computed = _first(of("computed_prompt_tokens"), prompt - cached)
    observed_s, coverage_s = of("observed_s"), of("coverage_s")
    seen_s = observed_s + np.nan_to_num(of("gap_s"))
    outcomes = np.stack([of(f"requests_{outcome}_count") for outcome in REQUEST_OUTCOMES])
    requests = np.where(np.isnan(outcomes).all(axis=0), np.nan, np.nansum(outcomes, axis=0))
    drafts, accepted = of("drafts_count"), of("accepted_tokens")
    return {
        "computed_prompt_tokens": computed,
        "cached_prompt_tokens": cached,
        "total_tokens": prompt + generated,
        "prompt_tokens_per_s": _ratio(prompt, seen_s),
        "generation_tokens_per_s": _ratio(generated, seen_s),
        "total_tokens_per_s": _ratio(prompt + generated, seen_s),
        "requests_count": requests,
        "requests_per_s": _ratio(requests, seen_s),
        "running_littles_count": _ratio(of("inference_s"), seen_s),
        "waiting_littles_count": _ratio(of("queue_s"), seen_s),
        "mean_queue_s": _ratio(of("queue_s"), requests),
        "mean_prefill_s": _ratio(of("prefill_s"), requests),
        "mean_decode_s": _ratio(of("decode_s"), requests),
        "prefix_hit_fraction": _ratio(of("prefix_hits_tokens"), of("prefix_queries_tokens")),
        "acceptance_fraction": _ratio(accepted, of("draft_tokens")),
        "tokens_per_draft_ratio": 1.0 + _ratio(accepted, drafts),
        **{name.replace("accepted_at", "acceptance_at").replace("_tokens", "_fraction"): _ratio(of(name), drafts)
           for name in ACCEPTED_AT},
        "steps_per_s": _ratio(of("steps_count"), seen_s),
        "tokens_per_step_ratio": _ratio(of("step_tokens"), of("steps_count")),
        "preemptions_per_request_ratio": _ratio(of("preemptions_count"), requests),
        "idle_fraction": 1.0 - _ratio(of("busy_s"), coverage_s),
        "estimated_flop_per_s": _ratio(of("estimated_flop"), coverage_s),
        "estimated_bytes_per_s": _ratio(of("estimated_read_bytes") + of("estimated_write_bytes"), coverage_s),
    }  # fmt: skip


def utilisation_of(rate: Floats, peak: float) -> Floats:
    """MFU or MBU: the share of a GPU's peak that was used, from `estimated_flop_per_s` or `estimated_bytes_per_s`.

    Equation   rate / peak, both FLOP/s or both byte/s of one GPU; the peak dense, at the precision served
    Validity   vLLM estimates the work of the model's matmuls and attention; above 1 the GPU is not as named.
               The counters are there from vLLM 0.17 on and stay 0 without --enable-mfu-metrics: a rate of 0 is unknown.
    Example    494.7e12 FLOP/s on an H100 that does 989.4e12 in bf16
    >>> utilisation_of(np.array([494.7e12, 0.0]), 989.4e12)
    array([0.5, nan])
    """
    return _ratio(np.where(rate > 0, rate, np.nan), np.full_like(rate, peak))


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where there is nothing to divide by: what a figure is of did not happen."""
    with np.errstate(all="ignore"):
        ratio = part / whole
    return np.where((whole > 0) & np.isfinite(ratio), ratio, np.nan)


def _first(preferred: Floats, fallback: Floats) -> Floats:
    return np.where(np.isnan(preferred), fallback, preferred)
