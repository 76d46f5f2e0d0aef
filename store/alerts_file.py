"""`alerts.toml` in the folder that PERMILLION_HOME names: when to say something, and to whom; and what was said.

data/demo/alerts.toml shows every key.

    [[alert]]
    on = "breach_probability"    what is watched: breach_probability, anomaly, idle_share, unallocated_share,
                                 spend_to_budget, per_mtok
    scope = "Support copilot"    the product or team; each that there is, without it
    above = 0.5                  fires above this: a share or probability from 0 to 1, or money
    clear_below = 0.4            clears below this; at `above` without it
    to = ["log", "webhook"]      log, webhook, page; log and page without it
    url_variable = "NAME"        the environment variable with the webhook's address, which is never in this file

What is firing and what happened is kept in alerts.json beside it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from costlib.alerts import AlertState, Event, EventKind, Rule, Watched, Way
from costlib.catalog import check_keys, convert, needed, needed_text, tables
from costlib.errors import ConfigError, DomainError, UnknownKey
from store.catalog_files import read_toml
from store.durable import write_text
from store.home import Home

FILE_NAME, STATE_NAME = "alerts.toml", "alerts.json"
ALERT_KEYS = {"on", "scope", "above", "clear_below", "to", "url_variable"}
FORMAT = 1
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_rules(home: Home) -> tuple[Rule, ...]:
    """The parsed alerts.toml; none where there is no file. Raises ConfigError naming the place in it."""
    path = home.path / FILE_NAME
    return rules_from(read_toml(path), path.name) if path.exists() else ()


def rules_from(doc: Mapping[str, Any], where: str) -> tuple[Rule, ...]:
    """What a parsed alerts.toml says; `where` is the file's name for messages."""
    check_keys(doc, {"alert"}, where)
    blocks = tables(doc.get("alert", ()), f"{where} alert")
    rules = tuple(_rule(row, f"{where} [[alert]] {number}") for number, row in enumerate(blocks, 1))
    keys = [rule.key for rule in rules]
    if double := next((key for key in keys if keys.count(key) > 1), None):
        raise ConfigError(f"{where}: two alerts watch {double!r}; keep one, with all ways in its `to`.")
    return rules


def _rule(row: Mapping[str, Any], place: str) -> Rule:
    check_keys(row, ALERT_KEYS, place)
    on = needed_text(row, "on", place)
    if on not in list(Watched):
        raise UnknownKey("thing to watch", on, map(str, Watched), place)
    ways = row.get("to", ["log", "page"])
    if not isinstance(ways, list) or not ways:
        raise ConfigError(f'{place} to: a list such as ["log", "page"].')
    for way in ways:
        if way not in list(Way):
            raise UnknownKey("way", way, map(str, Way), f"{place} to")
    variable = needed_text(row, "url_variable", place) if "url_variable" in row else ""
    if variable and not _VARIABLE.fullmatch(variable):
        raise ConfigError(f"{place} url_variable: the name of an environment variable, not the address itself.")
    if ("webhook" in ways) != bool(variable):
        raise ConfigError(
            f'{place}: "webhook" in `to` and url_variable, which names where its address is, go together.'
        )
    above = convert(needed(row, "above", place), float, f"{place} above")
    below = convert(row.get("clear_below", above), float, f"{place} clear_below")
    try:
        return Rule(
            on=Watched(on),
            above_ratio=above,
            clear_below_ratio=below,
            to=tuple(dict.fromkeys(Way(way) for way in ways)),
            scope=needed_text(row, "scope", place) if "scope" in row else "",
            url_variable=variable,
        )
    except DomainError as error:
        raise ConfigError(f"{place}: {error}") from None


# What was said


def load_state(home: Home) -> AlertState:
    """What is firing and what happened; nothing where there is no file.

    Raises    ConfigError for a file that cannot be read: forgetting it would fire everything again
    """
    path = home.path / STATE_NAME
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"it is of format {document['format']}, and this version reads {FORMAT}")
        firing = {str(key): _moment(at) for key, at in dict(document["firing"]).items()}
        return AlertState(firing=firing, events=tuple(_event(row) for row in document["events"]))
    except FileNotFoundError:
        return AlertState()
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigError(
            f"{path} cannot be read: {str(error)[:200]}. Delete it; alerts that are firing then fire once more."
        ) from None


def save_state(home: Home, state: AlertState) -> None:
    home.make()
    document = {
        "format": FORMAT,
        "firing": {key: at.isoformat() for key, at in state.firing.items()},
        "events": [asdict(event) | {"at": event.at.isoformat()} for event in state.events],
    }
    write_text(home.path / STATE_NAME, json.dumps(document, indent=1, sort_keys=True) + "\n")


def _event(row: Mapping[str, Any]) -> Event:
    known = {field.name: row[field.name] for field in fields(Event)}
    return Event(
        **known
        | {
            "at": _moment(row["at"]),
            "kind": EventKind(row["kind"]),
            "on": Watched(row["on"]),
            "to": tuple(Way(way) for way in row["to"]),
            "waits_for": tuple(Way(way) for way in row["waits_for"]),
            "value_ratio": float(row["value_ratio"]),
            "limit_ratio": float(row["limit_ratio"]),
            "attempts_count": int(row["attempts_count"]),
            "scope": str(row["scope"]),
            "text": str(row["text"]),
        }
    )


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text[:40]!r} has no time zone")
    return at.astimezone(UTC)
