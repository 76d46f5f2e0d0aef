"""The verb `import`: its options, its progress, and what Ctrl-C does."""

import json
from pathlib import Path
from typing import Annotated

import typer

from collectors.base import excerpt
from collectors.bill_preview import Preview, preview
from collectors.billing import formats
from collectors.importer import import_files
from collectors.terminal import Json, home, interrupted, overwrite, show
from costlib.errors import Cancelled, ConfigError
from costlib.jsonable import jsonable
from store.records import ImportStatus

_NOTHING_STORED = "cancelled: nothing was stored"


def import_(
    files: Annotated[list[Path], typer.Argument(help="Exports, manifests, or folders of them: one delivery.")],
    format_key: Annotated[str, typer.Option("--format", help="Force a format instead of recognising it.")] = "",
    currency: Annotated[str, typer.Option(help="Refuse files that bill in any other.")] = "",
    mapping: Annotated[str, typer.Option(help="What the columns mean: a TOML file or a shipped one's name.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Count it instead of another export of the same.")] = False,
    look: Annotated[bool, typer.Option("--preview", help="Show how it would be read; store nothing.")] = False,
    progress: Annotated[bool, typer.Option("--progress", help="Progress as JSON lines on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Import billing files as one delivery. The same file twice adds nothing and says so. Ctrl-C stores nothing."""
    declared = Path(mapping) if mapping else None
    if look:
        if len(files) != 1:
            raise ConfigError(f"--preview looks at one file at a time, not {len(files)}.")
        found = preview(files[0], format_key or None, currency or None, declared)
        known = {key: item.label for key, item in formats().items()}
        show(as_json, jsonable(found) | {"formats": known}, lambda: _preview_text(found))
        return
    try:
        with interrupted() as cancelled:
            receipts = import_files(
                files,
                home(),
                format_key or None,
                currency or None,
                on_progress=_progress_lines if progress else _progress_bar,
                mapping=declared,
                replaces_statement=replace,
                cancelled=cancelled,
            )
    except Cancelled:
        overwrite("")
        typer.echo(_NOTHING_STORED, err=True)
        raise typer.Exit(1) from None
    overwrite("")
    show(as_json, receipts, lambda: "\n".join(receipt.text for receipt in receipts))
    raise typer.Exit(int(any(r.status is ImportStatus.REFUSED for r in receipts)))


def _preview_text(found: Preview) -> str:
    """Which column becomes which, and what is worth knowing about it."""
    wide = max((len(name) for name, _ in found.columns), default=0)
    columns = (
        f"  {excerpt(name)[1:-1]:<{wide}}  {ours or '(empty, or part of others)'}" for name, ours in found.columns
    )
    notes = (f"note: {excerpt(note)[1:-1]}" for note in found.notes)
    return "\n".join([f"{found.label} ({found.format_key})", *columns, *notes])


def _progress_bar(name: str, rows: int, fraction: float | None) -> None:
    share = "" if fraction is None else f", {fraction:.0%}"
    overwrite(f"{name}: {rows:,} rows{share}")


def _progress_lines(name: str, rows: int, fraction: float | None) -> None:
    typer.echo(json.dumps({"file": name, "rows": rows, "fraction": fraction}), err=True)
