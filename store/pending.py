"""Which bins wait to be rebuilt, and the mark by which they are found again after a kill.

Samples are stored at once; the bins they touch are rebuilt just before somebody is to see them. What is touched is kept
in memory, and the mark in `meta` says the same to the next process: every sample scraped before it is in its bins.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from store import rollup
from store.schema import device_sample, meta, usage_sample

ROLLED_UP_TO = "rolled_up_to"  # the key in `meta`; naive UTC, ISO 8601
_WIDTH = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "device_hour": timedelta(hours=1)}
_JUST_AFTER = timedelta(microseconds=1)

Span = tuple[datetime, datetime]


class Pending:
    """The touched bins, per width and target the first and the last scrape (naive UTC)."""

    def __init__(self, connection: Connection) -> None:
        """Call in a transaction: finds what the process before left."""
        self._spans: dict[str, dict[str, Span]] = {unit: {} for unit in _WIDTH}
        stored = connection.scalar(select(meta.c.value).where(meta.c.key == ROLLED_UP_TO))
        self.mark = datetime.fromisoformat(stored) if stored else None
        for table, units in ((usage_sample, ("minute", "hour")), (device_sample, ("device_hour",))):
            left = select(table.c.target_key, func.min(table.c.scraped_at), func.max(table.c.scraped_at))
            if self.mark:
                left = left.where(table.c.scraped_at >= self.mark)
            found = {key: (first, last) for key, first, last in connection.execute(left.group_by(table.c.target_key))}
            for unit in units:
                self.touch(unit, found)

    def lower_mark(self, connection: Connection, oldest: datetime) -> datetime | None:
        """In the transaction that adds samples from `oldest` on; returns what `mark` is once it is committed."""
        if self.mark is None or oldest >= self.mark:
            return self.mark
        _write_mark(connection, oldest)
        return oldest

    def touch(self, unit: str, spans: dict[str, Span]) -> None:
        for target_key, (first, last) in spans.items():
            known = self._spans[unit].get(target_key, (first, last))
            self._spans[unit][target_key] = min(known[0], first), max(known[1], last)

    def touch_samples(self, spans: dict[str, Span]) -> None:
        for unit in ("minute", "hour"):
            self.touch(unit, spans)

    def rebuild(self, connection: Connection, units: Iterable[str]) -> None:
        """Bring the bins of these widths up to date, in a transaction of its own."""
        units = [unit for unit in units if self._spans[unit]]
        if not units:
            return
        mark = self.mark
        with connection.begin():
            self.rebuild_within(connection, units)
            others_wait = any(self._spans[unit] for unit in _WIDTH if unit not in units)
            if not others_wait:
                newest = max(last for unit in units for _, last in self._spans[unit].values())
                mark = max(newest + _JUST_AFTER, mark or newest)
                _write_mark(connection, mark)
        self.mark = mark
        for unit in units:
            self._spans[unit].clear()

    def rebuild_within(self, connection: Connection, units: Iterable[str]) -> None:
        """`rebuild` within the transaction that is open; what waits keeps waiting, and is rebuilt again."""
        for unit in units:
            for (first, last), target_keys in self._regions(unit):
                rollup.refresh(connection, unit, target_keys, first, last)

    def _regions(self, unit: str) -> Iterator[tuple[Span, list[str]]]:
        """Targets that wait for the same bins are rebuilt together."""
        together: dict[Span, list[str]] = defaultdict(list)
        for target_key, (first, last) in self._spans[unit].items():
            together[_floor(first, unit), _floor(last, unit)].append(target_key)
        yield from together.items()


def _floor(moment: datetime, unit: str) -> datetime:
    start = moment.replace(second=0, microsecond=0)
    return start if unit == "minute" else start.replace(minute=0)


def _write_mark(connection: Connection, mark: datetime) -> None:
    connection.execute(delete(meta).where(meta.c.key == ROLLED_UP_TO))
    connection.execute(insert(meta).values(key=ROLLED_UP_TO, value=mark.isoformat()))
