"""What the tests of the prometheus source and of the backfill share: series to serve, and a store in memory."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from collectors.base import CollectContext, Target
from collectors.sources.prometheus import COLLECTOR
from costlib.history import increases
from tests.collectors.collector_support import NOON
from tests.fake_prometheus import series_of

NOON_S = NOON.timestamp()
SERVER = "gpu-1:8000"
STARTED_S = NOON_S - 1000.0


def target(url, **options):
    return Target(key="prom", url=url, source_key="prometheus", options=options)


def readings(server, at_s=300.0, since_s=None, **options):
    """One tick of a source that reads `server`, at `at_s` after noon."""
    ctx = CollectContext(
        target=target(server.url, **options),
        scraped_at=NOON + timedelta(seconds=at_s),
        since=None if since_s is None else NOON + timedelta(seconds=since_s),
    )
    return COLLECTOR.parse(asyncio.run(COLLECTOR.fetch(ctx)), ctx)


def totals(histories, every_s=15.0):
    """What the engines counted, each over its own stretches."""
    found, last = {}, {}
    for history in histories:
        columns = increases(history, last.get(history.identity), every_s)
        last[history.identity] = columns.last_page
        for name, values in columns.counters.items():
            found[name] = found.get(name, 0.0) + float(np.nansum(values))
    return found


def states(histories):
    columns = [increases(history, None, history.every_s or 15.0) for history in histories]
    return [state for found in columns for state in found.states]


def counter(at_s, values, name="vllm:prompt_tokens_total", **labels):
    """A counter of one engine, with its times in seconds after noon."""
    given = {"__name__": name, "instance": SERVER, "job": "vllm", "model_name": "m", "engine": "0", **labels}
    return series_of({k: v for k, v in given.items() if v is not None}, NOON_S + np.asarray(at_s, float), values)


def start_time(at_s, values=None, **labels):
    values = [STARTED_S] * len(at_s) if values is None else values
    given = {"__name__": "process_start_time_seconds", "instance": SERVER, "job": "vllm", **labels}
    return series_of(given, NOON_S + np.asarray(at_s, float), values)


TICKS = np.arange(0.0, 300.0, 15.0)


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Memory:
    """What a Writer keeps of a backfill. `dies_at` names the call, counted from 1, at which the process ends."""

    streams: dict = field(default_factory=dict)
    rows: dict = field(default_factory=dict)
    states: dict = field(default_factory=dict)
    jobs: dict = field(default_factory=dict)
    named: dict = field(default_factory=dict)
    firsts: dict = field(default_factory=dict)  # of servers scraped live
    dies_at: int = -1
    calls: int = 0

    def engine_pages(self, stream="live"):
        return list(self.streams.get(stream, {}).values())

    def add_scrapes(self, scrapes, stream="live"):
        self._live_or_die()
        kept = self.streams.setdefault(stream, {})
        for scrape in scrapes:
            for history in scrape.histories:
                identity = (history.target_key, history.model_key, history.engine_key)
                before = kept.get(identity)
                after_s = before.scraped_at.timestamp() if before else -np.inf
                for row, at_s in enumerate(history.times_s):
                    if at_s > after_s:
                        assert (*identity, at_s) not in self.rows, "the same sample twice"
                        counted = {name: values[row] for name, values in history.counters.items()}
                        self.rows[*identity, at_s] = counted
                        self.states[*identity, at_s] = history.states[row]
            kept |= {page.identity: page for page in scrape.pages}
        return [None for _ in scrapes]

    def name_targets(self, rows):
        self.named |= {row.target_key: row for row in rows}

    def backfill(self, source_key):
        return self.jobs.get(source_key)

    def set_backfill(self, job):
        self._live_or_die()
        before = self.jobs.get(job.source_key)
        if before is None or (before.from_at, before.to_at) != (job.from_at, job.to_at):
            self.streams.pop(job.stream, None)
        self.jobs[job.source_key] = job

    def first_sample_at(self, target_keys):
        stored = [datetime.fromtimestamp(key[-1], UTC) for key in self.rows if key[0] in target_keys]
        return min([*stored, *(self.firsts[key] for key in target_keys if key in self.firsts)], default=None)

    def total(self, name="prompt_tokens"):
        return sum(float(np.nan_to_num(row.get(name, 0.0))) for row in self.rows.values())

    def _live_or_die(self):
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
