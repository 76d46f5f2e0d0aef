"""Metric names and scrapes as the lesson gives them: what they match today, and what they mean."""

import json
from pathlib import Path

import pytest

from collectors.dashboard import check_dashboard
from collectors.replay import Recording

CAPTURES = Path(__file__).parents[1] / "captures"


@pytest.mark.parametrize(
    ("name", "matches", "says"),
    [
        pytest.param("vllm:num_requests_waiting", True, "0.5", id="S95a"),
        pytest.param("vllm:gpu_cache_usage_perc", False, "kv_cache_usage_perc", id="S95b: renamed"),
        pytest.param("vllm:num_preempted_seqs_total", False, "no metric of any release", id="S95c: never was one"),
        pytest.param("vllm:num_preemptions_total", True, "0.5", id="S95c: what counts preemptions"),
        pytest.param("vllm:generation_tokens_total", True, "0.5", id="S95d"),
        pytest.param("vllm:prompt_tokens_total", True, "0.5", id="S95e: cached tokens included"),
    ],
)
def test_a_name_of_the_lesson_is_judged(name: str, matches: bool, says: str, tmp_path: Path) -> None:
    board = tmp_path / "board.json"
    board.write_text(json.dumps({"panels": [{"title": "lesson", "targets": [{"expr": name}]}]}))
    (check,) = check_dashboard(board)
    assert check.ok is matches
    assert says in check.why


def test_s94_searching_a_page_for_vllm_underscore_finds_nothing() -> None:
    """The names of a server begin `vllm:`; only what Ray's exporter passes on has the underscore."""
    page = Recording.load(CAPTURES / "a_baseline_preempt" / "metrics.jsonl.gz").pages[-1] or ""
    assert page.count("\nvllm:") > 100
    assert "vllm_" not in page
