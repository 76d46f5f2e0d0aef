"""The Buying section of Capacity: how much to commit to, for how long, beside rules of thumb and what is owned."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from costlib.demand_curve import MOST_GPUS_COUNT
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.gpu_pool import Bought, Pool, Terms, bought, owned_gpus_count
from costlib.purchase_mix import Choice, Mix, PurchasePlan
from costlib.purchase_terms import Offer
from ui import capacity, capacity_charts, cards, charts, data, text
from ui.capacity import View
from ui.choices import picked
from ui.text import PERCENT
from ui.theme import palette

BOX = 170
RULES = {"70/30 rule": "70 %", "P50 rule": "median", "The peak": "the peak"}
ASSUMED_YEARS = (1.0, 3.0)


def section(shown: View) -> str:
    """Draw it; returns its line of small print."""
    row = st.container(horizontal=True, vertical_alignment="bottom", key="buying-controls")
    with row:
        pool = capacity.pool_of(shown)
        terms = _terms()
    found, problem = _solved(f"{shown.key} {pool.gpu_key} {terms!r}", pool, shown.today, terms)
    if found is None:
        st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
        return ""
    plan, hours = found.plan, shown.today.scenario.hours_per_month
    if plan.short_hours:
        st.warning(
            f"Demand is above all that can be had in {plan.short_hours:,} hours of the term. They are priced as if "
            "they could be bought.",
            icon=":material/production_quantity_limits:",
        )
    with row:  # what is offered is known only now
        choice = _choice(plan)
    owned = owned_gpus_count(shown.today.scenario, pool.gpu_key, found.curve.start)
    _figures(choice, plan, pool, owned, hours)
    with st.container(border=True, key="levels-card"):
        st.markdown(_title(choice, plan, shown.gpu_name(pool.gpu_key), hours))
        _chart(choice, plan, owned)
        _door(choice, found, shown.today)
    with st.container(border=True, key="mixes-card"):
        _table(choice, plan, hours)
    capacity.notes(plan.notes)
    ahead = capacity.basis_words(found.curve.basis) if capacity.has_hours(pool.members) else "assumed to be alike"
    return (
        f"{capacity.whose_hours(pool.members)} The term to come is {ahead}; on "
        f"demand at {text.dollars(text.money(found.market.usd_per_gpu_hour))} a GPU-hour, offers "
        f"{capacity.basis_words(choice.offer.basis)}. Regret: what the level costs above the best one, were the load "
        "30 % less or more."
    )


def _terms() -> Terms:
    """What the controls say; what they leave out is listed, measured or assumed."""
    with st.popover("Terms", icon=":material/tune:", key="buying-terms"):
        st.caption("Left empty: listed by the provider, measured, or assumed.")
        prices = [
            _optional(f"Reserved {years:g} year{'s' * (years > 1)}, USD per GPU-hour", f"reserved{years:g}", 0.05)
            for years in ASSUMED_YEARS
        ]
        growth = _optional("Growth, % a week", "growth", 0.1, low=-50.0, high=100.0)
        most = _optional("GPUs to be had on demand", "most", 1.0)
    with st.popover("Spot", icon=":material/bolt:", key="buying-spot"):
        share = st.slider(
            "May be interrupted", 0, 100, 0, 5, format="%d%% of the need", key="spot", bind="query-params",
            help="The share of the load that can run on GPUs which are taken away at short notice.",
        )  # fmt: skip
        spot = _optional("Spot, USD per GPU-hour", "spotprice", 0.05)
        uptime = _optional("Hours between interruptions", "uptime", 1.0, low=0.1, high=10_000.0)
    offers = tuple(
        Offer(label=f"reserved, {years:g} year{'s' * (years > 1)}", usd_per_gpu_hour=price, years_ratio=years)
        for years, price in zip(ASSUMED_YEARS, prices, strict=True)
        if price is not None
    )
    terms = Terms(
        offers=offers,
        growth_ratio=None if growth is None else 1 + growth / PERCENT,
        spot_share_fraction=share / PERCENT,
        spot_usd_per_gpu_hour=spot,
        most_gpus_count=MOST_GPUS_COUNT if most is None else int(most),
    )
    return terms if uptime is None else replace(terms, spot_uptime_hours=uptime)


def _optional(label: str, key: str, step: float, low: float = 0.0, high: float = 100_000.0) -> float | None:
    return st.number_input(
        label, low, high, None, step, key=key, bind="query-params", placeholder="as known", format="%g", width=260
    )


def _solved(key: str, pool: Pool, today: data.Today, terms: Terms) -> tuple[Bought | None, str]:
    try:
        return _bought(key, pool, today, terms), ""
    except PermillionError as error:
        return None, str(error)


@st.cache_resource(max_entries=32, show_spinner="Pricing every level of commitment…")
def _bought(key: str, _pool: Pool, _today: data.Today, _terms: Terms) -> Bought:
    return bought(_pool, _today.scenario, _today.catalog, _terms)


def _choice(plan: PurchasePlan) -> Choice:
    by_label = {choice.offer.label: choice for choice in plan.choices}
    return by_label[picked("Term", list(by_label), "offer")]


def _figures(choice: Choice, plan: PurchasePlan, pool: Pool, owned: float, hours: float) -> None:
    best, all_hourly = choice.best, _on_demand(choice)
    saved = (all_hourly.usd_per_hour - best.usd_per_hour) * hours
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.noted("Commit to", f"{best.gpus_count:,} GPUs", None, f"beside {owned:,.0f} owned" if owned else
                    f"of {pool.curve.peak_gpus_count:,} at the peak")  # fmt: skip
        cards.noted("Spend per month", text.money(best.usd_per_hour * hours), None,
                    _beside(plan, hours) if owned else "all of the pool",
                    help="Commitment, spot and on demand; what is owned already is paid beside it.")  # fmt: skip
        cards.changed("Against all on demand", text.percent(-best.saved_fraction or 0.0, 1),
                      text.change(-round(saved) + 0, text.money(-round(saved) + 0)), "a month")  # fmt: skip
        cards.noted("Coverage", _share(best.coverage_fraction), None, "of the need is committed",
                    help="GPU-hours that commitments and what is owned meet, of all that are needed.")  # fmt: skip
        cards.noted("Utilisation", _share(best.utilisation_fraction), None, "of the commitment is used")
        cards.noted("Regret at ±30%", f"{text.percent(best.regret_low_fraction, 1)}, "
                    f"{text.percent(best.regret_high_fraction, 1)}", None, "of the bill")  # fmt: skip


def _beside(plan: PurchasePlan, hours: float) -> str:
    return f"and {text.money(plan.owned_usd_per_hour * hours)} owned"


def _share(value: float | Undefined) -> str:
    return text.UNKNOWN if isinstance(value, Undefined) else text.percent(value)


def _on_demand(choice: Choice) -> Mix:
    return next(mix for mix in choice.rules if not mix.gpus_count and "on demand" in mix.label)


def _title(choice: Choice, plan: PurchasePlan, name: str, hours: float) -> str:
    best = choice.best
    if not best.gpus_count or best.saved_fraction <= 0:
        return f"**No commitment pays at {_usd(choice.offer.usd_per_gpu_hour)} a GPU-hour**"
    saved = (_on_demand(choice).usd_per_hour - best.usd_per_hour) * hours
    closed = ""
    if not isinstance(choice.quantile_fraction, Undefined) and isinstance(plan.spot_usd_per_gpu_hour, Undefined):
        closed = f", needed in more than {1 - choice.quantile_fraction:.0%} of hours"
    return (
        f"**{best.gpus_count:,} {text.label(name)} committed saves {text.dollars(text.short_money(saved))} a month**"
        f"{closed}"
    )


def _usd(value: float) -> str:
    return text.dollars(text.money(value))


def _chart(choice: Choice, plan: PurchasePlan, owned: float) -> None:
    def bills(of: Choice) -> list[float]:
        return [round(float(usd), 4) for usd in of.level_usd_per_hour]

    drawn = capacity_charts.Bill(
        name=choice.offer.label,
        usd_per_hour=bills(choice),
        best=(choice.best.gpus_count, choice.best.usd_per_hour),
        rules=[(name, mix.gpus_count, mix.usd_per_hour) for name, mix in _rules(choice).items()],
    )
    others = {one.offer.label: bills(one) for one in plan.choices if one is not choice}
    charts.draw(
        capacity_charts.levels(drawn, others, owned, palette()), "levels",
        alt="USD an hour by how many GPUs are committed to, with the optimum and rules of thumb",
    )  # fmt: skip
    at = _usd(choice.offer.usd_per_gpu_hour)
    st.caption(f"USD an hour of the whole pool, {text.label(choice.offer.label)} at {at} a GPU-hour.")


def _rules(choice: Choice) -> dict[str, Mix]:
    return {
        name: mix for name, word in RULES.items() for mix in choice.rules if mix.label.startswith((word, f"the {word}"))
    }


def _table(choice: Choice, plan: PurchasePlan, hours: float) -> None:
    st.markdown(f"**{_worst_rule(choice, hours)}**")
    rows = [
        _row("Optimum", choice.best, hours),
        *(_row(mix.label[:1].upper() + mix.label[1:], mix, hours) for mix in choice.rules),
    ]
    if plan.spot_usd_per_gpu_hour and not isinstance(plan.spot_usd_per_gpu_hour, Undefined):
        spot = _usd(plan.spot_usd_per_gpu_hour)
        st.caption(f"An hour of work on spot costs {spot}, with what is done again.")
    money = st.column_config.NumberColumn(format="%,.0f")
    share = st.column_config.NumberColumn(format="%.1f%%")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder=text.UNKNOWN,
        column_config={
            "USD per month": money,
            "USD per GPU-hour": st.column_config.NumberColumn(format="%,.2f"),
            **dict.fromkeys(("Saved", "Coverage", "Utilisation", "Regret at 70%", "Regret at 130%"), share),
            **dict.fromkeys(("On demand, GPU-h a month", "Spot, GPU-h a month"), money),
        },
        key="purchase-mixes",
    )


def _worst_rule(choice: Choice, hours: float) -> str:
    rules = _rules(choice)
    known = {name: mix.usd_per_hour for name, mix in rules.items() if name in ("70/30 rule", "P50 rule")}
    if not known:
        return "Levels of commitment beside each other"
    name = max(known, key=known.__getitem__)
    beyond = (known[name] - choice.best.usd_per_hour) * hours
    if round(beyond) <= 0:
        return "The rules of thumb are as good as the optimum here"
    return f"The {name} would cost {text.dollars(text.short_money(beyond))} a month more than the optimum"


def _row(name: str, mix: Mix, hours: float) -> dict[str, object]:
    def percent(value: float | Undefined) -> float | None:
        return None if isinstance(value, Undefined) else value * PERCENT

    return {
        "Level": name,
        "GPUs": mix.gpus_count,
        "USD per month": mix.usd_per_hour * hours,
        "Saved": percent(mix.saved_fraction),
        "Coverage": percent(mix.coverage_fraction),
        "Utilisation": percent(mix.utilisation_fraction),
        "Regret at 70%": percent(mix.regret_low_fraction),
        "Regret at 130%": percent(mix.regret_high_fraction),
        "USD per GPU-hour": None if isinstance(mix.mean_usd_per_gpu_hour, Undefined) else mix.mean_usd_per_gpu_hour,
    }


def _door(choice: Choice, found: Bought, today: data.Today) -> None:
    """To the lever, with what the optimum covers beyond what is owned, at its discount; all of it used there."""
    best, on_demand = choice.best, found.market.usd_per_gpu_hour
    covered, owned = best.coverage_fraction, _on_demand(choice).coverage_fraction
    if not best.gpus_count or isinstance(covered, Undefined) or isinstance(owned, Undefined):
        return
    values = {
        "enabled": True,
        "reserved_fraction": round((covered - owned) * 20) / 20,
        "reserved_discount_fraction": max(0.0, round(1 - choice.offer.usd_per_gpu_hour / on_demand, 2)),
    }
    capacity.door("Try this mix in What-if", {"purchase_mix": values}, today)
