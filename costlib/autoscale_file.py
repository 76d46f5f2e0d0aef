"""Policies as written down in a file, and those that a deployment may be tried with when none is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from costlib.autoscale_policy import (
    DOWN,
    UP,
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    Policy,
    Rule,
    SchedulePolicy,
    Select,
    StaticPolicy,
)
from costlib.demand_curve import HOURS_PER_WEEK, HourlyLoad
from costlib.errors import ConfigError, UnknownKey
from costlib.replica_unit import ReplicaUnit
from costlib.units import SECONDS_PER_HOUR

KINDS = ("hpa", "keda", "schedule", "static")
MOST_POLICIES = 20
_COMMON = {"deployment", "label", "kind"}
_SCALED = {"min_replicas_count", "max_replicas_count", "targets", "up", "down"}
_KEYS = {
    "hpa": _SCALED | {"tolerance_fraction"},
    "keda": _SCALED | {"activation_ratio", "polling_s", "cooldown_s"},
    "schedule": {"replicas_by_hour_count"},
    "static": {"replicas_count"},
}


def policies_from(document: Mapping[str, Any], where: str) -> tuple[tuple[str, Policy], ...]:
    """The `[[policy]]` tables of a TOML document, each with the deployment it is of; "" is of all.

    Raises     ConfigError, UnknownKey naming the file, the policy and what it may hold; DomainError for bounds
    Example    a queue of 5 at each of one to eight replicas
    >>> [(of, policy)] = policies_from({"policy": [{
    ...     "kind": "hpa", "label": "queue", "min_replicas_count": 1, "max_replicas_count": 8,
    ...     "targets": {"num_requests_waiting": 5}}]}, "policies.toml")
    >>> policy.targets[0].metric, policy.down.stabilisation_s
    (<Metric.WAITING: 'num_requests_waiting'>, 300.0)
    """
    for key in document:
        if key != "policy":
            raise UnknownKey("key", key, ("policy",), where)
    tables = document.get("policy", [])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{where}: no [[policy]] is in it.")
    if len(tables) > MOST_POLICIES:
        raise ConfigError(f"{where}: {len(tables)} policies; {MOST_POLICIES} at most.")
    found = [_policy(table, f"{where}, policy {place}") for place, table in enumerate(tables, 1)]
    labels = [(of, policy.label) for of, policy in found]
    if len(set(labels)) < len(labels):
        raise ConfigError(f"{where}: labels of one deployment's policies must differ.")
    return tuple(found)


def tried_policies(load: HourlyLoad, unit: ReplicaUnit, start_s: float) -> tuple[Policy, ...]:
    """What to try where nothing is in force: HPA by running requests and by KV cache, KEDA to none, a schedule, and the
    lesson's queue of 50.

    Targets are what runs at `target_busy_fraction` of a replica's capacity. A minute must agree before one is added,
    which then stays for two starts at least.
    """
    known = np.nan_to_num(load.requests_per_s)
    least = max(1, unit.min_replicas_count)
    most = max(least, int(np.ceil(1.5 * unit.needed_replicas_count(known).max())))
    running = unit.running_at_count(unit.target_busy_fraction)
    down = Behaviour(stabilisation_s=min(SECONDS_PER_HOUR, max(DOWN.stabilisation_s, 2 * start_s)), rules=DOWN.rules)
    by_running = (MetricTarget(metric=Metric.RUNNING, target_ratio=round(max(0.1, running), 1)),)
    by_cache = (MetricTarget(metric=Metric.KV_USAGE, target_ratio=_share(running * unit.kv_per_sequence_fraction)),)
    common: dict[str, Any] = {"max_replicas_count": most, "up": replace(UP, stabilisation_s=60.0), "down": down}
    return (
        HpaPolicy(label="HPA, running requests", min_replicas_count=least, targets=by_running, **common),
        HpaPolicy(label="HPA, KV cache", min_replicas_count=least, targets=by_cache, **common),
        KedaPolicy(
            label="KEDA, running requests, to none", min_replicas_count=0, targets=by_running,
            cooldown_s=down.stabilisation_s, **common,
        ),
        SchedulePolicy(label="schedule of the week", replicas_by_hour_count=_week(load, unit)),
        LESSON,
    )  # fmt: skip


LESSON = HpaPolicy(
    label="the lesson's: 2 to 8, queue of 50",
    min_replicas_count=2,
    max_replicas_count=8,
    targets=(MetricTarget(metric=Metric.WAITING, target_ratio=50),),
    up=Behaviour(stabilisation_s=60, rules=(Rule(change_count=2, period_s=120),)),
    down=Behaviour(stabilisation_s=300, rules=DOWN.rules),
)


def _share(fraction: float) -> float:
    return min(1.0, max(0.01, round(fraction, 2)))


def _week(load: HourlyLoad, unit: ReplicaUnit) -> tuple[int, ...]:
    """The most that an hour of the week, or the one after it, has needed: an order takes time to be ready."""
    need = unit.needed_replicas_count(np.nan_to_num(load.requests_per_s))
    most = np.full(HOURS_PER_WEEK, float(unit.needed_replicas_count(np.zeros(1))[0]))
    np.maximum.at(most, load.hours_of_week, need)
    return tuple(int(count) for count in np.maximum(most, np.roll(most, -1)))


def _policy(table: Any, where: str) -> tuple[str, Policy]:
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: a policy is a table.")
    kind = table.get("kind")
    if kind not in KINDS:
        raise UnknownKey("kind", kind, KINDS, where)
    for key in table:
        if key not in _COMMON | _KEYS[kind]:
            raise UnknownKey("key", key, _COMMON | _KEYS[kind], where)
    label, of = _text(table, "label", kind, where), _text(table, "deployment", "", where)
    if kind == "static":
        return of, StaticPolicy(label=label, replicas_count=_count(table, "replicas_count", where))
    if kind == "schedule":
        hours = table.get("replicas_by_hour_count")
        if not isinstance(hours, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in hours):
            raise ConfigError(f"{where}: replicas_by_hour_count is a list of 24 or 168 whole numbers.")
        return of, SchedulePolicy(label=label, replicas_by_hour_count=tuple(hours))
    bounds: dict[str, Any] = {
        "label": label,
        "min_replicas_count": _count(table, "min_replicas_count", where),
        "max_replicas_count": _count(table, "max_replicas_count", where),
        "targets": _targets(table.get("targets"), where),
        "up": _behaviour(table.get("up", {}), UP, f"{where}, up"),
        "down": _behaviour(table.get("down", {}), DOWN, f"{where}, down"),
    }
    rest = _KEYS[kind] - _SCALED
    numbers: dict[str, Any] = {name: _number(table, name, where) for name in rest if name in table}
    return of, HpaPolicy(**bounds, **numbers) if kind == "hpa" else KedaPolicy(**bounds, **numbers)


def _targets(found: Any, where: str) -> tuple[MetricTarget, ...]:
    known = [str(metric) for metric in Metric]
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(f"{where}: targets is a table of {', '.join(known)}, each for one replica.")
    for name in found:
        if name not in known:
            raise UnknownKey("metric", name, known, where)
    return tuple(MetricTarget(metric=Metric(name), target_ratio=_number(found, name, where)) for name in found)


def _behaviour(found: Any, usual: Behaviour, where: str) -> Behaviour:
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where} is a table of stabilisation_s, select and rules.")
    for key in found:
        if key not in ("stabilisation_s", "select", "rules"):
            raise UnknownKey("key", key, ("stabilisation_s", "select", "rules"), where)
    select = found.get("select", str(usual.select))
    if select not in list(Select):
        raise UnknownKey("select", select, [str(one) for one in Select], where)
    return Behaviour(
        stabilisation_s=_number(found, "stabilisation_s", where)
        if "stabilisation_s" in found
        else usual.stabilisation_s,
        select=Select(select),
        rules=tuple(_rule(rule, where) for rule in found["rules"])
        if isinstance(found.get("rules"), list)
        else usual.rules,
    )


def _rule(found: Any, where: str) -> Rule:
    if not isinstance(found, Mapping) or not set(found) <= {"change_count", "period_s", "is_percent"}:
        raise ConfigError(f"{where}: a rule has change_count, period_s and, for percent, is_percent = true.")
    return Rule(
        change_count=_count(found, "change_count", where),
        period_s=_number(found, "period_s", where),
        is_percent=found.get("is_percent") is True,
    )


def _text(table: Mapping[str, Any], key: str, usual: str, where: str) -> str:
    value = table.get(key, usual)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is a text.")
    return value


def _count(table: Mapping[str, Any], key: str, where: str) -> int:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where}: {key} is a whole number, not {value!r}.")
    return value


def _number(table: Mapping[str, Any], key: str, where: str) -> float:
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {key} is a number, not {value!r}.")
    return float(value)
