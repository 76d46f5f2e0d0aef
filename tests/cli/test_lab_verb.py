"""`permillion lab`: a log in a terminal, as JSON, and what a wrong call is told."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    lines = [{"prompt": "You are a helper. " * 20 + f"Question {number}?", "model": "m"} for number in range(50)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_it_prints_what_it_found_and_the_link(permillion: Run, log: Path) -> None:
    result = permillion("lab", log, "--embedder", "lexical", "--cache-tokens", "4096")
    assert result.exit_code == 0, result.output
    for part in ("50 requests", "Prefix cache: 84.3%", "256 blocks of 16 tokens", "look-alikes", "?v=2"):
        assert part in result.output
    assert "helper" not in result.output


def test_as_json_it_has_the_same_figures(permillion: Run, log: Path) -> None:
    found = json.loads(permillion("lab", log, "--no-semantic", "--json").stdout)
    assert found["requests_count"] == 50
    assert 0.8 < found["prefix"]["hit_fraction"] < 1
    assert found["semantic"] == {"undefined": "it was not asked for"}


def test_a_cache_in_gib_is_that_of_the_model(permillion: Run, log: Path) -> None:
    """1 GiB over 131,072 bytes a token of Llama 3.1 8B are 8,192 tokens, 512 blocks of 16."""
    result = permillion(
        "lab", log, "--no-semantic", "--json", "--cache-gib", "1", "--model", "llama-3.1-8b", "--block-size", "16"
    )
    assert json.loads(result.stdout)["prefix"]["cache_blocks_count"] == 512


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cache-gib", "1"], "--model"),
        (["--cache-gib", "1", "--model", "lama-3.1-8b"], "llama-3.1-8b"),
        (["--cache-gib", "1", "--model", "llama-3.1-8b", "--cache-tokens", "64"], "not both"),
        (["--cache-gib", "-1", "--model", "llama-3.1-8b"], "above 0"),
        (["--block-size", "0"], "--block-size"),
        (["--threshold", "2"], "--threshold"),
        (["--embedder", "minilmm"], "minilm"),
        (["--format", "plane"], "plain"),
        (["--tokenizer", "missing.json"], "tokenizer"),
    ],
)
def test_a_wrong_call_is_told_what_to_do(permillion: Run, log: Path, options: list[str], says: str) -> None:
    result = permillion("lab", log, *options)
    assert result.exit_code == 2
    assert says in result.output
