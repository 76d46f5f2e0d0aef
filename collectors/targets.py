"""Which servers to scrape: those given, else those of the home's scenario file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from collectors.addresses import target_from_url
from collectors.base import Target, excerpt
from costlib.errors import ConfigError
from store.catalog_files import load_scenario
from store.home import Home


def targets_of(given: Sequence[str], home: Home, env: Mapping[str, str], today: date) -> list[Target]:
    """`given` are addresses, or KEY=address where KEY is a deployment's key; an address alone is called host:port."""
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
