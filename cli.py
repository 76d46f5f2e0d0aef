"""Permillion: what serving LLMs costs. Exit codes: 0 done, 1 the data say no, 2 the call is wrong."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer

from collectors.bench.command import bench
from collectors.billing_command import import_
from collectors.calibrating import calibrate
from collectors.capacity import capacity
from collectors.collecting import collect_sources
from collectors.demo import load_demo
from collectors.doctor import examine
from collectors.estimating import estimate, right_size
from collectors.focus_export import export
from collectors.lab_command import lab
from collectors.planning import flags, plan
from collectors.reconciling import reconcile
from collectors.replay import Recording, serve
from collectors.reviewing import review_
from collectors.savings_command import savings, verify
from collectors.targets import sources_of, targets_of
from collectors.terminal import Json, home, show, verbs_of
from collectors.up import up as run_up
from costlib.compare import compare
from costlib.flags import commands
from costlib.report import whatif_text
from costlib.scenario_file import check_expectations
from costlib.uncertainty import uncertainty
from costlib.units import seconds_from
from store.catalog_files import load_scenario
from store.engine import utc_now
from store.read import snapshot_of
from store.savings import learnt_of
from store.vllm_flags import load_flag_table

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Urls = Annotated[list[str], typer.Option("--metrics-url", help="A vLLM /metrics address, or KEY=address. Repeatable.")]
Every = Annotated[float | None, typer.Option("--every", parser=seconds_from, metavar="TIME", help="Such as 15s, 2m.")]
NO_URLS: list[str] = []
verb = verbs_of(app)


@verb
def up(metrics_url: Urls = NO_URLS, demo: bool = False, port: int = 8501, every: Every = None) -> None:
    """Collector and dashboard together; Ctrl-C stops both. --demo shows sample data in a home without real data."""
    found = sources_of(metrics_url, home(), os.environ, utc_now().date())
    raise typer.Exit(run_up(home(), found, demo=demo, port=port, every_s=every, say=typer.echo))


@verb
def demo(as_json: Json = False) -> None:
    """Load the sample data, labelled as such."""
    loaded = load_demo(home(), utc_now)
    show(as_json, loaded, lambda: f"{loaded.hours_count:,} hours to {loaded.usage_to}; bill: {loaded.bill.detail}")


@verb
def collect(metrics_url: Urls = NO_URLS, every: Every = None, once: bool = False) -> None:
    """Scrape vLLM servers and store what they say, until stopped or once."""
    found = sources_of(metrics_url, home(), os.environ, utc_now().date())
    raise typer.Exit(collect_sources(home(), found, every_s=every, once=once, say=typer.echo))


verb(import_)


@verb
def usage(
    start: Annotated[datetime | None, typer.Option("--from", help="UTC; 30 days before the end if left out.")] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="UTC, excluded; now if left out.")] = None,
    bin_: Annotated[Literal["total", "day", "hour", "minute"], typer.Option("--bin")] = "total",
    per: Annotated[Literal["engine", "target", "deployment", "model"], typer.Option()] = "target",
    as_json: Json = False,
) -> None:
    """Tokens, requests, latencies and coverage per server and model: in all, or per day, hour or minute."""
    until = end.replace(tzinfo=UTC) if end else utc_now()
    with snapshot_of(home()) as snapshot:
        since = start.replace(tzinfo=UTC) if start else until - timedelta(days=30)
        frame = snapshot.windows(since, until, bin_, per, utc_now())
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    show(as_json, rows, lambda: frame.T.to_string(header=False))


@verb
def whatif(scenario: Path, as_json: Json = False) -> None:
    """The projection that the What-if page shows. Exit code 1 when an expectation of the file is not met."""
    file = load_scenario(scenario, utc_now().date())
    comparison = compare(file.today, dict(file.levers), file.catalog)
    sure = uncertainty(file.today, dict(file.levers), comparison, file.catalog, learnt=learnt_of(home()))
    checked = check_expectations(file, comparison)
    served = commands(file.today, comparison.changed, file.catalog, load_flag_table().at())
    found = {"comparison": comparison, "uncertainty": sure, "flags": served, "expectations": checked}
    show(as_json, found, lambda: whatif_text(comparison, sure, checked, served))
    raise typer.Exit(int(not all(check.is_met for check in checked)))


@verb
def doctor(
    metrics_url: Urls = NO_URLS,
    dashboard: Annotated[Path | None, typer.Option(help="A Grafana dashboard: which queries no longer match.")] = None,
    as_json: Json = False,
) -> None:
    """Storage, sources, and for each server what it exports, what not, and why. Exit code 1 when something is wrong."""
    targets = targets_of(metrics_url, home(), os.environ, utc_now().date())
    checks = asyncio.run(examine(home(), targets, utc_now, dashboard))
    show(as_json, checks, lambda: "\n".join(check.text for check in checks))
    raise typer.Exit(int(any(check.ok is False for check in checks)))


@verb
def replay(recording: Path, port: int = 8000, speed: float = 1.0, loop: bool = False) -> None:
    """Serve a recording (metrics.jsonl.gz) as http://127.0.0.1:PORT/metrics, so that it can be collected again."""
    pages = {"/metrics": Recording.load(recording).play(speed=speed, loop=loop)}
    asyncio.run(serve(pages, port=port, on_start=lambda url: typer.echo(f"{url}/metrics")))


verb(plan)
verb(estimate)
verb(right_size)
verb(flags)
verb(reconcile)
verb(review_)
verb(export)
verb(calibrate)
verb(capacity)
verb(verify)
app.add_typer(savings)
verb(bench)
verb(lab)

if __name__ == "__main__":
    app()
