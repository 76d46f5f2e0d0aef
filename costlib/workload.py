"""What users ask for."""

from dataclasses import dataclass

from costlib.errors import DomainError
from costlib.estimate import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests that reach one deployment, by their means over the window.

    `peak_to_mean_ratio` sizes the fleet: the busiest hour's rate over the mean. `answered_fraction` is the share of
    requests whose answer the user gets from here; a try that is escalated to another model is work, not an answer.
    `output_cv_ratio` is the coefficient of variation of the output length (1: exponential).
    """

    requests_per_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    peak_to_mean_ratio: float = 1.0
    output_cv_ratio: float = 1.0
    answered_fraction: float = 1.0
    basis: Basis = Basis.ASSUMED

    def __post_init__(self) -> None:
        if self.requests_per_s < 0:
            raise DomainError(f"requests_per_s must be 0 or more, not {self.requests_per_s}.")
        if self.mean_prompt_tokens < 0 or self.mean_output_tokens < 1:
            raise DomainError("a request needs mean_prompt_tokens of 0 or more and mean_output_tokens of 1 or more.")
        if self.peak_to_mean_ratio < 1:
            raise DomainError(f"peak_to_mean_ratio is peak over mean, so 1 or more, not {self.peak_to_mean_ratio}.")
        if not 0 <= self.answered_fraction <= 1:
            raise DomainError(f"answered_fraction is a share from 0 to 1, not {self.answered_fraction}.")

    @property
    def tokens_per_request(self) -> float:
        return self.mean_prompt_tokens + self.mean_output_tokens

    @property
    def total_tokens_per_s(self) -> float:
        return self.requests_per_s * self.tokens_per_request
