"""Autoscaling replayed on traffic: what each policy costs, whom it lets wait, and whether it comes to rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from costlib.autoscale_policy import Controller, Policy, SchedulePolicy, Signals, StaticPolicy
from costlib.autoscale_run import Progress, ReplaySettings, Run, arrivals_count, run_policy, step_rates
from costlib.demand_curve import HourlyLoad, resting_on
from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from costlib.replica_unit import ReplicaUnit
from costlib.roofline import Floats
from costlib.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

MOST_STEPS = 3_000_000  # 15 s each: 17 months
REST_HOURS = 4  # of a constant rate: after half of it a policy has come to rest, or never does
REST_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of the traffic at which that is tried
LEAST_FLAP_S = 10 * SECONDS_PER_MINUTE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """One policy on one stretch of traffic. `replicas_count` is what was paid in each hour, starting and stopping
    ones included; `flaps_at_requests_per_s` are constant rates at which the policy never comes to rest."""

    label: str
    replica_hours: float
    gpu_hours: float
    total_usd: float
    usd_per_month: float
    missed_fraction: float | Undefined  # of requests that wait longer than they may
    mean_wait_s: float | Undefined
    worst_wait_s: float | Undefined
    starts_count: int
    starts_from_none_count: int  # while no replica ran: whoever asked waited for the whole start
    changes_count: int
    flaps_count: int
    flaps_at_requests_per_s: tuple[float, ...]
    unserved_requests_count: float  # still waiting at the end
    replicas_count: Floats
    ready_count: Floats

    @property
    def flaps_for_ever(self) -> bool:
        return bool(self.flaps_at_requests_per_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AutoscalingReplay:
    """Policies beside a fleet that never changes and one that knows what comes. `notes` say what each cannot do."""

    deployment_key: str
    hours: int
    requests_count: float
    requests_per_s: Floats
    static: Replay
    clairvoyant: Replay
    replays: tuple[Replay, ...]
    basis: Basis
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[Replay, ...]:
        return (self.static, *self.replays, self.clairvoyant)

    def saved_fraction(self, one: Replay) -> float:
        """Of what the static fleet costs."""
        return 1 - one.total_usd / self.static.total_usd if self.static.total_usd else 0.0


def replay(
    load: HourlyLoad,
    unit: ReplicaUnit,
    policies: Sequence[Policy],
    settings: ReplaySettings | None = None,
    *,
    progress: Progress | None = None,
    hours_per_month: float = HOURS_PER_MONTH,
) -> AutoscalingReplay:
    """Run each policy on `load`, in steps of the HPA's sync period, beside static and clairvoyant.

    Equation   n(t + dt) + x(n(t + dt)) dt = n(t) + arrivals / ready;  what is above the largest batch B waits, and in
               the order in which it came;  dollars = replica-hours, from order to end of draining, x GPUs x price
               static: the busiest hour's need;  clairvoyant: most of the need from now to now + start
    Symbols    n requests at a replica   x(n) requests it answers in a second with n running (the engine's step curve)
    Returns    an AutoscalingReplay
    Valid for  replicas that share the load evenly; waits for a place in a batch, not within it. Traffic between hours
               is joined up linearly. Hours that are not known are replayed without requests, and said
    Raises     DomainError for no known hour, or more than 3,000,000 steps; what `progress` raises, such as Cancelled
    Source     domain_math §8.4 (L3); docs/capacity.md
    """
    settings = settings or ReplaySettings()
    if not load.known_hours:
        raise DomainError(f"{load.deployment_key}: no hour of the traffic is known; there is nothing to replay.")
    steps_per_hour = round(SECONDS_PER_HOUR / settings.step_s)
    steps = len(load.requests_per_s) * steps_per_hour
    if steps > MOST_STEPS:
        raise DomainError(f"{steps:,} steps to replay; {MOST_STEPS:,} at most. Take fewer weeks.")
    notes = list(load.notes)
    if unknown := len(load.requests_per_s) - load.known_hours:
        notes.append(f"{load.deployment_key}: {unknown:,} hours without a measurement are replayed without requests.")
    rates = step_rates(np.nan_to_num(load.requests_per_s), steps_per_hour)
    arrivals = arrivals_count(rates, settings)
    need = unit.needed_replicas_count(rates).astype(int)
    peak = int(unit.needed_replicas_count(np.nan_to_num(load.requests_per_s)).max())
    ahead = int(np.ceil(settings.start_s / settings.step_s)) + 1
    known_ahead = _most_ahead(need, ahead)
    first_hour = int(load.hours_of_week[0])
    runs: list[tuple[str, Policy | None]] = [
        ("static", StaticPolicy(label="static", replicas_count=peak)),
        *((policy.label, policy) for policy in policies),
        ("clairvoyant", None),
    ]
    found = []
    for place, (label, policy) in enumerate(runs):
        controller: Controller = policy.controller(first_hour) if policy else _Foreknowing(known_ahead, settings.step_s)
        told = None if progress is None else _part_of(progress, place, len(runs))
        run = run_policy(arrivals, unit, controller, settings, _first_count(policy, int(need[0])), told)
        levels = () if policy is None else _restless(load, unit, policy, settings)
        found.append(_replay(label, run, arrivals, unit, settings, levels, hours_per_month))
        if levels:
            notes.append(
                f"{label} never comes to rest at a constant {levels[0]:,.3g} requests/s: it flaps for ever. Widen the "
                "window of scaling down, or the gap between what adds a replica and what takes one away."
            )
    return AutoscalingReplay(
        deployment_key=load.deployment_key,
        hours=len(load.requests_per_s),
        requests_count=float(arrivals.sum()),
        requests_per_s=load.requests_per_s,
        static=found[0],
        clairvoyant=found[-1],
        replays=tuple(found[1:-1]),
        basis=resting_on([load.basis], unit.basis, Basis.ASSUMED),
        notes=tuple(notes),
    )


def keep_warm_s(start_s: float, cold_start_usd: float, replica_usd_per_hour: float) -> float:
    """How long to keep an idle replica before it goes: the idle gap at which keeping costs what starting does.

    Equation   T_c + penalty / p
    Returns    [s]; waiting so long costs at most twice what knowing the gap would (ski rental)
    Valid for  gaps that cannot be foretold
    Raises     DomainError for amounts below 0, or a price that is not above 0
    Source     Karlin et al. 1988, competitive snoopy caching; domain_math §8.4
    Example    three minutes to start, a dime lost by those who wait, $2 an hour: six minutes
    >>> keep_warm_s(180, 0.10, 2.0)
    360.0
    """
    if min(start_s, cold_start_usd) < 0 or not replica_usd_per_hour > 0:
        raise DomainError("keeping warm needs a start and a penalty of 0 or more, and a price above 0.")
    return start_s + cold_start_usd / replica_usd_per_hour * SECONDS_PER_HOUR


class _Foreknowing:
    """Has as many replicas ordered as will be needed until an order made now is ready."""

    def __init__(self, needed_ahead: np.ndarray, step_s: float) -> None:
        self._needed, self._step_s = needed_ahead, step_s

    def desired(self, at_s: float, replicas_count: int, ready_count: int, signals: Signals) -> int:
        return int(self._needed[int(at_s / self._step_s)])


def _most_ahead(need: np.ndarray, steps: int) -> np.ndarray:
    padded = np.concatenate((need, np.full(steps, need[-1])))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, steps + 1).max(axis=1))[: len(need)]


def _first_count(policy: Policy | None, needed: int) -> int:
    """What runs when the replay begins: what is needed, within what the policy allows."""
    if policy is None:
        return needed
    if isinstance(policy, StaticPolicy):
        return policy.replicas_count
    if isinstance(policy, SchedulePolicy):
        return needed  # its first decision comes at once
    return min(max(needed, policy.min_replicas_count), policy.max_replicas_count)


def _part_of(progress: Progress, place: int, count: int) -> Progress:
    return lambda done: progress((place + done) / count)


def _replay(
    label: str,
    run: Run,
    arrivals: Floats,
    unit: ReplicaUnit,
    settings: ReplaySettings,
    levels: tuple[float, ...],
    hours_per_month: float,
) -> Replay:
    steps_per_hour = round(SECONDS_PER_HOUR / settings.step_s)
    hours = len(arrivals) / steps_per_hour
    replica_hours = run.billed_s / SECONDS_PER_HOUR
    gpu_hours = replica_hours * unit.gpus_count
    usd = gpu_hours * unit.usd_per_gpu_hour
    waits, total = _waits_s(arrivals, run.waiting_count, settings.step_s), float(arrivals.sum())
    nobody = Undefined(reason="no request came")
    return Replay(
        label=label,
        replica_hours=replica_hours,
        gpu_hours=gpu_hours,
        total_usd=usd,
        usd_per_month=usd / hours * hours_per_month,
        missed_fraction=float(arrivals[waits > settings.max_wait_s].sum()) / total if total else nobody,
        mean_wait_s=float((waits * arrivals).sum()) / total if total else nobody,
        worst_wait_s=float(waits[arrivals > 0].max()) if total else nobody,
        starts_count=run.starts_count,
        starts_from_none_count=run.starts_from_none_count,
        changes_count=len(run.changes),
        flaps_count=_flaps_count(run.changes, settings),
        flaps_at_requests_per_s=levels,
        unserved_requests_count=float(run.waiting_count[-1]),
        replicas_count=run.paid_count.reshape(-1, steps_per_hour).mean(axis=1),
        ready_count=run.ready_count.reshape(-1, steps_per_hour).mean(axis=1),
    )


def _waits_s(arrivals: Floats, waiting: Floats, step_s: float) -> Floats:
    """How long the last request of each step waits, first come first served; to the end of the replay at least."""
    came = np.cumsum(arrivals)
    admitted = np.maximum.accumulate(came - waiting)
    place = np.searchsorted(admitted, came - 1e-9 * np.maximum(came, 1.0))
    return np.asarray(np.maximum(place - np.arange(len(came)), 0) * step_s)


def _flaps_count(changes: Sequence[tuple[float, int]], settings: ReplaySettings) -> int:
    """Replicas taken away and ordered again sooner than it would have paid to keep them."""
    within_s = max(LEAST_FLAP_S, 2 * settings.start_s)
    return sum(before < 0 < after and later - at <= within_s for (at, before), (later, after) in pairwise(changes))


def _restless(load: HourlyLoad, unit: ReplicaUnit, policy: Policy, settings: ReplaySettings) -> tuple[float, ...]:
    """Constant rates at which the policy still turns round after hours: a limit cycle."""
    if isinstance(policy, StaticPolicy | SchedulePolicy):
        return ()
    known = load.requests_per_s[np.isfinite(load.requests_per_s)]
    smooth = replace(settings, arrivals_cv_ratio=0.0)
    steps = round(REST_HOURS * SECONDS_PER_HOUR / settings.step_s)
    found = []
    for rate in sorted({float(level) for level in np.quantile(known, REST_LEVELS)}):
        first = _first_count(policy, int(unit.needed_replicas_count(np.array([rate]))[0]))
        run = run_policy(np.full(steps, rate * settings.step_s), unit, policy.controller(), smooth, first, None)
        late = [change for at_s, change in run.changes if at_s >= REST_HOURS * SECONDS_PER_HOUR / 2]
        if sum(before < 0 < after for before, after in pairwise(late)) > 1:
            found.append(rate)
    return tuple(found)
