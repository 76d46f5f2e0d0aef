"""The verbs `estimate` and `right-size`: what a product would cost before it runs, and which GPUs fit what runs."""

from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Json, home, show
from costlib.catalog import Catalog
from costlib.errors import ConfigError, UnknownKey
from costlib.estimate_text import estimate_text
from costlib.estimator import Verdict
from costlib.estimator import estimate as estimated
from costlib.right_sizing import right_size as right_sized
from costlib.right_sizing import right_sizing_text
from costlib.scenario import Scenario, SelfHosted
from store.books import scenario_of
from store.catalog_files import load_catalog, load_scenario
from store.engine import utc_now
from store.estimate_files import load_estimator
from store.read import snapshot_of


def estimate(
    file: Annotated[Path, typer.Argument(help="An estimate file; start from data/demo/estimate.toml.")],
    as_json: Json = False,
) -> None:
    """P50, P90 and P99 of a product that does not run yet, by API and self-hosted. Exit code 1: all gates say stop."""
    found = estimated(load_estimator(file, utc_now().date()), load_catalog())
    show(as_json, found, lambda: estimate_text(found))
    gates = [option.gate for option in found.options if option.gate is not None]
    raise typer.Exit(int(bool(gates) and all(one.verdict is Verdict.STOP for one in gates)))


def right_size(
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file; this home's if left out.")] = None,
    deployment: Annotated[str, typer.Option(help="Only this one; every self-hosted one if left out.")] = "",
    max_ttft_s: Annotated[float | None, typer.Option(help="Longest time to the first token, in seconds.")] = None,
    as_json: Json = False,
) -> None:
    """GPU x count x weight format of each deployment, by the cost of a million tokens at its SLO."""
    today, catalog = _today(scenario)
    known = {item.key: item for item in today.deployments if isinstance(item.supply, SelfHosted)}
    if deployment and deployment not in known:
        raise UnknownKey("deployment", deployment, known, "the self-hosted ones of the scenario")
    if not known:
        raise ConfigError("no deployment of the scenario is self-hosted: there is no GPU to size.")
    chosen = [known[deployment]] if deployment else list(known.values())
    found = [right_sized(one, today, catalog, max_ttft_s=max_ttft_s) for one in chosen]
    show(as_json, found, lambda: "\n\n".join(right_sizing_text(one) for one in found))


def _today(path: Path | None) -> tuple[Scenario, Catalog]:
    if path is not None:
        file = load_scenario(path, utc_now().date())
        return file.today, file.catalog
    place = home()
    with snapshot_of(place) as snapshot:
        scenario, catalog = scenario_of(place, snapshot)
    if scenario is None:
        raise ConfigError(f"{place.scenario} does not exist: name a scenario file, or write that one.")
    return scenario, catalog
