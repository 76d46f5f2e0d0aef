"""Which step may follow which, of a change that is to save money; and every change as its steps left it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from costlib.errors import ConfigError, UnknownKey
from costlib.saving import GUARDED, Design, Entry, Plan, Said, Signed, State, Verdict
from costlib.savings_ledger import Event, Idea, Kind, Shipped, TakenBack
from costlib.text_safety import plain

_CLOCKS_DIFFER = timedelta(minutes=5)  # of two machines that write to one ledger
_MOST_DAYS, _MOST_LOOKS, _MOST_HOURS = 3660, 1000, 24 * 366
_LIVE = frozenset({State.SHIPPED, State.VERIFIED, State.PARTIAL, State.NOT_SHOWN})

STATE_OF: Mapping[Verdict, State] = {
    Verdict.VERIFIED: State.VERIFIED,
    Verdict.PARTIAL: State.PARTIAL,
    Verdict.PROBABLE: State.PARTIAL,
    Verdict.NOT_SHOWN: State.NOT_SHOWN,
    Verdict.ROSE: State.NOT_SHOWN,
    Verdict.GUARD_BROKEN: State.NOT_SHOWN,
}  # CANNOT_TELL is nothing that anybody can sign

# From which states each step leads on, and what to do from the others.
_FROM: Mapping[Kind, tuple[frozenset[State], str]] = {
    Kind.PLANNED: (
        frozenset({State.IDEA}),
        "What was promised cannot be changed afterwards; note another change for another promise.",
    ),
    Kind.SHIPPED: (frozenset({State.PLANNED}), "It is shipped once, after somebody committed to what it promises."),
    Kind.SIGNED: (_LIVE | {State.REVERSED}, "Only what was shipped can be signed."),
    Kind.TAKEN_BACK: (_LIVE, "Only what was shipped can be taken back; reject what was not."),
    Kind.REJECTED: (
        frozenset({State.IDEA, State.PLANNED, State.NOT_SHOWN}),
        "Only what is not shipped, or was not shown to save, can be rejected; take back what is on.",
    ),
    Kind.REOPENED: (frozenset({State.REJECTED}), "Only what was rejected can be opened again."),
    Kind.SAID: (frozenset(State), ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """problems  by entry id, what was said of a change that cannot be; such a step counts for nothing."""

    entries: tuple[Entry, ...]
    problems: tuple[tuple[str, str], ...] = ()


def folded(events: Iterable[Event]) -> Folded:
    """Every change as its events left it, oldest first."""
    found: dict[str, Entry] = {}
    problems = []
    for event in events:
        entry = found.get(event.entry_id)
        try:
            check_step(entry, event)
        except ConfigError as error:
            problems.append((event.entry_id, f"{event.kind} of {event.at:%Y-%m-%d %H:%M} UTC is not counted: {error}"))
        else:
            found[event.entry_id] = after(entry, event)
    return Folded(entries=tuple(found.values()), problems=tuple(problems))


def entries(events: Iterable[Event]) -> tuple[Entry, ...]:
    """`folded`, for events that were all checked when they were written."""
    return folded(events).entries


def find(entries: Sequence[Entry], text: str) -> Entry:
    """The change with that id, or the only one whose id begins so. Raises UnknownKey."""
    alike = [entry for entry in entries if entry.id.startswith(text)]
    exact = [entry for entry in alike if entry.id == text]
    if text and len(exact or alike) == 1:
        return (exact or alike)[0]
    raise UnknownKey("change", text, [entry.id for entry in alike or entries])


def is_committed_late(entry: Entry) -> bool:
    """Whether what it promises was frozen when it was on already, and its effect could be seen."""
    return entry.committed_at is not None and entry.shipped_at is not None and entry.shipped_at < entry.committed_at


def check_step(entry: Entry | None, event: Event) -> None:
    """Raises ConfigError where `event` cannot follow what is known of its change; `entry` is None for a new one."""
    if event.kind is Kind.IDEA:
        if entry is not None:
            raise ConfigError(f"{entry.id} was noted already. Go on with it, or give another title.")
        return
    if entry is None:
        raise UnknownKey("change", event.entry_id, ())
    allowed, remedy = _FROM[event.kind]
    if entry.state not in allowed:
        raise ConfigError(f"{entry.id} is {said_of(entry.state)}. {remedy}")
    if event.is_sample != entry.is_sample:
        raise ConfigError(f"{entry.id} is {'' if entry.is_sample else 'not '}of the sample. Keep the two apart.")
    if entry.said and entry.said[-1].at - event.at > _CLOCKS_DIFFER:
        raise ConfigError(
            f"{event.at:%Y-%m-%d %H:%M} UTC is before what was said of {entry.id} last, at"
            f" {entry.said[-1].at:%Y-%m-%d %H:%M}. Set this machine's clock."
        )
    match event.body:
        case Plan():
            _check_plan(event.body)
        case Shipped():
            _check_shipped(entry, event.body, event.at)
        case TakenBack():
            _check_past(event.body.at, event.at)
            if entry.shipped_at is not None and event.body.at <= entry.shipped_at:
                raise ConfigError(f"{entry.id} cannot be taken back before it was shipped. Give a later time.")
        case Signed():
            if event.body.verdict not in STATE_OF:
                raise ConfigError(
                    f"{entry.id}: a verdict that cannot be told yet cannot be signed. Wait for more data."
                )
            if (event.body.by, event.body.at) != (event.by, event.at):
                raise ConfigError(f"{entry.id}: who signs, and when, is who says so. Give the same name and time.")


def after(entry: Entry | None, event: Event) -> Entry:
    """The change after `event`, a step that may follow: see `check_step`."""
    said = Said(at=event.at, by=event.by, text=_sentence(event))
    if entry is None:
        assert isinstance(event.body, Idea)
        return Entry(
            id=event.entry_id,
            title=event.body.title,
            owner=event.body.owner,
            evidence=event.body.evidence,
            state=State.IDEA,
            noted_at=event.at,
            said=(said,),
            is_sample=event.is_sample,
        )
    entry = replace(entry, said=(*entry.said, said))
    match event.body:
        case Plan() as plan:
            return replace(entry, state=State.PLANNED, plan=plan, committed_at=event.at)
        case Shipped(at=at, periods=periods, switched_every_hours=hours):
            entry = replace(entry, state=State.SHIPPED, shipped_at=at, periods=periods, switched_every_hours=hours)
            if is_committed_late(entry):
                late = "Committed after it was shipped: what it promises was not frozen before it could be seen."
                entry = replace(entry, said=(*entry.said, Said(at=event.at, by=event.by, text=late)))
            return entry
        case Signed() as signed:
            state = State.REVERSED if entry.state is State.REVERSED else STATE_OF[signed.verdict]
            return replace(entry, state=state, signed=signed)
        case TakenBack(at=at):
            return replace(entry, state=State.REVERSED, ended_at=at, periods=_until(entry, at))
    if event.kind is Kind.REJECTED:
        return replace(entry, state=State.REJECTED)
    if event.kind is Kind.REOPENED:
        return replace(entry, state=_state_before(entry))
    return entry


def said_of(state: State) -> str:
    """`state` inside a sentence."""
    return {State.IDEA: "an idea", State.NOT_SHOWN: "not shown to save"}.get(state, state.value)


def _until(entry: Entry, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
    """When it was on, up to `end`."""
    if entry.shipped_at is None:
        return ()
    periods = entry.periods or ((entry.shipped_at, end),)
    return tuple((first, min(last, end)) for first, last in periods if first < end)


def _state_before(entry: Entry) -> State:
    """Of a change that was rejected: from an idea, from a plan, or where it was not shown to save."""
    if entry.signed is not None:
        return State.NOT_SHOWN
    return State.IDEA if entry.plan is None else State.PLANNED


def _sentence(event: Event) -> str:
    match event.body:
        case Idea(title=title):
            said = f"Noted: {title}"
        case Plan(projection=projection, design=design):
            share = projection.saved_fraction
            said = f"Committed to {share.mid:.1%} saved ({share.low:.1%} to {share.high:.1%}), by {design.value}"
        case Shipped(at=at):
            said = f"Shipped at {at:%Y-%m-%d %H:%M} UTC"
        case Signed(verdict=verdict, saved_fraction=share, is_final=is_final):
            bills = "final" if is_final else "not yet final"
            said = (
                f"Signed as {verdict.value.replace('_', ' ')}: {share.mid:.1%} saved ({share.low:.1%} to"
                f" {share.high:.1%}), bills {bills}"
            )
        case TakenBack(at=at):
            said = f"Taken back at {at:%Y-%m-%d %H:%M} UTC"
        case _:
            said = {Kind.REJECTED: "Rejected", Kind.REOPENED: "Opened again"}.get(event.kind, "")
    return ". ".join(part for part in (said, event.text) if part)


def _check_past(at: datetime, now: datetime) -> None:
    if at - now > _CLOCKS_DIFFER:
        raise ConfigError(f"{at:%Y-%m-%d %H:%M} UTC is yet to come. Say it when it is done, or correct the time.")


def _check_plan(plan: Plan) -> None:
    if not plan.pool_keys:
        raise ConfigError("a plan names the pools that are changed. Choose at least one.")
    if both := set(plan.pool_keys) & set(plan.control_keys):
        raise ConfigError(f"{plain(min(both))!r} is both changed and compared with. Take it from one of the two.")
    if not plan.control_keys and plan.design is Design.DIFFERENCE:
        raise ConfigError("difference-in-differences compares with a pool that nobody touches. Choose one.")
    for name, count in (("before", plan.before_days), ("after", plan.after_days)):
        if not 1 <= count <= _MOST_DAYS:
            raise ConfigError(f"the window {name} the change has 1 to {_MOST_DAYS} days, not {count}. Correct it.")
    if not 1 <= plan.looks_count <= _MOST_LOOKS:
        raise ConfigError(f"somebody looks 1 to {_MOST_LOOKS} times, not {plan.looks_count}. Correct it.")
    for guard in plan.guards:
        if guard.measure not in GUARDED:
            raise UnknownKey("guard", guard.measure, GUARDED)


def _check_shipped(entry: Entry, shipped: Shipped, now: datetime) -> None:
    _check_past(shipped.at, now)
    is_switchback = entry.plan is not None and entry.plan.design is Design.SWITCHBACK
    hours = shipped.switched_every_hours
    if not is_switchback:
        if shipped.periods or hours is not None:
            raise ConfigError(f"{entry.id} is no switchback: it has no periods and no turns. Leave them out.")
        return
    if hours is None or not 0 < hours <= _MOST_HOURS or not shipped.periods:
        raise ConfigError(f"{entry.id} is a switchback. Say when it is on, and after how many hours it is switched.")
    edges = [shipped.at, *(edge for period in shipped.periods for edge in period)]
    if edges != sorted(edges) or any(first >= last for first, last in shipped.periods):
        raise ConfigError(f"the periods of {entry.id} follow each other, from when it was shipped. Put them in order.")
