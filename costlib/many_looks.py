"""How sure an interval must be where somebody looks more than once, or several changes are tested together."""

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist

from costlib.effect import LEVEL
from costlib.errors import DomainError

_NORMAL = NormalDist()


def spent_level(elapsed_fraction: float, level: float = LEVEL) -> float:
    """What of `level` may be used up when a part of the days is over.

    Equation   2 (1 - Phi(z_{1 - level/2} / sqrt(t)))
    Valid for  0 < t <= 1; early looks may use next to nothing
    Source     Lan and DeMets, Discrete sequential boundaries for clinical trials (1983), O'Brien and Fleming's shape
    Example    half of the days are over
    >>> round(spent_level(0.5), 4), round(spent_level(1.0), 4)
    (0.0056, 0.05)
    """
    if not 0 < elapsed_fraction <= 1:
        raise DomainError(f"the part of the days that is over lies between 0 and 1, not at {elapsed_fraction}.")
    return 2 * (1 - _NORMAL.cdf(_NORMAL.inv_cdf(1 - level / 2) / sqrt(elapsed_fraction)))


def level_of_look(elapsed_fraction: float, looks_count: int, level: float = LEVEL) -> float | None:
    """The level of the newest look that is due, of `looks_count` at equal distances; None before the first.

    Equation   level_k = spent(k / K) - spent((k - 1) / K): all looks together err as often as one would
    Example    the second of two looks has what the first did not use
    >>> level_of_look(0.4, 2), round(level_of_look(1.0, 2), 4), level_of_look(0.9, 1)
    (None, 0.0444, None)
    """
    if looks_count < 1:
        raise DomainError(f"there is one look at least, not {looks_count}.")
    due = min(looks_count, int(elapsed_fraction * looks_count + 1e-9))
    if due < 1:
        return None
    before = spent_level((due - 1) / looks_count, level) if due > 1 else 0.0
    return spent_level(due / looks_count, level) - before


def holm(chances: Mapping[str, float], level: float = LEVEL) -> dict[str, float]:
    """The level at which each of several tests is read, so that one error among all is as rare as `level`.

    Equation   the k-th smallest of m chances is read at level / (m - k + 1), and none after the first that fails passes
    Returns    levels by name; after the first that fails, its own level for all that follow
    Source     Holm, A simple sequentially rejective multiple test procedure (1979)
    Example    two changes tested together
    >>> holm({"a": 0.01, "b": 0.04})
    {'a': 0.025, 'b': 0.05}
    >>> holm({"a": 0.03, "b": 0.04})
    {'a': 0.025, 'b': 0.025}
    """
    found: dict[str, float] = {}
    stopped_at: float | None = None
    for place, (name, chance) in enumerate(sorted(chances.items(), key=lambda item: (item[1], item[0]))):
        own = level / (len(chances) - place) if stopped_at is None else stopped_at
        found[name] = own
        if stopped_at is None and chance > own:
            stopped_at = own
    return found
