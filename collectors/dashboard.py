"""Which queries of a Grafana dashboard can no longer match: names that a release renamed, dropped, or never had.

A panel whose metric is gone shows nothing or zero and says no word about it. Read are the JSON model of a dashboard
(exported, or as the API returns it), its panels, rows, variables and annotations.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collectors.base import excerpt
from collectors.vllm.aliases import AliasTable, Metric, MetricType, load_aliases, version
from collectors.vllm.version import Recognised, family_of
from costlib.errors import ConfigError
from costlib.units import MEBI

FILE_BYTES_LIMIT = 16 * MEBI
DEPTH_LIMIT = 40
_NAME = re.compile(r"(?<![\w:])(?:ray_)?vllm[:_][a-zA-Z0-9_:]+")
_QUERY_KEYS = ("expr", "query", "definition")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One metric name in one query, and where it stands."""

    place: str  # the panel's or variable's title
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCheck:
    """`ok` is False when the query cannot match, None when it depends on a flag or a release that is not known."""

    query: Query
    ok: bool | None
    why: str


def check_dashboard(
    path: Path, recognised: Recognised | None = None, page_names: frozenset[str] = frozenset()
) -> list[QueryCheck]:
    """Every vLLM name that the dashboard at `path` asks for, once per place.

    Checked against the releases that a server's page was `recognised` as (every release up to the newest known without
    one) and, where given, the names on that page. Raises ConfigError for a file that is no dashboard.
    """
    table = load_aliases()
    return [
        QueryCheck(query=query, ok=ok, why=why)
        for query in queries_of(path)
        for ok, why in [_verdict(query.name, table, recognised, page_names)]
    ]


def queries_of(path: Path) -> list[Query]:
    """The vLLM names in the queries of the dashboard at `path`, in its order, each once per panel."""
    try:
        if path.stat().st_size > FILE_BYTES_LIMIT:
            raise ConfigError(f"{path} is larger than {FILE_BYTES_LIMIT / MEBI:g} MiB; is it a dashboard?")
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as a Grafana dashboard: {excerpt(str(error))}.") from None
    document = document.get("dashboard", document) if isinstance(document, dict) else document
    if not isinstance(document, dict) or not {"panels", "rows", "elements", "templating"} & document.keys():
        raise ConfigError(f"{path} is JSON without panels; export the dashboard in Grafana and give that.")
    found = (Query(place=place, name=name) for place, text in _texts(document, "", 0) for name in _NAME.findall(text))
    return list(dict.fromkeys(found))


def _texts(node: Any, place: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every query text below `node`, with the title it stands under."""
    if depth > DEPTH_LIMIT:
        return
    if isinstance(node, Mapping):
        title = node.get("title") or (node.get("name") if "query" in node else "")
        place = title if isinstance(title, str) and title and depth else place
        for key, value in node.items():
            if key in _QUERY_KEYS and isinstance(value, str):
                yield place, value
            else:
                yield from _texts(value, place, depth + 1)
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item, place, depth + 1)


def _verdict(
    name: str, table: AliasTable, recognised: Recognised | None, page_names: frozenset[str]
) -> tuple[bool | None, str]:
    if name in page_names:
        return True, "is on the server's page"
    family = family_of(name, table)
    metric = table.metrics.get(family or "")
    bare = table.bare(name) or name
    if metric is None:
        meant = next((m for m in (f"{bare}_total", bare.removesuffix("_total")) if m in table.metrics), None)
        return False, "is no metric of any release" + (f"; it is exposed as {meant}" if meant else "")
    if bare not in dict(metric.series()):
        parts = ", ".join(series for series, _ in metric.series())
        return False, f"is a {metric.type}, and has no series of that name; ask for {parts}"
    releases = [version(text) for text in table.releases]
    possible = [release for release in releases if recognised is None or recognised.can_be(release)]
    newest = possible[-1:] if recognised is None else possible
    if not any(metric.may_be_in(release) for release in newest):
        return False, _gone(metric, table)
    if metric.needs:
        return None, f"is there only with {table.conditions[metric.needs].flag}"
    if page_names:
        return False, "is not on the server's page, though its release exposes it"
    return True, f"is exposed by {metric.releases}"


def _gone(metric: Metric, table: AliasTable) -> str:
    instead = table.metrics.get(metric.replaced_by or "")
    if instead is None:
        return f"was exposed by {metric.releases} only, and nothing replaces it"
    suffix = " (with _bucket, _sum or _count)" if instead.type is MetricType.HISTOGRAM else ""
    return f"was exposed by {metric.releases}; ask for {instead.name}{suffix}"
