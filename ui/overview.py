"""The overview's charts, exports and small print. Amounts are Decimal until they are text or a point of a chart."""

from decimal import Decimal

import streamlit as st

from costlib.allocation import share_of
from costlib.estimate import Undefined
from costlib.review import OutlookLine, Review
from pack.csv import csv
from pack.files import TYPES
from pack.xlsx import xlsx
from ui import charts, data, text
from ui.money_charts import amount_text, cumulative
from ui.overview_data import View, totals
from ui.overview_words import NO_DAY, day_of, month_name, month_of, no_budget, range_of
from ui.review_charts import daily_of
from ui.theme import palette


def landing(view: View) -> None:
    """Where the month lands: the title says it, the chart shows how."""
    of = view.review
    line = of.outlook.in_all if of.outlook else None
    month = month_of(of)
    if of.outlook is None or line is None or isinstance(line.p50, Undefined):
        why = line.p50.reason if line and isinstance(line.p50, Undefined) else NO_DAY
        st.markdown(f"**No forecast of {month}** {text.label(why)}")
    else:
        is_over = all(day.actual is not None for day in of.outlook.path)
        verb = "ended" if is_over else "lands"
        found = (
            f"**{month} {verb} {_against(line.p50 - line.budget, of.currency)}**"
            if line.budget is not None
            else f"**{month} {verb} at {text.dollars(amount_text(line.p50, of.currency))}**"
        )
        st.markdown(f"{found} cumulative spend{'' if is_over else ', actual and forecast'}")
    if of.outlook is None or not of.outlook.path:
        return
    figure = cumulative(of.outlook.path, line.budget if line else None, palette(), of.currency)
    charts.draw(figure, "landing", alt="Cumulative spend of the month, its forecast and its budget")
    st.caption(_chance(line, of.currency) if line else "")


def _against(over: Decimal, currency: str) -> str:
    amount = text.dollars(amount_text(abs(over), currency))
    return f"{amount} over budget" if over > 0 else f"{amount} under budget" if over else "on budget"


def _chance(line: OutlookLine, currency: str) -> str:
    if line.budget is None:
        return text.sentence(no_budget(line))
    said = f"Budget {text.money(line.budget, currency)}."
    chance = line.breach_probability
    if isinstance(chance, float):
        said += f" {chance:.0%}" if 0.01 <= chance <= 0.99 else " Less than 1%" if chance < 0.01 else " More than 99%"
        said += " likely to end over it" + (f", first on {day_of(line.breach_on)}." if line.breach_on else ".")
    return text.dollars(f"{said} {range_of(line, currency)}")


def daily(view: View) -> None:
    """Each day's spend by product; what stands out has a dot."""
    of = view.review
    if not of.daily:
        st.markdown("**Daily spend is not known** on this basis: some charge has no such cost by day")
        return
    named = sorted((one for one in of.movers if one.product), key=lambda one: (-one.cost, one.product))
    if named:
        share = text.percent(share_of(named[0].cost, of.total))
        st.markdown(f"**{text.label(named[0].product)} is {share} of spend** daily, by product")
    else:
        st.markdown("**Nothing belongs to a product yet** daily spend")
    figure = daily_of(of, palette())
    charts.draw(figure, "daily-spend-bars", alt="Daily spend by product, stacked")


def problems(view: View) -> None:
    """Files that cannot be used: the figures that need them are not known."""
    for problem in view.review.problems:
        st.warning(text.label(problem, text.A_PARAGRAPH), icon=":material/report:")


def hint(view: View) -> None:
    """What to do when no charge belongs to a product."""
    if not any(one.product for one in view.review.movers):
        st.info(
            "No charge of this period belongs to a deployment yet. Tag billed resources with `deployment` = the "
            "deployment's key in scenario.toml, and give its server the same key: "
            "`--metrics-url KEY=http://host:8000/metrics`. owners.toml can say the rest.",
            icon=":material/link_off:",
        )


def exports(view: View) -> None:
    """The rows and a workbook of this period, made when they are asked for."""
    of = view.review
    stem = f"overview-{of.period.start}-to-{of.period.last_day}"
    with st.popover("Export", icon=":material/download:", key="export"):
        for kind, write in (("csv", csv), ("xlsx", xlsx)):
            st.download_button(
                f"{stem}.{kind}", lambda write=write: write(of, None), f"{stem}.{kind}", TYPES[kind],
                key=f"get-{kind}", width="stretch", on_click="ignore",
            )  # fmt: skip


def footnote(found: data.Snapshot, view: View) -> list[str]:
    """What the figures are of, what is left out, and what they rest on."""
    of, asked = view.review, view.asked
    spent = "Effective (amortised)" if of.basis.value == "effective" else "Billed (invoiced)"
    said = [
        f"{spent} cost in {text.plain(of.currency)}, {of.period.name}, by the UTC day that a charge is for: "
        f"{text.cents(of.total, of.currency)}.",
        _left_out(view),
    ]
    others = {code: cost for code, cost in totals(found, of.period, asked.basis).items() if code != of.currency}
    if others:
        amounts = ", ".join(text.cents(cost, code) for code, cost in sorted(others.items()))
        said.append(f"Also charged, and never added: {amounts}.")
    said += [_ties(view), _budget(of)]
    if of.outlook and of.outlook.method:
        said.append(f"Forecast: {of.outlook.method[:1].lower()}{of.outlook.method[1:].rstrip('.')}.")
    return [text.label(line, text.A_PARAGRAPH) for line in said if line]


def _left_out(view: View) -> str:
    of, until = view.review, view.asked.until
    said = []
    if of.period.end == until and data.now().date() >= until:
        said.append(f"{day_of(until)} is not charged whole and left out.")
    if of.before is None:
        said.append("There are no whole days before to compare with.")
    charged = {day.on for day in of.daily}
    missing = [day.on for day in view.days if day.on not in charged] if of.daily else []
    if missing:
        named = ", ".join(day_of(on) for on in missing[:5]) + (" and more" if len(missing) > 5 else "")
        said.append(f"Nothing was charged on {len(missing)} of {of.period.days_count} days: {named}.")
    return " ".join(said)


def _ties(view: View) -> str:
    if not view.invoices:
        return "No billing month is over yet, so there is no invoice to tie to."
    newest = view.invoices[-1]
    month, matched = month_name(newest.month), newest.matched_fraction
    if isinstance(matched, Undefined):
        return f"No invoice total of {month} was entered; Reconciliation is where to enter it."
    off = "to the cent" if not newest.open_count else f"within {1 - matched:.2%}, {newest.open_count} open"
    missing = f"; {newest.without_invoice_count} accounts without an invoice" if newest.without_invoice_count else ""
    return f"Billed charges of {month} tie to the invoice {off}{missing}: see Reconciliation."


def _budget(of: Review) -> str:
    line = of.outlook.in_all if of.outlook else None
    if line is None or line.budget is None:
        return "" if of.problems else f"No budget for {month_of(of)}."
    return f"Budget of {month_of(of)}, from budgets.toml: {text.cents(line.budget, of.currency)}."
