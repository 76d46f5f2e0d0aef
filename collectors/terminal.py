"""What the verbs share: the home they work in, and how a result is printed."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated, Any

import typer

from costlib.jsonable import jsonable
from store.home import Home

Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON; money is a string.")]
Month = Annotated[str, typer.Option(help="YYYY-MM; the newest that is over if left out.")]


def home() -> Home:
    return Home.default(os.environ)


def show(as_json: bool, value: Any, text: Callable[[], str]) -> None:
    typer.echo(json.dumps(jsonable(value), indent=1) if as_json else text())


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed since. Long work asks while stopping is safe; later it finishes what it began."""
    pressed: list[int] = []

    def press(number: int, _frame: FrameType | None) -> None:
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def overwrite(line: str) -> None:
    """One line that overwrites itself, for a person at a terminal only; "" clears it."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{line}", err=True, nl=False)
