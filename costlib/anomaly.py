"""Days that were not like the others, and the driver that moved most in money.

A day is compared with the same weekday of the weeks before it. What it cost more is divided among the links of a chain
from requests to money, each over the one before it: `lmdi` leaves no remainder. (`bridge.py` explains periods with the
books' own classes and shares; this chain is of one pool or model and one day, from its counters.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

import numpy as np

from costlib.forecast import cents
from costlib.lmdi import lmdi
from costlib.review import Anomaly
from costlib.smoothing import WEEK, Array
from costlib.units import TOKENS_PER_MTOK

WEEKS = 6  # of the same weekday that a day is compared with, at most
LEAST_WEEKS = 3  # and at least
SIGMAS = 5.0  # a single day further off than this is an anomaly
SHIFT_SIGMAS = 2.5  # and a whole week whose median is
SHIFT_DAYS = 3  # in a row on one side are one shift of level
OUTPUT_WORK = 4.0  # prefill tokens that one step of decoding is taken for, where work of both kinds is added up
_STILL_SIGMAS = 1.5  # a shift goes on while days are further off than this on its side
_MAD = 1.4826  # times the median absolute deviation: the standard deviation of a normal distribution
_LEAST_LOG, _LEAST_SHARE = 0.015, 0.005  # standard deviations below these are taken for these
_LEAST_RESIDUALS = 7


class Measure(StrEnum):
    COST = "cost"
    TOKENS = "tokens"
    PER_MTOK = "per_mtok"
    IDLE_SHARE = "idle_share"
    CACHE_HIT = "cache_hit"
    ACCEPTANCE = "acceptance"
    PREEMPTION = "preemption"


class Cause(StrEnum):
    """The links of the chain, in its order."""

    VOLUME = "volume"  # requests
    MIX = "mix"  # tokens per request
    CACHE = "cache"  # prompt tokens that are computed
    ACCEPTANCE = "acceptance"  # steps that output tokens need
    PREEMPTION = "preemption"  # prompt tokens computed again
    EFFICIENCY = "efficiency"  # busy GPU-hours for that work
    IDLE = "idle"  # GPU-hours for the busy ones
    PRICE = "price"  # cost of a GPU-hour; of the work, where no GPU-hours are known


_MORE = {
    Cause.VOLUME: ("more requests", "fewer requests"),
    Cause.MIX: ("longer requests", "shorter requests"),
    Cause.CACHE: ("fewer cache hits", "more cache hits"),
    Cause.ACCEPTANCE: ("fewer drafts accepted", "more drafts accepted"),
    Cause.PREEMPTION: ("more preemption", "less preemption"),
    Cause.EFFICIENCY: ("slower work", "faster work"),
    Cause.IDLE: ("more idle GPUs", "fewer idle GPUs"),
    Cause.PRICE: ("a higher price", "a lower price"),
}
_NAMES = {
    Measure.COST: "cost",
    Measure.TOKENS: "tokens",
    Measure.PER_MTOK: "cost per million tokens",
    Measure.IDLE_SHARE: "idle share",
    Measure.CACHE_HIT: "cache hits",
    Measure.ACCEPTANCE: "accepted drafts",
    Measure.PREEMPTION: "preempted work",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UseDay:
    """What one pool, model or product did on one day; None: not known. `cost` is without purchases and credits."""

    on: date
    cost: Decimal | None = None
    requests_count: float | None = None
    prompt_tokens: float | None = None
    cached_tokens: float | None = None
    output_tokens: float | None = None
    draft_tokens: float | None = None
    accepted_tokens: float | None = None
    recomputed_tokens: float | None = None  # of requests that were preempted
    busy_gpu_hours: float | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One anomaly: how far a measure was off, and what moved the cost of the day by how much, the most first.

    `effects` sum to `impact`, the cost above what was expected, but for cents; both are empty where cost is not known.
    """

    on: date
    measure: Measure
    scope: str
    sigmas_ratio: float  # standard deviations off
    change_fraction: float  # of what was expected; of 1 where the measure is a share
    impact: Decimal | None
    effects: tuple[tuple[Cause, Decimal], ...] = ()
    until: date | None = None  # the last day of a shift of level; None: a single day

    @property
    def cause(self) -> Cause | None:
        return self.effects[0][0] if self.effects else None

    @property
    def sentence(self) -> str:
        side = "above" if self.change_fraction > 0 else "below"
        off = f"{abs(self.change_fraction) * 100:.0f} {'points' if self.measure in SHARES else '%'}"
        text = f"{_NAMES[self.measure]} {off} {side} the usual {self.on:%A}"
        if self.until is not None:
            text += f", and so up to {self.until.isoformat()}"
        if self.effects:
            cause, amount = self.effects[0]
            text += f": {_MORE[cause][amount < 0]} moved the day's cost most, by {amount:+,.2f}"
        return text

    def as_anomaly(self, evidence: str = "", currency: str = "") -> Anomaly:
        """As the weekly review holds it; the amount in its sentence is of `currency`."""
        return Anomaly(
            on=self.on,
            measure=self.measure,
            scope=self.scope,
            impact=self.impact,
            cause=self.cause or "",
            sentence=f"{self.sentence} {currency}".rstrip() if self.effects else self.sentence,
            evidence=evidence,
        )


def anomalies(days: Sequence[UseDay], scope: str = "", *, since: date | None = None) -> tuple[Finding, ...]:
    """The anomalies from `since` on, by day and then by what they cost.

    Equation   r = ln x - median of ln x of the same weekday in the 6 weeks before (of x itself for shares);
               off by |r| / (1.4826 MAD of r in the 8 weeks before) > 5, or a week whose median is off by more than 2.5
    Returns    Finding; three and more days in a row on one side are one, on their first day
    Valid for  28 days of history and more, one entry per day; less gives none. Holidays are anomalies like any other.
               Measures that are not known on a day are not judged on it
    Example    a price that doubles on the last day
    >>> usual = [UseDay(on=date(2026, 9, 1) + timedelta(days=n), cost=Decimal(100 + n % 3), gpu_hours=50.0)
    ...          for n in range(40)]
    >>> last = UseDay(on=date(2026, 10, 11), cost=Decimal(200), gpu_hours=50.0)
    >>> found = anomalies([*usual, last])[0]
    >>> str(found.measure), str(found.cause), round(found.change_fraction, 2)
    ('cost', 'price', 0.98)
    """
    ordered = _without_gaps(days)
    found: list[Finding] = []
    for measure, (of, is_share) in _MEASURES.items():
        values = _array([of(day) for day in ordered])
        if not np.isfinite(values).any():
            continue
        off, sigma = _residuals(values if is_share else _logs(values), _LEAST_SHARE if is_share else _LEAST_LOG)
        for start, end in _runs(off / sigma):
            change = off[start] if is_share else np.expm1(off[start])
            total, effects = explained(ordered[: start + 1])
            found.append(
                Finding(
                    on=ordered[start].on,
                    measure=measure,
                    scope=scope,
                    sigmas_ratio=float(abs(off[start] / sigma[start])),
                    change_fraction=float(change),
                    impact=total,
                    effects=effects,
                    until=ordered[end].on if end > start else None,
                )
            )
    order = list(Measure)
    recent = [one for one in found if since is None or one.on >= since or (one.until or one.on) >= since]
    return tuple(sorted(recent, key=lambda one: (one.on, -abs(one.impact or Decimal(0)), order.index(one.measure))))


def explained(days: Sequence[UseDay]) -> tuple[Decimal | None, tuple[tuple[Cause, Decimal], ...]]:
    """What the last day cost above the usual same weekday, and what of it each driver did, the most first.

    Equation   requests -> work of their tokens -> less what the cache had -> less steps that drafts saved -> and what
               was computed again -> busy GPU-hours -> GPU-hours -> cost; each over the one before it is a driver
    Returns    the sum and (driver, amount), which add up to it but for cents. Idle comes last when the GPU-hours moved
               less than half as far as the busy ones: then it is what a fleet of one size does with less work
    Valid for  work in prefill tokens, a step of decoding for 4; quantities unknown on the day or before are left out,
               and what they would tell apart goes to the next that is known
    Source     domain_math §12.8
    Example    twice the requests on twice the GPUs
    >>> def day(n, times):
    ...     return UseDay(on=date(2026, 9, 7) + timedelta(days=n), cost=Decimal(10) * times, requests_count=5.0 * times,
    ...                   gpu_hours=1.0 * times)
    >>> total, effects = explained([*(day(n, 1) for n in range(28)), day(28, 2)])
    >>> str(total), [(str(cause), str(amount)) for cause, amount in effects]
    ('10.00', [('volume', '10.00'), ('idle', '0.00'), ('price', '0.00')])
    """
    ordered = _without_gaps(days)
    chains = [_chain(day) for day in ordered]
    seen: dict[Cause, float] = {}
    usual: dict[Cause, float] = {}
    for cause in Cause:
        values = _array([chain.get(cause) for chain in chains])
        before = _same_weekdays(_logs(values))[-1]
        if np.isfinite(values[-1]) and values[-1] > 0 and np.isfinite(before):
            seen[cause], usual[cause] = float(values[-1]), float(np.exp(before))
    if Cause.PRICE not in seen:
        return None, ()
    if Cause.VOLUME not in seen and Cause.MIX in seen:
        # Without requests all that is known of volume is the work.
        seen = {Cause.VOLUME if cause is Cause.MIX else cause: value for cause, value in seen.items()}
        usual = {Cause.VOLUME if cause is Cause.MIX else cause: value for cause, value in usual.items()}
    effects = lmdi(_factors(usual), _factors(seen))
    is_response = _is_response(seen, usual)
    ranked = sorted(
        zip(seen, effects, strict=True), key=lambda pair: (is_response and pair[0] is Cause.IDLE, -abs(pair[1]))
    )
    total = cents(seen[Cause.PRICE] - usual[Cause.PRICE])
    return total, tuple((cause, cents(amount) + Decimal(0)) for cause, amount in ranked)


def _factors(chain: dict[Cause, float]) -> list[float]:
    values = list(chain.values())
    return [value / last for value, last in zip(values, [1.0, *values[:-1]], strict=True)]


def _is_response(seen: dict[Cause, float], usual: dict[Cause, float]) -> bool:
    """Whether idling changed because the work did, and not because GPUs came or went."""
    if Cause.IDLE not in seen or len(seen) < 3:
        return False
    before = list(seen)[list(seen).index(Cause.IDLE) - 1]
    if before is Cause.PRICE or next(iter(seen)) is Cause.IDLE:
        return False
    gpus, work = (float(np.log(seen[cause] / usual[cause])) for cause in (Cause.IDLE, before))
    return abs(gpus) < abs(work) / 2


def _chain(day: UseDay) -> dict[Cause, float | None]:
    prompt, output = day.prompt_tokens, day.output_tokens
    work = None if prompt is None or output is None else prompt + OUTPUT_WORK * output
    found: dict[Cause, float | None] = {Cause.VOLUME: day.requests_count, Cause.MIX: work}
    for cause, change in (
        (Cause.CACHE, None if day.cached_tokens is None else -day.cached_tokens),
        (Cause.ACCEPTANCE, None if day.accepted_tokens is None else -OUTPUT_WORK * day.accepted_tokens),
        (Cause.PREEMPTION, day.recomputed_tokens),
    ):
        found[cause] = None if work is None or change is None else work + change
        work = work if found[cause] is None else found[cause]
    found |= {Cause.EFFICIENCY: day.busy_gpu_hours, Cause.IDLE: day.gpu_hours}
    return found | {Cause.PRICE: None if day.cost is None else float(day.cost)}


# Measures


def _over(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _tokens(day: UseDay) -> float | None:
    return None if day.prompt_tokens is None or day.output_tokens is None else day.prompt_tokens + day.output_tokens


def _per_mtok(day: UseDay) -> float | None:
    per_token = _over(None if day.cost is None else float(day.cost), _tokens(day))
    return None if per_token is None else per_token * TOKENS_PER_MTOK


def _idle(day: UseDay) -> float | None:
    busy = _over(day.busy_gpu_hours, day.gpu_hours)
    return None if busy is None else 1 - busy


_MEASURES: dict[Measure, tuple[Callable[[UseDay], float | None], bool]] = {
    Measure.COST: (lambda day: None if day.cost is None else float(day.cost), False),
    Measure.TOKENS: (_tokens, False),
    Measure.PER_MTOK: (_per_mtok, False),
    Measure.IDLE_SHARE: (_idle, True),
    Measure.CACHE_HIT: (lambda day: _over(day.cached_tokens, day.prompt_tokens), True),
    Measure.ACCEPTANCE: (lambda day: _over(day.accepted_tokens, day.draft_tokens), True),
    Measure.PREEMPTION: (lambda day: _over(day.recomputed_tokens, day.prompt_tokens), True),
}
SHARES = frozenset(measure for measure, (_, is_share) in _MEASURES.items() if is_share)


# What is usual


def _residuals(values: Array, least: float) -> tuple[Array, Array]:
    """How far each day is from its like, and the standard deviation known on it; nan where there is too little."""
    off = values - _same_weekdays(values)
    before = _windows(off, 8 * WEEK, 1)
    apart = np.abs(before - _median(before, 1)[:, None])
    return off, np.maximum(least, _MAD * _median(apart, _LEAST_RESIDUALS))


def _same_weekdays(values: Array) -> Array:
    """The median of the same weekday in the weeks before each day."""
    return _median(_windows(values, WEEKS * WEEK, WEEK), LEAST_WEEKS)


def _windows(values: Array, days: int, every: int) -> Array:
    """What lies `every` days before each day, and twice that, up to `days` before it; nan before the first."""
    padded = np.concatenate([np.full(days, np.nan), values])
    return np.lib.stride_tricks.sliding_window_view(padded, days)[: len(values), ::every]


def _median(rows: Array, least: int) -> Array:
    """Of what is known in each row; nan where that is less than `least`."""
    ordered, known = np.sort(rows, axis=1), np.isfinite(rows).sum(axis=1)  # what is not known comes last
    middle = np.maximum(np.stack([(known - 1) // 2, known // 2], axis=1), 0)
    return np.where(known >= least, np.take_along_axis(ordered, middle, axis=1).mean(axis=1), np.nan)


def _runs(sigmas: Array) -> list[tuple[int, int]]:
    """First and last day of each anomaly."""
    known = np.nan_to_num(sigmas)
    is_off = np.abs(known) > SIGMAS
    weeks = np.lib.stride_tricks.sliding_window_view(known, WEEK) if len(known) >= WEEK else np.empty((0, WEEK))
    middles = np.median(weeks, axis=1)
    of_one_side = (np.sign(weeks) == np.sign(middles)[:, None]).all(axis=1)
    for start in np.flatnonzero((np.abs(middles) > SHIFT_SIGMAS) & of_one_side):
        is_off[start : start + WEEK] |= weeks[start] * np.sign(middles[start]) > _STILL_SIGMAS
    found: list[tuple[int, int]] = []
    day = 0
    while day < len(known):
        end = day
        while is_off[day] and end + 1 < len(known) and known[end + 1] * np.sign(known[day]) > _STILL_SIGMAS:
            end += 1
        if end - day + 1 >= SHIFT_DAYS and abs(np.median(known[day : end + 1])) > SHIFT_SIGMAS:
            found.append((day, end))
        else:
            found += [(one, one) for one in range(day, end + 1) if is_off[one]]
        day = end + 1
    return found


def _without_gaps(days: Sequence[UseDay]) -> list[UseDay]:
    """Every day from the first to the last; one that is not there is known to be unknown."""
    by_day = {day.on: day for day in days}
    if not by_day:
        return []
    first, last = min(by_day), max(by_day)
    every = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [by_day.get(on, UseDay(on=on)) for on in every]


def _array(values: Sequence[float | None]) -> Array:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _logs(values: Array) -> Array:
    return np.log(values, out=np.full(len(values), np.nan), where=values > 0)
