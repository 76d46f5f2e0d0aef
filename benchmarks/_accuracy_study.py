"""The measurements with everything that was predicted of them, and the errors that bands are read off."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._accuracy_model import measured, places, predicted_logs, roofline
from benchmarks._accuracy_rows import OUT_OF_GROUP, POINTS, SCHEMES, Row, group_of, points_of, rows_of
from benchmarks._accuracy_score import (
    Changes,
    Floats,
    Group,
    Indices,
    Residuals,
    Scored,
    anchored_logs,
    changes_of,
    pairs_within,
    stratum_of,
)
from costlib.engine_table import EngineTable
from store.catalog_files import load_catalog

FITTED = "all seen"  # of our own points
SHIPPED = "as shipped"  # of others, which no fit has seen
UNSEEN = {scheme: f"{scheme} unseen" for scheme in SCHEMES}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Study:
    """Everything a table may want to show."""

    scored: Scored
    paired: Scored  # with our own points, where a pair may have one side
    changes: Changes
    residuals: Residuals
    anchored_residuals: Residuals
    notes: Counter[str]
    own: bool  # the measurements the constants were fitted to

    @property
    def headline(self) -> str:
        """The column to be judged by: a model the fit had not seen, or, of other files, the only one."""
        return UNSEEN["model"] if self.own else SHIPPED

    @property
    def honest(self) -> list[str]:
        """The columns whose bands can be judged: not those of rows that the fit had seen."""
        return [column for column in self.scored.logs if column != FITTED]

    def without(self, index: int, column: str) -> Group | None:
        scheme = next((scheme for scheme, name in UNSEEN.items() if name == column), None)
        return (scheme, group_of(self.scored.points[index], scheme)) if scheme else None


def study_of(points: Path, pairs: Path | None) -> Study:
    """Reads and predicts. One side of a pair may be among our own points."""
    table = load_catalog().engine
    ours, notes = _scored(rows_of(POINTS), table, own=True)
    scored = paired = ours
    if points != POINTS:
        rows = rows_of(points)
        given = {row["row_id"] for row in rows}
        scored, notes = _scored(rows, table)
        paired, _ = _scored([*rows, *(row for row in rows_of(POINTS) if row["row_id"] not in given)], table)
    changes, missing = changes_of(rows_of(pairs) if pairs else [], paired)
    if missing:
        notes["left out: pairs of which a side is missing or cannot be read"] += missing
    return Study(
        scored=scored,
        paired=paired,
        changes=changes,
        residuals=_residuals(ours),
        anchored_residuals=_anchored_residuals(ours),
        notes=notes,
        own=scored is ours,
    )


def _scored(rows: Iterable[Row], table: EngineTable, own: bool = False) -> tuple[Scored, Counter[str]]:
    points, notes = points_of(rows)
    found, unmodelled = measured(points, table)
    logs = {FITTED if own else SHIPPED: predicted_logs(found, table)}
    if own:
        recorded = {row["row_id"]: row for row in rows_of(OUT_OF_GROUP)}
        for scheme, name in UNSEEN.items():
            logs[name] = found.logs + [float(recorded[point.row_id][scheme]) for point in found.points]
    scored = Scored(
        points=found.points,
        measured=found.logs,
        logs=logs,
        baseline=predicted_logs(found, roofline(table)),
        places=places(found, table),
    )
    return scored, notes + unmodelled


def _residuals(ours: Scored) -> Residuals:
    return Residuals(
        metrics=np.tile(ours.metrics, len(UNSEEN)),
        strata=np.tile([stratum_of(point) for point in ours.points], len(UNSEEN)),
        groups={scheme: np.tile(_groups(ours, scheme), len(UNSEEN)) for scheme in UNSEEN},
        values=np.concatenate([ours.measured - ours.logs[name] for name in UNSEEN.values()]),
        weights=np.tile(ours.shares, len(UNSEEN)),
    )


def _anchored_residuals(ours: Scored) -> Residuals:
    """In standard deviations of what is left once a point is known."""
    wanted, known = pairs_within(ours)
    return Residuals(
        metrics=np.tile(ours.metrics[wanted], len(UNSEEN)),
        strata=np.tile(ours.metrics[wanted], len(UNSEEN)),
        groups={scheme: np.tile(_groups(ours, scheme)[wanted], len(UNSEEN)) for scheme in UNSEEN},
        values=np.concatenate([standardised(ours, ours.logs[name], wanted, known) for name in UNSEEN.values()]),
        weights=np.tile(ours.shares[wanted] ** 2, len(UNSEEN)),
    )


def _groups(scored: Scored, scheme: str) -> NDArray[np.str_]:
    return np.array([group_of(point, scheme) for point in scored.points])


def standardised(scored: Scored, logs: Floats, wanted: Indices, known: Indices) -> Floats:
    predicted, log_sd = anchored_logs(scored, logs, wanted, known)
    return (scored.measured[wanted] - predicted) / log_sd
