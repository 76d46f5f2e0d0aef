"""What every part of Capacity is drawn from: the hours of each deployment, its GPUs by the model, and the pools."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from costlib.demand_curve import HOURS_PER_WEEK, HourlyLoad, assumed_load
from costlib.errors import PermillionError
from costlib.estimate import Basis
from costlib.gpu_pool import Needed, Pool, aligned, needed, pools
from costlib.lever import Values
from costlib.replica_unit import ReplicaUnit, replica_unit
from costlib.scenario import Deployment, Scenario, SelfHosted
from store.demand_curve import hourly_load
from store.read import Snapshot, SnapshotStatus
from store.traffic_csv import of_deployments
from ui import capacity_traffic, data, links, text
from ui.capacity_traffic import Traffic
from ui.choices import picked

SECTIONS = ("Demand", "Buying", "Scaling", "Fit")
MOST_NOTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Today's deployments with GPUs of their own as pools; `problems` say which are left out, and why."""

    today: data.Today
    pools: tuple[Pool, ...]
    problems: tuple[str, ...]
    key: str  # what caches tell it by

    @property
    def members(self) -> dict[str, Needed]:
        return {one.key: one for pool in self.pools for one in pool.members}

    @property
    def self_hosted(self) -> list[str]:
        """Keys of the deployments that need GPUs of their own, those that are left out too."""
        return [one.key for one in self.today.scenario.deployments if isinstance(one.supply, SelfHosted)]

    def deployment(self, key: str) -> Deployment:
        return next(one for one in self.today.scenario.deployments if one.key == key)

    def gpu_name(self, gpu_key: str) -> str:
        return self.today.catalog.gpu(gpu_key).name


class _Seen:
    """A snapshot as history is read from it, through the caches of the pages: hours of all deployments come at once."""

    def __init__(self, of: Snapshot) -> None:
        self._of, self.is_sample = of, of.is_sample

    def status(self) -> SnapshotStatus:
        return data.status(self._of)

    def windows(self, start: datetime, end: datetime, bin: str, per: str) -> pd.DataFrame:
        return data.windows(self._of, start, end, bin, per)


def view(found: Snapshot | None, today: data.Today) -> View:
    """Kept: a control elsewhere on the page reads no history again."""
    history = found if today.is_measured_fleet else None
    traffic = capacity_traffic.kept()
    key = f"{history.id if history else ''} {data.key_of(today)} {traffic.key if traffic else ''}"
    every, problems = _pools(key, history, today, traffic)
    return View(today=today, pools=every, problems=problems, key=key)


@st.cache_resource(max_entries=8, show_spinner="Reading the hours of eight weeks…")
def _pools(
    key: str, _found: Snapshot | None, _today: data.Today, _traffic: Traffic | None
) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    scenario, catalog = _today.scenario, _today.catalog
    units: dict[str, tuple[Deployment, ReplicaUnit]] = {}
    problems = []
    for one in scenario.deployments:
        if isinstance(one.supply, SelfHosted):
            try:
                units[one.key] = one, replica_unit(one, scenario, catalog)
            except PermillionError as error:
                problems.append(f"{one.key}: {error}")
    seen: dict[str, HourlyLoad | None] = {
        key: hourly_load(_Seen(_found), unit) if _found else None  # type: ignore[arg-type]
        for key, (_, unit) in units.items()
    }
    loads, problem = _over_the_same_hours(seen, units, scenario, _traffic)
    if problem:
        problems.append(problem)
    every = []
    for (one, _), load in zip(units.values(), loads, strict=True):
        try:
            every.append(needed(one, scenario, catalog, load))
        except PermillionError as error:
            problems.append(f"{one.key}: {error}")
    return pools(every), tuple(problems)


def _over_the_same_hours(
    seen: Mapping[str, HourlyLoad | None],
    units: Mapping[str, tuple[Deployment, ReplicaUnit]],
    scenario: Scenario,
    traffic: Traffic | None,
) -> tuple[tuple[HourlyLoad, ...], str]:
    """Of each deployment what a file says, what was measured, or what is assumed; and why the file is not used."""
    try:
        given = of_deployments(traffic.loads, units) if traffic else {}
        known = {key: given.get(key) or load for key, load in seen.items()}
        start, hours = _window([load for load in known.values() if load is not None], scenario)
        return aligned([load or _assumed(units[key][0], start, hours) for key, load in known.items()]), ""
    except PermillionError as error:
        if traffic is None:
            raise
        loads, _ = _over_the_same_hours(seen, units, scenario, None)
        return loads, f"{traffic.name} is not used: {error}"


def _window(known: list[HourlyLoad], scenario: Scenario) -> tuple[datetime, int]:
    """The hours that are looked at: those known, else the week of the day that prices are of."""
    if known:
        start = min(load.start for load in known)
        return start, round((max(load.end for load in known) - start) / timedelta(hours=1))
    day = datetime(scenario.as_of.year, scenario.as_of.month, scenario.as_of.day, tzinfo=UTC)
    return day - timedelta(days=day.weekday()), HOURS_PER_WEEK


def _assumed(one: Deployment, start: datetime, hours: int) -> HourlyLoad:
    work = one.workload
    return assumed_load(one.key, work.requests_per_s, min(24.0, work.peak_to_mean_ratio), start, hours)


def section() -> str:
    return str(
        st.segmented_control(
            "Section", SECTIONS, default=SECTIONS[0], required=True, key="section", bind="query-params",
            label_visibility="collapsed",
        )
    )  # fmt: skip


def pool_of(shown: View) -> Pool:
    by_key = {pool.gpu_key: pool for pool in shown.pools}
    return by_key[picked("Pool", list(by_key), "gpu", shown.gpu_name, "Every deployment on one kind of GPU.")]


def member_of(shown: View) -> Needed:
    members = shown.members
    name = {key: f"{key} · {shown.deployment(key).model_key}" for key in members}
    return members[picked("Deployment", list(members), "deployment", name.__getitem__)]


def has_hours(members: tuple[Needed, ...]) -> bool:
    """Whether any of these has hours of its own, measured or of a file."""
    return any(one.has_hours for one in members)


def hours_words(one: Needed) -> str:
    """How its hours are known."""
    if one.load.file_name:
        return f"from {text.label(one.load.file_name, 60)}, assumed"
    return "measured" if one.is_measured else "assumed from the scenario's mean and peak"


def whose_hours(members: tuple[Needed, ...]) -> str:
    """How the hours are known, as a sentence."""
    first = members[0].load
    days = f"{text.day(first.start)} to {text.last_day(first.end)}"
    words: dict[str, list[str]] = {}
    for one in sorted(members, key=lambda one: (not one.is_measured, not one.has_hours)):
        words.setdefault(hours_words(one), []).append(text.label(one.key))
    (most, _), *others = words.items()
    if not has_hours(members):
        return f"No history: hours {most}, every day alike. Give a file of them under Demand, Traffic."
    rest = "".join(f"; those of {', '.join(keys)} {said}" for said, keys in others)
    return f"Hours {most}, {days}{rest}."


def notes(said: tuple[str, ...]) -> None:
    """What the library remarks, once each, at most a dozen."""
    every = [note for note in dict.fromkeys(said) if not note.endswith("sample data.")]  # the badge says so
    lines = [f"{text.label(note.rstrip('.'), text.A_PARAGRAPH)}." for note in every[:MOST_NOTES]]
    if len(every) > MOST_NOTES:
        lines.append(f"And {len(every) - MOST_NOTES} more.")
    if lines:
        st.caption("  \n".join(lines))


def door(label: str, settings: Mapping[str, Values], today: data.Today) -> None:
    """To What-if, with these levers pulled."""
    params = links.params(settings, today.scenario, today.catalog)
    st.page_link("pages/what_if.py", label=label, icon=":material/tune:", query_params=params)


def basis_words(basis: Basis) -> str:
    return {
        Basis.MEASURED: "measured",
        Basis.CALIBRATED: "calibrated",
        Basis.EXTRAPOLATED: "carried on from what was measured",
    }.get(basis, "assumed")


def whole(value: Any) -> str:
    return f"{value:,.0f}"
