"""The Pareto front: choices that no other choice beats in cost and in speed at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front(cost: ArrayLike, speed: ArrayLike) -> NDArray[np.intp]:
    """Indices of the points that are not dominated, by rising cost and so by rising speed.

    Equation   i is kept  <=>  no j has  cost_j <= cost_i and speed_j >= speed_i  with one of them strict
    Returns    indices into the arrays; of equal points the first
    Valid for  any order of points; a point whose cost or speed is not finite is no choice, and is left out
    Raises     nothing
    Example    the second costs more than the first and is slower; the last is fast for nobody
    >>> front([1.0, 2.0, 3.0, float("inf")], [10.0, 9.0, 20.0, 99.0]).tolist()
    [0, 2]
    """
    costs, speeds = np.asarray(cost, dtype=float), np.asarray(speed, dtype=float)
    known = np.flatnonzero(np.isfinite(costs) & np.isfinite(speeds))
    rising = known[np.lexsort((-speeds[known], costs[known]))]
    fastest = np.maximum.accumulate(speeds[rising])
    is_faster = np.ones(len(rising), dtype=bool)
    is_faster[1:] = speeds[rising][1:] > fastest[:-1]
    return rising[is_faster]
