"""What every pair of levers promises: one joint answer, attributed whole, never below what the hardware allows."""

from dataclasses import replace
from itertools import combinations, product

import pytest

from costlib.compare import compare
from costlib.errors import DomainError
from costlib.estimate import Undefined
from costlib.fleet_cost import usd_per_month
from costlib.floor import least_usd_per_month
from costlib.lever import Choice, Number, Switch
from costlib.levers import LEVERS
from costlib.levers import lever as lever_of
from costlib.levers.prompt_compression import REWRITTEN
from costlib.project import project
from tests.conftest import EXPLORES
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

SCENARIOS = {
    "dense on four": scenario(
        hosted("llama-3.3-70b", "h100-sxm", work(60, 1500, 300, peak_to_mean_ratio=2), tensor_parallel_count=4)
    ),
    "batched statically": scenario(
        hosted("llama-3.1-8b", "a100-sxm-80gb", work(40), batching="static", kv_used_fraction=0.3, max_num_seqs=32)
    ),
    "experts, cached and in a hurry": scenario(
        hosted("qwen3-30b-a3b", "h100-sxm", work(80, 2000, 400), max_tpot_s=0.03, prefix_hit_fraction=0.4)
    ),
    "hosted and bought": scenario(hosted("llama-3.3-70b", "b200", work(0.05, 4000, 50)), bought("llama-3.3-70b", 0.88)),
}
# Where the last option is not the telling one.
CHOSEN = {"weight_precision": {"weights": "fp8"}, "gpu_choice": {"gpu": "h200-sxm"}}
PAIRS = list(combinations((lever.key for lever in LEVERS), 2))
CHANGES_TOKENS = {"output_limits", "prompt_compression"}  # as does what an escalation of a cascade reads besides

every_pair = pytest.mark.parametrize("pair", PAIRS, ids="+".join)


def pulled(key, today, *, utmost=False):
    """This lever on, its numbers at rest or at their upper ends, its choices at their last free option."""
    lever = lever_of(key)
    values = {param.key: True for param in lever.params if isinstance(param, Switch)}
    for param in lever.params:
        if isinstance(param, Choice) and not values:
            values[param.key] = [option.value for option in param.options(today, CATALOG) if not option.blocked][-1]
    ends = {param.key: param.high for param in lever.params if isinstance(param, Number) and utmost}
    return {**values, **ends, **CHOSEN.get(key, {})}


def results_of(pair):
    """(today, settings, comparison) for each scenario in which the two can be solved."""
    every = list(product(SCENARIOS.values(), (False, True)))
    for today, utmost in every if EXPLORES else every[::3]:
        settings = {key: pulled(key, today, utmost=utmost) for key in pair}
        try:
            yield today, settings, compare(today, settings, CATALOG)
        except DomainError as error:
            assert str(error)  # what does not fit says so; nothing else may be raised


@every_pair
def test_a_pair_has_one_answer_attributed_whole_and_never_below_the_floor(pair):
    for today, settings, joint in results_of(pair):
        before, after = joint.today.usd_per_month.mid, joint.scenario.usd_per_month.mid

        # One answer, in whatever order the settings are given.
        turned = compare(today, dict(reversed(settings.items())), CATALOG)
        assert turned == joint

        # Attributed whole.
        assert sum(change for _, change in joint.changes) == pytest.approx(after - before, rel=1e-9, abs=1e-6)
        assert {key for key, _ in joint.changes} | {key for key, _ in joint.refusals} <= set(pair)

        # Nothing saves past all of it.
        assert after >= 0
        assert joint.saved_usd_per_month <= before
        assert isinstance(joint.capacity_freed_fraction, Undefined) or joint.capacity_freed_fraction <= 1

        # Nor past what the hardware allows.
        assert least_usd_per_month(joint.changed, CATALOG) == joint.floor_usd_per_month <= after

        # Priced alike one by one and many at a time.
        assert usd_per_month([joint.changed], CATALOG)[0] == pytest.approx(after)

        # What users ask for is answered, whole, unless a lever shortens it.
        kept = {key: values for key, values in settings.items() if key not in dict(joint.refusals)}
        if not CHANGES_TOKENS & set(kept) and not kept.get("cascade_routing", {}).get("escalated_prompt_tokens"):
            assert joint.scenario.tokens_per_month == pytest.approx(joint.today.tokens_per_month)


def test_the_pairs_above_are_solved_and_pulled():
    """Otherwise what is asserted of them would be asserted of nothing."""
    today = SCENARIOS["dense on four"]
    alone = {lever.key: compare(today, {lever.key: pulled(lever.key, today)}, CATALOG) for lever in LEVERS}
    refused = {key for key, result in alone.items() if result.refusals}
    assert refused == {"continuous_batching"}  # vLLM batches continuously already
    # A larger batch and smaller chunks change nothing where neither binds.
    moved = {key for key, result in alone.items() if result.scenario.cost != result.today.cost}
    assert moved >= set(alone) - refused - {"batch_limits", "chunked_prefill"}
    solved = [len(list(results_of(pair))) for pair in PAIRS[:: len(LEVERS)]]
    assert min(solved) >= 2


def test_the_floor_would_be_seen_to_be_broken():
    """A throughput no GPU reaches is priced below the floor: the assertion above can fail."""
    impossible = scenario(hosted("llama-3.1-8b", "h100-sxm", work(1000), stated_tokens_per_s=5e6))
    found = compare(impossible, {}, CATALOG)
    assert found.floor_usd_per_month > project(impossible, CATALOG).usd_per_month.mid
    assert any("below what the data sheets of its GPUs allow" in note for note in found.notes)


def freed(today, *keys, **values):
    """GPUs no longer needed with these levers, over those of today."""
    settings = {key: {**pulled(key, today), **values.get(key, {})} for key in keys}
    result = compare(today, settings, CATALOG)
    assert not result.refusals
    return result.capacity_freed_fraction


def further(today, first, then, **values):
    """What `then` frees of what `first` leaves."""
    left_by_first, left_by_both = 1 - freed(today, first, **values), 1 - freed(today, first, then, **values)
    return 1 - left_by_both / left_by_first


class TestInteractions:
    """Domain_math §9, by sign: why percentages must not be multiplied."""

    SMALL = scenario(hosted("llama-3.3-70b", "h100-sxm", work(10, 500, 300), tensor_parallel_count=4, max_num_seqs=8))
    LARGE = scenario(hosted("llama-3.3-70b", "h100-sxm", work(10, 500, 300), tensor_parallel_count=4, max_num_seqs=512))
    PROMPTS = scenario(hosted("llama-3.3-70b", "h100-sxm", work(40, 4000, 200), tensor_parallel_count=4))
    DRAFTS = {"draft_tokens": "3"}

    def test_fewer_bits_gain_less_the_larger_the_batch(self):
        int4 = {"weights": "int4"}
        gains = [freed(today, "weight_precision", weight_precision=int4) for today in (self.SMALL, self.LARGE)]
        assert gains[0] > 2 * gains[1]

    def test_drafts_flip_from_gain_to_loss_with_the_batch(self):
        gains = [
            freed(today, "speculative_decoding", speculative_decoding=self.DRAFTS) for today in (self.SMALL, self.LARGE)
        ]
        assert gains[0] > 0 > gains[1]

    def test_drafts_gain_less_on_a_target_that_reads_fewer_bytes(self):
        values = {"weight_precision": {"weights": "int4"}, "speculative_decoding": self.DRAFTS}
        alone = freed(self.SMALL, "speculative_decoding", **values)
        assert further(self.SMALL, "weight_precision", "speculative_decoding", **values) < alone

    def test_drafts_gain_more_where_the_prefix_cache_took_the_prompts(self):
        today = scenario(
            hosted("llama-3.3-70b", "h100-sxm", work(10, 4000, 300), tensor_parallel_count=4, max_num_seqs=8)
        )
        values = {"prefix_caching": {"hit_fraction": 0.9}, "speculative_decoding": self.DRAFTS}
        alone = freed(today, "speculative_decoding", **values)
        assert further(today, "prefix_caching", "speculative_decoding", **values) > alone > 0

    def test_rewriting_fixed_text_gains_less_where_it_is_cached_already(self):
        values = {"prefix_caching": {"hit_fraction": 0.6}, "prompt_compression": {"method": REWRITTEN}}
        alone = freed(self.PROMPTS, "prompt_compression", **values)
        assert further(self.PROMPTS, "prefix_caching", "prompt_compression", **values) < alone

    @pytest.mark.parametrize("other", ["prefix_caching", "predictive_routing", "cascade_routing"])
    def test_a_request_answered_from_a_cache_cannot_be_saved_again(self, other):
        values = {"semantic_cache": {"hit_fraction": 0.3}}
        both = freed(self.PROMPTS, "semantic_cache", other, **values)
        assert both < freed(self.PROMPTS, "semantic_cache", **values) + freed(self.PROMPTS, other)

    def test_what_stays_on_the_large_model_costs_more_a_token_when_its_replica_stays(self):
        quiet = scenario(hosted("llama-3.3-70b", "h100-sxm", work(1), tensor_parallel_count=4))
        result = compare(quiet, {"predictive_routing": pulled("predictive_routing", quiet)}, CATALOG)
        (before,), (after, _) = result.today.deployments, result.scenario.deployments
        assert after.usd_per_hour / after.demand_tokens_per_s > before.usd_per_hour / before.demand_tokens_per_s

    def test_long_requests_that_stay_cost_the_large_model_more_each(self):
        def large_gpus_ratio(kept):
            values = {**pulled("predictive_routing", self.PROMPTS), "kept_length_ratio": kept}
            return compare(self.PROMPTS, {"predictive_routing": values}, CATALOG).scenario.deployments[0]

        alike, longer = large_gpus_ratio(1.0), large_gpus_ratio(1.3)
        assert longer.needed_gpus_ratio > 1.25 * alike.needed_gpus_ratio

    def test_shorter_answers_raise_the_share_of_prompts(self):
        result = compare(self.PROMPTS, {"output_limits": pulled("output_limits", self.PROMPTS)}, CATALOG)

        def prompts_share(projection):
            cost = projection.cost
            return cost.prefill_usd_per_month / (cost.prefill_usd_per_month + cost.decode_usd_per_month)

        assert prompts_share(result.scenario) > prompts_share(result.today)

    def test_eight_bit_kv_halves_what_is_reloaded_and_leaves_prompts_more_of_the_bill(self):
        values = {"kv_offload": {"hit_fraction": 0.5}, "prefix_caching": {"hit_fraction": 0.5}}
        alone = freed(self.PROMPTS, "prefix_caching", **values)
        assert further(self.PROMPTS, "kv_precision", "prefix_caching", **values) > alone
        offload = freed(self.PROMPTS, "kv_offload", **values)
        assert further(self.PROMPTS, "kv_precision", "kv_offload", **values) > offload

    def test_a_lever_on_throughput_saves_no_cash_below_a_whole_replica(self):
        one = scenario(hosted("llama-3.3-70b", "h100-sxm", work(1), tensor_parallel_count=4))
        result = compare(one, {"weight_precision": {"weights": "fp8"}}, CATALOG)
        assert result.capacity_freed_fraction > 0.2
        assert result.saved_usd_per_month == 0


class TestContradictions:
    """Issue 6, bad input: what cannot be is refused, and nothing saves past 100 %."""

    BUSY = scenario(
        hosted("llama-3.1-8b", "h100-sxm", work(200, peak_to_mean_ratio=3)), bought("llama-3.3-70b", 0.9, work(5))
    )

    def test_everything_that_takes_requests_away_at_its_utmost_leaves_the_rest_to_pay(self):
        """5 % of 5 % of requests are left, a twentieth of them at the batch price: a 400th, and both lookups."""
        settings = {
            "exact_cache": {"enabled": True, "hit_fraction": 0.95},
            "semantic_cache": {"enabled": True, "hit_fraction": 0.95, "lookup_usd_per_thousand": 0.05},
            "batch_tier": {"enabled": True, "share_fraction": 1.0, "discount_fraction": 0.9},
            "prompt_compression": {"enabled": True},
            "predictive_routing": {"enabled": True, "share_fraction": 0.95},
        }
        result = compare(self.BUSY, settings, CATALOG)
        assert 0 < result.scenario.usd_per_month.mid < result.today.usd_per_month.mid
        assert 0.95 < result.capacity_freed_fraction < 1
        assert sum(change for _, change in result.changes) == pytest.approx(-result.saved_usd_per_month)
        # Misses of the first cache reach the second: 5 % of requests are looked up there at $0.05 per 1,000.
        hosted_after = result.scenario.step("services_usd_per_hour").value
        assert hosted_after > 205 * 0.05 * 0.05 / 1000 * 3600

    @pytest.mark.parametrize(
        ("lever", "key", "wrong", "allowed"),
        [
            ("exact_cache", "hit_fraction", 1.5, "from 0 to 0.95"),
            ("semantic_cache", "hit_fraction", -0.1, "from 0 to 0.95"),
            ("prefix_caching", "hit_fraction", 1.0, "from 0 to 0.95"),
            ("kv_offload", "hit_fraction", 1.0, "from 0 to 0.95"),
            ("speculative_decoding", "acceptance_fraction", 1.0, "from 0 to 0.95"),
            ("predictive_routing", "router_usd_per_thousand", -1.0, "from 0 to 10"),
            ("predictive_routing", "wrong_usd_per_answer", -0.01, "from 0 to 1000"),
            ("cascade_routing", "check_usd_per_thousand", -0.01, "from 0 to 100"),
            ("semantic_cache", "lookup_usd_per_thousand", -0.01, "from 0 to 10"),
            ("batch_tier", "discount_fraction", 1.2, "from 0 to 0.9"),
            ("cascade_routing", "share_fraction", 1.01, "from 0 to 0.95"),
        ],
    )
    def test_a_rate_or_price_that_cannot_be_is_refused_with_what_can(self, lever, key, wrong, allowed):
        with pytest.raises(Exception, match=rf"lever {lever}: {key} must be a number {allowed}, not {wrong}"):
            compare(self.BUSY, {lever: {"enabled": True, key: wrong}}, CATALOG)

    def test_only_one_lever_may_route_to_a_smaller_model(self):
        today = SCENARIOS["dense on four"]
        both = compare(today, {key: {"enabled": True} for key in ("predictive_routing", "cascade_routing")}, CATALOG)
        ((key, refusal),) = both.refusals
        assert key == "predictive_routing"
        assert "already routed to a smaller model" in refusal.reason
        assert refusal.remedy == "pull either cascade routing or predictive routing"
        assert both.scenario.cost == compare(today, {"cascade_routing": {"enabled": True}}, CATALOG).scenario.cost

    @pytest.mark.parametrize(("gpu", "weights", "lacks"), [
        ("h100-sxm", "fp4", "NVIDIA H100 SXM has no FP4 units"),
        ("b200", "int8", "NVIDIA B200 (HGX) has no INT8 kernels in vLLM"),
        ("mi300x", "awq_int4", "AMD Instinct MI300X has no INT4 AWQ kernels in vLLM"),
    ])  # fmt: skip
    def test_a_precision_that_the_gpu_lacks_is_refused_with_one_it_has(self, gpu, weights, lacks):
        today = scenario(hosted("llama-3.1-8b", gpu))
        ((_, refusal),) = compare(today, {"weight_precision": {"weights": weights}}, CATALOG).refusals
        assert refusal.reason == lacks
        assert "FP8" in refusal.remedy
        assert not compare(today, {"weight_precision": {"weights": "fp8"}}, CATALOG).refusals

    def test_a_moved_gpu_that_lacks_the_chosen_precision_is_refused_after_it(self):
        today = scenario(hosted("llama-3.1-8b", "b200"))
        both = compare(today, {"weight_precision": {"weights": "fp4"}, "gpu_choice": {"gpu": "h100-sxm"}}, CATALOG)
        ((key, refusal),) = both.refusals
        assert key == "gpu_choice"
        assert "no FP4 units" in refusal.reason

    def test_deployments_of_one_key_are_not_told_apart(self):
        (deployment,) = SCENARIOS["dense on four"].deployments
        with pytest.raises(DomainError, match="keys must differ"):
            replace(SCENARIOS["dense on four"], deployments=(deployment, deployment))
