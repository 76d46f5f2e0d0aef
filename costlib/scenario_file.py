"""A scenario file, parsed strictly: today's deployments, the levers to pull, and what its author expects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from costlib.catalog import Catalog, build, check_keys, convert, gpu_from, model_from, prices_from
from costlib.compare import Comparison
from costlib.errors import ConfigError, DomainError
from costlib.estimate import Undefined
from costlib.pricing import PurchaseMix, price_at
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.serving import ServingConfig
from costlib.workload import Workload

TOP_KEYS = {
    "label", "as_of", "hours_per_month", "target_usd_per_mtok",
    "deployments", "levers", "expect", "models", "gpus", "prices",
}  # fmt: skip
DEPLOYMENT_KEYS = {
    "key", "model", "gpu", "product", "max_tpot_s", "stated_tokens_per_s", "metrics_url",
    "workload", "serving", "purchase", "api",
}  # fmt: skip


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
    own = Catalog(
        gpus=tuple(gpu_from(key, _cited(body)) for key, body in doc.get("gpus", {}).items()),
        models=tuple(model_from(key, _cited(body)) for key, body in doc.get("models", {}).items()),
    )
    for stem, body in doc.get("prices", {}).items():
        rows = {kind: [_cited(row) for row in body.get(kind, ())] for kind in ("gpu_hour", "token")}
        hourly, token = prices_from(stem, {**body, **rows})
        own = replace(own, gpu_prices=(*own.gpu_prices, *hourly), token_prices=(*own.token_prices, *token))
    catalog = catalog.with_entries(own)
    as_of = convert(doc.get("as_of", as_of), date, f"{where} as_of")
    rows = doc.get("deployments", ())
    if not rows:
        raise ConfigError(f"{where}: needs at least one [[deployments]] table.")
    numbers = {key: doc[key] for key in ("hours_per_month", "target_usd_per_mtok") if key in doc}
    today = build(
        Scenario,
        {
            "key": "today",
            "label": doc.get("label", "Today"),
            "as_of": as_of,
            "deployments": tuple(_deployment(row, catalog, as_of, where) for row in rows),
            **numbers,
        },
        where,
    )
    return ScenarioFile(
        today=today,
        levers=tuple(doc.get("levers", {}).items()),
        expectations=tuple(build(Expectation, row, f"{where} [[expect]]") for row in doc.get("expect", ())),
        catalog=catalog,
        metrics_urls=tuple((row["key"], row["metrics_url"]) for row in rows if "metrics_url" in row),
    )


def _cited(body: Mapping[str, Any]) -> dict[str, Any]:
    """A file's own entries need no citation: the file is their source."""
    return {"sources": [{"title": "stated in the scenario file", "retrieved_on": date.min}], **body}


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
    supply = _api(row["api"], catalog, as_of, place) if "api" in row else _hosted(row, catalog, as_of, place)
    limits = {key: row[key] for key in ("max_tpot_s", "product") if key in row}
    body = {"key": row["key"], "model_key": row["model"], "supply": supply, **limits}
    return build(Deployment, {**body, "workload": build(Workload, row["workload"], f"{place} workload")}, place)


def _hosted(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str) -> SelfHosted:
    gpu = catalog.gpu(row["gpu"])
    purchase = dict(row.get("purchase", {}))
    check_keys(purchase, {"usd_per_gpu_hour", "shares"}, f"{place} purchase")
    shares = tuple(
        (key, convert(share, float, f"{place} share {key}")) for key, share in purchase.get("shares", {}).items()
    )
    for key, _ in shares:
        price = price_at(catalog.gpu_prices, key, as_of)
        if price.gpu_key != gpu.key:
            raise ConfigError(f"{place}: price {key!r} is for {price.gpu_key}, and the deployment runs on {gpu.key}.")
    stated = purchase.get("usd_per_gpu_hour")
    mix = PurchaseMix(
        shares=shares,
        stated_usd_per_gpu_hour=None if stated is None else convert(stated, float, f"{place} usd_per_gpu_hour"),
    )
    body = {"gpu_key": gpu.key, "serving": build(ServingConfig, row.get("serving", {}), f"{place} serving")}
    if "stated_tokens_per_s" in row:
        body["stated_tokens_per_s"] = row["stated_tokens_per_s"]
    return build(SelfHosted, {**body, "purchase": mix}, place)


def _api(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str) -> ApiTokens:
    if "price" not in row:
        return build(ApiTokens, row, f"{place} api")
    check_keys(row, {"price"}, f"{place} api")
    price = price_at(catalog.token_prices, row["price"], as_of)
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
