"""The tables beside the money: budgets, waste, unusual days, proposals, actions and invoices."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from costlib.allocation import in_cents, share_of
from costlib.billing import exact_sum
from costlib.estimate import Undefined
from costlib.review import Action, Anomaly, OutlookLine, Review, StatementLine, WasteLine
from pack.style import NONE, Numbers, month_name
from pack.tables import EVERYTHING, Cell, Column, Kind, Table, largest, product_name, sum_of, team_name, term_name
from pack.words import indicator_text


def outlook_table(review: Review, most: int) -> Table:
    """The whole first, then those most likely to break their budget, then by forecast."""
    columns = (
        Column(title="Month"),
        Column(title="Budget", kind=Kind.MONEY),
        Column(title="Forecast", kind=Kind.MONEY),
        Column(title="Over budget", kind=Kind.CHANCE),
        Column(title="So far", kind=Kind.MONEY),
        Column(title="Low (10%)", kind=Kind.MONEY),
        Column(title="High (90%)", kind=Kind.MONEY),
        Column(title="From", kind=Kind.DAY),
    )
    outlook = review.outlook
    if outlook is None:
        return Table(title="Budget outlook", columns=columns, rows=(), note="There is no forecast for this period.")
    ordered = sorted(outlook.lines, key=_outlook_order)
    shown_lines, hidden = ordered[:most], ordered[most:]
    without = sum(line.budget is None and line.breach_probability is None for line in outlook.lines)
    notes = [
        outlook.method,
        f"{len(hidden)} more in the workbook." if hidden else "",
        f"{without} of {len(ordered)} have no budget, so nothing is said of breaking one." if without else "",
    ]
    return Table(
        title="Budget outlook",
        columns=(Column(title=f"To the end of {month_name(outlook.month)} {outlook.month[:4]}"), *columns[1:]),
        rows=tuple(outlook_row(line) for line in shown_lines),
        note=" ".join(note for note in notes if note),
    )


def outlook_row(line: OutlookLine) -> tuple[Cell, ...]:
    unknown = line.breach_probability if isinstance(line.breach_probability, Undefined) else "no budget"
    budget: Cell = unknown if line.budget is None else line.budget
    return (outlook_name(line), budget, line.p50, line.breach_probability, line.actual, line.p10, line.p90,
            line.breach_on)  # fmt: skip


def outlook_name(line: OutlookLine) -> str:
    if line.kind == "all":
        return EVERYTHING
    return f"Team {team_name(line.name)}" if line.kind == "team" else product_name(line.name)


def _outlook_order(line: OutlookLine) -> tuple[bool, float, Decimal, str, str]:
    chance = line.breach_probability if isinstance(line.breach_probability, float | int) else 0.0
    forecast = line.p50 if isinstance(line.p50, Decimal) else line.actual
    return (line.kind != "all", -chance, -forecast, line.kind, line.name)


def waste_table(review: Review, most: int) -> Table:
    priced = waste_in_cents(review.waste)
    unknown = [line for line in review.waste if not isinstance(line.amount, Decimal)]
    kept, rest = largest(priced, most, lambda line: _money_or_zero(line.amount), lambda line: line.kind)
    rows: list[tuple[Cell, ...]] = [
        (term_name(line.kind), line.amount, line.share_fraction, known_by(line)) for line in kept
    ]
    if rest:
        amount = exact_sum(_money_or_zero(line.amount) for line in rest)
        rows.append((f"{len(rest)} others", amount, share_of(amount, review.total), ""))
    rows += [(term_name(line.kind), None, None, _reason(line.amount)) for line in unknown[:most]]
    whole = exact_sum(_money_or_zero(line.amount) for line in priced)
    return Table(
        title="Waste, priced",
        columns=(
            Column(title="Waste"),
            Column(title="Amount", kind=Kind.MONEY),
            Column(title="Of spend", kind=Kind.SHARE),
            Column(title="Known by", kind=Kind.LONG),
        ),
        rows=tuple(rows),
        total=("Total", whole, share_of(whole, review.total), "") if priced else None,
        note="" if rows else "No waste was priced for this period.",
    )


def waste_in_cents(lines: Sequence[WasteLine]) -> list[WasteLine]:
    """The lines with an amount, in cents that make the sum of all of them."""
    priced = [line for line in lines if isinstance(line.amount, Decimal)]
    cents = in_cents([_money_or_zero(line.amount) for line in priced])
    return [replace(line, amount=amount) for line, amount in zip(priced, cents, strict=True)]


def known_by(line: WasteLine) -> str:
    """The basis, and what else is said of it unless that is a link."""
    return str(line.basis) if not line.evidence or "/" in line.evidence[:1] else f"{line.basis}; {line.evidence}"


def _money_or_zero(amount: Decimal | Undefined) -> Decimal:
    return amount if isinstance(amount, Decimal) else Decimal(0)


def _reason(value: object) -> str:
    return f"not known: {value.reason}" if isinstance(value, Undefined) else ""


def anomaly_table(review: Review, most: int) -> Table:
    """One row for what was off on one day of one product, in as many ways as it showed; the dearest first."""
    together: dict[tuple[date, str], list[Anomaly]] = {}
    for found in sorted(review.anomalies, key=lambda found: (found.measure != "cost", found.measure)):
        together.setdefault((found.on, found.scope), []).append(found)
    ordered = sorted(together.values(), key=_anomaly_order)
    return Table(
        title="Unusual days",
        columns=(
            Column(title="Day", kind=Kind.DAY),
            Column(title="What"),
            Column(title="Impact", kind=Kind.CHANGE),
            Column(title="Cause", kind=Kind.LONG),
        ),
        rows=tuple(
            (
                alike[0].on,
                " · ".join(part for part in (alike[0].scope, _listed(alike)) if part),
                alike[0].impact,
                _sentence(alike[0].sentence or alike[0].cause or "no driver stands out"),
            )
            for alike in ordered[:most]
        ),
        note=_more(ordered, most, "No day was unlike the others."),
    )


def _anomaly_order(alike: Sequence[Anomaly]) -> tuple[bool, Decimal, date, str, str]:
    first = alike[0]
    return (first.impact is None, -abs(first.impact or Decimal(0)), first.on, first.measure, first.scope)


def _listed(alike: Sequence[Anomaly]) -> str:
    names = [term_name(one.measure) for one in alike]
    return ", ".join([names[0], *(name[:1].lower() + name[1:] for name in names[1:])])


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def proposal_table(review: Review, most: int) -> Table:
    return Table(
        title="Proposals",
        columns=(
            Column(title="What", kind=Kind.LONG),
            Column(title="Saves a month", kind=Kind.MONEY),
            Column(title="At least", kind=Kind.MONEY),
            Column(title="At most", kind=Kind.MONEY),
            Column(title="Effort"),
            Column(title="Proof"),
        ),
        rows=tuple(
            (
                proposal.title, proposal.saved, proposal.saved_low, proposal.saved_high, proposal.effort or NONE,
                "answers unchanged" if proposal.is_proven else "unproven",
            )
            for proposal in review.proposals[:most]
        ),
        note=_more(review.proposals, most, "No change is proposed."),
    )  # fmt: skip


def action_table(title: str, actions: Sequence[Action], most: int) -> Table:
    """With what a decided proposal promised, where one of them did."""
    promises = any(act.saved is not None for act in actions[:most])
    return Table(
        title=title,
        columns=(
            Column(title="Action", kind=Kind.LONG),
            Column(title="Owner"),
            Column(title="Due", kind=Kind.DAY),
            *((Column(title="To save a month", kind=Kind.MONEY),) if promises else ()),
            Column(title="State"),
        ),
        rows=tuple(
            (act.text, act.owner or "no owner", act.due, *((act.saved,) if promises else ()), str(act.state))
            for act in actions[:most]
        ),
        note=_more(actions, most, "None."),
    )


def indicator_table(review: Review, numbers: Numbers) -> Table:
    """Every indicator by name, and why it has no value where it has none."""
    return Table(
        title="All indicators",
        columns=(
            Column(title="No.", kind=Kind.COUNT),
            Column(title="Indicator"),
            Column(title="Value", kind=Kind.FIGURE),
            Column(title="Before", kind=Kind.FIGURE),
            Column(title="How", kind=Kind.LONG),
        ),
        rows=tuple(
            (
                one.number_count,
                one.label,
                indicator_text(one.value, one.unit, numbers),
                indicator_text(one.before, one.unit, numbers),
                f"not known: {one.value.reason}" if isinstance(one.value, Undefined) else one.formula,
            )
            for one in review.indicators
        ),
        note="" if review.indicators else "No indicator was calculated.",
    )


def reconciliation_table(review: Review, most: int) -> Table:
    lines = statements_in_cents(review.statements)
    kept, rest = largest(lines, most, lambda line: line.billed, lambda line: line.provider)
    rows: list[tuple[Cell, ...]] = [
        (
            line.provider,
            line.billed,
            "none yet" if line.invoice is None else line.invoice,
            line.difference,
            ties(line),
            line.note,
        )
        for line in kept
    ]
    if rest:
        billed, invoice = exact_sum(line.billed for line in rest), sum_of([line.invoice for line in rest])
        rows.append((f"{len(rest)} others", billed, invoice, None if invoice is None else invoice - billed, "", ""))
    billed, invoice = exact_sum(line.billed for line in lines), sum_of([line.invoice for line in lines])
    month = f", {month_name(review.statements_month)} {review.statements_month[:4]}" if review.statements_month else ""
    return Table(
        title=f"Match to invoices{month}",
        columns=(
            Column(title="Provider"),
            Column(title="Billed", kind=Kind.MONEY),
            Column(title="Invoice", kind=Kind.MONEY),
            Column(title="Difference", kind=Kind.CHANGE),
            Column(title="Ties"),
            Column(title="Note", kind=Kind.LONG),
        ),
        rows=tuple(rows),
        total=("Total", billed, invoice, None if invoice is None else invoice - billed, "", "") if lines else None,
        note="" if lines else "No invoice was compared.",
    )


def ties(line: StatementLine) -> str:
    return NONE if line.ties is None else "yes" if line.ties else "no"


def statements_in_cents(lines: Sequence[StatementLine]) -> list[StatementLine]:
    """Billed amounts have as many digits as the provider gives them; shown in cents, they make their sum."""
    billed = in_cents([line.billed for line in lines])
    invoices = iter(in_cents([line.invoice for line in lines if line.invoice is not None]))
    return [
        replace(line, billed=amount, invoice=None if line.invoice is None else next(invoices))
        for line, amount in zip(lines, billed, strict=True)
    ]


def _more(items: Sequence[object], most: int, nothing: str) -> str:
    if not items:
        return nothing
    return f"{len(items) - most} more in the workbook." if len(items) > most else ""
