"""The cards, titles and table of the overview. Amounts are Decimal until they are text."""

from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.allocation import share_of, usd_per_mtok_of
from costlib.estimate import Undefined
from costlib.units import TOKENS_PER_MTOK
from ui import cards, data, text
from ui.spend import REST, Spend
from ui.text import PERCENT

Amount = Decimal | Undefined


def figures(view: Spend, covered: data.SnapshotStatus) -> None:
    """Six cards: spend, unit cost, idle, not matched, tokens, how far the data reach."""
    now, before = view.now, view.before
    unit_now = usd_per_mtok_of(now.total, now.tokens)
    unit_before = usd_per_mtok_of(before.total, before.tokens) if before else Undefined(reason="no earlier period")
    moment = data.now()
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.changed(
            "Spend",
            text.money(now.total, view.currency),
            _percent_change(now.total, before.total if before else None),
            f"vs {len(view.days)} days before" if before else None,
            points=[sum(day) for day in zip(*view.by_day.values(), strict=True)],
        )
        cards.changed(
            "Cost per 1M tokens",
            text.unit_cost(_float(unit_now)),
            _percent_change(unit_now, unit_before),
            "input + output",
            help="All spend over all measured tokens, cached prompt tokens included.",
            points=view.unit_cost_by_day,
        )
        cards.noted(
            "Idle GPU cost",
            text.money(now.idle if now.is_measured else None, view.currency),
            f"{text.percent(share_of(now.idle, now.total))} of spend" if now.is_measured else "not measured",
            help="Cost of matched deployments times the share of observed time without a running request. Measured; "
            "headroom inside busy time is not in it (see What-if).",
            points=view.idle_by_day,
        )
        cards.noted(
            REST,
            text.money(now.unmatched, view.currency),
            f"{text.percent(share_of(now.unmatched, now.total), 1)} of spend",
            help="Charges whose `deployment` tag is missing or names no deployment.",
            points=view.by_day[REST],
        )
        cards.noted(
            "Tokens",
            text.UNKNOWN if now.tokens is None else text.compact(now.tokens),
            f"{text.percent(view.coverage_fraction)} covered" if now.is_measured else "not measured",
            help="Prompt and generated tokens of matched deployments, from counters; and the share of the period in "
            "which their servers were observed.",
            points=view.tokens_by_day,
        )
        cards.noted(
            "Billed to",
            text.last_day(covered.charges_to).removesuffix(f" {moment.year}"),
            f"metrics {text.age(covered.usage_to, moment)}",
            help="The last day with charges, and the newest measurement.",
        )


def _float(value: Amount) -> float | Undefined:
    return value if isinstance(value, Undefined) else float(value)


def _percent_change(now: Amount, before: Amount | None) -> str | int | None:
    if before is None or isinstance(before, Undefined) or isinstance(now, Undefined) or not before:
        return None
    ratio = float(now / before) - 1
    return text.change(round(ratio, 3), f"{ratio:.1%}")


def hint(view: Spend) -> None:
    """What to do when no charge can be joined with a server."""
    if not view.rows:
        st.info(
            "No charge of this period belongs to a deployment yet. Tag billed resources with `deployment` = the "
            "deployment's key in scenario.toml, and give its server the same key: `--metrics-url KEY=http://…`.",
            icon=":material/link_off:",
        )


def spend_title(view: Spend) -> str:
    """The largest product and its share, as a sentence."""
    if not view.rows:
        return "**Nothing is matched to a deployment** daily spend"
    first = view.rows[0]
    share = text.percent(share_of(first.use.cost, view.now.total))
    return f"**{text.label(first.name)} is {share} of spend** daily, by product"


def unit_cost_title(view: Spend) -> str:
    known = [value for value in view.unit_cost_by_day if value is not None]
    if not known:
        return "**No tokens were measured** in this period, so a million of them have no cost"
    low, high = (text.unit_cost(value).replace("$", "\\$") for value in (min(known), max(known)))
    return f"**{low} to {high} per 1M tokens** daily, input + output"


def has_unit_costs(view: Spend) -> bool:
    return any(value is not None for value in view.unit_cost_by_day)


def day_texts(view: Spend) -> list[str]:
    return [day.isoformat() for day in view.days]


def table(view: Spend) -> None:
    rows = [
        {
            "Product": text.plain(row.name),
            "Daily": list(row.daily),
            "Spend": float(row.use.cost),
            "Change": float(row.use.cost - row.cost_before) if view.before else None,
            "Tokens, M": None if row.use.tokens is None else row.use.tokens / TOKENS_PER_MTOK,
            "Per 1M tokens": None
            if isinstance(unit := usd_per_mtok_of(row.use.cost, row.use.tokens), Undefined)
            else float(unit),
            "Busy": None if not row.use.coverage_s else PERCENT * row.use.busy_s / row.use.coverage_s,
        }
        for row in view.rows
    ]
    rows.append({"Product": REST, "Daily": list(view.by_day[REST]), "Spend": float(view.now.unmatched)})
    column = st.column_config
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        key="by-product",
        placeholder="",
        column_config={
            "Daily": column.AreaChartColumn(y_min=0),
            "Spend": column.NumberColumn(f"Spend, {view.currency}", format="%,.2f"),
            "Change": column.NumberColumn("Change", format="%+,.2f"),
            "Tokens, M": column.NumberColumn(format="%,.0f"),
            "Per 1M tokens": column.NumberColumn(format="%.3f"),
            "Busy": column.ProgressColumn(format="%.0f%%", min_value=0, max_value=100),
        },
    )


def footnote(view: Spend, basis: str) -> str:
    """The sum that must tie, to the cent, and what is not in it."""
    cents = view.now.shown()
    total = text.cents(cents.pop("total"), view.currency)
    shown = {name: text.cents(amount, view.currency) for name, amount in cents.items() if amount}
    parts = [
        f"{basis.capitalize()} cost in {view.currency} by charge day (UTC), {text.day_of(view.days[0])} to "
        f"{text.day_of(view.days[-1])}: {' + '.join(f'{name} {amount}' for name, amount in shown.items())} = {total}."
    ]
    if view.outside:
        parts.append(f"Charges on days outside this period: {text.cents(view.outside, view.currency)}.")
    if view.other_currencies:
        amounts = ", ".join(text.cents(cost, code) for code, cost in view.other_currencies)
        parts.append(f"Also charged, and not added: {amounts}.")
    if view.missing_count:
        parts.append(f"{view.missing_count} charges have no {basis} cost and are not in these sums.")
    return text.dollars(" ".join(parts))
