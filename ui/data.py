"""Cached readers: the snapshot, the catalogue, today's scenario. Keyed by snapshot id, so nothing stale is served."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from costlib.bands import demand_band
from costlib.catalog import Catalog
from costlib.compare import Comparison, compare
from costlib.demand import Demand, usable, with_measured_demand
from costlib.errors import DomainError, PermillionError
from costlib.lever import Values
from costlib.saving import Learnt
from costlib.scenario import Scenario
from costlib.scenario_file import ScenarioFile
from costlib.units import SECONDS_PER_HOUR
from store.calibrations import Told, with_calibrations
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.engine import utc_now as now
from store.home import Home
from store.read import Snapshot, SnapshotStatus, open_snapshot, open_tail
from store.savings import learnt_of

DEMAND_WINDOW = timedelta(days=7)
DEMAND_HISTORY = timedelta(days=56)  # that tells how much one month can differ from the next


def home() -> Home:
    return Home.default(os.environ)


def snapshot() -> tuple[Snapshot | None, str]:
    """The newest published state, None before the first; and why it cannot be read, where it cannot.

    Each published file has a name of its own, which is the cache's key.
    """
    place = home()
    try:
        name = place.pointer.read_text(encoding="utf-8").strip()
    except OSError:
        return None, ""
    try:
        return _opened(place.path, name), ""
    except PermillionError as error:
        return None, f"The stored data cannot be read: {error}"


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened(path: Path, name: str) -> Snapshot | None:
    return open_snapshot(Home(path))


def tail() -> tuple[Snapshot | None, str]:
    """The last minutes, published every few seconds; the whole state where there is no tail. As `snapshot`."""
    place = home()
    try:
        name = place.tail_pointer.read_text(encoding="utf-8").strip()
    except OSError:
        return snapshot()
    try:
        return _opened_tail(place.path, name), ""
    except PermillionError as error:
        return None, f"The last minutes cannot be read: {error}"


@st.cache_resource(max_entries=4, show_spinner=False)
def _opened_tail(path: Path, name: str) -> Snapshot | None:
    return open_tail(Home(path))


@st.cache_data(max_entries=16, show_spinner=False)
def _status(snapshot_id: str, _snapshot: Snapshot) -> SnapshotStatus:
    return _snapshot.status()


def status(of: Snapshot) -> SnapshotStatus:
    return _status(of.id, of)


@st.cache_data(max_entries=64, show_spinner=False)
def _usage(snapshot_id: str, start: datetime, end: datetime, bin: str, _snapshot: Snapshot) -> pd.DataFrame:
    return _snapshot.usage(start, end, bin)  # type: ignore[arg-type]


def usage(of: Snapshot, start: datetime, end: datetime, bin: str = "day") -> pd.DataFrame:
    return _usage(of.id, start, end, bin, of)


@st.cache_data(max_entries=64, show_spinner=False)
def _windows(snapshot_id: str, start: datetime, end: datetime, bin: str, per: str, _snapshot: Snapshot) -> pd.DataFrame:
    return _snapshot.windows(start, end, bin, per)  # type: ignore[arg-type]


def windows(of: Snapshot, start: datetime, end: datetime, bin: str, per: str) -> pd.DataFrame:
    return _windows(of.id, start, end, bin, per, of)


@st.cache_data(max_entries=8, show_spinner=False)
def _devices(snapshot_id: str, start: datetime, end: datetime, _snapshot: Snapshot) -> pd.DataFrame:
    return _snapshot.devices(start, end, "total")


def devices(of: Snapshot, start: datetime, end: datetime) -> pd.DataFrame:
    return _devices(of.id, start, end, of)


@st.cache_resource(max_entries=8, show_spinner=False)  # frames with mappings in them; nobody changes them
def _servers(snapshot_id: str, _snapshot: Snapshot) -> tuple[pd.DataFrame, pd.DataFrame]:
    return _snapshot.targets(), _snapshot.engines()


def targets(of: Snapshot) -> pd.DataFrame:
    return _servers(of.id, of)[0]


def engines(of: Snapshot) -> pd.DataFrame:
    return _servers(of.id, of)[1]


@st.cache_data(max_entries=16, show_spinner=False)
def _demand(snapshot_id: str, start: datetime, end: datetime, _snapshot: Snapshot) -> pd.DataFrame:
    return _snapshot.demand(start, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """The baseline of every what-if, and how it is known. `problem` is set when the user's own file cannot be used."""

    scenario: Scenario
    catalog: Catalog
    is_sample: bool
    is_measured_fleet: bool  # the scenario and the measurements are of one fleet: the sample's, or the user's
    measured_keys: tuple[str, ...]
    measured_from: datetime | None
    measured_to: datetime | None
    problem: str = ""
    calibration_notes: tuple[str, ...] = ()  # why calibrations that were made are not used


def key_of(today: Today) -> str:
    """What a cache tells this scenario and its prices from others by, in this process."""
    catalog = today.catalog
    known = catalog.gpus, catalog.models, catalog.gpu_prices, catalog.token_prices
    return f"{hash((today.scenario, known))}"


def learnt(of: Today) -> Mapping[str, Learnt]:
    """What changes with each lever came to of what was promised, by the savings ledger of the same fleet."""
    return learnt_of(home(), of.is_sample)


def solve(today: Today, settings: Mapping[str, Values]) -> tuple[Comparison | None, str]:
    """Today against these levers, and what cannot run. Where only the levers cannot, today stands alone."""
    try:
        return compare(today.scenario, settings, today.catalog), ""
    except PermillionError as error:
        problem = f"This combination cannot run: {error}"
    try:
        return compare(today.scenario, {}, today.catalog), problem
    except PermillionError as error:
        return None, f"Today's scenario cannot run: {error}"


def today(of: Snapshot | None) -> Today:
    """The home's scenario.toml, or the sample fleet without one, with measured demand where the store has enough."""
    own, on = home().scenario, now().date()
    problem, file, is_sample = "", None, False
    if own.exists():
        try:
            file = _scenario_file(own, own.stat().st_mtime_ns, on)
            is_sample = of is not None and of.is_sample
        except PermillionError as error:
            problem = f"{own.name} is not used: {error}"
    if file is None:
        file, is_sample = _scenario_file(SAMPLE_SCENARIO, SAMPLE_SCENARIO.stat().st_mtime_ns, on), True
    scenario, measured, window, notes = file.today, (), None, ()
    is_one_fleet = of is not None and of.is_sample == is_sample
    if of is not None and is_one_fleet and (newest := status(of).usage_to) is not None:
        end = newest.replace(minute=0, second=0, microsecond=0)
        window = (end - DEMAND_WINDOW, end)
        demands = _demands(of.id, end, of)
        scenario = with_measured_demand(scenario, demands)
        measured = tuple(usable(demands))
        kept = tuple((path.name, path.stat().st_mtime_ns) for path in home().calibrations.glob("*.json"))
        scenario, notes = _calibrated(of.id, home().path, frozenset(kept), hash(scenario), scenario, file.catalog, of)
    return Today(
        scenario=scenario,
        catalog=file.catalog,
        is_sample=is_sample,
        is_measured_fleet=is_one_fleet,
        measured_keys=tuple(d.key for d in scenario.deployments if d.key in measured),
        measured_from=window[0] if window else None,
        measured_to=window[1] if window else None,
        problem=problem,
        calibration_notes=notes,
    )


@st.cache_resource(max_entries=4, show_spinner=False)
def _demands(snapshot_id: str, end: datetime, _of: Snapshot) -> list[Demand]:
    """Of each deployment, with its band, which takes many resamples of its days."""
    daily = windows(_of, end - DEMAND_HISTORY, end, "day", "deployment")
    return [_as_demand(row, daily) for row in _demand(_of.id, end - DEMAND_WINDOW, end, _of).to_dict("records")]


@st.cache_resource(max_entries=4, show_spinner=False)
def _calibrated(
    snapshot_id: str,
    place: Path,
    kept: frozenset[tuple[str, int]],
    of_scenario: int,
    _scenario: Scenario,
    _catalog: Catalog,
    _of: Snapshot,
) -> tuple[Scenario, tuple[str, ...]]:
    """With the calibrations that are `kept`, each by its name and time; and why others are not used."""
    told = Told(targets=targets(_of), engines=engines(_of), is_sample=_of.is_sample)
    return with_calibrations(_scenario, _catalog, Home(place), told)


@st.cache_resource(max_entries=4, show_spinner=False)
def _scenario_file(path: Path, modified_ns: int, on: date) -> ScenarioFile:
    return load_scenario(path, on)


def _as_demand(row: dict, daily: pd.DataFrame) -> Demand:
    def number(name: str) -> float:
        value = row[name]
        return 0.0 if pd.isna(value) else float(value)

    hit = row["prefix_hit_fraction"]
    low, high = _demand_band(daily[daily["deployment_key"] == row["target_key"]])
    return Demand(
        target_key=row["target_key"],
        model_key=row["model_key"],
        requests_per_s=number("requests_per_s"),
        mean_prompt_tokens=number("mean_prompt_tokens"),
        mean_output_tokens=number("mean_output_tokens"),
        peak_to_mean_ratio=number("peak_to_mean_ratio"),
        prefix_hit_fraction=None if pd.isna(hit) else float(hit),
        coverage_fraction=number("coverage_fraction"),
        covered_hours=number("coverage_fraction") * DEMAND_WINDOW.total_seconds() / SECONDS_PER_HOUR,
        low_ratio=low,
        high_ratio=high,
    )


def _demand_band(days: pd.DataFrame) -> tuple[float, float]:
    """P10 and P90 of a month's demand over the mean; 1 to 1 where there are not days enough to tell."""
    per_day = days.groupby("bin_start")["requests_count"].sum(min_count=1).iloc[1:-1]  # the first and last are cut
    try:
        return demand_band(per_day.to_numpy(dtype=float, na_value=np.nan))
    except DomainError:
        return 1.0, 1.0
