"""Opens one figure down to what it was made of: the metric, the windows, their samples and gaps."""

import re
from datetime import datetime, timedelta

import pandas as pd
import streamlit as st

from costlib.measures import COUNTERS
from costlib.windows import DataState
from store.catalog_files import DATA, read_toml
from ui import charts, data, text
from ui.theme import palette

SPANS = {"last hour": ("minute", timedelta(hours=1)), "last day": ("hour", timedelta(days=1))}
# Shown first: what money is made of.
FIRST = ("prompt_tokens", "generation_tokens", "cached_prompt_tokens", "requests_stop_count")
PREFIX = "vllm:"


def trace(found: data.Snapshot, moment: datetime) -> None:
    """Drawn only when someone opens it."""
    with st.expander("Open a figure", icon=":material/manage_search:", key="trace", on_change="rerun") as opened:
        if opened.open:
            _trace(found, moment)


def _trace(found: data.Snapshot, moment: datetime) -> None:
    engines = found.engines()
    if engines.empty:
        st.info("No engine has been measured yet.")
        return
    identities = [tuple(row) for row in engines[["target_key", "model_key", "engine_key"]].itertuples(index=False)]
    server, measure, span = st.columns([3, 2, 1])
    chosen = server.selectbox(
        "Engine", range(len(identities)), key="trace-engine",
        format_func=lambda place: text.plain(" · ".join(identities[place])),
    )  # fmt: skip
    counter = measure.selectbox("Counter", [*FIRST, *(name for name in COUNTERS if name not in FIRST)], key="trace-of")
    bin_name, back = SPANS[span.selectbox("Windows", list(SPANS), key="trace-span")]
    identity, facts = identities[chosen], engines.iloc[chosen]["facts"] or {}
    rows = found.windows(moment - back, moment, bin_name, "engine", moment)
    keys = ["target_key", "model_key", "engine_key"]
    rows = rows[(rows[keys] == pd.Series(identity, index=keys)).all(axis=1)]
    st.caption(_origin(counter, facts))
    if rows.empty:
        st.info("This engine was not observed in these windows: unknown, not zero.")
        return
    _chart(rows, counter, bin_name)
    _table(rows, counter)


def _origin(counter: str, facts: dict[str, str]) -> str:
    """Which metric carries the counter, and what is known of the release that exposes it."""
    table = read_toml(DATA / "vllm" / "measures.toml")
    row = table.get(counter) or table[re.sub(r"_\d\d_", "_NN_", counter)]
    names = [f"`{PREFIX}{entry['metric']}{_suffix(entry)}`" for entry in row["from"]]
    release = " to before ".join(facts[key] for key in ("vllm_at_least", "vllm_below") if facts.get(key))
    by = (
        f" The page is of vLLM {text.label(release)}{'' if facts.get('vllm_below') else ' or newer'}."
        if release
        else ""
    )
    carried = f"Increase of {', else '.join(names)}" if names else f"Increase of {counter}"
    return f"{carried}, restarts taken into account, never extrapolated.{by}"


def _suffix(entry: dict) -> str:
    part = f"_{entry['part']}" if "part" in entry else ""
    labels = ",".join(f'{name}="{value}"' for name, value in entry.get("labels", {}).items())
    return part + (f"{{{labels}}}" if labels else "")


def _chart(rows: pd.DataFrame, counter: str, bin_name: str) -> None:
    """Every window of the span, those that were not observed as holes."""
    width = timedelta(**{f"{bin_name}s": 1})
    every = pd.date_range(rows["bin_start"].min(), rows["bin_start"].max(), freq=width)
    values = rows.set_index("bin_start")[counter].reindex(every)
    total, missing = values.sum(min_count=1), int(values.isna().sum())
    holes = f", {missing} of {len(every)} {bin_name}s unknown" if missing else ""
    said = text.UNKNOWN if pd.isna(total) else f"{total:,.0f}"
    st.markdown(f"**{said} in {len(every)} {bin_name}s** {counter.replace('_', ' ')}{holes}")
    shown = [None if pd.isna(value) else float(value) for value in values]
    figure = charts.layout(palette(), 200, bargap=0.2, showlegend=False, xaxis={"type": "date", "showgrid": False})
    bars = {
        "type": "bar",
        "x": [moment.isoformat() for moment in every],
        "y": shown,
        "marker": {"color": palette().accent},
        "hovertemplate": "%{x|%H:%M}: %{y:,.0f}<extra></extra>",
    }
    charts.draw({"data": [bars], "layout": figure}, "trace-chart", alt=f"{counter} per {bin_name}")


def _table(rows: pd.DataFrame, counter: str) -> None:
    shown = pd.DataFrame(
        {
            "Window, UTC": rows["bin_start"].dt.strftime("%d %b %H:%M"),
            "Increase": rows[counter],
            "State": [_said(state, value) for state, value in zip(rows["state"], rows[counter], strict=True)],
            "Why": [text.plain(why) for why in rows["why"]],
            "Samples": rows["samples_count"],
            "Observed, s": rows["observed_s"],
            "After a gap, s": rows["gap_s"],
            "Restarts": rows["restarts_count"],
            "Covered": rows["coverage_fraction"] * text.PERCENT,
        }
    )
    column = st.column_config
    st.dataframe(
        shown.iloc[::-1],
        hide_index=True,
        key="trace-windows",
        height=320,
        column_config={
            "Increase": column.NumberColumn(format="localized"),
            "Observed, s": column.NumberColumn(format="%.1f"),
            "After a gap, s": column.NumberColumn(format="%.1f"),
            "Covered": column.NumberColumn(format="%.0f %%"),
        },
    )


def _said(state: str, value: object) -> str:
    """A measure that a healthy page does not have is not exported, whatever the window as a whole is called."""
    return str(DataState.NOT_EXPORTED) if state == DataState.OK and pd.isna(value) else state
