"""Every verb: help, exit codes (0 done, 1 the data say no, 2 the call is wrong), and JSON for machines."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

import cli
from store.home import Home
from tests.cli.conftest import RECORDING, Run

ROOT = Path(__file__).resolve().parents[2]
VERBS = sorted(typer.main.get_command(cli.app).commands)
WITH_JSON = ["demo", "doctor", "import", "usage", "whatif"]


def test_the_verbs_of_the_design_that_are_built_are_here() -> None:
    assert {"up", "demo", "collect", "import", "usage", "whatif", "doctor"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(permillion: Run, verb: str) -> None:
    result = permillion(verb, "--help")
    assert result.exit_code == 0
    explained = result.stdout.split("Usage:")[1].splitlines()
    assert any(len(line.split()) > 4 for line in explained[1:]), "no sentence says what the verb does"


@pytest.mark.parametrize("verb", WITH_JSON)
def test_verbs_that_print_figures_print_json(permillion: Run, verb: str) -> None:
    assert "--json" in permillion(verb, "--help").stdout


@pytest.mark.parametrize(
    "call",
    [
        ["no-such-verb"],
        ["usage", "--no-such-option"],
        ["whatif"],
        ["import"],
        ["collect", "--every", "soon"],
        ["collect", "--once"],
        ["collect", "--once", "--metrics-url", "gpu-1"],
        ["collect", "--once", "--every", "0s", "--metrics-url", "http://127.0.0.1:9/metrics"],
        ["up", "--port", "none"],
        ["replay", "no-such-file.jsonl.gz"],
        ["replay", RECORDING, "--speed", "0"],
        ["import", "--format", "no-such-format", __file__],
    ],
    ids=lambda call: " ".join(str(word).rpartition("/")[2] for word in call),
)
def test_a_wrong_call_is_exit_code_2_and_says_what_is_wrong(permillion: Run, call: list[str]) -> None:
    result = permillion(*call)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.strip()) > 20
    assert "Traceback" not in result.output


@pytest.mark.parametrize("every", ["15s", "2m", "1h", "30", "0.5s", " 10 s "])
def test_times_are_written_as_people_write_them(permillion: Run, every: str) -> None:
    result = permillion("collect", "--once", "--every", every)
    assert "no server to scrape" in result.stderr, "the time was taken; only the server is missing"


@pytest.mark.parametrize("every", ["", "s", "15 minutes", "1d", "-5s", "1e3", "15s15s"])
def test_what_is_no_time_is_refused_with_an_example(permillion: Run, every: str) -> None:
    result = permillion("collect", "--once", f"--every={every}")
    assert result.exit_code == 2
    assert "15s" in result.stderr


def test_a_port_in_use_is_refused_with_a_remedy(permillion: Run, recorded_server: str) -> None:
    port = recorded_server.split(":")[2].split("/")[0]
    result = permillion("up", "--port", port)
    assert result.exit_code == 2
    assert f"port {port} cannot be used" in result.stderr
    assert "--port" in result.stderr


def test_a_folder_that_cannot_be_written_is_named(
    permillion: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PERMILLION_HOME", str(tmp_path / "file" / "home"))
    result = permillion("demo")
    assert result.exit_code == 2
    assert "PERMILLION_HOME" in result.stderr


def test_the_program_runs_as_a_process_with_the_same_exit_codes(home: Home) -> None:
    """What the installed script does, in a process of its own: a good answer, and a wrong call."""
    script = "import sys; sys.argv[0] = 'permillion'; import cli; cli.app()"
    wrong = subprocess.run(
        [sys.executable, "-c", script, "usage"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("permillion: ")
    assert "holds nothing yet" in wrong.stderr


# Demo and usage -------------------------------------------------------------------------------------------------------


def test_demo_says_what_it_loaded_and_twice_is_once(permillion: Run) -> None:
    first, second = (json.loads(permillion("demo", "--json").stdout) for _ in range(2))
    assert first["hours_count"] == second["hours_count"] == 3 * 17 * 7 * 24
    assert first["bill"]["status"] in ("imported", "already imported")
    assert first["bill"]["billed_cost"] == second["bill"]["billed_cost"]
    assert isinstance(first["bill"]["billed_cost"], str)
    assert set(first) == {"hours_count", "usage_to", "bill"}


def test_usage_is_per_server_and_model(permillion: Run) -> None:
    permillion("demo")
    rows = json.loads(permillion("usage", "--json").stdout)
    assert [row["target_key"] for row in rows] == ["doc-extraction", "search-answers", "support-copilot"]
    for row in rows:
        assert row["model_key"]
        assert row["prompt_tokens"] >= row["cached_prompt_tokens"] > 0
        assert row["generation_tokens"] > 0
        assert 0 < row["busy_s"] <= row["coverage_s"]
    text = permillion("usage").stdout
    assert "search-answers" in text
    assert "prompt_tokens" in text


def test_usage_of_a_window_counts_the_hours_that_begin_in_it(permillion: Run) -> None:
    permillion("demo")
    whole = json.loads(permillion("usage", "--json").stdout)
    newest = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day = [f"{newest - timedelta(days=1):%Y-%m-%d}", f"{newest:%Y-%m-%d}"]
    rows = json.loads(permillion("usage", "--from", day[0], "--to", day[1], "--json").stdout)
    assert [row["observed_s"] for row in rows] == [86_400.0] * 3
    assert all(0 < row["prompt_tokens"] < total["prompt_tokens"] for row, total in zip(rows, whole, strict=True))


def test_usage_of_an_empty_home_says_how_to_fill_it(permillion: Run, home: Home) -> None:
    result = permillion("usage")
    assert result.exit_code == 2
    assert str(home.path) in result.stderr
    assert "demo" in result.stderr


def test_sample_data_do_not_enter_a_home_with_real_data(permillion: Run, recorded_server: str) -> None:
    assert permillion("collect", "--once", "--metrics-url", recorded_server).exit_code == 0
    result = permillion("demo")
    assert result.exit_code == 2
    assert "already holds real data" in result.stderr
    assert "Name an empty folder in PERMILLION_HOME" in result.stderr


# Collect --------------------------------------------------------------------------------------------------------------


def test_collect_once_stores_what_the_server_says(permillion: Run, recorded_server: str) -> None:
    result = permillion("collect", "--once", "--metrics-url", f"chat={recorded_server}")
    assert result.exit_code == 0, result.output
    assert " chat ok " in result.stdout
    permillion("collect", "--once", "--metrics-url", f"chat={recorded_server}")
    (row,) = json.loads(permillion("usage", "--json").stdout)
    assert row["target_key"] == "chat"
    assert row["samples_count"] == 2
    assert row["prompt_tokens"] == 0, "the page did not change between the two scrapes"


def test_collect_of_a_server_that_is_down_is_exit_code_1(permillion: Run) -> None:
    result = permillion("collect", "--once", "--metrics-url", "http://127.0.0.1:9/metrics")
    assert result.exit_code == 1
    assert "127.0.0.1:9 refused" in result.stdout


def test_one_server_that_is_down_does_not_keep_the_other_out(permillion: Run, recorded_server: str) -> None:
    result = permillion(
        "collect", "--once", "--metrics-url", "http://127.0.0.1:9/metrics", "--metrics-url", f"chat={recorded_server}"
    )
    assert result.exit_code == 1
    assert " chat ok " in result.stdout
    rows = {row["target_key"]: row for row in json.loads(permillion("usage", "--json").stdout)}
    assert rows["chat"]["why"] == ""
    down = rows["127.0.0.1:9"]
    assert (down["state"], down["prompt_tokens"]) == ("gap", None), "a server that is down has used an unknown amount"
    assert "nothing listens there" in down["why"]


def test_servers_of_the_scenario_file_are_collected_without_being_named(
    permillion: Run, home: Home, recorded_server: str
) -> None:
    home.make()
    home.scenario.write_text(
        '[[deployments]]\nkey = "ours"\nmodel = "llama-3.1-8b"\ngpu = "h100-sxm"\n'
        f'metrics_url = "{recorded_server}"\n'
        "workload = { requests_per_s = 1, mean_prompt_tokens = 500, mean_output_tokens = 100 }\n"
        "purchase = { usd_per_gpu_hour = 2.5 }\n"
    )
    assert " ours ok " in permillion("collect", "--once").stdout
