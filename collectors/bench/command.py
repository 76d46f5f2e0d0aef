"""The verb `bench`: its options, and where its report goes. `cli.py` adds it to the others."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from collectors.base import excerpt
from collectors.bench.evidence import report_json, write_report
from collectors.bench.figures import Targets
from collectors.bench.load import Progress
from collectors.bench.request import Api, BenchRequest
from collectors.bench.run import run_bench
from costlib.errors import ConfigError
from costlib.units import seconds_from

NONE: list[str] = []


def bench(
    url: Annotated[str, typer.Argument(help="The server, for example http://gpu-1:8000.")],
    concurrency: Annotated[str, typer.Option(help="Closed loop: requests at any time; 1,8,32 is three stages.")] = "",
    rate: Annotated[str, typer.Option(help="Open loop: Poisson arrivals per second; 0.5,1,2 is three stages.")] = "",
    requests: Annotated[int | None, typer.Option(help="Requests per stage.")] = None,
    duration: Annotated[
        float | None, typer.Option(help="Time per stage; 30s if left out.", parser=seconds_from)
    ] = None,
    warmup: Annotated[int, typer.Option(help="Requests before each stage that count for nothing.")] = 4,
    timeout: Annotated[float, typer.Option(help="For one request.", parser=seconds_from)] = "5m",  # type: ignore
    deadline: Annotated[float | None, typer.Option(help="For the whole run.", parser=seconds_from)] = None,
    api: Annotated[Api, typer.Option(help="Which endpoint is asked.")] = Api.CHAT,
    model: Annotated[str, typer.Option(help="As /v1/models lists it; the only one if left out.")] = "",
    input_: Annotated[str, typer.Option("--input", help="Tokens of a prompt: 512, or 200-800.")] = "512",
    output: Annotated[str, typer.Option(help="Tokens of an answer: 128, or 50-300.")] = "128",
    trace: Annotated[str, typer.Option(help="Draw both from a public trace in data/workloads.")] = "",
    rank_correlation: Annotated[
        float | None, typer.Option(help="Of input and output length, -1 to 1; the trace's, else 0.")
    ] = None,
    shared_prefix: Annotated[int, typer.Option(help="The same tokens before every prompt, on top of it.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Gives the same requests again; from the clock if left out.")] = None,
    max_ttft: Annotated[float | None, typer.Option(help="Target for goodput.", parser=seconds_from)] = None,
    max_tpot: Annotated[
        float | None, typer.Option(help="Target for goodput, such as 0.05.", parser=seconds_from)
    ] = None,
    max_e2e: Annotated[float | None, typer.Option(help="Target for goodput.", parser=seconds_from)] = None,
    usd_per_hour: Annotated[float | None, typer.Option(help="Price of all the endpoint's GPUs together.")] = None,
    target_usd_per_mtok: Annotated[float | None, typer.Option(help="Show the tok/s that would cost this.")] = None,
    label: Annotated[list[str], typer.Option(help="What no endpoint tells, such as gpu=h100-sxm. Repeatable.")] = NONE,
    rows: Annotated[bool, typer.Option("--rows", help="Keep every request in the JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the report as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Load an OpenAI-compatible server and measure it: tokens, latencies, $ per million. Exit code 1 if cut short."""
    request = BenchRequest(
        url=url,
        api=api,
        model=model,
        concurrencies=tuple(map(int, _numbers("--concurrency", concurrency or ("" if rate else "1,4,16"), int))),
        rates=tuple(_numbers("--rate", rate, float)),
        requests_count=requests,
        duration_s=duration,
        warmup_count=warmup,
        timeout_s=timeout,
        deadline_s=deadline,
        input_tokens=input_,
        output_tokens=output,
        trace=trace,
        rank_correlation=rank_correlation,
        shared_prefix_tokens=shared_prefix,
        seed=seed,
        targets=Targets(ttft_s=max_ttft, tpot_s=max_tpot, e2e_s=max_e2e),
        usd_per_hour=usd_per_hour,
        target_usd_per_mtok=target_usd_per_mtok,
        labels=_labels(label),
        keep_rows=rows,
    )
    if out and not out.parent.is_dir():
        raise ConfigError(f"{out} cannot be written: there is no folder {out.parent}.")
    report = asyncio.run(run_bench(request, os.environ, _show))
    if sys.stderr.isatty():
        typer.echo("\r\x1b[K", err=True, nl=False)
    if out:
        write_report(report, out)
    typer.echo(report_json(report) if as_json else report.text)
    raise typer.Exit(0 if report.is_complete else 1)


def _show(progress: Progress) -> None:
    """One line that overwrites itself, for a person at a terminal only."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{progress.text}", err=True, nl=False)


def _numbers(option: str, text: str, kind: type[int] | type[float]) -> list[float]:
    """`1,8,32` as numbers. Raises ConfigError naming the option."""
    try:
        return [kind(part) for part in text.split(",") if text.strip()]
    except ValueError:
        raise ConfigError(f"{option} {excerpt(text)} is not a list of numbers; write for example 1,8,32.") from None


def _labels(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    bad = [key for key, found, _ in pairs if not found or not key.strip()]
    if bad:
        raise ConfigError(f"--label {excerpt(bad[0])} has no name and value; write for example gpu=h100-sxm.")
    return {key.strip(): value.strip() for key, _, value in pairs}
