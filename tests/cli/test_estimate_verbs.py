"""`permillion estimate` and `permillion right-size`: figures for people and scripts, and what a wrong file is told."""

import json
from pathlib import Path

import pytest

from store.catalog_files import SAMPLE_SCENARIO
from store.estimate_files import EXAMPLE_ESTIMATE, SAMPLE_ESTIMATE
from tests.cli.conftest import Run

SMALL = """
draws = 2000
[factors]
users_count = 100
question_tokens = 500
output_tokens = 200
[[api]]
name = "api"
usd_per_mtok_input = 1.0
usd_per_mtok_output = 2.0
"""


@pytest.fixture
def written(tmp_path: Path):
    def file(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return file


def test_the_story_prints_its_plan_its_bill_and_its_gate(permillion: Run) -> None:
    result = permillion("estimate", SAMPLE_ESTIMATE)
    assert result.exit_code == 0, "another option passes its gate"
    for words in ("planned   $60 a day", "$544 a day", "STOP: above $1,800", "retries_ratio 61%", "replicas  P50 1"):
        assert words in result.stdout


def test_json_is_every_figure(permillion: Run) -> None:
    found = json.loads(permillion("estimate", EXAMPLE_ESTIMATE, "--json").stdout)
    assert [option["is_api"] for option in found["options"]] == [True, True, False]
    assert len(found["options"][0]["curve_usd_per_month"]) == 99
    assert found["seed"] == 1


def test_a_stop_at_every_gate_is_exit_code_1(permillion: Run, written) -> None:
    assert permillion("estimate", written(SMALL)).exit_code == 0
    assert permillion("estimate", written(SMALL + "[budget]\nusd_per_month = 0.01\n")).exit_code == 1
    assert permillion("estimate", written(SMALL + "[budget]\nusd_per_month = 100000\n")).exit_code == 0


def test_a_wrong_file_is_exit_code_2_and_names_the_place(permillion: Run, written) -> None:
    result = permillion("estimate", written(SMALL.replace("users_count", "user_count")))
    assert result.exit_code == 2
    assert "unknown key 'user_count' in mine.toml [factors]. Did you mean 'users_count'?" in result.stderr


def test_right_size_prints_a_table_for_each_deployment(permillion: Run) -> None:
    out = permillion("right-size", SAMPLE_SCENARIO, "--deployment", "search-answers").stdout
    assert out.startswith("search-answers: ")
    assert "The cheapest hour" in out
    rows = json.loads(permillion("right-size", SAMPLE_SCENARIO, "--json").stdout)
    assert [one["deployment_key"] for one in rows] == ["support-copilot", "doc-extraction", "search-answers"]
    assert rows[0]["rows"][0]["usd_per_mtok"] < rows[0]["rows"][-1]["usd_per_mtok"]


def test_right_size_says_what_is_missing(permillion: Run) -> None:
    unknown = permillion("right-size", SAMPLE_SCENARIO, "--deployment", "search-answer")
    assert unknown.exit_code == 2
    assert "Did you mean 'search-answers'?" in unknown.stderr
    nowhere = permillion("right-size")
    assert nowhere.exit_code == 2
    assert "holds nothing yet" in nowhere.stderr
