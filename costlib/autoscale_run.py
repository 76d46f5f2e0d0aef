"""A fleet under a policy, step by step: what starts becomes ready, requests are answered, the policy decides."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf

import numpy as np

from costlib.autoscale_policy import SYNC_S, Controller, Signals
from costlib.errors import DomainError
from costlib.replica_unit import ReplicaUnit
from costlib.roofline import Floats
from costlib.units import SECONDS_PER_HOUR

TOLD_EVERY_STEPS = 2_000
_TABLE = 4_000  # places of the curve of a replica

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySettings:
    """What a replica takes to start and to stop, what counts as a miss, and how a start is billed.

    `max_wait_s` is the longest a request may wait for a place in a batch. `arrivals_cv_ratio` is the coefficient of
    variation of the time between requests: 1 for Poisson, 0 for a smooth flow. Each life of a replica is billed in
    whole `billed_s`.
    """

    start_s: float = 180.0
    drain_s: float = 30.0
    max_wait_s: float = 10.0
    billed_s: float = 1.0
    step_s: float = SYNC_S
    arrivals_cv_ratio: float = 1.0

    def __post_init__(self) -> None:
        for name in ("start_s", "drain_s", "max_wait_s", "arrivals_cv_ratio"):
            if not 0 <= getattr(self, name) < inf:
                raise DomainError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        for name in ("step_s", "billed_s"):
            if not 1 <= getattr(self, name) <= SECONDS_PER_HOUR:
                raise DomainError(f"{name} must be from 1 s to an hour, not {getattr(self, name)}.")


def step_rates(requests_per_s: Floats, steps_per_hour: int) -> Floats:
    """Hourly rates joined up linearly from middle to middle, each hour scaled so that its requests stay as they are.

    >>> step_rates(np.array([1.0, 3.0]), 4).reshape(2, 4).mean(axis=1).tolist()
    [1.0, 3.0]
    """
    hours = len(requests_per_s)
    at = (np.arange(hours * steps_per_hour) + 0.5) / steps_per_hour - 0.5
    joined = np.interp(at, np.arange(hours), requests_per_s).reshape(hours, steps_per_hour)
    means = joined.mean(axis=1)
    scale = np.where(means > 0, requests_per_s / np.where(means > 0, means, 1.0), 0.0)
    return np.asarray((joined * scale[:, None]).ravel())


def arrivals_count(rates: Floats, settings: ReplaySettings) -> Floats:
    """Requests in each step: gamma with the mean and, over longer stretches, the variance of a renewal process."""
    mean = rates * settings.step_s
    spread = settings.arrivals_cv_ratio**2
    if not spread:
        return np.asarray(mean)
    chance = np.random.default_rng(0)
    return np.asarray(np.where(mean > 0, chance.gamma(np.maximum(mean, 1e-12) / spread, spread), 0.0))


class AfterStep:
    """What is left at a replica after a step: n + x(n) dt = before, solved by a table of it (backward Euler)."""

    def __init__(self, answered_requests_per_s: Floats, step_s: float) -> None:
        left = np.arange(len(answered_requests_per_s), dtype=float)
        before = np.maximum.accumulate(left + answered_requests_per_s * step_s)
        self._most, self._answered = float(before[-1]), float(answered_requests_per_s[-1] * step_s)
        self._table = np.interp(np.linspace(0, self._most, _TABLE + 1), before, left).tolist()
        self._table.append(self._table[-1])
        self._per_count = _TABLE / self._most

    def inside_count(self, before_count: float) -> float:
        """Of those at a replica before the step, and those who come in it."""
        if before_count >= self._most:
            return before_count - self._answered
        at = before_count * self._per_count
        low = int(at)
        table = self._table
        return float(table[low] + (at - low) * (table[low + 1] - table[low]))


@dataclass(slots=True)
class Run:
    """What one policy did, step by step."""

    waiting_count: Floats  # at the end of each step
    paid_count: Floats
    ready_count: Floats
    changes: list[tuple[float, int]]  # when, and by how many
    starts_count: int
    starts_from_none_count: int
    billed_s: float


def run_policy(
    arrivals: Floats,
    unit: ReplicaUnit,
    controller: Controller,
    settings: ReplaySettings,
    first_count: int,
    progress: Progress | None,
) -> Run:
    """The fleet, step by step: what starts becomes ready, the queue is served, the policy looks and decides."""
    step_s, start_s, batch = settings.step_s, settings.start_s, float(unit.batch_count)
    after = AfterStep(unit.answered_requests_per_s, step_s)
    incoming, steps = arrivals.tolist(), len(arrivals)
    waiting_log, paid, ready_log = [0.0] * steps, [0] * steps, [0] * steps
    ready, inside, billed_s = first_count, 0.0, 0.0
    starting: deque[float] = deque()
    draining: deque[float] = deque()
    born = [0.0] * first_count
    changes: list[tuple[float, int]] = []
    starts = from_none = 0
    for step in range(steps):
        at_s = step * step_s
        if progress and not step % TOLD_EVERY_STEPS:
            progress(step / steps)
        while starting and starting[0] <= at_s:
            starting.popleft()
            ready += 1
        while draining and draining[0] <= at_s:
            draining.popleft()
        inside += incoming[step]
        waiting = inside
        if ready:
            each = after.inside_count(inside / ready)
            inside, waiting = each * ready, max(0.0, each - batch) * ready
        running = inside - waiting
        replicas = ready + len(starting)
        held = min(running * unit.kv_per_sequence_fraction, float(ready))
        signals = Signals(round(waiting), round(running), held)  # gauges count whole requests
        wanted = controller.desired(at_s, replicas, ready, signals)
        if wanted > replicas:
            from_none += wanted - replicas if not ready else 0
            starts += wanted - replicas
            starting.extend([at_s + start_s] * (wanted - replicas))
            born.extend([at_s] * (wanted - replicas))
        elif wanted < replicas:
            for _ in range(replicas - wanted):  # the newest first; one that never answered has nothing to drain
                ends_s = at_s
                if starting:
                    starting.pop()
                else:
                    ready -= 1
                    ends_s += settings.drain_s
                    draining.append(ends_s)
                billed_s += ceil((ends_s - born.pop()) / settings.billed_s) * settings.billed_s
        if wanted != replicas:
            changes.append((at_s, wanted - replicas))
        waiting_log[step] = waiting
        paid[step] = ready + len(starting) + len(draining)
        ready_log[step] = ready
    billed_s += sum(steps * step_s - at_s for at_s in born)
    return Run(
        np.array(waiting_log), np.array(paid, dtype=float), np.array(ready_log, dtype=float), changes, starts,
        from_none, billed_s,
    )  # fmt: skip
