"""Every error Permillion raises on purpose, sorted by what the caller does next.

PermillionError
├── ConfigError      stop: the request, file or setting is wrong; the message says how to mend it
│   └── UnknownKey   a name that is not in the catalogue or the format, with the nearest that is
├── RetryLater       try again: the other side is down, slow or says so
├── BadRecord        refuse this unit whole (a page, a file), keep the rest going
├── Cancelled        stop: somebody asked for it, and nothing of what was begun is left
└── DomainError      the maths is outside its range of validity
    └── DoesNotFit   the model's weights or one sequence do not fit the GPUs given

A message says what is wrong, where, which values are allowed, and what to do next.
"""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 20


class PermillionError(Exception):
    """Base of all errors whose message is meant for the user."""


class ConfigError(PermillionError):
    pass


class UnknownKey(ConfigError):
    def __init__(self, what: str, key: object, known: Iterable[str], where: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(str(key), names, n=5, cutoff=0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        place = f" in {where}" if where else ""
        # A long list helps nobody: then only what looks alike is named.
        listed = names if len(names) <= MOST_LISTED else [*near[1:], f"{len(names)} in all"]
        super().__init__(f"unknown {what} {str(key)[:80]!r}{place}.{hint} Known: {', '.join(listed) or 'none'}.")


class RetryLater(PermillionError):
    pass


class BadRecord(PermillionError):
    pass


class Cancelled(PermillionError):
    pass


class DomainError(PermillionError, ValueError):
    pass


class DoesNotFit(DomainError):
    pass
