"""What is written for Kubernetes: accepted by the API's field lists, and naming metrics that vLLM has."""

import json
import re
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from costlib.autoscale_file import LESSON, tried_policies
from costlib.autoscale_policy import (
    DOWN,
    Behaviour,
    HpaPolicy,
    KedaPolicy,
    Metric,
    MetricTarget,
    SchedulePolicy,
    Select,
)
from costlib.autoscale_yaml import (
    PREFIX,
    Target,
    adapter_rules_yaml,
    checked_name,
    custom_name,
    hpa_yaml,
    scaled_object_yaml,
)
from costlib.errors import ConfigError
from tests.costlib.capacity_builders import load, unit

HERE = Path(__file__).parent
FAMILIES = tomllib.loads((HERE.parents[1] / "data" / "vllm" / "metrics.toml").read_text(encoding="utf-8"))
PROMETHEUS = "http://prometheus.monitoring:9090"
GATEWAY = 'sum(envoy_cluster_upstream_rq_pending_active{cluster="chat"})'
TARGET = Target(name="chat", namespace="serving", model_name="llama-3.1-8b")
TARGETS = tuple(
    MetricTarget(metric=metric, target_ratio=0.8 if metric is Metric.KV_USAGE else 38.4) for metric in Metric
)


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((HERE / "kubernetes" / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


HPA, SCALED_OBJECT = validator("hpa_v2"), validator("scaled_object")


def hpa(**changes) -> HpaPolicy:
    return HpaPolicy(**{"label": "h", "min_replicas_count": 1, "max_replicas_count": 8, "targets": TARGETS, **changes})


def keda(**changes) -> KedaPolicy:
    return KedaPolicy(**{"label": "k", "min_replicas_count": 1, "max_replicas_count": 8, "targets": TARGETS, **changes})


FROZEN = Behaviour(stabilisation_s=0, rules=(), select=Select.DISABLED)


@pytest.mark.parametrize(
    "policy", [hpa(), LESSON, hpa(down=FROZEN), hpa(tolerance_fraction=0.05)],
    ids=["all metrics", "the lesson's", "never down", "other tolerance"],
)  # fmt: skip
def test_an_hpa_passes_the_schema(policy):
    document = yaml.safe_load(hpa_yaml(policy, TARGET))
    HPA.validate(document)
    assert document["spec"]["maxReplicas"] == policy.max_replicas_count


@pytest.mark.parametrize(
    "policy", [keda(), keda(min_replicas_count=0), keda(down=FROZEN)], ids=["from one", "from none", "never down"]
)
def test_a_scaled_object_passes_the_schema(policy):
    document = yaml.safe_load(scaled_object_yaml(policy, TARGET, PROMETHEUS, GATEWAY))
    SCALED_OBJECT.validate(document)
    assert document["spec"]["minReplicaCount"] == policy.min_replicas_count
    assert document["spec"]["triggers"][-1]["metadata"]["query"] == GATEWAY


def test_what_is_tried_without_a_file_can_be_written_down():
    for policy in tried_policies(load([1.0, 20.0] * 84), unit(), 180):
        if isinstance(policy, HpaPolicy):
            HPA.validate(yaml.safe_load(hpa_yaml(policy, TARGET)))
        else:
            SCALED_OBJECT.validate(yaml.safe_load(scaled_object_yaml(policy, TARGET, PROMETHEUS, GATEWAY)))


def test_the_schemas_refuse_what_the_api_would():
    good = yaml.safe_load(hpa_yaml(hpa(), TARGET))
    for path, wrong in (
        (("spec", "minReplicas"), 0),
        (("spec", "behavior", "scaleDown", "stabilizationWindowSeconds"), 3601),
        (("spec", "behavior", "scaleUp", "selectPolicy"), "max"),
        (("spec", "behaviour"), {}),
        (("metadata", "name"), "Chat_1"),
        (("apiVersion",), "autoscaling/v2beta2"),
        (("spec", "metrics", 0, "type"), "Object"),
    ):
        bad = deepcopy(good)
        at = bad
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = wrong
        with pytest.raises(ValidationError):
            HPA.validate(bad)
    scaled = yaml.safe_load(scaled_object_yaml(keda(), TARGET, PROMETHEUS))
    scaled["spec"]["triggers"][0]["metadata"]["threshold"] = 5  # KEDA takes texts only
    with pytest.raises(ValidationError):
        SCALED_OBJECT.validate(scaled)


@pytest.mark.parametrize("metric", list(Metric))
def test_every_metric_named_is_one_that_vllm_has_today(metric):
    family = FAMILIES["metrics"][str(metric)]
    assert family["type"] == "gauge"
    assert not {"last", "gone"} & family.keys(), "exported by the newest release too"
    assert PREFIX in FAMILIES["prefixes"]
    assert custom_name(metric).removeprefix("vllm_") == metric


def test_every_query_and_every_rule_names_only_those_metrics():
    texts = [scaled_object_yaml(keda(), TARGET, PROMETHEUS), adapter_rules_yaml(TARGETS)]
    named = {name for text in texts for name in re.findall(r"vllm:(\w+)", text)}
    assert named == {str(metric) for metric in Metric}
    rules = yaml.safe_load(texts[1])["rules"]
    wanted = {one["pods"]["metric"]["name"] for one in yaml.safe_load(hpa_yaml(hpa(), TARGET))["spec"]["metrics"]}
    assert {rule["name"]["as"] for rule in rules} == wanted, "an HPA finds what the adapter serves"


def test_shares_of_a_cache_are_written_in_thousandths_and_never_as_percent():
    metrics = yaml.safe_load(hpa_yaml(hpa(), TARGET))["spec"]["metrics"]
    values = {one["pods"]["metric"]["name"]: one["pods"]["target"]["averageValue"] for one in metrics}
    assert values["vllm_kv_cache_usage_perc"] == "800m"
    assert values["vllm_num_requests_waiting"] == "38400m"


def test_s86_an_hpa_on_vllm_needs_an_adapter_and_nothing_from_metrics_server():
    assert all(one["type"] == "Pods" for one in yaml.safe_load(hpa_yaml(LESSON, TARGET))["spec"]["metrics"])
    assert "gpu_queue_depth" not in hpa_yaml(LESSON, TARGET)


def test_from_none_nothing_starts_by_a_metric_that_no_pod_exports():
    with pytest.raises(ConfigError, match="exports none while no pod runs"):
        scaled_object_yaml(keda(min_replicas_count=0), TARGET, PROMETHEUS)


@pytest.mark.parametrize("hours", [24, 168])
def test_a_schedule_is_cron_triggers_that_say_the_same(hours):
    counts = tuple(3 if hour % 24 in (8, 9, 10) else 5 if hour % 24 in (22, 23, 0) else 1 for hour in range(hours))
    document = yaml.safe_load(scaled_object_yaml(SchedulePolicy(label="s", replicas_by_hour_count=counts), TARGET))
    SCALED_OBJECT.validate(document)
    triggers = [one["metadata"] for one in document["spec"]["triggers"]]
    assert len(triggers) == 2 * hours // 24
    eight = next(one for one in triggers if one["start"].startswith("0 8 "))
    assert (eight["desiredReplicas"], eight["end"].split()[1]) == ("3", "11")
    late = next(one for one in triggers if one["start"].startswith("0 22 "))
    assert (late["desiredReplicas"], late["end"].split()[1]) == ("5", "1")
    if hours == 168:
        assert (triggers[-1]["start"], triggers[-1]["end"]) == ("0 22 * * 0", "0 1 * * 1"), (
            "Sunday night ends on Monday"
        )


@pytest.mark.parametrize("name", ["Chat", "chat_1", "-chat", "chat-", "", "a" * 254, "a..b", "x\n", "ü"])
def test_names_that_are_not_dns_1123_are_refused(name):
    with pytest.raises(ConfigError, match="DNS-1123"):
        checked_name(name, "the name")


@pytest.mark.parametrize("namespace", ["a.b", "A", "", "a" * 64])
def test_a_namespace_is_one_label(namespace):
    with pytest.raises(ConfigError, match="DNS-1123 label"):
        Target(name="chat", namespace=namespace)


@given(st.text(max_size=30))
def test_a_hostile_model_name_stays_a_text_or_is_refused(model):
    try:
        target = Target(name="chat", model_name=model)
    except ConfigError:
        assert not model.isprintable()
        return
    document = yaml.safe_load(scaled_object_yaml(keda(), target, PROMETHEUS))
    SCALED_OBJECT.validate(document)
    assert len(document["spec"]["triggers"]) == len(TARGETS)


@pytest.mark.parametrize("url", ["", "prometheus:9090", "file:///etc/passwd", "http://", "http://a\nb: c"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ConfigError, match="prometheus_url"):
        scaled_object_yaml(keda(), TARGET, url)


def test_down_is_kubernetes_own_where_nothing_is_said():
    scale_down = yaml.safe_load(hpa_yaml(hpa(), TARGET))["spec"]["behavior"]["scaleDown"]
    assert scale_down["stabilizationWindowSeconds"] == DOWN.stabilisation_s == 300
