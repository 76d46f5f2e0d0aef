"""Disaggregated prefill: two pools of whole replicas, no prompt between two tokens, and a transfer between them."""

from dataclasses import replace
from datetime import date

import pytest

from costlib.commitment import Commitment
from costlib.compare import compare
from costlib.errors import DomainError
from costlib.kvcache import transfer_s
from costlib.levers.disaggregated_prefill import LEVER, pools_of
from costlib.project import project
from costlib.scenario import Beside
from costlib.serving import Role, ServingConfig
from tests.costlib.scenario_builders import CATALOG, IDEAL, TOY_MODEL, bought, hosted, scenario, work

STRICT = scenario(hosted("llama-3.3-70b", "h100-sxm", work(100, 4000, 200), tensor_parallel_count=4, max_tpot_s=0.030))


def pulled(today, **values):
    return compare(today, {"disaggregated_prefill": {"enabled": True, **values}}, CATALOG)


class TestTwoPools:
    def test_one_computes_prompts_and_the_other_keeps_the_key_and_the_answers(self):
        (deployment,) = STRICT.deployments
        prompts, answers = pools_of(deployment, deployment.supply, 50e9)
        assert (prompts.key, answers.key) == ("chat-prefill", "chat")
        assert (prompts.supply.serving.role, answers.supply.serving.role) == (Role.PREFILL, Role.DECODE)
        assert prompts.workload.mean_prompt_tokens == answers.workload.mean_prompt_tokens == 4000
        assert (prompts.workload.mean_output_tokens, answers.workload.mean_output_tokens) == (1, 200)
        assert (prompts.max_tpot_s, answers.max_tpot_s) == (None, 0.030)

    def test_every_request_is_answered_once(self):
        result = pulled(STRICT)
        assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)

    def test_a_decode_pool_computes_no_prompt(self):
        """Toy 10B by hand, one at a time: 20 GB of weights at 1 TB/s are 20 ms a token, and 150.5 tokens of 100 kB."""
        alone = scenario(hosted("toy-10b", "toy-gpu", work(0.1, 100, 100, output_cv_ratio=0), max_num_seqs=1))
        (deployment,) = alone.deployments
        prompts, answers = pools_of(deployment, deployment.supply, 50e9)
        priced = project(replace(alone, deployments=(prompts, answers)), CATALOG, IDEAL)
        decode_s = 0.020 + 150 * 100e3 / 1e12
        assert priced.step("step_s", "chat").value == pytest.approx(decode_s, rel=1e-3)
        assert priced.step("capacity_requests_per_s", "chat").value == pytest.approx(1 / (100 * decode_s), rel=1e-3)
        assert priced.deployments[1].cost.prefill_usd_per_month == 0
        # The other: one prompt a step. Computing 100 tokens at 0.2 ms takes as long as reading the weights once.
        assert priced.step("capacity_requests_per_s", "chat-prefill").value == pytest.approx(1 / 0.0202, rel=0.02)

    def test_tokens_come_at_the_pace_of_decoding_alone(self):
        long = scenario(hosted("llama-3.1-8b", "h100-sxm", work(100, 8000, 400)))
        result = pulled(long)
        assert result.scenario.tpot_s < 0.75 * result.today.tpot_s

    def test_the_pools_show_the_latency_that_is_theirs(self):
        prompts, answers = pulled(STRICT).scenario.deployments
        assert (prompts.tpot_s, answers.ttft_s) == (None, None)
        assert prompts.ttft_s
        assert answers.tpot_s <= 0.030

    def test_drafts_stay_with_the_answers(self):
        drafts = {"enabled": True, "draft_tokens": "3"}
        both = compare(STRICT, {"speculative_decoding": drafts, "disaggregated_prefill": {"enabled": True}}, CATALOG)
        keys = {step.scope for step in both.scenario.steps if step.key == "step_tokens"}
        assert keys == {"chat"}

    def test_the_pool_that_computes_prompts_is_the_one_that_reloads_them(self):
        (deployment,) = STRICT.deployments
        serving = replace(deployment.supply.serving, host_kv_bytes=1e9, host_hit_fraction=0.5, prefix_hit_fraction=0.2)
        pools = pools_of(deployment, replace(deployment.supply, serving=serving), 50e9)
        found = [(pool.supply.serving.prefix_hit_fraction, pool.supply.serving.host_hit_fraction) for pool in pools]
        assert found == [(0.2, 0.5), (1.0, 0.0)]

    def test_what_stands_beside_the_model_is_counted_once(self):
        (deployment,) = STRICT.deployments
        beside = Beside(cached_requests_per_s=5, services_usd_per_hour=3, wrong_answers_usd_per_hour=1)
        deployment = replace(deployment, beside=beside)
        prompts, answers = pools_of(deployment, deployment.supply, 50e9)
        assert (prompts.beside, answers.beside) == (Beside(), beside)

    def test_both_pools_use_what_is_committed_of_their_gpu(self):
        committed = Commitment(gpu_key="h100-sxm", gpus_count=1000, usd_per_gpu_hour=2.0, ends_on=date(2027, 6, 1))
        apart = compare(
            replace(STRICT, commitments=(committed,)), {"disaggregated_prefill": {"enabled": True}}, CATALOG
        ).scenario
        assert apart.usd_per_hour == pytest.approx(2000.0)


class TestTransfer:
    def test_a_prompts_kv_over_the_link(self):
        """1,000 tokens x 100 kB over 10 GB/s are 10 ms; each of four GPUs sends a quarter."""
        apart = ServingConfig(role=Role.PREFILL, kv_transfer_bytes_per_s=10e9)
        assert transfer_s(TOY_MODEL, apart, 1000) == pytest.approx(0.010)
        assert transfer_s(TOY_MODEL, replace(apart, tensor_parallel_count=4), 1000) == pytest.approx(0.0025)
        assert transfer_s(TOY_MODEL, ServingConfig(), 1000) == 0

    def test_it_is_waited_for_before_the_first_token_and_costs_no_gpu(self):
        slow, fast = pulled(STRICT, link_gb_per_s=1.0), pulled(STRICT, link_gb_per_s=50.0)
        # 4,000 tokens x 327,680 bytes / 4 GPUs.
        assert slow.scenario.ttft_s - fast.scenario.ttft_s == pytest.approx(327.68e6 * (1 / 1e9 - 1 / 50e9))
        assert slow.scenario.cost == fast.scenario.cost


class TestWhetherItPays:
    def test_work_is_not_saved(self):
        """vLLM's own documentation: it does not improve throughput. Weights are read for prompts and for tokens."""
        assert pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(400)))).capacity_freed_fraction < 0

    def test_it_pays_where_a_strict_time_per_token_kept_batches_small_for_the_prompts_sake(self):
        result = pulled(STRICT)
        assert result.capacity_freed_fraction > 0.3
        assert result.saved_usd_per_month > 0

    def test_a_small_fleet_pays_for_two_whole_pools(self):
        result = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(0.5))))
        assert (result.today.gpus_count, result.scenario.gpus_count) == (1, 2)
        assert result.notes == ("Disaggregated prefill costs $2,555.00 a month more here.",)

    def test_each_pool_is_rounded_by_itself(self):
        prompts, answers = pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(40)))).scenario.deployments
        assert prompts.replicas_count == answers.replicas_count == 1
        assert prompts.needed_gpus_ratio + answers.needed_gpus_ratio < 2


class TestRefusals:
    @pytest.mark.parametrize(
        "today",
        [
            pytest.param(scenario(bought("llama-3.3-70b", 0.9)), id="bought by the token"),
            pytest.param(scenario(hosted("llama-3.1-8b", "h100-sxm", work(5, 0, 200))), id="no prompts"),
            pytest.param(scenario(hosted("llama-3.1-8b", "h100-sxm", batching="static")), id="static batches"),
            pytest.param(scenario(hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=1e3)), id="stated throughput"),
        ],
    )
    def test_what_cannot_be_taken_apart_is_refused(self, today):
        ((_, refusal),) = pulled(today).refusals
        assert "no deployment can be taken apart" in refusal.reason
        assert refusal.remedy

    def test_what_is_apart_already_is_not_taken_apart_again(self):
        apart = LEVER.apply(STRICT, LEVER.check_values({"enabled": True}, STRICT, CATALOG), CATALOG)
        assert pulled(apart).refusals

    def test_the_prefill_pools_name_must_be_free(self):
        taken = scenario(hosted("llama-3.1-8b", "h100-sxm"), bought("llama-3.3-70b", 0.9, key="chat-prefill"))
        ((_, refusal),) = pulled(taken).refusals
        assert refusal.reason == "a deployment is already called chat-prefill"

    def test_a_prompt_longer_than_a_step_takes_several_and_about_as_long_a_token(self):
        short, long = (
            pulled(scenario(hosted("llama-3.1-8b", "h100-sxm", work(5, prompt, 200)))).scenario.deployments[0]
            for prompt in (8000, 8400)
        )
        assert long.capacity_tokens_per_s == pytest.approx(short.capacity_tokens_per_s, rel=0.03)

    @pytest.mark.parametrize(
        "settings", [{"role": Role.PREFILL}, {"kv_transfer_bytes_per_s": 1e9}, {"kv_transfer_bytes_per_s": -1.0}]
    )
    def test_a_link_without_a_pool_and_a_pool_without_a_link_are_refused(self, settings):
        with pytest.raises(DomainError, match="kv_transfer_bytes_per_s"):
            ServingConfig(**settings)
