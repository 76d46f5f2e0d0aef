"""Measured demand replaces assumptions where there is enough of it, and only there."""

import pytest

from costlib.demand import Demand, with_measured_demand
from costlib.estimate import Basis
from tests.costlib.scenario_builders import bought, hosted, scenario, work

TODAY = scenario(hosted("llama-3.1-8b", "h100-sxm"), bought("llama-3.3-70b", 1.0, work(1)))


def demand(target_key="chat", **rest):
    facts = {
        "requests_per_s": 7.0,
        "model_key": "llama-3.1-8b",
        "mean_prompt_tokens": 900.0,
        "mean_output_tokens": 150.0,
        "peak_to_mean_ratio": 2.5,
        "prefix_hit_fraction": 0.4,
        "coverage_fraction": 0.9,
        "covered_hours": 48.0,
    }
    return Demand(target_key=target_key, **{**facts, **rest})


def test_the_deployment_of_the_targets_name_is_measured_and_the_other_is_not():
    chat, api = with_measured_demand(TODAY, [demand()]).deployments
    assert (chat.workload.requests_per_s, chat.workload.mean_prompt_tokens) == (7.0, 900.0)
    assert (chat.workload.peak_to_mean_ratio, chat.supply.serving.prefix_hit_fraction) == (2.5, 0.4)
    assert chat.workload.basis is Basis.MEASURED
    assert api == TODAY.deployments[1]


@pytest.mark.parametrize(
    "thin",
    [{"covered_hours": 23.9}, {"coverage_fraction": 0.49}, {"requests_per_s": 0.0}, {"mean_output_tokens": 0.5}],
    ids=lambda thin: next(iter(thin)),
)
def test_too_thin_a_window_changes_nothing(thin):
    assert with_measured_demand(TODAY, [demand(**thin)]) == TODAY


def test_a_hit_rate_that_is_not_exported_leaves_the_assumed_one():
    assumed = scenario(hosted("llama-3.1-8b", "h100-sxm", prefix_hit_fraction=0.2))
    (chat,) = with_measured_demand(assumed, [demand(prefix_hit_fraction=None)]).deployments
    assert chat.supply.serving.prefix_hit_fraction == 0.2


def test_measurements_that_cannot_be_are_brought_into_range():
    """A window cut short may have its peak below its mean, and a hit rate of 1 would leave nothing to compute."""
    chat, _ = with_measured_demand(TODAY, [demand(peak_to_mean_ratio=0.8, prefix_hit_fraction=1.0)]).deployments
    assert chat.workload.peak_to_mean_ratio == 1
    assert chat.supply.serving.prefix_hit_fraction == 0.99


def test_an_unknown_target_changes_nothing():
    assert with_measured_demand(TODAY, [demand("elsewhere")]) == TODAY


def test_a_measured_fleet_is_measured_as_a_whole_and_a_part_is_not():
    assert TODAY.demand_basis is Basis.ASSUMED
    assert with_measured_demand(TODAY, [demand()]).demand_basis is Basis.ASSUMED
    assert with_measured_demand(TODAY, [demand(), demand("api")]).demand_basis is Basis.MEASURED


def test_a_window_at_the_least_is_enough():
    assert demand(covered_hours=24.0, coverage_fraction=0.5).is_enough


def test_what_a_window_cannot_give_is_kept_within_the_models_range():
    """A peak below the mean and a cache that hits everything are artefacts of a window, not demand."""
    (chat, _) = with_measured_demand(TODAY, [demand(peak_to_mean_ratio=0.7, prefix_hit_fraction=1.0)]).deployments
    assert chat.workload.peak_to_mean_ratio == 1.0
    assert chat.supply.serving.prefix_hit_fraction == 0.99


def test_a_bought_deployment_is_measured_too_and_stays_bought():
    (_, api) = with_measured_demand(TODAY, [demand("api")]).deployments
    assert api.workload.requests_per_s == 7.0
    assert api.supply == TODAY.deployments[1].supply


def test_a_target_that_answered_for_two_models_is_no_single_deployment_and_stays_assumed():
    """Which of the two the deployment is cannot be told from the target's name; the last one must not win by chance."""
    two = [demand(), demand(model_key="another", requests_per_s=1.0)]
    assert with_measured_demand(TODAY, two) == TODAY
    thin = demand(model_key="another", covered_hours=0.5)
    assert with_measured_demand(TODAY, [demand(), thin]) == with_measured_demand(TODAY, [demand()])
