"""The past, from a server that kept it: raw samples of a Prometheus-compatible server become what engines did.

Chunks are read oldest first. Each is stored with the state it leaves the engines in, and then noted; a backfill that
is cut off anywhere goes on from there, and one that is done adds nothing when it is run again. A server's history
ends where what is stored of it begins: nothing is counted twice.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import numpy as np

from collectors.base import PageRefused, ScrapeFailure, Target
from collectors.ingest import row_of, source_of
from collectors.names import ModelNames, rows_of
from collectors.plausible import refuse_implausible
from collectors.prometheus.http import TOO_MUCH, PrometheusClient, PrometheusLimits
from collectors.prometheus.query import PrometheusOptions
from collectors.prometheus.series import Found, found_in
from collectors.sources.prometheus import ALIASES, client_of, options_of, read
from collectors.watch import SLOW_WORDS
from costlib.errors import ConfigError, RetryLater
from costlib.history import EngineHistory, HistoryIncreases, increases
from costlib.telemetry import EnginePage, is_same_engine
from costlib.units import MEGA, SECONDS_PER_DAY, SECONDS_PER_HOUR
from store.records import BackfillJob, Scrape, ScrapeRun, TargetRow

Said = TypeVar("Said")
Identity = tuple[str, str, str]
# What the API of Prometheus gives of one series at most, and a size of answer that is read in a second or two.
POINTS_COUNT = 11_000
SAMPLES_COUNT = 2 * MEGA
SHORTEST_CHUNK_S = 60.0
TRIES_COUNT = 4
DEFAULT_EVERY_S = 15.0  # for a chunk that has no two samples of any engine


class Store(Protocol):
    """The part of `store.writer.Writer` that a backfill needs."""

    def engine_pages(self, stream: str = "live") -> list[EnginePage]: ...
    def add_scrapes(self, scrapes: Sequence[Scrape], stream: str = "live") -> list[Exception | None]: ...
    def name_targets(self, rows: Sequence[TargetRow]) -> None: ...
    def backfill(self, source_key: str) -> BackfillJob | None: ...
    def set_backfill(self, job: BackfillJob) -> None: ...
    def first_sample_at(self, target_keys: Sequence[str]) -> datetime | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """After one chunk. How many there are is known better with each."""

    chunk: int
    chunks_count: int
    samples_count: int  # so far, of all engines
    done_to: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillReport:
    """What a backfill did. `stopped` says why it is not done; run again, it goes on from `done_to`."""

    from_at: datetime
    to_at: datetime
    done_to: datetime
    samples_count: int = 0
    stopped: str | None = None
    remarks: Sequence[str] = ()

    @property
    def text(self) -> str:
        span = f"{self.from_at:%Y-%m-%d %H:%M} to {self.to_at:%Y-%m-%d %H:%M} UTC"
        if self.stopped:
            return f"{span}: stopped at {self.done_to:%Y-%m-%d %H:%M}. {self.stopped} Run it again to go on from there."
        added = f"{self.samples_count:,} samples added" if self.samples_count else "nothing added, all of it was there"
        return f"{span}: {added}."


@dataclass(slots=True)
class _Work:
    """A backfill under way."""

    store: Store
    target: Target
    options: PrometheusOptions
    client: PrometheusClient
    job: BackfillJob
    names: ModelNames
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    pages: dict[Identity, EnginePage] = field(default_factory=dict)
    borders: dict[str, BackfillJob | None] = field(default_factory=dict)
    remarks: dict[str, None] = field(default_factory=dict)
    samples_count: int = 0


def backfill(
    store: Store,
    target: Target,
    start: datetime,
    end: datetime,
    clock: Callable[[], datetime],
    on_progress: Callable[[Progress], None] = lambda progress: None,
    *,
    names: ModelNames | None = None,
    limits: PrometheusLimits | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> BackfillReport:
    """Stores what `target`, a Prometheus source, kept of its servers in (start, end]. Blocks, for minutes.

    Run it before the source is collected live: then the live scrapes go on from where it ends, without a seam. One that
    was not finished goes on with its own start and end. Raises ConfigError for a call that cannot be; whatever the
    server does is in the report.
    """
    if start.tzinfo is None or end.tzinfo is None or not start < end:
        raise ConfigError(
            f"a backfill from {start} to {end} is none: give two times with their zone, the first earlier."
        )
    options, client = options_of(target), client_of(target, limits)
    source_key = source_of(target)
    try:
        known = store.backfill(source_key)
        if known is not None and known.done_to >= known.to_at and known.from_at <= start:
            return BackfillReport(from_at=known.from_at, to_at=known.to_at, done_to=known.done_to)
        is_new = known is None or known.done_to >= known.to_at
        job = known if known is not None and not is_new else _new_job(known, source_key, start, end)
        work = _Work(store, target, options, client, job, names or ModelNames(), clock, sleep)
        try:
            if is_new:
                _begin(work)
            stopped = _run(work, on_progress)
        except ScrapeFailure as failure:
            stopped = str(failure)
        job = work.job
        return BackfillReport(
            from_at=job.from_at,
            to_at=job.to_at,
            done_to=job.done_to,
            samples_count=work.samples_count,
            stopped=stopped,
            remarks=tuple(work.remarks),
        )
    finally:
        client.close()


def _new_job(known: BackfillJob | None, source_key: str, start: datetime, end: datetime) -> BackfillJob:
    """What lies before a backfill that is done, or all of it."""
    return BackfillJob(source_key=source_key, from_at=start, to_at=known.from_at if known else end, done_to=start)


def _begin(work: _Work) -> None:
    """Notes, before anything is stored, where the history of each server has to end."""
    job, options = work.job, work.options
    start_s, end_s = job.from_at.timestamp(), job.to_at.timestamp()
    selector = options.engine_selector(ALIASES)
    servers = _tried(work, lambda: work.client.label_values(options.target_label, selector, start_s, end_s))
    read_as = {server: [server] for server in servers}
    live = work.store.engine_pages()
    if live:
        newest = _tried(work, lambda: read(work.client, options, max(start_s, end_s - options.lookback_s), end_s))
        for history in found_in(newest.engines, newest.starts, ALIASES, options).histories:
            last = increases(history, None, DEFAULT_EVERY_S).last_page
            twins = [page.target_key for page in live if last is not None and is_same_engine(page, last)]
            read_as.setdefault(history.target_key, [history.target_key]).extend(twins)
    for server, keys in read_as.items():
        border = work.store.first_sample_at(keys)
        if border is not None and border <= job.to_at:
            work.store.set_backfill(_note(job, server, border))
    work.store.set_backfill(job)


def _note(job: BackfillJob, of: str, at: datetime) -> BackfillJob:
    """Something to remember until the job is done: the end of one server's history, the first sample of all."""
    return BackfillJob(source_key=f"{job.source_key}#{of}", from_at=job.from_at, to_at=at, done_to=at)


def _noted(work: _Work, of: str) -> datetime | None:
    if of not in work.borders:
        note = work.store.backfill(f"{work.job.source_key}#{of}")
        work.borders[of] = note if note is not None and note.from_at == work.job.from_at else None
    note = work.borders[of]
    return note.to_at if note else None


def _run(work: _Work, on_progress: Callable[[Progress], None]) -> str | None:
    """Chunk after chunk; returns why it stopped early."""
    job = work.job
    work.pages = {page.identity: page for page in work.store.engine_pages(job.stream)}
    span_s, chunk = SECONDS_PER_HOUR, 0
    while work.job.done_to < job.to_at:
        begin, end = work.job.done_to, _chunk_end(work.job, span_s)
        start_s = begin.timestamp() - work.options.lookback_s
        try:
            answer = _tried(work, lambda: read(work.client, work.options, start_s, end.timestamp()))  # noqa: B023
        except ScrapeFailure as failure:
            if failure.word != TOO_MUCH or span_s < 2 * SHORTEST_CHUNK_S:
                raise
            span_s = (end - begin).total_seconds() / 2
            continue
        work.remarks |= dict.fromkeys(answer.warnings)
        found = found_in(answer.engines, answer.starts, ALIASES, work.options)
        error = _store(work, found, begin, end)
        if error is not None:
            return f"It could not be stored: {error}."
        span_s = _next_span_s(found.histories, len(answer.engines) + len(answer.starts), span_s)
        chunk += 1
        left = -int(-(job.to_at - end).total_seconds() // span_s)
        on_progress(Progress(chunk=chunk, chunks_count=chunk + left, samples_count=work.samples_count, done_to=end))
    return None


def _chunk_end(job: BackfillJob, span_s: float) -> datetime:
    """The end of the next chunk, at a full hour where there is one: an hour is summed up once, when it is whole."""
    end_s = job.done_to.timestamp() + span_s
    hour_s = end_s // SECONDS_PER_HOUR * SECONDS_PER_HOUR
    end = datetime.fromtimestamp(hour_s if hour_s > job.done_to.timestamp() else end_s, UTC)
    return min(end, job.to_at)


def _next_span_s(histories: Sequence[EngineHistory], series_count: int, span_s: float) -> float:
    """As long as no series has more points, and all together no more samples, than one answer should hold."""
    intervals = [every_s for history in histories if (every_s := history.every_s)]
    if not intervals:
        return min(2 * max(span_s, SECONDS_PER_HOUR), SECONDS_PER_DAY)
    longest_s = min(intervals) * min(POINTS_COUNT, SAMPLES_COUNT / max(1, series_count))
    return max(SECONDS_PER_HOUR, longest_s // SECONDS_PER_HOUR * SECONDS_PER_HOUR)


def _tried(work: _Work, ask: Callable[[], Said]) -> Said:
    """What the server answers, asked again after a while where that may help."""
    for tries in range(1, TRIES_COUNT + 1):
        try:
            return ask()
        except ScrapeFailure as failure:
            may_help = isinstance(failure, RetryLater) and failure.word not in {TOO_MUCH, *SLOW_WORDS}
            if not may_help or tries == TRIES_COUNT:
                raise
            work.sleep(failure.retry_after_s or 2.0**tries)
    raise AssertionError("unreachable")


def _store(work: _Work, found: Found, begin: datetime, end: datetime) -> Exception | None:
    """Stores one chunk, and then that it is stored: cut off in between, it is read again and changes nothing."""
    started_at = work.clock()
    rows, pages = _increments(work, found, begin.timestamp(), end.timestamp())
    work.remarks |= dict.fromkeys(found.remarks)
    samples_count = sum(len(history.times_s) for history in rows)
    work.store.name_targets(
        [row_of(work.target, server, labels) for server, labels in found.labels.items() if not _noted(work, server)]
    )
    run = ScrapeRun(
        source_key=work.job.source_key,
        target_key=work.target.key,
        started_at=started_at,
        finished_at=work.clock(),
        rows_count=samples_count,
        error="; ".join(found.remarks) or None,
        kind="backfill",
        is_sample=work.target.is_sample,
    )
    (failure,) = work.store.add_scrapes([Scrape(run=run, pages=list(pages.values()), histories=rows)], work.job.stream)
    if failure is not None:
        return failure
    work.pages |= pages
    work.samples_count += samples_count
    if end >= work.job.to_at:
        _hand_over(work, run)
    work.job = replace(work.job, done_to=end)
    work.store.set_backfill(work.job)
    return None


def _increments(
    work: _Work, found: Found, begin_s: float, end_s: float
) -> tuple[list[HistoryIncreases], dict[Identity, EnginePage]]:
    """What the engines did in (begin_s, end_s], and the pages they end with."""
    watched = _noted(work, "")
    watched_s = watched.timestamp() if watched else None
    rows: list[HistoryIncreases] = []
    pages: dict[Identity, EnginePage] = {}
    for history in found.histories:
        border = _noted(work, history.target_key)
        until_s = min(end_s, np.nextafter(border.timestamp(), 0.0)) if border else end_s
        for named in work.names.history(history):
            before = pages.get(named.identity) or work.pages.get(named.identity)
            after_s = max(begin_s, before.scraped_at.timestamp()) if before else begin_s
            new = rows_of(named, (named.times_s > after_s) & (named.times_s <= until_s))
            if not len(new.times_s):
                continue
            if watched_s is None:
                watched_s = _watched_since(work, found, begin_s)
            increments = increases(new, before, history.every_s or DEFAULT_EVERY_S, watched_s)
            try:
                refuse_implausible(increments)
            except PageRefused as refusal:
                work.remarks[str(refusal)] = None
                continue
            rows.append(increments)
            if increments.last_page is not None:
                pages[named.identity] = increments.last_page
    return rows, pages


def _watched_since(work: _Work, found: Found, begin_s: float) -> float:
    """The first sample of all: what a process that started before it had counted then, is not known when it counted."""
    first_s = max(begin_s, min(float(history.times_s[0]) for history in found.histories))
    note = _note(work.job, "", datetime.fromtimestamp(first_s, UTC))
    work.store.set_backfill(note)
    work.borders[""] = note
    return first_s


def _hand_over(work: _Work, run: ScrapeRun) -> None:
    """The live scrapes go on from the last pages of servers that nobody scrapes yet."""
    known = {page.identity for page in work.store.engine_pages()}
    recent = work.job.to_at - timedelta(seconds=work.options.lookback_s)
    pages = [
        page
        for page in work.pages.values()
        if page.identity not in known and not _noted(work, page.target_key) and page.scraped_at > recent
    ]
    if pages:
        work.store.add_scrapes([Scrape(run=replace(run, rows_count=0), pages=pages)])
