"""An estimate file as a page holds it: parsed from an upload, with factors as rows of a table, and written again."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Any

from costlib.errors import ConfigError
from costlib.ranges import Shape
from costlib.usage_volume import FACTORS

Document = dict[str, Any]
ENDS = ("low", "mode", "high")
MOST_BYTES = 100_000  # an estimate is a page of text
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_UNITS = ("_count", "_ratio", "_fraction")


def parsed(content: bytes, name: str) -> Document:
    """An upload as a document. Raises ConfigError naming the file and what is wrong with it."""
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{name} has {len(content):,} bytes; an estimate has {MOST_BYTES:,} at most.")
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} cannot be read as UTF-8 text: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not valid TOML: {error}.") from None


def factor_name(key: str) -> str:
    """
    >>> factor_name("sessions_per_day_count"), factor_name("system_tokens")
    ('Sessions per day', 'System tokens')
    """
    words = next((key.removesuffix(unit) for unit in _UNITS if key.endswith(unit)), key)
    return words.replace("_", " ").capitalize()


def rows(document: Document) -> list[dict[str, Any]]:
    """Every factor with low, mode, high and shape, those left out at what is taken for them."""
    given = document.get("factors", {})
    found = []
    for key, kind in FACTORS.items():
        value = given.get(key, kind.default or 0.0)
        ends = value if isinstance(value, Mapping) else dict.fromkeys(ENDS, value)
        shape = ends.get("shape", str(Shape.PERT)) if isinstance(value, Mapping) else str(Shape.PERT)
        found.append({"key": key, **{end: float(ends[end]) for end in ENDS}, "shape": shape})
    return found


def with_rows(document: Document, table: Sequence[Mapping[str, Any]]) -> Document:
    """The document with the factors of a table. One that has one value is a number; one that is at what is taken
    for it anyway is left out; a cell that was emptied is missing, which the parser says."""
    factors: Document = {}
    for row in table:
        key, ends = row["key"], {end: row[end] for end in ENDS if _is_number(row[end])}
        if len(ends) == len(ENDS) and len(set(ends.values())) == 1:
            value: Any = ends["mode"]
        else:
            value = {**ends, **({"shape": row["shape"]} if row["shape"] != str(Shape.PERT) else {})}
        if value != FACTORS[key].default:
            factors[key] = value
    return {**document, "factors": factors}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def toml_text(document: Document) -> str:
    """The document as TOML that reads back as the same.

    >>> print(toml_text({"label": "A", "factors": {"users_count": {"low": 1.0, "mode": 2.0}}, "api": [{"name": "b"}]}))
    label = "A"
    <BLANKLINE>
    [factors]
    users_count = { low = 1.0, mode = 2.0 }
    <BLANKLINE>
    [[api]]
    name = "b"
    <BLANKLINE>
    """
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    sections = {key: value for key, value in document.items() if isinstance(value, dict)}
    lists = {key: value for key, value in document.items() if _is_tables(value)}
    for key, value in document.items():
        if key not in sections and key not in lists:
            yield f"{_key(key)} = {_value(value)}"
    for key, body in sections.items():
        yield from ("", f"[{_key(key)}]", *_body(body))
    for key, every in lists.items():
        for body in every:
            yield from ("", f"[[{_key(key)}]]", *_body(body))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _body(body: Document) -> Iterator[str]:
    return (f"{_key(key)} = {_value(value)}" for key, value in body.items())


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _quoted(value)
        case date():
            return value.isoformat()
        case dict():
            return "{ " + ", ".join(_body(value)) + " }" if value else "{}"
        case list():
            return f"[{', '.join(_value(one) for one in value)}]"
        case _:
            raise ConfigError(f"a {type(value).__name__} has no place in an estimate file.")
