"""The weekly review, put together: the books of two periods, what is to come, and what people decided."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from costlib.allocation import in_cents, share_of, usd_per_mtok_of
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, Line, TrialBalance
from costlib.bridge import CostChange, cost_change
from costlib.bridge_cents import Row
from costlib.budget import Budget, budget_of, phased
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.lmdi import TermKind
from costlib.ownership import match
from costlib.review import (
    Day,
    DetailRow,
    Figure,
    FigureUnit,
    Mover,
    Outlook,
    OutlookLine,
    Period,
    Review,
)
from costlib.sentences import for_review
from costlib.slices import Item, Slice, slices
from costlib.waste import waste
from store.actions import noted
from store.books import Books, Span, books_between, scenario_of
from store.budgets_file import load_budgets
from store.home import Home
from store.outlooks import to_come
from store.proposals import proposals
from store.read import Snapshot

WEEK_DAYS = 7
_IDLE = (Bucket.WARM_IDLE, Bucket.START_AND_DRAIN, Bucket.UNMEASURED)
_VOLUME = (TermKind.VOLUME,)
_MIX = (TermKind.TOKEN_MIX,)
EVIDENCE = {
    TermKind.VOLUME: "/overview",
    TermKind.TOKEN_MIX: "/unit_cost",
    TermKind.PRICE: "/unit_cost",
    TermKind.EFFICIENCY: "/live",
    TermKind.IDLE: "/live",
    TermKind.PURCHASE_MIX: "/reconciliation",
    TermKind.ONE_OFFS: "/reconciliation",
}
NO_BEFORE = "There is no period before to compare with: this is the first one that was billed."


def weeks(snapshot: Snapshot) -> list[Period]:
    """Weeks from Monday to Monday that have charges, the newest first; one whose last day is not billed yet is open."""
    covered = snapshot.status()
    if covered.charges_from is None or covered.charges_to is None:
        return []
    first, whole_until = covered.charges_from.date(), covered.charges_to.date()
    last = (covered.charges_to - timedelta(microseconds=1)).date()
    monday = first - timedelta(days=first.weekday())
    found = []
    while monday <= last:
        end = monday + timedelta(days=WEEK_DAYS)
        found.append(Period(start=monday, end=end, is_open=end > whole_until))
        monday = end
    return found[::-1]


def newest_week(snapshot: Snapshot) -> Period:
    """The newest week that is billed whole, else the newest. Raises ConfigError when nothing was ever billed."""
    known = weeks(snapshot)
    if not known:
        raise ConfigError("no bill was imported yet; import one with `permillion import FILE`.")
    return next((week for week in known if not week.is_open), known[0])


def review(
    snapshot: Snapshot, home: Home, period: Period, basis: CostBasis, now: datetime, currency: str | None = None
) -> Review:
    """The review of a period, beside the one of the same length before it.

    Raises ConfigError when nothing was charged in the period, or a file beside the store cannot be read
    """
    mine = books_between(snapshot, home, period.start, period.end, basis, currency)
    balance = mine.balances[0]
    currency = balance.currency
    names = _product_names(snapshot, home)
    earlier = Period(start=period.start - (period.end - period.start), end=period.start)
    before = _before(snapshot, home, earlier, basis, currency)
    budgets = [one for one in load_budgets(home) if one.currency == currency]

    def product_of(item: Item) -> str:
        return names.get(item.deployment_key, item.deployment_key)

    parts = _slices(mine, balance)
    change = cost_change(_slices(before, before.balances[0]), parts, product_of) if before else None
    details = _details(balance, names)
    outlooks, found = to_come(snapshot, home, period, basis, currency, names, budgets)
    total = exact_sum(row.amount for row in details)
    lost = waste(balance, mine.servers).in_cents()
    actions = noted(home).actions
    return Review(
        period=period,
        before=earlier if before else None,
        currency=currency,
        basis=basis,
        snapshot_id=snapshot.id,
        total=total,
        is_sample=snapshot.is_sample,
        made_from=_assumptions(mine, before, snapshot, balance),
        figures=_figures(balance, before, outlooks, total),
        bridge=for_review(change, currency, product_of, EVIDENCE) if change else None,
        movers=_movers(details, change, budgets, period, parts, names),
        daily=_daily(snapshot, mine, period, currency, names, total),
        outlook=outlooks,
        anomalies=tuple(one for one in found if period.start <= one.on < period.end),
        waste=lost.lines,
        proposals=proposals(snapshot, home),
        risks=_risks(outlooks, period, mine, home, snapshot),
        actions=tuple(one for one in actions if one.said_on is None or one.said_on >= period.end - timedelta(days=1)),
        last_actions=tuple(one for one in actions if one.said_on and one.said_on < period.end - timedelta(days=1)),
        details=details,
    )


def _before(snapshot: Snapshot, home: Home, earlier: Period, basis: CostBasis, currency: str) -> Books | None:
    covered = snapshot.status().charges_from
    if covered is None or covered.date() > earlier.start:
        return None
    try:
        return books_between(snapshot, home, earlier.start, earlier.end, basis, currency)
    except ConfigError:
        return None


def _slices(of: Books, balance: TrialBalance) -> tuple[Slice, ...]:
    chosen = [n for n, group in enumerate(of.groups) if group.currency == balance.currency]
    return slices(
        balance,
        [of.groups[n] for n in chosen],
        [of.capacity[n] for n in chosen],
        [of.matches.by_group[n] for n in chosen],
        of.servers,
    )


def _product_names(snapshot: Snapshot, home: Home) -> dict[str, str]:
    scenario, _ = scenario_of(home, snapshot)
    return {} if scenario is None else scenario.product_names


def _product(line: Line, names: Mapping[str, str]) -> str:
    return names.get(line.deployment_key, line.deployment_key)


def _details(balance: TrialBalance, names: Mapping[str, str]) -> tuple[DetailRow, ...]:
    cents = in_cents([line.amount for line in balance.lines])
    return tuple(
        DetailRow(
            product=_product(line, names), amount=amount, bucket=line.bucket, model=line.model_key, team=line.team,
            tokens=line.tokens,
        )
        for line, amount in zip(balance.lines, cents, strict=True)
    )  # fmt: skip


def _movers(
    details: Sequence[DetailRow],
    change: CostChange | None,
    budgets: Sequence[Budget],
    period: Period,
    parts: Sequence[Slice],
    names: Mapping[str, str],
) -> tuple[Mover, ...]:
    """Every product, those that changed most first."""
    cost: dict[str, list[Decimal]] = defaultdict(list)
    for row in details:
        cost[row.product].append(row.amount)
    tokens: dict[str, int] = defaultdict(int)
    for part in parts:
        tokens[names.get(part.item.deployment_key, part.item.deployment_key)] += sum(part.tokens.values())
    rows = change.by_product if change else {}
    gone = {name: [Decimal(0)] for name in rows if name not in cost}
    movers = [
        _mover(name, exact_sum(amounts), rows.get(name) if change else None, tokens.get(name, 0), budgets, period)
        for name, amounts in {**cost, **gone}.items()
    ]
    return tuple(sorted(movers, key=lambda one: (-abs(one.change or Decimal(0)), -one.cost, one.product)))


def _mover(name: str, cost: Decimal, row: Row | None, tokens: int, budgets: Sequence[Budget], period: Period) -> Mover:
    if row is None:
        return Mover(product=name, cost=cost, per_mtok=_per_mtok(cost, tokens), budget=_due(budgets, name, period))
    # The bridge rounds on its own: what a cent is off stays with the unit cost.
    before = cost - row.change
    volume = exact_sum(row.terms.get(kind, Decimal(0)) for kind in _VOLUME)
    mix = exact_sum(row.terms.get(kind, Decimal(0)) for kind in _MIX)
    return Mover(
        product=name, cost=cost, before=before, from_volume=volume, from_mix=mix,
        from_unit_cost=row.change - volume - mix, per_mtok=_per_mtok(cost, tokens), budget=_due(budgets, name, period),
    )  # fmt: skip


def _per_mtok(cost: Decimal, tokens: int) -> Decimal | Undefined:
    return usd_per_mtok_of(cost, tokens or None)


def _due(budgets: Sequence[Budget], product: str, period: Period) -> Decimal | None:
    """The budget of the period's days, where every month of it has one."""
    found = []
    for day in (period.start + timedelta(days=n) for n in range(period.days_count)):
        budget = budget_of(budgets, f"{day:%Y-%m}", (product, "")) if product else None
        if budget is None:
            return None
        found.append(phased(budget, f"{day:%Y-%m}")[day])
    return exact_sum(found)


def _figures(
    balance: TrialBalance, before: Books | None, outlooks: Outlook | None, total: Decimal
) -> tuple[Figure, ...]:
    earlier = before.balances[0] if before else None
    landing = outlooks.in_all if outlooks else None

    def both(of: Callable[[TrialBalance], Decimal | float | Undefined]) -> dict:
        return {"value": of(balance), "before": of(earlier) if earlier else None}

    spend = {"value": total, "before": in_cents([earlier.total])[0] if earlier else None}
    figures = [
        Figure(name="Spend", unit=FigureUnit.MONEY, **spend),
        Figure(name="Cost per 1M tokens", unit=FigureUnit.PER_MTOK, **both(_blended), note="all cost over all tokens"),
        Figure(name="Idle GPU cost", unit=FigureUnit.MONEY, **both(lambda of: _of_buckets(of, _IDLE))),
        Figure(
            name="Not allocated",
            unit=FigureUnit.SHARE,
            **both(lambda of: share_of(_of_buckets(of, (Bucket.UNALLOCATED_GPU,)), of.total)),
            note="of spend: GPUs that no server is matched to",
        ),
    ]
    return (*figures, _against_budget(landing))


def _against_budget(landing: OutlookLine | None) -> Figure:
    name = "Forecast against budget"
    if landing is None or isinstance(landing.p50, Undefined):
        why = landing.p50.reason if landing and isinstance(landing.p50, Undefined) else "nothing was forecast"
        return Figure(name=name, value=Undefined(reason=why))
    if landing.budget is None:
        return Figure(name=name, value=Undefined(reason="no budget is set; write budgets.toml"), note="no budget")
    return Figure(name=name, value=landing.p50 - landing.budget, note="month end, above zero is over budget")


def _of_buckets(balance: TrialBalance, buckets: Iterable[Bucket]) -> Decimal:
    wanted = set(buckets)
    return in_cents([exact_sum(line.amount for line in balance.lines if line.bucket in wanted)])[0]


def _blended(balance: TrialBalance) -> Decimal | Undefined:
    counted = [line.tokens for line in balance.lines if line.tokens is not None]
    return usd_per_mtok_of(balance.total, sum(counted) if counted else None)


def _daily(
    snapshot: Snapshot, mine: Books, period: Period, currency: str, names: Mapping[str, str], total: Decimal
) -> tuple[Day, ...]:
    """What each day was charged, by the product whose charges they are, in cents that make the period's total."""
    beyond = snapshot.status().charges_to
    keys: list[tuple[date, str]] = []
    exact: list[Decimal] = []
    for day in (period.start + timedelta(days=n) for n in range(period.days_count)):
        span = Span.of(day, day + timedelta(days=1))
        groups = [one for one in snapshot.charge_groups_between(span.start, span.end) if one.currency == currency]
        owners = match(groups, mine.servers, mine.owners).by_group
        by_product: dict[str, list[Decimal]] = defaultdict(list)
        for group, owner in zip(groups, owners, strict=True):
            by_product[names.get(owner.deployment_key, owner.deployment_key)].append(
                group.cost(mine.basis) or Decimal(0)
            )
        keys += [(day, name) for name in by_product]
        exact += [exact_sum(amounts) for amounts in by_product.values()]
    cents = in_cents(exact)
    if exact_sum(cents) != total:
        return ()  # a basis that some charge has not: then days are not known
    found: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for (day, name), amount in zip(keys, cents, strict=True):
        found[day][name] = amount
    return tuple(
        Day(on=day, by_product=parts, is_partial=beyond is None or day >= beyond.date()) for day, parts in found.items()
    )


# What else the meeting should know ------------------------------------------------------------------------------------


def _assumptions(mine: Books, before: Books | None, snapshot: Snapshot, balance: TrialBalance) -> tuple[str, ...]:
    said = [
        f"{'Effective cost spreads commitments' if mine.basis is CostBasis.EFFECTIVE else 'Billed cost is the invoice'}"
        ": the two are never added.",
        f"Busy GPU time became tokens by: {balance.method}.",
        "The forecast continues each product's days with their weekly shape; its range holds four of five days.",
    ]
    if before is None:
        said.append(NO_BEFORE)
    if len(mine.balances) > 1:
        others = ", ".join(one.currency for one in mine.balances[1:])
        said.append(f"Charges in {others} are not in these sums: currencies are never added.")
    return (*said, *balance.notes)


def _risks(outlooks: Outlook | None, period: Period, mine: Books, home: Home, snapshot: Snapshot) -> tuple[str, ...]:
    found = []
    for line in outlooks.lines if outlooks else ():
        chance = line.breach_probability
        if isinstance(chance, float) and chance >= 0.5:
            on = f", first on {line.breach_on}" if line.breach_on else ""
            found.append(f"{line.name or 'Everything'} is {chance:.0%} likely to end the month over budget{on}.")
    scenario, _ = scenario_of(home, snapshot)
    for one in scenario.commitments if scenario else ():
        left = (one.ends_on - period.end).days
        if 0 <= left <= 60:
            found.append(f"A commitment to {one.gpus_count} {one.gpu_key} ends on {one.ends_on}.")
    if period.is_open:
        found.append("The week is not over, or its last days are not billed yet: these figures will grow.")
    if unmatched := len(mine.matches.unmatched):
        found.append(f"{unmatched} charges of GPUs belong to no server; name their owner in owners.toml.")
    return tuple(found)
