"""Many records of numbers as columns, so that one formula is solved for all of them at once."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from costlib.engine import EngineConstants, EngineInputs
from costlib.estimate import Basis

Record = TypeVar("Record", EngineInputs, EngineConstants)


def columns_of(rows: Sequence[Record]) -> Mapping[str, Any]:
    """Each field of the rows: one value where all agree, else one per row."""
    columns: dict[str, Any] = {}
    for field in fields(rows[0]):
        values = [getattr(row, field.name) for row in rows]
        if isinstance(values[0], Basis):
            continue  # of an answer, not of the arithmetic
        column = np.array(values, dtype=float)
        columns[field.name] = float(column[0]) if (column == column[0]).all() else column
    return columns


def part_of(kind: type[Record], columns: Mapping[str, Any], rows: Any, axes: int) -> Record:
    """Some rows as one record whose fields broadcast along the first of so many axes."""
    shape = (-1,) + (1,) * (axes - 1)
    mine: dict[str, Any] = {
        name: column if isinstance(column, float) else column[rows].reshape(shape) for name, column in columns.items()
    }
    return kind(**mine)
