"""Speculative decoding: how many tokens a step yields when drafts are accepted by chance."""

from math import expm1, log1p

from costlib.errors import DomainError


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
