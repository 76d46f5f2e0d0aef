"""A logistic regression and what it gets wrong on requests that it was not trained on."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
RIDGE = 1.0  # against the weights of standardised features
_STEPS, _CLOSE = 50, 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidated:
    """Every figure is of folds that were left out.

    `misrouted_fraction` of those sent to the small model need the large one; `wasted_fraction` of those sent to the
    large one do not. `baseline_error_fraction` is that of always saying what is more common.
    """

    error_fraction: float
    baseline_error_fraction: float
    small_fraction: float
    misrouted_fraction: float
    wasted_fraction: float
    folds_count: int
    labels_count: int

    @property
    def has_learnt(self) -> bool:
        """It errs less often than always saying the same, by more than two standard errors of its own."""
        spread = sqrt(self.error_fraction * (1 - self.error_fraction) / self.labels_count)
        return self.error_fraction + 2 * spread < self.baseline_error_fraction


def cross_validated(
    features: NDArray[np.float64], is_large: NDArray[np.bool_], sure_fraction: float, folds_count: int = FOLDS
) -> tuple[CrossValidated, NDArray[np.bool_]]:
    """The figures, and which requests the folds that did not see them would send to the small model.

    Requests are dealt to folds by a fixed shuffle, each kind by itself; so the same log gives the same figures."""
    fold = np.empty(len(features), dtype=int)
    shuffle = np.random.default_rng(7)
    for kind in (False, True):
        rows = np.flatnonzero(is_large == kind)
        shuffle.shuffle(rows)
        fold[rows] = np.arange(len(rows)) % folds_count
    small = np.empty(len(features))
    for index in range(folds_count):
        left_out = fold == index
        centre, scale = features[~left_out].mean(0), features[~left_out].std(0)
        scale[scale == 0] = 1.0
        weights = fitted((features[~left_out] - centre) / scale, ~is_large[~left_out])
        small[left_out] = probability((features[left_out] - centre) / scale, weights)
    to_small = small >= sure_fraction
    share = float(is_large.mean())
    found = CrossValidated(
        error_fraction=float((to_small == is_large).mean()),
        baseline_error_fraction=min(share, 1 - share),
        small_fraction=float(to_small.mean()),
        misrouted_fraction=float(is_large[to_small].mean()) if to_small.any() else 0.0,
        wasted_fraction=float((~is_large[~to_small]).mean()) if (~to_small).any() else 0.0,
        folds_count=folds_count,
        labels_count=len(features),
    )
    return found, to_small


def fitted(x: NDArray[np.float64], y: NDArray[np.bool_], ridge: float = RIDGE) -> NDArray[np.float64]:
    """Weights, the constant last, by Newton's method on the penalised likelihood.

    Equation   minimise  -sum log p(y | x, w)  +  ridge / 2 |w|^2,  the constant without penalty
    Source     Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.4
    >>> one = fitted(np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([False, False, True, True]))
    >>> [round(float(p), 2) for p in probability(np.array([[-1.0], [1.0]]), one)]
    [0.26, 0.74]
    """
    wide = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(wide.shape[1], ridge)
    penalty[-1] = 1e-6
    weights = np.zeros(wide.shape[1])
    for _ in range(_STEPS):
        p = _logistic(wide @ weights)
        slope = wide.T @ (p - y) + penalty * weights
        curve = (wide * (p * (1 - p))[:, None]).T @ wide + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < _CLOSE:
            break
    return weights


def probability(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return _logistic(x @ weights[:-1] + weights[-1])


def _logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(z, -30, 30)))
