"""The sample fleet as live pages of vLLM and dcgm-exporter: what grows does so as the engine model says, for ever."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from collectors.sample import LENGTH_STOPS, solved
from collectors.sample_latency import TPOT_BOUNDS, TTFT_BOUNDS
from costlib.hardware import GpuSpec
from costlib.kvcache import kv_bytes_per_sequence, weight_bytes
from costlib.models import ModelSpec
from costlib.replica import Replica, resident_tokens
from costlib.roofline import linear_flop
from costlib.scenario import Deployment, SelfHosted
from costlib.scenario_file import ScenarioFile
from costlib.units import KILO, MEBI

LOAD = 0.8  # of the peak hour's rate: the live sample is a busy hour, whatever the clock says
WAVES = ((0.16, 97.0), (0.09, 31.0), (0.05, 11.0))  # amplitude, period [s]; the amplitudes sum to less than 1
STEP_S = 5.0  # what is added up follows the load in steps of this
SPREAD = 4.0  # log-logistic shape of latencies: the p95 is about twice the median
BLOCK_TOKENS = 16
KERNELS_FRACTION = 0.97  # of a busy second in which some kernel runs: what "GPU utilisation" shows
IDLE_POWER_FRACTION, BUSY_POWER_FRACTION = 0.18, 0.45  # of the board's limit; the rest goes with memory and tensor work

# Buckets of vLLM 0.32.
E2E_BOUNDS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
              960.0, 1920.0, 7680.0)  # fmt: skip


def live_pages(file: ScenarioFile, started_at_s: float) -> dict[str, Callable[[float], str]]:
    """One vLLM page per sample deployment, by its path, as a function of the seconds since `started_at_s` (Unix)."""
    return {f"/{d.key}/metrics": _text_of(_EnginePages(_fleet(file, d), started_at_s)) for d in file.today.deployments}


def gpu_pages(file: ScenarioFile) -> dict[str, Callable[[float], str]]:
    """One dcgm-exporter page per sample deployment, by its path, as a function of the seconds since the start."""
    return {f"/{d.key}/dcgm": _text_of(_GpuPages(_fleet(file, d))) for d in file.today.deployments}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """One deployment: what it serves, on what, with how many replicas."""

    deployment: Deployment
    hosted: SelfHosted
    model: ModelSpec
    gpu: GpuSpec
    replica: Replica
    replicas_count: int

    def engines(self) -> list["_Engine"]:
        work = self.deployment.workload
        peak = work.requests_per_s * work.peak_to_mean_ratio / self.replicas_count
        return [_Engine(self, LOAD * peak, phase=1.7 * n) for n in range(self.replicas_count)]


def _fleet(file: ScenarioFile, deployment: Deployment) -> _Fleet:
    hosted = deployment.supply
    assert isinstance(hosted, SelfHosted)
    replica, priced = solved(file, deployment)
    return _Fleet(
        deployment=deployment,
        hosted=hosted,
        model=file.catalog.model(deployment.model_key),
        gpu=file.catalog.gpu(hosted.gpu_key),
        replica=replica,
        replicas_count=priced.replicas_count,
    )


class _Engine:
    """One replica: how its request rate waves, and what it has added up so far."""

    def __init__(self, fleet: _Fleet, mean_rate: float, phase: float) -> None:
        self.fleet, self.replica, self.mean_rate, self.phase = fleet, fleet.replica, mean_rate, phase
        self.filled_s = 0.0
        self.ttft, self.tpot, self.e2e = (np.zeros(len(b)) for b in (TTFT_BOUNDS, TPOT_BOUNDS, E2E_BOUNDS))
        self.queue_s = self.prefill_s = self.decode_s = self.steps = self.energy_j = 0.0
        self.flop_per_gpu = self.read_bytes_per_gpu = 0.0

    def rate(self, elapsed_s: float) -> float:
        return self.mean_rate * (1 + sum(a * np.sin(2 * np.pi * elapsed_s / p + self.phase) for a, p in WAVES))

    def requests(self, elapsed_s: float) -> float:
        """Integral of `rate` from 0. It never falls, so no counter does."""
        area = elapsed_s
        for amplitude, period in WAVES:
            w = 2 * np.pi / period
            area += amplitude * (np.cos(self.phase) - np.cos(w * elapsed_s + self.phase)) / w
        return float(self.mean_rate * area)

    def fill(self, elapsed_s: float) -> None:
        while self.filled_s + STEP_S <= elapsed_s:
            rate = self.rate(self.filled_s + STEP_S / 2)
            self._add(rate, self.requests(self.filled_s + STEP_S) - self.requests(self.filled_s))
            self.filled_s += STEP_S

    def _add(self, rate: float, requests: float) -> None:
        work = self.fleet.deployment.workload
        ttft_s, tpot_s = self.replica.ttft_s(rate), self.replica.tpot_s(rate)
        queue_s = max(0.0, ttft_s - self.replica.prefill_s - tpot_s / 2)
        decode_s = tpot_s * (work.mean_output_tokens - 1)
        self.ttft += requests * _share_below(TTFT_BOUNDS, ttft_s)
        self.tpot += requests * _share_below(TPOT_BOUNDS, tpot_s)
        self.e2e += requests * _share_below(E2E_BOUNDS, ttft_s + decode_s)
        self.queue_s += requests * queue_s
        self.prefill_s += requests * (ttft_s - queue_s)
        self.decode_s += requests * decode_s
        self.steps += STEP_S / tpot_s * self.busy_fraction(rate)
        flop_per_s, bytes_per_s = self.work_per_s(rate)
        self.flop_per_gpu += flop_per_s * STEP_S
        self.read_bytes_per_gpu += bytes_per_s * STEP_S
        self.energy_j += self.power_w(rate) * STEP_S

    def busy_fraction(self, rate: float) -> float:
        return min(1.0, self.replica.running_count(rate))

    def work_per_s(self, rate: float) -> tuple[float, float]:
        """FLOP/s and byte/s of one GPU: matmuls of every token computed; weights and caches read in every step."""
        fleet, work, serving = self.fleet, self.fleet.deployment.workload, self.fleet.hosted.serving
        gpus = serving.gpus_count
        computed = work.mean_prompt_tokens * (1 - serving.prefix_hit_fraction) + work.mean_output_tokens
        steps_per_s = self.busy_fraction(rate) / self.replica.tpot_s(rate)
        held = kv_bytes_per_sequence(fleet.model, resident_tokens(work), serving.kv_precision, gpus)
        read_per_step = weight_bytes(fleet.model, serving) / gpus + self.replica.running_count(rate) * held
        return linear_flop(fleet.model, rate * computed) / gpus, steps_per_s * read_per_step

    def activity(self, rate: float) -> tuple[float, float]:
        """The shares of tensor and memory peak in use."""
        flop_per_s, bytes_per_s = self.work_per_s(rate)
        peak = self.fleet.gpu.peak_flop_per_s(self.fleet.hosted.serving.weight_precision)
        return min(1.0, flop_per_s / peak), min(1.0, bytes_per_s / self.fleet.gpu.hbm_bytes_per_s)

    def power_w(self, rate: float) -> float:
        tensor, memory = self.activity(rate)
        rest = 1 - IDLE_POWER_FRACTION - BUSY_POWER_FRACTION
        share = IDLE_POWER_FRACTION + BUSY_POWER_FRACTION * self.busy_fraction(rate) + rest * max(tensor, memory)
        return self.fleet.gpu.board_w * share


def _share_below(bounds: tuple[float, ...], median: float) -> np.ndarray:
    return 1 / (1 + (median / np.array(bounds)) ** SPREAD)


class _Pages(Collector):
    """The pages of one deployment, for prometheus_client to write."""

    def __init__(self, fleet: _Fleet) -> None:
        self.fleet, self.engines, self.elapsed_s = fleet, fleet.engines(), 0.0

    def go_on(self, elapsed_s: float) -> None:
        self.elapsed_s = max(self.elapsed_s, elapsed_s)
        for engine in self.engines:
            engine.fill(self.elapsed_s)


def _text_of(pages: _Pages) -> Callable[[float], str]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(pages)

    def text(elapsed_s: float) -> str:
        pages.go_on(elapsed_s)
        return generate_latest(registry).decode()

    return text


class _EnginePages(_Pages):
    """vLLM's page."""

    def __init__(self, fleet: _Fleet, started_at_s: float) -> None:
        super().__init__(fleet)
        self.started_at_s = started_at_s

    def collect(self) -> Iterator[Metric]:
        work, serving = self.fleet.deployment.workload, self.fleet.hosted.serving
        done = [int(engine.requests(self.elapsed_s)) for engine in self.engines]
        prompt = [int(n * work.mean_prompt_tokens) for n in done]
        cached = [int(n * serving.prefix_hit_fraction) for n in prompt]
        generated = [int(n * work.mean_output_tokens) for n in done]
        running = [engine.replica.running_count(engine.rate(self.elapsed_s)) for engine in self.engines]
        yield self._counter("prompt_tokens", prompt)
        yield self._counter("prompt_tokens_cached", cached)
        yield self._counter("generation_tokens", generated)
        yield self._counter("num_preemptions", [0 for _ in done])
        yield self._counter("prefix_cache_queries", prompt)
        yield self._counter("prefix_cache_hits", cached)
        yield self._counter("estimated_flops_per_gpu", [e.flop_per_gpu for e in self.engines])
        yield self._counter("estimated_read_bytes_per_gpu", [e.read_bytes_per_gpu for e in self.engines])
        yield self._counter("estimated_write_bytes_per_gpu", [0.0 for _ in done])
        yield self._success(done)
        yield self._gauge("num_requests_running", [round(r) for r in running])
        yield self._gauge("num_requests_waiting", [0 for _ in done])
        batch = self.engines[0].replica.batch_count
        yield self._gauge("kv_cache_usage_perc", [min(0.99, 0.75 * r / batch) for r in running])
        yield self._histogram("time_to_first_token_seconds", TTFT_BOUNDS, [e.ttft for e in self.engines])
        yield self._histogram("request_time_per_output_token_seconds", TPOT_BOUNDS, [e.tpot for e in self.engines])
        between = [e.tpot * (work.mean_output_tokens - 1) for e in self.engines]
        yield self._histogram("inter_token_latency_seconds", TPOT_BOUNDS, between)
        yield self._histogram("e2e_request_latency_seconds", E2E_BOUNDS, [e.e2e for e in self.engines])
        for name, sums in (
            ("request_queue_time_seconds", [e.queue_s for e in self.engines]),
            ("request_prefill_time_seconds", [e.prefill_s for e in self.engines]),
            ("request_decode_time_seconds", [e.decode_s for e in self.engines]),
            ("request_inference_time_seconds", [e.prefill_s + e.decode_s for e in self.engines]),
            ("request_prompt_tokens", [float(n) for n in prompt]),
            ("request_generation_tokens", [float(n) for n in generated]),
        ):
            yield self._summed(name, done, sums)
        steps = [int(e.steps) for e in self.engines]
        worked = [float(p - c + g) for p, c, g in zip(prompt, cached, generated, strict=True)]
        yield self._summed("iteration_tokens_total", steps, worked)
        info = GaugeMetricFamily(
            "vllm:cache_config_info", "", labels=["engine", "block_size", "cache_dtype", "enable_prefix_caching"]
        )
        for n in range(len(done)):
            info.add_metric([str(n), str(BLOCK_TOKENS), str(serving.kv_precision), "True"], 1)
        yield info
        start = GaugeMetricFamily("process_start_time_seconds", "")
        start.add_metric([], self.started_at_s)
        yield start

    def _success(self, done: list[int]) -> Metric:
        success = CounterMetricFamily("vllm:request_success", "", labels=["engine", "model_name", "finished_reason"])
        for n, count in enumerate(done):
            ends = {"length": int(count * LENGTH_STOPS), "abort": 0, "error": 0}
            for reason, value in {"stop": count - ends["length"], **ends}.items():
                success.add_metric([str(n), self.fleet.deployment.model_key, reason], value)
        return success

    def _counter(self, name: str, values: list[int] | list[float]) -> Metric:
        return self._each(CounterMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"]), values)

    def _gauge(self, name: str, values: list[float]) -> Metric:
        return self._each(GaugeMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"]), values)

    def _each(self, family: Metric, values: list[int] | list[float]) -> Metric:
        for n, value in enumerate(values):
            family.add_metric([str(n), self.fleet.deployment.model_key], value)
        return family

    def _histogram(self, name: str, bounds: tuple[float, ...], filled: list[np.ndarray]) -> Metric:
        family = HistogramMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"])
        for n, counts in enumerate(filled):
            whole = [int(count) for count in counts]
            buckets = [(str(bound), count) for bound, count in zip(bounds, whole, strict=True)]
            middles = np.diff(np.array(whole), prepend=0) * np.array(bounds)
            family.add_metric(
                [str(n), self.fleet.deployment.model_key],
                [*buckets, ("+Inf", whole[-1])],
                sum_value=float(middles.sum()),
            )
        return family

    def _summed(self, name: str, counts: list[int], sums: list[float]) -> Metric:
        """A histogram of which only the sum and the count are of interest."""
        family = HistogramMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"])
        for n, (count, total) in enumerate(zip(counts, sums, strict=True)):
            family.add_metric([str(n), self.fleet.deployment.model_key], [("+Inf", count)], sum_value=total)
        return family


class _GpuPages(_Pages):
    """dcgm-exporter's page: as many GPUs as the deployment has."""

    def collect(self) -> Iterator[Metric]:
        fleet = self.fleet
        per_gpu = [
            (engine, f"GPU-{fleet.deployment.key}-{n}-{g}", engine.rate(self.elapsed_s))
            for n, engine in enumerate(self.engines)
            for g in range(fleet.hosted.serving.gpus_count)
        ]
        used_mib = fleet.gpu.hbm_bytes * fleet.hosted.serving.gpu_memory_utilization / MEBI
        free_mib = fleet.gpu.hbm_bytes / MEBI - used_mib
        fields: dict[str, Callable[[_Engine, float], float]] = {
            "DCGM_FI_DEV_GPU_UTIL": lambda engine, rate: round(100 * KERNELS_FRACTION * engine.busy_fraction(rate)),
            "DCGM_FI_PROF_SM_ACTIVE": lambda engine, rate: min(1.0, 1.2 * max(engine.activity(rate))),
            "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": lambda engine, rate: engine.activity(rate)[0],
            "DCGM_FI_PROF_DRAM_ACTIVE": lambda engine, rate: engine.activity(rate)[1],
            "DCGM_FI_DEV_FB_USED": lambda engine, rate: used_mib,
            "DCGM_FI_DEV_FB_FREE": lambda engine, rate: free_mib,
            "DCGM_FI_DEV_POWER_USAGE": lambda engine, rate: engine.power_w(rate),
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": lambda engine, rate: engine.energy_j * KILO,
        }
        for name, value_of in fields.items():
            family = GaugeMetricFamily(name, "", labels=["UUID", "gpu", "modelName", "Hostname"])
            for index, (engine, uuid, rate) in enumerate(per_gpu):
                family.add_metric([uuid, str(index), fleet.gpu.name, fleet.deployment.key], value_of(engine, rate))
            yield family
