"""What servers did: totals, edges and peaks for the trial balance, and windows without idle time for step times."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from costlib.books import ServerUse
from costlib.errors import DomainError
from costlib.load_windows import LoadWindows
from costlib.replica import resident_tokens
from costlib.token_split import BusyWindows
from costlib.workload import Workload
from store.publish import MINUTES_KEPT
from store.read import Snapshot

# DuckDB adds floats in any order; rounded, a sum is the same every time, and with it every file made of it.
SECONDS_DIGITS = 3
LEAST_WINDOW_S = 60.0  # of a window that a step time may be fitted to
ALWAYS = 1 - 1e-6  # of the time: sums of seconds are floats
_OUTCOMES = tuple(f"requests_{outcome}_count" for outcome in ("stop", "length", "abort", "error"))
_NEEDED = (
    *("coverage_s", "steps_count", "computed_prompt_tokens", "cached_prompt_tokens", "generation_tokens"),
    "kv_usage_fraction",
)


def hours_of(snapshot: Snapshot, start: datetime, end: datetime) -> pd.DataFrame:
    """Every hour of every server and model; what the functions below look into."""
    return snapshot.sums(start, end, "hour", "target")


def server_uses(
    snapshot: Snapshot, start: datetime, end: datetime, hours: pd.DataFrame, gpus: Mapping[str, int]
) -> tuple[ServerUse, ...]:
    """What each server did for each of its models in [start, end); one that told nothing is not among them.

    `gpus`: GPUs of one engine by deployment, where that is known.
    """
    totals = snapshot.sums(start, end, "total", "target")
    totals = totals[totals["model_key"].notna()]
    seen = hours[hours["coverage_s"] > 0]
    busiest = (seen["busy_s"] / seen["coverage_s"]).groupby([seen["target_key"], seen["model_key"]]).max()
    edges = seen.groupby(["target_key", "model_key"])["bin_start"].agg(["min", "max"])
    known = snapshot.targets().set_index("target_key")
    found = []
    for row in totals.to_dict("records"):
        key = (row["target_key"], row["model_key"])
        server = known.loc[row["target_key"]] if row["target_key"] in known.index else None
        deployment = str(server["deployment_key"]) if server is not None else row["target_key"]
        first, last = edges.loc[key] if key in edges.index else (None, None)
        found.append(
            ServerUse(
                target_key=row["target_key"],
                deployment_key=deployment,
                model_key=row["model_key"],
                labels=dict(server["labels"]) if server is not None else {},
                gpus_count=gpus.get(deployment),
                engines_count=max(1, round(_number(row["coverage_s"]) / max(1.0, _number(row["observed_s"])))),
                observed_s=round(_number(row["coverage_s"]), SECONDS_DIGITS),
                busy_s=round(_number(row["busy_s"]), SECONDS_DIGITS),
                first_at=first,
                last_at=None if last is None else last + pd.Timedelta(hours=1),
                computed_prompt_tokens=_count(row["computed_prompt_tokens"]),
                cached_prompt_tokens=_count(row["cached_prompt_tokens"]),
                generation_tokens=_count(row["generation_tokens"]),
                requests_count=_count(row["requests_count"]),
                **{name: _count(row[name]) for name in _OUTCOMES},
                preemptions_count=_count(row["preemptions_count"]),
                draft_tokens=_count(row["draft_tokens"]),
                accepted_tokens=_count(row["accepted_tokens"]),
                prefill_s=_seconds(row["prefill_s"]),
                decode_s=_seconds(row["decode_s"]),
                estimated_flop=_known(row["estimated_flop"]),
                estimated_bytes=_known(row["estimated_read_bytes"] + row["estimated_write_bytes"]),
                peak_fraction=_known(busiest.get(key, np.nan)),
            )
        )
    return tuple(found)


def busy_windows(snapshot: Snapshot, start: datetime, end: datetime, hours: pd.DataFrame) -> dict[str, BusyWindows]:
    """By model, the windows in which every scrape saw a request run."""
    busy = _busy(snapshot, start, end, hours)
    return {str(model): columns_of(part.sort_values("bin_start")) for model, part in busy.groupby("model_key")}


def _busy(snapshot: Snapshot, start: datetime, end: datetime, hours: pd.DataFrame) -> pd.DataFrame:
    """Minutes where they reach, before that hours, in which every scrape saw a request run."""
    if end <= snapshot.published_at - MINUTES_KEPT:  # none are kept of it
        minutes = hours.iloc[:0]
    else:
        minutes = snapshot.sums(start, end, "minute", "target")
    since = minutes["bin_start"].min().ceil("h") if len(minutes) else end
    hours = hours[hours["bin_start"] < since]
    rows = pd.concat([part for part in (hours, minutes[minutes["bin_start"] >= since]) if len(part)] or [hours])
    whole = (rows["gap_s"].fillna(0) == 0) & (rows["restarts_count"].fillna(0) == 0)
    return rows[whole & (rows["coverage_s"] >= LEAST_WINDOW_S) & (rows["busy_s"] >= rows["coverage_s"] * ALWAYS)]


def load_windows(
    snapshot: Snapshot, start: datetime, end: datetime, deployment_key: str, workload: Workload
) -> LoadWindows:
    """What the steps of one deployment can be calibrated on; `workload` stands in for lengths that are not exported.

    Windows with preempted requests or speculation are left out: work done twice, and steps of several tokens.

    Raises    DomainError when its servers told nothing, or answered for several models
    """
    known = snapshot.targets()
    servers = set(known.loc[known["deployment_key"] == deployment_key, "target_key"])
    hours = hours_of(snapshot, start, end)
    hours = hours[hours["target_key"].isin(servers) & (hours["coverage_s"] > 0)]
    models = sorted(set(hours["model_key"].dropna()))
    if len(models) != 1:
        answered = f"answered for {len(models)} models ({', '.join(models)[:200]})" if models else "told nothing"
        raise DomainError(f"the servers of {deployment_key} {answered} from {start:%Y-%m-%d %H:%M} to {end:%H:%M} UTC.")
    busy = _busy(snapshot, start, end, hours)
    plain = (busy["preemptions_count"].fillna(0) == 0) & (busy["draft_tokens"].fillna(0) == 0)
    busy = busy[busy["target_key"].isin(servers) & plain].sort_values("bin_start")
    requests = _sum(hours["requests_count"])
    prompt, output = workload.mean_prompt_tokens, workload.mean_output_tokens
    cached = 0.0
    if requests:
        prompt, output, cached = (
            (_sum(hours[name]) or 0.0) / requests
            for name in ("prompt_tokens", "generation_tokens", "cached_prompt_tokens")
        )
    measured = replace(workload, mean_prompt_tokens=prompt, mean_output_tokens=max(1.0, output))
    return LoadWindows(
        start_s=busy["bin_start"].map(pd.Timestamp.timestamp).to_numpy(dtype=float),
        busy=replace(columns_of(busy), requests_count=busy["requests_count"].to_numpy(dtype=float, na_value=np.nan)),
        mean_context_tokens=resident_tokens(measured),
        mean_computed_tokens=max(0.0, prompt - cached),
        mean_cached_tokens=cached,
        observed_s=float(hours.groupby("bin_start")["observed_s"].max().sum()),
        busy_fraction=float(hours["busy_s"].sum() / hours["coverage_s"].sum()),
        requests_count=requests,
    )


def _sum(column: pd.Series) -> float | None:
    """The sum; None where none of it is known."""
    return None if column.isna().all() else float(column.sum())


def columns_of(rows: pd.DataFrame) -> BusyWindows:
    seconds, steps, computed, cached, generated, kv = (
        rows[name].to_numpy(dtype=float, na_value=np.nan) for name in _NEEDED
    )
    return BusyWindows(
        window_s=seconds,
        steps_count=steps,
        computed_tokens=computed,
        cached_tokens=cached,
        generated_tokens=generated,
        context_tokens=steps * kv,
    )


def _number(value: float) -> float:
    return 0.0 if pd.isna(value) else float(value)


def _count(value: float) -> int | None:
    return None if pd.isna(value) else int(value)


def _seconds(value: float) -> float | None:
    known = _known(value)
    return None if known is None else round(known, SECONDS_DIGITS)


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
