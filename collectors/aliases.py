"""The names one measure has had, read from a table such as `data/vllm/metrics.toml`.

A release that renames a metric is a line in that table, not a branch in the code.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from costlib.errors import ConfigError, UnknownKey
from costlib.telemetry import COUNTERS, GAUGES, HISTOGRAMS

_KINDS = {"counters": COUNTERS, "gauges": GAUGES, "histograms": HISTOGRAMS}


class Part(StrEnum):
    """What one series is of its measure."""

    VALUE = "value"
    SUM = "sum"
    COUNT = "count"
    BUCKET = "bucket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """One exposed name of a measure; of two on one page the one with the lower rank is used."""

    measure: str
    rank: int
    name: str
    since: str
    until: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def releases(self) -> str:
        return f"vLLM {self.since} to {self.until}" if self.until else f"vLLM {self.since} and later"

    def series(self) -> Iterator[tuple[str, Part]]:
        """The names of its series on a page."""
        if self.measure not in HISTOGRAMS:
            yield self.name, Part.VALUE
            return
        for part in (Part.SUM, Part.COUNT, Part.BUCKET):
            yield f"{self.name}_{part}", part


class AliasTable:
    """Every alias of every measure, and the way back from an exposed series to its alias."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self.prefixes: tuple[str, ...] = tuple(document.get("prefixes", ()))
        self.by_measure: dict[str, tuple[Alias, ...]] = {}
        self._by_series: dict[str, list[tuple[Alias, Part]]] = {}
        for kind, measures in _KINDS.items():
            for measure, entries in document.get(kind, {}).items():
                if measure not in measures:
                    raise UnknownKey(f"measure among the {kind}", measure, measures, where)
                self._add(measure, entries, where)
        missing = [measure for measures in _KINDS.values() for measure in measures if measure not in self.by_measure]
        if missing:
            raise ConfigError(f"{where} has no entry for {', '.join(missing)}; name the series each is exposed as.")

    def _add(self, measure: str, entries: list[Mapping[str, Any]], where: str) -> None:
        try:
            aliases = tuple(Alias(measure=measure, rank=rank, **entry) for rank, entry in enumerate(entries))
        except TypeError as error:
            raise ConfigError(f"{where}, {measure}: an entry has name, since, until and labels ({error}).") from None
        self.by_measure[measure] = aliases
        for alias in aliases:
            for series, part in alias.series():
                self._by_series.setdefault(series, []).append((alias, part))

    def match(self, name: str, labels: Mapping[str, str]) -> tuple[Alias, Part] | None:
        """The alias and part that an exposed series is, or None when it is none that is measured."""
        for prefix in self.prefixes:
            for alias, part in self._by_series.get(name.removeprefix(prefix), ()) if name.startswith(prefix) else ():
                if alias.labels.items() <= labels.items():
                    return alias, part
        return None
