"""What is asked of a Prometheus-compatible server: the options of a source, and the selectors made from them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from collectors.base import excerpt
from collectors.vllm.aliases import AliasTable
from costlib.errors import ConfigError, UnknownKey

START_TIME = "process_start_time_seconds"
# What tells the members of a highly available pair apart, in the usual set-ups.
REPLICA_LABELS = ("prometheus_replica", "replica", "__replica__")
LOOKBACK_S = 300.0
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_MATCHER = re.compile(r'\s*[a-zA-Z_][a-zA-Z0-9_]*\s*(=~|!~|!=|=)\s*"([^"\\\n]|\\.)*"\s*', re.ASCII)
_EXAMPLE = 'matchers = \'job="vllm", namespace=~"prod.*"\''


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusOptions:
    """What a `[[prometheus]]` source may set. `lookback_s` [s] is read again each time, for samples that come late."""

    matchers: str = ""
    target_label: str = "instance"
    replica_labels: tuple[str, ...] = REPLICA_LABELS
    tenant: str | None = None
    lookback_s: float = LOOKBACK_S

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str) -> Self:
        """`options` as they stand in a file. Raises ConfigError naming `where` and what is allowed."""
        known = ("matchers", "target_label", "replica_labels", "tenant", "lookback_s", "backfill")
        for key in options:
            if key not in known:
                raise UnknownKey("option", key, known, where)
        labels = options.get("replica_labels", REPLICA_LABELS)
        lookback_s = options.get("lookback_s", LOOKBACK_S)
        tenant = options.get("tenant")
        if not isinstance(labels, list | tuple) or not all(map(_is_label, labels)):
            raise ConfigError(f"{where}: replica_labels is a list of label names, not {excerpt(str(labels))}.")
        if not _is_label(options.get("target_label", "instance")):
            raise ConfigError(f"{where}: target_label names one label, for example instance or pod.")
        if tenant is not None and not (isinstance(tenant, str) and tenant.isprintable() and tenant.isascii()):
            raise ConfigError(f"{where}: tenant is the name of a tenant, in ASCII.")
        if isinstance(lookback_s, bool) or not isinstance(lookback_s, int | float) or not lookback_s > 0:
            raise ConfigError(f"{where}: lookback_s is a number of seconds above 0, for example {LOOKBACK_S:g}.")
        return cls(
            matchers=_checked_matchers(options.get("matchers", ""), where),
            target_label=options.get("target_label", "instance"),
            replica_labels=tuple(labels),
            tenant=tenant,
            lookback_s=float(lookback_s),
        )

    def engine_selector(self, aliases: AliasTable) -> str:
        """Every series, under any of its names and prefixes, that is measured of an engine."""
        names = f"(?:{_either(aliases.prefixes)})(?:{_either(_series_names(aliases))})"
        return _braced(f"__name__=~{_quoted(names)}", self.matchers)

    def start_selector(self, servers: Iterable[str]) -> str:
        """When the processes of `servers` started. `matchers` may name labels of vLLM, and so are left out."""
        return _braced(f"__name__={_quoted(START_TIME)}", f"{self.target_label}=~{_quoted(_either(servers))}")


def _is_label(name: object) -> bool:
    return isinstance(name, str) and _LABEL.fullmatch(name) is not None


def _checked_matchers(text: object, where: str) -> str:
    """Matchers as PromQL writes them between its braces, and nothing that would end the selector."""
    if not isinstance(text, str):
        raise ConfigError(f"{where}: matchers is a text, for example {_EXAMPLE}.")
    done, parts = 0, []
    while found := _MATCHER.match(text, done):
        parts.append(found[0].strip())
        done = found.end()
        if done < len(text) and text[done] == ",":
            done += 1
        else:
            break
    if text[done:].strip():
        raise ConfigError(f"{where}: matchers cannot be read from {excerpt(text[done:])} on. For example: {_EXAMPLE}.")
    return ",".join(parts)


def _series_names(aliases: AliasTable) -> list[str]:
    every = (alias for names in aliases.by_measure.values() for alias in names)
    return sorted({series for alias in every for series, _ in alias.series()})


def _braced(*matchers: str) -> str:
    return "{" + ",".join(filter(None, matchers)) + "}"


def _either(texts: Iterable[str]) -> str:
    """A regular expression (RE2) for any of `texts`, each as it is."""
    return "|".join(re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text) for text in texts)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") + '"'
