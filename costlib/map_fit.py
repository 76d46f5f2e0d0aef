"""Log ratios of constants that make a model agree with measurements: most probable values, and how far they may be off.

The prior says how far a deployment usually is from the published constants. Where measurements tell, they win; where
they do not, the prior stays, and so does its width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LogModel = Callable[[Floats], Floats]  # log ratios of the constants -> log prediction of each measurement

FOLDS = 5
DRAWS = 500
HUBER = 1.345  # standard deviations beyond which a measurement counts less: 95 % efficient when there is no outlier
LEAST_NOISE = 0.01  # of a measurement: clocks and scrapes are no better
_MOST_STEPS = 25
_CONVERGED = 1e-3  # of a log ratio: a tenth of what windows tell
_LARGEST_STEP = 0.5  # of a log ratio at a time: the model is only locally linear
_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LogFit:
    """Log ratios, k of them, found from n measurements."""

    log_ratio: Floats  # (k,)
    drawn_log_ratio: Floats  # (DRAWS, k): the posterior
    slopes_ratio: Floats  # (n, k): d log prediction / d log constant, at the fit
    left_out_log_ratio: Floats  # (n,): measured over predicted by a fit to the other folds
    noise_ratio: float  # standard deviation of the log of a measurement
    loss_ratio: float  # -2 log posterior density, but for a constant


def fit_log_ratios(
    model: LogModel, log_measured: Floats, prior_log_sd: Floats, blocks: NDArray[np.intp], noise: float | None = None
) -> LogFit:
    """The most probable log ratios, their posterior by a block bootstrap, and blocked cross-validation.

    Equation   min sum rho((log y - f(x)) / s) + sum (x / sd)^2,  rho Huber's loss, s 1.4826 median |log y - f(x)|
               draw: blocks with replacement, and a prior centre drawn from the prior
    Symbols    y measured   f log prediction at log ratios x   sd prior_log_sd   blocks: which stretch of time each
               measurement is of; neighbours err alike, so a stretch is drawn, and left out, whole
    Returns    a LogFit; draws and left-out residuals by the model's linearisation at the fit
    Valid for  measurements in order of time; at least one block. `noise`, where it is given, is not estimated
    Raises     nothing
    Source     domain_math §10.1; Huber, Robust Statistics, 1981; Künsch, 1989 (block bootstrap);
               Oliver, He and Reynolds, 1996 (drawn prior)
    Example    one constant that everything is proportional to, measured 10 % high a hundred times
    >>> found = fit_log_ratios(lambda x: np.zeros(100) + x[0], np.full(100, 0.0953), np.array([0.1]), np.arange(100))
    >>> round(float(np.exp(found.log_ratio[0])), 3)
    1.1
    """
    precision = np.diag(prior_log_sd**-2.0)
    x = np.zeros(len(prior_log_sd))
    for _ in range(_MOST_STEPS):
        residuals = log_measured - model(x)
        slopes = slopes_of(model, x)
        scale = noise or max(LEAST_NOISE, 1.4826 * float(np.median(np.abs(residuals))))
        weights = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(residuals), 1e-12)) / scale**2
        curvature = slopes.T @ (weights[:, None] * slopes) + precision
        move = np.linalg.solve(curvature, slopes.T @ (weights * residuals) - precision @ x)
        x = x + np.clip(move, -_LARGEST_STEP, _LARGEST_STEP)
        if np.abs(move).max(initial=0.0) < _CONVERGED:
            break
    residuals, slopes = log_measured - model(x), slopes_of(model, x)
    pulls = slopes * (weights * residuals)[:, None]
    curvatures = weights[:, None, None] * slopes[:, :, None] * slopes[:, None, :]
    normalised = np.abs(residuals) / scale
    huber = np.where(normalised <= HUBER, normalised**2, 2 * HUBER * normalised - HUBER**2)
    return LogFit(
        log_ratio=x,
        drawn_log_ratio=x + _drawn(pulls, curvatures, blocks, prior_log_sd, x),
        slopes_ratio=slopes,
        left_out_log_ratio=residuals - _moved_by_leaving_out(pulls, curvatures, precision, x, slopes),
        noise_ratio=scale,
        loss_ratio=float(huber.sum() + np.sum((x / prior_log_sd) ** 2)),
    )


def slopes_of(model: LogModel, x: Floats) -> Floats:
    """d log prediction / d log constant, a row for each measurement."""
    steps = np.eye(len(x)) * _DIFFERENCE
    return np.stack([(model(x + step) - model(x - step)) / (2 * _DIFFERENCE) for step in steps], axis=1)


def _drawn(pulls: Floats, curvatures: Floats, blocks: NDArray[np.intp], prior_log_sd: Floats, x: Floats) -> Floats:
    """How far each draw is from the fit."""
    chance = np.random.default_rng(0)
    _, block = np.unique(blocks, return_inverse=True)
    count = int(block.max()) + 1
    block_pulls, block_curvatures = np.zeros((count, len(x))), np.zeros((count, len(x), len(x)))
    np.add.at(block_pulls, block, pulls)
    np.add.at(block_curvatures, block, curvatures)
    times = chance.multinomial(count, np.full(count, 1 / count), DRAWS)
    centres = chance.normal(size=(DRAWS, len(x))) * prior_log_sd
    precision = prior_log_sd**-2.0
    curvature = np.einsum("db,bij->dij", times, block_curvatures) + np.diag(precision)
    pull = times @ block_pulls + (centres - x) * precision
    return np.asarray(np.linalg.solve(curvature, pull[:, :, None])[:, :, 0])


def _moved_by_leaving_out(pulls: Floats, curvatures: Floats, precision: Floats, x: Floats, slopes: Floats) -> Floats:
    """How far the prediction of each measurement moves when its fold is left out of the fit."""
    moved = np.empty(len(pulls))
    for first, last in pairwise(np.linspace(0, len(pulls), FOLDS + 1).astype(int)):
        rest = np.r_[0:first, last : len(pulls)]
        curvature = curvatures[rest].sum(axis=0) + precision
        moved[first:last] = slopes[first:last] @ np.linalg.solve(curvature, pulls[rest].sum(axis=0) - precision @ x)
    return moved
