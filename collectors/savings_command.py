"""The verbs `verify` and `savings`: from an idea to what came of it, and the verdict on one change."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from getpass import getuser
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Json, home, in_one_line, show, verbs_of
from costlib.detected import is_noted
from costlib.errors import ConfigError, UnknownKey
from costlib.estimate import Undefined
from costlib.saving import GUARDED, Advice, Design, Entry, Guard, Plan, State, Verdict, Verification
from costlib.savings_steps import find
from costlib.savings_text import board_text, detected_text, promise_text, turns_text, verification_text
from costlib.switchback import Turn, schedule
from costlib.text_safety import plain
from store import savings_file
from store.catalog_files import load_scenario
from store.detected import changes_of
from store.engine import utc_now
from store.read import open_snapshot, snapshot_of
from store.savings import Verifier, signed_from
from store.savings import savings as read_savings
from store.savings_file import ledger
from store.savings_plan import USUAL_GUARDS, Wanted, advice_on, plan_of

SAVED = frozenset({Verdict.VERIFIED, Verdict.PARTIAL})
TURN_HOURS, TURN_DAYS = 12, 14

Which = Annotated[str, typer.Argument(metavar="ENTRY", help="The change's id, or as much of it as no other has.")]
By = Annotated[str, typer.Option("--by", help="Who says so; this system's user if left out.")]
Note = Annotated[str, typer.Option("--note", help="Kept in the ledger beside it.")]
At = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"], help="UTC; now if left out."),
]

savings = typer.Typer(name="savings", help="The savings ledger; without a verb of its own, the board.")
step = verbs_of(savings)


def verify(entry: Which, as_json: Json = False) -> None:
    """Whether one change really saved. Exit code 1 when the data say no, or cannot tell."""
    with snapshot_of(home()) as snapshot:
        of = ledger(home(), snapshot.is_sample)
        found = find(of.entries, entry)
        verifier = Verifier(snapshot, home(), of.entries, utc_now())
        verified = _verified(verifier, found)
    is_broken = found.id in of.broken_entries
    for line in of.broken if is_broken else ():
        typer.echo(f"permillion: nothing of {found.id} counts: {plain(line, 600)}", err=True)
    show(as_json, verified, lambda: verification_text(found, verified, verifier.currency))
    raise typer.Exit(int(is_broken or verified.verdict not in SAVED))


@savings.callback(invoke_without_command=True)
@in_one_line
def board(context: typer.Context, as_json: Json = False) -> None:
    """Every change with what it promised and what was measured; money by month. Exit code 1: the ledger is broken."""
    if context.invoked_subcommand is not None:
        return
    with snapshot_of(home()) as snapshot:
        found = read_savings(snapshot, home(), utc_now())
    show(as_json, found, lambda: board_text(found))
    raise typer.Exit(int(bool(found.broken)))


@step
def note(
    title: str,
    owner: Annotated[str, typer.Option(help="This system's user if left out.")] = "",
    evidence: Annotated[str, typer.Option(help="Link to an evaluation, a pull request or a dashboard.")] = "",
    by: By = "",
) -> None:
    """Note an idea; prints its id."""
    is_sample = bool(_is_sample())
    name = owner or _me()
    key = savings_file.note_idea(home(), title, name, utc_now(), by=by, evidence=evidence, is_sample=is_sample)
    typer.echo(key)


@step
def commit(
    entry: Which,
    scenario: Annotated[Path, typer.Option(help="A scenario file whose levers are set, as of `whatif`.")],
    pool: Annotated[list[str] | None, typer.Option(help="A deployment that changes. Repeatable.")] = None,
    control: Annotated[list[str] | None, typer.Option(help="One that nobody touches. Repeatable.")] = None,
    design: Annotated[Design | None, typer.Option(help="difference with a control, else before_after.")] = None,
    before_days: Annotated[int, typer.Option(min=1)] = 56,
    after_days: Annotated[int, typer.Option(min=1)] = 28,
    looks: Annotated[int, typer.Option(min=1, help="How often somebody looks before the end.")] = 1,
    margin: Annotated[
        list[str] | None, typer.Option(help=f"MEASURE=SHARE that it may rise by: {', '.join(GUARDED)}. Repeatable.")
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Although what is promised could not be seen.")] = False,
    note: Note = "",
    by: By = "",
    as_json: Json = False,
) -> None:
    """Freeze what a change promises. Says first what could be seen of it; exit code 1 when that is less."""
    found = _entry(entry)
    if found.state is not State.IDEA:
        raise ConfigError(f"somebody committed to {found.id} already, or rejected it. Note another change.")
    wanted = Wanted(
        settings=dict(load_scenario(scenario, utc_now().date()).levers),
        pool_keys=tuple(pool or ()),
        control_keys=tuple(control or ()),
        design=design,
        before_days=before_days,
        after_days=after_days,
        guards=tuple(map(_guard, margin)) if margin else USUAL_GUARDS,
        looks_count=looks,
    )
    with snapshot_of(home()) as snapshot:
        plan = plan_of(snapshot, home(), wanted)
        advice = advice_on(snapshot, home(), plan)
        currency = Verifier(snapshot, home(), (), utc_now()).currency
    is_committed = anyway or _is_seen(plan, advice)
    told = {"entry_id": found.id, "plan": plan, "advice": advice, "is_committed": is_committed}
    show(as_json, told, lambda: promise_text(plan, advice, currency))
    if not is_committed:
        typer.echo(
            "permillion: nothing was frozen: this could not be shown. Change the plan, or add --anyway.", err=True
        )
        raise typer.Exit(1)
    savings_file.commit(home(), found.id, plan, by or _me(), utc_now(), note)
    if not as_json:
        typer.echo(f"{found.id} is planned; what it promises is frozen")


@step
def turns(
    entry: Which,
    hours: Annotated[int, typer.Option(help="Of one turn: 4, 6, 8 or 12.")] = TURN_HOURS,
    days: Annotated[int, typer.Option(help="An even number.")] = TURN_DAYS,
    start: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="UTC; tomorrow if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """When a switchback is on and when off, by lot. The lot is drawn once: the same plan always gets the same turns."""
    found = _entry(entry)
    first = _utc(start) if start else _midnight(utc_now()) + timedelta(days=1)
    drawn = _turns(found, first, hours, days)
    shipping = f"permillion savings ship {found.id} --at {first:%Y-%m-%d} --hours {hours} --days {days}"
    show(as_json, drawn, lambda: f"{turns_text(drawn)}\nonce it began: {shipping}")


@step
def ship(
    entry: Which,
    at: At = None,
    hours: Annotated[int | None, typer.Option(help="Of a switchback, as `turns` drew it.")] = None,
    days: Annotated[int | None, typer.Option(help="The same.")] = None,
    note: Note = "",
    by: By = "",
) -> None:
    """Say since when a change is on; a switchback since midnight, with its turns."""
    found, now = _entry(entry), utc_now()
    if found.plan is None or found.plan.design is not Design.SWITCHBACK:
        if hours is not None or days is not None:
            raise ConfigError(f"{found.id} is no switchback: leave --hours and --days out.")
        savings_file.ship(home(), found.id, _utc(at) if at else now, by or _me(), now, text=note)
    else:
        first, each = _utc(at) if at else _midnight(now), hours or TURN_HOURS
        on = [(turn.start, turn.end) for turn in _turns(found, first, each, days or TURN_DAYS) if turn.is_on]
        savings_file.ship(home(), found.id, first, by or _me(), now, on, each, note)
    _tell(found.id)


@step
def sign(entry: Which, note: Note = "", by: By = "") -> None:
    """Sign the verdict as it is measured today. What cannot be told cannot be signed."""
    now, name = utc_now(), by or _me()
    with snapshot_of(home()) as snapshot:
        entries = ledger(home(), snapshot.is_sample).entries
        found = find(entries, entry)
        signed = signed_from(Verifier(snapshot, home(), entries, now).to_sign(found), snapshot, name, now)
    savings_file.sign(home(), found.id, signed, name, now, note)
    _tell(found.id)


@step
def take_back(entry: Which, at: At = None, note: Note = "", by: By = "") -> None:
    """Say since when a change is off again."""
    found, now = _entry(entry), utc_now()
    savings_file.take_back(home(), found.id, _utc(at) if at else now, by or _me(), now, note)
    _tell(found.id)


@step
def reject(entry: Which, why: Annotated[str, typer.Option(help="Kept in the ledger.")], by: By = "") -> None:
    """Say that a change is not wanted, or was not shown to save."""
    found = _entry(entry)
    savings_file.reject(home(), found.id, why, by or _me(), utc_now())
    _tell(found.id)


@step
def reopen(entry: Which, note: Note = "", by: By = "") -> None:
    """Open a change that was rejected."""
    found = _entry(entry)
    savings_file.reopen(home(), found.id, by or _me(), utc_now(), note)
    _tell(found.id)


@step
def say(entry: Which, text: str, by: By = "") -> None:
    """Keep a sentence beside a change."""
    found = _entry(entry)
    savings_file.say(home(), found.id, text, by or _me(), utc_now())
    _tell(found.id)


@step
def detected(
    since: Annotated[int, typer.Option(min=1, metavar="DAYS", help="How far back.")] = 56, as_json: Json = False
) -> None:
    """Changes that metrics tell of and no entry notes."""
    now = utc_now()
    with snapshot_of(home()) as snapshot:
        seen = changes_of(snapshot, now - timedelta(days=since), now)
        entries = ledger(home(), snapshot.is_sample).entries
    found = [one for one in seen if not is_noted(one, entries)]
    nothing = f"Nothing changed in {since} days that is not in the ledger."
    show(as_json, found, lambda: detected_text(found) or nothing)


def _is_sample() -> bool | None:
    """Whether what is measured here is the sample; None where nothing is."""
    snapshot = open_snapshot(home())
    if snapshot is None:
        return None
    with snapshot:
        return snapshot.is_sample


def _entry(text: str) -> Entry:
    return find(ledger(home(), _is_sample()).entries, text)


def _verified(verifier: Verifier, entry: Entry) -> Verification:
    found = verifier.all().get(entry.id)
    if found is None:
        raise ConfigError(f"{entry.id} was not shipped: say `permillion savings ship {entry.id}` once it is on.")
    return found


def _is_seen(plan: Plan, advice: Advice) -> bool:
    least = advice.minimum_fraction
    return not isinstance(least, Undefined) and least <= plan.projection.saved_fraction.mid


def _guard(text: str) -> Guard:
    measure, _, share = text.partition("=")
    if measure not in GUARDED:
        raise UnknownKey("guard", measure, GUARDED, "--margin")
    try:
        margin = float(share)
    except ValueError:
        margin = -1.0
    if not (isfinite(margin) and margin >= 0):
        raise ConfigError(f"--margin {plain(text, 40)!r}: write MEASURE=SHARE, such as {measure}=0.1 for 10 %.")
    return Guard(measure=measure, margin_fraction=margin)


def _turns(entry: Entry, first: datetime, hours: int, days: int) -> Sequence[Turn]:
    """The lot is in what was frozen: nobody draws again until the turns please."""
    if entry.plan is None or entry.committed_at is None or entry.plan.design is not Design.SWITCHBACK:
        raise ConfigError(f"{entry.id} is no switchback: commit to it with --design switchback.")
    lot = sha256(f"{entry.id} {entry.committed_at.isoformat()}".encode()).digest()
    return schedule(first, days, hours, int.from_bytes(lot))


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)


def _me() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container without a user of that number
        raise ConfigError("this system's user has no name: give one with --by, or an owner with --owner.") from None


def _tell(entry_id: str) -> None:
    """What was written, as the ledger has it now."""
    found = find(ledger(home()).entries, entry_id)
    for said in found.said:
        if said.at == found.said[-1].at:
            typer.echo(f"{found.id}: {plain(said.text, 600)}")
