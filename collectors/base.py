"""The contract of a collector: one file in `sources/` that knows one kind of source and nothing else.

`fetch` is a line or two of IO and returns what the source said, byte for byte. `parse` is pure: the same bytes and
context give the same pages. Back-off, limits, increments, the run log and publishing are `run.py`'s, for all sources.
"""

import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from costlib.devices import DevicePage
from costlib.errors import BadRecord, ConfigError, PermillionError, RetryLater
from costlib.history import EngineHistory
from costlib.telemetry import EnginePage

EXCERPT_CHARS_COUNT = 120


class ScrapeFailure(PermillionError):
    """Why a scrape gave nothing: one `word` to count and filter by, and a message for the person who has to mend it."""

    def __init__(self, word: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.word = word
        self.retry_after_s = retry_after_s


class TargetRefused(ScrapeFailure, ConfigError):
    """The target itself may not be asked: a malformed URL, a secret in it, an address that never serves metrics."""


class FetchFailed(ScrapeFailure, RetryLater):
    """The source gave no whole answer this time."""


class PageRefused(ScrapeFailure, BadRecord):
    """A whole answer came, and it cannot be trusted. Nothing of it is used."""


class Response(Protocol):
    @property
    def body(self) -> bytes: ...


class Http(Protocol):
    """What a collector may ask of the network: `http.HttpClient`, or a stand-in."""

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> Response: ...


class Offline:
    """Stands in where a page is at hand already and nothing is to be asked."""

    async def get_bytes(self, url: str, *, bearer_token: str | None = None) -> Response:
        raise FetchFailed("offline", f"{url} is not asked here: no network was given.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to scrape. `key` is what tables and pages call it, `source_key` names the collector that reads it.

    `labels` are its owner's words for it: model, team, pool, gpu, and `deployment`, the key of the deployment in
    scenario.toml that it is a replica of (its own key when it is not given).
    """

    key: str
    url: str
    source_key: str = "vllm"
    bearer_token: str | None = field(default=None, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # what only this kind of source understands
    is_sample: bool = False  # a demonstration: everything from it is stored and shown as sample data

    @property
    def deployment_key(self) -> str:
        return self.labels.get("deployment", self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectContext:
    """All that a collector needs from outside. The time is a value, so that `parse` stays pure.

    `memo` keeps what earlier pages of this target taught; only the speed of `parse` may depend on it.
    """

    target: Target
    scraped_at: datetime  # aware UTC, when the request went out
    since: datetime | None = None  # the newest that is stored of this target, for a source that keeps its own history
    http: Http = field(default_factory=Offline)
    memo: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What one answer of a source says: pages of one moment, or stretches of raw samples, or both."""

    pages: Sequence[EnginePage] = ()
    devices: Sequence[DevicePage] = ()
    histories: Sequence[EngineHistory] = ()
    labels: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # of servers that the source told us of, by key
    remarks: Sequence[str] = ()  # what is wrong with the answer as a whole, and did not make it useless


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """`key` equals the name of the file that defines it. `parse` is pure, and takes what `fetch` brought."""

    key: str
    label: str
    fetch: Callable[[CollectContext], Awaitable[Any]]
    parse: Callable[[Any, CollectContext], Readings]


def excerpt(said: str | bytes, longest: int = EXCERPT_CHARS_COUNT) -> str:
    """What a stranger said, short and harmless enough for a log, a terminal or a page: quoted, controls escaped.

    >>> print(excerpt(b"<html>\\x1b[31m log in"))
    '<html>\\x1b[31m log in'
    """
    text = said[: 4 * longest].decode("utf-8", "replace") if isinstance(said, bytes) else said
    shown = "".join(_harmless(character) for character in text[:longest])
    cut = "…" if len(text) > longest else ""
    return f"'{shown[:longest]}{cut}'"


def _harmless(character: str) -> str:
    """Escapes what moves a cursor, reverses text or is not seen: control, format and separator characters."""
    if character == " " or unicodedata.category(character)[0] not in "CZ":
        return character
    return character.encode("unicode_escape").decode("ascii")
