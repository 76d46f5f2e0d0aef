"""Decisions and actions of the weekly review: appended one line each, never changed, so that history stays readable."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from costlib.errors import ConfigError, UnknownKey
from costlib.review import Action, ActionState
from store.home import Home

MOST_CHARACTERS = 500
_SHORT = 10  # characters of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Every action as it is now, and the lines of the file that cannot be read."""

    actions: tuple[Action, ...]
    problems: tuple[str, ...] = ()


def note(home: Home, text: str, owner: str, due: date | None, now: datetime) -> str:
    """Write an action down; returns its id. Raises ConfigError for a text or owner that is empty or too long."""
    text, owner = _said("text", text), _said("owner", owner)
    at = now.astimezone(UTC).isoformat()
    key = sha256(f"{at} {owner} {text}".encode()).hexdigest()[:_SHORT]
    _append(home, {"id": key, "text": text, "owner": owner, "due": due.isoformat() if due else None, "at": at})
    return key


def mark(home: Home, action_id: str, state: ActionState, now: datetime) -> None:
    """Say that an action is done, dropped or open again. Raises UnknownKey for an id that nobody noted."""
    known = {action.id for action in noted(home).actions}
    if action_id not in known:
        raise UnknownKey("action", action_id, known)
    _append(home, {"id": action_id, "state": state.value, "at": now.astimezone(UTC).isoformat()})


def noted(home: Home, until: datetime | None = None) -> Noted:
    """All actions, oldest first, as they stood at `until`."""
    found: dict[str, Action] = {}
    problems = []
    for number, line in enumerate(_lines(home), start=1):
        try:
            document = json.loads(line)
            at = datetime.fromisoformat(document["at"])
            if until is None or at <= until:
                _take(found, document, at)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            problems.append(f"{home.actions.name} line {number} cannot be read: {str(error)[:120]}")
    return Noted(actions=tuple(found.values()), problems=tuple(problems))


def _take(found: dict[str, Action], document: dict[str, Any], at: datetime) -> None:
    key = str(document["id"])
    if "state" in document:
        old = found[key]
        found[key] = Action(
            id=key, text=old.text, owner=old.owner, due=old.due, state=ActionState(document["state"]),
            said_on=old.said_on,
        )  # fmt: skip
        return
    due = document["due"]
    found[key] = Action(
        id=key,
        text=str(document["text"])[:MOST_CHARACTERS],
        owner=str(document["owner"])[:MOST_CHARACTERS],
        due=date.fromisoformat(due) if due else None,
        said_on=at.astimezone(UTC).date(),
    )


def _said(what: str, text: str) -> str:
    text = " ".join(text.split())
    if not 0 < len(text) <= MOST_CHARACTERS or not text.isprintable():
        raise ConfigError(f"an action's {what} is 1 to {MOST_CHARACTERS} printable characters; give it, or shorten it.")
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
