"""Speculative decoding: how many tokens a step yields when drafts are accepted by chance."""

from dataclasses import dataclass
from math import expm1, inf, log1p

from costlib.errors import DomainError

DRAFT_BYTES_PER_PARAM = 2.0
_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Tokens drafted in each step and what drafts them: its size, 0 where drafts are looked up in the prompt.

    `acceptance_fraction` is the chance of one drafted token when those before it were accepted. It is not vLLM's
    accepted over drafted tokens, which is lower: what follows a rejection is lost. Without drafts, nothing changes.
    """

    draft_tokens: int = 0
    acceptance_fraction: float = 0.0
    draft_params_count: float = 0.0
    draft_layers_count: int = 0
    draft_kv_bytes_per_token: float = 0.0

    def __post_init__(self) -> None:
        accepted_length_tokens(self.acceptance_fraction, self.draft_tokens)
        if self.acceptance_fraction == 1:
            raise DomainError("acceptance_fraction must be below 1: no draft is always right; state what was measured.")
        for name in ("draft_tokens", "draft_params_count", "draft_layers_count", "draft_kv_bytes_per_token"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 or more, not {getattr(self, name)}.")

    @property
    def step_tokens(self) -> float:
        """Mean tokens that a sequence gains in a step [token]."""
        return accepted_length_tokens(self.acceptance_fraction, self.draft_tokens)

    @property
    def draft_bytes(self) -> float:
        """What the drafter takes of memory: 16 bit weights, and none while it does not draft."""
        return self.draft_params_count * DRAFT_BYTES_PER_PARAM if self.draft_tokens else 0.0

    @property
    def kv_bytes_per_token(self) -> float:
        """KV cache of the drafter."""
        return self.draft_kv_bytes_per_token if self.draft_tokens else 0.0


def accepted_length_tokens(acceptance_fraction: float, draft_tokens: int) -> float:
    """Mean tokens of a verification step, the one that the model itself adds included.

    Equation   E = (1 - a^(k + 1)) / (1 - a);  k + 1 at a = 1
    Symbols    a chance that one drafted token is accepted, the same for each [1]   k tokens drafted a step
    Returns    [token], from 1 to k + 1
    Valid for  acceptance that does not depend on the place; counters by place give the true one
    Raises     DomainError for an acceptance outside 0 to 1 or a negative draft
    Source     Leviathan et al., Fast Inference from Transformers via Speculative Decoding, ICML 2023
    Example    domain_math §14, vector 9
    >>> [round(accepted_length_tokens(a, k), 5) for a, k in ((0.7, 5), (0.8, 3), (1.0, 5), (0.0, 5))]
    [2.94117, 2.952, 6.0, 1.0]
    """
    if not 0 <= acceptance_fraction <= 1:
        raise DomainError(f"acceptance_fraction is a share from 0 to 1, not {acceptance_fraction}.")
    if draft_tokens < 0:
        raise DomainError(f"draft_tokens must be 0 or more, not {draft_tokens}.")
    rejected = 1 - acceptance_fraction
    if rejected in (0, 1):
        return 1.0 if rejected else draft_tokens + 1.0
    # 1 - a^(k + 1) without the digits that vanish near a = 1.
    return -expm1((draft_tokens + 1) * log1p(-rejected)) / rejected


def acceptance_of(step_tokens: float, draft_tokens: float) -> float:
    """The chance of one drafted token, from what a step was measured to yield: `accepted_length_tokens` turned round.

    Equation   a with (1 - a^(k + 1)) / (1 - a) = E
    Symbols    E 1 + accepted / drafts   k drafted tokens / drafts, from vLLM's counters
    Returns    [1], from 0 to 1
    Valid for  the same chance at each place
    Raises     DomainError where a step yields less than its own token or more than it drafts
    Source     as `accepted_length_tokens`; domain_math §6.4
    Example    5 drafts, 2.94117 tokens a step
    >>> round(acceptance_of(2.94117, 5), 4)
    0.7
    """
    if not 1 <= step_tokens <= draft_tokens + 1:
        raise DomainError(f"a step yields from 1 to {draft_tokens + 1:g} tokens, not {step_tokens:g}.")
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        yields = -expm1((draft_tokens + 1) * log1p(middle - 1)) / (1 - middle) if middle < 1 else draft_tokens + 1
        low, high = (middle, high) if yields < step_tokens else (low, middle)
    return (low + high) / 2
