"""What changes came to of what was promised, by lever: the next promise of the same lever counts that in."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, isfinite, sqrt

import numpy as np

from costlib.fleet_cost import Z90
from costlib.levers import lever as lever_of
from costlib.roofline import Floats
from costlib.saving import Entry, Learnt, Verdict

PRIOR_SD_RATIO = 0.3  # assumed: of four levers in five, changes come to 62 to 138 % of what is promised
PRIOR_WEIGHT_COUNT = 3  # changes that the assumption counts for, and the fewest that say anything about it
LEAST_FRACTION = 0.005  # promises below half a percent of the cost of a unit say nothing about a ratio
LEAST_RATIO, MOST_RATIO = -1.0, 3.0  # of a small promise anything is a large multiple: cut, so that it is not all
LEAST_SD_RATIO = 0.01  # nothing is measured to better than a percent of what was promised
NOTHING_LEARNT: Mapping[str, Learnt] = {}
_TELLS_NOTHING = (Verdict.CANNOT_TELL, Verdict.GUARD_BROKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Realised:
    """What one change came to of what was promised, and how sure that is; `weight_fraction` is each lever's part."""

    lever_keys: tuple[str, ...]
    ratio: float
    sd_ratio: float

    @property
    def weight_fraction(self) -> float:
        return 1 / len(self.lever_keys)


def realised(entry: Entry) -> Realised | None:
    """Measured over promised.

    Equation   r = (1 - e^d) / p, cut at -1 and 3;  s^2 = (e^d se / p)^2 + ((p90 - p10) / (2 1.2816 p))^2
    Symbols    d the signed log effect, se its standard error; p, p10, p90 the promised part of the cost of a unit. The
               promise's own range counts at its middle, whatever came of it: else what failed would weigh most
    Returns    a ratio [1] and its standard deviation; None where it tells nothing: unsigned, without a promise of at
               least half a percent, not measured well enough, or bought with latency or failures beyond their margin.
               A saving that was not shown, one that cost more, and one taken back do tell
    Valid for  effects whose errors are about normal
    Raises     nothing
    Source     the delta method; domain_math §12.7
    """
    plan, signed = entry.plan, entry.signed
    if plan is None or signed is None or signed.verdict in _TELLS_NOTHING or not plan.lever_keys:
        return None
    promised = plan.projection.saved_fraction
    if promised.mid < LEAST_FRACTION or not (isfinite(signed.log_effect) and isfinite(signed.standard_error)):
        return None
    after = exp(min(signed.log_effect, 10.0))  # what costs e^10 times as much has an error in it, not an overflow
    measured_sd = after * signed.standard_error / promised.mid
    promised_sd = (promised.high - promised.low) / (2 * Z90 * promised.mid)
    return Realised(
        lever_keys=tuple(dict.fromkeys(plan.lever_keys)),
        ratio=min(max((1 - after) / promised.mid, LEAST_RATIO), MOST_RATIO),
        sd_ratio=max(sqrt(measured_sd**2 + promised_sd**2), LEAST_SD_RATIO),
    )


def learnt(entries: Iterable[Entry]) -> Mapping[str, Learnt]:
    """What a change with each lever is to be expected to come to of its promise, after those that were signed.

    Equation   t^2 = (3 0.3^2 + n max(0, (sum w (r - 1)^2 - n) / sum w)) / (3 + n),  w = 1/s^2; 0.3^2 while n < 3
               r_l = sum w r / sum w of a lever's changes,  v_l = max(1, sum w (r - r_l)^2 / (k - 1)) / sum w
               mean_l = (1/t^2 + r_l / v_l) / (1/t^2 + 1/v_l),  sd_l = (1/t^2 + 1/v_l)^-1/2
    Symbols    r, s as `realised`; n changes in all, k with this lever; t how far levers are from their promise, by the
               moments of DerSimonian and Laird about 1. The prior's mean 1 is what every promise says of itself. Its
               sd of 0.3 is ASSUMED, not measured, and counts as much as three changes: by a few that happen to agree,
               t would be 0 and nothing could be learnt. What a lever's changes differ by beyond their errors widens v
    Returns    by lever key, of levers with a change that tells something; the same in any order of the entries. One of
               several levers counts for each with its weight shared: it cannot say which of them fell short
               95 % intervals cover 93 to 98 % in simulated ledgers of four levers; by the moments alone, 56 to 92 %
    Valid for  changes that were chosen before anybody knew their outcome, on one fleet
    Raises     nothing
    Source     DerSimonian and Laird 1986; Morris 1983 (empirical Bayes); Birge 1932 (scatter); domain_math §12.7
    """
    found = sorted(filter(None, map(realised, entries)), key=lambda one: (one.lever_keys, one.ratio, one.sd_ratio))
    by_lever: dict[str, list[Realised]] = defaultdict(list)
    for one in found:
        for key in one.lever_keys:
            by_lever[key].append(one)
    prior = 1 / _spread(found)
    return {key: _posterior(key, changes, prior) for key, changes in sorted(by_lever.items())}


def _spread(found: list[Realised]) -> float:
    """The variance of levers about what they promise."""
    count = len(found)
    if count < PRIOR_WEIGHT_COUNT:
        return PRIOR_SD_RATIO**2
    weights = np.array([1 / one.sd_ratio**2 for one in found])
    off = np.array([one.ratio - 1 for one in found])
    moments = max(0.0, float((weights @ off**2 - count) / weights.sum()))
    return (PRIOR_WEIGHT_COUNT * PRIOR_SD_RATIO**2 + count * moments) / (PRIOR_WEIGHT_COUNT + count)


def _posterior(key: str, changes: list[Realised], prior: float) -> Learnt:
    weights = np.array([one.weight_fraction / one.sd_ratio**2 for one in changes])
    ratios = np.array([one.ratio for one in changes])
    mean = float(weights @ ratios / weights.sum())
    scatter = float(weights @ (ratios - mean) ** 2) / (len(changes) - 1) if len(changes) > 1 else 1.0
    weight = float(weights.sum()) / max(1.0, scatter)
    return Learnt(
        lever_key=key,
        mean_ratio=(prior + weight * mean) / (prior + weight),
        sd_ratio=(prior + weight) ** -0.5,
        changes_count=len(changes),
    )


def drawn_ratio(changes: Iterable[tuple[str, float]], known: Mapping[str, Learnt], z: Floats) -> Floats:
    """What of a projected saving is to be expected, in each draw.

    Equation   sum over levers of |change| (mean + sd z) / sum of |change|; 1 for a lever of which nothing is learnt
    Symbols    changes  what each pulled lever changes [USD per month]
               z        standard normal deviates, a row each draw, a column for each lever in `known`, in its order
    Returns    [1], one each draw
    Valid for  levers that are right or wrong about their promise each for itself
    """
    weights = {key: abs(change) for key, change in changes}
    total = sum(weights.values())
    ratio = np.ones(len(z))
    for column, (key, one) in enumerate(known.items()):
        ratio += (weights.get(key, 0.0) / total if total else 0.0) * (one.mean_ratio - 1 + one.sd_ratio * z[:, column])
    return ratio


def learnt_sentence(one: Learnt) -> str:
    """
    >>> learnt_sentence(Learnt(lever_key="prefix_caching", mean_ratio=0.82, sd_ratio=0.1, changes_count=1))
    'Prefix caching is expected to come to 82% of what is projected, after 1 signed change: the range counts that in.'
    """
    changes = "1 signed change" if one.changes_count == 1 else f"{one.changes_count} signed changes"
    return (
        f"{lever_of(one.lever_key).label} is expected to come to {one.mean_ratio:.0%} of what is projected, "
        f"after {changes}: the range counts that in."
    )
