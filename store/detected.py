"""Changes that nobody noted, of what a snapshot holds: see `costlib.detected`."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from costlib.detected import Detected, EngineSeen, FactChange, HourlyUse, detected
from costlib.units import MEGA
from store.read import Snapshot

# What comes before and after an hour tells whether it changed anything: a week's rhythm, and four days.
_AROUND = timedelta(days=12)
_TOKENS = ("prompt_tokens", "cached_prompt_tokens", "generation_tokens", "draft_tokens")
_IDENTITY = ("target_key", "model_key", "engine_key")


def changes_of(snapshot: Snapshot, start: datetime, end: datetime) -> tuple[Detected, ...]:
    """What changed in [start, end) without anybody saying so, oldest first."""
    around = start - _AROUND, end + _AROUND
    found = detected(
        [
            FactChange(
                deployment_key=row.deployment_key,
                engine=tuple(getattr(row, name) for name in _IDENTITY),
                at=row.changed_at,
                fact=row.fact,
                before=row.before,
                after=row.after,
            )
            for row in snapshot.changes(*around).itertuples(index=False)
        ],
        [one for one in _engines(snapshot) if one.seen_at >= around[0]],
        _uses(snapshot.sums(*around, "hour", "deployment")),
    )
    return tuple(one for one in found if start <= one.at < end)


def _engines(snapshot: Snapshot) -> list[EngineSeen]:
    targets = snapshot.targets()
    deployments = dict(zip(targets["target_key"], targets["deployment_key"], strict=True))
    return [
        EngineSeen(
            deployment_key=deployments.get(row.target_key, row.target_key),
            engine=tuple(getattr(row, name) for name in _IDENTITY),
            started_at=None if pd.isna(row.started_at) else row.started_at,
            seen_at=row.scraped_at,
            facts=row.facts,
        )
        for row in snapshot.engines().itertuples(index=False)
    ]


def _uses(hours: pd.DataFrame) -> list[HourlyUse]:
    return [
        HourlyUse(
            deployment_key=deployment_key,
            model_key=model_key,
            times_s=rows["bin_start"].astype("datetime64[us, UTC]").astype(np.int64).to_numpy() / MEGA,
            **{name: rows[name].to_numpy(dtype=float, na_value=np.nan) for name in _TOKENS},
        )
        for (deployment_key, model_key), rows in hours.groupby(["deployment_key", "model_key"], sort=True)
    ]
