"""A stack of levers: solved together, shared out fairly, cash kept apart from capacity."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.compare import compare, pull, shapley
from costlib.errors import DoesNotFit, UnknownKey
from costlib.estimate import Undefined
from costlib.levers import lever as lever_of
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

PLAYERS = ["a", "b", "c", "d"]
SUBSETS = [frozenset(p for i, p in enumerate(PLAYERS) if mask >> i & 1) for mask in range(16)]
games = st.lists(st.floats(-1e6, 1e6), min_size=16, max_size=16).map(
    lambda costs: dict(zip(SUBSETS, costs, strict=True))
)
BUSY = scenario(hosted("llama-3.3-70b", "h100-sxm", work(400, 800, 200), tensor_parallel_count=4))
STACK = {
    "weight_precision": {"weights": "fp8"},
    "prefix_caching": {"enabled": True, "hit_fraction": 0.5},
    "cascade_routing": {"enabled": True, "share_fraction": 0.4, "escalated_fraction": 0.25},
}


@given(games)
def test_shares_sum_to_the_joint_change(game):
    joint = game[SUBSETS[-1]] - game[SUBSETS[0]]
    assert sum(shapley(PLAYERS, game.__getitem__).values()) == pytest.approx(joint, abs=1e-3)


@given(games, st.permutations(PLAYERS))
def test_shares_do_not_depend_on_the_order(game, order):
    shares, again = shapley(PLAYERS, game.__getitem__), shapley(order, game.__getitem__)
    assert again == pytest.approx(shares, abs=1e-3)


@given(games)
def test_shares_are_the_mean_over_all_orders(game):
    """The definition, spelled out: walk every order and average what each adds when its turn comes."""
    totals = dict.fromkeys(PLAYERS, 0.0)
    orders = list(permutations(PLAYERS))
    for order in orders:
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            totals[player] += game[before | {player}] - game[before]
    means = {player: total / len(orders) for player, total in totals.items()}
    assert shapley(PLAYERS, game.__getitem__) == pytest.approx(means, abs=1e-3)


@given(games)
def test_a_player_that_changes_nothing_gets_nothing(game):
    assert shapley([*PLAYERS, "idle"], lambda subset: game[subset - {"idle"}])["idle"] == pytest.approx(0, abs=1e-3)


def test_two_alike_share_alike():
    assert shapley(["a", "b"], lambda subset: -8.0 if subset else 0.0) == {"a": -4.0, "b": -4.0}


def test_changes_sum_to_the_saving():
    result = compare(BUSY, STACK, CATALOG)
    assert {key for key, _ in result.changes} == set(STACK)
    assert -sum(change for _, change in result.changes) == pytest.approx(result.saved_usd_per_month)
    saved = result.today.usd_per_month.mid - result.scenario.usd_per_month.mid
    assert result.saved_usd_per_month == saved > 0


def test_the_order_in_which_levers_are_named_changes_nothing():
    backwards = dict(reversed(STACK.items()))
    assert compare(BUSY, backwards, CATALOG) == compare(BUSY, STACK, CATALOG)


def test_savings_are_solved_together_and_not_multiplied():
    """Each lever alone leaves a share of the GPUs; the product of the shares is not what all leave together."""
    alone = [1 - compare(BUSY, {key: values}, CATALOG).capacity_freed_fraction for key, values in STACK.items()]
    together = 1 - compare(BUSY, STACK, CATALOG).capacity_freed_fraction
    assert together != pytest.approx(alone[0] * alone[1] * alone[2], rel=0.01)


def test_a_lever_that_does_nothing_gets_nothing():
    """1,024 sequences are allowed already and KV memory binds first."""
    result = compare(BUSY, {**STACK, "batch_limits": {"max_num_seqs": "1024"}}, CATALOG)
    assert dict(result.changes)["batch_limits"] == pytest.approx(0, abs=1e-6)


def test_levers_at_rest_change_nothing():
    result = compare(BUSY, {"prefix_caching": {"enabled": False, "hit_fraction": 0.9}, "weight_precision": {}}, CATALOG)
    assert result.changes == ()
    assert result.scenario == result.today
    assert (result.saved_usd_per_month, result.capacity_freed_fraction, result.unit_cost_ratio) == (0, 0, 1)


def test_a_refused_lever_is_named_and_left_out():
    result = compare(BUSY, {**STACK, "weight_precision": {"weights": "fp4"}}, CATALOG)
    ((key, refusal),) = result.refusals
    assert key == "weight_precision"
    assert "NVIDIA H100 SXM has no FP4 units" in refusal.reason
    assert refusal.remedy
    assert key not in dict(result.changes)


def test_capacity_freed_is_not_cash_until_a_replica_goes():
    """One replica must stay: int4 needs less of it, and the bill is the same."""
    small = scenario(hosted("llama-3.1-8b", "h100-sxm", work(2)))
    result = compare(small, {"weight_precision": {"weights": "int4"}}, CATALOG)
    assert result.saved_usd_per_month == 0
    assert result.capacity_freed_fraction > 0.01


def test_without_gpus_no_capacity_can_be_freed():
    result = compare(scenario(bought("llama-3.3-70b", 0.9)), {}, CATALOG)
    assert isinstance(result.capacity_freed_fraction, Undefined)


def test_unknown_levers_and_parameters_are_refused_with_the_nearest():
    with pytest.raises(UnknownKey, match=r"unknown lever 'prefix_cache'.* Did you mean 'prefix_caching'"):
        compare(BUSY, {"prefix_cache": {}}, CATALOG)
    with pytest.raises(UnknownKey, match=r"unknown parameter 'hit_rate' in lever prefix_caching"):
        compare(BUSY, {"prefix_caching": {"hit_rate": 0.5}}, CATALOG)


def test_a_stack_that_cannot_be_served_is_an_error_and_not_a_number():
    """bf16 doubles the 671 GB of an fp8 model: it no longer fits eight H200."""
    fp8 = scenario(hosted("deepseek-v3", "h200-sxm", tensor_parallel_count=8, weight_precision="fp8"))
    with pytest.raises(DoesNotFit, match="DeepSeek V3 in bf16 does not fit 8 x NVIDIA H200 SXM"):
        compare(fp8, {"weight_precision": {"weights": "bf16"}}, CATALOG)


MANY = {
    **STACK,
    "exact_cache": {"enabled": True},
    "semantic_cache": {"enabled": True},
    "output_limits": {"enabled": True},
    "kv_precision": {"kv": "fp8"},
    "prompt_compression": {"enabled": True},
    "speculative_decoding": {"enabled": True},
    "batch_tier": {"enabled": True},
}


def test_more_levers_than_can_be_solved_in_every_order_still_sum_exactly_and_say_so():
    many, few = compare(BUSY, MANY, CATALOG), compare(BUSY, STACK, CATALOG)
    assert sum(change for _, change in many.changes) == pytest.approx(-many.saved_usd_per_month)
    assert many.is_sampled
    assert not few.is_sampled


def test_the_sampled_shares_are_near_the_exact_ones(monkeypatch):
    eight = dict(list(MANY.items())[:7])
    exact = dict(compare(BUSY, eight, CATALOG).changes)
    monkeypatch.setattr("costlib.compare.MOST_EXACT", 2)
    sampled = compare(BUSY, eight, CATALOG)
    assert sampled.is_sampled
    spent = sampled.today.usd_per_month.mid
    assert all(abs(change - exact[key]) < 0.02 * spent for key, change in sampled.changes)


def test_multiplied_percentages_promise_more_than_the_levers_together_save():
    """Levers overlap: what one has saved, the next cannot save again (domain_math §9)."""
    result = compare(BUSY, STACK, CATALOG)
    product = 1.0
    for _, change in result.alone:
        product *= 1 + change / result.today.usd_per_month.mid
    assert result.naive_saving_fraction == pytest.approx(1 - product)
    assert result.saved_fraction < 1


def test_two_levers_that_get_in_each_others_way_are_named_with_the_money():
    result = compare(BUSY, STACK, CATALOG)
    pair = next(one for one in result.interactions if {one.first, one.second} == {"weight_precision", "prefix_caching"})
    alone = dict(result.alone)
    both = compare(BUSY, {key: STACK[key] for key in ("weight_precision", "prefix_caching")}, CATALOG)
    assert -both.saved_usd_per_month == pytest.approx(
        alone["weight_precision"] + alone["prefix_caching"] + pair.usd_per_month
    )


def test_a_lever_that_cannot_run_alone_counts_as_no_change_alone():
    """A model that fits only in FP8 beside a lever that does not need it: the joint bill is shared all the same."""
    tight = scenario(hosted("llama-3.3-70b", "h100-sxm", work(20), tensor_parallel_count=2, max_num_seqs=64))
    settings = {"parallel_layout": {"tensor_parallel_count": "1"}, "weight_precision": {"weights": "int4"}}
    result = compare(tight, settings, CATALOG)
    assert dict(result.alone).get("parallel_layout", 0.0) == 0.0
    assert sum(change for _, change in result.changes) == pytest.approx(-result.saved_usd_per_month)


def test_a_saving_that_changes_answers_is_unproven_until_it_is_evaluated():
    asked = compare(BUSY, {"weight_precision": {"weights": "fp8"}}, CATALOG)
    assert asked.unproven == ("weight_precision",)
    assert asked.unproven_usd_per_month == pytest.approx(asked.saved_usd_per_month)
    assert isinstance(asked.accepted_fraction, Undefined)
    assert "Weight precision" in asked.accepted_fraction.reason
    evaluated = {"weights": "fp8", "accepted_fraction": 0.98, "evaluated_count": 500}
    shown = compare(BUSY, {"weight_precision": evaluated}, CATALOG)
    assert shown.unproven == ()
    assert shown.unproven_usd_per_month == 0
    assert shown.accepted_fraction == pytest.approx(0.967, abs=0.001)
    assert shown.saved_usd_per_month == asked.saved_usd_per_month


def test_an_accepted_answer_costs_what_all_answers_cost_over_those_accepted():
    """Domain_math §6.3: c / accept rate. An answer that is asked for again is paid for twice."""
    evaluated = {"weights": "fp8", "accepted_fraction": 0.9, "evaluated_count": 1_000_000}
    result = compare(BUSY, {"weight_precision": evaluated}, CATALOG)
    today, then = result.usd_per_answer
    assert today == pytest.approx(result.today.usd_per_hour / (400 * 3600))
    assert result.usd_per_accepted_answer == pytest.approx(then / 0.9, rel=1e-3)
    unproven = compare(BUSY, {"weight_precision": {"weights": "fp8"}}, CATALOG)
    assert "not evaluated" in unproven.usd_per_accepted_answer.reason
    nobody = compare(scenario(hosted("llama-3.1-8b", "h100-sxm", work(0))), {}, CATALOG)
    assert "no requests" in nobody.usd_per_accepted_answer.reason


def test_a_lever_that_changes_no_answer_needs_no_evidence():
    result = compare(BUSY, {"prefix_caching": {"enabled": True}}, CATALOG)
    assert result.unproven == ()
    assert result.accepted_fraction == 1


def test_what_refuses_is_left_out_and_the_levers_behind_it_see_the_scenario_without_it():
    asked = {
        "batch_limits": {"max_num_seqs": "1024", "max_num_batched_tokens": "512"},
        "prefix_caching": {"enabled": True, "hit_fraction": 0.5},
        "kv_precision": {"kv": "keep"},
    }
    checked = {key: lever_of(key).check_values(values, BUSY, CATALOG) for key, values in asked.items()}
    made, keys, refusals = pull(BUSY, checked, CATALOG)
    assert (keys, [key for key, _ in refusals]) == (("prefix_caching",), ["batch_limits"])
    assert made == BUSY.with_serving(prefix_hit_fraction=0.5)
