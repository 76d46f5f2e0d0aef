"""Models: what a config file says about weights, experts and attention."""

from dataclasses import dataclass
from enum import StrEnum

from costlib.hardware import Precision
from costlib.sources import Source


class AttentionKind(StrEnum):
    FULL = "full"  # multi-head or grouped-query: K and V of every token
    SLIDING = "sliding"  # the same, of the last `window_tokens` only
    MLA = "mla"  # one compressed latent and one rotary key per token, shared by all heads
    LINEAR = "linear"  # a state of constant size per sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionLayers:
    """A group of layers that cache alike. A model is a tuple of these; hybrids have several."""

    kind: AttentionKind
    layers_count: int
    kv_heads_count: int = 0
    head_dim_count: int = 0
    window_tokens: int = 0
    latent_rank_count: int = 0
    rope_dim_count: int = 0
    state_bytes: float = 0.0  # per layer and sequence, LINEAR only


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One decoder model. `active_params_count` are the parameters one token passes through (MoE: fewer than total)."""

    key: str
    name: str
    total_params_count: float
    active_params_count: float
    hidden_size_count: int
    heads_count: int
    attention: tuple[AttentionLayers, ...]
    max_context_tokens: int
    native_precision: Precision
    experts_count: int = 0
    active_experts_count: int = 0
    sources: tuple[Source, ...] = ()

    @property
    def layers_count(self) -> int:
        return sum(group.layers_count for group in self.attention)

    @property
    def is_moe(self) -> bool:
        return self.experts_count > 0

    @property
    def routed_params_count(self) -> float:
        """Parameters of all routed experts: (P - P_a) / (1 - k/E), since a token passes through k of E."""
        if not self.is_moe:
            return 0.0
        share = self.active_experts_count / self.experts_count
        return (self.total_params_count - self.active_params_count) / (1 - share)
