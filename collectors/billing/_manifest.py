"""Which files a delivery is made of: clouds write a month in parts, several times a day, and leave the old ones lying.

A manifest says which parts belong together. It lies beside its parts, above them, or in a tree of its own:

    AWS report       20261001-20261101/report-Manifest.json    the current assembly, in the folder of its id
                     20261001-20261101/ASSEMBLY/report-Manifest.json and the parts
    AWS Data Export  metadata/BILLING_PERIOD=2026-10/export-Manifest.json, parts under data/BILLING_PERIOD=2026-10/
    Azure export     20261001-20261031/202610150042/RUN/manifest.json and the parts; every run is the whole month so far
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from costlib.errors import BadRecord
from costlib.units import MEBI

_DATA_SUFFIXES = (".csv", ".csv.gz", ".csv.zip", ".parquet", ".parquet.gz")
_LARGEST_BYTES = 64 * MEBI
# How far above a part its manifest may lie, and how far above a manifest the folder that has both trees.
_LEVELS_UP = 5
_PERIOD = re.compile(r"(?:billing_period=)?(\d{4}-\d{2}|\d{8}-\d{8})", re.IGNORECASE)
_RUN_AT = re.compile(r"\d{12,14}")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """One manifest file. `version` tells deliveries of one period apart; `order` says which is newer, where it can."""

    path: Path
    keys: tuple[str, ...]  # of the parts, as the cloud's storage calls them
    version: str
    order: str
    export: tuple[str, str]  # what is exported, and for which period: of these only one version counts
    bytes_of: Mapping[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


def delivered(paths: Sequence[Path]) -> list[Path]:
    """The data files behind what a person names, each once, in the order named.

    A file is itself, and all parts of its delivery where a manifest lists it: a part alone would replace its month. A
    manifest is its parts. A folder is the newest delivery of each period in it, or every CSV and Parquet file where
    there is no manifest.

    Raises    BadRecord when parts are missing ("incomplete 4/5"), when a newer delivery supersedes what is named, or
              when a manifest cannot be read
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _behind(path):
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _behind(path: Path) -> list[Path]:
    if path.is_dir():
        return _in_folder(path)
    if _is_manifest(path):
        manifest = _read(path)
        return [path] if manifest is None else _parts(manifest)
    return _with_siblings(path) if path.is_file() else [path]  # what is no file is refused when it is read


# Manifests ------------------------------------------------------------------------------------------------------------


def _is_manifest(path: Path) -> bool:
    return path.suffix.lower() == ".json" and "manifest" in path.stem.lower() and path.is_file()


def _read(path: Path) -> _Manifest | None:
    """A manifest, or None for a JSON file that is something else."""
    if path.stat().st_size > _LARGEST_BYTES:
        raise BadRecord(f"{path} has more than {_LARGEST_BYTES // MEBI} MiB, and is no manifest; name the data files")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{path} is a damaged or cut-off manifest ({error}); download it again") from None
    if not isinstance(content, dict):
        return None
    if "reportKeys" in content:
        keys, period = _texts(path, content, "reportKeys"), content.get("billingPeriod")
        name, version = str(content.get("reportName") or content.get("reportId") or ""), content.get("assemblyId")
        return _manifest(
            path, keys, name, str(version or ""), period.get("start") if isinstance(period, dict) else None
        )
    if "dataFiles" in content:
        keys = _texts(path, content, "dataFiles")
        name, version = str(content.get("exportArn") or path.name), content.get("executionId")
        return _manifest(path, keys, name, str(version or ""), None)
    if "blobs" in content:
        return _azure(path, content)
    return None


def _azure(path: Path, content: dict[str, Any]) -> _Manifest:
    blobs = content["blobs"]
    if not isinstance(blobs, list) or not all(isinstance(blob, dict) for blob in blobs):
        raise BadRecord(f"{path}: blobs is no list of objects, as an Azure export has it; download it again")
    keys = _texts(path, {"blobName": [blob.get("blobName") for blob in blobs]}, "blobName")
    if content.get("blobCount", len(keys)) != len(keys):
        raise BadRecord(f"{path} counts {content['blobCount']} parts and names {len(keys)}; download it again")
    sizes = {key: blob.get("byteCount") for key, blob in zip(keys, blobs, strict=True)}
    folders = PurePosixPath(keys[0]).parts[:-1]
    before = [index for index, folder in enumerate(folders) if _PERIOD.fullmatch(folder)]
    name = "/".join(folders[: before[0]] if before else folders)
    found = _manifest(path, keys, name, "/".join(folders), None)
    run = content.get("runInfo")
    submitted = run.get("submittedTime") if isinstance(run, dict) else None
    return replace(
        found,
        bytes_of={key: size for key, size in sizes.items() if isinstance(size, int)},
        order=submitted if isinstance(submitted, str) else found.order,
    )


def _manifest(path: Path, keys: Sequence[str], name: str, version: str, period: object) -> _Manifest:
    folders = [*path.parts[:-1], *PurePosixPath(keys[0]).parts[:-1]]
    periods = [found[1] for folder in folders if (found := _PERIOD.fullmatch(folder))]
    runs = [folder for folder in folders if _RUN_AT.fullmatch(folder)]
    return _Manifest(
        path=path,
        keys=tuple(dict.fromkeys(keys)),
        version=version,
        order=runs[-1] if runs else "",
        export=(name, str(period or (periods[-1] if periods else ""))),
    )


def _texts(path: Path, content: dict[str, Any], name: str) -> list[str]:
    texts = content[name]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRecord(
            f"{path}: {name} is no list of file names, so it says of no part where it is; download it again"
        )
    return texts


# Parts ----------------------------------------------------------------------------------------------------------------


def _parts(manifest: _Manifest) -> list[Path]:
    """The manifest's parts, all of them, whole; the manifest itself is the current one of its period."""
    _refuse_superseded(manifest)
    found = {key: _local(manifest, key) for key in manifest.keys}
    missing = [key for key, file in found.items() if file is None]
    if missing:
        names = ", ".join(PurePosixPath(key).name for key in missing[:3]) + (", …" if len(missing) > 3 else "")
        raise BadRecord(
            f"{manifest.label}: incomplete {len(found) - len(missing)}/{len(found)}: {names} is missing beside or below"
            f" {manifest.path.parent}. Download the whole delivery, in its folders, and import it again."
        )
    for key, size in manifest.bytes_of.items():
        file = found[key]
        if file is not None and file.stat().st_size != size:
            raise BadRecord(
                f"{file} has {file.stat().st_size} bytes where {manifest.label} says {size}: it is cut off, or not the"
                " file that was delivered. Download it again."
            )
    return [file for file in found.values() if file is not None]


def _local(manifest: _Manifest, key: str) -> Path | None:
    """Where a part lies here: the storage's folders may have been copied whole, in part, or not at all."""
    parts = PurePosixPath(key.partition("://")[2] or key).parts
    parts = tuple(part for part in parts if part != "/")
    if ".." in parts:
        raise BadRecord(
            f"{manifest.path} names the part {key[:80]!r}, which leads out of its folder; download it again"
        )
    folder = manifest.path.parent
    for length in range(len(parts), 0, -1):
        # A bare name is looked for only beside the manifest: above it, it may be another delivery's.
        bases = [folder, *list(folder.parents)[:_LEVELS_UP]] if length > 1 else [folder]
        for base in bases:
            file = base.joinpath(*parts[-length:])
            if file.is_file():
                return file
    return None


def _refuse_superseded(manifest: _Manifest) -> None:
    """A period's current manifest lies above those of its versions; runs lie side by side, and the latest counts."""
    for other in _read_all(manifest.path.parent.parent.glob("*.json")):
        if other.export == manifest.export and other.version != manifest.version:
            raise _superseded(manifest.path, other)
    if manifest.order:
        period = manifest.path.parents[min(2, len(manifest.path.parents) - 1)]
        for other in _read_all(period.glob("*/*/*.json")):
            if other.export == manifest.export and other.order > manifest.order:
                raise _superseded(manifest.path, other)


def _superseded(path: Path, newer: _Manifest) -> BadRecord:
    return BadRecord(
        f"{path} is superseded by assembly {newer.version or newer.order}, which is the whole period again;"
        f" import {newer.path} instead"
    )


def _with_siblings(path: Path) -> list[Path]:
    """A data file, with the other parts of its delivery where a manifest near it says so."""
    manifests = list(_read_all(_near(path)))
    for manifest in manifests:
        local = {key: _local(manifest, key) for key in manifest.keys}
        if any(file is not None and file.samefile(path) for file in local.values()):
            return _parts(manifest)
    for manifest in manifests:
        if _is_left_over(manifest, path):
            raise _superseded(path, manifest)
    return [path]


def _is_left_over(manifest: _Manifest, path: Path) -> bool:
    """Whether a file that is no part now was one: in the folder of another version, or numbered beside the parts."""
    folders = {PurePosixPath(key).parts[-2:-1] for key in manifest.keys}
    if manifest.path.parent == path.parent.parent and folders == {(manifest.version,)}:
        return path.parent.name != manifest.version
    files = [file for key in manifest.keys if (file := _local(manifest, key)) is not None]
    return any(file.parent.samefile(path.parent) and _unnumbered(file) == _unnumbered(path) for file in files)


def _unnumbered(path: Path) -> str:
    return _DIGITS.sub("0", path.name)


def _near(path: Path) -> Iterator[Path]:
    """Where a part's manifest may lie: beside it, above it, and in the metadata tree beside the data tree."""
    for folder in (path.parent, path.parent.parent):
        yield from sorted(folder.glob("*.json"))
    for data in list(path.parents)[:_LEVELS_UP]:
        if data.name == "data":
            inside = path.parent.relative_to(data)
            for folder in (inside, *inside.parents):
                yield from sorted((data.parent / "metadata" / folder).glob("*.json"))


def _read_all(paths: Iterable[Path]) -> Iterator[_Manifest]:
    for path in paths:
        if _is_manifest(path) and (manifest := _read(path)) is not None:
            yield manifest


# Folders --------------------------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> list[Path]:
    """The newest delivery of each period; without manifests every data file."""
    versions: dict[tuple[str, str], list[_Manifest]] = defaultdict(list)
    for manifest in _read_all(sorted(folder.rglob("*.json"))):
        versions[manifest.export].append(manifest)
    if versions:
        return [part for manifests in versions.values() for part in _parts(_newest(manifests))]
    files = [path for path in sorted(folder.rglob("*")) if _is_data(path)]
    if not files:
        raise BadRecord(f"{folder} holds no manifest and no CSV or Parquet file; name the folder of the export")
    return [part for file in files for part in _with_siblings(file)]


def _is_data(path: Path) -> bool:
    return path.name.lower().endswith(_DATA_SUFFIXES) and not path.name.startswith((".", "_")) and path.is_file()


def _newest(manifests: Sequence[_Manifest]) -> _Manifest:
    """The current one of several manifests of a period: the one above the others, or of the latest run."""
    top = min(len(manifest.path.parts) for manifest in manifests)
    upper = [manifest for manifest in manifests if len(manifest.path.parts) == top]
    latest = max(upper, key=lambda manifest: manifest.order)
    rivals = [m for m in upper if m.order == latest.order and m.version != latest.version]
    if rivals:
        raise BadRecord(
            f"{latest.path} and {rivals[0].path} are deliveries of one period, and nothing says which is newer;"
            " name the one to import, or download the manifest above them too"
        )
    return latest
