"""Reads where MIG instances may be placed; `costlib.mig` parses it."""

from functools import cache
from pathlib import Path

from costlib.mig import MigTable, mig_table_from
from store.catalog_files import DATA, read_toml

SHARING_SCENARIO = DATA / "demo" / "sharing.toml"


@cache
def load_mig_table(folder: Path = DATA / "mig") -> MigTable:
    return mig_table_from({path.stem: read_toml(path) for path in sorted(folder.glob("*.toml"))})
