"""Log formats: every module here but `base` is one format, under its own name, with one READER.

A new format is one file; it is found by scanning this folder.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from costlib.errors import BadRecord, UnknownKey
from lab.readers.base import Reader


@cache
def readers() -> dict[str, Reader]:
    """Every format by key, in alphabetical order."""
    found = {}
    for name in sorted(module.name for module in iter_modules(__path__)):
        if name != "base":
            found[name] = import_module(f"{__name__}.{name}").READER
            if found[name].key != name:
                raise RuntimeError(f"lab/readers/{name}.py declares the key {found[name].key!r}")
    return found


def reader_of(records: Sequence[Mapping[str, Any]], name: str, key: str = "") -> Reader:
    """The format called `key`, or the one that knows most of these first records. Raises BadRecord or UnknownKey."""
    known = readers()
    if key:
        if key not in known:
            raise UnknownKey("log format", key, known)
        return known[key]
    votes = {reader.key: sum(map(reader.identify, records)) for reader in known.values()}
    best = max(votes, key=lambda one: votes[one])
    if not votes[best]:
        labels = "; ".join(f"{item.label} ({item.key})" for item in known.values())
        raise BadRecord(
            f"{name} holds no prompts that we can find in its first {len(records)} records. Known formats: {labels}. "
            "If it is one of them, log prompts (LiteLLM: store_prompts_in_spend_logs) and try again with that log."
        )
    return known[best]
