"""The catalogue: GPUs, models, prices and instances, parsed strictly. Opens no file; `store.catalog_files` does.

One TOML file is one GPU, one model, or one provider's prices or instance types. An unknown key is an error with the
nearest known one, and every number must be covered by a source with a date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date, datetime
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from costlib.capacity import Instance, plain_name
from costlib.engine_table import EngineTable, FittedConstant, StepBand
from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.hardware import GpuSpec, MigProfile, Precision
from costlib.models import AttentionLayers, ModelSpec
from costlib.pricing import GpuPrice, TokenPrice
from costlib.sources import Source

Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything the maths may look up. Prices keep their history; see `pricing.price_at`."""

    gpus: tuple[GpuSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    gpu_prices: tuple[GpuPrice, ...] = ()
    token_prices: tuple[TokenPrice, ...] = ()
    instances: Mapping[str, Instance] = field(default_factory=dict)  # by `capacity.plain_name`
    engine: EngineTable = field(default_factory=EngineTable)

    def gpu(self, key: str) -> GpuSpec:
        return _find("GPU", self.gpus, key)

    def model(self, key: str) -> ModelSpec:
        return _find("model", self.models, key)

    def with_entries(self, other: "Catalog") -> "Catalog":
        """This catalogue with `other`'s entries in front: a user's own model or price wins over the shipped one."""
        return replace(
            self,
            gpus=_merged(other.gpus, self.gpus),
            models=_merged(other.models, self.models),
            gpu_prices=_merged(other.gpu_prices, self.gpu_prices),
            token_prices=_merged(other.token_prices, self.token_prices),
            instances={**self.instances, **other.instances},
        )


Entry = TypeVar("Entry", GpuSpec, ModelSpec)


def _find(what: str, entries: Iterable[Entry], key: str) -> Entry:
    for entry in entries:
        if entry.key == key:
            return entry
    raise UnknownKey(what, key, (entry.key for entry in entries))


Keyed = TypeVar("Keyed", GpuSpec, ModelSpec, GpuPrice, TokenPrice)


def _merged(first: tuple[Keyed, ...], second: tuple[Keyed, ...]) -> tuple[Keyed, ...]:
    taken = {entry.key for entry in first}
    return first + tuple(entry for entry in second if entry.key not in taken)


def catalog_from(
    gpus: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Mapping[str, Any]],
    prices: Mapping[str, Mapping[str, Any]],
    instances: Mapping[str, Mapping[str, Any]],
    engine: Mapping[str, Any],
) -> Catalog:
    """The catalogue from parsed TOML documents, by file stem but for the engine's constants.

    Raises     ConfigError naming the entry and the key
    """
    parsed_gpus = tuple(gpu_from(key, doc) for key, doc in sorted(gpus.items()))
    parsed_models = tuple(model_from(key, doc) for key, doc in sorted(models.items()))
    gpu_prices: list[GpuPrice] = []
    token_prices: list[TokenPrice] = []
    for stem, doc in sorted(prices.items()):
        hourly, token = prices_from(stem, doc)
        gpu_prices += hourly
        token_prices += token
    rented = [instance for stem, doc in sorted(instances.items()) for instance in instances_from(stem, doc)]
    catalog = Catalog(
        gpus=parsed_gpus,
        models=parsed_models,
        gpu_prices=tuple(gpu_prices),
        token_prices=tuple(token_prices),
        instances=_by_plain_name(rented),
        engine=engine_from(engine),
    )
    for hourly_price in catalog.gpu_prices:
        catalog.gpu(hourly_price.gpu_key)
    for token_price in catalog.token_prices:
        catalog.model(token_price.model_key)
    for instance in rented:
        if instance.gpu_key:
            catalog.gpu(instance.gpu_key)
    return catalog


def gpu_from(key: str, doc: Mapping[str, Any]) -> GpuSpec:
    """One GPU file. `dense_flop_per_s` is a table by precision and must hold bf16."""
    where = f"gpus/{key}.toml"
    body = dict(doc)
    peaks = body.pop("dense_flop_per_s", {})
    if "bf16" not in peaks:
        raise ConfigError(f"{where}: [dense_flop_per_s] needs at least bf16 (on a GPU without it, its fp16 rate).")
    body["dense_flop_per_s"] = tuple((enum_from(Precision, p, where), float(v)) for p, v in sorted(peaks.items()))
    body["mig"] = tuple(build(MigProfile, row, f"{where} [[mig]]") for row in body.pop("mig", ()))
    return sourced(GpuSpec, key, body, where)


def model_from(key: str, doc: Mapping[str, Any]) -> ModelSpec:
    """One model file. `attention` is a list of layer groups."""
    where = f"models/{key}.toml"
    body = dict(doc)
    rows = body.pop("attention", ())
    if not rows:
        raise ConfigError(f"{where}: needs at least one [[attention]] group of layers.")
    body["attention"] = tuple(build(AttentionLayers, row, f"{where} [[attention]]") for row in rows)
    return sourced(ModelSpec, key, body, where)


def prices_from(stem: str, doc: Mapping[str, Any]) -> tuple[list[GpuPrice], list[TokenPrice]]:
    """One provider's price file: [[gpu_hour]] and [[token]] rows, each with its own source, sharing `provider`."""
    where = f"prices/{stem}.toml"
    check_keys(doc, {"provider", "gpu_hour", "token"}, where)
    provider = doc.get("provider", stem)
    hourly = [
        sourced(GpuPrice, row.get("key", ""), {**row, "provider": provider}, f"{where} [[gpu_hour]]")
        for row in doc.get("gpu_hour", ())
    ]
    token = [
        sourced(TokenPrice, row.get("key", ""), {**row, "provider": provider}, f"{where} [[token]]")
        for row in doc.get("token", ())
    ]
    return hourly, token


def instances_from(stem: str, doc: Mapping[str, Any]) -> list[Instance]:
    """One provider's instance types: [[gpu]] tables of one GPU each, with [gpu.gpus_count] by instance type."""
    where = f"instances/{stem}.toml"
    check_keys(doc, {"provider", "gpu", "sources"}, where)
    found = []
    for row in tables(doc.get("gpu", ()), f"{where} gpu"):
        check_keys(row, {"gpu_key", "gpus_count"}, f"{where} [[gpu]]")
        for key, count in table(row.get("gpus_count"), f"{where} [gpu.gpus_count]").items():
            shared = {"provider": doc.get("provider", stem), "gpu_key": row.get("gpu_key", "")}
            entry = {**shared, "gpus_count": count, "sources": doc.get("sources", ())}
            found.append(sourced(Instance, key, entry, where))
            if not found[-1].gpus_count > 0:
                raise ConfigError(f"{where} {key}: an instance has more than 0 GPUs, not {count}.")
    return found


def engine_from(doc: Mapping[str, Any]) -> EngineTable:
    """The engine's constants: [constants.NAME] tables by stratum, and what says which stratum a GPU takes."""
    where = "engine/constants.toml"
    check_keys(doc, {"constants", "generations", "measured", "module_j_per_flop", "step_band"}, where)

    def part(name: str) -> Mapping[str, Any]:
        return table(doc.get(name, {}), f"{where} [{name}]")

    return EngineTable(
        constants={
            name: {
                stratum: build(FittedConstant, row, f"{where} [constants.{name}] {stratum}")
                for stratum, row in table(strata, f"{where} [constants.{name}]").items()
            }
            for name, strata in part("constants").items()
        },
        generations=part("generations"),
        measured_architectures=frozenset(part("measured").get("architectures", ())),
        measured_gpus=frozenset(part("measured").get("gpus", ())),
        module_j_per_flop=part("module_j_per_flop"),
        step_band={
            name: build(StepBand, row, f"{where} [step_band.{name}]") for name, row in part("step_band").items()
        },
    )


def _by_plain_name(instances: Iterable[Instance]) -> dict[str, Instance]:
    found: dict[str, Instance] = {}
    for instance in instances:
        if (other := found.setdefault(plain_name(instance.key), instance)) is not instance:
            raise ConfigError(f"instances: {instance.provider} {instance.key} is {other.provider} {other.key} again.")
    return found


def sourced(spec: type[Spec], key: str, doc: Mapping[str, Any], where: str) -> Spec:
    """Build `spec` from `doc`, insisting that [[sources]] cover every number."""
    body = {**doc, "key": key}
    sources = tuple(build(Source, {**row, "fields": tuple(row.get("fields", ()))}, f"{where} [[sources]]")
                    for row in body.pop("sources", ()))  # fmt: skip
    if not sources:
        raise ConfigError(f"{where} {key}: needs at least one [[sources]] entry with title and retrieved_on.")
    if not any(not source.fields for source in sources):
        covered = {name for source in sources for name in source.fields}
        numbers = {name for name, value in doc.items() if _holds_numbers(value) and name != "valid_from"}
        if missing := sorted(numbers - covered):
            raise ConfigError(
                f"{where} {key}: no source covers {', '.join(missing)}; name them in a source's `fields`."
            )
    return build(spec, {**body, "sources": sources}, where)


def _holds_numbers(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def build(spec: type[Spec], doc: Mapping[str, Any], where: str) -> Spec:
    """`spec(**doc)` with unknown and missing keys named and enums, numbers and dates converted."""
    hints = get_type_hints(spec)
    known = {field.name for field in fields(spec)}  # type: ignore[arg-type]
    check_keys(doc, known, where)
    needed = {
        field.name
        for field in fields(spec)  # type: ignore[arg-type]
        if field.default is MISSING and field.default_factory is MISSING
    }
    if missing := sorted(needed - set(doc)):
        raise ConfigError(f"{where}: {', '.join(missing)} missing.")
    try:
        return spec(**{name: convert(value, hints[name], f"{where} {name}") for name, value in doc.items()})
    except DomainError as error:
        raise ConfigError(f"{where}: {error}") from error


def table(value: Any, where: str) -> Mapping[str, Any]:
    """`value` if it is a table of the file; raises ConfigError naming the place otherwise."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: expected a table, not {str(value)[:80]!r}.")
    return value


def tables(value: Any, where: str) -> tuple[Mapping[str, Any], ...]:
    """`value` if it is a list of tables."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: expected a list of tables ([[…]]), not {str(value)[:80]!r}.")
    return tuple(table(row, where) for row in value)


def check_keys(doc: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = set(known)
    for key in doc:
        if key not in known:
            raise UnknownKey("key", key, known, where)


def needed(row: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in row:
        raise ConfigError(f"{where}: {key} is missing.")
    return row[key]


def needed_text(row: Mapping[str, Any], key: str, where: str) -> str:
    """A text with something in it, without the blanks around it."""
    text = str(convert(needed(row, key, where), str, f"{where} {key}")).strip()
    if not text:
        raise ConfigError(f"{where}: {key} is empty.")
    return text


def convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as `hint` asks: an enum member, a float, an int, a text or a date; anything else as it is."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return enum_from(hint, value, where)
    if hint in (float, int, float | None):
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or value != value
            or abs(value) == float("inf")
        ):
            raise ConfigError(f"{where}: expected a finite number, not {value!r}.")
        if hint is int and value != int(value):
            raise ConfigError(f"{where}: expected a whole number, not {value!r}.")
        return int(value) if hint is int else float(value)
    if hint in (str, date) and (not isinstance(value, hint) or isinstance(value, datetime)):
        raise ConfigError(f"{where}: expected a {hint.__name__}, not {value!r}.")
    return value


AnyEnum = TypeVar("AnyEnum", bound=Enum)


def enum_from(kind: type[AnyEnum], value: object, where: str) -> AnyEnum:
    try:
        return kind(value)
    except ValueError:
        raise UnknownKey(kind.__name__, value, (str(member.value) for member in kind), where) from None
