"""KV offload: blocks come back from host memory where that is sooner than computing them, and nowhere else."""

from dataclasses import replace

import pytest

from costlib.compare import compare
from costlib.errors import DomainError
from costlib.fleet_cost import usd_per_month
from costlib.floor import cost_gap
from costlib.kvcache import reload_s
from costlib.levers.kv_offload import LEVER, reload_and_compute_s
from costlib.project import project
from costlib.replica import solve_replica
from costlib.serving import ServingConfig
from costlib.units import GIBI
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_GPU, TOY_MODEL, bought, hosted, scenario, work

PROMPTS = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40, 4000, 200)))


def pulled(today, hit_fraction=0.3, catalog=CATALOG, **values):
    return compare(today, {"kv_offload": {"enabled": True, "hit_fraction": hit_fraction, **values}}, catalog)


def slow_link(bytes_per_s):
    """The catalogue with the toy GPU's host link at this rate, both directions together."""
    others = tuple(gpu for gpu in CATALOG.gpus if gpu != TOY_GPU)
    return replace(CATALOG, gpus=(*others, replace(TOY_GPU, host_link_bytes_per_s=bytes_per_s)))


class TestReload:
    def test_bytes_over_four_fifths_of_the_link_one_way(self):
        """Half of 1,000 tokens x 100 kB (2 x 25 x 8 x 125 x 2) over 0.8 x 32 GB/s: 50 MB in 1.95 ms."""
        offloaded = ServingConfig(host_kv_bytes=GIBI, host_hit_fraction=0.5)
        assert reload_s(TOY_MODEL, TOY_GPU, offloaded, 1000) == pytest.approx(50e6 / 25.6e9)

    def test_only_misses_of_the_gpus_own_cache_are_looked_for(self):
        offloaded = ServingConfig(host_kv_bytes=GIBI, host_hit_fraction=0.5, prefix_hit_fraction=0.6)
        assert (offloaded.reloaded_fraction, offloaded.reused_fraction) == pytest.approx((0.2, 0.8))
        assert reload_s(TOY_MODEL, TOY_GPU, offloaded, 1000) == pytest.approx(20e6 / 25.6e9)

    def test_gpus_of_a_group_reload_their_own_shares_at_once(self):
        one = ServingConfig(host_kv_bytes=GIBI, host_hit_fraction=0.5)
        four = replace(one, tensor_parallel_count=4)
        staged = replace(one, pipeline_parallel_count=2)
        alone_s = reload_s(TOY_MODEL, TOY_GPU, one, 1000)
        assert reload_s(TOY_MODEL, TOY_GPU, four, 1000) == pytest.approx(alone_s / 4)
        assert reload_s(TOY_MODEL, TOY_GPU, staged, 1000) == pytest.approx(alone_s / 2)

    def test_eight_bit_halves_it(self):
        sixteen = ServingConfig(host_kv_bytes=GIBI, host_hit_fraction=0.5)
        eight = replace(sixteen, kv_precision="fp8")
        ratio = reload_s(TOY_MODEL, TOY_GPU, eight, 1000) / reload_s(TOY_MODEL, TOY_GPU, sixteen, 1000)
        assert ratio == pytest.approx(0.5)


def test_a_prompt_is_ready_when_its_hits_are_back_and_the_rest_is_computed():
    """By hand: 100 tokens of Toy 10B: 40 reloaded in 0.156 ms, 60 computed. 20 GFLOP a token at 100 TFLOP/s is 12 ms,
    but reading 20 GB of weights takes 20 ms: 20 ms and the reload."""
    today = scenario(hosted("toy-10b", "toy-gpu", work(1, 100, 10), host_kv_bytes=GIBI, host_hit_fraction=0.4))
    found = project(today, CATALOG, IDEAL).step("prefill_s").value
    assert found == pytest.approx(0.020 + 40 * 100e3 / 25.6e9, rel=1e-6)


def test_each_prompts_reload_takes_its_turn_in_the_steps():
    """At capacity every request costs its share of steps and its reload: 1/rate grows by just that."""
    link = work(1, 2000, 100)
    bare = hosted("toy-10b", "toy-gpu", link, prefix_hit_fraction=0.5)
    same_hits = hosted("toy-10b", "toy-gpu", link, host_kv_bytes=GIBI, host_hit_fraction=0.5)
    rates = [project(scenario(one), CATALOG, IDEAL).step("capacity_requests_per_s").value for one in (bare, same_hits)]
    assert 1 / rates[1] - 1 / rates[0] == pytest.approx(1000 * 100e3 / 25.6e9, rel=1e-6)


def test_tokens_wait_for_the_reloads_of_others_but_not_for_their_own():
    """By hand, at the largest batch of 4: three others' prompts of 1,000 reloaded tokens for each answer of 100."""
    bare = hosted("toy-10b", "toy-gpu", work(1, 2000, 100), prefix_hit_fraction=0.5, max_num_seqs=4)
    same_hits = hosted(
        "toy-10b", "toy-gpu", work(1, 2000, 100), host_kv_bytes=GIBI, host_hit_fraction=0.5, max_num_seqs=4
    )
    intervals_s = [
        solve_replica(TOY_MODEL, TOY_GPU, one.supply.serving, one.workload, IDEAL).interval_s[-1]
        for one in (bare, same_hits)
    ]
    assert intervals_s[1] - intervals_s[0] == pytest.approx(3 / 100 * 1000 * 100e3 / 25.6e9, rel=1e-6)


def test_a_static_batch_reloads_between_batches():
    one = hosted("toy-10b", "toy-gpu", work(1, 2000, 100), max_num_seqs=4, batching="static", prefix_hit_fraction=0.5)
    moved = replace(one.supply.serving, prefix_hit_fraction=0.0, host_kv_bytes=GIBI, host_hit_fraction=0.5)
    bare, reloading = (
        solve_replica(TOY_MODEL, TOY_GPU, serving, one.workload, IDEAL) for serving in (one.supply.serving, moved)
    )
    assert reloading.interval_s[-1] == bare.interval_s[-1]
    assert reloading.step_s[-1] - bare.step_s[-1] == pytest.approx(4 / 100 * 1000 * 100e3 / 25.6e9, rel=1e-6)


def test_draws_of_many_scenarios_price_it_as_the_projection_does():
    offloaded = scenario(
        hosted("llama-3.1-8b", "h100-sxm", work(400, 4000, 200), host_kv_bytes=64 * GIBI, host_hit_fraction=0.5)
    )
    (bill,) = usd_per_month([offloaded], CATALOG)
    assert bill == pytest.approx(project(offloaded, CATALOG).usd_per_month.mid)


def test_the_floor_counts_what_is_found_anywhere():
    """With 90 % found, the floor must not be that of 62 %: it would lie above what is paid."""
    (found,) = scenario(
        hosted("llama-3.1-8b", "h100-sxm", work(40, 8000, 50), host_kv_bytes=64 * GIBI, host_hit_fraction=0.9)
    ).deployments
    constants = CATALOG.engine.resolve(CATALOG.model("llama-3.1-8b"), CATALOG.gpu("h100-sxm"), found.supply.serving)
    priced = project(scenario(found), CATALOG)
    gap = cost_gap(found, priced.deployments[0], scenario(found), CATALOG, constants)
    (own,) = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40, 8000, 50), prefix_hit_fraction=0.9)).deployments
    same = cost_gap(own, project(scenario(own), CATALOG).deployments[0], scenario(own), CATALOG, constants)
    assert gap.floor.usd_per_mtok == same.floor.usd_per_mtok < gap.usd_per_mtok


def test_it_frees_what_prefill_of_the_hits_took_but_less_than_the_gpus_own_cache_would():
    own = compare(PROMPTS, {"prefix_caching": {"enabled": True, "hit_fraction": 0.3}}, CATALOG)
    result = pulled(PROMPTS, 0.3)
    assert 0.15 < result.capacity_freed_fraction < own.capacity_freed_fraction
    assert result.saved_usd_per_month > 0
    assert result.scenario.cost.decode_usd_per_month > 0


def test_at_rest_inputs_change_no_figure():
    with_memory = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40, 4000, 200), host_kv_bytes=64 * GIBI))
    assert project(with_memory, CATALOG).steps == project(PROMPTS, CATALOG).steps


def test_it_adds_to_what_the_gpu_finds_already():
    cached = scenario(hosted("llama-3.1-8b", "h100-sxm", work(40, 4000, 200), prefix_hit_fraction=0.5))
    first, second = (pulled(today, 0.5).today.step("prefill_s").value for today in (PROMPTS, cached))
    after = pulled(cached, 0.5).scenario.step("prefill_s").value
    assert after < second < first


class TestRefusals:
    TOY = scenario(hosted("toy-10b", "toy-gpu", work(1, 4000, 100)))

    def break_even_bytes_per_s(self):
        """The host link, both directions, over which 2,000 tokens come back just as fast as they are computed."""
        (deployment,) = self.TOY.deployments
        offloaded = replace(deployment.supply.serving, host_kv_bytes=GIBI, host_hit_fraction=0.5)
        reload, compute = reload_and_compute_s(deployment, deployment.supply, offloaded, CATALOG)
        assert reload == pytest.approx(2000 * 100e3 / 25.6e9)
        alone = project(self.TOY, CATALOG).step("prefill_s").value
        assert 0.45 * alone < compute < 0.6 * alone, "the second half of the prompt, which attends to the first"
        return TOY_GPU.host_link_bytes_per_s * reload / compute

    def test_a_link_slower_than_computing_is_refused_with_both_times(self):
        just = self.break_even_bytes_per_s()
        ((_, refusal),) = pulled(self.TOY, 0.5, slow_link(0.99 * just)).refusals
        assert "the host link is too slow for Toy 10B" in refusal.reason
        assert "ms a prompt and computing the same tokens" in refusal.reason
        assert "FP8 KV cache" in refusal.remedy
        paying = pulled(self.TOY, 0.5, slow_link(1.01 * just))
        assert not paying.refusals
        assert paying.scenario.step("prefill_s").value < paying.today.step("prefill_s").value

    def test_eight_bit_kv_lets_a_slow_link_pay(self):
        catalog = slow_link(0.75 * self.break_even_bytes_per_s())
        halved = scenario(hosted("toy-10b", "toy-gpu", work(1, 4000, 100), kv_precision="fp8"))
        assert [bool(pulled(today, 0.5, catalog).refusals) for today in (self.TOY, halved)] == [True, False]

    @pytest.mark.parametrize("model", ["qwen3-next-80b-a3b", "gemma-3-27b", "gpt-oss-120b"])
    def test_a_model_of_mixed_attention_is_refused(self, model):
        ((_, refusal),) = pulled(scenario(hosted(model, "h200-sxm", tensor_parallel_count=2))).refusals
        assert "mixes kinds of attention" in refusal.reason

    def test_a_latent_is_reloaded_as_it_is_stored(self):
        latent = scenario(
            hosted("deepseek-v3", "h200-sxm", work(5, 4000), tensor_parallel_count=8, weight_precision="fp8")
        )
        assert pulled(latent).capacity_freed_fraction > 0

    def test_host_memory_that_holds_no_prompt_is_refused(self):
        """20,000 tokens of 128 KiB are 2.4 GiB."""
        long = scenario(hosted("llama-3.1-8b", "h100-sxm", work(1, 20_000, 200)))
        ((_, refusal),) = pulled(long, host_gib_per_gpu=2).refusals
        assert refusal.reason == ("a prompt of 20,000 tokens needs 2.4 GiB per GPU, more than the host memory given")
        assert not pulled(long, host_gib_per_gpu=3).refusals

    def test_a_model_bought_by_the_token_has_no_cache_of_ours(self):
        ((_, refusal),) = pulled(scenario(bought("llama-3.3-70b", 0.9))).refusals
        assert "bought by the token" in refusal.reason

    def test_one_that_gains_is_offloaded_beside_one_that_does_not(self):
        both = scenario(
            hosted("llama-3.1-8b", "h100-sxm", work(5, 4000, 200)),
            hosted("gemma-3-27b", "h100-sxm", work(5, 4000, 200), key="mixed"),
        )
        assert LEVER.refuse(both, LEVER.check_values({"enabled": True}, both, CATALOG), CATALOG) is None
        before, after = pulled(both).today.deployments, pulled(both).scenario.deployments
        assert after[0].needed_gpus_ratio < before[0].needed_gpus_ratio
        assert after[1] == before[1]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"host_hit_fraction": 0.3}, "needs host memory"),
            ({"host_hit_fraction": 1.1, "host_kv_bytes": GIBI}, "share from 0 to 1"),
            ({"host_kv_bytes": -1.0}, "must be 0"),
            ({"host_kv_bytes": float("nan")}, "must be 0"),
        ],
    )
    def test_settings_that_cannot_be_are_refused(self, settings, message):
        with pytest.raises(DomainError, match=message):
            ServingConfig(**settings)
