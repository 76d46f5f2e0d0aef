"""What a vLLM page means, release by release."""

from datetime import UTC, datetime

import pytest

from collectors.aliases import AliasTable, Part
from collectors.base import CollectContext, PageRefused, Target
from collectors.sources.vllm import ALIASES, FindingState, diagnose, parse
from costlib.errors import ConfigError, UnknownKey
from costlib.telemetry import COUNTERS, GAUGES, HISTOGRAMS, Histogram

TRUTH = {measure: float(number) for number, measure in enumerate((*COUNTERS, *GAUGES), start=1)}
BUCKETS = Histogram(bounds=(0.5, 1.0, float("inf")), cumulative_counts=(80.0, 100.0, 104.0), sum=70.0, count=104.0)
OUTDATED = 9_999.0


def release(text):
    return tuple(int(part) for part in text.split("."))


def exposes(alias, version):
    """Whether that release has that name by default."""
    until = release(alias.until) if alias.until else None
    return release(alias.since) <= release(version) and (until is None or release(version)[: len(until)] <= until)


def series_of(alias, value, prefix="vllm:", **labels):
    labels = {"model_name": "llama", **alias.labels, **labels}
    text = lambda **more: ",".join(f'{k}="{v}"' for k, v in {**labels, **more}.items())  # noqa: E731
    if alias.measure in HISTOGRAMS:
        for bound, number in zip(BUCKETS.bounds, BUCKETS.cumulative_counts, strict=True):
            yield f"{prefix}{alias.name}_bucket{{{text(le='+Inf' if bound == float('inf') else bound)}}} {number}"
        yield f"{prefix}{alias.name}_sum{{{text()}}} {BUCKETS.sum}"
        yield f"{prefix}{alias.name}_count{{{text()}}} {BUCKETS.count}"
    else:
        yield f"{prefix}{alias.name}{{{text()}}} {value}"


def page_of(version, prefix="vllm:"):
    """A page with every name that release exposes; of two names for one measure the older has an outdated value."""
    lines = []
    for measure, aliases in ALIASES.by_measure.items():
        known = [alias for alias in aliases if exposes(alias, version)]
        for alias in known:
            lines += series_of(alias, TRUTH.get(measure, 0.0) if alias is known[0] else OUTDATED, prefix)
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.parametrize("prefix", ["vllm:", "vllm_", "ray_vllm_"])
@pytest.mark.parametrize("version", ["0.5", "0.6", "0.6.4", "0.8", "0.9.2", "0.10", "0.10.2", "0.11", "0.17", "0.33"])
def test_every_release_gives_the_same_measures_under_the_same_names(ctx, version, prefix):
    (page,) = parse(page_of(version, prefix), ctx)
    known = {m for m, aliases in ALIASES.by_measure.items() if any(exposes(alias, version) for alias in aliases)}
    assert page.counters == {measure: TRUTH[measure] for measure in COUNTERS if measure in known}
    assert page.gauges == {measure: TRUTH[measure] for measure in GAUGES if measure in known}
    assert page.histograms == {measure: BUCKETS for measure in HISTOGRAMS if measure in known}
    assert not page.remarks


@pytest.mark.parametrize(
    ("version", "absent"),
    [
        (
            "0.6",
            {
                "cached_prompt_tokens",
                "prefix_queries_tokens",
                "prefix_hits_tokens",
                "requests_error_count",
                "steps_count",
                "queue_s",
                "prefill_s",
                "decode_s",
                "inference_s",
            },
        ),
        ("0.8", {"cached_prompt_tokens", "requests_error_count"}),
        ("0.10", {"cached_prompt_tokens", "requests_error_count"}),
        ("0.33", set()),
    ],
)
def test_a_measure_the_release_does_not_have_is_absent_and_never_zero(ctx, version, absent):
    (page,) = parse(page_of(version), ctx)
    assert {*COUNTERS, *GAUGES, *HISTOGRAMS} - {*page.counters, *page.gauges, *page.histograms} == absent
    findings = {finding.measure: finding for finding in diagnose(page_of(version), ctx)}
    for measure, finding in findings.items():
        assert (finding.state is FindingState.ABSENT) == (measure in absent)
    if "cached_prompt_tokens" in absent:
        assert "prompt_tokens_cached_total in vLLM 0.17 and later" in findings["cached_prompt_tokens"].why


def test_a_recorded_page_of_0_32(ctx, last_page):
    (page,) = parse(last_page, ctx)
    assert page.identity == ("gpu-1", "tiny-llama", "0")
    assert page.scraped_at == ctx.scraped_at
    assert page.started_at == datetime(2026, 11, 21, 1, 26, 38, 440_000, tzinfo=UTC)
    assert page.counters == {
        "prompt_tokens": 63_162,
        "cached_prompt_tokens": 32_928,
        "generation_tokens": 21_943,
        "preemptions_count": 95,
        "requests_stop_count": 39,
        "requests_length_count": 326,
        "requests_abort_count": 0,  # 122 clients hung up; vLLM does not count them
        "requests_error_count": 0,
        "prefix_queries_tokens": 63_162,
        "prefix_hits_tokens": 32_928,
        "steps_count": 5_157,
        "queue_s": 934.2939154320043,
        "prefill_s": 71.74493069599771,
        "decode_s": 990.1830366180022,
        "inference_s": 1061.927967314,
    }
    assert page.gauges == {"running_count": 0, "waiting_count": 0, "kv_usage_fraction": 0}
    assert page.histograms["ttft_s"].count == 487 and len(page.histograms["ttft_s"].bounds) == 23
    assert page.histograms["tpot_s"].count == 365  # finished requests: the newest of two names on this page
    assert {finding.state for finding in diagnose(last_page, ctx)} == {FindingState.PRESENT}


def test_two_engines_are_two_pages(ctx):
    body = b"".join(b'vllm:prompt_tokens_total{engine="%d",model_name="m"} %d\n' % pair for pair in ((0, 5), (1, 7)))
    assert [(page.engine_key, page.counters) for page in parse(body, ctx)] == [
        ("0", {"prompt_tokens": 5}),
        ("1", {"prompt_tokens": 7}),
    ]


def test_two_models_behind_one_address_are_two_pages(ctx):
    body = b'vllm:prompt_tokens_total{model_name="a"} 5\nvllm:prompt_tokens_total{model_name="b"} 7\n'
    assert [page.identity for page in parse(body, ctx)] == [("gpu-1", "a", "0"), ("gpu-1", "b", "0")]


def test_processes_that_ray_gathers_on_one_page_are_engines_of_their_own(ctx):
    body = b"".join(
        b'ray_vllm_prompt_tokens_total{engine="0",model_name="m",ReplicaId="%s"} %d\n' % pair
        for pair in ((b"x", 5), (b"y", 7))
    )
    assert [(page.engine_key, page.counters["prompt_tokens"]) for page in parse(body, ctx)] == [
        ("0,ReplicaId=x", 5),
        ("0,ReplicaId=y", 7),
    ]


def test_a_series_exposed_twice_counts_once_and_is_remarked(ctx):
    body = b'vllm:prompt_tokens_total{model_name="m"} 5\nvllm:prompt_tokens_total{engine="0",model_name="m"} 5\n'
    (page,) = parse(body, ctx)
    assert page.counters == {"prompt_tokens": 5}
    assert "twice" in page.remarks["prompt_tokens"]


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
    assert parse(body.encode(), ctx)[0].histograms["ttft_s"] == BUCKETS
    broken = body.replace(wrong, right)
    assert broken != body
    (page,) = parse(broken.encode(), ctx)
    assert page.counters == {"prompt_tokens": 5} and not page.histograms
    assert why in page.remarks["ttft_s"]
    found = {finding.measure: finding for finding in diagnose(broken.encode(), ctx)}["ttft_s"]
    assert found.state is FindingState.WITHHELD and found.exposed_as == "time_to_first_token_seconds"


def test_a_server_started_with_disable_log_stats_is_told_so(ctx, captures):
    body = (captures / "e_disable_log_stats" / "metrics_disable_log_stats.prom").read_bytes()
    with pytest.raises(PageRefused, match="--disable-log-stats") as caught:
        parse(body, ctx)
    assert caught.value.word == "no_engine_metrics" and str(caught.value).startswith("gpu-1: ")


def test_a_label_with_a_value_per_request_does_not_become_a_thousand_engines(ctx):
    body = b"".join(b'vllm:prompt_tokens_total{request="%d"} 1\n' % number for number in range(257))
    with pytest.raises(PageRefused, match="engines"):
        parse(body, ctx)


@pytest.mark.parametrize("start", ["0", "NaN", "1e300", "-5"])
def test_a_start_time_outside_any_sense_is_not_known(ctx, start):
    body = f"process_start_time_seconds {start}\nvllm:prompt_tokens_total 5\n"
    assert parse(body.encode(), ctx)[0].started_at is None


def test_what_is_created_when_is_no_measure(ctx, last_page):
    """0.32 exposes <name>_created beside every counter; iteration_tokens_total_created looks most like one."""
    assert ALIASES.match("vllm:iteration_tokens_total_created", {}) is None
    assert ALIASES.match("vllm:iteration_tokens_total_count", {})[1] is Part.VALUE


def test_the_pages_of_two_scrapes_do_not_depend_on_what_came_between(last_page, captures):
    """The same bytes give the same pages, whatever the parser remembers."""
    used, fresh = (
        CollectContext(target=Target(key="gpu-1", url="http://gpu-1/metrics"), scraped_at=datetime.now(UTC)),
        CollectContext(target=Target(key="gpu-1", url="http://gpu-1/metrics"), scraped_at=datetime.now(UTC)),
    )
    for version in ("0.6", "0.33"):
        parse(page_of(version), used)
    assert [p.counters for p in parse(last_page, used)] == [p.counters for p in parse(last_page, fresh)]


class TestTable:
    def test_it_names_every_measure(self):
        assert set(ALIASES.by_measure) == {*COUNTERS, *GAUGES, *HISTOGRAMS}

    def test_no_two_measures_claim_one_series(self):
        claims = [
            (name, part, tuple(alias.labels.items()))
            for aliases in ALIASES.by_measure.values()
            for alias in aliases
            for name, part in alias.series()
        ]
        assert len(claims) == len(set(claims))

    def test_names_are_newest_first(self):
        for aliases in ALIASES.by_measure.values():
            since = [release(alias.since) for alias in aliases]
            assert since == sorted(since, reverse=True)

    @pytest.mark.parametrize(
        ("document", "error", "says"),
        [
            ({"counters": {"promt_tokens": []}}, UnknownKey, "prompt_tokens"),
            ({"counters": {"prompt_tokens": [{"name": "x"}]}}, ConfigError, "since"),
            ({}, ConfigError, "no entry for prompt_tokens"),
        ],
    )
    def test_a_slip_in_the_table_is_named(self, document, error, says):
        with pytest.raises(error, match=says):
            AliasTable(document, "metrics.toml")
