"""Charges find their deployment by rule, machine or tag, in this order; what does not agree is nobody's."""

import tomllib
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.books import ChargeGroup, ServerUse
from costlib.ownership import How, MonthlyCost, OwnerRule, Owners, match, suggested_rules


def group(**said):
    return ChargeGroup(**{"currency": "USD", "billed": Decimal(1)} | said)


def server(deployment, model="m", **labels):
    return ServerUse(target_key=f"{deployment}-t", deployment_key=deployment, model_key=model, labels=labels)


def found(charge, servers=(), *rules):
    (one,) = match([charge], servers, Owners(rules=rules)).by_group
    return one


SERVERS = (
    server("chat", "meta-llama/Llama-3.3-70B", instance="i-0abc:8000", team="support"),
    server("search", "qwen3-32b", instance="10.0.0.7:8000", node="ip-10-0-0-7.ec2.internal", team="search"),
)


@pytest.mark.parametrize(
    ("said", "deployment"),
    [
        pytest.param({"resource_id": "i-0abc"}, "chat", id="host of the scrape address"),
        pytest.param({"resource_id": "arn:aws:ec2:us-east-1:1:instance/i-0ABC"}, "chat", id="an ARN, in any case"),
        pytest.param({"resource_name": "ip-10-0-0-7"}, "search", id="first part of a node's name"),
        pytest.param({"resource_id": "10.0.0.7"}, "search", id="an address"),
        pytest.param({"tags": {"deployment": "chat"}}, "chat", id="tag: key of the deployment"),
        pytest.param({"tags": {"user:Deployment": "Chat"}}, "chat", id="tag with a prefix and another case"),
        pytest.param({"tags": {"model": "llama-3-3-70b"}}, "chat", id="tag: model in another spelling"),
        pytest.param({"tags": {"Team": "search"}}, "search", id="tag: team"),
        pytest.param({"tags": {"team": "support", "model": "llama-3.3-70b"}}, "chat", id="two tags that agree"),
    ],
)
def test_a_charge_finds_the_server_it_pays_for(said, deployment):
    assert found(group(**said), SERVERS).deployment_key == deployment


@pytest.mark.parametrize(
    "said",
    [{}, {"resource_id": "8000"}, {"resource_id": "i-0ab"}, {"tags": {"env": "chat"}}, {"tags": {"team": ""}}],
    ids=str,
)
def test_without_evidence_there_is_no_match(said):
    assert found(group(**said), SERVERS).how is How.NONE


@pytest.mark.parametrize(
    ("said", "servers"),
    [
        pytest.param(
            {"tags": {"team": "ml"}}, (server("a", team="ml"), server("b", team="ml")), id="a team of two deployments"
        ),
        pytest.param({"tags": {"deployment": "chat", "team": "search"}}, SERVERS, id="tags that contradict"),
        pytest.param(
            {"resource_id": "gpu-1"}, (server("a", node="gpu-1"), server("b", node="gpu-1")), id="a shared node"
        ),
    ],
)
def test_evidence_for_two_is_evidence_for_none_and_says_so(said, servers):
    one = found(group(**said), servers)
    assert (one.deployment_key, one.how) == ("", How.CONFLICT)
    assert "could be" in one.why
    assert "a rule in owners.toml decides" in one.why


def test_a_rule_is_better_evidence_than_a_machine_and_that_than_a_tag():
    charge = group(resource_id="i-0abc", tags={"team": "search"})
    assert found(charge, SERVERS).how is How.RESOURCE
    ruled = found(charge, SERVERS, OwnerRule(deployment="other", resource="i-0*"))
    assert (ruled.deployment_key, ruled.how) == ("other", How.RULE)


@pytest.mark.parametrize(
    ("rule", "agrees"),
    [
        ({"resource": "i-0*"}, True),
        ({"resource": "vllm-?"}, True),
        ({"resource": "i-1*"}, False),
        ({"tag": {"team": "sup*"}}, True),
        ({"tag": {"TEAM": "support"}}, True),
        ({"tag": {"team": "support", "env": "prod"}}, False),
        ({"service": "amazon elastic*"}, True),
        ({"provider": "AWS", "account": "1000*", "region": "us-*"}, True),
        ({"provider": "AWS", "account": "2000*"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_all_that_a_rule_says_must_hold(rule, agrees):
    charge = group(
        resource_id="arn:aws:ec2:us-east-1:1:instance/i-0abc", resource_name="vllm-0", provider="AWS",
        service_name="Amazon Elastic Compute Cloud", billing_account="100000000009", region="us-east-1",
        tags={"user:team": "support"},
    )  # fmt: skip
    assert (found(charge, (), OwnerRule(deployment="d", **rule)).deployment_key == "d") is agrees


def test_of_two_rules_the_earlier_decides():
    rules = (OwnerRule(deployment="one", region="eu*"), OwnerRule(deployment="two", region="*"))
    assert found(group(region="eu-west-1"), (), *rules).deployment_key == "one"
    assert found(group(region="us-east-1"), (), *rules).deployment_key == "two"


def test_a_rule_of_a_team_alone_leaves_the_deployment_to_the_evidence():
    one = found(group(resource_id="i-0abc", tags={"team": "x"}), SERVERS, OwnerRule(team="platform", resource="i-*"))
    assert (one.deployment_key, one.team, one.how) == ("chat", "platform", How.RESOURCE)


def test_the_team_of_a_tag_is_kept_without_a_deployment():
    assert found(group(tags={"aws:Team": "unknown-to-servers"})).team == "unknown-to-servers"


# Suggestions

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
charges = st.builds(
    group,
    billed=st.decimals(-(10**6), 10**6, places=2),
    resource_id=st.just("") | texts,
    resource_name=st.just("") | texts | st.sampled_from(["vllm-0", "vllm-1", "nd96-12", "ip-10-0-0-7"]),
    tags=st.dictionaries(st.sampled_from(["team", "user:App", "env", "x"]) | texts, texts, max_size=3),
)


@given(st.lists(charges, min_size=1, max_size=8))
def test_a_suggested_rule_is_toml_that_matches_what_it_was_made_of(groups):
    rules = tuple(OwnerRule(**row) for row in tomllib.loads(suggested_rules(groups)).get("rule", ()))
    again = match(groups, (), Owners(rules=rules))
    nameless = [g for g in groups if not (g.tags or g.resource_id.strip("/:") or g.resource_name)]
    matched = [g for g, one in zip(groups, again.by_group, strict=True) if one.how is How.RULE]
    told_apart = [g for g in groups if g.resource_name or g.resource_id.strip("/:")]
    assert len(matched) >= len(told_apart)
    assert not [g for g in nameless if g in matched]


def test_replicas_are_suggested_as_one_and_the_dearest_first():
    groups = [
        group(resource_name="vllm-0"),
        group(resource_name="vllm-1", billed=Decimal(2)),
        group(resource_name="ip-10-0-0-7", billed=Decimal(9)),
        group(tags={"env": "prod", "team": "se*rch"}, billed=Decimal(-40)),
    ]
    rules = tomllib.loads(suggested_rules(groups, ["search-answers"]))["rule"]
    assert rules == [
        {"deployment": "search-answers", "tag": {"team": "se[*]rch"}},
        {"deployment": "ip-10-0-0-7", "resource": "ip-10-0-0-7"},
        {"deployment": "vllm", "resource": "vllm-*"},
    ]


@pytest.mark.parametrize(
    "said",
    [
        {"charge_category": "Purchase", "commitment_id": "plan-1"},
        {"commitment_status": "Unused", "commitment_id": "plan-1"},
        {"capacity_status": "Unused"},
        {"charge_category": "Credit"},
        {"charge_category": "Tax"},
    ],
    ids=str,
)
def test_what_nobody_used_needs_no_owner(said):
    assert suggested_rules([group(resource_name="plan-1", tags={"team": "search"}, **said)]) == ""


def test_a_rule_is_not_suggested_that_takes_what_others_have_already():
    """env=prod is on charges of two deployments, and gpu-* would take two of theirs; gpu-1 has other charges of one."""
    theirs = [
        group(resource_name=name, tags={"deployment": key, "env": "prod"})
        for name, key in (("gpu-1", "chat"), ("gpu-9", "search"))
    ]
    open_ones = [group(resource_name=name, tags={"env": "prod"}) for name in ("gpu-1", "gpu-2", "i-0abc")]
    groups = [*theirs, *open_ones]
    suggested = match(groups, [server("chat"), server("search")], Owners()).suggested
    assert tomllib.loads(suggested)["rule"] == [
        {"deployment": "chat", "resource": "gpu-1"},
        {"deployment": "gpu-2", "resource": "gpu-2"},
        {"deployment": "i-0abc", "resource": "i-0abc"},
    ]


def test_one_machine_is_suggested_by_its_whole_name():
    assert tomllib.loads(suggested_rules([group(resource_name="gpu-17")]))["rule"][0]["resource"] == "gpu-17"


def test_what_is_matched_is_not_suggested():
    matches = match([group(resource_id="i-0abc"), group(resource_name="other")], SERVERS, Owners())
    assert [g.resource_name for g in matches.unmatched] == ["other"]
    assert "i-0abc" not in matches.suggested


@pytest.mark.parametrize(
    ("month", "is_due"), [("2026-02", False), ("2026-03", True), ("2026-05", True), ("2026-06", False)]
)
def test_a_monthly_cost_is_due_from_its_first_month_to_its_last(month, is_due):
    cost = MonthlyCost(what="on call", usd=Decimal(1), kind="people", first=date(2026, 3, 31), until=date(2026, 5, 1))
    assert cost.is_due(month) is is_due
