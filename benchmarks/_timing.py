"""Repeated timing: the median and the 95th percentile of single calls."""

import time
from collections.abc import Callable
from statistics import median, quantiles


def timed_ms(
    call: Callable[[], object], times: int = 50, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Milliseconds of each call, after one warm-up."""
    call()
    found = []
    for _ in range(times):
        begin = clock()
        call()
        found.append((clock() - begin) * 1e3)
    return found


def median_and_p95(values: list[float]) -> str:
    return f"{median(values):8.3f} {quantiles(values, n=20)[-1]:8.3f}"
