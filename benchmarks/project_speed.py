"""project() per call on the sample fleet, and compare() of four levers, beside one bare NumPy pass over the batches."""

from datetime import UTC, datetime

import numpy as np

from benchmarks._timing import median_and_p95, timed_ms
from collectors.demo import sample_file
from costlib.compare import compare
from costlib.project import project

LEVERS = {
    "weight_precision": {"weights": "fp8"},
    "batch_limits": {"max_num_seqs": "256"},
    "prefix_caching": {"enabled": True, "hit_fraction": 0.5},
    "cascade_routing": {"enabled": True},
}


def main() -> None:
    file = sample_file(datetime.now(UTC))
    batch = np.arange(1, 1025, dtype=float)
    one = [timed_ms(lambda: project(file.today, file.catalog), 200)]
    rows = {
        "yardstick: one NumPy pass over 1,024 batches": timed_ms(
            lambda: np.maximum(batch * 1e-3, batch * 2e-3 + 1), 200
        ),
        "project(), three deployments, with its band": one[0],
        "compare(), four levers, 2^4 projections": timed_ms(lambda: compare(file.today, LEVERS, file.catalog), 30),
    }
    print(f"{'':<48}{'median':>8} {'p95':>8}  ms")
    for name, values in rows.items():
        print(f"{name:<48}{median_and_p95(values)}")
