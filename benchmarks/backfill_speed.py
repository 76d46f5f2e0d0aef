"""A month of 20 series out of Prometheus, as increments, beside requests + orjson fetching and parsing the same."""

import gc
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import requests

from collectors.base import Target
from collectors.prometheus.backfill import BackfillReport, Store, backfill
from costlib.units import KIBI, MEGA, SECONDS_PER_DAY
from store.home import Home
from store.records import BackfillJob
from store.writer import Writer
from tests.fake_prometheus import FakePrometheus

DAYS_COUNT = 30
EVERY_S = 15.0
ROUNDS_COUNT = 3
GOAL_RATIO = 1.5
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
LABELS = '"instance":"gpu-1:8000","job":"vllm"'
ENGINE = f'{LABELS},"engine":"0","model_name":"llama"'
COUNTED = (
    "prompt_tokens", "prompt_tokens_cached", "generation_tokens", "num_preemptions", "prefix_cache_queries",
    "prefix_cache_hits", "spec_decode_num_drafts", "spec_decode_num_draft_tokens",
    "spec_decode_num_accepted_tokens", "estimated_flops_per_gpu", "estimated_read_bytes_per_gpu",
)  # fmt: skip
SUMMED = ("request_queue_time", "request_prefill_time", "request_decode_time", "request_inference_time")
SERIES = (
    *(f'"__name__":"vllm:{name}_total",{ENGINE}' for name in COUNTED),
    *(f'"__name__":"vllm:{name}_seconds_sum",{ENGINE}' for name in SUMMED),
    *(f'"__name__":"vllm:iteration_tokens_total_{part}",{ENGINE}' for part in ("sum", "count")),
    *(f'"__name__":"vllm:{name}",{ENGINE}' for name in ("num_requests_running", "kv_cache_usage_perc")),
    f'"__name__":"process_start_time_seconds",{LABELS}',
)


class Serialised(FakePrometheus):
    """Answers with slices of text that is there already, so that what is timed is the client."""

    def __init__(self) -> None:
        super().__init__()
        rows = int(DAYS_COUNT * SECONDS_PER_DAY / EVERY_S)
        self.times_s = BEGIN.timestamp() + EVERY_S * np.arange(1, rows + 1) - 0.719
        stamps = [f"{at_s:.3f}" for at_s in self.times_s]
        chance = np.random.default_rng(1)
        self.texts = []
        for series in SERIES:
            values = self._values(series, chance, rows)
            pairs = [f'[{at},"{value}"],' for at, value in zip(stamps, values, strict=True)]
            edges = np.cumsum([0, *map(len, pairs)])
            self.texts.append((series, "".join(pairs).encode(), edges))

    @staticmethod
    def _values(series: str, chance: np.random.Generator, rows: int) -> list[str]:
        if "process_start" in series:
            return [f"{BEGIN.timestamp() - 1000.25:.2f}"] * rows
        if "seconds" in series:
            return [repr(value) for value in np.cumsum(chance.random(rows)).tolist()]
        if "running" in series or "perc" in series:
            return [repr(value) for value in chance.random(rows).tolist()]
        return [str(value) for value in np.cumsum(chance.integers(0, 20_000, rows)).tolist()]

    def answer(self, path: str, params: Mapping[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        if path != "/api/v1/query":
            return 200, b'{"status":"success","data":["gpu-1:8000"]}', {}
        end_s, range_s = float(params["time"]), float(params["query"].rpartition("[")[2][:-2])
        begin, end = np.searchsorted(self.times_s, (end_s - range_s, end_s), side="right")
        is_start = "process_start" in params["query"]
        result = [
            b'{"metric":{%s},"values":[%s]}' % (series.encode(), text[edges[begin] : edges[end] - 1])
            for series, text, edges in self.texts
            if is_start == ("process_start" in series) and begin < end
        ]
        body = b'{"status":"success","data":{"resultType":"matrix","result":[%s]}}' % b",".join(result)
        return 200, body, {"Content-Type": "application/json"}


class Nowhere:
    """A store that keeps only how far it is."""

    def __init__(self) -> None:
        self.jobs: dict[str, BackfillJob] = {}
        self.pages: dict[Any, Any] = {}
        self.counted = 0.0

    def engine_pages(self, stream: str = "live") -> list[Any]:
        return list(self.pages.values()) if stream != "live" else []

    def add_scrapes(self, scrapes: Sequence[Any], stream: str = "live") -> list[Exception | None]:
        for scrape in scrapes:
            self.pages |= {page.identity: page for page in scrape.pages}
            self.counted += sum(float(np.nansum(found.counters["prompt_tokens"])) for found in scrape.histories)
        return [None for _ in scrapes]

    def name_targets(self, rows: Sequence[Any]) -> None: ...
    def backfill(self, source_key: str) -> BackfillJob | None:
        return self.jobs.get(source_key)

    def set_backfill(self, job: BackfillJob) -> None:
        self.jobs[job.source_key] = job

    def first_sample_at(self, target_keys: Sequence[str]) -> datetime | None:
        return None


def main() -> None:
    try:
        import orjson
    except ImportError:
        print("the yardstick, orjson, is not installed; it is in the dev group and in no other place")
        return
    with served() as (url, asked):
        ours(url, Nowhere())  # also tells which answers the yardstick has to fetch
        questions = [(path, params) for path, params in asked() if path == "/api/v1/query"]

        def yardstick() -> int:
            session = requests.Session()
            return sum(len(orjson.loads(session.post(url + path, data=params).content)) for path, params in questions)

        timings: dict[str, list[tuple[float, float]]] = {"yardstick": [], "ours": []}
        for _ in range(ROUNDS_COUNT):
            timings["yardstick"].append(timed(yardstick))
            timings["ours"].append(timed(lambda: ours(url, Nowhere())))
        with tempfile.TemporaryDirectory() as folder:
            end = BEGIN + timedelta(days=DAYS_COUNT)
            with Writer.open(Home(Path(folder)), clock=lambda: end) as writer:
                stored = timed(lambda: ours(url, writer))
    samples = DAYS_COUNT * SECONDS_PER_DAY / EVERY_S * len(SERIES)
    base_s, base_cpu_s = (median(values) for values in zip(*timings["yardstick"], strict=True))
    our_s, our_cpu_s = (median(values) for values in zip(*timings["ours"], strict=True))
    print(f"{samples / MEGA:.2f} M samples in {len(questions)} answers{'':<14}{'s':>8} {'cpu s':>8}  x     cpu x")
    row("yardstick: requests + orjson", (base_s, base_cpu_s), base_s, base_cpu_s)
    row("ours: fetched, parsed, as increments", (our_s, our_cpu_s), base_s, base_cpu_s)
    row("ours, and stored", stored, base_s, base_cpu_s)
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIBI
    print(f"goal: at most {GOAL_RATIO} x. Most memory, of yardstick, ours and store: {memory_mib:,.0f} MiB")


def row(name: str, seconds: tuple[float, float], base_s: float, base_cpu_s: float) -> None:
    wall_s, cpu_s = seconds
    print(f"{name:<41}{wall_s:8.2f} {cpu_s:8.2f}  {wall_s / base_s:<5.2f} {cpu_s / base_cpu_s:.2f}")


def ours(url: str, store: Store) -> BackfillReport:
    end = BEGIN + timedelta(days=DAYS_COUNT)
    report = backfill(store, Target(key="prom", url=url, source_key="prometheus"), BEGIN, end, lambda: end)
    if report.stopped or report.samples_count != DAYS_COUNT * SECONDS_PER_DAY / EVERY_S:
        raise RuntimeError(f"not what was asked for: {report.text}")
    return report


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call, by the wall and of this process."""
    gc.collect()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


@contextmanager
def served() -> Iterator[tuple[str, Callable[[], list[tuple[str, dict[str, str]]]]]]:
    """The server in a process of its own, and what it was asked."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there,), daemon=True)
    process.start()

    def asked() -> list[tuple[str, dict[str, str]]]:
        here.send("asked")
        found: list[tuple[str, dict[str, str]]] = here.recv()
        return found

    try:
        yield here.recv(), asked
    finally:
        here.send("stop")
        process.join()


def _serve(pipe: Connection) -> None:
    with Serialised() as server:
        pipe.send(server.url)
        while pipe.recv() == "asked":
            pipe.send(server.asked)
