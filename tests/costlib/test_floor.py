"""The floor is a bound, worked out by hand where it can be; and the gap's parts sum to what lies above it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.engine import EngineConstants, engine_inputs
from costlib.errors import DomainError
from costlib.floor import IDEAL_HIT_FRACTION, GapPart, cost_gap, floor, least_price, step_work
from costlib.hardware import Precision
from costlib.pricing import PriceKind
from costlib.project import project
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import AS_OF, CATALOG, TOY_GPU, TOY_MODEL, bought, hosted, scenario, work

SHEET = EngineConstants()
KV_BYTES = 2 * 25 * 8 * 125 * 2  # per token of the toy model: 100 kB


def gap_of(deployment, measured=None):
    whole = scenario(deployment)
    model, gpu = CATALOG.model(deployment.model_key), CATALOG.gpu(deployment.supply.gpu_key)
    constants = CATALOG.engine.resolve(model, gpu, deployment.supply.serving)
    (part,) = project(whole, CATALOG).deployments
    return cost_gap(deployment, part, whole, CATALOG, constants, measured)


def test_the_work_of_a_step_by_hand():
    """Ten sequences: 10 x 20 GFLOP of weights; 20 GB of weights read, and 10 x 100 kB for each token of context."""
    one = step_work(engine_inputs(TOY_MODEL, TOY_GPU, ServingConfig()), SHEET, 10.0, 1000.0)
    attention = 10 * 25 * 32 * 4 * 125 * 1000
    assert one.step_flop == pytest.approx(10 * 20e9 + attention)
    assert one.moved_bytes == pytest.approx(20e9 + 10 * 1000 * KV_BYTES)
    assert one.flop_per_byte == pytest.approx(one.step_flop / one.moved_bytes)


def test_a_split_over_gpus_splits_the_work():
    serving = ServingConfig(tensor_parallel_count=4)
    whole = step_work(engine_inputs(TOY_MODEL, TOY_GPU, ServingConfig()), SHEET, 10.0, 1000.0)
    part = step_work(engine_inputs(TOY_MODEL, TOY_GPU, serving), SHEET, 10.0, 1000.0)
    assert part.step_flop == pytest.approx(whole.step_flop / 4)
    assert part.moved_bytes == pytest.approx(whole.moved_bytes / 4)


def test_without_a_limit_the_weights_cost_nothing_and_kv_reads_set_the_floor():
    """1,000 outputs of 100 tokens' context each read 1,100 x 100 kB: 110 us at 1 TB/s, over 1,100 tokens of 1,000."""
    asked = work(prompt=100, output=1000)
    lowest = floor(TOY_MODEL, TOY_GPU, ServingConfig(), asked, SHEET, 3.6, prefix_hit_fraction=0.0)
    read_s = (100 + 1000) * KV_BYTES / 1e12
    compute_s = (20e9 * 1.1 + 25 * 32 * 4 * 125 * (1100 + 0.1 * 50)) / 100e12
    assert read_s < compute_s, "arithmetic takes longer here"
    assert not lowest.memory_binds
    tokens_per_s = 1.1 / compute_s
    assert lowest.tokens_per_s == pytest.approx(tokens_per_s, rel=1e-6)
    assert lowest.usd_per_mtok == pytest.approx(3.6 * 1e6 / (3600 * tokens_per_s), rel=1e-6)


def test_a_limit_on_time_per_token_holds_the_batch():
    """30 ms: 20 for the weights, which leave 10 for KV reads, 10 GB of 100 kB x 2,000 tokens: 50 sequences."""
    asked = work(prompt=0, output=2000, output_cv_ratio=1.0)
    lowest = floor(TOY_MODEL, TOY_GPU, ServingConfig(), asked, SHEET, 3.6, max_tpot_s=0.030)
    assert lowest.memory_binds
    assert lowest.batch_count == pytest.approx(50, rel=1e-3)
    assert lowest.tpot_s == pytest.approx(0.030, rel=1e-3)


def test_what_the_sheet_cannot_do_is_refused_with_what_would():
    with pytest.raises(DomainError, match=r"cannot give a token of Toy 10B in 10 ms.*takes 20.* ms.*faster GPUs"):
        floor(TOY_MODEL, TOY_GPU, ServingConfig(), work(), SHEET, 3.6, max_tpot_s=0.010)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"max_tpot_s": 0.04}, id="time per token"),
        pytest.param({"max_num_seqs": 8}, id="small batches"),
        pytest.param({"prefix_hit_fraction": 0.9}, id="a cache that finds more than is assumed"),
        pytest.param({"stated_tokens_per_s": 4000.0}, id="stated capacity"),
        pytest.param({"usd_per_gpu_hour": 0.01}, id="cheaper than any list"),
    ],
)
@pytest.mark.parametrize(
    ("model", "gpu", "gpus"),
    [("llama-3.1-8b", "h100-sxm", 1), ("deepseek-v3", "h200-sxm", 8)],
    ids=["dense", "experts"],
)
def test_the_parts_sum_to_cost_minus_floor(changes, model, gpu, gpus):
    precision = Precision.FP8 if gpus == 8 else Precision.BF16
    gap = gap_of(hosted(model, gpu, tensor_parallel_count=gpus, weight_precision=precision, **changes))
    assert [part for part, _ in gap.parts] == list(GapPart)
    total = sum(amount for _, amount in gap.parts)
    assert total == pytest.approx(gap.usd_per_mtok - gap.floor.usd_per_mtok, rel=1e-12)
    assert gap.floor.usd_per_mtok < gap.usd_per_mtok


@given(
    requests=st.floats(0.1, 60), prompt=st.floats(0, 8000), output=st.floats(10, 2000), seqs=st.integers(1, 1024),
    measured=st.floats(0.01, 50),
)  # fmt: skip
def test_whatever_was_measured_the_parts_sum_to_it(requests, prompt, output, seqs, measured):
    one = hosted("llama-3.1-8b", "h100-sxm", work(requests, prompt, output), max_num_seqs=seqs)
    gap = gap_of(one, measured)
    assert gap.usd_per_mtok == measured
    assert sum(amount for _, amount in gap.parts) == pytest.approx(measured - gap.floor.usd_per_mtok, rel=1e-9)


def test_each_part_is_what_its_name_says():
    base = {"max_tpot_s": None, "usd_per_gpu_hour": 12.0, "max_num_seqs": 16}
    parts = dict(gap_of(hosted("llama-3.1-8b", "h100-sxm", work(4, 2000, 200), **base)).parts)
    least = least_price(CATALOG, "h100-sxm", AS_OF).usd_per_gpu_hour
    cost = gap_of(hosted("llama-3.1-8b", "h100-sxm", work(4, 2000, 200), **base)).usd_per_mtok
    assert parts[GapPart.PRICE] == pytest.approx(cost * (1 - least / 12.0))
    even, peaky = (
        dict(gap_of(hosted("llama-3.1-8b", "h100-sxm", work(40, 2000, 200, peak_to_mean_ratio=ratio), **base)).parts)
        for ratio in (1.0, 3.0)
    )
    assert 0 <= even[GapPart.IDLE] < peaky[GapPart.IDLE]
    wider = dict(gap_of(hosted("llama-3.1-8b", "h100-sxm", work(4, 2000, 200), **base | {"max_num_seqs": 1024})).parts)
    assert wider[GapPart.BATCH_FILL] < parts[GapPart.BATCH_FILL]
    cached = hosted("llama-3.1-8b", "h100-sxm", work(4, 2000, 200), prefix_hit_fraction=IDEAL_HIT_FRACTION, **base)
    assert dict(gap_of(cached).parts)[GapPart.CACHE_MISSES] == 0
    assert parts[GapPart.CACHE_MISSES] > 0
    assert parts[GapPart.OVERHEAD] > 0


def test_the_least_price_is_in_force_and_not_spot():
    cheapest = least_price(CATALOG, "h100-sxm", AS_OF)
    assert cheapest.valid_from <= AS_OF
    rivals = [p for p in CATALOG.gpu_prices if p.gpu_key == "h100-sxm" and p.kind is not PriceKind.SPOT]
    assert cheapest.usd_per_gpu_hour == min(p.usd_per_gpu_hour for p in rivals)
    assert least_price(replace(CATALOG, gpu_prices=()), "h100-sxm", AS_OF) is None


@pytest.mark.parametrize("measured", [float("nan"), float("inf"), -1.0])
def test_a_measured_cost_that_is_none_is_refused(measured):
    with pytest.raises(DomainError, match="a cost must be 0 or more"):
        gap_of(hosted("llama-3.1-8b", "h100-sxm"), measured)


def test_what_has_no_floor_says_so():
    api = bought("llama-3.1-8b", 0.2)
    (part,) = project(scenario(api), CATALOG).deployments
    with pytest.raises(DomainError, match="bought by the token"):
        cost_gap(api, part, scenario(api), CATALOG, SHEET)
    with pytest.raises(DomainError, match="serves no tokens"):
        gap_of(hosted("llama-3.1-8b", "h100-sxm", work(requests_per_s=0)))
