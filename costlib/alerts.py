"""Alert rules with hysteresis: one fires once when a figure rises above its limit, and clears once when it is back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from math import isfinite

from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.review import Anomaly, Outlook

MOST_EVENTS = 500  # that are remembered
_ID_CHARACTERS = 16


class Watched(StrEnum):
    """What a rule can watch. Shares and probabilities are 0 to 1."""

    BREACH_PROBABILITY = "breach_probability"  # of a budget in this month
    ANOMALY = "anomaly"  # money above what was expected on a day
    IDLE_SHARE = "idle_share"
    UNALLOCATED_SHARE = "unallocated_share"
    SPEND_TO_BUDGET = "spend_to_budget"  # spent so far over the month's budget
    PER_MTOK = "per_mtok"  # money per million tokens


class Way(StrEnum):
    LOG = "log"
    WEBHOOK = "webhook"
    PAGE = "page"


class EventKind(StrEnum):
    FIRED = "fired"
    CLEARED = "cleared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`scope` is the product or team it is of; "" for each that there is. `url_variable` names the environment variable
    with the webhook's address."""

    on: Watched
    above_ratio: float  # in the unit of what is watched
    clear_below_ratio: float
    to: tuple[Way, ...] = (Way.LOG, Way.PAGE)
    scope: str = ""
    url_variable: str = ""

    def __post_init__(self) -> None:
        if not isfinite(self.above_ratio) or not isfinite(self.clear_below_ratio):
            raise DomainError("above and clear_below are finite numbers.")
        if self.clear_below_ratio > self.above_ratio:
            raise DomainError(
                f"it clears below {self.clear_below_ratio:g}, and fires only above {self.above_ratio:g}; clear lower."
            )
        if not self.to or (Way.WEBHOOK in self.to) != bool(self.url_variable):
            raise DomainError("`to` names one way at least, and a webhook has a url_variable and nothing else has.")

    @property
    def key(self) -> str:
        """The same for as long as the rule watches the same; its limits may change."""
        return f"{self.on} {self.scope}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A figure as it is now. None: not known, which neither fires nor clears. `text` says what it is, for people."""

    on: Watched
    scope: str
    value_ratio: float | None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A rule fired or cleared. `id` is the same when the same event is sent again, so that a receiver can tell."""

    id: str
    kind: EventKind
    on: Watched
    scope: str
    value_ratio: float
    limit_ratio: float
    at: datetime
    text: str = ""
    to: tuple[Way, ...] = ()
    waits_for: tuple[Way, ...] = ()  # ways it has not gone yet
    url_variable: str = ""
    attempts_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """What is firing, by rule and scope, with since when; and what happened, newest last."""

    firing: Mapping[str, datetime] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    @property
    def on_page(self) -> tuple[Event, ...]:
        """What pages show, newest first."""
        return tuple(event for event in reversed(self.events) if Way.PAGE in event.to)

    @property
    def firing_on_page(self) -> tuple[Event, ...]:
        """What is firing now and is for pages, the newest first. `at` is since when."""
        since = {(key.split("\n")[-1], at) for key, at in self.firing.items()}
        fired = (event for event in self.on_page if event.kind is EventKind.FIRED)
        return tuple(event for event in fired if (event.scope, event.at) in since)

    @property
    def waiting(self) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.waits_for)


def signals_of(outlook: Outlook | None, anomalies: Iterable[Anomaly]) -> tuple[Signal, ...]:
    """What an outlook and the newest day's anomalies say to rules: chance of a breach, spend to budget, money lost.

    >>> from decimal import Decimal
    >>> from costlib.review import OutlookLine
    >>> line = OutlookLine(name="chat", budget=Decimal(100), actual=Decimal(40), breach_probability=0.7)
    >>> [(str(one.on), one.value_ratio) for one in signals_of(Outlook(month="2026-11", lines=(line,)), [])]
    [('breach_probability', 0.7), ('spend_to_budget', 0.4)]
    """
    found = []
    for line in () if outlook is None else outlook.lines:
        chance = line.breach_probability
        if line.budget is None:
            continue
        known = None if chance is None or isinstance(chance, Undefined) else chance
        text = f"{line.actual:,.2f} of {line.budget:,.2f} spent in {outlook.month if outlook else ''}"
        if line.breach_on is not None:
            text += f", above it from {line.breach_on.isoformat()}"
        found.append(Signal(on=Watched.BREACH_PROBABILITY, scope=line.name, value_ratio=known, text=text))
        spent = float(line.actual / line.budget) if line.budget > 0 else None
        found.append(Signal(on=Watched.SPEND_TO_BUDGET, scope=line.name, value_ratio=spent, text=text))
    worst: dict[str, Anomaly] = {}
    for one in anomalies:
        if one.impact is not None and (one.scope not in worst or one.impact > (worst[one.scope].impact or 0)):
            worst[one.scope] = one
    for scope, one in sorted(worst.items()):
        found.append(Signal(on=Watched.ANOMALY, scope=scope, value_ratio=float(one.impact or 0), text=one.sentence))
    return tuple(found)


def judged(rules: Sequence[Rule], signals: Iterable[Signal], state: AlertState, now: datetime) -> AlertState:
    """The state after looking at all signals.

    Equation   quiet: fires when value > above;  firing: clears when value < clear_below
    Returns    a new state; every new event waits for all the ways of its rule. A rule that is gone stops firing and
               says nothing; a scope without a signal stays as it is
    Valid for  anomalies, which are of a day: without a signal of its scope a firing one clears, as nothing is off
    Example    above 0.5, back at 0.45, which is not below 0.4, and at 0.3
    >>> from datetime import UTC
    >>> rule = Rule(on=Watched.BREACH_PROBABILITY, above_ratio=0.5, clear_below_ratio=0.4)
    >>> state, said = AlertState(), []
    >>> for value in (0.6, 0.7, 0.45, 0.3, 0.2):
    ...     signal = Signal(on=Watched.BREACH_PROBABILITY, scope="chat", value_ratio=value)
    ...     state = judged([rule], [signal], state, datetime(2026, 11, 21, tzinfo=UTC))
    >>> [(str(event.kind), event.value_ratio) for event in state.events]
    [('fired', 0.6), ('cleared', 0.3)]
    """
    firing: dict[str, datetime] = {}
    events = list(state.events)
    now_known = list(signals)
    for rule in rules:
        mine = {one.scope: one for one in now_known if one.on is rule.on and rule.scope in ("", one.scope)}
        was = {key.removeprefix(f"{rule.key}\n"): key for key in state.firing if key.startswith(f"{rule.key}\n")}
        if rule.on is Watched.ANOMALY:
            quiet = Signal(on=rule.on, scope="", value_ratio=rule.clear_below_ratio - 1, text="nothing is off any more")
            mine |= {scope: replace(quiet, scope=scope) for scope in was if scope not in mine}
        for scope, key in was.items():
            if scope not in mine:
                firing[key] = state.firing[key]
        for scope, signal in sorted(mine.items()):
            key, value = f"{rule.key}\n{scope}", signal.value_ratio
            is_firing = key in state.firing
            if is_firing:
                firing[key] = state.firing[key]
            if value is None or not isfinite(value):
                continue
            if not is_firing and value > rule.above_ratio:
                firing[key] = now
                events.append(_event(EventKind.FIRED, rule, signal, value, key, now))
            elif is_firing and value < rule.clear_below_ratio:
                del firing[key]
                events.append(_event(EventKind.CLEARED, rule, signal, value, key, state.firing[key]))
                events[-1] = replace(events[-1], at=now)
    waiting = [event for event in events[:-MOST_EVENTS] if event.waits_for]
    return AlertState(firing=firing, events=(*waiting[-MOST_EVENTS:], *events[-MOST_EVENTS:]))


def gone(state: AlertState, event: Event, way: Way, *, is_done: bool) -> AlertState:
    """The state after an event went one of its ways, or failed to.

    >>> gone(AlertState(), Event(id="a", kind=EventKind.FIRED, on=Watched.ANOMALY, scope="", value_ratio=1.0,
    ...      limit_ratio=0.0, at=datetime(2026, 11, 21)), Way.LOG, is_done=True).events
    ()
    """
    made = []
    for one in state.events:
        if one.id == event.id:
            left = tuple(other for other in one.waits_for if other is not way or not is_done)
            one = replace(one, waits_for=left, attempts_count=one.attempts_count + (way is Way.WEBHOOK))
        made.append(one)
    return replace(state, events=tuple(made))


def _event(kind: EventKind, rule: Rule, signal: Signal, value: float, key: str, since: datetime) -> Event:
    digest = sha256(f"{kind}\n{key}\n{since.isoformat()}".encode()).hexdigest()
    return Event(
        id=digest[:_ID_CHARACTERS],
        kind=kind,
        on=rule.on,
        scope=signal.scope,
        value_ratio=value,
        limit_ratio=rule.above_ratio if kind is EventKind.FIRED else rule.clear_below_ratio,
        at=since,
        text=signal.text,
        to=rule.to,
        waits_for=rule.to,
        url_variable=rule.url_variable,
    )
