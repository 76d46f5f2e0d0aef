"""One measured point of a deployment, and what it says about every other point of it.

Engine constants are averages over deployments. A deployment differs from them by a little in each group of constants,
by an unknown amount within a known spread. How far it is off at one point therefore tells how far it is off at another,
as much as the two hang on the same constants.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costlib.errors import DomainError

Floats = NDArray[np.float64]

# Standard deviation of the log of what one deployment has in place of each group of fitted constants. Chosen on the
# visible measurements, each model predicted by a fit that had not seen it (docs/accuracy.md).
LOG_SD = {
    "compute": 0.0525,
    "memory": 0.10,
    "overhead": 0.07,
    "collectives": 0.28,
    "kv_reads": 0.105,
    "experts": 0.15,
    "memory_size": 0.084,
    "front_end": 0.5,
    "queue": 0.4,
    "stream": 0.7,
    "prefill": 0.175,
}
SCALE_LOG_SD = 0.035  # everything slower or faster alike
NEAR_LOG_SD = 0.10  # what no constant explains; neighbours share it
NEAR_OCTAVES = 2.0  # how far it reaches: a factor of 4 in batch, lengths, GPUs or bits
NOISE_LOG_SD = 0.04  # repeats of one measurement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Points of one deployment: how their prediction answers to constants, and where they lie.

    `slopes_ratio` is d log prediction / d log constant by group, one number a point; groups left out are 0.
    `octaves_count` has a row for each point: log2 of batch, prompt, output, GPUs and bits.
    """

    slopes_ratio: Mapping[str, Floats]
    octaves_count: Floats

    def __post_init__(self) -> None:
        unknown = sorted(set(self.slopes_ratio) - set(LOG_SD))
        if unknown:
            raise DomainError(f"no group of constants {', '.join(unknown)}; there are: {', '.join(LOG_SD)}.")

    def at(self, points: NDArray[np.intp]) -> "Places":
        return Places(
            slopes_ratio={group: slope[points] for group, slope in self.slopes_ratio.items()},
            octaves_count=self.octaves_count[points],
        )


def covariance(places: Places, others: Places) -> Floats:
    """How alike the log errors of points are, pair by pair.

    Equation   K = s0^2 + sum_g s_g^2 J_g J'_g + sn^2 exp(-d^2 / 2)
    Symbols    s0 SCALE_LOG_SD   s_g LOG_SD   J slopes at a point, J' at the other   sn NEAR_LOG_SD
               d distance in octaves / NEAR_OCTAVES
    Returns    [1] of log residuals, one for each pair
    Valid for  points of one deployment and one kind of figure
    Raises     nothing
    Source     Gaussian process regression, Rasmussen & Williams 2006 §2.2; docs/accuracy.md
    """
    shared = sum(
        LOG_SD[group] ** 2 * slope * others.slopes_ratio[group]
        for group, slope in places.slopes_ratio.items()
        if group in others.slopes_ratio
    )
    squared = ((places.octaves_count - others.octaves_count) ** 2).sum(axis=-1) / NEAR_OCTAVES**2
    return np.asarray(SCALE_LOG_SD**2 + shared + NEAR_LOG_SD**2 * np.exp(-squared / 2), dtype=np.float64)


def anchored_ratio(
    error_ratio: Floats | float,
    between: Floats | float,
    at_anchor: Floats | float,
    noise_log_sd: float = NOISE_LOG_SD,
) -> Floats:
    """What to multiply a prediction by when another point of the deployment is measured.

    Equation   (y_j / p_j)^w,  w = K_ij / (K_jj + noise^2)
    Symbols    y_j measured, p_j predicted at the anchor j   K_ij covariance of the wanted point with it, K_jj its own
    Returns    [1]: posterior median over prediction. 1 where the points share nothing; the whole error of the anchor
               at the anchor itself as noise goes to 0
    Valid for  one anchor; a fit does better with many (costlib.calibration)
    Raises     DomainError when the ratio of the anchor is not above 0
    Source     conditional mean of a bivariate normal, domain_math §10.1; docs/accuracy.md
    Example    a step 20 % slower than predicted, at a point whose error is shared to 0.9: 1.2^0.9
    >>> round(float(anchored_ratio(1.2, between=0.009, at_anchor=0.01, noise_log_sd=0.0)), 4)
    1.1783
    """
    error = np.asarray(error_ratio, dtype=np.float64)
    if not np.all(np.isfinite(error) & (error > 0)):
        raise DomainError("the measured point and its prediction must both be above 0.")
    return np.asarray(error ** (np.asarray(between) / (np.asarray(at_anchor) + noise_log_sd**2)), dtype=np.float64)


def anchored_log_sd(
    own: Floats | float, between: Floats | float, at_anchor: Floats | float, noise_log_sd: float = NOISE_LOG_SD
) -> Floats:
    """Spread that is left in the log of an anchored prediction, with the noise of the next measurement.

    Equation   sqrt(K_ii - K_ij^2 / (K_jj + noise^2) + noise^2)
    Returns    [1], at least the noise
    Source     conditional variance of a bivariate normal
    Example    at the anchor itself only noise is left
    >>> float(anchored_log_sd(0.01, 0.01, 0.01, noise_log_sd=0.0))
    0.0
    """
    left = np.asarray(own) - np.asarray(between) ** 2 / (np.asarray(at_anchor) + noise_log_sd**2)
    return np.asarray(np.sqrt(np.maximum(left, 0.0) + noise_log_sd**2), dtype=np.float64)


def constant_ratios(anchor: Places, error_ratio: float, noise_log_sd: float = NOISE_LOG_SD) -> dict[str, float]:
    """What one measured point says about each group of constants, and about everything alike ("scale").

    Equation   group g: (y / p)^(s_g^2 J_g / (K + noise^2));  scale: (y / p)^(s0^2 / (K + noise^2))
    Symbols    as in `covariance`, of the anchor with itself
    Returns    [1] by group, and "scale", the factor left for predictions themselves
    Valid for  `anchor` of one point
    Raises     DomainError as `anchored_ratio`
    Source     posterior mean of a linear Gaussian model; docs/accuracy.md
    Example    a point that hangs on memory alone, 10 % slow: memory is taken for 4 % slower, the rest is its own
    >>> place = Places(slopes_ratio={"memory": np.array([-1.0])}, octaves_count=np.zeros((1, 5)))
    >>> {group: round(ratio, 3) for group, ratio in constant_ratios(place, 1.1).items()}
    {'memory': 0.959, 'scale': 1.005}
    """
    own = covariance(anchor, anchor)
    scale = {"scale": float(anchored_ratio(error_ratio, SCALE_LOG_SD**2, own, noise_log_sd)[0])}
    groups = {
        group: float(anchored_ratio(error_ratio, LOG_SD[group] ** 2 * slope, own, noise_log_sd)[0])
        for group, slope in anchor.slopes_ratio.items()
    }
    return groups | scale


def live_ratio(
    modelled_ratio: Floats | float,
    base_error_ratio: Floats | float,
    between: Floats | float,
    at_base: Floats | float,
) -> Floats:
    """A what-if from a measured base: changed over measured.

    Equation   r = m e^(w - 1),  w = K_ij / (K_jj + noise^2);  where r and m disagree on the direction, sqrt(m)
    Symbols    m modelled ratio changed / base   e measured / modelled of the base
    Returns    [1]. The measured base may say how much a change does, not whether it helps: that is physics
    Valid for  one change of a deployment whose present point is measured
    Raises     DomainError as `anchored_ratio`
    Source     docs/accuracy.md
    Example    no change is 1, whatever the base
    >>> float(live_ratio(1.0, 1.3, 0.02, 0.02))
    1.0
    """
    modelled = np.asarray(modelled_ratio, dtype=np.float64)
    live = modelled * anchored_ratio(base_error_ratio, between, at_base) / np.asarray(base_error_ratio)
    agree = np.sign(np.log(live)) == np.sign(np.log(modelled))
    return np.asarray(np.where(agree, live, np.sqrt(modelled)), dtype=np.float64)
