"""The sections of the weekly review that only show: figures, reasons, days, products, the month, waste, invoices."""

from decimal import Decimal

import streamlit as st

from costlib.estimate import Undefined
from costlib.review import Review
from pack.agenda_tables import anomaly_table, indicator_table, outlook_table, reconciliation_table, waste_table
from pack.savings_tables import entry_table, savings_title
from pack.savings_tables import has_savings as has_savings  # for the page
from pack.style import Numbers, short_day
from pack.tables import Kind, product_table, shown, term_name
from pack.words import (
    daily_title,
    figure_change,
    figure_note,
    figure_text,
    headline,
    outlook_title,
    statements_title,
    warnings,
)
from ui import cards, charts, text
from ui.money_charts import Bar, Step, cascade, cumulative
from ui.review_charts import daily_of
from ui.theme import palette
from ui.weekly_tables import grid

EVERY = 100_000  # rows: the page scrolls
WHERE = {
    "/overview": "pages/overview.py",
    "/unit_cost": "pages/unit_cost.py",
    "/live": "pages/live.py",
    "/reconciliation": "pages/reconciliation.py",
}


def said(sentence: str) -> str:
    """A sentence of the pack as Markdown."""
    return text.label(sentence, text.A_PARAGRAPH)


def caveats(of: Review) -> None:
    """What keeps the figures from being all there is; that data are the sample's is said on top of the page."""
    for warning in warnings(of)[int(of.is_sample) :]:
        st.warning(said(warning), icon=":material/hourglass_top:")


def figures(of: Review, numbers: Numbers) -> None:
    st.markdown(f"**{said(headline(of, numbers))}**" + (f" {said(of.note)}" if of.note else ""))
    with st.grid(5, min_column_width=cards.WIDTH):
        for figure in of.figures:
            is_known = not isinstance(figure.value, Undefined)
            change, way = figure_change(figure, numbers)
            cards.changed(
                figure.name,
                figure_text(figure, numbers),
                change if way else 0 if change else None,
                (figure.note or "vs the week before") if is_known else "not known",
                help=None if is_known else said(figure_note(figure)),
                less_is_better=figure.is_less_better,
            )


def bridge(of: Review, numbers: Numbers) -> None:
    """What changed and why: bars that hang from one another, and a sentence each with where to look."""
    if of.bridge is None or of.before is None:
        st.markdown("**No period before** to compare with: this is the first week that was billed")
        return
    moved = of.bridge.after - of.bridge.before
    verb = "rose by" if moved > 0 else "fell by" if moved < 0 else "did not change:"
    st.markdown(f"**Spend {verb} {said(numbers.money(abs(moved)))}** against {of.before.name}")
    terms = [term for term in of.bridge.terms if term.amount]
    bars = [
        Bar(
            name=term_name(term.kind),
            amount=float(term.amount),
            step=Step.MORE if term.amount > 0 else Step.LESS,
            shown=numbers.change(term.amount),
        )
        for term in terms
    ]
    change = Bar(name="Change", amount=float(moved), step=Step.TOTAL, shown=numbers.change(moved))
    charts.draw(cascade([*bars, change], palette()), "bridge-bars", alt="The change in spend by reason")
    for n, term in enumerate(terms):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", key=f"term-{n}"):
            st.markdown(said(term.sentence), width="stretch")
            if page := WHERE.get(term.evidence):
                st.page_link(page, label="Look", icon=":material/arrow_outward:", width="content")
    st.caption("The reasons add up to the change, to the cent.")


def daily(of: Review, numbers: Numbers) -> None:
    if not of.daily:
        st.markdown("**The days of this week are not known** one by one")
        return
    st.markdown(f"**{said(daily_title(of, numbers))}** by day and product")
    figure = daily_of(of, palette())
    charts.draw(figure, "daily-bars", alt="Daily spend by product, stacked")
    if partial := [short_day(day.on) for day in of.daily if day.is_partial]:
        st.caption(f"Not billed whole: {', '.join(partial)}.")


def movers(of: Review, numbers: Numbers) -> None:
    order = "those that changed most first" if of.before else "those that cost most first"
    st.markdown(f"**{said(numbers.money(of.total))} by product** {order}")
    grid(product_table(of, EVERY), numbers, "movers")


def landing(of: Review, numbers: Numbers) -> None:
    """Where the month lands, with its range, beside what it may cost."""
    outlook = of.outlook
    whole = outlook.in_all if outlook else None
    if outlook is None or whole is None or isinstance(whole.p50, Undefined):
        why = whole.p50.reason if whole and isinstance(whole.p50, Undefined) else "nothing was billed"
        st.markdown(f"**No forecast of the month** {said(why)}")
        return
    lands = "" if whole.budget is None else f": {numbers.short(whole.p50)} of {numbers.short(whole.budget)}"
    st.markdown(f"**{said(outlook_title(of, numbers))}**{said(lands)}")
    charts.draw(
        cumulative(outlook.path, whole.budget, palette(), of.currency),
        "landing",
        alt="Spend of the month, and forecast",
    )
    grid(outlook_table(of, EVERY), numbers, "outlook")


def waste(of: Review, numbers: Numbers) -> None:
    table = waste_table(of, EVERY)
    lost = table.total[1] if table.total else None
    share = table.total[2] if table.total else None
    if not isinstance(lost, Decimal):
        st.markdown("**No waste could be priced** for this period")
    else:
        part = f"{numbers.share(share)} of spend" if isinstance(share, float) else "nothing was spent"
        st.markdown(f"**{said(numbers.money(lost))} bought nothing** {part}")
    grid(table, numbers, "waste")


def remarks(of: Review, numbers: Numbers) -> None:
    """Days unlike the others, and risks."""
    table = anomaly_table(of, EVERY)
    count = len(table.rows)
    unusual = f"{count} times a product was unlike itself" if count != 1 else "Once a product was unlike itself"
    st.markdown(f"**{unusual}** by day, and why" if count else "**No day was unlike the others**")
    for day, what, impact, why in table.rows:
        cost = f" {said(shown(impact, Kind.CHANGE, numbers))}" if isinstance(impact, Decimal) else ""
        st.markdown(f"- **{said(f'{shown(day, Kind.DAY, numbers)}, {what}')}**{cost}: {said(str(why))}")
    for risk in of.risks:
        st.info(said(risk), icon=":material/flag:")


def statements(of: Review, numbers: Numbers) -> None:
    """The newest closed month beside its invoices."""
    st.markdown(
        f"**{said(statements_title(of, numbers))}** billed cost against invoice totals, whatever is shown above"
    )
    if of.statements:
        grid(reconciliation_table(of, EVERY), numbers, "statements")
        st.page_link(WHERE["/reconciliation"], label="Reconciliation", icon=":material/balance:")


def savings(of: Review, numbers: Numbers) -> None:
    """What changes promised, and what was measured of it."""
    assert of.savings is not None
    st.markdown(f"**{said(savings_title(of.savings, of.period.end, numbers))}** by change, as signed")
    for line in of.savings.broken:
        st.error(said(line), icon=":material/link_off:")
    grid(entry_table(of.savings, EVERY, numbers), numbers, "savings")
    st.page_link("pages/savings.py", label="Savings", icon=":material/savings:")


def indicators(of: Review, numbers: Numbers) -> None:
    """All of them by name, drawn when somebody opens them."""
    with st.expander("All indicators", icon=":material/format_list_numbered:", key="all", on_change="rerun") as opened:
        if opened.open:
            grid(indicator_table(of, numbers), numbers, "indicators")
