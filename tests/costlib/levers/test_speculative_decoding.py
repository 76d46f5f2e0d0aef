"""Speculative decoding: a gain where steps wait for memory, a loss where they wait for arithmetic."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks._accuracy_rows import model_named, rows_of
from benchmarks._lever_speculation import SPEED_UPS
from costlib.breakeven import usd_per_mtok
from costlib.compare import compare
from costlib.engine import EngineConstants, engine_inputs, steady_tpot_s, step_s
from costlib.errors import ConfigError, DomainError
from costlib.floor import cost_gap
from costlib.kvcache import kv_pool_bytes_per_gpu
from costlib.levers import lever as lever_of
from costlib.levers.speculative_decoding import best_length, drafted_by
from costlib.serving import Batching, ServingConfig
from costlib.speculation import Speculation, accepted_length_tokens
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL, bought, hosted, scenario, work

ROWS = rows_of(SPEED_UPS)
LLAMA_8B, LLAMA_70B, H100 = CATALOG.model("llama-3.1-8b"), CATALOG.model("llama-3.3-70b"), CATALOG.gpu("h100-sxm")
CHAIN_TOKENS = 3  # of EAGLE-3's table 3
MT_BENCH_TOKENS = 400  # context, assumed


def say(line):
    """Seen with `pytest -s`."""
    sys.stdout.write(line + "\n")


def speed_up(
    batch, speculation, model=LLAMA_8B, gpu=H100, context=MT_BENCH_TOKENS, constants=None, engine="vllm", **serving
):
    """Tokens per second of a batch with these drafts over those without."""
    plain = ServingConfig(**serving)
    constants = constants or CATALOG.engine.resolve(model, gpu, plain, engine)
    drafting = engine_inputs(model, gpu, replace(plain, speculation=speculation))
    alone_s = step_s(engine_inputs(model, gpu, plain), constants, batch, context)
    return drafting.step_tokens * alone_s / step_s(drafting, constants, batch, context)


def eagle(acceptance_fraction, draft_tokens=CHAIN_TOKENS):
    return replace(drafted_by("eagle", LLAMA_8B, acceptance_fraction, CATALOG), draft_tokens=draft_tokens)


def pulled(today, **values):
    return compare(today, {"speculative_decoding": {"enabled": True, **values}}, CATALOG)


def chosen(today, **values):
    lever = lever_of("speculative_decoding")
    checked = lever.check_values({"enabled": True, "draft_tokens": "best", **values}, today, CATALOG)
    return lever.apply(today, checked, CATALOG).hosted[0].serving.speculation


@pytest.mark.parametrize(
    ("acceptance_fraction", "draft_tokens", "tokens"), [(0.7, 5, 2.94117), (0.8, 3, 2.952), (1, 5, 6), (0, 5, 1)]
)
def test_vector_9_tokens_of_a_step(acceptance_fraction, draft_tokens, tokens):
    assert accepted_length_tokens(acceptance_fraction, draft_tokens) == pytest.approx(tokens, rel=1e-5)


def test_vector_10_one_sequence_gains_what_drafts_yield_over_what_they_read():
    """A drafter of 1/20 of the weights, five times a step: E / (1 + 5 x 0.05)."""
    drafter = Speculation(draft_tokens=5, acceptance_fraction=0.7, draft_params_count=0.5e9)
    assert speed_up(1, drafter, TOY_MODEL, TOY_GPU, 0, IDEAL) == pytest.approx(2.353, rel=1e-3)


def test_vector_11_accepted_over_drafted_is_not_the_acceptance():
    assert (accepted_length_tokens(0.7, 5) - 1) / 5 == pytest.approx(0.38823, abs=1e-5)


def test_the_lesson_s_70b_with_an_8b_draft():
    """S50: c = 0.114, so 1.88 times as fast at an acceptance of 0.7, and not the 3.5 of 5 x 0.7."""
    drafter = replace(drafted_by("llama-3.1-8b", LLAMA_70B, 0.7, CATALOG), draft_tokens=5)
    assert speed_up(1, drafter, LLAMA_70B, context=0, constants=IDEAL) == pytest.approx(1.88, rel=0.005)


def test_at_saturated_arithmetic_every_rejected_draft_is_a_loss():
    """1,000 sequences with 3 drafts are 4,000 tokens of arithmetic for 1,000 E."""
    lookup = Speculation(draft_tokens=3, acceptance_fraction=0.7)
    gain = speed_up(1000, lookup, TOY_MODEL, TOY_GPU, 0, IDEAL)
    assert gain == pytest.approx(lookup.step_tokens / 4)


def test_a_gain_at_small_batches_turns_into_a_loss_as_they_grow():
    """domain_math §6.4: a 70B on four H100 with an 8B draft gains at 1 and 32 sequences and loses from 128 on."""
    drafter = replace(drafted_by("llama-3.1-8b", LLAMA_70B, 0.7, CATALOG), draft_tokens=5)
    batches = np.array([1.0, 32, 64, 128, 256])
    gains = speed_up(batches, drafter, LLAMA_70B, context=2000, tensor_parallel_count=4)
    assert np.all(np.diff(gains) < 0)
    assert np.all((gains > 1) == (batches < 128))


@pytest.mark.parametrize(("method", "most_error"), [("EAGLE", 0.09), ("EAGLE-3", 0.08)])
def test_published_speed_ups_by_batch_with_one_acceptance_for_all(method, most_error):
    """EAGLE-3's table 3 states no acceptance for this chain: one number a method is fitted, the batches follow."""
    measured = {
        float(row["batch_or_concurrency"]): float(row["value"])
        for row in ROWS
        if row["source"] == "EAGLE-3 paper table 3" and row["method"] == method
    }
    batches, ratios = np.array(list(measured)), np.array(list(measured.values()))
    curves = {a: speed_up(batches, eagle(a), engine="sglang") for a in np.arange(0.3, 0.9, 0.01)}
    acceptance, found = min(curves.items(), key=lambda item: float(np.mean(np.abs(np.log(item[1] / ratios)))))
    error = float(np.mean(np.abs(found / ratios - 1)))
    say(f"{method}: acceptance {acceptance:.2f}, mean error {error:.1%}")
    for batch, ratio, modelled in zip(batches, ratios, found, strict=True):
        say(f"  batch {batch:3.0f}: measured {ratio:.2f}, modelled {modelled:.2f}, {modelled / ratio - 1:+.0%}")
    assert error < most_error
    # At the ends, where the knee does not decide: a gain is a gain and a loss a loss.
    assert [found[0] > 1, found[-1] > 1] == [ratios[0] > 1, ratios[-1] > 1]


@pytest.mark.parametrize(
    ("method", "drafter", "prompt", "output", "most_gain"),
    [
        # Qwama-0.5B has the layers of Qwen2-0.5B: 24, with 2 KV heads of 64. ShareGPT's turns are short.
        (
            "draft model",
            Speculation(draft_params_count=0.5e9, draft_layers_count=24, draft_kv_bytes_per_token=12_288),
            220,
            190,
            0.6,
        ),
        # Articles of CNN/DailyMail are ten times as long as their summaries.
        ("n-gram", Speculation(), 1000, 100, 1.0),
    ],
)
def test_published_losses_at_high_load(method, drafter, prompt, output, most_gain):
    """vLLM, 2024: up to 1.5 and 2.8 times as fast when quiet, 1.4 and 1.8 times slower when busy. The acceptance is
    taken from the quiet figure. 4 drafts, lengths of prompts and answers, and 256 sequences when busy are assumed."""
    quiet, busy = (
        float(row["value"])
        for load in ("qps=1", "high qps")
        for row in ROWS
        if row["method"].startswith(method) and row["batch_or_concurrency"] == load
    )
    plain = ServingConfig(tensor_parallel_count=4)
    constants = CATALOG.engine.resolve(LLAMA_70B, H100, plain, "vllm_2024")

    def gain(acceptance_fraction, batch):
        drafting = replace(plain, speculation=replace(drafter, acceptance_fraction=acceptance_fraction, draft_tokens=4))
        alone_s, drafted_s = (
            steady_tpot_s(engine_inputs(LLAMA_70B, H100, serving), constants, batch, prompt + output, prompt, output)
            for serving in (plain, drafting)
        )
        return float(alone_s / drafted_s)

    acceptance = min(np.arange(0.1, 0.96, 0.01), key=lambda a: abs(gain(a, 1) - quiet))
    say(f"{method}: acceptance {acceptance:.2f}, busy {gain(acceptance, 256):.2f} modelled, {busy:.2f} measured")
    assert gain(acceptance, 1) == pytest.approx(quiet, rel=0.02)
    assert busy < 1
    assert gain(acceptance, 256) < most_gain


def test_published_times_of_verifying_each_draft_as_a_sequence_of_its_own():
    """vLLM of 2024, pull request 5691: a step that verifies 5 drafts by batch expansion, Llama 7B on an A100 [ms]."""
    batches = np.array([4.0, 8, 16, 32, 64, 128])
    measured_s = np.array([15.4, 17.7, 23.9, 36.4, 54.5, 96.2]) / 1000
    model, gpu, plain = model_named("Llama-2-7B"), CATALOG.gpu("a100-sxm-80gb"), ServingConfig()
    constants = CATALOG.engine.resolve(model, gpu, plain, "vllm_2024")
    drafting = engine_inputs(model, gpu, replace(plain, speculation=Speculation(draft_tokens=5)))
    found_s = step_s(drafting, constants, batches, MT_BENCH_TOKENS)
    assert found_s == pytest.approx(measured_s, rel=0.2)
    assert np.median(np.abs(found_s / measured_s - 1)) < 0.12


def test_a_verified_token_is_sampled_as_a_sequence_s_own_is():
    """Nothing else costs time here: 10 sequences with 3 drafts are 40 tokens to sample."""
    free = EngineConstants(sequence_s=1e-3)
    plain, drafting = (
        engine_inputs(TOY_MODEL, TOY_GPU, ServingConfig(speculation=s))
        for s in (Speculation(), Speculation(draft_tokens=3))
    )
    sampled_s = [float(step_s(one, free, 10, 0) - step_s(one, EngineConstants(), 10, 0)) for one in (plain, drafting)]
    assert sampled_s == pytest.approx([0.010, 0.040])


@pytest.mark.parametrize("method", ["EAGLE-3", "P-EAGLE"])
@pytest.mark.parametrize("dataset", ["MT-Bench", "SPEED-Bench code"])
def test_published_lengths_of_seven_drafts_follow_from_three(method, dataset):
    """Acceptance from what three drafts yield; seven are predicted: too many where later drafts are accepted less."""
    three, seven = (
        float(row["value"])
        for drafts in (3, 7)
        for row in ROWS
        if row["method"] == f"{method} K={drafts}" and row["dataset"] == dataset
    )
    acceptance = min(np.arange(0.01, 1, 0.001), key=lambda a: abs(accepted_length_tokens(a, 3) - three))
    predicted = accepted_length_tokens(acceptance, 7)
    say(f"{method} {dataset}: measured {seven:.2f}, predicted {predicted:.2f}, {predicted / seven - 1:+.1%}")
    assert predicted == pytest.approx(seven, rel=0.2)


def test_the_best_length_is_none_where_every_draft_is_a_loss():
    """Full replicas of an 8B hold hundreds of sequences: nothing changes, and nothing is lost."""
    today = scenario(hosted("llama-3.1-8b", "h100-sxm", work(200, 200, 200)))
    assert chosen(today, acceptance_fraction=0.5).draft_tokens == 0
    result = pulled(today, acceptance_fraction=0.5, draft_tokens="best")
    assert result.scenario.usd_per_month == result.today.usd_per_month
    assert pulled(today, acceptance_fraction=0.5, draft_tokens="5").capacity_freed_fraction < 0


def test_the_best_length_grows_with_acceptance_where_few_may_run():
    today = scenario(hosted("llama-3.3-70b", "h100-sxm", work(2), tensor_parallel_count=4, max_num_seqs=8))
    lengths = [chosen(today, acceptance_fraction=a).draft_tokens for a in (0.0, 0.5, 0.7, 0.9)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0 < lengths[-1]


def test_no_length_answers_more_than_the_best():
    today = scenario(hosted("llama-3.3-70b", "h100-sxm", work(2), tensor_parallel_count=4, max_num_seqs=32))
    best = pulled(today, draft_tokens="best").capacity_freed_fraction
    assert best == max(pulled(today, draft_tokens=str(k)).capacity_freed_fraction for k in range(1, 9))
    assert best > 0


def test_an_allowed_time_per_token_makes_it_pay():
    """Batches kept small for speed are where it helps: each token comes sooner, so more sequences may run."""
    today = scenario(hosted("llama-3.3-70b", "h100-sxm", work(20), tensor_parallel_count=4, max_tpot_s=0.020))
    assert pulled(today, acceptance_fraction=0.8).saved_usd_per_month > 0


def test_the_drafter_takes_memory_and_a_look_up_none():
    def pool(drafter):
        speculation = replace(drafted_by(drafter, LLAMA_70B, 0.7, CATALOG), draft_tokens=3)
        return kv_pool_bytes_per_gpu(LLAMA_70B, H100, replace(plain, speculation=speculation))

    plain = ServingConfig(tensor_parallel_count=4)
    alone = kv_pool_bytes_per_gpu(LLAMA_70B, H100, plain)
    assert pool("ngram") == alone
    assert alone - pool("llama-3.1-8b") == pytest.approx(LLAMA_8B.total_params_count * 2 / 4)
    assert 0 < alone - pool("eagle") < alone - pool("llama-3.1-8b")


def test_answers_arrive_sooner_on_a_quiet_replica_and_no_cash_is_saved():
    result = pulled(scenario(hosted("llama-3.3-70b", "h100-sxm", work(0.1), tensor_parallel_count=4)))
    assert result.scenario.tpot_s < result.today.tpot_s
    assert result.saved_usd_per_month == 0


def test_a_drafter_of_no_drafts_changes_no_number():
    """Not even the memory: with no length chosen it is not loaded."""
    today = hosted("llama-3.3-70b", "h100-sxm", tensor_parallel_count=4)
    drafter = drafted_by("llama-3.1-8b", LLAMA_70B, 0.7, CATALOG)
    plain, idle = today.supply.serving, replace(today.supply.serving, speculation=drafter)
    constants = CATALOG.engine.resolve(LLAMA_70B, H100, plain)
    one, other = (step_s(engine_inputs(LLAMA_70B, H100, s), constants, 17, 900, 300, 150) for s in (plain, idle))
    assert one == other
    assert kv_pool_bytes_per_gpu(LLAMA_70B, H100, idle) == kv_pool_bytes_per_gpu(LLAMA_70B, H100, plain)


def test_acceptance_of_1_is_refused_with_what_is_allowed():
    with pytest.raises(ConfigError, match=r"acceptance_fraction must be a number from 0 to 0\.95"):
        pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), acceptance_fraction=1)
    with pytest.raises(DomainError, match="below 1: no draft is always right"):
        Speculation(draft_tokens=3, acceptance_fraction=1)


def test_a_draft_model_as_large_as_its_target_is_refused():
    ((_, refusal),) = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm")), drafter="llama-3.2-3b").refusals
    assert refusal.reason == "a draft model needs a target four times its size"
    assert "choose a smaller draft model" in refusal.remedy


def test_static_batches_are_refused_until_they_are_continuous():
    ((_, refusal),) = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", batching=Batching.STATIC))).refusals
    assert refusal.remedy == "pull continuous batching first"


def test_a_model_bought_by_the_token_drafts_on_its_own():
    assert pulled(scenario(bought("llama-3.3-70b", 0.9))).refusals


def test_a_deployment_that_does_not_fit_is_still_said_not_to():
    today = hosted("llama-3.3-70b", "h100-sxm")
    with pytest.raises(DomainError, match="does not fit"):
        best_length(today, today.supply, drafted_by("eagle", LLAMA_70B, 0.7, CATALOG), CATALOG)


@pytest.mark.parametrize("drafter", ["eagle", "ngram"])
@pytest.mark.parametrize("max_tpot_s", [None, 0.012])
def test_the_floor_stays_below_what_drafts_reach(drafter, max_tpot_s):
    """The floor takes drafts and rejections for free, so that no drafter passes it; the gap's parts still sum."""
    today = scenario(hosted("llama-3.3-70b", "h100-sxm", work(20), tensor_parallel_count=4, max_tpot_s=max_tpot_s))
    drafting = pulled(today, drafter=drafter, acceptance_fraction=0.9, draft_tokens="5").scenario
    values = {"enabled": True, "drafter": drafter, "acceptance_fraction": 0.9, "draft_tokens": "5"}
    after = lever_of("speculative_decoding").apply(today, values, CATALOG)
    (deployment,), (projected,) = after.deployments, drafting.deployments
    serving = deployment.supply.serving
    constants = CATALOG.engine.resolve(LLAMA_70B, H100, serving)
    gap = cost_gap(deployment, projected, after, CATALOG, constants)
    full = usd_per_mtok(3.50 * 4, projected.capacity_tokens_per_s)
    assert gap.floor.usd_per_mtok < full <= gap.usd_per_mtok
    assert sum(part for _, part in gap.parts) == pytest.approx(gap.usd_per_mtok - gap.floor.usd_per_mtok)
