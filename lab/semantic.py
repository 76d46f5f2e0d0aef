"""A cache of answers by meaning: its hit rate at every threshold, and how often a hit at that threshold is wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

import numpy as np
from numpy.typing import NDArray

from costlib.errors import Cancelled, DomainError
from costlib.estimate import Basis, Undefined
from lab.embedders.base import Embedder, Vectors
from lab.paraphrases import PAIRS, Pair
from lab.record import Request
from lab.scope import scope_of

THRESHOLDS = (0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.92, 0.95, 0.97, 0.99)
SURE_FRACTION = 0.95
_LONGEST_QUESTION = 1_000  # characters that are compared
_LONGEST_ANSWER = 200
_MOST_COMPARED = 100  # hits whose answers are compared, of each threshold
_AT_ONCE_COUNT = 64  # texts that are embedded between two looks at whether to stop
_MOST_PER_SCOPE = 1_000
ENOUGH_COMPARED = 20  # hits with both answers, before their errors count as measured
AGREEING_SIMILARITY = 0.7  # answers as near as this are taken to say the same; assumed


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedPoint:
    """At this threshold, of pairs that mean the same and pairs that only look so: which were taken for the same."""

    threshold: float
    found_fraction: float  # of paraphrases: taken for the same, rightly
    wrong_pairs_fraction: float  # of look-alikes: taken for the same, wrongly
    unrelated_fraction: float  # of questions: taken for the same as one of another topic
    wrong_fraction: float | Undefined  # of all that were taken for the same, wrongly
    wrong_upper_fraction: float  # which it is below at 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPoint:
    """`hit_fraction` of the requests that no cache of the very words answers, `token_fraction` the same by tokens.

    `compared_count` of the hits have both answers in the log, the one given and the one that the cache would have
    given; `differing_count` of those say something else, as far as the embedder can tell.
    """

    threshold: float
    hit_fraction: float
    token_fraction: float
    compared_count: int
    differing_count: int
    planted: PlantedPoint

    @property
    def wrong_fraction(self) -> float | Undefined:
        """Hits that are wrong: by the log's own answers where it has enough, else by pairs made to mislead."""
        if self.compared_count >= ENOUGH_COMPARED:
            return self.differing_count / self.compared_count
        return self.planted.wrong_fraction

    @property
    def wrong_upper_fraction(self) -> float:
        """What that share is below at 95 %."""
        if self.is_wrong_measured:
            return upper_fraction(self.differing_count, self.compared_count)
        return self.planted.wrong_upper_fraction

    @property
    def is_wrong_measured(self) -> bool:
        return self.compared_count >= ENOUGH_COMPARED


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticHits:
    """`basis` of the hit rates: measured with a model of meaning, assumed where only shared words are compared."""

    embedder: str
    is_semantic: bool
    basis: Basis
    requests_count: int  # that were compared: the first ones of the log
    scopes_count: int
    planted_pairs_count: int
    points: tuple[ThresholdPoint, ...]

    def at(self, threshold: float) -> ThresholdPoint | None:
        return next((point for point in self.points if point.threshold == threshold), None)


@dataclass(slots=True, kw_only=True)
class SemanticCounter:
    """Holds the questions of the first requests while it counts, and nothing of them after."""

    embedder: Embedder
    thresholds: Sequence[float] = THRESHOLDS
    ttl_s: float | None = None
    cancelled: Callable[[], bool] = lambda: False
    _letters_count: int = 0
    _questions: list[str] = field(default_factory=list)
    _scopes: list[str] = field(default_factory=list)
    _tokens: list[float] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _answers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for threshold in self.thresholds:
            if not 0 < threshold <= 1:
                raise DomainError(f"a threshold is a cosine above 0 and up to 1, not {threshold}.")

    def add(self, request: Request, tokens: float) -> None:
        """For a request that no cache of the very words answers."""
        question = request.question[:_LONGEST_QUESTION]
        is_room = self._letters_count + len(question) <= self.embedder.most_letters_count
        if question and is_room and len(self._questions) < self.embedder.most_texts_count:
            self._letters_count += len(question)
            self._questions.append(question)
            self._scopes.append(scope_of(request))
            self._tokens.append(tokens)
            self._answers.append((request.output or "")[:_LONGEST_ANSWER])
            self._times.append(np.nan if request.started_s is None else request.started_s)

    def found(self) -> SemanticHits:
        planted = planted_points(self.embedder, self.thresholds)
        matched = {threshold: np.full(len(self._questions), -1) for threshold in self.thresholds}
        rows_of: dict[str, list[int]] = {}
        for row, scope in enumerate(self._scopes):
            rows_of.setdefault(scope, []).append(row)
        for rows in rows_of.values():
            if len(rows) > 1:
                vectors = self._embedded([self._questions[row] for row in rows])
                near = vectors @ vectors.T
                for threshold in self.thresholds:
                    matched[threshold][rows] = self._replayed(near, rows, threshold)
        tokens, count = np.array(self._tokens), len(self._questions)
        total = float(tokens.sum())
        differing = self._differing(matched)
        hits = {threshold: matched[threshold] >= 0 for threshold in self.thresholds}
        self._questions.clear()
        self._answers.clear()
        return SemanticHits(
            embedder=self.embedder.name,
            is_semantic=self.embedder.is_semantic,
            basis=Basis.MEASURED if self.embedder.is_semantic else Basis.ASSUMED,
            requests_count=count,
            scopes_count=len(rows_of),
            planted_pairs_count=len(PAIRS),
            points=tuple(
                ThresholdPoint(
                    threshold=point.threshold,
                    hit_fraction=float(hits[point.threshold].mean()) if count else 0.0,
                    token_fraction=float(tokens[hits[point.threshold]].sum()) / total if total else 0.0,
                    compared_count=differing[point.threshold][0],
                    differing_count=differing[point.threshold][1],
                    planted=point,
                )
                for point in planted
            ),
        )

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        found = []
        for start in range(0, len(texts), _AT_ONCE_COUNT):
            if self.cancelled():
                raise Cancelled("the lab was stopped; nothing of the log is kept")
            found.append(self.embedder.embed(texts[start : start + _AT_ONCE_COUNT]))
        return np.concatenate(found)

    def _differing(self, matched: Mapping[float, NDArray[np.int_]]) -> dict[float, tuple[int, int]]:
        """By threshold: hits that have both answers, and those of them whose answers are far from each other."""
        pairs = {
            threshold: [
                (self._answers[row], self._answers[other])
                for row, other in enumerate(rows)
                if other >= 0 and self._answers[row] and self._answers[other]
            ][:_MOST_COMPARED]
            for threshold, rows in matched.items()
        }
        texts = list(dict.fromkeys(text for each in pairs.values() for pair in each for text in pair))
        if not texts or not self.embedder.is_semantic:
            return dict.fromkeys(matched, (0, 0))
        vectors = dict(zip(texts, self._embedded(texts), strict=True))
        return {
            threshold: (len(each), sum(float(vectors[a] @ vectors[b]) < AGREEING_SIMILARITY for a, b in each))
            for threshold, each in pairs.items()
        }

    def _replayed(self, similar: Vectors, rows: Sequence[int], threshold: float) -> list[int]:
        """One request after the other: what hits is answered and adds nothing to the cache, what misses does.

        The row whose answer each is given, or -1.
        """
        times = np.array([self._times[row] for row in rows])
        found: list[int] = []
        kept: list[int] = []
        for index in range(len(rows)):
            near = similar[index, kept]
            if self.ttl_s is not None and kept:
                near = np.where(times[index] - times[kept] > self.ttl_s, -1.0, near)
            is_hit = near.size and near.max() >= threshold
            found.append(rows[kept[int(near.argmax())]] if is_hit else -1)
            if not is_hit:
                kept = [*kept[-(_MOST_PER_SCOPE - 1) :], index]
        return found


def planted_points(
    embedder: Embedder, thresholds: Sequence[float] = THRESHOLDS, pairs: Sequence[Pair] = PAIRS
) -> list[PlantedPoint]:
    """The error of this embedder on questions of ours, each with a paraphrase and with one that asks something else."""
    asked, same, other = (
        embedder.embed([getattr(pair, name) for pair in pairs]) for name in ("asked", "same", "other")
    )
    right, wrong = (asked * same).sum(1), (asked * other).sum(1)
    among = asked @ asked.T - 2 * np.eye(len(pairs))
    points = []
    for threshold in sorted(thresholds):
        found_count, wrong_count = int((right >= threshold).sum()), int((wrong >= threshold).sum())
        taken = found_count + wrong_count
        points.append(
            PlantedPoint(
                threshold=threshold,
                found_fraction=found_count / len(pairs),
                wrong_pairs_fraction=wrong_count / len(pairs),
                unrelated_fraction=float((among.max(1) >= threshold).mean()),
                wrong_fraction=wrong_count / taken if taken else Undefined(reason="nothing was taken for the same"),
                wrong_upper_fraction=upper_fraction(wrong_count, taken),
            )
        )
    return points


def upper_fraction(errors_count: int, count: int, sure_fraction: float = SURE_FRACTION) -> float:
    """The share of errors that is not exceeded, with this much certainty, when so many of so many were errors.

    Equation   the p at which P(X <= errors) = 1 - sure, X binomial (count, p)
    Returns    [1]; 1 where nothing was tried. About 3 / n without an error
    Valid for  errors that do not depend on each other
    Raises     nothing
    Source     Clopper and Pearson, Biometrika 26, 1934; domain_math §7.1, rule of three
    >>> round(upper_fraction(0, 100), 4), round(upper_fraction(2, 50), 4)
    (0.0295, 0.1206)
    """
    if not count or errors_count >= count:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        at_most = sum(comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(errors_count + 1))
        low, high = (p, high) if at_most > 1 - sure_fraction else (low, p)
    return high


def best_point(hits: SemanticHits, model_usd_per_request: float, wrong_usd_per_answer: float) -> ThresholdPoint | None:
    """The threshold that saves most when each wrong hit loses so much; None where none saves anything.

    Equation   max over t of  h(t) (c_m - f(t) L),  f at its upper bound
    Source     domain_math §7.1
    """

    def saved(point: ThresholdPoint) -> float:
        return point.hit_fraction * (model_usd_per_request - point.planted.wrong_upper_fraction * wrong_usd_per_answer)

    best = max(hits.points, key=saved, default=None)
    return best if best is not None and saved(best) > 0 else None
