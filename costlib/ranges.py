"""What is not known yet: a least, a likely and a greatest value, and draws from it."""

from dataclasses import dataclass
from enum import StrEnum
from math import inf, isfinite

import numpy as np

from costlib.errors import DomainError
from costlib.fleet_cost import Z90
from costlib.roofline import Floats


class Shape(StrEnum):
    """How values lie between low and high."""

    PERT = "pert"  # within low and high, most near mode
    TRIANGULAR = "triangular"  # within low and high, falling straight from mode
    LOGNORMAL = "lognormal"  # factors around mode; low and high are P10 and P90, and draws go beyond them


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Low, mode and high of one factor, in the factor's unit. Of a log-normal `mode` is the middle: as many draws lie
    above as below, and each half has its own width."""

    low: float
    mode: float
    high: float
    shape: Shape = Shape.PERT

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.mode <= self.high < inf):
            raise DomainError(f"a range needs 0 <= low <= mode <= high, not {self.low}, {self.mode}, {self.high}.")
        if self.shape is Shape.LOGNORMAL and not self.low > 0:
            raise DomainError(
                "a lognormal range is of factors: its low must be above 0. Use pert for one that can be 0."
            )

    @property
    def is_known(self) -> bool:
        return self.low == self.high

    @property
    def middle(self) -> float:
        """The mean of draws; of a log-normal its median [unit of the factor].

        >>> Range(low=1, mode=2, high=9).middle, Range(low=1, mode=2, high=9, shape=Shape.LOGNORMAL).middle
        (3.0, 2)
        """
        if self.shape is Shape.LOGNORMAL:
            return self.mode
        weight = 4 if self.shape is Shape.PERT else 1
        return (self.low + weight * self.mode + self.high) / (2 + weight)

    def draws(self, count: int, chance: np.random.Generator) -> Floats:
        """
        Equation   PERT  low + w Beta(1 + 4 (mode - low)/w, 1 + 4 (high - mode)/w),  w = high - low
                   log-normal  mode (mode/low)^(z/1.2816) below, mode (high/mode)^(z/1.2816) above, z standard normal
        Returns    [unit of the factor], `count` independent values
        Valid for  factors that do not hang on each other
        Raises     nothing
        Source     Malcolm et al. 1959 (PERT); two-piece log-normal: Fechner 1897
        Example    a log-normal keeps its P10, P50 and P90
        >>> drawn = Range(low=1, mode=2, high=8, shape=Shape.LOGNORMAL).draws(100_000, np.random.default_rng(1))
        >>> [round(float(edge)) for edge in np.quantile(drawn, (0.1, 0.5, 0.9))]
        [1, 2, 8]
        """
        if self.is_known:
            return np.full(count, float(self.mode))
        width = self.high - self.low
        if self.shape is Shape.LOGNORMAL:
            z = chance.standard_normal(count)
            edge = np.where(z < 0, self.mode / self.low, self.high / self.mode)
            return np.asarray(self.mode * edge ** (z / Z90))
        if self.shape is Shape.TRIANGULAR:
            return chance.triangular(self.low, self.mode, self.high, count)
        rising, falling = 1 + 4 * (self.mode - self.low) / width, 1 + 4 * (self.high - self.mode) / width
        return np.asarray(self.low + width * chance.beta(rising, falling, count))


def known(value: float) -> Range:
    """A factor without doubt. Raises DomainError for what is no number from 0 on."""
    if not isfinite(value):
        raise DomainError(f"a factor is a number from 0 on, not {value}.")
    return Range(low=value, mode=value, high=value)
