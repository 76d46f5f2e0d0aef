"""From what sources said to what is stored: names, increments, one path to each engine, nothing that cannot be.

The ledger holds the last cumulative state that the store took of every engine and GPU. Increments count from there and
nothing else moves it, so that what was not stored is in the next answer. It is used by one thread, the store's.
"""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np

from collectors.base import FetchFailed, Readings, ScrapeFailure, Target, excerpt
from collectors.names import ModelNames, rows_of
from collectors.paths import GATEWAYS, DuplicateEngine, Identity, Paths, Reader
from collectors.plausible import refuse_implausible
from costlib.devices import DevicePage, DeviceSample, device_sample
from costlib.history import EngineHistory, HistoryIncreases, increases
from costlib.telemetry import EnginePage, UsageSample, carried, usage_sample
from store.records import RUN_OK, Scrape, ScrapeRun, TargetRow

# An engine or GPU that was not seen for this long is forgotten; if it comes back, it begins as a new one.
FORGOTTEN_AFTER = timedelta(days=30)
# The interval of a source that keeps its own times is learned from this many of its last ones.
INTERVALS_COUNT = 9
REMARKS_SHOWN_COUNT = 5

log = logging.getLogger("permillion.collect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One attempt at one target, as it came."""

    target: Target
    scraped_at: datetime
    finished_at: datetime
    readings: Readings = field(default_factory=Readings)
    failure: ScrapeFailure | None = None
    remarks: Sequence[str] = ()  # of the loop's own


@dataclass(slots=True)
class _Found:
    """What is to be stored of one answer."""

    pages: list[EnginePage] = field(default_factory=list)
    samples: list[UsageSample] = field(default_factory=list)
    histories: list[HistoryIncreases] = field(default_factory=list)
    devices: list[DevicePage] = field(default_factory=list)
    device_samples: list[DeviceSample] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, other: "_Found") -> None:
        for name in self.__slots__:
            getattr(self, name).extend(getattr(other, name))

    @property
    def rows_count(self) -> int:
        return len(self.samples) + len(self.device_samples) + sum(len(item.times_s) for item in self.histories)


class Ledger:
    """What was stored last of every engine and GPU, and what each new answer adds to it."""

    def __init__(
        self,
        pages: Sequence[EnginePage],
        devices: Sequence[DevicePage],
        *,
        every_s: float,
        watched_since: datetime,
        names: ModelNames | None = None,
    ) -> None:
        self.since: dict[str, datetime] = {}  # by target: the newest that is stored of what it reads
        self._pages: dict[Identity, EnginePage] = {page.identity: page for page in pages}
        self._devices = {page.identity: page for page in devices}
        self._paths = Paths(pages, every_s)
        self._every_s = every_s
        self._began = watched_since
        self._watched_since: dict[str, datetime] = {}  # by target, across restarts of ours
        self._names = names or ModelNames()
        self._intervals_s: dict[Identity, deque[float]] = {}
        self._direct: set[str] = set()
        self._named: dict[str, TargetRow] = {}

    def watch(self, targets: Sequence[Target]) -> None:
        """These targets are read from now on; a source of other servers goes on after the newest of those."""
        self._paths.watch(targets)
        self._direct = {target.key for target in targets if target.source_key not in GATEWAYS}
        known = {target.key for target in targets}
        others = max((page.scraped_at for key, page in self._pages.items() if key[0] not in known), default=None)
        for target in targets:
            own = max((page.scraped_at for key, page in self._pages.items() if key[0] == target.key), default=None)
            self._watched_since.setdefault(target.key, own or self._began)
            if at := own or (others if target.source_key in GATEWAYS else None):
                self.since.setdefault(target.key, at)

    def scrapes(self, answers: Sequence[Answer]) -> list[tuple[Scrape, ScrapeFailure | None]]:
        """What each answer adds, in the order given, and why nothing of it is taken. Direct paths are read first."""
        found: dict[int, tuple[Scrape, ScrapeFailure | None]] = {}
        for place, answer in sorted(enumerate(answers), key=lambda item: not _reader(item[1]).is_direct):
            try:
                found[place] = self._scrape(answer)
            except Exception as error:  # a fault of ours in one answer must not take the others along
                log.exception("%s: fault while counting", answer.target.key)
                fault = FetchFailed(
                    "internal", f"{answer.target.key}: fault while counting ({type(error).__name__}); please report it."
                )
                found[place] = self._scrape(replace(answer, readings=Readings(), failure=fault))
        return [found[place] for place in range(len(answers))]

    def took(self, scrape: Scrape) -> None:
        """The store has it: the next increments count from here."""
        self._pages |= {page.identity: page for page in scrape.pages}
        self._devices |= {page.identity: page for page in scrape.devices}
        times = [page.scraped_at for page in (*scrape.pages, *scrape.devices)]
        if times:
            before = self.since.get(scrape.run.target_key)
            self.since[scrape.run.target_key] = max(times) if before is None else max(before, *times)

    def servers(self, answers: Sequence[Answer], scrapes: Sequence[Scrape]) -> list[TargetRow]:
        """Servers that sources of other servers told of, and that are not named so yet."""
        rows = {}
        for answer, scrape in zip(answers, scrapes, strict=True):
            if answer.target.source_key in GATEWAYS:
                taken = (*scrape.pages, *scrape.devices)
                rows |= {
                    key: row_of(answer.target, key, answer.readings.labels.get(key, {}))
                    for key in {item.target_key for item in taken} - self._direct
                }
        return [row for key, row in rows.items() if self._named.get(key) != row]

    def named(self, rows: Sequence[TargetRow]) -> None:
        self._named |= {row.target_key: row for row in rows}

    def forget(self, now: datetime) -> None:
        """Lets go of what has not been seen for a long time, so that memory does not grow with every pod that was."""
        oldest = now - FORGOTTEN_AFTER
        for identity in [identity for identity, page in self._pages.items() if page.scraped_at < oldest]:
            del self._pages[identity]
            self._intervals_s.pop(identity, None)
            self._paths.forget(identity)
        for device in [device for device, page in self._devices.items() if page.scraped_at < oldest]:
            del self._devices[device]

    def _scrape(self, answer: Answer) -> tuple[Scrape, ScrapeFailure | None]:
        found, failures = _Found(), [answer.failure] if answer.failure else []
        servers = _by_server(answer.readings) if not answer.failure else {}
        found.remarks += [*answer.remarks, *answer.readings.remarks]
        taken_count = 0
        for readings in servers.values():
            try:
                found.add(self._server(answer, readings))
                taken_count += 1
            except ScrapeFailure as failure:
                failures.append(failure)
        refused = failures[0] if failures and not taken_count else None
        said = [str(failure) for failure in failures] + found.remarks
        run = ScrapeRun(
            source_key=source_of(answer.target),
            target_key=answer.target.key,
            started_at=answer.scraped_at,
            finished_at=answer.finished_at,
            state=refused.word if refused else RUN_OK,
            rows_count=found.rows_count,
            error=_shortened(said),
            every_s=self._every_s,
            is_sample=answer.target.is_sample,
        )
        scrape = Scrape(
            run=run,
            pages=found.pages,
            samples=found.samples,
            histories=found.histories,
            devices=found.devices,
            device_samples=found.device_samples,
        )
        return scrape, refused

    def _server(self, answer: Answer, readings: Readings) -> _Found:
        """What one server adds; it is taken whole or not at all. Raises ScrapeFailure."""
        found = _Found()
        for page in readings.pages:
            self._add_page(answer, page, found)
        for history in readings.histories:
            self._add_history(answer, history, found)
        for device in readings.devices:
            before = self._devices.get(device.identity)
            if before and not _is_later(answer, device.target_key, device.scraped_at, before.scraped_at):
                continue
            found.devices.append(replace(device, counters={**before.counters, **device.counters}) if before else device)
            found.device_samples.append(device_sample(before, device, self._every_s))
        identities = [page.identity for page in found.pages]
        if twice := next((identity for identity in identities if identities.count(identity) > 1), None):
            raise FetchFailed(
                "model_twice",
                f"{twice[0]}: two models of one page are both called {twice[1]} by [[model]] in permillion.toml; "
                "give each a key of its own.",
            )
        return found

    def _add_page(self, answer: Answer, exposed: EnginePage, found: _Found) -> None:
        page = self._names.page(exposed)
        previous = self._before(answer, page, exposed.model_key)
        if previous and not _is_later(answer, page.target_key, page.scraped_at, previous.scraped_at):
            return
        every_s = self._every_s
        if previous and page.scraped_at != answer.scraped_at:
            times_s = np.array([previous.scraped_at.timestamp(), page.scraped_at.timestamp()])
            every_s = self._learned_s(page.identity, times_s)
        sample = usage_sample(previous, page, every_s, self._since(answer))
        refuse_implausible(sample)
        found.pages.append(carried(previous, page))
        found.samples.append(sample)
        found.remarks += [
            f"{measure} of {excerpt(page.model_key)}, engine {excerpt(page.engine_key)}, {remark}"
            for measure, remark in page.remarks.items()
        ]
        if alike := self._paths.remark(page):
            found.remarks.append(alike)

    def _add_history(self, answer: Answer, exposed: EngineHistory, found: _Found) -> None:
        last: EnginePage | None = None
        for history in self._names.history(exposed):
            if not len(history.times_s):
                continue
            every_s = self._learned_s(history.identity, history.times_s)
            end = _page_at_end(history)
            previous = _called(last, end) or self._before(answer, end, exposed.model_key)
            if previous:
                history = rows_of(history, history.times_s > previous.scraped_at.timestamp())
            if not len(history.times_s):
                continue
            added = increases(history, previous, every_s, self._since(answer).timestamp())
            refuse_implausible(added)
            found.histories.append(added)
            last = added.last_page
            if last:
                found.pages = [page for page in found.pages if page.identity != last.identity] + [last]

    def _before(self, answer: Answer, page: EnginePage, exposed: str) -> EnginePage | None:
        """The page that the increments of `page` count from: the newest stored of this engine, whatever its path.

        Raises DuplicateEngine when another path to it is alive and better.
        """
        server, _, engine_key = page.identity
        keys = [(server, model_key, engine_key) for model_key in self._names.keys_ever_of(exposed)]
        own = [self._pages[key] for key in keys if key in self._pages]
        try:
            taken_over = self._paths.admit(page, _reader(answer), is_new=not own)
        except DuplicateEngine:
            # What the better path has counted need not be read again when this one steps in.
            if at := self._paths.last_seen(page, answer.target.source_key):
                self.since[answer.target.key] = max(at, self.since.get(answer.target.key, at))
            raise
        # Of several that it may be, the nearest: counters only grow.
        twins = [self._pages[key] for key in taken_over if key in self._pages]
        twin = max(twins, key=lambda found: (sum(found.counters.values()), found.scraped_at), default=None)
        candidates = [*own, *([twin] if twin else [])]
        return _called(max(candidates, key=lambda found: found.scraped_at, default=None), page)

    def _since(self, answer: Answer) -> datetime:
        """Since when a target has been watched: a new engine of it that started later began under our eyes."""
        return self._watched_since.get(answer.target.key, self._began)

    def _learned_s(self, identity: Identity, times_s: np.ndarray) -> float:
        """How often this engine is read by the source that keeps its times [s]; ours until that is known."""
        known = self._intervals_s.setdefault(identity, deque(maxlen=INTERVALS_COUNT))
        if len(times_s) == 1 and identity in self._pages:
            times_s = np.array([self._pages[identity].scraped_at.timestamp(), times_s[0]])
        known.extend(step_s for step_s in np.diff(times_s)[-INTERVALS_COUNT:].tolist() if step_s > 0)
        return median(known) if known else self._every_s


def row_of(target: Target, server: str | None = None, labels: Mapping[str, str] | None = None) -> TargetRow:
    """The server behind `target`, or one of those that it tells of, as it is known in the store."""
    key, labels = server or target.key, {**target.labels, **(labels or {})}
    return TargetRow(
        target_key=key,
        source_key=source_of(target),
        deployment_key=labels.get("deployment", key),
        labels=labels,
        is_sample=target.is_sample,
    )


def source_of(target: Target) -> str:
    """What a target is called in the run log."""
    return f"{target.source_key}/{target.key}"


def _reader(answer: Answer) -> Reader:
    return Reader(target_key=answer.target.key, source_key=answer.target.source_key, at=answer.scraped_at)


def _called(page: EnginePage | None, other: EnginePage) -> EnginePage | None:
    """`page` as one of the same engine as `other`."""
    if page is None or page.identity == other.identity:
        return page
    return replace(page, target_key=other.target_key, model_key=other.model_key, engine_key=other.engine_key)


def _is_later(answer: Answer, server: str, at: datetime, stored_at: datetime) -> bool:
    """False when a source with times of its own has nothing newer yet. Raises FetchFailed when our clock is behind."""
    if at > stored_at:
        return True
    if at != answer.scraped_at:
        return False
    raise FetchFailed(
        "clock_back",
        f"{server}: this machine's clock ({at:%Y-%m-%d %H:%M:%S} UTC) is behind the last scrape "
        f"({stored_at:%Y-%m-%d %H:%M:%S} UTC). Set it right; what the engine counts meanwhile is in the first scrape "
        "after that time.",
    )


def _by_server(readings: Readings) -> dict[str, Readings]:
    """What was read, server by server."""
    if len({item.target_key for item in _all(readings)}) == 1:
        return {"": readings}
    servers: dict[str, tuple[list[EnginePage], list[EngineHistory], list[DevicePage]]] = {}
    for item in _all(readings):
        place = 0 if isinstance(item, EnginePage) else 1 if isinstance(item, EngineHistory) else 2
        servers.setdefault(item.target_key, ([], [], []))[place].append(item)  # type: ignore[arg-type]
    return {
        key: Readings(pages=pages, histories=histories, devices=devices)
        for key, (pages, histories, devices) in servers.items()
    }


def _all(readings: Readings) -> Iterator[EnginePage | EngineHistory | DevicePage]:
    yield from readings.pages
    yield from readings.histories
    yield from readings.devices


def _page_at_end(history: EngineHistory) -> EnginePage:
    """The last row of `history`, by which its engine is recognised."""
    last = {name: float(values[-1]) for name, values in history.counters.items() if np.isfinite(values[-1])}
    started_s, at_s = float(history.started_s[-1]), float(history.times_s[-1])
    return EnginePage(
        target_key=history.target_key,
        model_key=history.model_key,
        engine_key=history.engine_key,
        scraped_at=datetime.fromtimestamp(at_s, UTC),
        started_at=datetime.fromtimestamp(started_s, UTC) if np.isfinite(started_s) else None,
        counters=last,
    )


def _shortened(said: Sequence[str]) -> str | None:
    """Remarks and failures for the run log; of very many the first."""
    distinct = list(dict.fromkeys(said))
    if len(distinct) > REMARKS_SHOWN_COUNT + 1:
        distinct = [*distinct[:REMARKS_SHOWN_COUNT], f"and {len(distinct) - REMARKS_SHOWN_COUNT} more"]
    return "; ".join(distinct) or None
