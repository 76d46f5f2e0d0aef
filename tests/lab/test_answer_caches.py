"""Caches of answers: whose answer may be given to whom, the best match and not the first, and how often it is wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from lab.answer_cache import AnswerCache, MemoryStore, RedisStore, Store
from lab.embedders.base import Vectors, normalised
from lab.embedders.lexical import Lexical
from lab.exact import ExactCounter
from lab.paraphrases import PAIRS
from lab.record import Request
from lab.semantic import SemanticCounter, best_point, planted_points, upper_fraction


@dataclass(kw_only=True)
class Angles:
    """A question is an angle in degrees; so its likeness to another is the cosine of what lies between them."""

    name: str = "angles"
    is_semantic: bool = True
    most_texts_count: int = 1_000
    most_letters_count: int = 100_000

    def embed(self, texts: Sequence[str]) -> Vectors:
        angles = [math.radians(float(text)) if text.lstrip("-").isdecimal() else len(text) for text in texts]
        return normalised(np.array([[math.cos(angle), math.sin(angle)] for angle in angles], dtype=np.float32))


class FakeRedis:
    """The four calls that are made, over a dict, in bytes as the real one answers."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.ends: dict[str, int] = {}

    def hgetall(self, name: str) -> dict[bytes, bytes]:
        return dict(self.hashes.get(name, {}))

    def hset(self, name: str, key: str, value: bytes) -> None:
        self.hashes.setdefault(name, {})[key.encode()] = value

    def hdel(self, name: str, *keys: str) -> None:
        for key in keys:
            del self.hashes[name][key.encode()]

    def expireat(self, name: str, at: int) -> None:
        self.ends[name] = at


def question(text: str, *, before: str = "", **settings: object) -> Request:
    system = [("system", before)] if before else []
    return Request(messages=[*system, ("user", text)], **settings)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore() if request.param == "memory" else RedisStore(FakeRedis())


def test_the_best_match_is_given_and_not_the_first_above_the_threshold(store: Store) -> None:
    """S60: 20 degrees away is near enough at 0.9, and 5 degrees is nearer."""
    cache = AnswerCache(embedder=Angles(), threshold=0.9, store=store)
    for at, answer in (("20", "far"), ("-5", "near"), ("90", "elsewhere")):
        cache.put(question(at), answer)
    hit = cache.get(question("0"))
    assert hit and (hit.answer, hit.is_exact) == ("near", False)
    assert hit.similarity == pytest.approx(math.cos(math.radians(5)), abs=1e-5)
    assert cache.get(question("-60")) is None
    assert (cache.asked_count, cache.hits_count) == (2, 1)


def test_the_very_words_come_before_any_likeness(store: Store) -> None:
    cache = AnswerCache(embedder=Angles(), threshold=1.0, store=store)
    cache.put(question("7"), "seven")
    hit = cache.get(question("7"))
    assert hit and hit.is_exact and hit.answer == "seven"


@pytest.mark.parametrize(
    "setting",
    [{"tenant": "b"}, {"model": "large"}, {"parameters": '{"temperature": 1}'}, {"extra_key": "b"}, {"before": "b"}],
    ids=lambda setting: next(iter(setting)),
)
def test_an_answer_is_never_given_across(store: Store, setting: dict[str, str]) -> None:
    """S60: another tenant, model, settings, pictures or conversation."""
    cache = AnswerCache(embedder=Angles(), threshold=0.5, store=store)
    cache.put(question("0", before="a", tenant="a", model="small"), "mine")
    assert cache.get(question("0", before="a", tenant="a", model="small"))
    assert cache.get(question("0", **{"before": "a", "tenant": "a", "model": "small"} | setting)) is None


def test_an_answer_ends_with_its_time(store: Store) -> None:
    now = [1_000.0]
    cache = AnswerCache(embedder=Angles(), threshold=0.9, store=store, ttl_s=60.0, clock=lambda: now[0])
    cache.put(question("0"), "old")
    now[0] = 1_059.0
    assert cache.get(question("0"))
    now[0] = 1_061.0
    assert cache.get(question("0")) is None


def test_a_scope_holds_so_many_answers_and_the_oldest_go(store: Store) -> None:
    now = [0.0]
    cache = AnswerCache(embedder=Angles(), threshold=0.999, store=store, most_per_scope=2, clock=lambda: now[0])
    for at in ("0", "40", "80"):
        now[0] += 1
        cache.put(question(at), at)
    assert [bool(cache.get(question(at))) for at in ("0", "40", "80")] == [False, True, True]


def test_redis_ends_a_scope_with_its_last_answer_and_is_given_no_prompt() -> None:
    client = FakeRedis()
    cache = AnswerCache(embedder=Angles(), threshold=0.9, store=RedisStore(client), ttl_s=60.0, clock=lambda: 1_000.0)
    cache.put(question("a secret question"), "so")
    assert list(client.ends.values()) == [1_061]
    assert b"secret" not in repr(client.hashes).encode()


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0])
def test_a_threshold_is_a_cosine(threshold: float) -> None:
    with pytest.raises(DomainError, match="cosine"):
        AnswerCache(embedder=Angles(), threshold=threshold)


def test_the_exact_cache_by_hand() -> None:
    """Four requests of 10, 10, 30 and 10 tokens; the second and the last were asked before, the last too long ago."""
    counter = ExactCounter(ttl_s=60.0)
    for text, tokens, at in (("a", 10, 0.0), ("a", 10, 50.0), ("b", 30, 60.0), ("a", 10, 61.0)):
        counter.add(question(text, started_s=at), tokens)
    found = counter.found()
    assert (found.requests_count, found.hits_count, found.hit_fraction) == (4, 1, 0.25)
    assert found.token_fraction == pytest.approx(10 / 60)


def test_with_room_for_few_keys_the_oldest_are_forgotten() -> None:
    counter = ExactCounter(most_keys_count=2)
    assert [counter.add(question(text), 1) for text in "abcab"] == [False] * 5
    assert counter.found().is_bounded


def test_without_requests_the_hit_rate_is_undefined() -> None:
    assert isinstance(ExactCounter().found().hit_fraction, Undefined)


def test_the_semantic_hit_rate_by_hand() -> None:
    """At 0.98 (11.5 degrees) 10 is 0 and 95 is 90; 20 is not 0, and 10 was answered and so never kept."""
    counter = SemanticCounter(embedder=Angles(), thresholds=(0.90, 0.98))
    for at, tokens in (("0", 10), ("10", 20), ("20", 30), ("90", 20), ("95", 20)):
        counter.add(question(at), tokens)
    found = counter.found()
    point = found.at(0.98)
    assert point and (point.hit_fraction, point.token_fraction) == (0.4, 0.4)
    assert found.at(0.90).hit_fraction == 0.6  # 25.8 degrees: 20 is 0 as well
    assert (found.requests_count, found.scopes_count, found.basis) == (5, 1, Basis.MEASURED)


def test_hits_whose_answers_differ_are_counted() -> None:
    counter = SemanticCounter(embedder=Angles(), thresholds=(0.98,))
    for at, answer in (("0", "0"), ("5", "10"), ("6", "90"), ("7", None)):
        counter.add(question(at, output=answer), 1)
    (point,) = counter.found().points
    assert (point.hit_fraction, point.compared_count, point.differing_count) == (0.75, 2, 1)


@given(
    angles=st.lists(st.tuples(st.integers(0, 90), st.sampled_from("ab")), max_size=30),
    threshold=st.sampled_from([0.8, 0.9, 0.99]),
)
def test_the_curve_is_what_the_cache_itself_does(angles: list[tuple[int, str]], threshold: float) -> None:
    counter = SemanticCounter(embedder=Angles(), thresholds=(threshold,))
    cache = AnswerCache(embedder=Angles(), threshold=threshold)
    hits = 0
    for angle, tenant in angles:
        request = question(str(angle), tenant=tenant)
        counter.add(request, 1)
        if cache.get(request):
            hits += 1
        else:
            cache.put(request, "so")
    (point,) = counter.found().points
    assert point.hit_fraction == pytest.approx(hits / len(angles) if angles else 0.0)


def test_fewer_errors_are_sure_of_less_than_they_show() -> None:
    """The rule of three, and the ends."""
    assert upper_fraction(0, 300) == pytest.approx(3 / 300, rel=0.01)
    assert upper_fraction(0, 0) == upper_fraction(5, 5) == 1.0
    assert 0.1 < upper_fraction(1, 20) < 0.25


def test_the_planted_pairs_are_what_they_say() -> None:
    assert len(PAIRS) == 60
    assert len({text for pair in PAIRS for text in pair}) == 180


def test_shared_words_take_look_alikes_for_the_same_and_miss_paraphrases() -> None:
    """Why the lexical embedder's hit rates are assumed and never in a link."""
    points = {point.threshold: point for point in planted_points(Lexical(), (0.6, 0.9))}
    assert points[0.6].found_fraction < 0.3 < points[0.6].wrong_pairs_fraction
    assert points[0.9].found_fraction < 0.05
    counter = SemanticCounter(embedder=Lexical())
    assert counter.found().basis is Basis.ASSUMED


def test_where_a_wrong_answer_is_dear_no_threshold_pays() -> None:
    counter = SemanticCounter(embedder=Angles(), thresholds=(0.9,))
    for at in ("0", "5", "10"):
        counter.add(question(at), 1)
    found = counter.found()
    assert best_point(found, model_usd_per_request=0.01, wrong_usd_per_answer=0.0)
    assert best_point(found, model_usd_per_request=0.01, wrong_usd_per_answer=1_000.0) is None
