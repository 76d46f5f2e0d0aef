"""What a lever was published to do beside what the model says it does: rows, their table and its summary."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

LEAST_CHANGE = 0.05  # below it a direction is noise, as in docs/accuracy.md
_HALVINGS = 40
_MOST_ACCEPTANCE = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverRow:
    """One published change as a speed-up: above 1 a gain, below 1 a loss."""

    what: str
    measured_ratio: float
    predicted_ratio: float
    yardstick_ratio: float
    is_known: bool = False  # what the prediction was set by: printed, and left out of every score

    def error_ratio(self, said_ratio: float) -> float:
        return abs(said_ratio / self.measured_ratio - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverTable:
    title: str
    yardstick: str
    rows: Sequence[LeverRow]
    left_out: Counter[str] = field(default_factory=Counter)

    @property
    def scored(self) -> list[LeverRow]:
        return [row for row in self.rows if not row.is_known]

    def median_error(self, of: Callable[[LeverRow], float]) -> float:
        return float(np.median([row.error_ratio(of(row)) for row in self.scored]))

    def directions(self, of: Callable[[LeverRow], float]) -> tuple[int, int]:
        """Gains called gains and losses losses, and of how many that were measured clearly."""
        clear = [row for row in self.scored if abs(row.measured_ratio - 1) > LEAST_CHANGE]
        return sum((of(row) > 1) == (row.measured_ratio > 1) for row in clear), len(clear)

    def losses(self, of: Callable[[LeverRow], float]) -> tuple[int, int]:
        """Losses foretold, of those measured."""
        lost = [row for row in self.scored if row.measured_ratio < 1]
        return sum(of(row) < 1 for row in lost), len(lost)


def predicted(row: LeverRow) -> float:
    return row.predicted_ratio


def yardstick(row: LeverRow) -> float:
    return row.yardstick_ratio


def setting(target_ratio: float, speed_up: Callable[[float], float]) -> float:
    """The acceptance at which a rising `speed_up` is what was measured; the nearest there is where none reaches it."""
    low, high = 0.0, _MOST_ACCEPTANCE
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if speed_up(middle) < target_ratio else (low, middle)
    return (low + high) / 2


def grouped(value: float) -> str:
    """Three digits, whatever the size."""
    digits = 2 - math.floor(math.log10(abs(value))) if value else 2
    return f"{value:.{max(min(digits, 2), 0)}f}"
