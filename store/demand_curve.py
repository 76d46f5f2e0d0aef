"""Hours of demand from what was measured, by deployment: what the capacity questions begin with."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pandas as pd

from costlib.demand_curve import HOURS_PER_WEEK, HourlyLoad, assumed_load
from costlib.estimate import Basis
from costlib.replica_unit import ReplicaUnit
from costlib.scenario import Scenario
from store.read import Snapshot

WEEKS = 8
# An hour of which less was seen is not known: what it held else may be anything.
LEAST_SEEN_FRACTION = 0.5
_HOUR = timedelta(hours=1)


def hourly_load(snapshot: Snapshot, unit: ReplicaUnit, weeks: int = WEEKS) -> HourlyLoad | None:
    """The last `weeks` of one deployment by hour, from the first hour that is known on; None where none is.

    Tokens tell how many mean requests an hour is (`ReplicaUnit.mean_requests_per_s`); where a server exports none,
    its finished requests do. Models under one deployment add up. An hour half of which nobody saw is not known.
    """
    newest = snapshot.status().usage_to
    if newest is None:
        return None
    end = newest.replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=weeks * HOURS_PER_WEEK)
    frame = snapshot.windows(start, end, "hour", "deployment")
    rows = frame[(frame["deployment_key"] == unit.deployment_key) & (frame["coverage_fraction"] >= LEAST_SEEN_FRACTION)]
    if not len(rows):
        return None
    by_tokens = unit.mean_requests_per_s(_floats(rows["prompt_tokens_per_s"]), _floats(rows["generation_tokens_per_s"]))
    rates = np.where(np.isfinite(by_tokens), by_tokens, _floats(rows["requests_per_s"]))
    places = ((rows["bin_start"] - pd.Timestamp(start)) // _HOUR).to_numpy(dtype=int)
    hours = np.full(weeks * HOURS_PER_WEEK, np.nan)
    known = np.isfinite(rates)
    hours[np.unique(places[known])] = 0.0
    np.add.at(hours, places[known], rates[known])
    if not known.any():
        return None
    first = int(np.flatnonzero(np.isfinite(hours))[0])
    notes = (f"{unit.deployment_key}: sample data.",) if snapshot.is_sample else ()
    return HourlyLoad(
        deployment_key=unit.deployment_key,
        start=start + first * _HOUR,
        requests_per_s=hours[first:],
        basis=Basis.MEASURED,
        notes=notes,
    )


def load_of(unit: ReplicaUnit, today: Scenario, snapshot: Snapshot | None, weeks: int = WEEKS) -> HourlyLoad:
    """What was measured of a deployment; without any of it a week assumed from the scenario's mean and peak."""
    if snapshot is not None and (measured := hourly_load(snapshot, unit, weeks)) is not None:
        return measured
    work = next(one.workload for one in today.deployments if one.key == unit.deployment_key)
    day = datetime.combine(today.as_of, time.min, UTC)
    start = day - timedelta(days=day.weekday())
    return assumed_load(unit.deployment_key, work.requests_per_s, work.peak_to_mean_ratio, start, HOURS_PER_WEEK)


def _floats(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=float, na_value=np.nan)
