"""The questions about servers: which there are, do they answer, what do their engines and GPUs say of themselves."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
from sqlalchemy import Connection, Row, and_, func, select, union_all

from costlib.telemetry import GAP_AFTER_INTERVALS_RATIO
from costlib.windows import DataState, state_of
from store.engine import aware, naive
from store.pages import facts_from
from store.records import RUN_OK
from store.rollup import devices_over_time, of_device_samples
from store.schema import (
    device_hour,
    device_page,
    device_sample,
    engine_change,
    engine_page,
    run_log,
    target,
    usage_hour,
    usage_minute,
)
from store.sql import frame

# A server that does not answer is asked again within this (collectors/run.py).
_RETRIED_WITHIN_S = 330.0
_SCRAPE = "scrape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One server, as it was named or as its runs name it."""

    target_key: str
    source_key: str
    deployment_key: str
    labels: dict[str, str]
    first_seen_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The newest run that tells about a server, and the newest that worked."""

    finished_at: datetime
    state: str
    error: str
    every_s: float | None
    last_success_at: datetime | None
    first_at: datetime


# The server answered, and in the second case has no engine series to tell.
_ANSWERED = (RUN_OK, str(DataState.NOT_EXPORTED))


class Servers:
    """Every server that was named, measured or asked, and whether it answers, as of `now`."""

    def __init__(self, connection: Connection, end: datetime, now: datetime) -> None:
        self._now = now
        self.known = {row.target_key: _known(row) for row in connection.execute(select(target))}
        runs = _runs(connection, end)
        by_source = {source_key: run for (source_key, _), run in runs.items()}
        by_target = {target_key: run for (_, target_key), run in runs.items()}
        self._runs = {
            key: run
            for key, server in self.known.items()
            if (run := by_target.get(key) or by_source.get(server.source_key))
        }
        # What was asked and is no server of engines: a Prometheus that told of servers, an exporter of GPUs.
        tells = {server.source_key for key, server in self.known.items() if key not in by_target}
        devices = set(connection.scalars(select(device_page.c.target_key).distinct()))
        engines = set(connection.scalars(select(engine_page.c.target_key).distinct()))
        self._not_servers = devices - engines
        for (source_key, target_key), run in runs.items():
            if source_key in tells and target_key not in engines:
                self.known.pop(target_key, None)
                self._runs.pop(target_key, None)
            elif target_key not in self.known:
                self._runs[target_key] = run
                self.known[target_key] = Known(
                    target_key=target_key,
                    source_key=source_key,
                    deployment_key=target_key,
                    labels={},
                    first_seen_at=None,
                )

    @property
    def first_seen(self) -> dict[str, datetime]:
        return {key: server.first_seen_at for key, server in self.known.items() if server.first_seen_at}

    def deployment_of(self, target_key: str) -> str:
        return self.known[target_key].deployment_key

    def of_group(self, key: str) -> list[str]:
        """The servers that a target key, or a deployment key, stands for."""
        found = [name for name, server in self.known.items() if key in (name, server.deployment_key)]
        return [name for name in found if name in self._runs]

    def asked(self, start: datetime, end: datetime) -> set[str]:
        return {
            key
            for key, run in self._runs.items()
            if key not in self._not_servers and run.finished_at >= start and run.first_at < end
        }

    def is_failing(self, target_key: str, start: datetime, end: datetime) -> bool:
        run = self._runs.get(target_key)
        return run is not None and run.state not in _ANSWERED and start <= run.finished_at < end

    def is_overdue(self, target_key: str, end: datetime) -> bool:
        """Whether the window is not over, and nobody has asked the server for longer than it should take."""
        run = self._runs.get(target_key)
        if run is None or run.every_s is None or end < self._now:
            return False
        allowed_s = run.every_s * GAP_AFTER_INTERVALS_RATIO
        if run.state != RUN_OK:
            allowed_s = max(allowed_s, _RETRIED_WITHIN_S)
        return (self._now - run.finished_at).total_seconds() > allowed_s

    def why(self, target_key: str) -> str:
        """What its newest scrape had to say; nothing of a server that was never scraped."""
        run = self._runs.get(target_key)
        return run.error if run else ""

    def last_success_at(self, target_key: str) -> datetime | None:
        run = self._runs.get(target_key)
        return run.last_success_at if run else None

    def last_error(self, target_key: str) -> str | None:
        run = self._runs.get(target_key)
        return run.error if run and run.state != RUN_OK else None


def targets(connection: Connection, servers: Servers, now: datetime) -> pd.DataFrame:
    newest = _newest(connection)
    first = datetime.min.replace(tzinfo=now.tzinfo)
    rows = []
    for key, server in sorted(servers.known.items()):
        state = state_of(
            samples_count=int(key in newest),
            gap_s=0.0,
            restarts_count=0,
            observed_fraction=1.0,
            is_failing=servers.is_failing(key, first, now + timedelta(days=1)),
            is_overdue=servers.is_overdue(key, now),
        )
        rows.append(
            {
                "target_key": key,
                "source_key": server.source_key,
                "deployment_key": server.deployment_key,
                "labels": server.labels,
                "state": str(state),
                "last_success_at": servers.last_success_at(key),
                "last_error": servers.last_error(key),
                "newest_at": newest.get(key),
            }
        )
    names = ("target_key", "source_key", "deployment_key", "labels", "state", "last_success_at", "last_error")
    found = pd.DataFrame(rows, columns=[*names, "newest_at"])
    for name in ("last_success_at", "newest_at"):
        found[name] = pd.to_datetime(found[name], utc=True).astype("datetime64[us, UTC]")
    return found


def engines(connection: Connection) -> pd.DataFrame:
    page = engine_page.c
    names = ("target_key", "model_key", "engine_key", "scraped_at", "started_at", "facts")
    ordered = select(*(page[name] for name in names)).order_by(page.target_key, page.model_key, page.engine_key)
    found = frame(connection, ordered)
    return found.assign(facts=[facts_from(text) for text in found["facts"]])


def changes(connection: Connection, start: datetime, end: datetime) -> pd.DataFrame:
    c = engine_change.c
    named = engine_change.outerjoin(target, target.c.target_key == c.target_key)
    deployment_key = func.coalesce(target.c.deployment_key, c.target_key).label("deployment_key")
    engine = (c.target_key, c.model_key, c.engine_key)
    found = frame(
        connection,
        select(deployment_key, *engine, c.changed_at, c.fact, c.before, c.after)
        .select_from(named)
        .where(c.changed_at >= naive(start), c.changed_at < naive(end))
        .order_by(c.changed_at, *engine, c.fact),
    )
    sides = found[["before", "after"]].astype(object)
    return found.assign(**sides.where(sides.notna(), None))


def devices(connection: Connection, start: datetime, end: datetime, bin: str, from_samples: bool) -> pd.DataFrame:
    keys = ("target_key", "device_key")
    if from_samples:
        scraped_at = device_sample.c.scraped_at
        within = and_(scraped_at >= naive(start), scraped_at < naive(end))
        rows = of_device_samples(device_sample, None).where(within).subquery()
    else:
        bin_start = device_hour.c.bin_start
        rows = select(device_hour).where(bin_start >= naive(start), bin_start < naive(end)).subquery()
    keys = keys if bin == "total" else ("bin_start", *keys)
    found = frame(connection, devices_over_time(rows, keys).order_by(*keys))
    facts = {(row.target_key, row.device_key): facts_from(row.facts) for row in connection.execute(select(device_page))}
    named = connection.execute(select(target.c.target_key, target.c.deployment_key))
    deployments = {row.target_key: row.deployment_key for row in named}
    return found.assign(
        deployment_key=[deployments.get(key, key) for key in found["target_key"]],
        facts=[facts.get(key, {}) for key in zip(found["target_key"], found["device_key"], strict=True)],
    )


def _known(row: Row) -> Known:
    return Known(
        target_key=row.target_key,
        source_key=row.source_key,
        deployment_key=row.deployment_key,
        labels=json.loads(row.labels or "{}"),
        first_seen_at=aware(row.first_seen_at),
    )


def _runs(connection: Connection, end: datetime) -> dict[tuple[str, str], Run]:
    """Of each source and server the newest scrape that ended before `end`."""
    r = run_log.c
    before = and_(r.kind == _SCRAPE, r.finished_at < naive(end))
    order = func.row_number().over(partition_by=(r.source_key, r.target_key), order_by=r.finished_at.desc())
    newest = select(r.source_key, r.target_key, r.finished_at, r.state, r.error, r.every_s, order.label("place"))
    ranked = newest.where(before).subquery()
    success = func.max(r.finished_at).filter(r.state == RUN_OK)
    ever = (
        select(r.source_key, r.target_key, success.label("success"), func.min(r.finished_at).label("first_at"))
        .where(before)
        .group_by(r.source_key, r.target_key)
        .subquery()
    )
    joined = ranked.join(ever, and_(ever.c.source_key == ranked.c.source_key, ever.c.target_key == ranked.c.target_key))
    rows = connection.execute(
        select(ranked, ever.c.success, ever.c.first_at)
        .select_from(joined)
        .where(ranked.c.place == 1)
        .order_by(ranked.c.finished_at)
    )
    return {
        (row.source_key, row.target_key): Run(
            finished_at=aware(row.finished_at),
            state=row.state,
            error=row.error or "",
            every_s=row.every_s,
            last_success_at=aware(row.success),
            first_at=aware(row.first_at),
        )
        for row in rows
    }


def _newest(connection: Connection) -> dict[str, datetime]:
    tables = (usage_hour, usage_minute)
    parts = union_all(
        *(select(table.c.target_key, table.c.newest_at, table.c.bin_start) for table in tables),
        select(device_page.c.target_key, device_page.c.scraped_at, device_page.c.scraped_at),
    ).subquery()
    at = func.max(func.coalesce(parts.c.newest_at, parts.c.bin_start))
    return {
        key: aware(moment) for key, moment in connection.execute(select(parts.c.target_key, at).group_by("target_key"))
    }
