"""What changes were to save and what was measured of it: words, figures and tables of the savings ledger, the same on
the page and in every file."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.estimate import Estimate, Undefined
from costlib.review import Review
from costlib.saving import CashMonth, Entry, Savings, State, Verdict
from costlib.text_safety import plain
from pack.style import NONE, Numbers, month_name
from pack.tables import Cell, Column, Kind, Table

STATES = {
    State.IDEA: "Idea",
    State.PLANNED: "Planned",
    State.SHIPPED: "Shipped",
    State.VERIFIED: "Verified",
    State.PARTIAL: "Partial",
    State.NOT_SHOWN: "Not shown",
    State.REVERSED: "Taken back",
    State.REJECTED: "Rejected",
}
VERDICTS = {
    Verdict.VERIFIED: "Verified",
    Verdict.PARTIAL: "Partial",
    Verdict.PROBABLE: "Probable",
    Verdict.NOT_SHOWN: "Not shown",
    Verdict.ROSE: "Cost rose",
    Verdict.GUARD_BROKEN: "Guard broken",
    Verdict.CANNOT_TELL: "Cannot tell",
}
BROKEN = "Broken"  # its lines in the ledger are not what was written
_NOT_COUNTED = Undefined(reason="its lines in the ledger are not what was written, so nothing of it counts")
_NOT_PLANNED = Undefined(reason="nobody committed to it")
_NOT_SHIPPED = Undefined(reason="it was not shipped")
# What was measured first, then what is to come, then what will not.
_ORDER = (State.VERIFIED, State.PARTIAL, State.NOT_SHOWN, State.REVERSED, State.SHIPPED, State.PLANNED, State.IDEA,
          State.REJECTED)  # fmt: skip


def has_savings(review: Review) -> bool:
    return review.savings is not None and bool(review.savings.entries or review.savings.broken)


def promised_fraction(of: Entry) -> Estimate | Undefined:
    return of.plan.projection.saved_fraction if of.plan else _NOT_PLANNED


def promised_amount(of: Entry) -> Decimal | Undefined:
    """What it was to save a month, in cents."""
    return amount_of(of.plan.projection.saved_usd_per_month) if of.plan else _NOT_PLANNED


def measured_fraction(savings: Savings, of: Entry) -> Estimate | Undefined:
    """As signed, or as measured today where nobody signed it yet."""
    if of.id in savings.broken_entries:
        return _NOT_COUNTED
    if of.signed:
        return of.signed.saved_fraction
    found = savings.verifications.get(of.id)
    return found.saved_fraction if found else _NOT_SHIPPED


def cash_amount(savings: Savings, of: Entry) -> Decimal | Undefined:
    """What is not paid any more a month, as signed or as measured today, in cents."""
    if of.id in savings.broken_entries:
        return _NOT_COUNTED
    if of.signed:
        return amount_of(of.signed.cash_usd_per_month)
    found = savings.verifications.get(of.id)
    return amount_of(found.cash_usd_per_month) if found else _NOT_SHIPPED


def verdict_of(savings: Savings, of: Entry) -> Verdict | None:
    """As signed, or as it would be signed today; None of what was not shipped."""
    found = savings.verifications.get(of.id)
    return of.signed.verdict if of.signed else found.verdict if found else None


def verdict_word(savings: Savings, of: Entry) -> str:
    if of.id in savings.broken_entries:
        return BROKEN
    verdict = verdict_of(savings, of)
    return NONE if verdict is None else VERDICTS[verdict]


def amount_of(found: Estimate | Undefined) -> Decimal | Undefined:
    """The middle of an estimate of money, in cents."""
    return found if isinstance(found, Undefined) else in_cents([Decimal(repr(found.mid))])[0]


def interval(found: Estimate | Undefined, numbers: Numbers) -> str:
    """
    >>> from costlib.estimate import Basis
    >>> interval(Estimate(low=0.121, mid=0.16, high=0.2, basis=Basis.MEASURED), Numbers(currency="USD"))
    '12.1% to 20.0%'
    """
    return NONE if isinstance(found, Undefined) else f"{numbers.share(found.low)} to {numbers.share(found.high)}"


def month_of(savings: Savings, until: date) -> CashMonth | None:
    """The newest month that was over by `until`, else the newest that had begun."""
    begun = [one for one in savings.months if date.fromisoformat(f"{one.month}-01") <= until]
    over = [one for one in begun if one.month < f"{until:%Y-%m}"]
    return max(over or begun, key=lambda one: one.month, default=None)


def named(month: str) -> str:
    return f"{month_name(month)} {month[:4]}"


def realised(savings: Savings) -> tuple[float | Undefined, int]:
    """What was measured of what was promised, over changes that are on and measured, each by its promise; how many.

    Equation   sum(promise x measured / promised) / sum(promise)
    """
    rows = []
    for one in savings.entries:
        found = savings.verifications.get(one.id)
        if one.plan is None or found is None or one.id in savings.broken_entries or one.state is State.REVERSED:
            continue
        if not isinstance(found.realised_fraction, Undefined):
            rows.append((one.plan.projection.saved_usd_per_month.mid, found.realised_fraction.mid))
    whole = sum(promise for promise, _ in rows)
    if whole <= 0:
        return Undefined(reason="no change that was promised has been measured yet"), len(rows)
    return sum(promise * fraction for promise, fraction in rows) / whole, len(rows)


def savings_title(savings: Savings, until: date, numbers: Numbers) -> str:
    """The finding: what is verified of what was claimed."""
    month = month_of(savings, until)
    if month is None:
        return "No saving counts in any month yet"
    return f"{numbers.money(month.verified)} verified of {numbers.money(month.claimed)} claimed in {named(month.month)}"


def running_title(savings: Savings, numbers: Numbers) -> str:
    """The finding of all months: verified is added to verified, and claimed to claimed."""
    if not savings.months:
        return "No saving counts in any month yet"
    amounts = [in_cents_apart(one) for one in savings.months]
    claimed, verified = (exact_sum(one[n] for one in amounts) for n in (0, 1))
    first = named(min(one.month for one in savings.months))
    return f"{numbers.money(verified)} verified of {numbers.money(claimed)} claimed since {first}"


def entry_table(savings: Savings, most: int, numbers: Numbers) -> Table:
    """Changes with what they promised and what was measured, as signed where somebody signed."""
    ordered = sorted(savings.entries, key=lambda one: (_ORDER.index(one.state), one.noted_at, one.id))
    rows: list[tuple[Cell, ...]] = []
    for one in ordered[:most]:
        promised, measured = promised_fraction(one), measured_fraction(savings, one)
        rows.append((
            one.title, one.owner or "no owner", STATES[one.state], _mid(promised), _mid(measured),
            interval(measured, numbers), verdict_word(savings, one), promised_amount(one), cash_amount(savings, one),
        ))  # fmt: skip
    hidden = len(ordered) - len(rows)
    return Table(
        title="Savings by change",
        columns=(
            Column(title="Change", kind=Kind.LONG),
            Column(title="Owner"),
            Column(title="State"),
            Column(title="Promised", kind=Kind.SHARE),
            Column(title="Measured", kind=Kind.SHARE),
            Column(title="95 %", kind=Kind.FIGURE),
            Column(title="Verdict"),
            Column(title="Promised a month", kind=Kind.MONEY),
            Column(title="Cash a month", kind=Kind.MONEY),
        ),
        rows=tuple(rows),
        note=" ".join(part for part in (f"{hidden} more in the workbook." if hidden else "", ledger_note(savings))
                      if part),
    )  # fmt: skip


def _mid(found: Estimate | Undefined) -> float | Undefined:
    return found if isinstance(found, Undefined) else found.mid


def month_table(savings: Savings, most: int) -> Table:
    """The newest months. The three amounts are of the same changes, or of others, and are never added."""
    return Table(
        title="Savings by month",
        columns=(
            Column(title="Month"),
            Column(title="Claimed", kind=Kind.MONEY),
            Column(title="Verified cash", kind=Kind.MONEY),
            Column(title="Probable cash", kind=Kind.MONEY),
            Column(title="Bills"),
        ),
        rows=tuple(
            (named(one.month), *in_cents_apart(one), "final" if one.is_final else "open")
            for one in sorted(savings.months, key=lambda one: one.month)[-most:]
        ),
        note="" if savings.months else "No saving counts in any month yet.",
    )


def in_cents_apart(of: CashMonth) -> tuple[Decimal, Decimal, Decimal]:
    """Claimed, verified and probable, each in cents by itself."""
    claimed, verified, probable = (in_cents([one])[0] for one in (of.claimed, of.verified, of.probable))
    return claimed, verified, probable


def ledger_note(savings: Savings) -> str:
    """What the ledger was when this was made: whoever keeps it can see whether lines were rewritten since."""
    lines = f"{savings.lines_count:,} line{'' if savings.lines_count == 1 else 's'}"
    if savings.broken:
        faults = f"{len(savings.broken)} of its lines are" if len(savings.broken) > 1 else "one of its lines is"
        return f"The savings ledger has {lines} and is broken: {faults} not what was written. Head {_head(savings)}."
    return f"The savings ledger has {lines} and none was changed. Head {_head(savings)}." if savings.head else ""


def _head(savings: Savings) -> str:
    return plain(savings.head, 80) or "unknown"


def savings_tables(review: Review, most_entries: int, most_months: int, numbers: Numbers) -> Sequence[Table]:
    """The tables of a section; none where nobody noted a change."""
    if review.savings is None or not has_savings(review):
        return ()
    return entry_table(review.savings, most_entries, numbers), month_table(review.savings, most_months)


def csv_texts(savings: Savings, numbers: Numbers) -> list[tuple[str, str, str, str]]:
    """Rows without an amount of their own: record, name, owner, and everything else as a sentence."""
    rows = []
    for one in entry_table(savings, len(savings.entries), numbers).rows:
        title, owner, state, promised, measured, between, verdict, promised_a_month, cash = one
        words = (
            f"{state}; promised {_share(promised, numbers)}, {_money(promised_a_month, numbers)} a month; measured "
            f"{_share(measured, numbers)} ({between}); verdict {verdict}; cash {_money(cash, numbers)} a month"
        )
        rows.append(("saving", str(title), str(owner), words))
    for month in savings.months:
        claimed, verified, probable = (numbers.money(one) for one in in_cents_apart(month))
        words = f"claimed {claimed}; verified {verified}; probable {probable}"
        rows.append(("saving_month", month.month, "", f"{words}; bills {'final' if month.is_final else 'open'}"))
    rows.append(("savings_ledger", "", "", ledger_note(savings)))
    return rows


def _share(cell: Cell, numbers: Numbers) -> str:
    return numbers.share(cell) if isinstance(cell, float) else NONE


def _money(cell: Cell, numbers: Numbers) -> str:
    return numbers.money(cell) if isinstance(cell, Decimal) else NONE
