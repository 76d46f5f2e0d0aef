"""The verb `calibrate`: constants of each deployment from what its servers did, accepted or refused with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer

from collectors.terminal import Json, home, show
from costlib.calibration import Calibration, WrongFact
from costlib.calibration import calibrate as calibrated
from costlib.catalog import Catalog
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.scenario import Deployment, SelfHosted
from costlib.suspects import Stated, Suspect
from store.books import scenario_of
from store.calibrations import Told, identity_of, keep
from store.engine import utc_now
from store.home import Home
from store.read import Snapshot, snapshot_of
from store.server_use import load_windows

TWO_WEEKS_HOURS = 14 * 24
MOST_HOURS = 10 * 366 * 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One deployment: its calibration and the file it was kept in ("" in a dry run), or why there is none."""

    deployment: str
    calibration: Calibration | None = None
    kept_as: str = ""
    refused: str = ""
    suspects: tuple[Suspect, ...] = ()
    is_sample: bool = False


def calibrate(
    deployment: Annotated[str, typer.Option(help="Only this one; every self-hosted one if left out.")] = "",
    hours: Annotated[float, typer.Option(min=1.0, max=MOST_HOURS, help="How far back to look.")] = TWO_WEEKS_HOURS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be found; keep nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Fits the engine model to busy windows, tries it on the last day, keeps what holds. Exit code 1: not all do."""
    place = home()
    with snapshot_of(place) as snapshot:
        scenario, catalog = scenario_of(place, snapshot)
        if scenario is None:
            raise ConfigError(
                f"{place.scenario} does not exist: it says which model and GPU each deployment is; write one."
            )
        known = {item.key: item for item in scenario.deployments if isinstance(item.supply, SelfHosted)}
        if deployment and deployment not in known:
            raise UnknownKey("deployment", deployment, known, "the self-hosted ones of the scenario")
        chosen = [known[deployment]] if deployment else list(known.values())
        if not chosen:
            raise ConfigError("no deployment of the scenario is self-hosted; there is no engine to calibrate.")
        outcomes = [_outcome(item, catalog, snapshot, hours, None if dry_run else place) for item in chosen]
    show(as_json, outcomes, lambda: calibration_text(outcomes))
    raise typer.Exit(int(any(outcome.calibration is None for outcome in outcomes)))


def _outcome(
    deployment: Deployment, catalog: Catalog, snapshot: Snapshot, hours: float, keep_in: Home | None
) -> Outcome:
    end = snapshot.status().usage_to or snapshot.published_at
    try:
        load = load_windows(snapshot, end - timedelta(hours=hours), end, deployment.key, deployment.workload)
        found = calibrated(load, Stated.of(deployment, catalog), catalog)
    except WrongFact as wrong:
        return Outcome(deployment=deployment.key, refused=str(wrong), suspects=wrong.suspects)
    except DomainError as reason:
        return Outcome(deployment=deployment.key, refused=str(reason))
    identity = identity_of(deployment, catalog, Told.by(snapshot))
    kept_as = keep(keep_in, identity, found, utc_now()) if keep_in else ""
    return Outcome(deployment=deployment.key, calibration=found, kept_as=kept_as, is_sample=snapshot.is_sample)


def calibration_text(outcomes: Sequence[Outcome]) -> str:
    return "\n\n".join("\n".join(_lines(outcome)) for outcome in outcomes)


def _lines(outcome: Outcome) -> Iterator[str]:
    found = outcome.calibration
    if found is None:
        yield f"{outcome.deployment}: refused"
        yield f"  {outcome.refused}"
        return
    yield f"{outcome.deployment}: {found.how.replace('_', ' ')}, {found.windows_count:,} busy windows"
    if found.why:
        yield f"  no better, because {found.why}"
    for one in found.found:
        reached = f", {one.reached_fraction:.0%} of the sheet's peak" if one.reached_fraction is not None else ""
        yield f"  {one.group:<12} {one.ratio:5.2f} x published ({one.low_ratio:.2f} to {one.high_ratio:.2f}){reached}"
    fitted = found.fitted
    yield f"  step time    {fitted.step_low_ratio:.2f} to {fitted.step_high_ratio:.2f} of the prediction (80 % band)"
    if test := found.back_test:
        covered = "" if test.coverage_fraction is None else f"; the band covered {test.coverage_fraction:.0%}"
        yield (
            f"  back-test    busy time of {test.windows_count:,} held-out windows off by {test.median_error_ratio:.1%} "
            f"at the median, {test.p95_error_ratio:.1%} at the 95th percentile{covered}"
        )
    seen = fitted.validity
    yield (
        f"  holds for    batches of {seen.least_batch_count:.0f} to {seen.most_batch_count:.0f}, contexts of "
        f"{seen.least_context_tokens:,.0f} to {seen.most_context_tokens:,.0f} tokens"
    )
    yield from (f"  {note}" for note in found.notes)
    if outcome.is_sample:
        yield "  sample hours are made with the engine model itself: that it agrees with them proves nothing"
    yield f"  kept in calibrations/{outcome.kept_as}" if outcome.kept_as else "  dry run: nothing was kept"
