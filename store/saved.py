"""Scenarios that people saved: one file each, by a name of its own. Settings are kept by value, not as a link."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from costlib.errors import ConfigError
from costlib.jsonable import jsonable
from costlib.lever import Values
from store.durable import write_text
from store.home import Home

FORMAT = 1
MOST_NAME_CHARACTERS = 80
MOST_SAVED = 200
_SHORT = 16  # characters of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One saved scenario; `problem` says why it cannot be read, and then there are no settings."""

    name: str
    saved_at: datetime | None = None
    settings: Mapping[str, Values]
    problem: str = ""


def save(home: Home, name: str, settings: Mapping[str, Values], now: datetime) -> None:
    """Keep `settings` by lever as `name`, over an earlier one of that name.

    Raises ConfigError for a name that is empty or too long, or when there are too many.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MOST_NAME_CHARACTERS or not name.isprintable():
        raise ConfigError(f"a scenario's name is 1 to {MOST_NAME_CHARACTERS} printable characters; shorten or give it.")
    home.make()
    path = home.scenarios / _file(name)
    if not path.exists() and len(list(home.scenarios.glob("*.json"))) >= MOST_SAVED:
        raise ConfigError(f"{MOST_SAVED} scenarios are saved; delete one before saving another.")
    kept = {"format": FORMAT, "name": name, "saved_at": now.astimezone(UTC).isoformat(), "settings": jsonable(settings)}
    write_text(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")


def delete(home: Home, name: str) -> None:
    """By name; by its file's name one that cannot be read."""
    files = {path.name: path for path in home.scenarios.glob("*.json")}
    files.get(name, home.scenarios / _file(name)).unlink(missing_ok=True)


def saved(home: Home) -> list[Saved]:
    """Everything that was saved, by name. What cannot be read is there with its problem."""
    found = [_read(path.read_text(encoding="utf-8", errors="replace"), path.name) for path in
             sorted(home.scenarios.glob("*.json"))]  # fmt: skip
    return sorted(found, key=lambda one: one.name.lower())


def _file(name: str) -> str:
    return f"{sha256(name.encode()).hexdigest()[:_SHORT]}.json"


def _read(text: str, file: str) -> Saved:
    try:
        document: Any = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"it is of format {document['format']}, and this version reads {FORMAT}")
        if file != _file(str(document["name"])):
            raise ValueError("it is a copy under another name than its own")
        settings = {str(lever): dict(values) for lever, values in dict(document["settings"]).items()}
        at = datetime.fromisoformat(document["saved_at"])
        return Saved(name=str(document["name"])[:MOST_NAME_CHARACTERS], saved_at=at, settings=settings)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Saved(name=file, settings={}, problem=f"{file} cannot be read: {str(error)[:200]}. Delete it.")
