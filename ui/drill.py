"""What changed, product by product, and a way down from each to the machines that it ran on; kept in the address."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from costlib.allocation import share_of, usd_per_mtok_of
from costlib.billing import exact_sum
from costlib.drill import LEVELS, DrillRow, walk
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.review import Mover, Review
from pack.tables import NO_PRODUCT
from ui import data, text
from ui.overview_data import View, parts
from ui.text import PERCENT

MOST_ROWS = 50  # of a table; the smaller ones are added up below it
NOBODY = "-"  # in the address: of no product
_TITLES = {"product": "Product", "model": "Model or purpose", "pool": "Pool", "replica": "Replica"}
_MONEY = st.column_config.NumberColumn(format="%,.2f")
_CHANGE = st.column_config.NumberColumn(format="%+,.2f")


def changes(found: data.Snapshot, view: View) -> None:
    """The table of products, or the level below the one that was chosen."""
    of = view.review
    path = _asked(of)
    st.markdown("**What changed** choose a row to see what it consists of")
    if not path:
        _products(of)
        return
    mover = next(one for one in of.movers if one.product == path[0])
    try:
        now = parts(found, of, of.period)
        before = parts(found, of, of.before) if of.before else None
    except PermillionError as error:
        _breadcrumbs(path[:1])
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
        return
    gone, rows = walk(now, before, path, mover.cost, mover.before)
    _breadcrumbs(gone)
    _level(of, gone, rows)


# The address ----------------------------------------------------------------------------------------------------------


def _asked(of: Review) -> tuple[str, ...]:
    """The path in the address, as far as it begins with a product that there is."""
    names = [st.query_params.get(level, "") for level in LEVELS[:-1]]
    product = "" if names[0] == NOBODY else names[0]
    if not names[0] or not any(one.product == product for one in of.movers):
        return ()
    further = names[1:] if names[1] else []
    return (product, *(name for name in further if name))


def _go(path: Sequence[str]) -> None:
    for level, name in zip(LEVELS, [*path, *[""] * len(LEVELS)], strict=False):
        if name or (level == "product" and path):
            st.query_params[level] = name or NOBODY
        elif level in st.query_params:
            del st.query_params[level]


def _chosen(key: str, path: Sequence[str], names: Sequence[str]) -> None:
    """Goes one level down from a row that was chosen; the row of those added up leads nowhere."""
    rows = st.session_state[key]["selection"]["rows"]
    if rows and rows[0] < len(names):
        _go((*path, names[rows[0]]))


def _breadcrumbs(path: Sequence[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="breadcrumbs"):
        st.button(
            "All products", icon=":material/arrow_back:", type="tertiary", key="crumb-0", on_click=_go, args=((),)
        )
        for n, name in enumerate(path):
            st.markdown("›", width="content")
            shown = text.label(name or NO_PRODUCT)
            if n + 1 == len(path):
                st.markdown(f"**{shown}**", width="content")
            else:
                st.button(shown, type="tertiary", key=f"crumb-{n + 1}", on_click=_go, args=(tuple(path[: n + 1]),))


# The tables -----------------------------------------------------------------------------------------------------------


def _products(of: Review) -> None:
    has_budgets = any(one.of_budget is not None for one in of.movers)
    frame = pd.DataFrame(product_rows(of))
    column = st.column_config
    # Without a period before, or a budget, these columns would be empty.
    dropped = [] if of.before else ["Change", "Change %", "From volume", "From unit cost", "From mix"]
    dropped += [] if has_budgets else ["Of budget"]
    key = "by-product"
    st.dataframe(
        frame.drop(columns=dropped),
        hide_index=True,
        key=key,
        on_select=partial(_chosen, key, (), [one.product for one in of.movers[:MOST_ROWS]]),
        selection_mode="single-row",
        placeholder="",
        column_config={
            "Daily": column.AreaChartColumn(),
            "Spend": column.NumberColumn(f"Spend, {text.plain(of.currency)}", format="%,.2f"),
            **dict.fromkeys(("Change", "From volume", "From unit cost", "From mix"), _CHANGE),
            "Change %": column.NumberColumn(format="%+.1f%%"),
            "Per 1M tokens": column.NumberColumn(format=_unit(of)),
            "Of budget": column.ProgressColumn(
                format="%.0f%%", min_value=0, max_value=PERCENT, help="Of the budget of these days."
            ),
        },
        alt="What each product cost, and why that changed",
    )
    _sum(of.total, of.currency, "The rows add up to the spend")


def product_rows(of: Review) -> list[dict[str, Any]]:
    """A row for each of the products that changed most, and one for all others: together they make the spend."""
    few, many = of.movers[:MOST_ROWS], of.movers[MOST_ROWS:]
    by_product = _by_product(of)
    rows = [_product_row(one, by_product.get(one.product, [])) for one in few]
    return [*rows, _others_row(of, many)] if many else rows


def _product_row(one: Mover, by_day: list[float]) -> dict[str, Any]:
    return {
        "Product": text.plain(one.product or NO_PRODUCT),
        "Daily": by_day,
        "Spend": float(one.cost),
        "Change": _float(one.change),
        "Change %": _percent(one.change, one.before),
        "From volume": _float(one.from_volume),
        "From unit cost": _float(one.from_unit_cost),
        "From mix": _float(one.from_mix),
        "Per 1M tokens": None if isinstance(one.per_mtok, Undefined) else float(one.per_mtok),
        "Of budget": None if one.of_budget is None else one.of_budget * PERCENT,
    }


def _others_row(of: Review, many: Sequence[Mover]) -> dict[str, Any]:
    def added(name: str) -> Decimal | None:
        known = [getattr(one, name) for one in many]
        return None if None in known else exact_sum(known)

    change = added("change")
    names = {one.product for one in many}
    return {
        "Product": f"{len(many)} others",
        "Daily": [float(exact_sum(part for name, part in day.by_product.items() if name in names)) for day in of.daily],
        "Spend": float(exact_sum(one.cost for one in many)),
        "Change": _float(change),
        "Change %": _percent(change, added("before")),
        **{title: _float(added(name)) for title, name in (
            ("From volume", "from_volume"), ("From unit cost", "from_unit_cost"), ("From mix", "from_mix"))},
        "Per 1M tokens": None,
        "Of budget": None,
    }  # fmt: skip


def _level(of: Review, path: tuple[str, ...], rows: Sequence[DrillRow]) -> None:
    level = LEVELS[len(path)]
    total = exact_sum(row.cost for row in rows)
    few, many = rows[:MOST_ROWS], rows[MOST_ROWS:]
    tokens = _tokens_of(of, path[0]) if level == "model" else {}
    shown = [_level_row(row, level, total, tokens) for row in few]
    if many:
        rest = DrillRow(name=f"{len(many)} others", cost=exact_sum(row.cost for row in many), is_leaf=True)
        shown.append(_level_row(rest, level, total, {}))
    frame = pd.DataFrame(shown)
    frame = frame.drop(columns=[name for name in frame.columns[1:] if frame[name].isna().all()])
    column = st.column_config
    key = f"drill-{level}-{'/'.join(path)}"
    is_leaf = all(row.is_leaf for row in rows)
    st.dataframe(
        frame,
        hide_index=True,
        key=key,
        on_select="ignore" if is_leaf else partial(_chosen, key, path, [row.name for row in few]),
        selection_mode="single-row",
        placeholder="",
        column_config={
            "Spend": column.NumberColumn(f"Spend, {text.plain(of.currency)}", format="%,.2f"),
            "Share": column.ProgressColumn(format="%.0f%%", min_value=0, max_value=PERCENT),
            "Change": _CHANGE,
            "Change %": column.NumberColumn(format="%+.1f%%"),
            "Per 1M tokens": column.NumberColumn(format=_unit(of)),
            "GPU-hours": column.NumberColumn(format="%,.0f"),
            "Per GPU-hour": column.NumberColumn(format=_unit(of)),
        },
        alt=f"The cost by {level}",
    )
    above = text.label(path[-1] or NO_PRODUCT)
    _sum(total, of.currency, f"The rows add up to what {above} cost")


def _level_row(row: DrillRow, level: str, total: Decimal, tokens: Mapping[str, int]) -> dict[str, Any]:
    share = share_of(row.cost, total)
    per_mtok = usd_per_mtok_of(row.cost, tokens.get(row.name))
    return {
        _TITLES[level]: text.plain(row.name),
        "Spend": float(row.cost),
        "Share": None if isinstance(share, Undefined) else share * PERCENT,
        "Change": _float(row.change),
        "Change %": _percent(row.change, row.before),
        "Per 1M tokens": None if isinstance(per_mtok, Undefined) else float(per_mtok),
        "GPU-hours": _float(row.gpu_hours),
        "Per GPU-hour": _float(row.per_gpu_hour),
    }


def _tokens_of(of: Review, product: str) -> dict[str, int]:
    """The tokens of each model of a product; only of those that are counted."""
    found: dict[str, int] = {}
    for row in of.details:
        if row.product == product and row.model and row.tokens is not None:
            found[row.model] = found.get(row.model, 0) + row.tokens
    return found


def _by_product(of: Review) -> dict[str, list[float]]:
    names = {name for day in of.daily for name in day.by_product}
    return {name: [float(day.by_product.get(name, 0)) for day in of.daily] for name in names}


def _sum(total: Decimal, currency: str, words: str) -> None:
    st.caption(f"{words}: {text.dollars(text.cents(total, currency))}.")


def _unit(of: Review) -> str:
    return "$%.3f" if of.currency == "USD" else "%.3f"


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _percent(change: Decimal | None, before: Decimal | None) -> float | None:
    """None where there was nothing before, or less than nothing: no percentage tells anything then."""
    return None if change is None or before is None or before <= 0 else float(change / before) * PERCENT
