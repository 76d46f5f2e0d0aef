"""Measurements as arrays of `costlib.engine`'s inputs, their strata of constants, and what the model says of them."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks._accuracy_rows import Point, Setup
from benchmarks._accuracy_steady import SEEN, Bench, Floats, Load, Unstated, load_of, taken
from costlib.anchor import Places
from costlib.engine import EngineInputs, engine_inputs
from costlib.engine_table import ALL, OTHER, EngineTable, Strata
from costlib.hardware import Precision
from costlib.kvcache import dense_precision

BRIDGED = "bridged_pcie"
FORMAT = {16: "16bit", 8: "8bit", 4: "4bit"}
COMPUTED_IN = {16: Precision.BF16, 8: Precision.FP8, 4: Precision.FP4}
ATTENDED_TOKENS = {"GLM-5": 2048.0}  # sparse attention (models.csv, notes)
ALL_AT_ONCE = 1024.0  # sequences, where a distance between loads is wanted and "as many as can be" is stated

# The constants a deployment may have of its own, by `costlib.anchor`'s groups.
GROUPS = {
    "compute": ("compute_fraction",),
    "memory": ("bandwidth_fraction",),
    "overhead": ("layer_s", "expert_layer_s", "step_s", "sequence_s"),
    "collectives": ("all_reduce_s",),
    "kv_reads": ("kv_read_ratio",),
    "experts": ("expert_read_ratio",),
    "memory_size": ("memory_fraction",),
    "front_end": ("front_s",),
    "queue": ("burst_ratio",),
    "stream": ("buffered_tokens",),
    "prefill": ("prefill_ratio",),
}
NUDGE = 5e-3  # of a log, for derivatives

# The baseline: a roofline of three constants (share of peak FLOP/s, of bandwidth, cost of a layer), as it was fitted to
# 800 of these measurements, two more for the first token (front end, odds of a burst) picked for the least error on all
# of them, and the usual settings. Everything else is as the data sheets have it.
ROOFLINE = {
    "compute_fraction": 0.69,
    "attention_compute_fraction": 0.69,
    "bandwidth_fraction": 0.69,
    "layer_s": 87e-6,
    "link_fraction": 0.7,
    "all_reduce_s": 4e-6,
    "knee_ratio": math.inf,
    "memory_fraction": 0.9,
    "reserve_bytes": 3e9,
    "resident_output_ratio": 0.5,
    "sequences_count": 1024.0,
    "chunk_tokens": 8192.0,
    "waited_steps_ratio": 0.5,
    "front_s": 0.05,
    "burst_ratio": 0.3,
    "slot_wait_ratio": 0.0,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Points seen in one way: of one load and one metric."""

    rows: NDArray[np.intp]
    load: Load
    inputs: EngineInputs
    strata: Strata


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """Points ready to be predicted, many times."""

    points: Sequence[Point]
    parts: dict[tuple[str, str], Part]

    @property
    def logs(self) -> Floats:
        return np.log([point.value for point in self.points])


def measured(points: Iterable[Point], table: EngineTable) -> tuple[Measured, Counter[str]]:
    """The points that the model can be asked about, and how many it cannot, by reason."""
    points = list(points)
    kept = [point for point in points if (point.load, point.metric) in SEEN]
    notes = Counter(
        f"left out: no way to model {point.metric} of a load '{point.load}'"
        for point in points
        if (point.load, point.metric) not in SEEN
    )
    return Measured(points=kept, parts=_parts(kept, table)), notes


def select(found: Measured, rows: NDArray[np.intp]) -> Measured:
    """Some of the points, for a fit that is not to see the others."""
    at = {int(row): index for index, row in enumerate(rows)}
    parts = {}
    for key, part in found.parts.items():
        mine = np.array([index for index, row in enumerate(part.rows) if int(row) in at], dtype=np.intp)
        if len(mine):
            parts[key] = Part(
                rows=np.array([at[int(part.rows[index])] for index in mine]),
                load=taken(part.load, mine),
                inputs=taken(part.inputs, mine),
                strata=taken(part.strata, mine),
            )
    return Measured(points=[found.points[row] for row in rows], parts=parts)


def _parts(points: Sequence[Point], table: EngineTable) -> dict[tuple[str, str], Part]:
    inputs = {setup: _inputs(setup) for setup in {point.setup for point in points}}
    rows: dict[tuple[str, str], list[int]] = {}
    for index, point in enumerate(points):
        rows.setdefault((point.load, point.metric), []).append(index)
    return {
        key: Part(
            rows=np.array(mine),
            load=load_of([points[row] for row in mine]),
            inputs=_stacked([points[row] for row in mine], inputs),
            strata=_strata([points[row] for row in mine], table),
        )
        for key, mine in rows.items()
    }


def _inputs(setup: Setup) -> EngineInputs:
    """Those of the product, with matmuls in the format that the source states."""
    found = engine_inputs(setup.model, setup.gpu, setup.serving)
    dense, experts = (setup.gpu.peak_flop_per_s(COMPUTED_IN[bits]) for bits in _computed_bits(setup))
    attended = ATTENDED_TOKENS.get(setup.model.key, math.inf)
    bridged = 2.0 if _link(setup) == BRIDGED else 1.0  # no sheet says what a bridge adds: of twice PCIe, a fitted share
    return replace(
        found,
        dense_flop_per_s=dense,
        expert_flop_per_s=experts,
        attended_tokens=attended,
        link_bytes_per_s=bridged * found.link_bytes_per_s,
    )


def _computed_bits(setup: Setup) -> tuple[int, int]:
    is_mixed = dense_precision(setup.model, setup.serving) is not setup.serving.weight_precision
    return (16 if is_mixed else setup.computed_bits), setup.computed_bits


def _stacked(points: Sequence[Point], inputs: dict[Setup, EngineInputs]) -> EngineInputs:
    columns = {
        field.name: np.array([float(getattr(inputs[point.setup], field.name)) for point in points])
        for field in fields(EngineInputs)
    }
    distinct = np.array([1.0 if point.one_prompt else math.inf for point in points])
    return EngineInputs(**columns | {"distinct_sequences_count": distinct})


def _strata(points: Sequence[Point], table: EngineTable) -> Strata:
    setups = [point.setup for point in points]
    old = [setup.engine == "rocm_2024" for setup in setups]
    generations = [table.generations.get(setup.gpu.architecture, OTHER) for setup in setups]
    bits = [_computed_bits(setup) for setup in setups]
    dense = [dense_precision(setup.model, setup.serving) for setup in setups]
    return Strata(
        engine=np.array([setup.engine for setup in setups]),
        generation=np.where(old, "rocm_2024", generations),
        dense_format=np.array([FORMAT[one] for one, _ in bits]),
        expert_format=np.array([FORMAT[other] for _, other in bits]),
        link=np.array([_link(setup) for setup in setups]),
        is_moe=np.array([setup.model.is_moe for setup in setups]),
        has_8bit_experts=np.array([setup.serving.weight_precision is Precision.FP8 for setup in setups]),
        has_4bit_dense=np.array([one in (Precision.INT4, Precision.FP4) for one in dense]),
        power_ratio=np.array([_power(setup, table) for setup in setups]),
        client=np.array([point.client for point in points]),
    )


def _link(setup: Setup) -> str:
    if setup.gpu.link_bytes_per_s:
        return "link"
    return BRIDGED if "NVLink bridge" in setup.gpu.trap else "pcie"


def _power(setup: Setup, table: EngineTable) -> float:
    module = table.module_j_per_flop.get(table.generations.get(setup.gpu.architecture, OTHER))
    own = setup.gpu.board_w / setup.gpu.peak_flop_per_s(Precision.BF16)
    return min(1.0, own / module) if module else 1.0


def predicted_logs(found: Measured, table: EngineTable) -> Floats:
    """Log of what the model says each measurement should have read."""
    logs = np.empty(len(found.points))
    for key, part in found.parts.items():
        unstated = _unstated(part.strata, table)
        bench = Bench(
            load=part.load,
            inputs=replace(part.inputs, chunk_tokens=unstated.chunk_tokens),
            constants=table.constants_of(part.strata),
            unstated=unstated,
        )
        logs[part.rows] = np.log(SEEN[key](bench))
    return logs


def _unstated(strata: Strata, table: EngineTable) -> Unstated:
    names = {field.name for field in fields(Unstated)}
    client = strata.engine if strata.client is None else strata.client
    by_engine = {"slot_wait_ratio": client, "start_s": strata.engine}
    ones = np.ones(len(np.asarray(strata.is_moe)))
    return Unstated(**{name: ones * table.value(name, by_engine.get(name, ALL)) for name in names})


def roofline(table: EngineTable) -> EngineTable:
    """A table of the baseline's three constants: ratios 1, everything else free."""
    return table.with_values(
        {
            (name, stratum): ROOFLINE.get(name, 1.0 if name.endswith("_ratio") and "exponent" not in name else 0.0)
            for name, strata in table.constants.items()
            for stratum in strata
        }
    )


def places(found: Measured, table: EngineTable) -> Places:
    """How each prediction answers to groups of constants, and where it lies."""
    base = predicted_logs(found, table)
    slopes = {group: (predicted_logs(found, _nudged(table, names)) - base) / NUDGE for group, names in GROUPS.items()}
    return Places(slopes_ratio=slopes, octaves_count=np.array([_octaves(point) for point in found.points]))


def _nudged(table: EngineTable, names: Sequence[str]) -> EngineTable:
    up = math.exp(NUDGE)
    return table.with_values(
        {(name, stratum): up * of.value for name in names for stratum, of in table.constants[name].items()}
    )


def _octaves(point: Point) -> list[float]:
    level = point.load_level if math.isfinite(point.load_level) else ALL_AT_ONCE
    bits = float(point.row["weight_bits"] or 16)
    return [math.log2(one) for one in (level, point.prompt_tokens, point.output_tokens, point.gpus, bits)]
