"""The plan to a target: single changes by their effect, each of which `project()` would confirm."""

from dataclasses import replace

import pytest

from costlib.errors import DomainError
from costlib.hardware import Precision
from costlib.plan import plan_to
from costlib.project import project
from costlib.search import Space
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

SPACE = Space(
    usd_per_gpu_hour={"h100-sxm": 2.5, "h200-sxm": 3.5, "l40s": 0.9},
    weight_precisions=(Precision.BF16, Precision.FP8),
    kv_precisions=(Precision.BF16, Precision.FP8),
)
TODAY = hosted(
    "llama-3.3-70b", "h100-sxm", work(9.0, 2400.0, 320.0, peak_to_mean_ratio=2.0), usd_per_gpu_hour=4.0,
    tensor_parallel_count=4, max_num_seqs=32, max_tpot_s=0.05,
)  # fmt: skip


def cost(deployment):
    return project(scenario(deployment), CATALOG).usd_per_mtok_blended


def plan(target, deployment=TODAY, space=SPACE, **rest):
    return plan_to(target, deployment, scenario(deployment), CATALOG, space, **rest)


def test_a_target_that_is_met_already_needs_no_change():
    done = plan(cost(TODAY) * 1.01)
    assert done.changes == ()
    assert done.unreachable == ""
    assert done.end == TODAY


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_the_changes_reach_the_target_and_their_effects_sum(share):
    done = plan(cost(TODAY) * share)
    assert done.unreachable == ""
    assert done.end_usd_per_mtok <= cost(TODAY) * share
    assert sum(change.saved_usd_per_mtok for change in done.changes) == pytest.approx(
        cost(TODAY) - done.end_usd_per_mtok
    )
    assert cost(done.end) == pytest.approx(done.end_usd_per_mtok), "project() says the same of the end"


def test_each_setting_is_changed_once_and_no_change_costs_more():
    done = plan(1e-6)
    assert len({change.what for change in done.changes}) == len(done.changes)
    assert all(change.saved_usd_per_mtok >= -1e-9 for change in done.changes)


def test_the_first_change_is_the_one_of_the_largest_effect():
    first = plan(1e-6).changes[0]
    halved = replace(
        TODAY, supply=replace(TODAY.supply, serving=replace(TODAY.supply.serving, weight_precision=Precision.FP8))
    )
    assert first.after_usd_per_mtok <= cost(halved)


def test_no_change_breaks_the_time_per_token():
    done = plan(1e-6)
    assert all(change.tpot_s <= 0.05 for change in done.changes)
    slow = replace(TODAY, max_tpot_s=0.02)
    assert all(change.tpot_s <= 0.02 for change in plan(1e-6, slow).changes)


def test_formats_that_were_not_accepted_are_no_part_of_a_plan():
    narrow = replace(SPACE, weight_precisions=(Precision.BF16,), kv_precisions=(Precision.BF16,))
    assert not {change.what for change in plan(1e-6, space=narrow).changes} & {"Weights", "KV cache"}


def test_below_the_floor_it_says_unreachable_and_where_the_floor_is():
    assert "unreachable: the floor of these GPUs, prices and formats is $0.0" in plan(1e-6).unreachable


def test_above_the_floor_but_out_of_reach_it_says_how_far_it_came():
    done = plan(0.06)
    assert f"ends at ${done.end_usd_per_mtok:.3f} per million tokens" in done.unreachable
    assert done.unreachable.startswith("not reached")


def test_what_has_no_plan_says_so():
    with pytest.raises(DomainError, match="bought by the token"):
        plan(0.1, bought("llama-3.1-8b", 0.2))
    with pytest.raises(DomainError, match="above 0"):
        plan(0.0)
