"""What could be changed, for the weekly review: single levers on today's fleet, by what they save."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from costlib.allocation import in_cents
from costlib.compare import compare
from costlib.errors import PermillionError
from costlib.lever import Choice, Lever, Switch
from costlib.levers import LEVERS
from costlib.review import Proposal
from costlib.uncertainty import uncertainty
from store.books import scenario_of
from store.home import Home
from store.read import Snapshot

MOST = 3
DRAWS = 64


def proposals(snapshot: Snapshot, home: Home) -> tuple[Proposal, ...]:
    """The three single changes that save most cash a month on the fleet as it is; none where it cannot be projected."""
    scenario, catalog = scenario_of(home, snapshot)
    if scenario is None:
        return ()
    found = []
    for lever in LEVERS:
        for settings in _settings(lever, scenario, catalog):
            try:
                comparison = compare(scenario, settings, catalog)
            except PermillionError:
                continue  # cannot run here
            if comparison.changes and comparison.net_saved_usd_per_month >= 1:
                found.append((comparison.net_saved_usd_per_month, lever, settings, comparison))
    best: dict[str, Any] = {}
    for _, lever, settings, comparison in sorted(found, key=lambda one: -one[0]):
        best.setdefault(lever.key, (lever, settings, comparison))
    made = []
    for lever, settings, comparison in list(best.values())[:MOST]:
        sure = uncertainty(scenario, settings, comparison, catalog, draws=DRAWS).saved
        low, middle, high = in_cents(
            [Decimal(repr(usd)) for usd in (sure.p10_usd_per_month, comparison.saved_usd_per_month,
                                            sure.p90_usd_per_month)]
        )  # fmt: skip
        made.append(
            Proposal(
                title=f"{lever.label}: {_spoken(settings[lever.key])}", saved_low=low, saved=middle, saved_high=high,
                effort=lever.effort.value, is_proven=not comparison.unproven, link=_link(lever, settings[lever.key]),
            )
        )  # fmt: skip
    return tuple(made)


def _settings(lever: Lever, scenario: Any, catalog: Any) -> Iterator[dict[str, dict[str, Any]]]:
    """A lever at its defaults where it has a switch, else each open option of its first choice."""
    if any(isinstance(param, Switch) for param in lever.params):
        yield {lever.key: {param.key: True for param in lever.params if isinstance(param, Switch)}}
        return
    first = next(param for param in lever.params if isinstance(param, Choice))
    for option in first.options(scenario, catalog):
        if option.value != first.neutral and not option.blocked:
            yield {lever.key: {first.key: option.value}}


def _spoken(values: Mapping[str, Any]) -> str:
    return ", ".join("on" if value is True else str(value) for value in values.values())


def _link(lever: Lever, values: Mapping[str, Any]) -> str:
    return "/?" + "&".join(f"{lever.key}.{key}={str(value).lower()}" for key, value in values.items())
