"""The sample in a home of its own: loaded once for each moment it is made at, then copied."""

import shutil
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from collectors.demo import load_demo
from store.home import Home


@cache
def _made(now: datetime) -> TemporaryDirectory:
    folder = TemporaryDirectory(prefix="permillion-sample-")
    load_demo(Home(Path(folder.name) / "home"), lambda: now)
    return folder


def demo_home(path: Path, now: datetime) -> Home:
    shutil.copytree(Path(_made(now).name) / "home", path)
    return Home(path)
