"""What the verbs share: the home they work in, how a result is printed, and how an error is."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Annotated, Any

import typer

from costlib.errors import PermillionError
from costlib.jsonable import jsonable
from store.home import Home

Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON; money is a string.")]
Month = Annotated[str, typer.Option(help="YYYY-MM; the newest that is over if left out.")]


Call = Callable[..., Any]


def in_one_line(call: Call) -> Call:
    """`call`, whose errors of ours are one clear line and exit code 2; anything else is a fault with its traceback."""

    @wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except PermillionError as error:
            typer.echo(f"permillion: {error}", err=True)
            raise typer.Exit(2) from None

    return run


def verbs_of(app: typer.Typer) -> Callable[[Call], Call]:
    """What makes a function a verb of `app`, by its name."""

    def verb(call: Call) -> Call:
        return app.command(name=call.__name__.strip("_").replace("_", "-"))(in_one_line(call))

    return verb


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
