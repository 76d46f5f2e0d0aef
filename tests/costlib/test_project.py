"""The product: identities, what must never happen whatever the scenario, and what it says when it cannot."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from costlib.errors import DoesNotFit, DomainError, UnknownKey
from costlib.estimate import Basis, Undefined
from costlib.hardware import Precision
from costlib.kvcache import concurrent_sequences
from costlib.project import project
from costlib.replica import Bound
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work


def _fits(model, gpu, serving):
    try:
        return model.heads_count % serving.tensor_parallel_count == 0 and bool(
            concurrent_sequences(model, gpu, serving, 12_000)
        )
    except DomainError:
        return False


# Every way of serving a shipped model on a shipped GPU that holds at least one long conversation.
LAYOUTS = [
    (model.key, gpu.key, serving)
    for model in CATALOG.models
    for gpu in CATALOG.gpus
    for group in (1, 2, 4, 8)
    for precision in (Precision.BF16, Precision.FP8, Precision.INT4)
    if _fits(model, gpu, serving := ServingConfig(weight_precision=precision, tensor_parallel_count=group))
]


@st.composite
def deployments(draw):
    model, gpu, serving = draw(st.sampled_from(LAYOUTS))
    deployment = hosted(
        model,
        gpu,
        work(
            draw(st.floats(0.001, 500)),
            draw(st.floats(0, 8000)),
            draw(st.floats(2, 2000)),
            peak_to_mean_ratio=draw(st.floats(1, 4)),
        ),
        usd_per_gpu_hour=draw(st.floats(0.1, 12)),
        max_tpot_s=draw(st.none() | st.floats(0.005, 0.2)),
    )
    serving = replace(serving, target_busy_fraction=draw(st.floats(0.3, 1)))
    return replace(deployment, supply=replace(deployment.supply, serving=serving))


def with_serving(deployment, **changes):
    return replace(deployment, supply=replace(deployment.supply, serving=replace(deployment.supply.serving, **changes)))


def priced(*all_of_them, **rest):
    return project(scenario(*all_of_them, **rest), CATALOG)


def test_the_layouts_cover_every_model():
    assert {model for model, _, _ in LAYOUTS} == {model.key for model in CATALOG.models}


@given(deployments())
def test_money_adds_up(deployment):
    result = priced(deployment)
    cost, month = result.cost, result.usd_per_month
    parts = (cost.prefill_usd_per_month, cost.decode_usd_per_month, cost.idle_usd_per_month)
    assert min(parts) >= -1e-6
    assert sum(parts) == pytest.approx(month.mid)
    assert result.usd_per_mtok_blended * result.tokens_per_month / 1e6 == pytest.approx(month.mid)
    assert month.low <= month.mid <= month.high
    assert result.usd_per_hour * 730 == pytest.approx(month.mid)


@given(deployments())
def test_input_and_output_prices_carry_the_whole_bill(deployment):
    assume(deployment.workload.mean_prompt_tokens > 1)
    result, work = priced(deployment), deployment.workload
    tokens = result.tokens_per_month / 1e6 / work.tokens_per_request
    spread = tokens * (
        result.usd_per_mtok_input * work.mean_prompt_tokens + result.usd_per_mtok_output * work.mean_output_tokens
    )
    assert spread == pytest.approx(result.usd_per_month.mid)


@given(deployments())
def test_whole_replicas_carry_the_peak_within_their_target(deployment):
    (part,) = priced(deployment).deployments
    work, serving = deployment.workload, deployment.supply.serving
    peak = part.demand_tokens_per_s * work.peak_to_mean_ratio
    assert part.replicas_count == int(part.replicas_count)
    assert part.gpus_count == part.replicas_count * serving.tensor_parallel_count
    room = part.capacity_tokens_per_s * serving.target_busy_fraction
    assert peak <= part.replicas_count * room * (1 + 1e-8)
    assert part.replicas_count == 1 or peak > (part.replicas_count - 1) * room * (1 - 1e-8)
    assert 0 <= part.busy_fraction <= 1
    assert 0 <= part.kv_usage_fraction <= 1


@given(deployments(), st.integers(1, 20))
def test_more_replicas_never_cost_less(deployment, floor):
    more = with_serving(deployment, min_replicas_count=floor)
    assert priced(more).usd_per_month.mid >= priced(deployment).usd_per_month.mid


@given(deployments())
def test_doubling_demand_never_costs_less(deployment):
    work = deployment.workload
    double = replace(deployment, workload=replace(work, requests_per_s=work.requests_per_s * 2))
    once, twice = priced(deployment), priced(double)
    assert twice.usd_per_month.mid >= once.usd_per_month.mid
    assert twice.needed_gpus_ratio == pytest.approx(2 * once.needed_gpus_ratio)


@given(deployments())
def test_a_tighter_time_per_token_never_costs_less(deployment):
    free = priced(replace(deployment, max_tpot_s=None))
    assert priced(deployment).usd_per_month.mid >= free.usd_per_month.mid


@given(deployments())
def test_price_scales_the_bill_and_nothing_else(deployment):
    stated = deployment.supply.purchase.stated_usd_per_gpu_hour
    purchase = replace(deployment.supply.purchase, stated_usd_per_gpu_hour=3 * stated)
    dear = priced(replace(deployment, supply=replace(deployment.supply, purchase=purchase)))
    cheap = priced(deployment)
    assert dear.usd_per_month.mid == pytest.approx(3 * cheap.usd_per_month.mid)
    assert (dear.gpus_count, dear.tpot_s) == (cheap.gpus_count, cheap.tpot_s)


@given(deployments(), st.floats(1, 4))
def test_more_bandwidth_never_costs_more(deployment, more):
    faster = replace(
        CATALOG,
        gpus=tuple(replace(gpu, hbm_bytes_per_s=gpu.hbm_bytes_per_s * more) for gpu in CATALOG.gpus),
    )
    today = scenario(deployment)
    assert project(today, faster).usd_per_month.mid <= project(today, CATALOG).usd_per_month.mid


@given(deployments(), deployments())
def test_a_fleet_is_the_sum_of_its_deployments(one, other):
    both = priced(one, replace(other, key="other"))
    apart = [priced(one), priced(other)]
    assert both.usd_per_month.mid == pytest.approx(sum(p.usd_per_month.mid for p in apart))
    assert both.gpus_count == sum(p.gpus_count for p in apart)
    assert both.tokens_per_month == pytest.approx(sum(p.tokens_per_month for p in apart))
    assert both.tpot_s == max(p.tpot_s for p in apart)


def test_an_api_is_priced_by_the_token_and_never_idle():
    """2 requests/s x 600 tokens x 2,628,000 s a month = 3,153.6 M tokens at $0.90."""
    result = priced(bought("llama-3.3-70b", 0.90, work(2, 500, 100)))
    assert result.usd_per_month.mid == pytest.approx(3153.6 * 0.90)
    assert result.usd_per_mtok_blended == pytest.approx(0.90)
    assert result.cost.idle_usd_per_month == 0
    assert (result.gpus_count, result.tpot_s, result.ttft_s) == (0, None, None)
    assert isinstance(result.busy_fraction, Undefined)


def test_a_stated_capacity_is_taken_as_it_is():
    """Vector 1 and 32: no band around it and no latency derived from it."""
    result = priced(
        hosted("llama-3.1-8b", "a100-sxm-80gb", work(2, 400, 100), stated_tokens_per_s=1000, target_busy_fraction=1.0),
        hours_per_month=720,
    )
    assert result.step("full_use_usd_per_mtok").value == pytest.approx(0.97222, rel=1e-5)
    assert result.usd_per_month.low == result.usd_per_month.mid == result.usd_per_month.high == 2520
    assert result.tpot_s is None
    assert result.busy_fraction == 1.0


def test_an_engine_model_near_a_whole_replica_gives_a_band():
    """Four in five measured steps last 0.76 to 1.25 of the modelled: the fleet may need more, or fewer, replicas."""
    result = priced(hosted("llama-3.1-8b", "h100-sxm", work(100, 500, 200)))
    assert result.usd_per_month.low < result.usd_per_month.mid < result.usd_per_month.high
    assert result.usd_per_month.basis is Basis.ASSUMED


def test_no_demand_costs_its_floor_and_has_no_unit_cost():
    result = priced(hosted("llama-3.1-8b", "h100-sxm", work(0), min_replicas_count=2))
    assert result.usd_per_month.mid == 2 * 3.50 * 730 == result.cost.idle_usd_per_month
    assert isinstance(result.usd_per_mtok_blended, Undefined)


def test_no_demand_and_no_floor_is_nothing_at_all():
    result = priced(hosted("llama-3.1-8b", "h100-sxm", work(0), min_replicas_count=0))
    assert result.usd_per_month.mid == 0
    assert isinstance(result.busy_fraction, Undefined)


def test_escalated_tries_are_work_but_not_answers():
    half = priced(bought("llama-3.1-8b", 1.0, work(1, 500, 500, answered_fraction=0.5)))
    assert half.usd_per_mtok_blended == pytest.approx(2.0)


def test_a_target_out_of_reach_is_said_in_tokens():
    result = priced(
        hosted("llama-3.1-8b", "a100-sxm-80gb", work(2, 400, 100), stated_tokens_per_s=1000, target_busy_fraction=1.0),
        hours_per_month=720,
        target_usd_per_mtok=0.90,
    )
    (warning,) = result.warnings
    assert warning == (
        "never breaks even: matching $0.9 per M tokens takes 1,080 tok/s around the clock (2,800 M a month); "
        "this fleet makes at most 2,592 M."
    )


def test_a_target_within_reach_is_not_warned_of():
    result = priced(hosted("llama-3.1-8b", "h100-sxm", work(20)), target_usd_per_mtok=0.90)
    assert result.warnings == ()


def test_a_missed_time_per_token_is_a_warning_with_both_figures():
    result = priced(hosted("llama-3.1-8b", "a100-sxm-80gb", max_tpot_s=0.002))
    assert "one sequence at a time already takes" in result.warnings[0]
    assert "slower than max_tpot_s 2 ms" in result.warnings[0]
    assert result.deployments[0].bound is Bound.MAX_TPOT


def test_what_does_not_fit_names_the_deployment_and_the_remedy():
    with pytest.raises(DoesNotFit, match=r"^big: Llama 3.3 70B .* use 2 of them or fewer bits per weight"):
        priced(hosted("llama-3.1-8b", "h100-sxm"), hosted("llama-3.3-70b", "h100-sxm", key="big"))


def test_an_unknown_model_is_answered_with_the_nearest():
    with pytest.raises(UnknownKey, match=r"unknown model 'llama-3.1-7b'.* Did you mean 'llama-3.1-8b'"):
        priced(hosted("llama-3.1-7b", "h100-sxm"))


def test_every_step_says_its_unit_equation_and_basis():
    result = priced(hosted("llama-3.1-8b", "h100-sxm"))
    assert all(step.unit and step.equation and step.basis in Basis for step in result.steps)
    assert result.step("usd_per_month").value == result.usd_per_month.mid
    with pytest.raises(DomainError, match=r"no step 'speed'; this projection has: bandwidth_fraction"):
        result.step("speed")


def test_a_gpu_that_was_not_measured_says_so():
    result = priced(hosted("llama-3.1-8b", "l40s"))
    assert result.step("step_s").basis is result.usd_per_month.basis is Basis.EXTRAPOLATED


@pytest.mark.parametrize("layout", ["pipeline_parallel_count", "data_parallel_attention_count"])
def test_every_gpu_of_a_replica_is_paid_for(layout):
    (part,) = priced(hosted("llama-3.1-8b", "h100-sxm", **{layout: 2})).deployments
    assert part.gpus_count == 2 * part.replicas_count


def test_a_result_is_only_as_good_as_its_weakest_input():
    measured = hosted("llama-3.1-8b", "h100-sxm", work(basis=Basis.MEASURED))
    result = priced(measured)
    assert result.step("resident_tokens").basis is Basis.MEASURED
    assert result.step("tpot_s").basis is Basis.ASSUMED
