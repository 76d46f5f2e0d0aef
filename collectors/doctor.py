"""What `doctor` looks at: each server's page measure by measure, dashboards, and the store. Findings say what to do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from collectors.base import CollectContext, ScrapeFailure, Target
from collectors.dashboard import check_dashboard
from collectors.http import HttpClient
from collectors.server_info import ServerInfo, server_info
from collectors.sources import COLLECTORS
from collectors.vllm.findings import Finding, FindingState, diagnose
from collectors.vllm.page import read
from collectors.vllm.version import Recognised
from costlib.errors import PermillionError
from costlib.measures import ACCEPTED_AT
from costlib.telemetry import EnginePage, is_same_engine
from costlib.windows import DataState
from store.home import Home
from store.read import open_snapshot

# Without these there is no cost per token at all; everything else has a stand-in or is one figure less.
NEEDED = ("prompt_tokens", "generation_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at. `ok` is None for what is worth knowing and no fault."""

    subject: str
    ok: bool | None
    detail: str

    @property
    def text(self) -> str:
        mark = {True: "ok  ", False: "BAD ", None: "note"}[self.ok]
        return f"{mark} {self.subject}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """What one vLLM server answered."""

    target: Target
    checks: Sequence[Check]
    pages: Sequence[EnginePage] = ()
    recognised: Recognised | None = None
    names: frozenset[str] = frozenset()


async def examine(
    home: Home, targets: Sequence[Target], clock: Callable[[], datetime], dashboard: Path | None = None
) -> list[Check]:
    """Everything there is to say, the store first. Raises ConfigError when `dashboard` is none."""
    checks = _storage(home, clock())
    async with HttpClient() as http:
        servers = [await _server(target, http, clock) for target in targets]
    checks += [check for server in servers for check in server.checks]
    checks += _twins(servers)
    if not targets:
        checks.append(
            Check(subject="servers", ok=None, detail="none named; give --metrics-url http://host:8000/metrics")
        )
    if dashboard:
        checks += _dashboard(dashboard, servers)
    return checks


def _storage(home: Home, now: datetime) -> list[Check]:
    try:
        snapshot = open_snapshot(home)
    except PermillionError as error:
        return [Check(subject="storage", ok=False, detail=str(error))]
    if snapshot is None:
        return [Check(subject="storage", ok=None, detail=f"{home.path} holds nothing yet; import a bill or collect")]
    with snapshot:
        content = "sample data" if snapshot.is_sample else "data"
        stored = Check(subject="storage", ok=True, detail=f"{content}, snapshot {snapshot.id}")
        return [
            stored,
            *(_source(row) for row in snapshot.sources(now).to_dict("records")),
            *(_stored(row) for row in snapshot.targets(now).to_dict("records") if row["state"] != DataState.OK),
        ]


def _source(row: dict[str, Any]) -> Check:
    error = f"; last error: {row['last_error']}" if isinstance(row["last_error"], str) else ""
    seen = "never" if pd.isna(row["last_success_at"]) else f"{row['last_success_at']:%Y-%m-%d %H:%M:%S} UTC"
    detail = f"{row['state']}; {row['gaps_count']} gaps in 24 h; last success {seen}{error}"
    return Check(subject=f"source {row['source_key']}", ok=row["state"] == "ok", detail=detail)


def _stored(row: dict[str, Any]) -> Check:
    newest = (
        "never measured" if pd.isna(row["newest_at"]) else f"last measured {row['newest_at']:%Y-%m-%d %H:%M:%S} UTC"
    )
    return Check(subject=f"stored {row['target_key']}", ok=None, detail=f"{row['state']}; {newest}")


async def _server(target: Target, http: HttpClient, clock: Callable[[], datetime]) -> _Server:
    ctx = CollectContext(target=target, scraped_at=clock(), http=http)
    collector = COLLECTORS[target.source_key]
    try:
        body = await collector.fetch(ctx)
        readings = collector.parse(body, ctx)
        if target.source_key != "vllm":
            return _Server(target=target, checks=[_answered(target, readings)])
        findings = diagnose(body, ctx)
        layout, values = read(body, ctx)
    except ScrapeFailure as error:
        detail = str(error).removeprefix(f"{target.key}: ")
        return _Server(target=target, checks=[Check(subject=target.key, ok=False, detail=detail)])
    recognised = layout.recognised(values)
    info = await server_info(http, target)
    engines = len(readings.pages)
    reached = f"{len(body):,} bytes, {engines} engine{'s' * (engines > 1)}"
    return _Server(
        target=target,
        pages=readings.pages,
        recognised=recognised,
        names=frozenset(series.name for series in layout.series),
        checks=[
            Check(subject=target.key, ok=True, detail=reached),
            *_identity(target, recognised, info),
            *_measures(target, findings),
        ],
    )


def _answered(target: Target, readings: Any) -> Check:
    counts = {
        "servers": len({history.target_key for history in readings.histories}),
        "GPUs": len(readings.devices),
    }
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing to measure"
    remarks = "; ".join(readings.remarks)
    return Check(subject=target.key, ok=None if remarks else True, detail=f"{said}; {remarks}" if remarks else said)


def _identity(target: Target, recognised: Recognised, info: ServerInfo) -> Iterator[Check]:
    """Which vLLM it is, by its page and in its own words, and what it has switched on."""
    says = f"; it says {info.version}" if info.version else ""
    yield Check(subject=f"{target.key} release", ok=None, detail=f"{recognised.releases}, by its metrics{says}")
    if recognised.features:
        yield Check(subject=f"{target.key} features", ok=None, detail=", ".join(recognised.features))
    for model, most in info.max_model_len.items():
        if most:
            yield Check(subject=f"{target.key} {model}", ok=None, detail=f"context of up to {most:,} tokens")
    if not recognised.is_whole:
        yield Check(
            subject=f"{target.key} page",
            ok=False,
            detail="series are missing that every release it can be of exposes: something between it and here drops "
            "them. Look for metric_relabel_configs or an agent's allow-list.",
        )
    if recognised.unknown:
        shown = ", ".join(recognised.unknown[:8])
        yield Check(
            subject=f"{target.key} page",
            ok=None,
            detail=f"{len(recognised.unknown)} metrics are in no table of ours ({shown}): a newer vLLM, or a plugin",
        )


def _measures(target: Target, findings: Sequence[Finding]) -> Iterator[Check]:
    """What is missing, why and what that costs. Replicas of one server export alike: a remark is made once."""
    present = {finding.measure for finding in findings if finding.state is FindingState.PRESENT}
    every = {finding.measure for finding in findings}
    yield Check(subject=f"{target.key} measures", ok=True, detail=f"{len(present)} of {len(every)} are measured")
    said = {}
    for finding in findings:
        if finding.why:
            measure = f"accepted_at_00 to {len(ACCEPTED_AT) - 1}" if finding.measure in ACCEPTED_AT else finding.measure
            said.setdefault((measure, finding.state, finding.why), finding)
    for (measure, state, why), finding in said.items():
        is_bad = state is FindingState.WITHHELD or (state is FindingState.ABSENT and finding.measure in NEEDED)
        costs = "" if state is FindingState.PRESENT else f" {finding.costs}"
        yield Check(subject=f"{target.key} {measure}", ok=False if is_bad else None, detail=f"{why}{costs}")


def _twins(servers: Sequence[_Server]) -> Iterator[Check]:
    """Two addresses of one engine: its tokens would count twice."""
    for one, other in combinations(servers, 2):
        if any(is_same_engine(a, b) for a in one.pages for b in other.pages):
            yield Check(
                subject=one.target.key,
                ok=False,
                detail=f"is the same engine as {other.target.key}; name it once, or its tokens count twice",
            )


def _dashboard(path: Path, servers: Sequence[_Server]) -> Iterator[Check]:
    server = next((server for server in servers if server.recognised), None)
    checked = check_dashboard(path, server.recognised if server else None, server.names if server else frozenset())
    bad = [check for check in checked if not check.ok]
    of_what = server.target.key if server else "the newest release we know"
    yield Check(
        subject=f"dashboard {path.name}",
        ok=not any(check.ok is False for check in checked),
        detail=f"{len(checked)} vLLM names in its queries, {len(bad)} of them not on {of_what}",
    )
    for check in bad:
        place = f" {check.query.place}" if check.query.place else ""
        yield Check(subject=f"dashboard{place}", ok=check.ok, detail=f"{check.query.name} {check.why}")
