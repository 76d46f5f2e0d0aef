"""The indicators that cost reviews ask for by name, each a formula over one period's books."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from statistics import median

from costlib.allocation import usd_per_mtok_of
from costlib.balance import WORK_BUCKETS, in_buckets
from costlib.billing import exact_sum
from costlib.books import Bucket, ChargeGroup, CostBasis, Line, ServerUse, TokenClass, TrialBalance
from costlib.capacity import GpuCapacity, Purchase
from costlib.estimate import Undefined
from costlib.unit_cost import CLASS_BUCKETS, unit_costs
from costlib.units import SECONDS_PER_HOUR

Value = Decimal | float | Undefined
_BAND_MADS = 3  # a day further from the median of its weekday than this is not like the others
_LEAST_DAYS = 3  # of the same weekday, for a median that means anything


class KpiUnit(StrEnum):
    MONEY = "money"
    PER_MTOK = "per_mtok"
    TOKENS_PER_MONEY = "tokens_per_money"
    PER_REQUEST = "per_request"
    PER_GPU_HOUR = "per_gpu_hour"
    SHARE = "share"
    RATIO = "ratio"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one period. The balance is on the basis that is asked for: effective cost, unless cash is meant.
    What is left out makes the indicators that need it undefined."""

    balance: TrialBalance
    groups: Sequence[ChargeGroup] = ()  # those of the balance, and in the same order their GPUs
    capacity: Sequence[GpuCapacity | None] = ()
    servers: Sequence[ServerUse] = ()
    before: TrialBalance | None = None
    invoice: Decimal | None = None
    invoiced: Decimal | None = None  # what was billed for what `invoice` is of; the balance, if that is billed cost
    budget: Decimal | Undefined | None = None  # of the period; None: nobody set one
    elapsed_fraction: float | None = None  # of the time that is budgeted
    forecasts: Sequence[tuple[Decimal, Decimal]] = ()  # frozen at the start, and what it came to; closed periods
    days: Mapping[date, Decimal] = field(default_factory=dict)  # daily cost without one-offs, weeks back
    device_busy_fraction: float | None = None
    api_cost: Decimal | None = None  # what an API asks for the same tokens
    target_busy_fraction: float | None = None
    slo_good_requests_count: int | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """`number` is that of research/billing.md §5.3; one number may have two figures."""

    number_count: int
    label: str
    unit: KpiUnit
    formula: str
    of: Callable[[Facts], Value]


def kpi(name: str, facts: Facts) -> Value:
    """One indicator by name; KPIS has the names.

    >>> made = TrialBalance(month="2026-10", currency="USD", basis=CostBasis.EFFECTIVE, total=Decimal(8), lines=(
    ...     Line(bucket=Bucket.OUTPUT, amount=Decimal(8), deployment_key="d", model_key="m", tokens=2_000_000),),
    ...     residual=Decimal(0))
    >>> kpi("cost_per_mtok", Facts(balance=made)), kpi("budget_variance", Facts(balance=made)).reason
    (Decimal('4'), 'no budget is set')
    """
    return KPIS[name].of(facts)


# Tokens and requests --------------------------------------------------------------------------------------------------


def _tokens(balance: TrialBalance, *classes: TokenClass) -> int | None:
    """Tokens of these classes, of all without any; None where a line of them does not tell, or there is none."""
    wanted = {CLASS_BUCKETS[one] for one in classes or TokenClass}
    counts = [line.tokens for line in balance.lines if line.bucket in wanted]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _per_mtok(facts: Facts) -> Value:
    return usd_per_mtok_of(facts.balance.total, _tokens(facts.balance))


def _per_mtok_output(facts: Facts) -> Value:
    return usd_per_mtok_of(facts.balance.total, _tokens(facts.balance, TokenClass.OUTPUT))


def _busy_per_mtok(facts: Facts) -> Value:
    return usd_per_mtok_of(_sum_of(facts.balance, *WORK_BUCKETS), _tokens(facts.balance))


def _tokens_per_money(facts: Facts) -> Value:
    tokens = _tokens(facts.balance)
    if tokens is None:
        return Undefined(reason="no tokens were measured")
    return _over(Decimal(tokens), facts.balance.total, "they cost nothing")


def _requests(facts: Facts, *names: str) -> int | None:
    counts = [getattr(use, name) for use in facts.servers for name in names]
    return None if not counts or None in counts else sum(counts)


def _per_request(*names: str) -> Callable[[Facts], Value]:
    return lambda facts: _over(facts.balance.total, _requests(facts, *names), "finished requests are not known")


# GPU-hours ------------------------------------------------------------------------------------------------------------


def _busy_share(facts: Facts) -> Value:
    return _gpu_share(facts, "busy_s", facts.balance.gpu_hours)


def _gpu_share(facts: Facts, name: str, gpu_hours: float | None) -> Value:
    if not facts.servers or any(use.gpus_count is None for use in facts.servers):
        return Undefined(reason="how many GPUs a server has is not known")
    seconds = sum(getattr(use, name) * (use.gpus_count or 0) for use in facts.servers)
    return _over(seconds / SECONDS_PER_HOUR, gpu_hours, "no GPU-hours are billed")


def _idle(facts: Facts) -> Decimal:
    return _sum_of(facts.balance, Bucket.WARM_IDLE, Bucket.START_AND_DRAIN)


def _idle_share(facts: Facts) -> Value:
    rest = _sum_of(facts.balance, Bucket.UNALLOCATED_GPU, Bucket.COMMITMENT_WASTE)
    return _share(exact_sum((_idle(facts), rest)), facts.balance.total)


# Commitments and discounts --------------------------------------------------------------------------------------------


def _cost_of(facts: Facts, *statuses: str) -> Decimal:
    """Effective cost of charges under a commitment, by its status."""
    mine = [group for group in facts.groups if group.commitment_status.lower() in statuses]
    return exact_sum(group.effective or Decimal(0) for group in mine)


def _commitment_use(facts: Facts) -> Value:
    return _share(_cost_of(facts, "used"), _cost_of(facts, "used", "unused"), "nothing is committed")


def _coverage(facts: Facts) -> Value:
    eligible = [
        group
        for group, gpus in zip(facts.groups, facts.capacity, strict=True)
        if gpus and gpus.purchase is not Purchase.SPOT and group.commitment_status.lower() != "unused"
    ]
    if any(group.contracted is None for group in eligible):
        return Undefined(reason="some GPU charges have no contracted cost")
    covered = [group for group in eligible if group.commitment_status.lower() == "used"]
    costs = [exact_sum(one.contracted or Decimal(0) for one in groups) for groups in (covered, eligible)]
    return _share(costs[0], costs[1], "no GPUs are billed that could be committed")


def _savings_rate(facts: Facts) -> Value:
    return _saved([group for group in facts.groups if group.charge_category == "Usage"])


def _saved(groups: Iterable[ChargeGroup]) -> Value:
    used: list[ChargeGroup] = []
    unused: list[Decimal | None] = []
    for group in groups:
        if group.commitment_status.lower() != "unused" or group.list_cost is not None:
            used.append(group)
        else:
            unused.append(group.effective)
    if any(group.effective is None or group.list_cost is None for group in used) or None in unused:
        return Undefined(reason="some charges have no effective cost or no list price")
    paid = exact_sum([*(group.effective or Decimal(0) for group in used), *(one for one in unused if one is not None)])
    share = _share(paid, exact_sum(group.list_cost or Decimal(0) for group in used), "nothing has a list price")
    return share if isinstance(share, Undefined) else 1 - share


def _spot(facts: Facts) -> list[tuple[ChargeGroup, GpuCapacity]]:
    pairs = zip(facts.groups, facts.capacity, strict=True)
    return [(group, gpus) for group, gpus in pairs if gpus and gpus.purchase is Purchase.SPOT]


def _spot_share(facts: Facts) -> Value:
    hours = exact_sum(gpus.gpu_hours or Decimal(0) for _, gpus in _spot(facts))
    return _over(float(hours), facts.balance.gpu_hours, "no GPU-hours are billed")


# Owners, invoices, budgets --------------------------------------------------------------------------------------------


def _allocated(facts: Facts) -> Value:
    return _share(exact_sum(line.amount for line in facts.balance.lines if _is_owned(line)), facts.balance.total)


def _unallocated(facts: Facts) -> Value:
    return _share(exact_sum(one.amount for one in facts.balance.lines if not _is_owned(one)), facts.balance.total)


def _is_owned(line: Line) -> bool:
    return bool(line.deployment_key or line.team or line.model_key)


def _unreconciled(facts: Facts) -> Value:
    billed = facts.balance.total if facts.invoiced is None else facts.invoiced
    if facts.invoice is None or (facts.invoiced is None and facts.balance.basis is not CostBasis.BILLED):
        return Undefined(reason="an invoice and billed cost are needed")
    return exact_sum((facts.invoice, billed.copy_negate()))


def _budget_variance(facts: Facts) -> Value:
    if facts.budget is None:
        return Undefined(reason="no budget is set")
    if isinstance(facts.budget, Undefined):
        return facts.budget
    return _share(exact_sum((facts.balance.total, facts.budget.copy_negate())), facts.budget, "the budget is nothing")


def _run_rate(facts: Facts) -> Value:
    elapsed = facts.elapsed_fraction
    return _over(facts.balance.total, None if elapsed is None else Decimal(str(elapsed)), "no time has passed")


def _accuracy(facts: Facts) -> Value:
    missed = exact_sum(abs(exact_sum((actual, said.copy_negate()))) for said, actual in facts.forecasts)
    share = _share(missed, exact_sum(actual for _, actual in facts.forecasts), "no forecast was frozen")
    return share if isinstance(share, Undefined) else 1 - share


def _anomaly(facts: Facts) -> Value:
    """How far the newest day is from the median of its weekdays, where that is beyond the band; else 0."""
    newest = max(facts.days, default=None)
    same = [cost for day, cost in facts.days.items() if newest and day < newest and day.weekday() == newest.weekday()]
    if newest is None or len(same) < _LEAST_DAYS:
        return Undefined(reason=f"fewer than {_LEAST_DAYS} days of the same weekday are known")
    middle = median(same)
    off = facts.days[newest] - middle
    return off if abs(off) > _BAND_MADS * median(abs(cost - middle) for cost in same) else Decimal(0)


# Changes and alternatives ---------------------------------------------------------------------------------------------


def _from_volume(facts: Facts) -> Value:
    now, old = _tokens(facts.balance), None if facts.before is None else _tokens(facts.before)
    if facts.before is None or not old or now is None:
        return Undefined(reason="tokens of this period and of the one before are needed")
    return (now - old) * facts.before.total / old


def _from_unit_cost(facts: Facts) -> Value:
    volume = _from_volume(facts)
    if facts.before is None or not isinstance(volume, Decimal):
        return volume
    return exact_sum((facts.balance.total, facts.before.total.copy_negate())) - volume


def _against_api(facts: Facts) -> Value:
    return _over(facts.api_cost, facts.balance.total, "what an API asks for these tokens is not known")


def _against_api_at_target(facts: Facts) -> Value:
    busy, ratio, target = _busy_share(facts), _against_api(facts), facts.target_busy_fraction
    if not isinstance(ratio, Decimal) or not isinstance(busy, float) or not busy or not target:
        return Undefined(reason="a price of an API, a target and the busy share of GPU-hours are needed")
    return float(ratio) * target / busy


def _cached_saving(facts: Facts) -> Value:
    """Of each model and provider whose bill has both prices."""
    found: list[Decimal] = []
    bought = [line for line in facts.balance.lines if not line.deployment_key and line.bucket in CLASS_BUCKETS.values()]
    for key in sorted({(line.provider, line.model_key) for line in bought}):
        own = [line for line in bought if (line.provider, line.model_key) == key]
        whole, cached = ([one for one in own if one.bucket is bucket] for bucket in (Bucket.INPUT, Bucket.CACHED_INPUT))
        tokens, cached_tokens = (sum(one.tokens or 0 for one in part) for part in (whole, cached))
        if tokens and cached_tokens:
            at_full_price = exact_sum(one.amount for one in whole) * cached_tokens / tokens
            found.append(at_full_price - exact_sum(one.amount for one in cached))
    return exact_sum(found) if found else Undefined(reason="no API bills cached input beside other input")


def _hit_share(facts: Facts) -> Value:
    cached, computed = _requests(facts, "cached_prompt_tokens"), _requests(facts, "computed_prompt_tokens")
    if cached is None or computed is None:
        return Undefined(reason="cached prompt tokens are not exported")
    return _over(float(cached), float(cached + computed), "no prompts were served")


def _freshness(facts: Facts) -> Value:
    newest = max((group.last_end for group in facts.groups if group.last_end), default=None)
    if facts.now is None or newest is None:
        return Undefined(reason="when the newest charge ends is not known")
    return (facts.now - newest).total_seconds()


# Arithmetic -----------------------------------------------------------------------------------------------------------


def _sum_of(balance: TrialBalance, *buckets: Bucket) -> Decimal:
    return exact_sum(amount for bucket, amount in in_buckets(balance).items() if bucket in buckets)


def _over(part: Decimal | float | None, whole: Decimal | float | None, why: str) -> Value:
    if part is None or not whole:
        return Undefined(reason=why)
    return part / Decimal(whole) if isinstance(part, Decimal) else float(part) / float(whole)


def _share(part: Decimal, whole: Decimal, why: str = "nothing was spent") -> float | Undefined:
    return float(part / whole) if whole else Undefined(reason=why)


def _given(name: str, why: str) -> Callable[[Facts], Value]:
    def told(facts: Facts) -> Value:
        value = getattr(facts, name)
        return Undefined(reason=why) if value is None else value

    return told


_U = KpiUnit
KPIS: Mapping[str, Kpi] = {
    name: Kpi(number_count=number, label=label, unit=unit, formula=formula, of=of)
    for name, number, label, unit, formula, of in (
        ("cost_per_mtok", 1, "Cost per million tokens", _U.PER_MTOK, "all cost / all tokens", _per_mtok),
        ("cost_per_mtok_output", 2, "Cost per million output tokens", _U.PER_MTOK,
         "all cost / generated tokens; input's part not removed", _per_mtok_output),
        ("busy_cost_per_mtok", 3, "Busy cost per million tokens", _U.PER_MTOK, "cost of work / tokens", _busy_per_mtok),
        ("tokens_per_dollar", 4, "Tokens per dollar", _U.TOKENS_PER_MONEY, "tokens / cost", _tokens_per_money),
        ("cost_per_request", 5, "Cost per request", _U.PER_REQUEST, "cost / finished requests",
         _per_request("requests_count")),
        ("cost_per_successful_request", 5, "Cost per successful request", _U.PER_REQUEST,
         "cost / requests that ended by stop or length", _per_request("requests_stop_count", "requests_length_count")),
        ("gpu_hour_rate", 6, "GPU-hour rate", _U.PER_GPU_HOUR, "cost of GPUs / billed GPU-hours",
         lambda facts: unit_costs(facts.balance, {}).per_gpu_hour),
        ("all_in_gpu_hour_rate", 7, "All-in GPU-hour rate", _U.PER_GPU_HOUR,
         "cost of GPUs and of what they need / billed GPU-hours",
         lambda facts: unit_costs(facts.balance, {}).all_in_per_gpu_hour),
        ("serving_utilisation", 8, "GPU time in use", _U.SHARE, "busy seconds x GPUs / billed GPU-hours", _busy_share),
        ("device_utilisation", 9, "Device utilisation", _U.SHARE, "mean of what the devices report",
         _given("device_busy_fraction", "no device reports how busy it is")),
        ("matched_capacity", 10, "Matched capacity", _U.SHARE, "GPU-hours matched to a server / billed GPU-hours",
         lambda facts: _over(facts.balance.matched_gpu_hours, facts.balance.gpu_hours, "no GPU-hours are billed")),
        ("idle_cost", 11, "Idle cost", _U.MONEY, "matched GPUs up, starting or draining, without a request", _idle),
        ("idle_share", 12, "Idle share", _U.SHARE, "(idle + not matched + commitments not used) / cost", _idle_share),
        ("unused_commitment_cost", 13, "Unused commitments", _U.MONEY, "effective cost with status Unused",
         lambda facts: _cost_of(facts, "unused")),
        ("commitment_utilisation", 14, "Use of commitments", _U.SHARE, "used / (used + unused)", _commitment_use),
        ("commitment_coverage", 15, "Covered by commitments", _U.SHARE,
         "contracted cost of committed GPU use / of all but spot", _coverage),
        ("effective_savings_rate", 16, "Effective savings rate", _U.SHARE, "1 - effective / list", _savings_rate),
        ("spot_share", 17, "Spot share", _U.SHARE, "spot GPU-hours / GPU-hours", _spot_share),
        ("spot_discount", 17, "Spot discount", _U.SHARE, "1 - effective / list, of spot",
         lambda facts: _saved([group for group, _ in _spot(facts)])),
        ("allocated_share", 18, "Allocated", _U.SHARE, "cost with an owner / cost", _allocated),
        ("unallocated_share", 19, "Not allocated", _U.SHARE, "cost without an owner / cost", _unallocated),
        ("reconciliation_difference", 20, "Invoice less charges", _U.MONEY, "invoice - billed", _unreconciled),
        ("budget_variance", 21, "Against budget", _U.SHARE, "(actual - budget) / budget", _budget_variance),
        ("run_rate", 21, "Run rate", _U.MONEY, "actual / elapsed part of the time", _run_rate),
        ("forecast_accuracy", 22, "Forecast accuracy", _U.SHARE, "1 - sum |actual - forecast| / sum actual", _accuracy),
        ("anomaly", 23, "Anomaly of the newest day", _U.MONEY,
         "cost - median of its weekdays, beyond three median deviations", _anomaly),
        ("change_from_volume", 24, "Change from volume", _U.MONEY, "more tokens x old unit cost", _from_volume),
        ("change_from_unit_cost", 24, "Change from unit cost", _U.MONEY, "new tokens x more unit cost",
         _from_unit_cost),
        ("api_break_even", 25, "API against own", _U.RATIO, "API's price of the same tokens / cost", _against_api),
        ("api_break_even_at_target", 25, "API against own, at target use", _U.RATIO,
         "API's price / (cost x busy share / target)", _against_api_at_target),
        ("cached_token_saving", 26, "Saved by cached tokens", _U.MONEY,
         "cached tokens x (price of input - price of cached input), of APIs", _cached_saving),
        ("prefix_hit_share", 26, "Prefix cache hits", _U.SHARE, "cached / all prompt tokens, of own servers",
         _hit_share),
        ("slo_good_cost", 27, "Cost per request within limits", _U.PER_REQUEST, "cost / requests within TTFT and TPOT",
         lambda facts: _over(facts.balance.total, facts.slo_good_requests_count, "they are not known")),
        ("data_age", 28, "Age of the newest charge", _U.SECONDS, "now - end of the newest charge", _freshness),
        ("data_completeness", 28, "Measured", _U.SHARE, "observed GPU-hours / matched GPU-hours",
         lambda facts: _gpu_share(facts, "observed_s", facts.balance.matched_gpu_hours)),
    )
}  # fmt: skip
