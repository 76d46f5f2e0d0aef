"""What the sample's requests waited for, hour by hour, as vLLM's histograms would have it."""

from statistics import NormalDist
from typing import Any

import numpy as np

from costlib.queueing import erlang_c_fraction
from costlib.replica import Replica
from store.samples import bounds_id
from store.schema import BUCKETS

# The buckets of vLLM 0.32, without +Inf.
TTFT_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
               80.0, 160.0, 640.0, 2560.0)  # fmt: skip
TPOT_BOUNDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
               80.0)  # fmt: skip
BOUNDS = {"ttft_s": (*TTFT_BOUNDS, np.inf), "tpot_s": (*TPOT_BOUNDS, np.inf)}

SPREAD = (
    0.42  # standard deviation of the logarithm of a latency: the p95 is about twice the median, as in the live sample
)
_RATES_COUNT = 49  # rates at which a replica is asked; between them, linear
_MOST_BUSY_FRACTION = 0.98  # of the slots: a queue has no steady state beyond
_DEVIATIONS = np.linspace(-6, 6, 601)
_NORMAL = np.array([NormalDist().cdf(z) for z in _DEVIATIONS])


def waits(replica: Replica, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each rate of one replica: the mean TTFT of who finds a slot free [s], the share that does not, its wait [s].

    Equation   slots as in M/M/c (`queueing.erlang_c_fraction`): c the largest batch, a what runs, wait S / (c - a)
    """
    grid = np.linspace(0.0, replica.capacity_requests_per_s, _RATES_COUNT)
    slots = replica.batch_count
    running = np.minimum([replica.running_count(rate) for rate in grid], _MOST_BUSY_FRACTION * slots)
    served_s = running / np.maximum(grid, grid[1] / 2)  # Little's law
    full = [erlang_c_fraction(float(one), slots) for one in running]
    of_grid = ([replica.ttft_s(rate) for rate in grid], full, served_s / (slots - running))
    ttft_s, waiting, wait_s = (np.interp(rates, grid, values) for values in of_grid)
    return ttft_s, waiting, wait_s


def histogram(name: str, requests: np.ndarray, *parts: tuple[Any, np.ndarray]) -> dict[str, Any]:
    """Columns of `usage_hour`: `requests` of each hour, spread about `parts`: a share of them, and its mean [s]."""
    bounds = BOUNDS[name]
    below, mean_s = np.zeros((len(requests), len(bounds))), np.zeros(len(requests))
    for share, of_part_s in parts:
        middle = np.log(of_part_s) - SPREAD**2 / 2
        deviations = (np.log(bounds) - middle[:, None]) / SPREAD
        below += np.broadcast_to(share, len(requests))[:, None] * np.interp(deviations, _DEVIATIONS, _NORMAL)
        mean_s += share * of_part_s
    counts = np.diff(np.rint(below * requests[:, None]).astype(np.int64), axis=1, prepend=0)
    return {
        f"{name}_sum": requests * mean_s,
        f"{name}_count": requests,
        f"{name}_bounds_id": [bounds_id(bounds)] * len(requests),
        **dict(zip(BUCKETS[name], counts.T, strict=False)),
    }
