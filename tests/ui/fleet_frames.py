"""Frames as a snapshot answers them, made by hand: one engine's minute of figures that can be worked out on paper."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from costlib.measures import COUNTERS, GAUGES, HISTOGRAMS
from costlib.windows import derived
from ui.fleet import Frames

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

# A minute of one engine: 6,000 prompt tokens (a third cached) and 1,200 generated ones, 120 tokens a second.
BUSY: dict[str, Any] = {
    "prompt_tokens": 6000, "computed_prompt_tokens": 4000, "cached_prompt_tokens": 2000, "generation_tokens": 1200,
    "requests_stop_count": 12, "prefix_queries_tokens": 6000, "prefix_hits_tokens": 2000, "preemptions_count": 0,
    "inference_s": 120.0, "queue_s": 6.0, "running_count": 2.0, "waiting_count": 0.0, "kv_usage_fraction": 0.4,
    "kv_usage_p50_fraction": 0.4, "kv_usage_p95_fraction": 0.5, "kv_usage_max_fraction": 0.6,
    "samples_count": 12, "restarts_count": 0, "observed_s": 60.0, "gap_s": 0.0, "coverage_s": 60.0, "busy_s": 45.0,
    "ttft_s_sum": 2.4, "ttft_s_count": 12, "ttft_s_p50": 0.2, "ttft_s_p90": 0.3, "ttft_s_p95": 0.4, "ttft_s_p99": 0.6,
    "tpot_s_sum": 0.3, "tpot_s_count": 12, "tpot_s_p50": 0.02, "tpot_s_p90": 0.03, "tpot_s_p95": 0.04,
    "tpot_s_p99": 0.05, "itl_s_count": 0,
}  # fmt: skip


def window(**changes: Any) -> dict[str, Any]:
    """A row of `Snapshot.windows`: BUSY with changes; None is what is not exported."""
    quantiles = [f"{name}_{part}" for name in HISTOGRAMS for part in ("sum", "count", "p50", "p90", "p95", "p99")]
    raw = {**dict.fromkeys([*COUNTERS, *GAUGES, *quantiles]), **BUSY, "window_s": 300.0, **changes}
    sums = {
        name: np.array([np.nan if raw[name] is None else float(raw[name])])
        for name in (*COUNTERS, "observed_s", "gap_s", "coverage_s", "busy_s")
    }
    figures = {name: float(values[0]) for name, values in derived(sums).items()}
    row = {**raw, **{name: np.nan if value is None else value for name, value in raw.items()}, **figures}
    row |= {name: changes[name] for name in changes if name in figures}
    return {"state": "ok", "why": "", "coverage_fraction": 1.0, "newest_at": NOON, **row, **_words(changes)}


def _words(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: changes[name] for name in ("state", "why", "coverage_fraction") if name in changes}


def silent(**changes: Any) -> dict[str, Any]:
    """A window in which nobody heard of the engine."""
    names = [*COUNTERS, *GAUGES]
    return window(
        **{**dict.fromkeys(names), "samples_count": 0, "observed_s": 0.0, "coverage_s": 0.0, "busy_s": 0.0,
           "ttft_s_p50": None, "ttft_s_p95": None, "ttft_s_p99": None, "ttft_s_count": None, "tpot_s_p95": None,
           "state": "gap", "why": "refused", **changes}
    )  # fmt: skip


def target(key: str, **more: Any) -> dict[str, Any]:
    return {
        "target_key": key, "source_key": f"vllm/{key}", "deployment_key": "chat", "labels": {}, "state": "ok",
        "last_success_at": pd.Timestamp(NOON), "last_error": None, "newest_at": pd.Timestamp(NOON), **more,
    }  # fmt: skip


def frames(
    *engines: dict[str, Any],
    deployments: list[dict[str, Any]] | None = None,
    minutes: list[dict[str, Any]] | None = None,
    targets: list[dict[str, Any]] | None = None,
    facts: Mapping[str, str] | None = None,
    devices: list[dict[str, Any]] | None = None,
) -> Frames:
    """Engines are windows with target_key, model_key and engine_key; without more, they are one deployment's."""
    rows = [{"model_key": "m", "engine_key": "0", **engine} for engine in engines]
    known = targets if targets is not None else [target(key) for key in dict.fromkeys(r["target_key"] for r in rows)]
    of = {row["target_key"]: row["deployment_key"] for row in known}
    whole = deployments if deployments is not None else _deployments(rows, of)
    said = [
        {name: row[name] for name in ("target_key", "model_key", "engine_key")} | {"facts": facts or {}} for row in rows
    ]
    engine_frame = pd.DataFrame(rows)
    return Frames(
        end=NOON,
        now=pd.DataFrame(whole),
        recent=pd.DataFrame(whole),
        minutes=pd.DataFrame(minutes or []),
        engine_minutes=pd.DataFrame(),
        engines_now=engine_frame,
        engines_recent=engine_frame,
        devices=pd.DataFrame(devices or []),
        targets=pd.DataFrame(known),
        engines=pd.DataFrame(said),
    )


def _deployments(rows: list[dict[str, Any]], of: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each deployment and model as its first engine."""
    found = {(of[row["target_key"]], row["model_key"]): row for row in reversed(rows)}
    return [{**row, "deployment_key": key, "model_key": model} for (key, model), row in found.items()]


def minute(at: int, **changes: Any) -> dict[str, Any]:
    """A minute of the half hour before noon, `at` minutes before it."""
    row = {"deployment_key": "chat", "model_key": "m", **window(**changes)}
    return {**row, "bin_start": pd.Timestamp(NOON - timedelta(minutes=at))}
