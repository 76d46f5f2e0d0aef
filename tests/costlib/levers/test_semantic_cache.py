"""Semantic cache: saved is cash, what wrong hits lose is beside it, and above their price no hit rate pays."""

import pytest

from costlib.compare import compare
from costlib.response_cache import break_even_hit_fraction
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

# $0.004 a request, as in domain_math §14, vector 25.
API = scenario(bought("llama-3.3-70b", 4.0, work(1, 800, 200)))
MONTH_S = 3600 * 730


def pulled(today, hit_fraction, wrong_fraction=0.02, wrong_usd=0.05, lookup=0.05, **others):
    values = {
        "enabled": True,
        "hit_fraction": hit_fraction,
        "wrong_fraction": wrong_fraction,
        "wrong_usd_per_answer": wrong_usd,
        "lookup_usd_per_thousand": lookup,
    }
    return compare(today, {"semantic_cache": values, **others}, CATALOG)


def test_at_the_break_even_hit_rate_nothing_is_gained():
    """Vector 25: 1.667 %."""
    even = break_even_hit_fraction(0.004, 5e-5, 0.02, 0.05)
    assert even == pytest.approx(0.01667, rel=0.005)
    assert pulled(API, even).net_saved_usd_per_month == pytest.approx(0, abs=1e-6)
    assert pulled(API, even * 1.01).net_saved_usd_per_month > 0
    assert pulled(API, even * 0.99).net_saved_usd_per_month < 0


def test_the_saving_is_hits_less_lookups_less_wrong_answers():
    """S = h (c_m - f L) - c_l for each of the month's requests."""
    result = pulled(API, 0.12)
    assert result.saved_usd_per_month == pytest.approx((0.12 * 0.004 - 5e-5) * MONTH_S)
    assert result.scenario.wrong_answers_usd_per_month == pytest.approx(0.12 * 0.02 * 0.05 * MONTH_S)
    assert result.net_saved_usd_per_month == pytest.approx((0.12 * (0.004 - 0.001) - 5e-5) * MONTH_S)


@pytest.mark.parametrize("hit_fraction", [0.05, 0.3, 0.95])
def test_where_a_wrong_hit_loses_what_a_hit_saves_no_hit_rate_pays(hit_fraction):
    """8 % of hits wrong at $0.05 is the $0.004 that a request costs."""
    assert pulled(API, hit_fraction, wrong_fraction=0.08).net_saved_usd_per_month < 0


def test_wrong_answers_that_eat_the_saving_are_said():
    result = pulled(API, 0.12, wrong_fraction=0.2)
    assert result.saved_usd_per_month > 0 > result.net_saved_usd_per_month
    assert result.notes == ("Wrong answers are expected to lose more than the bill falls by.",)
    (warning,) = result.scenario.warnings
    lost = result.scenario.wrong_answers_usd_per_month
    assert warning == f"Wrong answers are expected to lose ${lost:,.0f} a month, beside the bill."


def test_the_loss_is_not_on_the_bill():
    dear, cheap = (pulled(API, 0.12, wrong_usd=price).scenario for price in (100.0, 0.0))
    assert dear.usd_per_month == cheap.usd_per_month
    assert dear.cost == cheap.cost
    assert cheap.warnings == ()


def test_behind_an_exact_cache_it_sees_what_that_one_missed():
    exact = {"enabled": True, "hit_fraction": 0.5, "lookup_usd_per_thousand": 0.0}
    result = pulled(API, 0.2, lookup=1.0, exact_cache=exact)
    (model,) = result.scenario.deployments
    assert model.demand_tokens_per_s == pytest.approx(0.5 * 0.8 * 1000)
    assert result.scenario.cost.services_usd_per_month == pytest.approx(0.5 * 0.001 * MONTH_S)
    assert result.scenario.wrong_answers_usd_per_month == pytest.approx(0.5 * 0.2 * 0.001 * MONTH_S)
    assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)


def test_demand_beyond_the_expected_takes_more_lookups():
    uncertain = scenario(bought("llama-3.3-70b", 4.0, work(1, 800, 200, demand_low_ratio=0.5, demand_high_ratio=2.0)))
    spend = pulled(uncertain, 0.12).scenario.usd_per_month
    assert spend.low == pytest.approx(0.5 * spend.mid)
    assert spend.high == pytest.approx(2 * spend.mid)


def test_what_is_left_for_our_gpus_is_solved_again():
    """Fewer requests run in smaller batches: tokens come sooner, and a lone replica saves nothing."""
    busy = scenario(hosted("llama-3.1-8b", "h100-sxm", work(8, 800, 200)))
    result = pulled(busy, 0.5)
    assert result.scenario.gpus_count == result.today.gpus_count == 1
    assert result.scenario.tpot_s < result.today.tpot_s
    assert result.saved_usd_per_month < 0
    assert result.notes[0].startswith("Semantic cache costs $")
