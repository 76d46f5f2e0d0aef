"""The sentences of a pack: its headings say what was found, and its small print what the numbers are."""

from decimal import Decimal

from costlib.allocation import in_cents, share_of
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.estimate import Undefined
from costlib.kpis import KpiUnit
from costlib.review import ActionState, Figure, FigureUnit, Review
from costlib.text_safety import plain
from costlib.units import SECONDS_PER_DAY
from pack.style import NONE, Numbers, day_text, month_name
from pack.tables import product_name

TITLE = "Cost review"
SAMPLE = "Sample data"
BASIS_WORDS = {CostBasis.EFFECTIVE: "Amortised cost", CostBasis.BILLED: "Invoiced cost"}
A_SENTENCE = 1500  # characters


def identity(review: Review, numbers: Numbers) -> tuple[tuple[str, str], ...]:
    """What each file says of where its numbers are from."""
    before = review.before
    return (
        ("Period", f"{review.period.name} ({review.period.start} to {review.period.last_day}, UTC)"),
        ("Compared with", NONE if before is None else before.name),
        ("State", state(review)),
        ("Basis", BASIS_WORDS[review.basis]),
        ("Currency", numbers.rate_note() or review.currency),
        ("Data", SAMPLE if review.is_sample else "Measured and billed"),
        ("Snapshot", review.snapshot_id),
    )


def state(review: Review) -> str:
    if review.period.is_open:
        return "Open: charges of its last days are still to come, so these figures will grow"
    return "Closed"


def warnings(review: Review) -> tuple[str, ...]:
    """What keeps the figures from being all there is."""
    found = ["Sample data: none of this was measured or billed."] if review.is_sample else []
    found += review.problems
    if review.period.is_open:
        found.append("This period is still open: charges of its last days are to come.")
    if review.before is None:
        found.append("There is no period before this one to compare with.")
    partial = [day.on for day in review.daily if day.is_partial]
    if partial:
        found.append(f"{len(partial)} of {len(review.daily)} days are not complete, the first {day_text(partial[0])}.")
    if review.daily and (missing := review.period.days_count - len({day.on for day in review.daily})) > 0:
        found.append(f"{missing} of {review.period.days_count} days have no data.")
    if review.total < 0:
        found.append("The total is negative: credits and corrections exceed what was used.")
    budgets = [] if review.outlook is None else [line.budget for line in review.outlook.lines]
    if any(budget is not None and budget <= 0 for budget in budgets):
        found.append("A budget of nothing or less is listed; no share of it is shown.")
    return tuple(found)


def headline(review: Review, numbers: Numbers) -> str:
    """The first sentence: what was spent, and what that is beside the period before."""
    total = numbers.money(review.total)
    if review.bridge is None:
        return f"{total} was spent in {plain(review.period.name)}."
    change = review.bridge.after - review.bridge.before
    if not change:
        return f"Spend stayed at {total}."
    share = share_of(abs(change), review.bridge.before) if review.bridge.before > 0 else Undefined(reason="no base")
    part = "" if isinstance(share, Undefined) else f" ({numbers.share(share)})"
    return f"Spend {'rose' if change > 0 else 'fell'} {numbers.money(abs(change))}{part} to {total}."


def changed_title(review: Review, numbers: Numbers) -> str:
    """The largest reason for the change."""
    if review.bridge is None or not any(term.amount for term in review.bridge.terms):
        return "What changed"
    change = review.bridge.after - review.bridge.before
    largest = max(review.bridge.terms, key=lambda term: (abs(term.amount), term.kind))
    name = plain(str(largest.kind).replace("_", " "), 40)
    if not change:
        return f"Nothing in all; {name} moved {numbers.short(abs(largest.amount))}"
    verb = "added" if largest.amount > 0 else "took off"
    return f"{name[:1].upper()}{name[1:]} {verb} {numbers.short(abs(largest.amount))}, the largest of the reasons"


def outlook_title(review: Review, numbers: Numbers) -> str:
    line = None if review.outlook is None else review.outlook.in_all
    if review.outlook is None or line is None or not isinstance(line.p50, Decimal):
        return "No forecast"
    month = month_name(review.outlook.month)
    if line.budget is None:
        what = "the budget is not known" if isinstance(line.breach_probability, Undefined) else "there is no budget"
        return f"{month} lands at {numbers.short(line.p50)}; {what}"
    over = line.p50 - line.budget
    if not over:
        return f"{month} lands on its budget"
    return f"{month} lands {numbers.short(abs(over))} {'over' if over > 0 else 'under'} budget"


def daily_title(review: Review, numbers: Numbers) -> str:
    if not review.movers:
        return "Daily spend"
    largest = max(review.movers, key=lambda mover: (abs(mover.cost), mover.product))
    share = share_of(largest.cost, review.total)
    if isinstance(share, Undefined) or not 0.1 <= share <= 1:  # a tenth is nothing to head a chart with
        return "Daily spend by product"
    return f"{plain(product_name(largest.product), 28)} is {numbers.share(share, 0)} of spend"


def statements_title(review: Review, numbers: Numbers) -> str:
    """Whether the newest closed month is what the invoices say."""
    if not review.statements:
        return "No month was over yet, so no invoice is due"
    month = f"{month_name(review.statements_month)} {review.statements_month[:4]}" if review.statements_month else "It"
    without = sum(line.invoice is None for line in review.statements)
    if without == len(review.statements):
        return f"{month}: no invoice total was entered yet"
    off = [line.difference for line in review.statements if line.difference is not None and line.ties is False]
    rest = f"; {without} without an invoice" if without else ""
    if off:
        return f"{month} is {numbers.money(exact_sum(abs(one) for one in off))} off its invoices{rest}"
    return f"{month} ties to its invoices{rest}"


def promised(review: Review) -> Decimal | None:
    """What decided proposals that are still open promise a month; None where none is."""
    open_now = [one for one in (*review.actions, *review.last_actions) if one.state is ActionState.OPEN]
    saved = [one.saved for one in open_now if one.saved is not None]
    return exact_sum(saved) if saved else None


_KPI_DIGITS = {KpiUnit.PER_REQUEST: 6, KpiUnit.PER_GPU_HOUR: 3}


def indicator_text(value: Decimal | float | Undefined | None, unit: str, numbers: Numbers) -> str:
    """
    >>> [indicator_text(value, unit, Numbers(currency="USD")) for value, unit in (
    ...     (Decimal("0.000757"), "per_request"), (0.25, "share"), (462600.0, "seconds"), (0.168, "ratio"))]
    ['$0.000757', '25.0%', '5.4 days', '0.168']
    """
    if value is None or isinstance(value, Undefined):
        return NONE
    match KpiUnit(unit):
        case KpiUnit.MONEY:
            return numbers.money(in_cents([Decimal(str(value))])[0])
        case KpiUnit.PER_MTOK:
            return numbers.per_mtok(value)
        case KpiUnit.SHARE:
            return numbers.share(value)
        case KpiUnit.PER_REQUEST | KpiUnit.PER_GPU_HOUR as kind:
            return numbers.amount(value, _KPI_DIGITS[kind])
        case KpiUnit.SECONDS:
            return f"{numbers.plain(float(value) / SECONDS_PER_DAY, 1)} days"
        case KpiUnit.RATIO:
            return numbers.plain(value, 3)
    return numbers.count(float(value))


def figure_text(figure: Figure, numbers: Numbers) -> str:
    return _figure(figure.value, figure.unit, numbers)


def _figure(value: Decimal | float | Undefined | None, unit: FigureUnit, numbers: Numbers) -> str:
    if value is None or isinstance(value, Undefined):
        return NONE
    match unit:
        case FigureUnit.MONEY:
            return numbers.money(Decimal(str(value)))
        case FigureUnit.PER_MTOK:
            return numbers.per_mtok(value)
        case FigureUnit.SHARE:
            return numbers.share(value)
    return numbers.count(float(value))


def figure_change(figure: Figure, numbers: Numbers) -> tuple[str, int]:
    """The change of a figure as text, and which way it goes; empty where there is nothing to compare with."""
    if not isinstance(figure.value, Decimal | float | int) or not isinstance(figure.before, Decimal | float | int):
        return "", 0
    now, before = Decimal(str(figure.value)), Decimal(str(figure.before))
    change = now - before
    way = (change > 0) - (change < 0)
    if not way:
        return "no change", 0
    if figure.unit is FigureUnit.SHARE:
        points = numbers.plain(change * 100, 1)
        return f"{'+' if way > 0 else ''}{points} pts", way
    if before <= 0:
        return numbers.change(change) if figure.unit is FigureUnit.MONEY else "", way
    return f"{'+' if way > 0 else ''}{numbers.share(change / before)}", way


def figure_note(figure: Figure) -> str:
    """Why there is no value, or what was noted of it."""
    if isinstance(figure.value, Undefined):
        return figure.value.reason
    return figure.note


def assumptions(review: Review) -> tuple[str, ...]:
    return review.made_from or ("No assumption was needed.",)
