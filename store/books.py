"""The books of a month or any other days: the bill, what the servers did, what people wrote, and the trial balance.

Files beside the store are read here (owners.toml, scenario.toml, the catalogue); everything that is computed from them
is `costlib`'s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from costlib.allocation import CENT
from costlib.balance import WORK_BUCKETS, spread_idle, trial_balance
from costlib.billing import exact_sum
from costlib.books import ChargeGroup, CostBasis, IdlePolicy, ServerUse, TeamUse, TrialBalance
from costlib.capacity import GpuCapacity, gpu_capacity
from costlib.catalog import Catalog
from costlib.errors import ConfigError, DomainError, PermillionError, UnknownKey
from costlib.ownership import Matches, Owners, match
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.step_model import RooflineCoefficients, roofline_coefficients
from costlib.token_split import BusyWindows, SplitFacts, TokenSplit, band, best, splits
from store.calibrations import Told, with_calibrations
from store.catalog_files import SAMPLE_SCENARIO, load_catalog, load_scenario
from store.home import Home
from store.months import month_of
from store.owners_file import load_owners
from store.read import Snapshot
from store.records import LedgerEntry, LedgerKind
from store.server_use import busy_windows, hours_of, server_uses

OPEN = "open"
HALF_A_CENT = CENT / 2  # what the rounding of one line of an invoice can come to

Account = tuple[str, str, str]  # provider, billing account, currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The month of one account beside the total of its invoice, which a person typed in. None: nobody did.

    A provider or account of "" stands for all of them, where one total was given for all.
    """

    provider: str
    billing_account: str
    currency: str
    billed: Decimal
    invoice: Decimal | None
    rounding_allowed: Decimal  # half a cent for each line the invoice can have
    state: str  # open, final or locked

    @property
    def difference(self) -> Decimal | None:
        return None if self.invoice is None else exact_sum((self.invoice, self.billed.copy_negate()))

    @property
    def ties(self) -> bool | None:
        """Whether the invoice says what the charges do, but for rounding; None without an invoice."""
        return None if self.difference is None else abs(self.difference) <= self.rounding_allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One period on one basis. `groups`, `capacity` and `matches.by_group` are in the same order."""

    month: str  # YYYY-MM of a billing month, else the period's name
    span: "Span"
    basis: CostBasis
    balances: tuple[TrialBalance, ...]  # one per currency, the largest first
    groups: tuple[ChargeGroup, ...]
    capacity: tuple[GpuCapacity | None, ...]
    matches: Matches
    servers: tuple[ServerUse, ...]
    teams: tuple[TeamUse, ...]
    splits: Mapping[str, tuple[TokenSplit, ...]]  # by model, best first
    owners: Owners
    statements: tuple[Statement, ...]
    ledger: tuple[LedgerEntry, ...]

    @property
    def requests(self) -> dict[str, int | None]:
        """Finished requests by model; None where a server of it does not tell."""
        counts: dict[str, int | None] = {}
        for server in self.servers:
            before, more = counts.get(server.model_key, 0), server.requests_count
            counts[server.model_key] = None if before is None or more is None else before + more
        return counts

    @property
    def invoice(self) -> Decimal | None:
        """The invoices' total, where the month is in one currency."""
        return self.invoice_of(self.balances[0].currency) if len(self.balances) == 1 else None

    def invoice_of(self, currency: str) -> Decimal | None:
        """The invoices' total in one currency; None unless every account that bills in it has one."""
        amounts = [item.invoice for item in self.statements if item.currency == currency]
        known = [amount for amount in amounts if amount is not None]
        return exact_sum(known) if known and len(known) == len(amounts) else None

    def with_idle(self, policy: IdlePolicy) -> "Books":
        """The same books with idle cost shown to whom `policy` says; every sum stays what it is."""
        spread = (replace(one, lines=spread_idle(one, policy, self.owners, self.servers)) for one in self.balances)
        return replace(self, balances=tuple(spread))


def newest_full_month(snapshot: Snapshot) -> str:
    """The newest month that is over and was billed, else the newest billed at all, as YYYY-MM.

    Raises    ConfigError when nothing was ever billed
    """
    months = sorted(set(snapshot.months()["month"]))
    if not months:
        raise ConfigError("no bill was imported yet; import one with `permillion import FILE`.")
    over = [month for month in months if month_of(month)[1] <= snapshot.published_at]
    return (over or months)[-1]


def books(snapshot: Snapshot, home: Home, month: str, basis: CostBasis, currency: str | None = None) -> Books:
    """The books of the billing month `month` (YYYY-MM), in all currencies or in one.

    Raises    UnknownKey when the month, or the currency in it, was never billed; ConfigError for a file beside the
              store that cannot be read
    """
    start, end = month_of(month)
    groups = snapshot.charge_groups(month)
    if not groups:
        raise UnknownKey("month", month, set(snapshot.months()["month"]), "the imported bills")
    found = _made(snapshot, home, Span(start=start, end=end, name=month), groups, basis, currency)
    return replace(found, statements=statements(snapshot, month, found.groups), ledger=tuple(snapshot.ledger(month)))


def books_between(
    snapshot: Snapshot,
    home: Home,
    start: date,
    end: date,
    basis: CostBasis,
    currency: str | None = None,
    fleet: tuple[Scenario | None, Catalog] | None = None,
) -> Books:
    """The books of the UTC days from `start` until before `end`, by what the charges are for.

    A charge is in the days that its charge period has, whichever month invoices it, and one that reaches beyond an
    edge is cut by time: books of periods that follow each other add up to those of both. Invoices and what people
    wrote are of billing months, so `statements` and `ledger` are empty. `fleet`: what `scenario_of` said before.

    Raises    ConfigError when the period is empty, nothing was charged for it, or a file beside the store cannot be
              read; UnknownKey when nothing was charged in `currency`
    """
    span = Span.of(start, end)
    groups = snapshot.charge_groups_between(span.start, span.end)
    if not groups:
        raise ConfigError(f"nothing was charged for {span.name}; bills are imported with `permillion import FILE`.")
    return _made(snapshot, home, span, groups, basis, currency, fleet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A period of whole UTC days [start, end), and what it is called."""

    start: datetime
    end: datetime
    name: str

    @classmethod
    def of(cls, start: date, end: date) -> "Span":
        """
        >>> Span.of(date(2026, 11, 9), date(2026, 11, 16)).name
        '2026-11-09 to 2026-11-15'
        """
        if not start < end:
            raise ConfigError(f"a period ends after it starts: {start} to {end} has no day in it.")
        first, beyond = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (start, end))
        return cls(start=first, end=beyond, name=f"{first:%Y-%m-%d} to {beyond - timedelta(days=1):%Y-%m-%d}")


def _made(
    snapshot: Snapshot,
    home: Home,
    span: Span,
    charged: Sequence[ChargeGroup],
    basis: CostBasis,
    currency: str | None,
    fleet: tuple[Scenario | None, Catalog] | None = None,
) -> Books:
    """The books of a period, but for what people wrote of it."""
    groups, start, end = tuple(charged), span.start, span.end
    currencies = sorted({group.currency for group in groups}, key=lambda code: -abs(_billed(groups, code)))
    if currency is not None:
        if currency not in currencies:
            raise UnknownKey("currency", currency, currencies, span.name)
        currencies = [currency]
        groups = tuple(group for group in groups if group.currency == currency)
    owners = load_owners(home)
    scenario, catalog = fleet or scenario_of(home, snapshot)
    hosted = _hosted(scenario)
    hours = hours_of(snapshot, start, end)
    gpus = {key: supply.serving.gpus_count for key, (_, supply) in hosted.items()}
    servers = server_uses(snapshot, start, end, hours, gpus)
    teams = tuple(snapshot.gateway_use(start, end))
    by_model = _splits(busy_windows(snapshot, start, end, hours), servers, hosted, catalog)
    split_of = {model: best(found) for model, found in by_model.items()}
    return Books(
        month=span.name,
        span=span,
        basis=basis,
        balances=tuple(
            _with_bands(
                trial_balance(
                    month=span.name,
                    basis=basis,
                    currency=code,
                    groups=[group for group in groups if group.currency == code],
                    servers=servers,
                    teams=teams,
                    owners=owners,
                    instances=catalog.instances,
                    split_of=split_of,
                ),
                by_model,
            )
            for code in currencies
        ),
        groups=groups,
        capacity=tuple(gpu_capacity(group, catalog.instances) for group in groups),
        matches=match(groups, servers, owners),
        servers=servers,
        teams=teams,
        splits=by_model,
        owners=owners,
        statements=(),
        ledger=(),
    )


def _billed(groups: Iterable[ChargeGroup], currency: str) -> Decimal:
    return exact_sum(group.billed for group in groups if group.currency == currency)


def scenario_of(home: Home, snapshot: Snapshot) -> tuple[Scenario | None, Catalog]:
    """The home's scenario, or that of the sample beside sample data, with its calibrations; without one, the shipped
    catalogue alone."""
    path = home.scenario if home.scenario.exists() else SAMPLE_SCENARIO if snapshot.is_sample else None
    if path is None:
        return None, load_catalog()
    file = load_scenario(path, snapshot.published_at.date())
    return with_calibrations(file.today, file.catalog, home, Told.by(snapshot))[0], file.catalog


def usable_fleet(home: Home, snapshot: Snapshot) -> tuple[tuple[Scenario | None, Catalog], str]:
    """As `scenario_of`; without a scenario where its file cannot be used, and what is wrong with that: deployments then
    go by their keys."""
    try:
        return scenario_of(home, snapshot), ""
    except PermillionError as error:
        return (None, load_catalog()), f"{home.scenario.name} is not used: {str(error).rstrip('.')}."


def _hosted(scenario: Scenario | None) -> dict[str, tuple[Deployment, SelfHosted]]:
    found = scenario.deployments if scenario else ()
    return {item.key: (item, item.supply) for item in found if isinstance(item.supply, SelfHosted)}


# How their time divides -----------------------------------------------------------------------------------------------


def _splits(
    windows: Mapping[str, BusyWindows],
    servers: Sequence[ServerUse],
    hosted: Mapping[str, tuple[Deployment, SelfHosted]],
    catalog: Catalog,
) -> dict[str, tuple[TokenSplit, ...]]:
    """All methods for each model, best first."""
    found = {}
    for model in sorted({server.model_key for server in servers}):
        mine = [server for server in servers if server.model_key == model]
        deployment = next((hosted[s.deployment_key][0] for s in mine if s.deployment_key in hosted), None)
        facts = SplitFacts(
            busy_s=sum(server.busy_s for server in mine),
            computed_tokens=_total(mine, "computed_prompt_tokens") or 0.0,
            cached_tokens=_total(mine, "cached_prompt_tokens") or 0.0,
            generated_tokens=_total(mine, "generation_tokens") or 0.0,
            requests_count=_total(mine, "requests_count"),
            prefill_s=_total(mine, "prefill_s"),
            decode_s=_total(mine, "decode_s"),
            estimated_flop=_total(mine, "estimated_flop"),
            estimated_bytes=_total(mine, "estimated_bytes"),
            draft_tokens=_total(mine, "draft_tokens"),
            accepted_tokens=_total(mine, "accepted_tokens"),
            preemptions_count=_total(mine, "preemptions_count"),
            roofline=_roofline(deployment, catalog),
        )
        found[model] = splits(windows.get(model, BusyWindows.none()), facts)
    return found


def _with_bands(balance: TrialBalance, by_model: Mapping[str, tuple[TokenSplit, ...]]) -> TrialBalance:
    """The balance with the least and most that any method gives each class; models weigh what their work cost."""
    lines = [line for line in balance.lines if line.bucket in WORK_BUCKETS]
    work = {key: float(exact_sum(line.amount for line in lines if line.model_key == key)) for key in by_model}
    total = sum(work.values())
    if total <= 0:
        return balance
    bands: dict[str, tuple[float, float]] = {}
    for model, found in by_model.items():
        for bucket, (low, high) in band(found).items():
            least, most = bands.get(str(bucket), (0.0, 0.0))
            bands[str(bucket)] = (least + low * work[model] / total, most + high * work[model] / total)
    return replace(balance, bands=bands)


def _roofline(deployment: Deployment | None, catalog: Catalog) -> RooflineCoefficients | None:
    try:
        return None if deployment is None else roofline_coefficients(deployment, catalog)
    except DomainError:
        return None  # what the engine model cannot serve, it cannot split either; other methods do


def _total(servers: Iterable[ServerUse], name: str) -> float | None:
    """The sum over servers; None when one of them does not tell."""
    values = [getattr(server, name) for server in servers]
    return None if any(value is None for value in values) else float(sum(values))


# What people say ------------------------------------------------------------------------------------------------------


def statements(snapshot: Snapshot, month: str, groups: Sequence[ChargeGroup]) -> tuple[Statement, ...]:
    """Each account of the month beside its invoice total. Of totals that speak of one account the newest counts."""
    months, ledger = snapshot.months(), snapshot.ledger(month)
    states = {
        (row["provider"] or "", row["billing_account"] or "", row["currency"]): str(row["state"])
        for row in months[months["month"] == month].to_dict("records")
    }
    accounts = {(group.provider, group.billing_account, group.currency) for group in groups}
    left, found = set(accounts), []
    invoices = [entry for entry in ledger if entry.kind is LedgerKind.INVOICE and entry.at is not None]
    for entry in sorted(invoices, key=lambda entry: (entry.at, entry.entry_id), reverse=True):
        scope = {key for key in accounts if _speaks_of(entry, key)}
        if scope and scope <= left:
            found.append(_statement(scope, groups, states, entry))
            left -= scope
    found += [_statement({key}, groups, states, None) for key in left]
    return tuple(sorted(found, key=lambda item: (item.currency, item.provider, item.billing_account)))


def _speaks_of(entry: LedgerEntry, key: Account) -> bool:
    said = (entry.provider, entry.billing_account, entry.currency)
    return all(not wanted or wanted == found for wanted, found in zip(said, key, strict=True))


def _statement(
    scope: set[Account], groups: Sequence[ChargeGroup], states: Mapping[Account, str], entry: LedgerEntry | None
) -> Statement:
    mine = [group for group in groups if (group.provider, group.billing_account, group.currency) in scope]
    provider, account, currency = (
        min(scope) if entry is None else (entry.provider, entry.billing_account, entry.currency)
    )
    known = {states.get(key, OPEN) for key in scope}
    return Statement(
        provider=provider,
        billing_account=account,
        currency=currency,
        billed=exact_sum(group.billed for group in mine),
        invoice=None if entry is None else entry.amount,
        rounding_allowed=HALF_A_CENT * len({(g.provider, g.service_name, g.charge_category) for g in mine}),
        state=known.pop() if len(known) == 1 else OPEN,
    )
