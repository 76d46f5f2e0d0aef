"""What `doctor` is told of a page: per measure whether it is there, why not, and what that costs."""

from collectors.sources.vllm import parse
from collectors.vllm.aliases import load_aliases, version
from collectors.vllm.findings import FindingState, diagnose, why_absent
from collectors.vllm.version import recognise

TABLE = load_aliases()


def why(body, ctx, measure):
    return {finding.measure: finding for finding in diagnose(body, ctx)}[measure].why


def whole(release):
    """Every metric that needs no flag, as that release shows it."""
    names = [
        series
        for metric in TABLE.metrics.values()
        if metric.is_surely_in(version(release)) and not metric.needs and metric.engine != "V0"
        for series, _ in metric.series()
        if not series.endswith("_bucket")
    ]
    return "".join(f'vllm:{name}{{engine="0",model_name="m"}} 1\n' for name in names).encode()


def test_the_release_is_older_than_the_metric(ctx):
    said = why(whole("0.10.2"), ctx, "cached_prompt_tokens")
    assert "prompt_tokens_cached_total in vLLM 0.16 or 0.17 and later" in said
    assert "this page is of vLLM 0.10.2 to before 0.11.2" in said


def test_a_flag_is_off(ctx):
    assert "--speculative-config" in why(whole("0.21.0"), ctx, "drafts_count")


def test_something_drops_what_the_release_has(ctx):
    lines = whole("0.31.0").splitlines(keepends=True)
    without = b"".join(line for line in lines if b"num_preemptions_total" not in line)
    assert "drops it" in why(without, ctx, "preemptions_count")


def test_only_the_other_engine_has_it():
    old = recognise(["vllm:num_requests_swapped", "vllm:tokens_total"])
    assert old.engine == "V0"
    assert "by its V1 engine" in why_absent("prefix_hits_tokens", old, TABLE)


def test_where_the_release_cannot_be_told_nothing_is_claimed_of_it():
    said = why_absent("cached_prompt_tokens", recognise([]), TABLE)
    assert "a vLLM that cannot be told" in said


def test_mfu_counters_that_stand_at_0_are_kept_and_said_to_need_their_flag(ctx, last_page):
    still = b"".join(
        line.rpartition(b" ")[0] + b" 0.0\n"
        if line.startswith(b"vllm:estimated_") and b"_created" not in line
        else line
        for line in last_page.splitlines(keepends=True)
    )
    (page,) = parse(still, ctx).pages
    assert page.counters["estimated_flop"] == 0 and "MFU counters" not in page.facts["features"]
    found = {finding.measure: finding for finding in diagnose(still, ctx)}["estimated_flop"]
    assert found.state is FindingState.IDLE_FLAG_OFF and "--enable-mfu-metrics" in found.why and "MFU" in found.costs
    (page,) = parse(last_page, ctx).pages  # the same series, and they have moved
    assert "MFU counters" in page.facts["features"]


def test_every_finding_says_what_the_measure_is_for(ctx, last_page):
    findings = diagnose(last_page, ctx)
    assert len({finding.measure for finding in findings}) == len(findings) == len(TABLE.by_measure)
    assert all(finding.costs for finding in findings)
    assert all(bool(finding.exposed_as) is (finding.state is not FindingState.ABSENT) for finding in findings)
