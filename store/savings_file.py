"""`savings.jsonl` in the folder that PERMILLION_HOME names: the savings ledger, one line for each step of each change.

Lines are only ever added, under a lock, and are on the disk before anybody is told so. A line that a crash or a full
disk cut off was never confirmed: the next entry moves it into `savings.jsonl.torn` and goes on after the last whole
line. A ledger of the sample makes way for the first real entry, and is kept in `savings.jsonl.sample`.
"""

import fcntl
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from costlib.errors import ConfigError
from costlib.saving import Entry, Plan, Signed
from costlib.savings_ledger import Body, Chain, Event, Idea, Kind, Shipped, TakenBack, encoded, new_id, read_chain
from costlib.savings_steps import check_step, find, folded
from store.actions import printable
from store.durable import sync
from store.home import Home

TORN, SAMPLE = ".torn", ".sample"
_MEND = "Put the file back from a backup. Without one, move it away: a new ledger begins, and the old one is evidence."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the ledger says now.

    broken          sentences, one for each line that was changed, moved or lost, and what to do
    broken_entries  ids of changes whose lines may not be what was written, or cannot be: none of their money counts
    problems        what else is wrong with the file, and what to do
    """

    chain: Chain = field(default_factory=Chain)
    entries: tuple[Entry, ...] = ()
    broken: tuple[str, ...] = ()
    broken_entries: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @property
    def is_sample(self) -> bool:
        return bool(self.chain.events) and all(event.is_sample for event in self.chain.events)


def ledger(home: Home, is_sample: bool | None = None) -> Ledger:
    """What is in the file. With `is_sample`, as a snapshot says it of its data, nothing where the file is of the
    other kind: the sample's changes are never shown among real ones."""
    try:
        with home.savings.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            data = file.read()
    except FileNotFoundError:
        return Ledger()
    except OSError as error:
        return Ledger(problems=(f"{home.savings.name} cannot be read: {error.strerror}. Let this user read it.",))
    found, whole_bytes = _read(home, data)
    if is_sample is not None and found.chain.events and found.is_sample != is_sample:
        return Ledger()
    problems = list(found.problems)
    if whole_bytes < len(data):
        problems.append(
            f"The last line of {home.savings.name} was cut off while it was written, and was never confirmed."
            f" The next entry moves it into {home.savings.name}{TORN}; say it again if it is missing."
        )
    if _beside(home, TORN).exists():
        problems.append(
            f"{home.savings.name}{TORN} keeps what was cut off while it was written, and was never confirmed."
            " Say it again if it is missing, then delete that file."
        )
    return replace(found, problems=tuple(problems))


def set_aside_sample(home: Home) -> None:
    """Keep the sample's ledger beside, where there is one: its dates are those of another week."""
    if home.savings.exists() and ledger(home).is_sample:
        home.savings.replace(_beside(home, SAMPLE))


def append(home: Home, event: Event) -> None:
    """Add one line, and wait until it is on the disk. Raises ConfigError for a step that cannot follow, and where the
    file is broken at its end or in what it says of that change."""
    _append(home, lambda _: event)


def note_idea(
    home: Home, title: str, owner: str, now: datetime, *, by: str = "", evidence: str = "", is_sample: bool = False
) -> str:
    """Write an idea down; returns its id. `by` is the owner unless it is said; `is_sample` as the data looked at."""
    title, owner = printable("a change's title", title), printable("a change's owner", owner)
    idea = Idea(title=title, owner=owner, evidence=printable("the evidence", evidence) if evidence.strip() else "")
    entry_id = new_id(title, owner, _utc(now))
    append(home, _event(entry_id, Kind.IDEA, by or owner, now, body=idea, is_sample=is_sample))
    return entry_id


def commit(home: Home, entry_id: str, plan: Plan, by: str, now: datetime, text: str = "") -> None:
    """Freeze what a change promises."""
    _step(home, entry_id, Kind.PLANNED, by, now, text, plan)


def ship(
    home: Home,
    entry_id: str,
    at: datetime,
    by: str,
    now: datetime,
    periods: Sequence[tuple[datetime, datetime]] = (),
    switched_every_hours: float | None = None,
    text: str = "",
) -> None:
    """Say since when a change is on; of a switchback also its on-periods, and the hours of one turn."""
    inside = tuple((_utc(first), _utc(last)) for first, last in periods)
    shipped = Shipped(at=_utc(at), periods=inside, switched_every_hours=switched_every_hours)
    _step(home, entry_id, Kind.SHIPPED, by, now, text, shipped)


def sign(home: Home, entry_id: str, signed: Signed, by: str, now: datetime, text: str = "") -> None:
    """Sign a verdict, as `by` and at `now` whatever `signed` says of that. The newest counts, all stay."""
    by = printable("a name", by)
    _step(home, entry_id, Kind.SIGNED, by, now, text, replace(signed, by=by, at=_utc(now)))


def take_back(home: Home, entry_id: str, at: datetime, by: str, now: datetime, text: str = "") -> None:
    _step(home, entry_id, Kind.TAKEN_BACK, by, now, text, TakenBack(at=_utc(at)))


def reject(home: Home, entry_id: str, why: str, by: str, now: datetime) -> None:
    _step(home, entry_id, Kind.REJECTED, by, now, printable("the reason", why))


def reopen(home: Home, entry_id: str, by: str, now: datetime, text: str = "") -> None:
    _step(home, entry_id, Kind.REOPENED, by, now, text)


def say(home: Home, entry_id: str, text: str, by: str, now: datetime) -> None:
    _step(home, entry_id, Kind.SAID, by, now, printable("a note", text))


def _step(home: Home, entry_id: str, kind: Kind, by: str, now: datetime, text: str, body: Body = None) -> None:
    """A step of a change that is known: it is of the sample where the change is."""
    event = _event(entry_id, kind, by, now, text, body)
    _append(home, lambda found: replace(event, is_sample=_known(found, entry_id).is_sample))


def _known(found: Ledger, entry_id: str) -> Entry:
    entry = find(found.entries, entry_id)
    if entry.id != entry_id:
        raise ConfigError(f"{entry_id!r} is only the beginning of {entry.id}. Give the whole id.")
    return entry


def _event(
    entry_id: str, kind: Kind, by: str, now: datetime, text: str = "", body: Body = None, is_sample: bool = False
) -> Event:
    return Event(
        entry_id=entry_id,
        kind=kind,
        at=_utc(now),
        by=printable("a name", by),
        text=printable("a note", text) if text.strip() else "",
        is_sample=is_sample,
        body=body,
    )


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ConfigError(f"{at} is in no time zone. Say which, as in {at}+00:00.")
    return at.astimezone(UTC)


def _append(home: Home, event_for: Callable[[Ledger], Event]) -> None:
    home.make()
    try:
        handle = os.open(home.savings, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{home.savings} cannot be written: {error.strerror}. Let this user write it.") from error
    with os.fdopen(handle, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        data = file.read()
        found, whole_bytes = _read(home, data)
        event = event_for(found)
        aside = TORN
        if found.is_sample and not event.is_sample:
            aside, found, whole_bytes = SAMPLE, Ledger(), 0
        _check(home, found, event)
        line = encoded(event, found.chain.head).encode() + b"\n"
        if data[whole_bytes:]:
            _keep(_beside(home, aside), data[whole_bytes:])
            os.ftruncate(handle, whole_bytes)
        elif not data.endswith(b"\n") and data:  # an editor took the last line break
            line = b"\n" + line
        _add(handle, home.savings, line, whole_bytes)
    if not data:
        sync(home.path)


def _check(home: Home, found: Ledger, event: Event) -> None:
    if found.chain.breaks and found.chain.breaks[-1].line_number == found.chain.lines_count:
        raise ConfigError(f"{home.savings.name}: {found.chain.breaks[-1].text}. Nothing is written after it. {_MEND}")
    if event.entry_id in found.broken_entries and event.kind is not Kind.SAID:
        raise ConfigError(f"{event.entry_id} cannot go on: {' '.join((*found.broken, *found.problems))}")
    if found.chain.events and event.is_sample and not found.is_sample:
        raise ConfigError(
            "this home already holds changes of your own, and those of the sample would stand among them."
            " Name an empty folder in PERMILLION_HOME to look at the sample."
        )
    entry = next((entry for entry in found.entries if entry.id == event.entry_id), None)
    check_step(entry, event)


def _read(home: Home, data: bytes) -> tuple[Ledger, int]:
    """The ledger, and how many bytes of `data` it is made of: all, or all but a line that was cut off."""
    *lines, last = data.decode(errors="replace").split("\n")
    whole_bytes = data.rfind(b"\n") + 1
    chain = read_chain([*lines, last] if last else lines)
    if last and any(broken.line_number == chain.lines_count for broken in chain.breaks):
        chain = read_chain(lines)
    elif last:
        whole_bytes = len(data)
    board = folded(chain.events)
    found = Ledger(
        chain=chain,
        entries=board.entries,
        broken=tuple(f"{home.savings.name}: {broken.text}. {_MEND}" for broken in chain.breaks),
        broken_entries=chain.broken_entries | {entry_id for entry_id, _ in board.problems},
        problems=tuple(f"{home.savings.name}: {entry_id}: {text}" for entry_id, text in board.problems),
    )
    return found, whole_bytes


def _beside(home: Home, ending: str) -> Path:
    return home.savings.with_name(home.savings.name + ending)


def _keep(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        _add(handle, path, data if data.endswith(b"\n") else data + b"\n", os.fstat(handle).st_size)
    finally:
        os.close(handle)
    sync(path.parent)


def _add(handle: int, path: Path, data: bytes, size_bytes: int) -> None:
    """One write at the end of a file of that size: all of `data` is on the disk, or none of it."""
    try:
        if os.write(handle, data) == len(data):
            os.fsync(handle)
            return
        reason = "the disk is full"
    except OSError as error:
        reason = str(error.strerror)
    os.ftruncate(handle, size_bytes)
    raise ConfigError(f"{path} cannot be written: {reason}. Nothing was added; make room, and say it again.")
