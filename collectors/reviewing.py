"""The verb `review`: the weekly pack, as files and as a summary in the terminal."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Json, home, show
from costlib.books import CostBasis
from costlib.errors import ConfigError, UnknownKey
from costlib.jsonable import jsonable
from costlib.review import Period
from pack.files import files, statement
from pack.markdown import markdown
from pack.style import Style, locale_of
from store.engine import utc_now
from store.read import Snapshot, snapshot_of
from store.reviews import newest_week, review, weeks

Day = Annotated[datetime | None, typer.Option("--week", formats=["%Y-%m-%d"], help="Any day of it; the newest whole.")]


def review_(
    week: Day = None,
    basis: Annotated[CostBasis, typer.Option(help="Effective spreads commitments; billed is the invoice.")] = (
        CostBasis.EFFECTIVE
    ),
    currency: Annotated[
        str, typer.Option(envvar="PERMILLION_CURRENCY", help="The one with the most money if left out.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Write PDF, XLSX, CSV and Markdown into this folder.")] = None,
    team: Annotated[str | None, typer.Option(help="Write this team's statement too; needs --out.")] = None,
    locale: Annotated[
        str, typer.Option(envvar="PERMILLION_LOCALE", help="Separators of the files: en, de, fr, …")
    ] = "en",
    as_json: Json = False,
) -> None:
    """The weekly cost review: what changed, why, and where the month lands. --out writes the pack."""
    if team is not None and out is None:
        raise ConfigError("--team writes a statement: say where with --out.")
    style = Style(locale=locale_of(locale))
    with snapshot_of(home()) as snapshot:
        found = review(snapshot, home(), _period(snapshot, week), basis, utc_now(), currency or None)
    written: dict[str, bytes] = {}
    if out is not None:
        written = files(found, style)
        if team is not None:
            name, content = statement(found, team, "pdf", style)
            written[name] = content
        _write(out, written)
    told = {"review": found, "files": sorted(written)}
    show(as_json, jsonable(told), lambda: "\n".join((markdown(found, style).decode(), *_said(out, written))))


def _period(snapshot: Snapshot, week: datetime | None) -> Period:
    if week is None:
        return newest_week(snapshot)
    day: date = week.date()
    known = weeks(snapshot)
    for period in known:
        if period.start <= day < period.end:
            return period
    raise UnknownKey("week of", f"{day}", [str(period.start) for period in known], "the imported bills")


def _said(out: Path | None, written: dict[str, bytes]) -> list[str]:
    return [f"wrote {out / name}, {len(content):,} bytes" for name, content in written.items()] if out else []


def _write(out: Path, written: dict[str, bytes]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}. Name another folder with --out.") from error
