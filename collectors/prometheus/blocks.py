"""Samples of one engine on one axis of time, as Prometheus kept them: gathered, and put together from copies.

A copy is what one member of a highly available pair scraped. Copies are never added up. The first, by name, is followed
wherever it has samples, and the others only fill its gaps: a choice that is the same in every stretch of time that is
read, so that no restart is seen where one stretch ends and the next begins.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.vllm.aliases import Part
from costlib.history import RESTART_AFTER_S
from costlib.measures import COUNTERS, MEAN_GAUGES
from costlib.telemetry import GAP_AFTER_INTERVALS_RATIO

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Column(NamedTuple):
    """What one column of a block is: a measure, by which of its names, and which part of it."""

    measure: str
    rank: int
    part: Part | float  # the bucket of a histogram is named by its upper bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One engine as one copy saw it at n rising times [unix s]; every array has shape (n,), NaN where nothing is."""

    times_s: Floats
    started_s: Floats
    columns: Mapping[Column, Floats]

    @property
    def every_s(self) -> float | None:
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else None

    def rows(self, kept: Mask) -> "Block":
        return Block(
            times_s=self.times_s[kept],
            started_s=self.started_s[kept],
            columns={column: values[kept] for column, values in self.columns.items()},
        )


def block_of(series: Iterable[tuple[Column, Floats]], started: Floats | None) -> Block:
    """The samples (n, 2) of each column side by side; several of one column are added up, or averaged, as on a page.

    `started` are samples of the time at which the process started.
    """
    pieces = list(series)
    times_s = _axis([samples[:, 0] for _, samples in pieces])
    by_column: dict[Column, list[Floats]] = defaultdict(list)
    for column, samples in pieces:
        by_column[column].append(_placed(times_s, samples))
    return Block(
        times_s=times_s,
        started_s=np.full(len(times_s), np.nan) if started is None else _placed(times_s, started),
        columns={column: _together(column, values) for column, values in by_column.items()},
    )


def without_twins(block: Block, others: Sequence[Block]) -> Block:
    """`block` without those of its values that `others` have of the same measure at the same time."""
    columns = dict(block.columns)
    for column, values in block.columns.items():
        for other in others:
            times = [
                other.times_s[np.isfinite(found)]
                for known, found in other.columns.items()
                if known.measure == column.measure
            ]
            if times:
                values = np.where(np.isin(block.times_s, np.concatenate(times)), np.nan, values)
        columns[column] = values
    return Block(times_s=block.times_s, started_s=block.started_s, columns=columns)


def joined(blocks: Sequence[Block]) -> Block:
    """All rows of `blocks`, by time; rows of one time become one, and the first that has a value gives it."""
    if len(blocks) == 1:
        return blocks[0]
    times_s, place = np.unique(np.concatenate([block.times_s for block in blocks]), return_inverse=True)
    places = np.split(place, np.cumsum([len(block.times_s) for block in blocks])[:-1])

    def gathered(values: Iterable[tuple[NDArray[np.intp], Floats]]) -> Floats:
        whole = np.full(len(times_s), np.nan)
        for rows, part in values:
            whole[rows] = np.where(np.isnan(whole[rows]), part, whole[rows])
        return whole

    names = dict.fromkeys(column for block in blocks for column in block.columns)
    return Block(
        times_s=times_s,
        started_s=gathered((rows, block.started_s) for rows, block in zip(places, blocks, strict=True)),
        columns={
            name: gathered(
                (rows, block.columns[name]) for rows, block in zip(places, blocks, strict=True) if name in block.columns
            )
            for name in names
        },
    )


def merged(copies: Sequence[Block], *, is_one_process: bool = True) -> Block:
    """One engine out of its copies, the first of them in front.

    Copies of one process that are a little behind it were written by another clock, and their rows are left out; of
    several processes, one after the other behind one address, each counts from zero.
    """
    kept = copies[0]
    for other in copies[1:]:
        kept = _filled(kept, other, is_one_process)
    return kept


def _filled(kept: Block, other: Block, is_one_process: bool) -> Block:
    """`kept`, and what `other` has in its gaps: where it is silent for longer than a scrape may be late."""
    every_s = kept.every_s or other.every_s
    if not len(kept.times_s) or not len(other.times_s) or every_s is None:
        return kept if len(kept.times_s) else other
    gap_s = every_s * GAP_AFTER_INTERVALS_RATIO
    begins_s = np.concatenate(([-np.inf], kept.times_s))
    ends_s = np.concatenate((kept.times_s, [np.inf]))
    # Before the first and after the last sample a gap is as long as the other one knows it to be.
    known_begins_s = np.concatenate((other.times_s[:1], kept.times_s))
    known_ends_s = np.concatenate((kept.times_s, other.times_s[-1:]))
    added = []
    for row in np.flatnonzero(known_ends_s - known_begins_s > gap_s).tolist():
        begin_s, end_s = begins_s[row], ends_s[row]
        fill = other.rows((other.times_s > begin_s) & (other.times_s < end_s))
        if is_one_process and row > 0:
            fill = fill.rows(~_early_rows(kept, row - 1, fill, gap_s))
        if is_one_process and row < len(kept.times_s):
            fill = fill.rows(~_late_rows(kept, row, fill, gap_s))
        if len(fill.times_s):
            added.append(fill)
    return joined([kept, *added])


def _early_rows(kept: Block, row: int, fill: Block, gap_s: float) -> Mask:
    """Rows of `fill` that come after a row of `kept` and are older: another clock wrote them, and nothing restarted."""
    near: Mask = fill.times_s < kept.times_s[row] + gap_s
    return near & _same_process(kept, row, fill) & _is_lower(fill, kept, row)


def _late_rows(kept: Block, row: int, fill: Block, gap_s: float) -> Mask:
    near: Mask = fill.times_s > kept.times_s[row] - gap_s
    return near & _same_process(kept, row, fill) & _is_higher(fill, kept, row)


def _same_process(kept: Block, row: int, fill: Block) -> Mask:
    other: Mask = np.abs(fill.started_s - kept.started_s[row]) > RESTART_AFTER_S
    return ~other


def _is_lower(fill: Block, kept: Block, row: int) -> Mask:
    lower = np.zeros(len(fill.times_s), dtype=bool)
    for column in _shared_counters(fill, kept):
        lower |= fill.columns[column] < kept.columns[column][row]
    return lower


def _is_higher(fill: Block, kept: Block, row: int) -> Mask:
    higher = np.zeros(len(fill.times_s), dtype=bool)
    for column in _shared_counters(fill, kept):
        higher |= fill.columns[column] > kept.columns[column][row]
    return higher


def _shared_counters(one: Block, other: Block) -> list[Column]:
    return [column for column in one.columns if column.measure in COUNTERS and column in other.columns]


def _axis(times: Sequence[Floats]) -> Floats:
    """Every time that occurs. The series of a page share theirs, so there is mostly nothing to sort."""
    distinct: list[Floats] = []
    for found in times:
        if not any(np.array_equal(found, known) for known in distinct[-2:]):
            distinct.append(found)
    return distinct[0] if len(distinct) == 1 else np.unique(np.concatenate(distinct))


def _placed(times_s: Floats, samples: Floats) -> Floats:
    """The values of `samples` (n, 2) at `times_s`, NaN where there is none."""
    if len(samples) == len(times_s) and np.array_equal(samples[:, 0], times_s):
        return samples[:, 1]
    values = np.full(len(times_s), np.nan)
    rows = np.searchsorted(times_s, samples[:, 0])
    known = rows < len(times_s)
    known[known] = times_s[rows[known]] == samples[known, 0]
    values[rows[known]] = samples[known, 1]
    return values


def _together(column: Column, values: Sequence[Floats]) -> Floats:
    if len(values) == 1:
        return values[0]
    stacked = np.stack(values)
    there_count = np.isfinite(stacked).sum(axis=0)
    total = np.where(there_count > 0, np.nansum(stacked, axis=0), np.nan)
    return total / np.maximum(there_count, 1) if column.measure in MEAN_GAUGES else total
