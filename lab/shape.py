"""The shape of a log: turns of conversations, how prompts grow with them, and how long answers are."""

from collections import Counter
from dataclasses import dataclass, field

from costlib.estimate import Undefined
from lab.readers.base import key_of
from lab.record import SYSTEM_ROLES, USER, Request

MOST_CONVERSATIONS = 500_000
MOST_TURNS = 20  # that are told apart


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnPoint:
    """Requests of this turn; the last point holds all later ones too."""

    turn: int
    requests_count: int
    mean_prompt_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """`mean_turns` of a conversation; the requests of one share its first words and its tenant, or its number."""

    conversations_count: int
    mean_turns: float | Undefined
    longest_turns_count: int
    points: tuple[TurnPoint, ...]
    is_bounded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBin:
    """Answers longer than the bin before, and not longer than this."""

    most_tokens: int
    answers_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLengths:
    """Of answers whose length is known. `truncated_fraction` ended because of max_tokens, of those that say why they
    ended or what they were allowed."""

    answers_count: int
    mean_tokens: float | Undefined
    p50_tokens: float | Undefined
    p90_tokens: float | Undefined
    p99_tokens: float | Undefined
    median_max_tokens: float | Undefined
    truncated_fraction: float | Undefined
    bins: tuple[LengthBin, ...]


@dataclass(slots=True, kw_only=True)
class ShapeCounter:
    most_conversations_count: int = MOST_CONVERSATIONS
    _turns: dict[str, int] = field(default_factory=dict)
    _counts: Counter[int] = field(default_factory=Counter)
    _tokens: Counter[int] = field(default_factory=Counter)
    _outputs: Counter[int] = field(default_factory=Counter)
    _caps: Counter[int] = field(default_factory=Counter)
    _over_count: int = 0
    _over_turns_count: int = 0
    _ended_count: int = 0
    _truncated_count: int = 0
    _is_bounded: bool = False

    def add(self, request: Request, prompt_tokens: int, output_tokens: int | None) -> None:
        turn = request.turns_count
        self._counts[min(turn, MOST_TURNS)] += 1
        self._tokens[min(turn, MOST_TURNS)] += prompt_tokens
        key = _conversation(request)
        if key in self._turns or len(self._turns) < self.most_conversations_count:
            # A number says which requests belong together, even where each holds only its own question.
            known = self._turns.get(key, 0)
            if turn == 1 and known and not request.conversation:  # the same first words again: another conversation
                self._over_count += 1
                self._over_turns_count += known
                known = 0
            self._turns[key] = max(turn, known + 1 if request.conversation else known)
        else:
            self._is_bounded = True
        if request.max_output_tokens is not None:
            self._caps[request.max_output_tokens] += 1
        if output_tokens is not None:
            self._outputs[output_tokens] += 1
            self._end(request, output_tokens)

    def _end(self, request: Request, output_tokens: int) -> None:
        cap = request.max_output_tokens
        if request.finish_reason or cap is not None:
            self._ended_count += 1
            at_cap = cap is not None and output_tokens >= cap
            self._truncated_count += request.finish_reason == "length" or (not request.finish_reason and at_cap)

    def turns(self) -> Turns:
        count = len(self._turns) + self._over_count
        total = sum(self._turns.values()) + self._over_turns_count
        return Turns(
            conversations_count=count,
            mean_turns=total / count if count else Undefined(reason="the log has no requests"),
            longest_turns_count=max(self._turns.values(), default=0),
            points=tuple(
                TurnPoint(
                    turn=turn,
                    requests_count=self._counts[turn],
                    mean_prompt_tokens=self._tokens[turn] / self._counts[turn],
                )
                for turn in sorted(self._counts)
            ),
            is_bounded=self._is_bounded,
        )

    def outputs(self) -> OutputLengths:
        count = sum(self._outputs.values())
        none = Undefined(reason="the log has neither answers nor their usage")
        total = sum(length * times for length, times in self._outputs.items())
        return OutputLengths(
            answers_count=count,
            mean_tokens=total / count if count else none,
            p50_tokens=quantile(self._outputs, 0.5) if count else none,
            p90_tokens=quantile(self._outputs, 0.9) if count else none,
            p99_tokens=quantile(self._outputs, 0.99) if count else none,
            median_max_tokens=quantile(self._caps, 0.5)
            if self._caps
            else Undefined(reason="no request has a max_tokens"),
            truncated_fraction=self._truncated_count / self._ended_count
            if self._ended_count
            else Undefined(reason="no answer says why it ended, nor what it was allowed"),
            bins=bins_of(self._outputs),
        )


def bins_of(lengths: "Counter[int]") -> tuple[LengthBin, ...]:
    """Each bin twice as long as the one before; from the shortest to the longest that has an answer, none left out.

    >>> [(one.most_tokens, one.answers_count) for one in bins_of(Counter({5: 2, 8: 1, 9: 4, 60: 1}))]
    [(8, 3), (16, 4), (32, 0), (64, 1)]
    """
    counts: Counter[int] = Counter()
    for length, times in lengths.items():
        counts[max(3, (length - 1).bit_length())] += times
    places = range(min(counts, default=0), max(counts, default=-1) + 1)
    return tuple(LengthBin(most_tokens=2**place, answers_count=counts[place]) for place in places)


def quantile(lengths: "Counter[int]", share: float) -> float:
    """The smallest length that this share of answers does not exceed.

    >>> quantile(Counter({10: 9, 50: 1}), 0.9), quantile(Counter({10: 9, 50: 1}), 0.91)
    (10.0, 50.0)
    """
    left = share * lengths.total() - 1e-9
    for length in sorted(lengths):
        left -= lengths[length]
        if left <= 0:
            return float(length)
    return float(max(lengths))


def _conversation(request: Request) -> str:
    if request.conversation:
        return key_of(request.tenant, request.conversation)
    first = next((text for role, text in request.messages if role in (USER, "")), "")
    system = [text for role, text in request.messages if role in SYSTEM_ROLES]
    return key_of(request.tenant, request.model, *system, first, str(list(request.token_ids[:64])))
