"""The six cards of the overview. Amounts are Decimal until they are text or a point of a line."""

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from costlib.allocation import share_of, usd_per_mtok_of
from costlib.estimate import Undefined
from costlib.review import NOT_ALLOCATED, Figure, Period, Review
from pack.tables import NO_PRODUCT
from store.overviews import InvoiceMatch
from ui import cards, data, explain, text
from ui.money_charts import amount_text
from ui.overview_data import Asked, View, invoices, totals
from ui.overview_words import NO_DAY, Points, month_name, month_of, no_budget, point, range_of
from ui.text import PERCENT


def figures(view: View) -> None:
    """Six cards, each with its own reason where it is not known."""
    of = view.review
    with st.grid(6, min_column_width=cards.WIDTH):
        _spend(view)
        _forecast(of)
        _unit_cost(view)
        _idle(view)
        _not_allocated(view)
        _invoice(view.invoices)


def without_review(found: data.Snapshot, asked: Asked, problem: str) -> None:
    """What can be told where the books cannot be made: what was charged, which invoice it ties to, and the reason."""
    today = data.today(found)
    if today.problem:
        explain.file_problem(today)
    else:
        st.error(text.label(problem, text.A_PARAGRAPH), icon=":material/error:")
    spent = totals(found, asked.period, asked.basis).get(asked.currency)
    with st.grid(6, min_column_width=cards.WIDTH):
        cards.noted("Spend", text.money(spent, asked.currency), None, asked.period.name)
        for name in ("Forecast", "Cost per 1M tokens", "Idle GPU cost", NO_PRODUCT):
            cards.noted(name, text.UNKNOWN, "not known")
        _invoice(invoices(found, asked.currency))


def _spend(view: View) -> None:
    of, before = view.review, _named(view.review, "Spend").before
    cards.changed(
        "Spend",
        text.money(of.total, of.currency),
        _ratio(of.total, before),
        _versus(of),
        help=text.dollars(text.cents(of.total, of.currency)) + (f", {of.period.name}" if of.period else ""),
        points=[point(day.cost) for day in view.days],
    )


def _forecast(of: Review) -> None:
    line = of.outlook.in_all if of.outlook else None
    name = f"Forecast, end of {month_of(of)[:3]}"
    if line is None or isinstance(line.p50, Undefined):
        why = line.p50.reason if line and isinstance(line.p50, Undefined) else NO_DAY
        cards.noted(name, text.UNKNOWN, "no forecast", help=text.sentence(why))
        return
    path: Points = [point(day.actual if day.actual is not None else day.p50) for day in of.outlook.path]
    if line.budget is not None:
        over = line.p50 - line.budget
        cards.changed(
            name,
            text.money(line.p50, of.currency),
            text.change(over, text.money(over, of.currency)),
            "vs budget",
            help=text.dollars(f"Budget {text.cents(line.budget, of.currency)}. {range_of(line, of.currency)}"),
            points=path,
        )
        return
    cards.noted(
        name,
        text.money(line.p50, of.currency),
        f"{amount_text(line.p10, of.currency)} to {amount_text(line.p90, of.currency)}",
        "budget not known" if isinstance(line.breach_probability, Undefined) else "no budget",
        help=f"{text.dollars(range_of(line, of.currency))} {text.sentence(no_budget(line))}",
        points=path,
    )


def _unit_cost(view: View) -> None:
    figure = _named(view.review, "Cost per 1M tokens")
    known = not isinstance(figure.value, Undefined)
    why = text.sentence(figure.value.reason) if isinstance(figure.value, Undefined) else ""
    by_day = [usd_per_mtok_of(day.cost, day.tokens) if day.cost is not None else None for day in view.days]
    cards.changed(
        "Cost per 1M tokens",
        text.unit_cost(figure.value if isinstance(figure.value, Undefined) else float(figure.value)),
        _ratio(figure.value, figure.before),
        _versus(view.review) if known else "no tokens",
        help=why or "All spend over all tokens: input, cached input and output.",
        points=[None if isinstance(cost, Undefined) else point(cost) for cost in by_day],
    )


def _idle(view: View) -> None:
    of, figure = view.review, _named(view.review, "Idle GPU cost")
    if isinstance(figure.value, Undefined):
        cards.noted("Idle GPU cost", text.UNKNOWN, "not measured", help=text.sentence(figure.value.reason))
        return
    share = share_of(Decimal(figure.value), of.total)
    cards.changed(
        "Idle GPU cost",
        text.money(Decimal(figure.value), of.currency),
        _moved_points(share, _share_before(of, figure.before)),
        f"{text.percent(share)} of spend",
        help="GPUs of servers that were up, starting or draining, without a request. Time that nobody measured is not "
        "in it.",
        points=[point(day.idle) for day in view.days],
    )


def _not_allocated(view: View) -> None:
    """Of no product: what the row and the grey of the charts have."""
    of = view.review
    mine = next((one for one in of.movers if one.product == NOT_ALLOCATED), None)
    amount = mine.cost if mine else Decimal(0)
    share = share_of(amount, of.total)
    cards.changed(
        NO_PRODUCT,
        text.percent(share, 1),
        _moved_points(share, _share_before(of, mine.before if mine else None)),
        text.money(amount, of.currency),
        help="Charges that belong to no product: GPUs that no server is matched to, commitments not used, tax, "
        "support and the like. Its row below tells which.",
        points=[
            None if day.cost is None or day.not_allocated is None else point(share_of(day.not_allocated, day.cost))
            for day in view.days
        ],
    )


def _invoice(known: Sequence[InvoiceMatch]) -> None:
    """Whether the newest month that is over ties to what was invoiced."""
    if not known:
        cards.noted("Matches invoice", text.UNKNOWN, "no closed month", help="No billing month is over yet.")
        return
    newest = known[-1]
    month, matched = month_name(newest.month, short=True), newest.matched_fraction
    if isinstance(matched, Undefined):
        cards.noted(
            "Matches invoice", text.UNKNOWN, "no invoice", month,
            help="Nobody entered the total of this month's invoice. Reconciliation is where to enter it.",
        )  # fmt: skip
        return
    earlier = [one.matched_fraction for one in known[:-1]]
    before = next((one for one in reversed(earlier) if not isinstance(one, Undefined)), None)
    missing = newest.without_invoice_count
    state = f"{newest.open_count} open" if newest.open_count else "ties" if not missing else f"{missing} missing"
    cards.changed(
        "Matches invoice",
        text.percent(matched, 1),
        _moved_points(matched, before),
        f"{month}, {state}",
        help="How much of the newest closed month's invoices the charges explain. Reconciliation lists what is open.",
        points=[None if isinstance(one, Undefined) else one for one in (*earlier, matched)],
        less_is_better=False,
    )


def _named(of: Review, name: str) -> Figure:
    """One of the review's figures; unknown where it has none of this name."""
    return next((one for one in of.figures if one.name == name), Figure(name=name, value=Undefined(reason="not told")))


def _versus(of: Review) -> str:
    return f"vs {_brief(of.before, of.period)}" if of.before else "no days before"


def _brief(before: Period, of: Period) -> str:
    """A period without the year that it has in common."""
    return before.name.removesuffix(f" {of.last_day.year}")


def _ratio(now: Decimal | float | Undefined, before: Decimal | float | Undefined | None) -> str | int | None:
    if before is None or isinstance(before, Undefined) or isinstance(now, Undefined) or not before:
        return None
    ratio = float(now) / float(before) - 1
    return text.change(round(ratio, 3), f"{ratio:.1%}")


def _share_before(of: Review, amount: Decimal | float | Undefined | None) -> float | Undefined | None:
    spent = _named(of, "Spend").before
    if amount is None or isinstance(amount, Undefined) or not isinstance(spent, Decimal):
        return None
    return share_of(Decimal(amount), spent)


def _moved_points(now: float | Undefined, before: float | Undefined | None) -> str | int | None:
    if before is None or isinstance(before, Undefined) or isinstance(now, Undefined):
        return None
    moved = (now - before) * PERCENT
    return text.change(round(moved, 1), f"{moved:.1f} pts")
