"""What `doctor` looks at: each server's page measure by measure, and the store. Findings say what to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from collectors.base import CollectContext, Target
from collectors.http import HttpClient
from collectors.sources import vllm
from costlib.errors import PermillionError
from store.home import Home
from store.read import open_snapshot
from store.records import RUN_OK


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


async def examine(home: Home, targets: Sequence[Target], clock: Callable[[], datetime]) -> list[Check]:
    checks = _storage(home, clock())
    async with HttpClient() as http:
        for target in targets:
            checks += await _server(target, http, clock)
    if not targets:
        checks.append(
            Check(subject="servers", ok=None, detail="none named; give --metrics-url http://host:8000/metrics")
        )
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
        ]


def _source(row: dict[str, Any]) -> Check:
    error = f"; last error: {row['last_error']}" if isinstance(row["last_error"], str) else ""
    seen = "never" if pd.isna(row["last_success_at"]) else f"{row['last_success_at']:%Y-%m-%d %H:%M:%S} UTC"
    detail = f"{row['state']}; {row['gaps_count']} gaps in 24 h; last success {seen}{error}"
    return Check(subject=f"source {row['source_key']}", ok=row["state"] == RUN_OK, detail=detail)


async def _server(target: Target, http: HttpClient, clock: Callable[[], datetime]) -> list[Check]:
    ctx = CollectContext(target=target, scraped_at=clock(), http=http)
    try:
        body = await vllm.fetch(ctx)
        findings = vllm.diagnose(body, ctx)
    except PermillionError as error:
        return [Check(subject=target.key, ok=False, detail=str(error).removeprefix(f"{target.key}: "))]
    engines = {(finding.model_key, finding.engine_key) for finding in findings}
    reached = Check(
        subject=target.key, ok=True, detail=f"{len(body):,} bytes, {len(engines)} engine{'s' * (len(engines) > 1)}"
    )
    # Replicas of one server export alike: the same remark is made once.
    remarks = dict.fromkeys(
        (f"{target.key} {finding.measure}", finding.state is vllm.FindingState.PRESENT, finding.why)
        for finding in findings
        if finding.why
    )
    return [reached, *(Check(subject=s, ok=None if fine else False, detail=why) for s, fine, why in remarks)]
