"""What follows from the sums of a window, and what it may be called."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.windows import DataState, derived, state_of, utilisation_of


def of_one(**sums):
    """One window's derived figures; what is left out was not exported."""
    given_sums = {"observed_s": 60.0, "coverage_s": 60.0, **sums}
    return {
        name: float(values[0]) for name, values in derived({k: np.array([v]) for k, v in given_sums.items()}).items()
    }


def test_littles_law_counts_those_inside_from_the_time_they_spent():
    # domain_math 4.2: L = λW. 4 requests a minute that stay 30 s each: two inside at any time.
    window = of_one(inference_s=120.0, queue_s=15.0)
    assert window["running_littles_count"] == 2.0
    assert window["waiting_littles_count"] == 0.25


def test_the_prompt_is_computed_and_cached():
    # a_baseline_preempt: 63,162 prompt tokens, of which 32,928 were found in the prefix cache
    exported = of_one(prompt_tokens=63_162, computed_prompt_tokens=30_234, cached_prompt_tokens=32_928)
    assert exported["computed_prompt_tokens"] + exported["cached_prompt_tokens"] == 63_162
    before_0_16 = of_one(prompt_tokens=63_162, prefix_hits_tokens=32_928)
    assert before_0_16["cached_prompt_tokens"] == 32_928
    assert before_0_16["computed_prompt_tokens"] == 30_234


def test_a_cache_that_was_never_asked_has_no_hit_rate_and_no_split():
    window = of_one(prompt_tokens=100, prefix_queries_tokens=0)
    assert math.isnan(window["prefix_hit_fraction"])
    assert math.isnan(window["computed_prompt_tokens"])


def test_speculation_by_place():
    # b_spec_ngram: 4,887 drafts of up to 4 tokens, all 18,188 accepted
    window = of_one(drafts_count=4_887, draft_tokens=18_188, accepted_tokens=18_188, accepted_at_00_tokens=4_887)
    assert window["acceptance_fraction"] == 1.0
    assert window["tokens_per_draft_ratio"] == pytest.approx(1 + 18_188 / 4_887)
    assert window["acceptance_at_00_fraction"] == 1.0
    assert math.isnan(window["acceptance_at_15_fraction"])


def test_what_came_after_a_gap_happened_in_it():
    window = of_one(prompt_tokens=600, generation_tokens=0, gap_s=240.0)
    assert window["prompt_tokens_per_s"] == 2.0


def test_nothing_is_made_of_nothing():
    assert all(math.isnan(value) for value in of_one().values())


def test_requests_are_known_when_any_outcome_is():
    assert of_one(requests_stop_count=3, requests_length_count=4)["requests_count"] == 7
    assert math.isnan(of_one()["requests_count"])


@given(
    st.lists(st.floats(0, 1e12) | st.just(math.nan), min_size=3, max_size=3),
    st.lists(st.floats(0, 1e12) | st.just(math.nan), min_size=3, max_size=3),
)
def test_no_figure_is_infinite_or_negative(parts, wholes):
    sums = {
        "prompt_tokens": np.array(parts),
        "prefix_hits_tokens": np.array(wholes),
        "observed_s": np.array(wholes),
        "coverage_s": np.array(parts),
    }
    for name, values in derived(sums).items():
        assert not np.isinf(values).any(), name
        assert not (values < 0).any() or name == "idle_fraction"


def test_an_estimate_that_stays_at_zero_is_not_exported():
    # vLLM 0.17 and later register the MFU counters always, and move them only with --enable-mfu-metrics
    assert np.isnan(utilisation_of(np.array([0.0]), 989.4e12))[0]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, DataState.OK),
        ({"observed_fraction": 0.5}, DataState.PARTIAL),
        ({"restarts_count": 1}, DataState.RESET),
        ({"restarts_count": 1, "gap_s": 60.0}, DataState.GAP),
        ({"is_failing": True}, DataState.GAP),
        ({"is_failing": True, "samples_count": 0}, DataState.GAP),
        ({"samples_count": 0}, DataState.NOT_EXPORTED),
        ({"is_overdue": True, "is_failing": True}, DataState.STALE),
    ],
)
def test_a_window_is_called_by_the_worst_that_happened(changes, state):
    fine = {"samples_count": 4, "gap_s": 0.0, "restarts_count": 0, "observed_fraction": 1.0}
    assert state_of(**{**fine, "is_failing": False, "is_overdue": False, **changes}) is state
