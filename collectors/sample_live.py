"""The sample fleet as live vLLM /metrics pages: counters that grow as the engine model says, smoothly and for ever."""

from collections.abc import Callable, Iterator

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from collectors.sample import LENGTH_STOPS, solved
from costlib.replica import Replica
from costlib.scenario import Deployment, SelfHosted
from costlib.scenario_file import ScenarioFile

LOAD = 0.8  # of the peak hour's rate: the live sample is a busy hour, whatever the clock says
WAVES = ((0.16, 97.0), (0.09, 31.0), (0.05, 11.0))  # amplitude, period [s]; the amplitudes sum to less than 1
STEP_S = 5.0  # latencies follow the load in steps of this
SPREAD = 4.0  # log-logistic shape of latencies: the p95 is about twice the median

# The buckets of vLLM 0.32.
TTFT_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
               80.0, 160.0, 640.0, 2560.0)  # fmt: skip
TPOT_BOUNDS = (
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
)


def live_pages(file: ScenarioFile, started_at_s: float) -> dict[str, Callable[[float], str]]:
    """One page per sample deployment, by its path, as a function of the seconds since `started_at_s` (Unix time)."""
    return {f"/{d.key}/metrics": _LivePage(d, *_sizes(file, d), started_at_s).text for d in file.today.deployments}


def _sizes(file: ScenarioFile, deployment: Deployment) -> tuple[Replica, int]:
    replica, priced = solved(file, deployment)
    return replica, priced.replicas_count


class _Engine:
    """One replica: how its request rate waves, and the latency histograms it has filled so far."""

    def __init__(self, replica: Replica, mean_rate: float, phase: float) -> None:
        self.replica, self.mean_rate, self.phase = replica, mean_rate, phase
        self.filled_s = 0.0
        self.ttft, self.tpot = np.zeros(len(TTFT_BOUNDS)), np.zeros(len(TPOT_BOUNDS))

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
            added = self.requests(self.filled_s + STEP_S) - self.requests(self.filled_s)
            self.ttft += added * _share_below(TTFT_BOUNDS, self.replica.ttft_s(rate))
            self.tpot += added * _share_below(TPOT_BOUNDS, self.replica.tpot_s(rate))
            self.filled_s += STEP_S


def _share_below(bounds: tuple[float, ...], median: float) -> np.ndarray:
    return 1 / (1 + (median / np.array(bounds)) ** SPREAD)


class _LivePage(Collector):
    def __init__(self, deployment: Deployment, replica: Replica, replicas: int, started_at_s: float) -> None:
        work, hosted = deployment.workload, deployment.supply
        assert isinstance(hosted, SelfHosted)
        self.work, self.model_key, self.started_at_s = work, deployment.model_key, started_at_s
        self.hit = hosted.serving.prefix_hit_fraction
        peak = work.requests_per_s * work.peak_to_mean_ratio / replicas
        self.engines = [_Engine(replica, LOAD * peak, phase=1.7 * n) for n in range(replicas)]
        self.elapsed_s = 0.0
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def text(self, elapsed_s: float) -> str:
        self.elapsed_s = max(self.elapsed_s, elapsed_s)
        for engine in self.engines:
            engine.fill(self.elapsed_s)
        return generate_latest(self.registry).decode()

    def collect(self) -> Iterator[Metric]:
        done = [int(engine.requests(self.elapsed_s)) for engine in self.engines]
        prompt = [int(n * self.work.mean_prompt_tokens) for n in done]
        cached = [int(n * self.hit) for n in prompt]
        running = [engine.replica.running_count(engine.rate(self.elapsed_s)) for engine in self.engines]
        yield self._counter("prompt_tokens", prompt)
        yield self._counter("prompt_tokens_cached", cached)
        yield self._counter("generation_tokens", [int(n * self.work.mean_output_tokens) for n in done])
        yield self._counter("num_preemptions", [0 for _ in done])
        yield self._counter("prefix_cache_queries", prompt)
        yield self._counter("prefix_cache_hits", cached)
        success = CounterMetricFamily("vllm:request_success", "", labels=["engine", "model_name", "finished_reason"])
        for n, count in enumerate(done):
            ends = {"length": int(count * LENGTH_STOPS), "abort": 0, "error": 0}
            for reason, value in {"stop": count - ends["length"], **ends}.items():
                success.add_metric([str(n), self.model_key, reason], value)
        yield success
        yield self._gauge("num_requests_running", [round(r) for r in running])
        yield self._gauge("num_requests_waiting", [0 for _ in done])
        batch = self.engines[0].replica.batch_count
        yield self._gauge("kv_cache_usage_perc", [min(0.99, 0.75 * r / batch) for r in running])
        yield self._histogram("time_to_first_token_seconds", TTFT_BOUNDS, [e.ttft for e in self.engines])
        yield self._histogram("request_time_per_output_token_seconds", TPOT_BOUNDS, [e.tpot for e in self.engines])
        start = GaugeMetricFamily("process_start_time_seconds", "")
        start.add_metric([], self.started_at_s)
        yield start

    def _counter(self, name: str, values: list[int]) -> Metric:
        return self._each(CounterMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"]), values)

    def _gauge(self, name: str, values: list[float]) -> Metric:
        return self._each(GaugeMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"]), values)

    def _each(self, family: Metric, values: list[float]) -> Metric:
        for n, value in enumerate(values):
            family.add_metric([str(n), self.model_key], value)
        return family

    def _histogram(self, name: str, bounds: tuple[float, ...], filled: list[np.ndarray]) -> Metric:
        family = HistogramMetricFamily(f"vllm:{name}", "", labels=["engine", "model_name"])
        for n, counts in enumerate(filled):
            whole = [int(count) for count in counts]
            buckets = [(str(bound), count) for bound, count in zip(bounds, whole, strict=True)]
            middles = np.diff(np.array(whole), prepend=0) * np.array(bounds)
            family.add_metric([str(n), self.model_key], [*buckets, ("+Inf", whole[-1])], sum_value=float(middles.sum()))
        return family
