"""Every replica in a row, and the labels to choose among them by."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from costlib.units import MS_PER_S
from costlib.windows import DataState
from ui import text
from ui.fleet import NOW_WORDS
from ui.fleet_figures import Missing, Row, Supply, known, utilisation, words
from ui.text import PERCENT

LABELS = ("team", "pool", "gpu")
NO_LABEL = "(none)"


def label_values(rows: Sequence[Row], name: str) -> list[str]:
    """The values that a label has among these replicas; none when no replica has it."""
    values = sorted({str(row["labels"][name]) for row in rows if row["labels"].get(name)})
    return [*values, NO_LABEL] if values and any(not row["labels"].get(name) for row in rows) else values


def chosen(rows: Sequence[Row], wanted: Mapping[str, Sequence[str]]) -> list[Row]:
    """The replicas that have one of the wanted values of every label; an empty choice wants all."""
    return [
        row
        for row in rows
        if all(not values or str(row["labels"].get(name) or NO_LABEL) in values for name, values in wanted.items())
    ]


def filters(rows: Sequence[Row]) -> dict[str, list[str]]:
    """One multiselect for each label that exists; the address keeps what is chosen."""
    offered = {name: values for name in LABELS if (values := label_values(rows, name))}
    if not offered:
        return {}
    with st.grid(len(LABELS), min_column_width=200):
        return {
            name: st.multiselect(
                _title(name),
                values,
                key=name,
                format_func=lambda value: text.plain(value, 60),
                placeholder="all",
                bind="query-params",
            )
            for name, values in offered.items()
        }


def table(rows: Sequence[Row], supplies: Mapping[str, Supply | Missing]) -> None:
    """One row each. `supplies` are the GPUs of the deployments."""
    labels = [name for name in LABELS if label_values(rows, name)]
    shown = pd.DataFrame([_shown(row, supplies, labels) for row in rows])
    column = st.column_config
    whole = column.NumberColumn(format="%,.0f")
    st.dataframe(
        shown,
        hide_index=True,
        key="replicas",
        placeholder=text.UNKNOWN,
        column_config={
            "Replica": column.TextColumn(pinned=True),
            "State": column.TextColumn(width=95, help=f"What the {NOW_WORDS} are worth."),
            "Tokens/s": whole,
            "Running": column.NumberColumn(format="%,.1f"),
            "Waiting": column.NumberColumn(format="%,.1f"),
            "KV cache": column.ProgressColumn(format="%.0f%%", min_value=0, max_value=100, help="95th percentile."),
            "TTFT p95, ms": whole,
            "TPOT p95, ms": whole,
            "Prefix hits": column.NumberColumn(format="%.0f%%"),
            "Preemptions/min": column.NumberColumn(format="%,.1f"),
            "MFU": column.NumberColumn(format="%.0f%%"),
            "vLLM": column.TextColumn(help="The releases whose metrics page looks like this replica's."),
            "Why": column.TextColumn(width=160, help="The last error, or what is missing."),
        },
    )


def _shown(row: Row, supplies: Mapping[str, Supply | Missing], labels: Sequence[str]) -> dict[str, Any]:
    mfu = utilisation(row, "mfu", supplies[row["deployment_key"]])
    state = DataState(row["state"]) if row.get("state") else DataState.GAP
    return {
        "Replica": text.plain(row["replica"]),
        "Model": text.plain(row["model_key"]) if isinstance(row["model_key"], str) else None,
        "State": state.replace("_", " "),
        "Why": text.plain(words(row.get("why")) or why(row, state), 300),
        "Tokens/s": known(row, "total_tokens_per_s"),
        "Running": known(row, "running_count"),
        "Waiting": known(row, "waiting_count"),
        "KV cache": _percent(known(row, "kv_usage_p95_fraction")),
        "TTFT p95, ms": _ms(known(row, "ttft_s_p95")),
        "TPOT p95, ms": _ms(known(row, "tpot_s_p95")),
        "Prefix hits": _percent(known(row, "prefix_hit_fraction")),
        "Preemptions/min": known(row, "preemptions_per_min"),
        "MFU": None if isinstance(mfu, Missing) else mfu * PERCENT,
        "vLLM": versions(row["facts"]),
        **{_title(name): text.plain(row["labels"].get(name) or "") for name in labels},
    }


def why(row: Row, state: DataState) -> str:
    """What a state means for this row, where no error says so."""
    fraction = known(row, "coverage_fraction")
    if state is DataState.PARTIAL and fraction is not None:
        return f"observed {fraction:.0%} of the {NOW_WORDS}"
    return {
        DataState.OK: "",
        DataState.RESET: "an engine restarted: up to one interval of its tokens is lost",
        DataState.GAP: f"scrapes are missing from the {NOW_WORDS}",
        DataState.STALE: "nobody asks it any more",
        DataState.NOT_EXPORTED: "the server answers without engine metrics",
    }.get(state, "")


def versions(facts: Mapping[str, str]) -> str:
    """Which vLLM a page is of, as far as it tells.

    >>> versions({"vllm_at_least": "0.17", "vllm_below": "0.19"}), versions({})
    ('0.17 to below 0.19', 'not told')
    """
    low, high = facts.get("vllm_at_least"), facts.get("vllm_below")
    if low and high:
        return text.plain(f"{low} to below {high}")
    return text.plain(f"{low} or newer" if low else f"below {high}" if high else "not told")


def _title(name: str) -> str:
    return "GPU" if name == "gpu" else name.capitalize()


def _percent(value: float | None) -> float | None:
    return None if value is None else value * PERCENT


def _ms(value: float | None) -> float | None:
    return None if value is None else value * MS_PER_S
