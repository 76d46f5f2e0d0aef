"""The parts of Estimator: ranges in, what a product would cost out, an API and GPUs of one's own side by side."""

from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from costlib.errors import PermillionError
from costlib.estimate_file import estimator_from
from costlib.estimator import Estimated, Estimator, PricedOption, Verdict, estimate
from costlib.ranges import Shape
from costlib.units import MEGA
from costlib.usage_volume import FACTORS
from store.catalog_files import load_catalog, read_toml
from store.estimate_files import EXAMPLE_ESTIMATE, SAMPLE_ESTIMATE
from ui import cards, charts, data, estimator_charts, text
from ui.choices import picked
from ui.estimator_file import ENDS, Document, factor_name, parsed, rows, toml_text, with_rows
from ui.money_charts import Bar, Step, cascade
from ui.text import PERCENT
from ui.theme import palette

STORY, AGENT, OWN = "The story", "Support agent", "Your file"
PRESETS = {STORY: SAMPLE_ESTIMATE, AGENT: EXAMPLE_ESTIMATE}
STORY_USD = 47_000.0  # what the feature of the story cost before somebody looked
VERDICTS = {
    Verdict.PASS: ("Pass", "within the budget"),
    Verdict.WATCH: ("Watch", "look again before it starts"),
    Verdict.STOP: ("Stop", "do not start like this"),
}
_KEPT, _BASE, _TURN = "estimate-kept", "estimate-base", "estimate-turn"
MOST_SHARES = 8
SMALLEST_SHARE_FRACTION = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A document with what the page says of it: which preset, and the budget instead of its own."""

    document: Document
    preset: str
    name: str

    @property
    def is_story(self) -> bool:
        return self.preset == STORY


def controls() -> Asked | None:
    """Which estimate, and the budget; None, with the reason shown, where there is no document yet."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="estimate-controls"):
        preset = str(
            st.segmented_control("Estimate", (STORY, AGENT, OWN), default=STORY, required=True, key="preset",
                                 bind="query-params")
        )  # fmt: skip
        budget = st.number_input(
            "Budget, USD per month", 1.0, 1e12, None, 100.0, key="budget", bind="query-params", width=200,
            placeholder="that of the file", format="%g",
        )  # fmt: skip
    if preset == OWN:
        document, name = _uploaded()
        if document is None:
            return None
    else:
        path = PRESETS[preset]
        document, name = read_toml(path), path.name
    if budget is not None:
        kept = document["budget"] if isinstance(document.get("budget"), dict) else {}
        document = {**document, "budget": {**kept, "usd_per_month": budget}}
    return Asked(document=document, preset=preset, name=name)


def _uploaded() -> tuple[Document | None, str]:
    upload = st.file_uploader(
        "An estimate file", type="toml", key="estimate-upload", max_upload_size=1,
        help="Download one of the others and change it, or start from data/demo/estimate.toml.",
    )  # fmt: skip
    if upload is None:
        st.info("Choose a file, or one of the estimates above.", icon=":material/upload_file:")
        return None, ""
    name = text.plain(upload.name, 60)
    try:
        document = parsed(upload.getvalue(), name)
        _built(document, name, data.now().date())  # before its factors become a table
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return None, ""
    return document, name


def factors(asked: Asked) -> Asked:
    """Every factor's range, to be edited: kept while the session lasts, and to be taken away as a file."""
    with st.container(horizontal=True, vertical_alignment="center", key="factors-head"):
        st.markdown("**What is not known yet:** low, likely and high", width="stretch")
        st.button("Reset", icon=":material/restart_alt:", type="tertiary", on_click=_reset, key="factors-reset")
    kept: dict[str, Document] = st.session_state.setdefault(_KEPT, {})
    key = f"factors-{asked.preset}-{hash(repr(asked.document.get('factors')))}-{st.session_state.get(_TURN, 0)}"
    if key not in st.session_state:  # drawn for the first time, or again: its own edits are part of what was kept
        st.session_state[_BASE] = kept.get(key, asked.document).get("factors", {})
    document = {**asked.document, "factors": st.session_state[_BASE]}
    table = pd.DataFrame(
        [{"Factor": factor_name(row["key"]), **row, "Means": FACTORS[row["key"]].help} for row in rows(document)]
    )
    number = {
        end: st.column_config.NumberColumn(name, min_value=0.0, required=True, width=76)
        for end, name in zip(ENDS, ("Low", "Likely", "High"), strict=True)
    }
    edited = st.data_editor(
        table,
        hide_index=True,
        height="content",
        disabled=("Factor", "Means", "key"),
        column_order=("Factor", *ENDS, "shape", "Means"),
        column_config={
            "Factor": st.column_config.TextColumn(width=130),
            **number,
            "shape": st.column_config.SelectboxColumn(
                "Shape", options=[str(shape) for shape in Shape], required=True, width=96,
                help="pert and triangular stay within low and high; lognormal takes them as P10 and P90.",
            ),
            "Means": st.column_config.TextColumn(width="large"),
        },
        key=key,
        alt="Low, likely and high of every factor",
    )  # fmt: skip
    document = kept[key] = with_rows(document, edited.to_dict("records"))
    st.download_button(
        "Download estimate.toml", lambda: toml_text(document).encode(), file_name="estimate.toml",
        mime="application/toml", icon=":material/download:", on_click="ignore", key="estimate-download",
        help="As it stands here: for `permillion estimate estimate.toml`, or to send on.",
    )  # fmt: skip
    return replace(asked, document=document)


def _reset() -> None:
    """Back to the file: a table of another key has no edits."""
    st.session_state[_TURN] = st.session_state.get(_TURN, 0) + 1


def _built(document: Document, name: str, on: date) -> Estimator:
    return estimator_from(document, load_catalog(), name, on)


def solve(asked: Asked) -> tuple[Estimated | None, Estimator | None, str]:
    """The estimate, or why there is none. Kept: the same ranges are not drawn twice."""
    try:
        built = _built(asked.document, asked.name, data.now().date())
        return _estimated(repr((asked.document, asked.name, built.as_of)), built), built, ""
    except PermillionError as error:
        return None, None, str(error)


@st.cache_resource(max_entries=32, show_spinner="Drawing every factor…")
def _estimated(key: str, _built: Estimator) -> Estimated:
    return estimate(_built, load_catalog())


def option_of(found: Estimated) -> PricedOption:
    """The way to buy it that the cards are of."""
    by_name = {one.name: one for one in found.options}
    return by_name[picked("Bought as", list(by_name), "option")]


def figures(option: PricedOption, found: Estimated) -> None:
    if option.p50_usd_per_month is None:
        st.warning(f"{text.label(option.name)}: {text.label(option.why, text.A_PARAGRAPH)}", icon=":material/block:")
        return
    likely = f"{text.money(option.likely_usd_per_month)}"
    with st.grid(3, min_column_width=cards.WIDTH):
        cards.noted("P50", text.money(option.p50_usd_per_month), None, "a month, half of draws",
                    help=f"Every factor at its likely value costs {text.dollars(likely)}.")  # fmt: skip
        cards.noted("P90", text.money(option.p90_usd_per_month), None, "one draw in ten is above")
        cards.noted("P99", text.money(option.p99_usd_per_month), None, "one in a hundred is")
        gate = option.gate
        cards.noted(
            "Above the budget", text.UNKNOWN if gate is None else text.percent(gate.exceeds_fraction, 1),
            None if gate is None else VERDICTS[gate.verdict][0], "no budget" if gate is None else "of the draws",
        )  # fmt: skip
        cards.noted("A user a month", text.money(option.p50_user_month_usd), None, "P50")
        cards.noted("Requests a month", text.compact(found.p50_requests_count), None,
                    f"P90 {text.compact(found.p90_requests_count)}")  # fmt: skip


def chances(option: PricedOption, found: Estimated) -> None:
    st.markdown(_gate_title(option, found))
    curves = {one.name: one.curve_usd_per_month for one in found.options if one.curve_usd_per_month}
    if curves:
        budget = found.budget.usd_per_month if found.budget else None
        charts.draw(estimator_charts.chances(curves, option.name, budget, palette()), "chances",
                    alt="Share of draws by dollars a month, for each way to buy it")  # fmt: skip
        st.caption(f"P1 to P99 of {found.draws_count:,} draws, seed {found.seed}.")
    if option.why:
        st.caption(text.sentence(option.why))


def _gate_title(option: PricedOption, found: Estimated) -> str:
    name = text.label(option.name)
    if option.p90_usd_per_month is None:
        return f"**{name} cannot be priced**"
    if option.gate is None or found.budget is None:
        return f"**{name} costs {_usd(option.p90_usd_per_month)} a month or less** in nine draws of ten"
    word, advice = VERDICTS[option.gate.verdict]
    return (
        f"**{word}: {_usd(found.budget.usd_per_month)} a month is exceeded in "
        f"{text.percent(option.gate.exceeds_fraction)} of the draws**, {advice}"
    )


def _usd(value: float | None) -> str:
    return text.dollars(text.money(value))


def spread(option: PricedOption) -> None:
    told = [one for one in option.shares if one.total_fraction >= SMALLEST_SHARE_FRACTION][:MOST_SHARES]
    if not told:
        st.markdown("**No spread to share**: every draw costs the same")
        return
    first = told[0]
    st.markdown(
        f"**{first.total_fraction:.0%} of the spread comes from {factor_name(first.factor).lower()}:** measure that "
        "first"
    )
    shown = [(factor_name(one.factor), one.first_order_fraction, one.total_fraction) for one in told]
    charts.draw(estimator_charts.spread(shown, palette()), "spread", alt="Share of the spread by factor")
    st.caption("Shares of the variance of the log of the cost; what factors make together counts for each of them.")


def bridge(found: Estimated, asked: Asked) -> None:
    """From the plan to what is likely, a day."""
    first = found.options[0]
    assert found.planned_day_usd is not None and first.likely_day_usd is not None
    worst = max(found.plan_steps, key=lambda step: abs(step.added_usd_per_month))
    title = (
        f"**Planned at {_usd(found.planned_day_usd)} a day, {_usd(first.likely_day_usd)} is likely:** "
        f"{factor_name(worst.factor).lower()} add{'s' * (not worst.factor.startswith('retries'))} most"
    )
    st.markdown(title)
    bars = [Bar(name="Planned", amount=found.planned_day_usd, step=Step.TOTAL)]
    for step in found.plan_steps:
        added = step.added_usd_per_month / found.days_count
        bars.append(
            Bar(
                name=f"{factor_name(step.factor)} {step.planned} → {step.likely}",
                amount=abs(added),
                step=Step.MORE if added >= 0 else Step.LESS,
                shown=f"→ {text.money(step.day_usd)}",
            )
        )
    bars.append(Bar(name="Likely", amount=first.likely_day_usd, step=Step.SCENARIO))
    charts.draw(cascade(bars, palette()), "plan-bridge", alt="From the planned to the likely cost of a day, by factor")
    said = f"{text.label(first.name)}, dollars a day; each factor at its likely value, after those above it."
    if asked.is_story and (days := first.days_to(STORY_USD)):
        said += f" {_usd(STORY_USD)}, as in the story, after {days:,.0f} days."
    st.caption(said)


def side_by_side(found: Estimated) -> None:
    able = [one for one in found.options if one.p50_usd_per_month is not None]
    if able:
        best = max(able, key=lambda one: one.cheapest_fraction)
        st.markdown(f"**{text.label(best.name)} is cheapest in {best.cheapest_fraction:.0%} of the draws**")
    whole = st.column_config.NumberColumn(format="%,.0f")
    share = st.column_config.NumberColumn(format="%.1f%%")
    st.dataframe(
        pd.DataFrame([_row(one) for one in found.options]),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config={
            **dict.fromkeys(("P50, USD a month", "P90", "P99", "Likely", "Replicas, P50", "P90 replicas"), whole),
            **dict.fromkeys(("Cheapest in", "Cannot run in", "Above budget"), share),
        },
        key="options",
        height="content",
    )
    st.caption(
        f"Tokens of a month, P50 and P90: input {_mtok(found.p50_input_tokens)} and {_mtok(found.p90_input_tokens)}, "
        f"of it cached {_mtok(found.p50_cached_tokens)} and {_mtok(found.p90_cached_tokens)}, output "
        f"{_mtok(found.p50_output_tokens)} and {_mtok(found.p90_output_tokens)}."
    )


def _mtok(tokens: float) -> str:
    return f"{tokens / MEGA:,.0f}M"


def _row(one: PricedOption) -> dict[str, Any]:
    return {
        "Bought as": text.plain(one.name),
        "Gate": text.UNKNOWN if one.gate is None else VERDICTS[one.gate.verdict][0],
        "P50, USD a month": one.p50_usd_per_month,
        "P90": one.p90_usd_per_month,
        "P99": one.p99_usd_per_month,
        "Likely": one.likely_usd_per_month,
        "Cheapest in": one.cheapest_fraction * PERCENT,
        "Above budget": None if one.gate is None else one.gate.exceeds_fraction * PERCENT,
        "Cannot run in": one.cannot_fraction * PERCENT,
        "Replicas, P50": one.p50_replicas_count,
        "P90 replicas": one.p90_replicas_count,
        "How": "by the token" if one.is_api else "own GPUs",
    }


def basis(found: Estimated, built: Estimator) -> str:
    """What it rests on, as small print."""
    assumed = sum(not one.is_known for one in built.factors.values())
    return (
        f"Nothing is measured: {assumed} factors are drawn from assumed ranges, independent of each other; the doubt "
        f"about prices and step times is not. A month of {found.days_count:.4g} days, prices in force on "
        f"{text.day_of(built.as_of)}; own GPUs by the engine model, whole replicas at the peak hour."
    )
