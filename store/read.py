"""Reading what was published. Pages and reading commands use a Snapshot, never the live file.

Every method aggregates in the database and takes aware times, start included and end excluded. Frames have aware UTC
times, whole numbers as Int64 (unknown is <NA>), rates and means as floats (unknown is NaN), and money as Decimal.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import pandas as pd
from sqlalchemy import Connection, Engine, Select, func, select
from sqlalchemy.exc import DBAPIError

from costlib.books import ChargeGroup, TeamUse
from costlib.errors import ConfigError, RetryLater, UnknownKey
from store import locks, read_bills, read_money, read_runs, read_targets, read_usage, read_windows, sample
from store.engine import aware, open_published
from store.home import Home
from store.read_windows import Reach, Window
from store.records import LedgerEntry
from store.schema import SCHEMA_VERSION, meta, usage_hour, usage_sample
from store.sql import frame

Bin = Literal["minute", "hour", "day", "total"]
Per = Literal["engine", "target", "deployment", "model"]
CostBasis = Literal["billed", "effective"]
Axis = Literal["billing", "charge"]

_DEVICE_BINS = ("hour", "total")
# Scrapes that ended while the snapshot was being made count as ended.
_CLOCK_SLACK = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotStatus:
    """What one snapshot covers. A bound is None where there is nothing."""

    id: str
    published_at: datetime
    is_sample: bool
    usage_from: datetime | None
    usage_to: datetime | None
    charges_from: datetime | None
    charges_to: datetime | None
    currencies: tuple[str, ...]


class Snapshot:
    """One published state, for as long as this object lives: also after newer ones replaced it and its file is gone.

    Safe to share between threads; every question has its own connection.
    """

    def __init__(self, path: Path, charges: Path, engine: Engine, held: Connection) -> None:
        # `held` keeps the file's content reachable after the writer has removed its name. Charges keep theirs.
        self.path, self._charges, self._engine, self._held = path, charges, engine, held
        facts = {row.key: row.value for row in held.execute(select(meta))}
        held.rollback()
        self.id: str = facts["snapshot_id"]
        self.published_at = datetime.fromisoformat(facts["published_at"]).replace(tzinfo=UTC)
        self.is_sample = facts.get(sample.CONTENT) == sample.SAMPLE
        _check_version(path, int(facts["schema_version"]))
        samples_kept = timedelta(seconds=float(facts["samples_kept_s"]))
        self._reach = Reach.of(self.published_at, samples_kept, self.is_sample)

    def close(self) -> None:
        self._held.close()
        self._engine.dispose()

    def __enter__(self) -> "Snapshot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def status(self) -> SnapshotStatus:
        return self._status

    @cached_property
    def _status(self) -> SnapshotStatus:
        with self._connection() as connection:
            hours = connection.execute(select(func.min(usage_hour.c.bin_start), func.max(usage_hour.c.bin_start))).one()
            newest_sample = connection.scalar(select(func.max(usage_sample.c.scraped_at)))
            billed = read_money.costs(connection, self._charges)
            period = select(func.min(billed.c.ChargePeriodStart), func.max(billed.c.ChargePeriodEnd))
            charges = connection.execute(period).one()
            currencies = connection.scalars(select(billed.c.BillingCurrency).distinct())
            return SnapshotStatus(
                id=self.id,
                published_at=self.published_at,
                is_sample=self.is_sample,
                usage_from=aware(hours[0]),
                usage_to=aware(newest_sample or (hours[1] and hours[1] + read_usage.HOUR)),
                charges_from=aware(charges[0]),
                charges_to=aware(charges[1]),
                currencies=tuple(sorted(currencies)),
            )

    # Measurements

    def windows(
        self, start: datetime, end: datetime, bin: Bin = "total", per: Per = "target", now: datetime | None = None
    ) -> pd.DataFrame:
        """What was measured in [start, end): one row per bin and group, models always apart.

        Keys       bin_start (not of "total"); then those of `per`: target_key, model_key, engine_key of an engine,
                   target_key, model_key of a target, deployment_key, model_key of a deployment, model_key of a model
        Sums       COUNTERS (Int64, or float where they end in _s, _flop, _bytes), samples_count, restarts_count,
                   observed_s, gap_s, coverage_s, busy_s
        Means      GAUGES over observed time: summed over engines, MEAN_GAUGES averaged;
                   kv_usage_p50_fraction, kv_usage_p95_fraction: of the samples, exact for one engine in one bin of the
                   store (a minute below an hour, else an hour, or a total of at most 30 minutes), else their mean;
                   kv_usage_max_fraction
        Latency    per histogram h: h_sum, h_count, h_p50, h_p90, h_p95, h_p99; a quantile is NaN where the buckets
                   changed or nothing was observed
        Rates      every key of `costlib.windows.derived`
        Worth      window_s; coverage_fraction: observed_s over the part of the window since the group was first seen;
                   state (a DataState as text) and why (the last error of a server that does not answer, else "");
                   newest_at

        A total has a row for each server that was asked in it and told nothing: every figure unknown, model_key None.
        Several engines, or servers, are observed while any of them is: observed_s is that of the one seen longest.
        Minutes reach two days back; hours and days all the way. A total of at most 30 minutes is of scrapes, a longer
        one that begins or ends within an hour is of minutes, where these reach; else of the hours that begin in it.
        `now` tells whether the window is over; the moment of publishing if it is left out.
        """
        asked_at = now or self.published_at
        window = Window(start=start, end=end, bin=bin, per=per)
        with self._connection() as connection:
            servers = read_targets.Servers(connection, end, asked_at)
            return read_windows.windows(connection, window, servers, self._reach)

    def sums(self, start: datetime, end: datetime, bin: Bin = "total", per: Per = "target") -> pd.DataFrame:
        """Keys, sums, means and rates of `windows`, of what told something: much less to add up."""
        with self._connection() as connection:
            return read_windows.sums(connection, Window(start=start, end=end, bin=bin, per=per), self._reach)

    def usage(self, start: datetime, end: datetime, bin: Bin = "hour") -> pd.DataFrame:
        """`windows` per target and model."""
        return self.windows(start, end, bin, "target")

    def usage_total(self, start: datetime, end: datetime) -> pd.DataFrame:
        """`windows` per target and model, one row for all of the time."""
        return self.windows(start, end, "total", "target")

    def targets(self, now: datetime | None = None) -> pd.DataFrame:
        """One row per server that was named, measured or asked, as of `now` (the moment of publishing if left out).

        target_key, source_key, deployment_key, labels (dict), state (a DataState as text), last_success_at,
        last_error (None when the newest scrape worked), newest_at (its newest measurement).
        """
        moment = now or self.published_at
        with self._connection() as connection:
            servers = read_targets.Servers(connection, moment + _CLOCK_SLACK, moment)
            return read_targets.targets(connection, servers, moment)

    def engines(self) -> pd.DataFrame:
        """One row per engine: target_key, model_key, engine_key, scraped_at, started_at, facts (dict)."""
        with self._connection() as connection:
            return read_targets.engines(connection)

    def changes(self, start: datetime, end: datetime) -> pd.DataFrame:
        """What engines said of themselves otherwise than before, in [start, end): one row per engine, moment and fact.

        deployment_key, target_key, model_key, engine_key, changed_at (the first scrape that said so), fact (vLLM's
        name), before, after: None where it was not said.
        """
        with self._connection() as connection:
            return read_targets.changes(connection, start, end)

    def devices(self, start: datetime, end: datetime, bin: Literal["hour", "total"] = "total") -> pd.DataFrame:
        """One row per GPU, and hour when `bin` is "hour".

        target_key, device_key, deployment_key, facts (dict), DEVICE_GAUGES (time means), energy_j, observed_s,
        newest_at. A total of at most 30 minutes is of scrapes where these reach, else of the hours that begin in it.
        """
        if bin not in _DEVICE_BINS:
            raise UnknownKey("bin width", bin, _DEVICE_BINS)
        with self._connection() as connection:
            from_samples = bin == "total" and start >= self._reach.samples_from
            return read_targets.devices(connection, start, end, bin, from_samples)

    def demand(self, start: datetime, end: datetime) -> pd.DataFrame:
        """One row per deployment and model: what was asked of its replicas in the hours that begin in the window.

        `target_key` is the key of the deployment.
        """
        return self._frame(read_usage.demand(start, end))

    def live(self, now: datetime, window_s: float) -> pd.DataFrame:
        """One row per scrape of the last `window_s` seconds (at most 30 minutes), summed over a target's engines.

        `ttft_p95_s` is of the whole window, and so the same in every row of a target and model.
        """
        with self._connection() as connection:
            return read_usage.live(connection, now, window_s)

    # Bills

    def daily_spend(
        self, start: datetime, end: datetime, basis: CostBasis = "billed", by: str = "ServiceName"
    ) -> pd.DataFrame:
        """day, key, currency, cost, unknown_count: charges by the UTC day they begin on, exact.

        `by` is a FOCUS text column, or the name of a tag; charges without it have key None. `unknown_count` says how
        many charges have no cost on this basis, and so are missing from `cost` (None when all are).
        """
        with self._connection() as connection:
            charges = read_money.costs(connection, self._charges)
            return frame(connection, read_bills.daily_spend(charges, start, end, basis, by))

    def spend_total(self, start: datetime, end: datetime, basis: CostBasis = "billed") -> dict[str, Decimal]:
        """The sum per currency, which are never added; one in which no charge has a cost on this basis is absent."""
        with self._connection() as connection:
            charges = read_money.costs(connection, self._charges)
            rows = connection.execute(read_bills.spend_total(charges, start, end, basis))
            return {currency: total for currency, total in rows if total is not None}

    def imports(self) -> pd.DataFrame:
        """One row per batch (provider, billing account, billing period) ever imported, newest first."""
        return self._frame(read_bills.imports())

    def charge_groups(self, month: str, axis: Axis = "billing") -> list[ChargeGroup]:
        """What was charged in a month (YYYY-MM), summed over charges that agree in all else; exact.

        `axis` tells whose month: that of the billing period, in which a correction is invoiced, or that in which what
        is charged for began.
        """
        with self._connection() as connection:
            return read_money.charge_groups(connection, self._charges, month, axis)

    def charge_groups_between(self, start: datetime, end: datetime) -> list[ChargeGroup]:
        """What was charged for [start, end), whatever month invoices it; as `charge_groups`.

        A charge whose period reaches beyond an edge is cut by time (see `costlib.charge_time`): windows that follow
        each other have all of it, to the last digit.
        """
        with self._connection() as connection:
            return read_money.charge_groups_between(connection, self._charges, start, end)

    def daily_charge_groups(self, start: datetime, end: datetime) -> dict[datetime, list[ChargeGroup]]:
        """`charge_groups_between` of each UTC day of [start, end), whole days, in one go."""
        with self._connection() as connection:
            return read_money.daily_charge_groups(connection, self._charges, start, end)

    def months(self) -> pd.DataFrame:
        """One row per billing month, provider and billing account, oldest first.

        month, provider, billing_account, currency, rows_count, billed, effective (None in several currencies), state,
        imported_at, versions_count, pending_count. `state` is "locked"; "final": the period was over when this was
        published, and every charge names its invoice; else "open": the provider may still add to it.
        """
        with self._connection() as connection:
            return read_money.months(connection, self.published_at)

    def restatements(self, month: str) -> pd.DataFrame:
        """What later deliveries of a month (YYYY-MM) changed: one row per version, service and currency that differs.

        provider, billing_account, service, currency, before, after, difference (billed), superseded_at: NaT where the
        new version waits beside a locked month.
        """
        with self._connection() as connection:
            return read_money.restatements(connection, self._charges, month)

    def gateway_use(self, start: datetime, end: datetime) -> list[TeamUse]:
        """What gateways say each team asked of each model: from their logs, whose cost is in no other answer."""
        with self._connection() as connection:
            return read_money.gateway_use(connection, self._charges, start, end)

    def ledger(self, month: str | None = None) -> list[LedgerEntry]:
        """What people wrote, of one month or of all, in the order of writing. See `store.ledger`."""
        with self._connection() as connection:
            return locks.entries(connection, month)

    # The collector's work

    def sources(self, now: datetime) -> pd.DataFrame:
        """One row per source: is it delivering? Counts are of the 24 hours before `now`."""
        return self._frame(read_runs.sources(now))

    def runs(self, limit: int = 100) -> pd.DataFrame:
        """The newest runs of all sources, newest first."""
        return self._frame(read_runs.runs(limit))

    def _frame(self, statement: Select) -> pd.DataFrame:
        with self._connection() as connection:
            return frame(connection, statement)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection


def open_snapshot(home: Home) -> Snapshot | None:
    """The newest published state; None when nothing was ever published in this home."""
    return _open(home, home.pointer)


def open_tail(home: Home) -> Snapshot | None:
    """The last half hour of minutes and five minutes of scrapes, newer than the snapshot; None when there is no tail.

    It answers `windows` (minutes and totals), `live`, `targets`, `engines` and `devices` (a total of at most five
    minutes); of hours and bills it holds nothing.
    """
    return _open(home, home.tail_pointer)


def _open(home: Home, pointer: Path) -> Snapshot | None:
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    path = home.serving / name
    engine = open_published(path)
    try:
        held = engine.connect()
    except DBAPIError as error:
        raise RetryLater(
            f"{path}, which {pointer} names, cannot be read: {str(error.orig).splitlines()[0][:200]}."
            " Try again; if it stays so, start `permillion collect` or import a file to publish anew."
        ) from error
    try:
        return Snapshot(path, home.charges, engine, held)
    except BaseException:
        held.close()
        raise


def snapshot_of(home: Home) -> Snapshot:
    """`open_snapshot` for a command that has nothing to say without one."""
    found = open_snapshot(home)
    if found is None:
        raise ConfigError(f"{home.path} holds nothing yet: collect from a server, import a bill, or load the demo.")
    return found


def _check_version(path: Path, found: int) -> None:
    if found > SCHEMA_VERSION:
        raise ConfigError(f"{path} was published by a newer Permillion; update this one.")
    if found < SCHEMA_VERSION:
        raise RetryLater(f"{path} was published by an older Permillion; start `permillion collect` to publish anew.")
