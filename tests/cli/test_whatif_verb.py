"""`permillion whatif`: the projection in a terminal, and what a wrong scenario file is told."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.toml"))
GOOD = """
[[deployments]]
key = "chat"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 5, mean_prompt_tokens = 500, mean_output_tokens = 200 }
purchase = { usd_per_gpu_hour = 2.5 }
"""
EXPECT = """
[[expect]]
of = "usd_per_gpu_hour"
scope = "chat"
value = {value}
source = "the price above"
"""


@pytest.fixture
def scenario(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_shipped_scenario_meets_its_expectations(permillion: Run, path: Path) -> None:
    result = permillion("whatif", path)
    assert result.exit_code == 0, result.output
    assert "as expected" in result.stdout
    assert "EXPECTED" not in result.stdout


def test_the_text_has_today_the_scenario_and_each_levers_change(permillion: Run, scenario) -> None:
    out = permillion(
        "whatif", scenario(GOOD.replace("= 5,", "= 500,") + '[levers.weight_precision]\nweights = "fp8"\n')
    ).stdout
    head, spend = out.splitlines()[:2]
    assert head.split() == ["today", "scenario"]
    assert spend.startswith("USD per month")
    today, then = (float(figure.replace(",", "")) for figure in spend.split()[3:])
    assert then < today
    (change,) = [line for line in out.splitlines() if line.startswith("  Weight precision")]
    assert float(change.split()[2].replace(",", "")) == pytest.approx(then - today, abs=0.02)


def test_json_has_the_field_names(permillion: Run) -> None:
    found = json.loads(permillion("whatif", SCENARIOS[0], "--json").stdout)
    assert set(found) == {"comparison", "flags", "uncertainty", "expectations"}
    assert set(found["comparison"]) == {
        "today", "scenario", "changed", "changes", "alone", "interactions", "refusals", "evaluations", "is_sampled",
        "saved_usd_per_month", "capacity_freed_fraction", "unit_cost_ratio", "usd_per_answer", "floor_usd_per_month",
    }  # fmt: skip
    assert {"usd_per_month", "gpus_count", "steps", "deployments"} <= set(found["comparison"]["scenario"])
    assert all(check["is_met"] is True for check in found["expectations"])


def test_json_is_strict_json(permillion: Run) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for path in SCENARIOS:
        json.loads(permillion("whatif", path, "--json").stdout, parse_constant=refuse)


def test_an_expectation_that_is_not_met_is_exit_code_1_and_shown(permillion: Run, scenario) -> None:
    path = SCENARIOS[0]
    text = path.read_text(encoding="utf-8").replace("value = 0.38", "value = 0.99")
    assert text != path.read_text(encoding="utf-8")
    result = permillion("whatif", scenario(text))
    assert result.exit_code == 1
    assert "EXPECTED 0.99" in result.stdout
    assert json.loads(permillion("whatif", scenario(text), "--json").stdout)["expectations"][0]["is_met"] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("h100-sxm", "h100-sxn"), ["unknown GPU 'h100-sxn'", "Did you mean 'h100-sxm'?", "Known:"]),
        (GOOD.replace("llama-3.1-8b", "lama-3.1-8b"), ["unknown model", "Did you mean 'llama-3.1-8b'?"]),
        (
            GOOD.replace("llama-3.1-8b", "llama-3.1-405b"),
            ["does not fit 1 x NVIDIA H100 SXM", "use 16 of them or fewer bits per weight"],
        ),
        (GOOD.replace("gpu =", "gpus ="), ["gpus", "Did you mean 'gpu'?"]),
        (GOOD.replace("= 5,", "= -5,"), ["requests_per_s must be from 0 to 1,000,000"]),
        (GOOD.replace("= 5,", '= "5",'), ["requests_per_s"]),
        (GOOD + '[levers.weight_precision]\nweights = "fp3"\n', ["unknown weights 'fp3'", "fp8"]),
        (
            GOOD + "[levers.prefix_caching]\nenabled = true\nhit_fraction = 1.5\n",
            ["hit_fraction must be a number from 0 to 0.95, not 1.5"],
        ),
        (GOOD + "[levers.warp_drive]\nenabled = true\n", ["unknown lever 'warp_drive'"]),
        (GOOD + EXPECT.format(value=1).replace("usd_per_gpu_hour", "usd_per_gpu_hou"), ["usd_per_gpu_hou"]),
        ("label = 'x'\n", ["needs at least one [[deployments]] table"]),
    ],
    ids=[
        "unknown GPU", "unknown model", "model too large", "unknown key", "negative rate", "text for a number",
        "unknown precision", "lever out of range", "unknown lever", "expects what is not computed", "nothing deployed",
    ],
)  # fmt: skip
def test_a_wrong_file_is_exit_code_2_and_says_how_to_mend_it(permillion: Run, scenario, text: str, said: list) -> None:
    result = permillion("whatif", scenario(text))
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    for words in said:
        assert words in result.stderr


def test_a_file_that_is_not_there_is_named(permillion: Run, tmp_path: Path) -> None:
    result = permillion("whatif", tmp_path / "gone.toml")
    assert result.exit_code == 2
    assert "gone.toml" in result.stderr


def test_bad_toml_is_named_with_its_line(permillion: Run, scenario) -> None:
    result = permillion("whatif", scenario("label = 'x'\nkey = = 3\n"))
    assert result.exit_code == 2
    assert "mine.toml" in result.stderr
    assert "line 2" in result.stderr


def test_a_folder_or_a_binary_file_is_refused(permillion: Run, scenario, tmp_path: Path) -> None:
    assert permillion("whatif", tmp_path).exit_code == 2
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert permillion("whatif", binary).exit_code == 2


def test_a_refused_lever_is_no_error_and_says_its_remedy(permillion: Run, scenario) -> None:
    text = GOOD + '[levers.batch_limits]\nmax_num_seqs = "1024"\nmax_num_batched_tokens = "512"\n'
    result = permillion("whatif", scenario(text))
    assert result.exit_code == 0
    assert "Batch limits: not applied" in result.stdout
    assert "raise tokens per step or lower sequences" in result.stdout
