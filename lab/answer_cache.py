"""A cache of answers that works: by the very words first, then the best match in meaning, never the first above a
threshold; apart by tenant, model, settings and conversation; with an end to every answer's life.

It keeps answers, vectors and keys, no prompt. Its store is this process's memory or a Redis.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Protocol

import numpy as np

from costlib.errors import ConfigError, DomainError
from costlib.units import SECONDS_PER_HOUR
from lab.embedders.base import Embedder, Vectors
from lab.record import Request
from lab.scope import exact_key_of, scope_of

SECONDS_KEPT = SECONDS_PER_HOUR
MOST_PER_SCOPE = 1_000  # answers that a question is compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    key: str
    vector: Vectors  # of length 1
    answer: str
    ends_s: float  # unix seconds


class Store(Protocol):
    """`entries` may hold some that have ended; `put` drops the oldest of a scope beyond `most` of them."""

    def entries(self, scope: str) -> Iterator[Entry]: ...

    def put(self, scope: str, entry: Entry, most: int) -> None: ...


@dataclass(slots=True)
class MemoryStore:
    """The scopes that were asked for last are kept."""

    most_scopes_count: int = 10_000
    _scopes: "OrderedDict[str, OrderedDict[str, Entry]]" = field(default_factory=OrderedDict)

    def entries(self, scope: str) -> Iterator[Entry]:
        if scope in self._scopes:
            self._scopes.move_to_end(scope)
            yield from self._scopes[scope].values()

    def put(self, scope: str, entry: Entry, most: int) -> None:
        held = self._scopes.setdefault(scope, OrderedDict())
        held[entry.key] = entry
        held.move_to_end(entry.key)
        self._scopes.move_to_end(scope)
        while len(held) > most:
            held.popitem(last=False)
        while len(self._scopes) > self.most_scopes_count:
            self._scopes.popitem(last=False)


_HEAD = Struct("<dI")


@dataclass(slots=True)
class RedisStore:
    """One hash a scope, read at once: nothing scans the keys of the server. Redis ends a scope with its last answer."""

    client: Any  # redis.Redis, or what answers hgetall, hset, hdel and expireat as it does
    prefix: str = "permillion:answers:"

    @classmethod
    def at(cls, url: str) -> "RedisStore":
        try:
            import redis
        except ImportError:
            raise ConfigError("a Redis store needs the package redis: pip install 'permillion[redis]'.") from None
        return cls(redis.Redis.from_url(url))

    def entries(self, scope: str) -> Iterator[Entry]:
        for key, packed in self.client.hgetall(self.prefix + scope).items():
            ends_s, width = _HEAD.unpack_from(packed)
            numbers = np.frombuffer(packed, np.float32, width, _HEAD.size)
            answer = packed[_HEAD.size + 4 * width :].decode("utf-8", "surrogatepass")
            yield Entry(key=key.decode(), vector=numbers, answer=answer, ends_s=ends_s)

    def put(self, scope: str, entry: Entry, most: int) -> None:
        name = self.prefix + scope
        numbers = np.ascontiguousarray(entry.vector, np.float32)
        packed = (
            _HEAD.pack(entry.ends_s, len(numbers)) + numbers.tobytes() + entry.answer.encode("utf-8", "surrogatepass")
        )
        self.client.hset(name, entry.key, packed)
        self.client.expireat(name, int(entry.ends_s) + 1)
        held = sorted(self.entries(scope), key=lambda one: one.ends_s)
        if ended := [one.key for one in held[: max(0, len(held) - most)]]:
            self.client.hdel(name, *ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    answer: str
    similarity: float  # cosine; 1 for the very same words
    is_exact: bool


@dataclass(slots=True, kw_only=True)
class AnswerCache:
    """`get` before a model is asked, `put` after it has answered."""

    embedder: Embedder
    threshold: float
    store: Store = field(default_factory=MemoryStore)
    ttl_s: float = SECONDS_KEPT
    clock: Callable[[], float] = time.time
    most_per_scope: int = MOST_PER_SCOPE
    asked_count: int = 0
    hits_count: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise DomainError(f"a threshold is a cosine above 0 and up to 1, not {self.threshold}.")

    def get(self, request: Request) -> Hit | None:
        self.asked_count += 1
        now, key = self.clock(), exact_key_of(request)
        held = [entry for entry in self.store.entries(scope_of(request)) if entry.ends_s > now]
        found = next((Hit(answer=one.answer, similarity=1.0, is_exact=True) for one in held if one.key == key), None)
        if found is None and held:
            near = np.stack([entry.vector for entry in held]) @ self.embedder.embed([request.question])[0]
            best = int(near.argmax())
            if near[best] >= self.threshold:
                found = Hit(answer=held[best].answer, similarity=float(near[best]), is_exact=False)
        self.hits_count += found is not None
        return found

    def put(self, request: Request, answer: str) -> None:
        vector = self.embedder.embed([request.question])[0]
        entry = Entry(key=exact_key_of(request), vector=vector, answer=answer, ends_s=self.clock() + self.ttl_s)
        self.store.put(scope_of(request), entry, self.most_per_scope)
