"""Settings that many begin with, by name. A starting point to look at, not advice: the figures are the levers' own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings by lever; what they do not name is at rest, and a parameter they do not name at the lever's default."""

    name: str
    help: str
    settings: Mapping[str, Mapping[str, Any]]


_QUICK: Mapping[str, Mapping[str, Any]] = {
    "prefix_caching": {"enabled": True},
    "exact_cache": {"enabled": True},
    "batch_limits": {"max_num_seqs": "1024"},
    "batch_tier": {"enabled": True},
}

PRESETS = (
    Preset(
        name="Quick wins",
        help="What changes no answer: prefix and exact caches, a larger batch, work that can wait.",
        settings=_QUICK,
    ),
    Preset(
        name="Aggressive",
        help="The quick wins, and what must be evaluated: FP8, a semantic cache, a cascade, shorter answers.",
        settings={
            **_QUICK,
            "weight_precision": {"weights": "fp8"},
            "kv_precision": {"kv": "fp8"},
            "semantic_cache": {"enabled": True},
            "cascade_routing": {"enabled": True},
            "output_limits": {"enabled": True},
        },
    ),
)
