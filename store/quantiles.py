"""Quantiles of many histograms at once, by the rule of `costlib.telemetry.quantile`."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def quantiles(bounds: Sequence[float], increments: Floats, qs: Sequence[float]) -> list[Floats]:
    """For each q the q-quantile of each row; NaN for a row that holds nothing.

    `increments` (n, buckets): observations in each bucket by itself. `bounds` (buckets,): upper bounds, the last +Inf.

    >>> [array.tolist() for array in quantiles([0.5, 1.0, float("inf")], np.array([[80.0, 20.0, 0.0]]), [0.9])]
    [[0.75]]
    """
    upper = np.array(bounds)
    lower = np.concatenate(([0.0], upper[:-1]))
    cumulative = np.cumsum(increments, axis=1)
    below = np.concatenate((np.zeros((len(cumulative), 1)), cumulative[:, :-1]), axis=1)
    total, rows = cumulative[:, -1], np.arange(len(cumulative))
    found = []
    for q in qs:
        rank = q * total
        bucket = np.argmax(cumulative >= rank[:, None], axis=1)
        inside = cumulative[rows, bucket] - below[rows, bucket]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(inside > 0, (rank - below[rows, bucket]) / inside, 1.0)
            width = np.where(np.isinf(upper[bucket]), 0.0, upper[bucket] - lower[bucket])
        found.append(np.where(total > 0, lower[bucket] + width * part, np.nan))
    return found


def quantiles_by_bounds(
    bounds_ids: Sequence[str | None], increments: Floats, bounds: Mapping[str, Sequence[float]], qs: Sequence[float]
) -> list[Floats]:
    """As `quantiles`, each row with the bounds that its id stands for; NaN for a row whose id stands for none."""
    results = [np.full(len(bounds_ids), np.nan) for _ in qs]
    ids = np.array([item if item in bounds else "" for item in bounds_ids], dtype=object)
    for key in set(ids) - {""}:
        rows = ids == key
        for result, values in zip(
            results, quantiles(bounds[key], increments[rows][:, : len(bounds[key])], qs), strict=True
        ):
            result[rows] = values
    return results
