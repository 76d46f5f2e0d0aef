"""The savings ledger: what people said of each change, one line each, chained by digests so that nothing is rewritten
unseen.

Each line holds the digest of the line before it and its own. A line that is changed, moved, inserted, written twice or
taken out of the middle breaks the chain there. Lines taken from the very end leave a chain that holds, and so does a
file that somebody wrote anew from one line to its end: that is seen only by who noted `Chain.head` and
`Chain.lines_count` before, as every weekly pack does. `continues` compares them.

A line that is missing or cannot be read may have taken back any change that was noted before it. So every one of
those counts as broken, not only those whose lines stand beside the gap.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from functools import cache
from hashlib import sha256
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from costlib.errors import ConfigError
from costlib.jsonable import jsonable
from costlib.saving import Plan, Signed
from costlib.text_safety import plain

MOST_LINE_CHARACTERS = 200_000
_SLUG_CHARACTERS, _DIGEST_CHARACTERS = 28, 6
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_UNREADABLE = (ValueError, TypeError, KeyError, ArithmeticError, RecursionError)


class Kind(StrEnum):
    IDEA = "idea"
    PLANNED = "planned"
    SHIPPED = "shipped"
    SIGNED = "signed"
    TAKEN_BACK = "taken_back"
    REJECTED = "rejected"
    REOPENED = "reopened"  # rejected by mistake
    SAID = "said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Idea:
    title: str
    owner: str
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """`periods` and `switched_every_hours` are of a switchback: when it is on, and how long each turn is."""

    at: datetime
    periods: tuple[tuple[datetime, datetime], ...] = ()
    switched_every_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    at: datetime


Body = Idea | Plan | Shipped | Signed | TakenBack | None

BODIES: Mapping[Kind, type] = {
    Kind.IDEA: Idea,
    Kind.PLANNED: Plan,
    Kind.SHIPPED: Shipped,
    Kind.SIGNED: Signed,
    Kind.TAKEN_BACK: TakenBack,
    Kind.REJECTED: NoneType,
    Kind.REOPENED: NoneType,
    Kind.SAID: NoneType,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What somebody said of one change. `at` is when it was written, in UTC; `text` is in their own words, and for
    some kinds all there is."""

    entry_id: str
    kind: Kind
    at: datetime
    by: str
    text: str = ""
    is_sample: bool = False
    body: Body = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where the chain does not hold. `entry_id` is that of the line, "" where it has none that can be read."""

    line_number: int
    entry_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What a ledger says, and whether it is what was written.

    digests         of each line as it stands now; "" where it cannot be read
    broken_entries  ids of the changes that a break may have touched: none of their money counts
    """

    events: tuple[Event, ...] = ()
    digests: tuple[str, ...] = ()
    breaks: tuple[Break, ...] = ()
    broken_entries: frozenset[str] = frozenset()

    @property
    def head(self) -> str:
        """Digest of the last line; "" for a ledger with none."""
        return self.digests[-1] if self.digests else ""

    @property
    def lines_count(self) -> int:
        return len(self.digests)


def encoded(event: Event, previous_digest: str) -> str:
    """`event` as one line of JSON, without the line break. `previous_digest` is `Chain.head`, "" for the first line.

    Raises ConfigError for what would not read back exactly: NaN, a time not in UTC, a body of another kind
    """
    document = {**jsonable(event), "previous": previous_digest}
    try:
        document["digest"] = _digest(document)
        line = _canonical(document)
        read = _event_of(json.loads(line))
    except _UNREADABLE as error:
        raise ConfigError(
            f"this cannot be kept in the savings ledger: {plain(error)}. Correct it, and say it again."
        ) from error
    if read != event or len(line) > MOST_LINE_CHARACTERS:
        raise ConfigError("this cannot be kept in the savings ledger: it is too long, or not all of it can be written.")
    return line


def read_chain(lines: Iterable[str]) -> Chain:
    """What `lines` say, and where they are not what was written. Never raises: a line that cannot be read is a break.

    Example    a line that somebody edited
    >>> from datetime import UTC
    >>> at = datetime(2026, 11, 16, tzinfo=UTC)
    >>> line = encoded(Event(entry_id="fp8-1", kind=Kind.SAID, at=at, by="Ada", text="On Monday"), "")
    >>> [broken.text for broken in read_chain([line, line.replace("Monday", "Sunday")]).breaks]
    ['line 2 (fp8-1) was changed after it was written']
    """
    found = [_line(text) for text in lines]
    place_of = {"": 0}
    for number, line in enumerate(found, start=1):
        place_of.setdefault(line.digest, number)
    breaks: list[Break] = []
    broken: set[str] = set()
    expected = {""}  # what the next line may call the one before it; nothing where that cannot be told
    for number, line in enumerate(found, start=1):
        fault, touched = line.fault, range(number)
        if not fault and expected and line.previous not in expected:
            place = place_of.get(line.previous)
            if place is None:
                fault = (
                    f"does not follow {_place(number - 1)}: one of the two was changed, or a line between is missing"
                )
            else:
                fault = f"follows {_place(place)}: lines were moved, inserted or written twice"
                touched = range(min(place, number - 1), max(place, number))
        if fault:
            of = f" ({line.entry_id})" if line.entry_id else ""
            breaks.append(Break(line_number=number, entry_id=line.entry_id, text=f"line {number}{of} {fault}"))
            broken |= {found[index].entry_id for index in touched}
        expected = {line.digest, line.recorded} - {""}
    return Chain(
        events=tuple(line.event for line in found if line.event),
        digests=tuple(line.digest for line in found),
        breaks=tuple(breaks),
        broken_entries=frozenset(broken - {""}),
    )


def continues(chain: Chain, head: str, lines_count: int) -> bool:
    """Whether a head that was noted when the ledger had `lines_count` lines is still the digest of that line."""
    if lines_count == 0:
        return head == ""
    return 0 < lines_count <= chain.lines_count and chain.digests[lines_count - 1] == head != ""


def new_id(title: str, owner: str, at: datetime) -> str:
    """A name for a change that people can read and type: the beginning of its title, and a few digits that tell it
    from others of the same title. The same words at the same time are the same change.

    >>> from datetime import UTC
    >>> new_id("FP8 weights on search!", "Ada", datetime(2026, 11, 16, tzinfo=UTC))
    'fp8-weights-on-search-b02524'
    """
    words = "-".join(re.findall("[a-z0-9]+", title.lower()))[:_SLUG_CHARACTERS].strip("-") or "change"
    digest = sha256(json.dumps([title, owner, at.isoformat()]).encode()).hexdigest()
    return f"{words}-{digest[:_DIGEST_CHARACTERS]}"


# Reading one line -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    event: Event | None
    entry_id: str
    previous: str
    recorded: str  # the digest that stands in it
    digest: str  # the one that it has
    fault: str


def _line(text: str) -> _Line:
    event, fault, entry_id, previous, recorded, digest = None, "", "", "", "", ""
    try:
        if len(text) > MOST_LINE_CHARACTERS:
            raise ValueError(f"it has more than {MOST_LINE_CHARACTERS:,} characters")
        document = json.loads(text)
        if not isinstance(document, dict):
            raise ValueError("it is no object of JSON")
        canonical, digest = _canonical(document), _digest(document)
        entry_id, previous, recorded = (
            value if isinstance(value := document.get(name), str) else "" for name in ("entry_id", "previous", "digest")
        )
        entry_id = entry_id if _ID.fullmatch(entry_id) else ""
        if digest != recorded or canonical != text:
            fault = "was changed after it was written"
        _text(document["previous"])
        event = _event_of(document)
    except _UNREADABLE as error:
        fault = fault or f"cannot be read: {plain(error)}"
    return _Line(event=event, entry_id=entry_id, previous=previous, recorded=recorded, digest=digest, fault=fault)


def _place(number: int) -> str:
    return f"line {number}" if number else "no other line"


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(_canonical({key: value for key, value in document.items() if key != "digest"}).encode()).hexdigest()


def _event_of(document: Mapping[str, Any]) -> Event:
    given = {key: value for key, value in document.items() if key not in ("previous", "digest", "body")}
    body = _value(BODIES[Kind(_text(given["kind"]))], document["body"])
    event: Event = _filled(Event, given, body=body)
    if not _ID.fullmatch(event.entry_id):
        raise ValueError("its id is no name of a change")
    return event


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _filled(kind: Any, given: Any, **ready: Any) -> Any:
    """A dataclass from an object of JSON; a field that is not there must have a default, as one that is younger has."""
    if not isinstance(given, dict):
        raise ValueError(f"{kind.__name__} is no object of JSON")
    if unknown := given.keys() - _hints(kind).keys():
        raise ValueError(f"{kind.__name__} has no {min(unknown)!r}; a newer release may have written it")
    return kind(**{name: _value(_hints(kind)[name], value) for name, value in given.items()}, **ready)


def _value(hint: Any, value: Any) -> Any:
    """`value` of JSON as what `hint` says. Raises one of _UNREADABLE."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (NoneType,) if value is None else (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_value(part, item) for part, item in zip(kinds, value, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        return _filled(hint, value)
    if hint is datetime:
        at = datetime.fromisoformat(_text(value))
        if at.utcoffset() != timedelta(0):
            raise ValueError("a time is not in UTC")
        return at
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(_text(value))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{plain(json.dumps(value), 40)} is no {getattr(hint, '__name__', hint)}")
    return _text(value) if hint is str else value


def _text(value: Any) -> str:
    """`value` if it is a text that can be written anywhere: half a surrogate pair cannot."""
    if not isinstance(value, str):
        raise ValueError("a text is missing")
    value.encode()
    return value
