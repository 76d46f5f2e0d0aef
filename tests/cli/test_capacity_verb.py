"""`permillion capacity`: demand, purchase and scaling in the terminal, with history and without."""

import json
from pathlib import Path

import pytest

from store.catalog_files import SAMPLE_SCENARIO
from store.home import Home
from tests.cli.conftest import Run

SCENARIO = """
[[deployments]]
key = "chat"
model = "llama-3.1-8b"
gpu = "h100-sxm"
workload = { requests_per_s = 20, mean_prompt_tokens = 800, mean_output_tokens = 200, peak_to_mean_ratio = 2 }
purchase = { usd_per_gpu_hour = 3.50 }
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def traffic(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "traffic.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_history_is_measured_and_every_part_is_printed(permillion: Run) -> None:
    permillion("demo")
    told = permillion("capacity", "--deployment", "search-answers")
    assert told.exit_code == 0, told.stderr
    for part in ("Demand of search-answers", "1,344 hours", "Purchase of h100-sxm", "the median (the P50 rule)",
                 "Autoscaling of search-answers", "clairvoyant", "sample data"):  # fmt: skip
        assert part in told.stdout


def test_what_is_in_force_on_the_sample_is_replayed_beside_what_may_be_tried(permillion: Run) -> None:
    permillion("demo")
    told = permillion("capacity", "--deployment", "doc-extraction", "--json")
    assert told.exit_code == 0, told.stderr
    [replayed] = json.loads(told.stdout)["replays"]
    assert [one["label"] for one in replayed["replays"]][:2] == ["In force", "HPA, running requests"]


def test_policies_of_the_home_are_in_force_and_a_broken_file_is_one_clear_line(
    permillion: Run, scenario: Path, home: Home
) -> None:
    home.make()
    home.scenario.write_text(SCENARIO, encoding="utf-8")
    (home.path / "policies.toml").write_text(
        '[[policy]]\nkind = "static"\nlabel = "always five"\nreplicas_count = 5\n', encoding="utf-8"
    )
    assert "always five" in permillion("capacity").stdout
    assert "always five" not in permillion("capacity", scenario).stdout, "a file of another fleet"
    (home.path / "policies.toml").write_text('[[policy]]\nkind = "hpa"\ntarget = 5\n', encoding="utf-8")
    told = permillion("capacity")
    assert told.exit_code == 2
    assert "unknown key 'target' in policies.toml, policy 1" in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_traffic_without_a_name_beside_several_deployments_asks_whose_it_is(permillion: Run, tmp_path: Path) -> None:
    hours = traffic(tmp_path, "hour,requests_per_s\n2026-11-16T00:00,5\n")
    told = permillion("capacity", SAMPLE_SCENARIO, "--traffic", hours, "--no-replay")
    assert told.exit_code == 2
    assert "Add a column deployment" in told.stderr


def test_json_has_every_figure_and_no_nan(permillion: Run, scenario: Path, tmp_path: Path) -> None:
    hours = traffic(tmp_path, "hour,requests_per_s\n2026-11-16T00:00Z,5\n2026-11-16T03:00Z,50\n2026-11-16T01:00Z,9\n")
    told = permillion("capacity", scenario, "--traffic", hours, "--reserved", "2.10:1", "--no-replay", "--json")
    assert told.exit_code == 0, told.stderr
    assert "NaN" not in told.stdout
    found = json.loads(told.stdout)
    [curve], [plan] = found["curves"], found["plans"]
    assert curve["needed_gpus_count"][2] is None, "the hour that the file leaves out"
    assert plan["choices"][0]["quantile_fraction"] == pytest.approx(0.4)
    assert len(plan["choices"][0]["level_usd_per_hour"]) > 1


def test_without_history_a_shape_is_assumed_and_said(permillion: Run, scenario: Path) -> None:
    told = permillion("capacity", scenario, "--no-replay")
    assert told.exit_code == 0, told.stderr
    assert "no history" in told.stdout
    assert told.stdout.count("(assumed)") == 2, "the hours, and what is bought for a term of them"
    assert "(extrapolated)" not in told.stdout


def test_one_hour_of_traffic_is_said_to_hide_every_peak(permillion: Run, scenario: Path, tmp_path: Path) -> None:
    hour = traffic(tmp_path, "hour,requests_per_s\n2026-11-16T00:00,5\n")
    assert "hides every peak" in permillion("capacity", scenario, "--traffic", hour, "--no-replay").stdout


def test_policies_of_a_file_are_replayed_and_written_for_kubernetes(
    permillion: Run, scenario: Path, tmp_path: Path
) -> None:
    hours = traffic(tmp_path, "hour,requests_per_s\n" + "".join(f"2026-11-16T{h:02}:00,{5 + h}\n" for h in range(24)))
    policies = tmp_path / "policies.toml"
    policies.write_text(
        '[[policy]]\nkind = "hpa"\nlabel = "queue"\nmin_replicas_count = 1\nmax_replicas_count = 4\n'
        "targets = { num_requests_waiting = 5 }\n"
        '[[policy]]\nkind = "keda"\nlabel = "to none"\nmin_replicas_count = 0\nmax_replicas_count = 4\n'
        "targets = { num_requests_running = 40 }\n",
        encoding="utf-8",
    )
    told = permillion("capacity", scenario, "--traffic", hours, "--policy", policies, "--kubernetes")
    assert told.exit_code == 0, told.stderr
    assert 'kind: "HorizontalPodAutoscaler"' in told.stdout
    assert "needs --gateway-query" in told.stdout
    both = permillion(
        "capacity", scenario, "--policy", policies, "--kubernetes", "--no-replay", "--gateway-query", "sum(w)"
    )
    assert 'kind: "ScaledObject"' in both.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the header lacks hour and requests_per_s"),
        ("hour,requests_per_s\n", "no hour is in it"),
        ("hour,rate\n2026-11-16T00:00,5\n", "the header lacks requests_per_s"),
        ("hour,requests_per_s\n16.11.2026,5\n", "line 2: '16.11.2026' is no time"),
        ("hour,requests_per_s\n2026-11-16T00:30,5\n", "not on the hour"),
        ("hour,requests_per_s\n2026-11-16T00:00,-5\n", "is no rate"),
        ("hour,requests_per_s\n2026-11-16T00:00,nan\n", "is no rate"),
        ("hour,requests_per_s\n2026-11-16T00:00\n", "line 2: 1 cells"),
        ("hour,requests_per_s\n2026-11-16T00:00,5\n2026-11-16T00:00Z,6\n", "comes twice"),
        ("hour,requests_per_s\n2000-01-01T00:00,5\n2026-11-16T00:00Z,6\n", "hours; 87,600 at most"),
        ("hour,requests_per_s\n" + "x" * 20_000 + ",1\n", "20,003 characters"),
        ("hour,requests_per_s,deployment\n2026-11-16T00:00,5,other\n", "unknown deployment 'other'"),
        ("hour,requests_per_s\n2026-11-16T00:00,1e9\n", "cannot be bought"),
    ],
)
def test_traffic_that_cannot_be_read_is_one_clear_line(
    permillion: Run, scenario: Path, tmp_path: Path, text: str, said: str
) -> None:
    told = permillion("capacity", scenario, "--traffic", traffic(tmp_path, text))
    assert told.exit_code == 2
    assert said in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_calls_that_cannot_be_are_one_clear_line(permillion: Run, scenario: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ((), "does not exist"),
        ((scenario, "--deployment", "other"), "unknown deployment"),
        ((scenario, "--reserved", "cheap"), "USD:YEARS"),
        ((scenario, "--policy", tmp_path / "none.toml"), "does not exist"),
        ((scenario, "--traffic", tmp_path / "none.csv"), "cannot be read"),
        ((scenario, "--growth", "9"), "growth is a week's"),
    ):
        told = permillion("capacity", *arguments)
        assert told.exit_code == 2, arguments
        assert said in told.stderr
        assert "Traceback" not in told.stderr


def test_each_deployment_of_the_sample_has_its_own_curve_and_one_pool(permillion: Run) -> None:
    told = permillion("capacity", SAMPLE_SCENARIO, "--no-replay", "--json")
    found = json.loads(told.stdout)
    assert [curve["label"] for curve in found["curves"]] == ["support-copilot", "doc-extraction", "search-answers"]
    assert len(found["pools"]) == len(found["plans"]) == 1
