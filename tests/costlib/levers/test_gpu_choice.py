"""GPU choice: another sheet at another price, in the smallest group from today's up that holds the model."""

from dataclasses import replace
from datetime import date

import pytest

from costlib.compare import compare
from costlib.hardware import Precision
from costlib.levers.gpu_choice import LEVER
from costlib.pricing import PriceKind, PurchaseMix
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

EIGHT = scenario(hosted("llama-3.1-8b", "h100-sxm", work(20)))
SEVENTY = scenario(hosted("llama-3.3-70b", "h100-sxm", work(20), tensor_parallel_count=4))


def pulled(today, gpu, catalog=CATALOG):
    return compare(today, {"gpu_choice": {"gpu": gpu}}, catalog)


def only(projection):
    (deployment,) = projection.deployments
    return deployment


def bought_at(today, key):
    (deployment,) = today.deployments
    supply = replace(deployment.supply, purchase=PurchaseMix(shares=((key, 1.0),)))
    return replace(today, deployments=(replace(deployment, supply=supply),))


def least(gpu, provider=None):
    return min(
        price.usd_per_gpu_hour
        for price in CATALOG.gpu_prices
        if price.gpu_key == gpu and price.kind is PriceKind.ON_DEMAND and provider in (None, price.provider)
    )


def test_the_model_runs_there_at_that_gpus_price():
    result = pulled(EIGHT, "l4")
    assert only(result.scenario).gpu_key == "l4"
    assert result.scenario.step("usd_per_gpu_hour").value == least("l4")


def test_the_provider_of_today_comes_before_a_cheaper_one():
    result = pulled(bought_at(EIGHT, "aws-h100-sxm-on-demand"), "b200")
    assert result.scenario.step("usd_per_gpu_hour").value == least("b200", "aws") > least("b200")


def test_a_provider_that_does_not_sell_it_is_left():
    """GCP's list has no L40S."""
    assert "gcp" not in {price.provider for price in CATALOG.gpu_prices if price.gpu_key == "l40s"}
    result = pulled(bought_at(EIGHT, "gcp-h100-sxm-on-demand"), "l40s")
    assert result.scenario.step("usd_per_gpu_hour").value == least("l40s")


def test_a_calm_fleet_is_cheaper_on_a_small_gpu_and_a_busy_one_need_not_be():
    """One replica must run anyway: then the hour's price decides, and not what a token costs."""
    calm = scenario(hosted("llama-3.1-8b", "h100-sxm", work(0.1)))
    assert pulled(calm, "l4").saved_usd_per_month > 0
    assert pulled(EIGHT, "l4").scenario.tpot_s > pulled(EIGHT, "l4").today.tpot_s


def test_the_group_grows_until_it_holds_the_model():
    """141 GB of weights on L40S of 48 GB: four hold them, barely, and today's four stay."""
    four, eight = pulled(SEVENTY, "l40s"), pulled(SEVENTY, "a10g")
    assert [only(p).gpus_count // only(p).replicas_count for p in (four.scenario, eight.scenario)] == [4, 8]


def test_a_model_that_no_group_holds_is_refused_and_its_option_blocked():
    ((_, refusal),) = pulled(SEVENTY, "t4").refusals
    assert "does not fit 8 x" in refusal.reason
    (gpu,) = LEVER.params
    blocked = {option.value: option.blocked for option in gpu.options(SEVENTY, CATALOG)}
    assert "does not fit 8 x" in blocked["t4"]
    assert not blocked["h200-sxm"]


def test_a_gpu_without_a_known_price_is_refused():
    """Nor is one whose price begins after the scenario's day."""
    ((_, refusal),) = pulled(EIGHT, "mi355x").refusals
    assert refusal.reason.startswith("no on-demand price of")
    assert "[prices]" in refusal.remedy
    assert pulled(replace(EIGHT, as_of=date(2020, 1, 1)), "l4").refusals


def test_four_bit_floats_stay_where_they_can_be_computed():
    ((_, refusal),) = pulled(
        scenario(hosted("llama-3.1-8b", "b200", weight_precision=Precision.FP4)), "h100-sxm"
    ).refusals
    assert "no FP4 units" in refusal.reason


def test_on_todays_gpu_nothing_changes_not_even_the_price():
    result = pulled(EIGHT, "h100-sxm")
    assert result.changes == (("gpu_choice", 0.0),)
    assert only(result.scenario) == only(result.today)


def test_every_gpu_is_offered_under_a_name_that_outlives_its_price():
    (gpu,) = LEVER.params
    dearer = replace(CATALOG, gpu_prices=[replace(p, usd_per_gpu_hour=99.0) for p in CATALOG.gpu_prices])
    labels = {option.value: option.label for option in gpu.options(EIGHT, CATALOG)}
    assert labels == {"keep": "Keep", **{one.key: one.name for one in CATALOG.gpus}}
    assert labels == {option.value: option.label for option in gpu.options(EIGHT, dearer)}


@pytest.mark.parametrize(
    "today",
    [bought("llama-3.3-70b", 0.9), hosted("llama-3.1-8b", "h100-sxm", stated_tokens_per_s=1000.0)],
    ids=["by the token", "stated throughput"],
)
def test_without_a_modelled_capacity_there_is_no_gpu_to_choose(today):
    ((_, refusal),) = pulled(scenario(today), "l4").refusals
    assert "no deployment has a modelled capacity" in refusal.reason
