"""Scenarios side by side: what each costs, saves and risks, and which settings they differ in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from costlib.compare import Comparison
from costlib.estimate import Undefined
from costlib.lever import Lever, Values
from costlib.levers import LEVERS
from costlib.presets import PRESETS
from costlib.uncertainty import Uncertainty
from costlib.units import KILO, MS_PER_S
from store.saved import saved
from ui import charts, data, links, sureness, text
from ui.scenario_charts import ranged_bars
from ui.theme import palette

MOST = 4
TODAY = "Today"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One scenario, solved; `problem` says why it cannot run, and then there is no comparison."""

    name: str
    settings: Mapping[str, Values]
    comparison: Comparison | None
    sure: Uncertainty | None
    problem: str


def offered() -> dict[str, Mapping[str, Values]]:
    """Presets, and what was saved, each by a name of its own; what cannot be read is said and left out."""
    kept = saved(data.home())
    for one in kept:
        if one.problem:
            st.warning(text.label(one.problem, text.A_PARAGRAPH), icon=":material/error:")
    choices: dict[str, Mapping[str, Values]] = {preset.name: preset.settings for preset in PRESETS}
    for one in kept:
        if not one.problem:
            name = text.plain(one.name)
            while name in {TODAY, *choices}:
                name += " (saved)"
            choices[name] = one.settings
    return choices


def chosen(names: Sequence[str], choices: Mapping[str, Mapping[str, Values]]) -> list[tuple[str, Mapping[str, Values]]]:
    """Today first, to compare with; then what was chosen."""
    return [(TODAY, {}), *((name, choices[name]) for name in names)]


def solve(name: str, settings: Mapping[str, Values], today: data.Today) -> Column:
    comparison, problem = data.solve(today, settings)
    if problem or comparison is None:
        return Column(name=name, settings=settings, comparison=None, sure=None, problem=problem)
    sure = sureness.of(today, settings, comparison)
    return Column(name=name, settings=settings, comparison=comparison, sure=sure, problem="")


def title(columns: Sequence[Column]) -> str:
    able = [column for column in columns if column.comparison is not None and column.settings]
    if not able:
        return "**None of these can run here**"
    best = max(able, key=lambda column: column.comparison.saved_usd_per_month if column.comparison else 0.0)
    assert best.comparison is not None
    saved_usd = best.comparison.saved_usd_per_month
    if round(saved_usd) <= 0:
        return "**None of these saves cash** on this fleet"
    return f"**{text.label(best.name)} saves most: {text.dollars(text.short_money(saved_usd))} a month**"


def spend_chart(columns: Sequence[Column]) -> None:
    rows = [
        (
            column.name,
            column.comparison.scenario.usd_per_month.mid,
            column.sure.scenario.p10_usd_per_month,
            column.sure.scenario.p90_usd_per_month,
        )
        for column in columns
        if column.comparison is not None and column.sure is not None
    ]
    if rows:
        charts.draw(ranged_bars(rows, palette()), "spend", alt="Spend per month of each scenario with its range")


def figures(columns: Sequence[Column]) -> None:
    """One column a scenario, one row a figure."""
    found = {text.plain(column.name): _figures(column) for column in columns}
    aligned = {name: st.column_config.TextColumn(alignment="right") for name in found}
    st.dataframe(pd.DataFrame(found), column_config=aligned, key="side-by-side", height="content")


def _figures(column: Column) -> dict[str, str]:
    if column.comparison is None or column.sure is None:
        return {"Spend per month": "cannot run"}
    comparison, sure = column.comparison, column.sure
    then = comparison.scenario
    accepted = comparison.accepted_fraction
    rises = sure.rises_fraction
    freed = comparison.capacity_freed_fraction
    return {
        "Spend per month": text.money(then.usd_per_month.mid),
        "P10 to P90": sureness.p10_to_p90(sure.scenario),
        "Cash saved": text.money(comparison.saved_usd_per_month),
        "of it unproven": text.money(comparison.unproven_usd_per_month),
        "Chance that it costs more": text.UNKNOWN if isinstance(rises, Undefined) else text.percent(rises),
        "Capacity freed": text.percent(freed),
        "Cost per 1M tokens": text.unit_cost(then.usd_per_mtok_blended),
        "Input, per 1M": text.unit_cost(then.usd_per_mtok_input),
        "Output, per 1M": text.unit_cost(then.usd_per_mtok_output),
        "Per 1,000 accepted answers": _per_thousand(comparison.usd_per_accepted_answer),
        "GPUs": f"{then.gpus_count:,}",
        "Time per token, peak": _ms(then.tpot_s),
        "First token, peak": _ms(then.ttft_s),
        "Answers still accepted": "not evaluated"
        if isinstance(accepted, Undefined)
        else f"{accepted:.1%} or more"
        if comparison.evaluations
        else "none changed",
        "Not applied": ", ".join(_label(key) for key, _ in comparison.refusals) or "none",
    }


def _per_thousand(usd: float | Undefined) -> str:
    return "not evaluated" if isinstance(usd, Undefined) else text.unit_cost(usd * KILO)


def _ms(seconds: float | None) -> str:
    return text.UNKNOWN if seconds is None else f"{seconds * MS_PER_S:,.0f} ms"


def _label(key: str) -> str:
    return next((lever.label for lever in LEVERS if lever.key == key), key)


def settings(columns: Sequence[Column], today: data.Today) -> None:
    """Only the levers that some scenario moves, as their controls spell them."""
    rows = []
    for lever in LEVERS:
        values = [_spoken(column, lever, today) for column in columns]
        if any(values):
            rows.append([lever.label, *(value or text.UNKNOWN for value in values)])
    if rows:
        names = ["Lever", *(text.plain(column.name) for column in columns)]
        st.dataframe(pd.DataFrame(rows, columns=names), hide_index=True, key="settings-side-by-side", height="content")
    else:
        st.caption("Every lever is at rest in all of them.")


def _spoken(column: Column, lever: Lever, today: data.Today) -> str:
    if column.problem or lever.key not in column.settings:
        return ""
    spelt = links.params({lever.key: column.settings[lever.key]}, today.scenario, today.catalog)
    return ", ".join("on" if value == "true" else text.plain(value) for key, value in spelt.items() if key != "v")


def doors(columns: Sequence[Column], today: data.Today) -> None:
    """Open each in What-if, and what cannot run."""
    columns = [column for column in columns if column.settings]
    for column in columns:
        if column.problem:
            st.error(
                f"{text.label(column.name)}: {text.label(column.problem, text.A_PARAGRAPH)}", icon=":material/error:"
            )
    with st.container(horizontal=True, key="doors"):
        for column in (one for one in columns if not one.problem):
            st.page_link(
                "pages/what_if.py", label=f"Open {text.label(column.name)} in What-if", icon=":material/tune:",
                query_params=links.params(column.settings, today.scenario, today.catalog),
            )  # fmt: skip
