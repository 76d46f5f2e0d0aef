"""An estimate file, parsed strictly: factors with their ranges, what was planned, a budget, and what to price."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from costlib.catalog import Catalog, build, check_keys, convert, enum_from, table, tables
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.estimate_options import ApiOption, HostOption
from costlib.estimator import DRAWS, Budget, Estimator
from costlib.pricing import price_at
from costlib.ranges import Range, Shape, known
from costlib.scenario_file import hosted_from
from costlib.units import HOURS_PER_DAY, HOURS_PER_MONTH
from costlib.usage_volume import FACTORS

TOP_KEYS = {
    "label", "as_of", "days_per_month", "draws", "seed", "factors", "plan", "budget", "api", "self_host",
}  # fmt: skip
RANGE_KEYS = {"low", "mode", "high", "shape"}
API_PRICES = ("usd_per_mtok_input", "usd_per_mtok_cached_input", "usd_per_mtok_output")
HOST_KEYS = {
    "name", "model", "gpu", "serving", "purchase", "stated_tokens_per_s", "peak_to_mean_ratio", "max_tpot_s",
    "operations_usd_per_month",
}  # fmt: skip


def estimator_from(doc: Mapping[str, Any], catalog: Catalog, where: str, as_of: date) -> Estimator:
    """The parsed file; `as_of` dates the prices when the file does not. Raises ConfigError naming the place."""
    check_keys(doc, TOP_KEYS, where)
    as_of = convert(doc.get("as_of", as_of), date, f"{where} as_of")
    budget = table(doc["budget"], f"{where} [budget]") if "budget" in doc else None
    names: list[str] = []
    options: tuple[ApiOption | HostOption, ...] = (
        *(
            _api(row, catalog, as_of, f"{where} [[api]] {number}", names)
            for number, row in enumerate(tables(doc.get("api", ()), f"{where} api"), 1)
        ),
        *(
            _host(row, catalog, as_of, f"{where} [[self_host]] {number}", names)
            for number, row in enumerate(tables(doc.get("self_host", ()), f"{where} self_host"), 1)
        ),
    )
    try:
        return Estimator(
            label=convert(doc.get("label", where), str, f"{where} label"),
            factors=_factors(table(doc.get("factors", {}), f"{where} [factors]"), where),
            options=options,
            as_of=as_of,
            days_count=convert(
                doc.get("days_per_month", HOURS_PER_MONTH / HOURS_PER_DAY), float, f"{where} days_per_month"
            ),
            draws_count=convert(doc.get("draws", DRAWS), int, f"{where} draws"),
            seed=convert(doc.get("seed", 0), int, f"{where} seed"),
            budget=None if budget is None else build(Budget, budget, f"{where} [budget]"),
            plan=tuple(
                (key, _value(key, value, f"{where} [plan] {key}"))
                for key, value in table(doc.get("plan", {}), f"{where} [plan]").items()
            ),
        )
    except DomainError as error:
        raise ConfigError(f"{where}: {error}") from error


def _factors(doc: Mapping[str, Any], where: str) -> dict[str, Range]:
    check_keys(doc, FACTORS, f"{where} [factors]")
    if missing := [key for key, kind in FACTORS.items() if kind.default is None and key not in doc]:
        raise ConfigError(f"{where} [factors]: {', '.join(missing)} missing.")
    return {
        key: _range(key, doc[key], f"{where} [factors] {key}") if key in doc else known(kind.default or 0.0)
        for key, kind in FACTORS.items()
    }


def _range(key: str, value: Any, place: str) -> Range:
    """A number, or a table of low, mode and high."""
    if not isinstance(value, Mapping):
        return known(_value(key, value, place))
    check_keys(value, RANGE_KEYS, place)
    if missing := [name for name in ("low", "mode", "high") if name not in value]:
        raise ConfigError(f"{place}: {', '.join(missing)} missing; say all three, or one number.")
    ends = {name: _value(key, value[name], f"{place} {name}") for name in ("low", "mode", "high")}
    shape = enum_from(Shape, value.get("shape", Shape.PERT), f"{place} shape")
    if shape is Shape.LOGNORMAL and (FACTORS[key].least > 0 or FACTORS[key].most <= 1):
        raise ConfigError(f"{place}: a lognormal has no end, and {key} has one. Use pert or triangular.")
    try:
        return Range(**ends, shape=shape)
    except DomainError as error:
        raise ConfigError(f"{place}: {error}") from error


def _value(key: str, value: Any, place: str) -> float:
    """Raises ConfigError for an unknown factor, and for what it cannot be."""
    if key not in FACTORS:
        raise UnknownKey("factor", key, FACTORS, place)
    number, kind = float(convert(value, float, place)), FACTORS[key]
    if not kind.least <= number <= kind.most:
        most = "" if kind.most > 1 else f" and at most {kind.most:g}"
        raise ConfigError(f"{place}: {kind.least:g} or more{most}, not {number:g}.")
    return number


def _named(row: Mapping[str, Any], place: str, names: list[str]) -> str:
    name = convert(row.get("name", ""), str, f"{place} name").strip()
    if not name or name in names:
        raise ConfigError(f"{place}: needs a `name` that no other option has.")
    names.append(name)
    return str(name)


def _api(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str, names: list[str]) -> ApiOption:
    """A key of the catalogue's token prices, or prices of one's own."""
    check_keys(row, {"name", "price", "batch_price_ratio", *API_PRICES}, place)
    stated = {key: row[key] for key in API_PRICES if key in row}
    if ("price" in row) == bool(stated):
        raise ConfigError(f"{place}: give either `price`, a key of data/catalog/prices, or usd_per_mtok_input and "
                          "usd_per_mtok_output.")  # fmt: skip
    if "price" in row:
        key = convert(row["price"], str, f"{place} price")
        if key not in (known_keys := {price.key for price in catalog.token_prices}):
            raise UnknownKey("price", key, known_keys, place)
        listed = price_at(catalog.token_prices, key, as_of)
        stated = {key: getattr(listed, key) for key in API_PRICES}
    elif "usd_per_mtok_input" in stated:
        stated.setdefault("usd_per_mtok_cached_input", stated["usd_per_mtok_input"])
    batch = {"batch_price_ratio": row["batch_price_ratio"]} if "batch_price_ratio" in row else {}
    return build(ApiOption, {"name": _named(row, place, names), **stated, **batch}, place)


def _host(row: Mapping[str, Any], catalog: Catalog, as_of: date, place: str, names: list[str]) -> HostOption:
    check_keys(row, HOST_KEYS, place)
    if missing := [key for key in ("model", "gpu") if key not in row]:
        raise ConfigError(f"{place}: {', '.join(missing)} missing.")
    catalog.model(row["model"])
    limits = {key: row[key] for key in ("peak_to_mean_ratio", "max_tpot_s", "operations_usd_per_month") if key in row}
    hosted = hosted_from(row, catalog, as_of, place)
    return build(
        HostOption, {"name": _named(row, place, names), "model_key": row["model"], "hosted": hosted, **limits}, place
    )
