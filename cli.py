"""Permillion: what serving LLMs costs. Exit codes: 0 done, 1 the data say no, 2 the call is wrong."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from collectors.demo import load_demo
from collectors.doctor import examine
from collectors.importer import import_files
from collectors.replay import Recording, serve
from collectors.run import collect as run_collector
from collectors.targets import targets_of
from collectors.up import up as run_up
from costlib.compare import compare
from costlib.errors import ConfigError, PermillionError
from costlib.jsonable import jsonable
from costlib.report import whatif_text
from costlib.scenario_file import check_expectations
from costlib.units import seconds_from
from store.catalog_files import load_scenario
from store.engine import utc_now
from store.home import Home
from store.read import snapshot_of
from store.records import RUN_OK, ImportStatus
from store.writer import Writer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON; money is a string.")]
Urls = Annotated[list[str], typer.Option("--metrics-url", help="A vLLM /metrics address, or KEY=address. Repeatable.")]
Every = Annotated[float, typer.Option("--every", parser=seconds_from, metavar="TIME", help="Such as 15s or 2m.")]
NO_URLS: list[str] = []
USAGE_WINDOW = timedelta(days=30)


def home() -> Home:
    return Home.default(os.environ)


@contextmanager
def honest() -> Iterator[None]:
    """An error of ours is one clear line and exit code 2; anything else is a fault and keeps its traceback."""
    try:
        yield
    except PermillionError as error:
        typer.echo(f"permillion: {error}", err=True)
        raise typer.Exit(2) from None


def show(as_json: bool, value: Any, text: Callable[[], str]) -> None:
    typer.echo(json.dumps(jsonable(value), indent=1) if as_json else text())


@app.command()
def up(metrics_url: Urls = NO_URLS, demo: bool = False, port: int = 8501, every: Every = "15s") -> None:  # type: ignore
    """Collector and dashboard together; Ctrl-C stops both. --demo shows sample data in a home without real data."""
    with honest():
        targets = targets_of(metrics_url, home(), os.environ, utc_now().date())
        code = run_up(home(), targets, demo=demo, port=port, every_s=every, say=typer.echo)
    raise typer.Exit(code)


@app.command()
def demo(as_json: Json = False) -> None:
    """Load the sample data, labelled as such."""
    with honest():
        loaded = load_demo(home(), utc_now)
    show(
        as_json, loaded, lambda: f"{loaded.hours_count:,} sample hours to {loaded.usage_to}; bill: {loaded.bill.detail}"
    )


@app.command()
def collect(metrics_url: Urls = NO_URLS, every: Every = "15s", once: bool = False) -> None:  # type: ignore
    """Scrape vLLM servers and store what they say, until stopped or once."""
    with honest():
        targets = targets_of(metrics_url, home(), os.environ, utc_now().date())
        if not targets:
            raise ConfigError("no server to scrape: give --metrics-url http://host:8000/metrics")
        with Writer.open(home()) as writer:
            report = lambda run: typer.echo(run.text)  # noqa: E731
            runs = asyncio.run(run_collector(writer, targets, every_s=every, once=once, on_run=report))
    raise typer.Exit(int(any(run.state != RUN_OK for run in runs)))


@app.command(name="import")
def import_(
    files: list[Path],
    format_key: Annotated[str, typer.Option("--format", help="Force a format instead of recognising it.")] = "",
    currency: Annotated[str, typer.Option(help="Refuse files that bill in any other.")] = "",
    as_json: Json = False,
) -> None:
    """Import billing files as one delivery. The same file twice adds nothing and says so."""

    def progress(name: str, rows: int) -> None:
        if sys.stderr.isatty():
            typer.echo(f"\r{name}: {rows:,} rows", err=True, nl=False)

    with honest():
        receipts = import_files(files, home(), format_key or None, currency or None, on_progress=progress)
    show(as_json, receipts, lambda: "\n".join(receipt.text for receipt in receipts))
    raise typer.Exit(int(any(r.status is ImportStatus.REFUSED for r in receipts)))


@app.command()
def usage(
    start: Annotated[datetime | None, typer.Option("--from", help="UTC; 30 days before the end if left out.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="UTC, excluded; now if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Tokens, requests and coverage per server and model, in the hours that begin in the window."""
    until = end.replace(tzinfo=UTC) if end else utc_now()
    with honest(), snapshot_of(home()) as snapshot:
        frame = snapshot.usage_total(start.replace(tzinfo=UTC) if start else until - USAGE_WINDOW, until)
    show(as_json, json.loads(frame.to_json(orient="records")), lambda: frame.T.to_string(header=False))


@app.command()
def whatif(scenario: Path, as_json: Json = False) -> None:
    """The projection that the What-if page shows. Exit code 1 when an expectation of the file is not met."""
    with honest():
        file = load_scenario(scenario, utc_now().date())
        comparison = compare(file.today, dict(file.levers), file.catalog)
        checked = check_expectations(file, comparison)
    show(as_json, {"comparison": comparison, "expectations": checked}, lambda: whatif_text(comparison, checked))
    raise typer.Exit(int(not all(check.is_met for check in checked)))


@app.command()
def doctor(metrics_url: Urls = NO_URLS, as_json: Json = False) -> None:
    """Storage, sources, and for each server which measures it exports. Exit code 1 when something is wrong."""
    with honest():
        checks = asyncio.run(examine(home(), targets_of(metrics_url, home(), os.environ, utc_now().date()), utc_now))
    show(as_json, checks, lambda: "\n".join(check.text for check in checks))
    raise typer.Exit(int(any(check.ok is False for check in checks)))


@app.command()
def replay(recording: Path, port: int = 8000, speed: float = 1.0, loop: bool = False) -> None:
    """Serve a recording (metrics.jsonl.gz) as http://127.0.0.1:PORT/metrics, so that it can be collected again."""
    with honest():
        pages = {"/metrics": Recording.load(recording).play(speed=speed, loop=loop)}
        asyncio.run(serve(pages, port=port, on_start=lambda url: typer.echo(f"{url}/metrics")))
