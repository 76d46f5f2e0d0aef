"""The tables of Data health: every source, every import, and how old the prices are."""

from datetime import date, datetime, timedelta

import pandas as pd
import streamlit as st

from store.catalog_files import load_catalog
from store.records import RUN_OK
from ui import data, text

OLD_PRICE = timedelta(days=90)
ERROR_CHARS = 300
RUNS_SHOWN = 100
PUBLISHING_MAY_TAKE = timedelta(seconds=60)


def first_run() -> None:
    st.info(
        "Nothing is stored yet. Three ways to begin:\n\n"
        "1. `permillion demo` loads a labelled sample fleet.\n"
        "2. `permillion up --metrics-url http://host:8000/metrics` reads a vLLM server.\n"
        "3. `permillion import FILE` reads a FOCUS billing export.",
        icon=":material/flag:",
    )


def as_of(found: data.Snapshot) -> datetime:
    """When to judge the sources: at the snapshot, unless it is so old that nobody is collecting any more."""
    moment = data.now()
    return moment if moment - found.published_at > PUBLISHING_MAY_TAKE else found.published_at


def cards(found: data.Snapshot, moment: datetime) -> None:
    covered = data.status(found)
    runs = found.sources(moment)
    good = int((runs["state"] == RUN_OK).sum()) if len(runs) else 0
    with st.grid(4, min_column_width=180):
        st.metric("Sources delivering", f"{good} of {len(runs)}", border=True)
        st.metric(
            "Gaps, last 24 hours", f"{int(runs['gaps_count'].sum()):,}" if len(runs) else text.UNKNOWN, border=True
        )
        st.metric("Newest measurement", text.age(covered.usage_to, moment), border=True)
        st.metric("Billed to", text.last_day(covered.charges_to), border=True)


def sources(found: data.Snapshot, moment: datetime) -> None:
    rows = found.sources(moment)
    if rows.empty:
        st.info("No source has been read yet. Start one with `permillion collect --metrics-url …`.")
        return
    shown = pd.DataFrame(
        {
            "Source": [text.plain(key) for key in rows["source_key"]],
            "Kind": rows["kind"],
            "State": rows["state"],
            "Last success": [text.age(_moment(at), moment) for at in rows["last_success_at"]],
            "Gaps, 24 h": rows["gaps_count"],
            "Rows, 24 h": rows["rows_count"],
            "Expected every": [_every(seconds) for seconds in rows["expected_every_s"]],
            "Last error": [
                text.plain(error, ERROR_CHARS) if isinstance(error, str) else "none" for error in rows["last_error"]
            ],
            "Error seen": [text.age(_moment(at), moment) for at in rows["last_error_at"]],
        }
    )
    st.dataframe(shown, hide_index=True, key="sources")


def runs(found: data.Snapshot, moment: datetime) -> None:
    """The newest runs of all sources, drawn only when someone asks for them."""
    with st.expander("Recent runs", icon=":material/history:", key="runs", on_change="rerun") as opened:
        if not opened.open:
            return
        rows = found.runs(RUNS_SHOWN)
        shown = pd.DataFrame(
            {
                "Finished": [text.age(_moment(at), moment) for at in rows["finished_at"]],
                "Source": [text.plain(key) for key in rows["source_key"]],
                "State": rows["state"],
                "Took, s": [
                    (end - begin).total_seconds()
                    for begin, end in zip(rows["started_at"], rows["finished_at"], strict=True)
                ],
                "Rows": rows["rows_count"],
                "Error": [text.plain(error, ERROR_CHARS) if isinstance(error, str) else "" for error in rows["error"]],
            }
        )
        st.dataframe(
            shown,
            hide_index=True,
            key="recent-runs",
            column_config={"Took, s": st.column_config.NumberColumn(format="%.2f")},
        )


def imports(found: data.Snapshot) -> None:
    rows = found.imports()
    if rows.empty:
        st.info("No bill has been imported. `permillion import FILE` reads FOCUS 1.0 to 1.2, CSV and Parquet.")
        return
    shown = pd.DataFrame(
        {
            "File": [text.plain(name) for name in rows["file_names"]],
            "Provider": [text.plain(name) for name in rows["provider"]],
            "Account": [text.plain(name) for name in rows["billing_account"]],
            "Period": [f"{start:%Y-%m}" for start in rows["period_start"]],
            "State": rows["status"],
            "Rows": rows["rows_count"],
            "Currency": rows["currency"],
            "Billed": [_exact(cost) for cost in rows["BilledCost"]],
            "Effective": [_exact(cost) for cost in rows["EffectiveCost"]],
            "Imported": [text.age(_moment(at), data.now()) for at in rows["imported_at"]],
        }
    )
    money = st.column_config.TextColumn(alignment="right")
    st.dataframe(shown, hide_index=True, key="imports", column_config={"Billed": money, "Effective": money})


def catalogue(today: date) -> None:
    catalog = load_catalog()
    prices = (*catalog.gpu_prices, *catalog.token_prices)
    checked = [max(source.retrieved_on for source in price.sources) for price in prices]
    old = sum(today - day > OLD_PRICE for day in checked)
    st.caption(
        f"{len(catalog.gpus)} GPUs, {len(catalog.models)} models, {len(catalog.gpu_prices)} GPU-hour prices and "
        f"{len(catalog.token_prices)} API prices, each with its source and date. Last checked between "
        f"{text.day_of(min(checked))} and {text.day_of(max(checked))}; {old} checked more than 90 days ago."
    )


def place() -> str:
    return text.label(data.home().path)


def _moment(value: object) -> datetime | None:
    return None if pd.isna(value) else pd.Timestamp(value).to_pydatetime()


def _every(seconds: float) -> str:
    return "once" if pd.isna(seconds) else f"{seconds:g} s"


def _exact(cost: object) -> str:
    """All digits, as they were billed: a table of imports is where finance ties out."""
    if cost is None or pd.isna(cost):
        return text.UNKNOWN
    whole, _, rest = f"{cost:,f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"  # two decimals at least, as money is read
