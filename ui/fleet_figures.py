"""Figures of one window: a number, or `Missing` with its kind and reason. And the GPUs behind them, with prices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from costlib.errors import PermillionError
from costlib.hardware import GpuSpec, Precision
from costlib.measures import HISTOGRAMS
from costlib.project import usd_per_gpu_hour
from costlib.scenario import SelfHosted
from costlib.units import SECONDS_PER_MINUTE
from costlib.windows import DataState, utilisation_of
from ui.data import Today

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A figure that is not there: which kind of not, and why. Never drawn as zero."""

    state: DataState
    why: str


Figure = float | Missing

_NO_TIME = "the window holds no time between two scrapes yet"
# What a figure is made of, and what did not happen when all of that is known and the figure is not.
_MADE_OF: dict[str, tuple[tuple[str, ...], str]] = {
    "total_tokens_per_s": (("prompt_tokens", "generation_tokens"), _NO_TIME),
    "generation_tokens_per_s": (("generation_tokens",), _NO_TIME),
    "computed_tokens_per_s": (("computed_prompt_tokens",), _NO_TIME),
    "cached_tokens_per_s": (("cached_prompt_tokens",), _NO_TIME),
    "preemptions_per_min": (("preemptions_count",), _NO_TIME),
    "running_littles_count": (("inference_s",), _NO_TIME),
    "waiting_littles_count": (("queue_s",), _NO_TIME),
    "preemptions_per_request_ratio": (("preemptions_count", "requests_stop_count"), "no request finished"),
    "prefix_hit_fraction": (("prefix_queries_tokens", "prefix_hits_tokens"), "no prompt was looked up"),
    "acceptance_fraction": (("draft_tokens", "accepted_tokens"), "nothing was drafted"),
    "tokens_per_draft_ratio": (("drafts_count", "accepted_tokens"), "nothing was drafted"),
    "idle_fraction": (("running_count",), _NO_TIME),
    "estimated_flop_per_s": (("estimated_flop",), _NO_TIME),
    "estimated_bytes_per_s": (("estimated_read_bytes", "estimated_write_bytes"), _NO_TIME),
    **{f"{name}_p{q}": ((f"{name}_count",), "no request finished, or the buckets changed")
       for name in HISTOGRAMS for q in (50, 90, 95, 99)},
}  # fmt: skip


def words(value: object) -> str:
    """A text cell; one that is unknown is empty."""
    return value if isinstance(value, str) else ""


def known(row: Row, name: str) -> float | None:
    value = row.get(name)
    return None if value is None or pd.isna(value) else float(value)


def figure(row: Row, name: str) -> Figure:
    """One figure of a window, or why it is not there: nobody looked, nothing tells it, or nothing happened."""
    value = known(row, name)
    if value is not None:
        return value
    if not known(row, "samples_count"):
        state = DataState(row["state"]) if row.get("state") else DataState.GAP
        return Missing(
            state=DataState.GAP if state in (DataState.OK, DataState.PARTIAL) else state,
            why=words(row.get("why")) or "no scrape in this window",
        )
    parts, nothing = _MADE_OF.get(name, ((name,), ""))
    absent = [part for part in parts if known(row, part) is None]
    if absent:
        return Missing(state=DataState.NOT_EXPORTED, why=f"the server does not export {', '.join(absent)}")
    return Missing(state=DataState.UNDEFINED, why=nothing)


def with_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """The classes of tokens as rates, and preemptions a minute: their share of what a window has as a rate."""
    if rows.empty:
        return rows
    total = rows["total_tokens"].astype(float)
    per_token = (rows["total_tokens_per_s"].astype(float) / total).where(total > 0)
    # Nothing is served: every class that is counted is zero a second.
    per_token = per_token.where(total != 0, 0.0)
    seen_s = rows["observed_s"].astype(float) + rows["gap_s"].astype(float).fillna(0.0)
    return rows.assign(
        computed_tokens_per_s=rows["computed_prompt_tokens"].astype(float) * per_token,
        cached_tokens_per_s=rows["cached_prompt_tokens"].astype(float) * per_token,
        preemptions_per_min=(rows["preemptions_count"].astype(float) * SECONDS_PER_MINUTE / seen_s).where(seen_s > 0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """The GPUs that a deployment has now, and what they cost: engines that were seen, priced as scenario.toml says."""

    gpu: GpuSpec
    precision: Precision
    engines_count: int
    gpus_count: int
    usd_per_gpu_hour: float
    tpot_target_s: float | None

    @property
    def usd_per_hour(self) -> float:
        return self.gpus_count * self.usd_per_gpu_hour


def supply_of(deployment_key: str, engines_count: int, today: Today) -> Supply | Missing:
    """GPUs and price of a deployment, from the entry of the same key in a scenario of this fleet."""
    deployments = today.scenario.deployments if today.is_measured_fleet else ()
    deployment = next((d for d in deployments if d.key == deployment_key), None)
    if deployment is None:
        return Missing(state=DataState.UNDEFINED, why=f"scenario.toml has no deployment with key = {deployment_key!r}")
    hosted = deployment.supply
    if not isinstance(hosted, SelfHosted):
        return Missing(state=DataState.UNDEFINED, why="scenario.toml buys this model by the token, without GPUs")
    try:
        price = usd_per_gpu_hour(hosted.purchase, today.scenario, today.catalog)
        gpu = today.catalog.gpu(hosted.gpu_key)
        gpu.peak_flop_per_s(hosted.serving.weight_precision)
    except PermillionError as error:
        return Missing(state=DataState.UNDEFINED, why=str(error))
    return Supply(
        gpu=gpu,
        precision=hosted.serving.weight_precision,
        engines_count=engines_count,
        gpus_count=engines_count * hosted.serving.gpus_count,
        usd_per_gpu_hour=price,
        tpot_target_s=deployment.max_tpot_s,
    )


def utilisation(row: Row, name: str, supply: Supply | Missing) -> Figure:
    """`mfu` or `mbu` of one of these GPUs in a window."""
    rate = figure(row, "estimated_flop_per_s" if name == "mfu" else "estimated_bytes_per_s")
    if isinstance(rate, Missing):
        return rate
    if rate <= 0:
        why = "0 is counted: nothing ran, or vLLM runs without --enable-mfu-metrics"
        return Missing(state=DataState.NOT_EXPORTED, why=why)
    if isinstance(supply, Missing):
        return Missing(state=supply.state, why=f"the GPU is not known: {supply.why}")
    peak = supply.gpu.peak_flop_per_s(supply.precision) if name == "mfu" else supply.gpu.hbm_bytes_per_s
    return float(utilisation_of(np.array([rate]), peak)[0])
