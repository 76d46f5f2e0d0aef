"""The fleet as it was measured just now: one section per deployment and model, which are never averaged together.

Frames of a snapshot in, views out; nothing here draws.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from costlib.breakeven import usd_per_mtok
from costlib.detectors import IDLE_FRACTION, LEAST_OBSERVED_S
from costlib.devices import DEVICE_GAUGES
from costlib.windows import DataState
from ui import data
from ui.fleet_figures import Figure, Missing, Row, Supply, figure, known, supply_of, utilisation, with_rates, words

NOW_WINDOW, RECENT_WINDOW = timedelta(minutes=2), timedelta(minutes=30)
NOW_WORDS = "last 2 minutes"
# The states in which a server tells nothing at the moment.
SILENT = (DataState.STALE, DataState.NOT_EXPORTED)
# An engine seen for at most this share of what the others were seen in a minute makes their sum too small.
THIN_FRACTION = 0.5
ENGINE = ["target_key", "model_key", "engine_key"]
_ADDED = ["state", "why", "deployment_key", "labels", "facts"]
Key = tuple[str, str]  # deployment, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """What a snapshot says of the last half hour, as it says it."""

    end: datetime
    now: pd.DataFrame  # per deployment, NOW_WINDOW
    recent: pd.DataFrame  # per deployment, RECENT_WINDOW
    minutes: pd.DataFrame  # per deployment and minute
    engine_minutes: pd.DataFrame
    engines_now: pd.DataFrame
    engines_recent: pd.DataFrame
    devices: pd.DataFrame
    targets: pd.DataFrame
    engines: pd.DataFrame


def read(of: data.Snapshot) -> Frames:
    end = of.published_at
    now, recent = end - NOW_WINDOW, end - RECENT_WINDOW
    return Frames(
        end=end,
        now=data.windows(of, now, end, "total", "deployment"),
        recent=data.windows(of, recent, end, "total", "deployment"),
        minutes=data.windows(of, recent, end, "minute", "deployment"),
        engine_minutes=data.windows(of, recent, end, "minute", "engine"),
        engines_now=data.windows(of, now, end, "total", "engine"),
        engines_recent=data.windows(of, recent, end, "total", "engine"),
        devices=data.devices(of, now, end),
        targets=data.targets(of),
        engines=data.engines(of),
    )


def keys_of(frames: Frames) -> list[Key]:
    """Deployment and model of all that was measured in the last half hour, by name: they must not change places."""
    measured = frames.recent[frames.recent["model_key"].notna()]
    return sorted(zip(measured["deployment_key"], measured["model_key"], strict=True))


def busiest(frames: Frames, count: int) -> list[Key]:
    """The `count` with the most tokens, by name."""
    rates = {(row["deployment_key"], row["model_key"]): known(row, "total_tokens_per_s") or 0.0
             for row in frames.recent.to_dict("records")}  # fmt: skip
    return sorted(sorted(keys_of(frames), key=lambda key: -rates[key])[:count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One model of one deployment: the last minutes, the last half hour, its minutes, its replicas, its GPUs."""

    deployment_key: str
    model_key: str
    now: Row
    recent: Row
    minutes: pd.DataFrame  # one row per minute of the half hour; empty minutes are rows of unknowns
    replicas: pd.DataFrame
    devices: Mapping[str, float]
    supply: Supply | Missing
    idle_replicas: tuple[str, ...] = ()
    shares_gpus: bool = False  # with another model, whose tokens the same GPUs make

    @property
    def key(self) -> Key:
        return self.deployment_key, self.model_key

    @property
    def usd_per_hour(self) -> Figure:
        return self.supply if isinstance(self.supply, Missing) else self.supply.usd_per_hour

    def usd_per_mtok(self, rate_name: str) -> Figure:
        """What a million tokens of this rate cost now: all GPU-hours of the deployment over them."""
        rate = figure(self.now, rate_name)
        if isinstance(self.supply, Missing):
            return self.supply
        if isinstance(rate, Missing):
            return rate
        if self.shares_gpus:
            return Missing(state=DataState.UNDEFINED, why="several models share these GPUs; their cost is not split")
        if rate <= 0:
            return Missing(state=DataState.UNDEFINED, why="no tokens are served; the GPUs cost all the same")
        return usd_per_mtok(self.supply.usd_per_hour, rate)

    def usd_per_mtok_by_minute(self) -> list[float | None]:
        """The same minute by minute, at today's GPUs; None where nothing was served or measured."""
        if isinstance(self.supply, Missing) or self.shares_gpus or "total_tokens_per_s" not in self.minutes:
            return []
        hourly = self.supply.usd_per_hour
        rates = self.minutes["total_tokens_per_s"].astype(float)
        return [usd_per_mtok(hourly, rate) if rate > 0 else None for rate in rates]

    def utilisation(self, row: Row, name: str) -> Figure:
        """`mfu` or `mbu` of one GPU of the deployment."""
        return utilisation(row, name, self.supply)


def sections(frames: Frames, today: data.Today, keys: Iterable[Key] | None = None) -> list[Section]:
    """One for each of `keys`, in their order; for all of the fleet when they are left out."""
    replicas, recent_replicas = (
        replicas_of(engines, frames) for engines in (frames.engines_now, frames.engines_recent)
    )
    now, recent = (_by_key(with_rates(rows)) for rows in (frames.now, frames.recent))
    minutes = with_rates(frames.minutes)
    return [
        Section(
            deployment_key=key[0],
            model_key=key[1],
            now=now.get(key) or {"state": DataState.GAP, "why": "", "samples_count": 0},
            recent={**recent.get(key, {}), **_kv_p95(its_minutes)},
            minutes=its_minutes,
            replicas=_of(replicas, key, or_silent=True),
            devices=_devices(frames.devices, key[0]),
            supply=supply_of(key[0], max(len(counted), 1), today),
            idle_replicas=_idle(counted),
            shares_gpus=_shares(recent_replicas, counted),
        )
        for key in (keys_of(frames) if keys is None else keys)
        for counted in [_of(recent_replicas, key)]
        for its_minutes in [whole_minutes(minutes, key, frames.end, holes(frames.engine_minutes, counted))]
    ]


def _of(rows: pd.DataFrame, key: Key, or_silent: bool = False) -> pd.DataFrame:
    """The rows of one deployment and model; with those of the deployment that tell no model."""
    if rows.empty:
        return rows
    is_model = rows["model_key"] == key[1]
    return rows[(rows["deployment_key"] == key[0]) & (is_model | rows["model_key"].isna() if or_silent else is_model)]


def _by_key(rows: pd.DataFrame) -> dict[Key, Row]:
    return {(row["deployment_key"], row["model_key"]): row for row in rows.to_dict("records")}


def _shares(every: pd.DataFrame, mine: pd.DataFrame) -> bool:
    """Whether one of these engines serves another model as well."""
    place = ["target_key", "engine_key"]
    others = every.loc[every["model_key"].notna(), place].merge(mine[place], on=place) if len(mine) else mine
    return len(others) > len(mine)


def servers(frames: Frames) -> list[Row]:
    """The servers that should have engines: exporters of GPUs are not among them."""
    exporters = set(frames.devices["target_key"]) if len(frames.devices) else set()
    return [
        row
        for row in frames.targets.to_dict("records")
        if row["target_key"] not in exporters and not row["source_key"].startswith("dcgm/")
    ]


def replicas_of(engines: pd.DataFrame, frames: Frames) -> pd.DataFrame:
    """Engine windows with their server's deployment, labels and facts; servers that export no engine as rows too."""
    targets = {row["target_key"]: row for row in servers(frames)}
    facts = {tuple(row[name] for name in ENGINE): row["facts"] for row in frames.engines.to_dict("records")}
    rows = with_rates(engines).to_dict("records")
    counted = {row["target_key"] for row in rows}
    rows += [
        {**dict.fromkeys(ENGINE), "target_key": key, "state": row["state"], "why": words(row["last_error"])}
        for key, row in targets.items()
        if key not in counted and row["state"] != DataState.OK
    ]
    for row in rows:
        target = targets.get(row["target_key"], {})
        row["deployment_key"] = target.get("deployment_key", row["target_key"])
        row["labels"] = target.get("labels") or {}
        row["facts"] = facts.get(tuple(row[name] for name in ENGINE)) or {}
    found = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*ENGINE, *_ADDED])
    several = found.duplicated("target_key", keep=False)
    found["replica"] = [
        f"{target_key} · {engine_key}" if many and not pd.isna(engine_key) else target_key
        for target_key, engine_key, many in zip(found["target_key"], found["engine_key"], several, strict=True)
    ]
    return found


def whole_minutes(minutes: pd.DataFrame, key: Key, end: datetime, holes: Iterable[pd.Timestamp]) -> pd.DataFrame:
    """The half hour minute by minute; a minute that was not measured, or is one of `holes`, is a row of unknowns."""
    last = (pd.Timestamp(end) - timedelta(microseconds=1)).floor("min")  # the end is excluded
    index = pd.date_range(last - RECENT_WINDOW + timedelta(minutes=1), last, freq="min")
    mine = _of(minutes, key)
    if mine.empty:
        return pd.DataFrame(index=index)
    return mine.set_index("bin_start").drop(index=list(holes), errors="ignore").reindex(index)


def holes(minutes: pd.DataFrame, engines: pd.DataFrame) -> list[pd.Timestamp]:
    """Minutes that lack one of these engines, or half of one, which was there before and after: what the others did
    then is not what all of them did."""
    if minutes.empty or engines.empty:
        return []
    mine = minutes[[*ENGINE, "bin_start", "coverage_s"]].merge(engines[ENGINE], on=ENGINE)
    if mine.empty:
        return []
    seen = mine.pivot_table(index="bin_start", columns=ENGINE, values="coverage_s", aggfunc="sum")
    seen = seen.astype(float).reindex(pd.date_range(seen.index.min(), seen.index.max(), freq="min"))
    is_within = seen.ffill().notna() & seen.bfill().notna()
    is_thin = seen.fillna(0.0).le(seen.max(axis=1).fillna(0.0) * THIN_FRACTION, axis=0)
    return list(seen.index[(is_within & is_thin).any(axis=1)])


def _kv_p95(minutes: pd.DataFrame) -> dict[str, float]:
    """The p95 of the minutes' p95: that of the half hour may be their mean, which hides a peak."""
    values = minutes.get("kv_usage_p95_fraction", pd.Series(dtype=float)).dropna().astype(float)
    return {"kv_usage_p95_fraction": float(values.quantile(0.95))} if len(values) else {}


def _idle(engines: pd.DataFrame) -> tuple[str, ...]:
    if engines.empty:
        return ()
    is_idle = (engines["idle_fraction"].astype(float) >= IDLE_FRACTION) & (engines["observed_s"] >= LEAST_OBSERVED_S)
    return tuple(engines.loc[is_idle, "replica"])


def _devices(devices: pd.DataFrame, key: str) -> dict[str, float]:
    """Means over the deployment's GPUs, of those that export the gauge."""
    if devices.empty:
        return {}
    mine = devices[devices["deployment_key"] == key]
    means = {name: mine[name].astype(float).mean() for name in DEVICE_GAUGES if name in mine}
    return {name: float(mean) for name, mean in means.items() if mean == mean}


def is_failing(row: Row) -> bool:
    """Whether a replica tells nothing at the moment: its last scrape failed, nobody asks, or it exports no engine."""
    return row.get("state") in SILENT or bool(words(row.get("why")))


def newest_at(frames: Frames) -> datetime | None:
    """The newest scrape that brought anything."""
    moments = pd.to_datetime(frames.recent["newest_at"], utc=True).dropna() if len(frames.recent) else []
    return max(moments).to_pydatetime() if len(moments) else None
