"""A real Prometheus: what it scraped from a recording and gives back is the recording, sample by sample."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.replay import Recording, ReplayServer
from tests.live.servers import Prometheus

RECORDING = Path(__file__).parents[1] / "captures" / "a_baseline_preempt" / "metrics.jsonl.gz"
# The recording's own totals, from its README and its server's log.
TOTALS = {
    "vllm:prompt_tokens_total": 63_162,
    "vllm:prompt_tokens_cached_total": 32_928,
    "vllm:generation_tokens_total": 21_943,
    "vllm:num_preemptions_total": 95,
}


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """The pages that were answered, in order."""
    return [page for page in Recording.load(RECORDING).pages if page]


def counted(page: str) -> dict[str, float]:
    values = {sample.name: sample.value for family in text_string_to_metric_families(page) for sample in family.samples}
    return {name: values[name] for name in TOTALS}


def test_raw_samples_read_back_are_the_recording(prometheus_for: Callable[..., Prometheus], pages: list[str]) -> None:
    """Each scrape is shown the next page, and after the last one that page again."""
    left = iter(pages)
    with ReplayServer({"/metrics": lambda elapsed_s: next(left, pages[-1])}) as server:
        prometheus = prometheus_for(*server.urls, every="200ms")
        prometheus.wait_for_samples("vllm:prompt_tokens_total", len(pages))
    recorded = [counted(page) for page in pages]
    for name, total in TOTALS.items():
        (series,) = prometheus.raw(name)
        assert list(series.values[: len(pages)]) == [values[name] for values in recorded]
        assert series.values[-1] - series.values[0] == total
        assert list(series.times_s) == sorted(set(series.times_s))
