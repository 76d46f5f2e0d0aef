"""Parsing a vLLM page: ours, warm, beside prometheus_client's parser on the same bytes, in process CPU time."""

import gzip
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from prometheus_client.parser import text_string_to_metric_families

from benchmarks._timing import timed_ms
from collectors.base import CollectContext, Target
from collectors.sources import vllm
from costlib.units import MEGA

RECORDING = Path(__file__).parents[1] / "tests" / "captures" / "a_baseline_preempt" / "metrics.jsonl.gz"


def main() -> None:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        body = json.loads(lines.readlines()[-1])["text"].encode()
    ctx = CollectContext(target=Target(key="bench", url="http://127.0.0.1/metrics"), scraped_at=datetime.now(UTC))
    text = body.decode()
    cold = CollectContext(target=ctx.target, scraped_at=ctx.scraped_at)
    cpu = time.process_time
    begin = cpu()
    vllm.parse(body, cold)
    first_ms = (cpu() - begin) * 1e3
    ours = median(timed_ms(lambda: [vllm.parse(body, ctx) for _ in range(20)], 15, cpu)) / 20
    theirs = median(timed_ms(lambda: list(text_string_to_metric_families(text)), 15, cpu))
    size = len(body) / MEGA
    print(f"page of {len(body):,} bytes{'':<22}{'ms':>8} {'MB/s':>8}  x")
    print(f"{'yardstick: prometheus_client':<40}{theirs:8.2f} {size / theirs * 1e3:8.1f}  1")
    print(f"{'ours, first page of a target':<40}{first_ms:8.2f} {size / first_ms * 1e3:8.1f}  {theirs / first_ms:.1f}")
    print(f"{'ours, every page after it':<40}{ours:8.2f} {size / ours * 1e3:8.1f}  {theirs / ours:.1f}")
