"""What the nouns refuse: every bad value is named, with what is allowed."""

import pytest

from costlib.errors import BadRecord, ConfigError, DoesNotFit, DomainError, PermillionError, RetryLater, UnknownKey
from costlib.estimate import Basis, Estimate, weakest
from costlib.hardware import Precision
from costlib.scenario import ApiTokens, SelfHosted
from costlib.serving import ServingConfig
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: work(-1), "requests_per_s must be from 0 to 1,000,000, not -1"),
        (lambda: work(prompt=-1), "mean_prompt_tokens of 0 or more and mean_output_tokens of 1 or more"),
        (lambda: work(output=0.5), "mean_output_tokens of 1 or more"),
        (lambda: work(peak_to_mean_ratio=0.9), "peak_to_mean_ratio is peak over mean, so 1 or more, not 0.9"),
        (lambda: work(answered_fraction=1.1), "answered_fraction is a share from 0 to 1, not 1.1"),
        (lambda: ServingConfig(kv_precision=Precision.INT4), "kv_precision must be bf16 or fp8, not int4"),
        (lambda: ServingConfig(tensor_parallel_count=0), "tensor_parallel_count must be 1 or more, not 0"),
        (lambda: ServingConfig(max_num_seqs=0), "max_num_seqs must be 1 or more, not 0"),
        (lambda: ServingConfig(max_num_batched_tokens=0), "max_num_batched_tokens must be 1 or more, not 0"),
        (lambda: ServingConfig(stated_weights_bytes=0), "stated_weights_bytes must be above 0, not 0"),
        (lambda: ServingConfig(min_replicas_count=-1), "min_replicas_count must be 0 or more, not -1"),
        (lambda: ServingConfig(gpu_memory_utilization=1.2), "gpu_memory_utilization must be above 0 and at most 1"),
        (lambda: ServingConfig(target_busy_fraction=0), "target_busy_fraction must be above 0 and at most 1, not 0"),
        (lambda: ServingConfig(prefix_hit_fraction=1.01), "prefix_hit_fraction is a share from 0 to 1, not 1.01"),
        (
            lambda: ServingConfig(prefix_hit_fraction=float("nan")),
            "prefix_hit_fraction is a share from 0 to 1, not nan",
        ),
        (lambda: ServingConfig(pipeline_parallel_count=0), "pipeline_parallel_count must be 1 or more, not 0"),
        (lambda: ServingConfig(max_num_seqs=float("nan")), "max_num_seqs must be 1 or more, not nan"),
        (lambda: ServingConfig(stated_weights_bytes=float("nan")), "stated_weights_bytes must be above 0, not nan"),
        (lambda: ApiTokens(usd_per_mtok_input=float("nan"), usd_per_mtok_output=1), "API prices must be 0 or more"),
        (
            lambda: hosted("llama-3.1-8b", "h100-sxm", max_tpot_s=float("nan")),
            "chat: max_tpot_s must be above 0, not nan",
        ),
        (
            lambda: hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=float("inf")),
            "stated_tokens_per_s must be above",
        ),
        (lambda: ApiTokens(usd_per_mtok_input=-1, usd_per_mtok_output=1), "API prices must be 0 or more"),
        (lambda: hosted("llama-3.1-8b", "h100-sxm", max_tpot_s=0), "chat: max_tpot_s must be above 0, not 0"),
        (lambda: hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=0), "stated_tokens_per_s must be above 0"),
        (lambda: scenario(), "needs at least one deployment"),
        (lambda: scenario(bought("a", 1), bought("b", 1)), "deployment keys must differ: api, api"),
        (lambda: scenario(bought("a", 1), hours_per_month=745), "above 0 and at most 744, not 745"),
        (lambda: scenario(bought("a", 1), target_usd_per_mtok=0), "target_usd_per_mtok must be above 0, not 0"),
        (lambda: CATALOG.gpu("h100-sxm").peak_flop_per_s(Precision.FP4), "has no FP4 units; use fp8, int8 or int4"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(make, message):
    with pytest.raises(DomainError, match=message):
        make()


def test_values_at_the_edge_are_taken():
    work(0, 0, 1, peak_to_mean_ratio=1, answered_fraction=0)
    ServingConfig(gpu_memory_utilization=1, target_busy_fraction=1, prefix_hit_fraction=1, min_replicas_count=0)
    scenario(bought("a", 0), hours_per_month=744)


@pytest.mark.parametrize(
    "bad",
    [{"output_cv_ratio": -1.0}, {"requests_per_s": float("nan")}, {"requests_per_s": 1e300}],
    ids=["cv", "nan", "a slip of the pen"],
)
def test_a_workload_that_cannot_be_is_refused(bad):
    with pytest.raises(DomainError):
        work(**bad)


def test_an_estimate_is_a_range():
    with pytest.raises(ValueError, match="low <= mid <= high, not 2, 1, 3"):
        Estimate(low=2, mid=1, high=3, basis=Basis.ASSUMED)


@pytest.mark.parametrize(
    ("bases", "result"),
    [
        ((Basis.MEASURED,), Basis.MEASURED),
        ((Basis.MEASURED, Basis.CALIBRATED), Basis.CALIBRATED),
        ((Basis.EXTRAPOLATED, Basis.ASSUMED, Basis.MEASURED), Basis.EXTRAPOLATED),
        ((Basis.UNDEFINED, Basis.MEASURED), Basis.UNDEFINED),
    ],
)
def test_the_weakest_basis_wins(bases, result):
    assert weakest(*bases) is result


def test_an_unknown_name_is_answered_with_the_nearest_and_the_known():
    error = UnknownKey("fruit", "aple", ["pear", "apple"], "bowl.toml")
    assert str(error) == "unknown fruit 'aple' in bowl.toml. Did you mean 'apple'? Known: apple, pear."
    assert str(UnknownKey("fruit", "zzz", [])) == "unknown fruit 'zzz'. Known: none."


def test_a_hostile_name_does_not_flood_the_message():
    assert len(str(UnknownKey("fruit", "x" * 10_000, (f"fruit-{n}" for n in range(1000))))) < 800


@pytest.mark.parametrize("kind", [ConfigError, RetryLater, BadRecord, DomainError, DoesNotFit])
def test_every_error_meant_for_people_has_one_base(kind):
    assert issubclass(kind, PermillionError)
    assert issubclass(DoesNotFit, DomainError)


def test_only_gpus_with_the_units_compute_in_a_format():
    a100, h100, b200 = (CATALOG.gpu(key) for key in ("a100-sxm-80gb", "h100-sxm", "b200"))
    assert [gpu.computes_in(Precision.FP8) for gpu in (a100, h100, b200)] == [False, True, True]
    assert [gpu.computes_in(Precision.FP4) for gpu in (a100, h100, b200)] == [False, False, True]
    assert a100.peak_flop_per_s(Precision.FP8) == a100.peak_flop_per_s(Precision.BF16)


def test_only_hosted_deployments_are_served():
    own = hosted("llama-3.1-8b", "h100-sxm")
    both = scenario(own, bought("llama-3.3-70b", 1.0))
    assert both.hosted == (own.supply,)
    edited = both.with_serving(max_num_seqs=7)
    assert isinstance(edited.deployments[0].supply, SelfHosted)
    assert edited.deployments[0].supply.serving.max_num_seqs == 7
    assert edited.deployments[1] == both.deployments[1]
