"""Policies as Kubernetes reads them: an HPA, the rules that give it vLLM's metrics, and KEDA's ScaledObject."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from costlib.autoscale_policy import (
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    SchedulePolicy,
    Select,
)
from costlib.errors import ConfigError
from costlib.units import HOURS_PER_DAY, MS_PER_S

PREFIX = "vllm:"  # of every metric vLLM exports
_MOST_NAME, _MOST_LABEL = 253, 63
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_ONE_LABEL = re.compile(_LABEL)
_DEFAULT_TOLERANCE = 0.1
_SUNDAY_FIRST = 1  # cron counts days from Sunday, a schedule from Monday


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The Kubernetes Deployment that is scaled. `model_name` narrows Prometheus queries to one served model."""

    name: str
    namespace: str = "default"
    model_name: str = ""

    def __post_init__(self) -> None:
        checked_name(self.name, "the Deployment's name")
        if len(self.namespace) > _MOST_LABEL or not _ONE_LABEL.fullmatch(self.namespace):
            raise ConfigError(
                f"the namespace {self.namespace[:80]!r} is no DNS-1123 label: lower-case letters, digits and -, "
                f"{_MOST_LABEL} at most."
            )
        _printable(self.model_name, "model_name")


def checked_name(text: str, what: str) -> str:
    """`text`, where Kubernetes takes it as the name of an object.

    Raises ConfigError for what is no DNS-1123 subdomain

    >>> checked_name("search-answers.eu", "the name")
    'search-answers.eu'
    """
    if len(text) > _MOST_NAME or not _SUBDOMAIN.fullmatch(text):
        raise ConfigError(
            f"{what} {text[:80]!r} is no DNS-1123 name: lower-case letters, digits, - and ., beginning and ending with "
            f"a letter or digit, {_MOST_NAME} at most."
        )
    return text


def hpa_yaml(policy: HpaPolicy, target: Target) -> str:
    """A HorizontalPodAutoscaler, autoscaling/v2, on custom metrics of the pods.

    Valid for  clusters where `adapter_rules_yaml` is installed: metrics-server knows no such metric
    Source     Kubernetes API reference, HorizontalPodAutoscaler v2
    """
    return _document(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": target.name, "namespace": target.namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target.name},
                "minReplicas": policy.min_replicas_count,
                "maxReplicas": policy.max_replicas_count,
                "metrics": [
                    {
                        "type": "Pods",
                        "pods": {
                            "metric": {"name": custom_name(one.metric)},
                            "target": {"type": "AverageValue", "averageValue": _quantity(one.target_ratio)},
                        },
                    }
                    for one in policy.targets
                ],
                "behavior": _behavior(policy.up, policy.down, policy.tolerance_fraction),
            },
        }
    )


def adapter_rules_yaml(targets: Sequence[MetricTarget]) -> str:
    """Rules of prometheus-adapter, without which an HPA does not find vLLM's metrics. A colon cannot stand in the name
    of a custom metric; an underscore takes its place.

    Source     prometheus-adapter documentation, "Configuration walkthroughs"
    """
    return _document(
        {
            "rules": [
                {
                    "seriesQuery": f'{PREFIX}{one.metric}{{namespace!="",pod!=""}}',
                    "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
                    "name": {"as": custom_name(one.metric)},
                    "metricsQuery": f"{_over_engines(one.metric)}(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)",
                }
                for one in targets
            ]
        }
    )


def scaled_object_yaml(
    policy: KedaPolicy | SchedulePolicy, target: Target, prometheus_url: str = "", gateway_query: str = ""
) -> str:
    """KEDA's ScaledObject, keda.sh/v1alpha1: Prometheus triggers, or cron triggers of a schedule in UTC.

    `gateway_query` is PromQL for the requests that wait before any pod; it is needed to start from none.

    Raises     ConfigError for a policy to none without it, and for an address that is none
    Source     KEDA documentation, ScaledObject specification; scalers Prometheus and Cron
    """
    if isinstance(policy, SchedulePolicy):
        counts = policy.replicas_by_hour_count
        return _scaled_object(target, min(counts), max(counts), {}, list(_cron_triggers(counts)))
    if not policy.min_replicas_count and not gateway_query:
        raise ConfigError(
            f"{policy.label}: from none nothing can start by a metric of vLLM, which exports none while no pod runs. "
            "Give gateway_query, PromQL for what waits at the gateway, or keep one replica."
        )
    if not re.match(r"https?://[^\s/]", prometheus_url):
        raise ConfigError(f"prometheus_url must begin with http:// or https://, not {prometheus_url[:80]!r}.")
    triggers = [
        _prometheus(prometheus_url, _query(one.metric, target), one.target_ratio, policy.activation_ratio)
        for one in policy.targets
    ]
    if gateway_query:
        each = policy.targets[0].target_ratio
        triggers.append(_prometheus(prometheus_url, gateway_query, each, policy.activation_ratio))
    config = {
        "pollingInterval": round(policy.polling_s),
        "cooldownPeriod": round(policy.cooldown_s),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(policy.up, policy.down)}},
    }
    return _scaled_object(target, policy.min_replicas_count, policy.max_replicas_count, config, triggers)


def custom_name(metric: Metric) -> str:
    """What an HPA calls a metric of vLLM.

    >>> custom_name(Metric.WAITING)
    'vllm_num_requests_waiting'
    """
    return f"{PREFIX}{metric}".replace(":", "_")


def _scaled_object(
    target: Target, least: int, most: int, config: Mapping[str, Any], triggers: list[dict[str, Any]]
) -> str:
    return _document(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": target.name, "namespace": target.namespace},
            "spec": {
                "scaleTargetRef": {"name": target.name},
                "minReplicaCount": least,
                "maxReplicaCount": max(1, most),
                **config,
                "triggers": triggers,
            },
        }
    )


def _prometheus(url: str, query: str, threshold: float, activation: float) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": _printable(url, "prometheus_url"),
            "query": _printable(query, "a query"),
            "threshold": f"{threshold:g}",
            "activationThreshold": f"{activation:g}",
        },
    }


def _over_engines(metric: Metric) -> str:
    """Requests of a pod's engines add up; shares of their caches do not."""
    return "avg" if metric is Metric.KV_USAGE else "sum"


def _query(metric: Metric, target: Target) -> str:
    labels = {"namespace": target.namespace} | ({"model_name": target.model_name} if target.model_name else {})
    chosen = ",".join(f"{name}={_quoted(value)}" for name, value in labels.items())
    return f"sum({PREFIX}{metric}{{{chosen}}})"


def _cron_triggers(counts: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Stretches of the same count above the least, which holds without a trigger."""
    hours = len(counts)
    begins = [hour for hour in range(hours) if counts[hour] != counts[hour - 1]]
    for place, begin in enumerate(begins):
        end = begins[(place + 1) % len(begins)]
        if counts[begin] > min(counts):
            yield _cron(begin, end, hours, counts[begin])
    if not begins:
        yield _cron(0, hours - 1, hours, counts[0])


def _cron(begin: int, end: int, hours: int, count: int) -> dict[str, Any]:
    def at(hour: int) -> str:
        day = "*" if hours == HOURS_PER_DAY else str((hour // HOURS_PER_DAY + _SUNDAY_FIRST) % 7)
        return f"0 {hour % HOURS_PER_DAY} * * {day}"

    metadata = {"timezone": "Etc/UTC", "start": at(begin), "end": at(end), "desiredReplicas": str(count)}
    return {"type": "cron", "metadata": metadata}


def _behavior(up: Behaviour, down: Behaviour, tolerance: float = _DEFAULT_TOLERANCE) -> dict[str, Any]:
    return {"scaleUp": _direction(up, tolerance), "scaleDown": _direction(down, tolerance)}


def _direction(one: Behaviour, tolerance: float) -> dict[str, Any]:
    found: dict[str, Any] = {"stabilizationWindowSeconds": round(one.stabilisation_s), "selectPolicy": str(one.select)}
    if one.select is not Select.DISABLED:
        found["policies"] = [
            {
                "type": "Percent" if rule.is_percent else "Pods",
                "value": rule.change_count,
                "periodSeconds": round(rule.period_s),
            }
            for rule in one.rules
        ]
    if tolerance != _DEFAULT_TOLERANCE:  # Kubernetes 1.33 and newer, where HPAConfigurableTolerance is on
        found["tolerance"] = _quantity(tolerance)
    return found


def _quantity(value: float) -> str:
    """As Kubernetes writes numbers: whole, or in thousandths.

    >>> _quantity(40.0), _quantity(0.8)
    ('40', '800m')
    """
    return f"{value:.0f}" if value == int(value) else f"{max(1, round(value * MS_PER_S))}m"


def _printable(text: str, what: str) -> str:
    if not text.isprintable():
        raise ConfigError(f"{what} holds characters that cannot be printed: {text[:80]!r}.")
    return text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _document(value: Mapping[str, Any]) -> str:
    return "\n".join(_lines(value, "")) + "\n"


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Keys are ours; every text is quoted as JSON, which YAML reads."""
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield f"{indent}{key}:"
            yield from _lines(item, indent + "  ")
        elif isinstance(item, list):
            yield f"{indent}{key}:"
            for one in item:
                first, *rest = _lines(one, indent + "    ")
                yield f"{indent}  - {first.strip()}"
                yield from rest
        else:
            yield f"{indent}{key}: {_quoted(item)}"
