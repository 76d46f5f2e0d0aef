"""What a vLLM page means, release by release."""

from datetime import UTC, datetime

import pytest

from collectors.base import CollectContext, PageRefused, Target
from collectors.sources.vllm import ALIASES, FindingState, diagnose, parse
from collectors.vllm.aliases import MEASURES, Part, version
from costlib.measures import ACCEPTED_AT, COUNTERS, GAUGES, HISTOGRAMS
from costlib.telemetry import Histogram

TRUTH = {measure: float(number) for number, measure in enumerate((*COUNTERS, *GAUGES), start=1)}
BUCKETS = Histogram(bounds=(0.5, 1.0, float("inf")), cumulative_counts=(80.0, 100.0, 104.0), sum=70.0, count=104.0)
OUTDATED = 9_999.0
SPECULATION = {"drafts_count", "draft_tokens", "accepted_tokens", *ACCEPTED_AT}


def exposes(alias, release):
    """Whether that release has that metric by default, with every feature on."""
    return alias.metric.is_surely_in(version(release))


def pages_of(body, ctx):
    return list(parse(body, ctx).pages)


def series_of(alias, value, prefix="vllm:", **labels):
    labels = {"model_name": "llama", **alias.labels, **labels}
    text = lambda **more: ",".join(f'{k}="{v}"' for k, v in {**labels, **more}.items())  # noqa: E731
    if alias.part:
        yield f"{prefix}{alias.name}_{alias.part}{{{text()}}} {value}"
    elif alias.measure in HISTOGRAMS:
        for bound, number in zip(BUCKETS.bounds, BUCKETS.cumulative_counts, strict=True):
            yield f"{prefix}{alias.name}_bucket{{{text(le='+Inf' if bound == float('inf') else bound)}}} {number}"
        yield f"{prefix}{alias.name}_sum{{{text()}}} {BUCKETS.sum}"
        yield f"{prefix}{alias.name}_count{{{text()}}} {BUCKETS.count}"
    else:
        yield f"{prefix}{alias.name}{{{text()}}} {value}"


def page_of(release, prefix="vllm:", outdated=None):
    """A page with every measured metric that release has; older names of a measure say `outdated`, or the same."""
    lines = []
    for measure, aliases in ALIASES.by_measure.items():
        known = [alias for alias in aliases if exposes(alias, release)]
        for alias in known:
            value = TRUTH.get(measure, 0.0) if outdated is None or alias is known[0] else outdated
            lines += series_of(alias, value, prefix)
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("prefix", ALIASES.prefixes)
@pytest.mark.parametrize("release", ["0.5.5", "0.6.4", "0.8.5", "0.9.2", "0.10.2", "0.11.2", "0.17.1", "0.21", "0.33"])
def test_every_release_gives_the_same_measures_under_the_same_names(ctx, release, prefix):
    (page,) = pages_of(page_of(release, prefix), ctx)
    known = {m for m, aliases in ALIASES.by_measure.items() if any(exposes(alias, release) for alias in aliases)}
    assert page.counters == {measure: TRUTH[measure] for measure in COUNTERS if measure in known}
    assert page.gauges == {measure: TRUTH[measure] for measure in GAUGES if measure in known}
    assert page.histograms == {measure: BUCKETS for measure in HISTOGRAMS if measure in known}
    assert not page.remarks


MFU = {"estimated_flop", "estimated_read_bytes", "estimated_write_bytes"}
BY_REASON = {"waiting_capacity_count", "waiting_deferred_count"}
SINCE_0_16 = {"computed_prompt_tokens", "cached_prompt_tokens"}
SINCE_0_11 = {"external_hits_tokens", "awake_fraction", "tpot_s"}


@pytest.mark.parametrize(
    ("release", "absent"),
    [
        (
            "0.6.0",
            {"prefix_queries_tokens", "prefix_hits_tokens", "steps_count", "step_tokens"}
            | {"queue_s", "prefill_s", "decode_s", "inference_s"}
            | {"drafts_count", *ACCEPTED_AT}
            | SINCE_0_11
            | SINCE_0_16
            | BY_REASON
            | MFU,
        ),
        ("0.10.2", SINCE_0_11 | SINCE_0_16 | BY_REASON | MFU),
        ("0.17.1", BY_REASON),
        ("0.33.0", set()),
    ],
)
def test_s28_a_measure_the_release_does_not_have_is_absent_and_never_zero(ctx, release, absent):
    (page,) = pages_of(page_of(release), ctx)
    assert set(MEASURES) - {*page.counters, *page.gauges, *page.histograms} == absent
    for finding in diagnose(page_of(release), ctx):
        assert (finding.state is FindingState.ABSENT) == (finding.measure in absent)
        assert finding.costs.endswith(".")


def test_a_recorded_page_of_0_32(ctx, last_page):
    (page,) = pages_of(last_page, ctx)
    assert page.identity == ("gpu-1", "tiny-llama", "0")
    assert page.scraped_at == ctx.scraped_at
    assert page.started_at == datetime(2026, 11, 21, 1, 26, 38, 440_000, tzinfo=UTC)
    assert page.counters == {
        "prompt_tokens": 63_162,
        "computed_prompt_tokens": 30_234,
        "cached_prompt_tokens": 32_928,
        "generation_tokens": 21_943,
        "preemptions_count": 95,
        "requests_stop_count": 39,
        "requests_length_count": 326,
        "requests_abort_count": 0,  # 122 clients hung up; vLLM does not count them
        "requests_error_count": 0,
        "requests_repetition_count": 0,
        "finished_prompt_tokens": 57_595,
        "finished_generation_tokens": 20_852,
        "prefix_queries_tokens": 63_162,
        "prefix_hits_tokens": 32_928,
        "external_hits_tokens": 0,
        "steps_count": 5_157,
        "step_tokens": 52_177,
        "queue_s": 934.2939154320043,
        "prefill_s": 71.74493069599771,
        "decode_s": 990.1830366180022,
        "inference_s": 1061.927967314,
        "estimated_flop": 434_849_042_432,
        "estimated_read_bytes": 52_556_105_728,
        "estimated_write_bytes": 1_797_146_624,
    }
    assert page.gauges == {
        "running_count": 0,
        "waiting_count": 0,
        "waiting_capacity_count": 0,
        "waiting_deferred_count": 0,
        "kv_usage_fraction": 0,
        "awake_fraction": 1,
    }
    assert page.histograms["ttft_s"].count == 487 and len(page.histograms["ttft_s"].bounds) == 23
    assert page.histograms["tpot_s"].count == page.histograms["e2e_s"].count == 365  # finished requests
    assert page.histograms["itl_s"].count == 21_456  # engine outputs
    assert page.facts == {
        "vllm_at_least": "0.32.0",
        "vllm_engine": "V1",
        "features": "KV cache metrics, MFU counters",
        "block_size": "32",
        "num_gpu_blocks": "64",
        "kv_cache_size_tokens": "2048",
        "kv_cache_max_concurrency": "2.0",
        "kv_cache_memory_bytes": "1073741824",
        "cache_dtype": "auto",
        "gpu_memory_utilization": "0.92",
        "enable_prefix_caching": "True",
        "prefix_caching_hash_algo": "sha256",
        "kv_offloading_backend": "native",
    }
    findings = {finding.measure: finding for finding in diagnose(last_page, ctx)}
    assert {name for name, found in findings.items() if found.state is not FindingState.PRESENT} == SPECULATION
    assert "--speculative-config" in findings["accepted_tokens"].why


def test_two_engines_are_two_pages(ctx):
    body = b"".join(b'vllm:prompt_tokens_total{engine="%d",model_name="m"} %d\n' % pair for pair in ((0, 5), (1, 7)))
    assert [(page.engine_key, page.counters) for page in pages_of(body, ctx)] == [
        ("0", {"prompt_tokens": 5}),
        ("1", {"prompt_tokens": 7}),
    ]


def test_two_models_behind_one_address_are_two_pages(ctx):
    body = b'vllm:prompt_tokens_total{model_name="a"} 5\nvllm:prompt_tokens_total{model_name="b"} 7\n'
    assert [page.identity for page in pages_of(body, ctx)] == [("gpu-1", "a", "0"), ("gpu-1", "b", "0")]


def test_processes_that_ray_gathers_on_one_page_are_engines_of_their_own(ctx):
    body = b"".join(
        b'ray_vllm_prompt_tokens_total{engine="0",model_name="m",ReplicaId="%s",SessionName="s"} %d\n' % pair
        for pair in ((b"x", 5), (b"y", 7))
    )
    pages = pages_of(body, ctx)
    assert [(page.engine_key, page.counters["prompt_tokens"]) for page in pages] == [
        ("0,ReplicaId=x", 5),
        ("0,ReplicaId=y", 7),
    ]
    assert all("Ray" in page.facts["features"] and not page.remarks for page in pages)


@pytest.mark.parametrize("second", ['engine="0",model_name="m"} 5', 'model_name="m",engine="0"} 6'])
def test_s12_the_very_same_series_twice_counts_once_with_its_first_value_and_is_remarked(ctx, second):
    body = f'vllm:prompt_tokens_total{{engine="0",model_name="m"}} 5\nvllm:prompt_tokens_total{{{second}\n'
    for _ in range(2):
        (page,) = pages_of(body.encode(), ctx)
        assert page.counters == {"prompt_tokens": 5}
        assert "twice" in page.remarks["prompt_tokens"]


@pytest.mark.parametrize("twin", ['{model_name="m"}', "{}", '{engine="0"}', ""])
def test_s24_an_unlabelled_twin_of_labelled_series_is_not_added(ctx, twin):
    body = (
        'vllm:prompt_tokens_total{engine="0",model_name="m"} 5\n'
        f"vllm:prompt_tokens_total{twin} 12\n"
        'vllm:prompt_tokens_total{engine="1",model_name="m"} 7\n'
    )
    pages = pages_of(body.encode(), ctx)
    assert [(page.model_key, page.engine_key, page.counters["prompt_tokens"]) for page in pages] == [
        ("m", "0", 5),
        ("m", "1", 7),
    ]
    assert "without" in pages[0].remarks["prompt_tokens"]


def test_s24_two_spellings_of_one_series_are_not_added_either(ctx):
    body = b'vllm_prompt_tokens_total{model_name="m"} 5\nvllm:prompt_tokens_total{model_name="m"} 5\n'
    (page,) = pages_of(body, ctx)
    assert page.counters == {"prompt_tokens": 5} and not page.remarks


def test_s24_a_metric_without_the_rank_is_that_of_the_first_rank_and_no_engine_of_its_own(ctx):
    body = b'vllm:prompt_tokens_total{engine="0",model_name="m"} 5\nvllm:num_preemptions_total{model_name="m"} 3\n'
    (page,) = pages_of(body, ctx)
    assert page.counters == {"prompt_tokens": 5, "preemptions_count": 3} and not page.remarks


def test_two_engines_behind_several_api_servers_are_read_without_a_process_to_date_them(ctx, last_page):
    """As in multi-process mode: no process_, no python_, no _created, and each series once per rank."""
    lines = [
        line
        for line in last_page.splitlines(keepends=True)
        if not line.startswith((b"#", b"process_", b"python_")) and b"_created" not in line
    ]
    body = b"".join(lines) + b"".join(line.replace(b'engine="0"', b'engine="1"') for line in lines if b'"0"' in line)
    pages = pages_of(body, ctx)
    assert [page.identity[1:] for page in pages] == [("tiny-llama", "0"), ("tiny-llama", "1")]
    assert pages[0].counters == pages[1].counters and len(pages[0].counters) == 24
    assert all(page.started_at is None and not page.remarks for page in pages)
    assert all("several API servers" in page.facts["features"] for page in pages)


def test_s27_of_two_names_the_newest_is_used_and_a_difference_remarked(ctx):
    older, newer = 'vllm:gpu_cache_usage_perc{model_name="m"}', 'vllm:kv_cache_usage_perc{model_name="m"}'
    (page,) = pages_of(f"{older} 0.5\n{newer} 0.5\n".encode(), ctx)
    assert page.gauges == {"kv_usage_fraction": 0.5} and not page.remarks
    (page,) = pages_of(f"{older} 0.75\n{newer} 0.5\n".encode(), ctx)
    assert page.gauges == {"kv_usage_fraction": 0.5}
    assert "gpu_cache_usage_perc" in page.remarks["kv_usage_fraction"]


def test_s27_every_older_name_gives_way_to_a_newer_one(ctx):
    (page,) = pages_of(page_of("0.10.2", outdated=OUTDATED), ctx)
    assert OUTDATED not in {*page.counters.values(), *page.gauges.values()}
    assert set(page.remarks) == {"prefix_queries_tokens", "prefix_hits_tokens", "kv_usage_fraction"}


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400", "-1"])
@pytest.mark.parametrize("name", ["generation_tokens_total", "num_requests_running", "request_queue_time_seconds_sum"])
def test_s10_s11_a_value_nothing_counts_to_costs_its_measure_and_no_other(ctx, name, value):
    body = f'vllm:prompt_tokens_total{{model_name="m"}} 5\nvllm:{name}{{model_name="m"}} {value}\n'
    readings = parse(body.encode(), ctx)
    (page,) = readings.pages
    assert page.counters == {"prompt_tokens": 5} and not page.gauges
    assert [*page.remarks.values()] and "withheld" in next(iter(page.remarks.values()))
    assert readings.remarks[0].startswith("1 sample rejected")


def test_s11_a_sum_of_which_a_part_is_rejected_is_unknown_and_not_smaller(ctx):
    """A counter that shrinks looks like a restart, and a restart counts its tokens again."""
    body = (
        b'vllm:prompt_tokens_total{model_name="m",lora="a"} 5\nvllm:prompt_tokens_total{model_name="m",lora="b"} NaN\n'
    )
    (page,) = pages_of(body, ctx)
    assert not page.counters and "withheld" in page.remarks["prompt_tokens"]


def test_s31_a_label_with_a_value_per_request_makes_no_engines_and_loses_no_tokens(ctx):
    body = b"".join(
        b'vllm:prompt_tokens_total{request="%d"} 2\nvllm:kv_cache_usage_perc{request="%d"} %d\n'
        % (number, number, number % 2)
        for number in range(5_000)
    )
    (page,) = pages_of(body, ctx)
    assert page.counters == {"prompt_tokens": 10_000}
    assert page.gauges == {"kv_usage_fraction": 0.5}
    assert "5,000 values of the label 'request'" in page.remarks["prompt_tokens"]


def test_s31_histograms_over_a_label_are_added_bucket_by_bucket(ctx):
    (alias,) = ALIASES.by_measure["ttft_s"]
    lines = [line for user in "ab" for line in series_of(alias, 0.0, user=user)]
    (page,) = pages_of(("\n".join(lines) + "\n").encode(), ctx)
    assert page.histograms["ttft_s"] == Histogram(
        bounds=BUCKETS.bounds, cumulative_counts=(160.0, 200.0, 208.0), sum=140.0, count=208.0
    )
    (page,) = pages_of(("\n".join(lines[:-1]) + "\n").encode(), ctx)
    assert not page.histograms and "for every value of a label" in page.remarks["ttft_s"]


def test_more_engines_than_any_server_has_are_refused(ctx):
    body = b"".join(b'vllm:prompt_tokens_total{engine="%d"} 1\n' % number for number in range(257))
    with pytest.raises(PageRefused, match="engines") as caught:
        parse(body, ctx)
    assert caught.value.word == "engine_limit"


@pytest.mark.parametrize(
    ("wrong", "right", "why"),
    [
        ('le="1.0"} 100', 'le="1.0"} 79', "do not rise"),
        ('le="+Inf"} 104', 'le="+Inf"} 105', "count"),
        ('le="+Inf"} 104', 'le="2.5"} 104', "+Inf bucket is missing"),
        ("_sum{} 70", "_sum{} NaN", "not finite"),
        ("_count{} 104", "_other{} 104", "missing"),
    ],
)
def test_a_broken_histogram_is_withheld_and_the_rest_kept(ctx, wrong, right, why):
    name = "vllm:time_to_first_token_seconds"
    body = (
        f'vllm:prompt_tokens_total{{}} 5\n{name}_bucket{{le="0.5"}} 80\n{name}_bucket{{le="1.0"}} 100\n'
        f'{name}_bucket{{le="+Inf"}} 104\n{name}_sum{{}} 70\n{name}_count{{}} 104\n'
    )
    assert pages_of(body.encode(), ctx)[0].histograms["ttft_s"] == BUCKETS
    broken = body.replace(wrong, right)
    assert broken != body
    (page,) = pages_of(broken.encode(), ctx)
    assert page.counters == {"prompt_tokens": 5} and not page.histograms
    assert why in page.remarks["ttft_s"]
    found = {finding.measure: finding for finding in diagnose(broken.encode(), ctx)}["ttft_s"]
    assert found.state is FindingState.WITHHELD and found.exposed_as == "time_to_first_token_seconds"


def test_s28_a_server_started_with_disable_log_stats_is_told_so(ctx, captures):
    body = (captures / "e_disable_log_stats" / "metrics_disable_log_stats.prom").read_bytes()
    with pytest.raises(PageRefused, match="--disable-log-stats") as caught:
        parse(body, ctx)
    assert caught.value.word == "not_exported" and str(caught.value).startswith("gpu-1: ")


def test_s14_the_metrics_of_something_else_are_refused_by_another_word(ctx):
    with pytest.raises(PageRefused, match="node_cpu_seconds_total") as caught:
        parse(b'node_cpu_seconds_total{cpu="0"} 5\nprocess_open_fds 3\n', ctx)
    assert caught.value.word == "not_vllm"


def test_a_page_of_comments_alone_has_nothing_exported(ctx):
    with pytest.raises(PageRefused) as caught:
        parse(b"# HELP a b\n", ctx)
    assert caught.value.word == "not_exported"


@pytest.mark.parametrize("start", ["0", "NaN", "1e300", "-5"])
def test_a_start_time_outside_any_sense_is_not_known(ctx, start):
    body = f"process_start_time_seconds {start}\nvllm:prompt_tokens_total 5\n"
    assert pages_of(body.encode(), ctx)[0].started_at is None


class TestStart:
    ENGINES = "".join(f'vllm:prompt_tokens_total{{engine="{rank}",model_name="m"}} 5\n' for rank in (0, 1))
    CREATED = "".join(
        f'vllm:prompt_tokens_created{{engine="{rank}",model_name="m"}} {at}\n' for rank, at in ((0, 1.7e9), (1, 1.8e9))
    )

    def starts(self, ctx, body):
        return [page.started_at and page.started_at.timestamp() for page in pages_of(body.encode(), ctx)]

    def test_s21_each_engine_began_when_its_counter_was_created_where_no_process_says(self, ctx):
        assert self.starts(ctx, self.ENGINES + self.CREATED) == [1.7e9, 1.8e9]
        assert self.starts(ctx, self.ENGINES) == [None, None]

    def test_s21_the_start_of_the_process_goes_before(self, ctx):
        assert self.starts(ctx, "process_start_time_seconds 1.75e9\n" + self.ENGINES + self.CREATED) == [1.75e9, 1.75e9]

    def test_s21_of_several_processes_on_one_page_only_the_one_with_its_labels_is_its_own(self, ctx):
        gathered = self.ENGINES.replace("engine", "pod")
        starts = "".join(f'process_start_time_seconds{{pod="{pod}"}} {at}\n' for pod, at in ((0, 1.7e9), (1, 1.8e9)))
        assert self.starts(ctx, gathered + starts) == [1.7e9, 1.8e9]
        unclear = 'process_start_time_seconds{job="a"} 1.7e9\nprocess_start_time_seconds{job="b"} 1.8e9\n'
        assert self.starts(ctx, gathered + unclear) == [None, None]


def test_the_cache_configuration_is_that_of_its_own_rank_and_tolerates_what_is_missing(ctx):
    body = TestStart.ENGINES + "".join(
        f'vllm:cache_config_info{{engine="{rank}",block_size="{size}",num_gpu_blocks="None",new_in_0_40="x"}} 1\n'
        for rank, size in ((0, 16), (1, 32))
    )
    facts = [page.facts for page in pages_of(body.encode(), ctx)]
    assert [fact.get("block_size") for fact in facts] == ["16", "32"]
    assert not any("num_gpu_blocks" in fact or "new_in_0_40" in fact for fact in facts)


def test_what_is_created_when_is_no_measure(ctx, last_page):
    """0.32 exposes <name>_created beside every counter; iteration_tokens_total_created looks most like one."""
    assert ALIASES.match("vllm:iteration_tokens_total_created", {}) is None
    assert ALIASES.match("vllm:iteration_tokens_total_count", {})[1] is Part.VALUE


def test_the_pages_of_two_scrapes_do_not_depend_on_what_came_between(last_page):
    """The same bytes give the same pages, whatever the parser remembers."""
    at = datetime.now(UTC)
    used, fresh = (
        CollectContext(target=Target(key="gpu-1", url="http://gpu-1/metrics"), scraped_at=at) for _ in range(2)
    )
    for release in ("0.6", "0.33"):
        parse(page_of(release), used)
    assert parse(last_page, used) == parse(last_page, fresh)
