"""One vLLM page: which of its series make which measure of which engine.

That hardly changes from one scrape to the next, so it is worked out once per set of series (a Layout), and a page then
only fills in its numbers. An engine is a model, a data-parallel rank and, behind something that gathers several
processes on one page, the labels that tell those apart (`identity_labels` in data/vllm/metrics.toml).
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from collectors.base import PageRefused, excerpt
from collectors.exposition import SeriesTable
from collectors.vllm.aliases import Alias, AliasTable, Part, bucket_bound
from collectors.vllm.version import Recognised, is_api_server, recognise

ENGINES_COUNT_LIMIT = 256
SHAPES_COUNT_LIMIT = 16  # different sets of labels that the series of one measure have
_MOST = 2 * ENGINES_COUNT_LIMIT  # with twins
# Of the API server process; not on the page when there are several of them.
START_TIME = "process_start_time_seconds"
_CREATED = "prompt_tokens_created"  # when this engine's counters began at 0
_MODEL, _ENGINE = "model_name", "engine"
_FACT_CHARS_COUNT = 128
_TTFT = "ttft_s"

Identity = tuple[tuple[str, str], ...]  # the labels that tell an engine apart, sorted
Engine = tuple[str, str]  # model_key, engine_key
Places = tuple[int, ...]  # of series in the order of the page; what they say is added up
Rank = tuple[int, int]  # of the name, and of its prefix
ByName = dict[Rank, list[int]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """What one series of a page is. `alias` is None where it is not measured; `others`: labels that are summed over."""

    name: str
    alias: Alias | None = None
    part: Part | None = None
    bound: float | None = None  # of a bucket
    rank: Rank = (0, 0)
    identity: Identity = ()
    others: Identity = ()
    counts: bool = True  # its value is read, not only its name

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the very same series, however its labels are written."""
        return self.name, self.alias and self.alias.measure, self.bound, self.identity, self.others


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measure of one engine: under which name, and where on the page. A histogram has bounds and `buckets`."""

    alias: Alias
    values: Places = ()
    sums: Places = ()
    counts: Places = ()
    bounds: tuple[float, ...] = ()
    buckets: tuple[Places, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLayout:
    """Where one engine's measures stand. `older`: the second name of a measure that has two on this page."""

    model_key: str
    engine_key: str
    measures: Mapping[str, Measured]
    older: Mapping[str, Measured]
    started: int | None
    created: Places
    facts: Mapping[str, str]
    remarks: Mapping[str, str]


class Layout:
    """A set of series, understood. Raises PageRefused for one that is no vLLM's."""

    def __init__(self, series: Sequence[Series], table: AliasTable) -> None:
        self.series = series
        self.table = table
        self._remarks: dict[Identity, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._recognised: dict[frozenset[str], Recognised] = {}
        bare = [table.bare(item.name) or "" for item in series]
        self._started = [place for place, item in enumerate(series) if item.name == START_TIME][:_MOST]
        self._informing = [place for place, name in enumerate(bare) if name in table.facts][:_MOST]
        self._created: dict[Identity, list[int]] = defaultdict(list)
        self._switched: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(bare):
            if name == _CREATED:
                self._created[series[place].identity].append(place)
            elif name in table.metrics and table.metrics[name].moves_with:
                self._switched[name].append(place)
        engines = self._without_twins(self._families())
        self._check(engines)
        self.engines = tuple(self._engine(*who, measures) for who, measures in sorted(engines.items()))

    def recognised(self, values: Sequence[float]) -> Recognised:
        """Which vLLM this is. Of the values it matters only whether what a flag switches on has moved."""
        moving = frozenset(name for name, places in self._switched.items() if any(values[at] > 0 for at in places))
        if moving not in self._recognised:
            bounds = next((engine.measures[_TTFT].bounds for engine in self.engines if _TTFT in engine.measures), ())
            self._recognised[moving] = recognise(
                {item.name for item in self.series},
                has_engine_label=any(label == _ENGINE for item in self.series for label, _ in item.identity),
                ttft_bounds_s=[bound for bound in bounds if bound < math.inf],
                moving=moving,
                table=self.table,
            )
        return self._recognised[moving]

    def _remark(self, identity: Identity, measure: str, remark: str) -> None:
        if remark not in self._remarks[identity][measure]:
            self._remarks[identity][measure].append(remark)

    def _families(self) -> dict[str, dict[Identity, ByName]]:
        """By measure, engine and name: the places of their series, each series once."""
        found: dict[str, dict[Identity, ByName]] = defaultdict(lambda: defaultdict(dict))
        seen: set[tuple[object, ...]] = set()
        for place, item in enumerate(self.series):
            if item.alias and item.key in seen:
                self._remark(
                    item.identity, item.alias.measure, "is exposed twice for this engine; the first value is used"
                )
            elif item.alias:
                seen.add(item.key)
                found[item.alias.measure][item.identity].setdefault(item.rank, []).append(place)
        return found

    def _without_twins(self, families: Mapping[str, dict[Identity, ByName]]) -> dict[Engine, dict[str, ByName]]:
        """By engine; less the series that lack labels which others of the measure have: those are sums of them."""
        engines: dict[Engine, dict[str, ByName]] = defaultdict(dict)
        for measure, by_identity in families.items():
            shapes = {frozenset(label for label, _ in identity) for identity in by_identity}
            if len(by_identity) > _MOST or len(shapes) > SHAPES_COUNT_LIMIT:
                raise _too_many(len(by_identity))
            twins = set()
            for small in shapes if len(shapes) > 1 else ():
                for wide in by_identity:
                    twin = tuple(pair for pair in wide if pair[0] in small)
                    if len(small) == len(twin) < len(wide) and twin in by_identity:
                        twins.add(twin)
                        missing = ", ".join(label for label, _ in wide if label not in small)
                        self._remark(wide, measure, f"is also exposed without {missing}; that series is left out")
            for identity, by_name in by_identity.items():
                if identity not in twins:
                    known = engines[_engine(identity)].setdefault(measure, {})
                    for rank, places in by_name.items():
                        known.setdefault(rank, []).extend(places)
        return engines

    def _check(self, engines: Mapping[Engine, object]) -> None:
        if not engines:
            if is_api_server((item.name for item in self.series), self.table):
                raise PageRefused(
                    "not_exported",
                    "the page has no vLLM engine series, only those of an API server. vLLM exposes none when it is "
                    "started with --disable-log-stats: leave that flag out.",
                )
            raise PageRefused(
                "not_vllm",
                f"these are metrics, and not of vLLM: the page begins with {excerpt(self.series[0].name)}. Name the "
                "/metrics of a vLLM server; it has none where it runs with --disable-log-stats.",
            )
        if len(engines) > ENGINES_COUNT_LIMIT:
            raise _too_many(len(engines))

    def _engine(self, model_key: str, engine_key: str, measures: Mapping[str, ByName]) -> EngineLayout:
        found, older = {}, {}
        identities: dict[Identity, None] = {}  # more than one where a metric goes without a label that is 0 elsewhere
        remarks: dict[str, list[str]] = defaultdict(list)
        for measure, by_rank in measures.items():
            newest, *rest = sorted(by_rank)
            found[measure] = self._measured(by_rank[newest])
            if rest:
                older[measure] = self._measured(by_rank[rest[0]])
            for identity in dict.fromkeys(self.series[place].identity for place in by_rank[newest]):
                identities[identity] = None
                remarks[measure] += self._remarks[identity][measure]
            remarks[measure] += self._summed(by_rank[newest])
        labels = {pair for identity in identities for pair in identity}
        starts = [place for place in self._started if set(self.series[place].identity) <= labels]
        return EngineLayout(
            model_key=model_key,
            engine_key=engine_key,
            measures=found,
            older=older,
            started=starts[0] if len(starts) == 1 else None,  # of several processes it is not known whose
            created=tuple(place for identity in identities for place in self._created.get(identity, ())),
            facts=self._facts(labels),
            remarks={measure: "; ".join(said) for measure, said in remarks.items() if said},
        )

    def _measured(self, places: Sequence[int]) -> Measured:
        alias = self.series[places[0]].alias
        assert alias
        by_part: dict[Part | float | None, list[int]] = defaultdict(list)
        for place in places:
            item = self.series[place]
            by_part[item.part if item.bound is None else item.bound].append(place)
        bounds = tuple(sorted(part for part in by_part if isinstance(part, float)))
        return Measured(
            alias=alias,
            values=tuple(by_part[Part.VALUE]),
            sums=tuple(by_part[Part.SUM]),
            counts=tuple(by_part[Part.COUNT]),
            bounds=bounds,
            buckets=tuple(tuple(by_part[bound]) for bound in bounds),
        )

    def _summed(self, places: Sequence[int]) -> Iterator[str]:
        """What to say of labels that took several values, other than those vLLM itself gives this metric."""
        alias = self.series[places[0]].alias
        taken: dict[str, set[str]] = defaultdict(set)
        for place in places:
            for label, value in self.series[place].others:
                taken[label].add(value)
        for label, values in sorted(taken.items()):
            if len(values) > 1 and alias and label not in alias.metric.labels:
                yield f"is the sum over {len(values):,} values of the label {excerpt(label)}"

    def _facts(self, labels: Collection[tuple[str, str]]) -> dict[str, str]:
        """What the info series of an engine with these labels say; they have no model_name."""
        found: dict[str, str] = {}
        for item in (self.series[place] for place in self._informing):
            if all(pair in labels for pair in item.identity if pair[0] != _MODEL):
                said = dict(item.others)
                for label in self.table.facts[self.table.bare(item.name) or ""]:
                    if said.get(label) not in (None, "", "None") and len(said[label]) <= _FACT_CHARS_COUNT:
                        found.setdefault(label, said[label])
        return found


@dataclass(slots=True)
class PageReader:
    """Reads the pages of one target, one after another."""

    table: AliasTable
    layout: Layout | None = None
    _series: SeriesTable[Series] = field(init=False)

    def __post_init__(self) -> None:
        self._series = SeriesTable(self._meaning_of, counts=lambda series: series.counts)

    def read(self, body: bytes) -> tuple[Layout, list[float]]:
        """What the series of a page are, and their values in the same order. Raises PageRefused."""
        series, values = self._series.columns(body)
        if self.layout is None or series != self.layout.series:
            self.layout = None
            self.layout = Layout(series, self.table)
        return self.layout, values

    def _meaning_of(self, name: str, labels: Mapping[str, str]) -> Series:
        table = self.table
        bare = table.bare(name)
        match = table.match(name, labels)
        if match is None:
            moves = bare in table.metrics and table.metrics[bare].moves_with is not None
            counts = name == START_TIME or bare == _CREATED or moves
            if not counts and bare not in table.facts:
                return _other(name)
            return Series(name=name, identity=self._identity(labels), others=self._others(labels, ()), counts=counts)
        alias, part = match
        bound = bucket_bound(name, labels.get("le")) if part is Part.BUCKET else None
        return Series(
            name=name,
            alias=alias,
            part=part,
            bound=bound,
            rank=(alias.rank, table.prefixes.index(table.prefix(name) or "")),
            identity=self._identity(labels),
            others=self._others(labels, (*alias.labels, *(("le",) if bound is not None else ()))),
        )

    def _identity(self, labels: Mapping[str, str]) -> Identity:
        known = self.table.identity_labels
        return tuple(sorted(pair for pair in labels.items() if pair[0] == _MODEL or pair[0] in known))

    def _others(self, labels: Mapping[str, str], selectors: Sequence[str]) -> Identity:
        known = self.table.identity_labels
        return tuple(
            sorted(
                pair
                for pair in labels.items()
                if pair[0] != _MODEL and pair[0] not in known and pair[0] not in selectors
            )
        )


def _engine(identity: Identity) -> Engine:
    """What an engine with these labels is called; without a label it is the only one of its kind."""
    labels = dict(identity)
    model_key, rank = labels.pop(_MODEL, "unknown"), labels.pop(_ENGINE, "0")
    return model_key, ",".join([rank, *(f"{label}={value}" for label, value in labels.items())])


@lru_cache(maxsize=4_096)
def _other(name: str) -> Series:
    """A series that is not measured: only that its name is on the page matters, so one stands for all of them."""
    return Series(name=name, counts=False)


def _too_many(count: int) -> PageRefused:
    return PageRefused(
        "engine_limit",
        f"the page tells {count:,} engines apart, and {ENGINES_COUNT_LIMIT} are allowed; look for a label that takes a "
        "new value with every request.",
    )
