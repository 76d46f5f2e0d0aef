"""A stack of levers against today: solved jointly, attributed fairly, cash apart from capacity."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import factorial
from typing import Any

from costlib.catalog import Catalog
from costlib.engine import EngineConstants
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.lever import Refusal, Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.project import project
from costlib.projection import Projection
from costlib.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`changes` are USD per month by lever, negative is less spend; they sum to scenario minus today.

    `saved_usd_per_month` is cash: what the bill falls by. `capacity_freed_fraction` is what the work no longer needs,
    before rounding to whole replicas; it is not money until replicas go.
    """

    today: Projection
    scenario: Projection
    changes: tuple[tuple[str, float], ...]
    refusals: tuple[tuple[str, Refusal], ...]
    saved_usd_per_month: float
    capacity_freed_fraction: float | Undefined
    unit_cost_ratio: float | Undefined  # today's blended $ per M tokens over the scenario's


def compare(
    today: Scenario,
    settings: Mapping[str, Values],
    catalog: Catalog,
    constants: EngineConstants | None = None,
) -> Comparison:
    """Apply levers to `today` together, solve again, and split the change among them.

    Equation   change_i = sum over subsets S without i of  |S|! (n - |S| - 1)! / n!  x  [cost(S and i) - cost(S)]
    Returns    a Comparison; refused levers and levers at rest are left out of the stack
    Valid for  up to 8 levers, solved exactly in 2^n projections; a subset that does not fit counts as no change
    Raises     ConfigError for an unknown lever or value; DoesNotFit when today or the whole stack does not fit
    Source     Shapley 1953; domain_math §9
    """
    checked = {key: lever_of(key).check_values(values, today, catalog) for key, values in settings.items()}
    active = [lever for lever in LEVERS if lever.key in checked and not lever.is_neutral(checked[lever.key])]
    refusals: list[tuple[str, Refusal]] = []
    pulled: list[str] = []
    for lever in active:
        refusal = lever.refuse(
            apply_levers(today, {k: checked[k] for k in pulled}, catalog), checked[lever.key], catalog
        )
        if refusal:
            refusals.append((lever.key, refusal))
        else:
            pulled.append(lever.key)

    def solve(subset: frozenset[str]) -> Projection:
        return project(apply_levers(today, {k: checked[k] for k in subset}, catalog), catalog, constants)

    before, after = solve(frozenset()), solve(frozenset(pulled))
    known = {frozenset[str](): before.usd_per_month.mid, frozenset(pulled): after.usd_per_month.mid}

    def usd_per_month(subset: frozenset[str]) -> float:
        if subset not in known:
            try:
                known[subset] = solve(subset).usd_per_month.mid
            except DomainError:
                known[subset] = before.usd_per_month.mid
        return known[subset]

    freed: float | Undefined = Undefined(reason="today needs no GPUs")
    if before.needed_gpus_ratio:
        freed = 1 - after.needed_gpus_ratio / before.needed_gpus_ratio
    return Comparison(
        today=before,
        scenario=after,
        changes=tuple(shapley(pulled, usd_per_month).items()),
        refusals=tuple(refusals),
        saved_usd_per_month=before.usd_per_month.mid - after.usd_per_month.mid,
        capacity_freed_fraction=freed,
        unit_cost_ratio=_ratio(before.usd_per_mtok_blended, after.usd_per_mtok_blended),
    )


def apply_levers(today: Scenario, settings: Mapping[str, Values], catalog: Catalog) -> Scenario:
    """`today` after these levers' edits, in stage order; checked values in, a plain scenario out."""
    scenario = today
    for lever in LEVERS:
        if lever.key in settings and not lever.is_neutral(settings[lever.key]):
            scenario = lever.apply(scenario, settings[lever.key], catalog)
    applied: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = tuple(
        (key, tuple(sorted(values.items()))) for key, values in sorted(settings.items())
    )
    return replace(scenario, applied=applied) if applied else scenario


def shapley(players: list[str], value: Callable[[frozenset[str]], float]) -> dict[str, float]:
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


def _ratio(before: float | Undefined, after: float | Undefined) -> float | Undefined:
    if isinstance(before, Undefined) or isinstance(after, Undefined) or after == 0:
        return Undefined(reason="a unit cost is undefined or zero")
    return before / after
