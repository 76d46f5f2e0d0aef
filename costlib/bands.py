"""P10, P50 and P90: what parameters, residual and demand leave open, corrected by what happened on held-out data.

All are ratios of what will be to the point prediction, so that they go with step times, costs and throughput alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costlib.errors import DomainError

Floats = NDArray[np.float64]

COVERED = 0.8  # of what happens lies between P10 and P90
_TAILS = (0.1, 0.5, 0.9)
LEAST_DAYS = 7
_DEMAND_DRAWS = 500
_LEAST_DEMAND = 1e-3  # a band of ratios has no zero in it
BLOCK_DAYS = 7  # weeks are drawn whole: a Sunday follows a Saturday


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """P10, P50 and P90 over the point prediction, one for each thing predicted."""

    low_ratio: Floats
    mid_ratio: Floats
    high_ratio: Floats

    def widened(self, margin_log: float) -> "Bands":
        """The band with its edges moved outwards by this much of their log; inwards where it is negative.

        An edge never passes the middle.
        """
        return Bands(
            low_ratio=np.minimum(self.low_ratio * np.exp(-margin_log), self.mid_ratio),
            mid_ratio=self.mid_ratio,
            high_ratio=np.maximum(self.high_ratio * np.exp(margin_log), self.mid_ratio),
        )

    def at(self, chosen: NDArray[np.bool_]) -> "Bands":
        """Those of the chosen predictions."""
        return Bands(
            low_ratio=self.low_ratio[chosen], mid_ratio=self.mid_ratio[chosen], high_ratio=self.high_ratio[chosen]
        )

    def coverage(self, happened_ratio: Floats) -> float:
        """The share of what happened, over its prediction, that lies inside [1]."""
        return float(np.mean((self.low_ratio <= happened_ratio) & (happened_ratio <= self.high_ratio)))


def predictive_bands(slopes_ratio: Floats, parameter_log_draws: Floats, residual_log: Floats) -> Bands:
    """Bands of predictions from what is not known of the parameters and of the single case.

    Equation   draw d: exp(J (x_d - x) + e_d);  quantiles of them
    Symbols    J slopes, a row for each prediction   x_d - x parameter draws less the fit   e_d drawn from the residuals
    Returns    Bands, ratios
    Valid for  residuals of predictions whose own measurement was left out of the fit
    Raises     DomainError without a residual
    Source     domain_math §10.1, step 7
    Example    parameters known exactly and residuals of a tenth to either side
    >>> spread = np.linspace(-0.1, 0.1, 101)
    >>> found = predictive_bands(np.ones((1, 1)), np.zeros((500, 1)), spread)
    >>> bool(0.90 < found.low_ratio[0] < 0.94 and 1.06 < found.high_ratio[0] < 1.10)
    True
    """
    if not len(residual_log):
        raise DomainError("a band needs residuals: nothing was predicted that was left out of the fit.")
    chance = np.random.default_rng(0)
    count = len(parameter_log_draws)
    logs = parameter_log_draws @ slopes_ratio.T + chance.choice(residual_log, count)[:, None]
    low, mid, high = np.exp(np.quantile(logs, _TAILS, axis=0))
    return Bands(low_ratio=low, mid_ratio=mid, high_ratio=high)


def conformal_margin_log(bands: Bands, happened_ratio: Floats) -> float:
    """How far the edges must move so that the bands cover what they promise.

    Equation   the ceil((n + 1) 0.8)-th smallest of max(log low - log y, log y - log high)
    Symbols    y happened over predicted, of n cases that neither fit nor residuals have seen
    Returns    [1], a log; negative where the bands were too wide
    Valid for  cases that are exchangeable with those to come; the largest one where n is too small
    Raises     DomainError without a case
    Source     Romano, Patterson, Candès, Conformalized quantile regression, 2019
    Example    a band of nothing around 1, and cases that are off by 1 to 9 %: 8 of 9 are covered by 8 %
    >>> off = np.exp(np.arange(1, 10) / 100)
    >>> round(conformal_margin_log(Bands(low_ratio=off * 0 + 1, mid_ratio=off * 0 + 1, high_ratio=off * 0 + 1), off), 4)
    0.08
    """
    count = len(happened_ratio)
    if not count:
        raise DomainError("no held-out window: how wide the band must be cannot be told.")
    missed = np.maximum(np.log(bands.low_ratio / happened_ratio), np.log(happened_ratio / bands.high_ratio))
    return float(np.sort(missed)[min(count, int(np.ceil((count + 1) * COVERED))) - 1])


def jointly(*bands: tuple[float, float]) -> tuple[float, float]:
    """Least and most ratio of a product of independent factors, each within its own band around 1.

    Equation   exp(-sqrt(sum log^2 low)), exp(sqrt(sum log^2 high))
    Returns    [1]
    Valid for  factors near log-normal, bands of one coverage that hold 1
    Source     variances of independent logs add
    Example    two factors of 10 % make 14 %
    >>> [round(edge, 3) for edge in jointly((1 / 1.1, 1.1), (1 / 1.1, 1.1))]
    [0.874, 1.144]
    """
    lows, highs = (np.log(edges) for edges in zip(*bands, strict=True))
    return float(np.exp(-np.hypot.reduce(lows))), float(np.exp(np.hypot.reduce(highs)))


def demand_band(daily_requests: Floats, days: int = 30) -> tuple[float, float]:
    """P10 and P90 of the demand of a stretch to come over the mean so far, by drawing weeks of it.

    Equation   mean of `days` days out of blocks of a week, drawn with replacement / mean of all
    Returns    [1], around 1
    Valid for  whole days in a row, at least a week of them, without a trend
    Raises     DomainError for less, or for no demand at all
    Source     Künsch, 1989 (block bootstrap); domain_math §12.5
    Example    the same every day: nothing is open
    >>> demand_band(np.full(28, 5.0))
    (1.0, 1.0)
    """
    known = daily_requests[np.isfinite(daily_requests)]
    if len(known) < LEAST_DAYS or not known.sum() > 0:
        raise DomainError(f"demand of {len(known)} days, of the {LEAST_DAYS} needed, does not tell how it varies.")
    chance = np.random.default_rng(0)
    starts = chance.integers(0, len(known), (_DEMAND_DRAWS, -(-days // BLOCK_DAYS)))
    chosen = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(_DEMAND_DRAWS, -1)[:, :days] % len(known)
    low, high = np.quantile(known[chosen].mean(axis=1) / known.mean(), [0.1, 0.9])
    return min(1.0, max(float(low), _LEAST_DEMAND)), max(1.0, float(high))
