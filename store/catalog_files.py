"""Reads the catalogue and scenario files; `costlib` parses what they hold."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from costlib.catalog import Catalog, catalog_from
from costlib.errors import ConfigError
from costlib.scenario_file import ScenarioFile, scenario_file_from

DATA = Path(__file__).resolve().parents[1] / "data"
ENGINE = DATA / "engine" / "constants.toml"
SAMPLE_SCENARIO = DATA / "demo" / "scenario.toml"
SAMPLE_REQUESTS = DATA / "demo" / "requests.jsonl"


def read_toml(path: Path) -> dict[str, Any]:
    """One TOML document. Raises ConfigError naming the file and, for bad syntax, the place in it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist; give the path of a TOML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None


@cache
def load_catalog(folder: Path = DATA / "catalog") -> Catalog:
    """The shipped catalogue: every file of data/catalog and the engine's constants, parsed and cross-checked."""

    def documents(kind: str) -> Mapping[str, Mapping[str, Any]]:
        return {path.stem: read_toml(path) for path in sorted((folder / kind).glob("*.toml"))}

    return catalog_from(
        documents("gpus"), documents("models"), documents("prices"), documents("instances"), read_toml(ENGINE)
    )


def load_scenario(path: Path, as_of: date) -> ScenarioFile:
    """A scenario file over the shipped catalogue, at the prices of `as_of` unless it names a day of its own."""
    return scenario_file_from(read_toml(path), load_catalog(), path.name, as_of)
