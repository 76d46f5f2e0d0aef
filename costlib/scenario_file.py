"""A scenario file, parsed strictly: today's deployments, the levers to pull, and what its author expects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from costlib.catalog import (
    Catalog,
    build,
    check_keys,
    convert,
    gpu_from,
    model_from,
    prices_from,
    table,
    tables,
)
from costlib.commitment import Commitment
from costlib.compare import Comparison
from costlib.errors import ConfigError, DomainError
from costlib.estimate import Undefined
from costlib.pricing import PurchaseMix, price_at
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.speculation import Speculation
from costlib.workload import Workload

TOP_KEYS = {
    "label", "as_of", "hours_per_month", "target_usd_per_mtok",
    "commitments", "deployments", "levers", "expect", "models", "gpus", "prices",
}  # fmt: skip
DEPLOYMENT_KEYS = {
    "key", "model", "gpu", "product", "max_tpot_s", "stated_tokens_per_s", "metrics_url",
    "workload", "serving", "purchase", "api",
}  # fmt: skip
PRICE_KINDS = ("gpu_hour", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A value the author worked out by hand. `of` is a step's key or a field of the comparison; relative tolerance."""

    of: str
    value: float
    scope: str = ""
    tolerance_fraction: float = 0.005
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """What one file holds. `catalog` is the shipped one with the file's own models, GPUs and prices in front.

    `metrics_urls` are the vLLM targets by deployment key: the scrape's target key is the deployment's.
    """

    today: Scenario
    levers: tuple[tuple[str, Mapping[str, Any]], ...]
    expectations: tuple[Expectation, ...]
    catalog: Catalog
    metrics_urls: tuple[tuple[str, str], ...]


def scenario_file_from(doc: Mapping[str, Any], catalog: Catalog, where: str, as_of: date) -> ScenarioFile:
    """The parsed file. `as_of` dates the prices when the file does not. Raises ConfigError naming the place."""
    check_keys(doc, TOP_KEYS, where)

    def part(name: str) -> Mapping[str, Any]:
        return table(doc.get(name, {}), f"{where} {name}")

    own = Catalog(
        gpus=tuple(gpu_from(key, _cited(body, where)) for key, body in part("gpus").items()),
        models=tuple(model_from(key, _cited(body, where)) for key, body in part("models").items()),
    )
    for stem, body in part("prices").items():
        place = f"{where} prices.{stem}"
        body = table(body, place)
        rows = {kind: [_cited(row, place) for row in tables(body.get(kind, ()), place)] for kind in PRICE_KINDS}
        hourly, token = prices_from(stem, {**body, **rows})
        own = replace(own, gpu_prices=(*own.gpu_prices, *hourly), token_prices=(*own.token_prices, *token))
    catalog = catalog.with_entries(own)
    as_of = convert(doc.get("as_of", as_of), date, f"{where} as_of")
    deployments = tables(doc.get("deployments", ()), f"{where} deployments")
    if not deployments:
        raise ConfigError(f"{where}: needs at least one [[deployments]] table.")
    numbers = {key: doc[key] for key in ("hours_per_month", "target_usd_per_mtok") if key in doc}
    today = build(
        Scenario,
        {
            "key": "today",
            "label": doc.get("label", "Today"),
            "as_of": as_of,
            "deployments": tuple(_deployment(row, catalog, as_of, where) for row in deployments),
            "commitments": tuple(
                _commitment(row, catalog, f"{where} [[commitments]]")
                for row in tables(doc.get("commitments", ()), f"{where} commitments")
            ),
            **numbers,
        },
        where,
    )
    return ScenarioFile(
        today=today,
        levers=tuple((key, table(values, f"{where} levers.{key}")) for key, values in part("levers").items()),
        expectations=tuple(
            build(Expectation, row, f"{where} [[expect]]") for row in tables(doc.get("expect", ()), f"{where} expect")
        ),
        catalog=catalog,
        metrics_urls=tuple(
            (row["key"], convert(row["metrics_url"], str, f"{where} {row['key']} metrics_url"))
            for row in deployments
            if "metrics_url" in row
        ),
    )


def _cited(body: Any, where: str) -> dict[str, Any]:
    """A file's own entries need no citation: the file is their source."""
    return {"sources": [{"title": "stated in the scenario file", "retrieved_on": date.min}], **table(body, where)}


def _commitment(row: Mapping[str, Any], catalog: Catalog, place: str) -> Commitment:
    body = {("gpu_key" if key == "gpu" else key): value for key, value in row.items()}
    found = build(Commitment, body, place)
    catalog.gpu(found.gpu_key)
    return found


def _deployment(row: Mapping[str, Any], catalog: Catalog, as_of: date, where: str) -> Deployment:
    place = f"{where} deployment {row.get('key', '?')!s:.80}"
    check_keys(row, DEPLOYMENT_KEYS, place)
    if missing := [key for key in ("key", "model", "workload") if key not in row]:
        raise ConfigError(f"{place}: {', '.join(missing)} missing.")
    catalog.model(row["model"])
    if ("api" in row) == ("gpu" in row):
        raise ConfigError(
            f"{place}: give either `gpu` (self-hosted) or an [deployments.api] table (bought by the token)."
        )
    supply = _api(row, catalog, as_of, place) if "api" in row else hosted_from(row, catalog, as_of, place)
    limits = {key: row[key] for key in ("max_tpot_s", "product") if key in row}
    body = {"key": row["key"], "model_key": row["model"], "supply": supply, **limits}
    return build(
        Deployment,
        {**body, "workload": build(Workload, table(row["workload"], f"{place} workload"), f"{place} workload")},
        place,
    )


def hosted_from(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str) -> SelfHosted:
    """GPU, serving settings and purchase of a table; raises ConfigError naming the place."""
    gpu = catalog.gpu(row["gpu"])
    purchase = table(row.get("purchase", {}), f"{place} purchase")
    check_keys(purchase, {"usd_per_gpu_hour", "shares"}, f"{place} purchase")
    shares = tuple(
        (key, convert(share, float, f"{place} share {key}"))
        for key, share in table(purchase.get("shares", {}), f"{place} shares").items()
    )
    for key, _ in shares:
        price = price_at(catalog.gpu_prices, key, as_of)
        if price.gpu_key != gpu.key:
            raise ConfigError(f"{place}: price {key!r} is for {price.gpu_key}, and the deployment runs on {gpu.key}.")
    stated = purchase.get("usd_per_gpu_hour")
    stated_price = {} if stated is None else {"stated_usd_per_gpu_hour": stated}
    mix = build(PurchaseMix, {"shares": shares, **stated_price}, f"{place} purchase")
    settings = table(row.get("serving", {}), f"{place} serving")
    if "speculation" in settings:
        drafting = f"{place} serving.speculation"
        settings = {**settings, "speculation": build(Speculation, table(settings["speculation"], drafting), drafting)}
    body = {"gpu_key": gpu.key, "serving": build(ServingConfig, settings, f"{place} serving")}
    if "stated_tokens_per_s" in row:
        body["stated_tokens_per_s"] = row["stated_tokens_per_s"]
    return build(SelfHosted, {**body, "purchase": mix}, place)


def _api(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str) -> ApiTokens:
    api = table(row["api"], f"{place} api")
    if "price" not in api:
        return build(ApiTokens, api, f"{place} api")
    check_keys(api, {"price"}, f"{place} api")
    price = price_at(catalog.token_prices, api["price"], as_of)
    if price.model_key != row["model"]:
        raise ConfigError(
            f"{place}: price {price.key!r} is for {price.model_key}, and the deployment is {row['model']}."
        )
    return ApiTokens(usd_per_mtok_input=price.usd_per_mtok_input, usd_per_mtok_output=price.usd_per_mtok_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An expectation beside what was found."""

    expectation: Expectation
    found: float
    is_met: bool


def check_expectations(file: ScenarioFile, comparison: Comparison) -> tuple[Checked, ...]:
    """What the file's author expected against what came out. Raises DomainError for a name nothing computes."""
    of_comparison = {
        "unit_cost_ratio": comparison.unit_cost_ratio,
        "saved_usd_per_month": comparison.saved_usd_per_month,
        "capacity_freed_fraction": comparison.capacity_freed_fraction,
    }
    results = []
    for wanted in file.expectations:
        found = of_comparison.get(wanted.of)
        if found is None:
            found = comparison.scenario.step(wanted.of, wanted.scope or None).value
        if isinstance(found, Undefined):
            raise DomainError(f"{wanted.of} is undefined: {found.reason}.")
        is_met = abs(found - wanted.value) <= wanted.tolerance_fraction * abs(wanted.value)
        results.append(Checked(expectation=wanted, found=found, is_met=is_met))
    return tuple(results)
