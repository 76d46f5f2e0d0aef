"""Commitments: GPUs reserved for a term, used first and paid whole, whatever runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Any

import numpy as np

from costlib.errors import DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """GPUs reserved until `ends_on`, that day included: payable every hour, used or not, and for no other GPU."""

    gpu_key: str
    gpus_count: int
    usd_per_gpu_hour: float
    ends_on: date

    def __post_init__(self) -> None:
        if not 0 < self.gpus_count < inf:
            raise DomainError(f"a commitment is of 1 GPU or more, not {self.gpus_count}.")
        if not 0 <= self.usd_per_gpu_hour < inf:
            raise DomainError(f"a commitment costs 0 or more USD per GPU-hour, not {self.usd_per_gpu_hour}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All that is committed of one GPU."""

    gpu_key: str
    gpus_count: int
    usd_per_hour: float

    def used_ratio(self, gpus_count: Any, usd_per_hour: Any) -> Any:
        """What running GPUs cost with the pool over what they cost at their own prices.

        Equation   1 - m/n + m c/(C s),   m = min(n, C)
        Symbols    n GPUs running, together $s an hour at their own prices   C GPUs committed for $c an hour
        Returns    [1], shape of the arguments; 1 where nothing runs
        Valid for  deployments that share the pool in proportion to what they run
        Example    eight reserved at $2.10, and ten running at $3.50: eight of them cost $1.40 less
        >>> pool = Pool(gpu_key="h100-sxm", gpus_count=8, usd_per_hour=8 * 2.10)
        >>> round(float(pool.used_ratio(10, 35.0)) * 35.0, 2)
        23.8
        """
        running, spent = np.asarray(gpus_count, dtype=float), np.asarray(usd_per_hour, dtype=float)
        used = np.minimum(running, self.gpus_count)
        each = self.usd_per_hour / self.gpus_count
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = 1 - used / running + used * each / spent
        return np.where((running > 0) & (spent > 0), ratio, 1.0)

    def unused_usd_per_hour(self, gpus_count: Any) -> Any:
        """What is paid for GPUs that nothing runs on.

        >>> pool = Pool(gpu_key="h100-sxm", gpus_count=8, usd_per_hour=8 * 2.10)
        >>> round(float(pool.unused_usd_per_hour(5)), 2), round(float(pool.unused_usd_per_hour(10)), 2)
        (6.3, 0.0)
        """
        left = self.gpus_count - np.minimum(np.asarray(gpus_count, dtype=float), self.gpus_count)
        return left * self.usd_per_hour / self.gpus_count


def pools(commitments: Iterable[Commitment], on: date) -> tuple[Pool, ...]:
    """What is committed on day `on`, by GPU."""
    alive = [one for one in commitments if on <= one.ends_on]
    return tuple(
        Pool(
            gpu_key=key,
            gpus_count=sum(one.gpus_count for one in alive if one.gpu_key == key),
            usd_per_hour=sum(one.gpus_count * one.usd_per_gpu_hour for one in alive if one.gpu_key == key),
        )
        for key in dict.fromkeys(one.gpu_key for one in alive)
    )
