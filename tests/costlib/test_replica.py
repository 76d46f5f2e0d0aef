"""One replica in steady state: which limit binds, rates by hand, and latency against load."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costlib.errors import DoesNotFit, DomainError
from costlib.replica import Bound, resident_tokens, solve_replica
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL, work

H100 = CATALOG.gpu("h100-sxm")
LLAMA_8B = CATALOG.model("llama-3.1-8b")


def fitted(model, gpu):
    return CATALOG.engine.resolve(model, gpu, ServingConfig())


def replica(workload=None, *, max_tpot_s=None, constants=IDEAL, **serving):
    return solve_replica(TOY_MODEL, TOY_GPU, ServingConfig(**serving), workload or work(), constants, max_tpot_s)


@pytest.mark.parametrize(
    ("cv", "tokens"),
    [pytest.param(1.0, 1200, id="vector 34: exponential"), pytest.param(0.0, 1100, id="all outputs alike")],
)
def test_resident_tokens(cv, tokens):
    assert resident_tokens(work(prompt=1000, output=200, output_cv_ratio=cv)) == tokens


def test_steady_state_by_hand():
    """Batch 10 without prompts: a step reads 20 GB of weights and 10 x 100 tokens x 100 kB, so 20.1 ms.

    Every request stays for 100 of them: 10 / 2.01 s = 4.975 requests/s.
    """
    solved = replica(work(prompt=0, output=100), max_num_seqs=10)
    assert solved.batch_count == 10
    assert solved.step_s[-1] == pytest.approx(0.0201)
    assert solved.capacity_requests_per_s == pytest.approx(10 / 2.01)
    assert solved.prefill_share_fraction == 0


def test_prefill_shares_the_steps_it_rides_on():
    """500 prompt tokens take 100.3 ms alone. In one step of ten, 500 ride with 10 decoding ones, compute-bound, and
    save the 20.6 ms of reading: at batch 10 and 100 outputs a tenth of that in every step, of nine for a sequence."""
    solved = replica(work(prompt=500, output=100), max_num_seqs=10)
    attention_s = 4 * 25 * 32 * 125 * 500**2 / 2 / 100e12
    assert solved.prefill_s == pytest.approx(500 * 0.2e-3 + attention_s)
    decode_s = 0.020 + 10 * 600 * 100e3 / 1e12
    own_attention_s = 4 * 25 * 32 * 125 * 10 * 600 / 100e12
    with_prompt_s = 510 * 0.2e-3 + attention_s + own_attention_s
    assert solved.decode_step_s[-1] == pytest.approx(decode_s)
    assert solved.step_s[-1] == pytest.approx(decode_s + (with_prompt_s - decode_s) / 10)
    assert solved.interval_s[-1] == pytest.approx(decode_s + (with_prompt_s - decode_s) * 0.09)
    assert solved.prefill_share_fraction == pytest.approx(1 - decode_s / solved.step_s[-1])


@pytest.mark.parametrize(
    ("bound", "limits"),
    [
        pytest.param(Bound.MAX_NUM_SEQS, {"max_num_seqs": 4}, id="sequences"),
        pytest.param(Bound.MAX_NUM_BATCHED_TOKENS, {"max_num_batched_tokens": 512}, id="tokens per step"),
        pytest.param(Bound.KV_MEMORY, {"gpu_memory_utilization": 0.3}, id="KV memory"),
        pytest.param(Bound.MAX_TPOT, {"max_tpot_s": 0.030}, id="time per token"),
    ],
)
def test_the_tightest_limit_binds_and_is_named(bound, limits):
    solved = replica(**limits)
    assert solved.bound is bound
    assert dict(solved.limits)[bound] == solved.batch_count == min(dict(solved.limits).values())


def test_tokens_per_step_are_shared_with_prompts():
    """Each output token brings 500 / 200 prompt tokens with it: 512 / 3.5 sequences."""
    assert dict(replica(max_num_batched_tokens=512).limits)[Bound.MAX_NUM_BATCHED_TOKENS] == 146


def test_max_tpot_is_kept_and_a_hair_more_would_break_it():
    solved = replica(max_tpot_s=0.030)
    assert solved.interval_s[-1] <= 0.030 < replica().interval_s[solved.batch_count]


def test_a_batch_that_takes_exactly_max_tpot_is_allowed():
    assert replica(max_tpot_s=float(replica().interval_s[9])).batch_count == 10


def test_a_tpot_nobody_can_meet_is_flagged_and_priced_at_batch_one():
    solved = replica(max_tpot_s=0.001)
    assert solved.misses_tpot
    assert solved.batch_count == 1


def test_too_few_tokens_per_step_say_how_many_are_needed_and_that_is_enough():
    long = work(prompt=20_000, output=10)
    with pytest.raises(DoesNotFit, match=r"max_num_batched_tokens 2000 is too small: .* raise it above 2,001"):
        replica(long, max_num_batched_tokens=2000)
    assert replica(long, max_num_batched_tokens=2001).batch_count == 1


def test_slower_steps_by_half_serve_a_third_less():
    assert replica().capacity_if(1.5) == pytest.approx(replica().capacity_requests_per_s / 1.5)


def test_running_count_is_the_batch_at_capacity_and_the_busy_share_below_one():
    solved = replica(max_num_seqs=16)
    assert solved.running_count(solved.capacity_requests_per_s) == pytest.approx(16)
    assert solved.running_count(solved.requests_per_s[0] / 2) == pytest.approx(0.5)
    assert solved.running_count(0) == 0


def test_running_count_is_rate_times_time_in_service():
    """Little's law: requests/s x output tokens x GPU seconds per step, at every batch."""
    solved = replica(max_num_seqs=16)
    for index in (0, 8, 15):
        rate = float(solved.requests_per_s[index])
        assert solved.running_count(rate) == pytest.approx(rate * 200 * float(solved.step_s[index]))


def test_first_token_waits_for_its_own_prefill_a_running_step_and_the_prompts_before_it():
    solved = replica(max_num_seqs=16)
    assert solved.ttft_s(0.0) == pytest.approx(solved.decode_step_s[0] / 2 + solved.prefill_s)
    # At capacity, prompts keep the engine busy for their share of a step: M/D/1.
    full, load = solved.capacity_requests_per_s, solved.prefill_share_fraction
    waited = solved.ttft_s(full) - float(solved.decode_step_s[-1]) / 2
    assert waited == pytest.approx(solved.prefill_s * (1 + load / (2 * (1 - load))))


def test_more_requests_than_a_replica_answers_have_no_time_to_first_token():
    """X11: a queue that grows without end has no mean."""
    solved = replica(max_num_seqs=16)
    with pytest.raises(DomainError, match="requests/s are unstable: one replica answers"):
        solved.ttft_s(solved.capacity_requests_per_s * 1.01)


def test_goodput_is_the_rate_at_which_the_tighter_limit_is_just_kept():
    solved = replica(max_num_seqs=16)
    slow = solved.ttft_s(solved.capacity_requests_per_s)
    half = (solved.ttft_s(0.0) + slow) / 2
    good = solved.goodput_requests_per_s(half, 1.0)
    assert solved.ttft_s(good) == pytest.approx(half)
    assert solved.goodput_requests_per_s(slow, 1.0) == solved.capacity_requests_per_s
    assert solved.goodput_requests_per_s(1.0, float(solved.interval_s[0]) * 0.9) == 0
    between = float(solved.interval_s[7])
    assert solved.tpot_s(solved.goodput_requests_per_s(1.0, between)) == pytest.approx(between)


def test_a_prompt_found_whole_in_the_cache_costs_nothing():
    """X03: a hit rate of 100 % is finite."""
    solved = replica(prefix_hit_fraction=1.0)
    assert solved.prefill_s == 0
    assert list(solved.step_s) == list(solved.decode_step_s)


@pytest.mark.parametrize(
    ("layout", "engines"),
    [
        pytest.param({"data_parallel_attention_count": 2}, 2, id="two attention groups are two engines"),
        pytest.param({"tensor_parallel_count": 2}, 1, id="a tensor-parallel group is one"),
    ],
)
def test_limits_of_an_engine_hold_for_each_attention_group(layout, engines):
    alone, solved = dict(replica(max_num_seqs=64).limits), dict(replica(max_num_seqs=64, **layout).limits)
    for bound in (Bound.MAX_NUM_SEQS, Bound.MAX_NUM_BATCHED_TOKENS):
        assert solved[bound] == engines * alone[bound]


@given(
    prompt=st.floats(0, 8000),
    output=st.floats(1, 2000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    model=st.sampled_from(CATALOG.models),
)
def test_latency_rises_with_load(prompt, output, shares, model):
    try:
        solved = solve_replica(model, H100, ServingConfig(), work(1, prompt, output), fitted(model, H100))
    except DomainError:
        assume(False)
    low, high = (share * solved.capacity_requests_per_s for share in shares)
    assert solved.tpot_s(low) <= solved.tpot_s(high)
    assert solved.ttft_s(low) <= solved.ttft_s(high)
    assert solved.running_count(low) <= solved.running_count(high) <= solved.batch_count


def test_with_a_limit_on_time_per_token_faster_steps_also_allow_a_larger_batch():
    solved = replica(max_tpot_s=float(replica().interval_s[9]))
    assert solved.capacity_if(1.0) == solved.capacity_requests_per_s
    assert solved.capacity_if(0.5) > 2 * solved.capacity_requests_per_s
    assert solved.capacity_if(2.0) < solved.capacity_requests_per_s / 2


def test_a_request_longer_than_the_context_is_refused():
    model, gpu = CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm")
    with pytest.raises(DomainError, match=r"exceed the 131,072 that Llama 3\.1 8B"):
        solve_replica(model, gpu, ServingConfig(), work(prompt=200_000), fitted(model, gpu))
