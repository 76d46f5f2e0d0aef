"""The questions about the collector's own work, as statements over a snapshot."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select

from costlib.telemetry import GAP_AFTER_INTERVALS_RATIO
from costlib.units import SECONDS_PER_DAY
from store.engine import naive
from store.records import RUN_OK
from store.schema import run_log
from store.sql import seconds_between

LATE = "late"  # the last run was good, but the next is overdue

_SHOWN = ("source_key", "kind", "target_key", "started_at", "finished_at", "state", "rows_count", "error", "every_s")


def sources(now: datetime) -> Select:
    """State is LATE or that of the newest run; a gap is a distance between two successes that telemetry calls one."""
    moment = literal(naive(now))
    since = literal(naive(now) - timedelta(seconds=SECONDS_PER_DAY))
    good = run_log.c.state == RUN_OK
    source, finished_at = (run_log.c.source_key, run_log.c.kind), run_log.c.finished_at
    previous_good = func.lag(finished_at).over(partition_by=(*source, good), order_by=finished_at)
    runs = (
        select(
            *(run_log.c[name] for name in ("source_key", "kind", "finished_at", "rows_count", "every_s", "error")),
            good.label("good"),
            seconds_between(previous_good, run_log.c.finished_at).label("since_good_s"),
            _newest(run_log.c.state, source).label("newest_state"),
            _newest(run_log.c.every_s, source).label("newest_every_s"),
        )
        .where(run_log.c.finished_at <= moment)
        .subquery()
    )
    r = runs.c
    today = r.finished_at > since
    allowed_s = r.newest_every_s * GAP_AFTER_INTERVALS_RATIO
    last_success_at = func.max(case((r.good, r.finished_at)))
    last_error_at = func.max(case((~r.good, r.finished_at)))
    newest_state, every_s = func.max(r.newest_state), func.max(r.newest_every_s)
    overdue = seconds_between(last_success_at, moment) > every_s * GAP_AFTER_INTERVALS_RATIO
    return (
        select(
            r.source_key,
            r.kind,
            case((and_(newest_state == RUN_OK, overdue), LATE), else_=newest_state).label("state"),
            last_success_at.label("last_success_at"),
            func.max_by(r.error, r.finished_at).filter(~r.good).label("last_error"),
            last_error_at.label("last_error_at"),
            func.count(case((and_(r.good, today, r.since_good_s > allowed_s), 1))).label("gaps_count"),
            func.coalesce(func.sum(case((today, r.rows_count))), 0).label("rows_count"),
            every_s.label("expected_every_s"),
        )
        .group_by(r.source_key, r.kind)
        .order_by(r.source_key)
    )


def _newest(column: ColumnElement[Any], source: Sequence[ColumnElement[str]]) -> ColumnElement[Any]:
    return func.first_value(column).over(partition_by=source, order_by=run_log.c.finished_at.desc())


def runs(limit: int) -> Select:
    return select(*(run_log.c[name] for name in _SHOWN)).order_by(run_log.c.started_at.desc()).limit(limit)
