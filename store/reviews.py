"""The weekly review, put together: the books of two periods, what is to come, and what people decided."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal

from costlib.allocation import in_cents, share_of, usd_per_mtok_of
from costlib.balance import WORK_BUCKETS, usd_per_month_of
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis, Line, TrialBalance
from costlib.bridge import CostChange, cost_change
from costlib.bridge_cents import Row
from costlib.budget import Budget
from costlib.catalog import Catalog
from costlib.errors import ConfigError
from costlib.estimate import Undefined
from costlib.levers import lever as lever_of
from costlib.lmdi import TermKind
from costlib.review import (
    Action,
    ActionState,
    DetailRow,
    Figure,
    FigureUnit,
    Mover,
    Outlook,
    OutlookLine,
    Period,
    Review,
)
from costlib.saving import Learnt, Savings
from costlib.scenario import Scenario
from costlib.sentences import for_review
from costlib.slices import Item, Slice, slices
from costlib.waste import waste
from store.actions import Noted, noted
from store.books import Books, books_between, usable_fleet
from store.budgets_file import Planned, planned
from store.home import Home
from store.outlooks import to_come
from store.proposals import billed_fraction, proposals
from store.read import Snapshot
from store.review_facts import budget_of_days, days_of_review, indicators_of, newest_statements, statement_lines
from store.savings import learnt_of, savings

WEEK_DAYS = 7
_IDLE = (Bucket.WARM_IDLE, Bucket.START_AND_DRAIN)  # what nobody measured is not known to be idle
_MEASURED = (*_IDLE, *WORK_BUCKETS)
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
    snapshot: Snapshot, home: Home, period: Period, basis: CostBasis, now: datetime, currency: str | None = None,
    earlier: Period | None = None, ledger: Savings | None = None,
) -> Review:  # fmt: skip
    """The review of a period, beside an `earlier` one: that of the same length before it, when it is left out.
    `ledger`: what `store.savings.savings` said before; it is asked when it is left out.

    Raises ConfigError when nothing was charged in the period, or a file beside the store cannot be read
    """
    fleet, problem = usable_fleet(home, snapshot)
    scenario, catalog = fleet
    names: Mapping[str, str] = {} if scenario is None else scenario.product_names
    mine = books_between(snapshot, home, period.start, period.end, basis, currency, fleet)
    balance = mine.balances[0]
    currency = balance.currency
    earlier = earlier or Period(start=period.start - (period.end - period.start), end=period.start)
    before = _books(snapshot, home, earlier, basis, currency, fleet)
    plans = planned(home, snapshot.is_sample)
    budgets = [one for one in plans.budgets if one.currency == currency]

    def product_of(item: Item) -> str:
        return names.get(item.deployment_key, item.deployment_key)

    parts = slices_of(mine, balance)
    change = cost_change(slices_of(before, before.balances[0]), parts, product_of) if before else None
    details = _details(balance, names)
    outlooks, found = to_come(snapshot, period, basis, currency, scenario, plans)
    total = exact_sum(row.amount for row in details)
    month, invoices = newest_statements(snapshot, period, currency)
    billed = None
    if scenario is not None and currency == "USD":
        is_spread = basis is CostBasis.EFFECTIVE
        spread = mine if is_spread else _books(snapshot, home, period, CostBasis.EFFECTIVE, currency, fleet)
        if spread is not None:
            billed = usd_per_month_of(spread.balances[0], list(names), period.days_count, scenario.hours_per_month)
    found_now, known = noted(home), learnt_of(home, snapshot.is_sample)
    return Review(
        period=period,
        before=earlier if before else None,
        currency=currency,
        basis=basis,
        snapshot_id=snapshot.id,
        total=total,
        is_sample=snapshot.is_sample,
        problems=tuple(filter(None, (problem, plans.problem))),
        made_from=(
            *_assumptions(mine, before, outlooks, plans, balance),
            *_of_proposals(scenario, catalog, billed, known),
        ),
        figures=_figures(balance, before, outlooks, total, plans),
        bridge=for_review(change, currency, product_of, EVIDENCE) if change else None,
        movers=_movers(details, change, budgets, period, parts, names),
        daily=days_of_review(snapshot, mine, period, currency, names, total),
        outlook=outlooks,
        anomalies=tuple(one for one in found if period.start <= one.on < period.end),
        waste=waste(balance, mine.servers).in_cents().lines,
        proposals=proposals(scenario, catalog, billed, known) if scenario and currency == "USD" else (),
        risks=_risks(outlooks, period, mine, scenario, found_now),
        actions=tuple(one for one in found_now.actions if _week_of(one) == period.start),
        last_actions=tuple(one for one in found_now.actions if _is_of_the_last(one, period)),
        statements_month=month,
        statements=statement_lines(invoices),
        indicators=indicators_of(
            snapshot, (mine, period), (before, earlier) if before else None, plans, invoices, catalog
        ),
        note=found_now.notes.get(period.start, ""),
        savings=_in(currency, ledger or savings(snapshot, home, snapshot.published_at, with_distributions=False)),
        details=details,
    )


def _in(currency: str, found: Savings) -> Savings | None:
    """The ledger, where there is one and it is in this currency."""
    return found if (found.entries or found.broken) and found.currency == currency else None


def _week_of(action: Action) -> date | None:
    """The first day of the week an action was decided for: as noted, else the newest that was over by then."""
    if action.week is not None or action.said_on is None:
        return action.week
    day = action.said_on - timedelta(days=WEEK_DAYS - 1)  # a meeting on the last day of a week is on that week
    return day - timedelta(days=day.weekday())


def _is_of_the_last(action: Action, period: Period) -> bool:
    """Decided for an earlier week, and open still or of the week just before."""
    week = _week_of(action)
    if week is None or week >= period.start:
        return False
    return action.state is ActionState.OPEN or week >= period.start - timedelta(days=WEEK_DAYS)


def _books(
    snapshot: Snapshot, home: Home, period: Period, basis: CostBasis, currency: str,
    fleet: tuple[Scenario | None, Catalog],
) -> Books | None:  # fmt: skip
    """The books of a period, None where it is not billed from its first day on."""
    covered = snapshot.status().charges_from
    if covered is None or covered.date() > period.start:
        return None
    try:
        return books_between(snapshot, home, period.start, period.end, basis, currency, fleet)
    except ConfigError:
        return None


def slices_of(of: Books, balance: TrialBalance) -> tuple[Slice, ...]:
    """The books in one currency as slices, which a bridge compares."""
    chosen = [n for n, group in enumerate(of.groups) if group.currency == balance.currency]
    return slices(
        balance,
        [of.groups[n] for n in chosen],
        [of.capacity[n] for n in chosen],
        [of.matches.by_group[n] for n in chosen],
        of.servers,
    )


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
    return budget_of_days(budgets, (product, ""), period) if product else None


def _figures(
    balance: TrialBalance, before: Books | None, outlooks: Outlook | None, total: Decimal, plans: Planned
) -> tuple[Figure, ...]:
    earlier = before.balances[0] if before else None

    def both(of: Callable[[TrialBalance], Decimal | float | Undefined]) -> dict:
        return {"value": of(balance), "before": of(earlier) if earlier else None}

    spend = {"value": total, "before": in_cents([earlier.total])[0] if earlier else None}
    figures = [
        Figure(name="Spend", unit=FigureUnit.MONEY, **spend),
        Figure(name="Cost per 1M tokens", unit=FigureUnit.PER_MTOK, **both(_blended), note="all tokens"),
        Figure(name="Idle GPU cost", unit=FigureUnit.MONEY, **both(_idle)),
        Figure(
            name="GPUs of no server",
            unit=FigureUnit.SHARE,
            **both(lambda of: share_of(_of_buckets(of, (Bucket.UNALLOCATED_GPU,)), of.total)),
            note="of all spend",
        ),
    ]
    return (*figures, _against_budget(outlooks.in_all if outlooks else None, plans.problem))


def _idle(of: TrialBalance) -> Decimal | Undefined:
    if not any(line.bucket in _MEASURED for line in of.lines):
        return Undefined(reason="no server of a billed deployment was measured")
    return _of_buckets(of, _IDLE)


def _against_budget(landing: OutlookLine | None, problem: str) -> Figure:
    name = "Forecast against budget"
    if problem:
        return Figure(name=name, value=Undefined(reason=problem))
    if landing is None or isinstance(landing.p50, Undefined):
        why = landing.p50.reason if landing and isinstance(landing.p50, Undefined) else "nothing was forecast"
        return Figure(name=name, value=Undefined(reason=why))
    if landing.budget is None:
        return Figure(name=name, value=Undefined(reason="no budget is set; write budgets.toml"), note="no budget")
    return Figure(name=name, value=landing.p50 - landing.budget, note="at month end")


def _of_buckets(balance: TrialBalance, buckets: Iterable[Bucket]) -> Decimal:
    wanted = set(buckets)
    return in_cents([exact_sum(line.amount for line in balance.lines if line.bucket in wanted)])[0]


def _blended(balance: TrialBalance) -> Decimal | Undefined:
    counted = [line.tokens for line in balance.lines if line.tokens is not None]
    return usd_per_mtok_of(balance.total, sum(counted) if counted else None)


# What else the meeting should know ------------------------------------------------------------------------------------


def _assumptions(
    mine: Books, before: Books | None, outlooks: Outlook | None, plans: Planned, balance: TrialBalance
) -> tuple[str, ...]:
    said = [
        f"{'Effective cost spreads commitments' if mine.basis is CostBasis.EFFECTIVE else 'Billed cost is the invoice'}"
        ": the two are never added.",
        f"Busy GPU time became tokens by: {balance.method.rstrip('.')}.",
        "The forecast continues each product's days with their weekly shape; its range holds four of five days.",
    ]
    if plans.is_sample:
        said.append("The budgets are those of the sample: this home has no budgets.toml.")
    if before is None:
        said.append(NO_BEFORE)
    if len(mine.balances) > 1:
        others = ", ".join(one.currency for one in mine.balances[1:])
        said.append(f"Charges in {others} are not in these sums: currencies are never added.")
    if balance.currency != "USD":
        said.append(f"Changes to the fleet are priced in USD, so a review in {balance.currency} proposes none.")
    return (*said, *(f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in balance.notes))


def _of_proposals(
    scenario: Scenario | None, catalog: Catalog, billed: float | None, known: Mapping[str, Learnt]
) -> tuple[str, ...]:
    """What the savings of proposals are a part of, and what their ranges count in."""
    if scenario is None:
        return ()
    names = ", ".join(lever_of(key).label for key in known)
    said = (f"Ranges of proposals count in what signed changes came to of their promise: {names}.",) if known else ()
    part = 1.0 if billed is None else billed_fraction(scenario, catalog, billed)
    if part == 1:
        return said
    return (
        *said,
        f"What a proposal saves is {part:.0%} of what the model says, as these deployments were billed {part:.0%} of "
        "what the model's fleet, sized for the peak hour, would cost at the scenario's prices.",
    )


def _risks(
    outlooks: Outlook | None, period: Period, mine: Books, scenario: Scenario | None, written: Noted
) -> tuple[str, ...]:
    found = []
    for line in outlooks.lines if outlooks else ():
        chance = line.breach_probability
        if isinstance(chance, float) and chance >= 0.5:
            on = f", first on {line.breach_on}" if line.breach_on else ""
            found.append(f"{line.name or 'Everything'} is {chance:.0%} likely to end the month over budget{on}.")
    for one in scenario.commitments if scenario else ():
        left = (one.ends_on - period.end).days
        if 0 <= left <= 60:
            found.append(f"A commitment to {one.gpus_count} {one.gpu_key} ends on {one.ends_on}.")
    if period.is_open:
        found.append("The week is not over, or its last days are not billed yet: these figures will grow.")
    if unmatched := len(mine.matches.unmatched):
        found.append(f"{unmatched} charges of GPUs belong to no server; name their owner in owners.toml.")
    return (*found, *(f"{problem}." for problem in written.problems))
