"""The sample fleet: seventeen weeks of hourly usage. Deterministic for a given end.

Everything follows from data/demo/scenario.toml and `sample_story.py`: demand is a weekly curve around each deployment's
mean, replicas follow it, and what vLLM would have measured is what the engine model says for that demand.
`sample_bill.py` is what the fleet costs, `sample_live.py` the same fleet in a busy hour, live.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

import numpy as np
import pyarrow as pa

from collectors.sample_latency import histogram, waits
from collectors.sample_story import (
    DOCUMENTS,
    HOURS_PER_WEEK,
    SEARCH,
    SUPPORT,
    demand_ratios,
    least_replicas,
    settings,
    story_hours,
)
from costlib.kvcache import kv_bytes_per_sequence, kv_pool_bytes_per_gpu
from costlib.project import project
from costlib.projection import DeploymentProjection
from costlib.replica import Replica, resident_tokens, solve_replica
from costlib.scenario import Deployment, SelfHosted
from costlib.scenario_file import ScenarioFile
from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR

WEEKS = 17  # sixteen whole ones and what there is of the newest, on any weekday
DAY_NOISE, HOUR_NOISE = 0.03, 0.02
NODE_GPUS_COUNT = {SUPPORT: 4, DOCUMENTS: 4, SEARCH: 2}  # replicas come and go by whole nodes
LEAST_NODES_COUNT = {SUPPORT: 2, DOCUMENTS: 1, SEARCH: 1}
LENGTH_STOPS, ABORTS = 0.025, 0.004  # shares of requests that end otherwise than by a stop token

# How busy each hour of a day is, 0 to 1, on weekdays; the weekend is a share of it.
OFFICE = (*[0.05] * 6, 0.2, 0.5, 0.85, 1.0, 1.0, 0.9, 0.75, 0.9, 1.0, 0.95, 0.8, 0.55, 0.35, 0.25, 0.2, 0.15, 0.1, 0.05)
NIGHTLY_OFF = (*[0.0] * 7, 0.5, 0.9, 1.0, 1.0, 1.0, 0.7, 0.9, 1.0, 1.0, 0.8, 0.4, *[0.0] * 6)
EVENING = (*[0.1] * 6, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.6, 0.55, 0.55, 0.6, 0.7, 0.9, 1.0, 1.0, 0.85, 0.5, 0.25)
CURVES = {
    SUPPORT: (OFFICE, 0.45),
    DOCUMENTS: (NIGHTLY_OFF, 0.0),
    SEARCH: (EVENING, 0.9),
}


def solved(file: ScenarioFile, deployment: Deployment) -> tuple[Replica, DeploymentProjection]:
    """The engine model of one sample deployment, and its projection."""
    fleet = project(file.today, file.catalog)
    return _replica(file, deployment), next(d for d in fleet.deployments if d.key == deployment.key)


def _replica(file: ScenarioFile, deployment: Deployment) -> Replica:
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    model, gpu = file.catalog.model(deployment.model_key), file.catalog.gpu(hosted.gpu_key)
    constants = file.catalog.engine.resolve(model, gpu, hosted.serving)
    return solve_replica(model, gpu, hosted.serving, deployment.workload, constants, deployment.max_tpot_s)


def week_curve(deployment: Deployment) -> np.ndarray:
    """168 hourly rates from Monday 00:00 UTC, mean 1, the largest equal to the workload's peak_to_mean_ratio."""
    hours, weekend = CURVES[deployment.key]
    raw = np.concatenate([np.array(hours) * (weekend if day >= 5 else 1.0) for day in range(7)])
    ratio = deployment.workload.peak_to_mean_ratio
    base = max(0.0, (1 - ratio * raw.mean()) / (ratio - 1))
    return (base + raw) / (base + raw.mean())


def hourly_rates(deployment: Deployment, start: datetime, hours: int) -> np.ndarray:
    """Requests per second in each hour from `start`; the mean of the newest week is the scenario's."""
    curve = week_curve(deployment)
    first = start.weekday() * HOURS_PER_DAY + start.hour
    # Seeded by the calendar day, so that the same hour is the same whatever the window.
    days = (first % HOURS_PER_DAY + hours - 1) // HOURS_PER_DAY + 1
    key, day = crc32(deployment.key.encode()), start.toordinal()
    drawn = np.array([np.random.default_rng((key, day + n)).normal(size=HOURS_PER_DAY + 1) for n in range(days)])
    noise = (DAY_NOISE * drawn[:, :1] + HOUR_NOISE * drawn[:, 1:]).ravel()[start.hour :][:hours]
    usual = deployment.workload.requests_per_s * curve[(first + np.arange(hours)) % HOURS_PER_WEEK]
    return np.maximum(0.0, usual * demand_ratios(deployment, story_hours(start, hours)) * (1 + noise))


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A deployment while it was served in one way: the hours of that, and in each of them demand and replicas."""

    deployment: Deployment
    replica: Replica
    hours: np.ndarray  # from the start of the window
    requests_per_s: np.ndarray
    replicas_count: np.ndarray

    @property
    def hosted(self) -> SelfHosted:
        assert isinstance(self.deployment.supply, SelfHosted)
        return self.deployment.supply


def served(file: ScenarioFile, deployment: Deployment, start: datetime, hours: int) -> list[Served]:
    """How the replicas of a deployment followed its demand in the hours from `start`, by how it was served.

    Equation   nodes = max(least, ceil(rate / (capacity x target busy) / replicas of a node)), anew every hour
    """
    rates, of_story = hourly_rates(deployment, start, hours), story_hours(start, hours)
    least = least_replicas(deployment, of_story)
    found = []
    for one, is_served in settings(deployment, of_story):
        at = np.flatnonzero(is_served)
        if not len(at):
            continue
        replica, hosted = _replica(file, one), one.supply
        assert isinstance(hosted, SelfHosted)
        of_node = NODE_GPUS_COUNT[one.key] // hosted.serving.gpus_count
        needed = rates[at] / (replica.capacity_requests_per_s * hosted.serving.target_busy_fraction)
        wanted = np.ceil(np.maximum(needed, least[at]) / of_node)
        count = of_node * np.maximum(LEAST_NODES_COUNT[one.key], wanted).astype(np.int64)
        found.append(Served(deployment=one, replica=replica, hours=at, requests_per_s=rates[at], replicas_count=count))
    return found


def usage_hours(file: ScenarioFile, end: datetime, weeks: int = WEEKS) -> pa.Table:
    """Rows of `usage_hour` for the `weeks` before `end` (aware UTC, on the hour), one per deployment and hour."""
    hours = weeks * HOURS_PER_WEEK
    start = end - timedelta(hours=hours)
    first = np.datetime64(start.replace(tzinfo=None), "us")
    tables = [
        pa.table({"bin_start": first + one.hours * np.timedelta64(1, "h"), **_hours(file, one)})
        for deployment in file.today.deployments
        for one in served(file, deployment, start, hours)
    ]
    return pa.concat_tables(tables).sort_by([("target_key", "ascending"), ("bin_start", "ascending")])


def _hours(file: ScenarioFile, served: Served) -> dict[str, object]:
    deployment, replica, replicas = served.deployment, served.replica, served.replicas_count
    work, serving, count = deployment.workload, served.hosted.serving, len(served.hours)
    each = np.minimum(served.requests_per_s / replicas, replica.capacity_requests_per_s)
    rates = np.concatenate(([0.0], replica.requests_per_s))
    running = np.interp(each, rates, np.arange(len(rates), dtype=float))
    requests = _whole(each * replicas * SECONDS_PER_HOUR)
    prompt, generated = _whole(requests * work.mean_prompt_tokens), _whole(requests * work.mean_output_tokens)
    cached = _whole(prompt * serving.prefix_hit_fraction)
    length, aborted = _whole(requests * LENGTH_STOPS), _whole(requests * ABORTS)
    tpot_s = np.interp(each, replica.requests_per_s, replica.interval_s)
    ttft_s, waiting, wait_s = waits(replica, each)
    prefill_s, decode_s = requests * replica.prefill_s, generated * tpot_s
    model, gpu = file.catalog.model(deployment.model_key), file.catalog.gpu(served.hosted.gpu_key)
    one = kv_bytes_per_sequence(model, resident_tokens(work), serving.kv_precision, serving.tensor_parallel_count)
    kv = np.minimum(1.0, running * one / kv_pool_bytes_per_gpu(model, gpu, serving))
    none = np.zeros(count, np.int64)
    return {
        "target_key": [deployment.key] * count,
        "model_key": [deployment.model_key] * count,
        "samples_count": 240 * replicas,
        "observed_s": np.full(count, float(SECONDS_PER_HOUR)),
        "gap_s": np.zeros(count),
        "coverage_s": SECONDS_PER_HOUR * replicas.astype(float),
        # Poisson occupancy: the share of time with at least one sequence running.
        "busy_s": SECONDS_PER_HOUR * replicas * (1 - np.exp(-running)),
        "prompt_tokens": prompt,
        "cached_prompt_tokens": cached,
        "generation_tokens": generated,
        "preemptions_count": none,
        "requests_stop_count": requests - length - aborted,
        "requests_length_count": length,
        "requests_abort_count": aborted,
        "requests_error_count": none,
        "prefix_queries_tokens": prompt,
        "prefix_hits_tokens": cached,
        "steps_count": _whole(generated / np.maximum(1.0, running)),
        "queue_s": requests * (0.02 + waiting * wait_s),
        "prefill_s": prefill_s,
        "decode_s": decode_s,
        "inference_s": prefill_s + decode_s,
        "running_count": running * replicas,
        "waiting_count": each * replicas * waiting * wait_s,
        "kv_usage_fraction": kv,
        "kv_usage_max_fraction": np.minimum(1.0, 1.3 * kv),
        **histogram("ttft_s", requests, (1 - waiting, ttft_s), (waiting, ttft_s + wait_s)),
        **histogram("tpot_s", requests, (1.0, tpot_s)),
    }


def _whole(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int64)
