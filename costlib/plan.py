"""From what a million tokens cost today to a target: levers in the order of their effect, solved jointly."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from costlib.catalog import Catalog
from costlib.errors import DomainError, UnknownKey
from costlib.flag_table import Release
from costlib.flags import Served, commands
from costlib.lever import Choice, Effort, Lever, Number, Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.plan_floor import lowest_floor
from costlib.plan_search import SMALLEST_EFFECT, Evidence, Search, State, guesses_of, moved
from costlib.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One lever pulled, after those before it. Costs are of today's work: the bill and what wrong answers lose.

    `values` are its settings that are not at rest; `shown` are all in words. `assumed` names those that are guesses
    about the world; the range is the effect with each of them at the ends of what is usual. `flags` are the options
    that differ from the step before.
    """

    lever: str
    values: tuple[tuple[str, Any], ...]
    shown: tuple[str, ...]
    before_usd_per_mtok: float
    after_usd_per_mtok: float
    saved_usd_per_month: float
    least_saved_usd_per_month: float
    most_saved_usd_per_month: float
    before_gpus_count: int
    gpus_count: int
    tpot_s: float | None
    evidence: Evidence
    assumed: tuple[str, ...]
    effort: Effort
    risks: str
    rollback: str
    flags: tuple[Served, ...]

    @property
    def saved_usd_per_mtok(self) -> float:
        return self.before_usd_per_mtok - self.after_usd_per_mtok

    @property
    def makes_room(self) -> bool:
        """It saves nothing by itself: a step along a plateau of whole replicas."""
        return abs(self.saved_usd_per_mtok) <= SMALLEST_EFFECT * self.before_usd_per_mtok


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes that reach the target, or as many as help. `unreachable` says why it is missed, else it is empty.

    `settings` are all levers pulled at the end, `flags` every deployment's command today and then, for `release` of
    vLLM. `left` says of every other lever why it is no part of the plan.
    """

    target_usd_per_mtok: float
    today_usd_per_mtok: float
    today_usd_per_month: float
    changes: tuple[Change, ...]
    settings: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    left: tuple[tuple[str, str], ...]
    release: str
    flags: tuple[Served, ...]
    floor_usd_per_mtok: float | None
    unreachable: str = ""

    @property
    def left_by_reason(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each reason with the levers that share it."""
        reasons = dict.fromkeys(why for _, why in self.left)
        return tuple((why, tuple(key for key, of in self.left if of == why)) for why in reasons)

    @property
    def end_usd_per_mtok(self) -> float:
        return self.changes[-1].after_usd_per_mtok if self.changes else self.today_usd_per_mtok

    @property
    def saved_usd_per_month(self) -> float:
        return sum(change.saved_usd_per_month for change in self.changes)


def plan_to(
    target_usd_per_mtok: float,
    today: Scenario,
    catalog: Catalog,
    release: Release,
    evaluated: Mapping[str, Values] | None = None,
    without: Collection[str] = (),
    is_proven_only: bool = False,
    max_ttft_s: float | None = None,
) -> Plan:
    """The levers that bring today's work to a target cost, the largest effect next.

    Equation   cost = ($ per month + $ that wrong answers lose) / tokens answered today;  from today, again and again
               the lever and values of the largest effect, each lever once, until cost <= target; then each change
               that the target does not need is taken out again
    Returns    a Plan; the effects sum to today's cost minus the cost at the end
    Valid for  the demand as it is. Steepest descent: each change is the best next one, and the whole need not be the
               cheapest of all. Of a lever's choices all are tried, unless they rest on a guess: then, and for numbers,
               the value at rest is taken. What shortens prompts or answers counts as saved
    Raises     DomainError for a target that is not above 0 or work without tokens; whatever today's scenario raises
    Source     docs/method.md
    """
    if not target_usd_per_mtok > 0:
        raise DomainError(f"a target cost is above 0 USD per million tokens, not {target_usd_per_mtok:g}.")
    if stray := sorted(set(without) - {lever.key for lever in LEVERS}):
        raise UnknownKey("lever", stray[0], (lever.key for lever in LEVERS))
    search = Search(today, catalog, evaluated or {}, set(without), is_proven_only, max_ttft_s)
    states = [search.start]
    while states[-1].usd_per_month > search.usd_per_month(target_usd_per_mtok):
        if (then := search.next(states[-1])) is None:
            break
        states.append(then)
    states = search.needed(states, search.usd_per_month(target_usd_per_mtok))
    end = states[-1]
    changes = tuple(_change(search, was, now, release) for was, now in pairwise(states))
    lowest = lowest_floor(today, catalog, is_proven_only)
    missed = _why(target_usd_per_mtok, search.usd_per_mtok(end), lowest)
    return Plan(
        target_usd_per_mtok=target_usd_per_mtok,
        today_usd_per_mtok=search.usd_per_mtok(search.start),
        today_usd_per_month=search.start.usd_per_month,
        changes=changes,
        settings=tuple((key, tuple(moved(lever_of(key), values))) for key, values in end.settings.items()),
        left=tuple(search.left(end, is_reached=not missed)),
        release=release.name,
        flags=commands(today, end.scenario, catalog, release),
        floor_usd_per_mtok=lowest,
        unreachable=missed,
    )


def _change(search: Search, was: State, now: State, release: Release) -> Change:
    (key,) = now.settings.keys() - was.settings.keys()
    lever, saved = lever_of(key), was.usd_per_month - now.usd_per_month
    values = tuple(moved(lever, now.settings[key]))
    found = search.saved_at_the_ends(was, now, key)
    times = [part.tpot_s for part in now.projection.deployments if part.tpot_s is not None]
    return Change(
        lever=key,
        values=values,
        shown=tuple(_shown(lever, now.settings[key], was.scenario, search.catalog)),
        before_usd_per_mtok=search.usd_per_mtok(was),
        after_usd_per_mtok=search.usd_per_mtok(now),
        saved_usd_per_month=saved,
        least_saved_usd_per_month=min([saved, *found]),
        most_saved_usd_per_month=max([saved, *found]),
        before_gpus_count=was.projection.gpus_count,
        gpus_count=now.projection.gpus_count,
        tpot_s=max(times, default=None),
        evidence=search.evidence(lever),
        assumed=tuple(param.label for param in guesses_of(lever)),
        effort=lever.effort,
        risks=lever.risks,
        rollback=lever.rollback,
        flags=tuple(one for one in commands(was.scenario, now.scenario, search.catalog, release) if one.changes),
    )


def _shown(lever: Lever, values: Values, scenario: Scenario, catalog: Catalog) -> Iterator[str]:
    """The settings as people read them; a choice at rest, and that a switch is on, go without saying."""
    for param in lever.params:
        value = values[param.key]
        if isinstance(param, Number):
            if value not in (0, 1) or value != param.neutral:
                yield f"{param.shown(value)} {param.unit.removeprefix('USD ')}".rstrip()
        elif isinstance(param, Choice) and value != param.neutral:
            labels = {one.value: one.label for one in param.options(scenario, catalog)}
            label = labels.get(value, str(value))
            yield label if param.label == lever.label else f"{param.label} {label}"


def _why(target: float, end: float, lowest: float | None) -> str:
    if end <= target * (1 + SMALLEST_EFFECT):
        return ""
    reached = f"the levers end at ${end:.3f} per million tokens"
    if lowest is None:
        return f"not reached: {reached}. What is bought by the token costs what its provider asks."
    if lowest > target:
        return (
            f"unreachable by serving: {reached}, and the floor of these models on any GPU with a price is "
            f"${lowest:.3f}, by the data sheets alone. Below it lie smaller models, fewer tokens, stored answers."
        )
    return (
        f"not reached: {reached}. The floor is ${lowest:.3f}; what lies between is idle time, whole replicas and what "
        "no engine reaches of the data sheet."
    )
