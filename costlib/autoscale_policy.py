"""Policies that set how many replicas run, and what each decides at a moment: Kubernetes' HPA, KEDA, a schedule."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, inf
from typing import NamedTuple, Protocol

from costlib.errors import DomainError
from costlib.units import HOURS_PER_DAY, SECONDS_PER_HOUR

SYNC_S = 15.0  # how often the HPA looks (--horizontal-pod-autoscaler-sync-period)
MOST_REPLICAS_COUNT = 10_000
_HOURS_PER_WEEK = 7 * HOURS_PER_DAY


class Metric(StrEnum):
    """What vLLM exports of its load, by its name without `vllm:`."""

    WAITING = "num_requests_waiting"
    RUNNING = "num_requests_running"
    KV_USAGE = "kv_cache_usage_perc"


class Signals(NamedTuple):
    """The metrics at a moment, summed over the replicas that answer; what waits at the gateway where none does."""

    waiting: float
    running: float
    kv_usage: float

    def total(self, metric: Metric) -> float:
        if metric is Metric.WAITING:
            return self.waiting
        return self.running if metric is Metric.RUNNING else self.kv_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTarget:
    """A metric and its target for each replica; KV usage is a share from 0 to 1."""

    metric: Metric
    target_ratio: float

    def __post_init__(self) -> None:
        if not 0 < self.target_ratio < inf or (self.metric is Metric.KV_USAGE and self.target_ratio > 1):
            raise DomainError(
                f"{self.metric} needs a target above 0{' and up to 1' * (self.metric is Metric.KV_USAGE)}, "
                f"not {self.target_ratio}."
            )


class Select(StrEnum):
    """Which of several rules counts: the one that allows most change, or least; or none may change anything."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """So many pods, or so many percent, in any stretch of `period_s`."""

    change_count: int
    period_s: float
    is_percent: bool = False

    def __post_init__(self) -> None:
        if self.change_count < 1 or not 1 <= self.period_s <= 1800:
            raise DomainError(
                "a scaling rule changes 1 or more in 1 to 1,800 s, "
                f"not {self.change_count} in {self.period_s:g} s (periodSeconds of the HPA)."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How fast one direction may go. A stabilisation window takes the most careful recommendation within it."""

    stabilisation_s: float
    rules: tuple[Rule, ...]
    select: Select = Select.MAX

    def __post_init__(self) -> None:
        if not 0 <= self.stabilisation_s <= SECONDS_PER_HOUR:
            raise DomainError(f"a stabilisation window is 0 to 3,600 s, not {self.stabilisation_s:g}.")
        if not self.rules and self.select is not Select.DISABLED:
            raise DomainError("a direction needs a rule, or select Disabled.")


# What Kubernetes does where nothing is said.
UP = Behaviour(
    stabilisation_s=0.0, rules=(Rule(change_count=100, period_s=15, is_percent=True), Rule(change_count=4, period_s=15))
)
DOWN = Behaviour(stabilisation_s=300.0, rules=(Rule(change_count=100, period_s=15, is_percent=True),))


class Controller(Protocol):
    """A policy at work: it remembers what it did."""

    def desired(self, at_s: float, replicas_count: int, ready_count: int, signals: Signals) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaPolicy:
    """A HorizontalPodAutoscaler (autoscaling/v2) on metrics of the pods, each with a target for the mean of all."""

    label: str
    min_replicas_count: int
    max_replicas_count: int
    targets: tuple[MetricTarget, ...]
    tolerance_fraction: float = 0.1
    up: Behaviour = UP
    down: Behaviour = DOWN

    def __post_init__(self) -> None:
        _check_bounds(self.label, self.min_replicas_count, self.max_replicas_count, least=1)
        if not self.targets:
            raise DomainError(f"{self.label}: an HPA needs at least one metric.")
        if not 0 <= self.tolerance_fraction < 1:
            raise DomainError(f"{self.label}: the tolerance is a share from 0 to below 1.")

    def controller(self, first_hour_of_week: int = 0) -> Controller:
        return _Hpa(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaPolicy:
    """A ScaledObject: an HPA from one replica on, which KEDA itself starts from none and stops again.

    It is active while a trigger's total is above `activation_ratio`, looked at every `polling_s`; after `cooldown_s`
    without, it goes to none, where `min_replicas_count` is 0. From none it starts by what waits at the gateway: a
    vLLM that does not run exports nothing.
    """

    label: str
    min_replicas_count: int
    max_replicas_count: int
    targets: tuple[MetricTarget, ...]
    activation_ratio: float = 0.0
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    up: Behaviour = UP
    down: Behaviour = DOWN

    def __post_init__(self) -> None:
        _check_bounds(self.label, self.min_replicas_count, self.max_replicas_count, least=0)
        if not (1 <= self.polling_s < inf and 0 <= self.cooldown_s < inf and 0 <= self.activation_ratio < inf):
            raise DomainError(f"{self.label}: KEDA polls every second or less often, and waits 0 s or more.")

    @property
    def hpa(self) -> HpaPolicy:
        """The HPA that KEDA makes of it."""
        return HpaPolicy(
            label=self.label,
            min_replicas_count=max(1, self.min_replicas_count),
            max_replicas_count=self.max_replicas_count,
            targets=self.targets,
            up=self.up,
            down=self.down,
        )

    def controller(self, first_hour_of_week: int = 0) -> Controller:
        return _Keda(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePolicy:
    """So many replicas in each hour of the day (24 of them) or of the week (168, Monday 00:00 UTC first)."""

    label: str
    replicas_by_hour_count: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.replicas_by_hour_count) not in (HOURS_PER_DAY, _HOURS_PER_WEEK):
            raise DomainError(f"{self.label}: a schedule has 24 or 168 hours, not {len(self.replicas_by_hour_count)}.")
        _check_bounds(self.label, min(self.replicas_by_hour_count), max(self.replicas_by_hour_count), least=0)

    def controller(self, first_hour_of_week: int = 0) -> Controller:
        return _Scheduled(self.replicas_by_hour_count, first_hour_of_week)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPolicy:
    """Always so many."""

    label: str
    replicas_count: int

    def __post_init__(self) -> None:
        _check_bounds(self.label, self.replicas_count, self.replicas_count, least=0)

    def controller(self, first_hour_of_week: int = 0) -> Controller:
        return _Scheduled((self.replicas_count,), 0)


Policy = HpaPolicy | KedaPolicy | SchedulePolicy | StaticPolicy


def hpa_recommendation(policy: HpaPolicy, replicas_count: int, signals: Signals) -> int:
    """What the metrics ask for, before windows, rules and limits.

    Equation   max over metrics of  ceil(total / target), or the replicas there are while total / (target x replicas)
               is within the tolerance of 1
    Returns    [1]
    Valid for  metrics that replicas answering sum up to: those still starting count as 0, as they do for a scale-up
    Raises     nothing
    Source     Kubernetes documentation, Horizontal Pod Autoscaling, "Algorithm details"
    Example    30 wait at two replicas, 10 allowed at each: three; 21 are within 10 % of the target
    >>> policy = HpaPolicy(label="queue", min_replicas_count=1, max_replicas_count=9,
    ...                    targets=(MetricTarget(metric=Metric.WAITING, target_ratio=10),))
    >>> [hpa_recommendation(policy, 2, Signals(waiting, 0, 0)) for waiting in (30, 21, 5)]
    [3, 2, 1]
    """
    found = 0
    for target in policy.targets:
        total = signals.total(target.metric)
        ratio = total / (target.target_ratio * replicas_count)
        near = abs(ratio - 1) <= policy.tolerance_fraction
        found = max(found, replicas_count if near else ceil(total / target.target_ratio - 1e-9))
    return found


class _Hpa:
    def __init__(self, policy: HpaPolicy) -> None:
        self.policy = policy
        self._keep_s = max(policy.up.stabilisation_s, policy.down.stabilisation_s)
        self._said: deque[tuple[float, int]] = deque()
        self._ups: deque[tuple[float, int]] = deque()
        self._downs: deque[tuple[float, int]] = deque()

    def desired(self, at_s: float, replicas_count: int, ready_count: int, signals: Signals) -> int:
        policy, current = self.policy, replicas_count
        if not policy.min_replicas_count <= current <= policy.max_replicas_count:
            asked = min(max(current, policy.min_replicas_count), policy.max_replicas_count)
        elif not ready_count:
            return current  # no pod answers: no metric, and nothing is changed
        else:
            asked = self._limited(at_s, current, self._stable(at_s, current, signals))
        if asked != current:
            (self._ups if asked > current else self._downs).append((at_s, abs(asked - current)))
        return asked

    def _stable(self, at_s: float, current: int, signals: Signals) -> int:
        """Up only to the least recommended within the window of up, down only to the most within that of down."""
        said = self._said
        if not said:
            said.append((at_s, current))
        asked = hpa_recommendation(self.policy, current, signals)
        while said and said[0][0] <= at_s - self._keep_s:
            said.popleft()
        up_from, down_from = at_s - self.policy.up.stabilisation_s, at_s - self.policy.down.stabilisation_s
        least = min((count for moment, count in said if moment > up_from), default=asked)
        most = max((count for moment, count in said if moment > down_from), default=asked)
        said.append((at_s, asked))
        return min(max(current, min(asked, least)), max(asked, most))

    def _limited(self, at_s: float, current: int, asked: int) -> int:
        policy = self.policy
        if asked > current:
            return min(asked, policy.max_replicas_count, max(current, self._limit(at_s, current, policy.up, True)))
        if asked < current:
            return max(asked, policy.min_replicas_count, min(current, self._limit(at_s, current, policy.down, False)))
        return current

    def _limit(self, at_s: float, current: int, behaviour: Behaviour, is_up: bool) -> int:
        """How far the rules let it go, counted from where each one's period began."""
        if behaviour.select is Select.DISABLED:
            return current
        limits = []
        longest_s = max(rule.period_s for side in (self.policy.up, self.policy.down) for rule in side.rules or _ONE)
        for events in (self._ups, self._downs):
            while events and events[0][0] <= at_s - longest_s:
                events.popleft()
        for rule in behaviour.rules:
            since = at_s - rule.period_s
            began = current - _changed(self._ups, since) + _changed(self._downs, since)
            if is_up:
                limits.append(
                    ceil(began * (100 + rule.change_count) / 100) if rule.is_percent else began + rule.change_count
                )
            else:
                limits.append(
                    int(began * (100 - rule.change_count) / 100) if rule.is_percent else began - rule.change_count
                )
        is_farthest = behaviour.select is Select.MAX
        return max(limits) if is_up == is_farthest else min(limits)


_ONE = (Rule(change_count=1, period_s=1),)


def _changed(events: deque[tuple[float, int]], since_s: float) -> int:
    return sum(change for moment, change in events if moment > since_s)


class _Keda:
    def __init__(self, policy: KedaPolicy) -> None:
        self.policy = policy
        self._hpa = _Hpa(policy.hpa)
        self._next_poll_s = 0.0
        self._active_at_s = 0.0

    def desired(self, at_s: float, replicas_count: int, ready_count: int, signals: Signals) -> int:
        policy = self.policy
        if policy.min_replicas_count:
            return self._hpa.desired(at_s, replicas_count, ready_count, signals)
        if at_s >= self._next_poll_s:
            self._next_poll_s = at_s + policy.polling_s
            totals = [signals.waiting, *(signals.total(target.metric) for target in policy.targets)]
            if any(total > policy.activation_ratio for total in totals):
                self._active_at_s = at_s
                if not replicas_count:
                    self._hpa = _Hpa(policy.hpa)
                    return 1
            elif at_s - self._active_at_s >= policy.cooldown_s:
                return 0
        return self._hpa.desired(at_s, replicas_count, ready_count, signals) if replicas_count else 0


class _Scheduled:
    def __init__(self, replicas_by_hour: tuple[int, ...], first_hour_of_week: int) -> None:
        self._replicas, self._first = replicas_by_hour, first_hour_of_week

    def desired(self, at_s: float, replicas_count: int, ready_count: int, signals: Signals) -> int:
        return self._replicas[(self._first + int(at_s // SECONDS_PER_HOUR)) % len(self._replicas)]


def _check_bounds(label: str, least_count: int, most_count: int, *, least: int) -> None:
    if not least <= least_count <= most_count <= MOST_REPLICAS_COUNT:
        raise DomainError(
            f"{label}: replicas go from {least} or more to {MOST_REPLICAS_COUNT:,} or less, the smaller first; "
            f"not {least_count} to {most_count}."
        )
