"""The verb `capacity`: what is needed hour by hour, how to buy it, and what a scaling policy would do to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from collectors.terminal import Json, home, show
from costlib.autoscale import AutoscalingReplay, replay
from costlib.autoscale_file import tried_policies
from costlib.autoscale_policy import HpaPolicy, Policy, SchedulePolicy, StaticPolicy
from costlib.autoscale_run import ReplaySettings
from costlib.autoscale_yaml import Target, adapter_rules_yaml, hpa_yaml, scaled_object_yaml
from costlib.capacity_text import curve_text, plan_text, replay_text
from costlib.catalog import Catalog
from costlib.demand_curve import DemandCurve, demand_curve
from costlib.errors import ConfigError, UnknownKey
from costlib.gpu_pool import Terms, aligned, bought, needed, pools
from costlib.purchase_mix import PurchasePlan
from costlib.purchase_terms import Offer
from costlib.replica_unit import replica_unit
from costlib.scenario import Deployment, Scenario, SelfHosted
from store.books import scenario_of
from store.catalog_files import load_scenario
from store.demand_curve import WEEKS, load_of
from store.engine import utc_now
from store.policies_file import policies_for, policies_in_force, policies_of
from store.read import Snapshot, open_snapshot
from store.traffic_csv import of_deployments, traffic_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What `permillion capacity` prints."""

    curves: tuple[DemandCurve, ...]  # of each deployment, as measured, imported or assumed
    pools: tuple[DemandCurve, ...]  # of each GPU, over the longest term
    plans: tuple[PurchasePlan, ...]
    replays: tuple[AutoscalingReplay, ...]
    manifests: tuple[str, ...]


def capacity(
    scenario: Annotated[Path | None, typer.Argument(help="A scenario file; the home's, or the sample's.")] = None,
    deployment: Annotated[str, typer.Option(help="Only this one; every self-hosted one if left out.")] = "",
    traffic: Annotated[Path | None, typer.Option(help="CSV of hour,requests_per_s[,deployment], not history.")] = None,
    weeks: Annotated[int, typer.Option(min=1, max=520, help="How far back history is read.")] = WEEKS,
    growth: Annotated[float | None, typer.Option(help="A week over the week before; measured if left out.")] = None,
    reserved: Annotated[list[str] | None, typer.Option(metavar="USD:YEARS", help="An offer. Repeatable.")] = None,
    spot_share: Annotated[float, typer.Option(min=0, max=1, help="Of the load, what may be interrupted.")] = 0.0,
    spot_price: Annotated[float | None, typer.Option(min=0, help="USD per GPU-hour of spot.")] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML of [[policy]]; in force and to try if left out.")] = None,
    start_s: Annotated[float, typer.Option(min=0, max=7200, help="From order to first answer of a replica.")] = 180.0,
    max_wait_s: Annotated[float, typer.Option(min=0, help="Longest wait for a place in a batch.")] = 10.0,
    replayed: Annotated[bool, typer.Option("--replay/--no-replay", help="Replay the newest week.")] = True,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="HPA and ScaledObject of each policy.")] = False,
    prometheus: Annotated[str, typer.Option(help="Its address, for ScaledObjects.")] = "http://prometheus:9090",
    gateway_query: Annotated[str, typer.Option(help="PromQL of what waits at the gateway; to scale to none.")] = "",
    as_json: Json = False,
) -> None:
    """GPUs needed by hour, what to reserve of them, and what autoscaling would save. Exit code 1: it cannot be had."""
    place = home()
    offers = tuple(_offer(text) for text in reserved or ())
    settings = ReplaySettings(start_s=start_s, max_wait_s=max_wait_s)
    terms = Terms(
        offers=offers, growth_ratio=growth, spot_share_fraction=spot_share, spot_usd_per_gpu_hour=spot_price,
        start_s=start_s,
    )  # fmt: skip
    snapshot = open_snapshot(place)
    try:
        today, catalog = _scenario(scenario, snapshot)
        deployments = _self_hosted(today, deployment)
        keys = [one.key for one in today.deployments]
        if policy is not None:
            written = policies_of(policy, keys)
        elif scenario is None:
            written = policies_in_force(place, snapshot is not None and snapshot.is_sample, keys)
        else:  # a file of another fleet: what scales this home says nothing of it
            written = ()
        units = [replica_unit(one, today, catalog) for one in deployments]
        imported = of_deployments(traffic_from(traffic), [one.key for one in deployments]) if traffic else {}
        loads = [imported.get(unit.deployment_key) or load_of(unit, today, snapshot, weeks) for unit in units]
    finally:
        if snapshot is not None:
            snapshot.close()
    every = [needed(one, today, catalog, load) for one, load in zip(deployments, aligned(loads), strict=True)]
    purchases = [bought(pool, today, catalog, terms) for pool in pools(every)]
    chosen: dict[str, tuple[Policy, ...]] = {}
    for load, unit in zip(loads, units, strict=True):
        mine = policies_for(unit.deployment_key, written)
        tried = tried_policies(load.newest(), unit, start_s) if policy is None or not mine else ()
        chosen[unit.deployment_key] = (*mine, *tried)
    replays = tuple(
        replay(load.newest(), unit, chosen[unit.deployment_key], settings, hours_per_month=today.hours_per_month)
        for load, unit in zip(loads, units, strict=True)
        if replayed
    )
    found = Found(
        curves=tuple(demand_curve(load, unit) for load, unit in zip(loads, units, strict=True)),
        pools=tuple(one.curve for one in purchases),
        plans=tuple(one.plan for one in purchases),
        replays=replays,
        manifests=tuple(_manifests(chosen, today, prometheus, gateway_query)) if kubernetes else (),
    )
    show(as_json, found, lambda: "\n\n".join(_texts(found)))
    raise typer.Exit(int(any(one.short_hours for one in found.plans)))


def _texts(found: Found) -> Iterator[str]:
    yield from map(curve_text, found.curves)
    yield from map(plan_text, found.plans)
    yield from map(replay_text, found.replays)
    yield from found.manifests


def _scenario(path: Path | None, snapshot: Snapshot | None) -> tuple[Scenario, Catalog]:
    if path is not None:
        file = load_scenario(path, utc_now().date())
        return file.today, file.catalog
    if snapshot is not None:
        today, catalog = scenario_of(home(), snapshot)
        if today is not None:
            return today, catalog
    if home().scenario.exists():
        file = load_scenario(home().scenario, utc_now().date())
        return file.today, file.catalog
    raise ConfigError(
        f"{home().scenario} does not exist: it says which model and GPU each deployment is. Write one, name a file, or "
        "look at the sample with `permillion demo`."
    )


def _self_hosted(today: Scenario, only: str) -> list[Deployment]:
    """The deployments with GPUs of their own, or `only` this one."""
    known = {one.key: one for one in today.deployments if isinstance(one.supply, SelfHosted)}
    if only and only not in known:
        raise UnknownKey("deployment", only, known, "the self-hosted ones of the scenario")
    if not known:
        raise ConfigError("no deployment of the scenario is self-hosted: there is no capacity to plan.")
    return [one for key, one in known.items() if only in ("", key)]


def _offer(text: str) -> Offer:
    try:
        usd, _, years = text.partition(":")
        return Offer(
            label=f"reserved, {float(years or 1):g} years", usd_per_gpu_hour=float(usd), years_ratio=float(years or 1)
        )
    except ValueError as error:
        raise ConfigError(f"--reserved {text[:40]!r}: write USD:YEARS, such as 2.10:1. {error}") from None


def _manifests(
    chosen: dict[str, tuple[Policy, ...]], today: Scenario, prometheus: str, gateway_query: str
) -> Iterator[str]:
    models = {one.key: one.model_key for one in today.deployments}
    for key, policies in chosen.items():
        target = Target(name=key, model_name=models[key])
        for one in policies:
            if isinstance(one, StaticPolicy):
                continue
            title = f"# {one.label}\n"
            if isinstance(one, HpaPolicy):
                yield title + hpa_yaml(one, target) + "---\n# prometheus-adapter\n" + adapter_rules_yaml(one.targets)
            elif isinstance(one, SchedulePolicy) or one.min_replicas_count or gateway_query:
                yield title + scaled_object_yaml(one, target, prometheus, gateway_query)
            else:
                yield title + "# not written: to start from none it needs --gateway-query, PromQL of what waits there"
