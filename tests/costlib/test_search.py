"""The search is the one step-time model, many times at once: equal to single answers, within every constraint."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.engine import engine_inputs, steady_tpot_s
from costlib.errors import DoesNotFit, DomainError
from costlib.floor import floor
from costlib.hardware import Precision
from costlib.replica import solve_replica
from costlib.search import Space, search
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, work

PRICES = {"h100-sxm": 3.0, "a100-sxm-80gb": 1.8, "l40s": 0.9, "b200": 5.0, "mi300x": 2.5}
SPACE = Space(
    usd_per_gpu_hour=PRICES,
    weight_precisions=(Precision.BF16, Precision.FP8, Precision.FP4),
    kv_precisions=(Precision.BF16, Precision.FP8),
    pipeline_parallel_counts=(1, 2),
    prompts_tokens=(300.0, 2400.0, 9000.0),
)
WORK = work(9.0, 2400.0, 320.0, peak_to_mean_ratio=2.0)
SERVING = ServingConfig(prefix_hit_fraction=0.3)
MODELS = ["llama-3.3-70b", "deepseek-v3", "gemma-3-27b", "qwen3-next-80b-a3b"]


def found_of(key="llama-3.3-70b", space=SPACE, serving=SERVING, **targets):
    return search(CATALOG.model(key), WORK, space, CATALOG, serving, **targets)


FOUND = {key: found_of(key, max_tpot_s=0.05) for key in MODELS}


@pytest.mark.parametrize("key", MODELS)
@given(chance=st.randoms(use_true_random=False))
def test_each_point_is_what_the_step_model_says_of_it_alone(key, chance):
    found = FOUND[key]
    place = chance.choice(np.flatnonzero(np.isfinite(found.interval_s)).tolist())
    one = found.choice(place)
    model, gpu, serving = CATALOG.model(key), one.layout.gpu, one.layout.serving
    cached = one.prompt_tokens * 0.3
    alone = steady_tpot_s(
        engine_inputs(model, gpu, serving),
        CATALOG.engine.resolve(model, gpu, serving),
        one.batch_count,
        one.prompt_tokens + 320.0 * (1 + WORK.output_cv_ratio**2) / 2,
        one.prompt_tokens - cached,
        320.0,
        cached_tokens=cached,
        own_prompts=np.array([1.0, 0.0]),
    )
    assert one.tpot_s == pytest.approx(alone[0], rel=1e-9)
    rate = one.batch_count / (320.0 * alone[1])
    assert one.gpu_tokens_per_s == pytest.approx(rate * (one.prompt_tokens + 320) / serving.gpus_count, rel=1e-9)
    assert one.usd_per_mtok == pytest.approx(PRICES[gpu.key] * 1e6 / (3600 * one.gpu_tokens_per_s), rel=1e-9)


def test_the_best_point_is_the_replica_that_project_would_solve():
    best = FOUND["llama-3.3-70b"].best(prompt=1)
    model = CATALOG.model("llama-3.3-70b")
    constants = CATALOG.engine.resolve(model, best.layout.gpu, best.layout.serving)
    replica = solve_replica(model, best.layout.gpu, best.layout.serving, WORK, constants, 0.05)
    assert best.batch_count <= replica.batch_count
    assert best.tpot_s == pytest.approx(replica.interval_s[best.batch_count - 1])
    rate = replica.requests_per_s[best.batch_count - 1]
    assert best.gpu_tokens_per_s * best.layout.serving.gpus_count == pytest.approx(rate * WORK.tokens_per_request)
    assert best.replicas_count == np.ceil(18.0 / (rate * 0.8))
    assert best.usd_per_hour == best.replicas_count * best.layout.serving.gpus_count * PRICES[best.layout.gpu.key]


@pytest.mark.parametrize("key", MODELS)
def test_no_allowed_point_has_a_smaller_bill_than_the_best(key):
    found = FOUND[key]
    best = found.best(prompt=2)
    bills = found.outcome(found.places(prompt=2)).usd_per_hour
    assert best.usd_per_hour == pytest.approx(bills.min())


@pytest.mark.parametrize("key", MODELS)
def test_the_floor_is_below_every_point_of_its_layout(key):
    found = FOUND[key]
    for place in found.places(prompt=1)[::97]:
        one = found.choice(place)
        constants = CATALOG.engine.resolve(CATALOG.model(key), one.layout.gpu, one.layout.serving)
        lowest = floor(
            CATALOG.model(key), one.layout.gpu, one.layout.serving, WORK, constants,
            one.layout.usd_per_gpu_hour, 0.05, 0.3,
        )  # fmt: skip
        assert lowest.usd_per_mtok < one.usd_per_mtok


def test_time_per_token_memory_and_batch_limits_hold():
    found = found_of(serving=replace(SERVING, max_num_seqs=100), max_tpot_s=0.03)
    _, batch, _ = np.nonzero(found.allowed)
    assert found.batches[batch].max() <= 100
    assert np.nanmax(np.where(found.allowed, found.interval_s, 0)) <= 0.03
    held = np.isfinite(found.interval_s)
    assert (held | ~found.allowed).all()
    assert not held.all(), "70 B parameters do not fit every layout"


def test_time_to_the_first_token_holds_back_batches():
    free, held = found_of(), found_of(max_ttft_s=0.5)
    assert 0 < held.allowed.sum() < free.allowed.sum()
    assert not (held.allowed & ~free.allowed).any()


def test_time_to_the_first_token_is_the_replicas_own():
    space = Space(usd_per_gpu_hour={"h100-sxm": 3.0}, tensor_parallel_counts=(4,), batches=tuple(range(1, 100)))
    (layout,) = found_of(space=space).layouts
    model = CATALOG.model("llama-3.3-70b")
    constants = CATALOG.engine.resolve(model, layout.gpu, layout.serving)
    replica = solve_replica(model, layout.gpu, layout.serving, WORK, constants)
    ttft_s = np.array([replica.ttft_s(rate) for rate in replica.requests_per_s[:99]])
    allowed = found_of(space=space, max_ttft_s=float(np.median(ttft_s)) * 1.0001).allowed[0, :, 0]
    assert allowed.tolist() == (ttft_s <= np.median(ttft_s) * 1.0001).tolist()
    assert 0 < allowed.sum() < 99


def test_only_formats_that_were_accepted_are_offered():
    found = found_of(space=replace(SPACE, weight_precisions=(Precision.FP8,)))
    assert {layout.serving.weight_precision for layout in found.layouts} == {Precision.FP8}


def test_fp4_is_offered_where_the_gpu_has_it():
    offered = {one.gpu.key for one in FOUND["llama-3.3-70b"].layouts if one.serving.weight_precision is Precision.FP4}
    assert offered == {"b200"}


def test_the_front_has_no_point_that_another_beats():
    front = FOUND["llama-3.3-70b"].front(prompt=1)
    assert len(front) > 3
    cost, pace = [one.usd_per_mtok for one in front], [one.tpot_s for one in front]
    assert cost == sorted(cost)
    assert pace == sorted(pace, reverse=True)


def test_a_model_that_does_not_fit_says_by_how_much_and_what_would():
    small = Space(usd_per_gpu_hour={"l40s": 0.9}, tensor_parallel_counts=(1, 2))
    found = found_of(space=small)
    assert len(found.misfits) == 2
    with pytest.raises(DoesNotFit, match=r"2 x NVIDIA L40S in bf16, lacks (.+) GiB on each GPU.*fewer bits") as refused:
        found.best()
    lacking = float(str(refused.value).split("lacks ")[1].split(" ")[0])
    assert lacking == pytest.approx(min(one.missing_bytes for one in found.misfits) / 2**30, abs=0.05)
    # 141 GB of weights on two cards; a GPU with that much more would do.
    gpu = CATALOG.gpu("l40s")
    enough = replace(gpu, hbm_bytes=gpu.hbm_bytes + min(one.missing_bytes for one in found.misfits) / 0.92 + 2**20)
    fits = search(
        CATALOG.model("llama-3.3-70b"), WORK, replace(small, prompts_tokens=(2400.0,)),
        replace(CATALOG, gpus=(enough,)), SERVING,
    )  # fmt: skip
    assert fits.best().layout.serving.tensor_parallel_count == 2


def test_targets_that_nothing_meets_are_named_with_the_nearest():
    with pytest.raises(DomainError, match=r"none of [\d,]+ ways .* the shortest time per token is .* ms"):
        found_of(max_tpot_s=1e-6).best()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"usd_per_gpu_hour": {"h100-sxm": -1.0}}, "price of h100-sxm"),
        ({"usd_per_gpu_hour": {"h100-sxm": float("nan")}}, "price of h100-sxm"),
        ({"batches": ()}, "rising order"),
        ({"batches": (4, 2)}, "rising order"),
        ({"batches": (0, 1)}, "from 1 on"),
        ({"prompts_tokens": (float("nan"),)}, "prompts_tokens"),
    ],
)
def test_a_space_of_nonsense_is_refused(wrong, why):
    with pytest.raises(DomainError, match=why):
        replace(SPACE, **wrong)


def test_an_empty_space_is_refused():
    with pytest.raises(DomainError, match="no GPU of the space"):
        found_of(space=replace(SPACE, tensor_parallel_counts=(3,)))
