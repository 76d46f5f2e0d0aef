"""`permillion` as its user runs it, on a home of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.live.servers import ROOT, wait_until

KEY = "live"
FIRST_SCRAPE_S, STOP_S, VERB_S = 60.0, 30.0, 120.0
SCRAPE_S = 360.0  # a target that was down is left alone for up to five minutes


@dataclass(frozen=True, kw_only=True)
class Permillion:
    """One home, its permillion.toml and its verbs."""

    home: Path

    def configure(self, text: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "permillion.toml").write_text(text, encoding="utf-8")

    def says(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """What a verb prints. Fails where it ends with another exit code."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=VERB_S, check=False,
        )  # fmt: skip
        assert done.returncode in codes, f"{arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def usage(self, per: str = "target") -> dict[str, dict[str, Any]]:
        """The rows of `permillion usage --json`, by the key of what they are of."""
        rows = json.loads(self.says("usage", "--json", "--per", per))
        found = {row[f"{per}_key"]: row for row in rows}
        assert len(found) == len(rows), "two rows are of one thing"
        return found

    def collecting(self, *urls: str, every: str, keys: Sequence[str] = (KEY,)) -> "Collector":
        """`urls` are KEY=address, beside what permillion.toml names; `keys` are those that are waited for."""
        return Collector(permillion=self, urls=urls, every=every, keys=keys)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "import sys; sys.argv[0] = 'permillion'; import cli; cli.app()", *arguments]

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PERMILLION_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}


@dataclass(kw_only=True)
class Collector:
    """`permillion collect`, which runs while in its `with`; `usage` after it."""

    permillion: Permillion
    urls: Sequence[str]
    every: str
    keys: Sequence[str]
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        urls = [part for url in self.urls for part in ("--metrics-url", url)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.permillion.command("collect", *urls, "--every", self.every),
                cwd=ROOT,
                env=self.permillion.env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: self._scrapes_count >= 1, "a first scrape", FIRST_SCRAPE_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def wait_for_scrape(self) -> None:
        """Returns when a scrape is stored that began after this was called: the second from now at the latest."""
        before = self._scrapes_counts
        wait_until(
            lambda: all(now >= then + 2 for now, then in zip(self._scrapes_counts, before, strict=True)),
            "two more scrapes",
            SCRAPE_S,
        )

    def usage(self) -> dict[str, Any]:
        """The row of the one server that is collected."""
        try:
            found = self.permillion.usage()
        except AssertionError as error:
            error.add_note(self.said)
            raise
        assert found.keys() == {KEY}
        return found[KEY]

    @property
    def said(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    @property
    def log_path(self) -> Path:
        home = self.permillion.home
        return home.parent / f"{home.name}.log"

    @property
    def _scrapes_count(self) -> int:
        return min(self._scrapes_counts)

    @property
    def _scrapes_counts(self) -> list[int]:
        """Of each key, how many scrapes were stored."""
        assert self.process and self.process.poll() is None, f"the collector has ended by itself:\n{self.said}"
        said = self.said
        return [said.count(f" {key} ok ") for key in self.keys]
