"""The parts of Unit cost: prices by token class, the bridge from list price to tokens, and how the split was made."""

from collections.abc import Mapping
from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.balance import spread_idle
from costlib.books import IdlePolicy, TokenClass, TrialBalance
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.token_split import SPLIT_BUCKETS, SplitMethod, best
from costlib.unit_cost import BridgeStep, Price, UnitCost, UnitCosts, bridge, class_bands, unit_costs
from store.books import Books
from ui import cards, charts, text
from ui.books import WORDS
from ui.money_charts import Bar, Step, cascade
from ui.theme import palette

RIGHT = st.column_config.TextColumn(alignment="right")
POLICIES = {
    IdlePolicy.OWN_LINE: "Idle apart",
    IdlePolicy.PROPORTIONAL: "Idle by busy cost",
    IdlePolicy.PEAK_SHARE: "Idle by peak hour",
    IdlePolicy.RESERVED_SHARE: "Idle by reservation",
}
CLASSES = {
    TokenClass.INPUT: "input",
    TokenClass.CACHED_INPUT: "cached input",
    TokenClass.OUTPUT: "output",
}
STEPS = {
    BridgeStep.NEGOTIATED_DISCOUNT: ("Negotiated discount", Step.LESS),
    BridgeStep.COMMITMENT_AND_SPOT: ("Commitments and spot", Step.LESS),
    BridgeStep.COMMITMENT_WASTE: ("Commitment waste", Step.PART),
    BridgeStep.NON_GPU: ("Not GPU", Step.PART),
    BridgeStep.IDLE: ("Idle", Step.PART),
    BridgeStep.WASTE: ("Work done twice", Step.PART),
    BridgeStep.INPUT: ("Input (prefill)", Step.TOKENS),
    BridgeStep.CACHED_INPUT: ("Cached input", Step.TOKENS),
    BridgeStep.OUTPUT: ("Output (decode)", Step.TOKENS),
}
METHODS = {
    SplitMethod.REGRESSION: "Measured regression",
    SplitMethod.ROOFLINE: "Roofline of the model",
    SplitMethod.COUNTERS: "Work counters",
    SplitMethod.SLOT_TIME: "Time in prefill and decode",
    SplitMethod.LIST_PRICE: "Price-list weights",
}


def costs(found: Books, balance: TrialBalance, policy: IdlePolicy) -> UnitCosts:
    return unit_costs(balance, found.requests, spread_idle(balance, policy, found.owners, found.servers))


def policy_choice() -> IdlePolicy:
    names = {str(policy): label for policy, label in POLICIES.items()}
    chosen = st.segmented_control(
        "Who is shown the cost of idling", list(names), default=str(IdlePolicy.OWN_LINE), required=True, key="idle",
        format_func=names.get, label_visibility="collapsed", bind="query-params",
    )  # fmt: skip
    return IdlePolicy(chosen)


def figures(found: UnitCosts, balance: TrialBalance) -> None:
    whole, bands = found.in_all, class_bands(balance)
    with st.grid(6, min_column_width=cards.WIDTH):
        for token_class, name in CLASSES.items():
            of_class = whole.classes[token_class]
            cards.noted(
                f"Per 1M {name}",
                unit(of_class.loaded_per_mtok),
                f"{unit(of_class.per_mtok)} own, {of_class.basis}",
                help="With its part of idle and everything else on the bill; and what its own GPU time cost."
                + _by_method(bands.get(token_class))
                + _why(of_class.loaded_per_mtok),
            )
        cards.noted(
            "Per 1,000 requests",
            text.money(_times(whole.per_request, 1000)),
            "finished",
            help="All cost over finished requests." + _why(whole.per_request),
        )
        cards.noted(
            "Tokens per dollar",
            text.UNKNOWN if isinstance(whole.tokens_per_unit, Undefined) else text.compact(whole.tokens_per_unit),
            "input + output",
            help="All tokens over all cost." + _why(whole.tokens_per_unit),
        )
        cards.noted(
            "Per GPU-hour",
            unit(found.per_gpu_hour),
            f"{unit(found.all_in_per_gpu_hour)} all in",
            help="GPU cost over billed GPU-hours; and with hosts, network, storage, support, tax and commitments."
            + _why(found.per_gpu_hour),
        )


def unit(price: Price) -> str:
    return text.UNKNOWN if isinstance(price, Undefined) else text.unit_cost(float(price))


def _by_method(band: tuple[Decimal, Decimal] | None) -> str:
    if band is None:
        return ""
    low, high = (text.unit_cost(float(edge)) for edge in band)
    return text.dollars(f" Between the ways of splitting GPU time, its own cost is {low} to {high}.")


def _times(price: Price, count: int) -> Price:
    return price if isinstance(price, Undefined) else price * count


def _why(price: Price) -> str:
    return f" Unknown: {text.label(price.reason)}." if isinstance(price, Undefined) else ""


def by_model(found: UnitCosts, currency: str) -> None:
    """One row per model and one for all, in `currency` per million tokens; each loaded price has its own beside it."""
    rows = [*found.by_model, found.in_all]
    shown = pd.DataFrame(
        {
            "Model": [text.plain(row.model_key) or "All, with what has no model" for row in rows],
            f"Cost, {currency}": [text.cents(row.cost, currency) for row in rows],
            "Tokens": [_tokens(row) for row in rows],
            **{f"1M {name}": [unit(row.classes[key].loaded_per_mtok) for row in rows] for key, name in CLASSES.items()},
            **{f"own {name}": [unit(row.classes[key].per_mtok) for row in rows] for key, name in CLASSES.items()},
            "1M blended": [unit(row.blended_per_mtok) for row in rows],
            "1,000 requests": [text.money(_times(row.per_request, 1000), currency) for row in rows],
        }
    )
    config = {name: RIGHT for name in shown.columns if name != "Model"}
    st.dataframe(shown, hide_index=True, key="unit-costs", height="content", column_config=config)


def _tokens(row: UnitCost) -> str:
    counts = [of_class.tokens for of_class in row.classes.values()]
    return text.UNKNOWN if None in counts else text.compact(sum(count or 0 for count in counts))


def bridge_chart(found: Books, balance: TrialBalance) -> None:
    """From the list price of what was used to the tokens it became."""
    try:
        made = bridge(balance, found.groups)
    except DomainError as error:
        st.caption(text.label(error, text.A_PARAGRAPH))
        return
    bars = [Bar(name="List price", amount=float(made.list_price), step=Step.TOTAL)]
    paid = Bar(name="Paid", amount=float(made.paid), step=Step.TOTAL)
    for key, (name, step) in STEPS.items():
        amount = made.steps[key]
        if key is BridgeStep.COMMITMENT_WASTE:
            bars.append(paid)
        if amount:
            bars.append(_bar(name, amount, step))
    st.markdown(f"**{_bridge_title(made.list_price, made.paid, made.steps)}**")
    charts.draw(cascade(bars, palette()), "price-bridge", alt="From list price to tokens")


def _bar(name: str, amount: Decimal, step: Step) -> Bar:
    """A part below zero, such as a credit, or a discount that is none, adds to what hangs below it."""
    size = float(amount)
    if size >= 0:
        return Bar(name=name, amount=size, step=step)
    return Bar(
        name=name, amount=-size, step=Step.MORE, shown=text.short_money(size if step is not Step.LESS else -size)
    )


def _bridge_title(listed: Decimal, paid: Decimal, steps: Mapping[BridgeStep, Decimal]) -> str:
    tokens = sum(steps[key] for key in (BridgeStep.INPUT, BridgeStep.CACHED_INPUT, BridgeStep.OUTPUT))
    saved = f"{text.percent(float(1 - paid / listed))} below list price; " if listed > 0 and paid < listed else ""
    became = f"{text.percent(float(tokens / paid))} of what was paid became tokens" if paid > 0 else "nothing was paid"
    return (saved + became).capitalize() if not saved else saved + became


def split_methods(found: Books) -> None:
    """How busy GPU time was divided into token classes, by every method, and which one was taken."""
    with st.expander(
        "How busy cost is split into tokens", icon=":material/call_split:", key="split", on_change="rerun"
    ) as opened:
        if not opened.open:
            return
        if not found.splits:
            st.info("No model was measured in this month, so nothing was split.")
            return
        rows = [(model, split) for model, tried in found.splits.items() for split in tried]
        taken = [best(tried) for tried in found.splits.values()]
        shown = pd.DataFrame(
            {
                "Model": [text.plain(model) for model, _ in rows],
                "Method": [METHODS[split.method] for _, split in rows],
                "Taken": ["yes" if split in taken and split.usable else "" for _, split in rows],
                **{
                    WORDS[bucket][0]: [text.percent(split.shares.get(bucket), 1) for _, split in rows]
                    for bucket in SPLIT_BUCKETS
                },
                "Known by": [str(split.basis) for _, split in rows],
                "Why": [text.plain(split.quality or split.reason, 300) for _, split in rows],
            }
        )
        config = {WORDS[bucket][0]: RIGHT for bucket in SPLIT_BUCKETS}
        st.dataframe(shown, hide_index=True, key="split-methods", column_config=config)
