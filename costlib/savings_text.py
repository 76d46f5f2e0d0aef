"""The savings ledger as text for a terminal: the board, one verdict, what a plan could show, turns, unnoted changes.

Names and sentences are of people and of servers: each is drawn literally, on one line.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from enum import Enum

from costlib.allocation import in_cents
from costlib.detected import Detected
from costlib.estimate import Estimate, Undefined
from costlib.saving import GUARDED, Advice, Entry, GuardResult, Plan, Savings, State, Verdict, Verification
from costlib.switchback import Turn
from costlib.text_safety import plain

_SENTENCE = 600  # characters
_NONE = "-"
_A_DAY = timedelta(days=1)


def board_text(of: Savings) -> str:
    return "\n".join(_board_lines(of))


def verification_text(entry: Entry, found: Verification, currency: str) -> str:
    return "\n".join(_verification_lines(entry, found, currency))


def promise_text(plan: Plan, advice: Advice, currency: str) -> str:
    return "\n".join(_promise_lines(plan, advice, currency))


def turns_text(turns: Sequence[Turn]) -> str:
    return "\n".join(f"{turn.start:%a %Y-%m-%d %H:%M} to {turn.end:%H:%M} UTC  {'on' if turn.is_on else 'off'}"
                     for turn in turns)  # fmt: skip


def detected_text(found: Sequence[Detected]) -> str:
    return "\n".join(
        f"{one.at:%Y-%m-%d %H:%M} UTC  {plain(one.deployment_key)}: {_said(one.sentence)}"
        + (f"  (lever {one.lever_key})" if one.lever_key else "")
        for one in found
    )


# The board ------------------------------------------------------------------------------------------------------------


def _board_lines(of: Savings) -> Iterator[str]:
    if of.broken:
        yield f"THE LEDGER IS BROKEN: {_counted(len(of.broken_entries), 'change')} not counted"
    yield from (f"  {_said(line)}" for line in (*of.broken, *of.problems))
    if of.is_sample:
        yield "sample data"
    if not of.entries:
        yield "Nothing is in the savings ledger yet: `permillion savings note TITLE` begins it."
    else:
        yield f"{'change':<36}{'state':<12}{'promised':>9}{'measured':>26}  {'verdict':<13}{'cash a month':>16}"
    for one in of.entries:
        yield from _entry_lines(of, one)
    yield from _month_lines(of)
    yield from (f"overlap: {_said(one.sentence)}" for one in of.overlaps)
    yield from (f"later, {one.entry_id}: {_said(one.sentence)}" for one in of.erosions.values())
    for learnt in of.learnt.values():
        yield (f"learnt of {learnt.lever_key}: {learnt.mean_ratio:.2f} of its promise, "
               f"give or take {learnt.sd_ratio:.2f}, from {_counted(learnt.changes_count, 'change')}")  # fmt: skip
    if of.lines_count:
        yield f"ledger: {_counted(of.lines_count, 'line')}, head {of.head or 'unknown'}"


def _entry_lines(of: Savings, one: Entry) -> Iterator[str]:
    """As signed, or as measured today where nobody signed it; nothing of what the file may say wrongly."""
    found = of.verifications.get(one.id)
    known = None if one.id in of.broken_entries else one.signed or found
    promised = f"{one.plan.projection.saved_fraction.mid:.1%}" if one.plan else _NONE
    cash = known.cash_usd_per_month if known else None
    verdict = "broken" if one.id in of.broken_entries else _word(known.verdict) if known else _NONE
    yield (
        f"{one.id:<36}{_word(one.state):<12}{promised:>9}{_between(known.saved_fraction if known else None):>26}"
        f"  {verdict:<13}{_amount(cash.mid) if isinstance(cash, Estimate) else _NONE:>16}"
    )
    parts = [plain(one.title, 80), plain(one.owner or "no owner", 40)]
    if one.signed:
        parts.append(f"signed by {plain(one.signed.by, 40)} on {one.signed.at:%Y-%m-%d}")
        if found and found.verdict is not one.signed.verdict:
            parts.append(f"today: {_word(found.verdict)}")
    elif found:
        parts.append("not signed")
    yield f"  {', '.join(parts)}"


def _month_lines(of: Savings) -> Iterator[str]:
    if of.months:
        yield f"By month, {plain(of.currency)}; the three are never added"
        yield f"  {'':<8}{'claimed':>16}{'verified':>16}{'probable':>16}  bills"
    for one in of.months:
        claimed, verified, probable = map(_amount, (one.claimed, one.verified, one.probable))
        yield f"  {one.month:<8}{claimed:>16}{verified:>16}{probable:>16}  {_bills(one.is_final)}"


# One verdict ----------------------------------------------------------------------------------------------------------


def _verification_lines(entry: Entry, found: Verification, currency: str) -> Iterator[str]:
    shipped = f", shipped {entry.shipped_at:%Y-%m-%d %H:%M} UTC" if entry.shipped_at else ""
    yield f"{plain(entry.title)}, {plain(entry.owner or 'no owner', 40)} ({entry.id}){shipped}"
    yield f"{_word(found.verdict).upper()}: {_said(found.reason)}"
    if found.remedy:
        yield f"  what would settle it: {_said(found.remedy)}"
    if found.before and found.after:
        (first, then), (later, end) = found.before, found.after
        yield f"  {first} to {then - _A_DAY} beside {later} to {end - _A_DAY}"
    promised = entry.plan.projection.saved_fraction if entry.plan else Undefined(reason="nobody committed to it")
    if isinstance(found.saved_fraction, Undefined):  # and so is everything else, for the same reason
        yield from _table([("promised", _share(promised)), ("measured", "not known")])
    else:
        yield from _measured_lines(found, promised, plain(currency))
    yield from (f"note: {_said(note)}" for note in found.notes)
    if entry.signed:
        yield (
            f"signed by {plain(entry.signed.by, 40)} on {entry.signed.at:%Y-%m-%d}: "
            f"{_word(entry.signed.verdict)}, {_share(entry.signed.saved_fraction)}"
        )


def _measured_lines(found: Verification, promised: Estimate | Undefined, money: str) -> Iterator[str]:
    yield "Saved of the cost of a unit of work"
    yield from _table((
        ("measured", _share(found.saved_fraction)),
        ("promised", _share(promised)),
        ("realised, of what was promised", _share(found.realised_fraction)),
        ("smallest saving that is visible", _share(found.minimum_fraction)),
        ("naive, bills before and after", _share(found.naive_fraction)),
        ("other dates with as much effect", _share(found.placebo_fraction)),
    ))  # fmt: skip
    yield f"A month, three views that are never added; {_bills(found.is_final)} bills"
    yield from _table((
        ("bill change", _money(found.bill_change_usd_per_month, money)),
        ("cash not paid any more", _money(found.cash_usd_per_month, money)),
        ("capacity freed, still paid", _range(found.capacity_gpu_hours_per_month, "GPU-hours")),
    ))  # fmt: skip
    yield from _waterfall(found, money)
    if found.guards:
        yield "What must not get worse"
        yield from _table((GUARDED.get(one.guard.measure, plain(one.guard.measure)), _guard(one))
                          for one in found.guards)  # fmt: skip
    if found.checks:
        yield "Asked otherwise"
        yield from _table((plain(one.name, 60), "  ".join(filter(None, (_share(one.saved_fraction), _said(one.note)))))
                          for one in found.checks)  # fmt: skip


def _waterfall(found: Verification, currency: str) -> Iterator[str]:
    if isinstance(found.spend_before, Undefined) or isinstance(found.spend_after, Undefined):
        return
    yield f"From the spend before to the spend after, {currency} a month"
    steps = [("before", _amount(found.spend_before))]
    steps += [(plain(bar.name, 60), f"{bar.amount:+,.2f}") for bar in found.bars]
    steps.append(("after", _amount(found.spend_after)))
    yield from _table((name, f"{amount:>16}") for name, amount in steps)


def _guard(one: GuardResult) -> str:
    state = {True: "BROKEN", False: "kept", None: "cannot tell"}[one.is_broken]
    sides = f"{_number(one.before)} before, {_number(one.after)} after"
    return f"{state}: {sides}; changed {_share(one.change_fraction)}; margin +{one.guard.margin_fraction:.0%}"


# A plan ---------------------------------------------------------------------------------------------------------------


def _promise_lines(plan: Plan, advice: Advice, currency: str) -> Iterator[str]:
    promised = plan.projection
    yield f"promised for the same work: {_share(promised.saved_fraction)}"
    yield f"  a month: {_money(promised.saved_usd_per_month, plain(currency))}"
    controls = f", beside {_names(plan.control_keys)}" if plan.control_keys else ""
    yield f"  of {_names(plan.lever_keys)}, on {_names(plan.pool_keys)}{controls}"
    yield (f"  {_word(plan.design)}, {plan.before_days} days before and {plan.after_days} after, "
           f"{_counted(plan.looks_count, 'look')}")  # fmt: skip
    yield f"  {_word(plan.outcome)} per {_word(plan.work)}; weights {_said(plan.weights.source)}"
    for guard in plan.guards:
        yield f"  guarded: {GUARDED.get(guard.measure, plain(guard.measure))}, +{guard.margin_fraction:.0%} at most"
    yield _said(advice.sentence)
    yield from (f"  {_said(line)}" for line in advice.advice)


# Words and figures ----------------------------------------------------------------------------------------------------


def _word(of: Enum) -> str:
    if of is State.REVERSED:
        return "taken back"
    if of is Verdict.ROSE:
        return "cost rose"
    return str(of.value).replace("_", " ")


def _names(keys: Iterable[str]) -> str:
    return ", ".join(plain(key, 80) for key in keys)


def _said(sentence: str) -> str:
    return plain(sentence, _SENTENCE)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _bills(is_final: bool) -> str:
    return "final" if is_final else "open"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    known = list(rows)
    width = max((len(name) for name, _ in known), default=0)
    return (f"  {name:<{width}}  {value}" for name, value in known)


def _between(found: Estimate | Undefined | None) -> str:
    return f"{found.mid:.1%} ({found.low:.1%} to {found.high:.1%})" if isinstance(found, Estimate) else _NONE


def _share(found: Estimate | Undefined | float) -> str:
    if isinstance(found, Undefined):
        return f"not known: {_said(found.reason)}"
    return f"{_between(found)}, {found.basis}" if isinstance(found, Estimate) else f"{found:.1%}"


def _number(found: float | Undefined) -> str:
    return "not known" if isinstance(found, Undefined) else f"{found:.3g}"


def _amount(found: Decimal | float) -> str:
    """In cents."""
    (cents,) = in_cents([found if isinstance(found, Decimal) else Decimal(repr(found))])
    return f"{cents:,.2f}"


def _money(found: Estimate | Undefined | Decimal, currency: str) -> str:
    if isinstance(found, Undefined):
        return f"not known: {_said(found.reason)}"
    if isinstance(found, Decimal):
        return f"{'+' if found > 0 else ''}{_amount(found)} {currency}"
    return f"{_amount(found.mid)} {currency} ({_amount(found.low)} to {_amount(found.high)}), {found.basis}"


def _range(found: Estimate | Undefined, unit: str) -> str:
    if isinstance(found, Undefined):
        return f"not known: {_said(found.reason)}"
    return f"{found.mid:,.0f} {unit} ({found.low:,.0f} to {found.high:,.0f}), {found.basis}"
