"""Discovery by files, as Prometheus reads them: whoever starts and stops servers writes a list, and it is followed.

A file is JSON, or YAML where its name says so: a list of `{"targets": ["host:port", …], "labels": {…}}`. The labels
`__scheme__` and `__metrics_path__` say how to ask; others that begin with `__` mean nothing to us and are dropped. A
file that is broken, half written say, leaves the last good list as it is, and the run log says so.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from collectors.base import Target, excerpt
from costlib.errors import ConfigError, PermillionError
from costlib.units import MEBI
from store.records import RUN_OK, ScrapeRun

ENDINGS = (".json", ".yml", ".yaml")
FILE_BYTES_LIMIT = 8 * MEBI
BAD_FILE = "bad_file"  # the state of a run in which a file kept its last good list
SCHEME, METRICS_PATH = "__scheme__", "__metrics_path__"

Stamp = tuple[int, int, int]  # what changes when a file does


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSd:
    """The discovery of one block of permillion.toml.

    `patterns` are globs, relative to `folder`; `make` turns an address and its labels into a target.
    """

    where: str
    folder: Path
    patterns: Sequence[str]
    make: Callable[[str, Mapping[str, str]], Target] = field(repr=False)  # it knows tokens
    scheme: str = "http"
    metrics_path: str = "/metrics"

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            if not pattern.endswith(ENDINGS):
                raise ConfigError(
                    f"{self.where}: file_sd {excerpt(pattern)} must end in {', '.join(ENDINGS)}, as the files do."
                )

    def files(self) -> list[Path]:
        """Those that are there, each once."""
        found: dict[Path, None] = {}
        for pattern in self.patterns:
            path = Path(pattern)
            base, rest = (Path(path.anchor), path.relative_to(path.anchor)) if path.anchor else (self.folder, path)
            found |= dict.fromkeys(sorted(file for file in base.glob(str(rest)) if file.is_file()))
        return list(found)


@dataclass(slots=True)
class _File:
    """One file as it was last read."""

    stamp: Stamp | None = None
    targets: list[Target] = field(default_factory=list)  # of the last good reading
    fault: str | None = None


class Servers:
    """The targets that are named for good, and those that files name now."""

    def __init__(self, fixed: Sequence[Target], blocks: Sequence[FileSd], count_limit: int) -> None:
        self.targets: list[Target] = list(fixed)
        self._fixed = list(fixed)
        self._blocks = [(block, dict[Path, _File]()) for block in blocks]
        self._count_limit = count_limit
        self._said: dict[str, tuple[int, str | None]] = {}

    def look(self, now: datetime) -> list[ScrapeRun]:
        """Reads what changed since the last look. A run for each block that has something new to say, else none."""
        found = {target.key: target for target in self._fixed}
        runs = []
        for block, files in self._blocks:
            changed = _reread(block, files)
            remarks = [f"{path}: {file.fault}" for path, file in files.items() if file.fault]
            count = 0
            for target in (target for file in files.values() for target in file.targets):
                if target.key in found:
                    if found[target.key] != target:
                        remarks.append(f"{target.key} is named twice, and the first is used")
                    continue
                if len(found) >= self._count_limit:
                    remarks.append(f"more than {self._count_limit} targets; {target.key} and others are left out")
                    break
                found[target.key] = target
                count += 1
            said = count, "; ".join(dict.fromkeys(remarks)) or None
            if changed or self._said.get(block.where) != said:
                self._said[block.where] = said
                runs.append(_run(block, now, *said, is_broken=any(file.fault for file in files.values())))
        self.targets = list(found.values())
        return runs


def _reread(block: FileSd, files: dict[Path, _File]) -> bool:
    """Brings `files` up to date with the disk; whether anything there changed."""
    there = block.files()
    gone = files.keys() - set(there)
    for path in gone:
        del files[path]
    changed = bool(gone)
    for path in there:
        file = files.setdefault(path, _File())
        stamp = _stamp(path)
        if stamp == file.stamp:
            continue
        file.stamp, changed = stamp, True
        try:
            file.targets, file.fault = _targets(block, path), None
        except PermillionError as error:
            file.fault = f"{error} Its last good list is kept: {len(file.targets)} targets."
    return changed


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:  # it went between two looks
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _targets(block: FileSd, path: Path) -> list[Target]:
    """The targets of one file. Raises ConfigError, or TargetRefused for an address that may not be asked."""
    groups = _document(path)
    if not isinstance(groups, list):
        raise ConfigError("is not a list of {targets, labels}.")
    found = []
    for number, group in enumerate(groups, 1):
        if not isinstance(group, dict) or not isinstance(group.get("targets"), list):
            raise ConfigError(f"group {number} has no list of targets.")
        if strange := sorted(str(key) for key in group.keys() - {"targets", "labels"}):
            raise ConfigError(f"group {number} has {excerpt(strange[0])}; only targets and labels are known.")
        labels = group.get("labels") or {}
        texts = [*group["targets"], *(labels.values() if isinstance(labels, dict) else [None]), *labels]
        if not all(isinstance(text, str) for text in texts):
            raise ConfigError(f"group {number}: targets, and the names and values of labels, are texts; put quotes.")
        scheme, metrics_path = labels.get(SCHEME, block.scheme), labels.get(METRICS_PATH, block.metrics_path)
        own = {name: value for name, value in labels.items() if not name.startswith("__")}
        for address in group["targets"]:
            if "/" in address or "@" in address:
                raise ConfigError(f"{excerpt(address)} is not host:port.")
            found.append(block.make(f"{scheme}://{address}{metrics_path}", own))
    return found


def _document(path: Path) -> Any:
    try:
        if path.stat().st_size > FILE_BYTES_LIMIT:
            raise ConfigError(f"is over {FILE_BYTES_LIMIT / MEBI:g} MiB, too large for a list of targets.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read as UTF-8 text: {excerpt(str(error))}.") from None
    try:
        return json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not whole {path.suffix[1:]}: {excerpt(str(error))}.") from None


def _yaml(text: str) -> Any:
    try:
        import yaml  # only where a YAML file is named
    except ImportError:
        raise ConfigError("YAML needs PyYAML, which is not installed; install it, or write the list as JSON.") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _run(block: FileSd, now: datetime, count: int, error: str | None, *, is_broken: bool) -> ScrapeRun:
    return ScrapeRun(
        source_key=f"file_sd/{block.where}",
        target_key=block.where,
        started_at=now,
        finished_at=now,
        state=BAD_FILE if is_broken else RUN_OK,
        rows_count=count,
        error=error,
        kind="discovery",
    )
