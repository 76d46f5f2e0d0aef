"""How sure a what-if is: draws of everything that is not known, and which unknown moves the bill most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from costlib.catalog import Catalog
from costlib.compare import CENT_USD, Comparison, apply_levers
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.fleet_cost import Z90, usd_per_month
from costlib.lever import Number, Values
from costlib.levers import lever as lever_of
from costlib.realisation import NOTHING_LEARNT, drawn_ratio
from costlib.roofline import Floats
from costlib.saving import Learnt
from costlib.scenario import Scenario

DRAWS = 128
_TAILS = (0.1, 0.5, 0.9)
STEP_TIME, DEMAND = "Step times", "Demand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One unknown at its P10 and its P90, everything else in the middle: the bill it makes."""

    name: str
    low: str
    high: str
    low_usd_per_month: float
    high_usd_per_month: float

    @property
    def swing_usd_per_month(self) -> float:
        return abs(self.high_usd_per_month - self.low_usd_per_month)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """P10, P50 and P90 [USD per month]."""

    p10_usd_per_month: float
    p50_usd_per_month: float
    p90_usd_per_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """What draws of the unknown leave open; `drivers` are widest first. `draws_count` of them could run; `learnt` is
    what of earlier changes they count in."""

    scenario: Spread
    saved: Spread
    rises_fraction: float | Undefined  # the chance that the scenario costs more than today
    drivers: tuple[Driver, ...]
    draws_count: int
    learnt: tuple[Learnt, ...] = ()


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A lever's guess about the world; P10, P50 and P90 around the value that is set."""

    lever: str
    param: Number
    value: float

    def at(self, z: float) -> float:
        low, high = self.param.usual or (self.value, self.value)
        side = self.param.neutral - low if z < 0 else high - self.param.neutral
        return min(max(self.value + z / Z90 * side, self.param.low), self.param.high)


def uncertainty(
    today: Scenario,
    settings: Mapping[str, Values],
    comparison: Comparison,
    catalog: Catalog,
    draws: int = DRAWS,
    learnt: Mapping[str, Learnt] = NOTHING_LEARNT,
) -> Uncertainty:
    """Draw every guess of the pulled levers, the engine's step times and demand; solve each draw for both scenarios.

    Equation   x = value + z/1.28 (neutral - low) below, value + z/1.28 (high - neutral) above, within the lever's
               range; z standard normal by Latin hypercube; step times and demand as `fleet_cost`
               saved = (today - scenario) times what of it is to be expected, as `drawn_ratio`, where it is a saving
    Symbols    low, high the lever's usual range, moved along with the value that is set
               learnt    what changes with a lever came to of what was promised; a loss is not made smaller by it
    Returns    an Uncertainty; today and the scenario see the same step times and the same demand
    Valid for  unknowns that do not hang on each other. Draws that cannot run are left out and counted
    Raises     ConfigError for an unknown lever or value
    Source     McKay et al. 1979 (Latin hypercube); domain_math §9, §12a
    """
    pulled = {key for key, _ in comparison.changes}
    checked = {key: lever_of(key).check_values(settings[key], today, catalog) for key in settings if key in pulled}
    unknowns = [
        _Unknown(key, param, values[param.key])
        for key, values in checked.items()
        for param in lever_of(key).params
        if isinstance(param, Number) and param.usual
    ]
    known_ratios = {key: learnt[key] for key in sorted(pulled) if key in learnt}
    columns = len(unknowns) + 2
    z = _latin_hypercube(draws, columns + len(known_ratios))  # more columns leave those before them as they are
    z, z_ratios = z[:, :columns], z[:, columns:]
    drawn = [_scenario(today, checked, dict(zip(unknowns, row, strict=False)), catalog) for row in z]
    able = np.array([one is not None for one in drawn], dtype=bool)
    then = np.full(draws, np.nan)
    then[able] = usd_per_month(
        [one for one in drawn if one], catalog, time_z=z[able, -2], demand_z=z[able, -1]
    )  # fmt: skip
    now = usd_per_month([today] * draws, catalog, time_z=z[:, -2], demand_z=z[:, -1])
    if known_ratios:
        saves = now > then  # not where a draw cannot run
        then = np.where(saves, now - (now - then) * drawn_ratio(comparison.changes, known_ratios, z_ratios), then)
    known = np.isfinite(then) & np.isfinite(now)
    saved = (now - then)[known]
    return Uncertainty(
        scenario=_spread(then[known], comparison.scenario.usd_per_month.mid),
        saved=_spread(saved, comparison.saved_usd_per_month),
        rises_fraction=float(np.mean(saved < -CENT_USD)) if len(saved) else Undefined(reason="no draw can run"),
        drivers=_drivers(today, checked, unknowns, comparison, catalog),
        draws_count=int(known.sum()),
        learnt=tuple(known_ratios.values()),
    )


def _spread(values: Floats, mid: float) -> Spread:
    if not len(values):
        return Spread(p10_usd_per_month=mid, p50_usd_per_month=mid, p90_usd_per_month=mid)
    p10, p50, p90 = (float(edge) for edge in np.quantile(values, _TAILS))
    return Spread(p10_usd_per_month=p10, p50_usd_per_month=p50, p90_usd_per_month=p90)


def _scenario(
    today: Scenario, checked: Mapping[str, Values], z: Mapping[_Unknown, float], catalog: Catalog
) -> Scenario | None:
    """The scenario with these unknowns so many deviations off; None where it cannot be."""
    values = {key: dict(of) for key, of in checked.items()}
    for unknown, deviation in z.items():
        values[unknown.lever][unknown.param.key] = unknown.at(float(deviation))
    try:
        return apply_levers(today, values, catalog)
    except DomainError:
        return None


def _drivers(
    today: Scenario,
    checked: Mapping[str, Values],
    unknowns: Sequence[_Unknown],
    comparison: Comparison,
    catalog: Catalog,
) -> tuple[Driver, ...]:
    """Each unknown at both its edges. One that moves nothing is left out."""
    middle = comparison.changed
    edges = [(unknown, z) for unknown in unknowns for z in (-Z90, Z90)]
    made = [_scenario(today, checked, {unknown: z}, catalog) or middle for unknown, z in edges]
    steps = [middle] * 4
    bills = usd_per_month(
        [*made, *steps], catalog,
        time_z=np.array([0.0] * len(made) + [-Z90, Z90, 0.0, 0.0]),
        demand_z=np.array([0.0] * len(made) + [0.0, 0.0, -Z90, Z90]),
    )  # fmt: skip
    bills = np.where(np.isfinite(bills), bills, comparison.scenario.usd_per_month.mid)
    named = [
        (
            f"{lever_of(unknown.lever).label}: {unknown.param.label.lower()}",
            unknown.param.shown(unknown.at(-Z90)),
            unknown.param.shown(unknown.at(Z90)),
        )
        for unknown in unknowns
    ]
    named += [(STEP_TIME, "P10", "P90"), (DEMAND, "P10", "P90")]
    found = [
        Driver(name=name, low=low, high=high, low_usd_per_month=float(pair[0]), high_usd_per_month=float(pair[1]))
        for (name, low, high), pair in zip(named, bills.reshape(-1, 2), strict=True)
    ]
    felt = [one for one in found if one.swing_usd_per_month >= CENT_USD]
    return tuple(sorted(felt, key=lambda one: -one.swing_usd_per_month))


def _latin_hypercube(draws: int, dimensions: int) -> Floats:
    """Standard normal deviates, each of equal parts of the distribution once in every dimension; the same every time.

    >>> z = _latin_hypercube(100, 2)
    >>> z.shape, round(abs(float(z.mean())), 6), int((z[:, 0] > 0).sum())
    ((100, 2), 0.0, 50)
    """
    chance = np.random.default_rng(0)
    normal = NormalDist()
    quantiles = np.array([normal.inv_cdf((at + 0.5) / draws) for at in range(draws)])
    return np.stack([quantiles[chance.permutation(draws)] for _ in range(dimensions)], axis=1)
