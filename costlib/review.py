"""The weekly review as plain data: what every page and every file of the pack is drawn from, and what must add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from costlib.allocation import CENT, share_of
from costlib.billing import exact_sum
from costlib.books import Bucket, CostBasis
from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from costlib.saving import Savings

Amount = Decimal | Undefined
NOT_ALLOCATED = ""  # the product of what no product is known for
NO_TOKENS = Undefined(reason="no tokens were measured")
NO_FORECAST = Undefined(reason="not forecast")
NOTHING_SPENT = Undefined(reason="nothing was spent")


class FigureUnit(StrEnum):
    MONEY = "money"
    PER_MTOK = "per_mtok"  # money per million tokens
    SHARE = "share"  # 0.05 is 5 %
    TOKENS = "tokens"


class ActionState(StrEnum):
    OPEN = "open"
    DONE = "done"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Whole days from `start` until before `end`, UTC; a week goes from Monday to Monday.

    >>> week = Period(start=date(2026, 11, 9), end=date(2026, 11, 16))
    >>> week.last_day, week.days_count, week.name
    (datetime.date(2026, 11, 15), 7, '9–15 Nov 2026')
    """

    start: date
    end: date
    label: str = ""
    is_open: bool = False  # charges of its last days are still to come

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise DomainError(f"a period ends after it starts, not from {self.start} to {self.end}")

    @property
    def last_day(self) -> date:
        return self.end - timedelta(days=1)

    @property
    def days_count(self) -> int:
        return (self.end - self.start).days

    @property
    def name(self) -> str:
        """The label, or the days it is made of."""
        if self.label:
            return self.label
        first, last = self.start, self.last_day
        if first == last:
            return f"{last.day} {last:%b %Y}"
        if first.year != last.year:
            return f"{first.day} {first:%b %Y} – {last.day} {last:%b %Y}"
        if first.month != last.month:
            return f"{first.day} {first:%b} – {last.day} {last:%b %Y}"
        return f"{first.day}–{last.day} {last:%b %Y}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the numbers on top. `before` is None where there is no period before; `is_less_better` colours changes."""

    name: str
    value: Decimal | float | Undefined
    before: Decimal | float | Undefined | None = None
    unit: FigureUnit = FigureUnit.MONEY
    basis: Basis = Basis.MEASURED
    note: str = ""
    is_less_better: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One reason for the change, in whole cents."""

    kind: str
    amount: Decimal
    sentence: str = ""
    evidence: str = ""  # a link within the dashboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """From the period before to this one: before + terms = after, to the cent, in all and for each item."""

    before: Decimal
    after: Decimal
    terms: tuple[Term, ...]
    by_item: Mapping[str, tuple[Term, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _must_sum("the bridge", (term.amount for term in self.terms), self.after - self.before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A product: what it cost, and why that changed. The parts of the change are None where they are not known."""

    product: str
    cost: Decimal
    before: Decimal | None = None
    from_volume: Decimal | None = None
    from_unit_cost: Decimal | None = None
    from_mix: Decimal | None = None
    per_mtok: Amount = NO_TOKENS
    budget: Decimal | None = None  # of the same period

    def __post_init__(self) -> None:
        parts = (self.from_volume, self.from_unit_cost, self.from_mix)
        if self.change is not None and None not in parts:
            _must_sum(f"the change of {self.product!r}", (part for part in parts if part is not None), self.change)

    @property
    def change(self) -> Decimal | None:
        return None if self.before is None else self.cost - self.before

    @property
    def of_budget(self) -> float | None:
        """Cost as a part of the budget; None without a budget, or with one that nothing can be a part of."""
        if self.budget is None or self.budget <= 0:
            return None
        part = share_of(self.cost, self.budget)
        return None if isinstance(part, Undefined) else part


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    on: date
    by_product: Mapping[str, Decimal]
    is_partial: bool = False  # charges or measurements of it are missing

    @property
    def cost(self) -> Decimal:
        return exact_sum(self.by_product.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookLine:
    """Where one product's or team's month ends, with a chance of one in ten below `p10` and above `p90`."""

    name: str  # "" for everything
    kind: str = "product"  # or "team"; "all" for the whole
    budget: Decimal | None = None  # None: nobody set one
    actual: Decimal = Decimal(0)  # of the month's closed days
    p10: Amount = NO_FORECAST
    p50: Amount = NO_FORECAST
    p90: Amount = NO_FORECAST
    breach_probability: float | Undefined | None = None
    breach_on: date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookDay:
    """Spend of the month up to and with this day: `actual` where it is known, else the forecast."""

    on: date
    actual: Decimal | None = None
    p10: Decimal | None = None
    p50: Decimal | None = None
    p90: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    month: str  # YYYY-MM
    lines: tuple[OutlookLine, ...]
    path: tuple[OutlookDay, ...] = ()
    method: str = ""

    @property
    def in_all(self) -> OutlookLine | None:
        return next((line for line in self.lines if line.kind == "all"), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """A day that was not like the others. `impact` is what it cost more than expected, None where that is unknown."""

    on: date
    measure: str
    scope: str = ""
    impact: Decimal | None = None
    cause: str = ""
    sentence: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WasteLine:
    kind: str
    amount: Amount
    share_fraction: float | Undefined = NOTHING_SPENT  # of the total
    evidence: str = ""
    basis: Basis = Basis.MEASURED


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What could be changed, and what that would save a month, from the least to the most."""

    title: str
    saved_low: Amount
    saved: Amount
    saved_high: Amount
    effort: str = ""
    is_proven: bool = False
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`week` is the first day of the period it was decided for; `link` and `saved`, a month, those of the proposal."""

    id: str
    text: str
    owner: str = ""
    due: date | None = None
    state: ActionState = ActionState.OPEN
    said_on: date | None = None
    week: date | None = None
    link: str = ""
    saved: Decimal | None = None

    def is_late(self, today: date) -> bool:
        return self.state is ActionState.OPEN and self.due is not None and self.due < today


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One provider: what its charges add up to and what it invoiced; None while there is no invoice.

    `ties`: the two are the same but for rounding.

    >>> StatementLine(provider="AWS", billed=Decimal("10.00"), invoice=Decimal("10.02")).difference
    Decimal('0.02')
    """

    provider: str
    billed: Decimal
    invoice: Decimal | None = None
    note: str = ""
    ties: bool | None = None

    @property
    def difference(self) -> Decimal | None:
        return None if self.invoice is None else self.invoice - self.billed


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """One of `costlib.kpis.KPIS` by its name, with the period before; `unit` is a `KpiUnit` as text."""

    name: str
    number_count: int
    label: str
    unit: str
    formula: str
    value: Decimal | float | Undefined
    before: Decimal | float | Undefined | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailRow:
    """Part of the period's cost, in whole cents. Texts are as they were billed, "" where absent."""

    product: str
    amount: Decimal
    bucket: Bucket
    model: str = ""
    team: str = ""
    tokens: int | None = None  # that `amount` paid for


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A period's cost, in one currency and on one basis: days, products, details and the bridge make `total`.

    Raises     DomainError when one of them does not, to the cent, or when an amount is not in whole cents
    Valid for  movers that are all products, not the largest only; no days at all where days are not known
    """

    period: Period
    before: Period | None
    currency: str
    basis: CostBasis
    snapshot_id: str
    total: Decimal
    is_sample: bool = False
    problems: tuple[str, ...] = ()  # files that cannot be used: what is wrong, where, and what to do
    made_from: tuple[str, ...] = ()  # assumptions, as sentences
    figures: tuple[Figure, ...] = ()
    bridge: Bridge | None = None  # None without a period before
    movers: tuple[Mover, ...] = ()
    daily: tuple[Day, ...] = ()
    outlook: Outlook | None = None
    anomalies: tuple[Anomaly, ...] = ()
    waste: tuple[WasteLine, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    risks: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    last_actions: tuple[Action, ...] = ()
    statements_month: str = ""  # YYYY-MM: the newest billing month that was over when the period ended
    statements: tuple[StatementLine, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    note: str = ""  # what somebody wrote for the meeting
    details: tuple[DetailRow, ...] = ()
    savings: Savings | None = None  # None where nobody noted a change

    def __post_init__(self) -> None:
        _must_sum("the details", (row.amount for row in self.details), self.total)
        _must_sum("the products", (mover.cost for mover in self.movers), self.total)
        self._must_agree_on_products()
        if self.daily:
            amounts = (amount for day in self.daily for amount in day.by_product.values())
            _must_sum("the days", amounts, self.total)
        if self.bridge is not None:
            _must_sum("the end of the bridge", [self.bridge.after], self.total)
            if self.before is None:
                raise DomainError("a bridge needs a period before; give the period it starts from.")
        if self.savings is not None and self.savings.entries and self.savings.currency != self.currency:
            raise DomainError(f"the savings are in {self.savings.currency}, not {self.currency}; leave them out.")

    def _must_agree_on_products(self) -> None:
        """Raises DomainError unless products, details and days are of the same products, each with its own sum."""
        costs = {mover.product: mover.cost for mover in self.movers}
        if len(costs) != len(self.movers):
            raise DomainError("a product is listed twice; add its movers up first.")
        found: dict[str, list[Decimal]] = {product: [] for product in costs}
        for row in self.details:
            found.setdefault(row.product, []).append(row.amount)
        unknown = found.keys() | {product for day in self.daily for product in day.by_product}
        if names := sorted(unknown - costs.keys()):
            raise DomainError(f"{names[0]!r} has details or days and is not among the products.")
        for product, amounts in found.items():
            _must_sum(f"the details of {product!r}", amounts, costs[product])

    @property
    def teams(self) -> tuple[str, ...]:
        """Those with a part of the cost, by name; what has no team is last and called ""."""
        return tuple(sorted({row.team for row in self.details}, key=lambda team: (not team, team)))

    def of_team(self, team: str) -> tuple[DetailRow, ...]:
        return tuple(row for row in self.details if row.team == team)


def _must_sum(what: str, amounts: Iterable[Decimal], total: Decimal) -> None:
    """Raises DomainError unless the amounts are whole cents that make `total`."""
    listed = list(amounts)
    for amount in (*listed, total):
        if not amount.is_finite() or amount % CENT:
            raise DomainError(f"{what} holds {amount}, which is not in whole cents; round with `in_cents` first.")
    found = exact_sum(listed)
    if found != total:
        raise DomainError(f"{what} make {found}, not {total}: something is left out or counted twice.")
