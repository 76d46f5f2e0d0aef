"""What `reconcile` answers: the trial balance of a month beside its invoices, and the same as text for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from collectors.base import excerpt
from costlib.allocation import in_cents, share_of
from costlib.balance import FullyLoaded, fully_loaded, in_buckets
from costlib.billing import exact_sum, exact_text
from costlib.books import Bucket, ChargeGroup, CostBasis, IdlePolicy, TokenClass, TrialBalance
from costlib.estimate import Basis, Undefined, weakest
from costlib.ownership import is_use
from costlib.rates import Rate, converted, rate_at
from costlib.unit_cost import Price, UnitCosts, class_bands, unit_costs
from store.books import Books, Statement
from store.months import month_of
from store.records import LedgerEntry, LedgerKind

# Of what is not matched; JSON has all.
_MOST_LISTED = 20
_MOST_SERVICES = 8
_MOST_RULES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSum:
    """All lines of one bucket. `shown` is in whole cents, which add up to the total's."""

    bucket: Bucket
    amount: Decimal
    shown: Decimal
    fraction: float | Undefined
    basis: Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A resource that belongs to no deployment; a `resource` of "": what was bought, taxed or credited, or has none."""

    provider: str
    service_name: str
    resource: str
    billed: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A total in another currency, for display only."""

    amount: Decimal
    rate: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCurrency:
    """The month in one currency. `open_difference`: the invoices less what was billed and what notes explain."""

    balance: TrialBalance
    buckets: tuple[BucketSum, ...]
    unit_costs: UnitCosts
    fully_loaded: FullyLoaded  # with people and licences, which are on no invoice
    statements: tuple[Statement, ...]
    notes: tuple[LedgerEntry, ...]
    open_difference: Decimal | None
    is_reconciled: bool | None  # None: an invoice total is missing
    shown_in: Shown | Undefined | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    month: str
    basis: CostBasis
    idle: IdlePolicy
    is_sample: bool
    currencies: tuple[OneCurrency, ...]
    unmatched: tuple[Unmatched, ...]
    suggested_rules: str

    @property
    def is_right(self) -> bool:
        """Whether every balance ties to itself, and to each invoice that is known."""
        return all(one.balance.residual == 0 and one.is_reconciled is not False for one in self.currencies)


def reconciled(
    found: Books, idle: IdlePolicy, rates: Sequence[Rate] = (), show_in: str = "", is_sample: bool = False
) -> Reconciliation:
    return Reconciliation(
        month=found.month,
        basis=found.basis,
        idle=idle,
        is_sample=is_sample,
        currencies=tuple(_one(found, balance, rates, show_in) for balance in found.balances),
        unmatched=tuple(_unmatched(found.matches.unmatched)),
        suggested_rules=found.matches.suggested,
    )


def _one(found: Books, balance: TrialBalance, rates: Sequence[Rate], show_in: str) -> OneCurrency:
    statements = tuple(item for item in found.statements if item.currency == balance.currency)
    notes = tuple(
        entry for entry in found.ledger
        if entry.kind is LedgerKind.NOTE and entry.currency in ("", balance.currency)
    )  # fmt: skip
    explained = exact_sum(entry.amount for entry in notes if entry.amount is not None)
    differences = [item.difference for item in statements if item.difference is not None]
    left = exact_sum((*differences, explained.copy_negate())) if differences else None
    return OneCurrency(
        balance=balance,
        buckets=tuple(_buckets(balance)),
        unit_costs=unit_costs(balance, found.requests),
        fully_loaded=fully_loaded(balance, found.owners),
        statements=statements,
        notes=notes,
        open_difference=left,
        is_reconciled=_is_reconciled(statements, explained, left),
        shown_in=_shown_in(balance, rates, show_in),
    )


def _is_reconciled(statements: Sequence[Statement], explained: Decimal, left: Decimal | None) -> bool | None:
    """False as soon as one known invoice differs by more than rounding and notes do not explain all of it."""
    if left is None:
        return None
    if explained:
        ties = abs(left) <= exact_sum(item.rounding_allowed for item in statements)
    else:
        ties = all(item.ties is not False for item in statements)
    return (None if any(item.invoice is None for item in statements) else True) if ties else False


def _buckets(balance: TrialBalance) -> Iterator[BucketSum]:
    sums = in_buckets(balance)
    for (bucket, amount), shown in zip(sums.items(), in_cents(list(sums.values())), strict=True):
        yield BucketSum(
            bucket=bucket,
            amount=amount,
            shown=shown,
            fraction=share_of(amount, balance.total),
            basis=weakest(*(line.basis for line in balance.lines if line.bucket is bucket)),
        )


def _shown_in(balance: TrialBalance, rates: Sequence[Rate], show_in: str) -> Shown | Undefined | None:
    if show_in in ("", balance.currency):
        return None
    rate = rate_at(rates, balance.currency, show_in, month_of(balance.month)[1].date())
    return rate if isinstance(rate, Undefined) else Shown(amount=converted(balance.total, rate), rate=rate)


def _unmatched(groups: Iterable[ChargeGroup]) -> Iterator[Unmatched]:
    """By resource, the dearest first; what is no use of a resource by its service."""
    sums: dict[tuple[str, str, str, str], list[Decimal]] = {}
    for group in groups:
        name = (group.resource_name or group.resource_id) if is_use(group) else ""
        sums.setdefault((group.provider, group.service_name, name, group.currency), []).append(group.billed)
    for key, amounts in sorted(sums.items(), key=lambda item: (-abs(exact_sum(item[1])), item[0])):
        provider, service, name, currency = key
        yield Unmatched(
            provider=provider, service_name=service, resource=name, billed=exact_sum(amounts), currency=currency
        )


# As text --------------------------------------------------------------------------------------------------------------


def reconciliation_text(report: Reconciliation) -> str:
    return "\n".join(_lines(report))


def _lines(report: Reconciliation) -> Iterator[str]:
    if report.is_sample:
        yield "SAMPLE DATA"
    for one in report.currencies:
        yield from _balance_lines(report, one)
        yield from _invoice_lines(one)
        yield from _beside_lines(one)
        yield ""
    yield from _unmatched_lines(report.unmatched)
    if report.suggested_rules:
        rules = report.suggested_rules.split("\n\n")
        more = f"; the dearest {_MOST_RULES} of {len(rules)}, --json has all" if len(rules) > _MOST_RULES else ""
        yield f"Rules for owners.toml that would match what was used; check each{more}:"
        yield "\n\n".join(rules[:_MOST_RULES])


def _beside_lines(one: OneCurrency) -> Iterator[str]:
    loaded = one.fully_loaded
    for cost in loaded.beside:
        yield f"beside the bill: {_plain(cost.what)}, {cost.kind}, {_money(cost.usd)} USD a month, on no invoice"
    if loaded.beside:
        yield f"with the bill: {_money(loaded.total)} USD"
    if loaded.note:
        yield f"note: {loaded.note}"


def _unmatched_lines(unmatched: Sequence[Unmatched]) -> Iterator[str]:
    """Resources one by one, and everything else in one line."""
    resources = [item for item in unmatched if item.resource]
    rest = [f"{_plain(item.service_name) or 'unnamed'} {_cents(item)}" for item in unmatched if not item.resource]
    if resources:
        yield "Resources that belong to no deployment:"
        rows = [(_plain(item.resource), _plain(item.service_name), _cents(item)) for item in resources[:_MOST_LISTED]]
        yield from _table(rows, right=(2,))
        if (more := len(resources) - _MOST_LISTED) > 0:
            yield f"  … and {more:,} more; --json lists all"
    if rest:
        more_services = f", and {len(rest) - _MOST_SERVICES} more" if len(rest) > _MOST_SERVICES else ""
        yield f"Of no resource, by service: {', '.join(rest[:_MOST_SERVICES])}{more_services}"


def _balance_lines(report: Reconciliation, one: OneCurrency) -> Iterator[str]:
    balance = one.balance
    yield f"Trial balance of {report.month}, {report.basis} cost in {balance.currency}, idle {_words(report.idle)}"
    rows = [(_words(item.bucket), _money(item.shown), _percent(item.fraction), str(item.basis)) for item in one.buckets]
    total = exact_sum(item.shown for item in one.buckets)
    yield from _table([*rows, ("total", _money(total), "", ""), ("residual", _money(balance.residual), "", "")], (1, 2))
    yield f"exact total {exact_text(balance.total)} {balance.currency}, {len(balance.lines):,} lines"
    if isinstance(one.shown_in, Shown):
        yield f"shown in {one.shown_in.rate.quote}: {_money(one.shown_in.amount)} ({one.shown_in.rate.text})"
    elif one.shown_in is not None:
        yield f"not shown in another currency: {one.shown_in.reason}"
    if balance.gpu_hours:
        yield f"{balance.gpu_hours:,.1f} GPU-hours billed, {balance.matched_gpu_hours or 0.0:,.1f} matched to a server"
        hour, all_in = _price(one.unit_costs.per_gpu_hour), _price(one.unit_costs.all_in_per_gpu_hour)
        yield f"{hour} {balance.currency} per GPU-hour, {all_in} with what stands around GPUs"
    yield from _unit_cost_lines(one)
    if balance.method:
        yield f"split: {balance.method}"
    for note in balance.notes:
        yield f"note: {note}"


def _unit_cost_lines(one: OneCurrency) -> Iterator[str]:
    if not one.unit_costs.by_model:
        return
    bands = class_bands(one.balance)
    yield f"{one.balance.currency} per million tokens: classes by their work, blended by all that names the model:"
    rows = [("model", *(_words(item) for item in TokenClass), "blended")]
    for unit in (*one.unit_costs.by_model, one.unit_costs.in_all):
        classes = (_price(unit.classes[item].per_mtok) for item in TokenClass)
        rows.append((_plain(unit.model_key) or "all", *classes, _price(unit.blended_per_mtok)))
    for place, name in enumerate(("least", "most")):
        edges = (_price(band[place]) if (band := bands.get(item)) else "" for item in TokenClass)
        rows += [(f"{name} by any method", *edges, "")] if bands else []
    yield from _table(rows, right=(1, 2, 3, 4))


def _invoice_lines(one: OneCurrency) -> Iterator[str]:
    currency = one.balance.currency
    for item in one.statements:
        who = " ".join(filter(None, (_plain(item.provider), _plain(item.billing_account)))) or "all providers"
        if item.invoice is None:
            yield f"{who}, {item.state}: billed {_money(item.billed)} {currency}; no invoice total is known"
            continue
        yield f"{who}, {item.state}:"
        beyond = "explained by notes" if one.is_reconciled else "DIFFERS"
        verdict = "ties" if item.ties else f"{beyond}, more than rounding ({_money(item.rounding_allowed)})"
        bridge = [
            ("billed", _money(item.billed), ""),
            ("difference", _money(item.difference), verdict),
            ("invoice", _money(item.invoice), ""),
        ]
        yield from _table(bridge, right=(1,))
    for entry in one.notes:
        amount = "" if entry.amount is None else f", {_money(entry.amount)}"
        yield f"note of {_plain(entry.owner)}: {_plain(entry.text)}{amount}"
    if one.notes and one.open_difference is not None:
        yield f"not explained: {_money(one.open_difference)} {currency}"


def _table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        cells = (
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def _money(amount: Decimal | None) -> str:
    """At least cents, and every digit beyond them that is not zero."""
    if amount is None:
        return "unknown"
    whole, _, digits = exact_text(abs(amount)).partition(".")
    return f"{'-' if amount < 0 else ''}{int(whole):,}.{digits.ljust(2, '0')}"


def _cents(item: Unmatched) -> str:
    return f"{item.billed:,.2f} {item.currency}"


def _price(price: Price) -> str:
    return "undefined" if isinstance(price, Undefined) else f"{price:,.4f}"


def _plain(text: str) -> str:
    """What others wrote, harmless for a terminal."""
    return excerpt(text)[1:-1]


def _percent(fraction: float | Undefined) -> str:
    return "undefined" if isinstance(fraction, Undefined) else f"{fraction:.1%}"


def _words(key: str) -> str:
    return str(key).replace("_", " ")
