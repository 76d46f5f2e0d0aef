"""Kills an import at the steps that change the disk, and looks at what is left. Run by test_kill.py.

`python kill_points.py FOLDER ORIGINAL RESTATED STRIDE`: a home is made with ORIGINAL in it; then, for every STRIDE-th
k, a copy of it takes the import of RESTATED in a child that is killed (SIGKILL) at its k-th step, until a child ends
unharmed. Children are forked from this process, which never opens a database itself. Prints one JSON object per k.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine.default import DefaultDialect

from collectors.importer import import_files
from store.home import Home
from store.read import open_snapshot
from store.writer import Writer
from tests.store.builders import ALWAYS


def die_at(k: int) -> None:
    """Every fsync, rename and commit is a step; the k-th is not taken any more."""
    steps = 0

    def watched(work: Callable) -> Callable:
        def wrapper(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps == k:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*args, **kwargs)

        return wrapper

    for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (DefaultDialect, "do_commit")):
        setattr(module, name, watched(getattr(module, name)))


def in_child(work: Callable[[], object]) -> tuple[bool, object]:
    """What `work` returns in a forked child, and whether the child came to its end."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, json.dumps(work()).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return status == 0, json.loads(said) if said else None


def billed(home: Home) -> list[str]:
    with open_snapshot(home) as snapshot:
        batches = snapshot.imports()
        return [str(snapshot.spend_total(*ALWAYS)["USD"].normalize()), int((batches["status"] == "active").sum())]


def statuses(home: Home, file: Path) -> list[str]:
    return [receipt.status for receipt in import_files([file], home)]


def aftermath(home: Home, restated: Path) -> dict[str, list[str]]:
    """What readers see, what the next writer makes of it, and what importing again does."""
    seen_at_once = billed(home)
    with Writer.open(home) as writer:
        writer.drain_inbox()
        writer.publish(force=True)
    recovered = billed(home)
    return {
        "seen_at_once": seen_at_once,
        "recovered": recovered,
        "again": [*statuses(home, restated), *billed(home)],
        "left": sorted(path.name for path in home.serving.glob(".*")),
    }


def main(base: Path, original: Path, restated: Path, stride: int) -> None:
    prepared = Home(base / "prepared")
    assert in_child(lambda: statuses(prepared, original)) == (True, ["imported"])
    k, done = 1 - stride, False
    while not done:
        k += stride
        home = Home(base / f"killed-{k}")
        shutil.copytree(prepared.path, home.path)

        def attack(home: Home = home, k: int = k) -> list[str]:
            die_at(k)
            return statuses(home, restated)

        done, _ = in_child(attack)
        _, found = in_child(lambda home=home: aftermath(home, restated))
        sys.stdout.write(json.dumps({"k": k, "killed": not done, **found}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), stride=int(sys.argv[4]))
