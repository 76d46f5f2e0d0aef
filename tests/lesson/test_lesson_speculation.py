"""Speculative decoding as the lesson tells it, with the right figures: a 70B, an 8B that drafts five, one sequence."""

from dataclasses import replace

import pytest

from costlib.engine import engine_inputs, step_s
from costlib.levers.speculative_decoding import drafted_by
from costlib.roofline import ridge_flop_per_byte
from costlib.serving import ServingConfig
from costlib.speculation import Speculation, accepted_length_tokens
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL

LLAMA_70B, H100 = CATALOG.model("llama-3.3-70b"), CATALOG.gpu("h100-sxm")


def speed_up(speculation: Speculation, batch: float = 1, model=LLAMA_70B, gpu=H100) -> float:
    """At the data sheet's figures and without context."""
    plain = ServingConfig()
    drafting = engine_inputs(model, gpu, replace(plain, speculation=speculation))
    alone_s, drafting_s = (step_s(i, IDEAL, batch, 0) for i in (engine_inputs(model, gpu, plain), drafting))
    return drafting.step_tokens * float(alone_s) / float(drafting_s)


def draft_8b(acceptance_fraction: float, draft_tokens: int = 5) -> Speculation:
    return replace(drafted_by("llama-3.1-8b", LLAMA_70B, acceptance_fraction, CATALOG), draft_tokens=draft_tokens)


@pytest.mark.parametrize(
    ("acceptance", "tokens", "faster"),
    [
        pytest.param(0.364, 1.57, 1.00, id="S102: break-even"),
        pytest.param(0.4, 1.66, 1.06, id="S50, S102: 0.4, called minimal at temperature 1"),
        pytest.param(0.475, 1.88, 1.20, id="S53: 1.2 times"),
        pytest.param(0.5, 1.97, 1.26, id="S50, S102: 0.5"),
        pytest.param(0.594, 2.35, 1.50, id="S53, S123: 1.5 times"),
        pytest.param(0.6, 2.38, 1.52, id="S50: 0.6, said not to be worth it"),
        pytest.param(0.7, 2.94, 1.88, id="S50: 0.7"),
        pytest.param(0.73, 3.14, 2.00, id="S51, S123: twice as fast takes 0.73"),
        pytest.param(0.8, 3.69, 2.35, id="S50: 0.8, where 5 x 0.8 + 1 would say 5"),
        pytest.param(0.9, 4.69, 2.99, id="S50, S48: 0.9 for three times"),
    ],
)
def test_a_70b_with_an_8b_that_drafts_five(acceptance, tokens, faster):
    assert accepted_length_tokens(acceptance, 5) == pytest.approx(tokens, abs=0.006)
    assert speed_up(draft_8b(acceptance)) == pytest.approx(faster, abs=0.006)


def test_s102_at_0_6_three_drafts_are_best_and_1_62_times_as_fast():
    gains = {length: speed_up(draft_8b(0.6, length)) for length in range(1, 9)}
    best = max(gains, key=gains.__getitem__)
    assert (best, gains[best]) == (3, pytest.approx(1.62, abs=0.005))


@pytest.mark.parametrize(
    ("gpu", "sequences"), [("a100-sxm-80gb", 26), ("h100-sxm", 49)], ids=["S112: A100", "S112: H100"]
)
def test_five_drafts_fill_the_arithmetic_at_this_many_sequences_and_not_at_50_everywhere(gpu, sequences):
    """16 bit weights: compute-bound from batch x (k + 1) = ridge."""
    assert ridge_flop_per_byte(CATALOG.gpu(gpu)) / 6 == pytest.approx(sequences, abs=0.5)


def test_s111_drafts_are_made_one_after_another_and_verified_together():
    """Twice the drafts take twice the drafter's time; verifying them, while memory binds, takes none."""
    small = {"acceptance_fraction": 0.7, "draft_params_count": 1e9}
    plain = step_s(engine_inputs(TOY_MODEL, TOY_GPU, ServingConfig()), IDEAL, 1, 0)
    added = [
        float(step_s(engine_inputs(TOY_MODEL, TOY_GPU, ServingConfig(speculation=drafts)), IDEAL, 1, 0) - plain)
        for drafts in (Speculation(draft_tokens=length, **small) for length in (0, 2, 4))
    ]
    assert added[0] == 0
    assert added[2] == pytest.approx(2 * added[1])
    assert added[1] == pytest.approx(2 * 2e9 / TOY_GPU.hbm_bytes_per_s)


@pytest.mark.parametrize("acceptance", [0.364, 0.6, 0.9])
def test_a_threshold_of_acceptance_alone_says_nothing_the_batch_decides(acceptance):
    """Contradiction "below 0.6 not worth it": at one sequence 0.4 pays, in a full batch 0.9 loses."""
    looked_up = Speculation(draft_tokens=5, acceptance_fraction=acceptance)
    quiet, full = (speed_up(looked_up, batch, TOY_MODEL, TOY_GPU) for batch in (1, 1000))
    assert quiet > 1 > full
