"""The text members of a zip archive, streamed one after another. Their names are shown and never used as paths."""

import lzma
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from costlib.errors import BadRecord

DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, lzma.LZMAError)
LARGEST_MEMBERS_COUNT = 1_000
_ENCRYPTED = 0x1
_WORKBOOK = "[content_types].xml"
_TABLES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson")


def members(path: Path) -> list[zipfile.ZipInfo]:
    """The members with rows: the CSV files if there are any, else the other texts. Raises BadRecord."""
    with _opened(path) as archive:
        return _chosen(path, archive)


def open_members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Each member's name and content, in the archive's order."""
    with _opened(path) as archive:
        for member in _chosen(path, archive):
            try:
                file = archive.open(member)
            except DAMAGED as error:
                raise BadRecord(f"{path.name} is a damaged zip archive ({error}); copy it again") from error
            yield _shown(member.filename), file


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except DAMAGED as error:
        raise BadRecord(f"{path.name} is a damaged or cut-off zip archive ({error}); copy it again") from error


def _chosen(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if any(entry.filename.lower() == _WORKBOOK for entry in entries):
        raise BadRecord(
            f"{path.name} is an Excel workbook, whose cells are not what it shows (dates, rounded amounts, formulas)."
            " Export CSV from the provider, or save the sheet as CSV UTF-8, and import that."
        )
    if len(entries) > LARGEST_MEMBERS_COUNT:
        raise BadRecord(f"{path.name} has {len(entries)} members; at most {LARGEST_MEMBERS_COUNT} are read. Unpack it.")
    files = [
        entry
        for entry in entries
        if not entry.is_dir() and not Path(entry.filename).name.startswith(".") and "__MACOSX" not in entry.filename
    ]
    for entry in files:
        if entry.flag_bits & _ENCRYPTED:
            raise BadRecord(f"{path.name} is encrypted; unpack it with its password, and import the files in it")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise BadRecord(f"{path.name} has the link {_shown(entry.filename)} in it; only files with rows are read")
    names = [entry.filename for entry in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRecord(f"{path.name} has {_shown(twice[0])} more than once, and only one can be meant; unpack it")
    texts = [entry for entry in files if entry.filename.lower().endswith(_TABLES)]
    tables = [entry for entry in texts if entry.filename.lower().endswith(_TABLES[:2])]  # a manifest may lie beside
    chosen = tables or texts or files[:1]
    if not chosen:
        raise BadRecord(f"{path.name} is a zip archive with no file in it; export it again")
    return chosen


def _shown(name: str) -> str:
    """A member's name for a message: it may hold anything."""
    return ascii(name)[1:-1][-80:]
