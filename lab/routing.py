"""Which requests a small model could answer: by a rule of seven signals, and by a classifier trained on the log."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from math import log1p

import numpy as np
from numpy.typing import NDArray

from costlib.estimate import Undefined
from lab.logistic import CrossValidated, cross_validated
from lab.record import SYSTEM_ROLES, Request

MOST_REQUESTS = 50_000  # the first of a log: enough to train on
FEWEST_TO_TRAIN = 100
FEWEST_PER_CLASS = 10
SURE_FRACTION = 0.6  # of being small, that a request is sent there; one that is unsure goes to the large model

# The rule. Its thresholds are arbitrary, as those of any such rule: they are stated, and not fitted to anything.
SIGNALS_FOR_LARGE = 2
LONG_PROMPT_TOKENS = 1_000
LONG_ANSWER_TOKENS = 1_000
MANY_QUESTIONS = 2
MANY_TURNS = 4
_REASONING = re.compile(
    r"\b(?:why|explain|analy[sz]e|compare|contrast|prove|derive|evaluate|critique|design|plan|optimi[sz]e|debug|"
    r"refactor|trade-?offs?|step[ -]by[ -]step|pros and cons|reason(?:ing)?|strategy)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"```|^\s*(?:def |class |import |function |SELECT |#include)|[;{}]\s*$|=>|</\w+>", re.MULTILINE)
_MATHS = re.compile(r"\d\s*[-+*/^=]\s*\d|\\(?:frac|sum|int)|[∑∫√≤≥]|\b(?:equation|integral|derivative|probability)\b")
_DEMANDS = re.compile(
    r"\b(?:json|yaml|table|schema|must|exactly|at least|at most|constraints?|format)\b", re.IGNORECASE
)
SIGNALS = (
    "long prompt",
    "several questions",
    "reasoning",
    "code",
    "mathematics",
    "many turns",
    "demands on the answer",
)
_LOOKED_AT = 4_000  # characters of a question that are searched
_DIGITS = "0123456789"


class LabelSource(StrEnum):
    """What said which requests need the large model, best first."""

    FEEDBACK = "the log says which answers were escalated or rejected"
    SERVED = "the model that served each request"
    RULE = "the rule of seven signals, which a classifier can only learn to repeat"
    NONE = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`small_fraction` of requests go to the small model; what stays is `kept_length_ratio` times the mean length."""

    small_fraction: float
    kept_length_ratio: float
    blended_usd_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSplit:
    requests_count: int
    signal_fractions: dict[str, float]  # of requests that show each
    rule: Split
    label_source: LabelSource
    labelled_count: int
    large_fraction: float | Undefined  # of the labelled
    trained: CrossValidated | Undefined
    trained_split: Split | Undefined
    small_usd_per_mtok: float
    large_usd_per_mtok: float

    @property
    def is_learnt(self) -> bool:
        """By a classifier, from labels that are not the rule's own."""
        return (
            not isinstance(self.trained, Undefined)
            and self.trained.has_learnt
            and self.label_source in (LabelSource.FEEDBACK, LabelSource.SERVED)
        )

    @property
    def chosen(self) -> Split:
        """The classifier's split where it has learnt something, else the rule's."""
        return self.rule if isinstance(self.trained_split, Undefined) or not self.is_learnt else self.trained_split


def signals_of(request: Request, prompt_tokens: float) -> tuple[bool, ...]:
    """The seven, in the order of SIGNALS."""
    question = request.question[:_LOOKED_AT]
    return (
        prompt_tokens >= LONG_PROMPT_TOKENS,
        question.count("?") >= MANY_QUESTIONS,
        bool(_REASONING.search(question)),
        bool(_CODE.search(question)),
        bool(_MATHS.search(question)),
        request.turns_count >= MANY_TURNS,
        (request.max_output_tokens or 0) >= LONG_ANSWER_TOKENS or bool(_DEMANDS.search(question)),
    )


def features_of(request: Request, prompt_tokens: float) -> list[float]:
    question = request.question[:_LOOKED_AT]
    letters = max(1, len(question))
    words = question.lower().split()
    system = sum(len(text) for role, text in request.messages if role in SYSTEM_ROLES)
    return [
        *map(float, signals_of(request, prompt_tokens)),
        log1p(prompt_tokens),
        log1p(len(question)),
        log1p(system),
        log1p(request.max_output_tokens or 0),
        float(request.turns_count),
        question.count("?"),
        question.count("\n") / letters,
        sum(map(question.count, _DIGITS)) / letters,
        sum(map(len, words)) / max(1, len(words)),
        len(set(words)) / max(1, len(words)),
    ]


_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*b(?![a-z])", re.IGNORECASE)
_SMALL_WORDS = re.compile(r"\b(?:mini|nano|small|haiku|flash|lite|tiny|instant)\b", re.IGNORECASE)


def size_of(model: str) -> float | None:
    """Billions of parameters that a model's name states; a word for small is 0; None for a name that tells nothing."""
    if found := _SIZE.findall(model.replace("_", "-").replace("-", " ").replace("/", " ")):
        return float(max(map(float, found)))
    return 0.0 if _SMALL_WORDS.search(model.replace("_", "-")) else None


@dataclass(slots=True, kw_only=True)
class RoutingCounter:
    """`small_usd_per_mtok` and `large_usd_per_mtok` are of input and output together."""

    small_usd_per_mtok: float
    large_usd_per_mtok: float
    large_models: tuple[str, ...] = ()
    most_requests_count: int = MOST_REQUESTS
    _rows: list[NDArray[np.float32]] = field(default_factory=list)
    _lengths: list[float] = field(default_factory=list)
    _models: list[int] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)
    _unhappy: list[int] = field(default_factory=list)  # -1 unknown

    def add(self, request: Request, prompt_tokens: float, tokens: float) -> None:
        if len(self._rows) < self.most_requests_count and not request.token_ids:
            self._rows.append(np.array(features_of(request, prompt_tokens), dtype=np.float32))
            self._lengths.append(tokens)
            self._models.append(self._names.setdefault(request.model, len(self._names)))
            self._unhappy.append(-1 if request.is_unhappy is None else int(request.is_unhappy))

    def found(self) -> RoutingSplit | Undefined:
        if not self._rows:
            return Undefined(reason="no request has a prompt in words")
        features, lengths = np.stack(self._rows).astype(float), np.array(self._lengths)
        signals = features[:, : len(SIGNALS)] > 0
        by_rule = signals.sum(1) >= SIGNALS_FOR_LARGE
        source, known, is_large = self._labels(by_rule)
        trained: CrossValidated | Undefined
        split: Split | Undefined
        if why := _why_untrained(is_large[known]):
            trained = split = Undefined(reason=why)
        else:
            trained, to_small = cross_validated(features[known], is_large[known], SURE_FRACTION)
            split = self._split(~to_small, lengths[known])
        return RoutingSplit(
            requests_count=len(features),
            signal_fractions={name: float(share) for name, share in zip(SIGNALS, signals.mean(0), strict=True)},
            rule=self._split(by_rule, lengths),
            label_source=source,
            labelled_count=int(known.sum()),
            large_fraction=float(is_large[known].mean()) if known.any() else Undefined(reason="nothing is labelled"),
            trained=trained,
            trained_split=split,
            small_usd_per_mtok=self.small_usd_per_mtok,
            large_usd_per_mtok=self.large_usd_per_mtok,
        )

    def _labels(self, by_rule: NDArray[np.bool_]) -> tuple[LabelSource, NDArray[np.bool_], NDArray[np.bool_]]:
        """Where labels come from, which requests have one, and whether they need the large model."""
        unhappy = np.array(self._unhappy)
        if (unhappy >= 0).sum() >= FEWEST_TO_TRAIN and 0 < (unhappy == 1).sum() < (unhappy >= 0).sum():
            return LabelSource.FEEDBACK, unhappy >= 0, unhappy == 1
        large = self._large_models()
        if large and len(large) < len(self._names):
            served = np.isin(np.array(self._models), sorted(large))
            return LabelSource.SERVED, np.ones(len(served), dtype=bool), served
        return LabelSource.RULE, np.ones(len(by_rule), dtype=bool), by_rule

    def _large_models(self) -> set[int]:
        if self.large_models:
            return {number for name, number in self._names.items() if name in self.large_models}
        sizes = {number: size for name, number in self._names.items() if (size := size_of(name)) is not None}
        smallest = min(sizes.values(), default=0.0)
        # A name that states nothing is the large one only beside one that says that it is small.
        unknown = {number for number in self._names.values() if number not in sizes} if sizes else set()
        return {number for number, size in sizes.items() if size > smallest} | (unknown if smallest == 0 else set())

    def _split(self, is_large: NDArray[np.bool_], lengths: NDArray[np.float64]) -> Split:
        """Each model at the tokens that it is sent: the large one keeps what is long."""
        mean, total = float(lengths.mean()), float(lengths.sum())
        large_tokens = float(lengths[is_large].sum()) / total if total else 0.0
        return Split(
            small_fraction=float(1 - is_large.mean()),
            kept_length_ratio=float(lengths[is_large].mean()) / mean if is_large.any() and mean else 1.0,
            blended_usd_per_mtok=large_tokens * self.large_usd_per_mtok + (1 - large_tokens) * self.small_usd_per_mtok,
        )


def _why_untrained(is_large: NDArray[np.bool_]) -> str:
    """Nothing where there is enough to train on."""
    fewest = min(int(is_large.sum()), int((~is_large).sum())) if len(is_large) else 0
    if len(is_large) >= FEWEST_TO_TRAIN and fewest >= FEWEST_PER_CLASS:
        return ""
    return (
        f"{len(is_large):,} labelled requests, {fewest} of the rarer kind: {FEWEST_TO_TRAIN} and {FEWEST_PER_CLASS} "
        "are needed"
    )
