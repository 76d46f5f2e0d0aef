"""A stack of levers against today: solved jointly, attributed fairly, cash apart from capacity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np

from costlib.catalog import Catalog
from costlib.engine import EngineConstants
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.evidence import Evaluation, accepted_of_all, least_accepted_fraction
from costlib.fleet_cost import usd_per_month
from costlib.floor import least_usd_per_month
from costlib.lever import Lever, Refusal, Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.project import project
from costlib.projection import Projection
from costlib.scenario import Scenario
from costlib.units import SECONDS_PER_HOUR

CENT_USD = 0.01
MOST_EXACT = 8  # levers whose every subset is solved
SAMPLED_ORDERS = 48
Subset = frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """What two levers change together beyond what each does alone; above zero they get in each other's way."""

    first: str
    second: str
    usd_per_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`changes` are USD per month by lever, negative is less spend; they sum to scenario minus today.

    `saved_usd_per_month` is cash: what the bill falls by. `capacity_freed_fraction` is what the work no longer needs,
    before rounding to whole replicas; it is not money until replicas go. `alone` is what each lever would change by
    itself: nothing where it cannot run by itself.
    """

    today: Projection
    scenario: Projection
    changed: Scenario
    changes: tuple[tuple[str, float], ...]
    alone: tuple[tuple[str, float], ...]
    interactions: tuple[Interaction, ...]
    refusals: tuple[tuple[str, Refusal], ...]
    evaluations: tuple[tuple[str, Evaluation], ...]  # of the levers that change answers
    saved_usd_per_month: float
    capacity_freed_fraction: float | Undefined
    unit_cost_ratio: float | Undefined  # today's blended $ per M tokens over the scenario's
    usd_per_answer: tuple[float | Undefined, float | Undefined]  # today's and the scenario's, whether accepted or not
    floor_usd_per_month: float  # of the scenario, by the data sheets of its GPUs
    is_sampled: bool  # changes are averages over some orders of the levers, not over all

    @property
    def net_saved_usd_per_month(self) -> float:
        """Cash saved, less what wrong answers are expected to lose more than today."""
        added = self.scenario.wrong_answers_usd_per_month - self.today.wrong_answers_usd_per_month
        return self.saved_usd_per_month - added

    @property
    def saved_fraction(self) -> float:
        """Of today's bill, solved jointly."""
        spent = self.today.usd_per_month.mid
        return self.saved_usd_per_month / spent if spent else 0.0

    @property
    def naive_saving_fraction(self) -> float:
        """What multiplying each lever's own percentage would promise; shown beside, never used.

        Equation   1 - product of (1 - s),  s the share each lever saves alone
        """
        spent = self.today.usd_per_month.mid
        return 1 - prod(1 + change / spent for _, change in self.alone) if spent else 0.0

    @property
    def unproven(self) -> tuple[str, ...]:
        """Levers that change answers and were not evaluated: what they save is not proven."""
        return tuple(key for key, evaluation in self.evaluations if not evaluation.is_proof)

    @property
    def unproven_usd_per_month(self) -> float:
        """The part of what is saved that hangs on levers without evidence."""
        return -sum(change for key, change in self.changes if key in self.unproven)

    @property
    def accepted_fraction(self) -> float | Undefined:
        """Answers still accepted, at the least that the evaluations are sure of."""
        if self.unproven:
            names = ", ".join(lever_of(key).label for key in self.unproven)
            return Undefined(reason=f"not evaluated: {names}")
        return accepted_of_all(
            least_accepted_fraction(one.accepted_fraction, one.evaluated_count) for _, one in self.evaluations
        )

    @property
    def usd_per_accepted_answer(self) -> float | Undefined:
        """What an answer costs that is still accepted: those that are not are paid for too.

        Equation   (USD per month / answers per month) / accepted
        """
        each, accepted = self.usd_per_answer[1], self.accepted_fraction
        if isinstance(each, Undefined) or isinstance(accepted, Undefined):
            return each if isinstance(each, Undefined) else accepted
        return each / accepted if accepted else Undefined(reason="no answer is proven to be accepted")

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each lever that does nothing or harm to the bill, and one where wrong answers eat the rest."""
        found = []
        for key, change in self.changes:
            if change > CENT_USD / 2:
                found.append(f"{lever_of(key).label} costs ${change:,.2f} a month more here.")
            elif change > -CENT_USD / 2:
                found.append(f"{lever_of(key).label} changes nothing on this bill.")
        if self.net_saved_usd_per_month < 0 < self.saved_usd_per_month:
            found.append("Wrong answers are expected to lose more than the bill falls by.")
        if self.scenario.usd_per_month.mid < self.floor_usd_per_month and not self.changed.commitments:
            found.append(
                f"The scenario is priced below what the data sheets of its GPUs allow, "
                f"${self.floor_usd_per_month:,.0f} a month: check stated_tokens_per_s."
            )
        return tuple(found)


def compare(
    today: Scenario,
    settings: Mapping[str, Values],
    catalog: Catalog,
    constants: EngineConstants | None = None,
) -> Comparison:
    """Apply levers to `today` together, solve again, and split the change among them.

    Equation   change_i = mean over all orders of the levers of  cost(those before i, and i) - cost(those before i)
    Returns    a Comparison; refused levers and levers at rest are left out of the stack
    Valid for  up to 8 levers exactly, in 2^n projections; more by the mean of 48 orders drawn with a fixed seed, which
               still sums exactly. A subset that does not fit counts as no change
    Raises     ConfigError for an unknown lever or value; DoesNotFit when today or the whole stack does not fit
    Source     Shapley 1953; Castro et al. 2009 (sampling); domain_math §9
    """
    checked = {key: lever_of(key).check_values(values, today, catalog) for key, values in settings.items()}
    after_scenario, pulled, refusals = pull(today, checked, catalog)
    edited = {key: checked[key] for key in pulled}
    before, after = project(today, catalog, constants), project(after_scenario, catalog, constants)

    orders = None if len(pulled) <= MOST_EXACT else _sampled_orders(pulled)
    costs = _costs(today, edited, _subsets(pulled, orders), catalog, constants)
    costs = {subset: before.usd_per_month.mid if np.isnan(cost) else cost for subset, cost in costs.items()}
    costs |= {frozenset(): before.usd_per_month.mid, frozenset(pulled): after.usd_per_month.mid}
    shares = shapley(pulled, costs.__getitem__) if orders is None else _mean_of_orders(orders, costs)

    freed: float | Undefined = Undefined(reason="today needs no GPUs")
    if before.needed_gpus_ratio:
        freed = 1 - after.needed_gpus_ratio / before.needed_gpus_ratio
    return Comparison(
        today=before,
        scenario=after,
        changed=after_scenario,
        changes=tuple((key, shares[key]) for key in pulled),
        alone=tuple((key, costs[frozenset({key})] - costs[frozenset()]) for key in pulled),
        interactions=_interactions(pulled, costs),
        refusals=refusals,
        evaluations=tuple(
            (
                key,
                Evaluation(
                    accepted_fraction=checked[key]["accepted_fraction"],
                    evaluated_count=checked[key]["evaluated_count"],
                ),
            )
            for key in pulled
            if lever_of(key).changes_answers
        ),
        saved_usd_per_month=before.usd_per_month.mid - after.usd_per_month.mid,
        capacity_freed_fraction=freed,
        unit_cost_ratio=_ratio(before.usd_per_mtok_blended, after.usd_per_mtok_blended),
        usd_per_answer=(_per_answer(before, today), _per_answer(after, after_scenario)),
        floor_usd_per_month=least_usd_per_month(after_scenario, catalog),
        is_sampled=orders is not None,
    )


def pull(
    today: Scenario, checked: Mapping[str, Values], catalog: Catalog
) -> tuple[Scenario, tuple[str, ...], tuple[tuple[str, Refusal], ...]]:
    """Levers applied in stage order, each seen after those before it; those that refuse are left out.

    Returns    the scenario they make; the keys of those pulled; why the others cannot be
    Valid for  values that passed `check_values`; levers at rest are neither pulled nor refused
    Raises     DomainError where an edit contradicts the scenario it finds
    """
    scenario = today
    pulled: list[str] = []
    refusals: list[tuple[str, Refusal]] = []
    for lever in _moved(checked):
        if refusal := lever.refuse(scenario, checked[lever.key], catalog):
            refusals.append((lever.key, refusal))
        else:
            pulled.append(lever.key)
            scenario = lever.apply(scenario, checked[lever.key], catalog)
    return scenario, tuple(pulled), tuple(refusals)


def apply_levers(today: Scenario, checked: Mapping[str, Values], catalog: Catalog) -> Scenario:
    """`today` after levers that `pull` let through, their values drawn anew: none is asked whether it can be."""
    scenario = today
    for lever in _moved(checked):
        scenario = lever.apply(scenario, checked[lever.key], catalog)
    return scenario


def _moved(checked: Mapping[str, Values]) -> Iterator[Lever]:
    """Those that are not at rest, in the order that they are applied in."""
    return (lever for lever in LEVERS if lever.key in checked and not lever.is_neutral(checked[lever.key]))


def shapley(players: Sequence[str], value: Callable[[Subset], float]) -> dict[str, float]:
    """Each player's average marginal contribution over all orders; sums to value(all) - value(none).

    >>> shapley(["a", "b"], lambda s: {"": 0, "a": -4, "b": -2, "ab": -5}["".join(sorted(s))])
    {'a': -3.5, 'b': -1.5}
    """
    n = len(players)
    shares = {}
    for player in players:
        others = [p for p in players if p != player]
        shares[player] = sum(
            factorial(size) * factorial(n - size - 1) / factorial(n)
            * (value(frozenset(subset) | {player}) - value(frozenset(subset)))
            for size in range(n)
            for subset in combinations(others, size)
        )  # fmt: skip
    return shares


def _sampled_orders(players: Sequence[str]) -> list[tuple[str, ...]]:
    """Orders to average over, each with its reverse: what is lost of one end is won at the other."""
    chance = np.random.default_rng(0)
    drawn = [tuple(players[at] for at in chance.permutation(len(players))) for _ in range(SAMPLED_ORDERS // 2)]
    return [order for one in drawn for order in (one, one[::-1])]


def _subsets(pulled: Sequence[str], orders: list[tuple[str, ...]] | None) -> list[Subset]:
    """Whose cost is needed: each lever alone and each pair, and what the orders pass through. In an order that is the
    same every time, as sums of floats are only then."""
    sizes = range(len(pulled) + 1) if orders is None else (1, 2)
    found = [subset for size in sizes for subset in combinations(pulled, size)]
    found += [order[:end] for order in orders or () for end in range(len(order) + 1)]
    return list(dict.fromkeys(map(frozenset, found)))


def _costs(
    today: Scenario,
    edited: Mapping[str, Values],
    subsets: Sequence[Subset],
    catalog: Catalog,
    constants: EngineConstants | None,
) -> dict[Subset, float]:
    """The bill of today with only these levers pulled. Each edit is made once for all that go on from it."""
    made: dict[tuple[str, ...], Scenario | None] = {(): today}

    def with_levers(keys: tuple[str, ...]) -> Scenario | None:
        if keys not in made:
            before = with_levers(keys[:-1])
            try:
                made[keys] = before and lever_of(keys[-1]).apply(before, edited[keys[-1]], catalog)
            except DomainError:
                made[keys] = None
        return made[keys]

    scenarios = {subset: with_levers(tuple(key for key in edited if key in subset)) for subset in subsets}
    able = {subset: scenario for subset, scenario in scenarios.items() if scenario is not None}
    found = dict(zip(able, map(float, usd_per_month(list(able.values()), catalog, constants)), strict=True))
    return {subset: found.get(subset, np.nan) for subset in subsets}


def _mean_of_orders(orders: Sequence[tuple[str, ...]], costs: Mapping[Subset, float]) -> dict[str, float]:
    shares = dict.fromkeys(orders[0], 0.0)
    for order in orders:
        for end, key in enumerate(order):
            shares[key] += (costs[frozenset(order[: end + 1])] - costs[frozenset(order[:end])]) / len(orders)
    return shares


def _interactions(pulled: Sequence[str], costs: Mapping[Subset, float]) -> tuple[Interaction, ...]:
    """Of each pair that is more, or less, than the sum of its parts; the strongest first."""
    none = costs[frozenset()]
    found = [
        Interaction(
            first=first,
            second=second,
            usd_per_month=costs[frozenset({first, second})]
            - costs[frozenset({first})]
            - costs[frozenset({second})]
            + none,
        )
        for first, second in combinations(pulled, 2)
    ]
    felt = [one for one in found if abs(one.usd_per_month) >= CENT_USD]
    return tuple(sorted(felt, key=lambda one: -abs(one.usd_per_month)))


def _per_answer(projection: Projection, scenario: Scenario) -> float | Undefined:
    answers = sum(
        d.workload.requests_per_s * d.workload.answered_fraction + d.beside.cached_requests_per_s
        for d in scenario.deployments
    )
    if not answers:
        return Undefined(reason="no requests are answered in this scenario")
    return projection.usd_per_hour / (answers * SECONDS_PER_HOUR)


def _ratio(before: float | Undefined, after: float | Undefined) -> float | Undefined:
    if isinstance(before, Undefined) or isinstance(after, Undefined) or after == 0:
        return Undefined(reason="a unit cost is undefined or zero")
    return before / after
