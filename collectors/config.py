"""`permillion.toml` in the folder that PERMILLION_HOME names: what is read, how often, and what it is called.

data/demo/permillion.toml shows every key. All are optional but those that say where to read.

    every = "15s"              how often each server is asked; --every wins

    [[vllm]]                   vLLM servers, read directly
    urls = ["gpu-1:8000"]      host:port, or whole addresses such as "https://gpu-1/metrics"; each is called host:port
    key = "chat", url = "…"    or one server, with a name
    file_sd = ["t/*.json"]     or files as Prometheus' file_sd_configs reads them, relative to this file's folder
    labels = { team = "x" }    what is known of these servers: model, team, pool, gpu, or any other word; `deployment`
                               is the key of the deployment in scenario.toml that they are replicas of
    scheme = "http"            of an address without one
    metrics_path = "/metrics"  of an address without one
    tls_verify = true          false: certificates are not checked, and every run says so
    token_variable = "NAME"    the environment variable with the bearer token of this block; without it, that of each
                               server is PERMILLION_TOKEN_<HOST>_<PORT>

    [[dcgm]]                   NVIDIA's dcgm-exporter: the same keys

    [[prometheus]]             a Prometheus, VictoriaMetrics, Thanos or Mimir that scrapes vLLM
    url = "http://prom:9090"   its address, as far as /api
    key = "prom"               its name; host:port without one
    matchers = ['job="vllm"']  which series, as PromQL writes it between braces; each narrows the others
    target_label = "instance"  the label that tells servers apart
    replica_labels = ["r"]     labels that only tell the halves of an HA pair apart
    tenant = "team-a"          for a server with several (X-Scope-OrgID)
    lookback = "5m"            how much is read again each time, for samples that come late
    backfill = "30d"           how far back its history is read once; "0s" for not at all
    labels, token_variable     as above

    [[model]]                  a model that is exposed under another name
    exposed = "old"            as on the metrics page
    key = "llama"              as we call it
    from = 2026-11-01, to = …  when, in UTC; `to` is not included; always, without them

Secrets are never in the file: an address with a password or a token in it is refused.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from collectors.addresses import target_from_url
from collectors.base import Target, excerpt
from collectors.file_sd import FileSd
from collectors.names import ALWAYS, ModelName, ModelNames
from collectors.prometheus.query import PrometheusOptions
from costlib.catalog import check_keys, table, tables
from costlib.errors import ConfigError, PermillionError
from costlib.units import SECONDS_PER_DAY, seconds_from
from store.catalog_files import read_toml

FILE_NAME = "permillion.toml"
TOP_KEYS = {"every", "vllm", "dcgm", "prometheus", "model"}
SHARED_KEYS = {"labels", "token_variable"}
SERVER_KEYS = {"urls", "key", "url", "file_sd", "scheme", "metrics_path", "tls_verify", *SHARED_KEYS}
PROMETHEUS_KEYS = {
    "key", "url", "matchers", "target_label", "replica_labels", "tenant", "lookback", "backfill", *SHARED_KEYS,
}  # fmt: skip
MODEL_KEYS = {"exposed", "key", "from", "to"}
DEFAULT_BACKFILL = "30d"
_DAYS = re.compile(r"(\d+(?:\.\d+)?)\s*d")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the file says. `file_sd` are the blocks whose servers are found in files, which change under way."""

    every_s: float | None = None
    targets: tuple[Target, ...] = ()
    file_sd: tuple[FileSd, ...] = ()
    names: ModelNames = field(default_factory=ModelNames)


def load_config(path: Path, env: Mapping[str, str]) -> Config:
    """The parsed file; an empty one where there is none. Raises ConfigError naming the file and the place in it."""
    return config_from(read_toml(path), path.name, path.parent, env) if path.exists() else Config()


def config_from(doc: Mapping[str, Any], where: str, folder: Path, env: Mapping[str, str]) -> Config:
    """What a parsed file says; `folder` is where its relative globs begin, `env` holds the tokens."""
    check_keys(doc, TOP_KEYS, where)
    targets: list[Target] = []
    file_sd: list[FileSd] = []
    for kind in ("vllm", "dcgm"):
        for place, block in _blocks(doc, kind, where):
            try:
                named, found = _servers(kind, block, place, folder, env)
            except PermillionError as error:
                raise _at(place, error) from error
            targets += named
            file_sd += found
    for place, block in _blocks(doc, "prometheus", where):
        try:
            targets.append(_prometheus(block, place, env))
        except PermillionError as error:
            raise _at(place, error) from error
    return Config(
        every_s=_seconds(doc["every"], f"{where} every") if "every" in doc else None,
        targets=tuple(targets),
        file_sd=tuple(file_sd),
        names=ModelNames([_model(row, place) for place, row in _blocks(doc, "model", where)]),
    )


def _servers(
    kind: str, block: Mapping[str, Any], place: str, folder: Path, env: Mapping[str, str]
) -> tuple[list[Target], list[FileSd]]:
    check_keys(block, SERVER_KEYS, place)
    ways = [key for key in ("urls", "url", "file_sd") if key in block]
    if not ways or len(ways) > 1 or ("key" in block) != ("url" in block):
        raise ConfigError(f"{place}: say where to read by `urls`, by `key` and `url`, or by `file_sd`; one of them.")
    scheme, metrics_path = _text(block, "scheme", place, "http"), _text(block, "metrics_path", place, "/metrics")
    if scheme not in ("http", "https") or not metrics_path.startswith("/"):
        raise ConfigError(f"{place}: scheme is http or https, and metrics_path begins with /.")
    make = partial(_target, shared=_shared(kind, block, place, env), env=env)
    if "file_sd" in block:
        patterns = _texts(block, "file_sd", place)
        found = FileSd(
            where=place, folder=folder, patterns=patterns, make=make, scheme=scheme, metrics_path=metrics_path
        )
        return [], [found]
    urls = _texts(block, "urls", place) if "urls" in block else [_text(block, "url", place)]
    whole = [url if "://" in url else f"{scheme}://{url}{metrics_path}" for url in urls]
    targets = [make(url, {}) for url in whole]
    return [replace(target, key=_text(block, "key", place)) if "key" in block else target for target in targets], []


def _prometheus(block: Mapping[str, Any], place: str, env: Mapping[str, str]) -> Target:
    check_keys(block, PROMETHEUS_KEYS, place)
    target = _target(_text(block, "url", place), {}, shared=_shared("prometheus", block, place, env), env=env)
    options = {name: block[name] for name in ("target_label", "replica_labels", "tenant") if name in block}
    options["matchers"] = ",".join(_texts(block, "matchers", place))
    if "lookback" in block:
        options["lookback_s"] = _seconds(block["lookback"], f"{place} lookback")
    PrometheusOptions.of(options, place)
    options["backfill"] = timedelta(seconds=_seconds(block.get("backfill", DEFAULT_BACKFILL), f"{place} backfill"))
    return replace(target, key=_text(block, "key", place, target.key), options=options)


def _shared(kind: str, block: Mapping[str, Any], place: str, env: Mapping[str, str]) -> Target:
    """What all targets of a block have in common, as a target without an address."""
    labels = table(block.get("labels", {}), f"{place} labels")
    if strange := [name for name, value in labels.items() if not isinstance(value, str)]:
        raise ConfigError(f"{place} labels: {excerpt(strange[0])} must be a text in quotes.")
    is_verified = block.get("tls_verify", True)
    if not isinstance(is_verified, bool):
        raise ConfigError(f"{place} tls_verify: true or false, without quotes.")
    return Target(
        key="",
        url="",
        source_key=kind,
        bearer_token=_token(block, place, env),
        labels=dict(labels),
        options={} if is_verified else {"tls_verify": False},
    )


def _target(url: str, labels: Mapping[str, str], *, shared: Target, env: Mapping[str, str]) -> Target:
    """The target at `url` with what its block says; its own token and labels win. Raises TargetRefused."""
    found = target_from_url(url, env)
    return replace(
        shared,
        key=found.key,
        url=found.url,
        bearer_token=found.bearer_token or shared.bearer_token,
        labels={**shared.labels, **labels},
    )


def _token(block: Mapping[str, Any], place: str, env: Mapping[str, str]) -> str | None:
    if "token_variable" not in block:
        return None
    name = _text(block, "token_variable", place)
    if not _VARIABLE.fullmatch(name):
        raise ConfigError(f"{place} token_variable: the name of an environment variable, not the token itself.")
    if not (token := env.get(name, "").strip()):
        raise ConfigError(f"{place} token_variable: the environment variable {name} is not set; put the token there.")
    return token


def _model(row: Mapping[str, Any], place: str) -> ModelName:
    check_keys(row, MODEL_KEYS, place)
    return ModelName(
        exposed=_text(row, "exposed", place),
        key=_text(row, "key", place),
        start=_moment(row.get("from"), ALWAYS[0], f"{place} from"),
        end=_moment(row.get("to"), ALWAYS[1], f"{place} to"),
    )


def _blocks(doc: Mapping[str, Any], kind: str, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The blocks of one kind with the place to name in a message, such as `permillion.toml [[vllm]] 2`."""
    blocks = tables(doc.get(kind, ()), f"{where} {kind}")
    return [(f"{where} [[{kind}]] {number}", block) for number, block in enumerate(blocks, 1)]


def _text(block: Mapping[str, Any], key: str, place: str, default: str | None = None) -> str:
    value = block.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(
            f"{place}: {key} is a text in quotes" + (" and cannot be left out." if key not in block else ".")
        )
    return value.strip()


def _texts(block: Mapping[str, Any], key: str, place: str) -> Sequence[str]:
    value = block.get(key, [])
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) and item.strip() for item in values):
        raise ConfigError(f'{place}: {key} is a list of texts, such as {key} = ["…"].')
    return [item.strip() for item in values]


def _seconds(value: object, where: str) -> float:
    try:
        if isinstance(value, str) and (days := _DAYS.fullmatch(value.strip())):
            return float(days[1]) * SECONDS_PER_DAY
        return seconds_from(str(value))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}, or 30d.") from None


def _moment(value: object, default: datetime, where: str) -> datetime:
    """A day of the file is its midnight in UTC; a time without a zone is in UTC."""
    if value is None:
        return default
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ConfigError(f"{where}: a day without quotes, such as 2026-11-01.")


def _at(place: str, error: PermillionError) -> PermillionError:
    """The error with the place in the file, when it does not name it already."""
    return error if place in str(error) else ConfigError(f"{place}: {error}")
