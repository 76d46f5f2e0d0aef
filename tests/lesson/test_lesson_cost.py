"""The lesson's arithmetic on cost, speed and FLOPs, with the right answers. Ids are rows of lesson.toml."""

from dataclasses import replace

import pytest

from costlib.breakeven import SelfHosting, usd_per_mtok
from costlib.compare import compare
from costlib.engine import EngineConstants, engine_inputs, prefill_s, step_s
from costlib.errors import DomainError
from costlib.hardware import Precision
from costlib.kvcache import concurrent_sequences
from costlib.project import project
from costlib.roofline import attention_flop, mfu_fraction, ridge_flop_per_byte, weight_read_s
from costlib.serving import ServingConfig
from costlib.workload import conversation_prompt_tokens
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, scenario, work

A100, A10G, H100 = (CATALOG.gpu(key) for key in ("a100-sxm-80gb", "a10g", "h100-sxm"))
LLAMA_8B, LLAMA_70B = CATALOG.model("llama-3.1-8b"), CATALOG.model("llama-3.3-70b")
A100_USD_PER_HOUR = 3.50
MONTH_S = 720 * 3600

# Half of the peak and four fifths of the bandwidth: what the checklist's figures for an 8B on an A100 were worked with.
HALF = EngineConstants(dense_compute_fraction=0.5, attention_compute_fraction=0.5, bandwidth_fraction=0.8)
RAG_PROMPT_TOKENS, RAG_OUTPUT_TOKENS = 2000, 400


def test_s10_a_lone_sequence_of_a_6b_reaches_0_65_percent_mfu_and_not_15_to_25():
    """Each token reads all weights for 2 FLOPs a parameter, so the MFU is 1 / ridge whatever the model's size."""
    gpt_j = replace(LLAMA_8B, key="gpt-j-6b", total_params_count=6.05e9, active_params_count=6.05e9)
    tokens_per_s = 1 / weight_read_s(2 * 6.05e9, A100)
    assert tokens_per_s == pytest.approx(168, rel=0.005)
    assert mfu_fraction(gpt_j, tokens_per_s, A100) == pytest.approx(0.0065, rel=0.01)
    assert mfu_fraction(gpt_j, tokens_per_s, A100) == pytest.approx(1 / ridge_flop_per_byte(A100))


@pytest.mark.parametrize(
    ("tokens_per_s", "mfu"),
    [
        pytest.param(1000, 0.0515, id="S26: 1,000 output tokens a second are 5 %"),
        pytest.param(6000, 0.309, id="S25: with five prompt tokens to each, which count too, 31 %"),
        pytest.param(12_630, 0.65, id="S26: 65 % is 12,600 tokens a second"),
        pytest.param(15_540, 0.80, id="S26: 80 % is 15,500"),
    ],
)
def test_mfu_of_an_8b_on_an_a100(tokens_per_s, mfu):
    assert mfu_fraction(LLAMA_8B, tokens_per_s, A100) == pytest.approx(mfu, rel=0.005)


@pytest.mark.parametrize(("busy", "times"), [(0.20, 5.0), (0.15, 6.67)], ids=["S14: 20 % used", "S14: 15 % used"])
def test_a_fleet_sized_for_its_peak_pays_for_the_rest_of_the_day(busy, times):
    """One replica at full use in its busiest hour, and 15 to 20 % on the mean."""
    flat, peaked = (
        project(
            scenario(
                hosted(
                    "llama-3.1-8b",
                    "a100-sxm-80gb",
                    work(2 * mean, 400, 100, peak_to_mean_ratio=1 / mean),
                    stated_tokens_per_s=1000,
                    target_busy_fraction=1.0,
                )
            ),
            CATALOG,
        )
        for mean in (1.0, busy)
    )
    assert flat.step("replicas_count").value == peaked.step("replicas_count").value == 1
    assert peaked.usd_per_mtok_blended / flat.usd_per_mtok_blended == pytest.approx(times, rel=0.001)


@pytest.mark.parametrize("times", [1.0, 2.0, 4.0])
def test_s27_cost_is_inverse_to_throughput_at_one_price_and_one_model(times):
    assert usd_per_mtok(3.50, 1000 * times) == pytest.approx(usd_per_mtok(3.50, 1000) / times)


def test_s54_without_a_cache_attention_is_cubic_in_the_answer_and_with_it_quadratic():
    def all_attention(tokens: int) -> tuple[float, float]:
        cached = attention_flop(LLAMA_8B, 0, tokens)
        recomputed = sum(attention_flop(LLAMA_8B, 0, so_far) for so_far in range(1, tokens + 1))
        return cached, recomputed

    (cached, recomputed), (cached_twice, recomputed_twice) = all_attention(2000), all_attention(4000)
    assert cached_twice / cached == pytest.approx(4)
    assert recomputed_twice / recomputed == pytest.approx(8, rel=0.001)


def test_s88_a_dollar_buys_as_much_bandwidth_on_an_a100_as_on_an_a10g_and_more_arithmetic():
    """At $3.50 and $1.00 an hour; and a 13B needs no tensor parallelism on either."""
    bandwidth, compute = (
        (A10G.hbm_bytes_per_s / 1.00) / (A100.hbm_bytes_per_s / A100_USD_PER_HOUR),
        (A10G.peak_flop_per_s(Precision.BF16) / 1.00) / (A100.peak_flop_per_s(Precision.BF16) / A100_USD_PER_HOUR),
    )
    assert bandwidth == pytest.approx(1.03, abs=0.01)
    assert compute == pytest.approx(0.785, abs=0.005)
    assert concurrent_sequences(replace(LLAMA_8B, total_params_count=13e9), A100, ServingConfig(), 2000) > 1


def test_s96_a_million_prompts_of_a_thousand_tokens_are_a_billion_tokens_and_cost_1_000_dollars():
    requests_per_s = 1e6 / MONTH_S
    month = scenario(bought("llama-3.3-70b", 1.00, work(requests_per_s, 1000, 1)), hours_per_month=720)
    projection = project(month, CATALOG)
    assert projection.step("tokens_per_month").value == pytest.approx(1e9, rel=0.002)
    assert projection.usd_per_month.mid == pytest.approx(1000, rel=0.002)


@pytest.mark.parametrize(
    ("usd_per_mtok_input", "usd_per_mtok_output", "saved"),
    [
        pytest.param(5.0, 15.0, 0.3125, id="S98: $5 and $15: input is 62.5 % of the bill"),
        pytest.param(2.5, 10.0, 0.2778, id="S98: $2.50 and $10: input is 55.6 %"),
    ],
)
def test_half_the_prompt_saves_half_of_the_inputs_share(usd_per_mtok_input, usd_per_mtok_output, saved):
    api = bought("llama-3.3-70b", 1.00, work(1, RAG_PROMPT_TOKENS, RAG_OUTPUT_TOKENS))
    priced = replace(api.supply, usd_per_mtok_input=usd_per_mtok_input, usd_per_mtok_output=usd_per_mtok_output)
    rewritten = {"enabled": True, "share_fraction": 1.0, "compression_ratio": 2.0, "compressor_usd_per_mtok": 0.0}
    result = compare(scenario(replace(api, supply=priced)), {"prompt_compression": rewritten}, CATALOG)
    assert result.saved_usd_per_month / result.today.usd_per_month.mid == pytest.approx(saved, rel=0.001)


@pytest.mark.parametrize(
    ("batch", "decode_s"),
    [
        pytest.param(1, 4.01, id="S101: alone, decoding takes twenty times as long as the prompt"),
        pytest.param(32, 0.194, id="S101: at 32 they meet"),
        pytest.param(64, 0.132, id="S101: at 64 the prompt takes longer"),
    ],
)
def test_gpu_seconds_of_a_2000_token_prompt_and_a_400_token_answer(batch, decode_s):
    inputs = engine_inputs(LLAMA_8B, A100, ServingConfig())
    context = RAG_PROMPT_TOKENS + RAG_OUTPUT_TOKENS / 2
    assert prefill_s(inputs, HALF, RAG_PROMPT_TOKENS) == pytest.approx(0.2126, rel=0.005)
    decoding = float(step_s(inputs, HALF, batch, context)) * RAG_OUTPUT_TOKENS / batch
    assert decoding == pytest.approx(decode_s, rel=0.005)


@pytest.mark.parametrize(
    ("context", "batch", "usd"),
    [(500, 64, 0.189), (2000, 64, 0.306), (8000, 57, 0.793), (32_000, 14, 3.18)],
    ids=["S103: 500 tokens", "S103: 2,000", "S103: 8,000: 57 fit", "S103: 32,000: 14 fit"],
)
def test_an_output_token_costs_more_the_longer_its_context(context, batch, usd):
    inputs = engine_inputs(LLAMA_8B, A100, ServingConfig())
    assert min(64, concurrent_sequences(LLAMA_8B, A100, ServingConfig(), context)) == batch
    tokens_per_s = batch / float(step_s(inputs, HALF, batch, context))
    assert usd_per_mtok(A100_USD_PER_HOUR, tokens_per_s) == pytest.approx(usd, rel=0.005)


@pytest.mark.parametrize(
    ("batch", "ratio"),
    [(1, 3.66), (8, 3.44), (32, 2.92), (64, 2.16), (128, 1.28), (256, 1.02)],
    ids=lambda value: f"S107: {value}" if isinstance(value, int) else f"{value} times",
)
def test_a_70b_in_int4_on_one_a100_against_16_bit_on_two(batch, ratio):
    """60 % of the peak, 80 % of the bandwidth, 1,500 tokens of context. Bare weights would give 3.96 at batch 1:
    scales and the output layer, which stays in 16 bit, take the rest."""
    constants = replace(HALF, dense_compute_fraction=0.6, attention_compute_fraction=0.6)
    two, one = (
        engine_inputs(LLAMA_70B, A100, ServingConfig(**serving))
        for serving in ({"tensor_parallel_count": 2}, {"weight_precision": Precision.INT4})
    )
    usd_ratio = 2 * float(step_s(two, constants, batch, 1500)) / float(step_s(one, constants, batch, 1500))
    assert usd_ratio == pytest.approx(ratio, rel=0.005)


@pytest.mark.parametrize(("gpus", "usd"), [(2, 5040), (1, 2520)], ids=["S106: 16 bit on two A100", "S106: INT4 on one"])
def test_the_month_of_a_70b(gpus, usd):
    serving = {"tensor_parallel_count": gpus, "weight_precision": "bf16" if gpus == 2 else "int4"}
    today = scenario(hosted("llama-3.3-70b", "a100-sxm-80gb", work(0.01), **serving), hours_per_month=720)
    assert project(today, CATALOG).usd_per_month.mid == usd


@pytest.mark.parametrize(
    ("tokens", "saved", "needed"),
    [
        pytest.param(10e6, -2511, 3.858, id="S116: 10 million: a loss of $2,511"),
        pytest.param(50e6, -2475, 19.29, id="S117: 50 million: a loss of $2,475"),
        pytest.param(10e9, 6480, 3858, id="S116: 10 billion save $6,480, at 3,858 tok/s around the clock"),
        pytest.param(100e9, 87_480, 38_580, id="S116: $87,480 is 100 billion, and 38,580 tok/s of one GPU"),
    ],
)
def test_one_gpu_that_made_them_all_against_an_api_at_90_cents(tokens, saved, needed):
    assert tokens / MONTH_S == pytest.approx(needed, rel=0.001)
    one = SelfHosting(
        usd_per_gpu_hour=A100_USD_PER_HOUR,
        gpus_per_replica_count=1,
        capacity_tokens_per_s=needed * 1.001,
        hours_per_month=720,
    )
    assert one.replicas_count(tokens) == 1
    assert tokens / 1e6 * 0.90 - one.usd_per_month(tokens) == pytest.approx(saved)


def test_s121_a_prefix_of_1_200_of_5_200_tokens_saves_23_percent_of_prefill_and_less_of_the_bill():
    today = scenario(hosted("llama-3.1-8b", "a100-sxm-80gb", work(20, 5200, 300)))
    hit = {"enabled": True, "hit_fraction": 1200 / 5200}
    result = compare(today, {"prefix_caching": hit}, CATALOG, IDEAL)
    before, after = (projection.step("prefill_s").value for projection in (result.today, result.scenario))
    assert 0.21 < 1 - after / before < 1200 / 5200  # the first tokens attend to the fewest
    assert 0 < result.capacity_freed_fraction < 0.21


def test_vector_26_a_conversation_of_six_turns_sends_16_350_tokens():
    """Domain_math §14: 1,200 of system prompt, questions of 150, answers of 400. The users typed 900."""
    assert conversation_prompt_tokens(1200, 150, 400, 6) == 16_350


@pytest.mark.parametrize("wrong", [(-1, 150, 400, 6), (1200, 150, 400, -1), (1200, float("nan"), 400, 6)])
def test_a_conversation_that_cannot_be_is_refused(wrong):
    with pytest.raises(DomainError, match="lengths and turns of 0 or more"):
        conversation_prompt_tokens(*wrong)
