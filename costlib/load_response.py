"""How many GPU-hours an hour's work takes, as measured: replicas come by whole nodes and never go below a floor."""

from collections.abc import Callable

import numpy as np

from costlib.roofline import Floats

_MOST_BINS = 48


def response(work: Floats, gpu_hours: Floats) -> Callable[[Floats], Floats]:
    """GPU-hours as a function of the work of an hour, which never falls.

    Equation   means of bins with equally many hours, made monotone by pooling neighbours that fall, straight between
               them; below the first as in the first, above the last in proportion
    Symbols    work, gpu_hours one value for each hour in which both are known [unit of work, GPU-hour]
    Returns    a function of an array of work; NaN stays NaN
    Raises     ValueError where there is no hour
    Source     Ayer et al. 1955 (pool adjacent violators)
    Example    a floor of 2 GPUs, and one for each 10 units above 20
    >>> work = np.arange(0.0, 60.0)
    >>> usual = response(work, np.maximum(2.0, np.ceil(work / 10)))
    >>> usual(np.array([5.0, 45.0, 118.0])).round(1).tolist()
    [2.0, 5.0, 12.3]
    """
    if not len(work):
        raise ValueError("no hour is known")
    order = np.argsort(work, kind="stable")
    bins = np.array_split(order, min(_MOST_BINS, max(1, len(order) // 4)))
    centres: list[float] = []
    means: list[float] = []
    counts: list[int] = []
    for one in bins:
        centre, mean, count = float(work[one].mean()), float(gpu_hours[one].mean()), len(one)
        while means and means[-1] > mean:
            total = counts[-1] + count
            centre = (centres.pop() * counts[-1] + centre * count) / total
            mean = (means.pop() * counts.pop() + mean * count) / total
            count = total
        centres.append(centre)
        means.append(mean)
        counts.append(count)
    last_centre, last_mean = centres[-1], means[-1]

    def usual(asked: Floats) -> Floats:
        inside = np.interp(asked, centres, means)
        beyond = last_mean * asked / last_centre if last_centre > 0 else inside
        known = np.where(asked > last_centre, beyond, inside)
        return np.asarray(np.where(np.isnan(asked), np.nan, known))  # of one bin, `interp` knows all of them

    return usual
