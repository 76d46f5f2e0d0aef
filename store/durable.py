"""Files that are whole or absent, also after a power cut: write aside, fsync, rename, fsync the folder."""

import hashlib
import os
import shutil
from pathlib import Path

_READ_BYTES = 1 << 20


def sync(path: Path) -> None:
    """Wait until the file or folder at `path` is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_into_place(built: Path, final: Path) -> None:
    """Rename a finished file or folder to its final name; whoever looks sees the old one or the whole new one."""
    if built.is_dir():
        for member in built.iterdir():
            sync(member)
    sync(built)
    built.replace(final)
    sync(final.parent)


def keep_as(source: Path, final: Path) -> None:
    """Give the file at `source` a second name, so that it stays when the first goes; a copy where names cannot be
    shared."""
    try:
        os.link(source, final)
    except FileExistsError:
        return
    except OSError:
        building = final.with_name(f".{final.name}.building")
        shutil.copyfile(source, building)
        move_into_place(building, final)
    sync(final.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` in one step."""
    building = path.with_name(f".{path.name}.building")
    building.write_text(text, encoding="utf-8")
    move_into_place(building, path)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
