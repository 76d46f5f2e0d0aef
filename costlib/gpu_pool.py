"""Deployments on one kind of GPU as one pool: what it needed by hour, with the model's range, and how to buy it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from costlib.catalog import Catalog
from costlib.demand_curve import (
    MOST_GPUS_COUNT,
    MOST_HOURS,
    DemandCurve,
    HourlyLoad,
    demand_curve,
    predicted,
    together,
)
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.pricing import price_at
from costlib.project import step_band
from costlib.purchase_mix import PurchasePlan, purchase_plan
from costlib.purchase_offers import market_for, offers_for
from costlib.purchase_terms import Market, Offer
from costlib.replica import solve_replica
from costlib.replica_unit import ReplicaUnit, replica_unit
from costlib.roofline import Floats
from costlib.scenario import Deployment, Scenario, SelfHosted

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Needed:
    """One deployment hour by hour: its load, and the GPUs that the model says it needs; `low` and `high` where its
    steps are as short or as long as P10 and P90 of the model's error."""

    unit: ReplicaUnit
    load: HourlyLoad
    curve: DemandCurve
    low_gpus_count: Floats
    high_gpus_count: Floats

    @property
    def key(self) -> str:
        return self.unit.deployment_key

    @property
    def is_measured(self) -> bool:
        return self.load.basis is Basis.MEASURED

    @property
    def has_hours(self) -> bool:
        """Hours of its own, measured or of a file, and not a day that is assumed."""
        return self.is_measured or bool(self.load.file_name)

    @property
    def work_gpus_count(self) -> Floats:
        """GPUs of work in each hour, before whole replicas are made of it."""
        carried = self.unit.capacity_requests_per_s * self.unit.target_busy_fraction
        return np.asarray(self.load.requests_per_s / carried * self.unit.gpus_count)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Every deployment on one kind of GPU, over the same hours: what one commitment covers."""

    members: tuple[Needed, ...]
    curve: DemandCurve
    low_gpus_count: Floats
    high_gpus_count: Floats

    @property
    def gpu_key(self) -> str:
        return self.curve.gpu_key

    @property
    def work(self) -> HourlyLoad:
        """GPUs of work as a load, for its shape by hour of the week and its growth; not in requests per second."""
        return HourlyLoad(
            deployment_key=self.curve.label,
            start=self.curve.start,
            requests_per_s=np.sum([one.work_gpus_count for one in self.members], axis=0),
            basis=self.curve.basis,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How GPUs may be bought. What is None or left out is listed, measured or assumed."""

    offers: tuple[Offer, ...] = ()
    growth_ratio: float | None = None  # a week's over the week before
    spot_share_fraction: float = 0.0
    spot_usd_per_gpu_hour: float | None = None
    spot_uptime_hours: float = 20.0
    most_gpus_count: int = MOST_GPUS_COUNT  # on demand, beside commitments
    start_s: float = 180.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bought:
    """A pool over the longest term, and how to buy it."""

    curve: DemandCurve
    market: Market
    plan: PurchasePlan


def needed(deployment: Deployment, scenario: Scenario, catalog: Catalog, load: HourlyLoad) -> Needed:
    """What one deployment needs in each hour of a load.

    Equation   `demand_curve`; low and high with X of steps that are as short and as long as `project.step_band`
    Returns    Needed
    Valid for  what `replica_unit` is; a stated throughput has no range
    Raises     DomainError for one that is bought by the token; DoesNotFit
    """
    unit = replica_unit(deployment, scenario, catalog)
    low, high = (
        demand_curve(load, replace(unit, capacity_requests_per_s=unit.capacity_requests_per_s * ratio))
        for ratio in _capacity_ratios(deployment, catalog)
    )
    return Needed(
        unit=unit,
        load=load,
        curve=demand_curve(load, unit),
        low_gpus_count=low.needed_gpus_count,
        high_gpus_count=high.needed_gpus_count,
    )


def pools(every: Sequence[Needed]) -> tuple[Pool, ...]:
    """One pool for each kind of GPU. Raises DomainError where deployments cover different hours (see `aligned`)."""
    found = []
    for gpu_key in dict.fromkeys(one.unit.gpu_key for one in every):
        mine = tuple(one for one in every if one.unit.gpu_key == gpu_key)
        (curve,) = together([one.curve for one in mine])
        found.append(
            Pool(
                members=mine,
                curve=curve,
                # One engine model: where it is wrong, it is so for all of them.
                low_gpus_count=np.sum([one.low_gpus_count for one in mine], axis=0),
                high_gpus_count=np.sum([one.high_gpus_count for one in mine], axis=0),
            )
        )
    return tuple(found)


def aligned(loads: Sequence[HourlyLoad]) -> tuple[HourlyLoad, ...]:
    """The same loads over the same hours, from where the first begins to where the last ends; the rest is not known.

    Raises DomainError where they lie more than MOST_HOURS apart.

    >>> from datetime import UTC
    >>> short, long = (HourlyLoad(deployment_key="a", start=datetime(2026, 11, 16, hour, tzinfo=UTC),
    ...                           requests_per_s=np.ones(4 - hour), basis=Basis.MEASURED) for hour in (2, 0))
    >>> [load.requests_per_s.tolist() for load in aligned([short, long])]
    [[nan, nan, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    if not loads:
        return ()
    start, end = min(load.start for load in loads), max(load.end for load in loads)
    count = round((end - start) / _HOUR)
    if count > MOST_HOURS:
        raise DomainError(
            f"hours of these deployments lie from {start:%Y-%m-%d} to {end:%Y-%m-%d}; {MOST_HOURS:,} hours at most. "
            "Import traffic of the days that the others were measured on."
        )
    found = []
    for load in loads:
        hours = np.full(count, np.nan)
        first = round((load.start - start) / _HOUR)
        hours[first : first + len(load.requests_per_s)] = load.requests_per_s
        found.append(replace(load, start=start, requests_per_s=hours))
    return tuple(found)


def bought(pool: Pool, scenario: Scenario, catalog: Catalog, terms: Terms) -> Bought:
    """How to buy a pool from the end of its history on.

    Equation   `demand_curve.predicted` over the longest term, `purchase_mix.purchase_plan`; deployments that pay
               different prices for one GPU at their mean, by what they need of it
    Returns    Bought
    Raises     DomainError where a history knows less than half of its hours
    """
    weights = [max(one.curve.mean_gpus_count, 1e-9) for one in pool.members]
    paid = sum(weight * one.unit.usd_per_gpu_hour for weight, one in zip(weights, pool.members, strict=True))
    price = paid / sum(weights)
    provider = _provider(scenario, {one.key for one in pool.members}, catalog)
    offers = terms.offers or offers_for(pool.gpu_key, provider, price, catalog, scenario.as_of)
    start = max(one.load.end for one in pool.members)
    hours = max(offer.term_hours for offer in offers)
    curves = [
        demand_curve(_from(one.load, start, hours, terms.growth_ratio), one.unit) for one in pool.members
    ]  # fmt: skip
    (curve,) = together(curves)
    market = market_for(
        pool.gpu_key, provider, price, catalog, scenario.as_of,
        spot_usd_per_gpu_hour=terms.spot_usd_per_gpu_hour, spot_share_fraction=terms.spot_share_fraction,
        mean_request_s=max(one.unit.mean_request_s for one in pool.members), start_s=terms.start_s,
    )  # fmt: skip
    if market.spot is not None:
        market = replace(market, spot=replace(market.spot, mean_uptime_hours=terms.spot_uptime_hours))
    market = replace(market, most_gpus_count=terms.most_gpus_count)
    return Bought(curve=curve, market=market, plan=purchase_plan(curve, market, offers, scenario.commitments))


def owned_gpus_count(scenario: Scenario, gpu_key: str, at: datetime) -> float:
    """GPUs of this kind that are committed to at a moment."""
    return sum(one.gpus_count for one in scenario.commitments if one.gpu_key == gpu_key and one.ends_on >= at.date())


def _capacity_ratios(deployment: Deployment, catalog: Catalog) -> tuple[float, float]:
    """Capacity over the model's where steps are as short, and as long, as its error lets them be."""
    hosted, work = deployment.supply, deployment.workload
    if not isinstance(hosted, SelfHosted):
        raise DomainError(f"{deployment.key} is bought by the token: it needs no GPUs.")
    if hosted.stated_tokens_per_s is not None:
        return 1.0, 1.0
    model, gpu = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key)
    constants = catalog.engine.resolve(model, gpu, hosted.serving, fitted=hosted.fitted)
    replica = solve_replica(model, gpu, hosted.serving, work, constants, deployment.max_tpot_s)
    short, long = step_band(deployment, hosted, constants, replica.batch_count, catalog)[0]
    own = replica.capacity_requests_per_s
    least = replica.capacity_if(long)
    return replica.capacity_if(short) / own, (least if least > 0 else own / long) / own


def _from(load: HourlyLoad, start: datetime, hours: int, growth: float | None) -> HourlyLoad:
    """The hours from `start` on: a history that ends earlier is carried on to where the newest ends."""
    known = load.seen()
    ahead = round((start - known.end) / _HOUR)
    found = predicted(known, ahead + hours, growth)
    return replace(found, start=start, requests_per_s=found.requests_per_s[ahead:])


def _provider(scenario: Scenario, keys: set[str], catalog: Catalog) -> str:
    """Of the first price that one of these is bought at; "" for stated ones."""
    for one in scenario.deployments:
        if one.key in keys and isinstance(one.supply, SelfHosted) and one.supply.purchase.shares:
            return price_at(catalog.gpu_prices, one.supply.purchase.shares[0][0], scenario.as_of).provider
    return ""
