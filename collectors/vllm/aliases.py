"""What vLLM's metrics are, release by release, read from `data/vllm/`; and which of them carry what we measure.

A release that renames a metric is a row in those tables, not a branch in the code.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from collectors.base import PageRefused, excerpt
from costlib.errors import ConfigError, UnknownKey
from costlib.measures import ACCEPTED_AT, COUNTERS, GAUGES, HISTOGRAMS
from store.catalog_files import DATA, read_toml

Version = tuple[int, ...]
Row = TypeVar("Row")

MEASURES = (*COUNTERS, *GAUGES, *HISTOGRAMS)
UNITS = (
    *("requests", "events", "tokens", "tokens/s", "items", "drafts", "steps"),
    *("FLOP", "bytes", "s", "ms", "unix s", "fraction", "0 or 1", "info"),
)
_PLACE = "NN"  # in the name of a measure: one for every place of a draft


class MetricType(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Part(StrEnum):
    """What one series is of its metric."""

    VALUE = "value"
    SUM = "sum"
    COUNT = "count"
    BUCKET = "bucket"


@lru_cache(maxsize=1_024)
def version(text: str) -> Version:
    """A release as numbers that compare; one of two numbers stands for all its patches.

    >>> version("0.9.2") < version("0.10")
    True
    """
    try:
        return tuple(int(number) for number in text.split("."))
    except ValueError:
        raise ConfigError(f"{text[:40]!r} is no release of vLLM; write it as in 0.10.2.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family as a page shows it, without prefix. The fields are described in data/vllm/metrics.toml."""

    name: str
    type: MetricType
    unit: str
    first: str
    sure: str | None = None
    last: str | None = None
    gone: str | None = None
    labels: Sequence[str] = ()
    engine: str | None = None
    needs: str | None = None
    moves_with: str | None = None
    replaced_by: str | None = None
    trap: str = ""
    inferred: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", MetricType(self.type))
        if self.unit not in UNITS:
            raise UnknownKey("unit", self.unit, UNITS)
        order = [version(text) for text in (self.first, self.sure, self.last, self.gone) if text]
        if order != sorted(order):
            raise ConfigError("first, sure, last and gone have to be in this order.")
        if self.type is MetricType.COUNTER and not self.name.endswith("_total"):
            raise ConfigError("a counter is exposed with _total at its end.")

    def may_be_in(self, release: Version) -> bool:
        gone = version(self.gone) if self.gone else None
        after_last = bool(self.last and not self.gone and release[: len(version(self.last))] > version(self.last))
        return version(self.first) <= release and not after_last and (gone is None or release < gone)

    def is_surely_in(self, release: Version) -> bool:
        last = version(self.last) if self.last else None
        begun = version(self.sure or self.first) <= release
        return begun and (last is None or release[: len(last)] <= last)

    @property
    def releases(self) -> str:
        sure = ".".join((self.sure or self.first).split(".")[:2])
        begin = f"{self.first} or {sure}" if version(sure) > version(self.first)[:2] else self.first
        return f"vLLM {begin} to {self.last}" if self.last else f"vLLM {begin} and later"

    def series(self, part: Part | None = None) -> Iterator[tuple[str, Part]]:
        """The names of its series on a page, or that of one part."""
        if self.type is not MetricType.HISTOGRAM:
            yield self.name, Part.VALUE
            return
        for each in (part,) if part else (Part.SUM, Part.COUNT, Part.BUCKET):
            yield f"{self.name}_{each}", each


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What has to be on for a metric to be there or to move. `feature`: what that shows to be in use."""

    name: str
    flag: str
    feature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftBounds:
    """The bounds [s] that time_to_first_token_seconds had in some releases, without +Inf."""

    bounds_s: Sequence[float]
    first: str
    gone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """One metric that carries a measure; of two on one page the one with the lower rank is used."""

    measure: str
    rank: int
    metric: Metric
    part: Part | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.metric.name

    def series(self) -> Iterator[tuple[str, Part]]:
        """The names of its series on a page. A histogram read as a counter has one, and that is its value."""
        if self.part:
            yield f"{self.name}_{self.part}", Part.VALUE
        else:
            yield from self.metric.series()


class AliasTable:
    """Every metric, every measure with its aliases, and the way back from an exposed series to its alias.

    `metrics` and `measures` are the documents of data/vllm/metrics.toml and measures.toml; a slip in either is a
    ConfigError that names it.
    """

    def __init__(self, metrics: Mapping[str, Any], measures: Mapping[str, Any], where: str) -> None:
        self._where = where
        self.prefixes: tuple[str, ...] = tuple(metrics.get("prefixes", ()))
        self.releases: tuple[str, ...] = tuple(metrics.get("releases", ()))
        self.identity_labels: Mapping[str, str] = dict(metrics.get("identity_labels", {}))
        self.facts: Mapping[str, Sequence[str]] = dict(metrics.get("facts", {}))
        self.conditions = {
            name: self._row(Condition, {"name": name, **row}) for name, row in metrics.get("conditions", {}).items()
        }
        self.ttft_bounds = tuple(self._row(TtftBounds, row) for row in metrics.get("ttft_bounds", ()))
        self.metrics = {name: self._row(Metric, {"name": name, **row}) for name, row in metrics["metrics"].items()}
        self.by_measure: dict[str, tuple[Alias, ...]] = {}
        self.costs: dict[str, str] = {}
        self._by_series: dict[str, list[tuple[Alias, Part]]] = {}
        self._check_references()
        for measure, row in measures.items():
            self._add(measure, row)
        missing = [measure for measure in MEASURES if measure not in self.by_measure]
        if missing:
            raise ConfigError(f"{where} has no entry for {', '.join(missing)}; name the metrics that carry each.")

    def match(self, name: str, labels: Mapping[str, str]) -> tuple[Alias, Part] | None:
        """The alias and part that an exposed series is, or None when it is none that is measured."""
        for alias, part in self._by_series.get(self.bare(name) or "", ()):
            if alias.labels.items() <= labels.items():
                return alias, part
        return None

    def bare(self, name: str) -> str | None:
        """An exposed name without its prefix, None where it has none of vLLM's."""
        prefix = self.prefix(name)
        return name.removeprefix(prefix) if prefix else None

    def prefix(self, name: str) -> str | None:
        if not name.startswith(self.prefixes):
            return None
        return next(prefix for prefix in self.prefixes if name.startswith(prefix))

    def _add(self, measure: str, row: Mapping[str, Any]) -> None:
        pattern = measure.replace(_PLACE, "00")
        if pattern not in MEASURES:
            raise UnknownKey("measure", measure, MEASURES, self._where)
        for unknown in row.keys() - {"from", "costs"}:
            raise UnknownKey(f"field of {measure}", unknown, ("from", "costs"), self._where)
        if not row.get("from") or not row.get("costs"):
            raise ConfigError(f"{self._where}, {measure}: a measure has `from`, its metrics, and `costs`, a sentence.")
        for place, name in enumerate(ACCEPTED_AT) if pattern != measure else [(None, measure)]:
            aliases = tuple(self._alias(name, rank, place, entry) for rank, entry in enumerate(row["from"]))
            self.by_measure[name], self.costs[name] = aliases, row["costs"]
            for alias in aliases:
                for series, part in alias.series():
                    self._by_series.setdefault(series, []).append((alias, part))

    def _alias(self, measure: str, rank: int, place: int | None, entry: Mapping[str, Any]) -> Alias:
        for unknown in entry.keys() - {"metric", "part", "labels"}:
            raise UnknownKey(f"field of a metric of {measure}", unknown, ("metric", "part", "labels"), self._where)
        metric = self.metrics.get(entry.get("metric", ""))
        if metric is None:
            raise UnknownKey(f"metric of {measure}", entry.get("metric"), self.metrics, self._where)
        part = Part(entry["part"]) if entry.get("part") in (Part.SUM, Part.COUNT) else None
        labels = {k: str(place) if v == "N" and place is not None else v for k, v in entry.get("labels", {}).items()}
        for label in labels.keys() - set(metric.labels):
            raise UnknownKey(f"label of {metric.name}", label, metric.labels, f"{self._where}, {measure}")
        wanted = (
            MetricType.COUNTER
            if measure in COUNTERS
            else MetricType.GAUGE
            if measure in GAUGES
            else MetricType.HISTOGRAM
        )
        is_one = metric.type is MetricType.HISTOGRAM and wanted is MetricType.COUNTER if part else metric.type is wanted
        if not is_one or ("part" in entry and part is None):
            raise ConfigError(
                f"{self._where}, {measure}: {metric.name} is a {metric.type}, and a {wanted} is measured. A histogram "
                'can be read as a counter with part = "sum" or part = "count".'
            )
        return Alias(measure=measure, rank=rank, metric=metric, part=part, labels=labels)

    def _check_references(self) -> None:
        for metric in self.metrics.values():
            for condition in filter(None, (metric.needs, metric.moves_with)):
                if condition not in self.conditions:
                    raise UnknownKey(f"condition of {metric.name}", condition, self.conditions, self._where)
            if metric.replaced_by and metric.replaced_by not in self.metrics:
                raise UnknownKey(f"metric that replaces {metric.name}", metric.replaced_by, self.metrics, self._where)

    def _row(self, kind: type[Row], row: Mapping[str, Any]) -> Row:
        known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
        for unknown in row.keys() - set(known):
            raise UnknownKey(f"field of {row.get('name', kind.__name__)}", unknown, known, self._where)
        try:
            return kind(**row)
        except (TypeError, ValueError, ConfigError) as error:
            raise ConfigError(f"{self._where}, {row.get('name', kind.__name__)}: {error}") from None


@cache
def load_aliases(folder: Path = DATA / "vllm") -> AliasTable:
    """The shipped tables."""
    metrics = read_toml(folder / "metrics.toml")
    features = read_toml(folder / "feature_metrics.toml")["metrics"]
    twice = metrics["metrics"].keys() & features.keys()
    if twice:
        raise ConfigError(f"data/vllm: {', '.join(sorted(twice))} stands in both tables of metrics; leave one.")
    metrics["metrics"] |= features
    return AliasTable(metrics, read_toml(folder / "measures.toml"), where="data/vllm")


def bucket_bound(name: str, bound: str | None) -> float:
    """The label `le` of one bucket as a number; raises PageRefused where it is none."""
    try:
        value = float(bound or "")
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise PageRefused(
            "bad_syntax", f"a bucket of {excerpt(name)} has no number as its bound: le={excerpt(bound or '')}."
        )
    return value
