"""Whose a charge is: by a rule that a person wrote, else by what the bill and the servers both say. Never a guess."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from costlib.billing import exact_sum
from costlib.books import NO_TEAM, ChargeGroup, ServerUse

# Labels that name the machine a server runs on; other labels may be the same on every server.
_MACHINE_LABELS = frozenset(
    (
        *("instance", "exported_instance", "node", "node_name", "nodename", "kubernetes_node", "host", "hostname"),
        *("pod", "pod_id", "vm", "vm_name", "machine", "target", "provider_id"),
        *("instance_id", "resource_id", "resource_name"),
    )
)
# Tags that tell an owner, the most telling first.
_TELLING_TAGS = (
    *("deployment", "app", "application", "service", "name", "model", "workload", "component", "team", "project"),
    *("namespace", "k8snamespace", "owner", "costcenter", "environment", "env"),
)
_MOST_SUGGESTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRule:
    """Charges that agree with everything said here belong to `deployment`, `team` or both. Texts are globs."""

    deployment: str = ""
    team: str = NO_TEAM
    resource: str = ""  # ResourceId, its last part, or ResourceName
    tag: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    provider: str = ""
    account: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyCost:
    """What no invoice has: people, licences. `usd` is due in every month from that of `first` to that of `until`."""

    what: str
    usd: Decimal
    kind: str
    first: date
    until: date | None = None

    def is_due(self, month: str) -> bool:
        """Whether `month` (YYYY-MM) has it."""
        return f"{self.first:%Y-%m}" <= month and (self.until is None or month <= f"{self.until:%Y-%m}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """owners.toml: of two rules that agree with a charge, the earlier one decides."""

    rules: tuple[OwnerRule, ...] = ()
    reserved: Mapping[str, float] = field(default_factory=dict)  # share of the fleet by deployment
    monthly: tuple[MonthlyCost, ...] = ()


class How(StrEnum):
    """What a match rests on, the best evidence first."""

    RULE = "rule"
    RESOURCE = "resource"  # the resource is the machine that a server names
    TAG = "tag"  # a tag says what a server's label says
    CONFLICT = "conflict"  # the evidence names several deployments: none of them gets it
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Who a charge belongs to, and why. Keys are "" where nobody is known."""

    deployment_key: str = ""
    team: str = NO_TEAM
    how: How = How.NONE
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """`by_group` is in the order of the groups asked about; `suggested` is TOML for those without a deployment."""

    by_group: tuple[Match, ...]
    unmatched: tuple[ChargeGroup, ...]
    suggested: str


def match(groups: Sequence[ChargeGroup], servers: Iterable[ServerUse], owners: Owners) -> Matches:
    """Find the deployment of each group: an explicit rule, else the resource a server names, else the tags.

    Example    the machine that a server was scraped on
    >>> server = ServerUse(target_key="t", deployment_key="chat", model_key="m", labels={"instance": "i-0abc:8000"})
    >>> bill = ChargeGroup(currency="USD", billed=Decimal(1), resource_id="arn:aws:ec2:eu-west-1:1:instance/i-0abc")
    >>> match([bill], [server], Owners()).by_group[0].deployment_key
    'chat'
    """
    evidence = _Evidence(servers)
    rules = [(rule, _checks(rule)) for rule in owners.rules]
    by_group = tuple(_match(group, evidence, rules) for group in groups)
    unmatched = tuple(group for group, found in zip(groups, by_group, strict=True) if not found.deployment_key)
    matched = ((group, found.deployment_key) for group, found in zip(groups, by_group, strict=True))
    suggested = suggested_rules(unmatched, evidence.deployments, ((group, key) for group, key in matched if key))
    return Matches(by_group=by_group, unmatched=unmatched, suggested=suggested)


def is_use(group: ChargeGroup) -> bool:
    """Whether a charge is for something used, so that it can be somebody's: no tax, no credit, no commitment."""
    statuses = (group.commitment_status.lower(), group.capacity_status.lower())
    return group.charge_category.lower() in ("usage", "") and "unused" not in statuses


def team_of(tags: Mapping[str, str]) -> str:
    """The team that a charge's own tags name."""
    return next((value for key, value in sorted(tags.items()) if _plain_key(key) == "team"), NO_TEAM)


def suggested_rules(
    groups: Iterable[ChargeGroup],
    deployments: Iterable[str] = (),
    matched: Iterable[tuple[ChargeGroup, str]] = (),
) -> str:
    """Rules for owners.toml that would match what was used of `groups`, the dearest first.

    By the most telling tag, else by resource; `matched` are charges with the deployment that they have. A rule that
    would also take charges of several deployments, which have found theirs, is not suggested.

    >>> bill = ChargeGroup(currency="USD", billed=Decimal("12.5"), tags={"env": "prod", "Team": "search"})
    >>> print(suggested_rules([bill], ["search-answers"]))
    [[rule]]
    deployment = "search-answers"  # is it? 12.50 USD billed
    tag = { "team" = "search" }
    """
    used = [group for group in groups if is_use(group)]
    replicas: dict[str, set[str]] = defaultdict(set)
    for name in {_called(group) for group in used}:
        replicas[_series(name)].add(name)
    several = {series for series, names in replicas.items() if series and len(names) > 1}
    owners = _OwnersSoFar(matched)
    costs: dict[_Clue, dict[str, list[Decimal]]] = {}
    for group in used:
        if clue := next((clue for clue in _clues(group, several) if len(owners.of(clue)) <= 1), None):
            costs.setdefault(clue, {}).setdefault(group.currency, []).append(group.billed)
    totals = {
        clue: {currency: exact_sum(amounts) for currency, amounts in by_currency.items()}
        for clue, by_currency in costs.items()
    }
    dearest = sorted(totals, key=lambda clue: (-max(map(abs, totals[clue].values())), clue))[:_MOST_SUGGESTED]
    known = sorted(set(deployments))
    return "\n\n".join(_suggestion(clue, totals[clue], owners.of(clue), known) for clue in dearest)


class _Evidence:
    """What the servers say of themselves, by what a bill could say."""

    def __init__(self, servers: Iterable[ServerUse]) -> None:
        self.deployments: set[str] = set()
        self.by_machine: dict[str, set[str]] = {}
        self.by_label: dict[str, set[str]] = {}  # any label, for full resource ids
        self.by_tag: dict[tuple[str, str], set[str]] = {}
        for server in servers:
            key = server.deployment_key
            self.deployments.add(key)
            for name, value in server.labels.items():
                if value:
                    self.by_label.setdefault(value.lower(), set()).add(key)
                if value and name in _MACHINE_LABELS:
                    for machine in _machines(value):
                        self.by_machine.setdefault(machine, set()).add(key)
            labels = server.labels
            for tag, values in (
                ("deployment", (key, labels.get("deployment", ""))),
                ("model", (server.model_key, labels.get("model", ""), labels.get("model_name", ""))),
                ("team", (labels.get("team", ""),)),
            ):
                for value in filter(None, map(_plain_value, values)):
                    self.by_tag.setdefault((tag, value), set()).add(key)

    def of_resource(self, group: ChargeGroup) -> set[str]:
        found = set(self.by_label.get(group.resource_id.lower(), ())) if group.resource_id else set()
        for machine in {*_machines(group.resource_id), *_machines(group.resource_name)}:
            found |= self.by_machine.get(machine, set())
        return found

    def of_tags(self, group: ChargeGroup) -> list[set[str]]:
        asked = {(_plain_key(key), _plain_value(value)) for key, value in group.tags.items()}
        return [self.by_tag[tag] for tag in sorted(asked & self.by_tag.keys())]


def _match(
    group: ChargeGroup, evidence: _Evidence, rules: Sequence[tuple[OwnerRule, tuple[tuple[str, str], ...]]]
) -> Match:
    team = team_of(group.tags)
    tags = [(_plain_key(key), value.lower()) for key, value in group.tags.items()]
    rule = next((rule for rule, checks in rules if _agrees(rule, checks, group, tags)), None)
    if rule:
        team = rule.team or team
        if rule.deployment:
            return Match(deployment_key=rule.deployment, team=team, how=How.RULE, why="a rule of owners.toml")
    if found := evidence.of_resource(group):
        return _decided([found], team, How.RESOURCE, f"resource {group.resource_name or group.resource_id}")
    if says := evidence.of_tags(group):
        return _decided(says, team, How.TAG, "its tags")
    return Match(team=team)


def _decided(says: list[set[str]], team: str, how: How, why: str) -> Match:
    """The one deployment on which all evidence agrees."""
    agreed = set.intersection(*says)
    if len(agreed) == 1:
        return Match(deployment_key=agreed.pop(), team=team, how=how, why=why)
    names = ", ".join(sorted(set.union(*says)))
    return Match(team=team, how=How.CONFLICT, why=f"{why} could be {names}; a rule in owners.toml decides")


def _checks(rule: OwnerRule) -> tuple[tuple[str, str], ...]:
    return tuple((_plain_key(key), value.lower()) for key, value in rule.tag.items())


def _agrees(
    rule: OwnerRule, wanted: tuple[tuple[str, str], ...], group: ChargeGroup, tags: Sequence[tuple[str, str]]
) -> bool:
    if not all(any(key == name and fnmatchcase(value, glob) for key, value in tags) for name, glob in wanted):
        return False  # most rules are of tags, and most of these of other ones
    return (
        _is_like(rule.service, group.service_name)
        and _is_like(rule.provider, group.provider)
        and _is_like(rule.account, group.billing_account)
        and _is_like(rule.region, group.region)
        and (not rule.resource or any(_is_like(rule.resource, name) for name in _names(group)))
        and any((rule.resource, rule.tag, rule.service, rule.provider, rule.account, rule.region))
    )


def _is_like(wanted: str, value: str) -> bool:
    return not wanted or fnmatchcase(value.lower(), wanted.lower())


def _names(group: ChargeGroup) -> tuple[str, ...]:
    return tuple(filter(None, (group.resource_id, group.resource_name, _last_part(group.resource_id))))


def _last_part(path: str) -> str:
    return re.split(r"[/:]", path.rstrip("/:"))[-1]


def _machines(value: str) -> set[str]:
    """The names a machine may go by in an id, a path, or host:port."""
    value = value.lower()
    host = re.sub(r"^\w+://", "", value).partition("/")[0] if "://" in value else value
    host = re.sub(r":\d+$", "", host)
    names = {value, host, host.partition(".")[0], _last_part(value)}
    # A bare number is a port or an index, and names no machine.
    return {name for name in names if len(name) > 1 and not name.isdigit()} - {"localhost"}


@lru_cache(maxsize=4096)  # asked for every tag of every charge, once for each rule
def _plain_key(key: str) -> str:
    """A tag's key without the provider's prefix, its case and its separators.

    >>> _plain_key("user:Team"), _plain_key("k8s-namespace"), _plain_key("resourceTags/user:model")
    ('team', 'k8snamespace', 'model')
    """
    return re.sub(r"[^a-z0-9]", "", _last_part(key).lower())


def _plain_value(value: str) -> str:
    """A model or deployment as labels can spell it.

    >>> _plain_value("meta-llama/Llama-3.3-70B") == _plain_value("llama-3-3-70b")
    True
    """
    return re.sub(r"[^\w]|_", "", value.rpartition("/")[2].lower())


class _Clue(NamedTuple):
    """By what a rule could tell charges: a tag with its value, or a resource by its name or by how names begin."""

    tag: str  # without prefix, case and separators; "": a resource
    text: str
    is_series: bool = False

    @property
    def glob(self) -> str:
        return re.sub(r"([*?\[])", r"[\1]", self.text) + "*" * self.is_series


def _clues(group: ChargeGroup, several: set[str]) -> Iterator[_Clue]:
    """The most telling first. `several`: beginnings of names that more than one resource bears."""
    telling = [
        (_TELLING_TAGS.index(plain), plain, value)
        for key, value in group.tags.items()
        if value and (plain := _plain_key(key)) in _TELLING_TAGS
    ]
    for _, key, value in sorted(telling):
        yield _Clue(key, value)
    if name := _called(group):
        if (series := _series(name)) in several:
            yield _Clue("", series, is_series=True)
        yield _Clue("", name)


def _called(group: ChargeGroup) -> str:
    return group.resource_name or _last_part(group.resource_id)


def _series(name: str) -> str:
    """How the names of replicas begin, which differ in a number behind a word; in an address every part is one.

    >>> _series("vllm-12"), _series("ip-10-0-0-7")
    ('vllm-', '')
    """
    found = re.fullmatch(r"(.*[A-Za-z]\w*[-_])\d{1,4}", name)
    return found[1] if found else ""


class _OwnersSoFar:
    """The deployments that charges have found without a rule, by what a rule could tell these charges."""

    def __init__(self, matched: Iterable[tuple[ChargeGroup, str]]) -> None:
        self.by_tag: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.by_name: dict[str, set[str]] = defaultdict(set)
        for group, deployment in matched:
            for key, value in group.tags.items():
                self.by_tag[_plain_key(key), value.lower()].add(deployment)
            for name in _names(group):
                self.by_name[name.lower()].add(deployment)

    def of(self, clue: _Clue) -> set[str]:
        text = clue.text.lower()
        if clue.tag:
            return self.by_tag.get((clue.tag, text), set())
        if clue.is_series:
            return set().union(*(found for name, found in self.by_name.items() if name.startswith(text)))
        return self.by_name.get(text, set())


def _suggestion(clue: _Clue, totals: Mapping[str, Decimal], owners: set[str], known: Sequence[str]) -> str:
    """The owner of charges that are told by the same, else the deployment whose key is most like the clue."""
    name = clue.text.strip("-_") or clue.text
    near = [*owners, *get_close_matches(name, known, n=1, cutoff=0.4), name]
    billed = " + ".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(totals.items()))
    where = (
        f"tag = {{ {_quoted(clue.tag)} = {_quoted(clue.glob)} }}" if clue.tag else f"resource = {_quoted(clue.glob)}"
    )
    return f"[[rule]]\ndeployment = {_quoted(near[0])}  # is it? {billed} billed\n{where}"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's too, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
