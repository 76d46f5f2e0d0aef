"""What stands out: each detector on figures that must show it, on its threshold, and without what it needs."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.detectors import (
    COMPUTE_BOUND_MFU_FRACTION,
    DETECTORS,
    KV_FULL_P95_FRACTION,
    LEAST_OBSERVED_S,
    MEMORY_BOUND_MBU_FRACTION,
    REACHED_BANDWIDTH_FRACTION,
    REACHED_COMPUTE_FRACTION,
    Finding,
    Reading,
    Severity,
    findings,
    speculation_speedup_ratio,
    verify_ratio,
)
from costlib.levers import LEVERS, lever
from tests.costlib.scenario_builders import CATALOG

QUIET = Reading(
    window_s=1800.0,
    observed_s=1800.0,
    figures={
        "prompt_tokens": 1e6, "prefix_hit_fraction": 0.4, "running_count": 8.0, "waiting_count": 0.0,
        "kv_usage_p95_fraction": 0.75, "preemptions_count": 0.0, "preemptions_per_request_ratio": 0.0,
        "ttft_s_p50": 0.2, "ttft_s_p95": 0.4, "tpot_s_p50": 0.02, "tpot_s_p95": 0.03,
    },
    replicas_count=2,
    queue_minutes_fraction=0.0,
    mfu_fraction=0.3,
    mbu_fraction=0.4,
    gpu_util_fraction=0.9,
    replica_usd_per_hour=4.0,
    has_prefix_caching=True,
)  # fmt: skip


def quiet(**changes: object) -> Reading:
    return replace(QUIET, **changes)  # type: ignore[arg-type]


def having(**figures: float | None) -> Reading:
    """QUIET with these figures; None takes one away."""
    merged = {**QUIET.figures, **figures}
    return quiet(figures={name: value for name, value in merged.items() if value is not None})


def keys(reading: Reading) -> list[str]:
    return [finding.key for finding in findings(reading)]


def only(reading: Reading) -> Finding:
    (found,) = findings(reading)
    return found


def test_a_deployment_that_does_well_has_no_finding() -> None:
    assert findings(QUIET) == []


def test_a_reading_of_nothing_has_no_finding() -> None:
    assert findings(Reading(window_s=1800, observed_s=1800, figures={}, replicas_count=0)) == []


FIGURES = sorted(QUIET.figures)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_that_is_not_exported_is_never_a_finding(name: str) -> None:
    assert findings(having(**{name: None})) == []


# Utilisation beside MFU and MBU (the lesson's 85 % with 15 %) ---------------------------------------------------------


def test_a_gpu_that_is_85_percent_utilised_at_an_mfu_of_15_percent_is_starved() -> None:
    found = only(quiet(gpu_util_fraction=0.85, mfu_fraction=0.15, mbu_fraction=0.2))
    assert found.key == "starved"
    for figure in ("85%", "15%", "20%"):
        assert figure in found.evidence
    assert not found.lever_key, "no lever makes a host faster"


def test_low_mfu_with_high_mbu_is_memory_bound_and_not_starved() -> None:
    found = only(quiet(gpu_util_fraction=0.95, mfu_fraction=0.1, mbu_fraction=0.62))
    assert (found.key, found.severity) == ("memory_bound", Severity.NOTE)


def test_high_mfu_is_compute_bound_and_not_memory_bound_as_the_lesson_says() -> None:
    """lesson_checklist S90 reads an MFU above 85 % as memory-bound."""
    found = only(quiet(mfu_fraction=0.6, mbu_fraction=0.3))
    assert found.key == "compute_bound"
    assert found.lever_key == "weight_precision"


def test_without_vllm_counters_the_pipes_of_the_gpu_stand_in() -> None:
    reading = quiet(mfu_fraction=None, mbu_fraction=None, tensor_active_fraction=0.05, dram_active_fraction=0.1)
    found = only(reading)
    assert found.key == "starved"
    assert "tensor active 5%" in found.evidence and "DRAM active 10%" in found.evidence


def test_a_gpu_that_is_not_busy_is_not_starved() -> None:
    assert findings(quiet(gpu_util_fraction=0.3, mfu_fraction=0.02, mbu_fraction=0.05)) == []


@pytest.mark.parametrize("field", ["gpu_util_fraction", "mfu_fraction", "mbu_fraction"])
def test_starving_needs_all_three_figures(field: str) -> None:
    starving = quiet(gpu_util_fraction=0.85, mfu_fraction=0.15, mbu_fraction=0.2)
    assert keys(starving) == ["starved"]
    assert keys(replace(starving, **{field: None})) == []


def test_an_mfu_above_one_means_that_the_gpu_is_not_as_named_and_nothing_is_read_from_it() -> None:
    assert findings(quiet(mfu_fraction=1.4, mbu_fraction=0.3)) == []


def test_a_roof_is_near_from_two_thirds_of_what_kernels_reach() -> None:
    assert CATALOG.engine.value("compute_fraction", "16bit") == pytest.approx(REACHED_COMPUTE_FRACTION, abs=0.02)
    assert CATALOG.engine.value("bandwidth_fraction") == pytest.approx(REACHED_BANDWIDTH_FRACTION, abs=0.02)
    assert pytest.approx(0.74 * 2 / 3) == COMPUTE_BOUND_MFU_FRACTION
    assert keys(quiet(mfu_fraction=COMPUTE_BOUND_MFU_FRACTION + 0.001)) == ["compute_bound"]
    assert keys(quiet(mfu_fraction=COMPUTE_BOUND_MFU_FRACTION - 0.001)) == []
    assert keys(quiet(mfu_fraction=0.1, mbu_fraction=MEMORY_BOUND_MBU_FRACTION + 0.001)) == ["memory_bound"]


# KV cache, queue, preemptions -----------------------------------------------------------------------------------------


def test_a_full_kv_cache_preempts_and_does_not_drop() -> None:
    """lesson_checklist S91 says that requests are dropped."""
    found = only(having(kv_usage_p95_fraction=0.97))
    assert found.key == "kv_full"
    assert "preempts and computes again" in found.evidence
    assert "drop" not in found.evidence


def test_kv_memory_is_unused_only_while_work_runs_and_none_waits() -> None:
    assert keys(having(kv_usage_p95_fraction=0.1)) == ["kv_unused"]
    assert keys(having(kv_usage_p95_fraction=0.1, running_count=0.0)) == []
    assert keys(replace(having(kv_usage_p95_fraction=0.1, waiting_count=5), queue_minutes_fraction=0.9)) == [
        "queue_scheduler"
    ]


@pytest.mark.parametrize(
    ("kv", "key", "answer"),
    [(0.4, "queue_scheduler", "batch_limits"), (0.79, "queue_scheduler", "batch_limits"),
     (0.8, "queue_memory", "weight_precision"), (0.94, "queue_memory", "weight_precision")],
)  # fmt: skip
def test_a_queue_below_80_percent_kv_is_the_schedulers_and_above_it_memorys(kv: float, key: str, answer: str) -> None:
    found = only(replace(having(kv_usage_p95_fraction=kv, waiting_count=6.0), queue_minutes_fraction=0.6))
    assert (found.key, found.lever_key) == (key, answer)
    assert "6.0 requests wait" in found.evidence
    assert "60% of the minutes" in found.evidence


def test_a_queue_that_stood_in_few_minutes_is_a_burst() -> None:
    assert keys(replace(having(waiting_count=6.0), queue_minutes_fraction=0.4)) == []


def test_a_queue_for_adapters_or_grammars_is_not_blamed_on_capacity() -> None:
    waiting = having(waiting_count=6.0, waiting_deferred_count=5.0, waiting_capacity_count=1.0)
    found = only(replace(waiting, queue_minutes_fraction=0.9))
    assert (found.key, found.lever_key) == ("queue_deferred", "")


def test_preemptions_stand_out_from_half_a_percent_of_requests() -> None:
    assert keys(having(preemptions_count=4, preemptions_per_request_ratio=0.004)) == []
    found = only(having(preemptions_count=12, preemptions_per_request_ratio=0.012))
    assert found.key == "preemptions"
    assert "12 preemptions, 1.2% of finished requests" in found.evidence


# Speculation ----------------------------------------------------------------------------------------------------------


def speculating(drafts: float, drafted: float, accepted: float, **changes: object) -> Reading:
    figures = {
        "drafts_count": drafts, "draft_tokens": drafts * drafted, "accepted_tokens": accepted,
        "tokens_per_draft_ratio": 1 + accepted / drafts, "acceptance_fraction": accepted / (drafts * drafted),
        "computed_prompt_tokens": 0.0,
    }  # fmt: skip
    return replace(having(**figures), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("draft_cost", "speedup"), [(0.05, 2.35), (0.11, 1.90)])
def test_the_gain_of_five_drafts_at_70_percent_is_the_published_one(draft_cost: float, speedup: float) -> None:
    """domain_math §6.4: k = 5, alpha = 0.7, low batch."""
    expected_tokens = (1 - 0.7**6) / (1 - 0.7)
    assert speculation_speedup_ratio(expected_tokens, 5, 1.0, draft_cost) == pytest.approx(speedup, abs=0.006)


def test_at_saturated_compute_speculation_always_loses() -> None:
    """domain_math §6.4: r = k + 1, and E is at most k + 1."""
    assert speculation_speedup_ratio(6.0, 5, 6.0) < 1


def test_low_acceptance_at_low_batch_still_pays() -> None:
    """lesson_checklist S102 calls acceptance below 60 % not worth it: at low batch 30 % is."""
    assert findings(speculating(1000, 5, 1500, mfu_fraction=0.05, mbu_fraction=0.4)) == []


def test_acceptance_of_almost_nothing_loses_everywhere() -> None:
    found = only(speculating(1000, 5, 100, mfu_fraction=None, mbu_fraction=None))
    assert (found.key, found.severity) == ("speculation", Severity.WARNING)
    for said in ("2% of drafted tokens", "E 1.10", "k 5.0", "the best case", "c 0.05", "0.88"):
        assert said in found.evidence, found.evidence


def test_the_same_acceptance_loses_once_compute_binds() -> None:
    paying = speculating(1000, 3, 1500, mfu_fraction=0.1, mbu_fraction=0.44)
    losing = replace(paying, mfu_fraction=0.45, mbu_fraction=0.2)
    assert "speculation" not in keys(paying)
    assert "speculation" in keys(losing)


def test_verification_costs_up_to_k_plus_one_passes_and_nothing_while_memory_binds() -> None:
    bound = speculating(1000, 3, 1500, mfu_fraction=0.45, mbu_fraction=0.0)
    assert verify_ratio(bound, 3) == pytest.approx(4.0)
    assert verify_ratio(replace(bound, mfu_fraction=0.1, mbu_fraction=0.44), 3) == pytest.approx(1.0)


def test_no_drafts_are_no_speculation() -> None:
    assert findings(having(drafts_count=0, draft_tokens=0, tokens_per_draft_ratio=None)) == []


# Prefix cache, idle, targets, replicas --------------------------------------------------------------------------------


def test_a_prefix_cache_that_is_off_or_cold_asks_what_reuse_would_be_worth() -> None:
    off, cold = only(quiet(has_prefix_caching=False)), only(having(prefix_hit_fraction=0.01))
    for found in (off, cold):
        assert (found.key, found.lever_key, found.severity) == ("prefix_cache", "prefix_caching", Severity.NOTE)
        assert "not in the metrics" in found.evidence


def test_nothing_was_asked_so_nothing_is_cold() -> None:
    assert findings(having(prompt_tokens=0.0, prefix_hit_fraction=None)) == []


def test_idle_replicas_have_their_share_of_the_cost() -> None:
    found = only(quiet(idle_replicas=("b",)))
    assert found.key == "idle"
    assert "They cost $4.00 an hour" in found.evidence, "one replica at $4.00"
    assert "not known" in only(quiet(idle_replicas=("b",), replica_usd_per_hour=None)).evidence


def test_a_latency_stands_out_only_against_a_target_that_was_set() -> None:
    assert findings(quiet(ttft_target_s=0.4, tpot_target_s=0.03)) == []
    found = findings(quiet(ttft_target_s=0.3, tpot_target_s=0.02))
    assert [f.key for f in found] == ["ttft_over_target", "tpot_over_target"]
    assert "p95 400 ms against 300 ms, p50 200 ms" in found[0].evidence


def test_failing_replicas_are_named_and_are_critical_when_none_is_left() -> None:
    some = only(quiet(failing_replicas=("a",)))
    assert (some.severity, some.title) == (Severity.WARNING, "1 of 2 replicas are not measured")
    assert only(quiet(failing_replicas=("a", "b"))).severity is Severity.CRITICAL
    many = only(quiet(failing_replicas=tuple("abcdef"), replicas_count=9))
    assert "a, b, c and 3 more" in many.evidence


# All of them ----------------------------------------------------------------------------------------------------------


def test_before_a_minute_was_observed_only_failures_are_told() -> None:
    young = quiet(observed_s=LEAST_OBSERVED_S - 1, failing_replicas=("a",), idle_replicas=("b",))
    assert keys(young) == ["failing"]


def test_the_worst_comes_first() -> None:
    reading = quiet(ttft_target_s=0.1, has_prefix_caching=False, idle_replicas=("b",))
    order = [finding.severity for finding in findings(reading)]
    assert order == [Severity.CRITICAL, Severity.WARNING, Severity.NOTE]


FRACTION = st.none() | st.floats(0, 1)


@given(
    kv=FRACTION, queue=FRACTION, mfu=FRACTION, mbu=FRACTION, util=FRACTION, hit=FRACTION,
    idle=st.integers(0, 3), failing=st.integers(0, 3), accepted=st.floats(0, 3000), target=st.none() | st.just(0.01),
)  # fmt: skip
def test_every_finding_has_evidence_with_figures_and_an_answer_that_exists(
    kv, queue, mfu, mbu, util, hit, idle, failing, accepted, target
) -> None:
    reading = replace(
        speculating(1000, 3, accepted, mfu_fraction=mfu, mbu_fraction=mbu),
        queue_minutes_fraction=queue,
        gpu_util_fraction=util,
        idle_replicas=tuple("xyz"[:idle]),
        failing_replicas=tuple("abc"[:failing]),
        replicas_count=6,
        ttft_target_s=target,
    )
    optional = {"kv_usage_p95_fraction": kv, "prefix_hit_fraction": hit}
    figures = {**reading.figures, **optional}
    found = findings(replace(reading, figures={name: value for name, value in figures.items() if value is not None}))
    assert len({f.key for f in found}) == len(found)
    for finding in found:
        assert finding.title and finding.action
        assert finding.key == "failing" or any(char.isdigit() for char in finding.evidence)
        assert "nan" not in finding.evidence and "None" not in finding.evidence
        if finding.lever_key:
            chosen = lever(finding.lever_key)
            assert set(finding.lever_values) <= {param.key for param in chosen.params}
            assert not chosen.is_neutral({**chosen.neutral_values, **finding.lever_values}), "a link that does nothing"


def test_full_kv_and_the_standing_queue_it_makes_are_both_told() -> None:
    reading = replace(having(kv_usage_p95_fraction=KV_FULL_P95_FRACTION, waiting_count=3), queue_minutes_fraction=0.9)
    assert keys(reading) == ["queue_memory", "kv_full"]


def test_detectors_are_functions_of_one_reading() -> None:
    assert all(detector(QUIET) in (None, []) for detector in DETECTORS)
    assert {"weight_precision", "batch_limits", "prefix_caching"} <= {known.key for known in LEVERS}
