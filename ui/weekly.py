"""The weekly review on a page: the same record as the pack, so that screen and files say the same to the cent."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pandas as pd
import streamlit as st

from costlib.books import CostBasis
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.review import Action, ActionState, Figure, FigureUnit, Outlook, Period, Review
from pack.files import TYPES, files, statement
from store.actions import mark, note
from store.home import Home
from store.reviews import review, weeks
from ui import cards, charts, data, text
from ui.money_charts import Bar, Step, cascade
from ui.text import PERCENT
from ui.theme import Palette, palette

REST = "Not allocated"
MONEY = st.column_config.NumberColumn(format="%,.2f")
CHANGE = st.column_config.NumberColumn(format="%+,.2f")


@st.cache_data(max_entries=8, show_spinner="Putting the week together…")
def _review(
    snapshot_id: str, period: Period, basis: str, files_at: tuple[int, ...], _found: data.Snapshot, _home: Home,
    _now: datetime,
) -> Review:  # fmt: skip
    return review(_found, _home, period, CostBasis(basis), _now)


@st.cache_data(max_entries=8, show_spinner=False)
def _periods(snapshot_id: str, _found: data.Snapshot) -> list[Period]:
    return weeks(_found)


def chosen(found: data.Snapshot) -> tuple[Period, str] | None:
    """The week and the basis a person chose, kept in the address; None when nothing was ever billed."""
    known = _periods(found.id, found)
    if not known:
        return None
    names = {str(period.start): period for period in known}
    whole = next((str(period.start) for period in known if not period.is_open), str(known[0].start))
    with st.container(horizontal=True, vertical_alignment="center", key="weekly-controls"):
        start = st.selectbox(
            "Week", list(names), index=list(names).index(whole), key="week", bind="query-params", width=220,
            format_func=lambda at: f"{names[at].name}{', open' if names[at].is_open else ''}",
            label_visibility="collapsed",
        )  # fmt: skip
        basis = st.segmented_control(
            "Cost basis", [CostBasis.EFFECTIVE.value, CostBasis.BILLED.value], default=CostBasis.EFFECTIVE.value,
            required=True, key="basis", bind="query-params", label_visibility="collapsed",
            format_func={"effective": "Effective (amortised)", "billed": "Billed (invoice)"}.get,
        )  # fmt: skip
    return names[start], basis


def read(found: data.Snapshot, period: Period, basis: str) -> tuple[Review | None, str]:
    """The review, or why there is none."""
    home = data.home()
    beside = (home.owners, home.scenario, home.path / "budgets.toml", home.actions)
    states = tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in beside)
    try:
        return _review(found.id, period, basis, states, found, home, data.now()), ""
    except PermillionError as error:
        return None, str(error)


def figures(of: Review) -> None:
    with st.grid(5, min_column_width=cards.WIDTH):
        for figure in of.figures:
            cards.changed(
                figure.name,
                _shown(figure, of.currency),
                _moved(figure, of.currency),
                figure.note or ("vs the week before" if figure.before is not None else None),
                help=text.label(figure.value.reason) if isinstance(figure.value, Undefined) else None,
                less_is_better=figure.is_less_better,
            )


def _shown(figure: Figure, currency: str) -> str:
    if isinstance(figure.value, Undefined):
        return text.UNKNOWN
    if figure.unit is FigureUnit.SHARE:
        return text.percent(float(figure.value), 1)
    if figure.unit is FigureUnit.PER_MTOK:
        return text.unit_cost(float(figure.value))
    return text.cents(Decimal(figure.value), currency)


def _moved(figure: Figure, currency: str) -> str | int | None:
    before = figure.before
    if before is None or isinstance(before, Undefined) or isinstance(figure.value, Undefined):
        return None
    moved = Decimal(str(figure.value)) - Decimal(str(before))
    if figure.unit is FigureUnit.SHARE:
        return text.change(round(moved, 4), f"{moved * PERCENT:+.1f} pts".lstrip("+"))
    if figure.unit is FigureUnit.PER_MTOK:
        return text.change(round(moved, 4), text.unit_cost(float(moved)))
    return text.change(moved, text.cents(moved, currency))


def bridge(of: Review) -> None:
    """What changed and why: bars that hang from one another, and a sentence each."""
    if of.bridge is None or of.before is None:
        st.markdown("**No period before** to compare with: this is the first week that was billed")
        return
    moved = of.bridge.after - of.bridge.before
    verb = "rose by" if moved > 0 else "fell by" if moved < 0 else "did not change:"
    st.markdown(f"**Spend {verb} {text.dollars(text.cents(abs(moved), of.currency))}** against {of.before.name}")
    terms = [term for term in of.bridge.terms if term.amount]
    bars = [
        Bar(
            name=term.kind.replace("_", " ").capitalize(),
            amount=float(term.amount),
            step=Step.MORE if term.amount > 0 else Step.LESS,
            shown=text.cents(term.amount, of.currency),
        )
        for term in terms
    ]
    change = Bar(name="Change", amount=float(moved), step=Step.TOTAL, shown=text.cents(moved, of.currency))
    charts.draw(cascade([*bars, change], palette()), "bridge-bars", alt="The change in spend by reason")
    for term in terms:
        st.markdown(f"- {text.label(term.sentence, 400)}")
    st.caption("The reasons add up to the change, to the cent.")


def movers(of: Review) -> None:
    rows = [
        {
            "Product": text.plain(one.product or REST),
            "Spend": float(one.cost),
            "Change": None if one.change is None else float(one.change),
            "From volume": None if one.from_volume is None else float(one.from_volume),
            "From unit cost": None if one.from_unit_cost is None else float(one.from_unit_cost),
            "From mix": None if one.from_mix is None else float(one.from_mix),
            "Per 1M tokens": None if isinstance(one.per_mtok, Undefined) else float(one.per_mtok),
            "Of budget": None if one.of_budget is None else one.of_budget * PERCENT,
        }
        for one in of.movers
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "Spend": MONEY,
            **dict.fromkeys(("Change", "From volume", "From unit cost", "From mix"), CHANGE),
            "Per 1M tokens": st.column_config.NumberColumn(format="%.3f"),
            "Of budget": st.column_config.NumberColumn(format="%.0f%%"),
        },
        key="movers",
    )


def daily(of: Review) -> None:
    if not of.daily:
        st.caption("The days of this week are not known one by one.")
        return
    names = sorted({name for day in of.daily for name in day.by_product}, key=lambda name: (not name, name))
    by_day = {name or REST: [float(day.by_product.get(name, 0)) for day in of.daily] for name in names}
    most = max(names, key=lambda name: sum(day.by_product.get(name, Decimal(0)) for day in of.daily))
    share = sum(by_day[most or REST]) / float(of.total) if of.total else 0.0
    st.markdown(f"**{text.label(most or REST)} is {share:.0%} of spend** by day and product")
    days = [day.on.isoformat() for day in of.daily]
    charts.draw(charts.stacked_days(days, by_day, palette()), "daily-bars", alt="Daily spend by product, stacked")
    if partial := [f"{day.on.day} {day.on:%b}" for day in of.daily if day.is_partial]:
        st.caption(f"Not billed whole: {', '.join(partial)}.")


def landing(of: Review) -> None:
    """Where the month lands, with its range, beside what it may cost."""
    outlook = of.outlook
    whole = outlook.in_all if outlook else None
    if outlook is None or whole is None or isinstance(whole.p50, Undefined):
        why = whole.p50.reason if whole and isinstance(whole.p50, Undefined) else "nothing was billed"
        st.markdown(f"**No forecast of the month** {text.label(why)}")
        return
    landed = text.dollars(text.short_money(whole.p50))
    against = "no budget is set" if whole.budget is None else _against(whole.p50, whole.budget)
    st.markdown(f"**The month lands at {landed}** {against}")
    charts.draw(_path(outlook, whole.budget, palette()), "landing", alt="Cumulative spend of the month, and forecast")
    rows = [
        {
            "": text.plain(line.name or "Everything"),
            "Budget": None if line.budget is None else float(line.budget),
            "So far": float(line.actual),
            **{
                name: None if isinstance(value, Undefined) else float(value)
                for name, value in (("P10", line.p10), ("Month end", line.p50), ("P90", line.p90))
            },
            "Over budget": None
            if line.breach_probability is None or isinstance(line.breach_probability, Undefined)
            else line.breach_probability * PERCENT,
            "From": None if line.breach_on is None else f"{line.breach_on:%d %b}",
        }
        for line in outlook.lines
    ]
    whole_money = st.column_config.NumberColumn(format="%,.0f")
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            **dict.fromkeys(("Budget", "So far", "P10", "Month end", "P90"), whole_money),
            "Over budget": st.column_config.NumberColumn(format="%.0f%%", help="The chance of it."),
        },
        key="outlook",
    )


def _against(p50: Decimal, budget: Decimal) -> str:
    over = p50 - budget
    side = "over" if over > 0 else "under"
    return f"{text.dollars(text.short_money(abs(over)))} {side} its budget of {text.dollars(text.short_money(budget))}"


def _path(outlook: Outlook, budget: Decimal | None, colours: Palette) -> charts.Figure:
    known = [day for day in outlook.path if day.actual is not None]
    ahead = [day for day in outlook.path if day.p50 is not None]
    joined = [*known[-1:], *ahead]
    x = [day.on.isoformat() for day in joined]

    def edge(values: Sequence[Decimal | None]) -> list[float]:
        return [float(value) for value in values if value is not None]

    lines = [
        {"type": "scatter", "mode": "lines", "x": x, "y": edge([day.p90 or day.actual for day in joined]),
         "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"},
        {"type": "scatter", "mode": "lines", "x": x, "y": edge([day.p10 or day.actual for day in joined]),
         "line": {"width": 0}, "fill": "tonexty", "fillcolor": colours.grid, "name": "P10 to P90", "hoverinfo": "skip"},
        {"type": "scatter", "mode": "lines", "x": [day.on.isoformat() for day in known],
         "y": edge([day.actual for day in known]), "line": {"color": colours.accent, "width": 2}, "name": "So far"},
        {"type": "scatter", "mode": "lines", "x": x, "y": edge([day.p50 or day.actual for day in joined]),
         "line": {"color": colours.accent, "width": 2, "dash": "dot"}, "name": "Forecast"},
    ]  # fmt: skip
    shapes = []
    if budget is not None:
        shapes = [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": float(budget), "y1": float(budget),
                   "line": {"color": colours.limit, "width": 1.5, "dash": "dash"}}]  # fmt: skip
    frame = charts.layout(
        colours, 260, shapes=shapes, xaxis={"type": "date", "tickformat": "%-d %b", "showgrid": False},
        yaxis={"rangemode": "tozero", "tickprefix": "$", "tickformat": "~s"},
    )  # fmt: skip
    return {"data": lines, "layout": frame}


def waste(of: Review) -> None:
    known = [line for line in of.waste if not isinstance(line.amount, Undefined)]
    lost = sum((line.amount for line in known), Decimal(0))
    share = f"{lost / of.total:.0%} of spend" if of.total else "nothing was spent"
    st.markdown(f"**{text.dollars(text.cents(lost, of.currency))} bought nothing** {share}")
    rows = [
        {
            "Waste": str(line.kind).replace("_", " ").capitalize(),
            "Amount": None if isinstance(line.amount, Undefined) else float(line.amount),
            "Known by": text.plain(line.amount.reason if isinstance(line.amount, Undefined) else line.basis, 160),
        }
        for line in of.waste
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config={"Amount": MONEY}, key="waste")


def proposals(of: Review) -> None:
    st.markdown(f"**{len(of.proposals)} proposals** single changes on today's fleet, by what they save a month")
    if not of.proposals:
        st.caption("No single lever saves cash on this fleet.")
    for n, one in enumerate(of.proposals):
        with st.container(horizontal=True, vertical_alignment="center", key=f"proposal-{n}"):
            saved = text.dollars(" to ".join(_short(part) for part in (one.saved_low, one.saved_high)))
            st.markdown(f"**{text.label(one.title)}** saves {saved}", width="stretch")
            st.badge("Answers unchanged" if one.is_proven else "Unproven", color="green" if one.is_proven else "orange")
            query = dict(part.split("=", 1) for part in one.link.removeprefix("/?").split("&") if "=" in part)
            st.page_link("pages/what_if.py", label="What if", icon=":material/tune:", query_params=query)


def _short(amount: Decimal | Undefined) -> str:
    return text.UNKNOWN if isinstance(amount, Undefined) else text.short_money(amount)


def remarks(of: Review) -> None:
    """Days unlike the others, and risks."""
    for one in of.anomalies:
        st.warning(f"{one.on:%d %b}, {text.label(one.scope or REST)}: {text.label(one.sentence, 400)}")
    for risk in of.risks:
        st.info(text.label(risk, 400), icon=":material/flag:")
    if not of.anomalies and not of.risks:
        st.caption("No day was unlike the others, and no risk is known.")


def decisions(of: Review) -> None:
    """Actions with owner and due date, this week's and earlier ones; and a line to write a new one."""
    today = data.now().date()
    every = (*of.last_actions, *of.actions)
    if not every:
        st.caption("Nothing was decided yet.")
    for one in every:
        with st.container(horizontal=True, vertical_alignment="center", key=f"action-{one.id}"):
            due = f", due {one.due:%d %b}" if one.due else ""
            st.markdown(f"{text.label(one.text, 500)} · {text.label(one.owner)}{due}", width="stretch")
            _state(one, one.is_late(today))
    form = st.form("new-action", clear_on_submit=True, border=False)
    with form, st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input("Decision or action", max_chars=500, key="action-text")
        owner = st.text_input("Owner", max_chars=80, key="action-owner", width=160)
        due = st.date_input("Due", value=None, key="action-due", width=160)
        is_sent = st.form_submit_button("Add", icon=":material/add:")
    if not is_sent:
        return
    try:
        note(data.home(), words, owner, due, data.now())
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")
    else:
        st.rerun()


def _state(one: Action, is_late: bool) -> None:
    if one.state is ActionState.OPEN:
        if is_late:
            st.badge("Late", color="red")
        st.button("Done", key=f"done-{one.id}", on_click=_mark, args=(one.id, ActionState.DONE), type="tertiary")
        st.button("Drop", key=f"drop-{one.id}", on_click=_mark, args=(one.id, ActionState.DROPPED), type="tertiary")
    else:
        st.badge(one.state.value.capitalize(), color="green" if one.state is ActionState.DONE else "gray")
        st.button("Open again", key=f"open-{one.id}", on_click=_mark, args=(one.id, ActionState.OPEN), type="tertiary")


def _mark(action_id: str, state: ActionState) -> None:
    mark(data.home(), action_id, state, data.now())


def exports(of: Review) -> None:
    """The pack, as files: drawn when they are asked for."""
    with st.popover("Export", icon=":material/download:", key="export"):
        for name, content in files(of).items():
            st.download_button(name, content, name, TYPES[name.rpartition(".")[2]], key=f"get-{name}", width="stretch")
        teams = [team for team in of.teams if team]
        if teams:
            team = st.selectbox("Statement of a team", teams, key="team", format_func=text.plain)
            name, content = statement(of, team)
            st.download_button(text.label(name), content, name, TYPES["pdf"], key="get-statement", width="stretch")
