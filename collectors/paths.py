"""By which path each engine is read, so that one that comes by two paths is counted once.

The same vLLM may be scraped by us and come out of Prometheus too, under another key. Such twins share model, rank and
the moment their process started (`telemetry.is_same_engine`). The direct path is kept while it is alive; the other
steps in where it fails, and goes on from what the first had counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from collectors.base import PageRefused, Target
from costlib.telemetry import START_TIME_RESOLUTION_S, EnginePage, is_same_engine

Identity = tuple[str, str, str]
Mark = tuple[object, ...]

# Sources that tell of other servers and are none themselves. What they read may be read directly as well.
GATEWAYS = frozenset({"prometheus"})
# A path that brought nothing for this many intervals is not alive, and another may step in.
ALIVE_INTERVALS_RATIO = 4.0
# Of one kind, a new engine is compared with this many that began in the same moment.
COMPARED_COUNT = 8


class DuplicateEngine(PageRefused):
    """An engine that is read by a better path already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The target by which an engine came last, and when."""

    target_key: str
    source_key: str
    at: datetime

    @property
    def is_direct(self) -> bool:
        return self.source_key not in GATEWAYS


class Paths:
    """Every engine that was seen, by whom, and found again by what two paths to it have in common."""

    def __init__(self, pages: Sequence[EnginePage], every_s: float) -> None:
        self._alive_for = timedelta(seconds=ALIVE_INTERVALS_RATIO * every_s)
        self._seen: dict[Identity, EnginePage] = {}
        self._readers: dict[Identity, Reader] = {}
        # Who bears each mark, by the kind of source it is read by: engines of one kind are many and not compared.
        self._by_mark: dict[Mark, dict[str, dict[Identity, None]]] = {}
        self._marked: dict[Identity, tuple[frozenset[Mark], str]] = {}
        self._alike: dict[Identity, Identity] = {}  # two of one kind that may be one
        # The target that reads a gateway's server directly, by (gateway's kind, server): it stays so over restarts.
        self._paired: dict[tuple[str, str], str] = {}
        for page in pages:
            self._see(page, None)

    def watch(self, targets: Sequence[Target]) -> None:
        """These targets are read from now on. Pages of earlier ones have no reader any more."""
        kinds = {target.key: target.source_key for target in targets}
        for identity, page in list(self._seen.items()):
            reader = self._readers.pop(identity, None)
            if reader and reader.target_key not in kinds:
                reader = None
            if reader is None and kinds.get(page.target_key, "") not in {"", *GATEWAYS}:
                reader = Reader(target_key=page.target_key, source_key=kinds[page.target_key], at=page.scraped_at)
            self._see(page, reader)

    def admit(self, page: EnginePage, reader: Reader, *, is_new: bool) -> list[Identity]:
        """Under which other identities this engine was read by paths that it now goes on from; mostly none.

        `is_new` when nothing is stored of it. Raises DuplicateEngine when another path to it is alive and better.
        """
        current = self._readers.get(page.identity)
        if current and current.source_key != reader.source_key and self._keeps(current, reader):
            raise _duplicate(page, reader, current)
        taken_over = []
        if partner := self._partner_of(page, reader):
            if self._keeps(self._readers[partner], reader):
                raise _duplicate(page, reader, self._readers[partner])
            taken_over.append(partner)
        for other in self._twins_of(page, reader.source_key):
            its_reader = self._readers.get(other)
            if its_reader:
                self._pair(other, its_reader, page.identity, reader)
            if its_reader is None:
                taken_over += [other] if is_new else []
            elif self._keeps(its_reader, reader):
                raise _duplicate(page, reader, its_reader)
            else:
                taken_over.append(other)
        if is_new:
            self._suspect(page, reader)
        self._see(page, reader)
        return taken_over

    def remark(self, page: EnginePage) -> str | None:
        """What to say of an engine that looks the same as another that is read the same way."""
        other = self._seen.get(self._alike[page.identity]) if page.identity in self._alike else None
        if other is None:
            return None
        if not is_same_engine(other, page):
            del self._alike[page.identity]
            return None
        if not any(page.counters.values()):
            return None
        return (
            f"engine {page.engine_key} of {page.model_key} looks the same as that of {other.target_key}: if both "
            "addresses lead to one server, its tokens count twice; leave one out"
        )

    def last_seen(self, page: EnginePage, source_key: str) -> datetime | None:
        """When the engine of `page` was last seen by a path other than that of `source_key`."""
        twins = [self._seen[other].scraped_at for other in self._twins_of(page, source_key)]
        current = self._readers.get(page.identity)
        if current and current.source_key != source_key:
            twins.append(self._seen[page.identity].scraped_at)
        return max(twins, default=None)

    def forget(self, identity: Identity) -> None:
        self._seen.pop(identity, None)
        self._readers.pop(identity, None)
        self._alike.pop(identity, None)
        self._unmark(identity)

    def _pair(self, one: Identity, its_reader: Reader, other: Identity, reader: Reader) -> None:
        """Remembers which target is a gateway's server, read directly."""
        if reader.is_direct:
            one, its_reader, other, reader = other, reader, one, its_reader
        if its_reader.is_direct and not reader.is_direct:
            self._paired[reader.source_key, other[0]] = one[0]

    def _partner_of(self, page: EnginePage, reader: Reader) -> Identity | None:
        """The same engine of the same server as its direct path knows it, be it before or after a restart.

        A restart that Prometheus has seen and the direct path not yet would else look like another engine.
        """
        pair = reader.source_key, page.target_key
        partner = (self._paired.get(pair, ""), *page.identity[1:])
        known = self._seen.get(partner)
        if known is None or partner not in self._readers:
            return None
        lived_together = known.started_at and page.started_at and known.started_at < page.scraped_at <= known.scraped_at
        if lived_together and not is_same_engine(known, page):
            del self._paired[pair]  # the address has gone to another server
            return None
        return partner

    def _keeps(self, current: Reader, other: Reader) -> bool:
        """Whether `current` is alive and no worse a path than `other`."""
        return other.at - current.at <= self._alive_for and (current.is_direct or not other.is_direct)

    def _twins_of(self, page: EnginePage, source_key: str) -> Iterator[Identity]:
        """Those that come from another kind of source, and those that nobody reads any more."""
        for mark in _marks(page):
            for kind, bearers in self._by_mark.get(mark, {}).items():
                if kind != source_key:
                    yield from (
                        other for other in bearers if other != page.identity and is_same_engine(self._seen[other], page)
                    )

    def _suspect(self, page: EnginePage, reader: Reader) -> None:
        for mark in _marks(page):
            for other in islice(self._by_mark.get(mark, {}).get(reader.source_key, ()), COMPARED_COUNT):
                if other != page.identity and is_same_engine(self._seen[other], page):
                    self._alike[page.identity] = other

    def _see(self, page: EnginePage, reader: Reader | None) -> None:
        identity = page.identity
        self._seen[identity] = page
        if reader:
            self._readers[identity] = reader
        marked = _marks(page), reader.source_key if reader else ""
        if self._marked.get(identity) != marked:
            self._unmark(identity)
            self._marked[identity] = marked
            for mark in marked[0]:
                self._by_mark.setdefault(mark, {}).setdefault(marked[1], {})[identity] = None

    def _unmark(self, identity: Identity) -> None:
        marks, kind = self._marked.pop(identity, (frozenset[Mark](), ""))
        for mark in marks:
            kinds = self._by_mark[mark]
            del kinds[kind][identity]
            if not kinds[kind]:
                del kinds[kind]
            if not kinds:
                del self._by_mark[mark]


def _marks(page: EnginePage) -> frozenset[Mark]:
    """What two pages of one engine share: when it began, to the second; or, where that is not known, what it counted.

    A start beside a full second has two marks, so that two readings of it always have one in common.
    """
    engine = page.model_key, page.engine_key
    if page.started_at:
        started_s = page.started_at.timestamp()
        return {
            (*engine, int(started_s - START_TIME_RESOLUTION_S)),
            (*engine, int(started_s + START_TIME_RESOLUTION_S)),
        }
    counted: Mapping[str, float] = page.counters
    tokens = counted.get("prompt_tokens"), counted.get("generation_tokens")
    return frozenset([(*engine, "counted", *tokens)] if any(tokens) else [])


def _duplicate(page: EnginePage, refused: Reader, kept: Reader) -> DuplicateEngine:
    return DuplicateEngine(
        "duplicate_engine",
        f"engine {page.engine_key} of {page.model_key} comes by two paths: by {kept.source_key} as {kept.target_key}, "
        f"which is kept, and by {refused.source_key} {refused.target_key} as {page.target_key}, which is left out. "
        "Take it out of one of them; left as it is, the second steps in when the first fails.",
    )
