"""A cache of answers by the very words: how often the same request came before, from the same tenant."""

from collections import OrderedDict
from dataclasses import dataclass, field

from costlib.estimate import Undefined
from lab.record import Request
from lab.scope import exact_key_of

MOST_KEYS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactHits:
    """`token_fraction` weighs requests by prompt and answer: what repeats tends to be short."""

    requests_count: int
    hits_count: int
    hit_fraction: float | Undefined
    token_fraction: float | Undefined
    ttl_s: float | None  # None: answers are kept for ever, or the log has no times
    is_bounded: bool  # more different requests than keys are kept


@dataclass(slots=True, kw_only=True)
class ExactCounter:
    ttl_s: float | None = None
    most_keys_count: int = MOST_KEYS
    _answered: "OrderedDict[str, float | None]" = field(default_factory=OrderedDict)
    _requests_count: int = 0
    _hits_count: int = 0
    _tokens: float = 0.0
    _hit_tokens: float = 0.0
    _is_timed: bool = False
    _is_bounded: bool = False

    def add(self, request: Request, tokens: float) -> bool:
        """Counts it; whether a cache would have had its answer."""
        key = exact_key_of(request)
        is_hit = key in self._answered and not self._is_old(self._answered[key], request.started_s)
        if is_hit:
            self._answered.move_to_end(key)
        else:
            self._answered[key] = request.started_s
            self._answered.move_to_end(key)
            if len(self._answered) > self.most_keys_count:
                self._answered.popitem(last=False)
                self._is_bounded = True
        self._requests_count += 1
        self._hits_count += is_hit
        self._tokens += tokens
        self._hit_tokens += tokens * is_hit
        return is_hit

    def _is_old(self, stored_s: float | None, now_s: float | None) -> bool:
        if self.ttl_s is None or stored_s is None or now_s is None:
            return False
        self._is_timed = True
        return now_s - stored_s > self.ttl_s

    def found(self) -> ExactHits:
        nothing = Undefined(reason="the log has no requests")
        return ExactHits(
            requests_count=self._requests_count,
            hits_count=self._hits_count,
            hit_fraction=self._hits_count / self._requests_count if self._requests_count else nothing,
            token_fraction=self._hit_tokens / self._tokens if self._tokens else nothing,
            ttl_s=self.ttl_s if self._is_timed else None,
            is_bounded=self._is_bounded,
        )
