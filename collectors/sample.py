"""The sample fleet: eight weeks of hourly usage. Deterministic for a given end.

Everything follows from data/demo/scenario.toml: demand is a weekly curve around each deployment's mean, and what vLLM
would have measured is what the engine model says for that demand. `sample_bill.py` is what the fleet costs,
`sample_live.py` the same fleet, live.
"""

from datetime import datetime, timedelta
from zlib import crc32

import numpy as np
import pyarrow as pa

from costlib.kvcache import kv_bytes_per_sequence, kv_pool_bytes_per_gpu
from costlib.project import project
from costlib.projection import DeploymentProjection
from costlib.replica import Replica, resident_tokens, solve_replica
from costlib.scenario import Deployment, SelfHosted
from costlib.scenario_file import ScenarioFile
from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR

WEEKS = 8
HOURS_PER_WEEK = 7 * HOURS_PER_DAY
GROWTH_PER_WEEK = 0.012
NOISE = 0.02
LENGTH_STOPS, ABORTS = 0.025, 0.004  # shares of requests that end otherwise than by a stop token

# How busy each hour of a day is, 0 to 1, on weekdays; the weekend is a share of it.
OFFICE = (*[0.05] * 6, 0.2, 0.5, 0.85, 1.0, 1.0, 0.9, 0.75, 0.9, 1.0, 0.95, 0.8, 0.55, 0.35, 0.25, 0.2, 0.15, 0.1, 0.05)
NIGHTLY_OFF = (*[0.0] * 7, 0.5, 0.9, 1.0, 1.0, 1.0, 0.7, 0.9, 1.0, 1.0, 0.8, 0.4, *[0.0] * 6)
EVENING = (*[0.1] * 6, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.6, 0.55, 0.55, 0.6, 0.7, 0.9, 1.0, 1.0, 0.85, 0.5, 0.25)
CURVES = {
    "support-copilot": (OFFICE, 0.45),
    "doc-extraction": (NIGHTLY_OFF, 0.0),
    "search-answers": (EVENING, 0.9),
}


def solved(file: ScenarioFile, deployment: Deployment) -> tuple[Replica, DeploymentProjection]:
    """The engine model of one sample deployment, and its projection."""
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    model, gpu = file.catalog.model(deployment.model_key), file.catalog.gpu(hosted.gpu_key)
    constants = file.catalog.engine.resolve(model, gpu, hosted.serving)
    replica = solve_replica(model, gpu, hosted.serving, deployment.workload, constants, deployment.max_tpot_s)
    fleet = project(file.today, file.catalog)
    return replica, next(d for d in fleet.deployments if d.key == deployment.key)


def week_curve(deployment: Deployment) -> np.ndarray:
    """168 hourly rates from Monday 00:00 UTC, mean 1, the largest equal to the workload's peak_to_mean_ratio."""
    hours, weekend = CURVES[deployment.key]
    raw = np.concatenate([np.array(hours) * (weekend if day >= 5 else 1.0) for day in range(7)])
    ratio = deployment.workload.peak_to_mean_ratio
    base = max(0.0, (1 - ratio * raw.mean()) / (ratio - 1))
    return (base + raw) / (base + raw.mean())


def hourly_rates(deployment: Deployment, start: datetime, hours: int) -> np.ndarray:
    """Requests per second in each hour from `start`; the last week's mean is the scenario's."""
    curve = week_curve(deployment)
    first = start.weekday() * HOURS_PER_DAY + start.hour
    index = np.arange(hours)
    growth = (1 + GROWTH_PER_WEEK) ** ((index - hours + HOURS_PER_WEEK / 2) / HOURS_PER_WEEK)
    # Seeded by the calendar hour, so that the same hour is the same whatever the window.
    epoch_hours = int(start.timestamp() // SECONDS_PER_HOUR) + index
    noise = np.array([np.random.default_rng((crc32(deployment.key.encode()), int(h))).normal() for h in epoch_hours])
    return deployment.workload.requests_per_s * curve[(first + index) % HOURS_PER_WEEK] * growth * (1 + NOISE * noise)


def usage_hours(file: ScenarioFile, end: datetime, weeks: int = WEEKS) -> pa.Table:
    """Rows of `usage_hour` for the `weeks` before `end` (aware UTC, on the hour), one per deployment and hour."""
    hours = weeks * HOURS_PER_WEEK
    start = end - timedelta(hours=hours)
    columns: dict[str, list[object]] = {}
    for deployment in file.today.deployments:
        replica, priced = solved(file, deployment)
        for hour, rate in enumerate(hourly_rates(deployment, start, hours)):
            row = {
                "bin_start": (start + timedelta(hours=hour)).replace(tzinfo=None),
                "target_key": deployment.key,
                "model_key": deployment.model_key,
                **_hour(file, deployment, replica, priced.replicas_count, max(0.0, float(rate))),
            }
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
    return pa.table(columns)


def _hour(
    file: ScenarioFile, deployment: Deployment, replica: Replica, replicas: int, rate: float
) -> dict[str, object]:
    work, hosted = deployment.workload, deployment.supply
    assert isinstance(hosted, SelfHosted)
    each = min(rate / replicas, replica.capacity_requests_per_s)
    running = replica.running_count(each)
    requests = round(each * replicas * SECONDS_PER_HOUR)
    prompt, generated = round(requests * work.mean_prompt_tokens), round(requests * work.mean_output_tokens)
    cached = round(prompt * hosted.serving.prefix_hit_fraction)
    length, aborted = round(requests * LENGTH_STOPS), round(requests * ABORTS)
    tpot_s = replica.tpot_s(each)
    prefill_s, decode_s = requests * replica.prefill_s, generated * tpot_s
    model, gpu = file.catalog.model(deployment.model_key), file.catalog.gpu(hosted.gpu_key)
    group = hosted.serving.tensor_parallel_count
    one = kv_bytes_per_sequence(model, resident_tokens(work), hosted.serving.kv_precision, group)
    kv = min(1.0, running * one / kv_pool_bytes_per_gpu(model, gpu, hosted.serving))
    return {
        "samples_count": 240 * replicas,
        "observed_s": SECONDS_PER_HOUR,
        "gap_s": 0.0,
        "coverage_s": SECONDS_PER_HOUR * replicas,
        # Poisson occupancy: the share of time with at least one sequence running.
        "busy_s": SECONDS_PER_HOUR * replicas * float(1 - np.exp(-running)),
        "prompt_tokens": prompt,
        "cached_prompt_tokens": cached,
        "generation_tokens": generated,
        "preemptions_count": 0,
        "requests_stop_count": requests - length - aborted,
        "requests_length_count": length,
        "requests_abort_count": aborted,
        "requests_error_count": 0,
        "prefix_queries_tokens": prompt,
        "prefix_hits_tokens": cached,
        "steps_count": round(generated / max(1.0, running)),
        "queue_s": 0.02 * requests,
        "prefill_s": prefill_s,
        "decode_s": decode_s,
        "inference_s": prefill_s + decode_s,
        "running_count": running * replicas,
        "waiting_count": 0.0,
        "kv_usage_fraction": kv,
        "kv_usage_max_fraction": min(1.0, 1.3 * kv),
    }
