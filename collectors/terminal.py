"""What the verbs share: the home they work in, and how a result is printed."""

import json
import os
from collections.abc import Callable
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
