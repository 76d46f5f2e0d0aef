"""From the series of a Prometheus-compatible server to histories of engines.

What a series means is looked up in the same table as for a page (`data/vllm/metrics.toml`). What Prometheus adds to
it, where it was scraped and by whom, is told apart from what vLLM said by the process's own start time: that series has
every label of the scrape and none of vLLM's.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from collectors.base import PageRefused, excerpt
from collectors.prometheus.blocks import Block, Column, Floats, block_of, joined, merged, without_twins
from collectors.prometheus.columns import histories_of
from collectors.prometheus.query import START_TIME, PrometheusOptions
from collectors.vllm.aliases import AliasTable, Part, bucket_bound
from costlib.history import EngineHistory

SERIES_COUNT_LIMIT = 10_000
# Of the scrape and not of the page, where no start time tells: the usual ones of Prometheus and of its operator.
_SCRAPE_LABELS = frozenset(
    ("job", "instance", "namespace", "pod", "container", "endpoint", "service", "node", "cluster", "prometheus")
)
# A label of the page whose name the scrape has too is renamed by Prometheus.
_EXPORTED = "exported_"
_OURS = ("model_name", "engine")
_START_TIMES_S = 946_684_800.0, 4_102_444_800.0  # 2000 and 2100: outside lies no start of a process

_PROCESS = "pod"  # behind one address, another pod is another process

Labels = tuple[tuple[str, str], ...]
Identity = tuple[str, str, str]


class _Copy(NamedTuple):
    """One server as one scraper saw it; `labels` are those of the scrape but the one that names the server."""

    server: str
    labels: Labels


class _Series(NamedTuple):
    copy: _Copy
    model_key: str
    identity: Labels  # what tells it from other engines of its page
    column: Column
    samples: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The engines in an answer: their histories by time, the labels of their servers, and what was passed over."""

    histories: Sequence[EngineHistory]
    labels: Mapping[str, Mapping[str, str]]
    remarks: Sequence[str]


def found_in(
    engines: Sequence[Mapping[str, Any]],
    starts: Sequence[Mapping[str, Any]],
    aliases: AliasTable,
    options: PrometheusOptions,
) -> Found:
    """What the series of `options.engine_selector` and of `options.start_selector` say. Raises PageRefused."""
    remarks: Counter[str] = Counter()
    started = _started(starts, options)
    by_copy: dict[_Copy, dict[tuple[str, Labels], list[_Series]]] = defaultdict(lambda: defaultdict(list))
    for answer in engines:
        series = _series(answer, started, aliases, options, remarks)
        if series is not None:
            by_copy[series.copy][series.model_key, series.identity].append(series)
    if engines and not by_copy and remarks:
        why = "; ".join(remarks)
        raise PageRefused("no_target_label", f"none of {len(engines):,} series can be used: {why}.")
    copies: dict[Identity, dict[str, list[Block]]] = defaultdict(lambda: defaultdict(list))
    for copy in sorted(by_copy):
        for (model_key, engine_key), block in _engines(by_copy[copy], started.get(copy)).items():
            copies[copy.server, model_key, engine_key][dict(copy.labels).get(_PROCESS, "")].append(block)
    _tell_copies(sorted(by_copy), copies, options, remarks)
    histories = [
        history
        for identity, processes in sorted(copies.items())
        for history in histories_of(
            identity, merged([merged(blocks) for blocks in processes.values()], is_one_process=False), remarks
        )
    ]
    return Found(
        histories=histories,
        labels={copy.server: _shown(copy, options) for copy in sorted(by_copy, reverse=True)},
        remarks=[remark if count == 1 else f"{remark} ({count:,} times)" for remark, count in remarks.items()],
    )


def servers_in(engines: Sequence[Mapping[str, Any]], options: PrometheusOptions) -> list[str]:
    return sorted({labels[options.target_label] for labels in map(_labels, engines) if options.target_label in labels})


def _labels(answer: Mapping[str, Any]) -> dict[str, str]:
    labels = answer.get("metric")
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise PageRefused("not_prometheus", f"a series has no labels: {excerpt(str(labels))}.")
    return dict(labels)


def _samples(answer: Mapping[str, Any]) -> Floats:
    """The samples of one series, by rising time, without those that mark its end (NaN)."""
    samples = answer.get("values")
    if not isinstance(samples, np.ndarray):
        raise PageRefused("not_prometheus", "a series has no raw samples; does this server answer range selectors?")
    known = np.isfinite(samples[:, 0]) & ~np.isnan(samples[:, 1])
    if not known.all():
        samples = samples[known]
    if len(samples) > 1 and not (np.diff(samples[:, 0]) > 0).all():
        samples = samples[np.unique(samples[:, 0], return_index=True)[1]]
    return samples


def _started(starts: Sequence[Mapping[str, Any]], options: PrometheusOptions) -> dict[_Copy, Floats]:
    """When the process of each copy started, as samples. A time outside any sense is not known."""
    found: dict[_Copy, Floats] = {}
    earliest, latest = _START_TIMES_S
    for answer in starts:
        labels = _labels(answer)
        server = labels.pop(options.target_label, None)
        if labels.pop("__name__", None) == START_TIME and server is not None:
            samples = _samples(answer)
            sensible = (earliest < samples[:, 1]) & (samples[:, 1] < latest)
            found[_Copy(server, tuple(sorted(labels.items())))] = samples[sensible]
    return found


def _series(
    answer: Mapping[str, Any],
    started: Mapping[_Copy, Floats],
    aliases: AliasTable,
    options: PrometheusOptions,
    remarks: Counter[str],
) -> _Series | None:
    """What one series stands for, or None when it is none that is measured."""
    labels = _labels(answer)
    name = labels.pop("__name__", "")
    if aliases.bare(name) is None:
        return None
    server = labels.pop(options.target_label, None)
    if not server:
        remarks[f"{excerpt(name)} has no label {options.target_label}, which names the server; set target_label"] += 1
        return None
    copy = _copy(server, labels, started, options)
    page = _page_labels(labels, {options.target_label, *(label for label, _ in copy.labels)})
    match = aliases.match(name, page)
    if match is None:
        return None
    samples = _samples(answer)
    sensible = (samples[:, 1] >= 0) & np.isfinite(samples[:, 1])
    if not sensible.all():
        remarks[f"{server}: {excerpt(name)} has samples that no engine counts to; they are passed over"] += 1
        samples = samples[sensible]
    if not len(samples):
        return None
    alias, part = match
    rank = alias.rank * len(aliases.prefixes) + aliases.prefixes.index(aliases.prefix(name) or "")
    column = Column(alias.measure, rank, part if part is not Part.BUCKET else bucket_bound(name, page.get("le")))
    identity = tuple((label, page[label]) for label in sorted(aliases.identity_labels) if label in page)
    return _Series(copy, page.get("model_name", "unknown"), identity, column, samples)


def _copy(server: str, labels: Mapping[str, str], started: Mapping[_Copy, Floats], options: PrometheusOptions) -> _Copy:
    for copy in started:
        if copy.server == server and labels.items() >= dict(copy.labels).items():
            return copy
    known = {*_SCRAPE_LABELS, *options.replica_labels}
    return _Copy(server, tuple(sorted((label, value) for label, value in labels.items() if label in known)))


def _page_labels(labels: Mapping[str, str], of_scrape: Container[str]) -> dict[str, str]:
    """The labels that vLLM's own page has, under the names they have there."""
    page = {label: value for label, value in labels.items() if label not in of_scrape}
    for label in [label for label in page if label.startswith(_EXPORTED)]:
        name = label.removeprefix(_EXPORTED)
        if name in of_scrape or name in _OURS:
            page[name] = page.pop(label)
    return page


def _engines(
    series: Mapping[tuple[str, Labels], Sequence[_Series]], started: Floats | None
) -> dict[tuple[str, str], Block]:
    """One block per model and engine. A series that lacks labels which others have is their sum, and left out."""
    blocks = {key: block_of([(one.column, one.samples) for one in found], started) for key, found in series.items()}
    engines: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for (model_key, identity), block in blocks.items():
        parts = [
            found for (model, labels), found in blocks.items() if model == model_key and set(identity) < set(labels)
        ]
        others = dict(identity)
        engine_key = ",".join([others.pop("engine", "0"), *(f"{label}={value}" for label, value in others.items())])
        engines[model_key, engine_key].append(without_twins(block, parts) if parts else block)
    return {key: joined(found) for key, found in engines.items()}


def _tell_copies(
    by_name: Sequence[_Copy],
    blocks: Mapping[Identity, Mapping[str, Sequence[Block]]],
    options: PrometheusOptions,
    remarks: Counter[str],
) -> None:
    """Says which servers are scraped at one time by scrapers that are not named as replicas of each other."""
    several = {server for (server, _, _), found in blocks.items() if _overlap(found.values())}
    for server in sorted(several):
        copies = [dict(copy.labels) for copy in by_name if copy.server == server]
        names = {label for labels in copies for label in labels}
        differing = sorted(name for name in names if len({labels.get(name) for labels in copies}) > 1)
        if set(differing) - set(options.replica_labels):
            remarks[
                f"{server} is there {len(copies)} times, told apart by {', '.join(map(excerpt, differing))}, and is "
                "read once. If these are several servers, set target_label to a label that tells them apart"
            ] += 1


def _overlap(processes: Iterable[Sequence[Block]]) -> bool:
    blocks = (block for found in processes for block in found if len(block.times_s))
    spans = sorted((block.times_s[0], block.times_s[-1]) for block in blocks)
    return any(begin_s < end_s for (_, end_s), (begin_s, _) in pairwise(spans))


def _shown(copy: _Copy, options: PrometheusOptions) -> dict[str, str]:
    return {label: value for label, value in copy.labels if label not in options.replica_labels}
