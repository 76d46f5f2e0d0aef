"""A period's books cut into items that two periods can be compared by: what each cost, and what it did for that."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from costlib.allocation import split
from costlib.balance import WORK_BUCKETS
from costlib.billing import exact_sum
from costlib.books import NO_TEAM, Bucket, ChargeGroup, Line, ServerUse, TokenClass, TrialBalance
from costlib.capacity import GpuCapacity
from costlib.charge_kind import bucket_of
from costlib.ownership import Match
from costlib.unit_cost import CLASS_BUCKETS

_SHARED = (Bucket.HOST, Bucket.NETWORK, Bucket.STORAGE, Bucket.OTHER_SERVICE, Bucket.SUPPORT_AND_LICENCE)
_ONE_OFF = (
    *(Bucket.COMMITMENT_WASTE, Bucket.COMMITMENT_PURCHASE, Bucket.CREDIT, Bucket.CORRECTION),
    *(Bucket.TAX, Bucket.ROUNDING),
)
_IDLE = (Bucket.WARM_IDLE, Bucket.START_AND_DRAIN, Bucket.UNMEASURED)


class ItemKind(StrEnum):
    GPU = "gpu"
    API = "api"
    SHARED = "shared"  # hosts, network, storage, services, support
    ONE_OFF = "one_off"  # purchases, credits, corrections, tax, rounding, commitments not used


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Item:
    """What is compared with itself in another period. Keys are "" where nobody is known, or they say nothing here."""

    kind: ItemKind
    deployment_key: str = ""
    model_key: str = ""
    team: str = NO_TEAM
    provider: str = ""  # of tokens that are bought
    bucket: str = ""  # of what is shared, and of one-offs


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one item cost in one period. Hours and list cost are None where the bill or the servers do not say.

    A deployment's idle and unmeasured time, its GPU-hours and its list cost are those of its items in proportion to
    the cost of their work. `tokens` has the classes that are counted, those of which there were none with 0.
    """

    item: Item
    amounts: Mapping[Bucket, Decimal]
    tokens: Mapping[TokenClass, int] = field(default_factory=dict)
    busy_gpu_hours: float | None = None
    measured_gpu_hours: float | None = None  # busy, idle, starting or draining
    billed_gpu_hours: float | None = None
    list_cost: Decimal | None = None

    @property
    def cost(self) -> Decimal:
        return exact_sum(self.amounts.values())

    @property
    def work_cost(self) -> Decimal:
        return exact_sum(amount for bucket, amount in self.amounts.items() if bucket in WORK_BUCKETS)

    @property
    def tokens_count(self) -> int | None:
        return sum(self.tokens.values()) if self.tokens else None


@dataclass(slots=True)
class _Capacity:
    """The GPUs that charges of one owner rent."""

    gpu_hours: list[Decimal | None] = field(default_factory=list)
    list_costs: list[Decimal | None] = field(default_factory=list)

    def hours(self) -> float | None:
        known = [hours for hours in self.gpu_hours if hours is not None]
        return float(exact_sum(known)) if known and len(known) == len(self.gpu_hours) else None

    def list_cost(self) -> Decimal | None:
        known = [cost for cost in self.list_costs if cost is not None]
        return exact_sum(known) if known and len(known) == len(self.list_costs) else None


def slices(
    balance: TrialBalance,
    groups: Sequence[ChargeGroup],
    capacity: Sequence[GpuCapacity | None],
    matches: Sequence[Match],
    servers: Iterable[ServerUse],
) -> tuple[Slice, ...]:
    """The balance as one Slice per item; `groups`, `capacity` and `matches` are in the same order, as books have them.

    Equation   sum of slices = total of the balance, to the last digit
               busy GPU-hours = billed GPU-hours x cost of work / cost of GPUs, which one deployment's hours share
    Returns    slices in the order of their items
    Example    forty dollars of GPU time, a quarter of it idle, and tax
    >>> from costlib.books import CostBasis
    >>> lines = (Line(bucket=Bucket.OUTPUT, amount=Decimal(30), deployment_key="d", model_key="m", tokens=1000),
    ...          Line(bucket=Bucket.WARM_IDLE, amount=Decimal(10), deployment_key="d"),
    ...          Line(bucket=Bucket.TAX, amount=Decimal(4)))
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(44), lines=lines,
    ...                     residual=Decimal(0))
    >>> [(str(found.item.kind), int(found.cost)) for found in slices(made, [], [], [], [])]
    [('gpu', 40), ('one_off', 4)]
    """
    rented = _rented(balance, groups, capacity, matches)
    counted = _counted(servers)
    by_deployment: dict[str, list[Line]] = defaultdict(list)
    rest: dict[Item, list[Line]] = defaultdict(list)
    for line in balance.lines:
        if line.deployment_key and line.bucket in (*WORK_BUCKETS, *_IDLE):
            by_deployment[line.deployment_key].append(line)
        else:
            rest[_item_of(line)].append(line)
    found = [_undivided(item, lines, rented) for item, lines in rest.items()]
    for key, lines in by_deployment.items():
        found += _of_deployment(key, lines, rented.get((key, NO_TEAM)), counted)
    return tuple(sorted(found, key=lambda one: one.item))


def _item_of(line: Line) -> Item:
    if line.bucket is Bucket.UNALLOCATED_GPU:
        return Item(kind=ItemKind.GPU, team=line.team)
    if line.bucket in _SHARED or line.bucket in _ONE_OFF:
        kind = ItemKind.SHARED if line.bucket in _SHARED else ItemKind.ONE_OFF
        return Item(kind=kind, deployment_key=line.deployment_key, team=line.team, bucket=str(line.bucket))
    return Item(kind=ItemKind.API, model_key=line.model_key, team=line.team, provider=line.provider)


def _undivided(item: Item, lines: Sequence[Line], rented: Mapping[tuple[str, str], _Capacity]) -> Slice:
    amounts = _by_bucket(lines)
    if item.kind is ItemKind.GPU:
        own = rented.get(("", item.team), _Capacity())
        return Slice(item=item, amounts=amounts, billed_gpu_hours=own.hours(), list_cost=own.list_cost())
    tokens = {}
    # Tokens of which the bill tells a part are none that a price could be made with.
    if item.kind is ItemKind.API and all(line.tokens is not None for line in lines):
        tokens = {kind: _tokens(lines, bucket) for kind, bucket in CLASS_BUCKETS.items()}
    return Slice(item=item, amounts=amounts, tokens=tokens)


def _of_deployment(
    key: str, lines: Sequence[Line], own: _Capacity | None, counted: Mapping[tuple[str, str], set[TokenClass]]
) -> list[Slice]:
    work: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        if line.bucket in WORK_BUCKETS:
            work[line.model_key, line.team].append(line)
    weights = {pair: exact_sum(line.amount for line in mine) for pair, mine in work.items()}
    if not any(weights.values()):  # work that is billed at nothing is still work
        weights = {pair: Decimal(sum(line.tokens or 0 for line in mine)) for pair, mine in work.items()}
    idle_lines = [line for line in lines if line.bucket in _IDLE]
    owner = ("", min((line.team for line in idle_lines), default=NO_TEAM))
    amounts: dict[tuple[str, str], dict[Bucket, Decimal]] = {pair: _by_bucket(mine) for pair, mine in work.items()}
    for bucket, amount in _by_bucket(idle_lines).items():
        for pair, part in split(amount, weights, owner).items():
            amounts.setdefault(pair, {})[bucket] = part
    total, hours = exact_sum(line.amount for line in lines), own.hours() if own else None
    list_cost = own.list_cost() if own else None
    costs = {pair: exact_sum(mine.values()) for pair, mine in amounts.items()}
    listed = {} if list_cost is None else split(list_cost, costs, owner)
    classes = set().union(*(kinds for (deployment, _), kinds in counted.items() if deployment == key))
    found = []
    for pair, mine in amounts.items():
        model, team = pair
        measured = exact_sum(amount for bucket, amount in mine.items() if bucket is not Bucket.UNMEASURED)
        busy = exact_sum(amount for bucket, amount in mine.items() if bucket in WORK_BUCKETS)
        known = counted.get((key, model), set()) if model else classes
        found.append(
            Slice(
                item=Item(kind=ItemKind.GPU, deployment_key=key, model_key=model, team=team),
                amounts=mine,
                tokens={kind: _tokens(work.get(pair, ()), CLASS_BUCKETS[kind]) for kind in TokenClass if kind in known},
                busy_gpu_hours=_part(hours, busy, total),
                measured_gpu_hours=_part(hours, measured, total),
                billed_gpu_hours=_part(hours, costs[pair], total),
                list_cost=listed.get(pair),
            )
        )
    return found


def _part(hours: float | None, cost: Decimal, total: Decimal) -> float | None:
    """GPU-hours by cost, which a deployment's hours have in common; None where cost tells nothing."""
    return None if hours is None or total <= 0 or not math.isfinite(hours) else hours * float(cost / total)


def _by_bucket(lines: Iterable[Line]) -> dict[Bucket, Decimal]:
    amounts: dict[Bucket, list[Decimal]] = defaultdict(list)
    for line in lines:
        amounts[line.bucket].append(line.amount)
    return {bucket: exact_sum(parts) for bucket, parts in amounts.items()}


def _tokens(lines: Iterable[Line], bucket: Bucket) -> int:
    return sum(line.tokens or 0 for line in lines if line.bucket is bucket)


def _counted(servers: Iterable[ServerUse]) -> dict[tuple[str, str], set[TokenClass]]:
    """The classes of tokens that servers of a deployment and model count."""
    found: dict[tuple[str, str], set[TokenClass]] = defaultdict(set)
    for use in servers:
        counts = (use.computed_prompt_tokens, use.cached_prompt_tokens, use.generation_tokens)
        kinds = {kind for kind, tokens in zip(TokenClass, counts, strict=True) if tokens is not None}
        found[use.deployment_key, use.model_key] |= kinds
    return found


def _rented(
    balance: TrialBalance,
    groups: Sequence[ChargeGroup],
    capacity: Sequence[GpuCapacity | None],
    matches: Sequence[Match],
) -> dict[tuple[str, str], _Capacity]:
    """GPUs by deployment, and by team where they have none."""
    found: dict[tuple[str, str], _Capacity] = defaultdict(_Capacity)
    for group, gpus, owner in zip(groups, capacity, matches, strict=True):
        is_mine = gpus is not None and group.currency == balance.currency
        if is_mine and bucket_of(group, balance.basis, is_gpu=True) is Bucket.UNALLOCATED_GPU:
            own = found[owner.deployment_key, NO_TEAM if owner.deployment_key else owner.team]
            own.gpu_hours.append(gpus.gpu_hours if gpus else None)
            own.list_costs.append(group.list_cost)
    return found
