"""What an evaluation says about a lever that changes answers: how many are still accepted, and how sure that is."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from costlib.errors import DomainError

_Z95 = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Of `evaluated_count` answers with the lever on, the share as good as today's. None evaluated: unproven."""

    accepted_fraction: float
    evaluated_count: float

    @property
    def is_proof(self) -> bool:
        return self.evaluated_count > 0


def least_accepted_fraction(accepted_fraction: float, evaluated_count: float) -> float:
    """The share accepted that an evaluation is 95 % sure of: the lower end of Wilson's interval.

    Equation   (p + z^2/2n - z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n),   z = 1.645
    Returns    [1]; 0 where nothing was evaluated
    Valid for  answers drawn at random from those that users get
    Raises     DomainError for a share outside 0 to 1 or fewer than no answers
    Source     Wilson 1927
    Example    all of 300 accepted: 1 % may be worse all the same (the rule of three says 3/n)
    >>> round(least_accepted_fraction(1.0, 300), 3), round(least_accepted_fraction(0.98, 500), 3)
    (0.991, 0.967)
    """
    if not 0 <= accepted_fraction <= 1 or not evaluated_count >= 0:
        raise DomainError(f"{accepted_fraction} of {evaluated_count} answers is no evaluation: a share is 0 to 1.")
    if not evaluated_count:
        return 0.0
    n, z2 = evaluated_count, _Z95**2
    spread = _Z95 * sqrt(accepted_fraction * (1 - accepted_fraction) / n + z2 / (4 * n * n))
    return max(0.0, (accepted_fraction + z2 / (2 * n) - spread) / (1 + z2 / n))


def accepted_of_all(fractions: Iterable[float]) -> float:
    """The share accepted once several levers change answers: each may spoil others.

    Equation   max(0, 1 - sum of (1 - a))
    Returns    [1], the least it can be
    Valid for  levers evaluated one by one; together evaluated they do better or as well
    Source     Boole's inequality
    Example    two that each keep 98 %
    >>> round(accepted_of_all([0.98, 0.98]), 2)
    0.96
    """
    return max(0.0, 1 - sum(1 - fraction for fraction in fractions))
