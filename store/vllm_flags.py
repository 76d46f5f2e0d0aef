"""Reads the table of vLLM's options; `costlib.flag_table` parses it."""

from functools import cache
from pathlib import Path

from costlib.flag_table import FlagTable, flag_table_from
from store.catalog_files import DATA, read_toml

FLAGS = DATA / "vllm" / "flags.toml"


@cache
def load_flag_table(path: Path = FLAGS) -> FlagTable:
    return flag_table_from(read_toml(path), path.name)
