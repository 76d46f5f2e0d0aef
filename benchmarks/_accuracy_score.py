"""How far predictions are from measurements: errors, one live point, what-ifs and bands. Logs of both throughout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from benchmarks._accuracy_rows import FIRST_TOKEN, Point, Row
from costlib.anchor import Places, anchored_log_sd, anchored_ratio, covariance, live_ratio

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Group = tuple[str, str]  # way of leaving out, what was left out

BAND = (0.1, 0.9)  # of an 80 % band
LEAST_RESIDUALS = 90  # three of each point, one for each way of leaving out; with fewer a stratum borrows
BIG_CHANGE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """Points with what was predicted of them. `logs` by column: in sample, or by a fit that had not seen the group."""

    points: Sequence[Point]
    measured: Floats  # log
    logs: dict[str, Floats]
    baseline: Floats  # log prediction of a roofline of three constants
    places: Places

    @property
    def metrics(self) -> NDArray[np.str_]:
        return np.array([point.metric for point in self.points])

    @property
    def shares(self) -> Floats:
        """One over the rows of the deployment, so that each deployment weighs the same."""
        return shares_of([point.deployment for point in self.points])


def shares_of(keys: Sequence[object]) -> Floats:
    _, which, count = np.unique([str(key) for key in keys], return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[which])


def quantile(values: Floats, wanted: float, weights: Floats | None = None) -> float:
    """The weighted quantile, between the middles of the steps."""
    if not len(values):
        return float("nan")
    weights = np.ones(len(values)) if weights is None else weights
    order = np.argsort(values)
    below = np.cumsum(weights[order]) - weights[order] / 2
    return float(np.interp(wanted, below / weights.sum(), values[order]))


def errors(predicted: Floats, measured: Floats) -> Floats:
    """|predicted / measured - 1| of logs."""
    return np.asarray(np.abs(np.exp(predicted - measured) - 1))


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's; ties as they come."""
    if len(one) < 3:
        return float("nan")
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def pairs_within(scored: Scored) -> tuple[Indices, Indices]:
    """Every ordered pair of two points of one deployment and one metric: the wanted, and the one known."""
    keys: dict[tuple[str, ...], list[int]] = {}
    for index, point in enumerate(scored.points):
        keys.setdefault((*point.deployment, point.metric), []).append(index)
    grids = [np.meshgrid(group, group, indexing="ij") for group in keys.values() if len(group) > 1]
    if not grids:
        return np.array([], dtype=np.intp), np.array([], dtype=np.intp)
    wanted = np.concatenate([grid[0].ravel() for grid in grids])
    known = np.concatenate([grid[1].ravel() for grid in grids])
    return wanted[wanted != known], known[wanted != known]


def anchored_logs(scored: Scored, logs: Floats, wanted: Indices, known: Indices) -> tuple[Floats, Floats]:
    """Log prediction of `wanted` once `known` is measured, and the log spread left."""
    here, there = scored.places.at(wanted), scored.places.at(known)
    between, at_anchor = covariance(here, there), covariance(there, there)
    error = np.exp(scored.measured[known] - logs[known])
    predicted = logs[wanted] + np.log(anchored_ratio(error, between, at_anchor))
    return predicted, anchored_log_sd(covariance(here, here), between, at_anchor)


# ---- what-ifs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """Pairs of points that differ in one knob."""

    rows: Sequence[Row]
    base: Indices
    changed: Indices
    measured: Floats  # log ratio

    def where(self, chosen: NDArray[np.bool_]) -> "Changes":
        return Changes(
            rows=[row for row, keep in zip(self.rows, chosen, strict=True) if keep],
            base=self.base[chosen],
            changed=self.changed[chosen],
            measured=self.measured[chosen],
        )


def changes_of(pairs: Iterable[Row], scored: Scored) -> tuple[Changes, int]:
    """The pairs of which both sides can be read, and how many cannot."""
    at = {point.row_id: index for index, point in enumerate(scored.points)}
    pairs = list(pairs)
    rows = [row for row in pairs if row["base_row"] in at and row["changed_row"] in at]
    base, changed = (np.array([at[row[side]] for row in rows], dtype=np.intp) for side in ("base_row", "changed_row"))
    found = Changes(rows=rows, base=base, changed=changed, measured=scored.measured[changed] - scored.measured[base])
    return found, len(pairs) - len(rows)


def what_if(scored: Scored, logs: Floats, changes: Changes) -> Floats:
    """Log ratio of each change, seen from its measured base."""
    here, there = scored.places.at(changes.changed), scored.places.at(changes.base)
    modelled = np.exp(logs[changes.changed] - logs[changes.base])
    error = np.exp(scored.measured[changes.base] - logs[changes.base])
    return np.log(live_ratio(modelled, error, covariance(here, there), covariance(there, there)))


def rule_of_thumb(changes: Changes, scored: Scored) -> Floats:
    """Half the bits, twice the GPUs, twice the bandwidth: twice as fast; twice the requests: twice the throughput."""
    return np.array(
        [
            _rule(row["knob"], scored.points[base], scored.points[changed])
            for row, base, changed in zip(changes.rows, changes.base, changes.changed, strict=True)
        ]
    )


def _rule(knob: str, base: Point, changed: Point) -> float:
    is_time = base.row["unit"] == "ms"
    speed = 1.0
    if knob == "quantization":
        speed = float(base.row["weight_bits"] or 16) / float(changed.row["weight_bits"] or 16)
    elif knob == "tensor_parallel":
        speed = changed.gpus / base.gpus
    elif knob == "gpu_type":
        speed = changed.setup.gpu.hbm_bytes_per_s / base.setup.gpu.hbm_bytes_per_s
    elif knob == "concurrency" and not is_time and isfinite(changed.load_level / base.load_level):
        speed = changed.load_level / base.load_level
    return float(np.log(1 / speed if is_time else speed))


def directions(predicted: Floats, measured: Floats) -> float:
    """Share of big changes whose direction is right."""
    big = np.abs(np.exp(measured) - 1) > BIG_CHANGE
    return float((np.sign(predicted) == np.sign(measured))[big].mean()) if big.any() else float("nan")


# ---- bands


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residuals:
    """Errors made on groups that a fit had not seen: what a band is read off.

    `groups` says, by way of leaving out, which group each is of, so that a group need not judge itself.
    """

    metrics: NDArray[np.str_]
    strata: NDArray[np.str_]
    groups: dict[str, NDArray[np.str_]]
    values: Floats
    weights: Floats

    def edges(self, metric: str, stratum: str, without: Group | None = None) -> tuple[float, float]:
        """Low and high quantile of a stratum; where it has few, of its metric, or of all but first tokens."""
        allowed = np.ones(len(self.values), dtype=bool) if without is None else self.groups[without[0]] != without[1]
        for chosen in (self.strata == stratum, self.metrics == metric, self.metrics != FIRST_TOKEN):
            use = allowed & chosen
            if use.sum() >= LEAST_RESIDUALS:
                break
        low, high = (quantile(self.values[use], edge, self.weights[use]) for edge in BAND)
        return low, high


def stratum_of(point: Point) -> str:
    """Metric, load and era; of a first token the engine too, since it is in front of the model."""
    engine = point.setup.engine
    era = "ROCm 2024" if engine == "rocm_2024" else "2024" if engine.endswith("_2024") else "now"
    return "|".join([point.metric, point.load, era, *([engine] if point.metric == FIRST_TOKEN else [])])


def covered(
    residuals: Residuals, metrics: Sequence[str], strata: Sequence[str], groups: Sequence[Group | None], values: Floats
) -> tuple[NDArray[np.bool_], Floats]:
    """Whether each error is inside its band, and how wide (log) the band is."""
    known: dict[tuple[str, str, Group | None], tuple[float, float]] = {}
    edges = np.empty((len(values), 2))
    for index, key in enumerate(zip(metrics, strata, groups, strict=True)):
        if key not in known:
            known[key] = residuals.edges(*key)
        edges[index] = known[key]
    return (values >= edges[:, 0]) & (values <= edges[:, 1]), np.asarray(edges[:, 1] - edges[:, 0])
