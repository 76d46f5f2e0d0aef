"""How busy time divides into classes of tokens: planted fleets found again, and what must hold for any method."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.books import Bucket
from costlib.engine import engine_inputs, step_s
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.step_model import RooflineCoefficients, roofline_coefficients
from costlib.token_split import (
    SPLIT_BUCKETS,
    BusyWindows,
    CommonCost,
    SplitFacts,
    SplitMethod,
    band,
    best,
    naive_input_fraction,
    splits,
)
from tests.costlib.planted_fleet import (
    CHAT,
    CHAT_AND_DOCUMENTS,
    DOCUMENTS,
    FLEETS,
    LARGE,
    MINUTES_OF_A_MONTH,
    SATURATED,
    SMALL,
    planted,
)
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL, bought, hosted, work

NO_WINDOWS = BusyWindows.none()
MODEL = RooflineCoefficients(
    t0_s=0.010,
    prompt_s_per_token=50e-6,
    output_s_per_token=20e-6,
    context_s_per_token=1e-8,
    context_tokens=1000.0,
    flop_per_s=400e12,
    bytes_per_s=2e12,
)
HOUR = SplitFacts(busy_s=3600.0, computed_tokens=20e6, cached_tokens=0.0, generated_tokens=20e6, roofline=MODEL)


def by_method(facts, windows=NO_WINDOWS, common=CommonCost.PROPORTIONAL):
    return {split.method: split for split in splits(windows, facts, common)}


def errors(split, fleet):
    """Of each class' GPU-seconds, relative to the true ones."""
    return {
        bucket: split.shares[bucket] * fleet.facts.busy_s / seconds - 1
        for bucket, seconds in fleet.gpu_seconds().items()
        if seconds
    }


# Planted fleets: the figures the split has to find again. The table is printed by benchmarks/split_accuracy.py.


@pytest.mark.parametrize("name", FLEETS)
def test_a_planted_fleet_is_found_again_within_5_percent_and_the_naive_split_misses(name):
    fleet = planted(*FLEETS[name])
    found = best(splits(fleet.windows, fleet.facts))
    assert found.method is SplitMethod.REGRESSION
    missed = errors(found, fleet)
    assert abs(missed[Bucket.INPUT]) < 0.05
    assert abs(missed[Bucket.OUTPUT]) < 0.05
    # A cached token takes 0 to 8 % of a computed one here: a month of one engine tells to within 2 % of the prompt.
    true = fleet.gpu_seconds()
    cached_s = found.shares[Bucket.CACHED_INPUT] * fleet.facts.busy_s
    assert abs(cached_s - true[Bucket.CACHED_INPUT]) < 0.02 * true[Bucket.INPUT]

    naive = naive_input_fraction(fleet.facts.prefill_s, fleet.summed_time_per_token_s)
    true_input = true[Bucket.INPUT] / fleet.busy_s
    assert abs(naive / true_input - 1) > 0.05
    assert abs((1 - naive) / (true[Bucket.OUTPUT] / fleet.busy_s) - 1) > 0.05


def test_four_engines_tell_the_price_of_a_cached_token_too():
    fleet = planted(LARGE, DOCUMENTS, SATURATED, minutes=4 * MINUTES_OF_A_MONTH, seed=1)
    assert all(abs(error) < 0.05 for error in errors(best(splits(fleet.windows, fleet.facts)), fleet).values())


def test_without_noise_every_coefficient_is_exact():
    fleet = planted(SMALL, CHAT_AND_DOCUMENTS, SATURATED, minutes=2000, noise=0.0, gauge_noise=0.0)
    fit = best(splits(fleet.windows, fleet.facts)).fit
    assert (fit.t0_s, fit.prompt_s_per_token, fit.cached_s_per_token) == pytest.approx((SMALL.t0, SMALL.a, SMALL.h))
    assert fit.r2 > 0.99  # what the smoothed context leaves open


def test_hours_and_minutes_are_fitted_together():
    """Minutes are kept for some months, hours for ever."""
    fleet = planted(LARGE, CHAT_AND_DOCUMENTS, SATURATED)

    def hours_first(column):
        return np.concatenate((column[:36_000].reshape(-1, 60).sum(axis=1), column[36_000:]))

    columns = {name: hours_first(getattr(fleet.windows, name)) for name in BusyWindows.__slots__}
    found = best(splits(BusyWindows(**columns), fleet.facts))
    assert found.fit.windows_count == 600 + 7200
    missed = errors(found, fleet)
    assert abs(missed[Bucket.INPUT]) < 0.05
    assert abs(missed[Bucket.OUTPUT]) < 0.05


def test_where_the_context_is_not_known_the_sentence_says_what_that_does():
    """Long prompts are read again for each of their output tokens: that is output's, and looks like input's."""
    fleet = planted(SMALL, CHAT_AND_DOCUMENTS, SATURATED)
    found = best(splits(replace(fleet.windows, context_tokens=None), fleet.facts))
    assert found.method is SplitMethod.REGRESSION
    assert "reading long contexts may be counted as input" in found.quality
    assert "8.5% of a computed one (assumed)" in found.quality
    assert errors(found, fleet)[Bucket.INPUT] > 0.05


# When the fit may not be used.


def test_less_than_300_busy_windows_are_not_enough():
    few = planted(SMALL, CHAT, SATURATED, minutes=299)
    found = by_method(few.facts, few.windows)
    assert "299 windows were busy throughout" in found[SplitMethod.REGRESSION].reason
    assert best(found.values()).method is SplitMethod.ROOFLINE


def test_a_server_that_does_not_count_its_steps_is_split_by_the_model():
    fleet = planted(SMALL, CHAT, SATURATED, minutes=1000)
    unknown = replace(fleet.windows, steps_count=np.full(len(fleet.windows.steps_count), np.nan))
    found = by_method(fleet.facts, unknown)
    assert "before 0.6.4" in found[SplitMethod.REGRESSION].reason
    assert best(found.values()).method is SplitMethod.ROOFLINE


def test_a_mix_that_never_changes_cannot_be_fitted():
    fleet = planted(SMALL, CHAT, SATURATED, minutes=1000)
    alike = replace(fleet.windows, computed_tokens=3 * fleet.windows.generated_tokens)
    assert "hardly varies" in by_method(fleet.facts, alike)[SplitMethod.REGRESSION].reason


def test_step_times_that_tokens_do_not_explain_are_refused():
    fleet = planted(SMALL, CHAT, SATURATED, minutes=1000)
    shuffled = replace(
        fleet.windows, window_s=60 * np.random.default_rng(0).lognormal(0, 2, len(fleet.windows.window_s))
    )
    assert "is weak: R²" in by_method(fleet.facts, shuffled)[SplitMethod.REGRESSION].reason


@pytest.mark.parametrize("broken", [np.nan, np.inf, -1.0])
def test_a_broken_window_is_left_out(broken):
    fleet = planted(SMALL, CHAT, SATURATED, minutes=1000)
    computed = fleet.windows.computed_tokens.copy()
    computed[::10] = broken
    fit = by_method(fleet.facts, replace(fleet.windows, computed_tokens=computed))[SplitMethod.REGRESSION].fit
    assert fit.windows_count == 900


def test_a_gauge_that_is_never_exported_does_not_cost_the_windows():
    fleet = planted(SMALL, CHAT, SATURATED, minutes=1000)
    blind = replace(fleet.windows, context_tokens=np.full(len(fleet.windows.steps_count), np.nan))
    fit = by_method(fleet.facts, blind)[SplitMethod.REGRESSION].fit
    assert fit.windows_count == 1000
    assert not fit.knows_context


def test_columns_of_different_length_are_refused():
    with pytest.raises(DomainError, match="columns of one length"):
        replace(NO_WINDOWS, window_s=np.ones(2))


# The other methods, by hand.


def test_the_engine_model_by_hand():
    """20 M prompt tokens x 50 us = 1,000 s; 20 M output tokens x (20 + 10) us = 600 s; the other 2,000 s are common.

    Alone, prefill fills 20 M / 8,192 steps of 10 ms: 24.4 s. 1,024.4 to 2,600.
    """
    shares = by_method(HOUR)[SplitMethod.ROOFLINE].shares
    assert shares[Bucket.INPUT] == pytest.approx(1024.414 / 3624.414)
    assert shares[Bucket.OUTPUT] == pytest.approx(2600 / 3624.414)


def test_flop_and_bytes_by_hand():
    """2 x 10^17 FLOP at 400 TFLOP/s are 500 s, half for the prompt; 5 x 10^15 bytes at 2 TB/s are 2,500 s of decode."""
    shares = by_method(replace(HOUR, estimated_flop=2e17, estimated_bytes=5e15))[SplitMethod.COUNTERS].shares
    assert shares[Bucket.INPUT] == pytest.approx((250 + 24.414) / (250 + 24.414 + 2500))


def test_price_lists_by_hand():
    """1 to 0.3 to 4."""
    shares = by_method(replace(HOUR, cached_tokens=10e6))[SplitMethod.LIST_PRICE].shares
    assert [shares[bucket] for bucket in SPLIT_BUCKETS[:3]] == pytest.approx([20 / 103, 3 / 103, 80 / 103])


def test_slot_time_by_hand():
    shares = by_method(replace(HOUR, prefill_s=100.0, decode_s=900.0))[SplitMethod.SLOT_TIME].shares
    assert shares[Bucket.INPUT] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("common", "input_s"),
    [
        pytest.param(CommonCost.PROPORTIONAL, 3600 * 1024.414 / 3624.414, id="as alone"),
        pytest.param(CommonCost.SHAPLEY, 1000 + 24.414 / 2, id="half of the steps that both are in"),
        pytest.param(CommonCost.BY_TOKENS, 1000 + 2000 / 2, id="as many tokens of either"),
    ],
)
def test_common_time_by_each_rule(common, input_s):
    shares = by_method(HOUR, common=common)[SplitMethod.ROOFLINE].shares
    assert shares[Bucket.INPUT] == pytest.approx(input_s / 3600, rel=1e-5)


def test_in_proportion_nobody_pays_more_than_alone():
    shares = by_method(HOUR)[SplitMethod.ROOFLINE].shares
    assert shares[Bucket.INPUT] * 3600 <= 1024.415
    assert shares[Bucket.OUTPUT] * 3600 <= 2600


def test_a_model_that_only_reads_pays_for_its_steps():
    shares = by_method(replace(HOUR, generated_tokens=0.0))[SplitMethod.ROOFLINE].shares
    assert shares[Bucket.INPUT] == 1.0


# Waste.


def test_a_preempted_request_is_computed_again():
    """1,000 requests of 20,000 + 20,000 tokens: a preemption drops a prompt and half an answer, 30,000 tokens."""
    calm, busy = (
        by_method(replace(HOUR, requests_count=1000.0, preemptions_count=count))[SplitMethod.ROOFLINE].shares
        for count in (0.0, 50)
    )
    assert calm[Bucket.PREEMPTION] == 0
    assert busy[Bucket.PREEMPTION] / busy[Bucket.INPUT] == pytest.approx(50 * 30_000 / 20e6)


def test_rejected_drafts_are_part_of_outputs_own_work():
    """5 M of 25 M tokens that were verified, of the 600 s that are not common."""
    shares = by_method(replace(HOUR, draft_tokens=15e6, accepted_tokens=10e6))[SplitMethod.ROOFLINE].shares
    assert shares[Bucket.REJECTED_DRAFT] == pytest.approx(2600 / 3624.414 * 600 / 2600 * 5 / 25)
    assert shares[Bucket.REJECTED_DRAFT] + shares[Bucket.OUTPUT] == pytest.approx(2600 / 3624.414)


# What is shown.


def test_nothing_measured_has_no_split_and_says_so():
    found = splits(NO_WINDOWS, SplitFacts(busy_s=60.0, computed_tokens=0.0, cached_tokens=0.0, generated_tokens=0.0))
    assert not best(found).usable
    assert best(found).reason == "no tokens were measured."
    assert best(found).basis is Basis.UNDEFINED
    assert band(found) == {}


def test_the_band_spans_the_methods_that_can_be_used():
    found = splits(NO_WINDOWS, replace(HOUR, prefill_s=100.0, decode_s=900.0))
    low, high = band(found)[Bucket.INPUT]
    assert (low, high) == pytest.approx((0.1, 1024.414 / 3624.414))
    assert [split.method for split in found if not split.usable] == [SplitMethod.REGRESSION, SplitMethod.COUNTERS]
    assert all(split.quality if split.usable else split.reason for split in found)


def test_every_method_is_answered_for_once():
    assert {split.method for split in splits(NO_WINDOWS, HOUR)} == set(SplitMethod)


amounts = st.integers(0, 10**12).map(float)


@given(
    busy_s=st.floats(0, 1e8),
    computed_tokens=amounts,
    cached_tokens=amounts,
    generated_tokens=amounts,
    requests_count=st.none() | amounts,
    draft_tokens=st.none() | amounts,
    accepted_tokens=st.none() | amounts,
    preemptions_count=st.none() | st.integers(0, 10**6),
    slots=st.tuples(amounts, amounts),
    counted=st.tuples(st.floats(0, 1e24), st.floats(0, 1e20)),
    common=st.sampled_from(CommonCost),
)
def test_shares_are_shares_whatever_was_counted(slots, counted, common, **rest):
    facts = SplitFacts(
        prefill_s=slots[0],
        decode_s=slots[1],
        estimated_flop=counted[0],
        estimated_bytes=counted[1],
        roofline=MODEL,
        **rest,
    )
    for split in splits(NO_WINDOWS, facts, common):
        if split.usable:
            assert set(split.shares) == set(SPLIT_BUCKETS)
            assert all(0 <= share <= 1 for share in split.shares.values()), split
            assert sum(split.shares.values()) == pytest.approx(1)
        else:
            assert split.reason


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["busy_s", "computed_tokens", "cached_tokens", "generated_tokens"])
def test_facts_that_cannot_be_are_refused_by_name(name, bad):
    with pytest.raises(DomainError, match=f"{name} must be 0 or more and finite"):
        replace(HOUR, **{name: bad})


# The engine model's coefficients.


def test_coefficients_make_up_the_engine_models_step():
    deployment = hosted("llama-3.1-8b", "h100-sxm", work(2.0, 1000, 200))
    found = roofline_coefficients(deployment, CATALOG)
    assert found.context_tokens == 1200.0
    assert found.basis is Basis.ASSUMED
    served = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm"), deployment.supply.serving
    inputs, constants = engine_inputs(*served), CATALOG.engine.resolve(*served)
    for batch in (2, 4):
        modelled_s = step_s(inputs, constants, batch, 1200)
        per_sequence = found.output_s_per_token + found.context_s_per_token * 1200
        assert found.t0_s + batch * per_sequence == pytest.approx(float(modelled_s), rel=1e-2)


def test_coefficients_by_hand_on_round_figures():
    """20 GB at 1 TB/s: 20 ms; a token of prompt 0.2 ms and its attention; a token of context 100,000 bytes: 0.1 us."""
    found = roofline_coefficients(hosted(TOY_MODEL.key, TOY_GPU.key, work(0.1, 100, 100)), CATALOG, IDEAL)
    assert found.t0_s == pytest.approx(0.020)
    assert found.prompt_s_per_token == pytest.approx(0.2e-3, rel=0.01)
    assert found.context_s_per_token == pytest.approx(1e-7)
    assert found.output_s_per_token == pytest.approx(0.0, abs=1e-9)
    assert (found.flop_per_s, found.bytes_per_s) == (100e12, 1e12)


def test_tokens_bought_have_no_steps():
    with pytest.raises(DomainError, match="bought by the token"):
        roofline_coefficients(bought("llama-3.1-8b", 0.9), CATALOG)
