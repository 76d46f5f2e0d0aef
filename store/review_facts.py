"""What a review says beside the bridge: its days, the invoices of the month before, and every indicator by name."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from costlib.allocation import in_cents
from costlib.billing import exact_sum
from costlib.books import ChargeGroup, CostBasis, TrialBalance
from costlib.breakeven import api_usd_per_mtok
from costlib.budget import EVERYTHING, Budget, Scope, budget_of, days_of, phased
from costlib.catalog import Catalog
from costlib.estimate import Undefined
from costlib.indicators import indicators
from costlib.kpis import Facts
from costlib.review import Day, Indicator, Period, StatementLine
from costlib.unit_cost import CLASS_BUCKETS
from costlib.units import TOKENS_PER_MTOK
from store.books import Books, Span, Statement, statements
from store.budgets_file import Planned
from store.months import month_of
from store.read import Snapshot

DAYS_BACK = timedelta(days=42)  # in which an unusual day is looked for
SHARE_DIGITS = 6  # DuckDB adds floats in any order: rounded, they are the same every time
_ALL_ACCOUNTS = "all providers"


def days_of_review(
    snapshot: Snapshot, mine: Books, period: Period, currency: str, names: Mapping[str, str], total: Decimal
) -> tuple[Day, ...]:
    """What each day was charged, by the product whose charges they are, in cents that make the period's total.

    None where they do not: on a basis that some charge has not, days are not known.
    """
    span = Span.of(period.start, period.end)
    by_day = snapshot.daily_charge_groups(span.start, span.end)
    # Whose a charge is hangs on nothing but what it is of: it was found for the whole period.
    owners = {_told_by(group): found for group, found in zip(mine.groups, mine.matches.by_group, strict=True)}
    amounts: dict[tuple[date, str], list[Decimal]] = defaultdict(list)
    for day, groups in by_day.items():
        for group in groups:
            if group.currency == currency:
                key = owners[_told_by(group)].deployment_key
                amounts[day.date(), names.get(key, key)].append(group.cost(mine.basis) or Decimal(0))
    cents = in_cents([exact_sum(parts) for parts in amounts.values()])
    if exact_sum(cents) != total:
        return ()
    beyond = snapshot.status().charges_to
    found: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for (day, name), amount in zip(amounts, cents, strict=True):
        found[day][name] = amount
    return tuple(
        Day(on=day, by_product=parts, is_partial=beyond is None or day >= beyond.date()) for day, parts in found.items()
    )


def _told_by(group: ChargeGroup) -> tuple[object, ...]:
    """All that `costlib.ownership.match` looks at."""
    place = (group.provider, group.billing_account, group.region, group.service_name)
    return (*place, group.resource_id, group.resource_name, *sorted(group.tags.items()))


def newest_statements(snapshot: Snapshot, period: Period, currency: str) -> tuple[str, tuple[Statement, ...]]:
    """The newest billing month that was over when the period ended, and its accounts beside their invoices; "" and
    nothing before the first."""
    end = datetime(period.end.year, period.end.month, period.end.day, tzinfo=UTC)
    over = [month for month in sorted(set(snapshot.months()["month"])) if month_of(month)[1] <= end]
    if not over:
        return "", ()
    groups = [group for group in snapshot.charge_groups(over[-1]) if group.currency == currency]
    return over[-1], statements(snapshot, over[-1], groups)


def statement_lines(found: Sequence[Statement]) -> tuple[StatementLine, ...]:
    """Each account as a line of the review, named by its provider."""
    return tuple(
        StatementLine(
            provider=one.provider or _ALL_ACCOUNTS,
            billed=one.billed,
            invoice=one.invoice,
            ties=one.ties,
            note=", ".join(
                part
                for part in (f"account {one.billing_account}" if one.billing_account else "", f"month {one.state}")
                if part
            ),
        )
        for one in found
    )


def budget_of_days(budgets: Sequence[Budget], scope: Scope, period: Period) -> Decimal | None:
    """The budget of the period's days, where every month of it has one."""
    found = []
    for day in (period.start + timedelta(days=n) for n in range(period.days_count)):
        budget = budget_of(budgets, f"{day:%Y-%m}", scope)
        if budget is None:
            return None
        found.append(phased(budget, f"{day:%Y-%m}")[day])
    return exact_sum(found)


def indicators_of(
    snapshot: Snapshot,
    mine: tuple[Books, Period],
    before: tuple[Books, Period] | None,
    plans: Planned,
    invoices: Sequence[Statement],
    catalog: Catalog,
) -> tuple[Indicator, ...]:
    """The indicators of the period and of the one before. Ages are as of the snapshot, so that it says the same."""
    found, period = mine
    now = _facts(snapshot, found, period, plans, catalog)
    earlier = None if before is None else _facts(snapshot, *before, plans, catalog)
    known = [one.invoice for one in invoices if one.invoice is not None]
    whole = Facts(
        **{name: getattr(now, name) for name in Facts.__slots__}
        | {
            "before": None if before is None else before[0].balances[0],
            "invoice": exact_sum(known) if known and len(known) == len(invoices) else None,
            "invoiced": exact_sum(one.billed for one in invoices) if invoices else None,
            "now": snapshot.published_at,
        }
    )
    return indicators(whole, earlier)


def _facts(snapshot: Snapshot, found: Books, period: Period, plans: Planned, catalog: Catalog) -> Facts:
    balance = found.balances[0]
    mine = [n for n, group in enumerate(found.groups) if group.currency == balance.currency]
    return Facts(
        balance=balance,
        groups=[found.groups[n] for n in mine],
        capacity=[found.capacity[n] for n in mine],
        servers=found.servers,
        budget=Undefined(reason=plans.problem) if plans.problem else _whole_budget(plans, balance.currency, period),
        elapsed_fraction=period.days_count / len(days_of(f"{period.start:%Y-%m}")),
        days=_usage_by_day(snapshot, period, found.basis, balance.currency),
        device_busy_fraction=_device_busy(snapshot, found.span),
        api_cost=_api_cost(balance, catalog, period.last_day),
    )


def _whole_budget(plans: Planned, currency: str, period: Period) -> Decimal | None:
    return budget_of_days([one for one in plans.budgets if one.currency == currency], EVERYTHING, period)


def _usage_by_day(snapshot: Snapshot, period: Period, basis: CostBasis, currency: str) -> dict[date, Decimal]:
    """What was used each day: no purchase, credit, tax or correction."""
    span = Span.of(period.start - DAYS_BACK, period.end)
    rows = snapshot.daily_spend(span.start, span.end, basis.value, "ChargeCategory")  # type: ignore[arg-type]
    rows = rows[(rows["currency"] == currency) & (rows["key"] == "Usage") & rows["cost"].notna()]
    beyond = snapshot.status().charges_to
    return {row.day: row.cost for row in rows.itertuples() if beyond is None or row.day < beyond.date()}


def _device_busy(snapshot: Snapshot, span: Span) -> float | None:
    """What GPUs say of themselves, by the time they were observed."""
    rows = snapshot.devices(span.start, span.end)
    rows = rows[rows["gpu_util_fraction"].notna() & (rows["observed_s"] > 0)]
    observed_s = float(rows["observed_s"].sum())
    busy_s = float((rows["gpu_util_fraction"] * rows["observed_s"]).sum())
    return round(busy_s / observed_s, SHARE_DIGITS) if observed_s else None


def _api_cost(balance: TrialBalance, catalog: Catalog, on: date) -> Decimal | None:
    """The tokens of own servers at the lowest price an API asks for the same model; None unless each has one."""
    if balance.currency != "USD":
        return None
    buckets = list(CLASS_BUCKETS.values())
    tokens: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(buckets, 0))
    for line in balance.lines:
        if line.bucket in CLASS_BUCKETS.values() and line.deployment_key:
            tokens[line.model_key][line.bucket] += line.tokens or 0
    found = []
    for model, counts in tokens.items():
        asked = [
            api_usd_per_mtok(price, *(float(counts[bucket]) for bucket in buckets))
            for price in catalog.token_prices
            if price.model_key == model and price.valid_from <= on
        ]
        known = [usd for usd in asked if not isinstance(usd, Undefined)]
        if not known:
            return None
        found.append(Decimal(repr(min(known) * sum(counts.values()) / TOKENS_PER_MTOK)))
    return exact_sum(found) if found else None
