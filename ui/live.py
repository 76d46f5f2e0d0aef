"""The live fleet: what the servers do now, beside what the scenario would need. Redraws itself, and nothing else."""

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd
import streamlit as st

from costlib.projection import Projection
from costlib.units import SECONDS_PER_MINUTE
from ui import cards, data, text

EVERY_S = 2
WINDOW = timedelta(minutes=3)
STALE_AFTER = timedelta(seconds=60)
CARDS_WIDTH = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The last few minutes over all targets. A measure no target exports is None."""

    targets_count: int
    newest_at: pd.Timestamp
    tokens_per_s: pd.Series
    kv_usage_fraction: pd.Series
    running_count: pd.Series
    waiting_count: float | None
    preemptions_per_min: float | None
    prefix_hit_fraction: float | None
    ttft_p95_s: float | None
    generation_tokens_per_s: float | None


@st.fragment(run_every=EVERY_S)
def panel(today: Projection, scenario: Projection, is_ours: bool) -> None:
    """`is_ours` is False when the projections are not of the fleet that is measured: then nothing is compared."""
    found, _ = data.tail()  # the Live page says what is wrong with it
    moment = data.now()
    fleet = None if found is None else _fleet(found.id, found)
    with st.container(horizontal=True, vertical_alignment="center", key="live-head"):
        st.subheader("Live GPU fleet", anchor=False, width="content")
        if fleet is None:
            st.badge("Not connected", icon=":material/sensors_off:", color="gray")
        else:
            seconds = (moment - fleet.newest_at.to_pydatetime()).total_seconds()
            is_stale = seconds > STALE_AFTER.total_seconds()
            st.badge(
                f"Stale, {seconds:.0f} s" if is_stale else "Live",
                icon=":material/sensors:",
                color="orange" if is_stale else "green",
            )
            servers = "server" if fleet.targets_count == 1 else "servers"
            replayed = "sample replay" if found is not None and found.is_sample else "vLLM /metrics"
            st.caption(f"{replayed}, {fleet.targets_count} {servers}, read {seconds:.0f} s ago")
    if fleet is None:
        st.info(
            "No live fleet in the last minutes. Start `permillion up --metrics-url http://host:8000/metrics`; "
            "everything else on this page works without it.",
            icon=":material/info:",
        )
        return
    _cards(fleet, today, scenario, is_ours)


def _cards(fleet: Fleet, today: Projection, scenario: Projection, is_ours: bool) -> None:
    demand = sum(d.demand_tokens_per_s for d in today.deployments)
    rate = _last(fleet.tokens_per_s)
    is_comparable = is_ours and demand > 0 and rate is not None
    burn = scenario.usd_per_hour - today.usd_per_hour
    modelled = scenario.ttft_s
    with st.grid(4, min_column_width=CARDS_WIDTH):
        cards.changed(
            "Burn rate, per hour",
            text.money(today.usd_per_hour if is_ours else None),
            text.change(round(burn), text.money(round(burn))) if is_ours else None,
            "if scenario ran" if is_ours else None,
            help="GPUs of today's deployments at their prices. Known from the scenario file, not measured.",
        )
        cards.changed(
            "Tokens per second",
            text.UNKNOWN if rate is None else text.compact(rate),
            text.change(rate - demand, f"{rate / demand - 1:.0%}") if is_comparable else None,
            "vs mean demand" if is_comparable else None,
            help="Prompt and generated tokens between the last two scrapes, all servers.",
            points=fleet.tokens_per_s,
            less_is_better=False,
        )
        cards.noted(
            "KV cache in use",
            text.percent(_last(fleet.kv_usage_fraction)),
            f"{fleet.waiting_count:.0f} waiting" if fleet.waiting_count is not None else None,
            help="Mean of all servers, from their last scrape. Preemptions begin when it reaches 100 %.",
            points=fleet.kv_usage_fraction,
        )
        cards.noted(
            "First token, p95",
            text.milliseconds(fleet.ttft_p95_s),
            f"{text.milliseconds(modelled)} modelled" if is_ours and modelled else None,
            help="95th percentile over the last 3 minutes, from the slowest server's histogram. The line is running "
            "requests. The modelled figure is the scenario's slowest deployment at its peak hour.",
            points=fleet.running_count,
        )
    st.caption(
        f"Running {_count(_last(fleet.running_count))} · waiting {_count(fleet.waiting_count)} · preemptions "
        f"{_count(fleet.preemptions_per_min)} a minute · prompt tokens from prefix cache "
        f"{text.percent(fleet.prefix_hit_fraction)} · generated {_count(fleet.generation_tokens_per_s)} tokens/s "
        "· measured, last 3 minutes"
    )


@st.cache_data(max_entries=8, show_spinner=False)
def _fleet(snapshot_id: str, _found: data.Snapshot) -> Fleet | None:
    """The minutes before the snapshot: one query for all who look at it, and none for a slider move."""
    return fleet_of(_found.live(_found.published_at, WINDOW.total_seconds()))


def fleet_of(rows: pd.DataFrame) -> Fleet | None:
    """Scrape rows (one per target and scrape) as fleet series; None when there are none."""
    if rows.empty:
        return None
    rows = rows.assign(tokens=rows["prompt_tokens"] + rows["generation_tokens"])
    rows["moment"] = rows["scraped_at"].dt.floor("2s")
    known = rows[rows["interval_s"].notna() & rows["tokens"].notna()]
    rates = known.assign(rate=known["tokens"].astype(float) / known["interval_s"])
    by_target = rates.pivot_table(index="moment", columns="target_key", values="rate").ffill().sum(axis=1)
    seconds = float(known.groupby("target_key")["interval_s"].sum().max()) if len(known) else 0.0

    def mean_of(name: str) -> pd.Series:
        return rows.pivot_table(index="moment", columns="target_key", values=name).ffill().mean(axis=1)

    def sum_of(name: str) -> pd.Series:
        return rows.pivot_table(index="moment", columns="target_key", values=name).ffill().sum(axis=1)

    def total(name: str) -> float | None:
        values = rows[name].dropna()
        return float(values.sum()) if len(values) else None

    queries, hits, preempted = total("prefix_queries_tokens"), total("prefix_hits_tokens"), total("preemptions_count")
    generated = total("generation_tokens")
    waiting, p95 = sum_of("waiting_count"), rows["ttft_p95_s"].dropna()
    return Fleet(
        targets_count=rows["target_key"].nunique(),
        newest_at=rows["scraped_at"].max(),
        tokens_per_s=by_target,
        kv_usage_fraction=mean_of("kv_usage_fraction"),
        running_count=sum_of("running_count"),
        waiting_count=float(waiting.iloc[-1]) if len(waiting) else None,
        preemptions_per_min=preempted / seconds * SECONDS_PER_MINUTE if preempted is not None and seconds else None,
        prefix_hit_fraction=hits / queries if queries and hits is not None else None,
        ttft_p95_s=float(p95.max()) if len(p95) else None,
        generation_tokens_per_s=generated / seconds if generated is not None and seconds else None,
    )


def _last(series: pd.Series) -> float | None:
    return float(series.iloc[-1]) if len(series) else None


def _count(value: float | None) -> str:
    return text.UNKNOWN if value is None else f"{value:,.0f}"
