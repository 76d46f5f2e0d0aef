"""The trial balance: every charge of a month on exactly one line, and what is left over: nothing."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from costlib.allocation import WIDE, split
from costlib.billing import exact_sum
from costlib.books import (
    NO_TEAM,
    Bucket,
    ChargeGroup,
    CostBasis,
    IdlePolicy,
    Line,
    ServerUse,
    TeamUse,
    TrialBalance,
)
from costlib.capacity import Instance, gpu_capacity
from costlib.charge_kind import bucket_of, tokens_of
from costlib.errors import DomainError
from costlib.gpu_cost import GpuCost
from costlib.ownership import How, Match, MonthlyCost, Owners, match
from costlib.team_share import TOKEN_BUCKETS, TeamWeights, team_weights
from costlib.token_split import TokenSplit
from costlib.units import HOURS_PER_DAY

WORK_BUCKETS = (*TOKEN_BUCKETS, Bucket.PREEMPTION, Bucket.REJECTED_DRAFT)
_ORDER = {bucket: number for number, bucket in enumerate(Bucket)}
Owner = tuple[str, str, str]  # deployment, model, team
_ITSELF: Owner = ("", "", NO_TEAM)


def trial_balance(
    month: str,
    basis: CostBasis,
    currency: str,
    groups: Iterable[ChargeGroup],
    servers: Sequence[ServerUse],
    teams: Sequence[TeamUse],
    owners: Owners,
    instances: Mapping[str, Instance],
    split_of: Mapping[str, TokenSplit],
) -> TrialBalance:
    """The charges in `currency`, each on exactly one line; charges in other currencies are another balance.

    Equation   sum of lines = sum of charges. A charge is of one bucket by what it is for. A deployment's GPUs are
               divided by what its servers did in the billed time (see `gpu_time`), by the token split of each model,
               and by team as the gateway counted tokens. Largest remainder at 10^-18
    Returns    lines in the order of Bucket, then of their owners, never of the charges. Tokens bought from an API are
               lines with a provider and without a deployment
    Raises     DomainError when a charge has no cost of this basis: the two are never mixed in one sum
    Example    a deployment's GPU that nobody watched, and the tax on it
    >>> bill = [
    ...     ChargeGroup(currency="USD", billed=Decimal(100), tags={"deployment": "chat"},
    ...                 sku_meter="BoxUsage:p5.4xlarge", pricing_quantity=Decimal(10), pricing_unit="Hours"),
    ...     ChargeGroup(currency="USD", billed=Decimal(8), charge_category="Tax"),
    ... ]
    >>> chat = ServerUse(target_key="t", deployment_key="chat", model_key="m")
    >>> made = trial_balance("2026-10", CostBasis.BILLED, "USD", bill, [chat], [], Owners(), catalog.instances, {})
    >>> [(str(line.bucket), int(line.amount)) for line in made.lines], made.residual == 0
    ([('unmeasured', 100), ('tax', 8)], True)
    """
    charged = [group for group in groups if group.currency == currency]
    costs = _costs(charged, basis, month)
    weights = team_weights(teams, servers)
    paid: dict[str, GpuCost] = defaultdict(GpuCost)
    lines: list[Line] = []
    gpu_hours: list[Decimal] = []
    matched_hours: list[Decimal] = []
    notes: Counter[str] = Counter()
    for group, cost, owner in zip(charged, costs, match(charged, servers, owners).by_group, strict=True):
        capacity = gpu_capacity(group, instances)
        bucket = bucket_of(group, basis, is_gpu=capacity is not None)
        if bucket is Bucket.UNALLOCATED_GPU and capacity:
            hours = [] if capacity.gpu_hours is None else [capacity.gpu_hours]
            gpu_hours += hours
            notes[capacity.note] += group.rows_count
            if owner.deployment_key:
                matched_hours += hours
                paid[owner.deployment_key].add(group, cost, owner.team, hours)
                continue
        lines.append(_line(group, bucket, cost, owner))
    for key, deployment in sorted(paid.items()):
        use = [server for server in servers if server.deployment_key == key]
        lines += deployment.lines(key, use, weights, split_of)
    with localcontext(prec=WIDE):
        total = exact_sum(costs)
        in_order = _merged(lines)
        residual = total - exact_sum(line.amount for line in in_order)
    return TrialBalance(
        month=month,
        currency=currency,
        basis=basis,
        total=total,
        lines=in_order,
        residual=residual,
        gpu_hours=float(exact_sum(gpu_hours)) if gpu_hours else None,
        matched_gpu_hours=float(exact_sum(matched_hours)) if gpu_hours else None,
        method=_method(in_order, split_of),
        notes=(
            *(f"{count} GPU charges: {note}" for note, count in sorted(notes.items()) if note),
            *_gaps(paid, servers, weights, split_of),
            *_bought_ahead(basis, in_order),
        ),
    )


def in_buckets(balance: TrialBalance) -> dict[Bucket, Decimal]:
    """The sum of each bucket that has lines, in the order in which buckets are shown.

    >>> lines = (Line(bucket=Bucket.TAX, amount=Decimal(1)), Line(bucket=Bucket.API, amount=Decimal(2)))
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(3), lines=lines,
    ...                     residual=Decimal(0))
    >>> {str(bucket): int(amount) for bucket, amount in in_buckets(made).items()}
    {'api': 2, 'tax': 1}
    """
    amounts: dict[Bucket, list[Decimal]] = defaultdict(list)
    for line in balance.lines:
        amounts[line.bucket].append(line.amount)
    return {bucket: exact_sum(amounts[bucket]) for bucket in Bucket if bucket in amounts}


def spread_idle(
    balance: TrialBalance, policy: IdlePolicy, owners: Owners, servers: Sequence[ServerUse] = ()
) -> tuple[Line, ...]:
    """The balance's lines, with warm idle shown to those whom `policy` names; every bucket keeps its sum.

    Equation   a line of idle x weight / sum of weights; the idle of all servers is one pool
               proportional: cost of the work of (deployment, model, team);  reserved share: as owners.toml says, what
               is not reserved stays;  peak share: GPUs x busy share of the busiest hour of (deployment, model)
    Returns    lines of the bucket WARM_IDLE whose owner is who is shown the cost. Idle stays as it is where nobody has
               a weight. `servers` are needed for PEAK_SHARE only
    Example    ten dollars idle, worked for by two teams as one to four
    >>> work = [Line(bucket=Bucket.OUTPUT, amount=Decimal(n), deployment_key="d", team=team)
    ...         for team, n in (("a", 1), ("b", 4))]
    >>> idle = Line(bucket=Bucket.WARM_IDLE, amount=Decimal(10), deployment_key="d")
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(15),
    ...                     lines=(*work, idle), residual=Decimal(0))
    >>> [(line.team, int(line.amount)) for line in spread_idle(made, IdlePolicy.PROPORTIONAL, Owners())
    ...  if line.bucket is Bucket.WARM_IDLE]
    [('a', 2), ('b', 8)]
    """
    weights: dict[Owner, Decimal | float]
    match policy:
        case IdlePolicy.OWN_LINE:
            return balance.lines
        case IdlePolicy.PROPORTIONAL:
            weights = _work_cost(balance.lines)
        case IdlePolicy.PEAK_SHARE:
            weights = _peaks(servers)
        case IdlePolicy.RESERVED_SHARE:
            weights = {(key, "", NO_TEAM): share for key, share in owners.reserved.items()}
            weights[_ITSELF] = max(0.0, 1 - sum(owners.reserved.values()))
    shown = []
    for line in balance.lines:
        if line.bucket is not Bucket.WARM_IDLE:
            shown.append(line)
            continue
        for owner, amount in split(line.amount, weights, _ITSELF).items():
            if owner == _ITSELF:
                shown.append(replace(line, amount=amount))
            else:
                deployment, model, team = owner
                shown.append(replace(line, amount=amount, deployment_key=deployment, model_key=model, team=team))
    return _merged(shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class FullyLoaded:
    """The invoice, and beside it what people and licences cost in the same month. Never one line with it."""

    invoice: Decimal
    beside: tuple[MonthlyCost, ...]
    total: Decimal
    note: str = ""


def fully_loaded(balance: TrialBalance, owners: Owners) -> FullyLoaded:
    """What the month costs with what no invoice has.

    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.BILLED, total=Decimal(3), lines=(),
    ...                     residual=Decimal(0))
    >>> fully_loaded(made, Owners()).total
    Decimal('3')
    """
    due = tuple(cost for cost in owners.monthly if cost.is_due(balance.month))
    note = ""
    if due and balance.currency != "USD":
        due, note = (), f"people and licences are given in USD and left out of a sum in {balance.currency}"
    total = exact_sum([balance.total, *(cost.usd for cost in due)])
    return FullyLoaded(invoice=balance.total, beside=due, total=total, note=note)


def _work_cost(lines: Iterable[Line]) -> dict[Owner, Decimal | float]:
    amounts: dict[Owner, list[Decimal]] = defaultdict(list)
    for line in lines:
        if line.bucket in WORK_BUCKETS and line.deployment_key:
            amounts[line.deployment_key, line.model_key, line.team].append(line.amount)
    return {owner: exact_sum(parts) for owner, parts in amounts.items()}


def _peaks(servers: Iterable[ServerUse]) -> dict[Owner, Decimal | float]:
    peaks: dict[Owner, list[float]] = defaultdict(list)
    for use in servers:
        if use.peak_fraction:
            gpus = use.engines_count * (use.gpus_count or 1)
            peaks[use.deployment_key, use.model_key, NO_TEAM].append(use.peak_fraction * gpus)
    return {owner: math.fsum(parts) for owner, parts in peaks.items()}


def _costs(groups: Sequence[ChargeGroup], basis: CostBasis, month: str) -> list[Decimal]:
    costs = [cost for group in groups if (cost := group.cost(basis)) is not None]
    if missing := len(groups) - len(costs):
        raise DomainError(
            f"{month}: {missing} of {len(groups)} groups of charges have no {basis} cost, and two kinds of cost make"
            f" no sum; use the basis {CostBasis.BILLED}."
        )
    return costs


def _line(group: ChargeGroup, bucket: Bucket, cost: Decimal, owner: Match) -> Line:
    """The one line of a charge that is not divided."""
    is_api = bucket is Bucket.API or bucket in TOKEN_BUCKETS
    return Line(
        bucket=bucket,
        amount=cost,
        deployment_key="" if is_api else owner.deployment_key,
        model_key=group.model if is_api else "",
        team=owner.team,
        provider=group.provider,
        tokens=tokens_of(group) if bucket in TOKEN_BUCKETS else None,
        note=owner.why if bucket is Bucket.UNALLOCATED_GPU and owner.how is How.CONFLICT else "",
    )


def _merged(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines of one bucket and owner added up, in order; those that say nothing left out."""
    alike: dict[tuple[int, str, str, str, str, str, str], list[Line]] = defaultdict(list)
    for line in lines:
        owner = (line.deployment_key, line.model_key, line.team, line.provider)
        alike[_ORDER[line.bucket], *owner, line.basis, line.note].append(line)
    made = []
    for _, same in sorted(alike.items()):
        amount = exact_sum(line.amount for line in same)
        counted = [line.tokens for line in same if line.tokens is not None]
        tokens = sum(counted) if counted else None
        if amount or tokens:
            made.append(replace(same[0], amount=amount, tokens=tokens))
    return tuple(made)


def _method(lines: Iterable[Line], split_of: Mapping[str, TokenSplit]) -> str:
    """How the busy time of each model on a line was split; once where it is the same for all."""
    used = sorted(
        {line.model_key for line in lines if line.deployment_key and line.bucket in WORK_BUCKETS} & set(split_of)
    )
    said = {model: f"{split_of[model].method}: {split_of[model].quality}" for model in used}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{model} by {how}" for model, how in said.items())


def _gaps(
    paid: Mapping[str, GpuCost], servers: Sequence[ServerUse], weights: TeamWeights, split_of: Mapping[str, TokenSplit]
) -> Iterable[str]:
    """What would make the balance better known."""
    observed = {use.deployment_key for use in servers if use.observed_s}
    for key in sorted(paid.keys() - observed):
        yield f"{key}: GPUs are billed, and no server of it was measured"
    for key in sorted(observed - paid.keys()):
        yield f"{key}: servers were measured, and no GPU charge is matched to it"
    busy = {use.model_key for use in servers if use.busy_s and use.deployment_key in paid}
    for model in sorted(busy - {model for model in split_of if split_of[model].shares}):
        yield f"{model}: how its busy time divides into tokens is not known, so it counts as not measured"
    if busy and not any(model in busy for model, _ in weights):
        yield "no gateway log names a team: tokens belong to the team of their server's labels or bill, or to none"


def _bought_ahead(basis: CostBasis, lines: Iterable[Line]) -> Iterable[str]:
    if basis is CostBasis.BILLED and any(line.bucket is Bucket.COMMITMENT_PURCHASE for line in lines):
        yield "what a commitment covers is billed at nothing; effective cost, and its prices, have their part of it"


def usd_per_month_of(
    balance: TrialBalance, keys: Collection[str], days_count: int, hours_per_month: float
) -> float | None:
    """What deployments cost in a period of days, as a month of that [USD].

    Returns    None unless the balance is in USD and each of them was billed in it
    Example    $30 in three days, and months of 730 hours
    >>> lines = (Line(bucket=Bucket.OUTPUT, amount=Decimal(30), deployment_key="d"),)
    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.EFFECTIVE, total=Decimal(30), lines=lines,
    ...                     residual=Decimal(0))
    >>> round(usd_per_month_of(made, ["d"], 3, 730.0), 2)
    304.17
    """
    mine = [line for line in balance.lines if line.deployment_key in keys]
    if not keys or balance.currency != "USD" or {line.deployment_key for line in mine} != set(keys):
        return None
    return float(exact_sum(line.amount for line in mine)) / (days_count * HOURS_PER_DAY) * hours_per_month
