"""Half an hour of a fleet in which everything shows at once, as its engines would have counted it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import sin
from pathlib import Path

import numpy as np

from costlib.devices import DevicePage, device_sample
from costlib.measures import POSITIONS_COUNT
from costlib.telemetry import EnginePage, Histogram, usage_sample
from store.home import Home
from store.records import RUN_OK, Scrape, ScrapeRun, TargetRow
from store.writer import Writer

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
EVERY_S = 15.0
SCRAPES_COUNT = 120
BOUNDS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, float("inf"))
FLOP_PER_TOKEN = 2 * 8.03e9

SCENARIO = """
label = "Ours"

[[deployments]]
key = "chat"
product = "Chat"
model = "llama-3.3-70b"
gpu = "h100-sxm"
max_tpot_s = 0.05
workload = { requests_per_s = 4.0, mean_prompt_tokens = 1500, mean_output_tokens = 250, peak_to_mean_ratio = 2.0 }
serving = { tensor_parallel_count = 4 }
purchase = { usd_per_gpu_hour = 2.50 }

[[deployments]]
key = "code"
product = "Code"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 9.0, mean_prompt_tokens = 900, mean_output_tokens = 120, peak_to_mean_ratio = 2.0 }
purchase = { usd_per_gpu_hour = 2.50 }
"""


@dataclass(frozen=True)
class Engine:
    """One engine: how many requests a second it answers, and what else it does."""

    target: str
    model: str
    requests_per_s: float
    prompt: float = 1500.0
    output: float = 250.0
    ttft_s: float = 0.25
    tpot_s: float = 0.03
    kv: float = 0.55
    waiting: float = 0.0
    hit: float = 0.3
    preempted: float = 0.0
    accepted: float = 0.0  # tokens of each draft of three
    flop_share: float = 0.0  # of 989.4e12 a second
    facts: dict[str, str] = field(default_factory=dict)
    silent_minutes: tuple[int, ...] = ()  # before NOW, in which nobody scraped it

    def page(self, elapsed_s: float, at: datetime, filled: "Filled") -> EnginePage:
        wave = elapsed_s + 40 * sin(elapsed_s / 180)  # the integral of a rate that swings by a fifth
        done = float(int(self.requests_per_s * wave))
        prompt, output = float(int(done * self.prompt)), float(int(done * self.output))
        cached = float(int(prompt * self.hit))
        level = 1 + 0.22 * np.cos(elapsed_s / 180)
        residence_s = self.ttft_s + self.output * self.tpot_s
        counters = {
            "prompt_tokens": prompt, "computed_prompt_tokens": prompt - cached, "cached_prompt_tokens": cached,
            "generation_tokens": output, "requests_stop_count": done, "requests_abort_count": 0.0,
            "prefix_queries_tokens": prompt, "prefix_hits_tokens": cached,
            "preemptions_count": float(int(done * self.preempted)), "queue_s": done * self.waiting * 0.4,
            "inference_s": done * residence_s, "steps_count": float(int(elapsed_s / self.tpot_s)),
        }  # fmt: skip
        if self.accepted:
            drafts = float(int(output / (1 + self.accepted)))
            counters |= {"drafts_count": drafts, "draft_tokens": 3 * drafts, "accepted_tokens": drafts * self.accepted}
            weights = [0.6, 0.28, 0.12] + [0.0] * (POSITIONS_COUNT - 3)
            counters |= {f"accepted_at_{n:02d}_tokens": drafts * self.accepted * w for n, w in enumerate(weights) if w}
        if self.flop_share:
            flop = 989.4e12 * self.flop_share * wave
            counters |= {"estimated_flop": flop, "estimated_read_bytes": 3.35e12 * 0.22 * wave,
                         "estimated_write_bytes": 3.35e12 * 0.02 * wave}  # fmt: skip
        return EnginePage(
            target_key=self.target,
            model_key=self.model,
            engine_key="0",
            scraped_at=at,
            started_at=at - timedelta(seconds=elapsed_s),
            counters=counters,
            gauges={
                "running_count": float(round(self.requests_per_s * residence_s * level)),
                "waiting_count": float(round(self.waiting * level)),
                "kv_usage_fraction": float(min(0.99, self.kv * level)),
            },
            histograms=filled.upto(
                {"ttft_s": done, "tpot_s": done, "itl_s": output},
                {"ttft_s": self.ttft_s * level, "tpot_s": self.tpot_s * level, "itl_s": self.tpot_s * level * 0.9},
            ),
            facts=self.facts,
        )

    def scrapes(self, now: datetime) -> Iterator[Scrape]:
        previous: EnginePage | None = None
        filled = Filled()
        for n in range(SCRAPES_COUNT):
            at = now - timedelta(seconds=(SCRAPES_COUNT - n) * EVERY_S - 14)
            page = self.page(3600 + n * EVERY_S, at, filled)
            if int((now - at).total_seconds() // 60) not in self.silent_minutes:
                yield Scrape(run=run(self.target, at), pages=[page], samples=[usage_sample(previous, page, EVERY_S)])
                previous = page


class Filled:
    """Histograms that fill up: log-logistic around a median that moves, so that a p95 is about twice it."""

    def __init__(self) -> None:
        self.counts: dict[str, np.ndarray] = {}
        self.sums: dict[str, float] = {}

    def upto(self, counts: dict[str, float], medians: dict[str, float]) -> dict[str, Histogram]:
        for name, count in counts.items():
            before = self.counts.setdefault(name, np.zeros(len(BOUNDS)))
            added = count - before[-1]
            shares = np.array([1 / (1 + (medians[name] / bound) ** 4) for bound in BOUNDS])
            self.counts[name] = np.append((before + added * shares)[:-1], count)
            self.sums[name] = self.sums.get(name, 0.0) + added * medians[name]
        return {
            name: Histogram(
                bounds=BOUNDS,
                cumulative_counts=tuple(float(value) for value in np.floor(self.counts[name])),
                sum=self.sums[name],
                count=count,
            )
            for name, count in counts.items()
        }


def run(target: str, at: datetime, state: str = RUN_OK, error: str | None = None) -> ScrapeRun:
    return ScrapeRun(
        source_key=f"vllm/{target}", target_key=target, started_at=at, finished_at=at, state=state, error=error,
        rows_count=int(state == RUN_OK), every_s=EVERY_S,
    )  # fmt: skip


LARGE, SMALL = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
VERSION = {"vllm_at_least": "0.17", "vllm_below": "0.21", "enable_prefix_caching": "True"}
ENGINES = (
    Engine("chat-1", LARGE, 2.6, waiting=4.0, kv=0.62, ttft_s=0.7, tpot_s=0.034, facts=VERSION,
           silent_minutes=(11, 12, 13)),
    Engine("chat-2", LARGE, 0.0, facts=VERSION),
    Engine("code-1", SMALL, 7.5, prompt=900, output=120, ttft_s=0.06, tpot_s=0.008, kv=0.2, hit=0.02, accepted=0.12,
           flop_share=0.13, facts={"vllm_at_least": "0.26"}),
    Engine("lab", "mistralai/Mistral-Small", 0.4, hit=0.0, kv=0.98, preempted=0.04,
           facts={"vllm_below": "0.9", "enable_prefix_caching": "False"}),
)  # fmt: skip
TARGETS = (
    ("chat-1", "chat", {"team": "support", "pool": "eu-a", "gpu": "H100"}),
    ("chat-2", "chat", {"team": "support", "pool": "eu-b", "gpu": "H100"}),
    ("chat-3", "chat", {"team": "support", "pool": "eu-b", "gpu": "H100"}),
    ("code-1", "code", {"team": "platform", "pool": "eu-a", "gpu": "H100"}),
    ("lab", "lab", {"gpu": "A100"}),
    ("quiet", "quiet", {}),
)


def devices(now: datetime) -> Iterator[Scrape]:
    """A GPU exporter beside `code`: 91 % "utilised"."""
    previous: DevicePage | None = None
    for n in range(0, SCRAPES_COUNT, 2):
        at = now - timedelta(seconds=(SCRAPES_COUNT - n) * EVERY_S - 10)
        page = DevicePage(
            target_key="gpu-node-1",
            device_key="GPU-1",
            scraped_at=at,
            counters={"energy_j": 300.0 * n * EVERY_S},
            gauges={"gpu_util_fraction": 0.91, "sm_active_fraction": 0.42, "tensor_active_fraction": 0.11,
                    "dram_active_fraction": 0.24, "power_w": 300.0},
        )  # fmt: skip
        yield Scrape(
            run=run("gpu-node-1", at), devices=[page], device_samples=[device_sample(previous, page, 2 * EVERY_S)]
        )
        previous = page


def write(home: Home, now: datetime = NOW) -> None:
    """Store it and publish, the whole and the tail."""
    last = now - timedelta(seconds=2)
    scrapes = [scrape for engine in ENGINES for scrape in engine.scrapes(now)]
    scrapes += devices(now)
    scrapes += [
        Scrape(run=run("chat-3", last, "refused", "10.0.0.9:8000 refused the connection; is vLLM running there?")),
        Scrape(run=run("quiet", last)),
    ]
    names = [*TARGETS, ("gpu-node-1", "code", {})]
    with Writer.open(home, lambda: now) as writer:
        writer.name_targets(
            [
                TargetRow(target_key=key, source_key=f"vllm/{key}", deployment_key=deployment, labels=labels)
                for key, deployment, labels in names
            ]
        )
        refused = [reason for reason in writer.add_scrapes(scrapes) if reason]
        if refused:
            raise refused[0]
        writer.publish(force=True)
        writer.publish_tail(force=True)


def make(path: Path, now: datetime = NOW) -> Home:
    home = Home(path)
    home.make()
    write(home, now)
    home.scenario.write_text(SCENARIO, encoding="utf-8")
    return home
