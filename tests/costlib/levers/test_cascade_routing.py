"""Cascade routing: the arithmetic of two prices, the cost of escalation, and two fleets solved again."""

from dataclasses import replace
from datetime import date

import pytest

from costlib.catalog import Catalog
from costlib.compare import compare
from costlib.levers.cascade_routing import LEVER
from costlib.pricing import TokenPrice
from costlib.routing import CASCADE_KEY as KEY
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

LARGE = scenario(bought("llama-3.3-70b", 0.80, work(1, 500, 100)))
FLEET = scenario(hosted("llama-3.3-70b", "h100-sxm", work(150, 800, 200), tensor_parallel_count=4))


def catalog(small_usd_per_mtok):
    """The shipped catalogue with the small model's API at this price."""
    price = TokenPrice(
        key="mine-small",
        provider="mine",
        model_key="llama-3.1-8b",
        usd_per_mtok_input=small_usd_per_mtok,
        usd_per_mtok_cached_input=small_usd_per_mtok,
        usd_per_mtok_output=small_usd_per_mtok,
        valid_from=date(2026, 1, 1),
    )
    return CATALOG.with_entries(Catalog(token_prices=(price,)))


def pulled(today, share, escalated, small="llama-3.1-8b", known=None):
    values = {"enabled": True, "small_model": small, "share_fraction": share, "escalated_fraction": escalated}
    return compare(today, {"cascade_routing": values}, known or catalog(0.10))


@pytest.mark.parametrize(
    ("escalated", "usd_per_mtok", "cheaper"),
    [
        pytest.param(0.0, 0.380, 2.105, id="vector 24: 0.6 x 0.10 + 0.4 x 0.80"),
        pytest.param(0.1, 0.428, 1.869, id="and 0.6 x 0.1 x 0.80 for what is answered twice"),
        pytest.param(0.2, 0.476, 1.681, id="a fifth escalated"),
        pytest.param(0.875, 0.80, 1.0, id="break-even without a check: 1 - 0.10 / 0.80"),
    ],
)
def test_two_prices(escalated, usd_per_mtok, cheaper):
    result = pulled(LARGE, 0.6, escalated)
    assert result.scenario.usd_per_mtok_blended == pytest.approx(usd_per_mtok, rel=0.0005)
    assert result.unit_cost_ratio == pytest.approx(cheaper, rel=0.0005)


def test_break_even_escalation():
    """Domain_math §14, vector 23: 1 - (0.10 + 0.01) / 0.80, the check of each answer counted in the small price."""
    checked = catalog(0.11)
    assert pulled(LARGE, 0.6, 0.8625, known=checked).unit_cost_ratio == pytest.approx(1)
    assert pulled(LARGE, 0.6, 0.86, known=checked).saved_usd_per_month > 0
    assert pulled(LARGE, 0.6, 0.87, known=checked).saved_usd_per_month < 0


@pytest.mark.parametrize("today", [LARGE, FLEET], ids=["API", "fleet"])
@pytest.mark.parametrize(("share", "escalated"), [(0.2, 0.0), (0.6, 0.3), (0.95, 0.95)])
def test_every_request_is_answered_once(today, share, escalated):
    result = pulled(today, share, escalated)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


@pytest.mark.parametrize("today", [LARGE, FLEET], ids=["API", "fleet"])
def test_escalation_only_costs(today):
    spend = [pulled(today, 0.5, escalated).scenario.usd_per_month.mid for escalated in (0.0, 0.25, 0.5, 0.75, 0.95)]
    assert spend == sorted(spend)
    assert spend[0] < spend[-1]


def test_escalated_requests_are_served_twice():
    """Of 150 requests/s, 60 are tried on the small model; 12 of them and the other 90 reach the large one."""
    large, small = pulled(FLEET, 0.4, 0.2).scenario.deployments
    assert small.demand_tokens_per_s == pytest.approx(60 * 1000)
    assert large.demand_tokens_per_s == pytest.approx(102 * 1000)


def test_the_small_model_runs_on_the_same_gpus_in_the_smallest_group_it_fits():
    large, small = pulled(FLEET, 0.4, 0.2).scenario.deployments
    assert (small.key, small.model_key, small.gpu_key) == (KEY, "llama-3.1-8b", large.gpu_key)
    assert small.gpus_count == small.replicas_count
    _, experts = pulled(FLEET, 0.4, 0.2, small="mixtral-8x7b").scenario.deployments
    assert experts.gpus_count == 2 * experts.replicas_count


def test_cash_moves_in_whole_replicas():
    """One large replica is kept for the rest and a small one is added: with little traffic a cascade costs more."""
    quiet = scenario(hosted("llama-3.3-70b", "h100-sxm", work(0.1), tensor_parallel_count=4))
    result = pulled(quiet, 0.6, 0.1)
    assert result.scenario.gpus_count == result.today.gpus_count + 1
    assert result.saved_usd_per_month == pytest.approx(-3.50 * 730)
    assert result.capacity_freed_fraction > 0


def test_only_larger_models_are_routed_from():
    two = scenario(bought("llama-3.3-70b", 0.80), bought("llama-3.2-3b", 0.02, key="tiny"))
    before, after = two.deployments[1], pulled(two, 0.5, 0.0).scenario.deployments[1]
    assert after.demand_tokens_per_s == before.workload.total_tokens_per_s


@pytest.mark.parametrize(
    ("today", "small", "reason"),
    [
        pytest.param(LARGE, "llama-3.1-405b", "no deployment runs a model larger than Llama 3.1 405B", id="larger"),
        pytest.param(LARGE, "llama-3.3-70b", "no deployment runs a model larger than Llama 3.3 70B", id="itself"),
        pytest.param(LARGE, "mistral-7b-v0.3", "no API price for Mistral 7B v0.3 is known", id="no price"),
        pytest.param(
            scenario(hosted("llama-3.1-405b", "t4", tensor_parallel_count=8, stated_weights_bytes=1e9)),
            "llama-3.3-70b",
            "Llama 3.3 70B does not fit 8 x NVIDIA T4",
            id="does not fit",
        ),
    ],
)
def test_refusals(today, small, reason):
    values = {"enabled": True, "small_model": small, "share_fraction": 0.5, "escalated_fraction": 0.1}
    refusal = LEVER.refuse(today, LEVER.check_values(values, today, CATALOG), CATALOG)
    assert refusal.reason == reason
    assert refusal.remedy


def test_tries_of_an_earlier_cascade_stay_tries():
    (large,) = LARGE.deployments
    half = replace(LARGE, deployments=(replace(large, workload=replace(large.workload, answered_fraction=0.5)),))
    result = pulled(half, 0.6, 0.3)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_the_small_model_keeps_the_time_per_token_users_accept():
    strict = scenario(
        hosted("llama-3.3-70b", "h100-sxm", work(400, 4000, 200), tensor_parallel_count=4, max_tpot_s=0.030)
    )
    assert pulled(strict, 0.6, 0.1).scenario.tpot_s <= 0.030


def priced(today=LARGE, share=0.6, escalated=0.2, known=None, **values):
    settings = {
        "enabled": True, "small_model": "llama-3.1-8b", "share_fraction": share, "escalated_fraction": escalated,
    }  # fmt: skip
    return compare(today, {"cascade_routing": {**settings, **values}}, known or catalog(0.10))


def test_a_check_is_paid_for_every_try():
    """Domain_math §7.2: c = x (c_s + c_v + e c_l) + (1 - x) c_l. 600 tokens a request, $0.01 per 1,000 tries."""
    result = priced(check_usd_per_thousand=0.01)
    each_usd = 0.6 * (0.10 + 0.2 * 0.80) * 600e-6 + 0.4 * 0.80 * 600e-6 + 0.6 * 0.01 / 1000
    assert result.scenario.usd_per_month.mid == pytest.approx(each_usd * 730 * 3600)
    assert result.scenario.cost.services_usd_per_month == pytest.approx(0.6 * 0.01 / 1000 * 730 * 3600)


@pytest.mark.parametrize(("escalated", "pays"), [(0.86, True), (0.8625, None), (0.865, False)])
def test_break_even_escalation_with_a_check(escalated, pays):
    """Vector 23, the check as a price of its own: $0.01 per M tokens of 600 each is $0.006 per 1,000 tries."""
    saved = priced(escalated=escalated, check_usd_per_thousand=0.006).saved_usd_per_month
    assert saved == pytest.approx(0, abs=1e-6) if pays is None else (saved > 0) is pays


def test_an_escalation_carries_the_rejected_answer_along():
    """12 of 100 requests are escalated with 100 tokens more each, at $0.80 per M."""
    plain, longer = priced(), priced(escalated_prompt_tokens=100)
    added = longer.scenario.usd_per_month.mid - plain.scenario.usd_per_month.mid
    assert added == pytest.approx(0.12 * 100 * 0.80e-6 * 730 * 3600)


def test_what_stays_is_longer_and_escalated_tries_keep_their_length():
    """Half tried at 0.5 of the mean, a fifth of it escalated: the large one has 0.5 x 1.5 and 0.1 x 0.5 of it."""
    result = priced(FLEET, 0.5, 0.2, kept_length_ratio=1.5)
    large, small = result.scenario.deployments
    assert large.demand_tokens_per_s == pytest.approx(150_000 * (0.5 * 1.5 + 0.1 * 0.5))
    assert small.demand_tokens_per_s == pytest.approx(150_000 * 0.5 * 0.5)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_cached_answers_keep_their_length_whatever_is_routed():
    cached = {"exact_cache": {"enabled": True, "hit_fraction": 0.4}}
    routed = {"enabled": True, "share_fraction": 0.5, "escalated_fraction": 0.2, "kept_length_ratio": 1.5}
    result = compare(FLEET, {**cached, "cascade_routing": routed}, CATALOG)
    assert not result.refusals
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_the_new_inputs_rest_at_nothing():
    """Known results of before the inputs were there: see `test_two_prices`."""
    at_rest = {param.key: param.neutral for param in LEVER.params}
    assert (at_rest["check_usd_per_thousand"], at_rest["escalated_prompt_tokens"]) == (0, 0)
    assert at_rest["kept_length_ratio"] == 1
