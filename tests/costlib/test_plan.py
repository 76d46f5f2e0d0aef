"""The plan to a target: levers by their effect, as `project()` confirms, and why it ends where it does."""

from dataclasses import replace
from itertools import pairwise

import pytest

from costlib.breakeven import needed_tokens_per_s, usd_per_mtok
from costlib.compare import apply_levers
from costlib.errors import DomainError, UnknownKey
from costlib.lever import Effort
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.plan import plan_to
from costlib.plan_search import Evidence
from costlib.plan_text import plan_text
from costlib.project import project
from costlib.units import TOKENS_PER_MTOK
from store.vllm_flags import load_flag_table
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

NOW = load_flag_table().at()
TODAY = scenario(
    hosted(
        "llama-3.3-70b", "h100-sxm", work(9.0, 2400.0, 320.0, peak_to_mean_ratio=2.0), usd_per_gpu_hour=4.0,
        tensor_parallel_count=4, max_num_seqs=32, max_tpot_s=0.05,
    )
)  # fmt: skip


def cost(today):
    return project(today, CATALOG).usd_per_mtok_blended


def plan(target, today=TODAY, **rest):
    return plan_to(target, today, CATALOG, NOW, **rest)


@pytest.fixture(scope="module")
def furthest():
    """The plan to what cannot be reached: everything that helps."""
    return plan(1e-6)


# The lesson's question 6.


# One H100 at $3.50 an hour, three sequences in a static batch: 231 tokens a second, full.
LESSON = scenario(
    hosted(
        "qwen3-32b", "h100-sxm", work(20.0, 700, 300, output_cv_ratio=0.8), usd_per_gpu_hour=3.50,
        batching="static", max_num_seqs=3, kv_used_fraction=0.3, target_busy_fraction=1.0,
    )
)  # fmt: skip


def test_question_6_the_arithmetic():
    """$3.50 an hour at 231 tok/s is $4.20/M, and $1.00/M takes 972 tok/s: 4.2 times as many (lesson S118)."""
    assert usd_per_mtok(3.50, 231.5) == pytest.approx(4.20, abs=0.005)
    assert needed_tokens_per_s(3.50, 1.00) == pytest.approx(972.2, abs=0.05)
    assert needed_tokens_per_s(3.50, 1.00) / needed_tokens_per_s(3.50, 4.20) == pytest.approx(4.2)
    assert usd_per_mtok(3.50, 833) == pytest.approx(1.17, abs=0.005), "the lesson's 833 tok/s are 1.17 times away"


def test_question_6_from_4_20_to_1_dollar():
    capacity = project(LESSON, CATALOG).step("capacity_tokens_per_s").value
    assert capacity == pytest.approx(231, abs=1)
    assert cost(LESSON) == pytest.approx(4.20, rel=0.01)
    done = plan(1.00, LESSON, without=("gpu_choice",))
    assert done.unreachable == ""
    assert done.end_usd_per_mtok <= 1.00
    assert {change.lever for change in done.changes} == {"continuous_batching", "batch_limits"}, (
        "batching alone reaches it, as lesson S119 guesses; none of S120 to S123 is needed"
    )
    assert done.today_usd_per_mtok / done.end_usd_per_mtok > 4.2


def test_question_6_without_batching_nothing_multiplies():
    """Quantize, cache, route and speculate (lesson S120 to S123): each is priced after those before it."""
    done = plan(1.00, LESSON, without=("gpu_choice", "continuous_batching", "batch_limits"))
    assert done.unreachable == ""
    alone = [plan(1e-6, LESSON, without=[key.key for key in LEVERS if key.key != one.lever]) for one in done.changes]
    naive = done.today_usd_per_mtok
    for one in alone:
        naive *= one.end_usd_per_mtok / one.today_usd_per_mtok
    assert naive != pytest.approx(done.end_usd_per_mtok, rel=0.02)


# What a plan is.


def test_a_target_that_is_met_already_needs_no_change():
    done = plan(cost(TODAY) * 1.01)
    assert (done.changes, done.unreachable, done.settings) == ((), "", ())


@pytest.mark.parametrize("share", [0.9, 0.6, 0.4])
def test_the_changes_reach_the_target_and_their_effects_sum(share):
    done = plan(cost(TODAY) * share)
    assert done.unreachable == ""
    assert done.end_usd_per_mtok <= cost(TODAY) * share
    assert sum(one.saved_usd_per_mtok for one in done.changes) == pytest.approx(cost(TODAY) - done.end_usd_per_mtok)
    assert all(was.after_usd_per_mtok == now.before_usd_per_mtok for was, now in pairwise(done.changes))


def test_project_says_the_same_of_the_end(furthest):
    settings = {
        key: lever_of(key).check_values(dict(values), TODAY, CATALOG) for key, values in furthest.settings
    }  # fmt: skip
    end = project(apply_levers(TODAY, settings, CATALOG), CATALOG)
    spent = end.usd_per_month.mid + end.wrong_answers_usd_per_month
    tokens = project(TODAY, CATALOG).tokens_per_month
    assert spent / tokens * TOKENS_PER_MTOK == pytest.approx(furthest.end_usd_per_mtok)
    assert furthest.today_usd_per_month - spent == pytest.approx(furthest.saved_usd_per_month)


def test_each_lever_is_pulled_once_and_the_rest_say_why_not(furthest):
    pulled = [change.lever for change in furthest.changes]
    assert len(set(pulled)) == len(pulled)
    assert {*pulled, *dict(furthest.left)} == {lever.key for lever in LEVERS}
    assert "continuously" in dict(furthest.left)["continuous_batching"]


def test_the_first_change_is_the_one_of_the_largest_effect(furthest):
    first = furthest.changes[0]
    for lever in LEVERS:
        alone = plan(1e-6, without=[one.key for one in LEVERS if one is not lever])
        assert alone.end_usd_per_mtok >= first.after_usd_per_mtok * (1 - 1e-9)


def test_no_change_can_be_spared():
    done = plan(cost(TODAY) * 0.5)
    settings = {
        key: lever_of(key).check_values(dict(values), TODAY, CATALOG) for key, values in done.settings
    }  # fmt: skip
    for key in settings:
        fewer = {other: values for other, values in settings.items() if other != key}
        assert cost(apply_levers(TODAY, fewer, CATALOG)) > cost(TODAY) * 0.5


def test_no_change_breaks_the_time_per_token(furthest):
    assert all(change.tpot_s <= 0.05 for change in furthest.changes)
    slow = replace(TODAY, deployments=(replace(TODAY.deployments[0], max_tpot_s=0.02),))
    for change in plan(1e-6, slow).changes[1:]:
        assert change.tpot_s <= max(0.02, project(slow, CATALOG).tpot_s) * (1 + 1e-9)


# What each step says.


def test_a_step_says_what_it_takes(furthest):
    for change in furthest.changes:
        lever = lever_of(change.lever)
        assert (change.effort, change.risks, change.rollback) == (lever.effort, lever.risks, lever.rollback)
        assert isinstance(change.effort, Effort)
        expected = Evidence.UNPROVEN if lever.changes_answers else Evidence.MODELLED
        assert change.evidence is expected


def test_an_evaluation_proves_a_step():
    evaluated = {"weight_precision": {"evaluated_count": 500, "accepted_fraction": 0.98}}
    done = plan(1e-6, evaluated=evaluated, without=["gpu_choice"])
    (step,) = [change for change in done.changes if change.lever == "weight_precision"]
    assert step.evidence is Evidence.EVALUATED


def test_what_rests_on_a_guess_says_so_with_its_range(furthest):
    assumed = [change for change in furthest.changes if change.assumed]
    assert assumed
    for change in furthest.changes:
        assert change.least_saved_usd_per_month <= change.saved_usd_per_month <= change.most_saved_usd_per_month
        if not change.assumed:
            assert change.least_saved_usd_per_month == change.most_saved_usd_per_month


def test_a_step_has_the_options_that_change():
    only = [lever.key for lever in LEVERS if lever.key != "weight_precision"]
    (step,) = plan(1e-6, without=only).changes
    (served,) = step.flags
    assert served.deployment_key == "chat"
    assert any(change.name in ("--quantization", "model") for change in served.changes)


# What may be left out, and where it ends.


def test_proven_only_leaves_answers_as_they_are():
    done = plan(1e-6, is_proven_only=True)
    assert {change.evidence for change in done.changes} == {Evidence.MODELLED}
    assert dict(done.left)["weight_precision"] == "changes answers, and none were evaluated"


def test_a_lever_left_out_is_not_pulled(furthest):
    first = furthest.changes[0].lever
    done = plan(1e-6, without=[first])
    assert first not in {change.lever for change in done.changes}
    assert dict(done.left)[first] == "left out as asked"
    with pytest.raises(UnknownKey, match="unknown lever 'nonsense'"):
        plan(1.0, without=["nonsense"])


def test_below_the_floor_it_says_unreachable_and_where_the_floor_is(furthest):
    assert furthest.floor_usd_per_mtok < furthest.end_usd_per_mtok
    assert furthest.unreachable.startswith("unreachable by serving: the levers end at $0.")
    assert f"${furthest.floor_usd_per_mtok:.3f}" in furthest.unreachable


def test_above_the_floor_but_out_of_reach_it_says_how_far_it_came(furthest):
    between = (furthest.floor_usd_per_mtok + furthest.end_usd_per_mtok) / 2
    done = plan(between)
    assert done.unreachable.startswith(f"not reached: the levers end at ${done.end_usd_per_mtok:.3f}")


def test_what_is_bought_by_the_token_has_a_plan_too():
    done = plan(1e-6, scenario(bought("llama-3.3-70b", 0.88)))
    assert "batch_tier" in {change.lever for change in done.changes}
    assert done.floor_usd_per_mtok is None
    assert "costs what its provider asks" in done.unreachable


def test_a_fleet_is_planned_as_one():
    done = plan(0.2, scenario(*TODAY.deployments, bought("llama-3.1-8b", 0.2, key="api")))
    assert done.today_usd_per_mtok > done.end_usd_per_mtok


def test_what_has_no_plan_says_so():
    with pytest.raises(DomainError, match="above 0"):
        plan(0.0)
    with pytest.raises(DomainError, match="nothing is answered"):
        plan(1.0, scenario(hosted("llama-3.1-8b", "h100-sxm", work(0.0))))


def test_the_text_names_every_step_with_what_it_takes(furthest):
    said = plan_text(furthest)
    for place, change in enumerate(furthest.changes, 1):
        assert f"{place}. {lever_of(change.lever).label}: " in said
        assert change.rollback in said
    assert "UNPROVEN" in said
    assert furthest.unreachable in said
