"""Predictive routing: a router decides before any answer, each model at its own mix, wrong choices lose money."""

from dataclasses import replace
from datetime import date

import pytest

from costlib.catalog import Catalog
from costlib.compare import compare
from costlib.errors import DomainError
from costlib.pricing import TokenPrice
from costlib.routing import ROUTED_KEY, Routing
from costlib.scenario import Beside
from tests.costlib.scenario_builders import CATALOG, TOY_MODEL, bought, hosted, scenario, work

LARGE = scenario(bought("llama-3.3-70b", 0.80, work(1, 500, 100)))
FLEET = scenario(hosted("llama-3.3-70b", "h100-sxm", work(150, 800, 200), tensor_parallel_count=4))
FREE = {"router_usd_per_thousand": 0.0, "misrouted_fraction": 0.0, "kept_length_ratio": 1.0}
MONTH_S = 730 * 3600


def catalog(small_usd_per_mtok=0.10):
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


def pulled(today, share_fraction=0.6, known=None, **values):
    settings = {"enabled": True, "share_fraction": share_fraction, **FREE, **values}
    return compare(today, {"predictive_routing": settings}, known or catalog())


class TestPrice:
    def test_a_free_router_that_never_errs_is_the_lessons_case(self):
        """Domain_math §14, vector 24: 0.6 x 0.10 + 0.4 x 0.80."""
        result = pulled(LARGE)
        assert result.scenario.usd_per_mtok_blended == pytest.approx(0.38)
        assert result.unit_cost_ratio == pytest.approx(2.105, rel=0.0005)

    def test_its_dearer_small_model_makes_it_1_8(self):
        """The same lesson uses $0.20 elsewhere: 0.6 x 0.20 + 0.4 x 0.80 = 0.44."""
        assert pulled(LARGE, known=catalog(0.20)).unit_cost_ratio == pytest.approx(1.818, rel=0.0005)

    def test_nothing_is_answered_twice(self):
        large, small = pulled(FLEET, 0.4).scenario.deployments
        assert (large.demand_tokens_per_s, small.demand_tokens_per_s) == pytest.approx((90 * 1000, 60 * 1000))

    def test_the_router_reads_every_request(self):
        """150 requests a second at $0.02 per 1,000."""
        service = pulled(FLEET, router_usd_per_thousand=0.02).scenario
        assert service.step("services_usd_per_hour").value == pytest.approx(150 * 3600 * 0.02 / 1000)
        assert pulled(FLEET).scenario.cost.services_usd_per_month == 0

    def test_misroutes_lose_money_beside_the_bill(self):
        """60 of 150 requests a second, 2 % of them wrong, 5 cents each."""
        result = pulled(FLEET, 0.4, misrouted_fraction=0.02, wrong_usd_per_answer=0.05)
        lost = 60 * 0.02 * 0.05 * MONTH_S
        assert result.scenario.wrong_answers_usd_per_month == pytest.approx(lost)
        assert result.net_saved_usd_per_month == pytest.approx(result.saved_usd_per_month - lost)
        assert result.scenario.cost == pulled(FLEET, 0.4).scenario.cost

    def test_dear_mistakes_eat_the_saving(self):
        result = pulled(FLEET, misrouted_fraction=0.08, wrong_usd_per_answer=1.0)
        assert result.net_saved_usd_per_month < 0 < result.saved_usd_per_month
        assert "Wrong answers are expected to lose more than the bill falls by." in result.notes


class TestMix:
    @pytest.mark.parametrize(
        ("share", "kept", "sent"),
        [
            pytest.param(0.5, 1.5, 0.5, id="half kept at 1.5: the other half at 0.5"),
            pytest.param(0.4, 1.2, 0.7, id="0.6 x 1.2 + 0.4 x 0.7 = 1"),
            pytest.param(0.45, 1.0, 1.0, id="all alike"),
            pytest.param(0.0, 2.0, 1.0, id="nothing sent"),
        ],
    )
    def test_what_is_sent_is_shorter_by_as_much_as_the_rest_is_longer(self, share, kept, sent):
        routing = Routing(key="", small_model="", share_fraction=share, kept_length_ratio=kept)
        assert routing.sent_length_ratio == pytest.approx(sent)
        if share:
            assert share * sent + (1 - share) * routing.large_length_ratio == pytest.approx(1)

    def test_the_mean_of_all_stays(self):
        result = pulled(FLEET, 0.5, kept_length_ratio=1.5)
        assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)
        large, small = result.scenario.deployments
        assert (large.demand_tokens_per_s, small.demand_tokens_per_s) == pytest.approx((75 * 1500, 75 * 500))

    def test_answers_from_a_cache_keep_their_length_too(self):
        (deployment,) = FLEET.deployments
        cached = replace(FLEET, deployments=(replace(deployment, beside=Beside(cached_requests_per_s=50)),))
        result = pulled(cached, 0.5, kept_length_ratio=1.5)
        assert result.scenario.tokens_per_month == pytest.approx(result.today.tokens_per_month)

    def test_at_token_prices_a_longer_rest_takes_back_what_routing_saved(self):
        """Half of requests, but a quarter of tokens: 0.25 x 0.10 + 0.75 x 0.80 = 0.625, not 0.45."""
        assert pulled(LARGE, 0.5).scenario.usd_per_mtok_blended == pytest.approx(0.45)
        assert pulled(LARGE, 0.5, kept_length_ratio=1.5).scenario.usd_per_mtok_blended == pytest.approx(0.625)

    def test_what_stays_cannot_be_longer_than_all(self):
        """At 40 % sent, the rest can be at most 1 / 0.6 = 1.67 times the mean."""
        assert not pulled(FLEET, 0.4, kept_length_ratio=1.65).refusals
        ((_, refusal),) = pulled(FLEET, 0.4, kept_length_ratio=1.7).refusals
        assert refusal.reason == "60% of requests at 1.7 times the mean length are longer than all requests together"
        assert "larger share" in refusal.remedy


def test_cash_moves_in_whole_replicas():
    """One large replica stays for the rest and a small one comes: with little traffic routing costs more."""
    quiet = scenario(hosted("llama-3.3-70b", "h100-sxm", work(0.1), tensor_parallel_count=4))
    result = pulled(quiet)
    assert result.saved_usd_per_month == pytest.approx(-3.50 * 730)
    assert result.capacity_freed_fraction > 0


class TestRefusals:
    def test_a_small_model_whose_context_cannot_hold_the_requests(self):
        """A model of 2,048 tokens of context and requests of 3,200."""
        short = replace(TOY_MODEL, key="short", name="Short", active_params_count=1e9, max_context_tokens=2048)
        known = replace(CATALOG, models=(*CATALOG.models, short))
        long = scenario(hosted("llama-3.3-70b", "h100-sxm", work(5, 3000, 200), tensor_parallel_count=4))
        ((_, refusal),) = pulled(long, small_model="short", known=known).refusals
        assert "requests of 3,200 tokens exceed the 2,048 that Short can hold" in refusal.reason
        assert "another small model" in refusal.remedy
        # A router that sends only short ones sends what it can hold.
        assert not pulled(long, small_model="short", known=known, share_fraction=0.5, kept_length_ratio=1.5).refusals

    def test_a_bought_model_has_a_context_too(self):
        dear = scenario(bought("llama-3.3-70b", 0.80, work(1, 100_000, 20_000)))
        ((_, refusal),) = pulled(dear, kept_length_ratio=1.5).refusals
        assert "requests of 180,000 tokens exceed" in refusal.reason

    def test_a_large_model_whose_context_cannot_hold_what_stays(self):
        edge = scenario(hosted("llama-3.3-70b", "h100-sxm", work(0.1, 100_000, 200), tensor_parallel_count=4))
        ((_, refusal),) = pulled(edge, kept_length_ratio=1.5).refusals
        assert "requests of 150,300 tokens exceed" in refusal.reason

    def test_a_small_model_that_is_too_slow_even_alone(self):
        hurry = scenario(hosted("llama-3.3-70b", "h100-sxm", work(5), tensor_parallel_count=8, max_tpot_s=0.012))
        ((_, refusal),) = pulled(hurry, small_model="qwen3-32b").refusals
        assert "Qwen3 32B on NVIDIA H100 SXM takes" in refusal.reason
        assert "longer than max_tpot_s 12 ms" in refusal.reason
        assert not pulled(hurry, small_model="llama-3.1-8b").refusals

    def test_a_small_model_that_does_not_fit(self):
        today = scenario(hosted("llama-3.1-405b", "t4", tensor_parallel_count=8, stated_weights_bytes=1e9))
        ((_, refusal),) = pulled(today, small_model="llama-3.3-70b").refusals
        assert refusal.reason == "Llama 3.3 70B does not fit 8 x NVIDIA T4"

    def test_a_model_as_large_as_todays(self):
        ((_, refusal),) = pulled(LARGE, small_model="llama-3.3-70b").refusals
        assert refusal.reason == "no deployment runs a model larger than Llama 3.3 70B"

    def test_a_key_that_is_taken(self):
        taken = scenario(*LARGE.deployments, bought("llama-3.2-3b", 0.02, key=ROUTED_KEY))
        ((_, refusal),) = pulled(taken).refusals
        assert refusal.reason == f"a deployment is already called {ROUTED_KEY}"

    def test_requests_without_a_token_to_answer(self):
        """Sent answers of less than a token cannot be: 45 % sent, the rest of 2-token answers 1.8 times as long."""
        tiny = scenario(bought("llama-3.3-70b", 0.80, work(1, 500, 2)))
        ((_, refusal),) = pulled(tiny, 0.45, kept_length_ratio=1.8).refusals
        assert "mean_output_tokens of 1 or more" in refusal.reason

    def test_a_share_that_leaves_no_length_raises(self):
        with pytest.raises(DomainError, match="longer than all requests together"):
            _ = Routing(key="", small_model="", share_fraction=0.1, kept_length_ratio=3.0).sent_length_ratio
