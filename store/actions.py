"""Decisions, actions and notes of the weekly review: appended one line each, never changed, so that history stays."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from costlib.billing import exact_text
from costlib.errors import ConfigError, UnknownKey
from costlib.review import Action, ActionState, Proposal
from store.home import Home

MOST_CHARACTERS, MOST_NOTE_CHARACTERS = 500, 1000
_SHORT = 10  # characters of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Every action as it is now, what each week's meeting should know, and the lines of the file
    that cannot be read."""

    actions: tuple[Action, ...]
    notes: Mapping[date, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def note(
    home: Home,
    text: str,
    owner: str,
    due: date | None,
    now: datetime,
    *,
    week: date | None = None,
    proposal: Proposal | None = None,
) -> str:
    """Write an action down; returns its id. `week` is the first day of the period it is for; `proposal` what it does.

    Raises ConfigError for a text or owner that is empty or too long
    """
    text, owner = printable("an action's text", text), printable("an action's owner", owner)
    at = now.astimezone(UTC).isoformat()
    key = sha256(f"{at} {owner} {text}".encode()).hexdigest()[:_SHORT]
    document = {"id": key, "text": text, "owner": owner, "due": due.isoformat() if due else None, "at": at}
    if week is not None:
        document["week"] = week.isoformat()
    if proposal is not None:
        document["link"] = proposal.link
        if isinstance(proposal.saved, Decimal):
            document["saved"] = exact_text(proposal.saved)
    _append(home, document)
    return key


def tell(home: Home, week: date, text: str, now: datetime) -> None:
    """Write down what the meeting on the week from `week` on should know, instead of what was said before; "" is
    nothing. Raises ConfigError for a text that is too long."""
    told = printable("the note of the week", text, MOST_NOTE_CHARACTERS) if text.strip() else ""
    _append(home, {"week": week.isoformat(), "note": told, "at": now.astimezone(UTC).isoformat()})


def mark(home: Home, action_id: str, state: ActionState, now: datetime) -> None:
    """Say that an action is done, dropped or open again. Raises UnknownKey for an id that nobody noted."""
    known = {action.id for action in noted(home).actions}
    if action_id not in known:
        raise UnknownKey("action", action_id, known)
    _append(home, {"id": action_id, "state": state.value, "at": now.astimezone(UTC).isoformat()})


def noted(home: Home, until: datetime | None = None) -> Noted:
    """All actions, oldest first, as they stood at `until`."""
    found: dict[str, Action] = {}
    notes: dict[date, str] = {}
    problems = []
    for number, line in enumerate(_lines(home), start=1):
        try:
            document = json.loads(line)
            at = datetime.fromisoformat(document["at"])
            if until is not None and at > until:
                continue
            if "note" in document:
                notes[date.fromisoformat(document["week"])] = str(document["note"])[:MOST_NOTE_CHARACTERS]
            else:
                _take(found, document, at)
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            problems.append(f"{home.actions.name} line {number} cannot be read: {str(error)[:120]}")
    return Noted(actions=tuple(found.values()), notes=notes, problems=tuple(problems))


def _take(found: dict[str, Action], document: dict[str, Any], at: datetime) -> None:
    key = str(document["id"])
    if "state" in document:
        found[key] = replace(found[key], state=ActionState(document["state"]))
        return
    due, week, saved = (document.get(name) for name in ("due", "week", "saved"))
    amount = Decimal(saved) if saved else None
    if amount is not None and not amount.is_finite():
        raise ValueError("what it saves is not a number")
    found[key] = Action(
        id=key,
        text=str(document["text"])[:MOST_CHARACTERS],
        owner=str(document["owner"])[:MOST_CHARACTERS],
        due=date.fromisoformat(due) if due else None,
        said_on=at.astimezone(UTC).date(),
        week=date.fromisoformat(week) if week else None,
        link=str(document.get("link", "")),
        saved=amount,
    )


def printable(what: str, text: str, most: int = MOST_CHARACTERS) -> str:
    """`text` with single spaces. Raises ConfigError, which says `what` it is of, for an empty or too long one."""
    text = " ".join(text.split())
    if not 0 < len(text) <= most or not text.isprintable():
        raise ConfigError(f"{what} is 1 to {most} printable characters; give it, or shorten it.")
    return text


def _lines(home: Home) -> Iterator[str]:
    try:
        yield from home.actions.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return


def _append(home: Home, document: dict[str, Any]) -> None:
    """One write of one line: of two that write at once, both lines are whole."""
    home.make()
    line = (json.dumps(document, sort_keys=True) + "\n").encode()
    handle = os.open(home.actions, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)
