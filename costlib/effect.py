"""By how much a series stepped up or down at a change, and how sure that is, where days hang on the days before them.

The interval is a credible one under an autoregressive error with measurement noise, whose two unknowns are integrated
out: on a few weeks of days it covers what it says it covers, where Newey-West errors and block bootstraps, kept beside
it, are too narrow (`./dev bench savings` shows by how much).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate
from costlib.roofline import Floats

LEVEL = 0.05  # of all intervals, where nothing else is asked
LEAST_DAYS = 5  # on each side of a change
_RHO = np.concatenate([[-0.3, -0.15], np.linspace(0, 0.98, 22)])
_NOISE = (0.0, 0.25, 0.5, 0.75)  # shares of the variance that no day hands on to the next
_NOISE_PRIOR = (0.4, 0.2, 0.2, 0.2)
_STEPS = 200  # of the distribution of each grid point
_RANKS = (np.arange(_STEPS) + 0.5) / _STEPS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effect:
    """What is known of one coefficient, in the unit of the series: its distribution, as values and their weights.

    autocorrelation_ratio  of the errors from one day to the next
    error_sd               of a day around what the model expects
    """

    values: Floats
    weights: Floats  # cumulated, to 1
    freedom_count: int
    autocorrelation_ratio: float
    error_sd: float
    errors: "Errors"

    def quantile(self, chance: float) -> float:
        return float(np.interp(chance, self.weights, self.values))

    @property
    def middle(self) -> float:
        return self.quantile(0.5)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The middle 1 - level of the distribution."""
        return self.quantile(level / 2), self.quantile(1 - level / 2)

    @property
    def chance_of_none(self) -> float:
        """Of an effect as far from zero, on either side, where there is none."""
        below = float(np.interp(0.0, self.values, self.weights))
        return 2 * min(below, 1 - below)

    @property
    def standard_error(self) -> float:
        """Of a normal distribution with the same 95 % interval."""
        low, high = self.interval()
        return (high - low) / 2 / _normal_quantile(0.975)

    def saved_fraction(self, level: float = LEVEL) -> Estimate:
        """What a step in a logarithm of cost saves: 1 - e^effect.

        >>> days = np.log([10.0, 10.2, 9.9, 10.1, 8.0, 8.2, 8.1, 7.9])
        >>> step = np.column_stack([np.ones(8), np.repeat([0.0, 1.0], 4)])
        >>> round(effect(days, step, 1, range(8)).saved_fraction().mid, 2)
        0.2
        """
        low, high = self.interval(level)
        mid = min(max(self.middle, low), high)
        saved = (1 - float(np.exp(step)) for step in (high, mid, low))
        return Estimate(**dict(zip(("low", "mid", "high"), saved, strict=True)), basis=Basis.MEASURED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Errors:
    """How likely each kind of error is: autoregression, share of noise that is not handed on, and deviation."""

    weights: Floats
    autoregression_ratio: Floats
    noise_fraction: Floats
    sd: Floats
    freedom_count: int  # of the deviation, which is an estimate itself

    def drawn(self, days_count: int, draws: int, seed: int = 0) -> Floats:
        """Errors of so many days in a row, one row a draw."""
        chance = np.random.default_rng(seed)
        kind = chance.choice(len(self.weights), draws, p=self.weights)
        rho, noise = self.autoregression_ratio[kind], self.noise_fraction[kind]
        shocks, own = chance.standard_normal((2, draws, days_count))
        handed = np.empty_like(shocks)
        handed[:, 0] = shocks[:, 0]
        for day in range(1, days_count):
            handed[:, day] = rho * handed[:, day - 1] + np.sqrt(1 - rho**2) * shocks[:, day]
        both = np.sqrt(1 - noise)[:, None] * handed + np.sqrt(noise)[:, None] * own
        sd = self.sd[kind] * np.sqrt(self.freedom_count / chance.chisquare(self.freedom_count, draws))
        return np.asarray(sd[:, None] * both)


def effect(series: Floats, design: Floats, column: int, days: Sequence[int]) -> Effect:
    """The coefficient of one column of `design`.

    Equation   y = X b + e,  cov(e_s, e_t) = s^2 [(1 - k) r^|s - t| + k (s = t)]
               p(b_c) = sum over r, k of p(r, k | y) t_{n-p}(b_c(r, k), s_c(r, k)), both by generalised least squares
               p(r, k | y) ~ |V|^-1/2 |X'V^-1 X|^-1/2 RSS^-(n-p)/2 p(k) / sqrt(1 - r)
    Symbols    y series [any unit]   X design, one row a day   r autoregression   k share of noise that is not handed on
    Returns    an Effect in the unit of the series
    Valid for  days in whole numbers, missing ones left out; errors about normal after a logarithm
    Raises     DomainError where rows are fewer than columns + 3, something is not finite, or columns say the same
    Source     Zellner and Tiao 1964 (regression with autocorrelated errors); REML as marginal likelihood, Harville 1974
    Example    two weeks at 1.0 and two at 0.9, a little noise
    >>> noise = np.random.default_rng(1).normal(0, 0.01, 28)
    >>> after = np.repeat([0.0, 1.0], 14)
    >>> found = effect(1 - 0.1 * after + noise, np.column_stack([np.ones(28), after]), 1, range(28))
    >>> low, high = found.interval()
    >>> low < -0.1 < high, round(found.middle, 2)
    (True, -0.1)
    """
    rows, columns = design.shape
    if rows < columns + 3:
        raise DomainError(f"{rows} days are too few for {columns} unknowns; take a longer window.")
    if not (np.isfinite(series).all() and np.isfinite(design).all()):
        raise DomainError("a day is not a number; leave it out.")
    if np.linalg.matrix_rank(design / np.maximum(np.abs(design).max(axis=0), 1e-12)) < columns:
        raise DomainError("two explanations change on the same days; they cannot be told apart.")
    whiten, log_determinant, prior = _errors(tuple(int(day) - int(days[0]) for day in days))
    white = whiten @ np.column_stack([design, series])
    gram = white.transpose(0, 2, 1) @ white
    inner, outer = gram[:, :columns, :columns], gram[:, :columns, columns]
    inverse = np.linalg.inv(inner)
    fitted = np.einsum("gij,gj->gi", inverse, outer)
    freedom = rows - columns
    left = np.maximum(gram[:, columns, columns] - (outer * fitted).sum(axis=1), 1e-24)
    log_weight = prior - 0.5 * log_determinant - 0.5 * np.linalg.slogdet(inner)[1] - freedom / 2 * np.log(left)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    middle, spread = fitted[:, column], np.sqrt(left / freedom * inverse[:, column, column])
    values = (middle[:, None] + spread[:, None] * _t_quantiles(freedom)).ravel()
    order = np.argsort(values, kind="stable")
    chance = np.repeat(weight / _STEPS, _STEPS)[order]
    rho, noise = np.tile(_RHO, len(_NOISE)), np.repeat(_NOISE, len(_RHO))
    return Effect(
        values=values[order],
        weights=np.cumsum(chance) - chance / 2,
        freedom_count=freedom,
        autocorrelation_ratio=float(weight @ ((1 - noise) * rho)),
        error_sd=float(weight @ np.sqrt(left / freedom)),
        errors=Errors(
            weights=weight,
            autoregression_ratio=rho,
            noise_fraction=noise,
            sd=np.sqrt(left / freedom),
            freedom_count=freedom,
        ),
    )


@lru_cache(maxsize=8)  # 5 MiB each, of twelve weeks
def _errors(days: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """For each grid point what makes its errors independent, the log of its determinant, and its log prior."""
    apart = np.abs(np.subtract.outer(days, days))
    own = np.eye(len(days))
    made = []
    for share in _NOISE:
        for rho in _RHO:
            handed = np.where(apart == 0, 1.0, np.sign(rho) ** apart * np.abs(rho) ** apart)
            made.append((1 - share) * handed + share * own)
    root = np.linalg.cholesky(np.array(made))
    log_determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    prior = np.add.outer(np.log(_NOISE_PRIOR), -0.5 * np.log1p(-np.maximum(_RHO, 0.0))).ravel()
    return np.asarray(np.linalg.inv(root)), np.asarray(log_determinant), np.asarray(prior)


@lru_cache(maxsize=256)
def _t_quantiles(freedom: int) -> Floats:
    """Quantiles of Student's t by Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5).

    >>> float(np.interp(0.975, _RANKS, _t_quantiles(10)).round(2))
    2.23
    """
    z = np.array([_normal_quantile(float(rank)) for rank in _RANKS])
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return np.asarray(sum(term / freedom**power for power, term in enumerate(terms)))


def _normal_quantile(chance: float) -> float:
    return NormalDist().inv_cdf(chance)


# Other ways to ask, to be shown beside it -----------------------------------------------------------------------------


def newey_west(series: Floats, design: Floats, column: int, lag_days: int = 7) -> tuple[float, float]:
    """The coefficient by least squares, and its standard error with Newey and West's weights (1987).

    Valid for  long series: on a few weeks the interval is too narrow
    """
    bread = np.linalg.inv(design.T @ design)
    left = series - design @ (bread @ design.T @ series)
    scores = design * left[:, None]
    meat = scores.T @ scores
    for lag in range(1, min(lag_days, len(series) - 1) + 1):
        pair = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lag_days + 1)) * (pair + pair.T)
    spread = bread @ meat @ bread * len(series) / (len(series) - design.shape[1])
    return float((bread @ design.T @ series)[column]), float(np.sqrt(max(spread[column, column], 0.0)))


def block_bootstrap(
    series: Floats, design: Floats, column: int, block_days: int = 7, draws: int = 2000
) -> tuple[float, float, float]:
    """The coefficient by least squares with the 2.5th and 97.5th percentile over moving blocks of what it leaves.

    Source     Künsch 1989. Seeded: the same series gives the same interval
    Valid for  long series: on a few weeks the interval is too narrow
    """
    rows, columns = design.shape
    map_ = np.linalg.pinv(design)
    middle = float(map_[column] @ series)
    left = (series - design @ (map_ @ series)) * np.sqrt(rows / max(rows - columns, 1))
    block = min(block_days, rows)
    starts = np.random.default_rng(0).integers(0, rows - block + 1, (draws, -(-rows // block)))
    drawn = left[(starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :rows]]
    drawn -= drawn.mean(axis=1, keepdims=True)
    low, high = np.quantile(drawn @ map_[column], [LEVEL / 2, 1 - LEVEL / 2])
    return middle, middle + float(low), middle + float(high)
