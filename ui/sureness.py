"""How sure a what-if is: its range with every guess drawn, what drives it, and what is proven of it."""

from collections.abc import Mapping

import streamlit as st

from costlib.compare import Comparison
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.lever import Values
from costlib.levers import lever as lever_of
from costlib.realisation import learnt_sentence
from costlib.saving import Learnt
from costlib.uncertainty import Spread, Uncertainty, uncertainty
from costlib.units import KILO
from ui import charts, data, text
from ui.scenario_charts import tornado
from ui.theme import palette

MOST_DRIVERS = 7


def of(today: data.Today, settings: Mapping[str, Values], comparison: Comparison) -> Uncertainty | None:
    """None where today alone is shown because the levers cannot run together."""
    learnt = data.learnt(today)
    return _drawn(data.key_of(today), f"{settings!r} {learnt!r}", today, settings, comparison, learnt)


@st.cache_resource(max_entries=64, show_spinner=False)
def _drawn(
    key_of_today: str,
    asked: str,
    _today: data.Today,
    _settings: Mapping[str, Values],
    _comparison: Comparison,
    _learnt: Mapping[str, Learnt],
) -> Uncertainty | None:
    try:
        return uncertainty(_today.scenario, _settings, _comparison, _today.catalog, learnt=_learnt)
    except PermillionError:
        return None


def panel(comparison: Comparison, sure: Uncertainty) -> None:
    """The tornado under a sentence that says how likely the saving is."""
    st.markdown(_title(comparison, sure))
    for one in sure.learnt:
        st.caption(learnt_sentence(one))
    middle = comparison.scenario.usd_per_month.mid
    if sure.drivers:
        rows = [
            (driver.name, driver.low, driver.high, driver.low_usd_per_month, driver.high_usd_per_month)
            for driver in sure.drivers[:MOST_DRIVERS]
        ]
        charts.draw(tornado(rows, middle, palette()), "tornado", alt="What the scenario's spend hangs on most")
    more = len(sure.drivers) - MOST_DRIVERS
    others = f" {more} smaller ones are not drawn." if more > 0 else ""
    st.caption(
        f"Each bar: this one unknown at its P10 and P90, the others in the middle.{others} The range draws all of them "
        f"{sure.draws_count} times, for today and the scenario alike. {_parts(comparison)}"
    )


def _title(comparison: Comparison, sure: Uncertainty) -> str:
    if not comparison.changes:
        known = text.dollars(p10_to_p90(sure.scenario))
        return f"**Today's spend is known to within {known}** a month, 80 % of the time"
    rises = sure.rises_fraction
    if isinstance(rises, Undefined):
        return f"**How sure this is cannot be told** {text.label(rises.reason)}"
    chance = "below 1 %" if rises < 0.01 else f"{rises:.0%}"
    saved = text.dollars(p10_to_p90(sure.saved))
    return f"**Saves {saved} a month** in 80 % of draws; chance that the bill rises: {chance}"


def p10_to_p90(of: Spread) -> str:
    return f"{text.short_money(of.p10_usd_per_month)} to {text.short_money(of.p90_usd_per_month)}"


def _parts(comparison: Comparison) -> str:
    """The naive product beside the joint answer, and what is unproven."""
    found = []
    if len(comparison.changes) > 1:
        found.append(
            f"Multiplying each lever's own percentage would promise {comparison.naive_saving_fraction:.0%}; solved "
            f"together they save {comparison.saved_fraction:.0%} of the bill."
        )
    if comparison.unproven:
        names = ", ".join(lever_of(key).label for key in comparison.unproven)
        amount = text.short_money(comparison.unproven_usd_per_month)
        found.append(text.dollars(f"Unproven until evaluated: {amount} a month by {names}."))
    elif comparison.evaluations and not isinstance(comparison.accepted_fraction, Undefined):
        accepted = comparison.usd_per_accepted_answer
        price = "" if isinstance(accepted, Undefined) else f", at {text.unit_cost(accepted * KILO)} per 1,000 of them"
        found.append(
            f"At least {comparison.accepted_fraction:.1%} of answers are still accepted, by your evaluations"
            f"{text.dollars(price)}."
        )
    return " ".join(found)
