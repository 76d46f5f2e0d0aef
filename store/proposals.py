"""What could be changed, for the weekly review: single levers on today's fleet, by what they save."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlencode

import numpy as np

from costlib.allocation import in_cents
from costlib.catalog import Catalog
from costlib.compare import Comparison, compare, pull
from costlib.errors import PermillionError
from costlib.fleet_cost import usd_per_month
from costlib.lever import Choice, Lever, Switch
from costlib.levers import LEVERS
from costlib.realisation import NOTHING_LEARNT
from costlib.review import Proposal
from costlib.saving import Learnt
from costlib.scenario import Scenario
from costlib.uncertainty import uncertainty

MOST = 3
DRAWS = 64
LEAST_USD = 1.0  # a month: below it nothing is proposed
SHOWN_BY_THE_BILL = ("autoscaling", "purchase_mix")
Settings = dict[str, dict[str, str | bool]]


@dataclass(frozen=True, slots=True)
class _Try:
    lever: Lever
    settings: Settings
    scenario: Scenario


def proposals(
    scenario: Scenario,
    catalog: Catalog,
    billed_usd_per_month: float | None = None,
    learnt: Mapping[str, Learnt] = NOTHING_LEARNT,
) -> tuple[Proposal, ...]:
    """The three single changes that save most cash a month on the fleet as it is; none where it cannot be projected.

    Equation   saved = what the model saves x min(1, billed / modelled cost of today)
    Returns    at most three, the largest first. Every setting is priced, all at once; what each lever does best is then
               solved with all that comes with it. Of a lever in `learnt` the middle is that of what it came to
    Valid for  a bill that is below the model in the same way for every change: the model's fleet is sized for the peak
               and paid at the scenario's prices. What a bill below that shows to be done already is not proposed again
    """
    part = billed_fraction(scenario, catalog, billed_usd_per_month)
    best: list[tuple[_Try, Comparison]] = []
    tried = [one for one in _tries(scenario, catalog) if part == 1 or one.lever.key not in SHOWN_BY_THE_BILL]
    for one, bill_saved in _best_of_each(scenario, tried, catalog):
        if len(best) == MOST and _most(bill_saved, best) <= best[-1][1].net_saved_usd_per_month:
            break  # nor can any after it
        try:
            comparison = compare(scenario, one.settings, catalog)
        except PermillionError:
            continue
        if comparison.changes and comparison.net_saved_usd_per_month >= LEAST_USD:
            best = sorted([*best, (one, comparison)], key=lambda pair: -pair[1].net_saved_usd_per_month)[:MOST]
    return tuple(_proposal(one, comparison, scenario, catalog, part, learnt) for one, comparison in best)


def billed_fraction(scenario: Scenario, catalog: Catalog, billed_usd_per_month: float | None) -> float:
    """What is billed of what the model says today costs; 1 where nothing is known of it, or more is billed."""
    if billed_usd_per_month is None:
        return 1.0
    try:
        (modelled,) = usd_per_month([scenario], catalog)
    except PermillionError:
        return 1.0
    return min(1.0, billed_usd_per_month / float(modelled)) if modelled > 0 else 1.0


def _tries(scenario: Scenario, catalog: Catalog) -> Iterator[_Try]:
    for lever in LEVERS:
        for settings in _settings(lever, scenario, catalog):
            try:
                checked = {lever.key: lever.neutral_values | settings[lever.key]}  # as offered: no need to check them
                changed, pulled, _ = pull(scenario, checked, catalog)
            except PermillionError:
                continue  # cannot run here
            if pulled:
                yield _Try(lever, settings, changed)


def _most(bill_saved: float, best: list[tuple[_Try, Comparison]]) -> float:
    """What a change can save net: no more than the bill falls by and wrong answers lose today."""
    return bill_saved + best[0][1].today.wrong_answers_usd_per_month


def _best_of_each(scenario: Scenario, tried: list[_Try], catalog: Catalog) -> list[tuple[_Try, float]]:
    """Of each lever the setting with the lowest bill, where that is below today's, and by how much; the most first."""
    try:
        today, *bills = usd_per_month([scenario, *(one.scenario for one in tried)], catalog)
    except PermillionError:
        return []
    best: dict[str, tuple[float, _Try]] = {}
    for one, bill in zip(tried, bills, strict=True):
        if np.isfinite(bill) and today - bill >= LEAST_USD and bill < best.get(one.lever.key, (today, one))[0]:
            best[one.lever.key] = (float(bill), one)
    return [(one, float(today) - bill) for bill, one in sorted(best.values(), key=lambda pair: pair[0])]


def _proposal(
    tried: _Try,
    comparison: Comparison,
    scenario: Scenario,
    catalog: Catalog,
    part: float,
    learnt: Mapping[str, Learnt],
) -> Proposal:
    lever, spelt = tried.lever, _spelt(tried, scenario, catalog)
    sure = uncertainty(scenario, tried.settings, comparison, catalog, draws=DRAWS, learnt=learnt).saved
    expected = sure.p50_usd_per_month if lever.key in learnt else comparison.saved_usd_per_month
    usd = (sure.p10_usd_per_month, expected, sure.p90_usd_per_month)
    low, middle, high = in_cents([Decimal(repr(float(amount) * part)) for amount in usd])
    return Proposal(
        title=f"{lever.label}: {', '.join(spelt.values()).replace('true', 'on')}",
        saved_low=low,
        saved=middle,
        saved_high=high,
        effort=lever.effort.value,
        is_proven=not comparison.unproven,
        link=f"/?{urlencode({f'{lever.key}.{key}': value for key, value in spelt.items()})}",
    )


def _settings(lever: Lever, scenario: Scenario, catalog: Catalog) -> Iterator[Settings]:
    """A lever at its defaults where it has a switch, else each open option of its first choice."""
    if switches := {param.key: True for param in lever.params if isinstance(param, Switch)}:
        yield {lever.key: dict(switches)}
        return
    for choice in [param for param in lever.params if isinstance(param, Choice)][:1]:
        for option in choice.options(scenario, catalog):
            if option.value != choice.neutral and not option.blocked:
                yield {lever.key: {choice.key: option.value}}


def _spelt(tried: _Try, scenario: Scenario, catalog: Catalog) -> dict[str, str]:
    """The values by parameter as the lever's widgets, and so addresses, call them: choices by their label."""
    labels = {
        (param.key, option.value): option.label
        for param in tried.lever.params
        if isinstance(param, Choice)
        for option in param.options(scenario, catalog)
    }
    values = tried.settings[tried.lever.key]
    return {key: labels.get((key, value), str(value).lower()) for key, value in values.items()}
