"""Loads, curves and replicas that the tests of capacity share."""

from datetime import UTC, datetime

import numpy as np

from costlib.demand_curve import DemandCurve, HourlyLoad
from costlib.estimate import Basis
from costlib.replica_unit import ReplicaUnit

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)


def load(rates, start=MONDAY, basis=Basis.MEASURED) -> HourlyLoad:
    return HourlyLoad(deployment_key="chat", start=start, requests_per_s=np.asarray(rates, dtype=float), basis=basis)


def curve(need, start=MONDAY) -> DemandCurve:
    return DemandCurve(
        label="chat", gpu_key="h100-sxm", start=start, needed_gpus_count=np.asarray(need, dtype=float),
        basis=Basis.MEASURED,
    )  # fmt: skip


def unit(capacity=1.0, batch=50, gpus=1, usd=3.50, busy=0.8, least=1, bend=0.0) -> ReplicaUnit:
    """A replica whose rate rises with its batch: in proportion, or faster at first where it bends."""
    running = np.arange(batch + 1) / batch
    answered = capacity * running * (1 + bend) / (1 + bend * running)
    return ReplicaUnit(
        deployment_key="chat",
        gpu_key="h100-sxm",
        gpus_count=gpus,
        capacity_requests_per_s=capacity,
        target_busy_fraction=busy,
        min_replicas_count=least,
        usd_per_gpu_hour=usd,
        answered_requests_per_s=answered,
        kv_per_sequence_fraction=0.9 / batch,
        prefill_share_fraction=0.25,
        mean_prompt_tokens=1000.0,
        mean_output_tokens=200.0,
        basis=Basis.CALIBRATED,
    )
