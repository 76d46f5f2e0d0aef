"""How to buy a demand curve: what to commit to, for how long, what on spot and what on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from math import inf
from typing import Any

import numpy as np

from costlib.commitment import Commitment
from costlib.demand_curve import HOURS_PER_YEAR, DemandCurve, resting_on
from costlib.errors import DomainError
from costlib.estimate import Basis, Undefined
from costlib.purchase_terms import Market, Offer
from costlib.roofline import Floats
from costlib.spot import Spot
from costlib.units import SECONDS_PER_HOUR

REGRET_RATIOS = (0.7, 1.3)  # of the predicted load
LESSON_SHARE_FRACTION = 0.7  # "reserve 70 %"
_CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """One level of commitment and what it leads to, over the hours of the term.

    `usd_per_hour` is all that is paid, owned commitments apart; `mean_usd_per_gpu_hour` that over the need which they
    leave. Regret is what it costs more than the best level would, were the load so many times what is predicted.
    """

    label: str
    gpus_count: int
    usd_per_hour: float
    mean_usd_per_gpu_hour: float | Undefined
    saved_fraction: float  # of buying all of it on demand
    coverage_fraction: float | Undefined  # of the need that commitments and what is owned meet
    utilisation_fraction: float | Undefined  # of the commitment's hours that are used
    on_demand_gpu_hours: float
    spot_gpu_hours: float
    regret_low_fraction: float  # of the bill at 0.7 of the load
    regret_high_fraction: float  # at 1.3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """One offer at its best level, beside rules of thumb, and the bill at every level for drawing."""

    offer: Offer
    quantile_fraction: float | Undefined  # of the hours, by the closed form, without spot and price fall
    best: Mix
    rules: tuple[Mix, ...]
    level_gpus_count: Floats
    level_usd_per_hour: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PurchasePlan:
    """Every offer over its own term, the best first; and all that cannot be had or does not pay, in words."""

    gpu_key: str
    choices: tuple[Choice, ...]
    on_demand_usd_per_hour: float  # over the shortest term
    owned_usd_per_hour: float  # paid already, on the mean of the shortest term
    owned_unused_gpu_hours: float
    spot_usd_per_gpu_hour: float | Undefined  # with rework and hours on demand
    short_hours: int  # of the shortest term, in which the need is above all that can be had
    basis: Basis
    notes: tuple[str, ...]

    @property
    def chosen(self) -> Choice | None:
        """The offer that saves most an hour, None where none saves anything."""
        best = self.choices[0] if self.choices else None
        return best if best is not None and best.best.gpus_count and best.best.saved_fraction > _CLOSE else None


@dataclass(frozen=True, slots=True)
class _Hours:
    """What is left of the need in each hour of a term, and who meets it beyond a commitment."""

    need_count: Floats  # before what is owned
    rest_count: Floats  # after it
    firm_count: Floats  # of the rest, what may not run on spot
    usd_ratio: Floats  # hourly prices over those of the first hour
    usd_per_gpu_hour: float
    spot_usd_per_gpu_hour: float  # the on-demand price where spot is not used

    @property
    def count(self) -> int:
        return len(self.need_count)


def purchase_plan(
    curve: DemandCurve, market: Market, offers: Sequence[Offer], owned: Sequence[Commitment] = ()
) -> PurchasePlan:
    """Buy the need of `curve` at the least cost, with each offer over its own term.

    Equation   unit n is worth committing while  sum over hours of what it displaces > r T;  without spot and price
               fall while it is needed in more than r/p of hours: R* = the 1 - r/p quantile of need (newsvendor)
    Symbols    r offer, p on-demand price   T hours of the term; what is owned is used first
    Returns    a PurchasePlan; offers by what they save an hour
    Valid for  whole GPUs; a curve of hours to come, as long as the longest term (a shorter one is repeated); offers
               beside each other, not stacked: under a known curve the cheaper takes all, and the longer one adds
               the risk that load or prices fall
    Raises     DomainError for a curve that knows no hour
    Source     domain_math §8.3; Arrow, Harris and Marschak 1951 (newsvendor)
    Example    eight hours need 10, two need 30; a 40 % discount reserves the 10
    >>> need = np.array([10.0] * 8 + [30.0] * 2)
    >>> from datetime import UTC
    >>> curve = DemandCurve(label="chat", gpu_key="h100-sxm", start=datetime(2026, 11, 21, tzinfo=UTC),
    ...                     needed_gpus_count=need, basis=Basis.MEASURED)
    >>> plan = purchase_plan(curve, Market(usd_per_gpu_hour=3.50), [Offer(label="1 year", usd_per_gpu_hour=2.10)])
    >>> plan.chosen.best.gpus_count, round(plan.chosen.best.usd_per_hour, 2)
    (10, 35.0)
    """
    if not len(curve.known_gpus_count):
        raise DomainError(f"{curve.label}: no hour of the curve is known. Predict it first, or assume a shape.")
    notes = list(curve.notes)
    spot_usd, spot = _spot(market, notes)
    market = replace(market, spot=spot)
    found = []
    for offer in offers:
        hours = _hours(curve, market, owned, offer.term_hours)
        found.append(_choice(offer, hours, market))
        if offer.usd_per_gpu_hour >= market.usd_per_gpu_hour:
            notes.append(
                f"{offer.label}: at ${offer.usd_per_gpu_hour:,.2f} it is not below ${market.usd_per_gpu_hour:,.2f} on "
                "demand; it pays at no level."
            )
    shortest = _hours(curve, market, owned, min((offer.term_hours for offer in offers), default=HOURS_PER_YEAR))
    found.sort(key=lambda choice: (-choice.best.saved_fraction, choice.offer.term_hours))
    most = market.most_gpus_count + (found[0].best.gpus_count if found else 0)
    short = int((shortest.rest_count > most).sum())
    if short:
        notes.append(
            f"{curve.label} needs up to {int(shortest.need_count.max()):,} GPUs, more than can be had, in {short:,} "
            f"of {shortest.count:,} hours: {market.most_gpus_count:,} on demand beside commitments. Those hours are "
            "priced as if they could be bought."
        )
    alive = _owned_count(curve.start, shortest.count, curve.gpu_key, owned)
    prices = [one.usd_per_gpu_hour for one in owned if one.gpu_key == curve.gpu_key]
    return PurchasePlan(
        gpu_key=curve.gpu_key,
        choices=tuple(found),
        on_demand_usd_per_hour=_bill(shortest),
        owned_usd_per_hour=_owned_usd_per_hour(curve, shortest.count, owned) if prices else 0.0,
        owned_unused_gpu_hours=float(np.maximum(alive - shortest.need_count, 0).sum()),
        spot_usd_per_gpu_hour=spot_usd,
        short_hours=short,
        basis=resting_on([curve.basis], *(offer.basis for offer in offers)),
        notes=tuple(notes),
    )


def committed_gpus_count(need_count: Floats, offer_usd_per_gpu_hour: float, usd_per_gpu_hour: float) -> int:
    """How many GPUs to commit to, in closed form: without spot, steps or what is owned.

    Equation   the least R with P(need > R) <= r/p: the 1 - r/p quantile of the hours' need
    Returns    [1]; 0 where committing costs as much as buying by the hour, or more
    Raises     DomainError without an hour, or a price
    Source     domain_math §8.3, vector 17
    Example    at 60 % of the on-demand price, the 40th percentile
    >>> committed_gpus_count(np.arange(1.0, 101.0), 2.10, 3.50)
    40
    """
    if not len(need_count) or not usd_per_gpu_hour > 0 or not offer_usd_per_gpu_hour >= 0:
        raise DomainError("a commitment needs hours, an on-demand price above 0 and its own of 0 or more.")
    ratio = offer_usd_per_gpu_hour / usd_per_gpu_hour
    if ratio >= 1:
        return 0
    ordered = np.sort(np.ceil(need_count))
    place = int(np.ceil((1 - ratio) * len(ordered) - _CLOSE * len(ordered))) - 1
    return int(ordered[max(place, 0)])


def _spot(market: Market, notes: list[str]) -> tuple[float | Undefined, Spot | None]:
    """What spot costs with all that comes with it, and whether it is used."""
    if market.spot is None:
        return Undefined(reason="no spot price is known"), None
    own, on_demand = market.spot.mean_usd_per_gpu_hour(market.usd_per_gpu_hour), market.usd_per_gpu_hour
    if own >= on_demand:
        notes.append(
            f"Spot is not used: ${market.spot.usd_per_gpu_hour:,.2f} is "
            + (
                f"${own:,.2f} with work done again and hours without it"
                if own < inf
                else "never up long enough to work"
            )
            + f", not below ${on_demand:,.2f} on demand."
        )
        return (own if own < inf else Undefined(reason="interrupted before it does any work")), None
    return own, market.spot


def _hours(curve: DemandCurve, market: Market, owned: Sequence[Commitment], count: int) -> _Hours:
    known = np.ceil(np.nan_to_num(curve.needed_gpus_count, nan=float(np.nanmean(curve.needed_gpus_count))))
    need = np.resize(known, count)
    rest = np.maximum(need - _owned_count(curve.start, count, curve.gpu_key, owned), 0)
    spot, price = market.spot, market.usd_per_gpu_hour
    return _Hours(
        need_count=need,
        rest_count=rest,
        firm_count=_firm(need, rest, spot),
        usd_ratio=(1 - market.price_fall_fraction) ** (np.arange(count) / HOURS_PER_YEAR),
        usd_per_gpu_hour=price,
        spot_usd_per_gpu_hour=spot.mean_usd_per_gpu_hour(price) if spot else price,
    )


def _alive_hours(one: Commitment, start: datetime) -> float:
    """From `start` to the end of the commitment's last day."""
    end = datetime.combine(one.ends_on, time.min, UTC) + timedelta(days=1)
    return max(0.0, (end - start).total_seconds() / SECONDS_PER_HOUR)


def _owned_count(start: datetime, count: int, gpu_key: str, owned: Sequence[Commitment]) -> Floats:
    found = np.zeros(count)
    for one in owned:
        if one.gpu_key == gpu_key:
            found[: int(min(count, _alive_hours(one, start)))] += one.gpus_count
    return found


def _owned_usd_per_hour(curve: DemandCurve, count: int, owned: Sequence[Commitment]) -> float:
    return sum(
        one.gpus_count * one.usd_per_gpu_hour * min(count, _alive_hours(one, curve.start)) / count
        for one in owned
        if one.gpu_key == curve.gpu_key
    )


def level_usd_per_hour(hours: _Hours, offer_usd_per_gpu_hour: float) -> Floats:
    """The bill at every level from 0 to the peak, in one pass: what is displaced is summed by level, not by hour.

    Equation   cost(R) T = r R T + sum over n > R of [p h_firm(n) + e (h_any(n) - h_firm(n))]
               h(n) hours, weighted by their price, that need n or more
    """
    any_h, firm_h = (
        _at_least(need, hours.usd_ratio, hours.rest_count) for need in (hours.rest_count, hours.firm_count)
    )
    worth = hours.usd_per_gpu_hour * firm_h + hours.spot_usd_per_gpu_hour * (any_h - firm_h)
    beyond = np.concatenate((np.cumsum(worth[::-1])[::-1], [0.0])) / hours.count
    return np.asarray(offer_usd_per_gpu_hour * np.arange(len(beyond)) + beyond)


def _at_least(need: Floats, weight: Floats, longest: Floats) -> Floats:
    """Weight of the hours that need 1, 2, 3… or more."""
    most = int(longest.max()) if len(longest) else 0
    return np.asarray(np.cumsum(np.bincount(need.astype(int), weight, minlength=most + 1)[::-1])[::-1][1:])


def _bill(hours: _Hours) -> float:
    return float(level_usd_per_hour(hours, 0.0)[0])


def _best_level(bills: Floats, offer: Offer) -> int:
    """The cheapest level that is sold, the lowest of several; a whole step may reach beyond the peak."""
    steps = min(-(-(len(bills) - 1) // offer.step_count), offer.most_count // offer.step_count)
    sold = np.arange(steps + 1) * offer.step_count
    return int(sold[np.argmin(np.round(_at(bills, sold, offer), 9))])


def _choice(offer: Offer, hours: _Hours, market: Market) -> Choice:
    bills = level_usd_per_hour(hours, offer.usd_per_gpu_hour)
    scaled = (_scaled(hours, ratio, market) for ratio in REGRET_RATIOS)
    grids = [level_usd_per_hour(one, offer.usd_per_gpu_hour) for one in scaled]
    mean, median, peak = hours.rest_count.mean(), np.median(hours.rest_count), hours.rest_count.max()

    def mix(label: str, level: int) -> Mix:
        return _mix(label, level, offer, hours, bills, grids)

    ratio = offer.usd_per_gpu_hour / market.usd_per_gpu_hour
    return Choice(
        offer=offer,
        quantile_fraction=1 - ratio if ratio <= 1 else Undefined(reason="it costs more than buying by the hour"),
        best=mix("optimum", _best_level(bills, offer)),
        rules=(
            mix("all on demand", 0),
            mix("70 % of the mean (the 70/30 rule)", round(LESSON_SHARE_FRACTION * float(mean))),
            mix("the median (the P50 rule)", int(np.ceil(median))),
            mix("the peak", int(peak)),
        ),
        level_gpus_count=np.arange(len(bills), dtype=float),
        level_usd_per_hour=bills,
    )


def _scaled(hours: _Hours, ratio: float, market: Market) -> _Hours:
    """The same hours with so many times the need; what is owned stays."""
    owned = hours.need_count - hours.rest_count
    need = np.ceil(hours.need_count * ratio - _CLOSE)
    rest = np.maximum(need - owned, 0)
    return replace(hours, need_count=need, rest_count=rest, firm_count=_firm(need, rest, market.spot))


def _firm(need: Floats, rest: Floats, spot: Spot | None) -> Floats:
    """What is left for on demand once spot has taken the share of the need that may be interrupted."""
    share = spot.share_fraction if spot else 0.0
    return np.asarray(np.maximum(rest - np.floor(share * need + _CLOSE), 0))


def _mix(label: str, level: int, offer: Offer, hours: _Hours, bills: Floats, grids: Sequence[Floats]) -> Mix:
    usd = float(_at(bills, level, offer))
    used = np.minimum(hours.rest_count, level)
    needed, owned_used = hours.need_count.sum(), (hours.need_count - hours.rest_count).sum()
    firm = np.maximum(hours.firm_count - level, 0).sum()
    rest = float(hours.rest_count.sum())
    low, high = (_regret_fraction(grid, level, offer) for grid in grids)
    nothing = Undefined(reason="nothing is needed in any hour")
    return Mix(
        label=label,
        gpus_count=level,
        usd_per_hour=usd,
        mean_usd_per_gpu_hour=usd * hours.count / rest if rest else nothing,
        saved_fraction=1 - usd / float(bills[0]) if bills[0] else 0.0,
        coverage_fraction=float((owned_used + used.sum()) / needed) if needed else nothing,
        utilisation_fraction=float(used.mean() / level) if level else Undefined(reason="nothing is committed"),
        on_demand_gpu_hours=float(firm),
        spot_gpu_hours=float(np.maximum(hours.rest_count - level, 0).sum() - firm),
        regret_low_fraction=low,
        regret_high_fraction=high,
    )


def _regret_fraction(bills: Floats, level: int, offer: Offer) -> float:
    """What this level costs more than the best of these bills, over the best."""
    best = float(_at(bills, _best_level(bills, offer), offer))
    return max(0.0, float(_at(bills, level, offer)) / best - 1) if best else 0.0


def _at(bills: Floats, level: Any, offer: Offer) -> Floats:
    """The bill at these levels; above the peak they buy nothing more."""
    peak = len(bills) - 1
    return np.asarray(bills[np.minimum(level, peak)] + np.maximum(np.asarray(level) - peak, 0) * offer.usd_per_gpu_hour)
