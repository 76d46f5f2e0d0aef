"""Which servers to scrape: those given, else those of the home's scenario file; and those of its permillion.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time

from collectors.addresses import target_from_url
from collectors.base import Target, excerpt
from collectors.config import FILE_NAME, load_config
from collectors.file_sd import FileSd, Servers
from collectors.names import ModelNames
from collectors.run import DEFAULT_EVERY_S, TARGETS_COUNT_LIMIT, check_targets
from costlib.errors import ConfigError
from store.catalog_files import load_scenario
from store.home import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that is to be read: `targets` for good, and what `file_sd` finds under way."""

    targets: tuple[Target, ...] = ()
    file_sd: tuple[FileSd, ...] = ()
    names: ModelNames = field(default_factory=ModelNames)
    every_s: float | None = None  # as permillion.toml says

    @property
    def is_empty(self) -> bool:
        return not self.targets and not self.file_sd

    def interval_s(self, asked_s: float | None) -> float:
        """How often each server is read: as asked for, else as permillion.toml says, else the default."""
        return next(value for value in (asked_s, self.every_s, DEFAULT_EVERY_S) if value is not None)


def sources_of(given: Sequence[str], home: Home, env: Mapping[str, str], today: date) -> Sources:
    """`given` are addresses, or KEY=address where KEY is a deployment's key; an address alone is called host:port.

    They stand instead of those of the scenario file. Raises ConfigError, also for one key that stands for two servers.
    """
    config = load_config(home.path / FILE_NAME, env)
    targets = [*_named(given, home, env, today), *config.targets]
    check_targets(targets)
    return Sources(targets=tuple(targets), file_sd=config.file_sd, names=config.names, every_s=config.every_s)


def targets_of(given: Sequence[str], home: Home, env: Mapping[str, str], today: date) -> list[Target]:
    """The targets of `sources_of` as they are now, with those that discovery files name."""
    sources = sources_of(given, home, env, today)
    servers = Servers(sources.targets, sources.file_sd, TARGETS_COUNT_LIMIT)
    servers.look(datetime.combine(today, time(), UTC))
    return servers.targets


def _named(given: Sequence[str], home: Home, env: Mapping[str, str], today: date) -> list[Target]:
    if given:
        return [_target(text, env) for text in given]
    if not home.scenario.exists():
        return []
    file = load_scenario(home.scenario, today)
    return [replace(target_from_url(url, env), key=key) for key, url in file.metrics_urls]


def _target(text: str, env: Mapping[str, str]) -> Target:
    key, found, address = text.partition("=")
    if found and not key.strip():
        raise ConfigError(f"{excerpt(text)} has no name before the =; write KEY=http://host:8000/metrics.")
    if found and "/" not in key:
        return replace(target_from_url(address, env), key=key)
    return target_from_url(text, env)
