"""Reads estimate files; `costlib.estimate_file` parses them."""

from datetime import date
from pathlib import Path

from costlib.estimate_file import estimator_from
from costlib.estimator import Estimator
from store.catalog_files import DATA, load_catalog, read_toml

SAMPLE_ESTIMATE = DATA / "demo" / "estimate.toml"
EXAMPLE_ESTIMATE = DATA / "demo" / "estimate-agent.toml"


def load_estimator(path: Path, as_of: date) -> Estimator:
    """An estimate file over the shipped catalogue, at the prices of `as_of` unless it names a day of its own."""
    return estimator_from(read_toml(path), load_catalog(), path.name, as_of)
