"""A log, the lab's hit rate on it, and the hit rate of a real vLLM that was sent the same: within two points."""

import json
from pathlib import Path

import pytest

from lab.report import LabOptions, examined
from tests.live.client import Ask, Client
from tests.live.servers import VllmServer

QUERIES, HITS = "vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total"
BLOCK_TOKENS, CACHE_BLOCKS = 32, 64  # as tests/live/servers.py starts it
SHARED = "The same instructions for all who ask, as long as a few blocks of the cache are. " * 3


def asks() -> list[Ask]:
    """Two groups with instructions of their own, some questions twice, and some that share nothing."""
    return [
        Ask(
            prompt=(f"{'AB'[n % 2]} {SHARED}" if n % 3 else f"{n:04d}" * 20) + f"question {n % 20:03d} of today",
            output_tokens=4,
            is_streamed=False,
        )
        for n in range(60)
    ]


def test_the_hit_rate_of_the_lab_is_that_of_a_server_that_was_sent_the_same(
    vllm_server: VllmServer, client: Client, tmp_path: Path
) -> None:
    """A letter is a token to the tiny model; one request at a time, in the order of the log."""
    vllm_server.restart()
    before = vllm_server.counters()
    client.send(asks(), at_once_count=1)
    after = vllm_server.counters()
    queried, hit = (after[name] - before[name] for name in (QUERIES, HITS))
    served = hit / queried
    log = tmp_path / "log.jsonl"
    lines = [{"prompt": ask.prompt, "completion_tokens": ask.output_tokens} for ask in asks()]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    options = LabOptions(
        bytes_per_token=1.0,
        block_tokens=BLOCK_TOKENS,
        cache_tokens=CACHE_BLOCKS * BLOCK_TOKENS,
        is_semantic_wanted=False,
    )
    found = examined(log, options).prefix
    assert found.prompt_tokens == queried
    assert found.hit_fraction == pytest.approx(served, abs=0.02)
    assert served > 0.3, "nothing was shared: the log is not the one that was meant"
