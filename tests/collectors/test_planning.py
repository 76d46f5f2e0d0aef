"""The verbs `plan` and `flags`: what they print, what they exit with, and what they refuse."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cli
from collectors.vllm import own_parser
from collectors.vllm.own_parser import OwnParser, ask

SCENARIO = """
[[deployments]]
key = "chat"
model = "llama-3.3-70b"
gpu = "h100-sxm"
workload = { requests_per_s = 9.0, mean_prompt_tokens = 2400, mean_output_tokens = 320, peak_to_mean_ratio = 2.0 }
serving = { tensor_parallel_count = 4, max_num_seqs = 96 }
purchase = { usd_per_gpu_hour = 3.5 }

[[deployments]]
key = "api"
model = "llama-3.1-8b"
api = { usd_per_mtok_input = 0.1, usd_per_mtok_output = 0.1 }
workload = { requests_per_s = 1.0, mean_prompt_tokens = 500, mean_output_tokens = 100 }

[levers.weight_precision]
weights = "fp8"
evaluated_count = 500
accepted_fraction = 0.98

[levers.kv_precision]
kv = "fp8"
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    return str(file)


def run(*words: str):
    return CliRunner().invoke(cli.app, list(words))


def test_a_plan_that_reaches_its_target(path):
    done = run("plan", path, "--target", "0.5", "--deployment", "chat")
    assert done.exit_code == 0, done.output
    assert "target    $0.500" in done.output
    assert "1. " in done.output
    assert "rollback" in done.output


def test_a_plan_that_does_not_says_why_and_exits_with_1(path):
    done = run("plan", path, "--target", "0.0001", "--proven", "--without", "gpu_choice", "--json")
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert "not reached" in found["unreachable"]
    # FP8 weights were evaluated in the file, the FP8 KV cache was not.
    evidence = {change["lever"]: change["evidence"] for change in found["changes"]}
    assert set(evidence.values()) <= {"modelled", "evaluated"}
    assert "kv_precision" not in evidence
    assert dict(found["left"])["gpu_choice"] == "left out as asked"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "0"], "above 0"),
        (["--target", "nan"], "above 0"),
        (["--target", "1", "--deployment", "chut"], "Did you mean 'chat'"),
        (["--target", "1", "--without", "gpu_choise"], "Did you mean 'gpu_choice'"),
        (["--target", "1", "--vllm", "0.99.0"], "0.4.3 to 0.33.0"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(path, words, said):
    done = run("plan", path, *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_the_flags_of_a_scenario(path):
    done = run("flags", path, "--kubernetes")
    assert done.exit_code == 0, done.output
    assert "+ --quantization fp8" in done.output
    assert "+ --kv-cache-dtype fp8" in done.output
    assert "nvidia.com/gpu: 4" in done.output
    assert "bought by the token" in done.output
    assert "no vLLM is installed here" in done.output


def test_the_flags_of_an_old_release_say_what_it_has_not(path):
    found = json.loads(run("flags", path, "--vllm", "0.6.3", "--json").output)
    chat = found["served"][0]["scenario"]
    assert found["release"] == "0.6.3"
    assert {"name": "--enable-chunked-prefill", "value": ""} in chat["flags"]


def test_an_old_line_is_translated():
    done = run("flags", "--translate", "vllm serve m --speculative-model d --num-speculative-tokens 5 --swap-space 4")
    assert done.exit_code == 0
    assert """--speculative-config '{"model":"d","num_speculative_tokens":5}'""" in done.output
    assert "gone (preempted requests are computed again" in done.output


@pytest.mark.parametrize("words", [[], ["--translate", "vllm serve m '"], ["--translate", "x" * 30_000]])
def test_no_line_and_no_file_is_a_wrong_call(words):
    assert run("flags", *words).exit_code == 2


def test_whatif_prints_effort_evidence_and_flags(path):
    done = run("whatif", path)
    assert "another checkpoint and its evaluation; 98.0% of 500 answers accepted" in done.output
    assert "UNPROVEN, no answers were evaluated" in done.output
    assert "flags of chat: + --kv-cache-dtype fp8" in done.output


def test_a_refusal_of_vllms_own_parser_stands_under_its_command(path, monkeypatch):
    monkeypatch.setattr("collectors.planning.is_installed", lambda: True)
    monkeypatch.setattr(
        "collectors.planning.ask",
        lambda lines: OwnParser(release="0.32.0", refusals=("", "error: no such thing")[: len(lines)]),
    )
    done = run("flags", path)
    assert "vLLM 0.32.0 refuses it: error: no such thing" in done.output
    assert "takes 1 of 2 commands" in done.output


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise ImportError('no vllm in here')", "no vllm in here"),
        ("print('[]')", "did not answer"),
        ("import sys; sys.exit(3)", "exit code 3"),
    ],
)
def test_a_parser_that_does_not_answer_is_said_and_no_fault(monkeypatch, program, said):
    monkeypatch.setattr(own_parser, "PROGRAM", program)
    told = ask([("vllm", "serve", "m")], sys.executable)
    assert said in told.unavailable
    assert told.refusals == ()


def test_no_interpreter_is_said_too():
    assert "did not answer" in ask([("vllm", "serve", "m")], "/no/such/python").unavailable
