"""What a product would cost before it runs: ranges in, a distribution out, an API and our own GPUs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from math import inf, sqrt

import numpy as np

from costlib.catalog import Catalog
from costlib.errors import DomainError
from costlib.estimate_options import ApiOption, ApiPricer, HostOption, HostPricer, Pricer
from costlib.ranges import Range
from costlib.roofline import Floats
from costlib.sobol import VarianceShare, variance_shares
from costlib.units import HOURS_PER_DAY, HOURS_PER_MONTH, MEGA
from costlib.usage_volume import Volume, volume

DRAWS = 100_000
MOST_DRAWS = int(MEGA)
SHARE_DRAWS = 8_192  # of each of the two samples behind the shares of variance
CURVE = tuple(percent / 100 for percent in range(1, 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent in a month, and from which chance of more on to look again, and to stop."""

    usd_per_month: float
    watch_fraction: float = 0.1
    stop_fraction: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.usd_per_month < inf:
            raise DomainError(f"a budget is above 0 USD per month, not {self.usd_per_month}.")
        if not 0 <= self.watch_fraction <= self.stop_fraction <= 1:
            raise DomainError(
                "watch_fraction and stop_fraction are chances from 0 to 1, the first not above the other."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """Everything that an estimate is made of. `plan` is what somebody counted on before, by factor: as it was said."""

    label: str
    factors: Mapping[str, Range]  # every factor of usage_volume.FACTORS
    options: tuple[ApiOption | HostOption, ...]
    as_of: date
    days_count: float = HOURS_PER_MONTH / HOURS_PER_DAY
    draws_count: int = DRAWS
    seed: int = 0
    budget: Budget | None = None
    plan: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.days_count <= 31:
            raise DomainError(f"days_per_month must be above 0 and at most 31, not {self.days_count}.")
        if not 1_000 <= self.draws_count <= MOST_DRAWS:
            raise DomainError(f"draws must be from 1,000 to {MOST_DRAWS:,}, not {self.draws_count}.")
        if self.seed < 0:
            raise DomainError(f"seed must be 0 or more, not {self.seed}.")
        if not self.options:
            raise DomainError("an estimate needs something to price: an [[api]] or a [[self_host]] table.")


class Verdict(StrEnum):
    PASS = "pass"
    WATCH = "watch"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The chance of spending more than the budget, and what follows."""

    verdict: Verdict
    exceeds_fraction: float
    error_fraction: float  # one standard error of that chance, from the number of draws


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOption:
    """One way to buy it, over all draws. `why` says why there are no figures, or which draws have none.

    `likely` is with every factor at its mode; a self-hosted one's by `project()` itself. `curve_usd_per_month` are P1
    to P99. `cannot_fraction` of the draws cannot run and are in no other figure.
    """

    name: str
    is_api: bool
    likely_usd_per_month: float | None = None
    mean_usd_per_month: float | None = None
    p10_usd_per_month: float | None = None
    p50_usd_per_month: float | None = None
    p90_usd_per_month: float | None = None
    p99_usd_per_month: float | None = None
    p50_user_month_usd: float | None = None  # for one user
    likely_day_usd: float | None = None
    curve_usd_per_month: tuple[float, ...] = ()
    shares: tuple[VarianceShare, ...] = ()
    gate: Gate | None = None
    cheapest_fraction: float = 0.0  # of the draws in which it costs least
    cannot_fraction: float = 0.0
    p50_replicas_count: float | None = None
    p90_replicas_count: float | None = None
    why: str = ""

    def days_to(self, usd: float) -> float | None:
        """Days in which the likely cost adds up to an amount; None where there is none."""
        return usd / self.likely_day_usd if self.likely_day_usd else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStep:
    """One factor from what was planned to what is likely, after those before it; costs are of the first option."""

    factor: str
    planned: str
    likely: str
    usd_per_month: float
    added_usd_per_month: float
    day_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What comes out. Volumes are P50 and P90 of a month."""

    label: str
    draws_count: int
    seed: int
    days_count: float
    p50_requests_count: float
    p90_requests_count: float
    p50_input_tokens: float
    p90_input_tokens: float
    p50_cached_tokens: float
    p90_cached_tokens: float
    p50_output_tokens: float
    p90_output_tokens: float
    options: tuple[PricedOption, ...]
    budget: Budget | None
    planned_usd_per_month: float | None  # of the first option, by the plan
    planned_day_usd: float | None
    plan_steps: tuple[PlanStep, ...]


def estimate(of: Estimator, catalog: Catalog) -> Estimated:
    """Draw every factor, price every option in every draw.

    Equation   `usage_volume.volume`;  API  sum of tokens x price x (1 - b (1 - batch price ratio))
               self-hosted  F + max(min, ceil(peak rate / (X U))) g p h,  peak = mean x max(1, (1 - b) peak to mean)
               shares of variance: Sobol' indices of log cost (`sobol.variance_shares`)
    Symbols    b batch_fraction   X of `capacity_curve` at the draw's own prompt, answer and cached share
               U target_busy_fraction   g GPUs   p USD per GPU-hour   h hours   F operations
    Returns    Estimated; the same seed and factors give the same figures, and a factor's draws do not hang on others
    Valid for  independent factors, and prices and step times as they are: their own doubt is not drawn
    Raises     DomainError where nothing is asked, or a self-hosted option's price is not known
    Source     domain_math §11; docs/estimator.md
    """
    varied = [key for key, one in of.factors.items() if not one.is_known]
    drawn = _drawn(of, of.draws_count, 0)
    month = volume(drawn, of.days_count)
    if not float(month.requests_count.min()) > 0:
        raise DomainError("some draws ask for nothing: users, sessions, growth and environments must be above 0.")
    likely = {key: np.array([one.mode]) for key, one in of.factors.items()}
    samples = _drawn(of, SHARE_DRAWS, 1), _drawn(of, SHARE_DRAWS, 2)
    pricers = [_pricer(option, of, month, catalog) for option in of.options]
    costs = [np.full(of.draws_count, np.nan) if isinstance(one, str) else one(drawn) for one in pricers]
    every = np.array([np.where(np.isfinite(cost), cost, inf) for cost in costs])
    least = np.isfinite(every.min(axis=0))
    first = every.argmin(axis=0)
    options = tuple(
        PricedOption(name=option.name, is_api=isinstance(option, ApiOption), why=pricer, cannot_fraction=1.0)
        if isinstance(pricer, str)
        else _priced(
            option, of, pricer, cost, drawn, samples, varied, likely,
            cheapest_fraction=float(np.mean((first == place) & least)),
        )
        for place, (option, pricer, cost) in enumerate(zip(of.options, pricers, costs, strict=True))
    )  # fmt: skip
    steps = tuple(_plan_steps(of, pricers[0], likely))
    planned = steps[0].usd_per_month - steps[0].added_usd_per_month if steps else None
    return Estimated(
        label=of.label,
        draws_count=of.draws_count,
        seed=of.seed,
        days_count=of.days_count,
        **{
            f"p{percent}_{name}": float(np.quantile(getattr(month, name), percent / 100))
            for name in ("requests_count", "input_tokens", "cached_tokens", "output_tokens")
            for percent in (50, 90)
        },
        options=options,
        budget=of.budget,
        planned_usd_per_month=planned,
        planned_day_usd=None if planned is None else planned / of.days_count,
        plan_steps=steps,
    )


def _drawn(of: Estimator, count: int, sample: int) -> dict[str, Floats]:
    """Every factor has a stream of its own, by its place in the table: another range elsewhere changes nothing here."""
    return {
        key: one.draws(count, np.random.default_rng([of.seed, sample, place]))
        for place, (key, one) in enumerate(of.factors.items())
    }


def _pricer(option: ApiOption | HostOption, of: Estimator, month: Volume, catalog: Catalog) -> Pricer | str:
    """What prices a draw, or why nothing can."""
    if isinstance(option, ApiOption):
        return ApiPricer(option, of.days_count)
    try:
        return HostPricer(option, of.days_count, of.as_of, month, catalog)
    except DomainError as error:
        return str(error)


def _priced(
    option: ApiOption | HostOption,
    of: Estimator,
    pricer: Pricer,
    cost: Floats,
    drawn: Mapping[str, Floats],
    samples: tuple[Mapping[str, Floats], Mapping[str, Floats]],
    varied: Sequence[str],
    likely: Mapping[str, Floats],
    cheapest_fraction: float,
) -> PricedOption:
    able = np.isfinite(cost)
    found = PricedOption(
        name=option.name,
        is_api=isinstance(option, ApiOption),
        cheapest_fraction=cheapest_fraction,
        cannot_fraction=float(1 - able.mean()),
        why="" if able.all() else f"{1 - able.mean():.1%} of the draws ask for more than this can run, and are in no "
        "figure",
    )  # fmt: skip
    if not able.any():
        return found
    held = cost[able]
    curve = tuple(float(edge) for edge in np.quantile(held, CURVE))
    middle = pricer.likely(likely)
    replicas = pricer.replicas(drawn)[able] if isinstance(pricer, HostPricer) else None
    return replace(
        found,
        likely_usd_per_month=middle,
        likely_day_usd=None if middle is None else middle / of.days_count,
        mean_usd_per_month=float(held.mean()),
        p10_usd_per_month=curve[9],
        p50_usd_per_month=curve[49],
        p90_usd_per_month=curve[89],
        p99_usd_per_month=curve[98],
        p50_user_month_usd=float(np.quantile(held / drawn["users_count"][able], 0.5)),
        curve_usd_per_month=curve,
        # Draws that all pay for the same replicas have no spread to share; the rare other one is none either.
        shares=_shares(pricer, samples, varied) if curve[-1] > curve[0] else (),
        gate=None if of.budget is None else gate(cost, of.budget),
        p50_replicas_count=None if replicas is None else float(np.quantile(replicas, 0.5)),
        p90_replicas_count=None if replicas is None else float(np.quantile(replicas, 0.9)),
    )


def _shares(
    pricer: Pricer, samples: tuple[Mapping[str, Floats], Mapping[str, Floats]], varied: Sequence[str]
) -> tuple[VarianceShare, ...]:
    """Empty where nothing varies, or costs nothing."""

    def log_cost(of: Mapping[str, Floats]) -> Floats:
        cost = pricer(of)
        return np.asarray(np.log(np.where(cost > 0, cost, np.nan)))

    try:
        return variance_shares(log_cost, *samples, varied) if varied else ()
    except DomainError:
        return ()


def gate(cost_usd: Floats, budget: Budget) -> Gate:
    """Pass, watch or stop by the chance of exceeding the budget.

    Equation   q = share of draws above the budget; a draw that cannot run counts as above
    Returns    Gate; its standard error is sqrt(q (1 - q) / draws)
    Source     domain_math §11
    Example    three draws of four are above
    >>> found = gate(np.array([1.0, 20.0, 30.0, 40.0]), Budget(usd_per_month=10.0))
    >>> str(found.verdict), found.exceeds_fraction
    ('stop', 0.75)
    """
    above = float(1 - np.mean(cost_usd <= budget.usd_per_month))
    verdict = Verdict.PASS if above < budget.watch_fraction else Verdict.WATCH
    return Gate(
        verdict=Verdict.STOP if above >= budget.stop_fraction else verdict,
        exceeds_fraction=above,
        error_fraction=sqrt(above * (1 - above) / len(cost_usd)),
    )


def _plan_steps(of: Estimator, pricer: Pricer | str, likely: Mapping[str, Floats]) -> Iterator[PlanStep]:
    """From the plan to what is likely, one factor after the other in the plan's order."""
    if isinstance(pricer, str) or not of.plan:
        return
    now = {**likely, **{key: np.array([value]) for key, value in of.plan}}
    before = pricer.likely(now)
    for key, planned in of.plan:
        now[key] = likely[key]
        after = pricer.likely(now)
        if before is None or after is None:
            return
        yield PlanStep(
            factor=key,
            planned=f"{planned:,.6g}",
            likely=f"{float(likely[key][0]):,.6g}",
            usd_per_month=after,
            added_usd_per_month=after - before,
            day_usd=after / of.days_count,
        )
        before = after
