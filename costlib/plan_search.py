"""Which lever next: every lever and its values on the work as it is, solved together with those pulled before it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise, product
from typing import Any

import numpy as np

from costlib.catalog import Catalog
from costlib.compare import pull
from costlib.errors import DomainError, PermillionError
from costlib.evidence import Evaluation
from costlib.fleet_cost import usd_per_month
from costlib.lever import Choice, Effort, Lever, Number, Refusal, Switch, Values
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.project import project
from costlib.projection import Projection
from costlib.scenario import Scenario
from costlib.units import TOKENS_PER_MTOK

SMALLEST_EFFECT = 1e-6  # of the cost
MOST_COMBINATIONS = 100  # of one lever's choices; with more, one choice at a time
Settings = dict[str, dict[str, Any]]


class Evidence(StrEnum):
    """How a change's effect is known."""

    MODELLED = "modelled"  # by the engine model, answers as they are
    EVALUATED = "evaluated"  # it changes answers, and they were evaluated
    UNPROVEN = "unproven"  # it changes answers, and nobody looked at them


@dataclass(frozen=True, slots=True)
class State:
    """Levers pulled, the scenario they make, and what it costs."""

    settings: Settings
    scenario: Scenario
    projection: Projection

    @property
    def usd_per_month(self) -> float:
        return self.projection.usd_per_month.mid + self.projection.wrong_answers_usd_per_month

    @property
    def needed_usd_per_hour(self) -> float:
        """Of the share of replicas that the work needs: whole replicas make plateaus, and on one of them the way that
        needs less is closer to the next step down."""
        return sum(
            part.needed_gpus_ratio * part.usd_per_hour / max(1, part.gpus_count) for part in self.projection.deployments
        )


class Search:
    """What stays the same while levers are tried."""

    def __init__(
        self,
        today: Scenario,
        catalog: Catalog,
        evaluated: Mapping[str, Values],
        without: set[str],
        is_proven_only: bool,
        max_ttft_s: float | None,
    ) -> None:
        self.catalog = catalog
        self._today = replace(today, target_usd_per_mtok=None)
        self._evaluated, self._max_ttft_s = evaluated, max_ttft_s
        self.start = State({}, self._today, project(self._today, catalog))
        self._tokens = self.start.projection.tokens_per_month
        if not self._tokens > 0:
            raise DomainError("nothing is answered in this scenario: without tokens there is no cost per token.")
        self._excluded = dict.fromkeys(without, "left out as asked")
        if is_proven_only:
            for lever in LEVERS:
                if lever.key not in without and self.evidence(lever) is Evidence.UNPROVEN:
                    self._excluded[lever.key] = "changes answers, and none were evaluated"

    def usd_per_mtok(self, state: State) -> float:
        return state.usd_per_month / self._tokens * TOKENS_PER_MTOK

    def usd_per_month(self, usd_per_mtok: float) -> float:
        return usd_per_mtok * self._tokens / TOKENS_PER_MTOK * (1 + SMALLEST_EFFECT)

    def next(self, now: State) -> State | None:
        """The best lever not pulled yet: the largest fall of the cost or, on a plateau, of what the work needs."""
        tried = [
            (scenario, settings)
            for lever in LEVERS
            if lever.key not in now.settings and lever.key not in self._excluded
            for settings in self._tries(lever, now)
            if isinstance(scenario := self._built(settings), Scenario)
        ]
        if not tried:
            return None
        costs = self._costs([scenario for scenario, _ in tried])
        least = now.usd_per_month * (1 - SMALLEST_EFFECT)
        # Of equal ones the lever that takes less, then the values nearer to rest.
        order = sorted(
            (at for at in range(len(tried)) if costs[at] < least), key=lambda at: (costs[at], *_burden(tried[at][1]))
        )
        for at in order:
            if (then := self._solved(*tried[at])) and then.usd_per_month < least:
                return then
        level = [at for at in range(len(tried)) if abs(costs[at] / now.usd_per_month - 1) <= SMALLEST_EFFECT]
        solved = [then for at in level if (then := self._solved(*tried[at]))]
        most = now.needed_usd_per_hour * (1 - SMALLEST_EFFECT)
        closer = [then for then in solved if then.needed_usd_per_hour < most]
        return min(closer, key=lambda then: (then.needed_usd_per_hour, *_burden(then.settings)), default=None)

    def needed(self, states: Sequence[State], most_usd_per_month: float) -> list[State]:
        """The same without the changes that the end does not need, those of least effect first."""
        enough = max(most_usd_per_month, states[-1].usd_per_month * (1 + SMALLEST_EFFECT))
        effects = {
            key: was.usd_per_month - now.usd_per_month
            for was, now in pairwise(states)
            for key in now.settings.keys() - was.settings.keys()
        }
        settings = dict(states[-1].settings)
        for key in sorted(effects, key=effects.__getitem__):
            fewer = {kept: values for kept, values in settings.items() if kept != key}
            then = self._state(fewer)
            if then is not None and then.usd_per_month <= enough:
                settings = fewer
        return self._in_order(settings) or list(states)

    def _in_order(self, settings: Settings) -> list[State]:
        """These levers one after the other, the largest effect next; empty where they run only all at once."""
        path = [self.start]
        while len(path[-1].settings) < len(settings):
            pulled = path[-1].settings
            able = [
                then
                for key, values in settings.items()
                if key not in pulled and (then := self._state({**pulled, key: values}))
            ]
            if not able:
                return []
            path.append(min(able, key=lambda then: (then.usd_per_month, then.needed_usd_per_hour)))
        return path

    def saved_at_the_ends(self, was: State, now: State, key: str) -> list[float]:
        """USD a month that a lever saves with each of its guesses at either end of what is usual."""
        found = []
        for settings in _at_the_ends(now.settings, key):
            scenario = self._built(settings)
            if isinstance(scenario, Scenario):
                try:
                    then = State(settings, scenario, project(scenario, self.catalog))
                except PermillionError:
                    continue  # an end that cannot run
                found.append(was.usd_per_month - then.usd_per_month)
        return found

    def left(self, end: State, is_reached: bool) -> Iterator[tuple[str, str]]:
        """Why each lever that was not pulled was not."""
        for lever in LEVERS:
            if lever.key in end.settings:
                continue
            if why := self._excluded.get(lever.key):
                yield lever.key, why
                continue
            built = [self._built(settings) for settings in self._tries(lever, end)]
            refusals = [one for one in built if isinstance(one, Refusal)]
            if built and len(refusals) == len(built):
                yield lever.key, refusals[0].reason
            else:
                yield lever.key, "not needed" if is_reached else "saves nothing after these, or is slower than allowed"

    def evidence(self, lever: Lever) -> Evidence:
        if not lever.changes_answers:
            return Evidence.MODELLED
        found = self._evaluated.get(lever.key, {})
        seen = Evaluation(
            accepted_fraction=float(found.get("accepted_fraction", 1.0)),
            evaluated_count=float(found.get("evaluated_count", 0)),
        )
        return Evidence.EVALUATED if seen.is_proof else Evidence.UNPROVEN

    def _tries(self, lever: Lever, now: State) -> Iterator[Settings]:
        """The values that are tried of a lever, with those pulled so far, in the order that they are applied in."""
        given, asked = self._evaluated.get(lever.key, {}), [param.key for param in lever.evidence]
        shown = {key: given[key] for key in asked if key in given}
        for values in _options(lever, now.scenario, self.catalog):
            yield {**now.settings, lever.key: {**lever.neutral_values, **shown, **values}}

    def _built(self, settings: Settings) -> Scenario | Refusal:
        """Today with these levers, or why one of them cannot be pulled."""
        try:
            scenario, _, refusals = pull(self._today, settings, self.catalog)
        except DomainError as error:
            return Refusal(reason=str(error).rstrip("."), remedy="choose other values")
        return refusals[0][1] if refusals else scenario

    def _costs(self, scenarios: Sequence[Scenario]) -> Any:
        """The bill and what wrong answers lose; endless for what cannot run."""
        bills = usd_per_month(scenarios, self.catalog)
        wrong = [sum(d.beside.wrong_answers_usd_per_hour for d in one.deployments) for one in scenarios]
        months = [one.hours_per_month for one in scenarios]
        return np.nan_to_num(bills + np.array(wrong) * np.array(months), nan=np.inf)

    def _state(self, settings: Settings) -> State | None:
        scenario = self._built(settings)
        return self._solved(scenario, settings) if isinstance(scenario, Scenario) else None

    def _solved(self, scenario: Scenario, settings: Settings) -> State | None:
        """None where it cannot run, or is slower than what users accept."""
        try:
            projection = project(scenario, self.catalog)
        except PermillionError:
            return None
        limits = {deployment.key: deployment.max_tpot_s for deployment in scenario.deployments}
        already = {part.key: part.tpot_s for part in self.start.projection.deployments} if settings else {}
        for part in projection.deployments:
            if self._is_slower(part.tpot_s, limits.get(part.key), already.get(part.key)):
                return None
            if self._is_slower(part.ttft_s, self._max_ttft_s, None):
                return None
        return State(settings, scenario, projection)

    def _is_slower(self, took_s: float | None, most_s: float | None, today_s: float | None) -> bool:
        """What misses its limit today may go on missing it, but by no more."""
        return took_s is not None and most_s is not None and took_s > max(most_s, today_s or 0.0) * (1 + 1e-9)


def _options(lever: Lever, scenario: Scenario, catalog: Catalog) -> Iterator[dict[str, Any]]:
    """Settings worth trying: on, and every combination of choices, unless what they bring is a guess."""
    on = {param.key: not param.neutral for param in lever.params if isinstance(param, Switch)}
    choices = [param for param in lever.params if isinstance(param, Choice)]
    if not choices or guesses_of(lever):
        yield on
        return
    values = [[one.value for one in param.options(scenario, catalog) if not one.blocked] for param in choices]
    keys = [param.key for param in choices]
    combined = product(*values)
    if np.prod([len(one) for one in values]) > MOST_COMBINATIONS:
        rest = [param.neutral for param in choices]
        combined = ((*rest[:at], value, *rest[at + 1 :]) for at, some in enumerate(values) for value in some)  # type: ignore[assignment]
    for combination in combined:
        found = {**on, **dict(zip(keys, combination, strict=True))}
        if not lever.is_neutral({**lever.neutral_values, **found}):
            yield found


def guesses_of(lever: Lever) -> list[Number]:
    return [param for param in lever.params if isinstance(param, Number) and param.usual]


def moved(lever: Lever, values: Values) -> Iterator[tuple[str, Any]]:
    """Its settings that are not at rest, and its guesses."""
    guesses = {param.key for param in guesses_of(lever)}
    for key, rest in lever.neutral_values.items():
        if values[key] != rest or key in guesses:
            yield key, values[key]


def _burden(settings: Settings) -> tuple[int, int]:
    """Effort of the lever pulled last, and how many of its settings are not at rest."""
    lever = lever_of(next(reversed(settings)))
    efforts = list(Effort)
    return efforts.index(lever.effort), sum(1 for _ in moved(lever, settings[lever.key]))


def _at_the_ends(settings: Settings, key: str) -> Iterator[Settings]:
    guesses = guesses_of(lever_of(key))
    if not guesses:
        return
    for ends in product(*((param.usual or ()) for param in guesses)):
        at_ends = {param.key: end for param, end in zip(guesses, ends, strict=True)}
        yield {**settings, key: {**settings[key], **at_ends}}
