"""How vLLM tells what an engine did, release by release: names, labels, buckets and what a flag takes away.

Written from the release sources and the recorded pages, and on purpose not from `data/vllm/`, which it checks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from prometheus_client.utils import floatToGoString

from costlib.measures import ACCEPTED_AT, COUNTERS, GAUGES, HISTOGRAMS
from tests.fake_vllm.load import Level

# Those that a history may run on. The older engine (V0) ends with 0.7.
RELEASES = ("0.6.6", "0.7.3", "0.8.5", "0.9.2", "0.10.2", "0.11.2", "0.12.0", "0.13.0", "0.17.1", "0.21.0", "0.25.1",
            "0.32.0", "0.33.0")  # fmt: skip

LATENCY = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0)
TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKENS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
# 0.8 extended every latency histogram.
LONGER = {LATENCY: (120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0), TTFT: (20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
          PER_TOKEN: (5.0, 7.5, 10.0, 20.0, 40.0, 80.0)}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One exposed metric. `series` holds, by the values of its own labels, what counts it: a measure, or "" for 0."""

    name: str
    kind: str
    since: str = "0.5"
    before: str = "99"  # the first release without it
    label: str = ""
    series: Mapping[str, str] = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    only_with: str = ""  # the knob that it hangs on


def _c(name: str, measure: str = "", since: str = "0.5", before: str = "99", only_with: str = "") -> Family:
    return Family(name=name, kind="counter", since=since, before=before, series={"": measure}, only_with=only_with)


def _g(name: str, measure: str = "", since: str = "0.5", before: str = "99") -> Family:
    return Family(name=name, kind="gauge", since=since, before=before, series={"": measure})


def _h(name: str, observed: str, bounds: tuple[float, ...], since: str = "0.5", before: str = "99") -> Family:
    return Family(name=name, kind="histogram", since=since, before=before, series={"": observed}, bounds=bounds)


def _by(kind: str, name: str, label: str, since: str, before: str = "99", **series: str) -> Family:
    return Family(name=name, kind=kind, label=label, since=since, before=before, series=series)


FAMILIES = (
    _c("estimated_flops_per_gpu_total", "estimated_flop", "0.17"),
    _c("estimated_read_bytes_per_gpu_total", "estimated_read_bytes", "0.17"),
    _c("estimated_write_bytes_per_gpu_total", "estimated_write_bytes", "0.17"),
    _g("num_requests_running", "running_count"),
    _g("num_requests_waiting", "waiting_count"),
    _by("gauge", "num_requests_waiting_by_reason", "reason", "0.21", capacity="waiting_capacity_count",
        deferred="waiting_deferred_count"),
    _g("num_requests_swapped", before="0.8"),
    _by("gauge", "engine_sleep_state", "sleep_state", "0.11.2", awake="awake_fraction", weights_offloaded="",
        discard_all=""),
    _g("gpu_cache_usage_perc", "kv_usage_fraction", before="0.11"),
    _g("cpu_cache_usage_perc", before="0.8"),
    _g("kv_cache_usage_perc", "kv_usage_fraction", "0.9.2"),
    _g("gpu_prefix_cache_hit_rate", since="0.5.5", before="0.8"),
    _g("avg_generation_throughput_toks_per_s", before="0.7"),
    _c("gpu_prefix_cache_queries_total", "prefix_queries_tokens", "0.8", "0.11"),
    _c("gpu_prefix_cache_hits_total", "prefix_hits_tokens", "0.8", "0.11"),
    _c("prefix_cache_queries_total", "prefix_queries_tokens", "0.9.2"),
    _c("prefix_cache_hits_total", "prefix_hits_tokens", "0.9.2"),
    _c("external_prefix_cache_queries_total", since="0.11.2"),
    _c("external_prefix_cache_hits_total", "external_hits_tokens", "0.11.2"),
    _c("mm_cache_queries_total", since="0.11.2"),
    _c("num_preemptions_total", "preemptions_count"),
    _c("prompt_tokens_total", "prompt_tokens"),
    _by("counter", "prompt_tokens_by_source_total", "source", "0.17", local_compute="computed_prompt_tokens",
        local_cache_hit="cached_prompt_tokens", external_kv_transfer=""),
    _c("prompt_tokens_cached_total", "cached_prompt_tokens", "0.17"),
    _c("prompt_tokens_recomputed_total", since="0.17", before="0.20"),
    _by("counter", "prompt_tokens_cached_by_source_total", "source", "0.32", device="cached_prompt_tokens", host="",
        p2p="", disk="", external_unspecified=""),
    _c("generation_tokens_total", "generation_tokens"),
    _by("counter", "request_success_total", "finished_reason", "0.5", "0.13", stop="requests_stop_count",
        length="requests_length_count", abort="requests_abort_count"),
    _by("counter", "request_success_total", "finished_reason", "0.13", "0.17", stop="requests_stop_count",
        length="requests_length_count", abort="requests_abort_count", error="requests_error_count"),
    _by("counter", "request_success_total", "finished_reason", "0.17", stop="requests_stop_count",
        length="requests_length_count", abort="requests_abort_count", error="requests_error_count",
        repetition="requests_repetition_count"),
    _h("request_prompt_tokens", "finished_prompt_tokens", TOKENS),
    _h("request_generation_tokens", "finished_generation_tokens", TOKENS),
    _h("iteration_tokens_total", "step_tokens", (*TOKENS, 8192.0), "0.6.4"),
    _h("time_to_first_token_seconds", "ttft_s", TTFT),
    _h("time_per_output_token_seconds", "itl_s", PER_TOKEN, before="0.12"),
    _h("inter_token_latency_seconds", "itl_s", PER_TOKEN, "0.10.2"),
    _h("request_time_per_output_token_seconds", "tpot_s", PER_TOKEN, "0.11.2"),
    _h("e2e_request_latency_seconds", "e2e_s", LATENCY),
    _h("request_queue_time_seconds", "queue_s", LATENCY, "0.6.4"),
    _h("request_inference_time_seconds", "inference_s", LATENCY, "0.6.4"),
    _h("request_prefill_time_seconds", "prefill_s", LATENCY, "0.6.4"),
    _h("request_decode_time_seconds", "decode_s", LATENCY, "0.6.4"),
    _h("time_in_queue_requests", "queue_s", LATENCY, "0.6.4", "0.8"),
    _h("request_prefill_kv_computed_tokens", "computed_prompt_tokens", TOKENS, "0.13"),
    _c("spec_decode_num_drafts_total", "drafts_count", "0.8.5", only_with="speculation"),
    _c("spec_decode_num_draft_tokens_total", "draft_tokens", "0.5.4", only_with="speculation"),
    _c("spec_decode_num_accepted_tokens_total", "accepted_tokens", "0.5.4", only_with="speculation"),
    Family(name="spec_decode_num_accepted_tokens_per_pos_total", kind="counter", since="0.8.5", label="position",
           series={str(place): name for place, name in enumerate(ACCEPTED_AT)}, only_with="speculation"),
)  # fmt: skip

# Counters that a page tells as the sum or the count of a histogram; of the others only finished requests have a part.
SUMMED = ("queue_s", "prefill_s", "decode_s", "inference_s", "finished_prompt_tokens", "finished_generation_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """The knobs of a page: the release, and what a flag or a deployment changes of it."""

    release: str = "0.32.0"
    model: str = "fake/llama"
    prefix: str = "vllm:"  # or vllm_ (OpenTelemetry), ray_vllm_ (Ray)
    shows_start_time: bool = True
    shows_created: bool = True
    shows_rest: bool = True  # comments, and what prometheus_client and the web framework add
    is_multi_process: bool = False  # --api-server-count: nothing of the process, nothing created
    logs_stats: bool = True  # False: --disable-log-stats
    estimates_flops: bool = False  # --enable-mfu-metrics; without it the counters stand at 0
    drafted_tokens: int = 0  # 0: no speculation
    buckets: tuple[float, ...] = ()  # --custom-histogram-buckets, from 0.32 on
    labels: tuple[tuple[str, str], ...] = ()  # that a gateway adds to every series

    def families(self) -> list[Family]:
        return [
            family
            for family in FAMILIES
            if _version(family.since) <= _version(self.release) < _version(family.before)
            and (not family.only_with or self.drafted_tokens)
        ]

    def series(self, family: Family) -> list[tuple[str, str]]:
        """Label value and measure; a draft has a counter for each of its places and no more."""
        places = self.drafted_tokens if family.label == "position" else None
        return list(family.series.items())[:places]

    def bounds(self, family: Family) -> tuple[float, ...]:
        if self.buckets:
            return self.buckets
        return family.bounds + (LONGER.get(family.bounds, ()) if _version(self.release) >= (0, 8) else ())


@lru_cache(maxsize=4096)
def exported(exposition: Exposition) -> frozenset[str]:
    """The measures of `costlib.measures` that a page of this kind tells, and tells truly."""
    if not exposition.logs_stats:
        return frozenset()
    found: set[str] = set()
    for family in exposition.families():
        keys = {key for _, key in exposition.series(family)}
        if family.kind != "histogram":
            found |= keys
        elif keys == {"step_tokens"}:
            found |= {"step_tokens", "steps_count"}
        else:
            found |= keys & {*HISTOGRAMS, *SUMMED}
    if not exposition.estimates_flops:
        found -= {"estimated_flop", "estimated_read_bytes", "estimated_write_bytes"}
    return frozenset(found & {*COUNTERS, *GAUGES, *HISTOGRAMS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What stands before the numbers of one metric of one engine, and what they are."""

    kind: str  # as of the family, or "began"
    engine: str = ""
    key: str = ""
    heads: tuple[str, ...]
    bounds: tuple[float, ...] = ()


def page(exposition: Exposition, levels: Mapping[str, Level], started_s: float) -> str:
    """The text of one page. `levels` are those of its engines by rank, `started_s` when its process began [unix s]."""
    pieces: list[str] = []
    for line in plan(exposition, tuple(levels)):
        if isinstance(line, str):
            pieces.append(line)
            continue
        values = (started_s,) if line.kind == "began" else numbers(line, levels[line.engine], exposition)
        pieces += [f"{head} {floatToGoString(value)}\n" for head, value in zip(line.heads, values, strict=True)]
    return "".join(pieces)


def numbers(line: Line, level: Level, exposition: Exposition) -> Sequence[float]:
    if line.kind == "histogram":
        counts, total = _observed(line, level)
        return (*counts, counts[-1], total)
    if line.key.startswith("estimated_") and not exposition.estimates_flops:
        return (0.0,)
    return (level.counters.get(line.key, level.gauges.get(line.key, 0.0)),)


def _observed(line: Line, level: Level) -> tuple[list[float], float]:
    """Cumulative counts by bucket, and the sum."""
    if line.key == "step_tokens":
        steps = level.counters["steps_count"]
        return [0.0] * (len(line.bounds) - 1) + [steps, steps], level.counters["step_tokens"]
    seen = level.observed[line.key]
    if isinstance(seen, tuple):
        value, times = seen
        return [float(times if value <= bound else 0) for bound in (*line.bounds, np.inf)], float(value * times)
    place = np.searchsorted(line.bounds, seen, side="left")
    counts = np.bincount(place, minlength=len(line.bounds) + 1).cumsum()
    return [float(count) for count in counts], float(np.sum(seen))


@lru_cache(maxsize=512)
def plan(exposition: Exposition, engines: tuple[str, ...]) -> tuple[str | Line, ...]:
    """The page with its numbers left out; the same for every process that is set up alike."""
    shows_process = exposition.shows_start_time and not exposition.is_multi_process
    found: list[str | Line] = []
    if exposition.shows_rest and shows_process:
        found += [_comment("process_open_fds", "gauge"), "process_open_fds 34.0\n"]
    if shows_process:
        if exposition.shows_rest:
            found.append(_comment("process_start_time_seconds", "gauge"))
        found.append(Line(kind="began", heads=("process_start_time_seconds",)))
    if exposition.logs_stats:
        families = exposition.families()
        if exposition.is_multi_process:
            families = sorted(families, key=lambda family: family.name)
        for family in families:
            found += _lines(exposition, family, engines)
    if exposition.shows_rest:
        found += [_comment("http_requests_total", "counter"), 'http_requests_total{method="POST",status="2xx"} 448.0\n']
    return tuple(found)


def _lines(exposition: Exposition, family: Family, engines: Sequence[str]) -> list[str | Line]:
    name = exposition.prefix + family.name
    found: list[str | Line] = []
    if exposition.shows_rest:
        found.append(_comment(name, family.kind))
    began: list[str] = []
    for engine in engines:
        own = {"model_name": exposition.model, **dict(exposition.labels)}
        if _version(exposition.release) >= (0, 8):
            own["engine"] = engine
        for value, key in exposition.series(family):
            labels = {**own, family.label: value} if family.label else own
            heads: tuple[str, ...] = (_head(name, labels),)
            bounds: tuple[float, ...] = ()
            if family.kind == "histogram":
                bounds = exposition.bounds(family)
                les = [*map(floatToGoString, bounds), "+Inf"]
                heads = (
                    *(_head(f"{name}_bucket", {**labels, "le": le}) for le in les),
                    _head(f"{name}_count", labels),
                    _head(f"{name}_sum", labels),
                )
            found.append(Line(kind=family.kind, engine=engine, key=key, heads=heads, bounds=bounds))
            began.append(_head(f"{name.removesuffix('_total')}_created", labels))
    if exposition.shows_created and not exposition.is_multi_process and family.kind != "gauge":
        found += [Line(kind="began", heads=(head,)) for head in began]
    return found


def _head(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
    return f"{name}{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _comment(name: str, kind: str) -> str:
    return f"# HELP {name} As vLLM says it.\n# TYPE {name} {kind}\n"


@lru_cache
def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
