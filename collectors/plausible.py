"""Increases that no engine can make: an exporter that lies is refused, and what it said is told.

The bound is generous on purpose. It is there for a counter of 1e15, not to judge a fast machine.
"""

from collections.abc import Mapping

import numpy as np

from collectors.base import PageRefused
from costlib.history import HistoryIncreases
from costlib.telemetry import UsageSample

# The most tokens a second that any published installation generates: 2,494,310, four GB300 NVL72 racks with 288 GPUs,
# DeepSeek-R1 offline (MLPerf Inference v6.0, 2026-04-01, as reported by storagereview.com, read 2026-11-21). No single
# engine is that large.
FASTEST_GENERATION_TOKENS_PER_S = 2_494_310
TOLERATED_RATIO = 3.0
# A prompt token that is in the prefix cache costs a look-up and no arithmetic, so prompts count far faster than output.
PROMPT_TO_GENERATION_RATIO = 100.0
# A prompt counts when its prefill ends, and an engine counts in bursts: this much of the bound may come at once.
BURST_S = 60.0

MOST_TOKENS_PER_S: Mapping[str, float] = {
    "generation_tokens": TOLERATED_RATIO * FASTEST_GENERATION_TOKENS_PER_S,
    **dict.fromkeys(
        ("prompt_tokens", "computed_prompt_tokens", "cached_prompt_tokens", "prefix_queries_tokens", "step_tokens"),
        TOLERATED_RATIO * FASTEST_GENERATION_TOKENS_PER_S * PROMPT_TO_GENERATION_RATIO,
    ),
}


def refuse_implausible(found: UsageSample | HistoryIncreases) -> None:
    """Raises PageRefused when a token counter grew faster than any engine counts; nothing of the page is used then.

    Increments without an interval are unknown and pass.
    """
    if isinstance(found, UsageSample):
        if found.interval_s is None:
            return
        for name, most_per_s in MOST_TOKENS_PER_S.items():
            increase = found.counters.get(name)
            if increase is not None and increase > most_per_s * (found.interval_s + BURST_S):
                raise _refusal(found, name, increase, found.interval_s)
        return
    seconds = np.nan_to_num(found.interval_s) + BURST_S
    for name, most_per_s in MOST_TOKENS_PER_S.items():
        if name in found.counters:
            over = np.flatnonzero(found.counters[name] > most_per_s * seconds)
            if len(over):
                row = int(over[0])
                raise _refusal(found, name, float(found.counters[name][row]), float(found.interval_s[row]))


def _refusal(found: UsageSample | HistoryIncreases, name: str, increase: float, interval_s: float) -> PageRefused:
    return PageRefused(
        "implausible",
        f"{found.target_key}: {name} of {found.model_key}, engine {found.engine_key}, grew by {increase:.6g} in "
        f"{interval_s:.0f} s, and no engine makes more than {MOST_TOKENS_PER_S[name]:.3g} a second. What it says is "
        "left out until it is believable again; look at what exports it, and restart it if it stays.",
    )
