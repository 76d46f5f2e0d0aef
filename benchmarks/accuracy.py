"""Modelled against measured time per output token, and the band every projection carries.

Not a held-out test: the band is read off these rows, and the engine constants were fitted to part of them.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from costlib.engine import EngineConstants, decode_step_s, prefill_s
from costlib.hardware import Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.serving import ServingConfig
from costlib.units import GIGA, MS_PER_S
from store.catalog_files import load_catalog

POINTS = Path(__file__).parent / "data" / "tpot_points.csv.gz"
STORED_IN = {"16": Precision.BF16, "8": Precision.FP8, "4": Precision.FP4}


def main() -> None:
    groups: dict[str, list[float]] = defaultdict(list)
    for row, modelled_s in _modelled():
        ratio = float(row["tpot_ms"]) / MS_PER_S / modelled_s
        for group in ("all", row["engine"], f"{row['gpu']}, {row['weight_bits']} bit"):
            groups[group].append(ratio)
    print(f"{'':<26}{'n':>6}{'error: median':>15}{'p90':>7}   measured/modelled: p10   p50   p90")
    for group, ratios in sorted(groups.items(), key=lambda item: -len(item[1])):
        found = np.array(ratios)
        error = np.abs(1 / found - 1)
        low, mid, high = np.quantile(found, [0.1, 0.5, 0.9])
        print(
            f"{group:<26}{len(found):>6}{np.median(error):>15.1%}{np.quantile(error, 0.9):>7.0%}"
            f"{'':>21}{low:6.2f}{mid:6.2f}{high:6.2f}"
        )
    band = EngineConstants()
    print(f"band in EngineConstants: {band.step_low_ratio} to {band.step_high_ratio}")


def _modelled() -> Iterator[tuple[dict[str, str], float]]:
    catalog, constants = load_catalog(), EngineConstants()
    with gzip.open(POINTS, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            model, gpu = _model(row), catalog.gpu(row["gpu"])
            precision = STORED_IN[row["weight_bits"]]
            if precision is Precision.FP4 and not gpu.computes_in(precision):
                precision = Precision.INT4  # stored in 4 bit, computed in 16
            serving = ServingConfig(weight_precision=precision, tensor_parallel_count=int(row["tp"]))
            batch = float(row["concurrency"]) / int(row["dp"])
            prompt, output = float(row["input_len"]), float(row["output_len"])
            decode_s = float(decode_step_s(model, gpu, serving, batch, prompt + output / 2, constants))
            yield row, decode_s + batch / output * prefill_s(model, gpu, serving, prompt, constants)


def _model(row: dict[str, str]) -> ModelSpec:
    layers = AttentionLayers(
        kind=AttentionKind.FULL,
        layers_count=int(row["layers"]),
        kv_heads_count=max(1, round(float(row["kv_heads"]))),
        head_dim_count=int(row["head_dim"]),
    )
    return ModelSpec(
        key=row["model"],
        name=row["model"],
        total_params_count=float(row["params_b"]) * GIGA,
        active_params_count=float(row["active_params_b"]) * GIGA,
        hidden_size_count=int(row["hidden_size"]),
        heads_count=int(row["heads"]),
        attention=(layers,),
        max_context_tokens=1 << 20,
        native_precision=Precision.BF16,
        experts_count=int(row["experts"]),
        active_experts_count=int(row["experts_per_token"]),
    )
