"""Which vLLM wrote a page, and what it has switched on: told by the page itself, for `/metrics` never says.

A metric that is there rules out the releases that cannot have it; one that every release exposes from its start, and
that is not there, rules out those that surely do. What is left is a range. Pure: names in, a range out.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from collectors.vllm.aliases import AliasTable, Metric, MetricType, Version, load_aliases, version

V0, V1, UNKNOWN = "V0", "V1", "unknown"
# V1 can be chosen from 0.7.3 on and is the default from 0.8, complete enough for absence to tell; V0 is gone by 0.11.2.
_V1_FIRST, _V1_WHOLE, _V0_GONE = (0, 7, 3), (0, 8), (0, 11, 2)
_SERVER_FAMILIES = ("http_", "process_", "python_")  # of the API server around the engine
_PARTS = ("_bucket", "_sum", "_count")
_CREATED = "_created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """The releases that a page can be of: from `at_least` to before `below`; None where there is no bound.

    `is_whole`: no metric is missing that each of these releases exposes. Where it is False, something between the
    server and here drops series, and only what is there was evidence. `unknown`: vLLM's by their prefix, and in no
    table of ours: a newer release, or a plugin.
    """

    at_least: str | None
    below: str | None
    engine: str = UNKNOWN
    features: tuple[str, ...] = ()
    is_whole: bool = True
    unknown: tuple[str, ...] = ()

    @property
    def releases(self) -> str:
        if self.at_least is None:
            return "a vLLM that cannot be told"
        return f"vLLM {self.at_least} " + (f"to before {self.below}" if self.below else "or newer")

    @property
    def facts(self) -> Mapping[str, str]:
        """As facts of an engine; what is not known is not there."""
        said = {
            "vllm_at_least": self.at_least or "",
            "vllm_below": self.below or "",
            "vllm_engine": self.engine if self.engine != UNKNOWN else "",
            "features": ", ".join(self.features),
        }
        return {name: text for name, text in said.items() if text}

    def can_be(self, release: Version) -> bool:
        """Whether the page can be of this release."""
        if self.at_least is None or release < version(self.at_least):
            return self.at_least is None
        return self.below is None or release < version(self.below)


def recognise(
    names: Collection[str],
    *,
    has_engine_label: bool = False,
    ttft_bounds_s: Collection[float] = (),
    moving: Collection[str] = (),
    table: AliasTable | None = None,
) -> Recognised:
    """What the names on one page tell, as they are exposed: with prefix, with or without _bucket, _sum and _count.

    Symbols    has_engine_label  some engine series has the label `engine`; ttft_bounds_s  the finite bounds [s] of
               time_to_first_token_seconds; moving  the families whose value is above 0
    Returns    the range of releases, the engine (V0, V1 or unknown) and the features in use
    Example    both spellings of the KV gauge, as no release before 0.9.2 or after 0.11 has them
    >>> found = recognise(["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"])
    >>> found.at_least, found.below, found.engine
    ('0.9.2', '0.12.0', 'V1')
    """
    table = table or load_aliases()
    present = {name: family for name in names if (family := family_of(name, table))}
    families = set(present.values())
    evidence = _evidence(table)
    seen = evidence.everything if families else 0
    for family in families & table.metrics.keys():
        seen &= evidence.possible[family]
    if has_engine_label:
        seen &= evidence.v1
    bounds = _bounds_evidence(ttft_bounds_s, table, evidence)
    seen &= bounds if bounds is not None else evidence.everything
    is_gathered_by_ray = any((table.prefix(name) or "").startswith("ray_") for name in present)
    whole = seen
    if not is_gathered_by_ray:  # Ray exposes a metric when it is first recorded
        for family in evidence.required.keys() - families:
            whole &= ~evidence.required[family]
    left = whole or seen
    places = [place for place in range(len(evidence.candidates)) if left >> place & 1]
    engines = {evidence.candidates[place][0] for place in places}
    releases = sorted({evidence.candidates[place][1] for place in places})
    newer = [text for text in table.releases if releases and version(text) > releases[-1]]
    return Recognised(
        at_least=_text(releases[0]) if releases else None,
        below=newer[0] if newer else None,
        engine=engines.pop() if len(engines) == 1 else UNKNOWN,
        features=tuple(_features(names, families, moving, table, is_gathered_by_ray, bounds is None)),
        is_whole=bool(whole),
        unknown=tuple(sorted(families - table.metrics.keys())),
    )


def family_of(name: str, table: AliasTable) -> str | None:
    """The metric that an exposed name is of; None for what is not vLLM's, and for the times of creation.

    >>> family_of("vllm:iteration_tokens_total_count", load_aliases())
    'iteration_tokens_total'
    """
    bare = table.bare(name)
    if bare is None or bare in table.metrics or bare.endswith(_CREATED):
        return bare if bare in table.metrics else None
    part = next((part for part in _PARTS if bare.endswith(part)), "")
    return bare.removesuffix(part)


def is_api_server(names: Iterable[str], table: AliasTable) -> bool:
    """Whether a page is of vLLM's API server alone: nothing on it that another exporter would have."""
    return all(name.startswith(_SERVER_FAMILIES) or table.bare(name) is not None for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Sets of candidates as bits of a number: `possible` has a family, `required` surely exposes it from its start."""

    candidates: tuple[tuple[str, Version], ...]
    everything: int
    v1: int
    possible: dict[str, int]
    required: dict[str, int]


@cache
def _evidence(table: AliasTable) -> _Evidence:
    releases = [version(text) for text in table.releases]
    candidates = (
        *((V0, release) for release in releases if release < _V0_GONE),
        *((V1, release) for release in releases if release >= _V1_FIRST),
    )

    def bits(true_of: Iterable[bool]) -> int:
        return sum(1 << place for place, is_true in enumerate(true_of) if is_true)

    def possible(metric: Metric) -> int:
        return bits(metric.engine in (None, engine) and metric.may_be_in(release) for engine, release in candidates)

    def required(metric: Metric) -> int:
        return bits(
            metric.engine in (None, engine)
            and metric.is_surely_in(release)
            and _is_there_at_once(metric, engine, release)
            for engine, release in candidates
        )

    return _Evidence(
        candidates=candidates,
        everything=(1 << len(candidates)) - 1,
        v1=bits(engine == V1 for engine, _ in candidates),
        possible={name: possible(metric) for name, metric in table.metrics.items()},
        required={name: bits_ for name, metric in table.metrics.items() if (bits_ := required(metric))},
    )


def _is_there_at_once(metric: Metric, engine: str, release: Version) -> bool:
    """V1 makes every series when it starts. V0 makes one when it is first set: the gauges of its state, all at once."""
    is_state = metric.type is MetricType.GAUGE and metric.unit in ("requests", "fraction")
    return not metric.needs and (is_state or (engine == V1 and release >= _V1_WHOLE))


def _bounds_evidence(bounds_s: Collection[float], table: AliasTable, evidence: _Evidence) -> int | None:
    """The candidates with these bounds; None when no release has them of its own accord."""
    if not bounds_s:
        return evidence.everything
    known = [row for row in table.ttft_bounds if sorted(row.bounds_s) == sorted(bounds_s)]
    if not known:
        return None
    return sum(
        1 << place
        for place, (_, release) in enumerate(evidence.candidates)
        if any(version(row.first) <= release and (not row.gone or release < version(row.gone)) for row in known)
    )


def _features(
    names: Collection[str],
    families: set[str],
    moving: Collection[str],
    table: AliasTable,
    is_gathered_by_ray: bool,
    has_own_bounds: bool,
) -> Iterable[str]:
    metrics = [table.metrics[family] for family in families if family in table.metrics]
    shown = {metric.needs for metric in metrics} | {metric.moves_with for metric in metrics if metric.name in moving}
    for name, condition in table.conditions.items():
        if name in shown and condition.feature:
            yield condition.feature
    if has_own_bounds:
        yield "custom buckets"
    if is_gathered_by_ray:
        yield "Ray"
    has_server = any(name.startswith(_SERVER_FAMILIES) for name in names)
    if has_server and not families:
        yield "log stats off"
    if has_server and families and not any(name.startswith("process_") or name.endswith(_CREATED) for name in names):
        yield "several API servers"


def _text(release: Version) -> str:
    return ".".join(map(str, release))
