"""The verb as it is typed."""

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from collectors.bench.command import bench
from collectors.bench.evidence import read_report, report_from
from costlib.errors import ConfigError
from tests.fake_openai import FakeOpenAI, running_openai

QUICK = ["--requests", "4", "--warmup", "0", "--input", "60", "--output", "8", "--seed", "7"]


def typed(*words: str) -> Result:
    app = typer.Typer()
    app.command()(bench)
    return CliRunner().invoke(app, list(words))


def test_a_sweep_is_a_table_with_a_line_for_each_load() -> None:
    with running_openai(FakeOpenAI()) as url:
        found = typed(url, "--concurrency", "1,2", "--rate", "50", *QUICK)
    assert found.exit_code == 0, found.output
    for load in ("c=1", "c=2", "50/s"):
        assert any(line.split()[:3] == [load, "4", "0"] for line in found.stdout.splitlines())


def test_json_is_all_that_is_printed_and_the_file_holds_the_same(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    with running_openai(FakeOpenAI()) as url:
        found = typed(url, "--concurrency", "2", "--json", "--out", str(out), "--label", "gpu=h100-sxm", *QUICK)
    assert json.loads(found.stdout)["schema"] == "permillion.bench/1"
    assert read_report(out) == report_from(found.stdout)
    assert read_report(out).labels == {"gpu": "h100-sxm"}


def test_every_option_reaches_the_benchmark() -> None:
    fake = FakeOpenAI(models=("a", "b"))
    options = "--api completions --model b --concurrency 1 --duration 5s --timeout 9s --deadline 1m --shared-prefix 30"
    options += " --trace azure-2023-code --rank-correlation 0.2 --max-ttft 2s --max-tpot 0.5 --max-e2e 1m"
    options += " --usd-per-hour 3.5 --target-usd-per-mtok 1 --rows --json"
    with running_openai(fake) as url:
        found = typed(url, *options.split(), *QUICK)
    report = report_from(found.stdout)
    assert (report.api, report.model, report.timeout_s) == ("completions", "b", 9.0)
    assert (report.workload.trace, report.workload.rank_correlation) == ("azure-2023-code", 0.2)
    assert report.workload.shared_prefix_tokens == 30
    assert (report.targets.ttft_s, report.targets.tpot_s, report.targets.e2e_s) == (2.0, 0.5, 60.0)
    assert (report.usd_per_hour, report.target_usd_per_mtok) == (3.5, 1.0)
    assert len(report.stages[0].rows) == 4
    assert {item.path for item in fake.seen} == {"/v1/completions"}


def test_without_a_load_three_concurrencies_are_tried() -> None:
    with running_openai(FakeOpenAI()) as url:
        found = typed(url, "--json", *QUICK)
    assert [stage.label for stage in report_from(found.stdout).stages] == ["c=1", "c=4", "c=16"]


def test_a_run_without_answers_has_exit_code_1() -> None:
    with running_openai(FakeOpenAI(fault_of=lambda number: None if number < 2 else "http_500")) as url:
        assert typed(url, "--concurrency", "1", *QUICK).exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--concurrency", "1,x"], "--concurrency '1,x'"),
        (["--concurrency", "1.5"], "--concurrency"),
        (["--concurrency", "0"], "concurrency"),
        (["--rate", "fast"], "--rate"),
        (["--label", "h100"], "--label"),
        (["--trace", "azure-code"], "Did you mean 'azure-2023-code'"),
        (["--out", "/missing/folder/x.json"], "no folder"),
    ],
)
def test_what_is_typed_wrong_is_said_before_anything_is_sent(words: list[str], says: str) -> None:
    found = typed("http://gpu-1:8000", *words)
    assert isinstance(found.exception, ConfigError)
    assert says in str(found.exception)
