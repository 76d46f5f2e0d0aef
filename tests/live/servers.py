"""Real servers in processes of their own, on free loopback ports: vLLM on the CPU, and Prometheus.

`./dev test-live` puts both into .venv-live, apart from everything else; where one is missing its tests are skipped.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from tests.live.tiny_model import write_tiny_model

ROOT = Path(__file__).resolve().parents[2]
LIVE = ROOT / ".venv-live"
LOCK = Path(__file__).parent / "requirements.lock"
VLLM_READY_S, PROMETHEUS_READY_S, STOP_S = 300.0, 60.0, 30.0
LOOK_AGAIN_S = 0.2
LOG_TAIL_LINES_COUNT = 40


def vllm_python() -> Path | None:
    """The interpreter that has vLLM, when it was set up from the lock as it is now."""
    stamp, python = LIVE / LOCK.name, LIVE / "vllm" / "bin" / "python"
    return python if stamp.exists() and stamp.read_bytes() == LOCK.read_bytes() and python.exists() else None


def prometheus_program() -> str | None:
    """The distribution's Prometheus: installed, or unpacked from its package."""
    return shutil.which("prometheus") or shutil.which(LIVE / "debian" / "usr" / "bin" / "prometheus")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> bytes:
    with urlopen(url, timeout=10) as answer:
        return answer.read()


def wait_until(is_so: Callable[[], bool], what: str, within_s: float) -> None:
    """Looks again until it is so. Fails naming `what` after `within_s`."""
    until_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until_s, f"not within {within_s:g} s: {what}"
        time.sleep(LOOK_AGAIN_S)


@dataclass(kw_only=True)
class Daemon:
    """A server that is ready when `ready_url` answers; what it says goes to `log_path`."""

    command: Sequence[str]
    ready_url: str
    ready_s: float
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.env},
                cwd=self.log_path.parent,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(self.is_ready, f"{self.ready_url} answers", self.ready_s)
        except BaseException as error:
            self.stop()
            error.add_note(self.log_tail())
            raise

    def is_ready(self) -> bool:
        assert self.process and self.process.poll() is None, f"{self.command[0]} has ended by itself"
        try:
            get(self.ready_url)
        except OSError:  # nothing answers yet, or not with 200
            return False
        return True

    def stop(self) -> None:
        """Asks it to end, then makes sure, its children included."""
        if self.process is None:
            return
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def log_tail(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([str(self.log_path), *lines[-LOG_TAIL_LINES_COUNT:]])


@dataclass(frozen=True, kw_only=True)
class VllmServer:
    """A vLLM that keeps its address when it is restarted."""

    url: str
    model: str
    daemon: Daemon

    @property
    def metrics_url(self) -> str:
        return f"{self.url}/metrics"

    @property
    def log_path(self) -> Path:
        return self.daemon.log_path

    def restart(self) -> None:
        """As after a new deployment: every counter begins again at 0."""
        self.daemon.stop()
        self.daemon.start()

    def counters(self) -> dict[str, float]:
        """What the server has counted, by other eyes than ours, once it is at rest. Sums over label values."""
        last: dict[str, float] = {}

        def at_rest() -> bool:
            nonlocal last
            before, last = last, self._engine_series()
            return last == before and not last["vllm:num_requests_running"] and not last["vllm:num_requests_waiting"]

        wait_until(at_rest, "vLLM is at rest", STOP_S)
        return last

    def _engine_series(self) -> dict[str, float]:
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(get(self.metrics_url).decode()):
            for sample in family.samples:
                if sample.name.startswith("vllm:") and not sample.name.endswith("_created"):
                    sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums


def tiny_vllm(python: Path, folder: Path, *more_flags: str) -> VllmServer:
    """vLLM with a model made here, not yet started. Its KV cache holds 2,048 tokens, so that preemptions are easy."""
    port, model = free_port(), "tiny-llama"
    command = [
        str(python), "-m", "vllm.entrypoints.openai.api_server",
        "--model", str(write_tiny_model(folder / "model")), "--served-model-name", model, "--load-format", "dummy",
        "--host", "127.0.0.1", "--port", str(port),
        "--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "1024",
        "--max-num-seqs", "16", "--max-num-batched-tokens", "512",
        "--block-size", "32", "--num-gpu-blocks-override", "64",
        "--enable-mfu-metrics", "--kv-cache-metrics", *more_flags,
    ]  # fmt: skip
    env = {
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "VLLM_CACHE_ROOT": str(LIVE / "cache"),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
        "OMP_NUM_THREADS": str(min(2, os.cpu_count() or 1)),
    }
    url = f"http://127.0.0.1:{port}"
    daemon = Daemon(
        command=command, ready_url=f"{url}/health", ready_s=VLLM_READY_S, log_path=folder / "vllm.log", env=env
    )
    return VllmServer(url=url, model=model, daemon=daemon)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawSeries:
    """One series as Prometheus keeps it: the samples as they were scraped, none interpolated."""

    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    url: str
    daemon: Daemon

    def raw(self, selector: str) -> list[RawSeries]:
        """The raw samples of the last hour, over the HTTP API."""
        answer = json.loads(get(f"{self.url}/api/v1/query?{urlencode({'query': f'{selector}[1h]'})}"))
        assert answer["status"] == "success", answer
        return [
            RawSeries(
                labels=series["metric"],
                times_s=tuple(float(at) for at, _ in series["values"]),
                values=tuple(float(value) for _, value in series["values"]),
            )
            for series in answer["data"]["result"]
        ]

    def wait_for_samples(self, selector: str, count: int, within_s: float = 60.0) -> list[RawSeries]:
        """The raw samples, once the shortest series that is selected has `count` of them."""
        found: list[RawSeries] = []

        def enough() -> bool:
            found[:] = self.raw(selector)
            return bool(found) and min(len(series.values) for series in found) >= count

        wait_until(enough, f"{count} samples of {selector}", within_s)
        return found

    def wait_for_scrape(self, selector: str, after_s: float, within_s: float = 60.0) -> None:
        """Returns when every series that is selected has a sample of a scrape that began after `after_s` [unix s]."""

        def is_there() -> bool:
            found = self.raw(selector)
            return bool(found) and min(series.times_s[-1] for series in found) > after_s

        wait_until(is_there, f"a scrape of {selector}", within_s)

    @property
    def as_source(self) -> str:
        """The block of permillion.toml that reads it back."""
        return f'[[prometheus]]\nkey = "prom"\nurl = "{self.url}"\nbackfill = "1h"\n'


def prometheus_scraping(program: str, folder: Path, targets: Sequence[str], every: str) -> Prometheus:
    """Prometheus, not yet started, with a job per metrics address: `http://host:port/path`, one called as the other."""
    port = free_port()
    jobs = []
    for number, target in enumerate(targets):
        scheme, _, rest = target.partition("://")
        host, _, path = rest.partition("/")
        jobs.append({
            "job_name": f"job-{number}", "scheme": scheme, "metrics_path": f"/{path or 'metrics'}",
            "static_configs": [{"targets": [host]}],
        })  # fmt: skip
    config = folder / "prometheus.yml"
    settings = {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": jobs}
    config.write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML too
    command = [
        program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    daemon = Daemon(
        command=command, ready_url=f"{url}/-/ready", ready_s=PROMETHEUS_READY_S, log_path=folder / "prometheus.log"
    )
    return Prometheus(url=url, daemon=daemon)
