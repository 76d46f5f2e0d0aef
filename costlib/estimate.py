"""What a number is: its value, its range, and how we know it."""

from dataclasses import dataclass
from enum import StrEnum


class Basis(StrEnum):
    """How a number is known, best first. A result is only as good as its weakest input."""

    MEASURED = "measured"
    CALIBRATED = "calibrated"
    ASSUMED = "assumed"
    EXTRAPOLATED = "extrapolated"
    UNDEFINED = "undefined"


_ORDER = list(Basis)


def weakest(*bases: Basis) -> Basis:
    """The basis of a result computed from inputs with these bases.

    >>> weakest(Basis.MEASURED, Basis.ASSUMED)
    <Basis.ASSUMED: 'assumed'>
    """
    return max(bases, key=_ORDER.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undefined:
    """A number that does not exist, and why. Shown as its reason; never as zero, inf or NaN."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with the range its assumptions allow, low <= mid <= high, all in one unit."""

    low: float
    mid: float
    high: float
    basis: Basis

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"an estimate needs low <= mid <= high, not {self.low}, {self.mid}, {self.high}")
