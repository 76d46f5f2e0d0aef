"""The tables beside the money: budgets, waste, unusual days, proposals, actions and invoices."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from costlib.allocation import in_cents, share_of
from costlib.billing import exact_sum
from costlib.estimate import Undefined
from costlib.review import Action, OutlookLine, Review, StatementLine, WasteLine
from pack.style import NONE, month_name
from pack.tables import EVERYTHING, Cell, Column, Kind, Table, largest, product_name, sum_of, team_name, term_name


def outlook_table(review: Review, most: int) -> Table:
    """The whole first, then those most likely to break their budget, then by forecast."""
    columns = (
        Column(title="Month"),
        Column(title="Budget", kind=Kind.MONEY),
        Column(title="So far", kind=Kind.MONEY),
        Column(title="Forecast", kind=Kind.MONEY),
        Column(title="Low (10%)", kind=Kind.MONEY),
        Column(title="High (90%)", kind=Kind.MONEY),
        Column(title="Over budget", kind=Kind.CHANCE),
        Column(title="From", kind=Kind.DAY),
    )
    outlook = review.outlook
    if outlook is None:
        return Table(title="Budget outlook", columns=columns, rows=(), note="There is no forecast for this period.")
    ordered = sorted(outlook.lines, key=_outlook_order)
    shown_lines, hidden = ordered[:most], ordered[most:]
    without = sum(line.budget is None for line in outlook.lines)
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
    budget: Cell = "no budget" if line.budget is None else line.budget
    return (outlook_name(line), budget, line.actual, line.p50, line.p10, line.p90, line.breach_probability,
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
    ordered = sorted(
        review.anomalies,
        key=lambda found: (
            found.impact is None,
            -abs(found.impact or Decimal(0)),
            found.on,
            found.measure,
            found.scope,
        ),
    )
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
                found.on,
                " · ".join(part for part in (term_name(found.measure), found.scope) if part),
                found.impact,
                found.sentence or found.cause or "no driver stands out",
            )
            for found in ordered[:most]
        ),
        note=_more(ordered, most, "No day was unlike the others."),
    )


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
    return Table(
        title=title,
        columns=(
            Column(title="Action", kind=Kind.LONG),
            Column(title="Owner"),
            Column(title="Due", kind=Kind.DAY),
            Column(title="State"),
        ),
        rows=tuple((act.text, act.owner or "no owner", act.due, str(act.state)) for act in actions[:most]),
        note=_more(actions, most, "None."),
    )


def reconciliation_table(review: Review, most: int) -> Table:
    lines = statements_in_cents(review.statements)
    kept, rest = largest(lines, most, lambda line: line.billed, lambda line: line.provider)
    rows: list[tuple[Cell, ...]] = [
        (line.provider, line.billed, "none yet" if line.invoice is None else line.invoice, line.difference, line.note)
        for line in kept
    ]
    if rest:
        billed, invoice = exact_sum(line.billed for line in rest), sum_of([line.invoice for line in rest])
        rows.append((f"{len(rest)} others", billed, invoice, None if invoice is None else invoice - billed, ""))
    billed, invoice = exact_sum(line.billed for line in lines), sum_of([line.invoice for line in lines])
    return Table(
        title="Match to invoices",
        columns=(
            Column(title="Provider"),
            Column(title="Billed", kind=Kind.MONEY),
            Column(title="Invoice", kind=Kind.MONEY),
            Column(title="Difference", kind=Kind.CHANGE),
            Column(title="Note", kind=Kind.LONG),
        ),
        rows=tuple(rows),
        total=("Total", billed, invoice, None if invoice is None else invoice - billed, "") if lines else None,
        note="" if lines else "No invoice was compared.",
    )


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
