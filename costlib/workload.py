"""What users ask for."""

from dataclasses import dataclass
from math import inf

from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.units import MEGA

# Beyond these a figure is a slip of the pen: no deployment answers a million requests a second.
MOST_REQUESTS_PER_S = MEGA
MOST_CV_RATIO = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Requests that reach one deployment, by their means over the window.

    `peak_to_mean_ratio` sizes the fleet: the busiest hour's rate over the mean. `answered_fraction` is the share of
    requests whose answer the user gets from here; a try that is escalated to another model is work, not an answer.
    `output_cv_ratio` is the coefficient of variation of the output length (1: exponential). `demand_low_ratio` and
    `demand_high_ratio` bound, for 80 % of months like the measured ones, what comes over what is said here.
    """

    requests_per_s: float
    mean_prompt_tokens: float
    mean_output_tokens: float
    peak_to_mean_ratio: float = 1.0
    output_cv_ratio: float = 1.0
    answered_fraction: float = 1.0
    demand_low_ratio: float = 1.0
    demand_high_ratio: float = 1.0
    basis: Basis = Basis.ASSUMED

    def __post_init__(self) -> None:
        for name, most in (("requests_per_s", MOST_REQUESTS_PER_S), ("output_cv_ratio", MOST_CV_RATIO)):
            if not 0 <= getattr(self, name) <= most:
                raise DomainError(f"{name} must be from 0 to {most:,.0f}, not {getattr(self, name)}.")
        if not (0 <= self.mean_prompt_tokens < inf and 1 <= self.mean_output_tokens < inf):
            raise DomainError("a request needs mean_prompt_tokens of 0 or more and mean_output_tokens of 1 or more.")
        if not 1 <= self.peak_to_mean_ratio < inf:
            raise DomainError(f"peak_to_mean_ratio is peak over mean, so 1 or more, not {self.peak_to_mean_ratio}.")
        if not 0 < self.demand_low_ratio <= 1 <= self.demand_high_ratio < inf:
            raise DomainError(
                f"demand_low_ratio and demand_high_ratio enclose 1, not {self.demand_low_ratio} to "
                f"{self.demand_high_ratio}."
            )
        if not 0 <= self.answered_fraction <= 1:
            raise DomainError(f"answered_fraction is a share from 0 to 1, not {self.answered_fraction}.")

    @property
    def tokens_per_request(self) -> float:
        return self.mean_prompt_tokens + self.mean_output_tokens

    @property
    def total_tokens_per_s(self) -> float:
        return self.requests_per_s * self.tokens_per_request


def conversation_prompt_tokens(
    system_tokens: float, user_tokens: float, answer_tokens: float, turns_count: int
) -> float:
    """Prompt tokens that a conversation sends in all: every turn sends again what was said before it.

    Equation   n s + u n (n + 1)/2 + a n (n - 1)/2
    Symbols    s system prompt   u one question   a one answer [token]   n turns
    Returns    [token]; quadratic in n, which a prefix cache computes once and an API may bill at its cached price
    Valid for  histories that are sent whole
    Raises     DomainError for negative lengths or turns
    Source     domain_math §6.7
    Example    1,200 of system prompt, questions of 150, answers of 400, six turns (domain_math §14, vector 26)
    >>> conversation_prompt_tokens(1200, 150, 400, 6)
    16350.0
    """
    if not all(0 <= amount < inf for amount in (system_tokens, user_tokens, answer_tokens, turns_count)):
        raise DomainError("a conversation needs lengths and turns of 0 or more.")
    asked, answered = turns_count * (turns_count + 1) / 2, turns_count * (turns_count - 1) / 2
    return turns_count * system_tokens + user_tokens * asked + answer_tokens * answered
